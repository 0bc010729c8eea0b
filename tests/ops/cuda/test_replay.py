"""Replay gives what the calls give, with a recorder that keeps launches and does them again."""

import numpy as np
import pytest
from hypothesis import given, strategies as st
from ptx_device import PtxDevice
from recording_double import replaying

import headrace as hr
from headrace.ops.cuda import compiled, device, loops, nvrtc, recording, replay
from headrace.ops.cuda.memory_tape import (
    MemoryTape,
    Places,
    arena_allocator,
    watching_allocator,
)
from headrace.ops.graph import trace
from headrace.ops.graph.explain import explain
from headrace.ops.graph.fused import Program
from headrace.ops.graph.loops import Step

F4 = hr.float32


class ListRecorder(replay.Recorder):
    """Keeps what is queued; recording runs nothing, as a stream's capture runs nothing."""

    def __init__(self):
        self.recording = None

    def do(self, work):
        if self.recording is not None:
            self.recording.append(work)
        else:
            work()

    def notes(self):
        return recording.Notes(lambda count: np.zeros(count, np.uint64))

    def record(self, work, notes):
        self.recording = []
        notes.begin(capturing=False)
        try:
            outputs = work()
            return self.recording, outputs
        finally:
            self.recording = None

    def write(self, to, values):
        self.do(lambda: to.__setitem__(slice(len(values)), values))

    def launch(self, recorded):
        for work in recorded:
            work()

    def copy(self, to, source):
        self.do(lambda: np.copyto(to, source))

    def duplicate(self, array):
        assert self.recording is None
        made = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes))
        np.copyto(made, array)
        return made

    def hold(self, array):
        return array.base, array.shape, array.dtype

    def array_of(self, held):
        return np.ndarray(held[1], held[2], held[0])

    def is_at(self, held, array):
        return array.base is held[0]


class Counter:
    def __init__(self, value):
        self._value = np.array(value, "f4")


class Step_:
    """total += x.sum(); returns x * scale, total."""

    def __init__(self, recorder):
        self.recorder, self.runs = recorder, 0
        self.scale, self.total = Counter(3.0), Counter(0.0)

    def __call__(self, x):
        self.runs += 1
        out, total = np.full_like(x, np.nan), np.full((), np.nan, "f4")
        scale, before = (v._value[...] for v in (self.scale, self.total))
        scale, before = (np.ndarray((), "f4", v.base.base or v.base) for v in (scale, before))

        def work():
            out[...] = x * scale
            total[...] = before + x.sum()

        self.recorder.do(work)
        self.total._value = total
        return [out, total]


def made(reason=None):
    recorder = ListRecorder()
    step = Step_(recorder)
    return step, replay.Replay(step, [step.scale, step.total], recorder, reason)


def test_replays_do_what_the_calls_do():
    step, fn = made()
    total = 0.0
    kept = []
    for i in range(7):
        x = np.arange(4, dtype="f4") + i
        total += float(x.sum())
        out, found = fn(x)
        np.testing.assert_array_equal(out, 3 * x)
        assert float(found) == total == float(step.total._value)
        kept.append((out, 3 * x))
    assert fn.replays == 7 - replay.WARM_CALLS
    assert step.runs == replay.WARM_CALLS + 1  # recorded once
    for out, want in kept:  # results are not written over
        np.testing.assert_array_equal(out, want)


def test_a_variable_that_was_assigned_elsewhere():
    step, fn = made()
    x = np.ones(4, "f4")
    for _ in range(4):
        fn(x)
    step.scale._value = np.array(5.0, "f4")
    np.testing.assert_array_equal(fn(x)[0], 5 * x)
    step.total._value = np.array(100.0, "f4")
    assert float(fn(x)[1]) == 104.0
    assert fn.replays == 4


def test_a_tensor_that_was_read_keeps_its_numbers():
    step, fn = made()
    x = np.ones(4, "f4")
    for _ in range(4):
        fn(x)
    held = step.total._value
    before = float(held)
    fn(x)
    assert float(held) == before
    assert float(step.total._value) == before + 4
    del held
    fn(x)
    assert float(step.total._value) == before + 8


def test_every_shape_has_its_own_recording():
    step, fn = made()
    for _ in range(4):
        for n in (3, 4):
            x = np.ones(n, "f4")
            np.testing.assert_array_equal(fn(x)[0], 3 * x)
    assert fn.replays == 2 * (4 - replay.WARM_CALLS)
    assert step.runs == 2 * (replay.WARM_CALLS + 1)


def test_what_cannot_be_recorded_runs_and_says_why():
    step, fn = made()

    def refuses(x):
        if step.recorder.recording is not None:
            raise NotImplementedError("cuBLAS calls cannot be captured")
        return step(x)

    fn._run = refuses
    for _ in range(5):
        fn(np.ones(4, "f4"))
    assert fn.replays == 0
    assert float(step.total._value) == 20
    assert (
        fn.reason
        == "it could not be recorded: NotImplementedError: cuBLAS calls cannot be captured"
    )


def test_a_known_reason_stops_it_at_once():
    step, fn = made("it runs on the host")
    for _ in range(5):
        fn(np.ones(4, "f4"))
    assert (fn.replays, step.runs) == (0, 5)


@pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
def test_launches_of_kernels_are_replayed():
    recorder = ListRecorder()
    gpu = PtxDevice()
    now = gpu.launch
    gpu.launch = lambda *args, **more: recorder.do(lambda: now(*args, **more))
    steps = [
        Step("map", (0,), F4, "exp(a) * 2"), Step("reduce", (1,), F4, "sum", "all", False),
    ]  # fmt: skip
    program = Program([F4], [False], [], [], steps, [1, 2], "t", least=1)
    with device.use(gpu):
        fn = replay.Replay(lambda x: list(loops.run(program, (x,))), [], recorder)
        for i in range(4):
            x = np.random.default_rng(i).normal(size=(5, 9)).astype("f4")
            y, total = fn(x)
            np.testing.assert_allclose(y, 2 * np.exp(x), rtol=1e-5)
            np.testing.assert_allclose(total, 2 * np.exp(x).sum(), rtol=1e-5)
    assert fn.replays == 2


def test_reasons_of_graphs():
    def reason(fn, *specs):
        return replay.why_not(trace(fn, specs).graph, compiled._outside)

    spec = hr.TensorSpec([4])
    assert reason(lambda x: hr.exp(x) + 1.0, spec) is None
    assert reason(lambda x: x + hr.random.normal([4]), spec) is None
    assert reason(lambda x: hr.cond(x[0] > 0, lambda: x, lambda: -x), spec) is None
    assert "RandomGamma draws random numbers on the host" in reason(
        lambda x: x + hr.random.gamma([4], 1.0), spec
    )
    assert "dtype string, which lies on the host" in reason(
        lambda s: hr.strings.length(s), hr.TensorSpec([4], "string")
    )
    assert "depends on its input" in reason(lambda x: hr.where(x > 0), spec)
    assert "PrintV2 runs on the host" in reason(lambda x: hr.print(x), spec)
    assert "PrintV2 runs on the host" in reason(  # wherever it stands
        lambda x: hr.cond(x[0] > 0, lambda: (hr.print(x), x)[1], lambda: x), spec
    )
    assert "EagerPyFunc calls Python" in reason(
        lambda x: hr.py_function(lambda x: x, [x], hr.float32), spec
    )


# -- memory -----------------------------------------------------------------------------------


@given(st.lists(st.tuples(st.integers(1, 3000), st.integers(0, 6)), min_size=1, max_size=30))
def test_a_tape_gives_places_that_do_not_overlap_while_they_are_held(allocations):
    def run(allocate, free):
        held = []
        for size, kept_for in allocations:
            held = [(n, left - 1) if left else free(n) for n, left in held]
            held = [h for h in held if h is not None]
            held.append((allocate(size), kept_for))

    tape = MemoryTape()
    run(tape.allocated, tape.freed)
    places = Places(tape.buffers())
    alive = {}

    def allocate(size):
        at = places.take(size)
        for other, end in alive.values():
            assert at + size <= other or end <= at
        alive[len(alive)] = (at, at + size)
        return len(alive) - 1

    run(allocate, lambda n: alive.update({n: (-1, -1)}))


def test_other_allocations_than_before_are_refused():
    tape = MemoryTape()
    tape.allocated(100)
    places = Places(tape.buffers())
    with pytest.raises(RuntimeError, match="allocation 1 is of 200 bytes and was of 100"):
        places.take(200)
    assert places.take(100) == 0
    with pytest.raises(RuntimeError, match="allocation 2 of 8 bytes was not made before"):
        places.take(8)


# -- compiled functions -----------------------------------------------------------------------


@pytest.fixture
def one_gpu(monkeypatch):
    """A device whose arrays are NumPy's, and which records by keeping launches."""
    monkeypatch.setattr(compiled, "is_on_device", lambda a: isinstance(a, np.ndarray))
    monkeypatch.setattr(compiled, "to_place", lambda a, place: a)
    monkeypatch.setattr(compiled.devices, "default", lambda: 0, raising=False)
    monkeypatch.setattr(compiled, "requested", lambda: None)


def test_a_compiled_function_is_replayed_and_says_so(one_gpu):
    graph = trace(lambda x: hr.exp(x), (hr.TensorSpec([4]),)).graph
    recorder = ListRecorder()

    def run(x):
        out = np.empty_like(x)
        recorder.do(lambda: np.exp(x, out=out))
        return [out]

    fn = compiled.Replayed(graph, run, lambda place: recorder)
    for i in range(5):
        x = np.full(4, i, "f4")
        np.testing.assert_array_equal(fn(x)[0], np.exp(x))
    assert fn.told() == "replayed as a CUDA graph, 3 calls so far"


def test_explain_tells_why_a_function_is_not_replayed(one_gpu):
    graph = trace(lambda x: x + hr.random.gamma([4], 1.0), (hr.TensorSpec([4]),)).graph
    graph._placed = compiled.Replayed(graph, lambda x: [x], lambda place: ListRecorder())
    graph._placed(np.zeros(4, "f4"))
    assert "on the device: not replayed as a CUDA graph: RandomGamma" in explain(graph)


def test_a_variable_on_the_host_stops_it(one_gpu, monkeypatch):
    v = hr.Variable(np.zeros(4, "f4"), name="mine")
    graph = trace(lambda x: x + v, (hr.TensorSpec([4]),)).graph
    monkeypatch.setattr(compiled, "is_on_device", lambda a: a is not v._value)
    fn = compiled.Replayed(graph, lambda x: [x], lambda place: ListRecorder())
    fn(np.zeros(4, "f4"))
    assert fn.told() == "not replayed as a CUDA graph: the variable mine:0 lies on the host"


def test_what_is_inside_is_a_part_of_the_recording_around_it():
    @hr.function
    def step(x):
        for _ in hr.range(5):
            x = hr.cond(hr.reduce_sum(x) > 0.0, lambda x=x: x * 0.5, lambda x=x: x + 1.0)
        return x

    def run():
        return [step(hr.constant([float(i), -1.0])).numpy().tolist() for i in range(5)]

    want = run()
    with replaying() as made:
        step._cache.clear()
        assert run() == want
        outer, *inner = made
        assert outer.told() == "replayed as a CUDA graph, 3 calls so far"
        assert inner and {m.told() for m in inner} == {"a part of the function around it"}


def test_numbers_are_checked_call_by_call():
    with replaying() as made:
        fn = hr.function(lambda x: hr.math.log(x))
        for _ in range(4):
            fn(hr.constant([1.0, 2.0]))
        hr.debugging.enable_check_numerics()
        try:
            with pytest.raises(hr.errors.InvalidArgumentError, match="NaN"):
                fn(hr.constant([1.0, -2.0]))
        finally:
            hr.debugging.disable_check_numerics()
        assert made[0].told() == "replayed as a CUDA graph, 2 calls so far"


class FakeCupy:
    """As much of CuPy's memory as the allocators ask for; an address per allocation."""

    class Pointer:
        def __init__(self, ptr):
            self.ptr = ptr

    class Allocator:
        def __init__(self, malloc, free):
            self.malloc, self.free = (lambda n: malloc(n, 0)), (lambda p: free(p, 0))

    def __init__(self):
        self.cuda, self.next = self, 1 << 20
        self.made = []
        self.get_allocator = lambda: self.malloc

    def malloc(self, size):
        self.next += 4096
        return self.Pointer(self.next)

    alloc = malloc

    def PythonFunctionAllocator(self, malloc, free):
        self.made.append(self.Allocator(malloc, free))
        return self.made[-1]


def test_allocators_write_down_and_serve():
    cupy, tape = FakeCupy(), MemoryTape()
    malloc = watching_allocator(tape, cupy)
    first, empty = malloc(300), malloc(0)
    assert empty == 0
    cupy.made[0].free(first)
    cupy.made[0].free(empty)
    second = malloc(200)
    assert first != second
    buffers = tape.buffers()
    assert [b.size_bytes for b in buffers] == [300, 200]
    assert buffers[0].last < buffers[1].first
    room, serve = arena_allocator(Places(buffers), cupy)
    assert [serve(300), serve(0), serve(200)] == [room.ptr, 0, room.ptr]


class LateStreams(ListRecorder):
    """Two streams whose work is put off until `run`, and then done by turns."""

    def __init__(self):
        super().__init__()
        self.now, self.queues, self.done = 0, ([], []), [0, 0]

    def do(self, work):
        if self.recording is not None:
            self.recording.append(work)
        else:
            self.queues[self.now].append(work)

    def launch(self, recorded):
        self.queues[self.now].extend(recorded)

    def duplicate(self, array):
        made = np.ndarray(array.shape, array.dtype, bytearray(array.nbytes))
        self.queues[self.now].append(lambda: np.copyto(made, array))
        return made

    def order(self, last):
        if last not in (None, self.now):
            self.queues[self.now].append((last, len(self.queues[last])))
        return self.now

    def run(self):
        while self.done != [len(queue) for queue in self.queues]:
            for stream in (1, 0):
                left = self.queues[stream][self.done[stream] :]
                if not left or (isinstance(left[0], tuple) and self.waits(*left[0])):
                    continue
                self.done[stream] += 1
                if not isinstance(left[0], tuple):
                    left[0]()

    def waits(self, stream, count):
        return self.done[stream] < count


@given(st.lists(st.integers(0, 1), min_size=1, max_size=12))
def test_calls_on_several_streams_do_not_get_in_each_others_way(streams):
    recorder = LateStreams()

    def double(x):
        out = np.full_like(x, np.nan)
        recorder.do(lambda: np.multiply(x, 2, out=out))
        return [out]

    fn = replay.Replay(double, [], recorder)
    for _ in range(replay.WARM_CALLS + 1):
        fn(np.ones(3, "f4"))
        recorder.run()
    found = []
    for k, stream in enumerate(streams):
        recorder.now = stream
        found.append(fn(np.full(3, k, "f4"))[0])
    recorder.run()
    assert fn.replays == 1 + len(streams)
    for k, array in enumerate(found):
        np.testing.assert_array_equal(array, np.full(3, 2 * k, "f4"))
