"""Counters: exclusive times, one bottleneck, a table people can read."""

import pytest

import headrace as hr
from headrace.data.stats import PipelineStats, StageRow, pipeline_stats, short_line


class Node:
    def __init__(self, label, source=""):
        self.label, self.source = label, source


class Stage:
    def __init__(self, label, seconds, *inputs, rows=10, **more):
        self.node = Node(label)
        self.seconds, self.rows, self.inputs = seconds, rows, inputs
        vars(self).update(more)


def row(name, busy_s, threads=1, **kw):
    base = dict(line="", depth=0, elements=10, rate=5.0, wait_s=0.0, buffered_elements=0,
                buffered_bytes=0)  # fmt: skip
    return StageRow(name=name, busy_s=busy_s, threads=threads, **{**base, **kw})


def test_the_bottleneck_is_per_thread():
    stats = PipelineStats((row("Batch", 1.2), row("Map", 2.0, threads=2)), 1.3, 1.2)
    assert stats.bottleneck.name == "Batch"
    assert not stats.consumer_bound


def test_an_idle_pipeline_says_the_consumer_sets_the_pace():
    stats = PipelineStats((row("Batch", 0.1),), 2.0, 0.1)
    assert stats.consumer_bound
    assert "consumer" in str(stats)


def test_nothing_run():
    stats = PipelineStats((row("Batch", 0.0),), 2.0, 0.0)
    assert stats.bottleneck is None
    assert "nothing has run" in str(stats)


def test_the_table_reads_well():
    stats = PipelineStats(
        (
            row("Prefetch", 0.0, elements=1000, rate=2.5e6, wait_s=0.5, buffered_elements=256,
                buffered_bytes=3 << 20),
            row("Map(parse)", 1.9, threads=2, line="train.py:12",
                advice="run it on more cores"),
            row("TFRecord", 0.0012, elements=12, rate=12.0),
        ),
        1.0,
        0.9,
    )  # fmt: skip
    assert (
        str(stats)
        == """\
stage       elements    rate    busy     waits  threads     buffered
--------------------------------------------------------------------
Prefetch       1,000  2.5M/s    0 us  500.0 ms        1  256 (3 MiB)
Map(parse)        10     5/s  1.90 s      0 us        2            -
TFRecord          12    12/s  1.2 ms      0 us        1            -
bottleneck: Map(parse) (train.py:12), at work 95% of the time
to relieve it: run it on more cores"""
    )


def test_times_are_exclusive_of_inputs_on_the_same_thread():
    source = Stage("range", 0.3, rows=100)
    stats = pipeline_stats(Stage("batch", 1.0, Stage("map", 0.9, source)), 0.0)
    assert [r.name for r in stats.rows] == ["batch", "map", "range"]
    assert [round(r.busy_s, 3) for r in stats.rows] == [0.1, 0.6, 0.3]
    assert [r.wait_s for r in stats.rows] == [0, 0, 0]
    assert stats.rows[2].elements == 100


def test_a_stage_with_threads_reports_its_own_work_and_its_consumers_waiting():
    source = Stage("range", 0.3)
    top = Stage("parallel_map", 0.2, source, threads=2, work_s=1.5, buffered=lambda: (5, 40))
    row = pipeline_stats(top, 0.0).rows[0]
    assert (row.busy_s, row.wait_s, row.threads) == (1.5, 0.2, 2)
    assert (row.buffered_elements, row.buffered_bytes) == (5, 40)


def test_branches_are_indented():
    zipped = Stage("zip", 0, Stage("a", 0), Stage("b", 0))
    stats = pipeline_stats(Stage("batch", 0, zipped), 0.0)
    found = [(r.name, r.depth) for r in stats.rows]
    assert found == [("batch", 0), ("zip", 0), ("a", 1), ("b", 1)]


def test_short_line():
    assert short_line("/long/way/train.py:12") == "train.py:12"
    assert short_line("") == ""


def test_a_datasets_stats_are_those_of_its_latest_iteration_and_outlive_it():
    dataset = hr.data.Dataset.range(1000).batch(10)
    with pytest.raises(hr.errors.FailedPreconditionError, match="iterate over it first"):
        dataset.stats()
    iterator = iter(dataset)
    next(iterator)
    assert 0 < dataset.stats().rows[0].elements <= 100
    assert str(iterator.stats()).startswith("stage")
    list(dataset)
    assert dataset.stats().rows[0].elements == 100
    elapsed_s = dataset.stats().elapsed_s
    assert dataset.stats().elapsed_s == elapsed_s
