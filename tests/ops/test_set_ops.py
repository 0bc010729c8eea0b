"""Sets along the last axis (hr.sets)."""

import numpy as np
import pytest
from harness import same

import headrace as hr
from headrace import errors

RNG = np.random.default_rng(12)
OPERATIONS = ("intersection", "difference", "union", "reverse")


def dense(kind, shape):
    x = RNG.integers(0, 6, shape)
    return np.char.mod("%d", x).astype("S") if kind == "string" else x.astype(kind)


def run(lib, operation, a, b):
    if operation == "reverse":
        return lib.sets.difference(a, b, aminusb=False)
    return getattr(lib.sets, operation)(a, b)


def form(lib, x, sparse):
    t = lib.constant(x.tolist() if x.dtype.kind == "S" else x)
    if not sparse:
        return t
    keep = np.argwhere(RNG_KEEP[tuple(slice(n) for n in x.shape)])
    values = x[tuple(keep.T)]
    values = values.tolist() if x.dtype.kind == "S" else values
    return lib.sparse.SparseTensor(keep, values, x.shape)


RNG_KEEP = RNG.uniform(size=(3, 4, 8)) < 0.6


@pytest.mark.parametrize("operation", OPERATIONS)
@pytest.mark.parametrize("kind", ["int32", "int64", "uint8", "string"])
@pytest.mark.parametrize("sparse", [(False, False), (False, True), (True, False), (True, True)])
def test_values(tf, operation, kind, sparse):
    a, b = dense(kind, (3, 4, 5)), dense(kind, (3, 4, 8))
    ours, theirs = (
        run(lib, operation, form(lib, a, sparse[0]), form(lib, b, sparse[1]))
        for lib in (hr, tf)
    )
    same(ours.indices, theirs.indices)
    same(ours.values, theirs.values)
    same(ours.dense_shape, theirs.dense_shape)


def test_size(tf):
    x = dense("int32", (3, 4, 8))
    same(*(lib.sets.size(form(lib, x, True)) for lib in (hr, tf)))


@pytest.mark.parametrize("operation", OPERATIONS)
def test_traced(operation):
    a, b = dense("int64", (3, 5)), dense("int64", (3, 2))
    eager = run(hr, operation, a, b)
    traced = hr.function(lambda x, y: run(hr, operation, x, y))(hr.constant(a), hr.constant(b))
    same(traced.indices, eager.indices)
    same(traced.values, eager.values)
    same(traced.dense_shape, eager.dense_shape)


def test_empty(tf):
    a, b = np.zeros((2, 0), np.int32), np.zeros((2, 0), np.int32)
    for operation in OPERATIONS:
        ours, theirs = (run(lib, operation, a, b) for lib in (hr, tf))
        same(ours.indices, theirs.indices)
        same(ours.dense_shape, theirs.dense_shape)


class TestErrors:
    def test_shapes(self):
        with pytest.raises(errors.InvalidArgumentError, match="last"):
            hr.sets.union(np.zeros((2, 1), int), np.zeros((3, 1), int))
        with pytest.raises(errors.InvalidArgumentError, match="rank"):
            hr.sets.union(np.zeros((2, 1), int), np.zeros((2, 2, 1), int))
        with pytest.raises(errors.InvalidArgumentError, match="2 axes"):
            hr.sets.union(np.zeros(2, int), np.zeros(2, int))

    def test_dtypes(self):
        with pytest.raises(TypeError, match="one dtype"):
            hr.sets.union(np.zeros((2, 1), np.int32), np.zeros((2, 1), np.int64))
        with pytest.raises(TypeError, match="not supported"):
            hr.sets.union(np.zeros((2, 1)), np.zeros((2, 1)))
        with pytest.raises(TypeError, match="SparseTensor"):
            hr.sets.size([[1]])

    def test_order(self):
        x = hr.sparse.SparseTensor([[0, 1], [0, 0]], [1, 2], [1, 2])
        with pytest.raises(errors.InvalidArgumentError, match="order"):
            hr.sets.size(x)
        assert hr.sets.size(x, validate_indices=False).numpy().tolist() == [2]
        x = hr.sparse.SparseTensor([[0, 5]], [1], [1, 2])
        with pytest.raises(errors.InvalidArgumentError, match="bounds"):
            hr.sets.size(x)


def test_names(tf):
    assert {n for n in dir(tf.sets) if not n.startswith("_")} <= set(dir(hr.sets))
