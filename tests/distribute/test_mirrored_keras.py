"""Keras under MirroredStrategy: several replicas train as one does with the whole batch."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.distribute.communicator import ThreadCommunicator
from headrace.distribute.options import CommunicationOptions
from headrace.ops import recycling

pytestmark = pytest.mark.timeout(100)

RNG = np.random.default_rng(0)
X = RNG.normal(size=(330, 8)).astype("float32")
Y = RNG.integers(0, 3, 330)
WEIGHTS = RNG.uniform(0.5, 2.0, 330).astype("float32")


def mirrored(count=2, **kwargs):
    return hr.distribute.MirroredStrategy([f"cpu:{i}" for i in range(count)], **kwargs)


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


def pair(make, strategy):
    """The model without and with the strategy."""
    alone = make()
    with strategy.scope():
        return alone, make()


def assert_same(alone, together, tolerance=2e-5):
    for a, b in zip(alone.get_weights(), together.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=tolerance, atol=tolerance)


def sync_batch_norm():
    return keras.layers.BatchNormalization(synchronized=True)


# -- the law --------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("norm", [(), (sync_batch_norm,)], ids=["plain", "sync_batch_norm"])
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_100_steps_equal_those_of_one_replica(count, norm, sharded):
    """The last batch of an epoch has 10 rows of 32."""
    strategy = mirrored(count, shard_optimizer=sharded)
    alone, together = pair(lambda: dense(*norm), strategy)
    given = {"batch_size": 32, "epochs": 10, "verbose": 0, "shuffle": False}
    history = alone.fit(X, Y, sample_weight=WEIGHTS, **given)
    found = together.fit(X, Y, sample_weight=WEIGHTS, **given)
    assert together.optimizer.iterations.numpy() == 110
    assert_same(alone, together)
    for key, values in history.history.items():
        np.testing.assert_allclose(found.history[key], values, rtol=1e-4)
    np.testing.assert_allclose(
        together.evaluate(X, Y, verbose=0), alone.evaluate(X, Y, verbose=0), rtol=1e-4
    )
    np.testing.assert_allclose(
        together.predict(X, verbose=0), alone.predict(X, verbose=0), rtol=1e-3, atol=1e-5
    )
    for v in together.trainable_variables:
        np.testing.assert_array_equal(v._copies[0], v._copies[-1])


OPTIMIZERS = {
    "sgd_momentum_clip": lambda: keras.optimizers.SGD(0.1, momentum=0.9, global_clipnorm=0.5),
    "lamb": lambda: keras.optimizers.Lamb(0.01),
    "adamw_ema": lambda: keras.optimizers.AdamW(0.01, use_ema=True, ema_overwrite_frequency=4),
    "accumulating": lambda: keras.optimizers.RMSprop(0.01, gradient_accumulation_steps=3),
    "loss_scale": lambda: keras.optimizers.LossScaleOptimizer(keras.optimizers.Adam(0.01)),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
@pytest.mark.parametrize("sharded", [False, True], ids=["whole", "sharded"])
def test_every_kind_of_update(name, sharded):
    strategy = mirrored(shard_optimizer=sharded)
    alone, together = pair(lambda: dense(optimizer=OPTIMIZERS[name]()), strategy)
    given = {"batch_size": 31, "epochs": 1, "verbose": 0, "shuffle": False}
    alone.fit(X, Y, **given)
    together.fit(X, Y, **given)
    assert_same(alone, together)


LOSSES = {
    "sum": keras.losses.MeanSquaredError(reduction="sum"),
    "mean_with_sample_weight": keras.losses.MeanSquaredError(
        reduction="mean_with_sample_weight"
    ),
    "function of a mean": lambda y, p: hr.reduce_mean(hr.square(hr.cast(y, "float32") - p)),
}


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("eager", [False, True], ids=["compiled", "eager"])
def test_every_reduction_of_losses(name, eager):
    def make():
        return dense(
            loss=LOSSES[name], metrics=[], optimizer=keras.optimizers.SGD(0.001),
            run_eagerly=eager,
        )  # fmt: skip

    targets = RNG.normal(size=(70, 3)).astype("float32")
    weight = WEIGHTS[:70] if name != "function of a mean" else None
    alone, together = pair(make, mirrored())
    given = {"batch_size": 32, "epochs": 2, "verbose": 0, "shuffle": False}
    alone.fit(X[:70], targets, sample_weight=weight, **given)
    together.fit(X[:70], targets, sample_weight=weight, **given)
    assert_same(alone, together)


def test_masked_steps_count_over_all_replicas():
    tokens = RNG.integers(1, 20, (40, 7))
    lengths = RNG.integers(1, 8, 40)
    tokens[np.arange(7)[None] >= lengths[:, None]] = 0
    targets = RNG.integers(0, 4, (40, 7))

    def make():
        keras.utils.set_random_seed(2)
        model = keras.Sequential(
            [
                keras.Input((7,), dtype="int32"),
                keras.layers.Embedding(20, 6, mask_zero=True),
                keras.layers.Dense(4, "softmax"),
            ]
        )
        model.compile(keras.optimizers.SGD(0.5), "sparse_categorical_crossentropy")
        return model

    alone, together = pair(make, mirrored())
    given = {"batch_size": 16, "epochs": 3, "verbose": 0, "shuffle": False}
    history = alone.fit(tokens, targets, **given)
    found = together.fit(tokens, targets, **given)
    assert_same(alone, together)
    np.testing.assert_allclose(found.history["loss"], history.history["loss"], rtol=1e-5)


def test_several_outputs_and_a_dataset():
    def make():
        keras.utils.set_random_seed(3)
        inputs = keras.Input((8,))
        hidden = keras.layers.Dense(5, "tanh")(inputs)
        outputs = {
            "a": keras.layers.Dense(1, name="a")(hidden),
            "b": keras.layers.Dense(3, name="b")(hidden),
        }
        model = keras.Model(inputs, outputs)
        sparse = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", {"a": "mse", "b": sparse}, {"a": 0.3, "b": 0.7},
                      metrics={"b": ["accuracy"]})  # fmt: skip
        return model

    dataset = hr.data.Dataset.from_tensor_slices((X, {"a": X[:, :1], "b": Y})).batch(32)
    strategy = mirrored()
    alone, together = pair(make, strategy)
    history = alone.fit(dataset, epochs=2, verbose=0, validation_data=dataset)
    found = together.fit(dataset, epochs=2, verbose=0, validation_data=dataset)
    assert_same(alone, together)
    for key, values in history.history.items():
        np.testing.assert_allclose(found.history[key], values, rtol=1e-4)
    predicted = together.predict(dataset.map(lambda x, y: x), verbose=0)
    np.testing.assert_allclose(predicted["b"], alone.predict(X, verbose=0)["b"], atol=1e-4)
    # A dataset that the user has dealt out gives the same.
    with strategy.scope():
        dealt = make()
    dealt.fit(strategy.experimental_distribute_dataset(dataset), epochs=2, verbose=0)
    assert_same(together, dealt)


def test_batch_norm_is_each_replicas_own_and_its_averages_the_mean():
    strategy = mirrored()
    with strategy.scope():
        model = keras.Sequential([keras.Input((1,)), keras.layers.BatchNormalization()])
        model.compile(keras.optimizers.SGD(0.0), "mse")
    x = np.array([[0.0], [2.0], [10.0], [30.0]], "float32")
    model.fit(x, x, batch_size=4, verbose=0, shuffle=False)
    layer = model.layers[-1]
    own = [float(c[0]) for c in layer.moving_mean._copies]
    np.testing.assert_allclose(own, [0.01, 0.2], rtol=1e-5)
    np.testing.assert_allclose(layer.moving_mean.numpy(), [0.105], rtol=1e-5)


def test_a_replica_without_rows_changes_nothing():
    """The last batch has one row for two replicas."""
    alone, together = pair(
        lambda: dense(sync_batch_norm, optimizer=keras.optimizers.SGD(0.1)), mirrored()
    )
    given = {"batch_size": 8, "verbose": 0, "shuffle": False}
    history = alone.fit(X[:17], Y[:17], **given)
    found = together.fit(X[:17], Y[:17], **given)
    assert_same(alone, together)
    np.testing.assert_allclose(found.history["loss"], history.history["loss"], rtol=1e-5)


def test_replicas_drop_different_units():
    strategy = mirrored()
    with strategy.scope():
        model = keras.Sequential([keras.Input((100,)), keras.layers.Dropout(0.5, seed=1)])
    ones = hr.ones([2, 100])

    @hr.function
    def drop(x):
        return strategy.run(lambda x: model(x, training=True), args=(x,))

    x = strategy.experimental_distribute_values_from_function(lambda context: ones)
    for _ in range(2):
        first, second = (np.asarray(v) for v in drop(x).values)
        assert (first != second).any()


# -- custom steps and loops -----------------------------------------------------------------


def test_a_custom_training_loop():
    """TensorFlow's tutorial: losses per example, averaged over the global batch."""
    strategy = mirrored()
    alone, _ = pair(dense, strategy)
    alone.compile(keras.optimizers.SGD(0.1),
                  keras.losses.SparseCategoricalCrossentropy(from_logits=True))  # fmt: skip
    alone.layers[0].kernel_regularizer = None
    alone.fit(X[:320], Y[:320], batch_size=32, epochs=2, verbose=0, shuffle=False)

    dataset = hr.data.Dataset.from_tensor_slices((X[:320], Y[:320])).batch(32)
    dealt = strategy.experimental_distribute_dataset(dataset)
    with strategy.scope():
        model = dense()
        per_example = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, reduction="none"
        )
        optimizer = keras.optimizers.SGD(0.1)
        seen = keras.metrics.Mean()

    def train_step(inputs):
        x, y = inputs
        with hr.GradientTape() as tape:
            logits = model(x, training=True)
            loss = hr.nn.compute_average_loss(per_example(y, logits), global_batch_size=32)
            loss += hr.nn.scale_regularization_loss(hr.add_n(model.losses))
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        seen.update_state(loss)
        return loss

    @hr.function
    def distributed_train_step(inputs):
        losses = strategy.run(train_step, args=(inputs,))
        return strategy.reduce(hr.distribute.ReduceOp.SUM, losses, axis=None)

    reference = dense(optimizer=keras.optimizers.SGD(0.1))
    history = reference.fit(X[:320], Y[:320], batch_size=32, epochs=2, verbose=0, shuffle=False)
    for epoch in range(2):
        total = sum(float(distributed_train_step(batch)) for batch in dealt)
        np.testing.assert_allclose(total / 10, history.history["loss"][epoch], rtol=1e-4)
    assert_same(reference, model)
    np.testing.assert_allclose(float(seen.result()) * 2, np.mean(history.history["loss"]), 1e-4)


def test_a_train_step_of_the_users_own():
    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(3)
            self.seen = keras.metrics.Mean(name="seen")

        def call(self, x):
            return self.dense(x)

        def train_step(self, data):
            x, y = data
            with hr.GradientTape() as tape:
                loss = self.compute_loss(x=x, y=y, y_pred=self(x, training=True))
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainable_variables, strict=True)
            )
            self.seen.update_state(hr.reduce_mean(x), sample_weight=hr.shape(x)[0])
            return {"seen": self.seen.result()}

    def make():
        keras.utils.set_random_seed(4)
        model = Own()
        model.compile(keras.optimizers.SGD(0.1),
                      keras.losses.SparseCategoricalCrossentropy(from_logits=True))  # fmt: skip
        return model

    alone, together = pair(make, mirrored())
    for model in (alone, together):
        model.fit(X[:50], Y[:50], batch_size=16, verbose=0, shuffle=False)
    assert_same(alone, together)


def test_single_batches():
    alone, together = pair(dense, mirrored())
    for model in (alone, together):
        model.seen = [model.train_on_batch(X[:9], Y[:9]), model.test_on_batch(X[:9], Y[:9])]
    np.testing.assert_allclose(alone.seen, together.seen, rtol=1e-5)
    np.testing.assert_allclose(
        alone.predict_on_batch(X[:9]), together.predict_on_batch(X[:9]), rtol=1e-4, atol=1e-5
    )


# -- gradients on their way -----------------------------------------------------------------


@pytest.mark.parametrize("overlap", [False, True], ids=["waiting", "beside"])
@pytest.mark.parametrize("first", [0, 1, 1 << 20])
def test_neither_the_size_of_buckets_nor_who_reduces_them_changes_anything(first, overlap):
    options = CommunicationOptions(64, bytes_of_first_pack=first, overlap=overlap)
    alone, together = pair(dense, mirrored(communication_options=options))
    for model in (alone, together):
        model.fit(X, Y, batch_size=64, verbose=0, shuffle=False)
    assert_same(alone, together)


def test_reductions_begin_in_the_backward_pass():
    options = CommunicationOptions(bytes_per_pack=64, bytes_of_first_pack=1)
    with mirrored(communication_options=options).scope():
        model = dense()
    model.fit(X, Y, batch_size=64, verbose=0)
    run = model.train_function.graph.compile()
    order = [node.type for node in run.graph.nodes]
    starts = [i for i, kind in enumerate(order) if kind == "_StartReduction"]
    assert len(starts) >= 2
    # The last layer's gradients are on their way before the first layer's are computed.
    assert "MatMul" in order[starts[0] : starts[-1]]
    assert starts[-1] < order.index("_FinishReduction")


WIDE = RNG.normal(size=(64, 256)).astype("float32")


def wide():
    """Gradients of 256 KiB: of a size whose memory is used again."""
    keras.utils.set_random_seed(2)
    model = keras.Sequential(
        [keras.Input((256,)), keras.layers.Dense(256, "relu"), keras.layers.Dense(256)]
    )
    model.compile(keras.optimizers.SGD(0.1), "mse")
    return model


@pytest.mark.parametrize("count", [2, 3])
def test_sums_take_the_place_of_gradients_nobody_reads(monkeypatch, count):
    """...and nothing changes by that, to the bit."""

    def trained(strategy):
        with strategy.scope():
            model = wide()
        model.fit(WIDE, WIDE, batch_size=16, epochs=5, verbose=0, shuffle=False)
        return model.get_weights()

    started, start = [], ThreadCommunicator.start

    def watched(self, arrays, mean, compress, own=()):
        started.append(sum(own))
        return start(self, arrays, mean, compress, own)

    monkeypatch.setattr(ThreadCommunicator, "start", watched)
    found = trained(mirrored(count))
    assert sum(started) >= 2 * count
    started.clear()
    monkeypatch.setattr(recycling, "is_sole", lambda array: False)
    apart = trained(mirrored(count))
    assert sum(started) == 0
    for a, b in zip(found, apart, strict=True):
        np.testing.assert_array_equal(a, b)


def test_gradients_that_somebody_reads_stay():
    strategy = mirrored()
    with strategy.scope():
        model = wide()
    whole = wide()
    dataset = strategy.experimental_distribute_dataset(
        hr.data.Dataset.from_tensor_slices(WIDE).batch(64)
    )

    def step(x):
        with hr.GradientTape() as tape:
            loss = hr.reduce_sum(hr.square(model(x, training=True) - x))
        gradients = tape.gradient(loss, model.trainable_variables)
        model.optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        return gradients[0]

    @hr.function
    def run(x):
        return strategy.run(step, args=(x,))

    with hr.GradientTape() as tape:
        loss = hr.reduce_sum(hr.square(whole(WIDE[:32], training=True) - WIDE[:32]))
    expected = tape.gradient(loss, whole.trainable_variables)[0]
    for batch in dataset:
        mine, _ = strategy.experimental_local_results(run(batch))
        np.testing.assert_allclose(mine, expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("compression", ["fp16", "bf16"])
def test_compressed_gradients_train_nearly_the_same(compression):
    options = CommunicationOptions(compression=compression)
    alone, together = pair(
        lambda: dense(optimizer=keras.optimizers.SGD(0.1)),
        mirrored(communication_options=options),
    )
    for model in (alone, together):
        model.fit(X, Y, batch_size=33, epochs=10, verbose=0, shuffle=False)
    assert_same(alone, together, 3e-3 if compression == "bf16" else 1e-3)
    assert any(
        (a != b).any() for a, b in zip(alone.get_weights(), together.get_weights(), strict=True)
    )


def test_sharded_slots_exist_once_and_are_saved_whole(tmp_path):
    with mirrored(shard_optimizer=True).scope():
        model = dense()
    model.fit(X, Y, batch_size=64, verbose=0, shuffle=False)
    slots = model.optimizer.variables[2:]
    assert {len(slot._copies) for slot in slots} == {1}
    alone = dense()
    alone.fit(X, Y, batch_size=64, verbose=0, shuffle=False)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for a, b in zip(alone.optimizer.variables, loaded.optimizer.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), atol=1e-5)


# -- misuse ---------------------------------------------------------------------------------


def test_models_optimizers_and_metrics_of_outside_are_refused():
    strategy = mirrored()
    model = dense()
    optimizer = keras.optimizers.Adam()
    with strategy.scope():
        model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="because the model was created outside"):
        model.fit(X, X[:, :3], verbose=0)
    with strategy.scope():
        model = dense(optimizer=optimizer)
    with pytest.raises(ValueError, match="because the optimizer was created outside"):
        model.fit(X, Y, verbose=0)


def test_an_error_in_a_step_leaves_the_strategy_in_order():
    with mirrored().scope():
        model = dense()
    model.fit(X, Y, verbose=0)
    before = model.get_weights()
    with pytest.raises(ValueError, match="incompatible"):
        model.fit(X[:, :7], Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    model.fit(X, Y, verbose=0)
