"""Attention on GPUs: the form by cuDNN's graphs gives what the generic form gives."""

import importlib
import threading

import fake_cudnn
import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.attention import Attention, AttentionGrad
from headrace.ops.cuda import attention, device, frontend, nvrtc, recording

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
CLOSE = {"float16": 4e-3, "bfloat16": 3e-2}


@pytest.fixture(autouse=True)
def gpu(monkeypatch):
    importlib.import_module("headrace.ops.cuda.overrides")
    for module in (frontend, attention):
        monkeypatch.setattr(module, "frontend", lambda: fake_cudnn)
    monkeypatch.setattr(fake_cudnn.pygraph, "executed", [])
    frontend._graphs.clear()
    with device.use(PtxDevice()) as found:
        yield found


def arrays(sizes, dtype, seed=0):
    batch, queries, keys, heads, size, wide = sizes
    rng = np.random.default_rng(seed)
    shapes = [(batch, queries, heads, size), (batch, keys, heads, size),
              (batch, keys, heads, wide), (batch, queries, heads, wide)]  # fmt: skip
    kind = hr.as_dtype(dtype).np_dtype
    return [rng.normal(size=s).astype(kind) for s in shapes]


def masks(sizes, dtype):
    batch, queries, keys, heads, _, _ = sizes
    rng = np.random.default_rng(1)
    shapes = {
        "every": (batch, heads, queries, keys),
        "keys": (batch, 1, 1, keys),
        "heads": (1, heads, queries, keys),
        "queries": (batch, 1, queries, 1),
    }
    found = {name: rng.random(shape) > 0.6 for name, shape in shapes.items()}
    found["left"] = np.arange(keys) >= rng.integers(0, keys, (batch, 1, 1, 1))
    found["nothing"] = np.zeros((1, 1, 1, keys), bool)
    kind = hr.as_dtype(dtype).np_dtype
    return {"none": [], **{name: [m.astype(kind)] for name, m in found.items()}}


def both(q, k, v, g, rest, **attrs):
    """Results and gradients by the GPU's forms, and by the generic forms of the same numbers in
    float32."""
    slope = {"slope": True} if attrs.get("biased") else {}
    out, kept = Attention.form("gpu")(q, k, v, *rest, **attrs)
    got = [out, *AttentionGrad.form("gpu")(q, k, v, out, kept, g, *rest, **attrs, **slope)]
    q, k, v, g, *rest = (a.astype("f4") for a in (q, k, v, g, *rest))
    out, kept = Attention.impl(q, k, v, *rest, **attrs)
    return got, [out, *AttentionGrad.impl(q, k, v, out, kept, g, *rest, **attrs, **slope)]


def close(got, want, dtype):
    for a, b in zip(got, want, strict=True):
        assert a.dtype == hr.as_dtype(dtype).np_dtype and a.shape == b.shape
        np.testing.assert_allclose(a.astype("f4"), b, rtol=CLOSE[dtype], atol=CLOSE[dtype])


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("sizes", [(2, 5, 5, 3, 8, 8), (1, 3, 7, 2, 16, 8), (2, 1, 4, 1, 8, 8)])
def test_results_and_gradients(sizes, dtype, causal):
    for name, mask in masks(sizes, dtype).items():
        fake_cudnn.pygraph.executed.clear()
        got, want = both(*arrays(sizes, dtype), mask, scale=0.3, causal=causal)
        try:
            close(got, want, dtype)
        except AssertionError as error:
            error.add_note(f"mask: {name}")
            raise
        assert fake_cudnn.pygraph.executed == ["sdpa", "sdpa_backward"]


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("masked", ["none", "left", "heads"])
@pytest.mark.parametrize(
    "dims", [(1, 3, 4, 6), (2, 1, 4, 6), (1, 1, 1, 6), (2, 3, 4, 1)], ids=str
)
def test_a_bias_and_its_gradient(dims, masked, causal):
    sizes = (2, 4, 6, 3, 8, 8)
    rest = masks(sizes, "float16")[masked]
    bias = np.random.default_rng(2).normal(size=dims).astype("f2")
    attrs = {"scale": 0.3, "causal": causal, "biased": True}
    close(*both(*arrays(sizes, "float16"), [*rest, bias], **attrs), "float16")
    assert fake_cudnn.pygraph.executed == ["sdpa", "sdpa_backward"]


def test_arrays_may_lie_in_other_orders():
    q, k, v, g = (
        np.ascontiguousarray(a.transpose(0, 2, 1, 3)).transpose(0, 2, 1, 3)
        for a in arrays((2, 4, 6, 3, 8, 8), "float16")
    )
    close(*both(q, k, v, g, [], scale=0.3, causal=False), "float16")


@pytest.mark.parametrize(
    ("sizes", "dtype"),
    [((2, 4, 5, 2, 8, 8), "float32"), ((2, 4, 5, 2, 6, 8), "float16"),
     ((2, 4, 5, 2, 8, 12), "bfloat16"), ((0, 4, 5, 2, 8, 8), "float16")],
    ids=["float32", "heads of 6", "values of 12", "empty"],
)  # fmt: skip
def test_what_cudnn_does_not_take_goes_the_generic_way(sizes, dtype):
    q, k, v, g = arrays(sizes, dtype)
    attrs = {"scale": 0.3, "causal": True}
    out, kept = Attention.form("gpu")(q, k, v, **attrs)
    want = Attention.impl(q, k, v, **attrs)
    np.testing.assert_array_equal(out, want[0])
    np.testing.assert_array_equal(kept, want[1])
    got = AttentionGrad.form("gpu")(q, k, v, out, kept, g, **attrs)
    want = AttentionGrad.impl(q, k, v, out, kept, g, **attrs)
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
    assert not fake_cudnn.pygraph.executed


def test_a_way_there_without_a_way_back():
    got, want = both(*arrays((2, 1, 1, 2, 8, 8), "float16"), [], scale=0.3, causal=False)
    close(got, want, "float16")
    assert fake_cudnn.pygraph.executed == ["sdpa"]


def test_a_graph_is_built_once_and_kept_within_a_bound(monkeypatch):
    monkeypatch.setattr(frontend, "_graphs", frontend._Graphs(3))
    built = []
    monkeypatch.setattr(frontend, "_build", lambda plan, make: built.append(plan) or None)
    for queries in (1, 2, 3, 1, 4, 1, 2):  # the fourth makes the second go
        q, k, v, _ = arrays((1, queries, 5, 1, 8, 8), "float16")
        Attention.form("gpu")(q, k, v, scale=0.3)
    assert [p.queries for p in built] == [1, 2, 3, 4, 2]
    assert len(frontend._graphs) == 3


def test_a_recording_keeps_the_graphs_it_runs(monkeypatch):
    kept = []

    class Notes:
        keep = kept.append

    monkeypatch.setattr(recording, "current", lambda: Notes)
    q, k, v, _ = arrays((1, 2, 5, 1, 8, 8), "float16")
    Attention.form("gpu")(q, k, v, scale=0.3)
    assert [b.plan.way for b in kept] == ["forward"]


def test_threads_leave_their_handles_to_the_next():
    q, k, v, _ = arrays((1, 2, 5, 1, 8, 8), "float16")
    Attention.form("gpu")(q, k, v, scale=0.3)
    before = len(fake_cudnn.handles)
    for _ in range(5):
        thread = threading.Thread(
            target=lambda: Attention.form("gpu")(q, k, v, scale=0.3), daemon=True
        )
        thread.start()
        thread.join()
    assert len(fake_cudnn.handles) <= before + 1


def test_errors_name_the_operation_its_sizes_and_cudnns_text(monkeypatch):
    q, k, v, _ = arrays((1, 2, 5, 1, 8, 8), "float16")
    monkeypatch.setattr(fake_cudnn.pygraph, "fails", "CUDNN_STATUS_EXECUTION_FAILED")
    with pytest.raises(hr.errors.InternalError, match="EXECUTION_FAILED") as caught:
        Attention.form("gpu")(q, k, v, scale=0.3)
    for part in ("AttentionPlan", "forward", "float16", "queries=2", "keys=5"):
        assert part in str(caught.value)


@pytest.mark.parametrize("steady", [False, True])
def test_determinism_is_asked_for(steady, monkeypatch):
    monkeypatch.setattr(attention, "is_deterministic", lambda: steady)
    asked = []
    plain = fake_cudnn.pygraph.sdpa_backward

    def back(self, **options):
        asked.append(options["use_deterministic_algorithm"])
        return plain(self, **options)

    monkeypatch.setattr(fake_cudnn.pygraph, "sdpa_backward", back)
    both(*arrays((1, 2, 5, 1, 8, 8), "float16"), [], scale=0.3)
    assert asked == [steady]
