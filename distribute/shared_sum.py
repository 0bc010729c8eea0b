"""The sum of the replicas' arrays in shared memory, made by all of them together.

Each array is cut into parts; whoever waits for the sum takes the next part that nobody has
begun.  The sum of a part adds replica 0, 1, 2... in this order, so that the bits of the result
do not depend on who computes it.  All replicas get the same arrays, which nobody writes to.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import recycling
from ..ops.errors import InvalidArgumentError

__all__ = ["SharedSum", "check_alike"]

_PART = 1 << 16  # elements: a quarter of a megabyte of float32
_shelf = recycling.Shelf(64)  # results are of the same sizes in every step


class SharedSum:
    """One reduction under way.

    Args:
        by_replica: for every replica its arrays, contiguous; what travels, so perhaps of
            fewer bits than the result.
        dtypes: of the results.
        mean: whether to divide by the number of replicas.
        outs: replica 0's arrays that may be written over, in their places.
    """

    def __init__(
        self,
        by_replica: Sequence[Sequence[np.ndarray]],
        dtypes: Sequence[Any],
        mean: bool,
        outs: Sequence[Any] = (),
    ):
        self._columns = [
            [np.reshape(a, -1) for a in column] for column in zip(*by_replica, strict=True)
        ]
        self._share = 1 / len(by_replica) if mean else None
        # Memory that is in the caches already: replica 0's, which is added first.
        self.results = [
            _shelf.empty(a.shape, d) if out is None else out
            for a, d, out in itertools.zip_longest(by_replica[0], dtypes, outs)
        ]
        self._flat = [np.reshape(r, -1) for r in self.results]
        self._parts: list[list[tuple[int, int, int]]] = []
        small: list[tuple[int, int, int]] = []
        room = _PART
        for i, result in enumerate(self._flat):
            if result.size > _PART:
                for start in range(0, result.size, _PART):
                    self._parts.append([(i, start, min(start + _PART, result.size))])
                continue
            if result.size > room:
                self._parts.append(small)
                small, room = [], _PART
            small.append((i, 0, result.size))
            room -= result.size
        if small:
            self._parts.append(small)
        self._next = itertools.count().__next__
        self._made = itertools.count(1).__next__
        self.done = not self._parts

    def help(self) -> bool:
        """Compute parts until none is left; whether this made the last one."""
        last = False
        while (number := self._next()) < len(self._parts):
            for part in self._parts[number]:
                self._sum(*part)
            if self._made() == len(self._parts):
                self.done = last = True
        return last

    def results_of(self, rank: int) -> list[np.ndarray]:
        """A replica's results: the same arrays for all."""
        return self.results

    def _sum(self, index: int, start: int, stop: int) -> None:
        out = self._flat[index][start:stop]
        columns = self._columns[index]
        np.add(columns[0][start:stop], columns[1][start:stop], out=out, dtype=out.dtype)
        for column in columns[2:]:
            np.add(out, column[start:stop], out=out, dtype=out.dtype)
        if self._share is not None:
            np.multiply(out, out.dtype.type(self._share), out=out)


def check_alike(by_replica: Sequence[Sequence[np.ndarray]], what: str) -> None:
    """Refuse to combine arrays of different shapes or dtypes.

    Raises:
        InvalidArgumentError: they differ; it names the replicas and what they gave.
    """
    kinds = [[(a.shape, a.dtype) for a in arrays] for arrays in by_replica]
    for rank, kind in enumerate(kinds):
        if kind != kinds[0]:
            shown = [[f"{d.name}{list(s)}" for s, d in k] for k in (kinds[0], kind)]
            raise InvalidArgumentError(
                f"{what} needs the same shapes and dtypes on all replicas, got {shown[0]} on "
                f"replica 0 and {shown[1]} on replica {rank}"
            )
