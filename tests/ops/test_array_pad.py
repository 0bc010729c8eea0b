"""pad."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, B, S, op

CASES = [
    op(
        "constant",
        lambda m, x: m.pad(x, [[1, 0], [0, 2], [1, 1]]),
        A,
        kinds=("float32", "bfloat16"),
    ),
    op(
        "constant-value",
        lambda m, x: m.pad(x, [[1, 0], [0, 2], [0, 0]], constant_values=2.5),
        A,
    ),
    op("constant-empty", lambda m, x: m.pad(x, [[1, 1], [0, 0]]), np.zeros((0, 3))),
    op("constant-strings", lambda m, x: m.pad(x, [[0, 1], [1, 0]], constant_values="#"), S),
    op("constant-integers", lambda m, x: m.pad(x, [[0, 1], [1, 0]], "constant", 7), B),
    op("reflect", lambda m, x: m.pad(x, [[1, 0], [2, 1], [0, 3]], "REFLECT"), A),
    op("symmetric", lambda m, x: m.pad(x, [[2, 1], [0, 3], [1, 0]], "symmetric"), A),
    op("symmetric-strings", lambda m, x: m.pad(x, [[2, 1], [0, 0]], "SYMMETRIC"), S),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_a_border_of_strings_is_empty_strings():
    assert hr.pad(["a"], [[1, 0]], constant_values="").numpy().tolist() == [b"", b"a"]


def test_paddings_may_be_computed():
    f = hr.function(lambda x, n: hr.pad(x, [[n, 0], [0, n]]))
    np.testing.assert_array_equal(
        f(hr.constant(B), hr.constant(1)), np.pad(B, [(1, 0), (0, 1)])
    )


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: hr.pad(B, [[0, 0]]), errors.InvalidArgumentError, "rank of inputs"),
        (lambda: hr.pad(B, [0, 0]), errors.InvalidArgumentError, "2 columns"),
        (lambda: hr.pad(B, [[-1, 0], [0, 0]]), errors.InvalidArgumentError, "non-negative"),
        (
            lambda: hr.pad(B, [[2, 0], [0, 0]], "REFLECT"),
            errors.InvalidArgumentError,
            "no greater than",
        ),
        (
            lambda: hr.pad(B, [[0, 0], [0, 4]], "SYMMETRIC"),
            errors.InvalidArgumentError,
            "no greater than",
        ),
        (lambda: hr.pad(B, [[0, 0], [0, 0]], "WRAP"), ValueError, "Unknown padding mode"),
        (
            lambda: hr.pad(B, [[0, 0], [0, 0]], constant_values=[1]),
            errors.InvalidArgumentError,
            "scalar",
        ),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
