"""Rows of a table: taken by index, and added to by index.

Adding sorts the indices first and gives every row of the table to one warp, which adds what
belongs to it in the order it came: no atomic addition, so the same sum every time.  A long run
of one index is cut into pieces, which a second pass adds up.
"""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype
from .device import Kernel, current
from .prelude import PRELUDE, can_hold, storage_type

__all__ = ["add_rows", "gather", "source"]

_CUT = 512  # of a run, that one warp adds up
_SOURCE = r"""
typedef %(T)s T;
typedef %(I)s I;
typedef Wide<T>::type W;

// As TensorFlow's: rows beside the table are zeros.
extern "C" __global__ void __launch_bounds__(256) gather(
        const T* __restrict__ table, const I* __restrict__ indices, T* __restrict__ out,
        const i64 count, const i64 width, const i64 rows) {
    const i64 packs = width / %(pack)d;
    for (i64 i = (i64)blockIdx.x * 256 + threadIdx.x; i < count * packs;
         i += (i64)gridDim.x * 256) {
        const i64 at = i / packs, col = (i - at * packs) * %(pack)d;
        const i64 row = (i64)indices[at];
        Pack<T, %(pack)d> v;
        if (row >= 0 && row < rows) v = load_pack<%(pack)d>(table + row * width + col);
        else for (int e = 0; e < %(pack)d; e++) v.at[e] = narrow<T>((W)0);
        store_pack<%(pack)d>(out + at * width + col, v);
    }
}

// A warp for each piece of a run of equal indices: at most CUT places, none over a multiple of
// CUT.  Where a run is one piece it is added to the table, else kept as `parts` of that piece.
extern "C" __global__ void __launch_bounds__(256) add_sorted(
        T* __restrict__ table, const I* __restrict__ sorted, const i64* __restrict__ order,
        const T* __restrict__ values, W* __restrict__ parts,
        const i64 count, const i64 width, const i64 rows) {
    const i64 warp = ((i64)blockIdx.x * 256 + threadIdx.x) / 32;
    const int lane = threadIdx.x %% 32;
    for (i64 i = warp; i < count; i += (i64)gridDim.x * 8) {
        const I row = sorted[i];
        const bool first = i == 0 || sorted[i - 1] != row;
        if ((!first && i %% %(cut)d) || row < 0 || (i64)row >= rows) continue;
        i64 end = (i / %(cut)d + 1) * %(cut)d;
        if (end > count) end = count;
        const bool whole = first && (end == count || sorted[end] != row);
        for (i64 col = lane; col < width; col += 32) {
            W sum = 0;
            for (i64 j = i; j < end && sorted[j] == row; j++)
                sum += widen(values[order[j] * width + col]);
            if (whole) {
                T* to = table + (i64)row * width + col;
                *to = narrow<T>(widen(*to) + sum);
            } else {
                // The piece of a run's beginning, and the pieces that begin at a multiple.
                const i64 place = i / %(cut)d * 2 + (i %% %(cut)d != 0);
                parts[place * width + col] = sum;
            }
        }
    }
}

// A warp for each run of several pieces.
extern "C" __global__ void __launch_bounds__(256) add_parts(
        T* __restrict__ table, const I* __restrict__ sorted, const W* __restrict__ parts,
        const i64 count, const i64 width, const i64 rows) {
    const i64 warp = ((i64)blockIdx.x * 256 + threadIdx.x) / 32;
    const int lane = threadIdx.x %% 32;
    // A run of several pieces goes over a multiple of CUT; its first such multiple finds it.
    for (i64 m = warp + 1; m * %(cut)d < count; m += (i64)gridDim.x * 8) {
        const i64 at = m * %(cut)d;
        const I row = sorted[at];
        if (row < 0 || (i64)row >= rows || sorted[at - 1] != row) continue;
        const i64 before = at - %(cut)d;
        // Its beginning lies in the piece before, else an earlier multiple has it.
        if (sorted[before] == row && before != 0 && sorted[before - 1] == row) continue;
        const bool at_start = sorted[before] == row;
        for (i64 col = lane; col < width; col += 32) {
            W sum = parts[((m - 1) * 2 + !at_start) * width + col];
            for (i64 p = m; p * %(cut)d < count && sorted[p * %(cut)d] == row; p++)
                sum += parts[p * 2 * width + col];
            T* to = table + (i64)row * width + col;
            *to = narrow<T>(widen(*to) + sum);
        }
    }
}
"""


@functools.cache
def source(dtype: DType, index: DType, pack: int) -> str:
    """The source for a table's and the indices' dtypes."""
    return PRELUDE + _SOURCE % {
        "T": storage_type(dtype),
        "I": storage_type(index),
        "pack": pack,
        "cut": _CUT,
    }


def _takes(table: Any, indices: Any) -> bool:
    return (
        can_hold(as_dtype(table.dtype))
        and indices.dtype in (np.int32, np.int64)
        and bool(table.flags.c_contiguous)
    )


def gather(table: Any, indices: Any) -> Any:
    """table[indices]: [..., *row] for a table [rows, *row]; rows beside the table are zeros.

    NotImplemented for what no kernel takes.
    """
    if table.ndim < 1 or not _takes(table, indices):
        return NotImplemented
    device = current()
    out = device.xp.empty((*indices.shape, *table.shape[1:]), table.dtype)
    if not out.size:
        return out
    width = out.size // indices.size
    pack = max(min(16 // table.itemsize, 8), 1)
    while pack > 1 and (width % pack or device.address(table) % (pack * table.itemsize)):
        pack //= 2
    blocks = min(-(-(out.size // pack) // 256), device.processors * 16)
    text = source(as_dtype(table.dtype), as_dtype(indices.dtype), pack)
    sizes = [np.int64(n) for n in (indices.size, width, table.shape[0])]
    given = [table, device.xp.ascontiguousarray(indices), out, *sizes]
    device.launch(Kernel(text, "gather"), blocks, 256, given)
    return out


def add_rows(table: Any, indices: Any, values: Any) -> Any:
    """`table` with ``table[indices[i]] += values[i]``, written in place; indices beside the
    table are left out.  NotImplemented for what no kernel takes.

    Args:
        table: floats [rows, ...].
        indices: [n].
        values: [n, ...].
    """
    if not _takes(table, indices) or not as_dtype(table.dtype).is_floating:
        return NotImplemented
    if not values.size:
        return table
    device = current()
    xp = device.xp
    order = xp.argsort(indices, kind="stable") if xp is np else xp.argsort(indices)
    ordered = indices[order]
    width = values.size // indices.size
    wide = np.float64 if table.dtype == np.float64 else np.float32
    count = indices.size
    parts = xp.empty(((-(-count // _CUT)) * 2, width), wide)
    text = source(as_dtype(table.dtype), as_dtype(indices.dtype), 1)
    sizes = [np.int64(n) for n in (count, width, table.shape[0])]
    blocks = min(-(-count // 8), device.processors * 16)
    device.launch(
        Kernel(text, "add_sorted"), blocks, 256,
        [table, ordered, order.astype(np.int64), xp.ascontiguousarray(values), parts, *sizes],
    )  # fmt: skip
    if count > _CUT:
        device.launch(
            Kernel(text, "add_parts"), max(min(-(-count // (8 * _CUT)), blocks), 1), 256,
            [table, ordered, parts, *sizes],
        )  # fmt: skip
    return table
