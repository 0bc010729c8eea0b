"""Ordering and grouping."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, S, op

X = np.random.default_rng(3).permutation(24).reshape(2, 3, 4) / 5
T = np.array([3, 1, 3, 2, 1])

CASES = [
    op("sort", lambda m, x: m.sort(x), X, kinds=("float32", "float64", "bfloat16")),
    op("sort-axis", lambda m, x: m.sort(x, axis=1), X),
    op("sort-descending", lambda m, x: m.sort(x, 0, "DESCENDING"), X),
    op(
        "sort-integers",
        lambda m, x: m.sort(x, direction="DESCENDING"),
        np.array([3, -1, 2**31 - 1, -(2**31)], np.int32),
    ),
    op(
        "sort-unsigned",
        lambda m, x: m.sort(x, direction="DESCENDING"),
        np.array([3, 0, 255], np.uint8),
    ),
    op("argsort", lambda m, x: m.argsort(x, stable=True), T),
    op("argsort-descending", lambda m, x: m.argsort(x, direction="DESCENDING", stable=True), T),
    op("argsort-axis", lambda m, x: m.argsort(x, 1), X),
    op(
        "searchsorted",
        lambda m, a, b: m.searchsorted(a, b),
        np.array([1.0, 3, 3, 7]),
        np.array([3.0, 0, 9, 4]),
        batch=False,
    ),
    op(
        "searchsorted-right",
        lambda m, a, b: m.searchsorted(a, b, side="right", out_type=m.int64),
        np.array([[1, 3, 3], [0, 2, 2]]),
        np.array([[3, 0], [2, 1]]),
        batch=False,
    ),
    op("unique", lambda m, x: m.unique(x), T, batch=False, dynamic_shape=True),
    op(
        "unique-strings",
        lambda m, x: m.unique(x, m.int64),
        S[:, 1],
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "unique_with_counts",
        lambda m, x: m.unique_with_counts(x),
        T,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "dynamic_partition",
        lambda m, x: m.dynamic_partition(x, [1, 0], 3),
        A,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "dynamic_partition-matrix",
        lambda m, x: m.dynamic_partition(x, [[1, 0, 1], [0, 0, 1]], 2),
        A,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "dynamic_stitch",
        lambda m, x, y: m.dynamic_stitch([[0, 2], 1], [x, y]),
        A,
        A[0] + 1,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "dynamic_stitch-strings",
        lambda m, x: m.dynamic_stitch([[2, 0], [1, 3]], [x, x]),
        S,
        batch=False,
        dynamic_shape=True,
    ),
    op(
        "reverse_sequence",
        lambda m, x: m.reverse_sequence(x, [2, 3], seq_axis=1, batch_axis=0),
        A,
        batch=False,
    ),
    op(
        "reverse_sequence-swapped",
        lambda m, x: m.reverse_sequence(x, [1, 2, 0, 2], seq_axis=0, batch_axis=2),
        A,
        batch=False,
    ),
    op(
        "reverse_sequence-strings",
        lambda m, x: m.reverse_sequence(x, [2, 1], 1, 0),
        S,
        batch=False,
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_partition_and_stitch_are_inverse():
    parts = [1, 0, 1, 2]
    x = hr.constant(np.arange(8.0).reshape(4, 2))
    pieces = hr.dynamic_partition(x, parts, 3)
    places = hr.dynamic_partition(hr.range(4), parts, 3)
    np.testing.assert_array_equal(hr.dynamic_stitch(places, pieces), x)


def test_unique_names_its_parts():
    found = hr.unique_with_counts([5, 5, 4])
    assert found.y.numpy().tolist() == [5, 4]
    assert found.idx.numpy().tolist() == [0, 0, 1]
    assert found.count.numpy().tolist() == [2, 1]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: hr.sort([1], direction="UP"), ValueError, "direction"),
        (lambda: hr.sort([1], axis=1), errors.InvalidArgumentError, "range"),
        (lambda: hr.searchsorted([1], [1], side="up"), ValueError, "side"),
        (lambda: hr.searchsorted([[1]], [1]), errors.InvalidArgumentError, "Leading dim_size"),
        (lambda: hr.unique([[1]]), errors.InvalidArgumentError, "1D vector"),
        (
            lambda: hr.dynamic_partition([1, 2], [0, 5], 2),
            errors.InvalidArgumentError,
            r"partitions\[1\] = 5 is not in \[0, 2\)",
        ),
        (
            lambda: hr.dynamic_partition([1, 2], [0], 2),
            errors.InvalidArgumentError,
            "must start with partitions.shape",
        ),
        (
            lambda: hr.reverse_sequence(A, [4, 1], 1, 0),
            errors.InvalidArgumentError,
            r"must be in \[0, 3\]",
        ),
        (
            lambda: hr.reverse_sequence(A, [1], 1, 0),
            errors.InvalidArgumentError,
            "Length of seq_lengths",
        ),
        (
            lambda: hr.reverse_sequence(A, [1], 0, 0),
            errors.InvalidArgumentError,
            "batch_dim == seq_dim",
        ),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
