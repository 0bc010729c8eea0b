"""The device ring against a device that puts off every copy and all work as long as it may."""

import gc
import random
import sys
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, strategies as st

import headrace as hr
from headrace.data import Dataset, device_copies
from headrace.data.device_dataset import DeviceIterator
from headrace.data.device_ring import DeviceRing, Rows
from headrace.data.device_rings import DeviceRings
from headrace.data.transforms.on_device import OnDeviceNode
from headrace.ops.string_array import StringArray

sys.path.append(str(Path(__file__).parent))

from lazy_cupy import LazyCupy
from lazy_device import AtOnce, LazyCopies


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


@pytest.mark.parametrize("missing", ["host_waits", "copies_wait", "work_waits", "used"])
def test_the_device_shows_a_wait_that_is_missing(missing, monkeypatch):
    monkeypatch.setattr(LazyCopies, missing, lambda self, event: [])
    device, seen = LazyCopies(), []
    for got in DeviceRing(iter(elements(12)), device, 2):
        device.read(got["x"], seen)
        del got
        if missing == "work_waits":
            device.finish()
    device.finish()
    assert [float(a[0, 0]) for a in seen] != list(range(12))


@st.composite
def holdings(draw):
    """For each element, behind how many others it is dropped, and when it is read."""
    n = draw(st.integers(0, 20))
    held = draw(st.lists(st.integers(0, 8), min_size=n, max_size=n))
    return [(h, sorted(draw(st.sets(st.integers(0, h), max_size=3)))) for h in held]


@given(
    holdings(), st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9),
    st.booleans(), st.booleans(),
)  # fmt: skip
def test_what_is_held_never_changes(held, slots, hurry, seed, parts, recorded):
    """Elements, or slices of them, are kept for a while, read now and then, and dropped."""
    device, kept, seen, want = LazyCopies(hurry, seed), {}, [], []
    chance = random.Random(seed)
    sent = [
        {"x": np.full((4, 3 + (i % 3 == 2)), i, "f4"), "y": np.arange(2 + i % 3) + i}
        for i in range(len(held))
    ]
    ring = DeviceRing(iter(sent), device, slots)
    for now in range(len(held) + 9):
        got = next(ring, None)
        if got is not None:
            kept[now] = got["x"][1:3, 1:] if parts else got["x"]
        device.recording = recorded and chance.random() < 0.3
        del got
        for i, array in list(kept.items()):
            if now - i in held[i][1]:
                device.read(array, seen)
                want.append(i)
            del array
            if now - i >= held[i][0]:
                del kept[i]
    device.recording = False
    ring.close()
    device.finish()
    assert [set(a.ravel().tolist()) for a in seen] == [{i} for i in want]


@pytest.mark.parametrize("slots", [1, 2, 3, 5])
def test_memory_is_that_of_the_ring_and_of_what_is_held(slots):
    device = LazyCopies()
    size = 1024
    ring = DeviceRing((np.full(size, i % 256, "u1") for i in range(60)), device, slots)
    got = None
    for k, got in enumerate(ring):  # noqa: B007 - an element is held while the next is taken
        assert ring.device_bytes <= (slots + 1) * size
        assert ring.pinned_bytes <= max(slots, 2) * size
        if k == 30:
            break
    held = [got, *(next(ring) for _ in range(20))]
    assert 21 * size <= ring.device_bytes <= (21 + slots) * size
    del held, got
    for got in ring:
        del got
    assert ring.device_bytes == 0
    assert sum(map(len, device.pool)) <= (21 + slots + 1) * size


def test_sizes_that_change_take_no_more():
    device, sizes = LazyCopies(), [500, 4000, 600, 9000, 512, 3000] * 5
    ring = DeviceRing((np.zeros(n, "u1") for n in sizes), device, 2)
    for got in ring:
        assert ring.device_bytes <= 3 * 9216
        del got


def test_elements_that_are_kept_stay_as_they_are():
    device = LazyCopies()
    kept = list(DeviceRing(iter(elements(20)), device, 2))
    parts = [k["x"][1:] for k in kept]
    device.finish()
    assert [float(k["x"][0, 0]) for k in kept] == list(range(20))
    del kept
    assert [float(p[0, 0]) for p in parts] == list(range(20))


def test_with_one_slot_nothing_is_taken_before_it_is_asked_for():
    taken, device, seen = [], LazyCopies(), []

    def source():
        for i in range(8):
            taken.append((i, threading.get_ident()))
            yield np.full(3, i)

    for i, got in enumerate(DeviceRing(source(), device, 1)):
        assert taken == [(k, threading.get_ident()) for k in range(i + 1)]
        device.read(got, seen)
    device.finish()
    assert [int(a[0]) for a in seen] == list(range(8))


def test_rows_are_gathered_into_pinned_memory():
    data = np.arange(24, dtype="i4").reshape(8, 3)
    picks = [np.array([7, 0, 7]), np.array([], int), np.array([3])]
    device, seen = LazyCopies(), []
    for got in DeviceRing(((Rows(data, p), Rows(data[:, 0], p)) for p in picks), device):
        device.read(got[0], seen)
        device.read(got[1], seen)
    device.finish()
    for k, p in enumerate(picks):
        np.testing.assert_array_equal(seen[2 * k], data[p])
        np.testing.assert_array_equal(seen[2 * k + 1], data[p, 0])


def test_what_devices_do_not_have_stays_on_the_host():
    text = hr.constant(["a", "bc"])._value
    assert type(text) is StringArray
    small = np.ones(2, ml_dtypes.float8_e4m3fn)
    half = np.ones(2, ml_dtypes.bfloat16)
    (got,) = DeviceRing(iter([(np.ones(2, "f4"), text, None, small, half)]), LazyCopies(), 2)
    assert got[1] is text and got[2] is None and got[3] is small
    assert got[4] is not half and got[4].dtype == half.dtype


@pytest.mark.parametrize("slots", [1, 2])
def test_errors_of_the_source_come_behind_its_elements(slots):
    def source():
        yield np.zeros(2, "f4")
        raise KeyError("third")

    ring = DeviceRing(source(), LazyCopies(), slots)
    next(ring)
    with pytest.raises(KeyError, match="third"):
        next(ring)
    with pytest.raises(StopIteration):
        next(ring)


@pytest.mark.parametrize("slots", [1, 3])
def test_elements_behind_an_error_come(slots):
    numbers = Dataset.range(6).map(lambda x: hr.math.floordiv(6, x - 2))
    ring = DeviceRing(numbers.raw_iterator(), AtOnce(), slots)
    found = []
    for _ in range(7):
        try:
            found.append(int(next(ring)))
        except (hr.errors.InvalidArgumentError, StopIteration) as error:
            found.append(type(error).__name__)
    assert found == [-3, -6, "InvalidArgumentError", 6, 3, 2, "StopIteration"]


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


@pytest.fixture
def lazy(monkeypatch):
    """CuPy on a device that puts off all it can."""
    found = LazyCupy()
    monkeypatch.setitem(sys.modules, "cupy", found)
    monkeypatch.setattr(device_copies, "_streams", {})
    monkeypatch.setattr(device_copies.devices, "_backend", None)
    monkeypatch.setattr(device_copies.devices, "_looked", True)
    return found


@pytest.mark.parametrize("captured", [False, True])
@pytest.mark.parametrize("own_stream", [False, True])
@pytest.mark.parametrize("slots", [1, 2, 3])
def test_what_is_held_never_changes_with_cupys_streams_and_pools(
    lazy, slots, own_stream, captured
):
    chance, kept, seen, want = random.Random(slots), [], [], []
    sent = [(np.full((3, 2), i, "f4"), np.arange(1 + i % 2)) for i in range(40)]
    work = lazy.cuda.Stream() if own_stream else lazy.cuda.get_current_stream()
    lazy.devices.clear()
    with work:
        ring = DeviceRing(iter(sent), device_copies.CupyCopies(1), slots)
        for i, (x, _) in enumerate(ring):
            if x.shape[0]:
                kept.append((i, x[1:] if i % 3 else x))
            del x, _
            lazy.capturing = captured and i % 4 == 1
            while len(kept) > 4 or (kept and chance.random() < 0.6):
                at, array = kept.pop(chance.randrange(len(kept)))
                read = array.at()
                work.queue(lambda read=read: seen.append(read().copy()))
                want.append(at)
                del array
            lazy.capturing = False
        kept.clear()
    ring.close()
    work.synchronize()
    assert [set(a.ravel().tolist()) for a in seen] == [{float(i)} for i in want]
    assert set(lazy.pools) == {device_copies._streams[1].ptr}  # none of the work's
    assert lazy.devices <= {1} and lazy.cuda.get_device_id() == 0
    assert ring.device_bytes == 0


@given(
    st.integers(0, 12), st.integers(1, 4), st.sampled_from([0.0, 0.3, 1.0]), st.integers(0, 9)
)
def test_parts_go_to_devices_of_their_own(n, slots, hurry, seed):
    devices = [LazyCopies(hurry, seed), None, LazyCopies(hurry, seed + 1)]
    source = iter([[np.full((3, 2), 10 * i + k) for k in range(3)] for i in range(n)])
    seen, hosts, held = ([], [], []), [], []
    for parts in DeviceRings(source, devices, slots):
        for k in (0, 2):
            devices[k].read(parts[k], seen[k])
        hosts.append(int(parts[1][0, 0]))
        held = [*held[-1:], parts[0]]
    devices[0].read(held[0], seen[1]) if held else None
    devices[0].finish(), devices[2].finish()
    for k in (0, 2):
        assert [int(a[0, 0]) for a in seen[k]] == [10 * i + k for i in range(n)]
    assert hosts == [10 * i + 1 for i in range(n)]
    assert [int(a[0, 0]) for a in seen[1]] == [10 * max(n - 2, 0)] * bool(n)


@pytest.mark.parametrize("slots", [1, 3])
def test_an_error_of_the_source_is_every_parts(slots):
    numbers = Dataset.range(6).map(lambda x: hr.math.floordiv(6, x - 2))
    source = map(lambda x: [x, x], numbers.raw_iterator())
    rings = DeviceRings(source, [AtOnce(), AtOnce()], slots)
    found = []
    for _ in range(7):
        try:
            found.append([int(x) for x in next(rings)])
        except (hr.errors.InvalidArgumentError, StopIteration) as error:
            found.append(type(error).__name__)
    end = "StopIteration"
    assert found == [[-3] * 2, [-6] * 2, "InvalidArgumentError", [6] * 2, [3] * 2, [2] * 2, end]
    rings.close()


def test_slots_are_counted():
    with pytest.raises(ValueError, match="slots must be positive, got 0"):
        DeviceRing(iter([]), LazyCopies(), 0)


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
