"""Autotuning: it follows measured rates within its budgets and never changes results."""

import contextlib
import itertools
import threading
import time

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, autotune, parallel
from headrace.data.autotune import Tuner, default_ram_budget
from headrace.data.knob import Knob

AUTOTUNE = hr.data.AUTOTUNE


def options(**autotuning):
    made = hr.data.Options()
    for name, value in autotuning.items():
        setattr(made.autotune, name, value)
    return made


class Sleep:
    """A map function that takes a time that can be changed, and counts its calls at work."""

    def __init__(self, cost_s):
        self.cost_s = cost_s
        self.working = self.most = 0
        self._lock = threading.Lock()

    def __call__(self, x):
        with self._lock:
            self.working += 1
            self.most = max(self.most, self.working)
        time.sleep(next(self.cost_s) if hasattr(self.cost_s, "__next__") else self.cost_s)
        with self._lock:
            self.working -= 1
        return x.numpy()

    def mapped(self, dataset):
        return dataset.map(lambda x: self(x), num_parallel_calls=AUTOTUNE)


def knobs(iterator, kind="parallel"):
    stages = [iterator._stage]
    for stage in stages:
        stages.extend(stage.inputs)
    stages.reverse()
    return [s.knob for s in stages if hasattr(s, "knob") and kind in s.node.label]


def run_until(iterator, condition, limit_s, think_s=0.0):
    """Seconds of iterating until `condition()`; `limit_s` if it does not come true."""
    began = time.monotonic()
    while (spent := time.monotonic() - began) < limit_s and not condition():
        next(iterator)
        time.sleep(think_s)
    return spent


# -- the model, with synthetic counters --------------------------------------------------------


class Executor:
    """The counters of an executor, set by hand."""

    def __init__(self):
        self.pull_s = self.wait_s = self.outer_wait_s = self.full_s = 0.0
        self.delivered = self.least = 0

    def forget_least(self):
        return self.least


class Pipeline:
    """A pipeline in which stage k works `costs[k]` seconds for a row and whose threads are all
    of use: its counters after each window follow from the threads that the tuner gave."""

    def __init__(self, costs, think_s=0.0, contended=(), **autotuning):
        self.costs, self.think_s, self.contended = list(costs), think_s, contended
        self.tuner = Tuner(options(**autotuning))
        self.now = 100.0
        self.work = [0.0] * len(costs)
        self.rows = 0
        self.knobs, self.set = [], []
        for k in range(len(costs)):
            self.set.append(None)
            knob = Knob(
                workers=None, most_workers=self.tuner.cpu_budget, ahead=1, least_ahead=1,
                most_ahead=4, apply=lambda *now, k=k: self.set.__setitem__(k, now),
                work=lambda k=k: (self.work[k], self.rows),
            )  # fmt: skip
            self.knobs.append(knob)
            self.tuner.add(knob, Executor())
        self.tuner._since_s = self.now

    @property
    def workers(self):
        return [k.workers for k in self.knobs]

    def window(self, span_s=0.05):
        """Run for a while, at the rate that the slowest part allows; then the tuner looks."""
        costs = [
            c * (k.workers if i in self.contended else 1)
            for i, (c, k) in enumerate(zip(self.costs, self.knobs, strict=True))
        ]
        times = [c / k.workers for c, k in zip(costs, self.knobs, strict=True)]
        rows = span_s / max(*times, self.think_s)
        for k, cost in enumerate(costs):
            self.work[k] += cost * rows
        self.rows += rows
        self.now += span_s
        top = self.knobs[-1].executor
        waited = span_s - self.think_s * rows
        top.wait_s += waited
        top.outer_wait_s += waited
        for knob in self.knobs:
            knob.executor.delivered += rows
        self.tuner._adjust(self.now)

    def run(self, windows=20):
        for _ in range(windows):
            self.window()
        return self.workers


@pytest.mark.parametrize(
    "costs,think_s,budget,expected",
    [
        ([8e-3], 0, 4, [4]),
        ([8e-3, 2e-3], 0, 4, [4, 1]),
        ([2e-3, 8e-3], 0, 9, [2, 8]),
        ([4e-3, 4e-3], 0, 7, [4, 4]),
        ([4e-3], 4e-3, 8, [2]),  # one would do without a margin
        ([1e-3], 4e-3, 8, [1]),
        ([6e-3, 1e-3], 2e-3, 16, [4, 1]),
    ],
    ids=["one", "uneven", "other", "even", "slow consumer", "slower one", "both"],
)
def test_threads_go_where_the_work_is_and_no_more_than_the_consumer_needs(
    costs, think_s, budget, expected
):
    assert Pipeline(costs, think_s, cpu_budget=budget).run() == expected


def test_it_settles_and_stays():
    pipeline = Pipeline([3e-3, 9e-3, 1e-3], 1e-3, cpu_budget=12)
    pipeline.run(10)  # half a second
    settled = {tuple(pipeline.run(1)) for _ in range(50)}
    assert len(settled) == 1


def test_another_cost_is_followed_both_ways():
    pipeline = Pipeline([8e-3, 2e-3], cpu_budget=9)
    before = pipeline.run()
    pipeline.costs.reverse()
    assert pipeline.run(30) == before[::-1]
    pipeline.think_s = 20e-3
    assert pipeline.run(30) == [1, 1]


def test_threads_that_only_wait_for_each_other_are_taken_back(monkeypatch):
    monkeypatch.setattr(autotune, "usable_cpus", lambda: 2)
    pipeline = Pipeline([1e-3], contended=[0], cpu_budget=8)
    seen = [pipeline.run(1)[0] for _ in range(60)]
    assert max(seen) > 2, "it was tried"
    assert seen[-1] == 2
    assert pipeline.knobs[0].why_workers.startswith("more made each slower")
    # Tried again later, as rows may be others by then.
    pipeline.contended = []
    assert pipeline.run(300)[0] == 8


def test_a_row_that_costs_more_is_not_taken_for_contention(monkeypatch):
    monkeypatch.setattr(autotune, "usable_cpus", lambda: 1)
    pipeline = Pipeline([1e-3], cpu_budget=4)
    assert pipeline.run(3) == [4]
    pipeline.costs = [8e-3]
    assert pipeline.run(40) == [4]


def test_least_and_initial_parallelism():
    assert Pipeline([1e-3], 1.0, cpu_budget=8, min_parallelism=3).run() == [3]
    assert Pipeline([1e-3], cpu_budget=8, initial_parallelism=5).workers == [5]


def test_switched_off_nothing_is_set_in_mid_run():
    pipeline = Pipeline([1e-3, 8e-3], cpu_budget=3, enabled=False)
    assert pipeline.workers == [3, 3]
    pipeline.tuner.tick()
    assert pipeline.workers == [3, 3] and pipeline.tuner._since_s == 100.0


class Buffer(Pipeline):
    """One prefetch of items of 1000 bytes."""

    def __init__(self, **autotuning):
        super().__init__([], **autotuning)
        self.knob = Knob(
            workers=1, most_workers=1, ahead=2, least_ahead=2, most_ahead=64,
            apply=lambda *now: None, item_bytes=lambda: 1000,
        )  # fmt: skip
        self.tuner.add(self.knob, Executor())
        self.tuner._since_s = self.now

    def window(self, waited_s=0.0, full_s=0.0, least=0, span_s=0.1):
        executor = self.knob.executor
        executor.wait_s += waited_s
        executor.outer_wait_s += waited_s
        executor.full_s += full_s
        executor.least = least
        self.now += span_s
        self.tuner._adjust(self.now)
        return self.knob.ahead


def test_a_buffer_grows_only_if_both_sides_waited():
    buffer = Buffer()
    assert buffer.window(waited_s=0.08) == 2, "the producer is the bottleneck"
    assert buffer.window(waited_s=0.08, full_s=0.001) == 2, "and hardly ever ahead"
    assert buffer.window(full_s=0.05, least=2) == 4, "now this, now that"
    assert buffer.window(waited_s=0.05) == 4, "not seen full at this size"
    assert buffer.window(full_s=0.05) == 8
    assert "waited though" in buffer.knob.why_ahead
    buffer = Buffer()
    for _ in range(20):
        assert buffer.window(full_s=0.09, least=2) == 2, "the consumer is the bottleneck"


def test_a_buffer_shrinks_when_its_deeper_half_is_not_used():
    buffer = Buffer()
    for _ in range(3):
        buffer.window(0.05, 0.05)
    assert buffer.knob.ahead == 16
    for k in range(60):
        buffer.window(full_s=0.09, least=9 + k % 7)
    assert buffer.knob.ahead < 16
    settled = buffer.knob.ahead
    for _ in range(60):
        buffer.window(full_s=0.09, least=0)
    assert buffer.knob.ahead == settled


def test_a_buffer_keeps_to_the_budget_and_what_shuffles_hold_counts():
    buffer = Buffer(ram_budget=20_000)
    for _ in range(10):
        buffer.window(0.05, 0.05)
    assert buffer.knob.ahead == 16
    assert "ram_budget" in buffer.knob.why_ahead

    class Shuffle:
        def buffered(self):
            return 1, 15_000

    held = Shuffle()
    buffer = Buffer(ram_budget=20_000)
    buffer.tuner.watch(held)
    for _ in range(10):
        buffer.window(0.05, 0.05)
    assert buffer.knob.ahead == 4
    assert buffer.tuner.share_bytes() == 5_000


def test_the_default_budget_is_a_part_of_the_memory():
    assert 1 << 20 < default_ram_budget() < 1 << 50


# On an idle machine they settle in half a second; others may be at work on this one.
SETTLED_S = 15.0

# -- the engine --------------------------------------------------------------------------------


def test_a_pipeline_of_sleeping_functions_settles():
    slow, fast = Sleep(8e-3), Sleep(2e-3)
    dataset = fast.mapped(slow.mapped(Dataset.range(1 << 20)))
    dataset = dataset.with_options(options(cpu_budget=6))
    with dataset.as_numpy_iterator() as iterator:
        next(iterator)
        first, second = knobs(iterator)
        assert (
            run_until(iterator, lambda: first.workers >= 4 and second.workers <= 2, SETTLED_S)
            < SETTLED_S
        )
        slow.cost_s, fast.cost_s = 2e-3, 8e-3
        assert (
            run_until(iterator, lambda: second.workers >= 4 and first.workers <= 2, SETTLED_S)
            < SETTLED_S
        )
    assert slow.most <= 6 and fast.most <= 6


def test_a_slow_consumer_needs_few_threads_and_stats_say_so():
    cheap = Sleep(1e-3)
    dataset = cheap.mapped(Dataset.range(1 << 20)).with_options(options(cpu_budget=6))
    with dataset.as_numpy_iterator() as iterator:
        next(iterator)
        (knob,) = knobs(iterator)
        few = lambda: knob.workers == 1 and knob.why_workers  # noqa: E731
        assert run_until(iterator, few, SETTLED_S, think_s=4e-3) < SETTLED_S
        choice = iterator.stats().choices[0]
    assert "1 of 6 threads (its consumer needs no more)" in choice
    assert "Chosen in the latest iteration:" in dataset.explain()
    assert "1 of 6 threads" in dataset.explain()


def uneven(n, every, cost_s):
    """0 .. n - 1, one of `every` taking long."""
    for k in range(n):
        if k % every == every - 1:
            time.sleep(cost_s)
        yield k


def test_a_prefetch_grows_over_stalls_and_then_hides_them():
    spec = hr.TensorSpec([], hr.int64)
    dataset = Dataset.from_generator(lambda: uneven(1 << 16, 40, 0.06), output_signature=spec)
    dataset = dataset.prefetch(AUTOTUNE)
    with dataset.as_numpy_iterator() as iterator:
        next(iterator)
        (knob,) = knobs(iterator, "prefetch")
        begun_with = knob.ahead
        # 40 elements take the consumer 80 ms and more, the generator some 60 ms.
        grown = lambda: knob.ahead >= 32  # noqa: E731
        assert run_until(iterator, grown, SETTLED_S, think_s=2e-3) < SETTLED_S
        assert begun_with < 32
        executor = knob.executor
        before = executor.wait_s
        run_until(iterator, lambda: False, 0.5, think_s=2e-3)
        assert executor.wait_s - before < 0.25  # without the buffer 0.37
        assert "its consumer waited" in "".join(iterator.stats().choices)


def test_switched_off_threads_and_buffers_are_the_documented_ones():
    work = Sleep(1e-3)
    dataset = work.mapped(Dataset.range(400)).prefetch(AUTOTUNE)
    dataset = dataset.with_options(options(enabled=False, cpu_budget=3))
    with dataset.as_numpy_iterator() as iterator:
        assert [int(v) for v in iterator] == list(range(400))
        (parallel,), (prefetch,) = knobs(iterator), knobs(iterator, "prefetch")
        assert (parallel.workers, parallel.ahead, prefetch.ahead) == (3, 3, 8)
    assert work.most == 3


def heavy(x):
    """Traced, and slow enough to be worth threads."""
    for _ in range(40):
        x = hr.stack([x, x])[0]
    return x


CHAINS = {
    "traced": lambda d: d.map(heavy).filter(lambda x: x % 3 != 0).batch(7),
    "Python": lambda d: d.take(600).map(lambda x: x.numpy() * 2, num_parallel_calls=AUTOTUNE),
    "all": lambda d: d.map(heavy).shuffle(100, 3, False).prefetch(AUTOTUNE).map(heavy).batch(5),
}


@contextlib.contextmanager
def restless(monkeypatch):
    """A tuner that, instead of measuring, sets something at random at every handover."""
    numbers = np.random.default_rng(1)
    calls = []

    def adjust(tuner, now):
        calls.append(now)
        for knob in tuner._knobs:
            if knob.tuned:
                knob.workers = int(numbers.integers(1, knob.most_workers + 1))
            knob.ahead = int(numbers.integers(knob.least_ahead, knob.most_ahead + 1))
            knob.apply(knob.workers, knob.ahead, int(numbers.integers(1 << 8, 1 << 20)))

    with monkeypatch.context() as patch:
        patch.setattr(autotune, "TICK_S", 0.0)
        patch.setattr(parallel, "_WORTH_S", 0.0)
        patch.setattr(parallel, "_START_S", 0.0)
        patch.setattr(Tuner, "_window_ended", lambda tuner, now: True)
        patch.setattr(Tuner, "_adjust", adjust)
        yield
    assert len(calls) > 20


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS)
def test_whatever_is_set_results_and_states_are_the_same(chain, monkeypatch):
    dataset = chain(Dataset.range(20_000))
    plain = dataset.with_options(options(enabled=False)).as_numpy_iterator()
    expected = [np.asarray(v).tolist() for v in plain]
    tuned = dataset.with_options(options(cpu_budget=4))
    with restless(monkeypatch):
        assert [v.tolist() for v in tuned.as_numpy_iterator()] == expected
        for at in (0, 1, len(expected) // 3, len(expected) - 1):
            with tuned.as_numpy_iterator() as iterator:
                for _ in itertools.islice(iterator, at):
                    pass
                state = iterator.state()
            with tuned.as_numpy_iterator() as fresh:
                fresh.restore(state)
                assert [v.tolist() for v in fresh] == expected[at:]
