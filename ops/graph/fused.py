"""Fused: a chain of elementwise calls as one kernel.

A `Program` is a straight list of steps on one output shape.  It runs through NumPy, step by
step, until its kernel (LLVM IR, one loop over rows and one over columns) has been compiled in
the background; small arrays and unusual layouts go through NumPy always.  Both forms give the
same bits.
"""

from __future__ import annotations

import ctypes
import hashlib
import threading
from typing import Any

import numpy as np

from .. import recycling
from ..dtypes import DType
from ..primitive import Primitive
from ..tensor_spec import TensorSpec
from . import llvm
from .scalar_code import Emitter, register_type, storage_type

__all__ = ["Fused", "Program"]

MIN_SIZE = 2048  # elements; below, a NumPy call or two cost less than the kernel's arguments

# A step: (primitive, references to inputs or earlier results, attributes, dtype of the result).
Step = tuple[Primitive, tuple[int, ...], dict[str, Any], DType]


class Program:
    """The steps of a fused chain.

    Attributes:
        inputs: dtypes of the inputs.
        steps: calls; a reference r < len(inputs) is an input, else the result of step
            r - len(inputs).  The last step gives the result.
    """

    def __init__(self, inputs: tuple[DType, ...], steps: tuple[Step, ...]):
        self.inputs = inputs
        self.steps = steps
        self.output = steps[-1][3]
        self._kernels: dict[str, Any] = {}
        self._lock = threading.Lock()
        self._calls = [(p.kernel(attrs), refs) for p, refs, attrs, _ in steps]

    def __repr__(self) -> str:
        return "[" + ", ".join(p.name for p, *_ in self.steps) + "]"

    def run(self, arrays: tuple[Any, ...]) -> Any:
        """The result for raw input arrays."""
        plan = self._layout(arrays)
        if plan is None:
            return self.run_steps(arrays)
        pattern, shape, rows, cols, row_strides, arrays = plan
        kernel = self._kernels.get(pattern)
        if kernel is None:
            if pattern not in self._kernels:
                self._request(pattern)
            return self.run_steps(arrays)
        out = recycling.empty(shape, self.output.np_dtype)
        args = [rows, cols]
        for a, stride in zip(arrays, row_strides, strict=True):
            args.append(a.__array_interface__["data"][0])
            args.append(stride)
        kernel(*args, out.__array_interface__["data"][0])
        return out

    def run_steps(self, arrays: tuple[Any, ...]) -> Any:
        """The result, call by call."""
        values = list(arrays)
        for call, refs in self._calls:
            values.append(call(*[values[r] for r in refs]))
        return values[-1]

    # -- layouts --------------------------------------------------------------------------

    def _layout(self, arrays: tuple[Any, ...]) -> Any:
        """How to walk the inputs: a letter per input, sizes and row strides in elements; None
        where the kernel does not fit.

        ``f``: a full array, ``r``: one row for all rows, ``c``: one number per row, ``s``: one
        number; ``F``: all inputs are contiguous, so that rows and columns are one loop.
        """
        shape: tuple[int, ...] = ()
        for a in arrays:
            if type(a) is not np.ndarray:
                return None
            if a.size > 1 and (
                len(a.shape) > len(shape) or a.size > np.prod(shape, dtype=np.int64)
            ):
                shape = a.shape
        size = 1
        for d in shape:
            size *= d
        if size < MIN_SIZE or not llvm.enabled():
            return None
        cols = shape[-1]
        rows = size // cols
        letters, strides, out = [], [], []
        flat = True
        for a in arrays:
            if a.shape == shape:
                if not a.flags.c_contiguous:
                    if (
                        a.ndim == 2
                        and a.strides[1] == a.itemsize
                        and a.strides[0] % a.itemsize == 0
                    ):
                        flat = False
                        letters.append("f")
                        strides.append(a.strides[0] // a.itemsize)
                        out.append(a)
                        continue
                    a = np.ascontiguousarray(a)
                letters.append("f")
                strides.append(cols)
            elif a.size == 1:
                letters.append("s")
                strides.append(0)
            elif a.size == cols and a.shape[-1] == cols and a.flags.c_contiguous:
                letters.append("r")
                strides.append(0)
                flat = False
            elif a.shape == (*shape[:-1], 1) and a.flags.c_contiguous:
                letters.append("c")
                strides.append(1)
                flat = False
            else:
                return None
            if a.ndim > len(shape):
                return None
            out.append(a)
        if flat:
            rows, cols = 1, size
        return "".join(letters), shape, rows, cols, strides, tuple(out)

    # -- the kernel -----------------------------------------------------------------------

    def _request(self, pattern: str) -> None:
        with self._lock:
            if pattern in self._kernels:
                return
            self._kernels[pattern] = None
        ir = self.ir(pattern)
        name = "k" + hashlib.sha256(ir.encode()).hexdigest()[:16]
        kind = ctypes.CFUNCTYPE(
            None,
            ctypes.c_int64,
            ctypes.c_int64,
            *([ctypes.c_void_p, ctypes.c_int64] * len(self.inputs)),
            ctypes.c_void_p,
        )

        def done(address: int) -> None:
            self._kernels[pattern] = kind(address)

        llvm.request(name, ir.replace("@kernel", "@" + name), done)

    def ir(self, pattern: str) -> str:
        """LLVM IR of the kernel for a layout pattern."""
        n = len(self.inputs)
        emit = Emitter()
        params = ["i64 %rows", "i64 %cols"]
        for i in range(n):
            params += [f"ptr noalias readonly %p{i}", f"i64 %rs{i}"]
        params.append("ptr noalias %out")
        entry: list[str] = []
        row: list[str] = []
        values: list[tuple[str, DType]] = []

        def load(lines: list[str], i: int, pointer: str, tag: str) -> str:
            kind = storage_type(self.inputs[i])
            lines.append(f"    %{tag}{i} = load {kind}, ptr {pointer}")
            if not self.inputs[i].is_bool:
                return f"%{tag}{i}"
            lines.append(f"    %{tag}{i}b = icmp ne i8 %{tag}{i}, 0")
            return f"%{tag}{i}b"

        for i, letter in enumerate(pattern):
            kind = storage_type(self.inputs[i])
            if letter == "s":
                values.append((load(entry, i, f"%p{i}", "s"), self.inputs[i]))
            elif letter == "c":
                row.append(f"    %cp{i} = getelementptr {kind}, ptr %p{i}, i64 %i")
                values.append((load(row, i, f"%cp{i}", "c"), self.inputs[i]))
            else:
                if letter == "f":
                    row.append(f"    %off{i} = mul i64 %i, %rs{i}")
                    row.append(f"    %q{i} = getelementptr {kind}, ptr %p{i}, i64 %off{i}")
                base = f"%q{i}" if letter == "f" else f"%p{i}"
                emit.lines.append(f"    %e{i} = getelementptr {kind}, ptr {base}, i64 %j")
                values.append((load(emit.lines, i, f"%e{i}", "l"), self.inputs[i]))
        for primitive, refs, _attrs, dtype in self.steps:
            if primitive.name == "Cast":
                values.append(emit.cast(values[refs[0]], dtype))
            else:
                values.append(emit.expression(primitive.elementwise, [values[r] for r in refs]))  # type: ignore[arg-type]
        result, dtype = values[-1]
        kind = storage_type(dtype)
        if dtype.is_bool:
            result = emit.new(f"zext {register_type(dtype)} {result} to i8")
        body = "\n".join(emit.lines)
        start = "\n".join(entry)
        begin_row = "\n".join(row)
        return "\n".join(
            [
                *sorted(emit.intrinsics),
                f"define void @kernel({', '.join(params)}) {{",
                "entry:",
                start,
                "    %empty = icmp slt i64 %cols, 1",
                "    br i1 %empty, label %done, label %row",
                "row:",
                "    %i = phi i64 [ 0, %entry ], [ %i.next, %row.end ]",
                begin_row,
                "    %orow.off = mul i64 %i, %cols",
                f"    %orow = getelementptr {kind}, ptr %out, i64 %orow.off",
                "    br label %col",
                "col:",
                "    %j = phi i64 [ 0, %row ], [ %j.next, %col ]",
                body,
                f"    %o = getelementptr {kind}, ptr %orow, i64 %j",
                f"    store {kind} {result}, ptr %o",
                "    %j.next = add nuw nsw i64 %j, 1",
                "    %j.more = icmp slt i64 %j.next, %cols",
                "    br i1 %j.more, label %col, label %row.end",
                "row.end:",
                "    %i.next = add nuw nsw i64 %i, 1",
                "    %i.more = icmp slt i64 %i.next, %rows",
                "    br i1 %i.more, label %row, label %done",
                "done:",
                "    ret void",
                "}",
            ]
        )


def _fused_shape(*tensors: Any, program: Program, spec: TensorSpec) -> TensorSpec:
    return spec


Fused = Primitive(
    "_Fused",
    "inputs: N * T",
    impl=lambda *arrays, program, spec: program.run(arrays),
    shape=_fused_shape,
)
