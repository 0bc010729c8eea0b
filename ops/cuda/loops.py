"""Fused chains on a GPU: which kernel for which arrays, and its launch.

A chain's kernels are made per classes of its inputs, width of packs and size of teams (see
`loop_source`); sizes beyond that are arguments, so that batches of any size share them.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np

from ..graph.fused import Plan, Program
from .device import Device, Kernel, current
from .loop_source import Shape, loop_source, shape_for
from .prelude import can_hold, register_type
from .scalar_text import Unsupported

__all__ = ["kernels", "run"]

_WIDE = {"float": np.float32, "double": np.float64}


class _Made(NamedTuple):
    kernel: Kernel
    shape: Shape


def run(program: Program, arrays: tuple[Any, ...]) -> tuple[Any, ...] | None:
    """The results of a chain for arrays on a device; None where it has no kernel for them."""
    plan = _plan(program, tuple([a.shape for a in arrays]))
    if plan is None:
        return None
    device = current()
    xp = device.xp
    given = []
    for place, (a, letter) in enumerate(zip(arrays, plan.letters, strict=True)):
        written = place in program.reuse.values()
        if letter == "f" and a.shape != plan.shape:
            assert not written, "what is repeated cannot be written over"
            a = xp.broadcast_to(a, plan.shape)
        if not a.flags.c_contiguous:
            if written:
                return None
            a = xp.ascontiguousarray(a)
        given.append(a)
    if program.reuse and plan.nest.passes > 1:
        return None
    made = [
        None if place in program.reuse
        else xp.empty(shape, program.steps[ref - len(arrays)].dtype.np_dtype)
        for place, (ref, shape) in enumerate(zip(program.outputs, plan.outputs, strict=True))
    ]  # fmt: skip
    try:
        found = _made(program, plan, given, made, device)
    except Unsupported:
        return None
    return _launch(program, plan, given, made, found, device)


def _plan(program: Program, shapes: tuple[tuple[int, ...], ...]) -> Plan | None:
    known = program.__dict__.setdefault("_cuda_plans", {})
    if shapes not in known:
        if len(known) >= 256:
            known.clear()
        known[shapes] = program.plan(list(shapes), 1)
    return known[shapes]


def _made(program: Program, plan: Plan, arrays: Any, outs: Any, device: Device) -> _Made:
    count, cols = plan.head[3], plan.shape[-1]
    if plan.nest.flat:
        cols = count
    shape = shape_for(
        plan.nest, len(arrays), cols, count, _pack(program, plan, arrays, outs, cols, device)
    )
    return _kernel(program, plan, shape)


def _kernel(program: Program, plan: Plan, shape: Shape) -> _Made:
    known = program.__dict__.setdefault("_cuda", {})
    key = plan.letters, shape
    found = known.get(key)
    if found is None:
        every = [*program.inputs, *(s.dtype for s in program.steps)]
        for dtype in every:
            if not can_hold(dtype):
                raise Unsupported(dtype.name)
        source = loop_source(
            "loop", program.inputs, program.steps, program.outputs, plan.nest, program.reuse,
            shape,
        )  # fmt: skip
        found = known[key] = _Made(Kernel(source, "loop"), shape)
    return found


def _pack(
    program: Program, plan: Plan, arrays: Any, outs: Any, cols: int, device: Device
) -> int:
    """Elements that one instruction can load of every array."""
    by_column = [a for a, c in zip(arrays, plan.letters, strict=True) if c in "fr"]
    by_column += [
        o for o, ref in zip(outs, program.outputs, strict=True)
        if o is not None and plan.nest.classes[ref] == "f"
    ]  # fmt: skip
    widest = max((a.itemsize for a in by_column), default=16)
    pack = max(min(16 // widest, 8), 1)
    if not plan.nest.flat:
        pack = math.gcd(pack, cols)
    while pack > 1 and any(device.address(a) % (pack * a.itemsize) for a in by_column):
        pack //= 2
    return pack


def _launch(
    program: Program,
    plan: Plan,
    arrays: list[Any],
    outs: list[Any],
    made: _Made,
    device: Device,
) -> tuple[Any, ...]:
    xp, shape, classes = device.xp, made.shape, plan.nest.classes
    count = plan.head[3]
    rows, cols = (1, count) if plan.nest.flat else (count // plan.shape[-1], plan.shape[-1])
    if shape.team:
        teams = shape.block // shape.team
        blocks = min(-(-rows // teams), device.processors * (2048 // shape.block) * 2)
        if any(classes[r] == "R" for r in program.outputs):
            # Every team writes its own sums: it should have added up 16 rows at least.
            blocks = min(blocks, max(-(-rows // (16 * teams)), 1))
    else:
        blocks = min(-(-count // (shape.block * shape.pack)), device.processors * 16)
        teams = 1
    blocks = max(blocks, 1)
    args: list[Any] = list(arrays)
    sums = []
    for place, ref in enumerate(program.outputs):
        if place in program.reuse:
            outs[place] = arrays[program.reuse[place]]
            continue
        letter = classes[ref]
        if letter in "RS":
            dtype = program.steps[ref - len(arrays)].dtype
            many = blocks * teams if letter == "R" else blocks
            wide = _WIDE.get(register_type(dtype), dtype.np_dtype)
            parts = xp.empty((many, cols if letter == "R" else 1), wide)
            sums.append((place, parts, rows if letter == "R" else count))
            args.append(parts)
        else:
            args.append(outs[place])
    kind = np.int64 if shape.wide else np.int32
    device.launch(
        made.kernel, blocks, shape.block, [*args, kind(rows), kind(cols), kind(count)]
    )
    for place, parts, divisor in sums:
        total = Kernel(made.kernel.source, f"loop_total{place}")
        many, wide_cols = parts.shape
        device.launch(
            total, -(-wide_cols // 32), 256,
            [parts, outs[place], np.int64(many), np.int64(wide_cols), np.int64(divisor)],
        )  # fmt: skip
    return tuple(outs)


def kernels(program: Program) -> list[Kernel]:
    """The kernels that were made so far."""
    return [m.kernel for m in program.__dict__.get("_cuda", {}).values()]
