"""Counters: exclusive times, one bottleneck, a table people can read."""

import time

import pytest

from headrace.data.stats import PipelineStats, StageRow, StageStats, pipeline_stats, timed, waiting


class Stage:
    def __init__(self, stats, *inputs):
        self.stats = stats
        self.inputs = inputs


def spin(seconds):
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


@pytest.mark.parametrize("how", ["call", "timed"])
def test_times_are_exclusive_of_inner_stages_and_of_waiting(how):
    outer, inner = StageStats("Map"), StageStats("Source")

    def run(stats, fn):
        if how == "call":
            return stats.call(fn)
        with timed(stats):
            return fn()

    def work():
        spin(0.02)
        run(inner, lambda: spin(0.04))
        with waiting(outer):
            time.sleep(0.03)
        return 7

    assert run(outer, work) == 7
    assert 0.015 < outer.busy_s < 0.039
    assert 0.035 < inner.busy_s < 0.06
    assert outer.wait_s >= 0.029


def test_time_counts_although_the_work_raises():
    stats = StageStats("Map")
    with pytest.raises(KeyError):
        stats.call(lambda: spin(0.01) or {}["no"])
    assert stats.busy_s > 0.009


def test_counting_is_cheap():
    stats = StageStats("Map")
    began = time.perf_counter()
    for _ in range(10_000):
        stats.call(int)
        stats.count(128)
    assert (time.perf_counter() - began) / 10_000 < 20e-6
    assert (stats.elements, stats.blocks) == (1_280_000, 10_000)


def row(name, busy_s, parallelism=1, **kw):
    base = dict(line="", depth=0, elements=10, rate=5.0, wait_s=0.0, buffered_elements=0,
                buffered_bytes=0)  # fmt: skip
    return StageRow(name=name, busy_s=busy_s, parallelism=parallelism, **{**base, **kw})


def test_the_bottleneck_is_per_thread():
    stats = PipelineStats((row("Batch", 1.2), row("Map", 2.0, parallelism=2)), 1.3)
    assert stats.bottleneck.name == "Batch"
    assert not stats.consumer_bound


def test_an_idle_pipeline_says_the_consumer_sets_the_pace():
    stats = PipelineStats((row("Batch", 0.1),), 2.0)
    assert stats.consumer_bound
    assert "consumer" in str(stats)


def test_nothing_run():
    stats = PipelineStats((row("Batch", 0.0),), 2.0)
    assert stats.bottleneck is None
    assert "nothing has run" in str(stats)


def test_the_table_reads_well():
    stats = PipelineStats(
        (
            row("Prefetch", 0.0, elements=1000, rate=2.5e6, wait_s=0.5, buffered_elements=256,
                buffered_bytes=3 << 20),
            row("Map(parse)", 1.9, parallelism=2, line="train.py:12",
                advice="run it on more cores"),
            row("TFRecord", 0.0012, elements=12, rate=12.0),
        ),
        1.0,
    )  # fmt: skip
    assert str(stats) == """\
stage       elements    rate    busy     waits  threads     buffered
--------------------------------------------------------------------
Prefetch       1,000  2.5M/s    0 us  500.0 ms        1  256 (3 MiB)
Map(parse)        10     5/s  1.90 s      0 us        2            -
TFRecord          12    12/s  1.2 ms      0 us        1            -
bottleneck: Map(parse) (train.py:12), at work 95% of the time
to relieve it: run it on more cores"""


def test_a_tree_of_stages_is_walked_last_stage_first_and_branches_are_indented():
    source, other = StageStats("Range"), StageStats("Generator")
    source.buffered = lambda: (5, 40)
    top = Stage(StageStats("Batch"), Stage(StageStats("Zip"), Stage(source), Stage(other)))
    stats = pipeline_stats(top, 1.0)
    assert [(r.name, r.depth) for r in stats.rows] == [
        ("Batch", 0), ("Zip", 0), ("Range", 1), ("Generator", 1)]  # fmt: skip
    assert stats.rows[2].buffered_bytes == 40
    assert pipeline_stats(top).elapsed_s > 0
