"""Updates of repeated places, ``out[key] += values``, in any dtype on any device.

NumPy has them as ``ufunc.at``.  CuPy does them atomically, in a few dtypes: others go through a
wider one, complex numbers through their parts.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_module import array_module

__all__ = ["update_at"]

_ADDED = {"int32", "int64", "uint32", "uint64", "float16", "float32", "float64"}
_COMPARED = _ADDED - {"float16"}


def update_at(how: str, out: Any, key: Any, values: Any) -> None:
    """``out[key] = how(out[key], values)``, in place, for every place that `key` names.

    Args:
        how: ``"add"``, ``"subtract"``, ``"maximum"`` or ``"minimum"``.
        out: changed in place.
        key: an index or a tuple of them; places may repeat.
        values: broadcast against ``out[key]``.
    """
    xp = array_module(out)
    if xp is np:
        getattr(np, how).at(out, key, values)
        return
    if not isinstance(values, xp.ndarray):
        values = xp.asarray(values, out.dtype)
    if how == "subtract":
        how, values = "add", -values
    if out.dtype.kind == "c":
        update_at(how, out.real, key, values.real)
        update_at(how, out.imag, key, values.imag)
        return
    if out.dtype.name in (_ADDED if how == "add" else _COMPARED):
        getattr(xp, how).at(out, key, values.astype(out.dtype, copy=False))
        return
    wide = out.astype(np.int32 if out.dtype.kind in "biu" else np.float32)
    getattr(xp, how).at(wide, key, values.astype(wide.dtype))
    out[...] = wide.astype(out.dtype)
