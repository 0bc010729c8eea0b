"""What users get wrong when they compile, call and fit: errors say what was wrong, where, and
what to do."""

from __future__ import annotations

import re

import numpy as np
import pytest

import headrace as hr

keras, layers = hr.keras, hr.keras.layers
X, Y = np.zeros((20, 2), np.float32), np.zeros((20, 1), np.float32)


def model_of(loss="mse", **kwargs):
    model = keras.Sequential([keras.Input((2,)), layers.Dense(1, name="top")], name="small")
    model.compile("sgd", loss, **kwargs)
    return model


def notes(error):
    return "\n".join([str(error.value), *getattr(error.value, "__notes__", [])])


class Inner(layers.Layer):
    def __init__(self):
        super().__init__(name="inner")
        self.deep = layers.Dense(3, name="deep")

    def call(self, x):
        return self.deep(x)


class Outer(keras.Model):
    def __init__(self):
        super().__init__(name="outer")
        self.inner = Inner()

    def call(self, x):
        return self.inner(x)


@pytest.mark.parametrize("way", ["call", "fit", "functional"])
def test_a_wrong_shape_names_layer_shapes_and_the_layers_around(way):
    model = Outer()
    model(np.zeros((4, 5), np.float32))
    model.compile("sgd", "mse")
    with pytest.raises(ValueError) as caught:
        if way == "call":
            model(np.zeros((4, 7), np.float32))
        elif way == "fit":
            model.fit(np.zeros((4, 7)), np.zeros((4, 3)), verbose=0)
        else:
            model(keras.Input((7,)))
    said = notes(caught)
    assert 'Input 0 of layer "deep"' in said and "axis -1" in said
    assert "to have value 5" in said and ", 7)" in said
    assert said.count("Layers called: ") == 1 and "Layers called: outer > inner > deep" in said


def test_layers_called_of_a_nested_functional_model():
    inner = keras.Sequential(
        [keras.Input((None,)), layers.Reshape((2, 2), name="square")], name="i"
    )
    x = keras.Input((None,))
    outer = keras.Model(x, inner(x), name="o")
    with pytest.raises((ValueError, hr.errors.InvalidArgumentError)) as caught:
        outer(np.zeros((3, 5), np.float32))
    assert "Layers called: o > i > square" in notes(caught)


COMPILE = {
    "an unknown optimizer": (("adma", "mse"), {}, r"identifier: adma\. Did you mean 'adam"),
    "no optimizer": ((3, "mse"), {}, "Could not interpret optimizer identifier: 3"),
    "an unknown metric": (("sgd", "mse"), {"metrics": ["acuracy"]},
                          r"metric identifier: acuracy\. Did you mean 'accuracy'"),
    "an unknown loss": (("sgd", "mean_sq"), {}, r"loss identifier: mean_sq\."),
    "metrics as a name": (("sgd", "mse"), {"metrics": "mae"}, "`metrics` argument to be a"),
    "two losses for one output": (("sgd", ["mse", "mae"]), {}, "2 entries for 1 outputs"),
    "a loss for an unknown output": (("sgd", {"no": "mse", "b": "mse"}), {}, "key 'b' does"),
    "no steps": (("sgd", "mse"), {"steps_per_execution": 0}, "steps_per_execution must be a"),
}  # fmt: skip


@pytest.mark.parametrize("what", COMPILE)
def test_compile(what):
    args, kwargs, said = COMPILE[what]
    model = model_of()
    with pytest.raises(ValueError, match=said):
        model.compile(*args, **kwargs)
        model.fit(
            X, Y, verbose=0
        )  # names of losses and metrics are looked up when data is known


def test_compile_knows_its_arguments():
    with pytest.raises(TypeError, match=r"compile\(\) got unexpected keyword.*metricss"):
        model_of(metricss=["mae"])
    model_of(sample_weight_mode=None)  # Keras 2's


FIT = {
    "unequal lengths": ((X, Y[:3]), {}, r"is ambiguous.*'x' sizes: 20\n'y' sizes: 3"),
    "unequal weights": ((X, Y), {"sample_weight": Y[:4, 0]}, "'sample_weight' sizes: 4"),
    "unequal validation": ((X, Y), {"validation_data": (X, Y[:3])}, "is ambiguous"),
    "no batch size": ((X, Y), {"batch_size": 0}, "batch_size must be a positive"),
    "a split of everything": ((X, Y), {"validation_split": 1.5}, "between 0 and 1, got 1.5"),
    "never validated": ((X, Y), {"validation_data": (X, Y), "validation_freq": 0},
                        "validation_freq must be a positive integer or a list"),
    "no steps": ((X, Y), {"steps_per_epoch": 0}, "steps_per_epoch must be positive or None"),
    "no data": ((None,), {}, "Unrecognized data type: x=None"),
    "an exhausted generator": ((iter([]),), {}, "The data gave no batch at all"),
    "no targets": ((X,), {}, "the data has no targets"),
    "two sorts of weights": ((X, Y), {"class_weight": {0: 1.0}, "sample_weight": Y[:, 0]},
                             "cannot `class_weight` and `sample_weight`"),
    "texts": ((["a", "b"], [1.0, 2.0]), {}, r"Expected shape \(None, 2\)"),
    "targets of another shape": ((X, np.zeros((20, 5))), {}, r"\(None, 5\).*\(None, 1\)"),
}  # fmt: skip


@pytest.mark.parametrize("what", FIT)
def test_fit(what):
    args, kwargs, said = FIT[what]
    loss = "binary_crossentropy" if what == "targets of another shape" else "mse"
    with pytest.raises(ValueError) as caught:
        model_of(loss).fit(*args, verbose=0, **kwargs)
    assert re.search(said, notes(caught), re.S), notes(caught)


def test_fit_knows_its_arguments():
    with pytest.raises(
        TypeError, match=r"fit\(\) got unexpected keyword arguments: \['epoch'\]"
    ):
        model_of().fit(X, Y, epoch=3)


def test_a_dataset_brings_its_targets_and_is_batched():
    rows = hr.data.Dataset.from_tensor_slices((X, Y))
    with pytest.raises(ValueError, match="`y` must not be passed when `x` is a Dataset"):
        model_of().fit(rows.batch(4), Y, verbose=0)
    with pytest.raises(ValueError, match=r"must be batched: `dataset\.batch\(n\)`"):
        model_of().fit(rows, verbose=0)


def test_a_placeholder_says_which_functions_take_it():
    with pytest.raises(ValueError, match=r"hr\.keras\.ops"):
        hr.math.log(keras.Input((2,)))


def test_a_loss_that_is_no_number():
    class Seen(keras.callbacks.Callback):
        steps = 0

        def on_train_batch_end(self, batch, logs=None):
            Seen.steps += 1

    x = X.copy()
    x[7] = np.nan
    model = model_of()
    history = model.fit(x, Y, batch_size=5, shuffle=False, verbose=0)
    assert np.isnan(history.history["loss"][0])  # as Keras has it, it goes on
    model = model_of()
    model.fit(x, Y, batch_size=5, shuffle=False, verbose=0, epochs=3,
              callbacks=[keras.callbacks.TerminateOnNaN(), Seen()])  # fmt: skip
    assert Seen.steps == 2
    hr.debugging.enable_check_numerics()
    try:
        with pytest.raises(hr.errors.InvalidArgumentError, match=r"(?i)nan"):
            model_of().fit(x, Y, batch_size=5, shuffle=False, verbose=0)
    finally:
        hr.debugging.disable_check_numerics()


def mixed(lib):
    words, size = lib.Input((1,), dtype="int64"), lib.Input((3,))
    return lib.Model([words, size], [
        lib.layers.Concatenate()([words, size]),
        lib.layers.Add()([words, size]),
        lib.layers.Maximum()([size, words]),
    ])  # fmt: skip


def test_integers_beside_floats_are_merged():
    x = [np.array([[1], [2]]), np.float32([[0.5, 1.5, 2.5]] * 2)]
    joined, added, most = mixed(keras).predict(x, verbose=0)
    assert joined.tolist() == [[1.0, 0.5, 1.5, 2.5], [2.0, 0.5, 1.5, 2.5]]
    assert {a.dtype.name for a in (joined, added, most)} == {"float32"}
    assert added[0].tolist() == [1.5, 2.5, 3.5] and most[1].tolist() == [2.0, 2.0, 2.5]


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
def test_keras_merges_them_so(tf):
    import keras as peer

    x = [np.array([[1], [2]]), np.float32([[0.5, 1.5, 2.5]] * 2)]
    for ours, theirs in zip(mixed(keras)(x), mixed(peer)(x), strict=True):
        assert np.asarray(ours).dtype == np.asarray(theirs).dtype
        np.testing.assert_array_equal(ours, theirs)
