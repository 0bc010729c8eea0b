"""Resampling: images resized along both axes by tables of weights (`image_weights`).

First every row is resized, then every column.  The two passes are kernels (LLVM IR) that are
compiled in the background; until they are there, and where they are turned off, NumPy does the
same.  Kernels run without the GIL.
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any

import numpy as np

from . import recycling
from .graph import llvm
from .image_weights import Taps

__all__ = ["resample", "resample_transposed"]

_kernels: dict[str, Any] = {}
_lock = threading.Lock()
_scratch = threading.local()

_PIXELS = {np.dtype(np.uint8): ("i8", "uitofp"), np.dtype(np.float32): ("float", "")}


def resample(x: np.ndarray, rows: Taps, cols: Taps) -> np.ndarray:
    """float32 [..., height, width, channels] resized along height and width."""
    if x.dtype not in _PIXELS:
        x = x.astype(np.float32)
    *lead, height, width, channels = x.shape
    out = recycling.empty((*lead, len(rows.starts), len(cols.starts), channels), np.float32)
    if not out.size or not x.size:
        out[:] = 0
        return out
    x = np.ascontiguousarray(x)
    kind, cast = _PIXELS[x.dtype]
    across = _kernel("across", kind, cols.weights.shape[1], cast)
    down = _kernel("down", "float", rows.weights.shape[1], "")
    images = x.reshape(-1, height, width, channels)
    results = out.reshape(-1, *out.shape[-3:])
    for image, result in zip(images, results, strict=True):
        if across is None or down is None:
            _with_numpy(image, rows, cols, result)
        else:
            _with_kernels(across, down, image, rows, cols, result)
    return out


def _with_kernels(across: Any, down: Any, image: np.ndarray, rows: Taps, cols: Taps,
                  out: np.ndarray) -> None:  # fmt: skip
    height, width, channels = image.shape
    count = height * len(cols.starts) * channels
    middle = getattr(_scratch, "array", None)
    if middle is None or not count <= middle.size <= 8 * count:
        middle = _scratch.array = np.empty(count, np.float32)
    at = middle.ctypes.data
    across(
        image.ctypes.data, height, width * channels, *_addresses(cols), len(cols.starts),
        channels, at,
    )  # fmt: skip
    down(at, len(rows.starts), len(cols.starts) * channels, *_addresses(rows), out.ctypes.data)


def _addresses(table: Taps) -> tuple[int, int, int]:
    return table.starts.ctypes.data, table.weights.ctypes.data, table.weights.shape[1]


def _with_numpy(image: np.ndarray, rows: Taps, cols: Taps, out: np.ndarray) -> None:
    wide = _weighed(image.astype(np.float32, copy=False), cols, 1)
    out[:] = _weighed(wide, rows, 0)


def _weighed(x: np.ndarray, table: Taps, axis: int) -> np.ndarray:
    """[height, width, channels] resized along one axis."""
    shape = (-1, 1, 1) if axis == 0 else (-1, 1)
    total = 0.0
    for t in range(table.weights.shape[1]):
        total = total + x.take(table.starts + t, axis) * table.weights[:, t].reshape(shape)
    return np.asarray(total)


def resample_transposed(g: np.ndarray, rows: Taps, cols: Taps, size: Any) -> np.ndarray:
    """The transposed of `resample`, for gradients: float32 [..., *size, channels].

    Args:
        g: float32 [..., result height, result width, channels].
        rows, cols: the tables `resample` took.
        size: height and width that it took.
    """
    height, width = size
    wide = np.matmul(_matrix(cols, width).T, g)
    flat = wide.reshape(*g.shape[:-2], -1)
    tall = np.matmul(_matrix(rows, height).T, flat)
    return tall.reshape(*g.shape[:-3], height, width, g.shape[-1])


def _matrix(table: Taps, size: int) -> np.ndarray:
    """The table as a matrix, float32 [result, size]."""
    out = np.zeros((len(table.starts), size), np.float32)
    for t in range(table.weights.shape[1]):
        out[np.arange(len(out)), table.starts + t] += table.weights[:, t]
    return out


# -- kernels ----------------------------------------------------------------------------------


def _kernel(way: str, kind: str, count: int, cast: str) -> Any:
    """The pass along rows ("across") or columns ("down"), or None while it is not compiled.

    The number of taps is a constant of the kernel where it is two, the case of bilinear.
    """
    name = f"resample_{way}_{kind}_{2 if count == 2 else 'n'}"
    found = _kernels.get(name)
    if found is None and name not in _kernels and llvm.enabled():
        with _lock:
            if name not in _kernels:
                _kernels[name] = None
                two = count == 2
                ir = _across_ir(kind, cast, two) if way == "across" else _down_ir(two)
                ir = ir.replace("@kernel", f"@{name}")
                llvm.request(name, ir, functools.partial(_arrived, name, way))
    return found


def _arrived(name: str, way: str, address: int) -> None:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    table = (pointer, pointer, number)
    kind = (
        ctypes.CFUNCTYPE(None, pointer, number, number, *table, number, number, pointer)
        if way == "across"
        else ctypes.CFUNCTYPE(None, pointer, number, number, *table, pointer)
    )
    _kernels[name] = kind(address)


def _across_ir(kind: str, cast: str, two: bool) -> str:
    """Rows of pixels of type `kind`, each resized to `cols` pixels.

    Three channels go as vectors of four: what is read and written one place too far belongs to
    the next pixel or row, which comes later.  The last row, behind which there is nothing, goes
    channel by channel, as do other numbers of channels.
    """

    def to_float(name: str, value: str, vector: bool) -> str:
        source, target = (f"<4 x {kind}>", "<4 x float>") if vector else (kind, "float")
        if cast:
            return f"{name} = {cast} {source} {value} to {target}"
        return f"{name} = bitcast {target} {value} to {target}"

    taps = "2" if two else "%taps"
    return f"""
define void @kernel(ptr noalias readonly %src, i64 %rows, i64 %stride,
                    ptr noalias readonly %starts, ptr noalias readonly %weights, i64 %taps,
                    i64 %cols, i64 %chans, ptr noalias %out) {{
entry:
  %ostride = mul i64 %cols, %chans
  %three = icmp eq i64 %chans, 3
  br label %row
row:
  %y = phi i64 [ 0, %entry ], [ %y.next, %row.end ]
  %srow.at = mul i64 %y, %stride
  %srow = getelementptr {kind}, ptr %src, i64 %srow.at
  %orow.at = mul i64 %y, %ostride
  %orow = getelementptr float, ptr %out, i64 %orow.at
  %y.next = add nuw nsw i64 %y, 1
  %before.last = icmp slt i64 %y.next, %rows
  %fast = and i1 %three, %before.last
  br i1 %fast, label %vpixel, label %pixel

vpixel:
  %vx = phi i64 [ 0, %row ], [ %vx.next, %vpixel.end ]
  %vstart.p = getelementptr i32, ptr %starts, i64 %vx
  %vstart.n = load i32, ptr %vstart.p
  %vstart = sext i32 %vstart.n to i64
  %vfirst.at = mul i64 %vstart, 3
  %vfirst = getelementptr {kind}, ptr %srow, i64 %vfirst.at
  %vw.at = mul i64 {taps}, %vx
  %vw = getelementptr float, ptr %weights, i64 %vw.at
  br label %vtap
vtap:
  %vt = phi i64 [ 0, %vpixel ], [ %vt.next, %vtap ]
  %vsum = phi <4 x float> [ zeroinitializer, %vpixel ], [ %vsum.next, %vtap ]
  %vp.at = mul i64 %vt, 3
  %vp = getelementptr {kind}, ptr %vfirst, i64 %vp.at
  %vraw = load <4 x {kind}>, ptr %vp, align 1
  {to_float("%vval", "%vraw", True)}
  %vweight.p = getelementptr float, ptr %vw, i64 %vt
  %vweight = load float, ptr %vweight.p
  %vone = insertelement <4 x float> poison, float %vweight, i64 0
  %vall = shufflevector <4 x float> %vone, <4 x float> poison, <4 x i32> zeroinitializer
  %vprod = fmul contract <4 x float> %vval, %vall
  %vsum.next = fadd contract <4 x float> %vsum, %vprod
  %vt.next = add nuw nsw i64 %vt, 1
  %vt.more = icmp sgt i64 {taps}, %vt.next
  br i1 %vt.more, label %vtap, label %vpixel.end
vpixel.end:
  %vo.at = mul i64 %vx, 3
  %vo = getelementptr float, ptr %orow, i64 %vo.at
  store <4 x float> %vsum.next, ptr %vo, align 4
  %vx.next = add nuw nsw i64 %vx, 1
  %vx.more = icmp slt i64 %vx.next, %cols
  br i1 %vx.more, label %vpixel, label %row.end

pixel:
  %x = phi i64 [ 0, %row ], [ %x.next, %pixel.end ]
  %start.p = getelementptr i32, ptr %starts, i64 %x
  %start.n = load i32, ptr %start.p
  %start = sext i32 %start.n to i64
  %first.at = mul i64 %start, %chans
  %first = getelementptr {kind}, ptr %srow, i64 %first.at
  %w.at = mul i64 {taps}, %x
  %w = getelementptr float, ptr %weights, i64 %w.at
  %opix.at = mul i64 %x, %chans
  %opix = getelementptr float, ptr %orow, i64 %opix.at
  br label %chan
chan:
  %c = phi i64 [ 0, %pixel ], [ %c.next, %chan.end ]
  %cfirst = getelementptr {kind}, ptr %first, i64 %c
  br label %tap
tap:
  %t = phi i64 [ 0, %chan ], [ %t.next, %tap ]
  %sum = phi float [ 0.0, %chan ], [ %sum.next, %tap ]
  %p.at = mul i64 %t, %chans
  %p = getelementptr {kind}, ptr %cfirst, i64 %p.at
  %raw = load {kind}, ptr %p
  {to_float("%val", "%raw", False)}
  %weight.p = getelementptr float, ptr %w, i64 %t
  %weight = load float, ptr %weight.p
  %prod = fmul contract float %val, %weight
  %sum.next = fadd contract float %sum, %prod
  %t.next = add nuw nsw i64 %t, 1
  %t.more = icmp sgt i64 {taps}, %t.next
  br i1 %t.more, label %tap, label %chan.end
chan.end:
  %o = getelementptr float, ptr %opix, i64 %c
  store float %sum.next, ptr %o
  %c.next = add nuw nsw i64 %c, 1
  %c.more = icmp slt i64 %c.next, %chans
  br i1 %c.more, label %chan, label %pixel.end
pixel.end:
  %x.next = add nuw nsw i64 %x, 1
  %x.more = icmp slt i64 %x.next, %cols
  br i1 %x.more, label %pixel, label %row.end

row.end:
  br i1 %before.last, label %row, label %done
done:
  ret void
}}
"""


def _down_ir(two: bool) -> str:
    """Rows of `cols` floats, weighed and added to `rows` result rows."""
    first = """
  %a.p = getelementptr float, ptr %srow, i64 %x
  %a = load float, ptr %a.p
  %v0 = fmul contract float %a, %w0
"""
    if two:
        first += """
  %b.p = getelementptr float, ptr %srow1, i64 %x
  %b = load float, ptr %b.p
  %b.v = fmul contract float %b, %w1
  %v = fadd contract float %v0, %b.v
"""
    else:
        first += "  %v = fadd float %v0, 0.0\n"
    return f"""
define void @kernel(ptr noalias readonly %src, i64 %rows, i64 %cols,
                    ptr noalias readonly %starts, ptr noalias readonly %weights, i64 %taps,
                    ptr noalias %out) {{
entry:
  br label %row
row:
  %y = phi i64 [ 0, %entry ], [ %y.next, %row.end ]
  %start.p = getelementptr i32, ptr %starts, i64 %y
  %start.n = load i32, ptr %start.p
  %start = sext i32 %start.n to i64
  %srow.at = mul i64 %start, %cols
  %srow = getelementptr float, ptr %src, i64 %srow.at
  %srow1 = getelementptr float, ptr %srow, i64 %cols
  %orow.at = mul i64 %y, %cols
  %orow = getelementptr float, ptr %out, i64 %orow.at
  %w.at = mul i64 %y, {2 if two else "%taps"}
  %w = getelementptr float, ptr %weights, i64 %w.at
  %w0 = load float, ptr %w
  %w1.p = getelementptr float, ptr %w, i64 {1 if two else 0}
  %w1 = load float, ptr %w1.p
  br label %first
first:
  %x = phi i64 [ 0, %row ], [ %x.next, %first ]
{first}
  %o.p = getelementptr float, ptr %orow, i64 %x
  store float %v, ptr %o.p
  %x.next = add nuw nsw i64 %x, 1
  %x.more = icmp slt i64 %x.next, %cols
  br i1 %x.more, label %first, label %first.end
first.end:
  %several = icmp sgt i64 {2 if two else "%taps"}, {2 if two else 1}
  br i1 %several, label %tap, label %row.end
tap:
  %t = phi i64 [ 1, %first.end ], [ %t.next, %tap.end ]
  %trow.at = mul i64 %t, %cols
  %trow = getelementptr float, ptr %srow, i64 %trow.at
  %wt.p = getelementptr float, ptr %w, i64 %t
  %wt = load float, ptr %wt.p
  br label %more
more:
  %mx = phi i64 [ 0, %tap ], [ %mx.next, %more ]
  %m.p = getelementptr float, ptr %trow, i64 %mx
  %m = load float, ptr %m.p
  %mo.p = getelementptr float, ptr %orow, i64 %mx
  %mo = load float, ptr %mo.p
  %m.v = fmul contract float %m, %wt
  %m.s = fadd contract float %mo, %m.v
  store float %m.s, ptr %mo.p
  %mx.next = add nuw nsw i64 %mx, 1
  %mx.more = icmp slt i64 %mx.next, %cols
  br i1 %mx.more, label %more, label %tap.end
tap.end:
  %t.next = add nuw nsw i64 %t, 1
  %t.more = icmp slt i64 %t.next, %taps
  br i1 %t.more, label %tap, label %row.end
row.end:
  %y.next = add nuw nsw i64 %y, 1
  %y.more = icmp slt i64 %y.next, %rows
  br i1 %y.more, label %row, label %done
done:
  ret void
}}
"""
