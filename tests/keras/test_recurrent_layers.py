"""Recurrent layers against Keras, and against themselves: one operation = the loop over steps,
unrolled = looped, traced = eager."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import layers
from headrace.keras.engine.masks import get_mask, set_mask

rng = np.random.default_rng(7)
X = rng.normal(size=(4, 5, 3)).astype("float32")
MASK = np.array([[1, 1, 1, 1, 1], [1, 1, 1, 0, 0], [0, 1, 0, 1, 0], [0, 0, 0, 0, 0]], bool)
KINDS = ["SimpleRNN", "LSTM", "GRU"]


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").layers


def weights_like(layer):
    found = np.random.default_rng(3)
    return [found.normal(size=w.shape).astype("float32") / 2 for w in layer.weights]


def state(layer_name, units=4, seed=11):
    found = np.random.default_rng(seed)
    count = 2 if layer_name == "LSTM" else 1
    return [found.normal(size=(4, units)).astype("float32") for _ in range(count)]


def as_list(value):
    if isinstance(value, (list, tuple)):
        return [leaf for item in value for leaf in as_list(item)]
    return [value]


def rnn_of_cells(family, **kwargs):
    return family.RNN(
        [family.LSTMCell(4), family.GRUCell(3), family.SimpleRNNCell(2)], **kwargs
    )


def both_ways(name):
    def make(family, **kwargs):
        inner = getattr(family, name)(
            4, return_sequences=kwargs.pop("return_sequences", True),
            return_state=kwargs.pop("return_state", False), **kwargs.pop("inner", {})
        )  # fmt: skip
        return family.Bidirectional(inner, **kwargs)

    return make


def of(name, *args, **fixed):
    return lambda family, **kwargs: getattr(family, name)(*args, **fixed, **kwargs)


CASES = {
    "simple": (of("SimpleRNN", 4), {}),
    "simple relu": (of("SimpleRNN", 4, activation="relu", use_bias=False), {}),
    "lstm": (of("LSTM", 4), {}),
    "lstm all": (of("LSTM", 4), {"return_sequences": True, "return_state": True}),
    "lstm backwards": (of("LSTM", 4), {"return_sequences": True, "go_backwards": True}),
    "lstm no bias": (of("LSTM", 4, use_bias=False), {"return_state": True}),
    "lstm odd": (of("LSTM", 4, activation="relu", recurrent_activation="hard_sigmoid"), {}),
    "lstm parts": (of("LSTM", 4, implementation=1), {"unroll": True}),
    "lstm zeros": (of("LSTM", 4), {"return_sequences": True, "zero_output_for_mask": True}),
    "gru": (of("GRU", 4), {}),
    "gru all": (of("GRU", 4), {"return_sequences": True, "return_state": True}),
    "gru backwards": (of("GRU", 4), {"return_sequences": True, "go_backwards": True}),
    "gru no bias": (of("GRU", 4, use_bias=False), {"return_sequences": True}),
    "gru before": (of("GRU", 4, reset_after=False), {"return_sequences": True}),
    "gru before bare": (of("GRU", 4, reset_after=False, use_bias=False), {}),
    "gru parts": (of("GRU", 4, implementation=1, activation="elu"), {}),
    "cells": (rnn_of_cells, {"return_sequences": True, "return_state": True}),
    "bidirectional": (both_ways("LSTM"), {}),
    "bidirectional last": (both_ways("LSTM"), {"return_sequences": False}),
    "bidirectional sum": (both_ways("GRU"), {"merge_mode": "sum"}),
    "bidirectional mul": (both_ways("GRU"), {"merge_mode": "mul", "return_sequences": False}),
    "bidirectional ave": (both_ways("SimpleRNN"), {"merge_mode": "ave"}),
    "bidirectional both": (both_ways("LSTM"), {"merge_mode": None}),
    "bidirectional state": (both_ways("LSTM"), {"return_state": True}),
    "bidirectional both, state": (both_ways("GRU"), {"merge_mode": None, "return_state": True}),
    "each": (lambda f, **kw: f.TimeDistributed(f.Dense(2, activation="tanh")), {}),
    "each normalized": (lambda f, **kw: f.TimeDistributed(f.BatchNormalization()), {}),
}


def built(case, family):
    make, kwargs = CASES[case]
    layer = make(family, **kwargs)
    layer(X)
    layer.set_weights(weights_like(layer))
    return layer


PLAIN = ["simple", "lstm all", "gru before", "cells", "bidirectional", "each"]


@pytest.mark.parametrize(
    ("case", "masked"),
    [*[(case, True) for case in CASES], *[(case, False) for case in PLAIN]],
    ids=[*[f"{case}, masked" for case in CASES], *PLAIN],
)
def test_outputs_and_gradients_are_keras(tf, peers, case, masked):
    ours, peer = built(case, layers), built(case, peers)
    mine, its = hr.constant(X), tf.constant(X)
    flag = {"training": True} if case == "each normalized" else {}
    if masked:
        set_mask(mine, hr.constant(MASK))
        its._keras_mask = tf.constant(MASK)
    with hr.GradientTape() as tape:
        tape.watch(mine)
        outs = as_list(ours(mine, **flag))
        value = sum(hr.reduce_sum(o * o * o) for o in outs)
    with tf.GradientTape() as peer_tape:
        peer_tape.watch(its)
        expected = as_list(peer(its, **flag))
        peer_value = sum(tf.reduce_sum(o * o * o) for o in expected)
    assert len(outs) == len(expected)
    for a, b in zip(outs, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)
    found = tape.gradient(value, [mine, *ours.trainable_variables])
    wanted = peer_tape.gradient(peer_value, [its, *[v.value for v in peer.trainable_variables]])
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5)
    mask = getattr(expected[0], "_keras_mask", None)
    if mask is None:
        assert get_mask(outs[0]) is None
    else:
        np.testing.assert_array_equal(get_mask(outs[0]), mask)


@pytest.mark.parametrize("case", CASES)
def test_config_and_shapes_are_keras(peers, case):
    make, kwargs = CASES[case]
    ours, peer = make(layers, **kwargs), make(peers, **kwargs)

    def plain(config):
        """Without the names that are made up and what files do not need."""
        if isinstance(config, dict):
            drop = ("name", "registered_name", "build_config", "module")
            return {k: plain(v) for k, v in config.items() if k not in drop}
        return [plain(c) for c in config] if isinstance(config, (list, tuple)) else config

    assert plain(ours.get_config()) == plain(peer.get_config())
    described = keras.utils.serialize_keras_object(ours)
    again = keras.utils.deserialize_keras_object(described)
    assert plain(again.get_config()) == plain(ours.get_config())
    assert plain(peers.deserialize(described).get_config()) == plain(ours.get_config())
    outs = as_list(ours(layers.Input((None, 3))))
    expected = as_list(peer(peers.Input((None, 3))))
    assert [tuple(o.shape) for o in outs] == [tuple(e.shape) for e in expected]
    assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in peer.weights]


@pytest.mark.parametrize("name", KINDS)
def test_leading_masks_and_a_first_state_are_keras(tf, peers, name):
    for kwargs in ({}, {"zero_output_for_mask": True}, {"go_backwards": True}):
        found = []
        for family in (layers, peers):
            layer = getattr(family, name)(4, return_sequences=True, return_state=True, **kwargs)
            layer(X)
            layer.set_weights(weights_like(layer))
            found.append(layer(X, initial_state=state(name), mask=MASK))
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-6)


def test_dropout_is_keras(peers):
    """The same seeds give the same masks."""
    for name, kwargs in (
        ("LSTM", {"dropout": 0.4}),
        ("LSTM", {"dropout": 0.4, "recurrent_dropout": 0.3}),
        ("GRU", {"dropout": 0.4}),
        ("GRU", {"recurrent_dropout": 0.3, "reset_after": False}),
        ("SimpleRNN", {"dropout": 0.4, "recurrent_dropout": 0.3}),
    ):
        found = []
        for family in (layers, peers):
            layer = getattr(family, name)(4, seed=5, return_sequences=True, **kwargs)
            layer.build((None, 5, 3))
            layer.set_weights(weights_like(layer))
            found.append(np.asarray(layer(X, training=True)))
        np.testing.assert_allclose(*found, rtol=1e-4, atol=2e-6, err_msg=f"{name} {kwargs}")


# -- against themselves -----------------------------------------------------------------------


@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
@pytest.mark.parametrize("backwards", [False, True], ids=["forwards", "backwards"])
@pytest.mark.parametrize("name", ["LSTM", "GRU"])
def test_one_operation_equals_the_loop(name, backwards, masked):
    found = []
    for use_cudnn in (True, False):
        layer = getattr(layers, name)(
            4, return_sequences=True, return_state=True, go_backwards=backwards,
            use_cudnn=use_cudnn,
        )  # fmt: skip
        layer.build(X.shape)
        layer.set_weights(weights_like(layer))
        first = [hr.constant(s) for s in state(name)]
        x = hr.constant(X)
        with hr.GradientTape() as tape:
            tape.watch([x, *first])
            outs = layer(x, initial_state=first, mask=MASK if masked else None)
            value = sum(hr.reduce_sum(o * o * o) for o in outs)
        found.append([*outs, *tape.gradient(value, [x, *first, *layer.trainable_variables])])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("case", ["simple", "lstm odd", "gru before", "cells", "lstm all"])
@pytest.mark.parametrize("masked", [False, True], ids=["plain", "masked"])
def test_traced_with_unknown_steps_equals_eager(case, masked):
    layer = built(case, layers)
    variables = layer.trainable_variables

    def run(x, mask):
        with hr.GradientTape() as tape:
            tape.watch(x)
            outs = as_list(layer(x, mask=mask if masked else None))
            value = sum(hr.reduce_sum(o * o) for o in outs)
        return [*outs, *tape.gradient(value, [x, *variables])]

    specs = [hr.TensorSpec([None, None, 3]), hr.TensorSpec([None, None], hr.bool)]
    traced = hr.function(run, input_signature=specs)
    for cut in (5, 2):
        x, mask = hr.constant(X[:, :cut]), hr.constant(MASK[:, :cut])
        for a, b in zip(traced(x, mask), run(x, mask), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def test_many_steps_are_looped_in_a_trace():
    layer = layers.SimpleRNN(3)
    x = rng.normal(size=(2, 200, 3)).astype("float32")
    traced = hr.function(layer)
    np.testing.assert_allclose(traced(hr.constant(x)), layer(x), rtol=1e-4, atol=1e-6)
    graph = traced.get_concrete_function(hr.TensorSpec([2, 200, 3])).graph
    assert len(graph.nodes) < 100


def test_dropout_in_a_trace_draws_once_per_batch():
    layer = layers.SimpleRNN(
        3, activation=None, use_bias=False, kernel_initializer="identity", dropout=0.5, seed=2,
        recurrent_initializer="zeros", return_sequences=True,
    )  # fmt: skip
    x = np.ones((6, 70, 3), "float32")
    traced = hr.function(lambda x: layer(x, training=True))
    first, second = np.asarray(traced(x)), np.asarray(traced(x))
    for out in (first, second):
        assert set(np.unique(out)) == {0.0, 2.0}
        np.testing.assert_array_equal(out, np.broadcast_to(out[:, :1], out.shape))
    assert (first != second).any()
    twin = layers.SimpleRNN.from_config(layer.get_config() | {"seed": 2})
    np.testing.assert_array_equal(twin(x, training=True), first)
    np.testing.assert_array_equal(layer(x), x)


@pytest.mark.parametrize("name", KINDS)
def test_stateful_layers_go_on_where_they_were(name):
    whole = getattr(layers, name)(4, return_sequences=True)
    parts = getattr(layers, name)(4, return_sequences=True, stateful=True)
    whole.build(X.shape)
    parts.build((4, 2, 3))
    parts.set_weights(weights_like(whole))
    whole.set_weights(weights_like(whole))
    assert len(parts.weights) == 3
    expected = np.asarray(whole(X))
    for run in (parts, hr.function(parts)):
        parts.reset_states()
        found = np.concatenate(
            [np.asarray(run(hr.constant(X[:, k : k + 1]))) for k in range(5)], 1
        )
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="Expected batch size: 4"):
        parts(X[:2])
    with pytest.raises(ValueError, match="batch size must be static"):
        getattr(layers, name)(4, stateful=True)(layers.Input((5, 3)))


def test_stateful_model_is_trained_and_reset():
    model = keras.Sequential(
        [layers.Input(batch_shape=(4, 5, 3)), layers.LSTM(3, stateful=True), layers.Dense(1)]
    )
    model.compile("sgd", "mse")
    model.fit(X, X[:, 0, :1], batch_size=4, epochs=2, verbose=0)
    layer = model.layers[0]
    assert np.abs(np.asarray(layer.states[0])).max() > 0
    layer.reset_state()
    assert not np.asarray(layer.states[1]).any()


class Adder:
    """A cell that is no layer."""

    state_size = 3

    def call(self, inputs, states, constants=()):
        made = inputs + states[0] + sum(constants)
        return made, [made]


class Pair(keras.Layer):
    """A cell with a state of each size and an output of its own size."""

    state_size = (2, 3)
    output_size = 1

    def build(self, input_shape):
        self.kernel = self.add_weight(shape=(input_shape[-1], 2), name="kernel")
        self.built = True

    def call(self, inputs, states):
        one = states[0] + hr.matmul(inputs, self.kernel)
        other = states[1] + inputs
        return hr.reduce_sum(one, -1, keepdims=True), [one, other]


def test_cells_of_ones_own():
    out = layers.RNN(Adder(), return_sequences=True)(X)
    np.testing.assert_allclose(out, X.cumsum(1), rtol=1e-5)
    shifted = layers.RNN(Adder())(X, constants=[hr.ones((4, 3)), hr.ones((4, 3))])
    np.testing.assert_allclose(shifted, X.sum(1) + 10, rtol=1e-5)
    layer = layers.RNN(Pair(), return_state=True)
    out, one, other = layer(X)
    assert out.shape == (4, 1) and one.shape == (4, 2)
    np.testing.assert_allclose(other, X.sum(1), rtol=1e-5, atol=1e-6)
    symbolic = layer(layers.Input((5, 3)))
    assert [t.shape for t in symbolic] == [(None, 1), (None, 2), (None, 3)]


def test_a_state_flows_between_layers():
    """An encoder's states begin a decoder, in a functional model."""
    inputs, targets = layers.Input((5, 3)), layers.Input((2, 3))
    _, h, c = layers.LSTM(4, return_state=True)(inputs)
    out = layers.LSTM(4)(targets, initial_state=[h, c])
    model = keras.Model([inputs, targets], out)
    both = model.predict([X, X[:, :2]], verbose=0)
    alone = model.layers[-1](X[:, :2])
    assert both.shape == (4, 4) and np.abs(both - np.asarray(alone)).max() > 1e-3


def test_embedding_masks_reach_the_layers_behind():
    words = np.array([[3, 4, 0, 0], [1, 0, 2, 0]])
    model = keras.Sequential(
        [
            layers.Embedding(6, 3, mask_zero=True),
            layers.Bidirectional(layers.LSTM(2, return_sequences=True)),
            layers.GRU(2),
            layers.Dense(1),
        ]
    )
    short = np.asarray(model(words[:1]))
    np.testing.assert_allclose(model(words[:1, :2]), short, rtol=1e-5, atol=1e-6)
    model.compile("adam", "mse")
    model.fit(words, np.ones((2, 1)), verbose=0)


def test_time_distributed_over_models_and_images():
    images = rng.normal(size=(2, 3, 8, 8, 1)).astype("float32")
    conv = layers.Conv2D(2, 3)
    out = layers.TimeDistributed(conv)(images)
    np.testing.assert_allclose(out[:, 1], conv(images[:, 1]), rtol=1e-5, atol=1e-6)
    inner = keras.Sequential([layers.Flatten(), layers.Dense(2)])
    model = keras.Sequential([layers.Input((None, 8, 8, 1)), layers.TimeDistributed(inner)])
    assert model.output_shape == (None, None, 2)
    np.testing.assert_allclose(
        model.predict(images, verbose=0)[:, 2], inner(images[:, 2]), rtol=1e-5, atol=1e-6
    )


class Centred(keras.Layer):
    """Its samples depend on each other."""

    def call(self, x):
        return x - hr.reduce_mean(x, axis=0, keepdims=True)


def test_time_distributed_keeps_the_steps_of_foreign_layers_apart():
    out = layers.TimeDistributed(Centred())(X)
    np.testing.assert_allclose(out, X - X.mean(0, keepdims=True), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", KINDS)
def test_batch_of_one_and_empty_batch(name):
    layer = getattr(layers, name)(4, return_sequences=True)
    np.testing.assert_allclose(layer(X[:1]), layer(X)[:1], rtol=1e-5, atol=1e-6)
    assert layer(X[:0]).shape == (0, 5, 4)


def test_half_floats():
    for name in KINDS:
        layer = getattr(layers, name)(4, dtype="mixed_float16")
        assert layer(X).dtype == hr.float16 and layer.weights[0].dtype == hr.float32


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.LSTM(0), "expected a positive integer, got 0"),
        (lambda: layers.GRU(4, use_cudnn="yes"), "use_cudnn"),
        (lambda: layers.GRU(4, use_cudnn=True, activation="relu")(X), "use_cudnn=True"),
        (lambda: layers.LSTM(4)(X, initial_state=[hr.zeros((4, 4))]), r"expects 2 state\(s\)"),
        (lambda: layers.LSTM(4)(X[:, 0]), "ndim=3"),
        (lambda: layers.SimpleRNN(4)(X[:, :0]), "at least one step"),
        (lambda: layers.RNN(3), "`call` method"),
        (lambda: layers.RNN(layers.Dense(3)), "`state_size`"),
        (
            lambda: hr.function(
                layers.LSTM(4, unroll=True), input_signature=[hr.TensorSpec([None, None, 3])]
            )(X),
            "Cannot unroll",
        ),
        (lambda: layers.Bidirectional(layers.LSTM(4), merge_mode="max"), "Invalid merge mode"),
        (lambda: layers.Bidirectional("LSTM"), "Please initialize `Bidirectional`"),
        (
            lambda: layers.Bidirectional(layers.LSTM(4), backward_layer=layers.LSTM(4)),
            "different `go_backwards`",
        ),
        (lambda: layers.TimeDistributed(layers.Dense(2))(X[:, 0]), "at least 3 dimensions"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- training and files against Keras ---------------------------------------------------------


def text_model(k):
    return k.Sequential(
        [
            k.layers.Input((6,), dtype="int32"),
            k.layers.Embedding(12, 5, mask_zero=True),
            k.layers.Bidirectional(k.layers.LSTM(4, return_sequences=True)),
            k.layers.GRU(4, return_sequences=True),
            k.layers.TimeDistributed(k.layers.Dense(4)),
            k.layers.RNN([k.layers.SimpleRNNCell(4), k.layers.LSTMCell(3)]),
            k.layers.Dense(1),
        ]
    )


WORDS = rng.integers(1, 12, (24, 6)) * (np.arange(6) < rng.integers(1, 7, (24, 1)))
TARGETS = (WORDS.sum(1, keepdims=True) / 30).astype("float32")


def started(k):
    model = text_model(k)
    found = np.random.default_rng(9)
    model.set_weights([found.normal(size=w.shape).astype("float32") / 2 for w in model.weights])
    return model


@pytest.mark.peers
def test_twenty_steps_are_keras(tf):
    real = pytest.importorskip("keras")
    results = []
    for k in (keras, real):
        model = started(k)
        model.compile(k.optimizers.SGD(0.05, momentum=0.9), "mse")
        history = model.fit(WORDS, TARGETS, batch_size=6, epochs=5, shuffle=False, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    (losses, ours), (peer_losses, theirs) = results
    np.testing.assert_allclose(losses, peer_losses, rtol=1e-4)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("direction", ["ours to Keras", "Keras to ours"])
def test_files_go_both_ways(tf, tmp_path, direction):
    real = pytest.importorskip("keras")
    writer, reader = (keras, real) if direction == "ours to Keras" else (real, keras)
    first = started(writer)
    expected = first.predict(WORDS, verbose=0)
    first.save(str(tmp_path / "m.keras"))
    first.save_weights(str(tmp_path / "m.weights.h5"))
    whole = reader.models.load_model(str(tmp_path / "m.keras"))
    np.testing.assert_allclose(whole.predict(WORDS, verbose=0), expected, rtol=1e-4, atol=1e-6)
    other = text_model(reader)
    other.load_weights(str(tmp_path / "m.weights.h5"))
    np.testing.assert_allclose(other.predict(WORDS, verbose=0), expected, rtol=1e-4, atol=1e-6)
