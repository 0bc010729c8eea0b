"""scatter_nd, tensor_scatter_nd_* and one_hot."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import Case, check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, B, S, op

ROWS = np.array([[1], [0], [1]])
CELLS = np.array([[1, 1], [0, 0], [1, 0]])
U = np.linspace(0.5, 2, 12).reshape(3, 4)

CASES = [
    op("scatter_nd-rows", lambda m, i, u: m.scatter_nd(i, u, [5, 4]), ROWS, U),
    op(
        "scatter_nd-cells",
        lambda m, i, u: m.scatter_nd(i, u, [2, 3, 4]),
        CELLS,
        U,
        kinds=("float32", "float16"),
    ),
    op("scatter_nd-none", lambda m, i, u: m.scatter_nd(i, u, [2, 4]), ROWS[:0], U[:0]),
    Case("scatter_nd-whole", lambda i, u: hr.scatter_nd(i, u, [4]), (ROWS[:, :0], U)),
    op("scatter_nd-integers", lambda m, i: m.scatter_nd(i, [1, 2, 3], [4]), ROWS),
    op("update", lambda m, x, i, u: m.tensor_scatter_nd_update(x, i, u), A, CELLS, U),
    op(
        "update-strings",
        lambda m, x, i: m.tensor_scatter_nd_update(x, i, ["new", "other"]),
        S,
        np.array([[0, 1], [1, 0]]),
    ),
    op(
        "add",
        lambda m, x, i, u: m.tensor_scatter_nd_add(x, i, u),
        A,
        np.array([[1, 1], [1, 1], [0, 1]]),
        U,
        kinds=("float32", "float64"),
    ),
    op(
        "sub",
        lambda m, x, i, u: m.tensor_scatter_nd_sub(x, i, u),
        A,
        np.array([[1, 1], [1, 1], [0, 1]]),
        U,
    ),
    op("max", lambda m, x, i, u: m.tensor_scatter_nd_max(x, i, u), A, CELLS, U),
    op("min", lambda m, x, i, u: m.tensor_scatter_nd_min(x, i, u), A, CELLS, U),
    op(
        "add-integers",
        lambda m, x, i: m.tensor_scatter_nd_add(x, i, m.ones_like(x)),
        B,
        np.array([[1], [1]]),
    ),
    op("one_hot", lambda m, i: m.one_hot(i, 4), np.array([[0, 3], [5, -1]])),
    op("one_hot-axis", lambda m, i: m.one_hot(i, 3, axis=0), np.array([[0, 2], [1, 1]])),
    op("one_hot-middle", lambda m, i: m.one_hot(i, 3, axis=1), np.array([[0, 2], [1, 1]])),
    op(
        "one_hot-values",
        lambda m, i: m.one_hot(i, 3, on_value=5, off_value=-1),
        np.array([0, 2], np.uint8),
    ),
    op("one_hot-dtype", lambda m, i: m.one_hot(i, 3, dtype=m.int64), np.int32(1)),
    op(
        "one_hot-strings",
        lambda m, i: m.one_hot(i, 2, on_value="yes", off_value="no"),
        np.array([1, 0]),
    ),
    op("one_hot-empty", lambda m, i: m.one_hot(i, 0), np.array([1, 0])),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_updates_do_not_change_the_tensor_they_start_from():
    x = hr.constant([1, 2, 3])
    assert hr.tensor_scatter_nd_update(x, [[0]], [9]).numpy().tolist() == [9, 2, 3]
    assert x.numpy().tolist() == [1, 2, 3]


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (
            lambda: hr.scatter_nd([[0], [7]], [1, 2], [5]),
            errors.InvalidArgumentError,
            r"indices\[1\] = \[7\] does not index",
        ),
        (
            lambda: hr.scatter_nd([[-1]], [1], [5]),
            errors.InvalidArgumentError,
            r"indices\[0\] = \[-1\]",
        ),
        (
            lambda: hr.scatter_nd([[0]], [1, 2], [5]),
            errors.InvalidArgumentError,
            "expected updates of shape",
        ),
        (lambda: hr.scatter_nd(0, 1, [5]), errors.InvalidArgumentError, "at least a vector"),
        (
            lambda: hr.scatter_nd([[0, 0]], [1], [5]),
            errors.InvalidArgumentError,
            "inner 2 dimensions",
        ),
        (
            lambda: hr.tensor_scatter_nd_add([1, 2], [[2]], [1]),
            errors.InvalidArgumentError,
            "does not index",
        ),
        (
            lambda: hr.tensor_scatter_nd_max([1, 2], [[0]], [[1]]),
            errors.InvalidArgumentError,
            "expected updates",
        ),
        (lambda: hr.one_hot([1], -1), errors.InvalidArgumentError, "non-negative"),
        (lambda: hr.one_hot([1], 2, axis=2), errors.InvalidArgumentError, "Expected axis"),
        (
            lambda: hr.one_hot([1], 2, on_value=1, off_value=0.5),
            TypeError,
            "does not match dtype",
        ),
        (lambda: hr.one_hot([1], 2, dtype=hr.string), TypeError, "must be given"),
        (lambda: hr.one_hot([1.0], 2), errors.InvalidArgumentError, "TI"),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
