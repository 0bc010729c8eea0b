"""Which array library a value belongs to: NumPy, or CuPy where a device is in use."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

__all__ = ["array_module"]


def array_module(*arrays: Any) -> Any:
    """``cupy`` if any argument is a CuPy array, else ``numpy``.

    An op's `impl` calls this once, at its top, and is then written once for both.
    """
    cupy = sys.modules.get("cupy")
    if cupy is not None:
        for a in arrays:
            if isinstance(a, cupy.ndarray):
                return cupy
    return np
