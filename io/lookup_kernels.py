"""Compiled kernels for the lookup tables of the ops room, which may not import this one.

Importing this module (`headrace.lookup` does) announces them; until they are compiled the
tables use their NumPy forms.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.lookup_index import use_kernels
from ..ops.string_array import StringArray
from .jit import address, kernel

__all__ = ["find", "fingerprints", "place"]


def fingerprints(x: StringArray) -> np.ndarray | None:
    """uint64 [n]: the fingerprint of each string of a vector, or None without a kernel."""
    run = kernel("fingerprint_strings")
    if run is None:
        return None
    data, starts, ends = _contiguous(x)
    out = np.empty(len(starts), np.uint64)
    run(address(data), address(starts), address(ends), len(starts), address(out))
    return out


def find(slots: np.ndarray, keys: Any, stored: Any) -> tuple[np.ndarray, np.ndarray] | None:
    """Rows (-1 for none) and tags of a vector of keys, or None without a kernel."""
    bits = len(slots).bit_length() - 1
    out = np.empty(len(keys), np.int64)
    if not isinstance(keys, StringArray):
        run = kernel("find_numbers")
        if run is None:
            return None
        numbers = np.ascontiguousarray(keys, np.int64)
        run(address(slots), bits, address(numbers), len(out), address(out))
        return out, numbers
    run = kernel("find_strings")
    if run is None:
        return None
    data, starts, ends = _contiguous(keys)
    tags = np.empty(len(out), np.int64)
    run(
        address(slots), bits, address(data), address(starts), address(ends), address(tags),
        len(out), address(stored.data), address(out),
    )  # fmt: skip
    return out, tags


def place(
    slots: np.ndarray, keys: Any, tags: np.ndarray, count: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """New rows for keys that have none, or None without a kernel; see `KeyIndex._placed`."""
    strings = isinstance(keys, StringArray)
    run = kernel("place_strings" if strings else "place_numbers")
    if run is None:
        return None
    bits, n = len(slots).bit_length() - 1, len(tags)
    rows, new, places = (np.empty(n, np.int64) for _ in range(3))
    tail = (n, count, address(rows), address(new), address(places))
    if strings:
        data, starts, ends = _contiguous(keys)
        bounds = (address(data), address(starts), address(ends))
        taken = run(address(slots), bits, *bounds, address(tags), *tail)
    else:
        taken = run(address(slots), bits, address(tags), *tail)
    return rows, new[:taken], places[:taken]


def _contiguous(x: StringArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    contiguous = np.ascontiguousarray
    return contiguous(x.data), contiguous(x.starts, np.int64), contiguous(x.ends, np.int64)


use_kernels(fingerprints=fingerprints, find=find, place=place)
