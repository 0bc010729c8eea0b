"""What callers of kernels share: parameters as an array, and work cut in parts for threads."""

from __future__ import annotations

import itertools
import struct
from typing import Any

import numpy as np

from .. import workers
from . import memory

__all__ = ["cuts", "float_bits", "parameters", "spread"]

_SERIAL_WORK = 2_000_000  # multiply-adds; a smaller job ends before a thread has woken up


def parameters(names: tuple[str, ...], **given: Any) -> np.ndarray:
    """A kernel's parameters; arrays give their addresses, what is not given is 0."""
    return np.array(
        [
            memory.address(v) if isinstance(v, np.ndarray) else v
            for v in (given.get(name, 0) for name in names)
        ],
        np.int64,
    )


def float_bits(value: float) -> int:
    """A float32's bits, as a parameter carries them."""
    return int(struct.unpack("<I", struct.pack("<f", value))[0])


def cuts(count: int, step: int, work: int, each: int) -> list[tuple[int, int]]:
    """[0, count) in ranges of multiples of `step`, up to `each` per thread; one range where the
    work (in multiply-adds) is small."""
    threads = workers.count()
    blocks = -(-count // step)
    parts = 1 if work < _SERIAL_WORK or threads < 2 else min(threads * each, blocks)
    edges = [blocks * i // parts * step for i in range(parts)] + [count]
    return list(itertools.pairwise(edges))


def spread(call: Any, arguments: list[tuple[Any, ...]]) -> None:
    """Call for each of the arguments, on several threads where there are several."""
    if len(arguments) == 1:
        call(*arguments[0])
        return
    left = arguments[::-1]

    def work() -> None:
        while left:
            try:
                mine = left.pop()
            except IndexError:  # another thread took the last one
                return
            call(*mine)

    workers.spread([work] * min(len(arguments), workers.count()))
