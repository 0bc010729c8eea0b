"""Fused: a chain of elementwise calls and reductions as one kernel.

A `Program` holds the chain twice: as the primitives' own array functions, which run at once and
on anything, and as the steps of `loops`, for which LLVM code is made per layout of the inputs.
Small arrays and unusual layouts always take the first way.

A chain whose kernel gives the bits NumPy gives is compiled in the background and the kernel
swapped in.  Where they differ in the last place (sums in another order, exponentials) the first
large call waits for the kernel, some 20 ms: so results never depend on when it was ready.
"""

from __future__ import annotations

import ctypes
import functools
import hashlib
import math
import struct
import threading
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from .. import recycling, workers
from ..addresses import address
from ..determinism import is_deterministic
from ..dtypes import DType
from ..primitive import Primitive
from ..tensor_spec import TensorSpec
from . import llvm
from .graph import Origin
from .loop_code import kept_rows, kernel_code
from .loops import LoopNest, Step, loop_nest, start_of
from .scalar_code import Unsupported, is_exact

__all__ = ["MIN_SIZE", "Fused", "Plan", "Program"]

MIN_SIZE = 2048  # elements; below, a NumPy call or two cost less than the kernel's arguments
_SPREAD = 3_000_000  # units of 20 ps, 60 us of one thread: below, waking another costs more
_KERNEL = ctypes.CFUNCTYPE(None, ctypes.c_void_p)
_UFUNCS = {"sum": np.add, "mean": np.add, "max": np.maximum, "min": np.minimum}

# A call of the array form: (function, references, number of results).
Call = tuple[Any, tuple[int, ...]]


class Plan(NamedTuple):
    """How a kernel runs on arrays of certain shapes."""

    letters: str
    nest: LoopNest
    shape: tuple[int, ...]
    outputs: tuple[tuple[int, ...], ...]  # shapes
    whole: bool  # no input is to be repeated, no result to be added up from parts
    head: tuple[int, int, int, int]  # of the kernel's table where it runs in one part
    distances: tuple[int, ...]  # elements between the rows of each input, without gaps
    out_distances: tuple[int, ...]
    scratch: int  # rows that are kept
    table: struct.Struct


class Program:
    """A fused chain.

    Args:
        inputs: dtypes of the inputs.
        dropped: for each input, whether it is a number per row without the columns' axis.
        calls: the array form; a reference r < len(inputs) is an input, else the result of
            call r - len(inputs).
        results: references of the results among the calls.
        steps: the kernel's form, likewise.
        outputs: references of the results among the steps, each a step's.
        name: for messages.
        reuse: which results are written over which inputs, by their places; those inputs are
            nobody else's.
        may_reuse: likewise, where the input's memory turns out to be nobody else's.
        least: elements below which the array form is used.
        origins: for each call, what an error says of it.
    """

    def __init__(
        self,
        inputs: Sequence[DType],
        dropped: Sequence[bool],
        calls: Sequence[Call],
        results: Sequence[int],
        steps: Sequence[Step],
        outputs: Sequence[int],
        name: str,
        reuse: Mapping[int, int] | None = None,
        may_reuse: Mapping[int, int] | None = None,
        least: int = MIN_SIZE,
        origins: Sequence[Origin] = (),
    ):
        self.inputs = tuple(inputs)
        self.dropped = tuple(dropped)
        self.calls = tuple(calls)
        self.results = tuple(results)
        self.steps = tuple(steps)
        self.outputs = tuple(outputs)
        self.name = name
        self.reuse = dict(reuse or {})
        self.may_reuse = dict(may_reuse or {})
        self.least = least
        self.origins = tuple(origins)
        self.exact = all(
            is_exact(s.what) if s.kind == "map" else s.kind != "reduce" or s.what in _EXACT
            for s in steps
        )
        self._weight = 6 + sum(
            1 if s.kind != "map" or is_exact(s.what) else 10 for s in steps
        )  # of an element
        self._kernels: dict[tuple[str, bool], Any] = {}
        self._plans: dict[Any, Plan | None] = {}
        self._lock = threading.Lock()

    def __repr__(self) -> str:
        return f"[{self.name}]"

    def run(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The results for raw input arrays."""
        found = self.launch(arrays)
        return self.run_calls(arrays) if found is None else found

    def launch(
        self, arrays: tuple[Any, ...], out: Sequence[Any] | None = None
    ) -> tuple[Any, ...] | None:
        """The results by the kernel; None if there is none, or none yet, for such arrays.

        Args:
            arrays: the inputs.
            out: where full results go: matrices whose rows may lie apart.
        """
        shapes = []
        for a in arrays:
            if type(a) is not np.ndarray:
                return None
            shapes.append(a.shape)
        key = tuple(shapes)
        plan = self._plans.get(key, Plan)
        if plan is Plan:
            if len(self._plans) >= 256:
                self._plans.clear()
            plan = self._plans[key] = self.plan(shapes)
        if plan is None or not llvm.enabled():
            return None
        reuse = self.reuse
        if self.may_reuse and out is None and plan.nest.passes == 1:
            if all(_writable(arrays[i], plan.shape) for i in self.may_reuse.values()):
                reuse = self.may_reuse
        variant = plan.letters, reuse is self.may_reuse
        kernel = self._kernels.get(variant)
        if kernel is None:
            if variant not in self._kernels:
                self._request(variant)
                kernel = self._kernels.get(variant)
            if kernel is None:
                return None
        size = plan.head[3]
        if out is None and plan.whole and size * self._weight <= _SPREAD:
            if all([a.flags.c_contiguous for a in arrays]):
                return self._launch_alone(kernel, plan, arrays, reuse)
        return self._launch(kernel, plan, arrays, reuse, out)

    def bound(
        self, arrays: tuple[Any, ...], out: Sequence[Any], alive: list[Any] | None = None
    ) -> tuple[int, list[int]] | None:
        """The kernel's address and its table for these arrays, for callers that run it
        themselves; None if there is none.

        Entry 4 + 2 i of the table is the address of array i, then of result i.  Nothing may
        be copied: every array has the full shape with rows of its own, or is a row or a number.
        A row that is gone through several times needs scratch memory, which is put in `alive`
        for the caller to keep: without it, there is no such kernel.
        """
        plan = self.plan([a.shape for a in arrays])
        if plan is None or not llvm.enabled() or (alive is None and plan.nest.passes > 1):
            return None
        variant = plan.letters, False
        if self._kernels.get(variant) is None:
            self._request(variant, now=True)
        kernel = self._kernels.get(variant)
        if kernel is None:
            return None
        rows, cols = plan.shape
        table = [0, rows, cols, rows * cols]
        outs = [arrays[self.reuse[i]] if i in self.reuse else o for i, o in enumerate(out)]
        for a in (*arrays, *outs):
            assert a.strides[-1] == a.itemsize or a.shape[-1] == 1, "its numbers lie apart"
            table += (address(a), _row_distance(a, cols))
        if alive is not None:
            for _ in kept_rows(plan.nest, self.outputs):
                alive.append(np.empty(8 * cols, np.uint8))
                table.append(alive[-1].__array_interface__["data"][0])
        return ctypes.cast(kernel, ctypes.c_void_p).value or 0, table

    def run_calls(self, arrays: tuple[Any, ...]) -> tuple[Any, ...]:
        """The results, call by call; an error carries the origin and inputs of its call."""
        values = list(arrays)
        try:
            for call, refs in self.calls:
                values.append(call(*[values[r] for r in refs]))
        except Exception as error:
            place = len(values) - len(arrays)
            if place < len(self.origins):
                inputs = tuple(values[r] for r in self.calls[place][1])
                error.headrace_call = self.origins[place], inputs  # type: ignore[attr-defined]
            raise
        return tuple(values[r] for r in self.results)

    # -- layouts --------------------------------------------------------------------------

    def plan(self, shapes: list[tuple[int, ...]], least: int | None = None) -> Plan | None:
        """How to walk arrays of these shapes; None where no kernel fits.

        Args:
            shapes: of the inputs.
            least: elements below which no kernel is wanted; the program's own number if None.
        """
        try:
            shape = np.broadcast_shapes(
                *[s for s, d in zip(shapes, self.dropped, strict=True) if not d]
            )
        except ValueError:
            return None  # the array form raises the error
        size = math.prod(shape)
        if size < max(self.least if least is None else least, 1):
            return None
        letters = "".join(
            _letter(s, shape, d) for s, d in zip(shapes, self.dropped, strict=True)
        )
        if "?" in letters:
            return None
        nest = loop_nest(letters, self.steps)
        if nest is None:
            return None
        made = []
        for ref in self.outputs:
            letter = nest.classes[ref]
            if letter in "rs":
                return None
            made.append(_shape_of(letter, shape, self.steps[ref - len(self.inputs)]))
        rows, cols = (1, size) if nest.flat else (size // shape[-1], shape[-1])
        scratch = len(kept_rows(nest, self.outputs))
        return Plan(
            letters,
            nest,
            shape,
            tuple(made),
            all(s == shape for s, c in zip(shapes, letters, strict=True) if c == "f")
            and not any(nest.classes[ref] in "RS" for ref in self.outputs),
            (0, rows, cols, size),
            tuple(_distance(s, cols) for s in shapes),
            tuple(_distance(s, cols) for s in made),
            scratch,
            struct.Struct(f"{4 + 2 * (len(shapes) + len(made)) + scratch}q"),
        )

    # -- the kernel -----------------------------------------------------------------------

    def _launch_alone(
        self, kernel: Any, plan: Plan, arrays: tuple[Any, ...], reuse: Mapping[int, int]
    ) -> tuple[Any, ...]:
        """Run the kernel on this thread, on arrays that it takes as they are: what small steps
        do hundreds of times, so that every microsecond counts."""
        table = [*plan.head]
        for a, distance in zip(arrays, plan.distances, strict=True):
            table += (address(a), distance)
        outs = []
        for place, shape in enumerate(plan.outputs):
            source = reuse.get(place)
            if source is None:
                kind = self.steps[self.outputs[place] - len(self.inputs)].dtype.np_dtype
                made = recycling.empty(shape, kind)
            else:
                made = arrays[source]
            outs.append(made)
            table += (address(made), plan.out_distances[place])
        if plan.scratch:
            width = plan.head[2]
            scratch = np.empty(8 * width * plan.scratch, np.uint8)
            start = address(scratch)
            table += [start + 8 * width * i for i in range(plan.scratch)]
        kernel(plan.table.pack(*table))
        return tuple(outs)

    def _launch(
        self,
        kernel: Any,
        plan: Plan,
        arrays: tuple[Any, ...],
        reuse: Mapping[int, int],
        out: Sequence[Any] | None,
    ) -> tuple[Any, ...]:
        size, cols = math.prod(plan.shape), plan.shape[-1]
        # Where nothing depends on rows and there are no gaps, all is one row.
        flat = plan.nest.flat and out is None
        alive = []
        for a, letter in zip(arrays, plan.letters, strict=True):
            if letter == "f" and a.shape != plan.shape:
                a = np.broadcast_to(a, plan.shape)
            if not a.flags.c_contiguous:
                if letter == "f" and a.ndim == 2 and _rows_have_gaps(a):
                    flat = False
                else:
                    a = np.ascontiguousarray(a)
            alive.append(a)
        rows, cols = (1, size) if flat else (size // cols, cols)
        table: list[int] = []
        for a in alive:
            table += (address(a), _row_distance(a, cols))
        parts = 1
        if size * self._weight > _SPREAD:
            parts = min(workers.count(), 64 if flat else rows)
        outs: list[Any] = []
        sums = []
        for ref, shape in zip(self.outputs, plan.outputs, strict=True):
            source = reuse.get(len(outs))
            if source is not None:
                outs.append(alive[source])
                continue
            if out is not None:
                outs.append(out[len(outs)])
                continue
            step = self.steps[ref - len(self.inputs)]
            kind = step.dtype.np_dtype
            if plan.nest.classes[ref] in "RS":
                sums.append((len(outs), step))
                made = np.full((parts, *shape), start_of(step.what, step.dtype), kind)
            else:
                made = recycling.empty(shape, kind)
            outs.append(made)
        self._spread(kernel, plan, (rows, cols), table, outs, parts)
        for place, step in sums:
            total = _UFUNCS[step.what].reduce(outs[place], 0)
            if step.what == "mean":
                total = total / step.dtype.np_dtype.type(
                    rows if plan.nest.classes[self.outputs[place]] == "R" else rows * cols
                )
            outs[place] = np.asarray(total, step.dtype.np_dtype)
        return tuple(outs)

    def _spread(
        self,
        kernel: Any,
        plan: Plan,
        shape: tuple[int, int],
        inputs: list[int],
        outs: list[Any],
        parts: int,
    ) -> None:
        """Run the kernel on parts of the rows, or of the columns where all is one row."""
        (rows, cols), classes = shape, plan.nest.classes
        by_columns = rows == 1 and plan.nest.flat
        keep = kept_rows(plan.nest, self.outputs)
        runs = []
        for part in range(parts):
            first, last = rows * part // parts, rows * (part + 1) // parts
            width, shift = cols, 0
            table = list(inputs)
            if by_columns:
                first, last = 0, 1
                shift = cols * part // parts & ~15
                end = cols if part == parts - 1 else cols * (part + 1) // parts & ~15
                width = end - shift
                for i, letter in enumerate(plan.letters):
                    if letter == "f":
                        table[2 * i] += shift * self.inputs[i].size
            for out, ref in zip(outs, self.outputs, strict=True):
                start = address(out)
                if classes[ref] in "RS":
                    start += part * (out.nbytes // parts)
                else:
                    start += shift * out.itemsize
                table += (start, _row_distance(out, cols))
            scratch = np.empty(8 * cols * len(keep), np.uint8) if keep else None
            if scratch is not None:
                start = address(scratch)
                table += [start + 8 * cols * i for i in range(len(keep))]
            numbers = (first, last, width, rows * cols, *table)
            runs.append(functools.partial(_run, kernel, numbers, scratch))
        if parts == 1:
            runs[0]()
        else:
            workers.spread(runs)

    def _request(self, variant: tuple[str, bool], now: bool = False) -> None:
        with self._lock:
            if variant in self._kernels and not now:
                return
            self._kernels.setdefault(variant)
            try:
                name, ir = self.ir(*variant)
            except Unsupported:
                return  # a chain for GPUs, whose array form serves here

            def done(address: int) -> None:
                self._kernels[variant] = _KERNEL(address)

            if self.exact and not now and not is_deterministic():
                llvm.request(name, ir, done)
            else:
                llvm.load(name, ir, done)

    def ir(self, letters: str, in_place: bool = False) -> tuple[str, str]:
        """Name and LLVM IR of the kernel for inputs of the classes `letters`."""
        nest = loop_nest(letters, self.steps)
        assert nest is not None
        reuse = self.may_reuse if in_place else self.reuse
        ir = kernel_code("kernel", self.inputs, self.steps, self.outputs, nest, reuse)
        name = "k" + hashlib.sha256(ir.encode()).hexdigest()[:16]
        return name, ir.replace("@kernel", "@" + name)


def _writable(a: np.ndarray, shape: tuple[int, ...]) -> bool:
    """Whether a kernel may write over `a`, which only it will read from now on."""
    if a.shape != shape or not a.flags.c_contiguous or not a.flags.writeable:
        return False
    return recycling.is_sole(a)


_EXACT = ("max", "min")


def _run(kernel: Any, numbers: tuple[int, ...], scratch: Any) -> None:
    kernel(struct.pack(f"{len(numbers)}q", *numbers))


def _letter(have: tuple[int, ...], shape: tuple[int, ...], dropped: bool) -> str:
    """The class of an input (see `loops`); ``?`` if it has none."""
    if dropped:
        return "k" if have == shape[:-1] else "s" if math.prod(have) == 1 else "?"
    size = math.prod(have)
    if have == shape:
        return "f"
    if size == 1:
        return "s"
    if have[-1] == shape[-1]:
        # What broadcasts in any other way is repeated before the kernel runs.
        return "r" if size == shape[-1] else "f"
    return "c" if have == (*shape[:-1], 1) else "f"


def _shape_of(letter: str, shape: tuple[int, ...], step: Step) -> tuple[int, ...]:
    if letter == "f":
        return shape
    if letter == "c":
        return (*shape[:-1], 1)
    if letter == "k":
        return shape[:-1]
    if letter == "R":
        return ((1,) * (len(shape) - 1) if step.keepdims else ()) + shape[-1:]
    return (1,) * len(shape) if step.keepdims else ()


def _distance(shape: tuple[int, ...], cols: int) -> int:
    """Elements between the rows of an array without gaps."""
    return shape[1] if len(shape) == 2 else cols


def _row_distance(out: np.ndarray, cols: int) -> int:
    """Elements between the rows of an array."""
    return out.strides[0] // out.itemsize if out.ndim == 2 else cols


def _rows_have_gaps(a: np.ndarray) -> bool:
    return a.strides[1] == a.itemsize and a.strides[0] % a.itemsize == 0


def _fused_shape(
    *tensors: Any, program: Program, specs: tuple[TensorSpec, ...]
) -> tuple[TensorSpec, ...]:
    return specs


Fused = Primitive(
    "_Fused",
    "inputs: N * T",
    impl=lambda *arrays, program, specs: program.run(arrays),
    shape=_fused_shape,
)
