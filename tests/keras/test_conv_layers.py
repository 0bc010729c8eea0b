"""Convolution, pooling and border layers: shapes, configs, files, and the same as Keras."""

import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(2)
L = keras.layers


@pytest.fixture(scope="module")
def real():
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


SHAPES = {1: (9, 4), 2: (7, 8, 4), 3: (4, 5, 4, 4)}
# (layer, arguments, ranks)
LAYERS = [
    ("Conv{}D", dict(filters=6, kernel_size=3), (1, 2, 3)),
    ("Conv{}D", dict(filters=6, kernel_size=2, strides=2, padding="same", activation="relu"),
     (1, 2, 3)),
    ("Conv{}D", dict(filters=6, kernel_size=2, dilation_rate=2, use_bias=False), (1, 2)),
    ("Conv{}D", dict(filters=6, kernel_size=2, groups=2), (2,)),
    ("Conv{}D", dict(filters=6, kernel_size=3, padding="causal", dilation_rate=2), (1,)),
    ("Conv{}DTranspose", dict(filters=3, kernel_size=3, strides=2), (1, 2, 3)),
    ("Conv{}DTranspose", dict(filters=3, kernel_size=3, strides=2, padding="same"), (1, 2, 3)),
    ("Conv{}DTranspose", dict(filters=3, kernel_size=2, strides=3, output_padding=1), (2,)),
    ("DepthwiseConv{}D", dict(kernel_size=3, depth_multiplier=2, activation="tanh"), (1, 2)),
    ("DepthwiseConv{}D", dict(kernel_size=3, strides=2, padding="same"), (1, 2)),
    ("SeparableConv{}D", dict(filters=5, kernel_size=3, depth_multiplier=2), (1, 2)),
    ("MaxPooling{}D", dict(pool_size=2), (1, 2, 3)),
    ("MaxPooling{}D", dict(pool_size=3, strides=2, padding="same"), (1, 2, 3)),
    ("AveragePooling{}D", dict(pool_size=2), (1, 2, 3)),
    ("AveragePooling{}D", dict(pool_size=3, strides=2, padding="same"), (1, 2, 3)),
    ("GlobalMaxPooling{}D", dict(), (1, 2, 3)),
    ("GlobalAveragePooling{}D", dict(keepdims=True), (1, 2, 3)),
    ("ZeroPadding{}D", dict(padding=2), (1, 2, 3)),
    ("ZeroPadding{}D", dict(padding=((1, 0), (0, 2))), (2,)),
    ("Cropping{}D", dict(cropping=1), (1, 2, 3)),
    ("Cropping{}D", dict(cropping=((1, 0), (0, 2))), (2,)),
    ("UpSampling{}D", dict(size=2), (1, 2, 3)),
    ("UpSampling{}D", dict(size=(2, 3), interpolation="bilinear"), (2,)),
]  # fmt: skip
CASES = [
    pytest.param(name.format(rank), kwargs, rank, id=f"{name.format(rank)}-{i}")
    for i, (name, kwargs, ranks) in enumerate(LAYERS)
    for rank in ranks
]


@pytest.mark.parametrize(("name", "kwargs", "rank"), CASES)
def test_shapes_and_config(name, kwargs, rank):
    layer = getattr(L, name)(**kwargs)
    x = RNG.normal(size=(2, *SHAPES[rank])).astype("f")
    y = layer(x)
    assert tuple(y.shape) == tuple(layer.compute_output_shape(x.shape))
    open_batch = keras.Sequential([keras.Input(SHAPES[rank]), layer])
    assert open_batch.output_shape == (None, *y.shape[1:])
    np.testing.assert_allclose(open_batch.predict(x, verbose=0), y, rtol=1e-5, atol=1e-6)
    again = type(layer).from_config(layer.get_config())
    again.build(x.shape)
    again.set_weights(layer.get_weights())
    np.testing.assert_allclose(again(x), y, rtol=1e-5, atol=1e-6)
    assert again.get_config() == layer.get_config()


@pytest.mark.parametrize(
    ("name", "kwargs", "rank"),
    [c for c in CASES if c.values[2] < 3 and "GlobalA" not in c.id and "causal" not in str(c)],
)
def test_channels_first(name, kwargs, rank):
    if name in ("UpSampling1D", "Cropping1D") or kwargs.get("padding") == "causal":
        pytest.skip("channels last only")
    last, first = (
        getattr(L, name)(**kwargs, data_format=f"channels_{f}") for f in ("last", "first")
    )
    x = RNG.normal(size=(2, *SHAPES[rank])).astype("f")
    want = last(x).numpy()
    moved = np.moveaxis(x, -1, 1)
    first.build(moved.shape)
    first.set_weights(last.get_weights())
    got = first(moved).numpy()
    assert tuple(first.compute_output_shape(moved.shape)) == got.shape
    np.testing.assert_allclose(
        np.moveaxis(got, 1, -1) if got.ndim > 2 else got, want, 1e-5, 1e-5
    )


@pytest.mark.peers
@pytest.mark.parametrize(("name", "kwargs", "rank"), CASES)
def test_results_and_configs_are_keras(real, name, kwargs, rank):
    x = RNG.normal(size=(2, *SHAPES[rank])).astype("f")
    ours, theirs = getattr(L, name)(**kwargs), getattr(real.layers, name)(**kwargs)
    ours(x), theirs(x)
    assert [w.shape for w in ours.get_weights()] == [w.shape for w in theirs.get_weights()]
    names = [w.name.split("/")[-1].removesuffix(":0") for w in ours.weights]
    assert names == [w.name for w in theirs.weights]
    ours.set_weights(theirs.get_weights())
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=2e-4, atol=2e-5)

    def plain(config):
        return {
            k: tuple(v) if isinstance(v, list) else v
            for k, v in config.items()
            if not isinstance(v, dict) and k != "name"
        }

    assert plain(ours.get_config()) == plain(theirs.get_config())
    assert set(ours.get_config()) == set(theirs.get_config())


def cnn(k):
    return k.Sequential(
        [
            k.Input((12, 12, 1)),
            k.layers.Conv2D(32, 3, activation="relu"),
            k.layers.MaxPooling2D(),
            k.layers.Conv2D(64, 3, padding="same", activation="relu"),
            k.layers.BatchNormalization(),
            k.layers.MaxPooling2D(),
            k.layers.Flatten(),
            k.layers.Dense(10),
        ]
    )


def mixed(k):
    inputs = k.Input((10, 10, 3))
    h = k.layers.ZeroPadding2D(1)(inputs)
    h = k.layers.SeparableConv2D(8, 3, activation="relu")(h)
    h = k.layers.Conv2D(8, 3, strides=2, padding="same", use_bias=False)(h)
    h = k.layers.BatchNormalization()(h)
    h = k.layers.Activation("relu")(h)
    side = k.layers.Conv2D(8, 1)(h)
    h = k.layers.Add()([k.layers.DepthwiseConv2D(3, padding="same")(h), side])
    h = k.layers.Conv2DTranspose(4, 3, strides=2, padding="same")(h)
    h = k.layers.UpSampling2D()(k.layers.AveragePooling2D(2)(h))
    return k.Model(inputs, k.layers.Dense(10)(k.layers.GlobalAveragePooling2D()(h)))


@pytest.mark.peers
@pytest.mark.parametrize("make", [cnn, mixed])
def test_twenty_steps_as_in_keras(real, make):
    rng = np.random.default_rng(8)
    x = rng.normal(size=(80, *make(keras).input_shape[1:])).astype("f")
    y = rng.integers(0, 10, 80)

    def run(k):
        model = make(k)
        drawn = np.random.default_rng(1)
        model.set_weights(
            [np.abs(drawn.normal(size=w.shape)).astype("f") / 10 + 0.01 if "variance" in w.name
             else drawn.normal(size=w.shape).astype("f") / 10 for w in model.weights]
        )  # fmt: skip
        loss = k.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile(k.optimizers.SGD(0.02, momentum=0.9), loss)
        found = model.fit(x, y, batch_size=16, epochs=4, shuffle=False, verbose=0)
        return found.history["loss"], model.get_weights()

    ours, theirs = run(keras), run(real)
    np.testing.assert_allclose(ours[0], theirs[0], rtol=1e-4)
    for a, b in zip(ours[1], theirs[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=2e-4)


@pytest.mark.peers
@pytest.mark.parametrize("direction", ["ours_to_keras", "keras_to_ours"])
@pytest.mark.parametrize("make", [cnn, mixed])
@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_go_both_ways(real, make, direction, suffix, tmp_path):
    writer, reader = (keras, real) if direction == "ours_to_keras" else (real, keras)
    path = str(tmp_path / f"m{suffix}")
    first = make(writer)
    if suffix == ".keras":
        first.save(path)
        second = reader.models.load_model(path)
    else:
        first.save_weights(path)
        second = make(reader)
        second.load_weights(path)
    x = RNG.normal(size=(3, *first.input_shape[1:])).astype("f")
    np.testing.assert_allclose(
        second.predict(x, verbose=0), first.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_a_mask_leaves_steps_out_of_the_mean():
    x = RNG.normal(size=(2, 3, 4)).astype("f")
    mask = np.array([[True, True, False], [True, False, False]])
    got = L.GlobalAveragePooling1D()(hr.constant(x), mask=hr.constant(mask))
    np.testing.assert_allclose(got[0], x[0, :2].mean(0), rtol=1e-6)
    np.testing.assert_allclose(got[1], x[1, 0], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: L.Conv2D(0, 3), "Expected a strictly positive value. Received filters=0"),
        (lambda: L.Conv2D(2, 3, padding="foo"), "`padding` argument must be one of"),
        (lambda: L.Conv2D(3, (3,)), "must be a tuple of 2 integers. Received kernel_size"),
        (lambda: L.Conv2D(3, 0), "at least 1"),
        (lambda: L.Conv2D(3, 3, strides=2, dilation_rate=2), "not supported in conjunction"),
        (lambda: L.Conv2D(3, 3, groups=2), "evenly divisible by the number of groups"),
        (lambda: L.Conv2D(4, 3, groups=2).build((None, 4, 4, 3)), "the input has 3 channels"),
        (lambda: L.Conv2D(4, 5)(keras.Input((3, 3, 2))), "zero or negative"),
        (lambda: L.Conv2D(4, 5)(keras.Input((3, 3, None))), "channel dimension"),
        (lambda: L.MaxPooling2D(3)(keras.Input((2, 2, 1))), "zero or negative"),
        (lambda: L.Cropping2D(5)(keras.Input((4, 4, 1))), "should be smaller"),
        (lambda: L.ZeroPadding2D((1, 2, 3)), "two elements"),
        (lambda: L.Conv2DTranspose(2, 3, strides=2, output_padding=2), "smaller than the str"),
    ],
)
def test_errors(make, words):
    with pytest.raises(ValueError, match=words):
        make()
