"""A recorder of launches: what a step queues on a GPU, told without one.

The double's arrays stand for CuPy's, and everything that would be queued is written down: own
kernels and the libraries' calls, which compute nothing here, and CuPy's own functions, each a
launch.  Views, shapes and allocations are none.  Numbers that a kernel should have made are
whatever the memory held, so only what does not depend on them can be counted.
"""

import contextlib
import ctypes
import types
from typing import NamedTuple

import cupy_double
import numpy as np
from device_checks import DoubleBackend

from headrace.ops.cuda import attention, convolution, device, gemm, norms, recurrent
from headrace.ops.devices import devices
from headrace.ops.graph import placed
from headrace.ops.graph.execute import compile_placed

VIEWS = set(
    "reshape transpose broadcast_to expand_dims squeeze swapaxes moveaxis rollaxis ravel split "
    "array_split vsplit hsplit dsplit empty empty_like ndarray diagonal atleast_1d atleast_2d "
    "atleast_3d broadcast_arrays may_share_memory shares_memory result_type can_cast "
    "promote_types broadcast_shapes shape ndim size issubdtype finfo iinfo min_scalar_type "
    "common_type isscalar iscomplexobj isrealobj asnumpy get_array_module dtype "
    "get_default_memory_pool".split()
)
CONTIGUOUS = {"ascontiguousarray", "asarray", "asanyarray"}  # of what is so already: none


class Launch(NamedTuple):
    """Something queued.

    Attributes:
        what: the kernel, the library's function, or ``cupy.<name>``.
        size_bytes: of the arrays it reads and writes.
    """

    what: str
    size_bytes: int


class Recorder(list):
    """`Launch`es in order."""

    reads = 0  # how often the host waited for a value

    def note(self, what, *arrays):
        self.append(Launch(what, sum(a.nbytes for a in arrays if hasattr(a, "nbytes"))))

    def counts(self):
        """{what: how often}, the most frequent first."""
        found = {}
        for what, _ in self:
            found[what] = found.get(what, 0) + 1
        return dict(sorted(found.items(), key=lambda item: -item[1]))

    @property
    def size_bytes(self):
        return sum(launch.size_bytes for launch in self)


class NotingDevice(device.Device):
    """An H200 whose kernels are noted and not run."""

    arch, processors = "sm_90", 132

    def __init__(self, xp, notes):
        self.xp, self._notes = xp, notes

    def address(self, array):
        return array.data.ptr

    def constant(self, values):
        """Tables of addresses: the same in every step on a GPU, whose pool hands out the same
        blocks, but not here."""
        return self.xp.ndarray(values.shape, values.dtype)

    def launch(self, kernel, grid, block, args, shared=0, touched=()):
        arrays = [a for a in args if not isinstance(a, np.generic)]
        self._notes.note(kernel.name, *arrays, *touched)


class Backend(DoubleBackend):
    """The double, taken for CuPy."""

    def allow_tensor_float_32(self, allowed):
        """Nothing to switch."""


class Library:
    """cuBLASLt or cuDNN: every function succeeds."""

    def __init__(self, notes):
        self._notes = notes

    def call(self, function, *args):
        if function == "cublasLtMatmulAlgoGetHeuristic":
            args[-1]._obj.value = 1
        elif function == "cublasLtMatmul":
            self._notes.note(function)


class Layer:
    """What `recurrent` knows of a layer in cuDNN."""

    fits, workspace, reserve = True, 1024, 4096
    rnn = x = y = state = ctypes.c_void_p()

    def __init__(self, sizes):
        gates = 4 if sizes.kind == "LSTM" else 3
        numbers = gates * sizes.units * (sizes.features + sizes.units + 2)
        self.weights = numbers * (4 if sizes.dtype == "float32" else 2)


@contextlib.contextmanager
def recorded(monkeypatch):
    """Compute with one GPU that notes; gives the `Recorder`."""
    notes = Recorder()
    cupy_double.pool.reset()
    xp = cupy_double.cupy
    monkeypatch.setattr(cupy_double.Device, "count", 1)
    monkeypatch.setattr(placed, "_compiled", compile_placed)  # no replay: it needs CuPy
    _note_cupy(monkeypatch, notes)
    library = Library(notes)
    monkeypatch.setattr(gemm, "cublaslt", lambda: library)
    monkeypatch.setattr(gemm, "_context", gemm._Context())
    gemm._prepared.cache_clear()
    _note_cudnn(monkeypatch, notes)
    known = devices.backend, devices.why_none
    try:
        devices.use(Backend(xp, native=True))
        with device.use(NotingDevice(xp, notes)):
            yield notes
    finally:
        devices.use(*known)
        gemm._prepared.cache_clear()


def _note_cupy(monkeypatch, notes):
    xp, array = cupy_double.cupy, cupy_double.ndarray

    def noting(name, call):
        def noted(*args, **kwargs):
            out = call(*args, **kwargs)
            whole = [a for a in args if isinstance(a, array)]
            same = any(out is a for a in whole) or (
                name in CONTIGUOUS
                and bool(whole)
                and whole[0].flags.c_contiguous
                and out.dtype == whole[0].dtype
            )
            made = out if isinstance(out, array) else None
            if not same:
                notes.note(f"cupy.{name}", *whole, made)
            return out

        return noted

    for name in dir(xp):
        value = getattr(xp, name)
        if callable(value) and not isinstance(value, (type, cupy_double.ufunc)):
            if name not in VIEWS and not name.startswith("_"):
                monkeypatch.setattr(xp, name, noting(name, value))
    ufunc = cupy_double.ufunc
    plain = ufunc.__call__

    def called(self, *args, **kwargs):
        out = plain(self, *args, **kwargs)
        notes.note(f"cupy.{self.name}", *args, out)
        return out

    monkeypatch.setattr(ufunc, "__call__", called)
    for name in ("reduce", "accumulate", "at", "outer", "reduceat"):
        monkeypatch.setattr(ufunc, name, noting(f"ufunc.{name}", getattr(ufunc, name)))
    for name in ("copy", "astype", "sum", "mean", "max", "min", "argmax", "argmin", "any",
                 "all", "take", "cumsum", "prod", "repeat", "nonzero", "fill", "argsort",
                 "sort", "clip", "round"):  # fmt: skip
        if name in array.__dict__:
            monkeypatch.setattr(array, name, noting(name, getattr(array, name)))
    take, put = array.__getitem__, array.__setitem__

    def taken(self, key):
        out = take(self, key)
        if not np.shares_memory(out._a, self._a) and out._a.size:
            notes.note("cupy.getitem", out)
        return out

    def written(self, key, value):
        put(self, key, value)
        notes.note("cupy.setitem", value)

    monkeypatch.setattr(array, "__getitem__", taken)
    monkeypatch.setattr(array, "__setitem__", written)
    for name in ("get", "item", "__int__", "__float__", "__bool__"):
        monkeypatch.setattr(array, name, _reading(getattr(array, name), notes))


def _reading(call, notes):
    def read(*args, **kwargs):
        notes.reads += 1
        return call(*args, **kwargs)

    return read


def _note_cudnn(monkeypatch, notes):
    def run(plan, arrays):
        kind = type(plan).__name__.removesuffix("Plan").lower()
        notes.note(f"cudnn {kind}, {getattr(plan, 'way', '')}", *arrays)

    for module in (attention, convolution, norms):
        monkeypatch.setattr(module, "frontend", lambda: cupy_double)
        monkeypatch.setattr(module, "find", lambda plan, describe: plan)
        monkeypatch.setattr(module, "run", run)
    monkeypatch.setattr(recurrent, "_found", Layer)
    monkeypatch.setattr(recurrent, "_handles", types.SimpleNamespace(get=lambda: None))
    monkeypatch.setattr(recurrent, "_call", lambda function, *args: notes.note(function))
