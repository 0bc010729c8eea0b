"""Compiled kernels give what the plain forms give, on shapes that no loop fits evenly."""

from unittest import mock

import numpy as np
import pytest
from hypothesis import assume, given, settings, strategies as st

from headrace.ops import conv_plain, conv_pooled, norm_ops, pool_plain, recurrent, workers
from headrace.ops.kernels import (
    build,
    convolution,
    memory,
    normalization,
    pooled,
    pooling,
    recurrent as kernel_recurrent,
    strided,
)
from headrace.ops.windows import Windows

DRAWS = settings(max_examples=25, deadline=None)


@pytest.fixture(scope="module", autouse=True)
def compiled():
    assert build.ensure_compiled(100)


@pytest.fixture(autouse=True, params=[1, 3], ids=["one-thread", "three-threads"])
def threads(request, monkeypatch):
    """Three threads take parts however small the work is."""
    monkeypatch.setattr(workers, "_wanted", request.param)
    if request.param > 1:
        monkeypatch.setattr("headrace.ops.kernels.calls._SERIAL_WORK", 0)


def close(got, want, tolerance, least=1e-6):
    """Within `tolerance` of the largest number, or of `least`: a sum of many terms that happens
    to be near zero is no more exact than its terms."""
    scale = np.abs(want).max(initial=least)
    np.testing.assert_allclose(got / scale, want / scale, rtol=0, atol=tolerance)


def agree(n, size, channels, filters, kernel, strides, dilations, padding, seed):
    """All three convolutions against the plain ones in float64."""
    rng = np.random.default_rng(seed)
    extents = [(k - 1) * d + 1 for k, d in zip(kernel, dilations, strict=True)]
    size = tuple(max(a, b) for a, b in zip(size, extents, strict=True))
    at = Windows(size, kernel, strides, dilations, padding)
    x = rng.normal(size=(n, *size, channels))
    w = rng.normal(size=(*kernel, channels, filters))
    bias = rng.normal(size=filters)
    y = conv_plain.forward(x, w, at)
    g = rng.normal(size=y.shape)
    x4, w4, g4, bias4 = (a.astype("f") for a in (x, w, g, bias))
    close(convolution.forward(x4, w4, at), y, 3e-5)
    close(convolution.forward(x4, w4, at, bias4, True), np.maximum(y + bias, 0), 3e-5)
    close(convolution.grad_input(x.shape, w4, g4, at),
          conv_plain.grad_input(x.shape, w, g, at), 3e-5)  # fmt: skip
    close(convolution.grad_filter(x4, w.shape, g4, at),
          conv_plain.grad_filter(x, w.shape, g, at), 3e-5)  # fmt: skip


sizes = st.integers(1, 13)
paddings = st.sampled_from(["SAME", "VALID"])


@DRAWS
@given(
    n=st.integers(1, 4),
    size=st.tuples(sizes, sizes),
    channels=st.integers(1, 35),
    filters=st.integers(1, 70),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=paddings,
    seed=st.integers(0, 9),
)
def test_convolution_by_taps(n, size, channels, filters, kernel, strides, padding, seed):
    agree(n, size, channels, filters, kernel, strides, (1, 1), padding, seed)


@DRAWS
@given(
    size=st.tuples(sizes, sizes),
    channels=st.sampled_from([1, 16, 20]),
    dilations=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=paddings,
)
def test_dilated_convolution(size, channels, dilations, padding):
    agree(2, size, channels, 5, (3, 2), (1, 1), dilations, padding, 0)


@DRAWS
@given(
    n=st.integers(1, 5),
    size=st.tuples(st.integers(3, 19), st.integers(3, 19)),
    channels=st.sampled_from([16, 32, 48, 80]),
    filters=st.sampled_from([16, 32, 48, 80]),
    padding=paddings,
    seed=st.integers(0, 9),
)
def test_convolution_by_winograds_form(n, size, channels, filters, padding, seed):
    agree(n, size, channels, filters, (3, 3), (1, 1), (1, 1), padding, seed)


@DRAWS
@given(
    n=st.integers(1, 3),
    size=st.tuples(*[st.sampled_from([7, 9, 15, 16, 17, 24, 31])] * 2),
    channels=st.sampled_from([32, 48]),
    filters=st.sampled_from([16, 32, 80]),
    padding=paddings,
    seed=st.integers(0, 9),
)
def test_convolution_of_stride_two_by_winograds_form(n, size, channels, filters, padding, seed):
    agree(n, size, channels, filters, (3, 3), (2, 2), (1, 1), padding, seed)


def test_filters_in_groups_of_panels_of_stride_two(monkeypatch):
    monkeypatch.setattr(strided, "_SUMS_BYTES", 1)
    assert strided._suits((3, 3, 32, 80), Windows((15, 16), (3, 3), (2, 2), (1, 1), "SAME"))
    agree(2, (15, 16), 32, 80, (3, 3), (2, 2), (1, 1), "SAME", 0)


def test_winograds_form_can_be_turned_off(monkeypatch):
    x, w = np.zeros((1, 30, 30, 16), "f"), np.ones((3, 3, 16, 16), "f")
    x[0, 4, 4, 0] = np.nan
    at = Windows((30, 30), (3, 3), (1, 1), (1, 1), "SAME")
    assert np.isnan(convolution.forward(x, w, at)[..., 0]).sum() > 9  # all of four tiles
    monkeypatch.setenv("HEADRACE_WINOGRAD", "0")
    assert np.isnan(convolution.forward(x, w, at)[..., 0]).sum() == 9


def test_filters_in_groups_of_panels(monkeypatch):
    monkeypatch.setattr(convolution, "_SUMS_BYTES", 1)
    agree(3, (8, 9), 32, 144, (3, 3), (1, 1), (1, 1), "SAME", 0)


def test_views_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(9, 16, 8, 2)).astype("f").transpose(3, 2, 0, 1)
    w = rng.normal(size=(32, 16, 3, 3)).astype("f").transpose(2, 3, 1, 0)
    at = Windows((8, 9), (3, 3), (1, 1), (1, 1), "SAME")
    close(convolution.forward(x, w, at), conv_plain.forward(x, w, at), 3e-5)


def test_nan_and_infinity_stay_where_windows_meet_them():
    x = np.zeros((1, 30, 5, 1), "f")
    x[0, 3, 2], x[0, 20, 2] = np.nan, np.inf
    at = Windows((30, 5), (3, 3), (1, 1), (1, 1), "SAME")
    w = np.ones((3, 3, 1, 20), "f")
    with np.errstate(invalid="ignore"):
        want = conv_plain.forward(x, w, at)
    np.testing.assert_array_equal(convolution.forward(x, w, at), want)
    relu = convolution.forward(x, w, at, np.zeros(20, "f"), True)
    np.testing.assert_array_equal(np.isnan(relu), np.isnan(want))


@DRAWS
@given(
    n=st.integers(1, 4),
    size=st.tuples(sizes, sizes),
    channels=st.integers(1, 40),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    strides=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=paddings,
    seed=st.integers(0, 9),
)
def test_pooling(n, size, channels, kernel, strides, padding, seed):
    rng = np.random.default_rng(seed)
    size = tuple(max(a, b) for a, b in zip(size, kernel, strict=True))
    at = Windows(size, kernel, strides, (1, 1), padding)
    x = rng.integers(0, 5, (n, *size, channels)).astype("f")  # with many equal numbers
    x[rng.random(x.shape) < 0.02] = -np.inf
    y = pool_plain.maximum(x, at)
    np.testing.assert_array_equal(pooling.maximum(x, at), y)
    g = rng.normal(size=y.shape).astype("f")
    close(pooling.maximum_grad(x, y, g, at), pool_plain.maximum_grad(x, y, g, at), 1e-6)
    x[rng.random(x.shape) < 0.1] = np.nan
    np.testing.assert_array_equal(pooling.maximum(x, at), pool_plain.maximum(x, at))


@DRAWS
@given(
    rows=st.integers(1, 200),
    channels=st.integers(1, 40),
    mean=st.sampled_from([0.0, 100.0]),
    seed=st.integers(0, 9),
)
def test_batch_norm(rows, channels, mean, seed):
    rng = np.random.default_rng(seed)
    x = (rng.normal(size=(rows, channels)) + mean).astype("f")
    scale, offset = rng.normal(size=(2, channels)).astype("f")
    g = rng.normal(size=x.shape).astype("f")
    wide = [a.astype("d") for a in (x, scale, offset, g)]
    found = normalization.batch_norm(x, scale, offset, 0.01)
    want = norm_ops._norm_impl(*wide[:3], epsilon=0.01)
    np.testing.assert_allclose(found[1], want[1], rtol=0, atol=1e-6 * np.abs(x).max())
    close(found[2], want[2], 1e-5)
    # The mean, rounded to float32, moves the result by as much as it is off.
    close(found[0], want[0], 2e-5 * (1 + mean))
    back = normalization.batch_norm_grad(g, x, scale, *found[1:], 0.01)
    exact = norm_ops._norm_grad_impl(wide[3], wide[0], wide[1], *want[1:], epsilon=0.01)
    for got, one in zip(back, exact, strict=True):
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, one, rtol=1e-3, atol=2e-5 * (1 + mean) * 10)


@DRAWS
@given(
    n=st.integers(1, 5),
    size=st.tuples(st.integers(6, 15), st.integers(6, 15)),
    channels=st.sampled_from([1, 2, 3, 16, 48]),
    panels=st.integers(1, 2),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    padding=paddings,
    seed=st.integers(0, 9),
)
def test_pooled_convolution(n, size, channels, panels, kernel, padding, seed):
    width = build.vector_width()
    # Few channels have a form of their own, many are Winograd's.
    kernel = kernel if channels < 16 else (3, 3)
    filters = panels * width * (2 if channels < 16 else 1)
    rng = np.random.default_rng(seed)
    at = Windows(size, kernel, (1, 1), (1, 1), padding)
    x, w = rng.normal(size=(n, *size, channels)), rng.normal(size=(*kernel, channels, filters))
    bias = rng.normal(size=filters)
    shape = (n, at.out[0] // 2, at.out[1] // 2, filters)
    g = rng.normal(size=shape)
    x4, w4, g4, bias4 = (a.astype("f") for a in (x, w, g, bias))
    assert pooled.wanted(w.shape, at) == (pooled.forward(x4, w4, bias4, at) is not None)
    assume(pooled.wanted(w.shape, at))
    out, index = pooled.forward(x4, w4, bias4, at)
    # What the kernels take for the largest is it, but for rounding; gradients go there.
    y = conv_plain.forward(x, w, at) + bias
    tall, wide = shape[1:3]
    four = [y[:, k // 2 : 2 * tall : 2, k % 2 : 2 * wide : 2] for k in range(4)]
    want = np.maximum(np.max(four, 0), 0)
    close(out, want, 3e-5)
    close(np.choose(index, [*four, np.zeros(shape)]), want, 3e-5)
    d = conv_pooled._spread(g, index, at.out)
    gradients = (
        conv_plain.grad_filter(x, w.shape, d, at), d.sum((0, 1, 2)),
        conv_plain.grad_input(x.shape, w, d, at),
    )  # fmt: skip
    got = (
        *pooled.grad_filter(x4, w.shape, g4, index, at),
        pooled.grad_input(x.shape, w4, g4, index, at),
    )
    assert (got[2] is None) == (channels < 16)
    for mine, plain in zip(got, gradients, strict=True):
        if mine is not None:
            close(mine, plain, 3e-5)
    # The forms that run before these are compiled.
    attrs = {"strides": (1, 1, 1, 1), "dilations": (1, 1, 1, 1), "padding": padding,
             "data_format": "NHWC", "explicit_paddings": ()}  # fmt: skip
    with mock.patch.object(pooled, "kernel", lambda name: None):
        close(conv_pooled.PooledConvolution.impl(x4, w4, bias4, **attrs)[0], want, 3e-5)
        dw, db = conv_pooled.PooledConvolutionFilterGrad.impl(x4, w4, g4, index, **attrs)
        dx = conv_pooled.PooledConvolutionInputGrad.impl(x4.shape, w4, g4, index, **attrs)
    for mine, plain in zip((dw, db, dx), gradients, strict=True):
        close(mine, plain, 3e-5)


def test_what_is_largest_where_numbers_are_equal_or_none():
    width = 2 * build.vector_width()
    at = Windows((4, 8), (1, 1), (1, 1), (1, 1), "VALID")
    x = np.zeros((1, 4, 8, 1), "f")
    w, bias = np.ones((1, 1, 1, width), "f"), np.zeros(width, "f")
    x[0, :2, :2, 0] = [[1, 2], [2, 2]]
    x[0, :2, 2:4, 0] = [[-1, -2], [0, -3]]
    x[0, :2, 4:6, 0] = [[1, np.nan], [np.inf, 2]]
    x[0, :2, 6:, 0] = [[-np.inf, 3], [np.inf, 3]]
    out, index = pooled.forward(x, w, bias, at)
    np.testing.assert_array_equal(out[0, 0, :, 0], [2, 0, np.nan, np.inf])
    np.testing.assert_array_equal(index[0, 0], np.tile([[1], [4], [4], [2]], (1, width)))


@DRAWS
@given(
    batch=st.integers(1, 20),
    steps=st.integers(1, 4),
    features=st.integers(1, 40),
    vectors=st.integers(1, 6),
    for_inputs=st.booleans(),
    kind=st.sampled_from(["lstm", "gru"]),
    seed=st.integers(0, 9),
)
def test_recurrent_layers(batch, steps, features, vectors, for_inputs, kind, seed):
    units = vectors * build.vector_width()
    gates, states = (4, 2) if kind == "lstm" else (3, 1)
    rng = np.random.default_rng(seed)
    shapes = [(batch, steps, features), (features, gates * units), (units, gates * units)]
    shapes += [(4 * units,) if kind == "lstm" else (2, 3 * units), *[(batch, units)] * states]
    given = [(rng.normal(size=s) * 0.5).astype("f") for s in shapes]
    # Inputs of which a row's numbers lie apart, and gradients that are one row for all.
    given[0] = np.ascontiguousarray(given[0].T).T
    g = [np.broadcast_to(rng.normal(size=units).astype("f"), (batch, steps, units))]
    g += [rng.normal(size=s).astype("f") for s in shapes[4:]]
    forward, backward = (getattr(recurrent, f"_{kind}{k}_impl") for k in ("", "_grad"))

    def everything(values):
        made = forward(*values)
        inputs = [*values, made[0], *made[-2:], *(a.astype(values[0].dtype) for a in g)]
        return [*made, *backward(*inputs, for_inputs=for_inputs)]

    with mock.patch.object(kernel_recurrent, "kernel", wraps=build.kernel) as asked:
        got = everything(given)
    assert [call.args for call in asked.call_args_list] == [
        (f"{kind}_forward",), (f"{kind}_backward",)]  # fmt: skip
    for mine, plain in zip(got, everything([a.astype(np.float64) for a in given]), strict=True):
        close(mine, plain, 1e-5, least=0.25)  # sums of up to 400 products of some tenths


def test_large_weights_and_masks_are_left_to_the_schedule():
    x = np.ones((2, 3, 8), "f")
    units = 16 * build.vector_width()
    kernel, weights = np.ones((8, 4 * units), "f"), np.ones((units, 4 * units), "f")
    bias, state = np.zeros(4 * units, "f"), np.zeros((2, units), "f")
    found = recurrent._lstm_impl(x, kernel, weights, bias, state, state)
    kept = (found[0], found[3], found[4])
    assert kernel_recurrent.lstm(x, kernel, weights, bias, state, state, (*kept[1:], kept[0]))
    odd = [a[..., : a.shape[-1] // units * (units - 1)] for a in (kernel, weights, bias)]
    short = state[:, :-1]
    odd[1] = odd[1][:-1]
    assert not kernel_recurrent.lstm(x, *odd, short, short, kept)
    huge = np.broadcast_to(np.float32(0), (units, 2**21 // units * 4))
    assert not kernel_recurrent.lstm(x, kernel, huge, bias, state, state, kept)


def test_what_kernels_do_not_do_is_left_to_the_plain_forms():
    at = Windows((5, 5), (3, 3), (1, 1), (1, 1), "SAME")
    x, w = np.ones((1, 5, 5, 4)), np.ones((3, 3, 4, 2))
    assert convolution.forward(x, w, at) is None  # float64
    assert convolution.forward(x[:0].astype("f"), w.astype("f"), at) is None
    groups = np.ones((3, 3, 2, 2), "f")
    assert convolution.forward(x.astype("f"), groups, at) is None
    assert pooling.maximum(x, at) is None
    assert normalization.batch_norm(x, x[0, 0, 0], x[0, 0, 0], 0.1) is None


def test_arrays_begin_a_cache_line():
    for shape in [(3,), (100, 100), (300, 1000)]:
        assert memory.address(memory.empty(shape)) % 64 == 0
        assert not memory.zeros(shape).any()
    assert memory.scratch(100) % 64 == 0
