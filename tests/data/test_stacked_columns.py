"""Columns stacked in few arrays: all that is done to them gives what lists of columns give."""

import itertools

import numpy as np
import pytest
from hypothesis import given, strategies as st

import headrace as hr
from headrace.data import Dataset
from headrace.data.block import Block
from headrace.data.columns import column_from_rows
from headrace.data.iterator import _numpy_rows, _tensor_rows, packed, raw_rows
from headrace.data.stacked_columns import StackedColumns, stacked
from headrace.data.structure import Structure
from headrace.data.transforms.batch import batch_block
from headrace.ops.tensor import Tensor
from headrace.ops.tensor_spec import TensorSpec


@st.composite
def columns_in_any_order(draw):
    """Rows of one or two padded arrays, among them columns of other kinds."""
    n = draw(st.integers(1, 12))
    columns = []
    for dtype in draw(st.sampled_from([("i8",), ("f4",), ("i8", "f4")])):
        first, count = draw(st.integers(0, 2)), draw(st.integers(1, 7))
        base = np.arange(10 * 17, dtype=dtype).reshape(10, 17).copy()
        columns += list(base[first : first + count, :n])
    columns += draw(st.sampled_from([[], [np.ones((n, 2))], [np.arange(n), np.zeros(n, "?")]]))
    if draw(st.booleans()):
        columns.append(column_from_rows([np.arange(k % 3) for k in range(n)]))
    return n, draw(st.permutations(columns))


def structure_of(columns):
    specs = []
    for column in columns:
        plain = isinstance(column, np.ndarray)
        shape, dtype = (column.shape[1:], column.dtype) if plain else ([None], "int64")
        specs.append(TensorSpec(shape, dtype))
    return Structure(dict(enumerate(specs)))


def same(a, b):
    assert len(a) == len(b)
    for x, y in zip(a, b, strict=True):
        assert type(x) is type(y) and len(x) == len(y)
        for i in range(len(x)):
            left, right = np.asarray(x[i]), np.asarray(y[i])
            assert left.dtype == right.dtype and left.shape == right.shape
            assert (left == right).all()


def elements(block):
    found = []
    for rows_of, arrays_as in (
        (raw_rows, None),
        (_numpy_rows, None),
        (_tensor_rows, Tensor.of_all),
    ):
        for element in packed(block, rows_of, arrays_as):
            for key, value in element.items():
                array = np.asarray(value)
                found.append((key, type(value).__name__, array.dtype, array.tolist()))
                if rows_of is not _tensor_rows and isinstance(value, np.ndarray):
                    found.append(value.flags.writeable)
    return found


@given(columns_in_any_order(), st.integers(0, 12), st.integers(0, 12), st.integers(1, 4))
def test_stacked_is_as_listed(made, start, stop, size):
    n, listed = made
    structure = structure_of(listed)
    a = Block(stacked(listed), n, structure)
    b = Block(list(listed), n, structure)
    same(list(a.columns), b.columns)
    owners = [id(c.base) for c in listed if isinstance(c, np.ndarray) and c.base is not None]
    most = max(map(owners.count, owners))
    assert (type(a.columns) is StackedColumns) == (most >= 4)
    assert a.nbytes == b.nbytes
    same(list(a[start:stop].columns), b[start:stop].columns)
    pick = np.arange(n)[::-2]
    same(list(a.take(pick).columns), b.take(pick).columns)
    parts = [0, n // 3, n // 2, n]
    cut = [a[i:j] for i, j in itertools.pairwise(parts)]
    same(list(Block.concat(cut).columns), b.columns)
    same(list(Block.concat([a, b]).columns), Block.concat([b, b]).columns)
    whole = n // size * size
    (x, failed), (y, other) = (batch_block(k[:whole], size, structure) for k in (a, b))
    assert (failed is None) == (other is None)
    if x is not None:
        same(list(x.columns), list(y.columns))
        assert elements(x) == elements(y)
    assert elements(a) == elements(b)


def test_neighbouring_rows_are_stacked_without_a_copy():
    base = np.arange(50).reshape(5, 10).copy()
    listed = [base[k, :8] for k in (3, 1, 4, 2)]
    found = stacked(listed)
    assert type(found) is StackedColumns
    assert np.shares_memory(found.stacks[0], base) and not found.rest
    for k, column in zip((3, 1, 4, 2), found, strict=True):
        assert column.tolist() == base[k, :8].tolist()


@pytest.mark.parametrize(
    "pick",
    {
        "a row is missing": lambda b: [b[0], b[1], b[3], b[4]],
        "a row comes twice": lambda b: [b[0], b[1], b[1], b[2]],
        "another way round": lambda b: [b[0], b[1], b[2], b[3][::-1]],
        "another length": lambda b: [b[0], b[1], b[2], b[3][:-1]],
        "another beginning": lambda b: [r[1:] for r in b],
        "columns of it": lambda b: list(b.T),
        "another dtype": lambda b: [r.view("u8") for r in b],
        "too few": lambda b: list(b[:3]),
    }.items(),
    ids=lambda case: case[0],
)
def test_others_stay_as_they_are(pick):
    name, rows = pick
    listed = rows(np.arange(50).reshape(5, 10).copy())
    found = stacked(listed)
    if type(found) is StackedColumns:
        assert name in ("another beginning", "another dtype")
    for a, b in zip(found, listed, strict=True):
        assert a.dtype == b.dtype and a.tolist() == b.tolist()


def test_parsed_scalars_come_stacked_into_batches(tmp_path):
    keys = [f"k{i}" for i in range(9)]
    path = str(tmp_path / "f.tfrecord")
    with hr.io.TFRecordWriter(path) as writer:
        for n in range(50):
            of = {k: [i * 100 + n] for i, k in enumerate(keys)}
            feature = {
                k: hr.train.Feature(int64_list=hr.train.Int64List(value=v))
                for k, v in of.items()
            }
            writer.write(
                hr.train.Example(
                    features=hr.train.Features(feature=feature)
                ).SerializeToString()
            )
    spec = {k: hr.io.FixedLenFeature([], hr.int64) for k in reversed(keys)}
    dataset = hr.data.TFRecordDataset(path).map(lambda r: hr.io.parse_single_example(r, spec))
    with iter(dataset.batch(7)) as iterator:
        block = iterator.next_block(3)
        assert type(block.columns) is StackedColumns
    for begun, batch in enumerate(dataset.batch(7)):
        for i, key in enumerate(keys):
            expected = i * 100 + np.arange(50)[begun * 7 : begun * 7 + 7]
            assert batch[key].numpy().tolist() == expected.tolist()


def test_batches_hold_what_their_user_writes_apart():
    """What a Tensor shows is its own rows: stacking shares memory, never values."""
    dataset = Dataset.range(6).map(lambda x: {"a": x, "b": x + 1, "c": x + 2, "d": x + 3})
    first = next(iter(dataset.batch(3)))
    assert [first[k].numpy().tolist() for k in "abcd"] == [
        [0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]  # fmt: skip
