"""filter_fusion and map_and_filter_fusion: plans, reasons, equal elements and errors."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.data import Dataset, Options, ParquetDataset
from headrace.data.iterator import NumpyIterator
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import function_of, walk

BY_NAME = {rule.name: rule for rule in RULES}
R = Dataset.range


def labels(node):
    return [one.label for one in walk(node)][::-1]


def types(node):
    return [op.type for op in function_of(node).traced.graph.nodes]


def python(x):
    return x.numpy() % 2 == 0


def noisy(x):
    return hr.random.uniform([], 0, 10, dtype=hr.int32, seed=5) < 6


def divides(x):
    return 60 // (x % 5 - 2)


FUSED = {
    "two": lambda: R(40).filter(lambda x: x % 3 > 0).filter(lambda x: x < 30),
    "three": lambda: R(40).filter(lambda x: x % 3 > 0).filter(lambda x: x < 30).filter(
        lambda x: x != 4),
    "structure": lambda: R(40).map(lambda x: {"a": x, "b": (x, -x)}).prefetch(1).filter(
        lambda e: e["a"] % 2 == 0).filter(lambda e: e["b"][1] < -5),
    "first_fails": lambda: R(40).filter(lambda x: divides(x) > 0).filter(lambda x: x > 7),
    "first_draws": lambda: R(40).filter(noisy).filter(lambda x: x > 7),
    "batched": lambda: R(40).filter(lambda x: x % 3 > 0).filter(lambda x: x < 30).batch(4),
}  # fmt: skip

NOT_FUSED = {
    "python": (lambda: R(40).filter(python).filter(lambda x: x > 3), "was not traced"),
    "second_fails": (lambda: R(40).filter(lambda x: x % 5 != 2).filter(
        lambda x: divides(x) > 0), "might fail for elements that"),
    "second_draws": (lambda: R(40).filter(lambda x: x > 3).filter(noisy),
                     "draws by the number"),
    "costly": (lambda: R(40).filter(lambda x: x > 3).filter(
        lambda x: hr.reduce_sum(hr.fill([500], x)) > 9000), "is work worth sparing"),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_filters_fuse(name, check_law):
    node = FUSED[name]()._node
    after = rewrite_plan(node, BY_NAME["filter_fusion"])
    assert labels(after).count("filter") == 1
    assert "LogicalAnd" in types(next(n for n in walk(after) if n.label == "filter"))
    check_law(FUSED[name], "filter_fusion")


@pytest.mark.parametrize("name", NOT_FUSED)
def test_filters_stay_apart_and_say_why(name, check_law):
    make, reason = NOT_FUSED[name]
    node = make()._node
    assert rewrite_plan(node, BY_NAME["filter_fusion"]) is node
    assert reason in " ".join(make().explain().split())
    check_law(make, "filter_fusion")


def test_the_fused_filter_has_both_names_and_lines():
    dataset = R(9).filter(lambda x: x > 1)
    after = rewrite_plan(dataset.filter(lambda x: x > 2)._node, BY_NAME["filter_fusion"])
    assert after.function.name == "<lambda>+<lambda>"
    assert after.source.count("test_filter_rules.py") == 2


# -- map_and_filter_fusion -----------------------------------------------------------------


def wide(x):
    return {"key": x % 7, "data": hr.fill([300], x) * 2}


def halves(x):
    return (hr.cast(x, hr.float32) / 2) * 3 - 1


FIRST = {
    "handed_through": lambda: R(40).map(lambda x: (x, x * 2)).filter(lambda a, b: a % 3 == 0),
    "cheap_part": lambda: R(40).map(wide).filter(lambda e: e["key"] > 3).map(
        lambda e: e["data"][0] + e["key"]),
    "whole_element": lambda: R(40).map(lambda x: x).map(lambda x: [x, x + 1]).filter(
        lambda x, y: x > 20),
}  # fmt: skip

TOGETHER = {
    "same_work": lambda: R(40).map(halves).filter(lambda y: y > 12.0),
    "map_fails": lambda: R(40).map(lambda x: (x, divides(x))).filter(lambda x, y: x > 8),
    "map_draws": lambda: R(40).map(lambda x: (x, hr.random.uniform([], seed=3))).filter(
        lambda x, y: y < 0.5),
    "filter_draws": lambda: R(40).map(halves).filter(
        lambda y: hr.random.uniform([], 0.0, 50.0, seed=5) < y),
    "filter_fails": lambda: R(40).map(lambda x: x * 3).filter(lambda x: divides(x) > 0),
    "ragged": lambda: R(20).map(lambda x: hr.fill([x % 4], x)).filter(
        lambda v: hr.reduce_sum(v) > 9),
    "parallel": lambda: R(40).map(halves, num_parallel_calls=3, deterministic=False).filter(
        lambda y: y > 12.0).batch(4),
}  # fmt: skip

APART = {
    "python_map": (lambda: R(40).map(lambda x: x.numpy() + 1).filter(lambda x: x > 3),
                   "was not traced"),
    "python_filter": (lambda: R(40).map(lambda x: x * 3).filter(python), "was not traced"),
}  # fmt: skip


def fused(dataset):
    node = rewrite_plan(dataset._node, BY_NAME["map_fusion"])
    return rewrite_plan(node, BY_NAME["map_and_filter_fusion"])


@pytest.mark.parametrize("name", FIRST)
def test_the_filter_runs_first(name, check_law):
    after = fused(FIRST[name]())
    assert labels(after)[:3] == ["range", "filter", "map"]
    assert repr(after.element_spec) == repr(FIRST[name]().element_spec)
    check_law(FIRST[name], "map_and_filter_fusion")
    assert "before map(" in " ".join(FIRST[name]().explain().split())


def test_a_filter_that_runs_first_computes_only_what_it_needs():
    after = fused(R(40).map(wide).filter(lambda e: e["key"] > 3))
    assert "Fill" in types(after)
    assert "Fill" not in types(after.input)


@pytest.mark.parametrize("name", TOGETHER)
def test_map_and_filter_are_one_stage(name, check_law):
    after = fused(TOGETHER[name]())
    assert labels(after)[:2] == ["range", "map_filter"]
    assert repr(after.element_spec) == repr(TOGETHER[name]().element_spec)
    running = check_law(TOGETHER[name], "map_and_filter_fusion")
    assert "parallel_map_filter" in labels(running)


@pytest.mark.parametrize("name", APART)
def test_they_stay_apart_and_say_why(name, check_law):
    make, reason = APART[name]
    assert labels(fused(make()))[-2:] == ["map", "filter"]
    text = " ".join(make().explain().split())
    assert reason in text.split("map_and_filter_fusion")[1]
    check_law(make, "map_and_filter_fusion")


def test_threads_asked_for_are_kept():
    assert "threads=3" in TOGETHER["parallel"]().explain()


def test_without_vectorization_and_threads_it_is_the_same():
    options = Options()
    options.experimental_optimization.map_vectorization = False
    options.experimental_optimization.filter_parallelization = False
    dataset = R(40).map(halves).filter(lambda y: y > 12.0)
    plan = dataset.with_options(options)
    assert labels(plan._report.after) == ["range", "map_filter"]
    np.testing.assert_array_equal(
        list(plan.as_numpy_iterator()), list(NumpyIterator(dataset._node))
    )


def test_row_groups_are_skipped_behind_a_map_too(tmp_path):
    path = tmp_path / "t.parquet"
    table = pa.table({"i": range(40), "s": [f"s{i}" for i in range(40)]})
    pa.parquet.write_table(table, path, row_group_size=10)
    dataset = ParquetDataset(str(path)).map(lambda e: (e["s"], e["i"]))
    dataset = dataset.filter(lambda s, i: i >= 25)
    assert "row groups with i >= 25" in " ".join(dataset.explain().split())
    assert [int(i) for _, i in dataset] == list(range(25, 40))
