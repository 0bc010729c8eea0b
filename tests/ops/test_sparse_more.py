"""Sparse tensors: sums, extremes, softmax, counts, crosses against TensorFlow."""

import numpy as np
import pytest
from harness import same

import headrace as hr

A = ([[0, 1], [1, 0], [2, 3]], np.array([1.5, -2.0, 3.0], np.float32), [3, 4])
B = ([[0, 0], [1, 0], [2, 3]], np.array([0.5, 2.0, -4.0], np.float32), [3, 4])


def _parts(x):
    if hasattr(x, "dense_shape"):
        return [x.indices.numpy(), x.values.numpy(), x.dense_shape.numpy()]
    return [x.numpy()]


def _agree(tf, fn):
    ours, theirs = fn(hr), fn(tf)
    for got, want in zip(_parts(ours), _parts(theirs), strict=True):
        same(got, want)


@pytest.mark.parametrize("threshold", [0, 1.0, 3.0])
def test_add_is_tensorflows(tf, threshold):
    _agree(
        tf, lambda lib: lib.sparse.add(lib.SparseTensor(*A), lib.SparseTensor(*B), threshold)
    )
    dense = np.arange(12, dtype=np.float32).reshape(3, 4)
    _agree(tf, lambda lib: lib.sparse.add(lib.SparseTensor(*A), lib.constant(dense)))
    _agree(tf, lambda lib: lib.sparse.add(lib.constant(dense), lib.SparseTensor(*A)))
    grads = []
    for lib in (hr, tf):
        x, y, d = lib.constant(A[1]), lib.constant(B[1]), lib.constant(dense)
        with lib.GradientTape() as tape:
            tape.watch([x, y, d])
            one, other = lib.SparseTensor(A[0], x, A[2]), lib.SparseTensor(B[0], y, B[2])
            total = lib.reduce_sum(lib.sparse.add(one, other, threshold).values * 2.0)
            total += lib.reduce_sum(lib.square(lib.sparse.add(one, d)))
        grads.append([g.numpy() for g in tape.gradient(total, [x, y, d])])
    for got, want in zip(*grads, strict=True):
        same(got, want)
    with pytest.raises(TypeError, match="SparseTensor"):
        hr.sparse.add(dense, dense)


@pytest.mark.parametrize("name", ["maximum", "minimum"])
def test_extremes_are_tensorflows(tf, name):
    _agree(
        tf, lambda lib: getattr(lib.sparse, name)(lib.SparseTensor(*A), lib.SparseTensor(*B))
    )
    other = hr.SparseTensor(A[0], A[1], [4, 4])
    with pytest.raises(hr.errors.InvalidArgumentError, match="same shape"):
        getattr(hr.sparse, name)(hr.SparseTensor(*A), other)


@pytest.mark.parametrize("axis", [None, 0, 1, -1, [0, 1]])
@pytest.mark.parametrize("keepdims", [True, False])
@pytest.mark.parametrize("sparse", [True, False])
def test_reduce_max_is_tensorflows(tf, axis, keepdims, sparse):
    _agree(
        tf,
        lambda lib: lib.sparse.reduce_max(
            lib.SparseTensor(*A), axis, keepdims, output_is_sparse=sparse
        ),
    )
    if not sparse:
        axes = np.array([] if axis is None else np.atleast_1d(axis), np.int32)
        _agree(
            tf,
            lambda lib: lib.raw_ops.SparseReduceSum(
                input_indices=np.array(A[0], np.int64), input_values=A[1],
                input_shape=np.array(A[2], np.int64), reduction_axes=axes, keep_dims=keepdims,
            ),
        )  # fmt: skip


def test_softmax_is_tensorflows(tf):
    places = [[0, 0, 1], [0, 0, 2], [0, 1, 0], [1, 0, 0], [1, 0, 3]]
    values, grads = RNG.normal(size=5).astype(np.float32), []
    _agree(tf, lambda lib: lib.sparse.softmax(lib.SparseTensor(places, values, [2, 2, 4])))
    for lib in (hr, tf):
        x = lib.constant(values)
        with lib.GradientTape() as tape:
            tape.watch(x)
            out = lib.sparse.softmax(lib.SparseTensor(places, x, [2, 2, 4])).values
            total = lib.reduce_sum(out * lib.constant([1.0, 2.0, 3.0, 4.0, 7.0]))
        grads.append(tape.gradient(total, x).numpy())
    same(*grads)


RNG = np.random.default_rng(4)


def test_sampled_addmm_is_tensorflows(tf):
    one, two = (RNG.normal(size=s).astype(np.float32) for s in ((3, 5), (5, 4)))
    for got, want in zip(
        hr.sparse.sampled_addmm(*A, one, two, beta=0.5, alpha=2.0),
        tf.sparse.sampled_addmm(*A, one, two, beta=0.5, alpha=2.0),
        strict=True,
    ):
        np.testing.assert_allclose(got.numpy(), np.asarray(want), rtol=1e-5)


COUNTED = [[1, 1, 3, 0], [5, 1, 1, 2]]


@pytest.mark.parametrize("axis", [0, -1])
@pytest.mark.parametrize(
    "more", [{}, {"minlength": 9}, {"maxlength": 3}, {"binary_output": True}]
)
@pytest.mark.parametrize("kind", ["dense", "vector", "sparse", "ragged"])
def test_bincount_is_tensorflows(tf, axis, more, kind):
    def values(lib):
        if kind == "sparse":
            return lib.SparseTensor([[0, 0], [0, 2], [2, 1]], np.array([4, 1, 4]), [3, 4])
        if kind == "ragged":
            return lib.ragged.constant([[1, 1], [], [4]])
        return lib.constant(COUNTED if kind == "dense" else COUNTED[0])

    _agree(tf, lambda lib: lib.sparse.bincount(values(lib), axis=axis, **more))


def test_weighted_bincount_is_tensorflows(tf):
    weights = RNG.normal(size=(2, 4)).astype(np.float32)
    for axis in (0, -1):
        _agree(
            tf,
            lambda lib, axis=axis: lib.sparse.bincount(
                lib.constant(COUNTED), weights=lib.constant(weights), axis=axis
            ),
        )
    with pytest.raises(ValueError, match="exclusive"):
        hr.sparse.bincount(COUNTED, weights=weights, binary_output=True)
