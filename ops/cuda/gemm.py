"""Matrix products by cuBLASLt, through its C API.

CuPy's own products cannot be captured into CUDA graphs; these can: the algorithm is chosen once
per shape and the workspace is given.  16-bit floats are summed up in float32; float32 uses TF32
where `hr.config` says so.

A row-major matrix is a column-major one transposed, so that c = a b is asked for as
transposed(c) = transposed(b) transposed(a).
"""

from __future__ import annotations

import ctypes
import functools
import threading
from typing import Any, NamedTuple

import numpy as np

from ..devices import devices
from . import recording
from .device import current
from .libraries import cublaslt

__all__ = ["Problem", "layout_of", "matmul", "problem_for"]

# cudaDataType, and cublasComputeType of the sums.
_TYPES = {"float32": 0, "float64": 1, "float16": 2, "bfloat16": 14}
_COMPUTE_32F, _COMPUTE_PEDANTIC, _COMPUTE_TF32, _COMPUTE_64F = 68, 69, 77, 70
_TRANSPOSE_A, _TRANSPOSE_B = 3, 4  # cublasLtMatmulDescAttributes_t
_BATCH_COUNT, _BATCH_DISTANCE = 5, 6  # cublasLtMatrixLayoutAttribute_t
_MAX_WORKSPACE, _ALIGNMENT_A, _ALIGNMENT_B = 1, 5, 6  # cublasLtMatmulPreferenceAttributes_t
_ALIGNED = 256  # bytes: what cuBLASLt takes for granted, and CuPy's pool and arenas give
_WORKSPACE_BYTES = 32 << 20
_ONE = {"float64": ctypes.c_double(1.0)}
_ZERO = {"float64": ctypes.c_double(0.0)}
_ONE_F, _ZERO_F = ctypes.c_float(1.0), ctypes.c_float(0.0)


class _Algorithm(ctypes.Structure):
    """cublasLtMatmulHeuristicResult_t."""

    _fields_ = [
        ("algorithm", ctypes.c_uint64 * 8),
        ("workspace", ctypes.c_size_t),
        ("state", ctypes.c_int),
        ("waves", ctypes.c_float),
        ("reserved", ctypes.c_int * 4),
    ]


class Problem(NamedTuple):
    """A product as column-major matrices: c [m, n] = a [m, k] b [k, n], `products` of them.

    Attributes:
        dtype: a name.
        m, n, k: sizes.
        transpose_a, transpose_b: whether the memory holds a (b) transposed.
        lead_a, lead_b, lead_c: elements between columns.
        products: how many.
        step_a, step_b, step_c: elements between the matrices of products; 0: the same.
        exact: no TF32.
        align_a, align_b: bytes, powers of two, that their addresses are multiples of.
    """

    dtype: str
    m: int
    n: int
    k: int
    transpose_a: bool
    transpose_b: bool
    lead_a: int
    lead_b: int
    lead_c: int
    products: int
    step_a: int
    step_b: int
    step_c: int
    exact: bool
    align_a: int = _ALIGNED
    align_b: int = _ALIGNED


def layout_of(array: Any) -> tuple[bool, int] | None:
    """Whether the last two axes lie in memory transposed, and elements between their rows (or
    columns); None if neither axis is without gaps."""
    rows, cols = array.shape[-2:]
    down, across = (s // array.itemsize for s in array.strides[-2:])
    if across == 1 or cols == 1:
        lead = down if rows > 1 else cols
        if lead >= cols:
            return False, lead
    if down == 1 or rows == 1:
        lead = across if cols > 1 else rows
        if lead >= rows:
            return True, lead
    return None


def problem_for(
    a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False, exact: bool = False
) -> Problem | None:
    """What cuBLASLt is asked for a @ b of row-major arrays [..., n, k] and [..., k, m]; None if
    they must be copied first.  Leading axes are the same, or absent in one of them."""
    layout_a, layout_b = layout_of(a), layout_of(b)
    if layout_a is None or layout_b is None:
        return None
    (turned_a, lead_a), (turned_b, lead_b) = layout_a, layout_b
    rows, k = a.shape[-2:] if not transpose_a else a.shape[:-3:-1]
    cols = b.shape[-2] if transpose_b else b.shape[-1]
    steps = []
    count = 1
    for x in (a, b):
        lead = x.shape[:-2]
        if len(lead) > 1 and not x.flags.c_contiguous:
            return None
        size = int(np.prod(lead, dtype=np.int64))
        step = x.shape[-1] * x.shape[-2] if len(lead) > 1 else (
            x.strides[0] // x.itemsize if lead else 0
        )  # fmt: skip
        count = max(count, size)
        steps.append(step if size > 1 else 0)
    # As column-major matrices the operands change places.
    return Problem(
        a.dtype.name, cols, rows, k, turned_b != transpose_b, turned_a != transpose_a,
        lead_b, lead_a, max(cols, 1), count, steps[1], steps[0], rows * cols, exact,
    )  # fmt: skip


def _new(kind: str, *args: Any) -> ctypes.c_void_p:
    made = ctypes.c_void_p()
    _call(f"cublasLt{kind}Create", ctypes.byref(made), *args)
    return made


def _call(function: str, *args: Any) -> None:
    library = cublaslt()
    assert library is not None
    library.call(function, *args)


def _set(kind: str, what: Any, attribute: int, value: Any) -> None:
    _call(
        f"cublasLt{kind}SetAttribute", what, attribute, ctypes.byref(value),
        ctypes.c_size_t(ctypes.sizeof(value)),
    )  # fmt: skip


class _Prepared:
    """Descriptors and algorithm of a problem, kept for good."""

    def __init__(self, problem: Problem, handle: Any):
        p = problem
        kind = _TYPES[p.dtype]
        wide = 1 if p.dtype == "float64" else 0
        compute = _COMPUTE_64F if wide else _COMPUTE_32F
        if p.dtype == "float32":
            compute = _COMPUTE_PEDANTIC if p.exact else _COMPUTE_TF32
        self.matmul = _new("MatmulDesc", compute, wide)
        for attribute, turned in ((_TRANSPOSE_A, p.transpose_a), (_TRANSPOSE_B, p.transpose_b)):
            _set("MatmulDesc", self.matmul, attribute, ctypes.c_int32(int(turned)))

        def layout(rows: int, cols: int, lead: int, step: int, turned: bool) -> Any:
            if turned:
                rows, cols = cols, rows
            made = _new("MatrixLayout", kind, ctypes.c_uint64(rows), ctypes.c_uint64(cols),
                        ctypes.c_int64(lead))  # fmt: skip
            if p.products > 1:
                _set("MatrixLayout", made, _BATCH_COUNT, ctypes.c_int32(p.products))
                _set("MatrixLayout", made, _BATCH_DISTANCE, ctypes.c_int64(step))
            return made

        self.a = layout(p.m, p.k, p.lead_a, p.step_a, p.transpose_a)
        self.b = layout(p.k, p.n, p.lead_b, p.step_b, p.transpose_b)
        self.c = layout(p.m, p.n, p.lead_c, p.step_c, False)
        preference = _new("MatmulPreference")
        _set("MatmulPreference", preference, _MAX_WORKSPACE, ctypes.c_uint64(_WORKSPACE_BYTES))
        for attribute, least in ((_ALIGNMENT_A, p.align_a), (_ALIGNMENT_B, p.align_b)):
            if least < _ALIGNED:
                _set("MatmulPreference", preference, attribute, ctypes.c_uint32(least))
        self.found, count = _Algorithm(), ctypes.c_int()
        _call("cublasLtMatmulAlgoGetHeuristic", handle, self.matmul, self.a, self.b, self.c,
              self.c, preference, 1, ctypes.byref(self.found), ctypes.byref(count))  # fmt: skip
        self.works = count.value > 0 and self.found.state == 0


class _Context(threading.local):
    """A handle and the workspaces of a thread, one per device and stream."""

    def __init__(self) -> None:
        self.handles: dict[int, ctypes.c_void_p] = {}
        self.rooms: dict[tuple[int, int], Any] = {}

    def get(self) -> tuple[Any, Any, int]:
        device = current()
        stream = device.xp.cuda.get_current_stream().ptr
        handle = self.handles.get(id(device))
        if handle is None:
            handle = self.handles[id(device)] = ctypes.c_void_p()
            _call("cublasLtCreate", ctypes.byref(handle))
        if recording.current() is not None:  # whose products may run beside others later
            return handle, device.xp.empty((_WORKSPACE_BYTES,), np.uint8), stream
        room = self.rooms.get((id(device), stream))
        if room is None:
            room = device.xp.empty((_WORKSPACE_BYTES,), np.uint8)
            self.rooms[id(device), stream] = room
        return handle, room, stream


_context = _Context()


@functools.lru_cache(4096)
def _prepared(problem: Problem, device: int) -> _Prepared | None:
    handle, _, _ = _context.get()
    try:
        made = _Prepared(problem, handle)
    except RuntimeError:
        return None  # not supported: the generic form computes it
    return made if made.works else None


def _alignment(array: Any) -> int:
    """What power of two an array's address is a multiple of; a part of an array may begin
    anywhere."""
    address = array.data.ptr
    return min(address & -address, _ALIGNED) or _ALIGNED


def matmul(a: Any, b: Any, transpose_a: bool = False, transpose_b: bool = False) -> Any:
    """a @ b of [..., n, k] and [..., k, m], the last axes swapped first where asked for;
    NotImplemented where cuBLASLt does not do it."""
    if cublaslt() is None or a.dtype.name not in _TYPES or a.dtype != b.dtype:
        return NotImplemented
    if not a.size or not b.size or (a.ndim > 2 and b.ndim > 2 and a.shape[:-2] != b.shape[:-2]):
        return NotImplemented
    xp = current().xp
    if a.ndim > 3:
        a = xp.ascontiguousarray(a)
    if b.ndim > 3:
        b = xp.ascontiguousarray(b)
    problem = problem_for(a, b, transpose_a, transpose_b, not devices.tensor_float_32)
    if problem is None:
        a, b = (x if layout_of(x) is not None else xp.ascontiguousarray(x) for x in (a, b))
        problem = problem_for(a, b, transpose_a, transpose_b, not devices.tensor_float_32)
        if problem is None:
            return NotImplemented
    # As column-major matrices the operands have changed places.
    problem = problem._replace(align_a=_alignment(b), align_b=_alignment(a))
    found = _prepared(problem, id(current()))
    if found is None:
        return NotImplemented
    lead = a.shape[:-2] if a.ndim >= b.ndim else b.shape[:-2]
    out = xp.empty((*lead, problem.n, problem.m), a.dtype)
    handle, room, stream = _context.get()
    one, zero = _ONE.get(problem.dtype, _ONE_F), _ZERO.get(problem.dtype, _ZERO_F)
    pointers = [ctypes.c_void_p(x.data.ptr) for x in (b, a, out, room)]
    _call(
        "cublasLtMatmul", handle, found.matmul, ctypes.byref(one), pointers[0], found.a,
        pointers[1], found.b, ctypes.byref(zero), pointers[2], found.c, pointers[2], found.c,
        ctypes.byref(found.found.algorithm), pointers[3], ctypes.c_size_t(_WORKSPACE_BYTES),
        ctypes.c_void_p(stream),
    )  # fmt: skip
    return out
