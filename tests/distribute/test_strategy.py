"""Strategies of one replica: contexts, `run`, `reduce`, and the errors of their misuse."""

import threading

import pytest

import headrace as hr


@pytest.fixture
def strategy():
    return hr.distribute.OneDeviceStrategy("/cpu:0")


def context():
    """The context functions' answers at the place of the call."""
    replica = hr.distribute.get_replica_context()
    return (
        hr.distribute.get_strategy(),
        hr.distribute.has_strategy(),
        hr.distribute.in_cross_replica_context(),
        None if replica is None else replica.strategy,
    )


def test_the_default_strategy_is_one_replica_and_does_not_count_as_a_strategy():
    default = hr.distribute.get_strategy()
    assert context() == (default, False, False, default)
    assert default.num_replicas_in_sync == 1


def test_a_scope_is_the_cross_replica_side_and_ends(strategy):
    outside = context()
    with strategy.scope() as entered:
        assert entered is strategy
        assert context() == (strategy, True, True, None)
        with strategy.scope():
            assert context() == (strategy, True, True, None)
    assert context() == outside


def test_a_scope_ends_when_its_block_raises(strategy):
    outside = context()
    with pytest.raises(KeyError), strategy.scope():
        raise KeyError
    assert context() == outside


def test_another_strategys_scope_may_not_be_entered_inside_a_scope(strategy):
    other = hr.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope(), pytest.raises(RuntimeError, match="Mixing different"):
        with other.scope():
            pass


def test_scopes_belong_to_their_thread(strategy):
    seen = []
    with strategy.scope():
        thread = threading.Thread(target=lambda: seen.append(hr.distribute.has_strategy()))
        thread.start()
        thread.join()
    assert seen == [False]


def test_run_calls_the_function_once_as_a_replica(strategy):
    calls = []

    def step(x, *, y):
        calls.append((x, y, context()))
        return x - y

    assert strategy.run(step, args=(5,), kwargs={"y": 2}) == 3
    assert calls == [(5, 2, (strategy, True, False, strategy))]


@pytest.mark.parametrize("method", ["run", "reduce", "gather"])
def test_cross_replica_methods_are_refused_inside_a_replica(strategy, method):
    arguments = {"run": (int,), "reduce": ("SUM", 1, None), "gather": (1, 0)}[method]
    with pytest.raises(RuntimeError, match=f"Strategy.{method} must be called outside"):
        strategy.run(lambda: getattr(strategy, method)(*arguments))


def test_run_names_the_remedy_for_a_bare_argument(strategy):
    with pytest.raises(TypeError, match=r"args=\(x,\)"):
        strategy.run(abs, args=3)
    with pytest.raises(TypeError, match="kwargs must be a mapping"):
        strategy.run(abs, args=(3,), kwargs=[1])


def test_merge_call_goes_to_the_cross_replica_side_and_back(strategy):
    def step():
        replica = hr.distribute.get_replica_context()
        inner = replica.merge_call(lambda s, k: (s, k, context()), args=("a",))
        return inner, context()

    inner, after = strategy.run(step)
    assert inner == (strategy, "a", (strategy, True, True, None))
    assert after == (strategy, True, False, strategy)


def test_a_replica_knows_its_number_and_device(strategy):
    def step():
        replica = hr.distribute.get_replica_context()
        return (
            replica.replica_id_in_sync_group,
            replica.num_replicas_in_sync,
            replica.devices,
            replica.all_reduce("sum", 4),
        )

    assert strategy.run(step) == (0, 1, ("/device:CPU:0",), 4)


@pytest.mark.parametrize(
    ("reduce_op", "axis", "expected"),
    [
        ("SUM", None, [[1.0, 2.0], [3.0, 6.0]]),
        ("SUM", 0, [4.0, 8.0]),
        (hr.distribute.ReduceOp.MEAN, 0, [2.0, 4.0]),
        ("mean", (0, 1), 3.0),
    ],
)
def test_reduce_combines_along_the_axes_it_is_given(strategy, reduce_op, axis, expected):
    value = {"loss": hr.constant([[1.0, 2.0], [3.0, 6.0]])}
    result = strategy.reduce(reduce_op, value, axis=axis)
    assert result["loss"].numpy().tolist() == expected


def test_reduce_refuses_an_unknown_reduction(strategy):
    with pytest.raises(ValueError, match="reduce_op must be 'SUM', 'MEAN'"):
        strategy.reduce("MAX", hr.constant(1.0), axis=None)


def test_local_results_and_gather_of_one_replica_are_the_value(strategy):
    value = hr.constant([1, 2])
    assert strategy.experimental_local_results(value) == (value,)
    assert strategy.gather(value, axis=0) is value


def test_a_dataset_is_dealt_out_whole(strategy):
    dataset = hr.data.Dataset.range(4).batch(2)
    dealt = strategy.experimental_distribute_dataset(dataset)
    assert [batch.tolist() for batch in dealt.as_numpy_iterator()] == [[0, 1], [2, 3]]

    contexts = []
    strategy.distribute_datasets_from_function(lambda c: contexts.append(c) or dataset)
    assert contexts == [hr.distribute.InputContext(1, 0, 1)]


def test_an_input_context_divides_the_global_batch():
    context = hr.distribute.InputContext(num_replicas_in_sync=4)
    assert context.get_per_replica_batch_size(64) == 16
    with pytest.raises(ValueError, match="divisible by the 4 replicas"):
        context.get_per_replica_batch_size(65)


@pytest.mark.parametrize(
    "device",
    ["/cpu:0", "cpu:0", "/device:CPU:0", "/job:localhost/replica:0/task:0/device:CPU:0"],
)
def test_every_spelling_of_a_device_is_understood(device):
    strategy = hr.distribute.OneDeviceStrategy(device)
    assert strategy.extended.worker_devices == ("/device:CPU:0",)
    assert strategy.extended.parameter_devices == ("/device:CPU:0",)
    assert "/device:CPU:0" in repr(strategy)


@pytest.mark.parametrize(
    ("device", "error", "text"),
    [
        ("cpu", ValueError, "device must be"),
        ("", ValueError, "device must be"),
        (None, ValueError, "device must be"),
        ("/tpu:0", ValueError, "device must be"),
        ("/gpu:77", hr.errors.InvalidArgumentError, "no device GPU:77; there are"),
    ],
)
def test_a_device_that_cannot_be_used_is_named(device, error, text):
    with pytest.raises(error, match=text):
        hr.distribute.OneDeviceStrategy(device)


def test_update_runs_where_the_variable_lives(strategy):
    extended = strategy.extended
    assert extended.update([1], lambda v, x: v + [x], args=(2,)) == [1, 2]
    assert extended.update([1], lambda v, x: v + [x], args=(2,), group=False) == ([1, 2],)
    assert extended.variable_created_in_scope(object())


@pytest.mark.peers
def test_contexts_answer_as_tensorflows(tf, strategy):
    def answers(lib, one_device):
        d = lib.distribute
        places = [(d.has_strategy(), d.in_cross_replica_context())]
        with one_device.scope():
            places.append((d.has_strategy(), d.in_cross_replica_context()))
            places.append(
                one_device.run(lambda: (d.has_strategy(), d.in_cross_replica_context()))
            )
            places.append(one_device.num_replicas_in_sync)
        with d.get_strategy().scope():
            places.append((d.has_strategy(), d.in_cross_replica_context()))
        return places

    assert answers(hr, strategy) == answers(tf, tf.distribute.OneDeviceStrategy("/cpu:0"))
