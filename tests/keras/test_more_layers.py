"""Adaptive pooling, spectral normalisation, reversible embeddings: Keras's values."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras import layers

RNG = np.random.default_rng(0)
X = {rank: RNG.normal(size=(2, *(7, 5, 4)[:rank], 6)).astype("float32") for rank in (1, 2, 3)}

POOLS = [
    (f"Adaptive{kind}Pooling{rank}D", rank, size)
    for kind in ("Average", "Max")
    for rank, sizes in ((1, (3, 7, 9)), (2, (2, (3, 4))), (3, ((3, 2, 3),)))
    for size in sizes
]


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").layers


def config(layer):
    found = {k: v for k, v in layer.get_config().items() if k not in ("name", "dtype")}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


def check_gradient(tf, ours, peer, x, **kwargs):
    mine, its = hr.constant(x), tf.constant(x)
    with hr.GradientTape() as tape:
        tape.watch(mine)
        got = ours(mine, **kwargs)
        value = hr.reduce_sum(got * got * got)
    with tf.GradientTape() as peer_tape:
        peer_tape.watch(its)
        want = peer(its, **kwargs)
        peer_value = tf.reduce_sum(want * want * want)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(
        tape.gradient(value, mine), peer_tape.gradient(peer_value, its), rtol=1e-3, atol=1e-4
    )


@pytest.mark.peers
@pytest.mark.parametrize(("name", "rank", "size"), POOLS, ids=str)
@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
def test_adaptive_pooling_is_keras(tf, peers, name, rank, size, first):
    x = np.moveaxis(X[rank], -1, 1) if first else X[rank]
    kwargs = {"output_size": size, "data_format": "channels_first" if first else None}
    ours, peer = getattr(layers, name)(**kwargs), getattr(peers, name)(**kwargs)
    check_gradient(tf, ours, peer, x)
    assert config(ours) == config(peer)
    assert ours.compute_output_shape(x.shape) == tuple(ours(x).shape)


@pytest.mark.peers
def test_spectral_normalization_is_keras(tf, peers):
    x = X[1][:, 0]
    found = []
    for family in (layers, peers):
        layer = family.SpectralNormalization(family.Dense(4), power_iterations=2)
        layer.build(x.shape)
        if not found:
            order = [RNG.normal(size=w.shape).astype("float32") for w in layer.weights]
            shapes = [tuple(w.shape) for w in layer.weights]
        assert [tuple(w.shape) for w in layer.weights] == shapes
        layer.set_weights(order)
        found.append([np.asarray(layer(x, training=flag)) for flag in (True, True, False)])
    for got, want in zip(*found, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.peers
@pytest.mark.parametrize("tied", [True, False])
def test_reversible_embeddings_are_keras(tf, peers, tied):
    ids = np.array([[1, 0, 3]])
    found = []
    for family in (layers, peers):
        layer = family.ReversibleEmbedding(
            5, 4, tie_weights=tied, mask_zero=True, logit_soft_cap=0.7
        )
        layer.build()
        layer.set_weights(
            [np.sin(np.arange(20.0)).reshape(tuple(w.shape)) for w in layer.weights]
        )
        rows = layer(ids)
        found.append((np.asarray(rows), np.asarray(layer(rows, reverse=True)), config(layer)))
    for got, want in zip(found[0][:2], found[1][:2], strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert found[0][2].keys() == found[1][2].keys()


def test_thresholded_relu():
    x = np.array([-1.0, 0.5, 2.0], "float32")
    assert layers.ThresholdedReLU(0.5)(x).numpy().tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.SpectralNormalization(layers.Flatten())(X[1]), "kernel"),
        (lambda: layers.SpectralNormalization(layers.Dense(1), 0), "power_iterations"),
        (lambda: layers.AdaptiveMaxPooling2D(0), "positive"),
        (lambda: layers.ThresholdedReLU(-1.0), "theta"),
    ],
)
def test_bad_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"sequence_length": 50, "mag_exp": 1.0, "power_to_db": False},
        {"window": "hamming", "num_mel_bins": 7, "min_freq": 100.0, "ref_power": 3.0},
    ],
    ids=str,
)
def test_mel_spectrograms_are_keras(tf, peers, kwargs):
    kwargs = {"fft_length": 64, "sequence_stride": 16, "num_mel_bins": 5, **kwargs}
    ours, peer = layers.MelSpectrogram(**kwargs), peers.MelSpectrogram(**kwargs)
    sounds = RNG.normal(size=(2, 300)).astype("float32")
    for x in (sounds, sounds[0]):
        got = ours(x)
        np.testing.assert_allclose(got, peer(x), rtol=1e-3, atol=1e-3)
        assert ours.compute_output_shape(x.shape) == tuple(got.shape)
    assert config(ours) == config(peer)
