"""The device ring against a device that puts off every copy and all work as long as it may."""

import gc
import random
import threading

import numpy as np
import pytest
from hypothesis import given, strategies as st

import headrace as hr
from headrace.data import Dataset
from headrace.data.device_copies import DeviceCopies
from headrace.data.device_dataset import DeviceIterator
from headrace.data.device_ring import DeviceRing
from headrace.data.transforms.on_device import OnDeviceNode
from headrace.ops.string_array import StringArray


class Event:
    def __init__(self, stream, place):
        self.stream, self.place = stream, place


class Stream:
    """Work in order, done when somebody waits for it."""

    def __init__(self):
        self.queued, self.done = [], 0

    def run_to(self, place):
        while self.done < place:
            self.done += 1
            self.queued[self.done - 1]()


class Pointer:
    """An array as a device knows it: memory, which is handed out again only behind the work
    that was queued before (it keeps no array alive)."""

    def __init__(self, array):
        root = array.base if isinstance(array.base, np.ndarray) else array
        self.memory, self.shape, self.dtype = root.base, array.shape, array.dtype
        self.strides = array.strides
        self.offset = array.__array_interface__["data"][0]
        self.offset -= root.__array_interface__["data"][0]

    def view(self):
        return np.ndarray(self.shape, self.dtype, self.memory, self.offset, self.strides)


class LazyCopies(DeviceCopies):
    """A device that does nothing before it must.

    Attributes:
        allocated: arrays on the device.
        hurry: how likely something queued is done at once.
    """

    def __init__(self, hurry=0.0, seed=0):
        self.stream, self.work = Stream(), Stream()
        self.allocated, self.hurry = 0, hurry
        self._random, self._lock = random.Random(seed), threading.RLock()

    def _queue(self, stream, what):
        with self._lock:
            stream.queued.append(what)
            if self._random.random() < self.hurry:
                stream.run_to(self._random.randint(stream.done, len(stream.queued)))

    def pinned(self, size_bytes):
        return np.full(size_bytes, 0xEE, np.uint8)

    def allocate(self, shape, dtype):
        self.allocated += 1
        made = np.ndarray(shape, dtype, bytearray(int(np.prod(shape)) * dtype.itemsize + 1))
        made[...] = 77
        return made

    def copy(self, to, source):
        to = Pointer(to)
        self._queue(self.stream, lambda: np.copyto(to.view(), source))

    def _event(self, stream):
        with self._lock:
            return Event(stream, len(stream.queued))

    def copied(self):
        return self._event(self.stream)

    def used(self):
        return self._event(self.work)

    def host_waits(self, event):
        with self._lock:
            event.stream.run_to(event.place)

    def copies_wait(self, event):
        self._queue(self.stream, lambda: event.stream.run_to(event.place))

    def work_waits(self, event):
        self._queue(self.work, lambda: event.stream.run_to(event.place))

    # -- the consumer's work ----------------------------------------------------------------

    def read(self, array, into):
        """Queue a kernel that reads an array."""
        array = Pointer(array)
        self._queue(self.work, lambda: into.append(array.view().copy()))

    def finish(self):
        with self._lock:
            self.work.run_to(len(self.work.queued))


def elements(n, shape=(4, 3)):
    return [
        {"x": np.full(shape, i, "f4"), "y": (np.arange(2 + i % 3) + i, np.array(i, "u1"))}
        for i in range(n)
    ]


@given(
    st.integers(0, 25), st.integers(2, 5), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9)
)
def test_work_reads_what_was_sent_whenever_it_is_done(n, slots, hurry, seed):
    device = LazyCopies(hurry, seed)
    sent, seen = elements(n), []
    for got in DeviceRing(iter(sent), device, slots):
        device.read(got["x"], seen)
        device.read(got["y"][0], seen)
        device.read(got["y"][1], seen)
        del got
    device.finish()
    want = [a for e in sent for a in (e["x"], *e["y"])]
    assert len(seen) == len(want)
    for a, b in zip(seen, want, strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("missing", ["host_waits", "copies_wait", "work_waits"])
def test_the_device_shows_a_wait_that_is_missing(missing, monkeypatch):
    monkeypatch.setattr(LazyCopies, missing, lambda self, event: None)
    device, seen = LazyCopies(), []
    for got in DeviceRing(iter(elements(12)), device, 2):
        device.read(got["x"], seen)
        del got
    device.finish()
    assert [float(a[0, 0]) for a in seen] != list(range(12))


def test_slots_are_used_again():
    device = LazyCopies()
    sent = [{"x": np.full((8,), i, "f4")} for i in range(30)]
    for got in DeviceRing(iter(sent), device, 3):
        del got
    assert device.allocated == 3


def test_elements_that_are_kept_stay_as_they_are():
    device = LazyCopies()
    kept = list(DeviceRing(iter(elements(20)), device, 2))
    parts = [k["x"][1:] for k in kept]
    device.finish()
    device.host_waits(device.copied())
    assert [float(k["x"][0, 0]) for k in kept] == list(range(20))
    del kept
    assert [float(p[0, 0]) for p in parts] == list(range(20))


def test_a_slice_of_an_element_keeps_it():
    device, parts = LazyCopies(), []
    for got in DeviceRing(iter(elements(20)), device, 2):
        parts.append(got["x"][1:2])
        del got
    device.host_waits(device.copied())
    assert [float(p[0, 0]) for p in parts] == list(range(20))


def test_strings_stay_on_the_host():
    text = StringArray.from_list([b"a", b"bc"]) if hasattr(StringArray, "from_list") else "text"
    (got,) = DeviceRing(iter([(np.ones(2, "f4"), text)]), LazyCopies(), 2)
    assert got[1] is text


def test_errors_of_the_source_come_behind_its_elements():
    def source():
        yield np.zeros(2, "f4")
        raise KeyError("third")

    ring = DeviceRing(source(), LazyCopies(), 2)
    next(ring)
    with pytest.raises(KeyError, match="third"):
        next(ring)
    with pytest.raises(StopIteration):
        next(ring)


def test_the_state_is_that_behind_the_element_given_last():
    at = [0]

    def source():
        for i in range(5):
            at[0] = i + 1
            yield np.full(2, i)

    ring = DeviceRing(source(), LazyCopies(), 3, state=lambda: at[0])
    for i in range(5):
        next(ring)
        assert ring.state_after == i + 1


@pytest.mark.parametrize("how", ["close", "drop"])
def test_the_thread_ends(how):
    before = set(threading.enumerate())
    ring = DeviceRing(iter(elements(50)), LazyCopies(), 2)
    next(ring)
    (thread,) = set(threading.enumerate()) - before
    if how == "close":
        ring.close()
        with pytest.raises(StopIteration):
            next(ring)
    else:
        del ring
        gc.collect()
    thread.join(30)
    assert not thread.is_alive()


def test_one_slot_is_no_ring():
    with pytest.raises(ValueError, match="slots must be at least 2, got 1"):
        DeviceRing(iter([]), LazyCopies(), 1)


class AtOnce(LazyCopies):
    """A device that does everything when it is queued, so that the host may look."""

    def _queue(self, stream, what):
        what()


# -- datasets ---------------------------------------------------------------------------------


def on_device(dataset, copies, slots=3):
    ready = dataset.prefetch(2)
    plan = ready._derive(OnDeviceNode, input=ready._node, device=0, slots=slots)
    return DeviceIterator(plan._report.after, copies=copies)


def pipeline():
    return Dataset.range(23).shuffle(7, seed=3).map(lambda x: {"x": x, "y": x * 2}).batch(4)


def test_a_dataset_on_a_device_gives_its_elements():
    device = AtOnce()
    got = [e["y"].numpy().copy() for e in on_device(pipeline(), device)]
    want = [e["y"] for e in pipeline().as_numpy_iterator()]
    assert [g.tolist() for g in got] == [w.tolist() for w in want]


@pytest.mark.parametrize("at", range(7))
def test_what_the_ring_has_read_ahead_is_read_again(at):
    def rest(iterator):
        return [e["x"].numpy().tolist() for e in iterator]

    iterator = on_device(pipeline(), AtOnce())
    for _ in range(at):
        next(iterator)
    state = iterator.state()
    fresh = on_device(pipeline(), AtOnce())
    if at == 3:
        next(fresh)
    fresh.restore(state)
    assert rest(fresh) == rest(iterator)


def test_a_gpu_that_is_not_there_is_refused():
    to = hr.data.experimental.prefetch_to_device
    assert list(Dataset.range(3).apply(to("/cpu:0")).as_numpy_iterator()) == [0, 1, 2]
    if not hr.config.list_physical_devices("GPU"):
        with pytest.raises(hr.errors.InvalidArgumentError, match="There is no device GPU:0"):
            to("/gpu:0")


def test_map_on_a_device():
    numbers = Dataset.range(3)
    assert list(numbers.map(lambda x: x * 2, device="cpu:0").as_numpy_iterator()) == [0, 2, 4]
    if not hr.config.list_physical_devices("GPU"):
        with pytest.raises(hr.errors.InvalidArgumentError, match="There is no device GPU:0"):
            numbers.map(lambda x: x * 2, device="gpu:0")
