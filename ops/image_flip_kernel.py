"""The kernel that reverses the columns of an image (LLVM IR, compiled in the background).

A view with negative strides costs nothing, but whatever reads it then works pixel by pixel: for
images of three channels that takes NumPy several times as long as this copy.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

import numpy as np

from . import recycling
from .graph import llvm

__all__ = ["mirrored"]

_TYPES = {np.dtype(np.uint8): "i8", np.dtype(np.float32): "float"}
_kernels: dict[str, Any] = {}
_lock = threading.Lock()


def mirrored(x: np.ndarray) -> np.ndarray:
    """[..., height, width, channels] with its columns reversed; a view where there is no kernel
    for it (yet)."""
    kind = _TYPES.get(x.dtype)
    if kind is None or x.shape[-1] != 3 or not x.size or not x.flags.c_contiguous:
        return x[..., ::-1, :]
    kernel = _kernel(kind)
    if kernel is None:
        return x[..., ::-1, :]
    out = recycling.empty(x.shape, x.dtype)
    width = x.shape[-2]
    kernel(x.ctypes.data, x.size // (3 * width), width, out.ctypes.data)
    return out


def _kernel(kind: str) -> Any:
    found = _kernels.get(kind)
    if found is None and kind not in _kernels and llvm.enabled():
        with _lock:
            if kind not in _kernels:
                _kernels[kind] = None
                name = f"mirror_{kind}"
                llvm.request(name, _ir(name, kind), functools.partial(_arrived, kind))
    return found


def _arrived(kind: str, address: int) -> None:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    _kernels[kind] = ctypes.CFUNCTYPE(None, pointer, number, number, pointer)(address)


def _ir(name: str, kind: str) -> str:
    """Three channels go as vectors of four.  What is written one place too far belongs to the
    next pixel, which comes later; what is read too far is the next row's, so the last row goes
    channel by channel."""
    return f"""
define void @{name}(ptr noalias readonly %src, i64 %rows, i64 %cols, ptr noalias %out) {{
entry:
  %stride = mul i64 %cols, 3
  br label %row
row:
  %y = phi i64 [ 0, %entry ], [ %y.next, %row.end ]
  %at = mul i64 %y, %stride
  %srow = getelementptr {kind}, ptr %src, i64 %at
  %orow = getelementptr {kind}, ptr %out, i64 %at
  %y.next = add nuw nsw i64 %y, 1
  %more = icmp slt i64 %y.next, %rows
  br i1 %more, label %fast, label %slow
fast:
  %x = phi i64 [ 0, %row ], [ %x.next, %fast ]
  %x.next = add nuw nsw i64 %x, 1
  %from = sub i64 %cols, %x.next
  %s.at = mul i64 %from, 3
  %s = getelementptr {kind}, ptr %srow, i64 %s.at
  %v = load <4 x {kind}>, ptr %s, align 1
  %o.at = mul i64 %x, 3
  %o = getelementptr {kind}, ptr %orow, i64 %o.at
  store <4 x {kind}> %v, ptr %o, align 1
  %x.more = icmp slt i64 %x.next, %cols
  br i1 %x.more, label %fast, label %row.end
slow:
  %z = phi i64 [ 0, %row ], [ %z.next, %slow ]
  %z.next = add nuw nsw i64 %z, 1
  %z.from = sub i64 %cols, %z.next
  %r.at = mul i64 %z.from, 3
  %w.at = mul i64 %z, 3
  %r0 = getelementptr {kind}, ptr %srow, i64 %r.at
  %r1 = getelementptr {kind}, ptr %r0, i64 1
  %r2 = getelementptr {kind}, ptr %r0, i64 2
  %v0 = load {kind}, ptr %r0
  %v1 = load {kind}, ptr %r1
  %v2 = load {kind}, ptr %r2
  %w0 = getelementptr {kind}, ptr %orow, i64 %w.at
  %w1 = getelementptr {kind}, ptr %w0, i64 1
  %w2 = getelementptr {kind}, ptr %w0, i64 2
  store {kind} %v0, ptr %w0
  store {kind} %v1, ptr %w1
  store {kind} %v2, ptr %w2
  %z.more = icmp slt i64 %z.next, %cols
  br i1 %z.more, label %slow, label %row.end
row.end:
  br i1 %more, label %row, label %done
done:
  ret void
}}
"""
