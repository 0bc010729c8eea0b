"""Training: traced equals eager, partial batches, weights of samples and classes, several
outputs, steps of one's own, validation, and the errors."""

import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(50, 4)).astype("float32")
Y = (X @ RNG.normal(size=(4, 1))).astype("float32")
LABELS = (X.sum(axis=1) > 0).astype("int64")


def mlp(seed=1, outputs=1, activation=None):
    model = keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(8, activation="relu"),
            keras.layers.Dense(outputs, activation=activation),
        ]
    )
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(size=w.shape).astype("float32") / 2 for w in model.weights])
    return model


def fitted(**kwargs):
    model = mlp()
    eager = kwargs.pop("run_eagerly", False)
    model.compile(kwargs.pop("optimizer", "adam"), "mse", metrics=["mae"], run_eagerly=eager)
    history = model.fit(X, Y, batch_size=16, epochs=3, shuffle=False, verbose=0, **kwargs)
    return model, history.history


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "rmsprop"])
def test_traced_equals_eager(optimizer):
    traced, history = fitted(optimizer=optimizer)
    eager, eager_history = fitted(optimizer=optimizer, run_eagerly=True)
    for a, b in zip(traced.get_weights(), eager.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    for name, values in history.items():
        np.testing.assert_allclose(values, eager_history[name], rtol=1e-5)


def test_logs_are_sorted_python_floats():
    _, history = fitted()
    assert list(history) == ["loss", "mae"]
    assert all(type(v) is float for values in history.values() for v in values)


def test_partial_last_batch_costs_no_trace():
    model, _ = fitted()  # 50 rows: 16, 16, 16, 2
    assert model.make_train_function().traces == 1


def test_loss_is_weighted_by_batch_size():
    model = mlp()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(X, Y, batch_size=16, verbose=0)
    want = np.mean((np.asarray(model(X)) - Y) ** 2)
    np.testing.assert_allclose(history.history["loss"], [want], rtol=1e-5)
    np.testing.assert_allclose(model.evaluate(X, Y, batch_size=16, verbose=0), want, rtol=1e-5)


def test_other_sequence_lengths_share_a_relaxed_trace():
    model = keras.Sequential(
        [keras.layers.Embedding(9, 3), keras.layers.Lambda(lambda x: hr.reduce_mean(x, axis=1)),
         keras.layers.Dense(1)]
    )  # fmt: skip
    model(np.zeros((1, 3), "int64"))
    model.compile("sgd", "mse")
    batches = [(np.zeros((2, n), "int64"), np.ones((2, 1), "float32")) for n in (3, 4, 5, 6, 7)]
    model.fit(iter(batches), verbose=0)
    assert model.make_train_function().traces == 2


def test_run_eagerly_never_traces():
    seen = []

    class Spy(keras.Layer):
        def call(self, x):
            seen.append(type(x).__name__)
            return x

    model = keras.Sequential([Spy(), keras.layers.Dense(1)])
    model.compile("sgd", "mse", run_eagerly=True)
    model(X[:1])
    seen.clear()
    model.fit(X, Y, batch_size=25, epochs=2, verbose=0)
    assert seen == ["Tensor"] * 4


def test_untraceable_step_runs_eagerly_with_one_warning():
    class Branches(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(1)

        def call(self, x):
            y = self.dense(x)
            return y if float(hr.reduce_sum(x)) > -1e9 else -y

    model = Branches()
    model.compile("sgd", "mse")
    with pytest.warns(
        UserWarning, match="train_step of model 'branches.*cannot be traced"
    ) as seen:
        history = model.fit(X, Y, epochs=2, verbose=0)
    assert len(seen) == 1 and len(history.history["loss"]) == 2


def test_subclassed_model_is_built_by_fit():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.hidden = keras.layers.Dense(5)
            self.out = [keras.layers.Dense(1)]

        def call(self, x, training=None):
            return self.out[0](self.hidden(x))

    model = Net()
    model.compile("adam", "mse")
    model.fit(X, Y, verbose=0)
    assert [tuple(w.shape) for w in model.weights] == [(4, 5), (5,), (5, 1), (1,)]
    assert model.make_train_function().traces == 1


def test_own_train_step():
    class Custom(keras.Model):
        def train_step(self, data):
            x, y = data
            with hr.GradientTape() as tape:
                y_pred = self(x, training=True)
                loss = self.compute_loss(y=y, y_pred=y_pred)
            gradients = tape.gradient(loss, self.trainable_variables)
            self.optimizer.apply_gradients(
                zip(gradients, self.trainable_variables, strict=True)
            )
            for metric in self.metrics:
                if metric.name == "loss":
                    metric.update_state(loss)
                else:
                    metric.update_state(y, y_pred)
            return {m.name: m.result() for m in self.metrics}

    def make(cls):
        inputs = keras.Input((4,))
        model = cls(inputs, keras.layers.Dense(1)(inputs))
        model.set_weights([np.full((4, 1), 0.5), np.zeros(1)])
        model.compile("sgd", "mse", metrics=["mae"])
        model.fit(X[:32], Y[:32], shuffle=False, verbose=0, epochs=2)
        return model

    custom, plain = make(Custom), make(keras.Model)
    np.testing.assert_allclose(
        custom.history.history["mae"], plain.history.history["mae"], rtol=1e-6
    )
    for a, b in zip(custom.get_weights(), plain.get_weights(), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-6)


def test_gradients_reach_only_trainable_weights():
    model = mlp()
    model.layers[0].trainable = False
    before = model.get_weights()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    after = model.get_weights()
    np.testing.assert_array_equal(before[0], after[0])
    assert not np.array_equal(before[2], after[2])


def test_add_loss_takes_part_in_training():
    class Pull(keras.Layer):
        def build(self, shape):
            self.w = self.add_weight(shape=(), initializer="ones")

        def call(self, x):
            self.add_loss(hr.square(self.w))
            return x * 1.0

    model = keras.Sequential([keras.Input((4,)), Pull()])
    model.compile(keras.optimizers.SGD(0.1))
    history = model.fit(X, batch_size=50, epochs=2, verbose=0)
    np.testing.assert_allclose(history.history["loss"], [1.0, 0.64], rtol=1e-6)


def test_sample_weight_scales_the_loss():
    model = mlp()
    model.compile("sgd", "mse")
    weights = np.linspace(0, 2, 50).astype("float32")
    squares = (np.asarray(model(X)) - Y)[:, 0] ** 2
    got = model.evaluate(X, Y, sample_weight=weights, batch_size=50, verbose=0)
    np.testing.assert_allclose(got, np.mean(squares * weights), rtol=1e-5)


def test_class_weight_equals_sample_weight():
    def run(**kwargs):
        model = mlp(outputs=1, activation="sigmoid")
        model.compile("sgd", "binary_crossentropy", metrics=["accuracy"])
        model.fit(X, LABELS[:, None], verbose=0, shuffle=False, epochs=2, **kwargs)
        return model.get_weights()

    weights = np.where(LABELS == 1, 3.0, 0.5).astype("float32")
    for a, b in zip(
        run(class_weight={0: 0.5, 1: 3.0}), run(sample_weight=weights), strict=True
    ):
        np.testing.assert_allclose(a, b, rtol=1e-6)


@pytest.mark.parametrize(
    ("targets", "outputs", "loss"),
    [
        (LABELS[:, None].astype("float32"), 1, "binary_crossentropy"),
        (LABELS, 2, "sparse_categorical_crossentropy"),
        (np.eye(2, dtype="float32")[LABELS], 2, "categorical_crossentropy"),
    ],
    ids=["binary", "sparse", "categorical"],
)
def test_accuracy_follows_the_targets_shape(targets, outputs, loss):
    model = mlp(outputs=outputs, activation="sigmoid" if outputs == 1 else "softmax")
    model.compile("adam", loss, metrics=["accuracy"])
    logs = model.evaluate(X, targets, verbose=0, return_dict=True)
    scores = np.asarray(model(X))
    guess = (scores[:, 0] > 0.5).astype(int) if outputs == 1 else scores.argmax(axis=1)
    assert list(logs) == ["accuracy", "loss"]
    np.testing.assert_allclose(logs["accuracy"], np.mean(guess == LABELS), rtol=1e-6)


def two_headed():
    inputs = keras.Input((4,))
    a = keras.layers.Dense(1, name="a")(inputs)
    b = keras.layers.Dense(2, name="b")(inputs)
    return inputs, a, b


@pytest.mark.parametrize("kind", ["list", "dict"])
def test_several_outputs(kind):
    inputs, a, b = two_headed()
    model = keras.Model(inputs, [a, b] if kind == "list" else {"a": a, "b": b})
    y = [Y, np.c_[Y, -Y]] if kind == "list" else {"a": Y, "b": np.c_[Y, -Y]}
    metrics = [["mae"], ["mse"]] if kind == "list" else {"a": ["mae"], "b": ["mse"]}
    weights = [1.0, 0.5] if kind == "list" else {"a": 1.0, "b": 0.5}
    model.compile("sgd", "mse", loss_weights=weights, metrics=metrics)
    logs = model.evaluate(X, y, batch_size=50, verbose=0, return_dict=True)
    assert sorted(logs) == ["a_loss", "a_mae", "b_loss", "b_mse", "loss"]
    np.testing.assert_allclose(logs["loss"], logs["a_loss"] + 0.5 * logs["b_loss"], rtol=1e-6)
    np.testing.assert_allclose(logs["b_mse"], logs["b_loss"], rtol=1e-5)


def test_validation_data_and_frequency():
    model = mlp()
    model.compile("sgd", "mse")
    history = model.fit(
        X, Y, epochs=4, validation_data=(X[:10], Y[:10]), validation_freq=2, verbose=0
    ).history
    assert len(history["loss"]) == 4 and len(history["val_loss"]) == 2
    np.testing.assert_allclose(
        history["val_loss"][-1], model.evaluate(X[:10], Y[:10], verbose=0), rtol=1e-6
    )


def test_validation_split_takes_the_last_rows():
    model = mlp()
    model.compile(keras.optimizers.SGD(0.0), "mse")
    history = model.fit(X, Y, validation_split=0.2, verbose=0).history
    np.testing.assert_allclose(
        history["val_loss"], [model.evaluate(X[40:], Y[40:], verbose=0)], rtol=1e-6
    )
    np.testing.assert_allclose(
        history["loss"], [model.evaluate(X[:40], Y[:40], verbose=0)], rtol=1e-5
    )


def test_initial_epoch_and_steps():
    model = mlp()
    model.compile("sgd", "mse")
    history = model.fit(
        X, Y, batch_size=10, initial_epoch=2, epochs=5, steps_per_epoch=3, verbose=0
    )
    assert history.epoch == [2, 3, 4] and history.params["steps"] == 3
    assert int(model.optimizer.iterations) == 9


def test_predict_joins_batches():
    model = mlp()
    got = model.predict(X, batch_size=16, verbose=0)
    assert isinstance(got, np.ndarray)
    np.testing.assert_allclose(got, model(X), rtol=1e-6)


def test_predict_keeps_the_outputs_structure():
    inputs, a, b = two_headed()
    model = keras.Model(inputs, {"a": a, "b": b})
    got = model.predict(X, batch_size=16, verbose=0)
    assert {k: v.shape for k, v in got.items()} == {"a": (50, 1), "b": (50, 2)}


def test_single_batches():
    model = mlp()
    model.compile("sgd", "mse", metrics=["mae"])
    first = model.test_on_batch(X, Y, return_dict=True)
    assert list(first) == ["loss", "mae"]
    model.reset_metrics()
    loss, mae = model.train_on_batch(X, Y)
    np.testing.assert_allclose([loss, mae], [first["loss"], first["mae"]], rtol=1e-6)
    assert model.predict_on_batch(X).shape == (50, 1)
    model.reset_metrics()
    assert model.test_on_batch(X, Y)[0] < loss


def test_dropout_acts_in_training_only():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dropout(0.5)])
    model.compile("sgd", "mse")
    np.testing.assert_array_equal(model.predict(X, verbose=0), X)
    assert model.evaluate(X, X, verbose=0) == 0.0

    class Counts(keras.Model):
        def __init__(self):
            super().__init__()
            self.drop = keras.layers.Dropout(0.5)
            self.w = self.add_weight(shape=(), name="w")

        def call(self, x, training=None):
            return self.drop(x, training=training) * self.w

        def train_step(self, data):
            return {
                "zeros": hr.reduce_mean(
                    hr.cast(hr.equal(self(data[0], training=True), 0.0), "float32")
                )
            }

    counting = Counts()
    counting.compile("sgd", "mse")
    seen = counting.fit(np.ones((400, 4), "float32"), np.ones((400, 1)), batch_size=400,
                        epochs=3, verbose=0).history["zeros"]  # fmt: skip
    assert all(0.4 < z < 0.6 for z in seen) and len(set(seen)) > 1  # new masks at every step


def test_batch_statistics_are_updated_by_training():
    model = keras.Sequential([keras.Input((4,)), keras.layers.BatchNormalization(momentum=0.5)])
    model.compile("sgd", "mse")
    mean = np.asarray(model.layers[0].moving_mean)
    model.fit(X, X, batch_size=50, verbose=0)
    want = 0.5 * mean + 0.5 * X.mean(axis=0)
    np.testing.assert_allclose(model.layers[0].moving_mean, want, rtol=1e-4, atol=1e-6)


def test_seeded_fits_are_equal():
    def run():
        keras.utils.set_random_seed(7)
        model = keras.Sequential([keras.layers.Dense(3), keras.layers.Dropout(0.3),
                                  keras.layers.Dense(1)])  # fmt: skip
        model.compile("adam", "mse")
        return model.fit(X, Y, epochs=2, verbose=0).history["loss"]

    assert run() == run()


# -- errors ------------------------------------------------------------------------------------


def test_not_compiled():
    with pytest.raises(ValueError, match=r"call `compile\(\)` before calling `fit\(\)`"):
        mlp().fit(X, Y)


def test_no_loss():
    model = mlp()
    model.compile("sgd")
    with pytest.raises(ValueError, match="No loss to compute"):
        model.fit(X, Y, verbose=0)


def test_rows_differ():
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"'x' sizes: 50\n'y' sizes: 40"):
        model.fit(X, Y[:40], verbose=0)


@pytest.mark.parametrize("batch_size", [0, -1, 2.5])
def test_bad_batch_size(batch_size):
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(
        ValueError, match=f"batch_size must be a positive integer, got {batch_size}"
    ):
        model.fit(X, Y, batch_size=batch_size, verbose=0)


def test_weights_twice():
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="`class_weight` and `sample_weight`"):
        model.fit(X, Y, class_weight={0: 1.0}, sample_weight=np.ones(50), verbose=0)


def test_unknown_output_in_loss():
    inputs, a, b = two_headed()
    model = keras.Model(inputs, {"a": a, "b": b})
    model.compile("sgd", {"a": "mse", "c": "mse"})
    with pytest.raises(ValueError, match="key 'c' does not correspond to any model output"):
        model.fit(X, {"a": Y, "b": np.c_[Y, Y]}, verbose=0)


def test_exhausted_generator():
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="gave no batch"), warnings.catch_warnings():
        model.fit(iter([]), verbose=0)


@pytest.mark.parametrize("split", [0.99, 1.0, 1.5])
def test_bad_validation_split(split):
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match="validation_split"):
        model.fit(X, Y, validation_split=split, verbose=0)


def test_evaluate_returns_loss_first():
    model = mlp()
    model.compile("sgd", "mse", metrics=["mae"])
    loss, mae = model.evaluate(X, Y, verbose=0)
    logs = model.evaluate(X, Y, verbose=0, return_dict=True)
    assert (loss, mae) == (logs["loss"], logs["mae"]) and model.metrics_names == ["loss", "mae"]


def test_evaluating_without_targets():
    model = mlp()
    model.compile("sgd", "mse")
    for method in (model.evaluate, model.fit):
        with pytest.raises(ValueError, match="the data has no targets: pass `y`"):
            method(X, verbose=0)


def test_evaluate_and_predict_show_bars(capsys):
    model = mlp()
    model.compile("sgd", "mse")
    model.evaluate(X, Y, verbose=1)
    model.predict(X, verbose=1)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2 and "loss:" in lines[0] and lines[1].startswith("2/2 ━")


def test_batch_hooks_of_evaluate_and_predict():
    calls = []

    class Recorder(keras.callbacks.Callback):
        def on_test_batch_begin(self, batch, logs=None):
            calls.append(("test begin", batch))

        def on_test_batch_end(self, batch, logs=None):
            calls.append(("test end", batch, sorted(logs)))

        def on_predict_batch_begin(self, batch, logs=None):
            calls.append(("predict begin", batch))

        def on_predict_batch_end(self, batch, logs=None):
            calls.append(("predict end", batch, logs["outputs"].shape.as_list()))

    model = mlp()
    model.compile("sgd", "mse")
    model.evaluate(X, Y, batch_size=50, verbose=0, callbacks=[Recorder()])
    model.predict(X, batch_size=50, verbose=0, callbacks=Recorder())
    assert calls == [
        ("test begin", 0), ("test end", 0, ["loss"]),
        ("predict begin", 0), ("predict end", 0, [50, 1]),
    ]  # fmt: skip


def test_validation_on_a_generator_and_on_listed_epochs():
    model = mlp()
    model.compile("sgd", "mse")
    history = model.fit(
        X, Y, epochs=3, verbose=0, validation_freq=[2],
        validation_data=iter([(X, Y), (X, Y)]), validation_steps=1,
    ).history  # fmt: skip
    assert len(history["val_loss"]) == 1


def test_bad_validation_data():
    model = mlp()
    model.compile("sgd", "mse")
    with pytest.raises(ValueError, match=r"must be \(x, y\).*length 4"):
        model.fit(X, Y, validation_data=(X, Y, X, Y), verbose=0)


def test_keras_2_arguments_are_ignored_and_others_are_not():
    model = mlp()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0, workers=2, use_multiprocessing=False)
    with pytest.raises(TypeError, match=r"unexpected keyword arguments: .'wrokers'"):
        model.fit(X, Y, wrokers=2)


def test_training_single_batches_with_class_weights():
    def run(**kwargs):
        model = mlp(activation="sigmoid")
        model.compile("sgd", "binary_crossentropy")
        return model.train_on_batch(X, LABELS[:, None], **kwargs)

    weights = np.where(LABELS == 1, 3.0, 1.0).astype("float32")
    assert run(class_weight={1: 3.0}) == run(sample_weight=weights)
    with pytest.raises(ValueError, match="cannot be specified at the same time"):
        run(class_weight={1: 3.0}, sample_weight=weights)


def test_compile_config_round_trip():
    model = mlp()
    model.compile(keras.optimizers.SGD(0.3), "mse", metrics=["mae"])
    other = mlp()
    assert other.get_compile_config() is None
    other.compile_from_config(model.get_compile_config())
    assert other.get_compile_config() == model.get_compile_config()


def test_setting_run_eagerly_takes_effect():
    model = mlp()
    model.compile("sgd", "mse")
    model.fit(X, Y, verbose=0)
    model.run_eagerly = True
    model.fit(X, Y, verbose=0)
    assert model.make_train_function().eager


def test_a_model_without_weights_to_train():
    model = mlp()
    model.trainable = False
    model.compile("sgd", "mse")
    before = model.get_weights()
    model.fit(X, Y, verbose=0)
    for a, b in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_nothing_to_predict():
    with pytest.raises(ValueError, match="gave no batch"):
        mlp().predict(iter([]), verbose=0)


def test_metric_of_a_layer_is_reset_and_reported():
    class Watched(keras.Layer):
        def __init__(self):
            super().__init__()
            self.seen = keras.metrics.Mean(name="seen")

        def call(self, x):
            self.seen.update_state(x)
            return x

    model = keras.Sequential([keras.Input((4,)), Watched(), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    history = model.fit(X, Y, epochs=2, verbose=0).history
    np.testing.assert_allclose(history["seen"], [X.mean()] * 2, rtol=1e-4)
