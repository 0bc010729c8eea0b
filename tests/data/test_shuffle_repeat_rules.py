"""shuffle_and_repeat_fusion: the same elements, and a buffer that is full in time."""

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, Options
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import walk

RULE = {rule.name: rule for rule in RULES}["shuffle_and_repeat_fusion"]
R = Dataset.range


def labels(node):
    return [one.label for one in walk(node)][::-1]


def plus(n):
    return R(n).map(lambda x: x + 1)


FUSED = {
    "reshuffled": lambda: plus(12).shuffle(5, seed=5).repeat(3),
    "same_order": lambda: plus(12).shuffle(5, seed=5, reshuffle_each_iteration=False).repeat(3),
    "large_buffer": lambda: plus(12).shuffle(99, seed=5).repeat(3),
    "whole": lambda: plus(12).shuffle(hr.data.UNKNOWN_CARDINALITY, seed=5).repeat(2),
    "buffer_of_1": lambda: plus(5).shuffle(1, seed=5).repeat(2),
    "endless": lambda: plus(7).shuffle(4, seed=5).repeat().take(30),
    "once": lambda: plus(7).shuffle(4, seed=5).repeat(1),
    "never": lambda: plus(7).shuffle(4, seed=5).repeat(0),
    "nothing": lambda: plus(0).shuffle(4, seed=5).repeat(),
    "twice_repeated": lambda: plus(9).shuffle(4, seed=5).repeat(2).take(13).repeat(2),
    "twice_shuffled": lambda: plus(13).shuffle(4, seed=5).shuffle(6, seed=8).repeat(3),
    "strings": lambda: plus(9).map(hr.strings.as_string).shuffle(4, seed=5).repeat(3).batch(2),
    "ragged": lambda: plus(9).map(lambda x: hr.fill([x % 3], x)).shuffle(4, seed=5).repeat(2),
    "errors": lambda: R(13).map(lambda x: 60 // (x % 6 - 2)).shuffle(5, seed=5).repeat(3),
    "errors_at_once": lambda: R(13).map(lambda x: 60 // (x - 0)).shuffle(5, seed=5).repeat(3),
    "errors_at_the_end": lambda: R(13).map(lambda x: 60 // (x - 12)).shuffle(
        5, seed=5).repeat(3),
    "cached": lambda: plus(9).cache().shuffle(4, seed=5).repeat(3),
}  # fmt: skip

NOT_FUSED = {
    "in_memory": (lambda: R(12).shuffle(5, seed=5).repeat(2), "in any order"),
    "python": (lambda: R(12).map(lambda x: x.numpy() + 1).shuffle(5, seed=5).repeat(2),
               "runs Python per element"),
}  # fmt: skip


@pytest.mark.parametrize("name", FUSED)
def test_it_gives_the_same(name, check_law):
    node = rewrite_plan(FUSED[name]()._node, RULE)
    assert "shuffle_repeat" in labels(node)
    assert node.cardinality == FUSED[name]()._node.cardinality
    assert repr(node.element_spec) == repr(FUSED[name]().element_spec)
    check_law(FUSED[name], "shuffle_and_repeat_fusion")


@pytest.mark.parametrize("name", NOT_FUSED)
def test_it_stays_and_says_why(name, check_law):
    make, reason = NOT_FUSED[name]
    node = make()._node
    assert rewrite_plan(node, RULE) is node
    assert reason in " ".join(make().explain().split())
    check_law(make, "shuffle_and_repeat_fusion")


def test_something_between_them_keeps_them_apart():
    node = plus(12).shuffle(5).map(lambda x: x * 2).repeat(2)._node
    assert rewrite_plan(node, RULE) is node


def reads(fused):
    """How many elements had been read when each was handed out."""
    options = Options()
    rules = options.experimental_optimization
    rules.apply_default_optimizations = False
    rules.shuffle_and_repeat_fusion = fused
    rules.map_vectorization = True
    dataset = plus(1000).prefetch(0).shuffle(600, seed=1).repeat(2).with_options(options)
    with dataset.as_numpy_iterator() as iterator:
        found = []
        for _ in iterator:
            found.append(sum(r.elements for r in iterator.stats().rows if "map" in r.name))
    return np.array(found)


def test_the_buffer_fills_while_the_last_elements_leave():
    apart, together = reads(False), reads(True)
    assert apart[999] == 1000
    assert together[999] >= 1500  # all but the last block of the 600
    assert apart[-1] == together[-1] == 2000
    assert (together >= apart - 256).all()


def test_no_more_rows_are_kept_than_the_buffer_holds():
    dataset = plus(4000).shuffle(1000, seed=1).repeat(3)
    with dataset.as_numpy_iterator() as iterator:
        most = 0
        for _ in iterator:
            row = next(r for r in iterator.stats().rows if "shuffle_repeat" in r.name)
            most = max(most, row.buffered_elements)
    assert most <= 1000 + 256
