"""Whole networks on a GPU: their losses while they learn, and their predictions, are the
CPU's."""

import numpy as np
import pytest

import headrace as hr

keras = hr.keras
layers = keras.layers


def mlp():
    return [keras.Input((12,)), layers.Dense(16, activation="relu"), layers.Dense(3)]


def cnn():
    return [
        keras.Input((10, 10, 2)), layers.Conv2D(8, 3, activation="relu"), layers.MaxPooling2D(),
        layers.Conv2D(8, 3, padding="same", strides=2, use_bias=False),
        layers.BatchNormalization(), layers.ReLU(), layers.AveragePooling2D(),
        layers.Flatten(), layers.Dense(3),
    ]  # fmt: skip


def depthwise():
    return [
        keras.Input((9, 9, 4)), layers.DepthwiseConv2D(3, activation="relu"),
        layers.SeparableConv2D(6, 3), layers.GlobalAveragePooling2D(), layers.Dense(3),
    ]  # fmt: skip


def lstm():
    return [keras.Input((7, 5)), layers.LSTM(8), layers.Dense(3)]


def gru():
    return [keras.Input((7, 5)), layers.GRU(8, return_sequences=True), layers.GRU(6),
            layers.Dense(3)]  # fmt: skip


def masked():
    return [keras.Input((7, 5)), layers.Masking(), layers.LSTM(8), layers.Dense(3)]


def transformer():
    inputs = h = keras.Input((6, 16))
    for _ in range(2):
        inner = layers.LayerNormalization()(h)
        h = layers.Add()([h, layers.MultiHeadAttention(2, 8)(inner, inner)])
        inner = layers.Dense(32, activation="gelu")(layers.LayerNormalization()(h))
        h = layers.Add()([h, layers.Dense(16)(inner)])
    return keras.Model(inputs, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))


def embedding():
    return [keras.Input((6,), dtype="int64"), layers.Embedding(20, 8), layers.Flatten(),
            layers.Dense(3)]  # fmt: skip


NETWORKS = {f.__name__: f for f in (mlp, cnn, depthwise, lstm, gru, masked, transformer,
                                    embedding)}  # fmt: skip
STEPS = 6  # on a GPU the last ones are replayed


def learned(make, optimizer):
    """Losses of some steps on the same two batches in turn, then the predictions."""
    parts = make()
    model = keras.Sequential(parts) if isinstance(parts, list) else parts
    rng = np.random.default_rng(0)
    model.set_weights([
        (np.abs(w) + 0.5 if (w == 1).all() else rng.normal(size=w.shape) * 0.3).astype(w.dtype)
        for w in model.get_weights()
    ])  # fmt: skip
    shape = model.input_shape[1:]
    if make is embedding:
        batches = [rng.integers(0, 20, (8, *shape)) for _ in range(2)]
    else:
        batches = [rng.normal(size=(8, *shape)).astype("f4") for _ in range(2)]
    labels = rng.integers(0, 3, 8)
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(optimizer(), loss)
    losses = [float(model.train_on_batch(batches[i % 2], labels)) for i in range(STEPS)]
    return np.array(losses), np.asarray(model.predict_on_batch(batches[0]))


OPTIMIZERS = {
    "momentum": lambda: keras.optimizers.SGD(0.05, momentum=0.9),
    "adam": lambda: keras.optimizers.Adam(0.01),
}


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_it_learns_as_on_the_cpu(gpus, name, optimizer):
    with hr.device("cpu:0"):
        want = learned(NETWORKS[name], OPTIMIZERS[optimizer])
    got = learned(NETWORKS[name], OPTIMIZERS[optimizer])
    close = 5e-3 if gpus.real else 2e-5  # rounding grows from step to step
    for g, w in zip(got, want, strict=True):
        np.testing.assert_allclose(g, w, rtol=close, atol=close)
    assert got[0][-1] < got[0][0]
