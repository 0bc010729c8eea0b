"""Resampling: images resized along both axes by tables of weights (`image_weights`).

Rows are resized first, then columns: of each result row the few source rows it is made of,
which are kept until the result has moved on, in a cache instead of an image between.  The
kernel (LLVM IR) is compiled, or loaded, at the first image: some 15 ms, once.  NumPy, which
rounds a little differently, does the same where kernels are turned off; so that what an image
becomes depends on no timing.  Kernels run without the GIL.
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


def resample(
    x: np.ndarray, rows: Taps, cols: Taps, out: np.ndarray | None = None
) -> np.ndarray:
    """float32 [..., height, width, channels] resized along height and width.

    Args:
        x: [..., source height, source width, channels].
        rows, cols: the tables; those of columns in any order.
        out: where the result goes, without gaps.
    """
    if x.dtype not in _PIXELS:
        x = x.astype(np.float32)
    *lead, height, width, channels = x.shape
    if out is None:
        shape = (*lead, len(rows.starts), len(cols.starts), channels)
        out = recycling.empty(shape, np.float32)
    if not out.size or not x.size:
        out[:] = 0
        return out
    x = np.ascontiguousarray(x)
    kind, cast = _PIXELS[x.dtype]
    kernel = _kernel(kind, cast, cols.weights.shape[1], rows.weights.shape[1])
    images = x.reshape(-1, height, width, channels)
    results = out.reshape(-1, *out.shape[-3:])
    for image, result in zip(images, results, strict=True):
        if kernel is None:
            _with_numpy(image, rows, cols, result)
        else:
            _with_kernel(kernel, image, rows, cols, result)
    return out


def _with_kernel(kernel: Any, image: np.ndarray, rows: Taps, cols: Taps,
                 out: np.ndarray) -> None:  # fmt: skip
    height, width, channels = image.shape
    # The rows in work; a vector of four is written one place too far.
    count = rows.weights.shape[1] * (len(cols.starts) * channels + 1)
    ring = getattr(_scratch, "array", None)
    if ring is None or not count <= ring.size <= 8 * count:
        ring = _scratch.array = np.empty(count, np.float32)
    kernel(
        image.ctypes.data, height, width * channels, *_addresses(cols), len(cols.starts),
        channels, *_addresses(rows), len(rows.starts), ring.ctypes.data, out.ctypes.data,
    )  # fmt: skip


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


def _kernel(kind: str, cast: str, across: int, down: int) -> Any:
    """The kernel for images of pixels of type `kind`, or None where there is none.

    The numbers of taps along both axes are constants of it where they are two, the case of
    bilinear.
    """
    name = f"resample_{kind}_{2 if across == 2 else 'n'}_{2 if down == 2 else 'n'}"
    found = _kernels.get(name)
    if found is None and llvm.enabled():
        with _lock:  # who comes second waits
            if name not in _kernels:
                _kernels[name] = None
                ir = _across_ir(kind, cast, across == 2) + _down_ir(down == 2) + _LOOP_IR
                ir = ir.replace("{kind}", kind).replace("@kernel", f"@{name}")
                llvm.load(name, ir, functools.partial(_arrived, name))
            found = _kernels[name]
    return found


def _arrived(name: str, address: int) -> None:
    pointer, number = ctypes.c_void_p, ctypes.c_int64
    table = (pointer, pointer, number)
    kind = ctypes.CFUNCTYPE(
        None, pointer, number, number, *table, number, number, *table, number, pointer, pointer
    )
    _kernels[name] = kind(address)


# Source rows are resized as they are first needed, row r to place r modulo the number of taps.
_LOOP_IR = """
declare float @llvm.fmuladd.f32(float, float, float)
declare <4 x float> @llvm.fmuladd.v4f32(<4 x float>, <4 x float>, <4 x float>)
define void @kernel(ptr noalias readonly %src, i64 %height, i64 %stride,
                    ptr noalias readonly %cstarts, ptr noalias readonly %cweights, i64 %ctaps,
                    i64 %cols, i64 %chans,
                    ptr noalias readonly %rstarts, ptr noalias readonly %rweights, i64 %rtaps,
                    i64 %rows, ptr noalias %ring, ptr noalias %out) {
entry:
  %size = mul i64 %cols, %chans
  %room = add i64 %size, 1
  br label %row
row:
  %y = phi i64 [ 0, %entry ], [ %y.next, %down ]
  %done = phi i64 [ 0, %entry ], [ %done.next, %down ]
  %start.p = getelementptr i32, ptr %rstarts, i64 %y
  %start.n = load i32, ptr %start.p
  %start = sext i32 %start.n to i64
  %stop = add i64 %start, %rtaps
  %behind = icmp slt i64 %done, %start
  %from = select i1 %behind, i64 %start, i64 %done
  %any = icmp slt i64 %from, %stop
  %done.next = select i1 %any, i64 %stop, i64 %done
  br i1 %any, label %across, label %down
across:
  %r = phi i64 [ %from, %row ], [ %r.next, %across ]
  %r.next = add nuw nsw i64 %r, 1
  %s.at = mul i64 %r, %stride
  %s = getelementptr {kind}, ptr %src, i64 %s.at
  %place = urem i64 %r, %rtaps
  %m.at = mul i64 %place, %room
  %m = getelementptr float, ptr %ring, i64 %m.at
  %inside = icmp slt i64 %r.next, %height
  call void @across(ptr %s, i1 %inside, ptr %cstarts, ptr %cweights, i64 %ctaps, i64 %cols,
                    i64 %chans, ptr %m)
  %more = icmp slt i64 %r.next, %stop
  br i1 %more, label %across, label %down
down:
  %w.at = mul i64 %y, %rtaps
  %w = getelementptr float, ptr %rweights, i64 %w.at
  %o.at = mul i64 %y, %size
  %o = getelementptr float, ptr %out, i64 %o.at
  call void @down(ptr %ring, i64 %start, i64 %room, i64 %size, ptr %w, i64 %rtaps, ptr %o)
  %y.next = add nuw nsw i64 %y, 1
  %y.more = icmp slt i64 %y.next, %rows
  br i1 %y.more, label %row, label %done.all
done.all:
  ret void
}
"""


def _across_ir(kind: str, cast: str, two: bool) -> str:
    """A row of pixels of type `kind` resized to `cols` pixels.

    Three channels go as vectors of four: what is written one place too far belongs to the next
    pixel, which comes later, and what is read too far to the next row.  The last row, behind
    which there is nothing, goes channel by channel, as do other numbers of channels.
    """

    def to_float(name: str, value: str, vector: bool) -> str:
        source, target = (f"<4 x {kind}>", "<4 x float>") if vector else (kind, "float")
        if cast:
            return f"{name} = {cast} {source} {value} to {target}"
        return f"{name} = bitcast {target} {value} to {target}"

    taps = "2" if two else "%taps"
    add = "%sum.next = call float @llvm.fmuladd.f32(float %val, float %weight, float %sum)"
    if two:
        # As these kernels have always rounded: one at a time but for three channels.
        add = """
  %fused = call float @llvm.fmuladd.f32(float %val, float %weight, float %sum)
  %prod = fmul float %val, %weight
  %plain = fadd float %sum, %prod
  %sum.next = select i1 %three, float %fused, float %plain"""
    return f"""
define internal void @across(ptr noalias readonly %srow, i1 %inside,
                             ptr noalias readonly %starts, ptr noalias readonly %weights,
                             i64 %taps, i64 %cols, i64 %chans, ptr noalias %orow) {{
entry:
  %three = icmp eq i64 %chans, 3
  %fast = and i1 %three, %inside
  br i1 %fast, label %vpixel, label %pixel

vpixel:
  %vx = phi i64 [ 0, %entry ], [ %vx.next, %vpixel.end ]
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
  %vsum.next = call <4 x float> @llvm.fmuladd.v4f32(<4 x float> %vval, <4 x float> %vall,
                                                    <4 x float> %vsum)
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
  %x = phi i64 [ 0, %entry ], [ %x.next, %pixel.end ]
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
  {add}
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
  ret void
}}
"""


def _down_ir(two: bool) -> str:
    """A result row of `cols` floats: rows of the ring, weighed and added."""
    first = """
  %a.p = getelementptr float, ptr %srow, i64 %x
  %a = load float, ptr %a.p
  %v0 = fmul float %a, %w0
"""
    if two:
        first += """
  %b.p = getelementptr float, ptr %srow1, i64 %x
  %b = load float, ptr %b.p
  %b.v = fmul float %b, %w1
  %v = call float @llvm.fmuladd.f32(float %a, float %w0, float %b.v)
"""
    else:
        first += "  %v = fadd float %v0, 0.0\n"
    second = "%w1.p = getelementptr float, ptr %w, i64 1\n  %w1 = load float, ptr %w1.p"
    return f"""
define internal void @down(ptr noalias readonly %ring, i64 %start, i64 %room, i64 %cols,
                           ptr noalias readonly %w, i64 %taps, ptr noalias %orow) {{
entry:
  %place = urem i64 %start, {2 if two else "%taps"}
  %srow.at = mul i64 %place, %room
  %srow = getelementptr float, ptr %ring, i64 %srow.at
  %start.1 = add i64 %start, 1
  %place.1 = urem i64 %start.1, {2 if two else "%taps"}
  %srow1.at = mul i64 %place.1, %room
  %srow1 = getelementptr float, ptr %ring, i64 %srow1.at
  %w0 = load float, ptr %w
  {second if two else ""}
  br label %first
first:
  %x = phi i64 [ 0, %entry ], [ %x.next, %first ]
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
  %t.row = add i64 %start, %t
  %t.place = urem i64 %t.row, %taps
  %trow.at = mul i64 %t.place, %room
  %trow = getelementptr float, ptr %ring, i64 %trow.at
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
  ret void
}}
"""
