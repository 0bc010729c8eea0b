"""Compiled functions are replayed on the device and give what the CPU gives.

On the double the recorder is that of `tests/ops/cuda/recording_double.py`; there every kind of
step is tried (`test_recorded_training.py`).
"""

import contextlib
import gc
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.ops import device_backend
from headrace.ops.cuda import compiled, cupy_recorder, replay, streams
from headrace.ops.devices import devices

sys.path.insert(0, str(Path(__file__).parent.parent / "ops" / "cuda"))
keras = hr.keras
L = keras.layers
BATCHES = replay.WARM_CALLS + 4
info = hr.config.experimental.get_memory_info


@contextlib.contextmanager
def cuda():
    """The GPU; a list of what is compiled for it."""
    backend, why_none = device_backend.load()
    if backend is None:
        pytest.skip(f"there is no GPU: {why_none}")
    before, made = (devices.backend, devices.why_none), []
    placed = sys.modules["headrace.ops.graph.placed"]
    real = placed._compiled

    def kept(graph):
        found = real(graph)
        if isinstance(found, compiled.Replayed):
            made.append(found)
        return found

    placed._compiled = kept
    devices.use(backend)
    hr.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield made
    finally:
        hr.config.experimental.enable_tensor_float_32_execution(True)
        devices.use(*before)
        placed._compiled = real


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.gpu)])
def made(request):
    """What was compiled for the device."""
    if request.param == "cuda":
        with cuda() as found:
            yield found
    else:
        from recording_double import replaying

        with replaying() as found:
            yield found


def told(made, name):
    return [m.told() for m in made if m.graph.name.startswith(name)]


# -- training ---------------------------------------------------------------------------------


def rows(*shape):
    return np.random.default_rng(len(shape)).normal(size=(4 * BATCHES, *shape)).astype("f4")


def ids(*shape, n=4, dtype="int32"):
    return np.random.default_rng(5).integers(0, n, (4 * BATCHES, *shape)).astype(dtype)


def sparse():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def mlp():
    model = keras.Sequential([
        L.Input((6,)), L.Dense(16, activation="relu"), L.Dropout(0.3), L.Dense(4),
    ])  # fmt: skip
    return model, sparse(), rows(6), ids()


def cnn():
    model = keras.Sequential([
        L.Input((8, 8, 3)), L.Conv2D(4, 3, use_bias=False), L.BatchNormalization(), L.ReLU(),
        L.MaxPooling2D(), L.Dropout(0.2), L.Flatten(), L.Dense(4),
    ])  # fmt: skip
    return model, sparse(), rows(8, 8, 3), ids()


def lstm():
    model = keras.Sequential([L.Input((5, 3)), L.LSTM(4), L.Dense(1)])
    return model, keras.losses.MeanSquaredError(), rows(5, 3), rows(1)


def transformer():
    tokens = L.Input((6,), dtype="int32")
    x = L.Embedding(20, 8)(tokens)
    seen = L.MultiHeadAttention(2, 4)(x, x, use_causal_mask=True)
    x = L.LayerNormalization()(x + L.Dropout(0.1)(seen))
    x = L.LayerNormalization()(x + L.Dense(8)(L.Dense(16, activation="gelu")(x)))
    return keras.Model(tokens, L.Dense(20)(x)), sparse(), ids(6, n=20), ids(6, n=20)


def trained(build, optimizer, place=None):
    keras.utils.set_random_seed(7)
    with hr.device(place):
        model, loss, x, y = build()
        model.compile(optimizer(), loss)
        options = hr.data.Options()
        options.fetch_to_device = False
        dataset = hr.data.Dataset.from_tensor_slices((x, y)).batch(4).with_options(options)
        losses = model.fit(dataset, verbose=0).history["loss"]
    return losses, [v.numpy() for v in (*model.variables, *model.optimizer.variables)]


def momentum():
    return keras.optimizers.SGD(
        keras.optimizers.schedules.CosineDecay(0.05, 10), momentum=0.9, global_clipnorm=1.0
    )


def check(made, build, optimizer, expected="replayed as a CUDA graph"):
    got, after = trained(build, optimizer)
    (text,) = told(made, "train_step")
    assert text.startswith(expected), text
    assert text.endswith(f"{BATCHES - replay.WARM_CALLS} calls so far"), text
    want, weights = trained(build, optimizer, "cpu:0")
    np.testing.assert_allclose(got, want, rtol=1e-3)
    for a, b in zip(after, weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.parametrize("build", [mlp, cnn, lstm, transformer])
def test_steps_of_fit_are_replayed(made, build):
    check(made, build, momentum)


def test_a_model_tells(made):
    model, loss, x, y = mlp()
    model.compile("sgd", loss)
    assert "not traced yet" in model.make_train_function().explain()
    for _ in range(4):
        model.train_on_batch(x[:4], y[:4])
    text = model.train_function.explain()
    assert "on the device: replayed as a CUDA graph" in text, text


@pytest.mark.parametrize("scale", [2.0**15, 2.0**127], ids=["fits", "overflows"])
def test_loss_scaling_is_replayed(made, scale):
    check(made, mlp, lambda: keras.optimizers.LossScaleOptimizer(
        keras.optimizers.SGD(0.05), scale, dynamic_growth_steps=2))  # fmt: skip


@pytest.mark.gpu
def test_several_streams_give_the_same(monkeypatch):
    def four(reads, works, also):
        return streams.schedule(reads, 4, also=also)

    monkeypatch.setattr(cupy_recorder, "choose", four)
    with cuda() as made:
        check(made, transformer, momentum, "replayed as a CUDA graph of 4 streams")


# -- functions --------------------------------------------------------------------------------


def test_random_numbers_go_on(made):
    def numbers(place):
        hr.random.set_seed(11)
        generator = hr.random.Generator.from_seed(4)
        seeds = keras.random.SeedGenerator(5)

        @hr.function
        def draws(x):
            return [
                x + hr.random.uniform([5]), hr.random.normal([3], seed=2),
                hr.random.truncated_normal([6]), hr.random.uniform([4], 0, 50, "int32"),
                generator.normal([5]), keras.random.uniform([7], seed=seeds),
            ]  # fmt: skip

        found = []
        with hr.device(place):
            for _ in range(BATCHES):
                found += [a.numpy() for a in draws(hr.constant(0.0))]
                found.append(hr.random.normal([2], seed=2).numpy())
                found.append(generator.uniform([2]).numpy())
        return found

    got = numbers(None)
    assert told(made, "draws") == [f"replayed as a CUDA graph, {BATCHES - 2} calls so far"]
    for a, b in zip(got, numbers("cpu:0"), strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)


def test_conditions_and_loops(made):
    v = hr.Variable(np.zeros(3, np.float32))

    @hr.function
    def step(x):
        def up():
            return v.assign(v + x)

        def down():
            v.assign(v * 0.5)
            return v - x

        y = hr.cond(hr.reduce_sum(x) > 0.0, up, down)
        for _ in hr.range(3):
            y = hr.tanh(y) + x
        return y

    want = np.zeros(3, np.float32)
    for i in range(10):
        x = np.float32([1, -0.5, 0.25]) * (-1) ** (i // 2) * (1 + i)
        y = step(hr.constant(x)).numpy()
        if x.sum() > 0:
            want = want + x
            z = want
        else:
            want = want * np.float32(0.5)
            z = want - x
        for _ in range(3):
            z = np.tanh(z) + x
        np.testing.assert_allclose(y, z, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(v.numpy(), want, rtol=1e-5, atol=1e-6)
    assert told(made, "step") == ["replayed as a CUDA graph, 8 calls so far"]


def test_tensors_that_were_read_keep_their_numbers(made):
    v = hr.Variable(np.zeros(4, np.float32))

    @hr.function
    def step(x):
        return v.assign_add(x)

    x = hr.constant(np.ones(4, np.float32))
    kept, results = [], []
    for i in range(12):
        results.append(step(x))
        if i % 3 == 0:
            kept.append((i + 1, v.read_value()))
        if i % 5 == 4:
            kept.clear()
        assert all((t.numpy() == n).all() for n, t in kept)
    assert [float(r[0]) for r in results] == list(range(1, 13))


def test_shapes_have_recordings_of_their_own(made):
    @hr.function(reduce_retracing=True)
    def scaled(x):
        return x * 2.0 + hr.cast(hr.shape(x)[0], hr.float32)

    for _ in range(5):
        for n in (3, 5):
            x = np.arange(n, dtype=np.float32)
            np.testing.assert_array_equal(scaled(hr.constant(x)).numpy(), 2 * x + n)


def test_reasons(made):
    @hr.function
    def picked(x):
        return hr.boolean_mask(x, x > 0.0)

    @hr.function
    def until(x):
        while hr.reduce_sum(x) < 100.0:
            x = x * 2.0
        return x

    for _ in range(4):
        x = hr.constant([1.0, -1.0, 3.0])
        assert picked(x).numpy().tolist() == [1.0, 3.0]
        assert until(x).numpy().tolist() == [64.0, -64.0, 192.0]
    assert "depends on its input" in picked.explain()
    assert "is read on the host" in until.explain() or "reads a value" in until.explain()


def test_memory_is_flat(made):
    w = hr.Variable(np.ones((64, 64), np.float32))
    x = hr.constant(np.ones((32, 64), np.float32))
    optimizer = keras.optimizers.Adam(1e-3)

    @hr.function
    def step(x):
        with hr.GradientTape() as tape:
            loss = hr.reduce_mean(hr.tanh(x @ w) * hr.random.uniform([64]))
        optimizer.apply_gradients([(tape.gradient(loss, w), w)])
        return loss

    for _ in range(10):
        step(x)
    gc.collect()
    before = info("GPU:0")["current"]
    for _ in range(1000 if devices.backend.native else 50):
        step(x)
    gc.collect()
    assert info("GPU:0")["current"] <= before + 4096
    assert told(made, "step")[0].startswith("replayed")
