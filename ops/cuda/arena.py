"""Arena: where the buffers of a compiled function stand in one piece of memory.

Buffers have sizes and lifetimes in steps; two that live at the same time never overlap.  The
largest are placed first, each in the lowest gap that is wide enough: within a few percent of
the least memory for the graphs of training steps.

Source: Pisarchyk and Lee, "Efficient memory management for deep neural net inference" (2020),
greedy by size.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    buffers: Sequence[Buffer], arena: Arena, readers: Sequence[Sequence[int]]
) -> set[tuple[int, int]]:
    """Pairs of steps whose order the arena needs besides what values need: whoever read or
    wrote a buffer comes before the step that writes another one over it.

    Args:
        buffers, arena: as in `plan`.
        readers: for each buffer, the steps that read it.
    """
    found = set()
    for i, a in enumerate(buffers):
        for j, b in enumerate(buffers):
            if a.last < b.first and _share(a, arena.offsets[i], b, arena.offsets[j]):
                found |= {(step, b.first) for step in (a.first, *readers[i])}
    return found


def _together(a: Buffer, b: Buffer) -> bool:
    return a.first <= b.last and b.first <= a.last


def _share(a: Buffer, at: int, b: Buffer, at_b: int) -> bool:
    return at < at_b + b.size_bytes and at_b < at + a.size_bytes
