"""Every step that `fit` makes is replayed, and trains as the calls one by one do: on the test
double, whose captures refuse what CUDA's do (see `recording_double`)."""

import numpy as np
import pytest
from recording_double import recorder_of_cupy, replaying

import headrace as hr
from headrace.ops.cuda import cupy_recorder, replay, streams

keras = hr.keras
L = keras.layers
RNG = np.random.default_rng
BATCHES = replay.WARM_CALLS + 3


def trained(build, record, policy, count=1, recorder=None):
    """A builder's model after training: the history, the weights and optimizer variables, and
    what its compiled steps say of themselves."""
    keras.utils.set_random_seed(7)
    keras.mixed_precision.set_global_policy(policy)
    try:
        with replaying(record, count, recorder) as steps:
            model, x, y = build()
            done = model.fit(batches(x, y), verbose=0)
            values = [v.numpy() for v in (*model.variables, *model.optimizer.variables)]
            told = [s.told() for s in steps if s.graph.name.startswith("train_step")]
    finally:
        keras.mixed_precision.set_global_policy("float32")
    return done.history, values, told


def batches(x, y):
    options = hr.data.Options()
    options.fetch_to_device = False  # the ring of pinned slots needs CuPy itself
    return hr.data.Dataset.from_tensor_slices((x, y)).batch(4).with_options(options)


def compiled_model(model, loss, optimizer=None, metrics=()):
    model.compile(optimizer or keras.optimizers.Adam(0.01), loss=loss, metrics=list(metrics))
    return model


def numbers(*shape):
    return RNG(len(shape)).normal(size=(4 * BATCHES, *shape)).astype("f4")


def classes(*shape, n=4, dtype="int64"):
    return RNG(9).integers(0, n, (4 * BATCHES, *shape)).astype(dtype)


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mlp(optimizer=None):
    def build():
        model = keras.Sequential([
            L.Input((6,)), L.Dense(8, activation="relu"), L.Dropout(0.3), L.Dense(4),
        ])  # fmt: skip
        made = None if optimizer is None else optimizer()
        return compiled_model(model, sparse(), made, ["accuracy"]), numbers(6), classes()

    return build


def dense(optimizer):
    def build():
        model = keras.Sequential([L.Input((3,)), L.Dense(2)])
        return compiled_model(model, "mse", optimizer()), numbers(3), numbers(2)

    return build


def cnn():
    model = keras.Sequential([
        L.Input((8, 8, 3)), L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(), L.ReLU(),
        L.MaxPooling2D(), L.SpatialDropout2D(0.1), L.Flatten(), L.GaussianNoise(0.1),
        L.Dense(4),
    ])  # fmt: skip
    onehot = keras.utils.to_categorical(classes(), 4)
    loss = keras.losses.CategoricalCrossentropy(from_logits=True)
    metrics = ["accuracy", keras.metrics.TopKCategoricalAccuracy(2)]
    return compiled_model(model, loss, None, metrics), numbers(8, 8, 3), onehot


def recurrent(layer, **settings):
    def build():
        model = keras.Sequential([L.Input((5, 3)), layer(4, **settings), L.Dense(1)])
        return compiled_model(model, "mse", None, ["mae"]), numbers(5, 3), numbers(1)

    return build


def text(mask):
    def build():
        model = keras.Sequential([
            L.Input((5,), dtype="int32"), L.Embedding(20, 6, mask_zero=mask), L.LSTM(4),
            L.Dense(1, activation="sigmoid"),
        ])  # fmt: skip
        x, y = classes(5, n=20, dtype="int32"), classes(1, n=2, dtype="float32")
        return compiled_model(model, "binary_crossentropy", None, ["AUC"]), x, y

    return build


def transformer(ids):
    def build():
        tokens = L.Input((6,), dtype=ids)
        x = L.Embedding(20, 8)(tokens)
        x = x + L.Embedding(6, 8)(hr.range(6))
        seen = L.MultiHeadAttention(2, 4, dropout=0.1)(x, x, use_causal_mask=True)
        x = L.LayerNormalization()(x + L.Dropout(0.1)(seen))
        x = L.LayerNormalization()(x + L.Dense(8)(L.Dense(16, activation="gelu")(x)))
        model = keras.Model(tokens, L.Dense(20)(x))
        metrics = ["accuracy", keras.metrics.SparseTopKCategoricalAccuracy(3)]
        both = classes(6, n=20, dtype=ids), classes(6, n=20, dtype=ids)
        return (compiled_model(model, sparse(), None, metrics), *both)

    return build


def autoencoder():
    model = keras.Sequential([
        L.Input((8, 8, 1)), L.Conv2D(4, 3, strides=2, padding="same", activation="relu"),
        L.AlphaDropout(0.1), L.Conv2DTranspose(1, 3, strides=2, padding="same"),
    ])  # fmt: skip
    x = numbers(8, 8, 1)
    return compiled_model(model, keras.losses.Huber()), x, x


def resized():
    model = keras.Sequential([
        L.Input((6, 6, 2)), L.Resizing(8, 8), L.Conv2D(3, 3), L.GroupNormalization(3),
        L.UpSampling2D(interpolation="bilinear"), L.GlobalAveragePooling2D(), L.Dense(1),
    ])  # fmt: skip
    metrics = [keras.metrics.R2Score(), keras.metrics.RootMeanSquaredError()]
    return compiled_model(model, "mse", None, metrics), numbers(6, 6, 2), numbers(1)


def grouped_queries():
    x = L.Input((5, 8))
    y = L.GroupQueryAttention(4, 4, 2)(x, x)
    model = keras.Model(x, L.Dense(1)(L.Flatten()(L.PReLU()(y))))
    return compiled_model(model, keras.losses.LogCosh()), numbers(5, 8), numbers(1)


MODELS = {
    "mlp with dropout": mlp(),
    "cnn with batch norm and dropout": cnn,
    "convolutional autoencoder": autoencoder,
    "resized images": resized,
    "grouped queries": grouped_queries,
    "lstm": recurrent(L.LSTM),
    "gru": recurrent(L.GRU),
    "lstm with dropout": recurrent(L.LSTM, dropout=0.2, recurrent_dropout=0.1),
    "simple rnn": recurrent(L.SimpleRNN),
    "text": text(False),
    "masked text": text(True),
    "transformer, int32": transformer("int32"),
    "transformer, int64": transformer("int64"),
}
OPT = keras.optimizers
S = keras.optimizers.schedules
OPTIMIZERS = {
    "momentum": lambda: OPT.SGD(0.1, momentum=0.9, nesterov=True),
    "cosine schedule": lambda: OPT.Adam(
        S.CosineDecay(0.01, 4, warmup_steps=2, warmup_target=0.02)
    ),
    "steps schedule": lambda: OPT.SGD(S.PiecewiseConstantDecay([1, 3], [0.1, 0.01, 0.001])),
    "stairs schedule": lambda: OPT.SGD(S.ExponentialDecay(0.01, 2, 0.9, staircase=True)),
    "clipnorm": lambda: OPT.RMSprop(0.01, clipnorm=0.1),
    "global_clipnorm": lambda: OPT.Adam(0.01, global_clipnorm=0.1),
    "clipvalue": lambda: OPT.Adam(0.01, clipvalue=0.01),
    "ema": lambda: OPT.AdamW(0.01, use_ema=True, ema_overwrite_frequency=2),
    "accumulation": lambda: OPT.SGD(0.1, gradient_accumulation_steps=2),
    "adafactor": lambda: OPT.Adafactor(0.01),
    "nadam": lambda: OPT.Nadam(0.01),
    "lamb": lambda: OPT.Lamb(0.01),
    "loss scale": lambda: OPT.LossScaleOptimizer(OPT.Adam(0.01), dynamic_growth_steps=2),
    "overflowing loss scale": lambda: OPT.LossScaleOptimizer(
        OPT.SGD(0.01), initial_scale=2.0**127
    ),
}


def check(build, policy="float32", count=1):
    history, after, told = trained(build, True, policy, count)
    on = f" of {count} streams" if count > 1 else ""
    replays = BATCHES - replay.WARM_CALLS
    assert told == [f"replayed as a CUDA graph{on}, {replays} calls so far"]
    want_history, want, _ = trained(build, False, policy)
    # The CPU's kernels that stand for the device's come as they are compiled: almost equal.
    for a, b in zip(after, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)
    assert history.keys() == want_history.keys()
    for name, values in history.items():
        np.testing.assert_allclose(values, want_history[name], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", MODELS)
def test_models(name):
    check(MODELS[name])


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers(name):
    check(dense(OPTIMIZERS[name]))


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision(policy):
    check(mlp(), policy)


@pytest.mark.parametrize(
    "name", ["mlp with dropout", "masked text", "transformer, int32", "lstm with dropout"]
)
def test_on_several_streams_in_any_order(name):
    check(MODELS[name], count=3)


def test_loss_scales_on_several_streams():
    check(dense(OPTIMIZERS["overflowing loss scale"]), count=2)


@pytest.mark.parametrize("spread", [False, True], ids=["as worth", "on four streams"])
@pytest.mark.parametrize("name", ["mlp with dropout", "masked text", "transformer, int32"])
def test_cupys_recorder(monkeypatch, name, spread):
    """What `CupyRecorder` asks of CuPy: allocations that are the same three times, captures
    that are joined."""
    if spread:
        monkeypatch.setattr(cupy_recorder, "choose", on_four_streams)
    _, after, told = trained(MODELS[name], True, "float32", recorder=recorder_of_cupy)
    assert len(told) == 1 and told[0].startswith("replayed as a CUDA graph")
    assert told[0].endswith(f"{BATCHES - replay.WARM_CALLS} calls so far")
    assert not spread or "of 4 streams" in told[0]
    _, want, _ = trained(MODELS[name], False, "float32")
    for a, b in zip(after, want, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-6)


def on_four_streams(reads, works, also):
    return streams.schedule(reads, 4, also=also)
