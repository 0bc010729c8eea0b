"""What is asked of NVIDIA's libraries, told on the CPU: layouts and geometry.

That the libraries answer as their documentation says, only a device can show (tests/gpu).
"""

import types

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from ptx_device import PtxDevice

from headrace.ops.cuda import attention, convolution, device, gemm, norms, recurrent
from headrace.ops.windows import Windows

RNG = np.random.default_rng


# -- products ---------------------------------------------------------------------------------


def answer(problem, a, b):
    """What cuBLASLt is documented to compute: column-major products over flat memory."""

    def matrix(memory, rows, cols, lead, step, turned, i):
        if turned:
            rows, cols = cols, rows
        at = np.arange(rows)[:, None] + np.arange(cols) * lead + i * step
        found = memory[at]
        return found.T if turned else found

    p = problem
    out = np.zeros(max(p.products - 1, 0) * p.step_c + p.n * p.lead_c)
    for i in range(p.products):
        left = matrix(a, p.m, p.k, p.lead_a, p.step_a, p.transpose_a, i)
        right = matrix(b, p.k, p.n, p.lead_b, p.step_b, p.transpose_b, i)
        at = np.arange(p.m)[:, None] + np.arange(p.n) * p.lead_c + i * p.step_c
        out[at] = left @ right
    return out


def laid_out(rng, lead, rows, cols, how):
    if how == "turned":
        return rng.normal(size=(*lead, cols, rows)).swapaxes(-1, -2)
    if how == "gaps":
        return rng.normal(size=(*lead, rows, cols + 3))[..., :cols]
    return rng.normal(size=(*lead, rows, cols))


@settings(max_examples=150, deadline=None)
@given(
    st.tuples(*[st.integers(1, 5)] * 3),
    st.sampled_from([(), (3,), "a", "b"]),
    st.tuples(*[st.sampled_from(["plain", "turned", "gaps"])] * 2),
    st.tuples(st.booleans(), st.booleans()),
)
def test_products_are_asked_for_as_they_are_meant(sizes, lead, layouts, flips):
    rng = RNG(0)
    n, k, m = sizes
    leads = ((4,), ()) if lead == "a" else ((), (4,)) if lead == "b" else (lead, lead)
    shapes = (k, n) if flips[0] else (n, k), (m, k) if flips[1] else (k, m)
    a, b = (
        laid_out(rng, le, *shape, how)
        for le, shape, how in zip(leads, shapes, layouts, strict=True)
    )
    problem = gemm.problem_for(a, b, *flips)
    assert problem is not None
    memory = [np.lib.stride_tricks.as_strided(
        x, (1 + sum((s - 1) * t // 8 for s, t in zip(x.shape, x.strides, strict=True)),), (8,)
    ) for x in (b, a)]  # fmt: skip
    want = (a.swapaxes(-1, -2) if flips[0] else a) @ (b.swapaxes(-1, -2) if flips[1] else b)
    # Beyond a view's last element there is nothing: columns of a lead may end there.
    room = [np.append(x, np.full(64, np.nan)) for x in memory]
    np.testing.assert_allclose(answer(problem, *room).reshape(want.shape), want)


def test_arrays_without_a_close_axis_are_copied_first():
    x = np.zeros((8, 8))[::2, ::2]
    assert gemm.layout_of(x) is None
    assert gemm.problem_for(x, x) is None


# -- LSTM and GRU -----------------------------------------------------------------------------


def sigmoid(v):
    return 1 / (1 + np.exp(-v))


def cudnn_layer(sizes, packed, x, h, c):
    """cuDNN's formulas, as its documentation of cudnnRNNForward gives them."""
    u, f, gates = sizes.units, sizes.features, sizes.gates
    of_input = packed[: gates * u * f].reshape(gates, u, f)
    of_state = packed[gates * u * f : gates * u * (f + u)].reshape(gates, u, u)
    biases = packed[gates * u * (f + u) :].reshape(-1, gates, u)
    out = []
    for step in range(sizes.steps):
        a = [x[:, step] @ w.T + b for w, b in zip(of_input, biases[0], strict=True)]
        if sizes.kind == "LSTM":
            i, fg, g, o = (a[k] + h @ of_state[k].T for k in range(4))
            c = sigmoid(fg) * c + sigmoid(i) * np.tanh(g)
            h = sigmoid(o) * np.tanh(c)
        else:
            r, z, n = (h @ of_state[k].T + biases[1][k] for k in range(3))
            r, z = sigmoid(a[0] + r), sigmoid(a[1] + z)
            h = (1 - z) * np.tanh(a[2] + r * n) + z * h
        out.append(h)
    return np.stack(out, 1), h, c


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_weights_of_recurrent_layers(kind):
    rng = RNG(0)
    sizes = recurrent.Sizes(kind, 3, 5, 4, 6, "float32")
    wide = sizes.gates * sizes.units
    kernel, inner = rng.normal(size=(4, wide)), rng.normal(size=(6, wide))
    bias = rng.normal(size=wide if kind == "LSTM" else (2, wide))
    x, h, c = rng.normal(size=(3, 5, 4)), rng.normal(size=(3, 6)), rng.normal(size=(3, 6))
    arrays = [a.astype("f4") for a in (x, kernel, inner, bias, h, c)]
    from headrace.ops.recurrent import gru, lstm

    if kind == "LSTM":
        want = [t.numpy() for t in lstm(*arrays)]
    else:
        want = [t.numpy() for t in gru(*arrays[:-1])]
    with device.use(PtxDevice()):
        packed = recurrent.pack_weights(kernel, inner, bias, sizes)
        back = recurrent.unpack_weights(packed, sizes)
    for got, w in zip(cudnn_layer(sizes, packed, x, h, c), want, strict=False):
        np.testing.assert_allclose(got, w, rtol=1e-4, atol=1e-5)
    for got, w in zip(back, (kernel, inner, bias), strict=True):
        np.testing.assert_array_equal(got, w)


# -- convolution ------------------------------------------------------------------------------

GEOMETRIES = {
    "plain": ((9, 8), (3, 3), (1, 1), (1, 1), "VALID"),
    "same": ((9, 9), (3, 3), (2, 2), (1, 1), "SAME"),
    "padding that differs": ((8, 8), (3, 3), (2, 2), (1, 1), "SAME"),
    "dilated": ((12, 11), (3, 2), (1, 1), (2, 3), "VALID"),
    "volume": ((4, 6, 5), (2, 3, 3), (1, 2, 1), (1, 1, 1), "SAME"),
}


@pytest.fixture
def frontend():
    """cuDNN's frontend with cuDNN itself, which checks graphs without a GPU."""
    cudnn = pytest.importorskip("cudnn", reason="needs nvidia-cudnn-frontend")
    try:
        cudnn.backend_version()
    except RuntimeError:
        pytest.skip("needs nvidia-cudnn-cu13")
    return cudnn


@pytest.mark.parametrize("way", ["forward", "input", "filter"])
@pytest.mark.parametrize("geometry", GEOMETRIES.values(), ids=GEOMETRIES.keys())
def test_graphs_of_convolutions_have_the_sizes_they_should(frontend, geometry, way):
    at = Windows(*geometry)
    padding, size, _ = convolution._padded(at)
    plan = convolution._plan(way, np.dtype("f4"), 8, 6, 16, 3, at, padding, size)
    graph, tensors, _ = convolution.describe(plan, frontend, 1)
    graph.validate()  # infers the output's sizes and compares
    by_name = dict(
        zip(
            [n for n in "xwy" if n != {"forward": "y", "input": "x", "filter": "w"}[way]],
            tensors,
            strict=False,
        )
    )
    wanted = {"x": [8, 6, *size], "w": [16, 3, *at.kernel], "y": [8, 16, *at.out]}
    for name, tensor in by_name.items():
        assert tensor.get_dim() == wanted[name]
    made = {"forward": "y", "input": "x", "filter": "w"}[way]
    assert tensors[-1].get_dim() == wanted[made]
    assert tensors[-1].get_stride()[1] == 1  # channels last


def test_sizes_that_cudnn_infers_are_those_of_the_windows(frontend):
    for geometry in GEOMETRIES.values():
        at = Windows(*geometry)
        padding, size, _ = convolution._padded(at)
        graph = frontend.pygraph(handle=1, **dict.fromkeys(
            ("io_data_type", "intermediate_data_type", "compute_data_type"),
            frontend.data_type.FLOAT))  # fmt: skip
        x = graph.tensor(**convolution.channels_last(2, 4, size))
        w = graph.tensor(**convolution.channels_last(8, 4, at.kernel))
        y = graph.conv_fprop(image=x, weight=w, padding=list(padding),
                             stride=list(at.strides), dilation=list(at.dilations))  # fmt: skip
        y.set_output(True)
        graph.validate()
        assert y.get_dim() == [2, 8, *at.out]
        assert y.get_stride() == convolution.channels_last(2, 8, at.out)["stride"]


def for_sm_90(frontend):
    """The frontend for graphs that ask what GPU there is."""

    def graph(**options):
        return frontend.pygraph(sm_version=90, **options)

    return types.SimpleNamespace(pygraph=graph, data_type=frontend.data_type)


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("mask", [None, (2, 1, 1), (1, 3, 5)], ids=str)
def test_graphs_of_attention_are_valid(frontend, way, dtype, causal, mask):
    sizes = (2, 3, 5, 7, 16, 8)
    plan = attention.AttentionPlan(way, dtype, *sizes, 0.25, causal, mask, None, False)
    graph, tensors, _ = attention.describe(plan, for_sm_90(frontend), 1)
    try:
        graph.validate()
    except RuntimeError as error:
        if "cuda_get_device" not in str(error):
            raise
        pytest.skip("this version of the frontend asks the GPU itself")
    if way == "forward":
        assert tensors[-2].get_dim() == [2, 3, 5, 8]
        assert tensors[-1].get_dim() == [2, 3, 5, 1]
    else:
        assert [t.get_dim() for t in tensors[-3:]] == [
            [2, 3, rows, size] for rows, size in ((5, 16), (7, 16), (7, 8))
        ]
    for tensor in tensors:
        if tensor.get_dim()[1] == 3 and tensor.get_dim()[3] in (8, 16):  # rows, then heads
            assert tensor.get_stride()[1] < tensor.get_stride()[2]


@pytest.mark.parametrize("way", ["forward", "backward"])
@pytest.mark.parametrize("space", [(4, 3), (2, 4, 3)], ids=str)
def test_graphs_of_batch_normalization_are_valid(frontend, way, space):
    plan = norms.BatchNormPlan(way, "bfloat16", 5, 16, space, 1e-3, False)
    graph, tensors, numbers = norms.describe(plan, frontend, 1)
    graph.validate()
    ones = [1] * len(space)
    assert [t.get_dim() for t in tensors[-3:]] == [
        [5, 16, *space], [1, 16, *ones], [1, 16, *ones]
    ]  # fmt: skip
    assert tensors[-3].get_stride()[1] == 1  # channels last
    assert len(numbers) == (way == "forward")


def test_without_the_libraries_calls_stay_with_the_generic_forms(monkeypatch):
    for module in (attention, convolution, norms):
        monkeypatch.setattr(module, "frontend", lambda: None)
    monkeypatch.setattr(gemm, "cublaslt", lambda: None)
    monkeypatch.setattr(recurrent, "cudnn", lambda: None)
    x = np.ones((2, 4, 4, 3), "f4")
    at = Windows((4, 4), (2, 2), (1, 1), (1, 1), "VALID")
    assert convolution.forward(x, np.ones((2, 2, 3, 5), "f4"), at) is NotImplemented
    assert gemm.matmul(x, x) is NotImplemented
    half = np.ones((2, 4, 3, 8), "f2")
    assert attention.forward(half, half, half, scale=1.0) is NotImplemented
    assert norms._graph("forward", half, 1e-3) is None
    small = np.ones((2, 3, 4), "f4")
    assert (
        recurrent.forward("LSTM", small, None, None, None, small[:, 0], None) is NotImplemented
    )
