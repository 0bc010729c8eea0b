"""Layer: names, tracking, building, training flag, masks, losses, configs, error wordings."""

import re
import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras.engine import masks


class Scale(keras.Layer):
    def __init__(self, start=2.0, **kwargs):
        super().__init__(**kwargs)
        self.start = start

    def build(self, input_shape):
        self.factor = self.add_weight(
            shape=(input_shape[-1],),
            initializer=keras.initializers.Constant(self.start),
            name="factor",
        )

    def call(self, inputs):
        return inputs * self.factor


def test_names_are_numbered_per_class():
    keras.backend.clear_session()
    assert [Scale().name for _ in range(3)] == ["scale", "scale_1", "scale_2"]
    assert keras.layers.Dense(1).name == "dense"
    keras.backend.clear_session()
    assert Scale().name == "scale"


def test_weights_are_created_by_the_first_call():
    layer = Scale()
    assert not layer.built and layer.weights == []
    out = layer(np.ones((2, 3), "float32"))
    assert layer.built
    np.testing.assert_array_equal(out, np.full((2, 3), 2.0))
    assert tuple(layer.factor.shape) == (3,)
    assert layer.factor.name == f"{layer.name}/factor:0"


def test_tracking_finds_attributes_lists_and_dicts():
    class Holder(keras.Layer):
        def __init__(self):
            super().__init__()
            self.one = Scale(name="one")
            self.many = [Scale(name="m0")]
            self.named = {"a": Scale(name="a")}
            self.bare = hr.Variable(1.0)

        def call(self, x):
            for layer in (self.one, *self.many, *self.named.values()):
                x = layer(x)
            return x * self.bare

    holder = Holder()
    holder.many.append(Scale(name="m1"))  # appended after assignment, still found
    holder(np.ones((1, 2)))
    assert [w.name for w in holder.weights] == [
        "Variable:0", "one/factor:0", "m0/factor:0", "m1/factor:0", "a/factor:0",
    ]  # fmt: skip
    assert holder.count_params() == 1 + 4 * 2


def test_replaced_and_deleted_variables_are_forgotten():
    layer = keras.Layer()
    layer.v = hr.Variable(1.0)
    layer.v = hr.Variable([1.0, 2.0])
    assert [tuple(w.shape) for w in layer.weights] == [(2,)]
    del layer.v
    assert layer.weights == []


def test_trainable_is_inherited_by_sublayers():
    model = keras.Sequential([keras.Input((2,)), Scale(), Scale()])
    assert len(model.trainable_weights) == 2 and not model.non_trainable_weights
    model.layers[0].trainable = False
    assert len(model.trainable_weights) == 1 and len(model.non_trainable_weights) == 1
    model.trainable = False
    assert model.trainable_weights == []
    assert [w.name for w in model.non_trainable_weights] == [w.name for w in model.weights]


def test_non_trainable_weight_comes_last():
    layer = keras.Layer()
    layer.add_weight(shape=(1,), trainable=False, name="count")
    layer.add_weight(shape=(2,), name="kernel")
    assert [tuple(w.shape) for w in layer.weights] == [(2,), (1,)]


def test_keras_2_argument_order_of_add_weight():
    layer = keras.Layer(name="old")
    v = layer.add_weight("kernel", shape=(2, 3), initializer="ones")
    assert v.name == "old/kernel:0" and tuple(v.shape) == (2, 3)


def test_get_and_set_weights_round_trip():
    a, b = Scale(1.5), Scale()
    a(np.ones((1, 3)))
    b(np.ones((1, 3)))
    b.set_weights(a.get_weights())
    np.testing.assert_array_equal(b.get_weights()[0], np.full(3, 1.5, "float32"))


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ([], "weight list of length 0, but the layer was expecting 1 weights"),
        (
            [np.ones(4)],
            r"weight shape \(3,\) is not compatible with provided weight shape \(4,\)",
        ),
    ],
    ids=["count", "shape"],
)
def test_set_weights_names_what_does_not_fit(weights, message):
    layer = Scale()
    layer(np.ones((1, 3)))
    with pytest.raises(ValueError, match=message):
        layer.set_weights(weights)


def test_dtypes_follow_the_policy():
    layer = Scale(dtype="float64")
    out = layer(np.ones((1, 2), "float32"))
    assert (layer.dtype, layer.compute_dtype, out.dtype.name) == ("float64",) * 3
    mixed = keras.Layer(dtype="mixed_bfloat16")
    assert (mixed.variable_dtype, mixed.compute_dtype) == ("float32", "bfloat16")


def test_floats_are_cast_and_integers_are_not():
    class Identity(keras.Layer):
        def call(self, x):
            return x

    layer = Identity()
    assert layer(np.ones(2, "float64")).dtype == hr.float32
    assert layer(np.ones(2, "int64")).dtype == hr.int64
    assert Identity(autocast=False)(np.ones(2, "float64")).dtype == hr.float64


class Flag(keras.Layer):
    """Says whether it was called for training."""

    def call(self, x, training=None):
        self.seen = training
        return x


class Wrapper(keras.Layer):
    def __init__(self):
        super().__init__()
        self.inner = Flag()

    def call(self, x):
        return self.inner(x)


@pytest.mark.parametrize("training", [True, False, None])
def test_training_flag_reaches_inner_layers(training):
    outer = Wrapper()
    outer(np.ones(1), training=training)
    assert outer.inner.seen is training


def test_training_flag_does_not_outlive_the_call():
    outer = Wrapper()
    outer(np.ones(1), training=True)
    outer(np.ones(1))
    assert outer.inner.seen is None


def test_explicit_training_flag_wins_inside():
    class Frozen(Wrapper):
        def call(self, x):
            return self.inner(x, training=False)

    outer = Frozen()
    outer(np.ones(1), training=True)
    assert outer.inner.seen is False


def test_training_default_of_call():
    class Always(keras.Layer):
        def call(self, x, training=True):
            self.seen = training
            return x

    layer = Always()
    layer(np.ones(1))
    assert layer.seen is True


class MaskReader(keras.Layer):
    def call(self, x, mask=None):
        self.seen = mask
        return x


def test_mask_travels_with_the_tensor():
    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    reader = MaskReader()
    reader.supports_masking = True
    y = reader(embedding(np.array([[1, 0], [2, 3]])))
    np.testing.assert_array_equal(reader.seen, [[True, False], [True, True]])
    np.testing.assert_array_equal(masks.get_mask(y), [[True, False], [True, True]])


def test_mask_dies_with_its_tensor():
    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    y = embedding(np.array([[1, 0]]))
    assert masks.get_mask(y) is not None
    before = len(masks._masks)
    del y
    assert len(masks._masks) < before


def test_mask_is_passed_through_models_eager_and_traced():
    reader = MaskReader()
    reader.supports_masking = True
    model = keras.Sequential([keras.layers.Embedding(5, 2, mask_zero=True), reader])
    ids = np.array([[1, 0], [2, 3]])
    model(ids)
    np.testing.assert_array_equal(reader.seen, ids != 0)

    class Count(keras.Layer):
        def call(self, x, mask=None):
            return hr.reduce_sum(hr.cast(mask, "float32"), axis=1)

    counting = keras.Sequential([keras.layers.Embedding(5, 2, mask_zero=True), Count()])
    np.testing.assert_array_equal(counting.predict(ids, verbose=0), counting(ids))
    np.testing.assert_array_equal(counting(ids), [1.0, 2.0])


def test_mask_destroyed_with_a_warning():
    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    with pytest.warns(UserWarning, match="does not support masking"):
        y = Scale()(embedding(np.array([[1, 0]])))
    assert masks.get_mask(y) is None


def test_explicit_mask_wins():
    reader = MaskReader()
    given = np.array([[False, True]])
    embedded = keras.layers.Embedding(5, 2, mask_zero=True)(np.array([[1, 0]]))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reader(embedded, mask=given)
    np.testing.assert_array_equal(reader.seen, given)


def test_losses_are_those_of_the_last_call():
    class Penalty(keras.Layer):
        def call(self, x):
            self.add_loss(hr.reduce_sum(x))
            return x

    outer = keras.Sequential([Penalty(), Penalty()])
    outer(np.ones((1, 2), "float32"))
    outer(np.full((1, 2), 3.0, "float32"))
    assert [float(v) for v in outer.losses] == [6.0, 6.0]


def test_regularizers_add_losses():
    layer = keras.layers.Dense(
        2, kernel_initializer="ones", kernel_regularizer=keras.regularizers.L2(0.5)
    )
    layer(np.ones((1, 3), "float32"))
    assert [float(v) for v in layer.losses] == [3.0]
    layer.trainable = False
    assert layer.losses == []


def test_activity_regularizer_adds_a_loss():
    layer = Scale(2.0, activity_regularizer=keras.regularizers.L1(1.0))
    layer(np.ones((1, 3), "float32"))
    assert [float(v) for v in layer.losses] == [6.0]


def test_config_of_a_layer_without_get_config():
    layer = Scale(3.5, name="mine")
    config = layer.get_config()
    assert config["start"] == 3.5 and config["name"] == "mine"
    again = Scale.from_config(config)
    assert again.start == 3.5 and again.name == "mine"


def test_config_that_cannot_be_written():
    class Odd(keras.Layer):
        def __init__(self, thing):
            super().__init__()

    with pytest.raises(NotImplementedError, match="must override `get_config"):
        Odd(object()).get_config()


def test_compute_output_shape_by_tracing():
    class Twice(keras.Layer):
        def call(self, x):
            return {"a": hr.concat([x, x], axis=-1), "b": hr.reduce_sum(x, axis=1)}

    assert Twice().compute_output_shape((None, 3)) == {"a": (None, 6), "b": (None,)}


# -- errors ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "shape", "message"),
    [
        ({"ndim": 3}, (2, 4), r"expected ndim=3, found ndim=2. Full shape received: \(2, 4\)"),
        (
            {"min_ndim": 2},
            (3,),
            r"expected min_ndim=2, found ndim=1. Full shape received: \(3,\)",
        ),
        ({"max_ndim": 1}, (2, 4), "expected max_ndim=1, found ndim=2"),
        (
            {"axes": {-1: 3}},
            (2, 4),
            r"expected axis -1 of input shape to have value 3, but received input with "
            r"shape \(2, 4\)",
        ),
        ({"shape": (None, 3)}, (2, 4), r"expected shape=\(None, 3\), found shape=\(2, 4\)"),
        ({"dtype": "int32"}, (2, 4), "expected dtype=int32, found dtype=float32"),
    ],
    ids=["ndim", "min_ndim", "max_ndim", "axes", "shape", "dtype"],
)
def test_input_spec_errors_name_layer_and_shapes(spec, shape, message):
    class Strict(Scale):
        def __init__(self):
            super().__init__(name="strict")
            self.input_spec = keras.InputSpec(**spec)

    with pytest.raises(
        ValueError, match=f'Input 0 of layer "strict" is incompatible.*{message}'
    ):
        Strict()(np.ones(shape, "float32"))


def test_input_spec_counts_inputs():
    layer = Scale(name="one_input")
    layer.input_spec = keras.InputSpec(ndim=2)
    with pytest.raises(
        ValueError, match=r'"one_input" expects 1 input\(s\), but it received 2'
    ):
        layer([np.ones((1, 2)), np.ones((1, 2))])


def test_dense_on_another_width_names_the_layer():
    dense = keras.layers.Dense(2, name="out")
    dense(np.ones((1, 3)))
    with pytest.raises(
        ValueError, match=r'Input 0 of layer "out".*axis -1.*value 3.*shape .1, 4.'
    ):
        dense(np.ones((1, 4)))


def test_forgotten_super_init():
    class Careless(keras.Layer):
        def __init__(self):
            self.units = 3

    with pytest.raises(
        RuntimeError, match=r"'Careless', you forgot to call `super\(\).__init__"
    ):
        Careless()


def test_errors_in_call_say_where():
    class Broken(keras.Layer):
        def call(self, x):
            raise KeyError("oops")

    with pytest.raises(KeyError) as caught:
        keras.Sequential([Broken(name="bad")])(np.ones((2, 3), "float32"))
    assert any(
        'layer "bad"' in note and "shape=(None, 3)" in note for note in caught.value.__notes__
    )
    _, path = caught.value.__notes__
    assert re.fullmatch(r"Layers called: sequential\w* > bad", path)


def test_unknown_arguments():
    with pytest.raises(ValueError, match="Unrecognized keyword arguments passed to Layer"):
        keras.Layer(units=3)


def test_call_is_missing():
    with pytest.raises(NotImplementedError, match="does not have a `call"):
        keras.Layer()(np.ones(1))


def test_keras_2_input_arguments():
    assert keras.layers.Dense(2, input_dim=3)._engine.input_shape == (None, 3)
    assert keras.layers.Dense(2, input_shape=3, batch_size=4)._engine.input_shape == (4, 3)
    assert keras.layers.Dense(2, batch_input_shape=(4, 3))._engine.input_shape == (4, 3)


@pytest.mark.parametrize("name", [3, "a/b"])
def test_bad_names(name):
    with pytest.raises(ValueError, match="Argument `name` must be a string"):
        keras.Layer(name=name)


def test_input_and_output_of_a_layer():
    layer = keras.layers.Dense(2)
    with pytest.raises(AttributeError, match="has never been called"):
        _ = layer.input
    x = keras.Input((3,))
    y = layer(x)
    assert layer.input is x and layer.output is y
    layer(keras.Input((3,)))
    with pytest.raises(AttributeError, match="multiple inbound nodes"):
        _ = layer.output


def test_several_tensor_arguments_build_by_name():
    class Attend(keras.Layer):
        def build(self, query_shape, value_shape):
            self.shapes = query_shape, value_shape

        def call(self, query, value):
            return hr.matmul(query, value)

        def compute_output_shape(self, query_shape, value_shape):
            return (*query_shape[:-1], value_shape[-1])

    layer = Attend()
    out = layer(keras.Input((4,), batch_size=2), value=keras.Input((5,), batch_size=4))
    assert out.shape == (2, 5) and layer.shapes == ((2, 4), (4, 5))
    again = Attend()
    again.build_from_config(layer.get_build_config())
    assert again.shapes == layer.shapes and again.built
    np.testing.assert_array_equal(
        Attend()(np.ones((2, 4), "float32"), value=np.ones((4, 5), "float32")),
        np.full((2, 5), 4.0),
    )


def test_compute_output_shape_of_named_inputs():
    class Sum(keras.Layer):
        def call(self, left, right):
            return left + right

    shape = Sum().compute_output_shape(left_shape=(None, 3), right_shape=(None, 1))
    assert shape == (None, 3)


def test_lists_of_numbers_are_tensors():
    np.testing.assert_array_equal(Scale()([[1.0, 2.0]]), [[2.0, 4.0]])


def test_masks_of_several_inputs_go_to_their_arguments():
    class Pair(keras.Layer):
        def call(self, query, value, mask=None, value_mask=None):
            self.seen = mask, value_mask
            return query

    embedding = keras.layers.Embedding(5, 2, mask_zero=True)
    pair = Pair()
    pair(embedding(np.array([[1, 0]])), embedding(np.array([[0, 2]])))
    np.testing.assert_array_equal(pair.seen[0], [[True, False]])
    np.testing.assert_array_equal(pair.seen[1], [[False, True]])


def test_non_float_weights_start_at_zero():
    layer = keras.Layer()
    assert int(layer.add_weight(dtype="int32", trainable=False)) == 0


def test_weights_need_sizes():
    with pytest.raises(ValueError, match=r"fully-defined .*shape=\(None, 2\).*layer"):
        keras.Layer().add_weight(shape=(None, 2), name="w")


def test_count_params_needs_a_built_layer():
    with pytest.raises(ValueError, match="isn't built"):
        Scale().count_params()


def test_copies_are_independent():
    import copy

    layer = Scale()
    layer(np.ones((1, 2)))
    other = copy.deepcopy(layer)
    other.factor.assign([5.0, 5.0])
    np.testing.assert_array_equal(layer.factor, [2.0, 2.0])
    assert other.weights[0] is other.factor


@pytest.mark.parametrize(
    ("kwargs", "kind", "message"),
    [
        ({"axes": "x"}, TypeError, "dict with integer keys"),
        ({"axes": {3: 1}, "ndim": 2}, ValueError, "Axis 3 is greater than the maximum.*: 1"),
    ],
)
def test_impossible_input_specs(kwargs, kind, message):
    with pytest.raises(kind, match=message):
        keras.InputSpec(**kwargs)


def test_input_spec_round_trip():
    spec = keras.InputSpec(shape=(None, 3), dtype="float32", axes={-1: 3})
    assert keras.InputSpec.from_config(spec.get_config()).get_config() == spec.get_config()
    assert repr(spec) == "InputSpec(dtype=float32, shape=(None, 3), ndim=2, axes={-1: 3})"


def test_no_tensor_where_one_is_wanted():
    layer = Scale(name="s")
    layer.input_spec = keras.InputSpec(ndim=2)
    with pytest.raises(ValueError, match=r"expected a tensor. Received: 'text'"):
        layer("text")


def test_from_config_names_the_class():
    class Strict(keras.Layer):
        def __init__(self, units):
            super().__init__()

    with pytest.raises(TypeError, match=r"Error when deserializing class 'Strict'.*nonsense"):
        Strict.from_config({"nonsense": 1})


def test_untraceable_layer_asks_for_its_shape():
    class Peculiar(keras.Layer):
        def call(self, x):
            return x if float(hr.reduce_sum(x)) > 0 else -x

    with pytest.raises(NotImplementedError, match="Define `compute_output_shape"):
        Peculiar()(keras.Input((3,)))
