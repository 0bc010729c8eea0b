"""Callbacks: when hooks are called and with what; each callback's rule."""

import csv

import numpy as np
import pytest

from headrace import keras

X = np.linspace(-1, 1, 20, dtype="float32")[:, None]
Y = 2 * X


def model_of(rate=0.1, metrics=None):
    model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    model.set_weights([np.zeros((1, 1)), np.zeros(1)])
    model.compile(keras.optimizers.SGD(rate), "mse", metrics=metrics)
    return model


class Script(keras.callbacks.Callback):
    """Puts given values into the logs, before the callbacks after it see them."""

    def __init__(self, **values):
        super().__init__()
        self.values = values

    def on_epoch_end(self, epoch, logs=None):
        logs.update({k: v[epoch] for k, v in self.values.items()})


def test_hooks_in_order():
    calls = []

    class Recorder(keras.callbacks.Callback):
        def on_train_begin(self, logs=None):
            calls.append("train begin")

        def on_train_end(self, logs=None):
            calls.append(f"train end {sorted(logs)}")

        def on_epoch_begin(self, epoch, logs=None):
            calls.append(f"epoch begin {epoch}")

        def on_epoch_end(self, epoch, logs=None):
            calls.append(f"epoch end {epoch} {sorted(logs)}")

        def on_train_batch_begin(self, batch, logs=None):
            calls.append(f"begin {batch}")

        def on_train_batch_end(self, batch, logs=None):
            calls.append(f"end {batch} {sorted(logs)}")

        def on_test_begin(self, logs=None):
            calls.append("test begin")

        def on_test_end(self, logs=None):
            calls.append(f"test end {sorted(logs)}")

    model = model_of(metrics=["mae"])
    recorder = Recorder()
    model.fit(X, Y, batch_size=10, verbose=0, callbacks=[recorder], validation_data=(X, Y))
    logs = "['loss', 'mae']"
    assert calls == [
        "train begin", "epoch begin 0", "begin 0", f"end 0 {logs}", "begin 1", f"end 1 {logs}",
        "test begin", f"test end {logs}",
        "epoch end 0 ['loss', 'mae', 'val_loss', 'val_mae']",
        "train end ['loss', 'mae', 'val_loss', 'val_mae']",
    ]  # fmt: skip
    assert recorder.model is model and recorder.params == {
        "verbose": 0,
        "epochs": 1,
        "steps": 2,
    }


def test_batch_logs_are_running_means():
    seen = []
    hook = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda b, logs: seen.append(logs["loss"])
    )
    model = model_of(rate=0.0)
    model.fit(X, Y, batch_size=10, shuffle=False, verbose=0, callbacks=[hook])
    np.testing.assert_allclose(seen[0], np.mean(Y[:10] ** 2), rtol=1e-6)
    np.testing.assert_allclose(seen[1], np.mean(Y**2), rtol=1e-6)


def test_history_is_returned_and_kept():
    model = model_of()
    history = model.fit(X, Y, epochs=3, verbose=0)
    assert history is model.history and history.epoch == [0, 1, 2]
    assert len(history.history["loss"]) == 3
    assert model.fit(X, Y, verbose=0).epoch == [0]


@pytest.mark.parametrize(
    ("values", "kwargs", "epochs"),
    [
        ([3, 2, 2, 2, 2], {"patience": 0}, 3),
        ([3, 2, 2, 2, 2], {"patience": 2}, 4),
        ([3, 2, 1, 0, -1], {"patience": 0}, 5),
        ([3, 2.9, 2.8, 2.7, 2.6], {"patience": 1, "min_delta": 1.0}, 2),
        ([1, 2, 3, 4, 5], {"mode": "max"}, 5),
        ([1, 2, 3, 4, 5], {"mode": "min", "patience": 1}, 2),
        ([9, 9, 9, 9, 9], {"patience": 0, "start_from_epoch": 2}, 4),
        ([5, 4, 3, 2, 1], {"patience": 2, "baseline": 0.5}, 5),
        ([5, 4, 3, 3, 3], {"patience": 2, "baseline": 0.5}, 4),
        ([5, 4, 3, 3, 3], {"patience": 2, "baseline": 9.0}, 5),
    ],
    ids=[
        "0",
        "2",
        "falls",
        "min_delta",
        "max",
        "rises",
        "start_from_epoch",
        "short_of_baseline",
        "waited",
        "beats_baseline",
    ],
)
def test_early_stopping(values, kwargs, epochs):
    model = model_of()
    stop = keras.callbacks.EarlyStopping(monitor="v", **kwargs)
    history = model.fit(X, Y, epochs=5, verbose=0, callbacks=[Script(v=values), stop])
    assert len(history.epoch) == epochs


def test_early_stopping_restores_the_best_weights():
    best = []
    model = model_of()
    script = Script(v=[3, 1, 2, 2])
    keep = keras.callbacks.LambdaCallback(
        on_epoch_end=lambda epoch, logs: best.append(model.get_weights())
    )
    stop = keras.callbacks.EarlyStopping("v", patience=2, restore_best_weights=True)
    model.fit(X, Y, epochs=9, verbose=0, callbacks=[script, keep, stop])
    assert len(best) == 4 and stop.best_epoch == 1
    for got, want in zip(model.get_weights(), best[1], strict=True):
        np.testing.assert_array_equal(got, want)


def test_early_stopping_by_accuracy_wants_more():
    assert keras.callbacks.EarlyStopping("val_accuracy").rising
    assert not keras.callbacks.EarlyStopping("val_loss").rising


def test_monitor_that_is_not_there():
    with pytest.warns(UserWarning, match="`nope` which is not available.*are: loss"):
        model_of().fit(X, Y, verbose=0, callbacks=[keras.callbacks.EarlyStopping("nope")])


@pytest.mark.parametrize("weights_only", [True, False], ids=["weights", "model"])
def test_checkpoint_per_epoch(tmp_path, weights_only):
    suffix = ".weights.h5" if weights_only else ".keras"
    path = tmp_path / ("sub/{epoch:02d}-{v:.1f}" + suffix)
    model = model_of()
    keras_callbacks = [
        Script(v=[1.0, 2.0]),
        keras.callbacks.ModelCheckpoint(path, save_weights_only=weights_only),
    ]
    model.fit(X, Y, epochs=2, verbose=0, callbacks=keras_callbacks)
    names = sorted(p.name for p in (tmp_path / "sub").iterdir())
    assert names == [f"01-1.0{suffix}", f"02-2.0{suffix}"]


def test_checkpoint_keeps_the_best(tmp_path):
    path = tmp_path / "best.weights.h5"
    seen = []
    model = model_of()
    callbacks = [
        Script(v=[3, 1, 2]),
        keras.callbacks.LambdaCallback(
            on_epoch_end=lambda e, logs: seen.append(model.get_weights())
        ),
        keras.callbacks.ModelCheckpoint(path, "v", save_best_only=True, save_weights_only=True),
    ]
    model.fit(X, Y, epochs=3, verbose=0, callbacks=callbacks)
    model.load_weights(path)
    np.testing.assert_array_equal(model.get_weights()[0], seen[1][0])


def test_checkpoint_every_few_batches(tmp_path):
    path = str(tmp_path / "{batch}.weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(path, save_weights_only=True, save_freq=2)
    model_of().fit(X, Y, batch_size=4, verbose=0, callbacks=[checkpoint])
    assert sorted(p.name for p in tmp_path.iterdir()) == ["2.weights.h5", "4.weights.h5"]


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("w.h5x", {}), ("w.h5", {"save_weights_only": True}), ("w.keras", {"save_freq": "batch"})],
)
def test_checkpoint_arguments(name, kwargs):
    with pytest.raises(ValueError, match=r"filepath|save_freq"):
        keras.callbacks.ModelCheckpoint(name, **kwargs)


def test_terminate_on_nan(capsys):
    model = model_of(rate=1e30)
    history = model.fit(X, Y, batch_size=1, epochs=9, verbose=0,
                        callbacks=[keras.callbacks.TerminateOnNaN()])  # fmt: skip
    assert len(history.epoch) == 1
    assert "Invalid loss, terminating training" in capsys.readouterr().out


def test_learning_rate_scheduler():
    model = model_of(rate=0.4)
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch, rate: rate / 2)
    history = model.fit(X, Y, epochs=3, verbose=0, callbacks=[scheduler])
    np.testing.assert_allclose(history.history["learning_rate"], [0.2, 0.1, 0.05], rtol=1e-6)
    with pytest.raises(ValueError, match="should be a float"):
        bad = keras.callbacks.LearningRateScheduler(lambda epoch, rate: "x")
        model.fit(X, Y, verbose=0, callbacks=[bad])


def test_reduce_learning_rate_on_plateau():
    model = model_of(rate=1.0)
    reduce = keras.callbacks.ReduceLROnPlateau(
        "v", factor=0.5, patience=2, cooldown=1, min_lr=0.2
    )
    script = Script(v=[1.0] * 10)
    rates = model.fit(X, Y, epochs=10, verbose=0, callbacks=[script, reduce]).history[
        "learning_rate"
    ]
    np.testing.assert_allclose(rates, [1, 1, 1, 0.5, 0.5, 0.25, 0.25, 0.2, 0.2, 0.2], rtol=1e-6)


def test_csv_logger(tmp_path):
    path = tmp_path / "log.csv"
    model = model_of(metrics=["mae"])
    model.fit(X, Y, epochs=2, verbose=0, callbacks=[keras.callbacks.CSVLogger(path)])
    model.fit(X, Y, verbose=0, callbacks=[keras.callbacks.CSVLogger(path, append=True)])
    with path.open() as file:
        table = list(csv.DictReader(file))
    assert list(table[0]) == ["epoch", "loss", "mae"] and len(table) == 3
    assert float(table[0]["loss"]) > float(table[1]["loss"])


def test_stop_training_in_the_middle_of_an_epoch():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = batch == 1

    model = model_of()
    model.fit(X, Y, batch_size=4, epochs=5, verbose=0, callbacks=[Stop()])
    assert int(model.optimizer.iterations) == 2


def test_only_callbacks():
    with pytest.raises(TypeError, match="must be a list of Callback instances, got 3"):
        model_of().fit(X, Y, verbose=0, callbacks=[3])


def test_messages(capsys, tmp_path):
    model = model_of(rate=1.0)
    callbacks = [
        Script(v=[2.0, 1.0, 3.0, 3.0]),
        keras.callbacks.ModelCheckpoint(
            tmp_path / "m.keras", "v", save_best_only=True, verbose=1
        ),
        keras.callbacks.ReduceLROnPlateau("v", patience=1, verbose=1),
        keras.callbacks.EarlyStopping("v", patience=2, verbose=1, restore_best_weights=True),
    ]
    model.fit(X, Y, epochs=9, verbose=0, callbacks=callbacks)
    out = capsys.readouterr().out
    for text in (
        "v improved from inf to 2.00000, saving model to",
        "v improved from 2.00000 to 1.00000",
        "Epoch 3: v did not improve from 1.00000",
        "ReduceLROnPlateau reducing learning rate to 0.1",
        "Epoch 4: early stopping",
        "from the end of the best epoch: 2.",
    ):
        assert text in out


def test_checkpoint_with_an_unknown_field(tmp_path):
    checkpoint = keras.callbacks.ModelCheckpoint(tmp_path / "{nope}.keras", verbose=1)
    with pytest.raises(KeyError, match=r"fields are.*epoch"):
        model_of().fit(X, Y, verbose=0, callbacks=[checkpoint])


def test_scheduler_of_one_argument(capsys):
    model = model_of()
    scheduler = keras.callbacks.LearningRateScheduler(lambda epoch: 0.25, verbose=1)
    model.fit(X, Y, verbose=0, callbacks=[scheduler])
    assert float(model.optimizer.learning_rate) == 0.25
    assert "setting learning rate to 0.25" in capsys.readouterr().out


def test_unknown_mode_and_factor():
    with pytest.warns(UserWarning, match="mode 'up' is unknown"):
        keras.callbacks.EarlyStopping(mode="up")
    with pytest.raises(ValueError, match=r"factor >= 1.0"):
        keras.callbacks.ReduceLROnPlateau(factor=1.0)


def test_metric_says_which_way_is_better():
    model = model_of(metrics=[keras.metrics.MeanSquaredError(name="accuracy")])
    stop = keras.callbacks.EarlyStopping("accuracy")
    stop.set_model(model)
    assert not stop.rising  # by its name it would be


def test_own_progress_bar_and_history_are_used():
    history, bar = keras.callbacks.History(), keras.callbacks.ProgbarLogger()
    found = model_of().fit(X, Y, verbose=2, callbacks=[history, bar])
    assert found is history


def test_list_of_callbacks_by_hand():
    calls = []
    hooks = keras.callbacks.CallbackList(model=model_of(), epochs=1)
    hooks.append(
        keras.callbacks.LambdaCallback(on_train_batch_end=lambda b, logs: calls.append(b))
    )
    hooks.on_train_batch_end(3, dict)
    assert calls == [3]
    history = model_of().fit(X, Y, batch_size=10, verbose=0, callbacks=hooks)
    assert calls == [3, 0, 1] and history is None


def test_subclasses_of_late_readers_get_logs(tmp_path):
    seen = []

    class Watching(keras.callbacks.ModelCheckpoint):
        def on_train_batch_end(self, batch, logs=None):
            seen.append(sorted(logs))
            super().on_train_batch_end(batch, logs)

    path = str(tmp_path / "{batch}-{loss:.0f}.weights.h5")
    watching = Watching(path, save_weights_only=True, save_freq=1)
    model_of(rate=0.0).fit(X, Y, batch_size=20, verbose=0, callbacks=[watching])
    assert seen == [["loss"]] and [p.name for p in tmp_path.iterdir()] == ["1-1.weights.h5"]
