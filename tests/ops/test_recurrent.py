"""LSTM and GRU over sequences: what the equations give step by step, compiled or not."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops import native_schedule, recurrent, workers


def lstm_by_steps(x, kernel, recurrent_kernel, bias, h, c, mask=None):
    outputs = []
    for t in range(x.shape[1]):
        i, f, g, o = hr.split(x[:, t] @ kernel + h @ recurrent_kernel + bias, 4, -1)
        new_c = hr.sigmoid(f) * c + hr.sigmoid(i) * hr.tanh(g)
        new_h = hr.sigmoid(o) * hr.tanh(new_c)
        if mask is not None:
            keep = hr.expand_dims(mask[:, t], -1)
            new_c, new_h = hr.where(keep, new_c, c), hr.where(keep, new_h, h)
        h, c = new_h, new_c
        outputs.append(h)
    return hr.stack(outputs, 1), h, c


def gru_by_steps(x, kernel, recurrent_kernel, bias, h, mask=None):
    outputs = []
    for t in range(x.shape[1]):
        xz, xr, xg = hr.split(x[:, t] @ kernel + bias[0], 3, -1)
        hz, hr_, hg = hr.split(h @ recurrent_kernel + bias[1], 3, -1)
        z = hr.sigmoid(xz + hz)
        new = z * h + (1.0 - z) * hr.tanh(xg + hr.sigmoid(xr + hr_) * hg)
        h = new if mask is None else hr.where(hr.expand_dims(mask[:, t], -1), new, h)
        outputs.append(h)
    return hr.stack(outputs, 1), h


KINDS = {
    "lstm": (recurrent.lstm, lstm_by_steps, 4),
    "gru": (recurrent.gru, gru_by_steps, 3),
}
SIZES = [(3, 4, 5, 6), (1, 1, 2, 3), (40, 7, 5, 1), (70, 5, 3, 32), (2, 3, 4, 130)]


def arguments(kind, size, seed=0):
    batch, steps, features, units = size
    gates = KINDS[kind][2]
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, features), (features, gates * units), (units, gates * units)]
    shapes += [(gates * units,), (batch, units), (batch, units)] if kind == "lstm" else [
        (2, gates * units), (batch, units)]  # fmt: skip
    arrays = [hr.constant((rng.normal(size=s) * 0.4).astype("f4")) for s in shapes]
    return arrays, hr.constant(rng.random((batch, steps)) > 0.3)


def with_gradients(fn, arrays, mask):
    with hr.GradientTape() as tape:
        tape.watch(arrays)
        results = fn(*arrays, mask)
        loss = hr.add_n(
            [hr.reduce_sum(hr.square(r) * (i + 1.0)) for i, r in enumerate(results)]
        )
    return [*results, *tape.gradient(loss, arrays)]


def same(got, want):
    for g, w in zip(got, want, strict=True):
        w = w.numpy()
        np.testing.assert_allclose(g.numpy(), w, rtol=1e-3, atol=1e-3 * np.abs(w).max())


@pytest.fixture(params=["compiled", "array calls"])
def form(request, monkeypatch):
    if request.param == "compiled":
        if not native_schedule.available():
            pytest.skip("NumPy's BLAS is another one here")
    else:
        monkeypatch.setattr(native_schedule, "available", lambda: False)


@pytest.mark.parametrize("masked", [False, True], ids=["whole", "masked"])
@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("kind", KINDS)
def test_sequence_equals_steps(form, kind, size, masked):
    fn, by_steps, _ = KINDS[kind]
    arrays, mask = arguments(kind, size)
    mask = mask if masked else None
    same(with_gradients(fn, arrays, mask), with_gradients(by_steps, arrays, mask))


@pytest.mark.parametrize("kind", KINDS)
def test_threads_and_traces_give_the_same(kind, monkeypatch):
    fn = KINDS[kind][0]
    arrays, mask = arguments(kind, (70, 5, 3, 8))
    want = with_gradients(fn, arrays, mask)
    monkeypatch.setattr(workers, "_wanted", 3)
    for g, w in zip(with_gradients(fn, arrays, mask), want, strict=True):
        np.testing.assert_allclose(g.numpy(), w.numpy(), rtol=1e-5, atol=1e-6)
    traced = hr.function(lambda *a: with_gradients(fn, list(a[:-1]), a[-1]))
    same(traced(*arrays, mask), want)


@pytest.mark.parametrize("kind", KINDS)
def test_nothing_to_do(kind):
    fn = KINDS[kind][0]
    arrays, _ = arguments(kind, (3, 0, 5, 6))
    outputs, last, *_ = fn(*arrays)
    assert outputs.shape == (3, 0, 6)
    np.testing.assert_array_equal(last.numpy(), arrays[4].numpy())
    arrays, _ = arguments(kind, (0, 4, 5, 6))
    assert fn(*arrays)[0].shape == (0, 4, 6)


@pytest.mark.parametrize("kind", KINDS)
def test_sizes_that_do_not_fit(kind):
    fn = KINDS[kind][0]
    arrays, _ = arguments(kind, (3, 4, 5, 6))
    with pytest.raises(ValueError, match="recurrent kernel must have the shape"):
        fn(arrays[0], arrays[1], arrays[2][:, :-1], *arrays[3:])
    with pytest.raises(ValueError, match=r"\[batch, steps, features\]"):
        fn(arrays[0][0], *arrays[1:])


def test_a_schedule_walks_through_time():
    a = np.random.default_rng(0).normal(size=(5, 4, 6)).astype("f4")
    b = np.random.default_rng(1).normal(size=(6, 3)).astype("f4")
    out = np.zeros((5, 4, 3), "f4")
    total = np.zeros((5, 3), "f4")
    calls = [
        native_schedule.product(a[:, 0], b, out[:, 0], (a.strides[1], 0, out.strides[1])),
        native_schedule.product(a[:, 0], b, total, (a.strides[1], 0, 0), add=True),
    ]
    native_schedule.run(calls, 4)
    np.testing.assert_allclose(out, a @ b, rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(total, (a @ b).sum(1), rtol=1e-4, atol=1e-5)
    native_schedule.run(calls, 0)
