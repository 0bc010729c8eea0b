"""MirroredStrategy on GPUs: on CuPy's test double with late streams and a double of NCCL
(`nccl_double`), against one replica, CPU replicas and the naive sum."""

import sys
import time
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.distribute import nccl_communicator
from headrace.distribute.nccl import Exchange, NcclLinks
from headrace.distribute.options import CommunicationOptions
from headrace.ops.cuda.compiled import Replayed

sys.path.insert(0, str(Path(__file__).parent))
from nccl_double import NAMES, doubled_gpus

pytestmark = pytest.mark.timeout(100)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(330, 8)).astype("float32")
Y = RNG.integers(0, 3, 330)
WEIGHTS = RNG.uniform(0.5, 2.0, 330).astype("float32")


@pytest.fixture
def world():
    with doubled_gpus(3) as world:
        yield world


@pytest.fixture(params=["python", "compiled"])
def run(request):
    """Runs a step on the replicas, as Python or as a graph."""

    def run(strategy, step, *args):
        if request.param == "python":
            return strategy.run(step, args=args)
        return hr.function(lambda *given: strategy.run(step, args=given))(*args)

    return run


def gpus(count=2, **kwargs):
    return hr.distribute.MirroredStrategy([f"gpu:{i}" for i in range(count)], **kwargs)


def replica():
    return hr.distribute.get_replica_context()


def per_replica(strategy, make):
    return strategy.experimental_distribute_values_from_function(
        lambda context: make(context.replica_id_in_sync_group)
    )


def parts(strategy, value):
    return [np.asarray(v) for v in strategy.experimental_local_results(value)]


def places(strategy, value):
    return [int(v.device[-1]) for v in strategy.experimental_local_results(value)]


# -- where things are -----------------------------------------------------------------------


def test_all_gpus_are_taken_and_each_has_its_variables_batches_and_steps(world, run):
    strategy = hr.distribute.MirroredStrategy()
    assert strategy.extended.worker_devices == tuple(f"/device:GPU:{i}" for i in range(3))
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
    assert places(strategy, v) == [0, 1, 2]
    x = per_replica(strategy, lambda i: hr.constant([float(i), 0.0]))
    result = run(strategy, lambda x: (x + v, hr.size(x)), x)
    assert places(strategy, result[0]) == [0, 1, 2]
    assert parts(strategy, result[0])[2].tolist() == [3, 2]
    assert all("CPU" in n.device for n in strategy.experimental_local_results(result[1]))


@pytest.mark.parametrize(
    "make", [hr.distribute.OneDeviceStrategy, lambda d: hr.distribute.MirroredStrategy([d])]
)
def test_one_gpu_is_where_everything_is(world, make):
    strategy = make("gpu:1")
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
        assert (hr.ones([2]) * 2.0).device.endswith("GPU:1")
    assert v.device.endswith("GPU:1")
    assert strategy.run(lambda: v * 2.0 + hr.ones([2])).device.endswith("GPU:1")
    assert hr.ones([2]).device.endswith("GPU:0")


def test_cpu_replicas_stay_on_the_cpu_where_there_are_gpus(world, run):
    strategy = hr.distribute.MirroredStrategy(["cpu:0", "cpu:1"])
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
    result = run(strategy, lambda: replica().all_reduce("SUM", v * 2.0))
    assert all("CPU" in r.device for r in strategy.experimental_local_results(result))
    assert parts(strategy, result)[1].tolist() == [4, 8]


def test_what_the_cross_replica_side_writes_reaches_every_device(world):
    strategy = gpus()
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
        n = hr.Variable(1, dtype=hr.int32)
        total = hr.Variable(6.0, synchronization="ON_READ", aggregation="SUM", trainable=False)
        seen = hr.Variable(6.0, synchronization="ON_READ", aggregation="MEAN", trainable=False)
    strategy.run(lambda: (v.read_value(), n.read_value(), total.assign_add(1.0)))
    v.assign([3.0, 4.0])
    n.assign_add(4)
    v.assign_add([1.0, 1.0])
    assert total.numpy() == 8 and seen.numpy() == 6
    with strategy.scope():  # an update in place of the copy that all share
        keras.optimizers.SGD(1.0).apply_gradients([(hr.constant([1.0, 1.0]), v)])
    assert [p.tolist() for p in parts(strategy, v)] == [[3, 4], [3, 4]]
    assert places(strategy, v) == [0, 1]
    assert parts(strategy, strategy.run(lambda: v + hr.cast(n, hr.float32)))[1].tolist() == [
        8,
        9,
    ]


# -- combining ------------------------------------------------------------------------------

DTYPES = [
    "float16", "bfloat16", "float32", "float64", "int8", "uint8", "int16", "uint16", "int32",
    "uint32", "int64", "uint64", "bool", "complex64",
]  # fmt: skip


@pytest.mark.parametrize("name", DTYPES)
def test_sums_and_means_of_every_dtype(world, name):
    kind = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
    given = [RNG.integers(0, 5, size=(3, 5)).astype(kind) for _ in range(3)]
    strategy = gpus(3)
    x = per_replica(strategy, lambda i: hr.constant(given[i]))
    found = strategy.run(lambda x: replica().all_reduce("SUM", {"a": x, "b": x[0, 0]}), (x,))
    want = np.sum(given, axis=0, dtype=kind) if name != "bool" else np.any(given, axis=0)
    for part in parts(strategy, found["a"]):
        assert part.dtype == kind
        np.testing.assert_array_equal(part, want)
    assert parts(strategy, found["b"])[2] == want[0, 0]
    assert places(strategy, found["a"]) == [0, 1, 2]
    if "float" in name:
        found = strategy.run(lambda x: replica().all_reduce("MEAN", x), (x,))
        np.testing.assert_allclose(
            parts(strategy, found)[1].astype("float64"), want.astype("float64") / 3, rtol=1e-2
        )


def test_gradients_pass_through_all_reduce_and_uneven_all_gather(world, run):
    strategy = gpus()
    x = per_replica(strategy, lambda i: hr.constant(np.arange(2.0 + i, dtype="float32")))

    def step(x):
        with hr.GradientTape() as tape:
            tape.watch(x)
            joined = replica().all_gather(x, 0)
            rows = replica().all_gather(hr.stack([x, x], 0), 1)
            total = replica().all_reduce("SUM", hr.reduce_sum(x * x))
            loss = hr.reduce_sum(joined * joined) + total
        return joined, rows, tape.gradient(loss, x)

    joined, rows, grads = run(strategy, step, x)
    assert [j.tolist() for j in parts(strategy, joined)] == [[0, 1, 0, 1, 2]] * 2
    assert [r.tolist() for r in parts(strategy, rows)] == [[[0, 1, 0, 1, 2]] * 2] * 2
    # Each replica's loss counts x twice in `joined` (of two replicas) and in `total`.
    assert [g.tolist() for g in parts(strategy, grads)] == [[0, 8], [0, 8, 16]]


def test_gather_and_reduce_on_the_cross_replica_side(world):
    strategy = gpus()
    x = per_replica(strategy, lambda i: hr.ones([i + 1, 2]))
    assert strategy.gather(x, axis=0).shape == (3, 2)
    assert strategy.reduce("SUM", x, axis=0).numpy().tolist() == [3, 3]
    y = per_replica(strategy, lambda i: hr.constant([1.0 + i]))
    assert strategy.reduce("MEAN", y, axis=None).numpy().tolist() == [1.5]
    n = per_replica(strategy, lambda i: hr.constant(i + 1))
    assert int(strategy.reduce("SUM", n, axis=None)) == 3
    both = per_replica(strategy, lambda i: hr.constant(["a", "b"][i : i + 1]))
    assert strategy.gather(both, axis=0).numpy().tolist() == [b"a", b"b"]


@pytest.mark.parametrize("kind", ["SUM", "MEAN", "ONLY_FIRST_REPLICA"])
def test_what_replicas_assign_is_combined(world, run, kind):
    strategy = gpus()
    with strategy.scope():
        v = hr.Variable([0.0, 0.0], aggregation=kind)
    x = per_replica(strategy, lambda i: hr.constant([1.0 + i, 3.0]))
    run(strategy, lambda x: v.assign(x), x)
    want = {"SUM": [3, 6], "MEAN": [1.5, 3], "ONLY_FIRST_REPLICA": [1, 3]}[kind]
    assert [p.tolist() for p in parts(strategy, v)] == [want, want]


OPS = {
    "naive": lambda: hr.distribute.cross_device_ops.NaiveAllReduce(),
    "to one": lambda: hr.distribute.ReductionToOneDevice(),
    "to the CPU": lambda: hr.distribute.ReductionToOneDevice("cpu:0"),
    "hierarchical": lambda: hr.distribute.HierarchicalCopyAllReduce(num_packs=2),
    "nccl": lambda: hr.distribute.NcclAllReduce(),
    "nccl, packs": lambda: hr.distribute.NcclAllReduce(num_packs=3),
}


@pytest.mark.parametrize("name", OPS)
def test_cross_device_ops_give_the_naive_sum_on_every_device(name, run):
    with doubled_gpus(5):
        strategy = gpus(5, cross_device_ops=OPS[name]())
        given = [RNG.normal(size=(4, 3)).astype("float32") for _ in range(5)]
        x = per_replica(strategy, lambda i: hr.constant(given[i]))
        ops = strategy.extended.cross_device_ops
        for found in (
            run(strategy, lambda x: replica().all_reduce("SUM", x * 1.0), x),
            ops.reduce("SUM", run(strategy, lambda x: x * 1.0, x), x),
        ):
            assert places(strategy, found) == [0, 1, 2, 3, 4]
            for part in parts(strategy, found):
                np.testing.assert_allclose(part, np.sum(given, 0), rtol=1e-5)
        mean = ops.reduce("MEAN", run(strategy, lambda x: x * 1.0, x), x)
        np.testing.assert_allclose(parts(strategy, mean)[4], np.mean(given, 0), rtol=1e-5)
        sent = ops.broadcast(hr.constant([1.0]), mean)
        assert places(strategy, sent) == [0, 1, 2, 3, 4]


def test_a_gpu_and_a_cpu_train_together(world, run):
    strategy = hr.distribute.MirroredStrategy(["gpu:1", "cpu:0"])
    with strategy.scope():
        v = hr.Variable([1.0, 2.0])
    found = run(strategy, lambda: replica().all_reduce("SUM", v * 2.0))
    assert [d.device[-5:] for d in found.values] == ["GPU:1", "CPU:0"]
    assert [p.tolist() for p in parts(strategy, found)] == [[4, 8]] * 2


# -- Keras: the law -------------------------------------------------------------------------


def dense(*more, **compile_arguments):
    keras.utils.set_random_seed(1)
    layers = [keras.layers.Dense(16, "relu", kernel_regularizer="l2"), *[m() for m in more]]
    model = keras.Sequential([keras.Input((8,)), *layers, keras.layers.Dense(3)])
    arguments = {
        "optimizer": keras.optimizers.Adam(0.01),
        "loss": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
        "metrics": ["accuracy"],
    }
    model.compile(**{**arguments, **compile_arguments})
    return model


def on(strategy, make):
    with strategy.scope():
        return make()


def sync_batch_norm():
    return keras.layers.BatchNormalization(synchronized=True)


def same(a, b, tolerance=2e-5):
    for one, other in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


def test_100_steps_equal_those_of_one_replica_and_of_cpu_replicas():
    """Batches of 47 rows are split unevenly; the last of an epoch has one row for both."""
    given = {"sample_weight": WEIGHTS, "batch_size": 47, "epochs": 13, "verbose": 0,
             "shuffle": False}  # fmt: skip

    def make():
        return dense(sync_batch_norm, optimizer=keras.optimizers.SGD(0.05, 0.9), metrics=[])

    alone = make()
    history = alone.fit(X, Y, **given).history
    cpus = on(hr.distribute.MirroredStrategy(["cpu:0", "cpu:1"]), make)
    cpus.fit(X, Y, **given)
    with doubled_gpus(2) as world:
        strategy = gpus()
        model = on(strategy, make)
        found = model.fit(X, Y, **given).history
        assert model.optimizer.iterations.numpy() == 104
        same(model, alone)
        same(model, cpus)
        for key, values in history.items():
            np.testing.assert_allclose(found[key], values, rtol=1e-4)
        for v in model.trainable_variables:
            assert places(strategy, v) == [0, 1]
            np.testing.assert_array_equal(*parts(strategy, v))
        assert world.ran_late > 100
        np.testing.assert_allclose(
            model.evaluate(X, Y, verbose=0), alone.evaluate(X, Y, verbose=0), rtol=1e-4
        )
        np.testing.assert_allclose(
            model.predict(X, verbose=0), alone.predict(X, verbose=0), rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize(
    ("make", "options"),
    [
        (lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5), {}),
        (lambda: keras.optimizers.Adam(0.01), {"shard_optimizer": True}),
        (lambda: keras.optimizers.Lamb(0.01), {"shard_optimizer": True}),
        (lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)), {}),
        (
            lambda: keras.optimizers.Adam(0.01),
            {"communication_options": CommunicationOptions(bytes_of_first_pack=1)},
        ),
        (
            lambda: keras.optimizers.Adam(0.01),
            {"cross_device_ops": "HierarchicalCopyAllReduce", "shard_optimizer": True},
        ),
    ],
    ids=["clipped", "sharded", "sharded lamb", "loss scale", "small buckets", "copies"],
)
@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eager"])
def test_every_way_to_update_is_that_of_one_replica(world, make, options, eager):
    options = dict(options)
    if "cross_device_ops" in options:
        options["cross_device_ops"] = getattr(hr.distribute, options["cross_device_ops"])()
    given = {"batch_size": 110, "epochs": 2, "verbose": 0, "shuffle": False}
    with hr.device("cpu:0"):
        alone = dense(optimizer=make())
        alone.fit(X, Y, **given)
    strategy = gpus(**options)
    model = on(strategy, lambda: dense(optimizer=make(), run_eagerly=eager))
    model.fit(X, Y, **given)
    same(model, alone)
    for v in model.trainable_variables:
        np.testing.assert_array_equal(*parts(strategy, v))


def test_more_weights_than_nccl_takes_in_a_group(world, monkeypatch):
    monkeypatch.setattr(nccl_communicator, "_AT_ONCE", 3)
    strategy = gpus(shard_optimizer=True)
    model = on(strategy, lambda: dense(sync_batch_norm))
    before = model.get_weights()
    model.fit(X, Y, batch_size=110, verbose=0)
    for v, w in zip(model.weights, before, strict=True):
        np.testing.assert_array_equal(*parts(strategy, v))
        assert (v.numpy() != w).any()


def test_reductions_begin_in_the_backward_pass(world):
    options = CommunicationOptions(bytes_per_pack=64, bytes_of_first_pack=1)
    model = on(gpus(communication_options=options), dense)
    model.fit(X, Y, batch_size=64, verbose=0)
    order = [node.type for node in model.train_function.graph._placed.graph.nodes]
    starts = [i for i, kind in enumerate(order) if kind == "_StartReduction"]
    assert len(starts) >= 2
    # The last layer's gradients are on their way before the first layer's are computed.
    assert "MatMul" in order[starts[0] : starts[-1]]
    assert starts[-1] < order.index("_FinishReduction")


def test_batch_norm_is_each_replicas_own_and_its_averages_the_mean(world):
    strategy = gpus()
    with strategy.scope():
        layer = keras.layers.BatchNormalization(momentum=0.0)
        layer.build((None, 8))
    x = per_replica(strategy, lambda i: hr.constant(X[40 * i : 40 * i + 40]))
    found = parts(strategy, strategy.run(lambda x: layer(x, training=True), args=(x,)))
    halves = [X[:40], X[40:80]]
    for half, out in zip(halves, found, strict=True):
        want = (half - half.mean(0)) / np.sqrt(half.var(0) + 1e-3)
        np.testing.assert_allclose(out, want, atol=1e-5)
    np.testing.assert_allclose(
        layer.moving_mean.numpy(), np.mean([h.mean(0) for h in halves], 0), atol=1e-6
    )


def test_sparse_gradients_stay_sparse(world):
    ids = RNG.integers(0, 40, size=(64, 3))

    def make():
        keras.utils.set_random_seed(2)
        model = keras.Sequential(
            [keras.layers.Embedding(40, 4), keras.layers.Flatten(), keras.layers.Dense(3)]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(keras.optimizers.SGD(0.5), loss)
        return model

    given = {"batch_size": 15, "epochs": 2, "verbose": 0, "shuffle": False}
    with hr.device("cpu:0"):
        alone = make()
        alone.fit(ids, Y[:64], **given)
    model = on(gpus(), make)
    model.fit(ids, Y[:64], **given)
    same(model, alone)
    assert any(name == "broadcast" for name, *_ in world.calls)  # the rows are gathered


@pytest.mark.parametrize("by", ["NcclAllReduce", "ReductionToOneDevice"])
@pytest.mark.parametrize("compression", ["fp16", "bf16"])
def test_compressed_gradients_train_nearly_the_same(world, compression, by):
    options = CommunicationOptions(compression=compression)
    given = {"batch_size": 64, "epochs": 4, "verbose": 0, "shuffle": False}
    with hr.device("cpu:0"):
        alone = dense(optimizer=keras.optimizers.SGD(0.05))
        alone.fit(X, Y, **given)
    strategy = gpus(
        communication_options=options, cross_device_ops=getattr(hr.distribute, by)()
    )
    model = on(strategy, lambda: dense(optimizer=keras.optimizers.SGD(0.05)))
    model.fit(X, Y, **given)
    same(model, alone, 5e-3)
    assert any(
        (w != a).any() for w, a in zip(model.get_weights(), alone.get_weights(), strict=True)
    )
    if by == "ReductionToOneDevice":
        return
    wire = {"fp16": "float16", "bf16": "bfloat16"}[compression]
    assert {kind for name, kind, *_ in world.calls if name == "allReduce"} == {wire}


@pytest.mark.parametrize("compression", ["fp16", "bf16"])
def test_what_rounding_takes_off_is_sent_in_the_next_steps(world, compression):
    """Values too small or too large for the wire arrive in the end, and no sum overflows."""
    strategy = gpus(communication_options=CommunicationOptions(compression=compression))
    large = 60000.0 if compression == "fp16" else 1.0
    with strategy.scope():
        v = hr.Variable([0.0, 0.0])
        optimizer = keras.optimizers.SGD(1.0)
        step = hr.function(
            lambda: strategy.run(lambda: optimizer.apply_gradients([(gradient + 0.0, v)]))
        )
    gradient = hr.constant([-1.0009765625 - 2**-13, -large])
    for _ in range(8):
        step()
    assert np.isfinite(v.numpy()).all()
    assert abs(v.numpy()[0] - 16 * (1.0009765625 + 2**-13)) < 2**-6
    sent = v.numpy()[1]
    assert sent == 16 * large if compression == "bf16" else sent == 8 * 65504


def test_weights_optimizers_and_checkpoints_are_whole(world, tmp_path):
    strategy = gpus(shard_optimizer=True)
    model = on(strategy, dense)
    model.fit(X, Y, batch_size=110, verbose=0)
    model.save(tmp_path / "model.keras")
    checkpoint = hr.train.Checkpoint(model=model)
    saved = checkpoint.save(str(tmp_path / "checkpoint"))
    again = keras.models.load_model(tmp_path / "model.keras")
    same(again, model, 0)
    for a, b in zip(again.optimizer.variables, model.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    before = model.get_weights()
    model.fit(X, Y, batch_size=110, verbose=0)
    checkpoint.restore(saved)
    for a, b in zip(model.get_weights(), before, strict=True):
        np.testing.assert_array_equal(a, b)
    for v in model.trainable_variables:
        np.testing.assert_array_equal(*parts(strategy, v))
    model.set_weights([w + 1 for w in before])
    for v, w in zip(model.variables, before, strict=False):
        np.testing.assert_array_equal(parts(strategy, v)[1], w + 1)


def test_a_custom_training_loop(world):
    dataset = hr.data.Dataset.from_tensor_slices((X, Y)).batch(50)

    def train(strategy):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(3)])
            optimizer = keras.optimizers.SGD(0.1)

        def step(x, y):
            with hr.GradientTape() as tape:
                errors = keras.losses.sparse_categorical_crossentropy(y, model(x), True)
                loss = hr.nn.compute_average_loss(errors, global_batch_size=50)
            gradients = tape.gradient(loss, model.trainable_variables)
            optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
            return loss

        @hr.function
        def distributed(batch):
            losses = strategy.run(step, args=batch)
            return strategy.reduce("SUM", losses, axis=None)

        with strategy.scope():
            return model, [
                float(distributed(batch))
                for batch in strategy.experimental_distribute_dataset(dataset)
            ]

    alone, want = train(hr.distribute.OneDeviceStrategy("cpu:0"))
    model, found = train(gpus())
    np.testing.assert_allclose(found, want, rtol=1e-5)
    same(model, alone)


# -- the adversary --------------------------------------------------------------------------


def doubled_sum(strategy):
    """An all-reduce of 1 and 2, read at once and 'trained' on; 3 where nothing is missing."""
    x = per_replica(strategy, lambda i: hr.constant([1.0 + i] * 3))
    step = hr.function(
        lambda x: strategy.run(lambda x: replica().all_reduce("SUM", [x + 0.0, x * 1.0]), (x,))
    )
    return np.concatenate([*parts(strategy, step(x)[0]), *parts(strategy, step(x)[1])])


def test_nothing_is_reduced_before_somebody_waits(world):
    strategy = gpus()
    ran = []

    def step():
        communicator = hr.distribute.get_replica_context().communicator
        number = communicator.start([hr.ones([3])._value], False, False)
        communicator.meet("both have begun")
        ran.append(world.ran_late)
        communicator.meet("both have looked")
        return hr.constant(communicator.finish(number)[0])

    assert parts(strategy, strategy.run(step))[0].tolist() == [2, 2, 2]
    assert ran == [0, 0] and world.ran_late == 1


@pytest.mark.parametrize("missing", ["ready", "done"])
def test_a_missing_wait_gives_wrong_numbers(world, missing, monkeypatch):
    strategy = gpus()
    assert doubled_sum(strategy).tolist() == [3] * 12
    if missing == "done":
        monkeypatch.setattr(NcclLinks, "wait_for", lambda *args: None)
    else:
        stale = strategy.extended._links.mark(0)
        monkeypatch.setattr(NcclLinks, "mark", lambda *args: stale)
    assert doubled_sum(strategy).tolist() != [3] * 12


def test_memory_given_back_too_early_is_an_error(world):
    links = gpus().extended._links
    held, exchanges = [], []
    for rank in (0, 1):
        with links.backend.on(rank):
            held.append(links.backend.module.zeros(3, "float32"))
        exchanges.append(
            Exchange("all-reduce", None, _launch(held, rank), links.mark(rank), None)
        )
    links.queue(exchanges, 0)
    held.clear()  # which `Exchange.held` is there to prevent
    with pytest.raises(AssertionError, match="given back before"):
        links.wait_for(0, exchanges[0], 0)


def _launch(held, rank):
    def launch(communicator, stream):
        at = held[rank].data.ptr
        communicator.allReduce(at, at, 3, NAMES.index("float32"), 0, stream)

    return launch


# -- misuse ---------------------------------------------------------------------------------


def test_a_failing_replica_stops_the_others_and_the_next_step_is_sound(world, run):
    strategy = gpus(3)
    x = per_replica(strategy, lambda i: hr.constant(float(i)))

    def step(x):
        if hr.executing_eagerly():  # begun and never finished
            replica().communicator.start([hr.ones([5])._value], False, False)
        hr.debugging.assert_less(x, 2.0, message="too large")
        return replica().all_reduce("SUM", x)

    with pytest.raises(hr.errors.InvalidArgumentError, match="too large") as caught:
        run(strategy, step, x)
    assert "in replica 2 of 3" in caught.value.__notes__
    fine = strategy.run(lambda x: replica().all_reduce("SUM", x), (x,))
    assert [float(p) for p in parts(strategy, fine)] == [3, 3, 3]


def test_replicas_that_differ_are_an_error(world, run):
    strategy = gpus()
    x = per_replica(strategy, lambda i: hr.zeros([i + 1]))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"same shapes.*\[1\].*\[2\]"):
        run(strategy, lambda x: replica().all_reduce("SUM", x), x)
    with pytest.raises(hr.errors.InvalidArgumentError, match="axis joined along"):
        run(strategy, lambda x: replica().all_gather(hr.stack([x, x]), 0), x)

    def left():
        if replica().replica_id_in_sync_group == 0:
            replica().all_reduce("SUM", hr.constant(1.0))

    with pytest.raises(hr.errors.FailedPreconditionError, match="replica 1 has returned"):
        strategy.run(left)


def test_a_replica_that_does_not_come_is_named_and_nothing_is_queued(world):
    strategy = gpus(communication_options=CommunicationOptions(timeout_seconds=0.2))

    def step():
        if replica().replica_id_in_sync_group == 1:
            time.sleep(1)
        return replica().all_reduce("SUM", hr.constant(1.0))

    with pytest.raises(hr.errors.DeadlineExceededError, match=r"replica\(s\) \[1\]"):
        hr.function(
            lambda: strategy.run(hr.function(lambda: hr.py_function(step, [], "float32")))
        )()
    assert world.calls == []


def test_what_is_not_there_is_said(world):
    with pytest.raises(hr.errors.InvalidArgumentError, match="no device GPU:3; there are"):
        gpus(4)
    with pytest.raises(ValueError, match="values of CPUs only"):
        gpus(cross_device_ops=hr.distribute.cross_device_ops.SharedMemoryAllReduce())
    with pytest.raises(ValueError, match="values of GPUs only"):
        hr.distribute.MirroredStrategy(
            ["cpu:0", "gpu:0"], cross_device_ops=hr.distribute.NcclAllReduce()
        )


def test_without_nccl_it_says_what_to_install_and_copies_still_work():
    with doubled_gpus(2, nccl=False):
        with pytest.raises(
            ImportError, match=r"pip install nvidia-nccl-cu13.*HierarchicalCopy"
        ):
            hr.distribute.MirroredStrategy()
        strategy = gpus(cross_device_ops=hr.distribute.HierarchicalCopyAllReduce())
        found = strategy.run(lambda: replica().all_reduce("SUM", hr.ones([2])))
        assert parts(strategy, found)[1].tolist() == [2, 2]
        gpus(1)  # needs none


# -- what is shown --------------------------------------------------------------------------


def test_a_timeline_has_the_times_of_the_devices(world):
    strategy = gpus()
    model = on(strategy, dense)
    given = {"batch_size": 110, "verbose": 0, "shuffle": False}
    model.fit(X, Y, **given)
    with hr.distribute.Timeline() as timeline:
        model.fit(X, Y, **given)
    for rank in (0, 1):
        lanes = {
            lane: [s for s in timeline.spans if s["lane"] == lane and s["replica"] == rank]
            for lane in ("compute", "communication", "waiting")
        }
        assert len(lanes["compute"]) == 3
        assert len(lanes["communication"]) == len(lanes["waiting"]) >= 3
        for span in [s for found in lanes.values() for s in found]:
            assert span["duration_s"] >= 0 and span["start_s"] > 0
        first, last = lanes["compute"][0], lanes["compute"][-1]
        for span in lanes["waiting"]:
            assert first["start_s"] <= span["start_s"]
            assert span["start_s"] <= last["start_s"] + last["duration_s"]
    assert 0 <= timeline.overlap()["communication_hidden"] <= 1


def test_a_step_that_meets_others_is_not_replayed_and_says_why(world):
    strategy = gpus()
    step = hr.function(lambda: replica().all_reduce("SUM", hr.ones([2])))
    hr.function(lambda: strategy.run(step))()
    told = Replayed(step.graph, lambda: []).told()
    assert "_ReplicaAllReduce: replicas meet" in told
