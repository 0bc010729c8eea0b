"""The ufuncs a `StringArray` takes part in: joining (``np.add``) and comparisons.

They work on the bytes of all elements at once, never element by element.  This module gets and
gives offsets and buffers, so that it need not know the class.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["equal", "joined", "ordered"]


def spans(starts: Any, lengths: Any) -> Any:
    """Positions of all bytes of the elements, one element after the other."""
    ends = np.cumsum(lengths)
    total = int(ends[-1]) if len(ends) else 0
    where = np.repeat(starts - (ends - lengths), lengths)
    where += np.arange(total)
    return where


def equal(a: Any, b: Any) -> Any:
    """Whether the strings of `a` and `b` are equal, elementwise, with broadcasting."""
    a_starts, b_starts = np.broadcast_arrays(a.starts, b.starts)
    lengths, b_lengths = np.broadcast_arrays(a.lengths, b.lengths)
    same = lengths == b_lengths
    shape = same.shape
    same = same.reshape(-1)
    # Empty strings have no bytes to compare: they are equal already.
    left = np.flatnonzero(same & (lengths.reshape(-1) > 0))
    if left.size:
        size = lengths.reshape(-1)[left]
        agree = (
            a.data[spans(a_starts.reshape(-1)[left], size)]
            == b.data[spans(b_starts.reshape(-1)[left], size)]
        )
        same[left] = np.logical_and.reduceat(agree, np.cumsum(size) - size)
    return same.reshape(shape)


def joined(a: Any, b: Any) -> tuple[Any, Any, Any]:
    """Buffer, starts and ends of the strings of `a`, each followed by that of `b`."""
    a_starts, b_starts = np.broadcast_arrays(a.starts, b.starts)
    a_lengths, b_lengths = np.broadcast_arrays(a.lengths, b.lengths)
    shape = a_starts.shape
    first, second = a_lengths.reshape(-1), b_lengths.reshape(-1)
    lengths = first + second
    ends = np.cumsum(lengths, dtype=np.int64)
    starts = ends - lengths
    data = np.empty(int(ends[-1]) if len(ends) else 0, np.uint8)
    data[spans(starts, first)] = a.data[spans(a_starts.reshape(-1), first)]
    data[spans(starts + first, second)] = b.data[spans(b_starts.reshape(-1), second)]
    return data, starts.reshape(shape), ends.reshape(shape)


def ordered(ufunc: Any, a: Any, b: Any) -> Any:
    """``ufunc`` (less and its like) of the strings as `bytes`."""
    return ufunc(a.numpy(), b.numpy()).astype(bool)
