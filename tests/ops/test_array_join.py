"""concat, stack, split and unstack."""

import pytest

from headrace import errors
from headrace.ops import api as hr

from .harness import check_against_tensorflow, check_laws, each, peers_of
from .test_array_shape import A, B, S, op

CASES = [
    op(
        "concat-0",
        lambda m, x, y: m.concat([x, y, x], 0),
        A,
        A[:1] + 1,
        kinds=("float32", "bfloat16"),
    ),
    op("concat-last", lambda m, x, y: m.concat([x, y], -1), A, A[..., :1] + 1),
    op("concat-empty", lambda m, x, y: m.concat([x, y], 1), A, A[:, :0]),
    op("concat-one", lambda m, x: m.concat([x], 0), A),
    op("concat-strings", lambda m, x, y: m.concat([x, y], 1), S, S[:, :1]),
    op("concat-integers", lambda m, x: m.concat([x, x], 0), B),
    op("stack", lambda m, x, y: m.stack([x, y]), A, A + 1),
    op("stack-last", lambda m, x, y: m.stack([x, y], -1), A, A + 1),
    op("stack-1", lambda m, x, y: m.stack([x, y], 1), A, A + 1),
    op("stack-scalars", lambda m, x, y: m.stack([x, y]), 1.0, 2.0),
    op("stack-strings", lambda m, x: m.stack([x, x], 2), S),
    op("unstack", lambda m, x: m.unstack(x, 2), A),
    op("unstack-last", lambda m, x: m.unstack(x, 4, axis=-1), A),
    op("unstack-strings", lambda m, x: m.unstack(x, 2, axis=1), S),
    op("split", lambda m, x: m.split(x, 2, -1), A),
    op("split-sizes", lambda m, x: m.split(x, [1, 2, 1], 2), A),
    op("split-rest", lambda m, x: m.split(x, [1, -1], 1), A, dynamic_shape=False),
    op("split-empty", lambda m, x: m.split(x, [0, 3], 1), A),
    op("split-strings", lambda m, x: m.split(x, 2, 0), S),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_like_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


def test_unstack_finds_the_number_itself():
    assert [t.numpy() for t in hr.unstack([1, 2, 3])] == [1, 2, 3]
    assert hr.stack(hr.constant([[1, 2], [3, 4]])).numpy().tolist() == [[1, 2], [3, 4]]


def test_lists_take_the_first_tensors_dtype():
    assert hr.concat([hr.constant([1.5]), [2]], 0).dtype == hr.float32


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: hr.concat([A, B], 0), ValueError, "float64 but|double tensor|int64|Ranks"),
        (lambda: hr.concat([A, A[0]], 0), errors.InvalidArgumentError, "Ranks of all input"),
        (
            lambda: hr.concat([A, A[:, :2]], 2),
            errors.InvalidArgumentError,
            "Dimension 1 in both shapes must be equal",
        ),
        (lambda: hr.concat([A, A], 3), errors.InvalidArgumentError, r"range \[-3, 3\)"),
        (lambda: hr.concat([1, 2], 0), errors.InvalidArgumentError, "hr.stack"),
        (lambda: hr.concat([], 0), ValueError, "at least one"),
        (
            lambda: hr.stack([A, A[0]]),
            errors.InvalidArgumentError,
            "Shapes of all inputs must match",
        ),
        (lambda: hr.stack([A, A], 4), errors.InvalidArgumentError, r"range \[-4, 4\)"),
        (lambda: hr.stack([]), ValueError, "at least one"),
        (lambda: hr.unstack(A, 3), errors.InvalidArgumentError, "num must be the size"),
        (
            lambda: hr.split(A, 5, 2),
            errors.InvalidArgumentError,
            "evenly divide the split dimension",
        ),
        (lambda: hr.split(A, 0, 2), errors.InvalidArgumentError, "positive"),
        (lambda: hr.split(A, [1, 1], 2), errors.InvalidArgumentError, "Determined shape"),
        (lambda: hr.split(A, [-1, -1], 2), errors.InvalidArgumentError, "only be one -1"),
        (lambda: hr.split(A, [9, -1], 2), errors.InvalidArgumentError, "Determined shape"),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()


def test_unstack_of_an_unknown_size_needs_num():
    f = hr.function(lambda x: hr.unstack(x), input_signature=[hr.TensorSpec([None])])
    with pytest.raises(ValueError, match="Cannot infer argument `num`"):
        f(hr.constant([1.0]))
