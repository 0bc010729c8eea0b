"""The pass that makes one operation of a convolution and its pooling."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.conv_primitives import ConvolutionBiasActivation
from headrace.ops.function import trace
from headrace.ops.graph.passes import optimize
from headrace.ops.graph.passes.pool_gradients import pool_gradients
from headrace.ops.graph.passes.pooled_convolutions import pooled_convolutions
from headrace.ops.kernels import convolution, pooled, pooling

RNG = np.random.default_rng(5)
SHAPES = {"x": (3, 12, 11, 16), "w": (3, 3, 16, 32), "b": (32,)}


def step(relu=True, padding="VALID", pool=(2, 2, "VALID"), more=None, data_grad=True):
    """Result and gradients of a pooled convolution, as a function, and its graph."""

    def fn(x, w, b):
        with hr.GradientTape() as tape:
            sources = [x, w, b] if data_grad else [w, b]
            tape.watch(sources)
            y = ConvolutionBiasActivation(
                x, w, b, relu=relu, strides=(1, 1, 1, 1), dilations=(1, 1, 1, 1),
                padding=padding, data_format="NHWC", explicit_paddings=(),
            )  # fmt: skip
            p = hr.max_pool(y, *pool)
            loss = hr.reduce_sum(hr.square(p) * 0.5)
            if more is not None:
                loss += more(y)
        return [p, *tape.gradient(loss, sources)]

    specs = [hr.TensorSpec(SHAPES[k], "float32") for k in "xwb"]
    return fn, trace(fn, tuple(specs), name="step").graph


def types(graph):
    return [n.type for n in graph.nodes]


@pytest.mark.parametrize("data_grad", [True, False])
@pytest.mark.parametrize("padding", ["VALID", "SAME"])
def test_result_and_gradients_are_those_of_the_single_operations(
    padding, data_grad, monkeypatch
):
    for kernels in (convolution, pooled, pooling):
        # With other roundings another number may be the largest; test_kernels looks at them.
        monkeypatch.setattr(kernels, "kernel", lambda name: None)
    fn, graph = step(padding=padding, data_grad=data_grad)
    made = types(optimize(graph))
    assert "_PooledConvolution" in made and "_PooledConvolutionFilterGrad" in made
    assert ("_PooledConvolutionInputGrad" in made) == data_grad
    assert not {"MaxPool", "MaxPoolGrad", "ReluGrad", "BiasAddGrad", "Conv2DBackpropFilter",
                "Conv2DBackpropInput", "_ConvolutionBiasActivation"} & set(made)  # fmt: skip
    arrays = [RNG.normal(size=SHAPES[k]).astype("f") for k in "xwb"]
    got, want = graph.compile()(*arrays), fn(*map(hr.constant, arrays))
    for mine, plain in zip(got, want, strict=True):
        plain = plain.numpy()
        np.testing.assert_allclose(mine, plain, rtol=0, atol=3e-5 * np.abs(plain).max())


def test_a_graph_without_gradients():
    graph = trace(
        lambda x, w, b: step()[0](x, w, b)[0],
        tuple(hr.TensorSpec(SHAPES[k], "float32") for k in "xwb"),
        name="result",
    ).graph
    assert "_PooledConvolution" in types(optimize(graph))


@pytest.mark.parametrize(
    "changes",
    [
        {"relu": False},
        {"pool": (3, 2, "VALID")},
        {"pool": (2, 2, "SAME")},
        {"more": hr.reduce_sum},
    ],
    ids=["no relu", "windows overlap", "padding", "the convolution has another use"],
)
def test_other_graphs_stay(changes):
    _, graph = step(**changes)
    graph = pool_gradients(graph)
    assert "_PooledConvolution" not in types(pooled_convolutions(graph))


def test_exact_graphs_and_those_without_convolutions_stay():
    _, graph = step()
    graph.exact = True
    assert pooled_convolutions(graph) is graph
    plain = trace(lambda x: x + 1, (hr.TensorSpec([2], "float32"),), name="plain").graph
    assert pooled_convolutions(plain) is plain


def test_unknown_shapes_and_few_filters_stay():
    open_shapes = [(None, None, None, 16), (3, 3, 16, 32), (32,)]
    for shapes in (open_shapes, [(3, 12, 11, 5), (3, 3, 5, 3), (3,)]):
        specs = tuple(hr.TensorSpec(s, "float32") for s in shapes)
        graph = pool_gradients(trace(step()[0], specs, name="step").graph)
        assert "_PooledConvolution" not in types(pooled_convolutions(graph))
