"""Checkpoints under strategies of several replicas: variables of all kinds, iterators, and the
same training with other numbers of replicas."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras, train

CPUS = ["cpu:0", "cpu:1", "cpu:2"]


def rows():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(96, 4)).astype("f"), rng.normal(size=(96, 1)).astype("f")
    return hr.data.Dataset.from_tensor_slices((x, y)).shuffle(40, seed=5).batch(8)


class Run:
    """Training step by step, with all its state in a checkpoint."""

    def __init__(self, replicas, **kwargs):
        self.strategy = hr.distribute.MirroredStrategy(CPUS[:replicas], **kwargs)
        keras.utils.set_random_seed(1)
        with self.strategy.scope():
            self.model = keras.Sequential(
                [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
            )
            self.optimizer = keras.optimizers.Adam(0.01)
            self.metric = keras.metrics.MeanSquaredError()
            self.count = hr.Variable(0, aggregation=hr.VariableAggregation.SUM)
        self.batches = iter(self.strategy.experimental_distribute_dataset(rows()))
        self.checkpoint = train.Checkpoint(
            model=self.model, optimizer=self.optimizer, metric=self.metric,
            batches=self.batches, count=self.count,
        )  # fmt: skip
        self.step = hr.function(lambda batch: self.strategy.run(self._step, args=(batch,)))

    def _step(self, batch):
        x, y = batch
        with hr.GradientTape() as tape:
            found = self.model(x)
            loss = hr.nn.compute_average_loss(hr.square(found - y)[:, 0], global_batch_size=8)
        variables = self.model.trainable_variables
        self.optimizer.apply(tape.gradient(loss, variables), variables)
        self.metric.update_state(y, found)
        self.count.assign_add(1)

    def go(self, steps):
        for _ in range(steps):
            self.step(next(self.batches))

    def state(self):
        found = [w.numpy() for w in [*self.model.weights, *self.optimizer.variables]]
        return [*found, float(self.metric.result())]


def close(a, b, exact=False):
    for x, y in zip(a, b, strict=True):
        # What replicas counted is added up in another order once it was saved.
        exact = exact and np.ndim(x) > 0
        np.testing.assert_allclose(x, y, *((0, 0) if exact else (1e-4, 1e-5)))


@pytest.mark.parametrize("shard", [False, True])
def test_training_goes_on_exactly(tmp_path, shard):
    one = Run(2, shard_optimizer=shard)
    one.go(5)
    path = one.checkpoint.save(tmp_path / "c")
    assert int(one.count) == 10
    one.go(7)
    other = Run(2, shard_optimizer=shard)
    status = other.checkpoint.restore(path)  # the slots are made in the first step
    other.go(7)
    status.assert_consumed()
    close(other.state(), one.state(), exact=True)
    assert int(other.count) == int(one.count) == 24
    for v in other.model.weights:
        assert all(np.array_equal(v.values[0], each) for each in v.values)
    with pytest.raises(StopIteration):
        next(other.batches)
    other.checkpoint.restore(path)
    other.go(7)
    close(other.state(), one.state(), exact=True)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 3), (3, 2)])
def test_on_another_number_of_replicas(tmp_path, before, after):
    one = Run(before)
    one.go(5)
    path = one.checkpoint.save(tmp_path / "c")
    one.go(7)
    other = Run(after)
    status = other.checkpoint.restore(path)
    other.go(7)
    status.assert_consumed()
    close(other.state(), one.state())


def test_a_plain_program_reads_a_strategys_checkpoint(tmp_path):
    one = Run(2)
    one.go(3)
    path = one.checkpoint.save(tmp_path / "c")
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(8, "tanh"), keras.layers.Dense(1)]
    )
    metric = keras.metrics.MeanSquaredError()
    train.Checkpoint(model=model, metric=metric).restore(path).expect_partial()
    close([w.numpy() for w in model.weights], [w.numpy() for w in one.model.weights], True)
    assert float(metric.result()) == float(one.metric.result())


@pytest.mark.parametrize("make", [lambda v: hr.Variable(v), lambda v: hr.Variable([v, v])])
def test_variables_combined_on_reading(tmp_path, make):
    strategy = hr.distribute.MirroredStrategy(CPUS[:2])
    with strategy.scope():
        v = hr.Variable(
            0.0, synchronization=hr.VariableSynchronization.ON_READ,
            aggregation=hr.VariableAggregation.SUM, trainable=False,
        )  # fmt: skip
    strategy.run(lambda: v.assign_add(3.0))
    path = train.Checkpoint(v=v).write(tmp_path / "c")
    strategy.run(lambda: v.assign_add(3.0))
    train.Checkpoint(v=v).read(path).assert_consumed()
    assert float(v) == 6.0
    strategy.run(lambda: v.assign_add(1.0))
    assert float(v) == 8.0


@pytest.mark.processes
@pytest.mark.timeout(300)
def test_variables_on_parameter_servers(tmp_path, local_ray):
    partitioners = hr.distribute.experimental.partitioners
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    strategy = hr.distribute.ParameterServerStrategy(
        variable_partitioner=partitioners.FixedShardsPartitioner(2), num_workers=1,
        num_servers=2)  # fmt: skip
    try:
        with strategy.scope():
            large, small = hr.Variable(table), hr.Variable(3.0)
        path = train.Checkpoint(large=large, small=small).save(tmp_path / "c")
        plain = train.Checkpoint(large=hr.Variable(table * 0), small=hr.Variable(0.0))
        plain.restore(path).assert_consumed()
        assert np.array_equal(plain.large.numpy(), table) and float(plain.small) == 3.0
        plain.large.assign(table + 1)
        path = plain.save(tmp_path / "c")
        train.Checkpoint(large=large, small=small).restore(path).assert_consumed()
        assert np.array_equal(large.numpy(), table + 1)
    finally:
        strategy.close()
