"""Casts of many arrays in one launch: the weights of a network in mixed precision, and their
gradients.  A block takes a piece of one array, as in `updates`."""

from __future__ import annotations

import functools
from typing import Any

from ..dtypes import DType, as_dtype
from .device import Kernel, current
from .prelude import PRELUDE, can_hold, storage_type
from .updates import PIECE, tables

__all__ = ["cast_all", "source"]

_KERNEL = r"""
typedef %(S)s S;
typedef %(D)s D;

// `table`: of each array, its address and that of its cast; `pieces`: of each block, its array
// and first element.
extern "C" __global__ void __launch_bounds__(256) cast_all(
        const u64* __restrict__ table, const i64* __restrict__ sizes,
        const i64* __restrict__ pieces) {
    const i64 which = pieces[2 * blockIdx.x], start = pieces[2 * blockIdx.x + 1];
    const S* from = reinterpret_cast<const S*>(table[2 * which]);
    D* to = reinterpret_cast<D*>(table[2 * which + 1]);
    i64 end = start + %(piece)d;
    if (end > sizes[which]) end = sizes[which];
    const bool packed = table[2 * which] %% sizeof(Pack<S, %(pack)d>) == 0
        && table[2 * which + 1] %% sizeof(Pack<D, %(pack)d>) == 0;
    if (packed) for (i64 at = start + (i64)threadIdx.x * %(pack)d; at + %(pack)d <= end;
                     at += 256 * %(pack)d) {
        const auto in = load_pack<%(pack)d>(from + at);
        Pack<D, %(pack)d> out;
        #pragma unroll
        for (int e = 0; e < %(pack)d; e++) out.at[e] = narrow<D>(widen(in.at[e]));
        store_pack<%(pack)d>(to + at, out);
    }
    const i64 rest = packed ? start + (end - start) / %(pack)d * %(pack)d : start;
    for (i64 at = rest + threadIdx.x; at < end; at += 256) to[at] = narrow<D>(widen(from[at]));
}
"""


@functools.cache
def source(given: DType, made: DType) -> str:
    """The source for floats of two dtypes."""
    return PRELUDE + _KERNEL % {
        "S": storage_type(given),
        "D": storage_type(made),
        "pack": 16 // max(given.size, made.size),
        "piece": PIECE,
    }


def cast_all(arrays: tuple[Any, ...], made: DType) -> Any:
    """All arrays cast to `made`; NotImplemented for what no kernel takes."""
    given = as_dtype(arrays[0].dtype)
    if not (given.is_floating and made.is_floating and can_hold(given) and can_hold(made)):
        return NotImplemented
    if any(a.dtype != arrays[0].dtype or not a.flags.c_contiguous for a in arrays):
        return NotImplemented
    device = current()
    out = tuple([device.xp.empty(a.shape, made.np_dtype) for a in arrays])
    groups = [pair for pair in zip(arrays, out, strict=True) if pair[0].size]
    if groups:
        table, sizes, pieces, blocks = tables(device, groups)
        device.launch(
            Kernel(source(given, made), "cast_all"), blocks, 256, [table, sizes, pieces],
            touched=[a for pair in groups for a in pair],
        )  # fmt: skip
    return out
