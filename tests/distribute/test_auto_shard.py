"""Sharding among workers: together they see the global batches, whatever their number."""

import numpy as np
import pytest

import headrace as hr
from headrace.data.options import AutoShardPolicy
from headrace.distribute.auto_shard import begin_later_pass, shard_plan
from headrace.distribute.worker_input import own_rows

pytestmark = pytest.mark.timeout(60)


def pipelines():
    base = hr.data.Dataset.range(53)
    doubled = base.map(lambda x: {"x": x, "y": 2 * x})
    yield "batch", base.batch(8)
    yield "map", doubled.map(lambda e: {**e, "z": e["x"] + 1}).batch(8)
    yield "shuffle", doubled.shuffle(20, seed=3).batch(8)
    yield "drop_remainder", base.batch(8, drop_remainder=True)
    yield "map above", base.batch(6).map(lambda x: x * x).prefetch(2)
    yield "repeat", base.shuffle(60, seed=1).batch(8).repeat(2)
    yield "skip", base.batch(8).skip(2).take(3)
    yield "padded", base.map(lambda x: hr.ones([x % 3 + 1])).padded_batch(8)
    yield "filter above", base.batch(8).filter(lambda x: x[0] != 8)
    random = base.map(lambda x: hr.random.uniform([], seed=7) + hr.cast(x, "float32"))
    yield "random", random.batch(8)


def fresh(dataset):
    """The dataset as another process would make it: its shuffles begin with the first order."""
    return dict(pipelines())[dataset]


@pytest.mark.parametrize("name", [name for name, _ in pipelines()])
@pytest.mark.parametrize("workers", [2, 3])
def test_the_workers_parts_make_up_the_global_batches(name, workers):
    whole = [hr.nest.flatten(batch) for batch in fresh(name)]
    parts = []
    for index in range(workers):
        dataset = fresh(name)
        plan = shard_plan(dataset._node, AutoShardPolicy.DATA, workers, index)
        if plan is None:
            own = map(own_rows(workers, index, 8), dataset)
        else:
            own = hr.data.Dataset(plan)
        parts.append([hr.nest.flatten(batch) for batch in own])
    assert max(len(p) for p in parts) == len(whole)
    for step, batch in enumerate(whole):
        for k, leaf in enumerate(batch):
            own = [p[step][k].numpy() for p in parts if step < len(p)]
            np.testing.assert_array_equal(np.concatenate(own), leaf.numpy())


def test_functions_of_single_elements_run_for_the_own_rows_only():
    seen = []

    def note(x):
        seen.append(int(x))
        return np.int64(x)

    dataset = hr.data.Dataset.range(16).shuffle(16, seed=2)
    dataset = dataset.map(lambda x: x + 0).batch(8)
    plan = shard_plan(dataset._node, AutoShardPolicy.DATA, 2, 1)
    kinds = []
    while plan.inputs:
        kinds.append(type(plan).__name__)
        plan = plan.inputs[0]
    assert kinds == ["BatchNode", "MapNode", "RowsNode", "ShuffleNode"]
    assert note(1) == 1  # a function that does more than compute stays where it is
    dataset = hr.data.Dataset.range(16).map(lambda x: hr.numpy_function(note, [x], hr.int64))
    plan = shard_plan(dataset.batch(8)._node, AutoShardPolicy.DATA, 2, 1)
    assert type(plan.inputs[0]).__name__ == "RowsNode"


def test_files_are_shared_out(tmp_path):
    names = [tmp_path / f"{i}.txt" for i in range(4)]
    for i, name in enumerate(names):
        name.write_text(f"{i}\n" * 6)
    dataset = hr.data.TextLineDataset([str(n) for n in names]).batch(4)
    for policy in (AutoShardPolicy.FILE, AutoShardPolicy.AUTO):
        lines = []
        for index in range(2):
            plan = shard_plan(dataset._node, policy, 2, index)
            found = list(hr.data.Dataset(plan))
            assert [len(b) for b in found] == [2] * 6
            lines.append({bytes(v) for b in found for v in b.numpy()})
        assert lines == [{b"0", b"2"}, {b"1", b"3"}]
    with pytest.raises(hr.errors.InvalidArgumentError, match="at least 5 files"):
        shard_plan(dataset._node, AutoShardPolicy.FILE, 5, 0)
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"at least 2 files.*none"):
        shard_plan(hr.data.Dataset.range(9).batch(4)._node, AutoShardPolicy.FILE, 2, 0)


def test_off_gives_each_worker_all_elements_in_smaller_batches():
    dataset = hr.data.Dataset.range(8).batch(4)
    for index in range(2):
        plan = shard_plan(dataset._node, AutoShardPolicy.OFF, 2, index)
        assert [b.numpy().tolist() for b in hr.data.Dataset(plan)] == [
            [0, 1], [2, 3], [4, 5], [6, 7],
        ]  # fmt: skip


def test_hint_needs_a_hint():
    dataset = hr.data.Dataset.range(8).batch(4)
    with pytest.raises(hr.errors.InvalidArgumentError, match="SHARD_HINT"):
        shard_plan(dataset._node, AutoShardPolicy.HINT, 2, 0)


def test_a_batch_smaller_than_the_workers_is_refused():
    with pytest.raises(hr.errors.InvalidArgumentError, match="at least the 3 workers"):
        shard_plan(hr.data.Dataset.range(8).batch(2)._node, AutoShardPolicy.DATA, 3, 0)


def test_a_later_pass_has_the_order_it_would_have_had():
    def make():
        return hr.data.Dataset.range(30).shuffle(30, seed=5).batch(7)

    one = make()
    passes = [[b.numpy().tolist() for b in one] for _ in range(3)]
    other = make()
    begin_later_pass(other._node, 2)
    assert [b.numpy().tolist() for b in other] == passes[2] != passes[0]


@pytest.mark.parametrize("taken", range(0, 9, 2))
def test_the_choice_of_rows_goes_on_from_a_checkpoint(taken):
    def make():
        dataset = hr.data.Dataset.range(40).shuffle(9, seed=1).batch(5)
        return hr.data.Dataset(shard_plan(dataset._node, AutoShardPolicy.DATA, 2, 1))

    iterator = iter(make())
    for _ in range(taken):
        next(iterator, None)
    state = iterator.state()
    rest = [b.numpy().tolist() for b in iterator]
    again = iter(make())
    again.restore(state)
    assert [b.numpy().tolist() for b in again] == rest
