"""Parallel maps and filters: order, errors in their place, the checkpoint law."""

import threading
import time

import numpy as np
import pytest

import headrace as hr
from headrace.data import parallel as parallel_module
from headrace.data.functions import UserFunction
from headrace.data.iterator import NumpyIterator
from headrace.data.options import Options
from headrace.data.parallel import ParallelNode
from headrace.data.transforms.batch import BatchNode
from headrace.data.transforms.map import MapNode
from headrace.data.transforms.range import RangeNode
from headrace.data.transforms.repeat import RepeatNode
from headrace.data.transforms.take import TakeNode
from headrace.ops.errors import InvalidArgumentError


def numbers(n):
    return RangeNode(0, n, 1)


def parallel(source, fn, kind="map", vectorized=True, **kw):
    function = UserFunction(fn, source.element_spec, what=kind)
    if function.traced is None:
        function.learn([np.asarray(1)])
    elif vectorized:
        function = function.vectorized()
    return ParallelNode(source, function, kind, **{"parallelism": 3, **kw})


def fails_at_1500(x):
    if x.numpy() in (3, 1500, 1501):
        raise ValueError("unlucky")
    return x


def slow_evens(x):
    time.sleep(0.002 if x.numpy() % 2 == 0 else 0)
    return x.numpy()


def everything(iterator):
    """All elements, and the errors in their places."""
    out = []
    while True:
        try:
            out.append(np.asarray(next(iterator)).tolist())
        except StopIteration:
            return out
        except InvalidArgumentError as error:
            out.append(str(error).split(" [stage")[0])


PLANS = {
    "map": lambda: parallel(numbers(3000), lambda x: (x, x)),
    "map per element": lambda: parallel(numbers(700), lambda x: (x, x), vectorized=False),
    "map cut into batches": lambda: BatchNode(
        parallel(numbers(3000), lambda x: (x, x), multiple=7), 7
    ),
    "filter": lambda: parallel(
        parallel(numbers(3000), lambda x: (x, True), parallelism=2),
        lambda x, y: y,
        "filter",
    ),
    "python map": lambda: parallel(numbers(300), lambda x: x.numpy() * 2),
    "python filter": lambda: parallel(numbers(300), lambda x: x.numpy() % 3 == 0, "filter"),
    "python map that fails": lambda: parallel(numbers(1600), fails_at_1500),
    "heavy map": lambda: parallel(numbers(60_000), heavy),
    "under repeat": lambda: RepeatNode(parallel(numbers(150), lambda x: (x, x)), 3),
    "under take": lambda: TakeNode(parallel(numbers(3000), lambda x: (x, x)), 1000),
}


@pytest.mark.parametrize("make", PLANS.values(), ids=PLANS)
def test_checkpoint_law(make):
    plan = make()
    with NumpyIterator(plan) as iterator:
        full = everything(iterator)
    step = max(1, len(full) // 17)
    with NumpyIterator(plan) as iterator:
        for k in range(len(full) + 1):
            if k % step == 0 or k in (1, 2, len(full)):
                with NumpyIterator(plan) as other:
                    other.restore(iterator.state())
                    assert everything(other) == full[k:]
            try:
                next(iterator)
            except (StopIteration, InvalidArgumentError):
                pass


def test_the_same_elements_as_the_plain_map():
    source = numbers(5000)
    node = parallel(source, lambda x: (x, x))
    with NumpyIterator(node) as a, NumpyIterator(MapNode(source, node.function)) as b:
        assert everything(a) == everything(b)


def test_errors_come_in_their_place_and_the_rest_follows():
    with NumpyIterator(parallel(numbers(1600), fails_at_1500)) as iterator:
        out = everything(iterator)
    errors = {k: v for k, v in enumerate(out) if isinstance(v, str)}
    assert list(errors) == [3, 1500, 1501]
    assert "ValueError: unlucky (element 1500 of fails_at_1500), raised at" in errors[1500]
    assert [v for v in out if not isinstance(v, str)] == [
        k for k in range(1600) if k not in errors
    ]


def test_out_of_order_delivers_everything_and_obeys_the_law_as_sets():
    plan = parallel(numbers(60), slow_evens, deterministic=False)
    with NumpyIterator(plan) as iterator:
        first = [int(next(iterator)) for _ in range(20)]
        state = iterator.state()
        rest = [int(v) for v in iterator]
    assert sorted(first + rest) == list(range(60))
    with NumpyIterator(plan) as iterator:
        iterator.restore(state)
        assert sorted(int(v) for v in iterator) == sorted(rest)


def test_python_functions_run_at_the_same_time_once_per_element_and_not_far_ahead():
    seen = []
    barrier = threading.Barrier(3, timeout=5)

    def slow(x):
        seen.append(int(x.numpy()))
        if len(seen) <= 3:
            barrier.wait()
        return x

    source = numbers(100)
    function = UserFunction(slow, source.element_spec)
    with NumpyIterator(ParallelNode(source, function, "map", parallelism=3)) as iterator:
        assert int(next(iterator)) == 0
        time.sleep(0.05)
        assert len(seen) < 20
        assert [int(v) for v in iterator] == list(range(1, 100))
    assert sorted(seen) == list(range(100))


def heavy(x):
    """Traced, and slow enough to be worth threads."""
    for _ in range(40):
        x = hr.stack([x, x])[0]
    return x


@pytest.mark.parametrize("worth_s,threads", [(1e9, 0), (0.0, 3)], ids=["cheap", "heavy"])
def test_threads_start_only_for_blocks_that_take_long(monkeypatch, worth_s, threads):
    # The machine's own speed must not decide: what counts as long is set.
    monkeypatch.setattr(parallel_module, "_WORTH_S", worth_s)
    monkeypatch.setattr(parallel_module, "_START_S", 0.0)
    with NumpyIterator(parallel(numbers(300_000), lambda x: (x, x))) as iterator:
        for _ in iterator:
            pass
        assert iterator._stage.threads == threads


def test_stats_name_the_threads_and_what_is_buffered():
    with NumpyIterator(parallel(numbers(300_000), heavy)) as iterator:
        while not iterator._stage.threads:
            next(iterator)
        deadline = time.monotonic() + 2
        while not (row := iterator.stats().rows[0]).buffered_bytes:
            assert time.monotonic() < deadline
            time.sleep(0.005)
        assert row.name == "parallel_map"
        assert row.threads == 3
        assert row.busy_s > 0
        assert row.buffered_elements > 0
        assert row.buffered_bytes >= 8 * row.buffered_elements


def test_a_budget_bounds_what_is_read_ahead():
    options = Options()
    options.autotune.ram_budget = 1 << 16
    with NumpyIterator(parallel(numbers(1 << 20), heavy), options) as iterator:
        while not iterator._stage.threads:
            next(iterator)
        time.sleep(0.05)
        assert 0 < iterator.stats().rows[0].buffered_bytes <= 1 << 16


def test_a_generator_is_not_run_far_ahead():
    yielded = []

    def generate():
        for k in range(10_000):
            yielded.append(k)
            yield k

    spec = hr.TensorSpec([], hr.int64)
    dataset = hr.data.Dataset.from_generator(generate, output_signature=spec)
    dataset = dataset.map(heavy, num_parallel_calls=2).batch(128)
    assert "parallel_map" in dataset.explain()
    with iter(dataset) as iterator:
        for _ in range(10):
            next(iterator)
        time.sleep(0.05)
        assert len(yielded) <= 1280 + 64


def test_an_error_of_the_input_passes_through():
    source = parallel(numbers(50), fails_at_1500)
    with NumpyIterator(parallel(source, lambda x: (x, x))) as iterator:
        out = everything(iterator)
    assert len(out) == 50
    assert "element 3 of fails_at_1500" in out[3]


def test_a_user_label_shows():
    assert parallel(numbers(3), lambda x: x, name="mine").label == "parallel_map:mine"
    assert "parallel_map(<lambda>, threads=3)" == parallel(numbers(3), lambda x: x).describe()


def test_the_first_block_of_large_elements_is_small():
    # 2 MiB each: not so many at once before the first is there.
    large = hr.data.Dataset.range(64).map(
        lambda i: hr.fill([512, 1024], hr.cast(i, hr.float32)), num_parallel_calls=2
    )
    with large.raw_iterator() as iterator:
        first = iterator.next_block(64)
        assert first.num_rows <= 4
        total = first.num_rows
        while (block := iterator.next_block(64)) is not None:
            total += block.num_rows
    assert total == 64
