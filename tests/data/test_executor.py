"""Executors: order, state, bounds, errors, closing, interrupts, leaks."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from headrace.data.parallel_blocks import ParallelBlocks
from headrace.data.pool import WorkerPool, usable_cpus
from headrace.data.prefetcher import Prefetcher
from headrace.ops.errors import CancelledError


class Count:
    """A source of 0 .. n-1 whose state is its position."""

    def __init__(self, n, position=0, fail_at=None, delay_s=0.0):
        self.n, self.position, self.fail_at, self.delay_s = n, position, fail_at, delay_s
        self.closed = 0
        self.inside = 0

    def pull(self):
        self.inside += 1
        assert self.inside == 1, "pulled by two threads at a time"
        if self.delay_s:
            time.sleep(self.delay_s)
        value = self.position
        try:
            if value >= self.n:
                return None
            self.position += 1
            if value == self.fail_at:
                raise ValueError(f"bad {value}")
            return value
        finally:
            self.inside -= 1

    def save(self):
        return self.position

    def close(self):
        self.closed += 1


def parallel(source, work=lambda v: v * 10, **kw):
    return ParallelBlocks(source, work, **{"parallelism": 4, **kw})


def prefetch(source, **kw):
    return Prefetcher(source, **{"max_items": 3, **kw})


def drain(executor):
    out = []
    while (item := executor.next()) is not None:
        out.append(item.result())
    return out


def wait_until(condition, timeout_s=2.0):
    deadline = time.monotonic() + timeout_s
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.005)
    return condition()


@pytest.fixture(autouse=True)
def no_threads_left(pipeline_threads):
    yield
    assert pipeline_threads.all_ended(), pipeline_threads()


def test_usable_cpus_is_positive_and_no_more_than_the_machine_has():
    assert 1 <= usable_cpus() <= os.cpu_count()


def test_a_pool_needs_a_thread():
    with pytest.raises(ValueError, match="got 0"):
        WorkerPool(0)


def test_pool_threads_live_while_the_pool_is_held(pipeline_threads):
    pool = WorkerPool(3)
    pool.acquire()
    pool.acquire()
    assert len(pipeline_threads()) == 3
    pool.release()
    assert len(pipeline_threads()) == 3
    pool.release()
    assert pipeline_threads.all_ended()


def test_parallel_keeps_order_although_work_ends_out_of_order():
    def work(v):
        time.sleep(0.004 if v % 4 == 0 else 0)
        return v * 10

    source = Count(50)
    executor = parallel(source, work, pool=WorkerPool(4))
    assert drain(executor) == [v * 10 for v in range(50)]
    assert executor.next() is None
    executor.close()
    assert source.closed == 1


def test_unordered_delivers_everything_once_and_what_is_done_first():
    def work(v):
        time.sleep(0.1 if v == 0 else 0)
        return v

    executor = parallel(Count(20), work, ordered=False, pool=WorkerPool(4))
    out = drain(executor)
    executor.close()
    assert sorted(out) == list(range(20))
    assert out[0] != 0


def test_work_runs_at_the_same_time():
    barrier = threading.Barrier(3, timeout=5)
    pool = WorkerPool(3)
    executor = parallel(Count(3), lambda v: barrier.wait() and v, parallelism=3, pool=pool)
    drain(executor)
    executor.close()
    assert not barrier.broken


@pytest.mark.parametrize("make", [parallel, prefetch])
def test_state_is_what_was_delivered(make):
    source = Count(40)
    executor = make(source)
    for k in range(40):
        assert executor.state() == k
        executor.next()
    assert executor.state() == 40
    assert executor.next() is None
    assert executor.state() == 40
    executor.close()


@pytest.mark.parametrize("make", [parallel, prefetch])
def test_never_further_ahead_than_the_bounds(make):
    source = Count(1000)
    executor = make(source)
    assert executor.next() is not None
    time.sleep(0.05)
    assert executor.buffered <= 8
    assert source.position <= 1 + 8
    executor.close()


def test_prefetch_is_bounded_by_bytes():
    source = Count(1000)
    executor = prefetch(source, max_items=100, max_bytes=50, size_bytes=lambda _: 20)
    executor.start()
    assert wait_until(lambda: source.position == 3)
    time.sleep(0.02)
    assert source.position == 3
    assert executor.buffered_bytes == 60
    executor.close()


@pytest.mark.parametrize("make", [parallel, prefetch])
def test_an_error_of_the_source_comes_after_what_was_before_and_one_may_go_on(make):
    executor = make(Count(10, fail_at=4))
    got = [executor.next() for _ in range(4)]
    assert all(item.error is None for item in got)
    with pytest.raises(ValueError, match="bad 4"):
        executor.next().result()
    assert len(drain(executor)) == 5
    executor.close()


def test_an_error_of_the_work_comes_in_its_place():
    def work(v):
        if v == 3:
            raise KeyError("three")
        return v

    executor = parallel(Count(6), work)
    assert [executor.next().result() for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        executor.next().result()
    assert drain(executor) == [4, 5]
    executor.close()


def test_prefetch_pauses_at_an_error_until_it_was_delivered():
    source = Count(10, fail_at=1)
    executor = prefetch(source, max_items=8)
    executor.start()
    time.sleep(0.03)
    assert source.position == 2
    executor.close()


@pytest.mark.parametrize("make", [parallel, prefetch])
def test_closing_twice_closes_the_source_once_and_next_says_so(make):
    source = Count(100)
    executor = make(source)
    executor.next()
    executor.close()
    executor.close()
    assert source.closed == 1
    with pytest.raises(CancelledError, match="closed"):
        executor.next()


@pytest.mark.parametrize("make", [parallel, prefetch])
def test_closing_before_the_first_next_starts_nothing(make):
    source = Count(100)
    make(source).close()
    assert source.closed == 1
    assert source.position == 0


def test_close_does_not_wait_for_slow_work_and_the_last_one_out_closes_the_source():
    go_on = threading.Event()
    source = Count(100)
    executor = parallel(source, lambda v: go_on.wait(5), parallelism=1, pool=WorkerPool(1))
    threading.Thread(target=lambda: executor.close()).start()  # before: nothing started
    executor = parallel(source, lambda v: go_on.wait(5), parallelism=1, pool=WorkerPool(1))

    def read():
        with pytest.raises(CancelledError):
            executor.next()

    reader = threading.Thread(target=read)
    reader.start()
    assert wait_until(lambda: source.position == 1)
    began = time.monotonic()
    executor.close()
    assert time.monotonic() - began < 4  # it does not wait for the function's five seconds
    closed_before = source.closed
    go_on.set()
    reader.join(2)
    assert not reader.is_alive()
    assert wait_until(lambda: source.closed == closed_before + 1)


@pytest.mark.parametrize("threads", [1, 2])
def test_stages_in_a_row_on_a_pool_smaller_than_their_number(threads):
    pool = WorkerPool(threads)

    class Over:
        def __init__(self, executor):
            self.executor = executor

        def pull(self):
            item = self.executor.next()
            return None if item is None else item.result()

        def save(self):
            return None

        def close(self):
            self.executor.close()

    source = Count(200)
    executor = parallel(source, lambda v: v + 1, pool=pool)
    for _ in range(3):
        executor = parallel(Over(prefetch(Over(executor))), lambda v: v + 1, pool=pool)
    top = prefetch(Over(executor))
    assert drain(top) == [v + 4 for v in range(200)]
    top.close()
    assert wait_until(lambda: source.closed == 1)


def test_many_open_and_close_cycles_leak_nothing(pipeline_threads):
    def cycle(n):
        for k in range(n):
            executor = parallel(Count(4)) if k % 2 else prefetch(Count(4))
            if k % 3:
                executor.next()
            executor.close()

    def alive():
        gc.collect()
        modules = [str(type(o).__module__) for o in gc.get_objects()]
        return sum(m.startswith(("headrace", "threading", "_thread")) for m in modules)

    cycle(50)
    pipeline_threads.all_ended()
    before = alive()
    cycle(1000)
    assert pipeline_threads.all_ended()
    assert alive() - before < 50


SCRIPT = """
import time
from headrace.data.{module} import {kind}
class Source:
    def pull(self): time.sleep({delay}); return 1
    def save(self): return None
    def close(self): pass
executor = {make}
executor.next() if {first} else None
print("ready", flush=True)
try:
    while True:
        executor.next()
except KeyboardInterrupt:
    executor.close()
    print("interrupted", flush=True)
"""


@pytest.mark.parametrize("delay", [0.0, 0.05, 30.0])
@pytest.mark.parametrize(
    "make", ["ParallelBlocks(Source(), lambda v: v, parallelism=2)",
             "Prefetcher(Source(), max_items=2)"],
)  # fmt: skip
def test_ctrl_c_answers_at_once(make, delay):
    kind = make.split("(")[0]
    module = {"ParallelBlocks": "parallel_blocks", "Prefetcher": "prefetcher"}[kind]
    script = SCRIPT.format(kind=kind, module=module, make=make, delay=delay, first=delay < 1)
    command = [sys.executable, "-c", script]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout.readline() == "ready\n"
        time.sleep(0.1)
        began = time.monotonic()
        process.send_signal(signal.SIGINT)
        assert process.stdout.readline() == "interrupted\n"
        assert time.monotonic() - began < 5  # far from the source's 30 s
        assert process.wait(20) == 0
