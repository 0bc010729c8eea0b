"""Training and files against real Keras: the same losses; files read both ways."""

import warnings

import numpy as np
import pytest

from headrace import keras

pytestmark = pytest.mark.peers

RNG = np.random.default_rng(5)
X = RNG.normal(size=(90, 6)).astype("float32")
LABELS = (np.abs(X[:, 0]) + X[:, 1] > 0.5).astype("int64") + (X[:, 2] > 1)


@pytest.fixture(scope="module")
def real():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def classifier(k):
    return k.Sequential(
        [
            k.Input((6,)),
            k.layers.Dense(16, activation="relu", kernel_regularizer="l2"),
            k.layers.Dense(3, activation="softmax"),
        ]
    )


def start(model):
    rng = np.random.default_rng(9)
    model.set_weights([rng.normal(size=w.shape).astype("float32") / 3 for w in model.weights])
    return model


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda k: k.optimizers.SGD(0.05),
        lambda k: k.optimizers.SGD(0.05, momentum=0.9, nesterov=True),
        lambda k: k.optimizers.Adam(0.01),
        lambda k: k.optimizers.Adam(0.01, clipnorm=0.1),
    ],
    ids=["sgd", "nesterov", "adam", "adam_clipnorm"],
)
def test_twenty_steps_give_the_same_history(real, optimizer):
    def run(k):
        model = start(classifier(k))
        model.compile(optimizer(k), "sparse_categorical_crossentropy", metrics=["accuracy"])
        history = model.fit(
            X, LABELS, batch_size=24, epochs=5, shuffle=False, verbose=0,
            validation_data=(X[:20], LABELS[:20]), class_weight={0: 1.0, 1: 2.0, 2: 0.5},
        )  # fmt: skip
        return history.history, model.get_weights()

    ours, our_weights = run(keras)
    theirs, their_weights = run(real)
    assert list(ours) == list(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=2e-4, err_msg=name)
    for a, b in zip(our_weights, their_weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-4)


def deep(k):
    """One of everything that has state."""
    inputs = k.Input((6,), name="in")
    h = k.layers.Dense(4)(inputs)
    h = k.layers.BatchNormalization()(h)
    h = k.layers.Dropout(0.2)(h)
    inner = k.Sequential([k.layers.Dense(3), k.layers.LayerNormalization()])
    out = k.layers.Concatenate()([inner(h), k.layers.Dense(2)(h)])
    return k.Model(inputs, out)


@pytest.mark.parametrize("make", [classifier, deep], ids=["sequential", "functional"])
@pytest.mark.parametrize("direction", ["ours_to_keras", "keras_to_ours"])
def test_weights_files_go_both_ways(real, make, direction, tmp_path):
    writer, reader = (keras, real) if direction == "ours_to_keras" else (real, keras)
    path = str(tmp_path / "m.weights.h5")
    first = start(make(writer))
    first.compile("adam", "mse")
    width = first.output_shape[-1]
    first.fit(X, X[:, :1].repeat(width, 1), verbose=0)
    first.save_weights(path)
    second = make(reader)
    second.compile("adam", "mse")
    if direction == "ours_to_keras":
        second.optimizer.build(second.trainable_variables)
    second.load_weights(path)
    np.testing.assert_allclose(
        second.predict(X, verbose=0), first.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )
    assert int(second.optimizer.iterations) == int(first.optimizer.iterations) == 3


def operators(k):
    """Operators on placeholders, which are no layers."""
    inputs = k.Input((6,))
    h = k.layers.Dense(4)(inputs)
    return k.Model(inputs, k.layers.Dense(2)(-h[:, 1:] * 2.0 + 1.0))


@pytest.mark.parametrize("make", [classifier, deep, operators])
@pytest.mark.parametrize("direction", ["ours_to_keras", "keras_to_ours"])
def test_model_files_go_both_ways(real, make, direction, tmp_path):
    writer, reader = (keras, real) if direction == "ours_to_keras" else (real, keras)
    path = str(tmp_path / "m.keras")
    first = make(writer)
    first.compile("adam", "mse")
    first.save(path)
    second = reader.models.load_model(path)
    np.testing.assert_allclose(
        second.predict(X, verbose=0), first.predict(X, verbose=0), rtol=1e-5, atol=1e-6
    )
    assert [layer.name for layer in second.layers] == [layer.name for layer in first.layers]


def test_configs_are_the_same(real):
    def names(described):
        """The names and plain values that make the architecture."""
        layers = described["config"]["layers"]
        return [
            (layer["module"], layer["class_name"], layer["config"]["name"]) for layer in layers
        ]

    real.backend.clear_session()
    keras.backend.clear_session()
    ours = keras.saving.serialize_keras_object(classifier(keras))
    theirs = real.saving.serialize_keras_object(classifier(real))
    assert names(ours) == names(theirs)
    assert (ours["module"], ours["class_name"]) == (theirs["module"], theirs["class_name"])


def test_metrics_of_several_outputs_have_the_same_names(real):
    def run(k):
        inputs = k.Input((6,))
        a = k.layers.Dense(1, name="a")(inputs)
        b = k.layers.Dense(2, name="b")(inputs)
        model = k.Model(inputs, {"a": a, "b": b})
        start(model)
        model.compile("sgd", {"a": "mse", "b": "mae"}, metrics={"a": ["mae"], "b": ["mse"]})
        data = {"a": X[:, :1], "b": X[:, :2]}
        # Keras means the outputs' losses over batches, whatever their size: take equal ones.
        return model.fit(X, data, batch_size=30, verbose=0, shuffle=False).history

    ours, theirs = run(keras), run(real)
    assert sorted(ours) == sorted(theirs)
    for name, values in theirs.items():
        np.testing.assert_allclose(ours[name], values, rtol=1e-4, err_msg=name)


@pytest.mark.parametrize("make", [classifier, deep], ids=["sequential", "functional"])
def test_summary_is_the_same(real, make):
    def lines(k):
        k.backend.clear_session()
        model = make(k)
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        text = []
        model.summary(print_fn=lambda line, **_: text.append(line))
        return [line.rstrip() for line in "\n".join(text).splitlines()[1:] if line.strip()]

    assert lines(keras) == lines(real)
