"""Rewrite rules: for each, a plan it changes, plans it leaves alone, and equal elements."""

import dataclasses

import numpy as np
import pytest

from headrace.data.block import Block
from headrace.data.functions import UserFunction
from headrace.data.iterator import NumpyIterator
from headrace.data.options import Options
from headrace.data.parallel import ParallelNode
from headrace.data.rules import RULES, Rule, optimize, rewrite_plan
from headrace.data.transforms.batch import BatchNode
from headrace.data.transforms.filter import FilterNode
from headrace.data.transforms.map import MapNode
from headrace.data.transforms.prefetch import PrefetchNode
from headrace.data.transforms.range import RangeNode
from headrace.data.transforms.repeat import RepeatNode
from headrace.data.transforms.shard import ShardNode
from headrace.data.transforms.skip import SkipNode
from headrace.data.transforms.take import TakeNode
from headrace.data.transforms.zip import ZipNode
from headrace.ops import dtypes

BY_NAME = {rule.name: rule for rule in RULES}


def numbers(n=10):
    return RangeNode(0, n, 1)


def function(fn, source, **kw):
    return UserFunction(fn, source.element_spec, **kw)


def mapped(input, fn, **kw):
    return MapNode(input, function(fn, input), **kw)


def double(x):
    return x, x


def swap(x, y):
    return y, x


def python(x):
    return x.numpy() + 1


def keep(x):
    return x.numpy() % 2 == 0


def run(node):
    with NumpyIterator(node) as iterator:
        return [np.asarray(v).tolist() for v in iterator]


def apply(name, node):
    return rewrite_plan(node, BY_NAME[name])


def kinds(node):
    found = []
    while True:
        found.append(type(node).__name__.removesuffix("Node").lower())
        if not node.inputs:
            return found
        node = node.inputs[0]


NOOPS = {
    "take(-1)": lambda s: TakeNode(s, -1),
    "take of all": lambda s: TakeNode(s, 10),
    "skip(0)": lambda s: SkipNode(s, 0),
    "repeat(1)": lambda s: RepeatNode(s, 1),
    "shard(1, 0)": lambda s: ShardNode(s, 1, 0),
    "prefetch(0)": lambda s: PrefetchNode(s, 0),
    "map(identity)": lambda s: mapped(s, lambda x: x),
}

NOT_NOOPS = {
    "take(9)": lambda s: TakeNode(s, 9),
    "take(5) of unknown": lambda s: TakeNode(FilterNode(s, function(keep, s)), 5),
    "skip(1)": lambda s: SkipNode(s, 1),
    "repeat(2)": lambda s: RepeatNode(s, 2),
    "shard(2, 0)": lambda s: ShardNode(s, 2, 0),
    "prefetch(2)": lambda s: PrefetchNode(s, 2),
    "map(double)": lambda s: mapped(s, double),
    "map(python)": lambda s: mapped(s, python),
}


@pytest.mark.parametrize("make", NOOPS.values(), ids=NOOPS)
def test_noop_elimination_drops(make):
    source = numbers()
    node = BatchNode(make(source), 3)
    after = apply("noop_elimination", node)
    assert kinds(after) == ["batch", "range"]
    assert run(after) == run(node)


@pytest.mark.parametrize("make", NOT_NOOPS.values(), ids=NOT_NOOPS)
def test_noop_elimination_keeps(make):
    node = make(numbers())
    assert apply("noop_elimination", node) is node


def test_map_fusion_makes_one_map_with_both_lines():
    source = numbers()
    first = mapped(source, double, source="a.py:1")
    node = mapped(mapped(first, swap, source="a.py:2"), swap, source="a.py:3")
    after = apply("map_fusion", node)
    assert kinds(after) == ["map", "range"]
    assert after.function.name == "double+swap+swap"
    assert after.source == "a.py:1, a.py:2, a.py:3"
    assert run(after) == run(node)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: mapped(s, double),
        lambda s: mapped(mapped(s, lambda x: x), python),
        lambda s: mapped(TakeNode(mapped(s, double), 3), swap),
        lambda s: dataclasses.replace(mapped(mapped(s, double), swap), deterministic=False),
    ],
    ids=["one map", "untraced", "something between", "other order"],
)
def test_map_fusion_leaves(make):
    node = make(numbers())
    assert apply("map_fusion", node) is node


def test_map_fusion_says_why_not():
    node = mapped(mapped(numbers(), double), lambda x, y: x.numpy())
    assert "was not traced" in BY_NAME["map_fusion"].why_not(node)


@pytest.mark.parametrize("kind", ["map", "filter"])
def test_map_vectorization_runs_traced_functions_on_blocks(kind):
    source = mapped(numbers(), lambda x: (x, True))
    if kind == "map":
        node = mapped(source, swap)
    else:
        node = FilterNode(source, function(lambda x, y: y, source))
    assert node.function.mode == "graph"
    after = apply("map_vectorization", node)
    assert after.function.mode == "block"
    assert after.input.function.mode == "block"
    assert run(after) == run(node)


def test_map_vectorization_leaves_python_functions_and_says_why():
    node = mapped(numbers(), python)
    assert apply("map_vectorization", node) is node
    why = BY_NAME["map_vectorization"].why_not(node)
    assert ".numpy()" in why
    assert "test_rules.py" in why


def test_a_parallel_map_keeps_order_and_learns_the_batch_size():
    source = numbers(10_000)
    node = BatchNode(mapped(source, double), 128)
    after = apply("map_and_batch_fusion", apply("map_parallelization", node))
    assert kinds(after) == ["batch", "parallel", "range"]
    assert after.input.multiple == 128
    assert run(after) == run(node)


def test_filter_parallelization_of_a_traced_filter():
    source = mapped(numbers(10_000), lambda x: (x, x % 3 == 0))
    node = BatchNode(FilterNode(source, function(lambda x, y: y, source)), 128)
    after = apply("map_parallelization", apply("filter_parallelization", node))
    after = apply("map_and_batch_fusion", after)
    assert kinds(after) == ["batch", "parallel", "parallel", "range"]
    assert after.input.kind == "filter"
    assert after.input.multiple == 128
    assert run(after) == run(node)


@pytest.mark.parametrize("before", [True, False])
def test_filter_parallelization_leaves_python(before):
    source = mapped(numbers(), python) if before else numbers()
    if before:
        source.function.learn([np.asarray(1)])
    predicate = (lambda x: x > 3) if before else keep
    node = FilterNode(source, function(predicate, source))
    assert apply("filter_parallelization", node) is node
    assert BY_NAME["filter_parallelization"].why_not(node)


@pytest.mark.parametrize("calls", [2, -1])
def test_map_parallelization_of_a_python_map_where_asked_for(calls):
    node = mapped(numbers(), python, num_parallel_calls=calls)
    after = apply("map_parallelization", node)
    assert kinds(after) == ["parallel", "range"]
    assert after.parallelism == max(calls, 0)
    assert run(after) == run(node)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: mapped(s, python),
        lambda s: mapped(mapped(s, python), double),
        lambda s: BatchNode(s, 3),
    ],
    ids=["python function", "python function before", "no map"],
)
def test_map_parallelization_leaves(make):
    node = make(numbers())
    assert apply("map_parallelization", node) is node


def parallel(source):
    return ParallelNode(source, function(double, source).vectorized(), "map")


@pytest.mark.parametrize("between", [lambda s: TakeNode(s, 900), lambda s: PrefetchNode(s, 2)])
def test_a_batch_tells_its_size_through_what_hands_rows_on(between):
    node = BatchNode(between(parallel(numbers(1000))), 64)
    after = apply("map_and_batch_fusion", node)
    assert after.input.input.multiple == 64
    assert apply("map_and_batch_fusion", after) is after
    assert run(after) == run(node)


def test_blocks_of_whole_batches_are_not_put_together(monkeypatch):
    joined = []
    real = Block.concat
    monkeypatch.setattr(Block, "concat", lambda b: joined.append(len(b)) or real(b))
    node = BatchNode(parallel(numbers(100_000)), 24)
    counts = []
    for one in (node, apply("map_and_batch_fusion", node)):
        joined.clear()
        with NumpyIterator(one) as iterator:
            assert sum(1 for _ in iterator) == 4167
        counts.append(sum(n > 1 for n in joined))
    assert counts[0] > 0
    assert counts[1] == 0


@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda s: BatchNode(mapped(s, double), 4), "runs when it is asked"),
        (lambda s: BatchNode(parallel(s), 1), "a whole batch of 1"),
        (lambda s: BatchNode(dataclasses.replace(parallel(s), multiple=7), 4), "of 7 already"),
        (lambda s: BatchNode(s, 4), None),
        (lambda s: BatchNode(RepeatNode(parallel(s), 2), 4), None),
    ],
    ids=["not parallel", "batch of 1", "other batches", "no map", "iterations between"],
)
def test_map_and_batch_fusion_leaves(make, why):
    node = make(numbers())
    rule = BY_NAME["map_and_batch_fusion"]
    assert rewrite_plan(node, rule) is node
    found = rule.why_not(node)
    assert found is None if why is None else why in found


def test_a_prefetch_of_batches_of_a_parallel_stage_is_dropped():
    node = PrefetchNode(BatchNode(TakeNode(mapped(numbers(1000), double), 900), 7), 2)
    after = apply("map_parallelization", node)
    assert kinds(after) == ["batch", "take", "parallel", "range"]
    assert run(after) == run(node)


def test_a_prefetch_of_more_work_or_of_python_stays():
    node = PrefetchNode(RepeatNode(mapped(numbers(), double), 2), 2)
    assert kinds(apply("map_parallelization", node))[0] == "prefetch"
    node = PrefetchNode(mapped(numbers(), python, num_parallel_calls=2), 2)
    assert kinds(apply("map_parallelization", node))[0] == "prefetch"


def test_prefetch_is_injected_at_the_end_of_plans_with_work():
    node = BatchNode(RepeatNode(parallel(numbers(1000)), 2), 7)
    after = apply("inject_prefetch", node)
    assert kinds(after) == ["autoprefetch", "batch", "repeat", "parallel", "range"]
    assert run(after) == run(node)


@pytest.mark.parametrize(
    "make",
    [
        lambda s: BatchNode(s, 2),
        lambda s: PrefetchNode(RepeatNode(parallel(s), 2), 2),
        lambda s: BatchNode(parallel(s), 2),
        lambda s: ParallelNode(s, function(python, s), "map", parallelism=2),
    ],
    ids=["nothing worth it", "is there", "works ahead", "python function"],
)
def test_prefetch_is_not_injected(make):
    node = make(numbers())
    assert apply("inject_prefetch", node) is node


def test_a_shared_input_stays_shared():
    shared = TakeNode(mapped(numbers(), double), -1)
    zipped = ZipNode((shared, shared), (0, 0))
    after, _ = optimize(zipped)
    while not isinstance(after, ZipNode):
        (after,) = after.inputs
    assert after.inputs[0] is after.inputs[1]


def pipeline():
    source = numbers(5000)
    node = mapped(TakeNode(source, -1), double)
    node = mapped(node, swap)
    return BatchNode(SkipNode(node, 3), 16)


@pytest.mark.parametrize("off", [None, *BY_NAME])
def test_all_rules_together_and_without_each_one_give_the_same(off):
    options = Options()
    if off is not None:
        setattr(options.experimental_optimization, off, False)
    node = pipeline()
    after, report = optimize(node, options)
    assert run(after) == run(node)
    skipped = {r.rule.name for r in report.rules if not r.enabled}
    assert skipped == {r.rule.name for r in report.rules if not r.rule.by_default} | (
        {off} - {None}
    )


def test_no_default_optimizations_but_one_asked_for():
    options = Options()
    options.experimental_optimization.apply_default_optimizations = False
    node = pipeline()
    assert optimize(node, options)[0] is node
    options.experimental_optimization.map_fusion = True
    after, report = optimize(node, options)
    assert kinds(after) == ["batch", "skip", "map", "take", "range"]
    assert [r.rule.name for r in report.rules if r.applied] == ["map_fusion"]


def test_rules_are_listed_once_and_every_one_can_be_switched():
    assert len(BY_NAME) == len(RULES)
    for rule in RULES:
        assert isinstance(rule, Rule)
        assert rule.name in type(Options().experimental_optimization).names()


def test_the_ranges_dtype_is_untouched():
    node = RangeNode(0, 3, 1, dtypes.int32)
    assert optimize(node)[0] is node
