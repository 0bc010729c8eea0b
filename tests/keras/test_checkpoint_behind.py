"""ModelCheckpoint writes behind the training's back: what it writes is what the weights were,
files are whole, and errors reach the user."""

from __future__ import annotations

import os
import threading

import numpy as np
import pytest

import headrace as hr
from headrace.keras.saving import atomic, behind

keras = hr.keras
X = np.random.default_rng(0).standard_normal((64, 4)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def model_of():
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8), keras.layers.Dense(1)])
    model.compile(keras.optimizers.Adam(0.05), "mse")
    return model


class Hold:
    """Keeps every write from being finished until `go` is set."""

    def __init__(self, monkeypatch):
        self.go = threading.Event()
        self.replaced = []
        real = os.replace

        def replace(source, target):
            if threading.current_thread() is not threading.main_thread():
                assert self.go.wait(60)
            self.replaced.append(os.path.basename(target))
            real(source, target)

        monkeypatch.setattr(atomic.os, "replace", replace)


@pytest.mark.parametrize("name", ["{batch}.weights.h5", "{batch}.keras"])
def test_the_file_is_of_the_step_at_which_it_was_asked_for(tmp_path, monkeypatch, name):
    hold = Hold(monkeypatch)
    seen, there = {}, []

    class Watch(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            seen[batch + 1] = [*self.model.get_weights(), *self.model.optimizer.variables]
            seen[batch + 1] = [np.array(v) for v in seen[batch + 1]]
            there.append(sorted(p.name for p in tmp_path.glob("[0-9]*")))
            if batch == 5:
                hold.go.set()

    only = name.endswith(".weights.h5")
    checkpoint = keras.callbacks.ModelCheckpoint(
        tmp_path / name, save_weights_only=only, save_freq=4
    )
    model = model_of()
    model.fit(X, Y, batch_size=8, verbose=0, callbacks=[checkpoint, Watch()])
    assert there[3:5] == [[], []]  # the steps went on without it
    assert hold.replaced == [name.format(batch=b) for b in (4, 8)]
    for batch in (4, 8):
        path = tmp_path / name.format(batch=batch)
        if only:
            loaded = model_of()
            loaded.load_weights(path)
        else:
            loaded = keras.models.load_model(path)
        found = [*loaded.get_weights(), *loaded.optimizer.variables]
        for a, b in zip(found, seen[batch], strict=True):
            np.testing.assert_array_equal(np.asarray(a), b)
    assert not behind._pending


def test_who_reads_a_file_waits_for_it(tmp_path, monkeypatch):
    hold = Hold(monkeypatch)
    path = tmp_path / "m.keras"
    read = []

    class Read(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            threading.Timer(0.2, hold.go.set).start()
            read.append((keras.models.load_model(path).get_weights(), self.model.get_weights()))

    callbacks = [keras.callbacks.ModelCheckpoint(path), Read()]
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    for found, wanted in read:
        for a, b in zip(found, wanted, strict=True):
            np.testing.assert_array_equal(a, b)


def failing(monkeypatch, ready=None):
    def fail(source, target):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(atomic.os, "replace", fail)


@pytest.mark.parametrize("epochs", [1, 2], ids=["at the end", "in the next step"])
def test_errors_of_writing_are_raised(tmp_path, monkeypatch, epochs):
    failing(monkeypatch)
    steps = []

    class Count(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            behind.finish()

        def on_train_batch_end(self, batch, logs=None):
            steps.append(batch)

    path = tmp_path / "m.keras"
    callbacks = [Count(), keras.callbacks.ModelCheckpoint(path)]
    with pytest.raises(OSError, match="No space left") as caught:
        model_of().fit(X, Y, batch_size=32, epochs=epochs, verbose=0, callbacks=callbacks)
    assert any(str(path) in note for note in caught.value.__notes__)
    assert steps == [0, 1, 0][: epochs + 1]
    assert list(tmp_path.iterdir()) == []  # no half file, no temporary one
    monkeypatch.undo()
    model_of().fit(X, Y, verbose=0, callbacks=callbacks)  # and that was that
    assert path.exists()


def test_a_backup_says_an_epoch_is_done_when_its_checkpoint_is_complete(tmp_path, monkeypatch):
    hold = Hold(monkeypatch)
    threading.Timer(0.2, hold.go.set).start()
    callbacks = [
        keras.callbacks.ModelCheckpoint(tmp_path / "{epoch}.keras"),
        keras.callbacks.BackupAndRestore(tmp_path / "backup"),
    ]
    model_of().fit(X, Y, epochs=2, verbose=0, callbacks=callbacks)
    order = [n for n in hold.replaced if not n.startswith("latest")]
    assert order == [
        "1.keras", "training_metadata.json", "2.keras", "training_metadata.json"
    ]  # fmt: skip


def test_a_save_of_the_users_own_is_called(tmp_path):
    class Own(keras.Sequential):
        def save(self, filepath, overwrite=True, **kwargs):
            saved.append(str(filepath))

    saved = []
    model = Own([keras.Input((4,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    path = str(tmp_path / "m.keras")
    model.fit(X, Y, verbose=0, callbacks=[keras.callbacks.ModelCheckpoint(path)])
    assert saved == [path]


def test_vocabularies_come_with_it(tmp_path):
    lookup = keras.layers.StringLookup(vocabulary=["a", "b"])
    model = keras.Sequential(
        [keras.Input((1,), dtype="string"), lookup, keras.layers.Embedding(4, 2),
         keras.layers.Flatten(), keras.layers.Dense(1)]
    )  # fmt: skip
    model.compile("sgd", "mse")
    words = hr.constant([["a"], ["b"]])
    path = tmp_path / "m.keras"
    model.fit(words, np.zeros((2, 1), np.float32), verbose=0,
              callbacks=[keras.callbacks.ModelCheckpoint(path)])  # fmt: skip
    loaded = keras.models.load_model(path)
    np.testing.assert_array_equal(
        loaded.predict(words, verbose=0), model.predict(words, verbose=0)
    )
