"""Arena: where the buffers of a compiled function stand in one piece of memory.

Buffers have sizes and lifetimes in steps; two that live at the same time never overlap.  The
largest are placed first, each in the lowest gap that is wide enough: within a few percent of
the least memory for the graphs of training steps.

Source: Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020),
greedy by size.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import NamedTuple

__all__ = ["ALIGNMENT", "Arena", "Buffer", "plan", "reuse_edges"]

ALIGNMENT = 256  # bytes: what the widest loads and tensor cores ask for, and cudaMalloc gives


class Buffer(NamedTuple):
    """A value of a function.

    Attributes:
        size_bytes: of its memory.
        first: the step that writes it.
        last: the last step that reads it; `first` if none does.
    """

    size_bytes: int
    first: int
    last: int


class Arena(NamedTuple):
    """Where buffers stand.

    Attributes:
        offsets: of each, in bytes.
        size_bytes: of the whole.
    """

    offsets: tuple[int, ...]
    size_bytes: int


def plan(buffers: Sequence[Buffer], alignment: int = ALIGNMENT) -> Arena:
    """Places for all buffers.

    Raises:
        ValueError: a buffer ends before it begins, or has a negative size.
    """
    for i, b in enumerate(buffers):
        if b.size_bytes < 0 or b.last < b.first:
            raise ValueError(
                f"buffers[{i}] must have a size and end no earlier than it begins, got {b}"
            )
    order = sorted(range(len(buffers)), key=lambda i: (-buffers[i].size_bytes, i))
    offsets = [0] * len(buffers)
    placed: list[tuple[int, int, int]] = []  # (offset, end, which), by offset
    total = 0
    for which in order:
        b = buffers[which]
        size = -(-b.size_bytes // alignment) * alignment
        at = 0
        for offset, end, other in placed:
            if not _together(b, buffers[other]):
                continue
            if offset - at >= size:
                break
            at = max(at, end)
        offsets[which] = at
        total = max(total, at + size)
        if size:
            placed.append((at, at + size, which))
            placed.sort()
    return Arena(tuple(offsets), total)


def reuse_edges(
    buffers: Sequence[Buffer],
    arena: Arena,
    users: Sequence[Iterable[int]],
    steps: Sequence[int] | None = None,
) -> set[tuple[int, int]]:
    """Pairs of steps whose order the arena needs besides what values need: whoever read or
    wrote a buffer comes before the step that writes another one over it.

    Pairs that follow from others are left out: a buffer comes behind those that were last at
    its bytes.

    Args:
        buffers, arena: as in `plan`.
        users: for each buffer, the steps that read it.
        steps: for each buffer, the step that writes it; `Buffer.first` if None, which may also
            count allocations.
    """
    found = set()
    taken: list[tuple[int, int, int]] = []  # (offset, end, which), by offset, no two overlap
    order = sorted(range(len(buffers)), key=lambda i: (buffers[i].first, i))
    for which in order:
        b, at = buffers[which], arena.offsets[which]
        end = at + b.size_bytes
        if end == at:
            continue
        mine = b.first if steps is None else steps[which]
        low = bisect.bisect_right(taken, at, key=lambda piece: piece[1])  # ends behind `at`
        high, rest = low, []
        while high < len(taken) and taken[high][0] < end:
            start, stop, other = taken[high]
            wrote = buffers[other].first if steps is None else steps[other]
            found |= {(step, mine) for step in (wrote, *users[other]) if step != mine}
            if start < at:
                rest.append((start, at, other))
            if stop > end:
                rest.append((end, stop, other))
            high += 1
        taken[low:high] = sorted([*rest, (at, end, which)])
    return found


def _together(a: Buffer, b: Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last
