"""The random choices of a shuffle buffer: which row leaves, independent of the data.

A buffer of B slots; at step t a slot is drawn uniformly, its row leaves and the next input row
takes its place.  Step t's draw depends only on (seeds, epoch, t): draws are made in chunks,
each by a Philox generator with a counter of its own, so any step can be computed again.

`exchange` carries out many steps.  Its plain form sorts the drawn slots: within a run of equal
slots each step emits what the step before put there.  A compiled loop (0.6 ns a step against
15) replaces it once a process has shuffled enough to be worth compiling it, in the background.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Any

import numpy as np

from ..ops.graph import llvm

__all__ = ["Draws", "exchange"]

_COMPILE_AFTER_STEPS = 30_000
_WIDE, _PART = 8192, 4096


class Draws:
    """The slots drawn by a shuffle of `buffer_size` in one epoch.

    Attributes:
        chunk: draws are made this many at a time.
    """

    def __init__(self, seeds: tuple[int, int], epoch: int, buffer_size: int):
        self._seeds = seeds
        self._epoch = epoch
        self._buffer_size = buffer_size
        self.chunk = min(max(buffer_size // 2 * 2, 1024), 16384)
        self._number = -1
        self._slots = np.empty(0, np.int64)

    def upto_chunk_end(self, step: int) -> int:
        """How many draws from `step` on are in its chunk."""
        return self.chunk - step % self.chunk

    def slots(self, step: int, count: int) -> np.ndarray:
        """The slots of steps ``step .. step + count - 1``, all of one chunk."""
        number, offset = divmod(step, self.chunk)
        if number != self._number:
            self._slots = self._draw(self._bits(0, number))
            self._number = number
        return self._slots[offset : offset + count]

    def last_order(self, count: int) -> np.ndarray:
        """The order in which the last `count` rows leave."""
        return np.random.Generator(self._bits(1, 0)).permutation(count)

    def _draw(self, bits: np.random.Philox) -> np.ndarray:
        size = self._buffer_size
        if size > 1 << 20:
            return np.random.Generator(bits).integers(0, size, self.chunk)
        # Multiply and shift: twice as fast, and its bias, size / 2**32, is nobody's concern.
        words = bits.random_raw(self.chunk // 2).view(np.uint32).astype(np.uint64)
        words *= np.uint64(size)
        words >>= np.uint64(32)
        kind = np.uint16 if size <= 1 << 16 else np.int64
        return words.astype(kind)

    def _bits(self, purpose: int, number: int) -> np.random.Philox:
        counter = [0, number, self._epoch, purpose]
        return np.random.Philox(key=list(self._seeds), counter=counter)


def exchange(slots: np.ndarray, contents: np.ndarray, incoming: np.ndarray) -> np.ndarray:
    """Carry out ``len(slots)`` steps: `contents[slot]` leaves, `incoming[t]` takes its place.

    Args:
        slots: the slot drawn at each step.
        contents: int64 number of the row in each slot; changed in place.
        incoming: int64 number of the row that comes at each step.

    Returns:
        int64 number of the row that leaves at each step.
    """
    kernel = _kernel(len(slots))
    if kernel is not None:
        leaving = np.empty(len(slots), np.int64)
        kernel(slots.astype(np.int64), contents, np.ascontiguousarray(incoming), leaving)
        return leaving
    return exchange_plain(slots, contents, incoming)


def exchange_plain(slots: np.ndarray, contents: np.ndarray, incoming: np.ndarray) -> np.ndarray:
    """`exchange` in NumPy; `incoming` must be distinct and not in `contents`."""
    if not len(slots):
        return np.empty(0, np.int64)
    if len(contents) >= _WIDE:
        parts = [slice(t, t + _PART) for t in range(0, len(slots), _PART)]
        return np.concatenate([_exchange_few(slots[p], contents, incoming[p]) for p in parts])
    return _exchange_sorted(slots, contents, incoming)


def _exchange_few(slots: np.ndarray, contents: np.ndarray, incoming: np.ndarray) -> np.ndarray:
    """Few steps on many slots: most slots are drawn once, and the others are mended."""
    leaving = contents[slots]
    contents[slots] = incoming  # of a slot drawn again, the last one stays
    twice = slots[contents[slots] != incoming]
    if len(twice):
        drawn_again = np.zeros(len(contents), bool)
        drawn_again[twice] = True
        steps = np.flatnonzero(drawn_again[slots])
        order = np.argsort(slots[steps], kind="stable")
        drawn, steps = slots[steps][order], steps[order]
        again = drawn[1:] == drawn[:-1]
        leaving[steps[1:][again]] = incoming[steps[:-1][again]]
    return leaving


def _exchange_sorted(
    slots: np.ndarray, contents: np.ndarray, incoming: np.ndarray
) -> np.ndarray:
    """Many steps on few slots."""
    order = np.argsort(slots, kind="stable")
    drawn = slots[order]
    again = drawn[1:] == drawn[:-1]
    leaving = np.empty(len(slots), np.int64)
    leaving[order] = contents[drawn]
    leaving[order[1:][again]] = incoming[order[:-1][again]]
    last = np.append(~again, True)
    contents[drawn[last]] = incoming[order[last]]
    return leaving


# One step of the loop: leaving[t] = contents[slots[t]]; contents[slots[t]] = incoming[t].
_LOOP = """
define void @exchange(ptr noalias %slots, ptr noalias %contents, ptr noalias %incoming,
                      ptr noalias %leaving, i64 %count) {
entry:
  %any = icmp sgt i64 %count, 0
  br i1 %any, label %step, label %end
step:
  %t = phi i64 [0, %entry], [%next, %step]
  %slot.at = getelementptr i64, ptr %slots, i64 %t
  %slot = load i64, ptr %slot.at
  %content.at = getelementptr i64, ptr %contents, i64 %slot
  %content = load i64, ptr %content.at
  %leaving.at = getelementptr i64, ptr %leaving, i64 %t
  store i64 %content, ptr %leaving.at
  %incoming.at = getelementptr i64, ptr %incoming, i64 %t
  %comes = load i64, ptr %incoming.at
  store i64 %comes, ptr %content.at
  %next = add nuw nsw i64 %t, 1
  %more = icmp slt i64 %next, %count
  br i1 %more, label %step, label %end
end:
  ret void
}
"""

_compiled: Callable[..., Any] | None = None
_steps = 0
_requested = False


def _kernel(steps: int) -> Callable[..., Any] | None:
    global _steps, _requested
    if _compiled is None and not _requested:
        _steps += steps
        if _steps > _COMPILE_AFTER_STEPS and llvm.enabled():
            _requested = True
            llvm.request("exchange", _LOOP, _take_code)
    return _compiled


def _take_code(address: int) -> None:
    global _compiled
    native = ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * 4, ctypes.c_int64)(address)

    def run(slots: Any, contents: Any, incoming: Any, leaving: Any) -> None:
        arrays = (slots, contents, incoming, leaving)
        native(*(a.__array_interface__["data"][0] for a in arrays), len(slots))

    _compiled = run
