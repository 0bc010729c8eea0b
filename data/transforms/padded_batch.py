"""padded_batch: batches of elements padded to one shape."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops import nest
from ...ops.errors import DataLossError, InvalidArgumentError
from ...ops.string_array import StringArray
from ...ops.tensor_shape import TensorShape
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..caught import Caught
from ..columns import RaggedColumn, column_rows
from ..structure import Structure
from .batch import BatchNode, BatchStage

__all__ = ["PaddedBatchNode", "pad_column"]


@dataclasses.dataclass(frozen=True, eq=False)
class PaddedBatchNode(BatchNode):
    """Batches whose components are padded.

    Attributes:
        shapes: a tuple per component; None there means the longest of the batch.
        fills: a scalar raw value per component.
    """

    shapes: tuple[tuple[int | None, ...], ...] = dataclasses.field(default=(), repr=False)
    fills: tuple[Any, ...] = dataclasses.field(default=(), repr=False)

    def _element_spec(self) -> Any:
        size = self.batch_size if self.drop_remainder else None
        leaves, tree = nest.flatten_with_spec(self.input.element_spec)
        return nest.pack_sequence_as(
            tree,
            [
                TensorSpec([size, *shape], leaf.dtype)
                for leaf, shape in zip(leaves, self.shapes, strict=True)
            ],
        )

    def _make_stage(self, inputs: Any, context: Any) -> Any:
        return _PaddedBatchStage(self, inputs, context)


class _PaddedBatchStage(BatchStage):
    node: PaddedBatchNode

    def _batches(
        self, block: Block, size: int, structure: Structure
    ) -> tuple[Block | None, Caught | None]:
        done = []
        error = None
        for g in range(block.num_rows // size):
            part = block[g * size : (g + 1) * size]
            try:
                columns = [
                    pad_column(column, shape, fill, c)
                    for c, (column, shape, fill) in enumerate(
                        zip(part.columns, self.node.shapes, self.node.fills, strict=True)
                    )
                ]
            except (DataLossError, InvalidArgumentError) as raised:
                error = Caught(raised)
                break
            batch = [c.reshape((1, *c.shape)) for c in columns]
            done.append(Block(batch, 1, structure))
        return (Block.concat(done) if done else None), error


def pad_column(column: Any, shape: tuple[int | None, ...], fill: Any, component: int) -> Any:
    """The rows of `column` as one array [n, *shape], padded at their ends with `fill`.

    Raises:
        DataLossError: a row is larger than `shape` allows.
        InvalidArgumentError: a row has another rank.
    """
    n = len(column)
    if isinstance(column, (np.ndarray, StringArray)):
        target = tuple(
            s if d is None else d for d, s in zip(shape, column.shape[1:], strict=False)
        )
        if len(shape) == column.ndim - 1 and target == column.shape[1:]:
            return column
    rows = column_rows(column) if not isinstance(column, RaggedColumn) else None
    sizes = [r.shape for r in rows] if rows is not None else _ragged_shapes(column)
    for size in sizes:
        if len(size) != len(shape):
            raise InvalidArgumentError(
                f"All elements in a batch must have the same rank as the padded shape for "
                f"component {component}: expected rank {len(shape)} but got element with rank "
                f"{len(size)}"
            )
    target = tuple(
        max((s[a] for s in sizes), default=0) if d is None else d for a, d in enumerate(shape)
    )
    for size in sizes:
        if any(s > t for s, t in zip(size, target, strict=True)):
            raise DataLossError(
                f"Attempted to pad to a smaller size than the input element: component "
                f"{component} has an element of shape {list(size)}, padded_shapes says "
                f"{list(target)}"
            )
    first = column.values if rows is None else rows[0]
    if isinstance(first, StringArray):
        out: Any = np.empty((n, *target), object)
        out[...] = fill
        for i, row in enumerate(rows if rows is not None else column_rows(column)):
            out[(i, *(slice(0, s) for s in row.shape))] = row.numpy()
        return StringArray.from_values(out)
    out = np.full((n, *target), fill, first.dtype)
    if rows is None and len(shape) == 1:
        lengths = column.lengths
        out[np.arange(target[0]) < lengths[:, None]] = column.flat_values
        return out
    for i, row in enumerate(rows if rows is not None else column_rows(column)):
        out[(i, *(slice(0, s) for s in row.shape))] = row
    return out


def _ragged_shapes(column: RaggedColumn) -> list[tuple[int, ...]]:
    tail = column.values.shape[1:]
    return [(m, *tail) for m in column.lengths.tolist()]


def padding_shapes(given: Any, spec: Any) -> tuple[tuple[int | None, ...], ...]:
    """`padded_shapes` as one tuple per component of `spec`, checked.

    Raises:
        ValueError: it does not fit the elements.
    """
    leaves = nest.flatten(spec)
    for leaf in leaves:
        if not isinstance(leaf, TensorSpec):
            raise TypeError(f"`padded_batch` is only supported for tensors, got {leaf!r}")
    if given is None:
        for leaf in leaves:
            if leaf.shape.rank is None:
                raise ValueError(
                    f"You must provide `padded_shapes` argument because component {leaf!r} has "
                    "unknown rank."
                )
        return tuple(leaf.shape.dims for leaf in leaves)
    shapes = []
    for shape, leaf in zip(_shapes_like(spec, given), leaves, strict=True):
        dims = [None if d is None or int(d) == -1 else int(d) for d in _dims(shape)]
        known = leaf.shape
        if known.rank is not None and known.rank != len(dims):
            raise ValueError(
                f"The padded shape {tuple(dims)} is not compatible with the shape {known} of "
                "the corresponding input component."
            )
        if known.rank is not None:
            for want, have in zip(dims, known.dims, strict=True):
                if want is not None and have is not None and want < have:
                    raise ValueError(
                        f"The padded shape {tuple(dims)} is not compatible with the shape "
                        f"{known} of the corresponding input component."
                    )
        shapes.append(tuple(dims))
    return tuple(shapes)


def _dims(shape: Any) -> Any:
    if isinstance(shape, TensorShape):
        return shape.as_list()
    return getattr(shape, "_value", shape)


def _shapes_like(spec: Any, shapes: Any) -> list[Any]:
    """The shapes in the order of the spec's leaves; a shape may itself be a list or tuple."""
    if isinstance(spec, dict):
        return [s for k in sorted(spec) for s in _shapes_like(spec[k], shapes[k])]
    if isinstance(spec, (tuple, list)):
        return [s for a, b in zip(spec, shapes, strict=True) for s in _shapes_like(a, b)]
    return [shapes]


def padding_fills(given: Any, spec: Any) -> tuple[Any, ...]:
    """`padding_values` as one scalar per component: 0, or b"", where it says nothing.

    Raises:
        TypeError: a value is of another dtype than its component.
    """
    leaves = nest.flatten(spec)
    if given is None or not nest.is_nested(given):
        values = [given] * len(leaves)
    else:
        values = nest.flatten(given)
    fills = []
    for value, leaf in zip(values, leaves, strict=True):
        is_text = leaf.dtype.name == "string"
        if value is None:
            fills.append(b"" if is_text else leaf.dtype.np_dtype.type(0))
            continue
        value = value.numpy() if hasattr(value, "numpy") else value
        if is_text != isinstance(value, (str, bytes)):
            raise TypeError(f"padding_values must be of dtype {leaf.dtype.name}, got {value!r}")
        if is_text:
            fills.append(value.encode() if isinstance(value, str) else value)
            continue
        if isinstance(value, np.generic) and value.dtype != leaf.dtype.np_dtype:
            raise TypeError(
                f"The padding value {value!r} should be of dtype {leaf.dtype.name}, but is "
                f"{value.dtype}"
            )
        if leaf.dtype.is_integer and isinstance(value, float):
            raise TypeError(f"padding_values must be of dtype {leaf.dtype.name}, got {value!r}")
        fills.append(leaf.dtype.np_dtype.type(value))
    return tuple(fills)
