"""MirroredStrategy on virtual CPU devices: running, combining, variables, datasets, misuse."""

import time

import numpy as np
import pytest

import headrace as hr
from headrace.distribute.options import CommunicationOptions
from headrace.distribute.values import PerReplica

pytestmark = pytest.mark.timeout(60)


def mirrored(count=2, **kwargs):
    return hr.distribute.MirroredStrategy([f"cpu:{i}" for i in range(count)], **kwargs)


def replica():
    return hr.distribute.get_replica_context()


def per_replica(strategy, make):
    """A distributed value with `make(i)` for replica i."""
    return strategy.experimental_distribute_values_from_function(
        lambda context: make(context.replica_id_in_sync_group)
    )


def components(strategy, value):
    return [np.asarray(v) for v in strategy.experimental_local_results(value)]


def compiled(strategy, step):
    """`step` run by a function around it, which makes graphs of what the replicas run."""
    return hr.function(lambda *args: strategy.run(step, args=args))


@pytest.fixture(params=["python", "compiled"])
def run(request):
    """Runs a step on the replicas, as Python or as a graph."""

    def run(strategy, step, *args):
        if request.param == "python":
            return strategy.run(step, args=args)
        return compiled(strategy, step)(*args)

    return run


# -- running --------------------------------------------------------------------------------


def test_each_replica_gets_its_part_and_the_results_come_together(run):
    strategy = mirrored(3)
    x = per_replica(strategy, lambda i: hr.constant([float(i), 10.0 * i]))

    def step(x, y):
        return {"sum": x + y, "id": replica().replica_id_in_sync_group, "none": None}

    found = run(strategy, step, x, hr.constant(1.0))
    assert [c.tolist() for c in components(strategy, found["sum"])] == [
        [1, 1],
        [2, 11],
        [3, 21],
    ]
    assert [int(c) for c in components(strategy, found["id"])] == [0, 1, 2]
    assert found["none"] is None


def test_the_contexts_inside_of_a_replica():
    strategy = mirrored()

    def step():
        r = replica()
        assert hr.distribute.get_strategy() is strategy
        assert not hr.distribute.in_cross_replica_context()
        assert r.num_replicas_in_sync == 2
        return r.devices[0]

    assert strategy.run(step).values == ("/device:CPU:0", "/device:CPU:1")
    assert not hr.distribute.has_strategy()


def test_one_device_is_no_different_from_no_strategy():
    strategy = mirrored(1)
    with strategy.scope():
        v = hr.Variable(2.0)
    assert type(v) is hr.Variable
    assert strategy.run(lambda x: v * x, args=(hr.constant(3.0),)).numpy() == 6.0
    dataset = hr.data.Dataset.range(4).batch(2)
    assert strategy.experimental_distribute_dataset(dataset) is dataset


def test_a_function_around_the_steps_is_traced_once_per_step_function():
    strategy = mirrored()
    traced = []

    @hr.function
    def train(x):
        def step(x):  # a new function object at every call
            traced.append(1)
            return x * 2.0

        return strategy.reduce("SUM", strategy.run(step, args=(x,)), axis=None)

    x = per_replica(strategy, lambda i: hr.constant(float(i + 1)))
    assert [float(train(x)) for _ in range(4)] == [6.0] * 4
    assert len(traced) == 1


# -- combining ------------------------------------------------------------------------------


OPS = [
    None,
    hr.distribute.NaiveAllReduce(),
    hr.distribute.ReductionToOneDevice(),
    hr.distribute.HierarchicalCopyAllReduce(),
    hr.distribute.HierarchicalCopyAllReduce(num_packs=3),
]


@pytest.mark.parametrize("ops", OPS, ids=repr)
@pytest.mark.parametrize("count", [2, 3, 5])
def test_all_reduce_is_the_naive_sum(ops, count, run):
    rng = np.random.default_rng(count)
    given = [
        {"a": rng.normal(size=(3, 70_000)).astype("f"), "b": rng.normal(size=4), "c": i}
        for i in range(count)
    ]
    strategy = mirrored(count, cross_device_ops=ops)
    args = [per_replica(strategy, lambda i, k=k: hr.constant(given[i][k])) for k in "abc"]

    def step(a, b, c):
        r = replica()
        return r.all_reduce("SUM", {"a": a, "b": b, "c": c}), r.all_reduce("MEAN", b)

    total, mean = run(strategy, step, *args)
    for key in "abc":
        wanted = sum(np.asarray(g[key]) for g in given)
        for found in components(strategy, total[key]):
            assert found.dtype == args["abc".index(key)].dtype
            np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-5)
    for found in components(strategy, mean):
        np.testing.assert_allclose(found, sum(g["b"] for g in given) / count)


def test_the_bits_of_a_sum_do_not_depend_on_who_makes_it():
    rng = np.random.default_rng(0)
    parts = [rng.normal(size=300_000).astype("f") for _ in range(4)]
    strategy = mirrored(4)
    x = per_replica(strategy, lambda i: hr.constant(parts[i]))
    step = compiled(strategy, lambda x: replica().all_reduce("SUM", x))
    runs = [components(strategy, step(x))[i % 4] for i in range(6)]
    wanted = ((parts[0] + parts[1]) + parts[2]) + parts[3]
    for found in runs:
        np.testing.assert_array_equal(found, wanted)


def test_gradients_pass_through_all_reduce_and_all_gather(run):
    strategy = mirrored()
    x = per_replica(strategy, lambda i: hr.constant([1.0 + i] * (i + 1)))
    weights = hr.constant([1.0, 10.0, 100.0])

    def reduced(x):
        with hr.GradientTape() as tape:
            tape.watch(x)
            total = replica().all_reduce("SUM", hr.reduce_sum(x * x))
        return tape.gradient(total, x)

    def gathered(x):
        with hr.GradientTape() as tape:
            tape.watch(x)
            loss = hr.reduce_sum(replica().all_gather(x * x, 0) * weights)
        return tape.gradient(loss, x)

    # Every replica's total depends on every replica's x: two totals, twice the gradient.
    found = components(strategy, run(strategy, reduced, x))
    assert [f.tolist() for f in found] == [[4.0], [8.0, 8.0]]
    found = components(strategy, run(strategy, gathered, x))
    assert [f.tolist() for f in found] == [[4.0], [80.0, 800.0]]


def test_all_gather_and_gather_join_parts_of_different_sizes(run):
    strategy = mirrored()
    x = per_replica(strategy, lambda i: hr.reshape(hr.range(2 * (i + 1)), [i + 1, 2]))
    joined = [[0, 1], [0, 1], [2, 3]]
    for found in components(strategy, run(strategy, lambda x: replica().all_gather(x, 0), x)):
        assert found.tolist() == joined
    assert strategy.gather(x, axis=0).numpy().tolist() == joined
    with pytest.raises(ValueError, match="scalar"):
        strategy.gather(per_replica(strategy, lambda i: hr.constant(i)), axis=0)


def test_reduce_along_an_axis_counts_every_element_once():
    strategy = mirrored()
    x = per_replica(strategy, lambda i: hr.range(3.0 if i == 0 else 1.0))
    assert float(strategy.reduce("MEAN", x, axis=0)) == 0.75
    assert float(strategy.reduce("SUM", x, axis=0)) == 3.0
    same = per_replica(strategy, lambda i: hr.constant([1.0 + i]))
    assert strategy.reduce(hr.distribute.ReduceOp.MEAN, same, axis=None).numpy() == [1.5]
    with pytest.raises(ValueError, match="one shape"):
        strategy.reduce("SUM", x, axis=None)
    with pytest.raises(ValueError, match="same on all replicas"):
        strategy.reduce("SUM", hr.constant(2.0), axis=None)


def test_merge_call_runs_once_with_all_arguments():
    strategy = mirrored(3)
    calls = []

    def merge(given, x, *, y):
        assert given is strategy and hr.distribute.in_cross_replica_context()
        calls.append(y)
        return strategy.reduce("SUM", x, axis=None)

    def step(x):
        return replica().merge_call(merge, args=(x,), kwargs={"y": 7})

    x = per_replica(strategy, lambda i: hr.constant(i + 1))
    result = strategy.run(step, args=(x,))
    assert int(result) == 6 and components(strategy, result) == [6]  # one value for all
    assert calls == [7]


def test_cross_device_ops_reduce_and_broadcast_distributed_values():
    value = PerReplica([hr.constant([1.0, 2.0]), hr.constant([3.0, 4.0])])
    for ops in OPS[1:]:
        found = ops.reduce("MEAN", value, value)
        assert [v.numpy().tolist() for v in found.values] == [[2.0, 3.0]] * 2
        pairs = ops.batch_reduce("SUM", [(value, value), (value, value)])
        assert pairs[1].values[1].numpy().tolist() == [4.0, 6.0]
        assert len(ops.broadcast(hr.constant(1), value).values) == 2
    with pytest.raises(ValueError, match="pairs"):
        OPS[1].batch_reduce("SUM", [value])


# -- variables ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("aggregation", "assigned", "added"),
    [("SUM", 30.0, 31.0), ("MEAN", 15.0, 16.0), ("ONLY_FIRST_REPLICA", 10.0, 11.0)],
)
def test_what_replicas_assign_is_combined(aggregation, assigned, added, run):
    strategy = mirrored()
    kind = hr.VariableAggregation[aggregation]
    with strategy.scope():
        v = hr.Variable(0.0, aggregation=kind)
        w = hr.Variable(1.0, aggregation=kind)
    x = per_replica(strategy, lambda i: hr.constant(10.0 * (i + 1)))

    def step(x):
        v.assign(x)
        w.assign_add(x)
        w.assign_sub(hr.zeros_like(x))

    run(strategy, step, x)
    for variable, wanted in ((v, assigned), (w, added)):
        assert [float(c) for c in components(strategy, variable)] == [wanted, wanted]


def test_an_assignment_in_a_replica_needs_an_aggregation():
    strategy = mirrored()
    with strategy.scope():
        v = hr.Variable(0.0)
    with pytest.raises(ValueError, match="You must specify an aggregation method"):
        strategy.run(lambda: v.assign(1.0))
    v.assign(2.0)
    assert [float(c) for c in components(strategy, v)] == [2.0, 2.0]


def test_a_variable_of_another_scope_is_not_changed_by_replicas(run):
    strategy = mirrored()
    v = hr.Variable(1.0)

    def step():
        v.assign_add(1.0)

    with pytest.raises(ValueError, match="created outside of the scope"):
        run(strategy, step)
    assert float(v) == 1.0


@pytest.mark.parametrize(("aggregation", "read"), [("SUM", 3), ("MEAN", 1.5)])
def test_variables_combined_on_reading_are_each_replicas_own(aggregation, read, run):
    strategy = mirrored()
    with strategy.scope():
        v = hr.Variable(
            0.0,
            trainable=False,
            synchronization=hr.VariableSynchronization.ON_READ,
            aggregation=hr.VariableAggregation[aggregation],
        )
    x = per_replica(strategy, lambda i: hr.constant(float(i + 1)))

    def step(x):
        v.assign_add(x)
        return v.read_value()

    own = run(strategy, step, x)
    assert [float(c) for c in components(strategy, own)] == [1.0, 2.0]
    assert float(v) == read
    v.assign(5.0)  # the value of the whole, also of a sum
    assert float(v) == 5.0


def test_copies_share_memory_until_one_is_written():
    strategy = mirrored()
    with strategy.scope():
        v = hr.Variable([1.0, 2.0], aggregation=hr.VariableAggregation.MEAN)
    assert v._copies[0] is v._copies[1]
    strategy.extended.update(v, lambda var, x: var.assign(var + x), args=(1.0,))
    assert [c.tolist() for c in components(strategy, v)] == [[2.0, 3.0]] * 2


def test_update_gives_each_replica_its_component():
    strategy = mirrored()
    with strategy.scope():
        v = hr.Variable(0.0)
    x = per_replica(strategy, lambda i: hr.constant(float(i)))
    strategy.extended.update(v, lambda var, x: var.assign(x), args=(x,))
    assert [float(c) for c in components(strategy, v)] == [0.0, 1.0]


# -- datasets -------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize(("rows", "batch"), [(24, 6), (25, 6), (7, 4), (5, 5), (1, 4)])
def test_the_parts_are_the_global_batches_in_order(count, rows, batch):
    strategy = mirrored(count)
    dataset = hr.data.Dataset.range(rows).map(lambda x: {"x": x, "y": hr.stack([x, -x])})
    dataset = dataset.batch(batch)
    dealt = strategy.experimental_distribute_dataset(dataset)
    assert len(dealt) == len(dataset)
    for whole, parts in zip(dataset, dealt, strict=True):
        joined = strategy.gather(parts, axis=0)
        for key in "xy":
            np.testing.assert_array_equal(joined[key], whole[key])
        sizes = [len(p) for p in components(strategy, parts["x"])]
        assert sizes == sorted(sizes, reverse=True)
        if len(whole["x"]) == batch:
            assert max(sizes) - min(sizes) <= 1


def test_ragged_and_sparse_batches_are_dealt_out():
    strategy = mirrored()
    ragged = hr.ragged.constant([[1], [2, 3], [], [4, 5, 6]])
    sparse = hr.sparse.from_dense([[1, 0], [0, 2], [3, 0], [0, 4]])
    dataset = hr.data.Dataset.from_tensors((ragged, sparse))
    for r, s in strategy.experimental_distribute_dataset(dataset):
        assert [v.to_list() for v in r.values] == [[[1], [2, 3]], [[], [4, 5, 6]]]
        second = hr.sparse.to_dense(s.values[1]).numpy()
        assert second.tolist() == [[3, 0], [0, 4]]


def test_datasets_from_functions_give_a_batch_to_each_replica():
    strategy = mirrored()
    seen = []

    def make(context):
        seen.append(context)
        size = context.get_per_replica_batch_size(8)
        return hr.data.Dataset.range(20).batch(size)

    parts = [
        [c.tolist() for c in components(strategy, each)]
        for each in strategy.distribute_datasets_from_function(make)
    ]
    assert parts[0] == [[0, 1, 2, 3], [4, 5, 6, 7]]
    assert parts[-1] == [[16, 17, 18, 19], []]  # no rows are left for the last replica
    assert seen == [hr.distribute.InputContext(1, 0, 2)]


def test_iterators_end_and_say_what_they_give():
    strategy = mirrored()
    dataset = strategy.experimental_distribute_dataset(hr.data.Dataset.range(4).batch(4))
    iterator = iter(dataset)
    assert [c.tolist() for c in components(strategy, iterator.get_next())] == [[0, 1], [2, 3]]
    assert not bool(iterator.get_next_as_optional().has_value())
    with pytest.raises(hr.errors.OutOfRangeError):
        iterator.get_next()
    assert dataset.element_spec.specs[0] == hr.TensorSpec([None], hr.int64)


# -- misuse ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("devices", "error", "text"),
    [
        ([], ValueError, "at least one"),
        ("cpu:0", ValueError, "must be a list"),
        (["cpu:0", "/device:CPU:0"], ValueError, "more than once"),
        (["nonsense"], ValueError, "must be a name"),
        (["gpu:77"], hr.errors.InvalidArgumentError, "no device GPU:77; there are"),
        (["cpu:0", "cpu:4000"], hr.errors.InvalidArgumentError, "there is no device"),
    ],
)
def test_devices_that_make_no_sense(devices, error, text):
    with pytest.raises(error, match=text):
        hr.distribute.MirroredStrategy(devices)


def test_wrong_arguments():
    with pytest.raises(ValueError, match="CrossDeviceOps"):
        mirrored(cross_device_ops="nccl")
    with pytest.raises(ValueError, match="compression"):
        CommunicationOptions(compression="fp8")
    with pytest.raises(ValueError, match="timeout_seconds"):
        CommunicationOptions(timeout_seconds=0)
    with pytest.raises(ValueError, match="not batched"):
        mirrored().experimental_distribute_dataset(hr.data.Dataset.range(3))
    uneven = hr.data.Dataset.from_tensors((hr.range(4), hr.range(3)))
    with pytest.raises(hr.errors.InvalidArgumentError, match="number of rows, got 4 and 3"):
        list(mirrored().experimental_distribute_dataset(uneven))
    with pytest.raises(ImportError, match="install the extra cuda1"):
        hr.distribute.NcclAllReduce()


def test_a_failing_replica_stops_those_that_wait_for_it(run):
    strategy = mirrored(3)
    x = per_replica(strategy, lambda i: hr.constant(i))

    def step(x):
        hr.debugging.assert_less(x, 2, message="too large")
        return replica().all_reduce("SUM", x)

    with pytest.raises(hr.errors.InvalidArgumentError, match="too large") as caught:
        run(strategy, step, x)
    assert "in replica 2 of 3" in caught.value.__notes__
    # and the strategy still works
    assert int(strategy.reduce("SUM", x, axis=None)) == 3


@pytest.mark.parametrize("overlap", [False, True], ids=["waiting", "beside"])
def test_a_sum_that_fails_stops_all_replicas(overlap):
    class Broken(hr.distribute.CrossDeviceOps):
        def combine(self, arrays):
            raise KeyError("no sum")

    options = CommunicationOptions(overlap=overlap)
    strategy = mirrored(cross_device_ops=Broken(), communication_options=options)
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
        optimizer = hr.keras.optimizers.SGD(0.1)
    step = compiled(strategy, lambda: optimizer.apply_gradients([(v.read_value(), v)]))
    with pytest.raises(KeyError, match="no sum"):
        step()


def test_replicas_that_could_only_wait_for_ever_are_an_error():
    strategy = mirrored()

    def left():
        if replica().replica_id_in_sync_group == 0:
            replica().all_reduce("SUM", hr.constant(1.0))

    with pytest.raises(hr.errors.FailedPreconditionError, match="replica 1 has returned"):
        strategy.run(left)

    def different():
        if replica().replica_id_in_sync_group == 0:
            replica().all_gather(hr.constant([1.0]), 0)
        else:
            replica().merge_call(lambda strategy: None)

    with pytest.raises(hr.errors.FailedPreconditionError, match="different operations"):
        strategy.run(different)


def test_unequal_values_to_reduce_are_an_error(run):
    strategy = mirrored()
    x = per_replica(strategy, lambda i: hr.zeros([i + 1]))
    with pytest.raises(hr.errors.InvalidArgumentError, match="same shapes"):
        run(strategy, lambda x: replica().all_reduce("SUM", x), x)


def test_a_replica_that_does_not_come_is_named():
    options = CommunicationOptions(timeout_seconds=0.2)
    strategy = mirrored(communication_options=options)

    def step():
        if replica().replica_id_in_sync_group == 1:
            time.sleep(1)
        return replica().all_reduce("SUM", hr.constant(1.0))

    with pytest.raises(hr.errors.DeadlineExceededError, match=r"replica\(s\) \[1\]"):
        strategy.run(step)


def test_steps_do_not_nest_and_pipelines_hold_none():
    strategy = mirrored()
    with pytest.raises(RuntimeError, match="must be called outside"):
        strategy.run(lambda: strategy.run(lambda: 1))
    with pytest.raises(Exception, match="cannot be part of another graph"):
        list(hr.data.Dataset.range(2).map(lambda x: strategy.run(lambda: x)))
