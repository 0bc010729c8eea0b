"""RowStore: rows come out as they went in, whatever moves on to a more general kind."""

import numpy as np
import pytest

from headrace.data import row_store
from headrace.data.block import Block
from headrace.data.row_store import RowStore
from headrace.data.structure import Structure
from headrace.ops.string_array import StringArray
from headrace.ops.tensor_spec import TensorSpec

STRUCTURE = Structure(TensorSpec([], "string"))


def strings(rng, sizes):
    """Byte strings with gaps between them, the last of which ends the buffer."""
    parts = [rng.bytes(size) for size in sizes]
    joined = b"".join(b"??" + part for part in parts)
    ends = np.cumsum([len(part) + 2 for part in parts])
    data = np.frombuffer(joined, np.uint8)
    return StringArray(data, ends - np.array([len(p) for p in parts]), ends), parts


SIZES = {
    "even": lambda rng, step: rng.integers(800, 840, 50),
    "equal": lambda rng, step: np.full(50, 64),
    "growing": lambda rng, step: rng.integers(100, 120, 50) + 40 * step,
    "with long ones": lambda rng, step: np.where(rng.random(50) < 0.02 * step, 9000, 300),
    "with empty ones": lambda rng, step: np.where(rng.random(50) < 0.1 * step, 0, 200),
    "short": lambda rng, step: rng.integers(0, 9, 50),
    "empty": lambda rng, step: np.zeros(50, np.int64),
}


@pytest.fixture(params=["kernels", "NumPy"])
def copying(request, monkeypatch):
    """With compiled kernels, and as it is done until they are ready."""
    if request.param == "NumPy":
        monkeypatch.setattr(row_store.jit, "kernel", lambda name: None)
    else:
        assert row_store.jit.ensure_compiled(300)


@pytest.mark.usefixtures("copying")
@pytest.mark.parametrize("kind", SIZES)
def test_strings_come_out_as_they_went_in(kind):
    rng = np.random.default_rng(len(kind))
    store, inside, free = RowStore(STRUCTURE, 1000), {}, list(range(200))
    taken = []
    for step in range(12):
        column, parts = strings(rng, SIZES[kind](rng, step))
        rows = np.array([free.pop(rng.integers(len(free))) for _ in parts])
        store.put(rows, Block([column], len(parts), STRUCTURE))
        inside |= dict(zip(rows.tolist(), parts, strict=True))
        leaving = rng.permutation(list(inside))[:45]
        expected = [inside.pop(int(row)) for row in leaving]
        taken.append((store.get(leaving).columns[0], expected))
        free += leaving.tolist()
    for column, expected in taken:  # none of them was written over
        assert column.numpy().tolist() == expected


@pytest.mark.usefixtures("copying")
def test_a_record_that_begins_near_the_end_of_its_buffer():
    whole = np.arange(100, dtype=np.uint8)
    column = StringArray(whole, np.array([0, 90]), np.array([60, 100]))
    store = RowStore(STRUCTURE, 10)
    store.put(np.array([3, 1]), Block([column], 2, STRUCTURE))
    taken = store.get(np.array([1, 3])).columns[0]
    assert taken.numpy().tolist() == column.numpy().tolist()[::-1]
