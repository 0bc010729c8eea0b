"""range, linspace, eye, meshgrid, sequence_mask."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import check_against_tensorflow, check_laws, each, peers_of, same
from .test_array_shape import op

CASES = [
    op("linspace", lambda m, a, b: m.linspace(a, b, 5), 0.0, 1.0, kinds=("float32", "float64")),
    op("linspace-one", lambda m, a, b: m.linspace(a, b, 1), 0.5, 1.0),
    op(
        "linspace-vectors",
        lambda m, a, b: m.linspace(a, b, 4),
        np.array([0.0, 1]),
        np.array([3.0, 7]),
    ),
    op(
        "linspace-axis",
        lambda m, a, b: m.linspace(a, b, 4, axis=-1),
        np.array([0.0, 1]),
        np.array([3.0, 7]),
    ),
    op("meshgrid", lambda m, x, y: m.meshgrid(x, y), np.array([1.0, 2]), np.array([3.0, 4, 5])),
    op(
        "meshgrid-ij",
        lambda m, x, y, z: m.meshgrid(x, y, z, indexing="ij"),
        np.array([1.0, 2]),
        np.array([3.0, 4, 5]),
        np.array([6.0]),
    ),
    op("meshgrid-one", lambda m, x: m.meshgrid(x), np.array([1.0, 2])),
    op("sequence_mask", lambda m, n: m.sequence_mask(n, 4), np.array([[0, 2], [5, 1]])),
    op("sequence_mask-dtype", lambda m, n: m.sequence_mask(n, 3, m.float32), np.int32(2)),
    op(
        "sequence_mask-longest",
        lambda m, n: m.sequence_mask(n),
        np.array([1, 3, 0]),
        batch=False,
        dynamic_shape=True,
    ),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


RANGES = [
    ((5,), {}),
    ((2, 9, 3), {}),
    ((9, 2, -3), {}),
    ((0, 1, 0.25), {}),
    ((3.0,), {}),
    ((0,), {}),
    ((1, 5), {"dtype": "int64"}),
    ((0.0, 1.0, 0.1), {"dtype": "float64"}),
    ((np.int64(4),), {}),
    ((0, np.float64(2), 0.5), {}),
    ((3, 1), {"dtype": "float16"}),
    ((0, 1, 0.1), {}),
    ((5,), {"dtype": "float32"}),
    ((2**33, 2**33 + 3), {}),
]


@pytest.mark.parametrize(("args", "kwargs"), RANGES[:10] + RANGES[11:], ids=str)
def test_range_is_tensorflows(tf, args, kwargs):
    same(hr.range(*args, **kwargs).numpy(), tf.range(*args, **kwargs).numpy())


def test_range_of_a_computed_limit():
    f = hr.function(lambda n: hr.range(n) * 2)
    assert f(hr.constant(4)).numpy().tolist() == [0, 2, 4, 6]


@pytest.mark.parametrize("args", [(3,), (2, 3), (3, 2, [2]), (0,)], ids=str)
def test_eye_is_tensorflows(tf, args):
    same(hr.eye(*args, dtype="int32").numpy(), tf.eye(*args, dtype="int32").numpy())


def test_sequence_mask_of_a_computed_width():
    f = hr.function(lambda n, w: hr.sequence_mask(n, w))
    assert f(hr.constant([1, 2]), hr.constant(3)).numpy().tolist() == [
        [True, False, False],
        [True, True, False],
    ]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: hr.range(1, 5, 0), errors.InvalidArgumentError, "delta != 0"),
        (
            lambda: hr.range(5, 1),
            errors.InvalidArgumentError,
            "start <= limit when delta > 0: 5/1",
        ),
        (
            lambda: hr.range(1, 5, -1),
            errors.InvalidArgumentError,
            "start >= limit when delta < 0: 1/5",
        ),
        (lambda: hr.range([1, 2]), errors.InvalidArgumentError, "scalar"),
        (lambda: hr.linspace(0.0, 1.0, 0), errors.InvalidArgumentError, "num > 0"),
        (lambda: hr.meshgrid([1], indexing="yx"), ValueError, "indexing"),
        (lambda: hr.eye(-1), errors.InvalidArgumentError, ">= 0"),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
