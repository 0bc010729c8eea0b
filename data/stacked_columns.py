"""Columns that lie in a few arrays together: dozens of scalars of an Example, say.

A parser writes the values of all scalar features of one dtype into one array, a row per
feature.  What stages do with each column (slice it, join it with the next block's, fold it to
batches) can then be done to all of them at once, and 40 features cost little more than one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from operator import itemgetter
from typing import Any

import numpy as np

from ..io.jit import address

__all__ = ["StackedColumns", "stacked"]

_WORTH = 4  # columns in one array


class StackedColumns(Sequence[Any]):
    """The columns of a block, some of them rows of arrays; reads like a list of columns.

    Args:
        stacks: arrays of shape [columns, n, ...].
        rest: the other columns.
        order: for each column its number among the rows of all stacks and then the rest.
    """

    def __init__(self, stacks: list[np.ndarray], rest: list[Any], order: tuple[int, ...]):
        self.stacks = stacks
        self.rest = rest
        self.order = order

    @cached_property
    def _columns(self) -> list[Any]:
        together = [row for stack in self.stacks for row in stack]
        together += self.rest
        return [together[i] for i in self.order]

    def __len__(self) -> int:
        return len(self.order)

    def __getitem__(self, index: Any) -> Any:
        return self._columns[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._columns)

    def select(self, key: Any) -> StackedColumns:
        """The rows at `key`, a slice or an array of ints."""
        stacks = [stack[:, key] for stack in self.stacks]
        return StackedColumns(stacks, [c[key] for c in self.rest], self.order)

    def group(self, size: int, group_rest: Callable[[Any], Any]) -> StackedColumns | None:
        """Every `size` rows as one; None where `group_rest` gives None for one of the rest."""
        rest = [group_rest(c) for c in self.rest]
        if any(c is None for c in rest):
            return None
        stacks = [s.reshape((len(s), -1, size, *s.shape[2:])) for s in self.stacks]
        return StackedColumns(stacks, rest, self.order)

    def fits(self, other: Any) -> bool:
        """Whether the rows of `other`, a block's columns, can be appended stack by stack."""
        return (
            type(other) is StackedColumns
            and other.order == self.order
            and len(other.stacks) == len(self.stacks)
            and all(
                a.dtype == b.dtype and a.shape[0] == b.shape[0] and a.shape[2:] == b.shape[2:]
                for a, b in zip(self.stacks, other.stacks, strict=True)
            )
        )

    @classmethod
    def concat(
        cls, parts: Sequence[StackedColumns], concat_rest: Callable[[list[Any]], Any]
    ) -> StackedColumns:
        """The rows of all `parts`, which fit each other."""
        first = parts[0]
        stacks = [
            np.concatenate([p.stacks[k] for p in parts], axis=1)
            for k in range(len(first.stacks))
        ]
        rest = [concat_rest([p.rest[k] for p in parts]) for k in range(len(first.rest))]
        return cls(stacks, rest, first.order)

    @property
    def nbytes(self) -> int:
        """Memory in bytes of the stacks' rows."""
        return sum(stack.nbytes for stack in self.stacks)

    @property
    def rows_are_arrays(self) -> bool:
        """Whether the rows of the stacked columns have axes of their own."""
        return self.stacks[0].ndim > 2

    def rows(
        self,
        rest_rows: Callable[[Any], list[Any]],
        arrays_as: Callable[[list[np.ndarray]], list[Any]] | None = None,
    ) -> Iterator[tuple[Any, ...]]:
        """The rows, one after the other, as flat tuples in the order of the columns.

        Args:
            rest_rows: the rows of a column that is in no stack.
            arrays_as: what to make of the stacked columns' parts of a row; without it they are
                read-only arrays.
        """
        rest = [rest_rows(c) for c in self.rest]
        pick, stacks = itemgetter(*self.order), self.stacks
        if arrays_as is None:
            stacks = [stack.view() for stack in stacks]
            for stack in stacks:
                stack.setflags(write=False)
        for g in range(stacks[0].shape[1]):
            row: list[Any] = []
            for stack in stacks:
                row.extend(stack[:, g])
            if arrays_as is not None:
                row = arrays_as(row)
            if rest:
                row = [*row, *(column[g] for column in rest)]
            yield pick(row)


def stacked(columns: Sequence[Any]) -> Sequence[Any]:
    """`columns`, those stacked that are neighbouring rows of one array."""
    if len(columns) < _WORTH:
        return columns
    members: dict[int, list[int]] = {}
    for i, column in enumerate(columns):
        if type(column) is np.ndarray and column.ndim == 1 and type(column.base) is np.ndarray:
            members.setdefault(id(column.base), []).append(i)
    stacks: list[np.ndarray] = []
    place: list[int] = []
    for inside in members.values():
        if len(inside) >= _WORTH:
            found = _stack(columns, inside)
            if found is not None:
                stacks.append(found[0])
                place += found[1]
    if not stacks:
        return columns
    taken = set(place)
    others = [i for i in range(len(columns)) if i not in taken]
    order = [0] * len(columns)
    for number, i in enumerate((*place, *others)):
        order[i] = number
    return StackedColumns(stacks, [columns[i] for i in others], tuple(order))


def _stack(columns: Sequence[Any], inside: list[int]) -> tuple[np.ndarray, list[int]] | None:
    """The part of the columns' base that holds them, and their numbers in its order; None if
    they are not all its rows from one to another."""
    base, n = columns[inside[0]].base, len(columns[inside[0]])
    if base.ndim != 2 or n > base.shape[1] or base.strides[1] != base.itemsize:
        return None
    at = {address(columns[i]): i for i in inside}
    starts = sorted(at)
    first, step = starts[0] - address(base), base.strides[0]
    if first % step or starts != list(range(starts[0], starts[0] + len(inside) * step, step)):
        return None
    for i in inside:
        column = columns[i]
        if column.dtype != base.dtype or len(column) != n or column.strides != base.strides[1:]:
            return None
    row = first // step
    return base[row : row + len(inside), :n], [at[start] for start in starts]
