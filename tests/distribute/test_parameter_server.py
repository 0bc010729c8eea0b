"""ParameterServerStrategy: partitioners, scheduled functions, sparse tables, deaths, `fit`."""

import os
import signal
import time

import numpy as np
import pytest

import headrace as hr

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
partitioners = hr.distribute.experimental.partitioners
coordinator = hr.distribute.coordinator


@pytest.fixture
def make(local_ray):
    """Makes a strategy and its coordinator; they end with the test."""
    made = []

    def start(partitioner=None, workers=2, servers=2, **options):
        strategy = hr.distribute.ParameterServerStrategy(
            variable_partitioner=partitioner, num_workers=workers, num_servers=servers,
            **options)  # fmt: skip
        made.append(strategy)
        return strategy, coordinator.ClusterCoordinator(strategy)

    yield start
    for strategy in made:
        strategy.close()


@pytest.fixture(scope="module")
def shared(local_ray):
    """A strategy of two workers and three servers, which cuts variables in three."""
    strategy = hr.distribute.ParameterServerStrategy(
        variable_partitioner=partitioners.FixedShardsPartitioner(3), num_workers=2,
        num_servers=3)  # fmt: skip
    yield strategy, coordinator.ClusterCoordinator(strategy)
    strategy.close()


def kill(ray, actor):
    for _ in range(300):
        try:
            os.kill(ray.get(actor.pid.remote(), timeout=60), signal.SIGKILL)
            return
        except ray.exceptions.ActorUnavailableError:
            time.sleep(0.1)
    raise AssertionError("the actor does not answer")


# -- partitioners ---------------------------------------------------------------------------


@pytest.mark.peers
def test_partitioners_are_tensorflows(tf):
    theirs = tf.distribute.experimental.partitioners
    rng = np.random.default_rng(0)
    for _ in range(150):
        shape = rng.integers(1, 40, rng.integers(1, 4)).tolist()
        size, most = int(rng.integers(1, 400)), int(rng.integers(1, 9))
        dtype = str(rng.choice(["float32", "float64", "uint8"]))
        for name, args in [("FixedShardsPartitioner", (most,)), ("MaxSizePartitioner", (size,)),
                           ("MaxSizePartitioner", (size, most)),
                           ("MinSizePartitioner", (size, most))]:  # fmt: skip
            expected = getattr(theirs, name)(*args)(tf.TensorShape(shape), tf.as_dtype(dtype))
            found = getattr(partitioners, name)(*args)(
                hr.TensorShape(shape), hr.as_dtype(dtype)
            )
            assert found == expected, (name, args, shape, dtype)


# -- variables and functions ----------------------------------------------------------------


def test_variables_lie_on_servers_and_functions_run_on_workers(shared):
    strategy, coord = shared
    table = np.arange(14, dtype=np.float32).reshape(7, 2)
    with strategy.scope():
        total = hr.Variable(1.0)
        rows = hr.Variable(table)
    assert rows.layout.bounds == (0, 3, 5, 7) and sorted(rows.layout.servers) == [0, 1, 2]
    np.testing.assert_array_equal(rows.numpy(), table)
    rows.assign(table * 2)
    np.testing.assert_array_equal(rows.read_value().numpy(), table * 2)

    @hr.function
    def step(x):
        total.assign_add(x)
        return {"double": 2 * x, "row": hr.gather(rows, [5, 0, 5])}

    results = [coord.schedule(step, (float(i),)) for i in range(10)]
    coord.join()
    assert coord.done() and float(total) == 46.0
    found = coord.fetch(results)
    assert [f["double"] for f in found] == [2.0 * i for i in range(10)]
    np.testing.assert_array_equal(found[0]["row"], 2 * table[[5, 0, 5]])


def test_functions_know_their_worker(shared):
    _, coord = shared
    index = coordinator.experimental_get_current_worker_index
    with pytest.raises(RuntimeError, match="schedule"):
        index()

    def slow():
        time.sleep(0.05)
        return index()

    assert set(coord.fetch([coord.schedule(slow) for _ in range(8)])) == {0, 1}


def test_errors_cancel_what_has_not_begun(shared):
    _, coord = shared

    def fails():
        time.sleep(0.3)
        raise hr.errors.InvalidArgumentError("this one")

    first = coord.schedule(fails)
    coord.schedule(lambda: time.sleep(2))  # keeps the other worker
    second = coord.schedule(lambda: 1)
    with pytest.raises(hr.errors.InvalidArgumentError, match="this one"):
        coord.join()
    with pytest.raises(hr.errors.InvalidArgumentError, match="this one"):
        first.fetch()
    with pytest.raises(hr.errors.CancelledError):
        second.fetch()
    assert coord.fetch(coord.schedule(lambda: 3)) == 3  # it goes on


def test_workers_have_datasets_of_their_own(shared):
    _, coord = shared
    own = coord.create_per_worker_dataset(
        lambda: hr.data.Dataset.range(100).map(lambda x: x * x)
    )
    iterator = iter(own)
    taken = [coord.schedule(lambda it: next(it), (iterator,)) for _ in range(8)]
    squares = [int(x) for x in coord.fetch(taken)]
    assert set(squares) <= {i * i for i in range(8)} and 1 <= squares.count(0) <= 2
    with pytest.raises(NotImplementedError, match="on the workers"):
        next(iterator)
    short = iter(coord.create_per_worker_dataset(hr.data.Dataset.range(1)))
    for _ in range(6):
        coord.schedule(lambda it: next(it), (short,))
    with pytest.raises(hr.errors.OutOfRangeError, match="End of sequence"):
        coord.join()


# -- training -------------------------------------------------------------------------------


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "Adagrad"])
def test_one_worker_trains_as_without_a_strategy(shared, optimizer):
    """Dense and sparse updates on shards are those of the whole."""
    strategy, coord = shared
    rng = np.random.default_rng(0)
    start = [rng.normal(size=s).astype("f4") for s in ((50, 4), (4, 1), (1,))]
    batches = [(rng.integers(0, 50, 16), rng.normal(size=(16, 1)).astype("f4"))
               for _ in range(6)]  # fmt: skip

    def model():
        table, kernel, bias = (hr.Variable(v) for v in start)
        rate = 0.1
        opt = getattr(hr.keras.optimizers, optimizer)(rate, clipnorm=None)

        def train(ids, y):
            with hr.GradientTape() as tape:
                first = hr.nn.embedding_lookup(table, ids)
                again = hr.gather(table, ids[::-1])  # rows known and rows new
                out = hr.matmul(first * again, kernel) + bias
                loss = hr.reduce_mean((out - y) ** 2)
            variables = [table, kernel, bias]
            opt.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
            return loss

        return (table, kernel, bias), train

    with strategy.scope():
        remote, train = model()
    losses = []
    for ids, y in batches:
        losses.append(float(coord.fetch(coord.schedule(train, (ids, y)))))
    local, train = model()
    np.testing.assert_allclose(losses, [float(train(i, y)) for i, y in batches], rtol=1e-4)
    for a, b in zip(remote, local, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-4, atol=1e-5)


def test_a_table_larger_than_a_server_trains_by_its_rows(make, local_ray):
    rows, width = 60_000, 8  # 1.9 MB; a server may hold 1 MB
    strategy, coord = make(partitioners.MaxSizePartitioner(700 << 10), servers=3,
                           server_memory_bytes=1 << 20, workers=1)  # fmt: skip
    with strategy.scope():
        table = hr.Variable(np.zeros((rows, width), np.float32))
        opt = hr.keras.optimizers.SGD(0.5)
    assert len(set(table.layout.servers)) == 3
    ids = np.array([[0, 59_999], [31_000, 0]])

    def train():
        with hr.GradientTape() as tape:
            loss = hr.reduce_sum((hr.gather(table, ids) - 1.0) ** 2) / 2
        grad = tape.gradient(loss, table)
        held = table._held  # the worker never had the table
        opt.apply_gradients([(grad, table)])
        return loss, held is None, type(grad).__name__

    losses = coord.fetch([coord.schedule(train) for _ in range(5)])
    assert losses[-1][0] < losses[0][0] / 50
    assert all(absent and kind == "IndexedSlices" for _, absent, kind in losses)
    touched = table.numpy()
    assert (touched[[0, 31_000, 59_999]] > 0.8).all()
    assert not touched[1:31_000].any() and not touched[31_001:59_999].any()
    with pytest.raises(hr.errors.ResourceExhaustedError, match="more shards"):
        with strategy.scope():
            hr.Variable(np.zeros((3 << 20,), np.uint8))


def test_staleness_is_bounded(shared, monkeypatch):
    strategy, coord = shared
    monkeypatch.setattr(strategy, "_max_staleness", 0)
    with strategy.scope():
        count = hr.Variable(0)

    def step():
        before = int(count)
        time.sleep(0.02)
        count.assign_add(1)
        return before

    assert coord.fetch([coord.schedule(step) for _ in range(10)]) == list(range(10))


def test_fit(shared):
    strategy, _ = shared
    rng = np.random.default_rng(0)
    x = rng.normal(size=(512, 8)).astype("f4")
    y = (x @ rng.normal(size=(8, 1))).astype("f4")
    with strategy.scope():
        model = hr.keras.Sequential([hr.keras.Input((8,)), hr.keras.layers.Dense(1)])
        model.compile(hr.keras.optimizers.Adam(0.1), "mse", metrics=["mae"])
    history = model.fit(x, y, batch_size=64, epochs=4, verbose=0).history
    assert history["loss"][-1] < history["loss"][0] / 3
    loss, mae = model.evaluate(x, y, verbose=0)
    assert loss < history["loss"][0] / 2 and mae > 0
    assert int(model.optimizer.iterations) == 32
    assert model.predict(x[:3], verbose=0).shape == (3, 1)


# -- deaths ---------------------------------------------------------------------------------


def test_a_killed_worker_costs_no_function(shared, local_ray):
    strategy, coord = shared

    def slow(i):
        time.sleep(0.05)
        return i

    results = [coord.schedule(slow, (i,)) for i in range(30)]
    kill(local_ray, strategy.workers[0])
    coord.join()
    assert coord.fetch(results) == list(range(30))


def test_a_function_that_kills_its_workers_is_given_up(shared, monkeypatch):
    monkeypatch.setattr(coordinator, "_MOST_ATTEMPTS", 2)
    _, coord = shared
    coord.schedule(lambda: os._exit(1))
    with pytest.raises(hr.errors.UnavailableError, match="died 2 times"):
        coord.join()


def test_a_killed_server_goes_on_from_its_checkpoint(make, local_ray, tmp_path):
    strategy, coord = make(workers=1, servers=1, checkpoint_dir=str(tmp_path),
                           checkpoint_every=1)  # fmt: skip
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
        opt = hr.keras.optimizers.SGD(0.1, momentum=0.9)

    def step():
        opt.apply_gradients([(hr.constant([1.0, 1.0]), v)])

    for _ in range(2):
        coord.schedule(step)
    coord.join()
    kill(local_ray, strategy.extended.store.servers[0])
    coord.schedule(step)
    coord.join()
    local = hr.Variable([1.0, 2.0])
    other = hr.keras.optimizers.SGD(0.1, momentum=0.9)
    for _ in range(3):  # the momentum came back, too
        other.apply_gradients([(hr.constant([1.0, 1.0]), local)])
    np.testing.assert_allclose(v.numpy(), local.numpy(), rtol=1e-6)
    assert [p.name for p in tmp_path.iterdir()] == ["server-0.state"]


# -- bad input ------------------------------------------------------------------------------


def test_bad_input(shared):
    strategy, coord = shared
    outside = hr.Variable(1.0)
    with pytest.raises(ValueError, match=r"strategy.scope\(\)"):
        coord.schedule(lambda: outside + 1)
    with pytest.raises(TypeError, match="must be callable"):
        coord.schedule(3)
    with pytest.raises(hr.errors.InvalidArgumentError, match="cannot be sent"):
        coord.schedule(lambda f: f, ((i for i in range(3)),))
    with pytest.raises(ValueError, match="ParameterServerStrategy"):
        coordinator.ClusterCoordinator(hr.distribute.OneDeviceStrategy("/cpu:0"))
    with pytest.raises(ValueError, match="at least one worker"):
        hr.distribute.ParameterServerStrategy(num_workers=0)
    with pytest.raises(ValueError, match="max_staleness"):
        hr.distribute.ParameterServerStrategy(max_staleness=-1)
    with strategy.scope():
        v = hr.Variable(1.0)
    coord.schedule(lambda: hr.gather(v, [0]))
    with pytest.raises(hr.errors.InvalidArgumentError):
        coord.join()


@pytest.mark.parametrize("cls", ["MinSizePartitioner", "MaxSizePartitioner"])
def test_bad_partitioners(cls):
    with pytest.raises(ValueError, match="must be positive"):
        getattr(partitioners, cls)(0)


def test_without_ray(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'headrace\[ray\]'"):
        hr.distribute.ParameterServerStrategy()
