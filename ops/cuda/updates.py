"""Optimizers' updates of many variables in one launch, from the lines that describe an update.

A row of `keras.optimizers.updates.UPDATES` says what is computed of an element and over which
arrays results are written.  The arrays of all variables stand in a table of addresses on the
device; a block takes a piece of one variable.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..dtypes import DType, as_dtype
from . import recording
from .device import Device, Kernel, current
from .prelude import PRELUDE, register_type, storage_type
from .scalar_text import expression

__all__ = ["PIECE", "Line", "apply", "source", "tables"]

# Over which array a result is written (None: it only serves later lines), its text, and what it
# reads, by place among arrays, scalars and earlier results.
Line = tuple[int | None, str, tuple[int, ...]]
PIECE = 4096  # elements of a block
_TABLES = 64  # kept: a training step has the same variables every time

_KERNEL = r"""
// `table`: the addresses of the arrays of each variable, then their sizes; `pieces`: of each
// block, its variable and first element.
extern "C" __global__ void __launch_bounds__(256) update(
        const u64* __restrict__ table, const i64* __restrict__ sizes,
        const i64* __restrict__ pieces%(scalars)s) {
    const i64 which = pieces[2 * blockIdx.x], start = pieces[2 * blockIdx.x + 1];
    const u64* own = table + which * %(arrays)d;
%(pointers)s
    i64 end = start + %(piece)d;
    if (end > sizes[which]) end = sizes[which];
%(numbers)s
    bool packed = true;
    #pragma unroll
    for (int i = 0; i < %(arrays)d; i++) packed &= own[i] %% sizeof(Pack<T, %(pack)d>) == 0;
    i64 at = start + (i64)threadIdx.x * %(pack)d;
    if (packed) for (; at + %(pack)d <= end; at += 256 * %(pack)d) {
%(loads)s
        #pragma unroll
        for (int e = 0; e < %(pack)d; e++) {
%(body)s
        }
%(stores)s
    }
    // What is left: the end of a variable, or all of one that is not aligned.
    i64 rest = packed ? start + (end - start) / %(pack)d * %(pack)d : start;
    for (at = rest + threadIdx.x; at < end; at += 256) {
%(single)s
    }
}
"""


@functools.cache
def source(dtype: DType, arrays: int, scalars: str, lines: tuple[Line, ...]) -> str:
    """The source of an update of `arrays` arrays and some scalars: a letter for each, ``v`` for
    one that is a parameter, ``p`` for one in the device's memory."""
    wide, pack = register_type(dtype), 16 // dtype.size
    written = {place for place, _, _ in lines if place is not None}

    def body(load: str, store: str) -> str:
        values: list[Any] = []
        text = []
        for i in range(arrays):
            text.append(f"const {wide} x{i} = widen({load % {'i': i}});")
            values.append((f"x{i}", dtype))
        values += [(f"n{i}", dtype) for i in range(len(scalars))]
        ends = []
        for place, line, refs in lines:
            ref = len(values)
            made = expression(line, [values[r] for r in refs])[0]
            text.append(f"const {wide} x{ref} = {made};")
            values.append((f"x{ref}", dtype))
            if place is not None:
                ends.append(f"{store % {'i': place}} = narrow<T>(x{ref});")
        return "\n".join(f"            {t}" for t in [*text, *ends])

    def each(pattern: str, places: Any = range(arrays)) -> str:
        return "\n".join(pattern % {"i": i, "p": pack} for i in places)

    body_of_packs = body("q%(i)d.at[e]", "q%(i)d.at[e]")
    return (
        PRELUDE
        + f"typedef {storage_type(dtype)} T;\n"
        + _KERNEL
        % {
            "arrays": arrays,
            "pack": pack,
            "piece": PIECE,
            "scalars": "".join(
                f",\n        const {wide if kind == 'v' else 'T* __restrict__'} s{i}"
                for i, kind in enumerate(scalars)
            ),
            "pointers": each("    T* p%(i)d = reinterpret_cast<T*>(own[%(i)d]);"),
            "numbers": "\n".join(
                f"    const {wide} n{i} = {f's{i}' if kind == 'v' else f'widen(s{i}[0])'};"
                for i, kind in enumerate(scalars)
            ),
            "loads": each("        auto q%(i)d = load_pack<%(p)d>(p%(i)d + at);"),
            "body": body_of_packs,
            "stores": each("        store_pack<%(p)d>(p%(i)d + at, q%(i)d);", sorted(written)),
            "single": body("p%(i)d[at]", "p%(i)d[at]"),
        }
    )


def apply(
    lines: Sequence[Line], groups: Sequence[Sequence[Any]], scalars: Sequence[Any]
) -> bool:
    """Update variables in place; False if no kernel takes them.

    Args:
        lines: of the update.
        groups: for each variable its arrays, in the order the lines count them; all of one
            float dtype, those of a variable of one shape.
        scalars: numbers or arrays of one element on the device, of that dtype.
    """
    first = groups[0][0]
    dtype = as_dtype(first.dtype)
    for group in groups:
        for a in group:
            if a.dtype != first.dtype or not a.flags.c_contiguous or a.size != group[0].size:
                return False
    if not dtype.is_floating:
        return False
    device = current()
    xp = device.xp
    wide = np.float64 if dtype.name == "float64" else np.float32
    numbers = [s if isinstance(s, xp.ndarray) else wide(s) for s in scalars]
    kinds = "".join("p" if isinstance(s, xp.ndarray) else "v" for s in numbers)
    groups = [g for g in groups if g[0].size]
    if not groups:
        return True
    table, sizes, pieces, blocks = tables(device, groups)
    text = source(dtype, len(groups[0]), kinds, tuple(lines))
    device.launch(
        Kernel(text, "update"), blocks, 256, [table, sizes, pieces, *numbers],
        touched=[a for g in groups for a in g],
    )  # fmt: skip
    return True


def tables(device: Device, groups: Sequence[Sequence[Any]]) -> tuple[Any, Any, Any, int]:
    """For groups of arrays of one size: the table of their addresses, the groups' sizes, the
    pieces (group, first element), each a block's; and how many pieces there are."""
    key = tuple((*(device.address(a) for a in g), g[0].size) for g in groups)
    # Of a recording, which keeps what it copies, the addresses are its own.
    found = _table_of(key) if recording.current() else _table(id(device), key)
    return found(device)


class _table_of:
    """The tables of a set of variables, made on the device once."""

    def __init__(self, key: tuple[tuple[int, ...], ...]):
        self._key = key
        self._made: Any = None

    def __call__(self, device: Any) -> Any:
        if self._made is None:
            numbers = np.array([k[:-1] for k in self._key], np.uint64)
            sizes = np.array([k[-1] for k in self._key], np.int64)
            pieces = np.array(
                [(i, s) for i, n in enumerate(sizes.tolist()) for s in range(0, n, PIECE)],
                np.int64,
            )
            made = [device.constant(a) for a in (numbers, sizes, pieces)]
            self._made = (*made, len(pieces))
        return self._made


@functools.lru_cache(_TABLES)
def _table(device: int, key: tuple[tuple[int, ...], ...]) -> _table_of:
    return _table_of(key)
