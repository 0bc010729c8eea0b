"""Memory tape: what a function allocates and frees, and an arena that serves it the next time.

While it is watched, a function's allocations go to CuPy's pool and are written down.  A
function that does the same calls allocates the same sizes in the same order, so that every
allocation has its planned place in one piece of memory.  What is not as it was written down is
an error, which stops the recording.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .arena import Arena, Buffer, plan

__all__ = ["MemoryTape", "Places", "arena_allocator", "watching_allocator"]


class MemoryTape:
    """Allocations in their order.

    Attributes:
        steps: which step of the function made each.
    """

    def __init__(self) -> None:
        self._clock = 0
        self._sizes: list[int] = []
        self._spans: list[list[int | None]] = []
        self._addresses: dict[int, int] = {}
        self.steps: list[int] = []

    def allocated(self, size_bytes: int, address: int = 0, step: int = 0) -> int:
        """Write down an allocation at an address by a step; its number."""
        self._clock += 1
        self.steps.append(step)
        self._addresses[address] = len(self._sizes)
        self._sizes.append(size_bytes)
        self._spans.append([self._clock, None])
        return len(self._sizes) - 1

    def at(self, address: int) -> int | None:
        """The number of the allocation that has an address now, if it is of this tape."""
        return self._addresses.get(address)

    def freed(self, number: int, address: int = 0) -> None:
        """Write down that an allocation was given back."""
        self._clock += 1
        self._addresses.pop(address, None)
        self._spans[number][1] = self._clock

    def buffers(self) -> list[Buffer]:
        """What was allocated; what is still held lives to the end."""
        end = self._clock + 1
        return [
            Buffer(size, first or 0, end if last is None else last)
            for size, (first, last) in zip(self._sizes, self._spans, strict=True)
        ]


class Places:
    """The places of a planned arena, handed out in the order of the tape.

    Args:
        buffers: of the tape.
    """

    def __init__(self, buffers: Sequence[Buffer]):
        self.buffers = list(buffers)
        self.arena: Arena = plan(self.buffers)
        self._next = 0

    def again(self) -> None:
        """The next allocation is the first one again."""
        self._next = 0

    def take(self, size_bytes: int) -> int:
        """The offset of the next allocation.

        Raises:
            RuntimeError: another size, or one more, than was written down.
        """
        if self._next >= len(self.buffers):
            raise RuntimeError(
                f"allocation {self._next + 1} of {size_bytes} bytes was not made before"
            )
        want = self.buffers[self._next].size_bytes
        if size_bytes != want:
            raise RuntimeError(
                f"allocation {self._next + 1} is of {size_bytes} bytes and was of {want} before"
            )
        self._next += 1
        return self.arena.offsets[self._next - 1]


def watching_allocator(tape: MemoryTape, cupy: Any, table: Any = None) -> Any:
    """An allocator for ``cupy.cuda.using_allocator``: the present one, written down with the
    present step of a `StepTable`."""
    malloc = cupy.cuda.get_allocator()
    held: dict[int, Any] = {}  # address -> memory and its number on the tape

    def allocate(size: int, device: int) -> int:
        if not size:
            return 0
        memory = malloc(size)
        step = 0 if table is None else table.present
        held[memory.ptr] = memory, tape.allocated(size, memory.ptr, step)
        return memory.ptr

    def free(address: int, device: int) -> None:
        if address:
            tape.freed(held.pop(address)[1], address)

    return cupy.cuda.PythonFunctionAllocator(allocate, free).malloc


def arena_allocator(places: Places, cupy: Any) -> tuple[Any, Any]:
    """The arena's memory and an allocator out of it."""
    room = cupy.cuda.alloc(max(places.arena.size_bytes, 1))

    def allocate(size: int, device: int) -> int:
        return room.ptr + places.take(size) if size else 0

    made = cupy.cuda.PythonFunctionAllocator(allocate, lambda address, device: None)
    return room, made.malloc
