"""Steps per execution, parallel workers of a PyDataset, frozen layers, clones."""

from __future__ import annotations

import os
import threading
import time

import numpy as np
import pytest

import headrace as hr

keras = hr.keras
RNG = np.random.default_rng(0)
X = RNG.standard_normal((20, 3)).astype(np.float32)
Y = 2 * X.sum(axis=1, keepdims=True) + 1


def linear(lib=keras, **options):
    model = lib.Sequential([lib.Input((3,)), lib.layers.Dense(1)])
    model.compile("sgd", "mse", **options)
    model.set_weights([np.ones((3, 1), np.float32), np.zeros(1, np.float32)])
    return model


def watcher(lib=keras):
    """A callback with the list of what it was called with."""

    class Watch(lib.callbacks.Callback):
        seen: list

        def __init__(self):
            super().__init__()
            self.seen = []

        def on_train_batch_begin(self, batch, logs=None):
            self.seen.append(("begin", batch))

        def on_train_batch_end(self, batch, logs=None):
            self.seen.append(("end", batch))

        def on_test_batch_end(self, batch, logs=None):
            self.seen.append(("test", batch))

        def on_predict_batch_end(self, batch, logs=None):
            self.seen.append(("predict", batch, logs["outputs"].shape))

    return Watch()


class TestStepsPerExecution:
    def test_callbacks_are_called_per_execution(self):
        model, watch = linear(steps_per_execution=3), watcher()
        model.fit(X, Y, 4, shuffle=False, verbose=0, callbacks=[watch], validation_data=(X, Y))
        assert watch.seen == [("begin", 0), ("end", 2), ("begin", 3), ("end", 4),
                              ("test", 2), ("test", 4)]  # fmt: skip
        watch.seen.clear()
        out = model.predict(X, 4, verbose=0, callbacks=[watch])
        assert [s[:2] for s in watch.seen] == [("predict", 2), ("predict", 4)]
        assert [tuple(s[2]) for s in watch.seen] == [(12, 1), (8, 1)]
        np.testing.assert_allclose(out, model(X).numpy(), rtol=1e-6)

    @pytest.mark.parametrize("steps", [2, 3, 5, 50])
    def test_the_result_does_not_depend_on_them(self, steps):
        one, many = linear(), linear(steps_per_execution=steps)
        a = one.fit(X, Y, 4, 3, shuffle=False, verbose=0).history
        b = many.fit(X, Y, 4, 3, shuffle=False, verbose=0).history
        assert a == b
        for v, w in zip(one.get_weights(), many.get_weights(), strict=True):
            np.testing.assert_array_equal(v, w)
        assert one.evaluate(X, Y, 4, verbose=0) == many.evaluate(X, Y, 4, verbose=0)

    @pytest.mark.parametrize("wrong", [0, -1, 2.5])
    def test_they_are_checked(self, wrong):
        with pytest.raises(ValueError, match="steps_per_execution must be a positive integer"):
            linear(steps_per_execution=wrong)

    @pytest.mark.peers
    @pytest.mark.parametrize("steps", [1, 2, 7])
    def test_batches_and_losses_are_keras_own(self, tf, steps):
        import keras as peer

        seen, history = [], []
        for lib in (keras, peer):
            model, watch = linear(lib, steps_per_execution=steps), watcher(lib)
            found = model.fit(X, Y, batch_size=4, epochs=2, shuffle=False, verbose=0,
                              callbacks=[watch], validation_data=(X, Y))  # fmt: skip
            seen.append(watch.seen)
            history.append(found.history)
        # tf.keras 2 counts the last execution's batches; Keras 3 takes it to be full.
        last = len(X) // 4 - 1
        assert seen[0] == [(what, min(batch, last)) for what, batch in seen[1]]
        for name, values in history[1].items():
            np.testing.assert_allclose(history[0][name], values, rtol=1e-5)


class Slow(keras.utils.PyDataset):
    """Batches of two rows, with who made them."""

    def __init__(self, failing=None, **options):
        super().__init__(**options)
        self.failing = failing
        self.makers = set()
        self.made = []

    def __len__(self):
        return 10

    def __getitem__(self, index):
        if index == self.failing:
            raise ValueError(f"no batch {index}")
        time.sleep(0.002 * (index % 3))
        self.makers.add(threading.get_ident())
        self.made.append(index)
        return X[2 * index : 2 * index + 2], Y[2 * index : 2 * index + 2]


class TestWorkers:
    def test_batches_come_in_order_from_several_threads(self):
        data = Slow(workers=4, max_queue_size=5)
        out = linear().predict(data, verbose=0)
        np.testing.assert_allclose(out, X.sum(axis=1, keepdims=True), rtol=1e-5)
        assert len(data.makers) > 1 and threading.get_ident() not in data.makers
        assert sorted(data.made) == list(range(10))
        assert not [t for t in threading.enumerate() if t.name.startswith("keras-pydataset")]

    def test_training_does_not_depend_on_them(self):
        results = []
        for workers in (1, 3):
            model = linear()
            model.fit(Slow(workers=workers), epochs=2, shuffle=False, verbose=0)
            results.append(model.get_weights())
        for a, b in zip(*results, strict=True):
            np.testing.assert_array_equal(a, b)

    def test_no_more_than_the_queue_is_fetched_ahead(self):
        data = Slow(workers=2, max_queue_size=3)
        from headrace.keras.engine.fetching import fetched

        batches = fetched(data, range(10))
        next(batches)
        time.sleep(0.1)
        assert len(data.made) <= 4
        batches.close()

    def test_an_error_comes_where_its_batch_would_have(self):
        from headrace.keras.engine.fetching import fetched

        got = []
        with pytest.raises(ValueError, match="no batch 3"):
            for batch in fetched(Slow(failing=3, workers=3), range(10)):
                got.append(batch)
        assert len(got) == 3

    @pytest.mark.processes
    def test_processes(self):
        from headrace.keras.engine.fetching import fetched

        found = list(fetched(Numbers(workers=2, use_multiprocessing=True), range(5)))
        assert [n for n, _ in found] == [0, 1, 4, 9, 16]
        assert os.getpid() not in {pid for _, pid in found}


class Numbers(keras.utils.PyDataset):
    def __len__(self):
        return 5

    def __getitem__(self, index):
        return index * index, os.getpid()

    def __reduce__(self):  # this module has no name that another process could import
        from functools import partial

        return partial(eval, _SOURCE), ()


_SOURCE = (
    "type('Numbers', (), {'__getitem__': lambda self, i: (i * i, __import__('os').getpid())})()"
)


class TestFrozen:
    def test_what_is_frozen_before_the_first_step_stays(self):
        model = linear()
        model.layers[0].trainable = False
        model.compile("sgd", "mse")
        before = model.get_weights()
        model.fit(X, Y, verbose=0)
        for a, b in zip(before, model.get_weights(), strict=True):
            np.testing.assert_array_equal(a, b)

    def test_freezing_after_a_step_counts_from_the_next_compile(self):
        model = linear()
        model.fit(X, Y, verbose=0)
        model.trainable = False
        frozen = model.get_weights()
        model.fit(X, Y, verbose=0)  # the traced step goes on as it was, as in Keras
        assert not np.array_equal(frozen[0], model.get_weights()[0])
        model.compile("sgd", "mse")
        frozen = model.get_weights()
        model.fit(X, Y, verbose=0)
        np.testing.assert_array_equal(frozen[0], model.get_weights()[0])


class TestClone:
    def test_a_sequential_model(self):
        model = linear()
        copy = keras.models.clone_model(model)
        assert copy.get_config() == model.get_config() and not copy.compiled
        assert copy.layers[0] is not model.layers[0]
        copy.set_weights(model.get_weights())
        np.testing.assert_array_equal(copy(X).numpy(), model(X).numpy())

    def test_shared_layers_and_operators_stay(self):
        a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
        shared = keras.layers.Dense(4, name="shared")
        inner = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2)], name="inner")
        out = inner(shared(a) + shared(b) * 2.0)
        model = keras.Model(
            {"a": a, "b": b}, {"out": out, "twice": keras.layers.add([out, out])}
        )
        seen = []

        def note(layer):
            seen.append(layer.name)
            return type(layer).from_config(layer.get_config())

        copy = keras.models.clone_model(model, clone_function=note)
        assert seen.count("shared") == 1 and "inner" in seen
        copy.set_weights(model.get_weights())
        data = {"a": X, "b": X[::-1]}
        for name, value in model(data).items():
            np.testing.assert_array_equal(copy(data)[name].numpy(), value.numpy())
        seen.clear()
        keras.models.clone_model(model, clone_function=note, recursive=True)
        assert "inner" not in seen and "dense" in " ".join(seen)

    def test_new_inputs(self):
        model = linear()
        given = keras.Input((3,), name="fresh")
        copy = keras.models.clone_model(model, input_tensors=given)
        assert copy.inputs[0].name == "fresh"

    def test_arguments_are_checked(self):
        with pytest.raises(ValueError, match="Expected `model` argument to be a `Model`"):
            keras.models.clone_model(3)
        with pytest.raises(ValueError, match="not supported with Sequential"):
            keras.models.clone_model(linear(), call_function=lambda layer, x: layer(x))
