"""A test double of CuPy: its arrays are NumPy's behind a wall.

What is forbidden with CuPy is forbidden here, so that code for devices is tried without one:

* no conversion to NumPy but ``get()``; NumPy arrays are no operands, but are taken as indices;
* only the functions, universal functions, loops, parameters and methods that CuPy has
  (`cupy_names.txt`, made from CuPy itself), and atomic updates in the dtypes it has them in;
* results without axes are arrays, not scalars; arrays are no indices for Python's lists;
* an array is used while its device is the current one;
* pools count bytes, have limits, and run out of memory as CuPy's do.

It stays in one file above 500 lines because its array and its module know each other.  It does
not tell anything about speed, streams, or the last digits of results.
"""

import contextlib
import functools
import types
from pathlib import Path

import ml_dtypes
import numpy as np
import scipy.fft
import scipy.special
from cupy_double_cuda import (
    CUDARuntimeError,
    Device,
    Event,
    OutOfMemoryError,
    Pool,
    Stream,
    current,
    get_allocator,
    memory_of,
    pool,
    take,
    using_allocator,
)

_NAMES = Path(__file__).with_name("cupy_names.txt")
_HOST_RESULTS = set(
    "result_type can_cast promote_types broadcast_shapes shape ndim size isscalar iscomplexobj "
    "isrealobj issubdtype finfo iinfo min_scalar_type common_type mintypecode "
    "get_array_module dtype base_repr binary_repr".split()
)
_FROM_HOST = {"array", "asarray", "asanyarray", "ascontiguousarray", "asfortranarray"}
_INTS = {"int32", "int64", "uint32", "uint64"}
_ATOMIC = {
    "add": _INTS | {"float16", "float32", "float64"},
    "subtract": {"int32", "uint32"},
    "maximum": _INTS | {"float32", "float64"},
    "minimum": _INTS | {"float32", "float64"},
    "bitwise_and": _INTS,
    "bitwise_or": _INTS,
    "bitwise_xor": _INTS,
}
_SUPPORTED = set("?bBhHiIlLqQefdFD")


def _host(value, where):
    """The NumPy form of an operand."""
    if isinstance(value, ndarray):
        if value._index != current.device:
            raise ValueError(f"Array device must be same as the current device: array device = "
                             f"{value._index} while current = {current.device}")  # fmt: skip
        return value._a
    if isinstance(value, np.ndarray):
        raise TypeError(f"Unsupported type {type(value)} in cupy.{where}")
    if isinstance(value, (list, tuple)) and type(value) in (list, tuple):
        return type(value)(_host(v, where) for v in value)
    return value


def _device(value):
    """A result as the device's arrays."""
    if isinstance(value, (np.ndarray, np.generic)):
        return ndarray._of(value)
    if isinstance(value, (list, tuple)):
        made = [_device(v) for v in value]
        return type(value)(*made) if hasattr(value, "_fields") else type(value)(made)
    return value


def _index(key):
    """An index: NumPy arrays and lists are copied to the device, so they are allowed."""
    if isinstance(key, tuple):
        return tuple(_index(k) for k in key)
    if isinstance(key, ndarray):
        return _host(key, "getitem")
    return key


class ndarray:
    """The array."""

    __slots__ = ("__weakref__", "_a", "_index")
    __array_priority__ = 100

    def __init__(self, shape, dtype=float, memptr=None, strides=None, order="C"):
        # Over memory: only as the array that it is of.
        self._a = np.empty(shape, dtype) if memptr is None else memptr.array
        assert memptr is None or (self._a.shape, self._a.dtype) == (tuple(shape), dtype)
        self._index = current.device

    @classmethod
    def _of(cls, value):
        array = np.asarray(value)
        if array.dtype.char not in _SUPPORTED and array.dtype != ml_dtypes.bfloat16:
            raise ValueError(f"Unsupported dtype {array.dtype}")
        made = object.__new__(cls)
        made._a, made._index = array, current.device
        if array.base is None:
            take(array)
        return made

    def __array__(self, *args, **kwargs):
        raise TypeError(
            "Implicit conversion to a NumPy array is not allowed. "
            "Please use `.get()` to construct a NumPy array explicitly."
        )

    def __array_ufunc__(self, called, method, *inputs, **kwargs):
        function = ufuncs.get(called.__name__)
        if function is None:
            return NotImplemented
        if "out" in kwargs:
            (kwargs["out"],) = kwargs["out"]
        return (function if method == "__call__" else getattr(function, method))(
            *inputs, **kwargs
        )

    def __array_function__(self, called, types_, args, kwargs):
        module = cupy
        for part in called.__module__.split(".")[1:]:
            module = getattr(module, part, None)
        found = getattr(module, called.__name__, None)
        if found is None or not all(issubclass(t, (ndarray, np.ndarray)) for t in types_):
            return NotImplemented
        return found(*args, **kwargs)

    @property
    def __cuda_array_interface__(self):
        face = dict(self._a.__array_interface__)
        return {k: face[k] for k in ("shape", "typestr", "data", "strides", "descr")} | {
            "version": 3, "stream": 1}  # fmt: skip

    def __dlpack__(self, *, stream=None, max_version=None, dl_device=None, copy=None):
        return self._a.__dlpack__()

    def __dlpack_device__(self):
        return (2, self._index)

    def get(self, stream=None, order="C", out=None, blocking=True):
        if out is not None:
            out[...] = self._a
            return out
        return np.array(self._a)

    def set(self, arr, stream=None):
        if not isinstance(arr, np.ndarray) or arr.shape != self.shape:
            raise ValueError("Shape mismatch or no numpy.ndarray")
        self._a[...] = arr

    device = property(lambda self: Device(self._index))
    flags = property(lambda self: types.SimpleNamespace(
        c_contiguous=self._a.flags.c_contiguous, f_contiguous=self._a.flags.f_contiguous,
        owndata=self._a.base is None))  # fmt: skip
    base = property(lambda self: None if self._a.base is None else _device(self._a.base))
    data = property(lambda self: types.SimpleNamespace(
        ptr=self._a.ctypes.data, mem=memory_of(self._a), array=self._a))  # fmt: skip
    real = property(lambda self: _device(self._a.real))
    imag = property(lambda self: _device(self._a.imag))
    T = property(lambda self: _device(self._a.T))
    mT = property(lambda self: _device(self._a.mT))

    @property
    def shape(self):
        return self._a.shape

    def item(self, *args):
        return self._a.item(*args)

    def tolist(self):
        return self._a.tolist()

    def tobytes(self, order="C"):
        return self._a.tobytes(order)

    def __len__(self):
        return len(self._a)

    def __iter__(self):
        return (self[i] for i in range(len(self._a)))

    def __bool__(self):
        return bool(self._a)

    def __int__(self):
        return int(self._a)

    def __float__(self):
        return float(self._a)

    def __complex__(self):
        return complex(self._a)

    def __repr__(self):
        return repr(self._a)

    def __str__(self):
        return str(self._a)

    def __format__(self, spec):
        return format(self._a, spec)

    def __getitem__(self, key):
        return _device(_host(self, "getitem")[_index(key)])

    def __setitem__(self, key, value):
        if isinstance(value, np.ndarray) and value.ndim:
            raise TypeError("Unsupported type <class 'numpy.ndarray'>")
        self._a[_index(key)] = _host(value, "setitem") if value is not None else value

    def __copy__(self):
        return self.copy()

    def __deepcopy__(self, memo):
        return self.copy()

    def __reduce__(self):
        return _unpickled, (self._a,)

    def copy(self, order="C"):
        """On the current device, whichever holds the array."""
        flags = self._a.flags
        if self._index != current.device and not (flags.c_contiguous or flags.f_contiguous):
            raise NotImplementedError("CuPy cannot copy non-contiguous array between devices.")
        return _device(self._a.copy(order))

    def astype(self, dtype, order="K", casting=None, subok=None, copy=True):
        return _device(_host(self, "astype").astype(dtype, order, copy=copy))


def _unpickled(array):
    return ndarray._of(np.array(array))


for _name in ("dtype", "ndim", "size", "itemsize", "nbytes", "strides"):
    setattr(ndarray, _name, property(functools.partial(lambda n, s: getattr(s._a, n), _name)))


def _method(name):
    def call(self, *args, **kwargs):
        done = getattr(_host(self, name), name)(
            *[_host(a, name) for a in args], **{k: _host(v, name) for k, v in kwargs.items()}
        )
        return _device(done)

    call.__name__ = name
    return call


def _quiet(fn, *args, **kwargs):
    with np.errstate(all="ignore"):
        return fn(*args, **kwargs)


def _operator(name):
    """An operator through the universal function, whose operands are checked."""
    reverse = name.startswith("__r") and name not in ("__rshift__",)
    plain = "__" + name[3:] if reverse else name
    target = _OPERATORS[plain]

    def call(self, *others):
        for other in others:
            if not isinstance(other, (ndarray, int, float, complex, bool, np.generic)):
                if isinstance(other, np.ndarray):
                    raise TypeError(f"Unsupported type {type(other)}")
                return NotImplemented
        function = cupy.matmul if target == "matmul" else ufuncs[target]
        return function(*others, self) if reverse else function(self, *others)

    call.__name__ = name
    return call


def _in_place(name):
    target = _OPERATORS["__" + name[3:]]

    def call(self, other):
        if isinstance(other, np.ndarray):
            raise TypeError(f"Unsupported type {type(other)}")
        ufuncs[target](self, other, out=self)
        return self

    return call


_OPERATORS = {
    "__add__": "add",
    "__sub__": "subtract",
    "__mul__": "multiply",
    "__truediv__": "true_divide",
    "__floordiv__": "floor_divide",
    "__mod__": "remainder",
    "__pow__": "power",
    "__and__": "bitwise_and",
    "__or__": "bitwise_or",
    "__xor__": "bitwise_xor",
    "__lshift__": "left_shift",
    "__rshift__": "right_shift",
    "__matmul__": "matmul",
    "__eq__": "equal",
    "__ne__": "not_equal",
    "__lt__": "less",
    "__le__": "less_equal",
    "__gt__": "greater",
    "__ge__": "greater_equal",
    "__neg__": "negative",
    "__pos__": "positive",
    "__abs__": "absolute",
    "__invert__": "invert",
    "__divmod__": "divmod",
}


class ufunc:
    """A universal function with CuPy's loops."""

    def __init__(self, name, loops, form):
        self.__name__ = self.name = name
        self.form = form
        self.loops = [tuple(part.replace("E", "\0") for part in t.split("->")) for t in loops]
        self.nin = len(self.loops[0][0])
        self.nout = len(self.loops[0][1])

    def __call__(self, *args, out=None, dtype=None, casting="same_kind", where=None, **more):
        if more:
            raise TypeError(f"Wrong arguments {list(more)}")
        operands = [_host(a, self.name) for a in args]
        into = {}
        if out is not None:
            into["out"] = _host(out, self.name)
        if dtype is not None:
            into["dtype"] = dtype
        if len(operands) > self.nin:
            into["out"] = operands.pop()
        wanted = self._loop(operands[: self.nin], dtype)
        done = _quiet(self.form, *operands, **into)
        if "out" in into:
            return args[-1] if out is None else out
        if isinstance(done, tuple):
            return _device(done)
        done = np.asarray(done)
        return _device(done if wanted is None or done.dtype == wanted else done.astype(wanted))

    def _loop(self, operands, dtype):
        """The result's dtype by CuPy's first loop that takes the operands."""
        if dtype is not None:
            return None
        kinds = [o.dtype if isinstance(o, (np.ndarray, np.generic)) else type(o)
                 for o in operands]  # fmt: skip
        strong = [k for k in kinds if isinstance(k, np.dtype)]
        weak = [k for k in kinds if not isinstance(k, np.dtype)]
        if any(k == ml_dtypes.bfloat16 for k in strong):
            if not any(ins[0] == "\0" for ins, _ in self.loops):
                raise TypeError(f"cupy.{self.name} has no loop for bfloat16")
            return None
        least = max((_RANK[k] for k in weak), default=0)
        for ins, outs in self.loops:
            if "\0" in ins:
                continue
            taken = all(
                np.can_cast(k, np.dtype(c), "safe")
                for k, c in zip(kinds, ins, strict=False)
                if isinstance(k, np.dtype)
            )
            if taken and least <= max("bifc".index(_kind(c)) for c in ins):
                return np.dtype(outs[0])
        if not strong:
            return None
        raise TypeError(f"cupy.{self.name} has no loop for {kinds}")

    def at(self, a, indices, b=None):
        if self.name not in _ATOMIC:
            raise NotImplementedError(f"`{self.name}.at` is not supported yet")
        if a.dtype.name not in _ATOMIC[self.name]:
            raise TypeError(f"cupy.{self.name}.at does not support {a.dtype}")
        getattr(np, self.name).at(_host(a, "at"), _index(indices), _host(b, "at"))

    def reduce(self, array, axis=0, dtype=None, out=None, keepdims=False):
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`{self.name}.reduce` is not supported yet")
        return _device(self.form.reduce(_host(array, "reduce"), axis, dtype, keepdims=keepdims))

    def accumulate(self, array, axis=0, dtype=None, out=None):
        if self.name not in ("add", "multiply"):
            raise NotImplementedError(f"`{self.name}.accumulate` is not supported yet")
        return _device(self.form.accumulate(_host(array, "accumulate"), axis, dtype))

    def reduceat(self, array, indices, axis=0, dtype=None, out=None):
        if self.name != "add":
            raise NotImplementedError(f"`{self.name}.reduceat` is not supported yet")
        return _device(
            self.form.reduceat(_host(array, "reduceat"), _index(indices), axis, dtype)
        )

    def outer(self, a, b, **kwargs):
        return _device(_quiet(self.form.outer, _host(a, "outer"), _host(b, "outer"), **kwargs))


_RANK = {bool: 0, int: 1, float: 2, complex: 3}


def _kind(char):
    return np.dtype(char).kind.replace("u", "i")


def _function(where, name, params, form):
    """A function that takes CuPy's parameters only, and NumPy arrays only where CuPy does."""
    named = {p for p in params if not p.startswith("*")}
    any_name = any(p.startswith("**") for p in params)
    variadic = any(p.startswith("*") and not p.startswith("**") for p in params)
    positional = None if variadic else len(named)

    def plain(*args, **kwargs):
        if not any_name and (wrong := set(kwargs) - named):
            raise TypeError(f"cupy.{where}{name}() has no parameter {sorted(wrong)}")
        if positional is not None and len(args) > positional:
            raise TypeError(f"cupy.{where}{name}() takes {positional} parameters")
        convert = _any_host if not where and name in _FROM_HOST else _host
        kwargs.pop("blocking", None)
        out = kwargs.get("out")
        done = _quiet(form, *[convert(a, name) for a in args],
                      **{k: convert(v, name) for k, v in kwargs.items()})  # fmt: skip
        if out is not None:
            return out
        return done if name in _HOST_RESULTS else _device(done)

    def call(*args, **kwargs):
        return call.form(*args, **kwargs)

    # Tests may put another form there, which those see, too, who kept the function.
    call.__name__, call.form = name, plain
    return call


def _any_host(value, where):
    if isinstance(value, ndarray):
        return value.copy()._a if value._index != current.device else value._a
    if isinstance(value, (list, tuple)) and any(isinstance(v, ndarray) for v in value):
        return [_any_host(v, where) for v in value]
    face = getattr(value, "_double", None)
    return value if face is None else face


def _missing(name):
    def call(*args, **kwargs):
        raise NotImplementedError(f"the double has no {name}")

    return call


def _nonzero(a):
    if np.ndim(a) == 0:
        raise ValueError("Calling nonzero on 0d arrays is not allowed.")
    return np.nonzero(a)


def _matmul(a, b, **kwargs):
    done = np.matmul(a, b, **kwargs)
    narrow = a.dtype == b.dtype == ml_dtypes.bfloat16  # of which NumPy makes float32
    return done.astype(a.dtype) if narrow else done


def _copied(form):
    """Of an array function: what it gives is new memory, as a copy to a device is."""

    def call(obj, *args, **kwargs):
        kwargs.pop("copy", None) if kwargs.get("copy") is None else None
        done = form(obj, *args, **kwargs)
        return done.copy() if isinstance(obj, np.ndarray) and done is obj else done

    return call


ufuncs = {}
cupy = types.ModuleType("cupy")
special = types.ModuleType("cupyx.scipy.special")
fft = types.ModuleType("cupyx.scipy.fft")


def _fill():
    modules = {
        "": (cupy, np),
        "special": (special, scipy.special),
        "scipy_fft": (fft, scipy.fft),
    }
    cupy.lib = types.SimpleNamespace(stride_tricks=types.ModuleType("cupy.lib.stride_tricks"))
    modules["lib.stride_tricks"] = (cupy.lib.stride_tricks, np.lib.stride_tricks)
    for sub in ("linalg", "fft"):
        setattr(cupy, sub, types.ModuleType(f"cupy.{sub}"))
        modules[sub] = (getattr(cupy, sub), getattr(np, sub))
    own = {"nonzero": _nonzero, "matmul": _matmul}
    methods = []
    for line in _NAMES.read_text().splitlines():
        name, kind, *rest = line.split(" ")
        if name == "version":
            cupy.__version__ = kind
            continue
        if name == "methods":
            methods = [kind, *rest]
            continue
        where, _, short = name.rpartition(".")
        module, source = modules[where]
        form = own.get(short) if not where else None
        form = form or getattr(source, short, None)
        if form is None:
            setattr(module, short, _missing(name))
            continue
        if kind == "ufunc":
            made = ufunc(short, rest, form)
            ufuncs.setdefault(short, made)
        else:
            if not where and short in _FROM_HOST:
                form = _copied(form)
            made = _function(f"{where}." if where else "", short, rest, form)
        setattr(module, short, made)
    for name in methods:
        if name in ndarray.__dict__ or name in ("__array__", "__array_finalize__"):
            continue
        if not name.startswith("_"):
            if hasattr(np.ndarray, name):
                setattr(ndarray, name, _method(name))
        elif name in _OPERATORS or (name.startswith("__r") and "__" + name[3:] in _OPERATORS):
            setattr(ndarray, name, _operator(name))
        elif name.startswith("__i") and "__" + name[3:] in _OPERATORS:
            setattr(ndarray, name, _in_place(name))
    ndarray.__hash__ = None
    for name in dir(np):
        value = getattr(np, name)
        if isinstance(value, type) and issubclass(value, np.generic):
            setattr(cupy, name, value)
    for name in ("newaxis", "pi", "inf", "nan", "e", "euler_gamma", "dtype", "finfo", "iinfo"):
        setattr(cupy, name, getattr(np, name))
    cupy.ndarray, cupy.ufunc = ndarray, ufunc
    cupy.exceptions = np.exceptions
    cupy.get_default_memory_pool = lambda: pool
    cupy.get_array_module = lambda *a: cupy if any(isinstance(x, ndarray) for x in a) else np
    cupy.asnumpy = lambda a, *args, **kwargs: (
        a.get() if isinstance(a, ndarray) else np.asarray(a)
    )
    cupy.from_dlpack = _from_dlpack
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: Device.count,
        CUDARuntimeError=CUDARuntimeError,
        getDeviceProperties=lambda i: {"name": b"Double of a GPU", "major": 9, "minor": 0},
        driverGetVersion=lambda: 13000,
        runtimeGetVersion=lambda: 13000,
    )
    cupy.cuda = types.SimpleNamespace(
        Device=Device, Stream=Stream, Event=Event, runtime=runtime, OutOfMemoryError=None,
        is_available=lambda: Device.count > 0, get_device_id=lambda: current.device,
        get_current_stream=lambda device_id=-1: current.stream or Stream(),
        memory=types.SimpleNamespace(OutOfMemoryError=OutOfMemoryError),
        MemoryPool=Pool, using_allocator=using_allocator, get_allocator=get_allocator,
        ExternalStream=lambda ptr, device_id=-1: Stream(ptr=ptr),
    )  # fmt: skip
    del cupy.cuda.OutOfMemoryError


def _from_dlpack(array, *, device=None, copy=None):
    kind, index = array.__dlpack_device__()
    if kind != 2:
        raise BufferError("DLPack: the array is not on a device")
    inner = array._value if hasattr(array, "_value") else array
    made = object.__new__(ndarray)
    made._a, made._index = np.from_dlpack(_Host(inner)), index
    return made


class _Host:
    """What says of itself that it is on the host, for NumPy."""

    def __init__(self, array):
        self._array = array

    def __dlpack__(self, **kwargs):
        return self._array.__dlpack__()

    def __dlpack_device__(self):
        return (1, 0)


_fill()


@contextlib.contextmanager
def no_count():
    """CUDA says that there is no device."""
    before, Device.count = Device.count, 0
    try:
        yield
    finally:
        Device.count = before
