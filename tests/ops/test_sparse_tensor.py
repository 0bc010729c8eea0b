"""SparseTensor and the operations of hr.sparse."""

import numpy as np
import pytest

from headrace import errors
from headrace.ops import api as hr, nest, sparse_ops as sparse

D = np.array([[0, 2, 0, 1], [0, 0, 0, 0], [3, 0, 4, 0]], np.float32)
PLACES = [[0, 1], [0, 3], [2, 0], [2, 2]]


def both(tf):
    """The same sparse tensor of either library."""
    return sparse.from_dense(D), tf.sparse.from_dense(D)


def same(got, want):
    """The three parts are equal, and so are their dtypes."""
    for part in ("indices", "values", "dense_shape"):
        a, b = getattr(got, part).numpy(), getattr(want, part).numpy()
        assert a.dtype == b.dtype, part
        np.testing.assert_array_equal(a, b, err_msg=part)


def test_parts_and_static_shape():
    s = hr.SparseTensor([[0, 1]], [5], [2, 3])
    assert s.dtype == hr.int32 and s.shape == [2, 3] and s.rank == 2
    assert s.indices.dtype == s.dense_shape.dtype == hr.int64
    assert repr(s) == (
        "SparseTensor(indices=hr.Tensor([[0 1]], shape=(1, 2), dtype=int64), "
        "values=hr.Tensor([5], shape=(1,), dtype=int32), "
        "dense_shape=hr.Tensor([2 3], shape=(2,), dtype=int64))"
    )
    assert hr.cast(s, hr.float32).dtype == hr.float32
    assert nest.flatten({"a": s})[0] is s


def test_dense_and_back():
    s = sparse.from_dense(D)
    assert s.indices.numpy().tolist() == PLACES
    np.testing.assert_array_equal(sparse.to_dense(s), D)
    np.testing.assert_array_equal(
        sparse.to_dense(s, default_value=-1.0), np.where(D == 0, -1, D)
    )
    words = sparse.from_dense([["", "b"], ["cd", ""]])
    assert sparse.to_dense(words, "?").numpy().tolist() == [[b"?", b"b"], [b"cd", b"?"]]
    assert sparse.to_dense(words).numpy().tolist() == [[b"", b"b"], [b"cd", b""]]


OPS = {
    "transpose": lambda m, s: m.transpose(s),
    "transpose-perm": lambda m, s: m.transpose(s, [0, 1]),
    "reshape": lambda m, s: m.reshape(s, [2, -1]),
    "slice": lambda m, s: m.slice(s, [0, 1], [3, 2]),
    "expand_dims": lambda m, s: m.expand_dims(s, 1),
    "expand_dims-last": lambda m, s: m.expand_dims(s, -1),
    "concat-0": lambda m, s: m.concat(0, [s, s]),
    "concat-1": lambda m, s: m.concat(1, [s, s]),
    "concat-expand": lambda m, s: m.concat(
        0, [s, m.slice(s, [0, 0], [3, 2])], expand_nonconcat_dims=True
    ),
    "reset_shape": lambda m, s: m.reset_shape(s),
    "reset_shape-larger": lambda m, s: m.reset_shape(s, [4, 5]),
    "retain": lambda m, s: m.retain(s, [True, False, True, False]),
    "split-1": lambda m, s: m.split(s, 3, 1)[1],
    "eye": lambda m, s: m.eye(2, 3),
    "map_values": lambda m, s: m.map_values(lambda v: v + 1, s),
    "fill_empty_rows": lambda m, s: m.fill_empty_rows(s, 9.0)[0],
    "multiply": lambda m, s: s * 2.0,
    "multiply-row": lambda m, s: s * np.array([1, 2, 3, 4], np.float32),
}


@pytest.mark.parametrize("op", OPS.values(), ids=OPS)
def test_like_tensorflow(tf, op):
    ours, theirs = both(tf)
    same(op(sparse, ours), op(tf.sparse, theirs))


DENSE = {
    "matmul": lambda m, s, b: m.sparse_dense_matmul(s, b),
    "matmul-adjoint": lambda m, s, b: m.sparse_dense_matmul(s, b[:3], adjoint_a=True),
    "matmul-adjoint-b": lambda m, s, b: m.sparse_dense_matmul(s, b[:, :4], adjoint_b=True),
    "dense-first": lambda m, s, b: m.sparse_dense_matmul(b[:, :3], s),
    "reduce_sum": lambda m, s, b: m.reduce_sum(s),
    "reduce_sum-axis": lambda m, s, b: m.reduce_sum(s, 1, keepdims=True),
}


@pytest.mark.parametrize("op", DENSE.values(), ids=DENSE)
def test_dense_results_and_their_gradients(tf, op):
    b = np.linspace(-1, 1, 20).reshape(4, 5).astype(np.float32)
    found = []
    for lib, m, s in zip((hr, tf), (sparse, tf.sparse), both(tf), strict=True):
        x = lib.constant(b)
        with lib.GradientTape() as tape:
            tape.watch([x, s.values])
            y = op(m, s, x)
            total = lib.reduce_sum(y * y)
        grads = tape.gradient(total, [x, s.values], unconnected_gradients="zero")
        found.append([y.numpy(), *(lib.convert_to_tensor(g).numpy() for g in grads)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


def test_reorder_sorts_places():
    s = hr.SparseTensor([[1, 0], [0, 2], [0, 1]], ["c", "b", "a"], [2, 3])
    assert sparse.reorder(s).values.numpy().tolist() == [b"a", b"b", b"c"]


def test_fill_empty_rows_says_which():
    filled, empty = sparse.fill_empty_rows(sparse.from_dense(D), 9.0)
    assert empty.numpy().tolist() == [False, True, False]
    assert sparse.to_dense(filled).numpy()[1].tolist() == [9, 0, 0, 0]


def test_to_indicator_marks_values():
    s = hr.SparseTensor([[0, 0], [0, 1], [1, 0]], [2, 0, 1], [2, 2])
    assert sparse.to_indicator(s, 3).numpy().tolist() == [
        [True, False, True],
        [False, True, False],
    ]


def test_the_gradient_of_to_dense():
    s = sparse.from_dense(D)
    with hr.GradientTape() as tape:
        tape.watch(s.values)
        y = hr.reduce_sum(sparse.to_dense(s) ** 2)
    np.testing.assert_array_equal(tape.gradient(y, s.values), [4, 2, 6, 8])


def test_functions_take_and_return_sparse_tensors():
    spec = hr.SparseTensorSpec([None, 4], hr.float32)

    @hr.function(input_signature=[spec])
    def f(s):
        assert s.shape == [None, 4]
        return sparse.to_dense(s), sparse.transpose(s)

    dense, flipped = f(sparse.from_dense(D))
    np.testing.assert_array_equal(dense, D)
    np.testing.assert_array_equal(sparse.to_dense(flipped), D.T)


def test_specs():
    spec = hr.SparseTensorSpec([None, 3], hr.int32)
    assert repr(spec) == "SparseTensorSpec(TensorShape([None, 3]), hr.int32)"
    assert (
        spec == hr.SparseTensorSpec([None, 3], hr.int32)
        and len({spec, hr.SparseTensorSpec([None, 3], hr.int32)}) == 1
    )
    s = hr.SparseTensor([[0, 1]], [5], [2, 3])
    assert hr.type_spec_from_value(s) == hr.SparseTensorSpec([2, 3], hr.int32)
    assert spec.is_compatible_with(s) and not spec.is_compatible_with(hr.cast(s, hr.int64))
    assert spec.most_specific_common_supertype([hr.SparseTensorSpec([4, 3], hr.int32)]) == spec
    assert spec.most_specific_common_supertype([hr.SparseTensorSpec([4, 3], hr.int64)]) is None


@pytest.mark.parametrize(
    ("call", "kind", "text"),
    [
        (lambda: hr.SparseTensor([[0]], [1, 2], [3]), ValueError, "must be compatible"),
        (
            lambda: hr.SparseTensor([0], [1], [3]),
            ValueError,
            r"indices must be \[count, rank\]",
        ),
        (lambda: hr.SparseTensor(hr.constant([[0]]), [1], [3]), ValueError, "must be int64"),
        (
            lambda: sparse.to_dense(hr.SparseTensor([[1], [0]], [1, 2], [3])),
            errors.InvalidArgumentError,
            r"indices\[1\] = \[0\] is out of order.*reorder",
        ),
        (
            lambda: sparse.to_dense(hr.SparseTensor([[1], [1]], [1, 2], [3])),
            errors.InvalidArgumentError,
            "repeated",
        ),
        (
            lambda: sparse.to_dense(hr.SparseTensor([[3]], [1], [3])),
            errors.InvalidArgumentError,
            "out of bounds",
        ),
        (
            lambda: sparse.reshape(sparse.from_dense(D), [5, 5]),
            errors.InvalidArgumentError,
            "12 dense values",
        ),
        (
            lambda: sparse.concat(0, [sparse.from_dense(D), sparse.from_dense(D.T)]),
            errors.InvalidArgumentError,
            "must match",
        ),
        (
            lambda: sparse.sparse_dense_matmul(
                sparse.from_dense(D), np.ones((3, 2), np.float32)
            ),
            errors.InvalidArgumentError,
            "inner dimension does not match: 4 vs. 3",
        ),
        (lambda: sparse.map_values(hr.add, 1, 2), ValueError, "No SparseTensor"),
        (lambda: sparse.from_dense(D)[0], TypeError, "hr.sparse.slice"),
        (lambda: sparse.from_dense(D) * sparse.from_dense(D), TypeError, "dense tensor"),
    ],
)
def test_errors_name_the_rule(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
