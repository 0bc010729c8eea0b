"""Sequential: deferred building, adding, popping, configs."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras

X = np.arange(12, dtype="float32").reshape(4, 3) / 10


def test_deferred_build():
    model = keras.Sequential([keras.layers.Dense(2), keras.layers.Dense(1)])
    assert not model.built and model.weights == []
    model(X)
    assert model.built and [tuple(w.shape) for w in model.weights] == [
        (3, 2),
        (2,),
        (2, 1),
        (1,),
    ]
    assert model.input_shape == (None, 3)


@pytest.mark.parametrize(
    "first",
    [
        lambda: [keras.Input((3,)), keras.layers.Dense(2)],
        lambda: [keras.layers.Dense(2, input_shape=(3,))],
        lambda: [keras.layers.InputLayer((3,)), keras.layers.Dense(2)],
    ],
    ids=["Input", "input_shape", "InputLayer"],
)
def test_built_at_once_if_the_input_is_known(first):
    model = keras.Sequential(first())
    assert model.built and len(model.layers) == 1 and model.output_shape == (None, 2)


def test_build_by_shape():
    model = keras.Sequential([keras.layers.Dense(2)])
    model.build((None, 3))
    assert len(model.weights) == 2


def test_integer_inputs_stay_integers():
    class Same(keras.Layer):
        def call(self, x):
            return x

    model = keras.Sequential([Same()])
    assert model(np.array([[2**53 + 1]])).numpy()[0, 0] == 2**53 + 1


def test_add_and_pop():
    model = keras.Sequential([keras.Input((3,))])
    model.add(keras.layers.Dense(4))
    model.add(keras.layers.Dense(2))
    assert model.output_shape == (None, 2)
    model.pop()
    assert model.output_shape == (None, 4) and len(model.layers) == 1
    model.pop()
    with pytest.raises(TypeError, match="no layers"):
        model.pop()


def test_names_must_differ():
    with pytest.raises(ValueError, match=r"unique names\. Name 'd'"):
        keras.Sequential([keras.layers.Dense(1, name="d"), keras.layers.Dense(1, name="d")])


def test_only_layers():
    with pytest.raises(ValueError, match=r"Only instances of `keras.Layer`.*3 .*int"):
        keras.Sequential([3])


def test_other_sizes_and_other_ranks():
    model = keras.Sequential([keras.layers.Embedding(9, 2)])
    model(np.zeros((1, 3), "int64"))
    assert model(np.zeros((2, 5), "int64")).shape == (2, 5, 2)
    with pytest.raises(
        ValueError, match=r"Expected shape \(None, 3\), but input.*\(2, 5, 1, 1\)"
    ):
        model(np.zeros((2, 5, 1, 1), "int64"))


def test_config_round_trip():
    model = keras.Sequential(
        [keras.Input((3,)), keras.layers.Dense(2, activation="relu"), keras.layers.Dropout(0.2)]
    )
    again = keras.Sequential.from_config(model.get_config())
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again(X), model(X))


def test_layer_whose_shape_is_unknown_until_it_runs():
    class Peculiar(keras.Layer):
        def call(self, x):
            return x if float(hr.reduce_sum(x)) > 0 else -x

    model = keras.Sequential([Peculiar()])
    np.testing.assert_array_equal(model(X), X)
    np.testing.assert_array_equal(model(-X), X)
