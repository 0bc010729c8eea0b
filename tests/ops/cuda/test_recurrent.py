"""LSTM and GRU on GPUs: the form by cuDNN gives what the generic form gives, masks included."""

import gc
import importlib

import numpy as np
import pytest
from fake_cudnn_rnn import FakeCudnn
from ptx_device import PtxDevice

import headrace as hr
from headrace.ops.cuda import device, recording, recurrent, recurrent_masks
from headrace.ops.primitive import get_primitive

BATCH, STEPS, FEATURES, UNITS = 4, 6, 3, 5
FORWARD = ["cudnnRNNForward"]
BOTH = [*FORWARD, "cudnnRNNBackwardData_v8", "cudnnRNNBackwardWeights_v8"]


@pytest.fixture(autouse=True)
def cudnn(monkeypatch):
    overrides = importlib.import_module("headrace.ops.cuda.overrides")
    monkeypatch.setattr(overrides, "_on_gpu", lambda array: True)
    fake = FakeCudnn()
    monkeypatch.setattr(recurrent, "cudnn", lambda: fake)
    recurrent._layer.cache_clear()
    with device.use(PtxDevice()):
        yield fake
        recurrent._layer.cache_clear()
        gc.collect()


def arrays(kind, seed=0, dtype="f4"):
    rng = np.random.default_rng(seed)
    wide = (4 if kind == "LSTM" else 3) * UNITS
    shapes = [(BATCH, STEPS, FEATURES), (FEATURES, wide), (UNITS, wide)]
    shapes += [(wide,) if kind == "LSTM" else (2, wide)]
    shapes += [(BATCH, UNITS)] * (2 if kind == "LSTM" else 1)
    made = [(rng.normal(size=s) * 0.5).astype(dtype) for s in shapes]
    states = len(shapes) - 4
    slopes = [(BATCH, STEPS, UNITS), *[(BATCH, UNITS)] * states]
    return made, [rng.normal(size=s).astype(dtype) for s in slopes]


def run(kind, forms, given, slopes, mask):
    """Outputs, states and all gradients."""
    forward, back = (get_primitive(f"_{kind}{part}") for part in ("", "Grad"))
    forward, back = (p.form("gpu") if forms == "gpu" else p.impl for p in (forward, back))
    out = forward(*given, *mask)
    shown = len(slopes)
    kept = (out[0], *out[shown:])
    found = back(*given, *mask, *kept, *slopes, for_inputs=True)
    return [*out[:shown], *found]


def rows(*lengths, left=False):
    shown = np.arange(STEPS) < np.array(lengths)[:, None]
    return shown[:, ::-1] if left else shown


MASKS = {
    "right": rows(6, 2, 1, 4),
    "full": rows(6, 6, 6, 6),
    "left": rows(6, 2, 1, 4, left=True),
    "middle": np.array([[0, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 1], [0, 0, 0, 0, 0, 1],
                        [1, 0, 0, 0, 0, 0]], bool),
}  # fmt: skip
GENERIC = {
    "gaps": np.array([[1, 0, 1, 1, 0, 0], *rows(6, 2, 1)], bool),
    "an empty row": rows(6, 0, 1, 4),
}


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("name", [None, *MASKS])
def test_by_cudnn(kind, name, cudnn):
    mask = [] if name is None else [MASKS[name].astype("f4")]
    given, slopes = arrays(kind)
    got, want = (run(kind, forms, given, slopes, mask) for forms in ("gpu", "impl"))
    assert cudnn.calls == BOTH
    for a, b in zip(got, want, strict=True):
        assert a.shape == b.shape
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_random_runs(kind, seed, cudnn):
    rng = np.random.default_rng(seed)
    starts = rng.integers(0, STEPS, BATCH)
    ends = rng.integers(starts + 1, STEPS + 1)
    at = np.arange(STEPS)
    mask = [((at >= starts[:, None]) & (at < ends[:, None])).astype("f4")]
    given, slopes = arrays(kind, seed)
    got, want = (run(kind, forms, given, slopes, mask) for forms in ("gpu", "impl"))
    assert cudnn.calls == BOTH
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("name", GENERIC)
def test_masks_that_go_the_generic_way(kind, name, cudnn):
    mask = [GENERIC[name].astype("f4")]
    given, slopes = arrays(kind)
    got, want = (run(kind, forms, given, slopes, mask) for forms in ("gpu", "impl"))
    assert cudnn.calls == []
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_16_bit_floats(cudnn):
    given, slopes = arrays("LSTM", dtype="f2")
    mask = MASKS["left"]
    got = run("LSTM", "gpu", given, slopes, [mask.astype("f2")])
    wide = [[a.astype("f4") for a in of] for of in (given, slopes)]
    want = run("LSTM", "impl", *wide, [mask.astype("f4")])
    for a, b in zip(got, want, strict=True):
        assert a.dtype == np.float16
        np.testing.assert_allclose(a, b, rtol=2e-2, atol=2e-2)
    assert cudnn.calls == BOTH


def test_descriptors_are_used_again_and_destroyed_with_their_layer(cudnn, monkeypatch):
    given, slopes = arrays("GRU")
    run("GRU", "gpu", given, slopes, [rows(6, 2, 1, 4).astype("f4")])
    before = set(cudnn.alive)
    for lengths in ((1, 2, 3, 4), (6, 5, 4, 3), (2, 2, 2, 2)):
        run("GRU", "gpu", given, slopes, [rows(*lengths).astype("f4")])
    assert set(cudnn.alive) == before
    recurrent._layer.cache_clear()
    gc.collect()
    assert {d["kind"] for d in cudnn.alive.values()} == {""}  # the handle


def test_a_mask_is_read_once_for_both_ways(monkeypatch):
    given, slopes = arrays("LSTM")
    mask = rows(6, 2, 1, 4).astype("f4")
    reads = []
    plain = recurrent_masks.read
    monkeypatch.setattr(
        recurrent_masks, "read", lambda m, what: (reads.append(what), plain(m, what))[1]
    )
    run("LSTM", "gpu", given, slopes, [mask])
    assert reads == ["LSTM"]
    # What it holds is read again at the next call, and by a way back that has another array.
    mask[:] = rows(3, 3, 3, 3)
    got, want = (run("LSTM", forms, given, slopes, [mask]) for forms in ("gpu", "impl"))
    assert reads == ["LSTM"] * 2
    for a, b in zip(got, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
    assert recurrent_masks.remembered(mask.copy(), "LSTM") is not None
    assert reads == ["LSTM"] * 3


def test_what_is_remembered_goes_with_the_mask():
    mask = rows(6, 2, 1, 4).astype("f4")
    before = len(recurrent_masks._seen)
    recurrent_masks.read(mask, "GRU")
    assert len(recurrent_masks._seen) == before + 1
    del mask
    gc.collect()
    assert len(recurrent_masks._seen) == before


def test_a_recording_refuses_a_mask(monkeypatch):
    monkeypatch.setattr(recording, "current", lambda: object())
    with pytest.raises(recording.NotRecordable, match="LSTM reads its mask on the host"):
        recurrent_masks.read(rows(6, 2, 1, 4).astype("f4"), "LSTM")


def test_errors_name_the_layer_its_sizes_and_cudnns_text(cudnn):
    given, slopes = arrays("GRU")
    cudnn.fails = "cudnnRNNForward"
    with pytest.raises(hr.errors.InternalError, match="EXECUTION_FAILED") as caught:
        run("GRU", "gpu", given, slopes, [])
    for part in ("forward", "GRU", f"batch={BATCH}", f"units={UNITS}", "float32"):
        assert part in str(caught.value)


@pytest.mark.parametrize("zeros", [False, True], ids=["repeated", "zeros"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
@pytest.mark.parametrize("backwards", [False, True])
def test_what_layers_give_at_masked_steps(kind, zeros, backwards, cudnn, monkeypatch):
    """The layer's own rules around the operation: the same by the GPU's form as by the loop."""
    options = {"return_sequences": True, "return_state": True, "go_backwards": backwards,
               "zero_output_for_mask": zeros}  # fmt: skip
    layer = getattr(hr.keras.layers, kind)(UNITS, **options)
    loop = getattr(hr.keras.layers, kind)(UNITS, use_cudnn=False, **options)
    x = hr.constant(np.random.default_rng(0).normal(size=(BATCH, STEPS, FEATURES)).astype("f4"))
    layer(x), loop(x)
    loop.set_weights(layer.get_weights())
    mask = hr.constant(rows(6, 2, 1, 4))
    primitive = get_primitive(f"_{kind}")
    monkeypatch.setattr(primitive, "host", primitive.form("gpu"))
    for got, want in zip(layer(x, mask=mask), loop(x, mask=mask), strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-5)
    assert cudnn.calls == FORWARD
