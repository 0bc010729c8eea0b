"""Crosses and stacked partitions against TensorFlow."""

import numpy as np
import pytest

import headrace as hr

WORDS = [["a", "b"], [], ["c"]]
NUMBERS = [[1], [2, 3], [4, 5]]
PLAIN = [["x"], ["y"], ["z"]]


def _inputs(lib):
    return [lib.ragged.constant(WORDS), lib.ragged.constant(NUMBERS), lib.constant(PLAIN)]


@pytest.mark.parametrize("which", [[0, 1, 2], [1, 2], [0], [2, 0]])
def test_crosses_are_tensorflows(tf, which):
    for call in (
        lambda lib, x: lib.ragged.cross(x),
        lambda lib, x: lib.ragged.cross_hashed(x),
        lambda lib, x: lib.ragged.cross_hashed(x, num_buckets=100, hash_key=7),
    ):
        ours, theirs = (call(lib, [_inputs(lib)[k] for k in which]) for lib in (hr, tf))
        assert ours.to_list() == theirs.to_list()
    for call in (
        lambda lib, x: lib.sparse.cross(x),
        lambda lib, x: lib.sparse.cross(x, separator="|"),
        lambda lib, x: lib.sparse.cross_hashed(x, num_buckets=50),
    ):
        sparse = {}
        for lib in (hr, tf):
            found = [_inputs(lib)[k] for k in which]
            found = [v.to_sparse() if hasattr(v, "to_sparse") else v for v in found]
            sparse[lib] = call(lib, found)
        for part in ("indices", "values", "dense_shape"):
            got, want = (getattr(sparse[lib], part).numpy().tolist() for lib in (hr, tf))
            assert got == want


def test_stack_dynamic_partitions_is_tensorflows(tf):
    data, ids = np.arange(8.0).reshape(4, 2), [2, 0, 2, 1]
    ours, theirs = (
        lib.ragged.stack_dynamic_partitions(lib.constant(data), ids, 4) for lib in (hr, tf)
    )
    assert ours.to_list() == theirs.to_list()
    ours, theirs = (
        lib.ragged.stack_dynamic_partitions(lib.ragged.constant([[1, 2], [3]]), [1, 0], 2)
        for lib in (hr, tf)
    )
    assert ours.to_list() == theirs.to_list()


def test_errors():
    with pytest.raises(ValueError, match="integers and strings"):
        hr.ragged.cross([hr.ragged.constant([[1.0]])])
    with pytest.raises(TypeError, match="list"):
        hr.ragged.cross(hr.ragged.constant([[1]]))
