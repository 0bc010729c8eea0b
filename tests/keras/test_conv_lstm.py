"""ConvLSTM layers, spectrograms, CLAHE: outputs, gradients, shapes, configs and files."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(6)
SPACE = {1: (7,), 2: (5, 6), 3: (4, 3, 4)}
SIGNAL = RNG.normal(size=(2, 90, 2)).astype("f")
# (layer, arguments, input)
CASES = [
    *[(f"ConvLSTM{r}D", dict(filters=3, kernel_size=2, **more), r)
      for r in (1, 2, 3)
      for more in ({}, {"padding": "same", "return_sequences": True, "return_state": True})],
    ("ConvLSTM2D", dict(filters=2, kernel_size=(3, 2), strides=2, use_bias=False), 2),
    ("ConvLSTM2D", dict(filters=2, kernel_size=2, dilation_rate=2, go_backwards=True), 2),
    ("ConvLSTM2D", dict(filters=2, kernel_size=3, activation="relu", padding="same",
                        recurrent_activation="hard_sigmoid", unit_forget_bias=False), 2),
    ("ConvLSTM1D", dict(filters=2, kernel_size=3, strides=2, padding="same"), 1),
    *[("STFTSpectrogram", dict(mode=m, frame_length=16), SIGNAL)
      for m in ("log", "magnitude", "psd", "real", "imag", "angle", "stft")],
    ("STFTSpectrogram", dict(frame_length=20, frame_step=5, fft_length=32, window="hamming",
                             scaling="spectrum", periodic=True, padding="same"), SIGNAL),
    ("STFTSpectrogram", dict(frame_length=16, expand_dims=True, scaling=None), SIGNAL),
    ("STFTSpectrogram", dict(frame_length=16, mode="stft", expand_dims=True, window=None,
                             data_format="channels_first"), SIGNAL.transpose(0, 2, 1)),
    ("STFTSpectrogram", dict(frame_length=16, data_format="channels_first"),
     SIGNAL.transpose(0, 2, 1)),
]  # fmt: skip


def data(given):
    if isinstance(given, int):
        return RNG.normal(size=(2, 3, *SPACE[given], 2)).astype("f")
    return given.copy()


@pytest.fixture(scope="module")
def real(tf):
    return pytest.importorskip("keras")


def pair(real, name, kwargs, x):
    ours, theirs = (getattr(f.layers, name)(**kwargs) for f in (keras, real))
    # Keras's channels-first kernels run on no CPU; there we are compared with channels last.
    ours.build(x.shape)
    theirs.build(x.shape)
    for mine, other in zip(ours.weights, theirs.weights, strict=True):
        assert tuple(mine.shape) == tuple(other.shape)
        assert mine.name.split("/")[-1].split(":")[0] == other.name
    if "LSTM" in name:
        theirs.set_weights([RNG.normal(size=w.shape) * 0.4 for w in theirs.weights])
        ours.set_weights(theirs.get_weights())
    return ours, theirs


@pytest.mark.peers
@pytest.mark.parametrize(("name", "kwargs", "given"), CASES, ids=lambda v: str(v)[:40])
def test_outputs_and_gradients_are_keras(tf, real, name, kwargs, given):
    x = data(given)
    if kwargs.get("data_format") == "channels_first":
        want_x = real.ops.convert_to_tensor(np.swapaxes(x, 1, 2))
        other = {**kwargs, "data_format": "channels_last"}
        ours, theirs = pair(real, name, kwargs, x)[0], getattr(real.layers, name)(**other)
        want = np.asarray(theirs(want_x))
        order = [0, 3, 1, 2] if kwargs.get("expand_dims") else [0, 2, 1]
        np.testing.assert_allclose(ours(x), want.transpose(order), rtol=1e-3, atol=1e-4)
        return
    ours, theirs = pair(real, name, kwargs, x)
    mine, other = hr.constant(x), tf.constant(x)
    with hr.GradientTape() as tape:
        tape.watch(mine)
        got = ours(mine)
        flat = list(got) if isinstance(got, (tuple, list)) else [got]
        total = sum(hr.reduce_sum(hr.sin(g)) for g in flat)
    with tf.GradientTape() as peer:
        peer.watch(other)
        want = theirs(other)
        peers = list(want) if isinstance(want, (tuple, list)) else [want]
        peer_total = sum(tf.reduce_sum(tf.sin(w)) for w in peers)
    if kwargs.get("mode") == "angle":  # pi and -pi are one; steep where the signal is near 0
        turned = [np.exp(1j * np.asarray(v)) for v in (got, want)]
        np.testing.assert_allclose(*turned, atol=1e-3)
        return
    for a, b in zip(flat, peers, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=2e-4)
    found = tape.gradient(total, [mine, *ours.trainable_variables])
    expected = peer.gradient(
        peer_total, [other, *(w.value for w in theirs.trainable_variables)]
    )
    for a, b in zip(found, expected, strict=True):
        scale = np.abs(b).max()
        np.testing.assert_allclose(a / scale, b / scale, atol=2e-3)


@pytest.mark.peers
@pytest.mark.parametrize(("name", "kwargs", "given"), CASES, ids=lambda v: str(v)[:40])
def test_shapes_and_configs_are_keras(real, name, kwargs, given):
    x = data(given)
    ours, theirs = (getattr(f.layers, name)(**kwargs, name="n") for f in (keras, real))
    a, b = ours.get_config(), theirs.get_config()
    assert a.keys() - {"zero_output_for_mask"} == b.keys() - {"zero_output_for_mask"}
    again = type(ours).from_config(a)
    assert again.get_config() == a
    getattr(real.layers, name).from_config({**b, **a})
    shape = ours.compute_output_shape(x.shape)
    made = ours(x)
    shapes = [tuple(v.shape) for v in made] if isinstance(made, (list, tuple)) else [made.shape]
    assert [tuple(s) for s in (shape if isinstance(shape[0], tuple) else [shape])] == [
        tuple(s) for s in shapes
    ]
    again.build(x.shape)
    again.set_weights(ours.get_weights())
    traced = hr.function(again)(x)
    for one, other in zip(
        made if isinstance(made, (list, tuple)) else [made],
        traced if isinstance(traced, (list, tuple)) else [traced],
        strict=True,
    ):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize("direction", ["ours to keras", "keras to ours"])
def test_files_go_both_ways(real, direction, tmp_path):
    def model(k):
        return k.Sequential([
            k.Input((3, 6, 6, 2)),
            k.layers.ConvLSTM2D(3, 2, return_sequences=True, dropout=0.2),
            k.layers.ConvLSTM2D(2, 3, padding="same"),
            k.layers.Flatten(),
            k.layers.Dense(2),
        ])  # fmt: skip

    writer, reader = (keras, real) if direction == "ours to keras" else (real, keras)
    first = model(writer)
    path = str(tmp_path / "m.keras")
    first.save(path)
    second = reader.models.load_model(path)
    x = RNG.normal(size=(2, 3, 6, 6, 2)).astype("f")
    np.testing.assert_allclose(
        second.predict(x, verbose=0), first.predict(x, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_dropout_acts_in_training_and_states_go_on():
    x = RNG.normal(size=(2, 3, 6, 6, 2)).astype("f")
    layer = keras.layers.ConvLSTM2D(3, 2, dropout=0.5, recurrent_dropout=0.5, seed=1)
    assert np.abs(layer(x, training=True) - layer(x)).max() > 1e-3
    kept = keras.layers.ConvLSTM2D(3, 2, padding="same", stateful=True, return_sequences=True)
    whole = keras.layers.ConvLSTM2D(3, 2, padding="same", return_sequences=True)
    for each in (kept, whole):
        each.build((2, 3, 6, 6, 2))
    whole.set_weights(kept.get_weights())
    parts = [kept(x[:, :2]), kept(x[:, 2:])]
    np.testing.assert_allclose(hr.concat(parts, 1), whole(x), rtol=1e-4, atol=1e-5)


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"clip_limit": 0.0, "tile_grid_size": (2, 3)},
        {"value_range": (0, 1), "tile_grid_size": (3, 3), "data_format": "channels_first"},
    ],
)
def test_clahe_is_keras(real, kwargs):
    x = RNG.uniform(0, kwargs.get("value_range", (0, 255))[1], (2, 17, 20, 3)).astype("f")
    if "data_format" in kwargs:
        x = x.transpose(0, 3, 1, 2).copy()
    name = "ContrastLimitedAdaptiveHistogramEqualization"
    ours, theirs = (getattr(f.layers, name)(**kwargs) for f in (keras, real))
    np.testing.assert_allclose(ours(x), np.asarray(theirs(x)), rtol=1e-3, atol=2e-2)
    np.testing.assert_allclose(ours(x[0]), np.asarray(theirs(x[0])), rtol=1e-3, atol=2e-2)
    assert ours.get_config().keys() == theirs.get_config().keys()


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda L: L.ConvLSTM2D(2, 2, strides=2, dilation_rate=2), "strides"),
        (lambda L: L.ConvLSTM2D(2, 2, padding="causal"), "padding"),
        (lambda L: L.ConvLSTM2D(2, 2).build((1, 2, None, 3, 2)), "static"),
        (lambda L: L.STFTSpectrogram(mode="power"), "mode"),
        (lambda L: L.STFTSpectrogram(frame_length=8, frame_step=9), "frame_step"),
        (lambda L: L.STFTSpectrogram(frame_length=8, fft_length=4), "fft_length"),
    ],
)
def test_bad_arguments_are_told(make, words):
    with pytest.raises(ValueError, match=words):
        make(keras.layers)
