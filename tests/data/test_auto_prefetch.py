"""The prefetch that rules add: it starts for slow pipelines only, and obeys the law."""

import time

import numpy as np
import pytest

from headrace.data.auto_prefetch import AutoPrefetchNode
from headrace.data.iterator import NumpyIterator
from headrace.data.node import UnaryNode
from headrace.data.stage import Stage
from headrace.data.transforms.range import RangeNode


class SlowNode(UnaryNode):
    """Passes elements on, 50 at a time, each block after half a millisecond."""

    def make_stage(self, inputs, context):
        return SlowStage(self, inputs, context)


class SlowStage(Stage):
    def _next(self, max_rows, need_rows):
        time.sleep(0.0005)
        return self.input.next_block(min(max_rows, 50), need_rows)


def run(plan, worth):
    with NumpyIterator(plan) as iterator:
        full = [int(v) for v in iterator]
        assert iterator._stage.threads == worth
    return full


def test_cheap_pipelines_get_no_thread():
    assert run(AutoPrefetchNode(RangeNode(0, 100_000, 1), -1), 0) == list(range(100_000))


def test_slow_pipelines_get_one():
    plan = AutoPrefetchNode(SlowNode(RangeNode(0, 2000, 1)), -1)
    assert run(plan, 1) == list(range(2000))
    assert plan.label == "prefetch"


@pytest.mark.parametrize("taken", [0, 1, 16, 100, 777, 2000])
def test_checkpoint_law(taken):
    plan = AutoPrefetchNode(SlowNode(RangeNode(0, 2000, 1)), -1)
    with NumpyIterator(plan) as iterator:
        for _ in range(taken):
            next(iterator)
        state = iterator.state()
    with NumpyIterator(plan) as iterator:
        iterator.restore(state)
        assert [np.asarray(v).item() for v in iterator] == list(range(taken, 2000))
