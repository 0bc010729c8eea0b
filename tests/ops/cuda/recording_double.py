"""The test double of CuPy with streams that can be captured.

While a capture runs, what the double is asked for is written down; a launch does all of it
again, from whatever its arrays hold then, into the same memory.  What a capture must not
contain is an error while one runs: reading a device's value on the host, copying a host's value
to the device (a graph would read host memory that is something else by then), products through
CuPy's own cuBLAS.

Results of a capture are filled with noise: nothing has run on the device yet.

It stays in one file above 500 lines because what is watched, streams and recorders share
one state.
"""

import contextlib
import functools
import itertools
import random as random_numbers
import sys
import types
from unittest import mock

import cupy_double
import cupy_double_cuda
import numpy as np
from cupy_double import ndarray
from device_checks import doubled

from headrace.ops import device_backend, philox, random_ops
from headrace.ops.cuda import (
    compiled,
    cupy_recorder,
    overrides,
    random,
    recording,
    replay,
    steps,
    streams,
)
from headrace.ops.graph.execute import compile_placed
from headrace.ops.primitive import get_primitive
from headrace.ops.recurrent import GRU, LSTM, GRUGrad, LSTMGrad

#: What has a form of its own on GPUs, which stands as one call here.  Conditions of these forms
#: that the cases in the tests touch: a recurrent layer with a mask has none.
OWN_FORMS = (
    "MatMul BatchMatMulV2 Conv2D Conv2DBackpropInput Conv2DBackpropFilter Conv3D "
    "Conv3DBackpropInputV2 Conv3DBackpropFilterV2 DepthwiseConv2dNative "
    "DepthwiseConv2dNativeBackpropInput DepthwiseConv2dNativeBackpropFilter MaxPool MaxPool3D "
    "MaxPoolGrad MaxPool3DGrad AvgPool AvgPool3D AvgPoolGrad AvgPool3DGrad "
    "SparseSoftmaxCrossEntropyWithLogits SoftmaxCrossEntropyWithLogits GatherV2 _GatherGrad "
    "_BatchNorm _BatchNormGrad _Attention _AttentionGrad".split()
)
RECURRENT = {LSTM: 6, LSTMGrad: 12, GRU: 5, GRUGrad: 10}  # inputs without a mask
DRAWS = (
    "RandomUniform RandomStandardNormal TruncatedNormal _RandomBits StatelessRandomUniform "
    "StatelessRandomNormal StatelessTruncatedNormal _StatelessBits _StatefulRandom".split()
)
_PRODUCTS = frozenset("matmul dot vdot inner outer tensordot einsum kron".split())
_FROM_HOST = frozenset("array asarray asanyarray ascontiguousarray asfortranarray".split())
_HOST_READS = (
    "get __bool__ __int__ __float__ __complex__ item tolist tobytes __repr__ __str__ "
    "__format__ __index__".split()
)
_SIZES_BY_DATA = frozenset(
    "nonzero flatnonzero argwhere unique extract compress union1d intersect1d setdiff1d "
    "trim_zeros bincount histogram histogramdd percentile quantile".split()
)


class CaptureError(RuntimeError):
    """As CUDA's: an operation that is not permitted while a stream is captured."""


class Journal:
    """What was queued on streams, as calls that can be done again.

    A launch does them in any order that streams and events allow.
    """

    def __init__(self, seed=0):
        self.queues = {}  # stream -> calls, and events: (whether it waits, which)
        self.made = []  # memory that calls write
        self._random = random_numbers.Random(seed)

    def add(self, entry, stream):
        self.queues.setdefault(stream, []).append(entry)

    def launch(self):
        queues = [list(reversed(queue)) for queue in self.queues.values()]
        happened = set()

        def blocked(queue):
            entry = queue[-1]
            return type(entry) is tuple and entry[0] and entry[1] not in happened

        while any(queues):
            ready = [q for q in queues if q and not blocked(q)]
            assert ready, "streams wait for each other"
            queue = self._random.choice(ready)
            for _ in range(self._random.randint(1, 8)):  # as far as it comes
                if not queue or blocked(queue):
                    break
                entry = queue.pop()
                if type(entry) is not tuple:
                    entry()
                elif not entry[0]:
                    happened.add(entry[1])


class DoubleStream:
    """A stream of a capture."""

    def __init__(self, number):
        self.number = number

    def __enter__(self):
        self._before, _state.stream = _state.stream, self.number
        return self

    def __exit__(self, *error):
        _state.stream = self._before

    def wait_event(self, event):
        _state.journal.add((True, event), self.number)

    def record(self):
        event = object()
        _state.journal.add((False, event), self.number)
        return event


class _State:
    journal = None
    stream = 0
    depth = 0


_state = _State()


class _Memory:
    """An array's memory, without a reference to the array."""

    __slots__ = ("array", "index")

    def __init__(self, array):
        self.array, self.index = array._a, array._index

    def again(self):
        made = object.__new__(ndarray)
        made._a, made._index = self.array, self.index
        return made


def _kept(value):
    if isinstance(value, ndarray):
        return _Memory(value)
    if type(value) in (list, tuple):
        return type(value)(map(_kept, value))
    if type(value) is dict:
        return {k: _kept(v) for k, v in value.items()}
    return value


def _again(value):
    if isinstance(value, _Memory):
        return value.again()
    if type(value) in (list, tuple):
        return type(value)(map(_again, value))
    if type(value) is dict:
        return {k: _again(v) for k, v in value.items()}
    return value


def _arrays(value):
    if isinstance(value, (ndarray, _Memory)):
        yield value
    elif isinstance(value, (list, tuple)):
        for v in value:
            yield from _arrays(v)


def _host_array(value):
    return isinstance(value, np.ndarray) or (
        type(value) in (list, tuple) and any(map(_host_array, value))
    )


def _refused(name, args):
    """Why a call cannot be captured, or None."""
    if name in _PRODUCTS:
        return f"cuBLAS cannot be used during a capture (cupy.{name})"
    if name in _SIZES_BY_DATA:
        return f"cupy.{name} reads a size from the device"
    if name in _FROM_HOST and args and not isinstance(args[0], ndarray):
        return f"cupy.{name} copies a value of the host to the device"
    if name in ("concatenate", "stack", "hstack", "vstack", "dstack", "column_stack") and (
        len(args[0]) > 8
    ):
        return f"cupy.{name} of more than 8 arrays copies their addresses to the device"
    if name in ("__getitem__", "__setitem__"):
        key = args[1] if type(args[1]) is tuple else (args[1],)
        if any(isinstance(k, (list, np.ndarray)) for k in key):
            return "an index of the host is copied to the device"
        if name == "__getitem__" and any(
            isinstance(k, ndarray) and k.dtype == bool for k in key
        ):
            return "a mask as index reads a size from the device"
    if any(_host_array(a) for a in args) and name not in _FROM_HOST:
        return f"cupy.{name} copies a value of the host to the device"
    return None


def _watched(name, call, refusable=True):
    @functools.wraps(call, assigned=("__name__",), updated=())
    def watched(*args, **kwargs):
        journal = _state.journal
        if journal is None or _state.depth:
            return call(*args, **kwargs)
        why = _refused(name, args) if refusable else None
        if why is not None:
            raise CaptureError(why)
        kept = _kept(args), _kept(kwargs)
        _state.depth += 1
        try:
            found = call(*args, **kwargs)
        finally:
            _state.depth -= 1
        results = [_Memory(a) for a in _arrays(found)]
        for a, result in zip(_arrays(found), results, strict=True):
            if not a._a.flags.writeable and not any(
                np.may_share_memory(a._a, given.array) for given in _arrays(kept[0])
            ):
                a._a = result.array = np.array(a._a)  # NumPy's view of a scalar of its own
        journal.made.extend(r.array for r in results)

        def again():
            with cupy_double.Device(results[0].index if results else 0):
                with np.errstate(all="ignore"):
                    made = call(*_again(kept[0]), **_again(kept[1]))
            for to, a in zip(results, _arrays(made), strict=True):
                if not np.may_share_memory(to.array, a._a):
                    np.copyto(to.array, a._a)

        journal.add(again, _state.stream)
        return found

    return watched


def _forbidden(name, call):
    @functools.wraps(call, assigned=("__name__",), updated=())
    def checked(*args, **kwargs):
        if _state.journal is not None and not _state.depth:
            raise CaptureError(f"{name} reads a value of the device on the host")
        return call(*args, **kwargs)

    return checked


def _places():
    """(owner, name, form, whether it may be refused) of everything that is watched."""
    cupy = cupy_double.cupy
    for module in (cupy, cupy.linalg, cupy.fft, cupy_double.special, cupy_double.fft,
                   cupy.lib.stride_tricks):  # fmt: skip
        for name, form in list(vars(module).items()):
            if (
                isinstance(form, types.FunctionType)
                and not name.startswith("_")
                and (name not in ("get_default_memory_pool", "get_array_module", "asnumpy"))
            ):
                if hasattr(form, "form"):  # also for those who kept the function
                    yield form, "form", _watched(name, form.form)
                else:
                    yield module, name, _watched(name, form)
    for name in ("__call__", "at", "reduce", "accumulate", "reduceat", "outer"):
        form = getattr(cupy_double.ufunc, name)
        yield cupy_double.ufunc, name, _watched(f"ufunc.{name}", form, refusable=False)
    for name, form in list(vars(ndarray).items()):
        if name in _HOST_READS:
            yield ndarray, name, _forbidden(name, form)
        elif (
            isinstance(form, types.FunctionType)
            and (not name.startswith("__") or name in ("__getitem__", "__setitem__"))
            and name not in ("get", "_of")
        ):
            yield ndarray, name, _watched(name, form)
        elif isinstance(form, property) and name in ("real", "imag", "T", "mT"):
            yield ndarray, name, property(_watched(name, form.fget))


def _as_one_call(primitive, inputs=None):
    """A form for GPUs that is one call: the primitive's own, on the memory of its arrays."""

    def host(*arrays, **attrs):
        with np.errstate(all="ignore"):
            made = primitive.impl(*map(_host, arrays), **attrs)
        several = type(made) is tuple
        made = [np.array(a) for a in (made if several else (made,))]  # memory of their own
        return cupy_double._device(tuple(made) if several else made[0])

    call = _watched(primitive.name, host, refusable=False)

    def form(*arrays, **attrs):
        if inputs is not None and len(arrays) != inputs:
            return NotImplemented
        return call(*arrays, **attrs)

    return form


def _host(value):
    return value._a if isinstance(value, ndarray) else value


def _draw(kind, n, dtype, key, counter, start=0):
    first = int(start if isinstance(start, int) else start._a[0])
    return cupy_double._device(random_ops.draw(kind, n, dtype, key, counter, first))


def _draw_seeded(kind, n, dtype, seed):
    key, counter = philox.key_and_counter(tuple(seed._a.tolist()))
    return cupy_double._device(random_ops.draw(kind, n, dtype, key, counter))


def _draw_state(kind, n, dtype, state):
    low, high, key = state._a.view(np.uint64).tolist()
    after = (high << 64 | low) + n * 256
    words = np.array([after & (1 << 64) - 1, after >> 64 & (1 << 64) - 1, key], np.uint64)
    out = random_ops.draw(kind, n, dtype, key, (low, high))
    return cupy_double._device((out, words.view(np.int64)))


def _write(to, values):
    to._a[: len(values)] = values


@contextlib.contextmanager
def recordable():
    """The double's calls can be captured in the block, and what has a kernel on GPUs is one."""
    before = []

    def replace(owner, name, form):
        before.append((owner, name, vars(owner)[name]))
        setattr(owner, name, form)

    for owner, name, form in list(_places()):
        replace(owner, name, form)
    own = {name: _as_one_call(get_primitive(name)) for name in OWN_FORMS}
    own |= {p.name: _as_one_call(p, inputs) for p, inputs in RECURRENT.items()}
    own |= {name: overrides.FORMS[name] for name in DRAWS}
    known = {name: get_primitive(name).overrides.pop("gpu", None) for name in own}
    for name, form in own.items():
        get_primitive(name).override("gpu")(form)
    replace(random, "write", _write)
    for name, form in (("draw", _draw), ("draw_seeded", _draw_seeded),
                       ("draw_state", _draw_state)):  # fmt: skip
        replace(random, name, _watched(name, form, refusable=False))
    product = _watched("product", device_backend.Backend.product, refusable=False)
    replace(device_backend.Backend, "product", product)
    try:
        yield
    finally:
        for owner, name, form in reversed(before):
            setattr(owner, name, form)
        for name, form in known.items():
            if form is None:
                del get_primitive(name).overrides["gpu"]
            else:
                get_primitive(name).overrides["gpu"] = form


def _memory_of(array, kept):
    """The NumPy array in whose memory one of the double lies."""
    if not isinstance(array, ndarray):
        return None
    root = array._a
    while isinstance(root.base, np.ndarray):
        root = root.base
    kept.append(root)
    return id(root)


class DoubleRecorder(replay.Recorder):
    """Records on the double.

    Attributes:
        count: of streams that calls are spread over.
    """

    count = 1

    def __init__(self, index):
        self.index = index
        self._seed = index

    def on(self):
        return cupy_double.Device(self.index)

    def notes(self):
        return recording.Notes(lambda count: cupy_double.cupy.zeros(count, np.uint64))

    def record(self, work, notes):
        notes.begin(capturing=False)
        kept = []  # so that what is new is nowhere that something was
        table = steps.StepTable(notes, lambda a: _memory_of(a, kept))
        table.begin()
        work()
        notes.begin(capturing=True)
        self._seed += 1
        journal = _state.journal = Journal(self._seed)
        try:
            if self.count > 1:
                launches = streams.schedule(table.reads, self.count)
                notes.streams = 1 + max(launch.stream for launch in launches)
                on = [DoubleStream(i) for i in range(self.count)]
                steps.Forked(notes, launches, on, lambda s: s.record()).begin()
            outputs = work()
        finally:
            _state.journal = None
        spoil(journal)
        return journal, outputs

    def write(self, to, values):
        _write(to, values)

    def launch(self, recorded):
        recorded.launch()

    def copy(self, to, source):
        cupy_double.cupy.copyto(to, source)

    def duplicate(self, array):
        return array.copy()

    def hold(self, array):
        return _Memory(array)

    def array_of(self, held):
        return held.again()

    def is_at(self, held, array):
        return array._a is held.array


class CaptureStream(DoubleStream):
    """A stream as CuPy's, for `cupy_recorder`."""

    numbers = itertools.count()

    def __init__(self, non_blocking=False):
        super().__init__(next(self.numbers))
        self.ptr = 1000 + self.number

    def synchronize(self):
        if _state.journal is not None:
            raise CaptureError("a stream is captured")

    def begin_capture(self, mode=None):
        _state.journal = Journal(self.number)

    def end_capture(self):
        journal, _state.journal = _state.journal, None
        awaited = {e[1] for e in journal.queues[self.number] if type(e) is tuple and e[0]}
        for number, queue in journal.queues.items():
            joined = type(queue[-1]) is tuple and queue[-1][1] in awaited if queue else True
            if number != self.number and not joined:
                raise CaptureError(f"stream {number} was not joined")
        spoil(journal)
        return types.SimpleNamespace(launch=lambda stream: journal.launch(), journal=journal)

    def wait_event(self, event):
        if _state.journal is not None:
            super().wait_event(event)

    def record(self, event):
        if _state.journal is not None:
            _state.journal.add((False, event), self.number)
        return event


def capturing_cupy():
    """As much of CuPy as `CupyRecorder` asks for, on the double."""
    cupy = types.SimpleNamespace(uint64=np.uint64, ndarray=ndarray)
    for name in ("empty", "copyto"):  # as they are when they are called: watched
        setattr(cupy, name, lambda *args, n=name: getattr(cupy_double.cupy, n)(*args))
    cuda = cupy_double.cupy.cuda
    cupy.cuda = types.SimpleNamespace(
        Stream=CaptureStream, Event=lambda disable_timing: object(),
        get_current_stream=lambda: types.SimpleNamespace(synchronize=lambda: None, ptr=0),
        using_allocator=cuda.using_allocator, get_allocator=cuda.get_allocator,
        alloc=lambda size: cuda.get_allocator()(size),
        PythonFunctionAllocator=cupy_double_cuda.PythonFunctionAllocator,
        set_pinned_memory_allocator=lambda allocator: None,
        runtime=types.SimpleNamespace(streamCaptureModeThreadLocal=1),
    )  # fmt: skip
    cupy.get_default_pinned_memory_pool = lambda: types.SimpleNamespace(malloc=None)
    return cupy


def recorder_of_cupy(index):
    """A `CupyRecorder` on the double."""
    with mock.patch.dict(sys.modules, cupy=capturing_cupy()):
        return cupy_recorder.CupyRecorder(index)


def spoil(journal):
    """Fill what a capture has made with noise."""
    noise = np.random.default_rng(len(journal.made))
    for array in journal.made:
        if array.base is None and array.flags.writeable and array.flags.c_contiguous:
            flat = array.reshape(-1).view(np.uint8)
            flat[...] = noise.integers(0, 256, flat.size, np.uint8)


@contextlib.contextmanager
def replaying(record=True, count=1, recorder=None):
    """Compute with one device of the double, whose compiled functions are recorded, on so many
    streams, or not; the list holds what was compiled.

    Args:
        record: whether they are.
        count: of streams.
        recorder: makes the recorder of a device; by default a `DoubleRecorder`.
    """
    placed = sys.modules["headrace.ops.graph.placed"]
    before, made = placed._compiled, []

    def replayed(graph):
        run = compile_placed(graph)
        if graph.exact or not record:
            return run
        kind = recorder or type("Recorder", (DoubleRecorder,), {"count": count})
        made.append(compiled.Replayed(graph, run, kind))
        return made[-1]

    placed._compiled = replayed
    try:
        with doubled(1), recordable():
            yield made
    finally:
        placed._compiled = before
