"""from_tensors and from_tensor_slices: datasets of values already in memory."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...ops.string_array import StringArray
from ...ops.tensor import SymbolicTensor
from ..block import Block
from ..columns import ListColumn, unstack_row
from ..failures import Failures
from ..node import Node
from ..stage import Context, Stage, State
from ..values import Components
from .symbolic import SymbolicNode

__all__ = ["ColumnsStage", "TensorSlicesNode", "TensorsNode", "tensor_slices"]


@dataclasses.dataclass(frozen=True, eq=False)
class TensorsNode(Node):
    """One element: the given value."""

    components: Components = dataclasses.field(repr=False)
    own_failures = Failures.NEVER
    random_access = True

    def _element_spec(self) -> Any:
        return self.components.spec

    def _cardinality(self) -> int:
        return 1

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        columns = [_one_row(value) for value in self.components.values]
        return ColumnsStage(self, columns, 1, context)


@dataclasses.dataclass(frozen=True, eq=False)
class TensorSlicesNode(Node):
    """The slices of the given value along the first axis.

    Attributes:
        columns: one column per component.
        spec: the nested spec of a slice.
        num_rows: how many slices there are.
    """

    columns: tuple[Any, ...] = dataclasses.field(repr=False)
    spec: Any = dataclasses.field(repr=False)
    num_rows: int
    own_failures = Failures.NEVER
    random_access = True

    def _element_spec(self) -> Any:
        return self.spec

    def _cardinality(self) -> int:
        return self.num_rows

    def sliced(self, part: slice) -> tuple[Node, slice | None]:
        """Those rows of the columns."""
        rows = len(range(self.num_rows)[part])
        columns = tuple(column[part] for column in self.columns)
        return dataclasses.replace(self, columns=columns, num_rows=rows), None

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return ColumnsStage(self, self.columns, self.num_rows, context)


def tensor_slices(components: Components, **common: Any) -> Node:
    """The node for the slices of `components`.

    Raises:
        ValueError: a component is a scalar, or first axes differ.
    """
    if not components.values:
        raise ValueError("Invalid `tensors`. `tensors` should not be empty.")
    spec = components.sliced_spec()
    if any(isinstance(value, SymbolicTensor) for value in components.values):
        recipe = (_slices_of, components.nested())
        return SymbolicNode(spec, recipe, **common)
    columns = []
    for value in components.values:
        column = unstack_row(value)
        if isinstance(column, np.ndarray):
            column = column.view()
            column.setflags(write=False)
        columns.append(column)
    num_rows = len(columns[0])
    for column in columns:
        if len(column) != num_rows:
            raise ValueError(f"Dimensions {num_rows} and {len(column)} are not compatible")
    return TensorSlicesNode(tuple(columns), spec, num_rows, **common)


def _slices_of(tensors: Any) -> Node:
    return tensor_slices(Components(tensors))


def _one_row(value: Any) -> Any:
    if isinstance(value, (np.ndarray, StringArray)):
        row = value.reshape((1, *value.shape))
        if isinstance(row, np.ndarray):
            row.setflags(write=False)
        return row
    return ListColumn([value])


class ColumnsStage(Stage):
    """Deals out columns held in memory; the state is a row number."""

    def __init__(self, node: Node, columns: Any, num_rows: int, context: Context):
        super().__init__(node, (), context)
        self._all = Block(list(columns), num_rows, self.structure)
        self._position = 0

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        start, stop = self._position, min(self._position + max_rows, self._all.num_rows)
        if start >= stop:
            return None
        self._position = stop
        return self._all[start:stop]

    def gather(self, positions: np.ndarray) -> Block:
        """The elements at `positions`, in that order."""
        return self._all.take(positions)

    def _skip(self, count: int) -> int:
        count = min(count, self._all.num_rows - self._position)
        self._position += count
        return count

    def _state(self) -> State:
        return {"position": self._position}

    def _restore(self, state: State) -> None:
        self._position = state["position"]

    def _restart(self) -> None:
        self._position = 0
