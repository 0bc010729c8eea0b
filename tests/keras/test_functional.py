"""Functional models: graphs of layers, their order, inputs by structure, and configs."""

import json

import numpy as np
import pytest

import headrace as hr
from headrace import keras

X = np.arange(12, dtype="float32").reshape(4, 3) / 10


def two_in_two_out():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    d = keras.layers.Dense(2, name="d")
    h = keras.layers.Concatenate(name="join")([d(a), b])
    out = keras.layers.Dense(1, name="o1")(h)
    return keras.Model([a, b], {"x": out, "y": keras.layers.Dense(4, name="o2")(h)})


def test_it_computes_what_its_layers_compute():
    inputs = keras.Input((3,))
    first, second = keras.layers.Dense(4, activation="relu"), keras.layers.Dense(2)
    model = keras.Model(inputs, second(first(inputs)))
    np.testing.assert_array_equal(model(X), second(first(X)))
    assert type(model).__name__ == "Functional" and isinstance(model, keras.Model)
    assert model.output_shape == (None, 2) and model.input_shape == (None, 3)


def test_layers_stand_in_order_of_depth():
    assert [layer.name for layer in two_in_two_out().layers] == [
        "a", "d", "b", "join", "o1", "o2",
    ]  # fmt: skip


def test_shared_layer_has_its_weights_once():
    a, b = keras.Input((3,)), keras.Input((3,))
    shared = keras.layers.Dense(2)
    model = keras.Model([a, b], keras.layers.Add()([shared(a), shared(b)]))
    assert len(model.weights) == 2
    np.testing.assert_allclose(model([X, X]), 2 * np.asarray(shared(X)), rtol=1e-6)


@pytest.mark.parametrize("kind", ["list", "dict", "tuple"])
def test_inputs_by_position_or_name(kind):
    model = two_in_two_out()
    a, b = X, X[:, :2]
    given = {"list": [a, b], "tuple": (a, b), "dict": {"b": b, "a": a}}[kind]
    want = model([a, b])
    got = model(given)
    assert sorted(got) == ["x", "y"]
    for key in want:
        np.testing.assert_array_equal(got[key], want[key])


def test_dict_inputs():
    inputs = {"n": keras.Input((3,), name="first"), "m": keras.Input((2,), name="second")}
    joined = keras.layers.Concatenate()([inputs["n"], inputs["m"]])
    model = keras.Model(inputs, joined)
    got = model({"m": X[:, :2], "n": X})
    np.testing.assert_array_equal(got, np.concatenate([X, X[:, :2]], axis=1))


def test_nested_models():
    inner = keras.Sequential([keras.layers.Dense(2)])
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inner(inputs)))
    assert len(model.weights) == 4 and inner in model.layers
    assert model(X).shape == (4, 1)


def test_submodel_from_inner_placeholders():
    inputs = keras.Input((3,))
    hidden = keras.layers.Dense(5, name="hidden")(inputs)
    full = keras.Model(inputs, keras.layers.Dense(1)(hidden))
    part = keras.Model(full.input, full.get_layer("hidden").output)
    assert part(X).shape == (4, 5)
    assert part.weights[0] is full.weights[0]


def test_subclass_with_placeholders():
    class Custom(keras.Model):
        def train_step(self, data):
            return {"answer": hr.constant(42.0)}

    inputs = keras.Input((3,))
    model = Custom(inputs, keras.layers.Dense(1)(inputs))
    model.compile("sgd", "mse")
    history = model.fit(X, X[:, :1], verbose=0)
    assert history.history == {"answer": [42.0]}
    assert len(model.layers) == 2


def test_static_arguments_of_calls_are_kept():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dropout(0.5, seed=1)(inputs, training=True))
    out = np.asarray(model(np.ones((50, 3), "float32"), training=False))
    assert (out == 0).any()


def test_rank_one_input_stands_for_a_column():
    inputs = keras.Input((1,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs))
    np.testing.assert_array_equal(model(X[:, 0]), model(X[:, :1]))


@pytest.mark.parametrize("make", [two_in_two_out], ids=["two_in_two_out"])
def test_config_round_trip(make):
    model = make()
    described = keras.saving.serialize_keras_object(model)
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(described)))
    assert keras.saving.serialize_keras_object(again) == described
    again.set_weights(model.get_weights())
    for key, value in model([X, X[:, :2]]).items():
        np.testing.assert_array_equal(again([X, X[:, :2]])[key], value)


def test_config_of_shared_layer_and_nested_model():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    shared = keras.layers.Dense(2, name="shared")
    inner = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)], name="inner")
    out = keras.layers.Add()([inner(shared(a)), shared(b)])
    model = keras.Model([a, b], out)
    again = keras.Model.from_config(model.get_config())
    assert len(again.weights) == len(model.weights) == 4
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again([X, X + 1]), model([X, X + 1]))


def test_to_json_and_back():
    model = two_in_two_out()
    again = keras.models.model_from_json(model.to_json())
    assert [layer.name for layer in again.layers] == [layer.name for layer in model.layers]


def test_disconnected_output():
    a, b = keras.Input((3,), name="a"), keras.Input((3,), name="b")
    with pytest.raises(ValueError, match="needs the input 'b', which is not among"):
        keras.Model(a, keras.layers.Add()([a, b]))


def test_wrong_width_names_the_model():
    inputs = keras.Input((3,))
    model = keras.Model(inputs, keras.layers.Dense(1)(inputs), name="m")
    with pytest.raises(
        ValueError, match=r'layer "m" is incompatible.*shape=\(None, 3\), found shape=\(4, 2\)'
    ):
        model(X[:, :2])


def test_missing_named_input():
    with pytest.raises(ValueError, match=r"'b'|\"b\""):
        two_in_two_out()({"a": X})


def test_arrays_are_no_placeholders():
    with pytest.raises(ValueError, match="must be KerasTensors"):
        keras.Model(X, X)


def test_placeholder_has_no_value():
    inputs = keras.Input((3,))
    with pytest.raises(ValueError, match="symbolic"):
        np.asarray(inputs)
    with pytest.raises(TypeError):
        bool(inputs)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: 1 - x * 2,
        lambda x: x / 2 + x**2,
        lambda x: -abs(x)[:, 1:],
        lambda x: x[:, 0],
        lambda x: x @ np.ones((3, 2), "float32"),
        lambda x: (x // 0.3) % 2,
    ],
    ids=["reflected", "power", "slice", "column", "matmul", "floor"],
)
def test_operators_on_placeholders(function):
    inputs = keras.Input((3,))
    model = keras.Model(inputs, function(inputs))
    np.testing.assert_allclose(model(X), function(X), rtol=1e-5, atol=1e-6)
    again = keras.Model.from_config(json.loads(json.dumps(model.get_config())))
    np.testing.assert_array_equal(again(X), model(X))
    assert len(model.layers) == 1


def test_comparison_of_placeholders():
    inputs = keras.Input((3,))
    assert (inputs > 0.5).dtype == "bool"
    np.testing.assert_array_equal(keras.Model(inputs, inputs > 0.5)(X), X > 0.5)


def test_model_called_on_other_sizes_is_traced_again():
    inputs = keras.Input((None, 3))
    model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    assert model(keras.Input((7, 3))).shape == (None, 7, 2)
    assert model.compute_output_shape((5, 4, 3)) == (5, 4, 2)


def test_masks_pass_through_nested_models():
    inner = keras.Sequential([keras.layers.Embedding(5, 2, mask_zero=True)])
    inputs = keras.Input((3,), dtype="int64")

    class Count(keras.Layer):
        def call(self, x, mask=None):
            return hr.reduce_sum(hr.cast(mask, "float32"), axis=1)

    model = keras.Model(inputs, Count()(inner(inputs)))
    np.testing.assert_array_equal(model(np.array([[1, 0, 2]])), [2.0])
    np.testing.assert_array_equal(model.predict(np.array([[1, 0, 0]]), verbose=0), [1.0])


def test_given_mask_reaches_the_first_layer():
    class Count(keras.Layer):
        def call(self, x, mask=None):
            return x if mask is None else x * hr.cast(mask, x.dtype)

    inputs = keras.Input((3,))
    model = keras.Model(inputs, Count()(inputs))
    mask = np.array([[True, False, True]] * 4)
    np.testing.assert_array_equal(model(X, mask=hr.constant(mask)), X * mask)
    stack = keras.Sequential([keras.Input((3,)), Count()])
    np.testing.assert_array_equal(stack(X, mask=hr.constant(mask)), X * mask)


def test_get_layer():
    model = two_in_two_out()
    assert model.get_layer("join") is model.get_layer(index=3)
    for kwargs, message in [
        ({"name": "nope"}, "No such layer: nope. Existing layers are.*'join'"),
        ({"index": 9}, "index 9 but model only has 6 layers"),
        ({}, "Provide either a layer name or a layer index"),
    ]:
        with pytest.raises(ValueError, match=message):
            model.get_layer(**kwargs)


def test_names_of_inputs_and_outputs():
    model = two_in_two_out()
    assert model.input_names == ["a", "b"] and model.output_names == ["x", "y"]
    assert [t.shape for t in model.inputs] == [(None, 3), (None, 2)]
    assert [t.shape for t in model.outputs] == [(None, 1), (None, 4)]
    single = keras.Model(model.inputs[0], model.get_layer("d").output)
    assert single.output_names == ["d"]


def test_layer_names_must_differ():
    a = keras.Input((3,))
    h = keras.layers.Dense(2, name="same")(a)
    with pytest.raises(ValueError, match='name "same" is used 2 times'):
        keras.Model(a, keras.layers.Dense(2, name="same")(h))


def test_inputs_must_differ():
    a = keras.Input((3,))
    with pytest.raises(ValueError, match="same input multiple times"):
        keras.Model([a, a], a)


def test_input_that_nothing_uses():
    a, b = keras.Input((3,), name="a"), keras.Input((2,), name="b")
    model = keras.Model([a, b], keras.layers.Dense(1)(a))
    assert sorted(layer.name for layer in model.layers)[:2] == ["a", "b"]
    assert model([X, X[:, :2]]).shape == (4, 1)


def test_frozen_model_stays_frozen():
    model = two_in_two_out()
    model.trainable = False
    again = keras.Model.from_config(model.get_config())
    assert again.trainable_weights == [] and len(again.non_trainable_weights) == 6


@pytest.mark.parametrize(
    ("kwargs", "shape"),
    [
        ({"shape": 3}, (None, 3)),
        ({"shape": (3,), "batch_size": 2}, (2, 3)),
        ({"batch_shape": (2, None)}, (2, None)),
        ({"batch_input_shape": (2, 5)}, (2, 5)),
    ],
)
def test_shapes_of_inputs(kwargs, shape):
    assert keras.Input(**kwargs).shape == shape


def test_input_like_another():
    assert keras.Input(tensor=keras.Input((4,), dtype="int32")).dtype == "int32"


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [({}, "You must pass a `shape`"), ({"shape": (1,), "batch_shape": (1, 1)}, "both")],
)
def test_bad_inputs(kwargs, message):
    with pytest.raises(ValueError, match=message):
        keras.Input(**kwargs)


def test_placeholders_behave_as_placeholders():
    x = keras.Input((3,), name="x")
    assert repr(x) == "<KerasTensor shape=(None, 3), dtype=float32, name=x>"
    assert x.ndim == 2 and x.get_shape() == (None, 3)
    for use in (iter, int, float):
        with pytest.raises((TypeError, ValueError)):
            use(x)


def test_model_without_call():
    class Empty(keras.Model):
        pass

    with pytest.raises(NotImplementedError, match="Model Empty does not have a `call"):
        Empty()(X)


def test_subclassed_model_built_by_shape():
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.dense = keras.layers.Dense(2)

        def call(self, x):
            return self.dense(x)

    net = Net()
    net.build((None, 3))
    assert len(net.weights) == 2 and net.compute_output_shape((None, 3)) == (None, 2)
    inputs = keras.Input((3,))
    np.testing.assert_array_equal(keras.Model(inputs, net(inputs))(X), net(X))
