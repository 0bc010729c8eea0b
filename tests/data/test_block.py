"""Blocks and columns: rows survive slicing, taking, joining, stacking and Arrow."""

import numpy as np
import pytest

import headrace as hr
from headrace.data.block import Block
from headrace.data.columns import (
    ListColumn,
    RaggedColumn,
    SparseColumn,
    column_from_rows,
    column_rows,
    concat_columns,
    group_rows,
    sparse_column,
    ungroup_rows,
)
from headrace.data.structure import Structure
from headrace.ops.string_array import StringArray

SPARSE = [
    hr.SparseTensor(np.argwhere(m), m[m != 0], m.shape)
    for m in (np.array(r, np.int32) for r in ([1, 0, 2], [0, 0, 0], [0, 5, 0], [7, 8, 9]))
]
COLUMNS = {
    "scalars": np.arange(4),
    "rows": np.arange(8.0).reshape(4, 2),
    "strings": StringArray.from_values(["a", "", "ccc", "dd"]),
    "string rows": StringArray.from_values([["a", "b"], ["c", ""], ["", ""], ["x", "y"]]),
    "ragged": RaggedColumn(np.arange(6), np.array([0, 2, 2, 3, 6])),
    "ragged strings": RaggedColumn(
        StringArray.from_values(list("abcdef")), np.array([0, 2, 2, 3, 6])),
    "sparse": sparse_column(SPARSE),
    "list": ListColumn([np.zeros((1, 2)), np.ones((2, 1)), np.zeros((0, 0)), np.ones((1, 1))]),
}  # fmt: skip


def plain(row):
    if isinstance(row, hr.SparseTensor):
        return [plain(t.numpy()) for t in (row.indices, row.values, row.dense_shape)]
    if isinstance(row, StringArray):
        return row.shape, row.tolist()
    return np.asarray(row).shape, np.asarray(row).tolist()


def rows(column):
    return list(map(plain, column_rows(column)))


@pytest.mark.parametrize("name", COLUMNS)
def test_slices_and_takes_are_those_of_the_rows(name):
    column = COLUMNS[name]
    expected = rows(column)
    assert len(column) == 4
    for part in (slice(1, 3), slice(0, 0), slice(None), slice(3, None), slice(0, 4, 2)):
        assert rows(column[part]) == expected[part]
    for index in ([2, 0, 0], [], [3]):
        assert rows(column[np.array(index, int)]) == [expected[i] for i in index]
    keep = np.array([True, False, True, False])
    block = Block([column], 4, Structure(hr.TensorSpec(None)))
    assert rows(block.mask(keep).columns[0]) == [expected[0], expected[2]]
    assert rows(column[1:][1:]) == expected[2:]
    assert column.nbytes >= column[1:3].nbytes >= 0


@pytest.mark.parametrize("name", COLUMNS)
def test_concatenation_is_that_of_the_rows(name):
    column = COLUMNS[name]
    parts = [column[2:], column[:0], column[np.array([1, 1])], column[:3]]
    expected = [row for part in parts for row in rows(part)]
    assert rows(concat_columns(parts)) == expected
    assert type(concat_columns(parts)) is type(column)


@pytest.mark.parametrize("name", COLUMNS)
def test_from_rows_is_the_inverse_of_rows(name):
    column = COLUMNS[name]
    assert rows(column_from_rows(column_rows(column))) == rows(column)


@pytest.mark.parametrize("name", ["scalars", "rows", "strings", "string rows", "sparse"])
def test_ungrouping_undoes_grouping(name):
    column = COLUMNS[name]
    grouped = group_rows(column, 2)
    assert len(grouped) == 2
    flat, counts = ungroup_rows(grouped)
    assert counts.tolist() == [2, 2]
    assert rows(flat) == rows(column)


def test_rows_of_other_shapes_do_not_group():
    assert group_rows(COLUMNS["ragged"], 2) is None
    assert group_rows(COLUMNS["list"], 2) is None
    same = RaggedColumn(np.arange(6), np.array([0, 1, 2, 4, 6]))
    assert rows(group_rows(same, 2)) == [((2, 1), [[0], [1]]), ((2, 2), [[2, 3], [4, 5]])]


def test_scalars_do_not_ungroup():
    for column in (np.arange(3), StringArray.from_values(["a"]), ListColumn([np.array(1)])):
        with pytest.raises(ValueError, match="scalar"):
            ungroup_rows(column)


def test_columns_of_other_shapes_join_as_ragged_or_list():
    a, b = np.zeros((2, 3)), np.ones((1, 2))
    assert type(concat_columns([a, b])) is RaggedColumn
    assert type(concat_columns([np.zeros((2, 3, 1)), np.ones((1, 2, 2))])) is ListColumn
    assert type(concat_columns([np.zeros(2), np.zeros((1, 2))])) is ListColumn
    assert type(concat_columns([COLUMNS["sparse"], ListColumn([1])])) is ListColumn


def test_sparse_batches_have_the_largest_shape():
    small = hr.SparseTensor([[0]], [1], [2])
    batch = group_rows(sparse_column([SPARSE[0], small]), 2)
    assert type(batch) is SparseColumn
    assert batch[0].dense_shape.numpy().tolist() == [2, 3]
    assert batch[0].indices.numpy().tolist() == [[0, 0], [0, 2], [1, 0]]


@pytest.mark.parametrize("name", [n for n in COLUMNS if n not in ("sparse", "list")])
def test_arrow_and_back(name):
    column = COLUMNS[name]
    structure = Structure((hr.TensorSpec(None), hr.TensorSpec([])))
    block = Block([column, np.arange(4)], 4, structure)
    again = Block.from_arrow(block.to_arrow(), block.structure)
    assert rows(again.columns[0]) == rows(column)
    again = Block.from_arrow(block[1:3].to_arrow(), block.structure)
    assert rows(again.columns[0]) == rows(column)[1:3]


def test_objects_have_no_arrow_form():
    block = Block([COLUMNS["list"]], 4, Structure(hr.TensorSpec(None)))
    with pytest.raises(TypeError, match="no Arrow form"):
        block.to_arrow()


def test_structures_pack_what_they_flatten():
    spec = {"b": hr.TensorSpec([]), "a": (hr.TensorSpec([]), {"c": hr.TensorSpec([])})}
    structure = Structure(spec)
    value = {"b": 3, "a": (1, {"c": 2})}
    assert structure.flatten(value) == [1, 2, 3]
    assert structure.pack([1, 2, 3]) == value
    assert list(structure.pack([1, 2, 3])) == ["b", "a"]
    pair = Structure((hr.TensorSpec([]),) * 2)
    assert pair.pack([1, 2]) == (1, 2)
    flat = Structure({"y": hr.TensorSpec([]), "x": hr.TensorSpec([])})
    assert list(flat.pack([1, 2]).items()) == [("y", 2), ("x", 1)]
