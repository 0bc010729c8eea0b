"""Callbacks: when hooks are called and with what; each callback's rule."""

import csv
import http.server
import json
import threading
import urllib.parse

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


def test_nan_may_be_an_error():
    model = model_of(rate=1e20)
    with pytest.raises(RuntimeError, match="at batch"):
        fit(model, keras.callbacks.TerminateOnNaN(raise_error=True))


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


class Interrupted(Exception):
    pass


class Interrupt(keras.callbacks.Callback):
    """Stops `fit` as a crash would, before an epoch or after a batch."""

    def __init__(self, epoch, batch=None):
        super().__init__()
        self.at = (epoch, batch)
        self.epochs = []

    def on_epoch_begin(self, epoch, logs=None):
        self.epochs.append(epoch)
        if self.at == (epoch, None):
            raise Interrupted

    def on_train_batch_end(self, batch, logs=None):
        if self.at == (self.epochs[-1], batch):
            raise Interrupted


def momentum_model():
    model = model_of()
    model.compile(keras.optimizers.SGD(0.05, momentum=0.9), "mse")
    return model


def fit(model, *callbacks, epochs=5):
    return model.fit(
        X, Y, batch_size=5, epochs=epochs, shuffle=False, verbose=0, callbacks=list(callbacks)
    )


def test_interrupted_training_goes_on(tmp_path):
    """Backed up each epoch, a run in two parts is one run: weights, momenta, epochs."""
    whole = momentum_model()
    fit(whole)
    backup = lambda: keras.callbacks.BackupAndRestore(tmp_path / "backup")  # noqa: E731
    with pytest.raises(Interrupted):
        fit(momentum_model(), backup(), Interrupt(3))
    second, seen = momentum_model(), Interrupt(None)
    fit(second, backup(), seen)
    assert seen.epochs == [3, 4]
    for a, b in zip(second.get_weights(), whole.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for a, b in zip(second.optimizer.variables, whole.optimizer.variables, strict=True):
        np.testing.assert_array_equal(a.numpy(), b.numpy())
    assert not (tmp_path / "backup").exists()
    seen.epochs.clear()
    fit(second, backup(), seen)
    assert seen.epochs == [0, 1, 2, 3, 4]


def test_backup_within_an_epoch(tmp_path):
    """Ten batches of four per epoch are in the backup; the third epoch is repeated."""
    options = {"save_freq": 5, "delete_checkpoint": False}
    first = momentum_model()
    with pytest.raises(Interrupted):
        fit(first, keras.callbacks.BackupAndRestore(tmp_path, **options), Interrupt(2, 2))
    second, seen = momentum_model(), Interrupt(None)
    steps = []
    note = keras.callbacks.LambdaCallback(
        on_epoch_begin=lambda epoch, logs: steps.append(int(second.optimizer.iterations))
    )
    fit(second, keras.callbacks.BackupAndRestore(tmp_path, **options), seen, note)
    assert seen.epochs == [2, 3, 4] and steps[0] == 10
    assert (tmp_path / "latest.weights.h5").exists()


def test_backup_that_cannot_be_read(tmp_path):
    options = {"double_checkpoint": True, "delete_checkpoint": False}
    fit(momentum_model(), keras.callbacks.BackupAndRestore(tmp_path, **options), epochs=3)
    (tmp_path / "latest.weights.h5").write_bytes(b"not HDF5")
    seen = Interrupt(None)
    fit(momentum_model(), keras.callbacks.BackupAndRestore(tmp_path, **options), seen)
    assert seen.epochs == [2, 3, 4]
    (tmp_path / "latest.weights.h5").write_bytes(b"not HDF5")
    (tmp_path / "latest.weights.h5.bkp").unlink()
    with pytest.raises((OSError, ValueError)):
        fit(momentum_model(), keras.callbacks.BackupAndRestore(tmp_path, **options))


def test_backup_arguments(tmp_path):
    with pytest.raises(ValueError, match="Empty"):
        keras.callbacks.BackupAndRestore("")
    with pytest.raises(ValueError, match="save_freq=often"):
        keras.callbacks.BackupAndRestore(tmp_path, save_freq="often")
    unbuilt = keras.Sequential([keras.layers.Dense(1)])
    callback = keras.callbacks.BackupAndRestore(tmp_path)
    callback.set_model(unbuilt)
    with pytest.raises(ValueError, match="must be built"):
        callback.on_train_begin()


@pytest.mark.parametrize("as_json", [False, True])
def test_remote_monitor_posts_each_epoch(as_json):
    received = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            received.append(
                (self.path, self.headers["Content-Type"], self.headers["X-A"], body)
            )
            self.send_response(200 if len(received) == 1 else 500)
            self.end_headers()

        def log_message(self, *args):
            pass

    with http.server.HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monitor = keras.callbacks.RemoteMonitor(
            f"http://127.0.0.1:{server.server_port}",
            "/here/",
            field="f",
            headers={"X-A": "1"},
            send_as_json=as_json,
        )
        history = fit(model_of(), monitor, epochs=2)
        server.shutdown()
        thread.join()
    for epoch, (path, kind, extra, body) in enumerate(received):
        text = body if as_json else urllib.parse.parse_qs(body)["f"][0]
        assert json.loads(text) == {"epoch": epoch, "loss": history.history["loss"][epoch]}
        assert (path, extra) == ("/here/", "1")
        assert kind == ("application/json" if as_json else "application/x-www-form-urlencoded")
    assert len(received) == 2
    with pytest.warns(UserWarning, match="Could not reach"):
        monitor.on_epoch_end(0, {"loss": np.float32(1)})


def ema_model():
    model = model_of()
    model.compile(keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
    return model


def test_evaluation_uses_the_averages():
    model, swap = ema_model(), keras.callbacks.SwapEMAWeights()
    history = fit(model, swap, epochs=2)
    plain = ema_model()
    assert fit(plain, epochs=2).history["loss"] == history.history["loss"]
    averages = [v.numpy() for v in model.optimizer._averages]
    weights = model.get_weights()
    averaged = ema_model()
    averaged.set_weights(averages)
    assert model.evaluate(X, Y, verbose=0, callbacks=[swap]) == pytest.approx(
        averaged.evaluate(X, Y, verbose=0)
    )
    np.testing.assert_array_equal(
        model.predict(X, verbose=0, callbacks=[swap]), averaged.predict(X, verbose=0)
    )
    for a, b in zip(model.get_weights(), weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_averages_at_the_end_of_each_epoch_are_keras(tf):
    def run(family):
        model = family.Sequential([family.Input((1,)), family.layers.Dense(1)])
        model.set_weights([np.zeros((1, 1)), np.zeros(1)])
        model.compile(family.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5), "mse")
        seen = []
        note = family.callbacks.LambdaCallback(
            on_epoch_end=lambda epoch, logs: seen.append(model.get_weights())
        )
        swap = family.callbacks.SwapEMAWeights(swap_on_epoch=True)
        fit(model, swap, note, epochs=3)
        return [*seen, model.get_weights()]

    for ours, theirs in zip(run(keras), run(tf.keras), strict=True):
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_averages_of_optimizers_inside_others():
    inside = keras.optimizers.SGD(0.1, use_ema=True)
    for outer in (
        keras.optimizers.MultiOptimizer(lambda variable: inside),
        keras.optimizers.LossScaleOptimizer(keras.optimizers.SGD(0.1, use_ema=True)),
    ):
        model = model_of()
        model.compile(outer, "mse")
        swap = keras.callbacks.SwapEMAWeights(swap_on_epoch=True)
        fit(model, swap, epochs=1)
        owner = getattr(outer, "inner_optimizer", inside)
        for weight, average in zip(model.get_weights(), owner._averages, strict=True):
            np.testing.assert_array_equal(weight, average.numpy())
    model = model_of()
    with pytest.raises(ValueError, match="use_ema=False"):
        model.evaluate(X, Y, verbose=0, callbacks=[keras.callbacks.SwapEMAWeights()])
