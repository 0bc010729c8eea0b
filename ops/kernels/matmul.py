"""Products of large matrices by a compiled kernel, in float32; None where there is none.

The kernel packs both operands itself, so that transposed ones cost nothing more.  It is some
7 % faster than the BLAS that NumPy bundles, which does the work until it is there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .. import recycling
from ..determinism import is_deterministic
from . import build, calls, memory
from .matmul_code import MATMUL, scratch_bytes, tile_rows

__all__ = ["MIN_WORK", "matmul"]

MIN_WORK = 100_000_000  # multiply-adds
_LEAST = 48  # of every size: below, packing and half tiles cost more than is gained


def matmul(x: np.ndarray, y: np.ndarray) -> np.ndarray | None:
    """``x @ y`` of float32 matrices, views of transposes included, or None."""
    (m, k), n = x.shape, y.shape[1]
    if m * n * k < MIN_WORK or min(m, n, k) < _LEAST:
        return None
    of_x, of_y = _layout(x), _layout(y)
    if of_x is None or of_y is None:
        return None
    run = build.kernel("matmul_part")
    if run is None:
        if not is_deterministic() or not build.ensure_compiled():
            return None
        run = build.kernel("matmul_part")
        assert run is not None
    out = recycling.empty((m, n), np.dtype(np.float32))
    width = build.vector_width()
    by_rows = m >= n
    step = tile_rows(width) if by_rows else 2 * width
    at_x, at_y, at_out = (memory.address(a) for a in (x, y, out))
    row = out.strides[0]

    def part(first: int, last: int) -> None:
        size = last - first
        rows, columns = (size, n) if by_rows else (m, size)
        where = calls.parameters(
            MATMUL,
            a=at_x + (first * x.strides[0] if by_rows else 0), a_row=of_x[0],
            b=at_y + (0 if by_rows else first * y.strides[1]), b_row=of_y[0],
            c=at_out + first * (row if by_rows else 4), c_row=row,
            m=rows, n=columns, k=k, turn_a=of_x[1], turn_b=of_y[1],
            scratch=memory.scratch(scratch_bytes(width, columns, k)),
        )  # fmt: skip
        run(memory.address(where))

    calls.spread(part, calls.cuts(m if by_rows else n, step, m * n * k, 1))
    return out


def _layout(a: Any) -> tuple[int, int] | None:
    """Bytes between the rows as they are stored, and whether the transpose is stored."""
    if type(a) is not np.ndarray or a.dtype != np.float32:
        return None
    rows, columns = a.strides
    if columns == 4:
        return rows, 0
    return (columns, 1) if rows == 4 else None
