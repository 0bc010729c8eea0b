"""Counts, histograms, permutations, bit casts, edit distances, patches of volumes."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(10)
IDS = np.array([3, 1, 1, 0, 4, 3, 3], np.int32)
ROWS = np.array([[3, 1, 1], [0, 4, 0]], np.int64)
DYNAMIC = {"dynamic_shape": True}


def case(id, fn, *args, **more):
    """`fn(library, *tensors)` with Headrace and with TensorFlow."""
    return Case(id, lambda *ts: fn(hr, *ts), args, lambda tf: lambda *ts: fn(tf, *ts), **more)


PLAIN = {"grad": False, "batch": False, "notes": DYNAMIC}
CASES = [
    case("bincount", lambda lib, x: lib.math.bincount(x), IDS, **PLAIN),
    case("bincount-min", lambda lib, x: lib.math.bincount(x, minlength=9), IDS, **PLAIN),
    case(
        "bincount-max",
        lambda lib, x: lib.math.bincount(x, maxlength=3, dtype=lib.float32),
        IDS,
        **PLAIN,
    ),
    case(
        "bincount-weights",
        lambda lib, x, w: lib.math.bincount(x, w),
        IDS,
        RNG.uniform(size=7),
        **PLAIN,
    ),
    case("bincount-rows", lambda lib, x: lib.math.bincount(x, axis=-1), ROWS, **PLAIN),
    case("bincount-flat", lambda lib, x: lib.math.bincount(x, axis=0), ROWS, **PLAIN),
    case(
        "bincount-binary",
        lambda lib, x: lib.math.bincount(x, axis=-1, binary_output=True),
        ROWS,
        **PLAIN,
    ),
    case("bincount-empty", lambda lib, x: lib.math.bincount(x), IDS[:0], **PLAIN),
    case(
        "histogram",
        lambda lib, x: lib.histogram_fixed_width(x, [-1.0, 2.0], 7),
        RNG.uniform(-2, 3, (4, 5)),
        grad=False,
    ),
    case(
        "histogram_bins",
        lambda lib, x: lib.histogram_fixed_width_bins(x, [-1.0, 2.0], 7, lib.int64),
        RNG.uniform(-2, 3, (4, 5)),
        grad=False,
    ),
    case(
        "confusion",
        lambda lib, a, b: lib.math.confusion_matrix(a, b, 6),
        IDS,
        IDS[::-1].copy(),
        grad=False,
    ),
    case(
        "confusion-own-size",
        lambda lib, a, b: lib.math.confusion_matrix(a, b[:, None], dtype=lib.float32),
        IDS,
        IDS[::-1].copy(),
        **PLAIN,
    ),
    case("is_non_decreasing", lambda lib, x: lib.math.is_non_decreasing(x), IDS),
    case("is_strictly_increasing", lambda lib, x: lib.math.is_strictly_increasing(x), IDS[3:5]),
    case(
        "invert_permutation",
        lambda lib, x: lib.math.invert_permutation(x),
        np.array([2, 0, 3, 1]),
    ),
    case("approx_max_k", lambda lib, x: hr.math.approx_max_k(x, 2), RNG.uniform(size=(2, 5))),
    case(
        "volume_patches",
        lambda lib, x: lib.extract_volume_patches(x, [1, 2, 1, 2, 1], [1, 1, 2, 1, 1], "SAME"),
        RNG.uniform(size=(2, 3, 3, 2, 2)),
    ),
    case(
        "volume_patches-valid",
        lambda lib, x: lib.extract_volume_patches(x, [1, 2, 2, 2, 1], [1] * 5, "VALID"),
        RNG.uniform(size=(1, 3, 2, 3, 1)),
    ),
    case("scalar_mul", lambda lib, x: lib.scalar_mul(2.5, x), RNG.uniform(size=3)),
    case("accumulate_n", lambda lib, x: lib.math.accumulate_n([x, x * x]), RNG.uniform(size=3)),
    case(
        "required_paddings",
        lambda lib, a, b: lib.required_space_to_batch_paddings(a, b, [[1, 0], [0, 2]]),
        np.array([5, 7], np.int32),
        np.array([3, 2], np.int32),
        notes={"dynamic_shape": True},
    ),
    case("bitcast-small", lambda lib, x: lib.bitcast(x, lib.uint8), IDS),
    case("bitcast-same", lambda lib, x: lib.bitcast(x, lib.float32), IDS),
    case("bitcast-large", lambda lib, x: lib.bitcast(x, lib.int64), IDS[:6].reshape(3, 2)),
    case(
        "saturate-int", lambda lib, x: lib.saturate_cast(x, lib.uint8), np.arange(-3, 400, 40)
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of([c for c in CASES if c.id != "approx_max_k"])
def test_peers(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_approximate_means_exact():
    x = RNG.normal(size=(3, 9)).astype(np.float32)
    values, indices = hr.math.approx_min_k(x, 2, reduction_dimension=0)
    order = np.argsort(x, 0)[:2]
    np.testing.assert_array_equal(indices, order)
    np.testing.assert_array_equal(values, np.take_along_axis(x, order, 0))


@pytest.mark.parametrize("have", ["float32", "float64", "float16", "int32", "int64", "uint8"])
@pytest.mark.parametrize("want", ["int8", "uint8", "int32", "int64", "uint16", "float16"])
def test_saturate_cast(tf, have, want):
    if have == want == "int64":
        pytest.skip("TensorFlow's bound overflows")
    info = np.iinfo if np.dtype(have).kind in "iu" else np.finfo
    top = float(info(have).max)
    x = np.array([0, 1, 100, min(3e9, top), min(1e30, top), -min(1e30, top)])
    x = np.clip(x, float(info(have).min), top * (1 - 1e-7)).astype(have)
    ours = hr.saturate_cast(hr.constant(x), want)
    with np.errstate(all="ignore"):
        theirs = tf.saturate_cast(tf.constant(x), want)
    np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize(("dim", "count", "skip"), [(1, 4, 0), (3, 17, 2), (40, 100, 9)])
@pytest.mark.parametrize("kind", ["float32", "float64"])
def test_sobol(tf, dim, count, skip, kind):
    ours, theirs = (
        lib.math.sobol_sample(dim, count, skip, lib.as_dtype(kind)) for lib in (hr, tf)
    )
    same(ours, theirs)


@pytest.mark.parametrize("normalize", [True, False])
def test_edit_distance(tf, normalize):
    def run(lib):
        hypothesis = lib.sparse.SparseTensor(
            [[0, 0, 0], [0, 0, 1], [1, 0, 0], [1, 1, 0]], ["a", "b", "c", "a"], [2, 2, 2]
        )
        truth = lib.sparse.SparseTensor(
            [[0, 0, 0], [0, 1, 0], [1, 0, 0], [1, 0, 1]], ["a", "b", "c", "x"], [2, 2, 2]
        )
        return lib.edit_distance(hypothesis, truth, normalize=normalize)

    same(run(hr), run(tf))


class TestErrors:
    def test_counts(self):
        with pytest.raises(errors.InvalidArgumentError, match="non-negative"):
            hr.math.bincount([1, -1])
        with pytest.raises(errors.InvalidArgumentError, match="same shape"):
            hr.math.bincount([1, 1], weights=[1.0])
        with pytest.raises(ValueError, match="axis"):
            hr.math.bincount([1], axis=1)
        with pytest.raises(errors.InvalidArgumentError, match="nbins"):
            hr.histogram_fixed_width([1.0], [0.0, 1.0], 0)
        with pytest.raises(errors.InvalidArgumentError, match="value_range"):
            hr.histogram_fixed_width([1.0], [1.0, 1.0])
        with pytest.raises(errors.InvalidArgumentError, match="out of bound"):
            hr.math.confusion_matrix([3], [0], num_classes=3)
        with pytest.raises(errors.InvalidArgumentError, match="negative"):
            hr.math.confusion_matrix([-1], [0])

    @pytest.mark.parametrize("x", [[0, 0], [0, 2], [-1, 0]])
    def test_no_permutation(self, x):
        with pytest.raises(errors.InvalidArgumentError):
            hr.math.invert_permutation(x)

    def test_casts(self):
        with pytest.raises(errors.InvalidArgumentError, match="bitcast"):
            hr.bitcast([1, 2, 3], hr.int64)
        with pytest.raises(ValueError, match="0-D"):
            hr.scalar_mul([1.0], [1.0])
        with pytest.raises(ValueError, match="same dtype"):
            hr.math.accumulate_n([np.ones(2), np.ones(3)])
        with pytest.raises(errors.InvalidArgumentError, match="dim"):
            hr.math.sobol_sample(0, 3)
        with pytest.raises(TypeError, match="SparseTensor"):
            hr.edit_distance([1], [1])
