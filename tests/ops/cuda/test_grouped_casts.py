"""Casts together: the kernel gives what casts give, and a graph with grouped casts is the same
function."""

import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import casts, device, nvrtc
from headrace.ops.graph import trace
from headrace.ops.graph.execute import compile_graph
from headrace.ops.graph.passes.grouped_casts import grouped_casts

needs_nvrtc = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
SIZES = ((3,), (5, 7), (64, 64), (4097,), (0, 3), (1,))


@needs_nvrtc
@pytest.mark.parametrize(
    ("given", "made"),
    [("float32", "bfloat16"), ("bfloat16", "float32"), ("float32", "float16"),
     ("float16", "float32"), ("float64", "float32")],
)  # fmt: skip
def test_many_are_cast_in_one_launch(given, made):
    kind = hr.as_dtype(given).np_dtype
    rng = np.random.default_rng(0)
    arrays = [(100 * rng.normal(size=s)).astype(kind) for s in SIZES]
    arrays.append(np.concatenate([arrays[0], arrays[3]])[1:])  # aligned to an element only
    with device.use(PtxDevice()) as gpu:
        got = casts.cast_all(tuple(arrays), hr.as_dtype(made))
    assert [name for name, _, _ in gpu.launches] == ["cast_all"]
    for g, a in zip(got, arrays, strict=True):
        want = a.astype(hr.as_dtype(made).np_dtype)
        assert g.dtype == want.dtype and g.shape == a.shape
        np.testing.assert_array_equal(g.astype("f8"), want.astype("f8"))


@needs_nvrtc
def test_the_source_compiles_for_every_architecture():
    for arch in nvrtc.ARCHITECTURES:
        nvrtc.compile_source(casts.source(hr.float32, hr.bfloat16), arch, "casts")


def test_integers_and_parts_are_left_to_the_generic_form():
    x = np.ones((4, 4), "f4")
    assert casts.cast_all((x, x[:, 1]), hr.bfloat16) is NotImplemented
    assert casts.cast_all((np.ones(3, "i4"),), hr.float32) is NotImplemented


# -- the pass ---------------------------------------------------------------------------------


def network():
    hr.keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        parts = [hr.keras.Input((6,)), hr.keras.layers.Dense(5, activation="relu"),
                 hr.keras.layers.BatchNormalization(), hr.keras.layers.Dense(4),
                 hr.keras.layers.Dense(3, dtype="float32")]  # fmt: skip
        return hr.keras.Sequential(parts)
    finally:
        hr.keras.mixed_precision.set_global_policy("float32")


def stepped(passes):
    """Losses and weights after steps whose graphs go through `passes`; the last graph."""
    model = network()
    rng = np.random.default_rng(0)
    model.set_weights(
        [0.3 * rng.normal(size=w.shape).astype("f4") ** 2 for w in model.get_weights()]
    )
    optimizer = hr.keras.optimizers.SGD(0.01, momentum=0.5)
    optimizer.build(model.trainable_variables)
    x = rng.normal(size=(8, 6)).astype("f4")

    def step(x):
        with hr.GradientTape() as tape:
            loss = hr.reduce_mean(hr.square(model(x, training=True)))
        found = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(found, model.trainable_variables, strict=True))
        return loss

    graph = trace(step, (hr.TensorSpec(x.shape),)).graph
    run = compile_graph(graph, passes)
    losses = [float(run(x)[0]) for _ in range(4)]
    return losses, model.get_weights(), run.graph


def test_a_step_with_grouped_casts_is_the_same_step():
    losses, weights, plain = stepped([])
    got, after, grouped = stepped([grouped_casts])
    assert got == losses and got[-1] < got[0]
    for g, w in zip(after, weights, strict=True):
        np.testing.assert_array_equal(g, w)

    def casts_of(graph, kind):
        return [n for n in graph.nodes if n.type == kind]

    groups = casts_of(grouped, "_GroupedCast")
    assert [len(n.outputs) for n in groups] == [4, 4]  # two layers' weights, their gradients
    assert len(casts_of(grouped, "Cast")) == len(casts_of(plain, "Cast")) - 8


def test_what_a_variable_is_given_before_is_what_is_cast():
    v, w = (hr.Variable(np.full(3, n, "f4")) for n in (1.0, 2.0))

    def fn(x):
        a = hr.cast(v, hr.bfloat16)
        w.assign(w + x)
        b = hr.cast(w, hr.bfloat16)
        v.assign(v * 3.0)
        return hr.cast(a + b + hr.cast(v, hr.bfloat16), hr.float32)

    graph = trace(fn, (hr.TensorSpec([3]),)).graph
    run = compile_graph(graph, [grouped_casts])
    got = run(np.ones(3, "f4"))[0]
    np.testing.assert_array_equal(got, np.full(3, 1.0 + 3.0 + 3.0, "f4"))
