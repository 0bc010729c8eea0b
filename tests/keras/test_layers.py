"""The layers against Keras: outputs, gradients, shapes, masks, configs; eager = traced."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras import layers
from headrace.keras.engine.masks import get_mask, set_mask

rng = np.random.default_rng(5)


@pytest.fixture
def peers(tf):
    """Keras's own layers; `tf.keras.layers` has older forms of a few of them."""
    return pytest.importorskip("keras").layers


def floats(*shape):
    return rng.normal(size=shape).astype("float32")


X2, X3, X4 = floats(4, 6), floats(4, 5, 6), floats(4, 3, 5, 2)
INTS = rng.integers(0, 7, (4, 5))

CASES = [
    ("Dense", (3,), {}, X2),
    ("Dense", (3,), {"activation": "relu", "use_bias": False}, X2),
    ("Dense", (3,), {"activation": "softmax", "kernel_initializer": "he_normal"}, X3),
    ("Dense", (3,), {"kernel_regularizer": "l2", "bias_constraint": "non_neg"}, X4),
    ("Flatten", (), {}, X4),
    ("Flatten", (), {}, X2[:, 0]),
    ("Flatten", (), {"data_format": "channels_first"}, X4),
    ("Reshape", ((3, 2),), {}, X2),
    ("Reshape", ((-1, 5),), {}, X3),
    ("Reshape", ((30,),), {}, X4),
    ("Permute", ((2, 1),), {}, X3),
    ("Permute", ((3, 1, 2),), {}, X4),
    ("RepeatVector", (3,), {}, X2),
    ("Embedding", (7, 4), {}, INTS),
    ("Embedding", (7, 4), {"mask_zero": True}, INTS),
    ("Activation", ("tanh",), {}, X3),
    ("ReLU", (), {}, X3),
    ("ReLU", (), {"max_value": 6.0}, X3 * 5),
    ("ReLU", (), {"max_value": 1.0, "negative_slope": 0.1, "threshold": 0.2}, X3),
    ("ReLU", (), {"threshold": 0.5}, X3),
    ("ReLU", (), {"negative_slope": 0.2, "max_value": 0.7}, X3),
    ("LeakyReLU", (), {}, X3),
    ("ELU", (), {"alpha": 0.7}, X3),
    ("PReLU", (), {"alpha_initializer": "random_normal"}, X3),
    ("PReLU", (), {"alpha_initializer": "ones", "shared_axes": [1]}, X3),
    ("Softmax", (), {}, X3),
    ("Softmax", (), {"axis": 1}, X3),
    ("Softmax", (), {"axis": [1, 2]}, X3),
    ("Rescaling", (1 / 255,), {}, INTS),
    ("Rescaling", (2.0, -1.0), {}, X3),
    ("Identity", (), {}, X3),
    ("Masking", (), {"mask_value": 0.0}, X3 * (np.arange(5) < 3)[:, None]),
    ("LayerNormalization", (), {}, X3),
    ("LayerNormalization", (), {"axis": [1, 2], "center": False}, X4),
    ("LayerNormalization", (), {"axis": 1, "scale": False, "epsilon": 0.1}, X3),
    ("BatchNormalization", (), {}, X3),
    ("BatchNormalization", (), {"axis": 1, "momentum": 0.5, "scale": False}, X4),
    ("GroupNormalization", (3,), {}, X3),
    ("GroupNormalization", (), {"groups": -1, "axis": 2, "scale": False}, X4),
    ("RMSNormalization", (), {}, X3),
    ("UnitNormalization", (), {"axis": 1}, X3),
    ("Dropout", (0.5,), {}, X3),
    ("GaussianNoise", (0.5,), {}, X3),
    ("GaussianDropout", (0.5,), {}, X3),
    ("AlphaDropout", (0.5,), {}, X3),
    ("SpatialDropout1D", (0.5,), {}, X3),
    ("SpatialDropout2D", (0.5,), {}, X4),
    ("ActivityRegularization", (), {"l2": 0.1}, X3),
]
MERGES = [
    ("Add", (), {}, [X3, 2 * X3, X3 - 1]),
    ("Add", (), {}, [X3, X2]),
    ("Subtract", (), {}, [X3, 3 * X3]),
    ("Multiply", (), {}, [X3, 3 * X3]),
    ("Average", (), {}, [X3, 3 * X3]),
    ("Maximum", (), {}, [X3, X3[::-1].copy()]),
    ("Minimum", (), {}, [X3, X3[::-1].copy()]),
    ("Concatenate", (), {}, [X3, X3[..., :2]]),
    ("Concatenate", (), {"axis": 1}, [X3, X3[:, :2]]),
    ("Dot", (1,), {}, [X2, X2[::-1].copy()]),
    ("Dot", (-1,), {"normalize": True}, [X2, X2[::-1].copy()]),
    ("Dot", (2,), {}, [X3, floats(4, 2, 6)]),
    ("Dot", ([1, 2],), {}, [X3, floats(4, 3, 5)]),
]
ALL = CASES + MERGES
IDS = [f"{n}-{'-'.join(kw) or 'plain'}-{i}" for i, (n, _, kw, _) in enumerate(ALL)]


def both(peers, case):
    """Our layer and Keras's, built, with the same weights."""
    name, args, kwargs, x = case
    ours, peer = getattr(layers, name)(*args, **kwargs), getattr(peers, name)(*args, **kwargs)
    ours(x)
    peer(x)
    for a, b in zip(ours.weights, peer.weights, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        b.assign(a.numpy())
    return ours, peer


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_output_is_keras(peers, case):
    ours, peer = both(peers, case)
    x = case[3]
    out, expected = ours(x), peer(x)
    assert out.dtype.name == expected.dtype.name
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-6)


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_gradients_are_keras(tf, peers, case):
    """Of the weights and of the inputs; batch normalization in its training form."""
    ours, peer = both(peers, case)
    name, _, _, x = case
    xs = x if isinstance(x, list) else [x]
    mine, its = [hr.constant(a) for a in xs], [tf.constant(a) for a in xs]

    def call(layer, tensors, **kwargs):
        return layer(tensors if isinstance(x, list) else tensors[0], **kwargs)

    flag = {"training": True} if name == "BatchNormalization" else {}
    with hr.GradientTape(persistent=True) as tape:
        tape.watch([t for t in mine if t.dtype.is_floating])
        out = call(ours, mine, **flag)
        value = hr.reduce_sum(out * out * out)
    with tf.GradientTape(persistent=True) as peer_tape:
        peer_tape.watch([t for t in its if t.dtype.is_floating])
        peer_out = call(peer, its, **flag)
        peer_value = tf.reduce_sum(peer_out * peer_out * peer_out)
    sources = [*ours.trainable_variables, *(t for t in mine if t.dtype.is_floating)]
    peer_sources = [
        *[v.value for v in peer.trainable_variables],
        *(t for t in its if t.dtype.is_floating),
    ]
    for source, peer_source in zip(sources, peer_sources, strict=True):
        grad, expected = (
            tape.gradient(value, source),
            peer_tape.gradient(peer_value, peer_source),
        )
        assert isinstance(grad, hr.IndexedSlices) == isinstance(expected, tf.IndexedSlices)
        np.testing.assert_allclose(
            hr.convert_to_tensor(grad), tf.convert_to_tensor(expected), rtol=1e-3, atol=2e-4
        )
    averages = peer.weights[len(ours.trainable_variables) :]
    for a, b in zip(ours.non_trainable_variables, averages, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_traced_with_unknown_batch_equals_eager(case):
    name, args, kwargs, x = case
    layer = getattr(layers, name)(*args, **kwargs)
    expected = layer(x)
    xs = x if isinstance(x, list) else [x]
    specs = [hr.TensorSpec([None, *a.shape[1:]], a.dtype) for a in xs]
    traced = hr.function(
        lambda *a: layer(list(a) if isinstance(x, list) else a[0]), input_signature=specs
    )
    np.testing.assert_allclose(traced(*xs), expected, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_shape_without_data_is_keras(peers, case):
    """Called on placeholders, a layer says the shape and dtype Keras says."""
    name, args, kwargs, x = case
    xs = x if isinstance(x, list) else [x]
    found = []
    for family, Input in ((layers, layers.Input), (peers, peers.Input)):
        inputs = [Input(a.shape[1:], dtype=str(a.dtype)) for a in xs]
        layer = getattr(family, name)(*args, **kwargs)
        out = layer(inputs if isinstance(x, list) else inputs[0])
        dtype = out.dtype if isinstance(out.dtype, str) else out.dtype.name
        found.append((tuple(out.shape), dtype))
    assert found[0] == found[1]


@pytest.mark.parametrize("case", ALL, ids=IDS)
def test_config_is_keras_and_round_trips(peers, case):
    name, args, kwargs, _ = case
    kwargs = {**kwargs, "name": "chosen"}
    ours, peer = getattr(layers, name)(*args, **kwargs), getattr(peers, name)(*args, **kwargs)
    config, expected = ours.get_config(), peer.get_config()
    assert set(config) == set(expected)
    for key in config:
        if "regularizer" in key and config[key] is not None:
            config[key]["config"] = pytest.approx(config[key]["config"])
        assert config[key] == expected[key], key
    described = hr.keras.utils.serialize_keras_object(ours)
    assert described["module"] == "keras.layers"
    again = hr.keras.utils.deserialize_keras_object(described)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()
    by_keras = peers.deserialize(described)
    assert by_keras.get_config() == expected


# -- what only some layers do ----------------------------------------------------------------


def test_embedding_masks_zeros():
    layer = layers.Embedding(7, 4, mask_zero=True)
    np.testing.assert_array_equal(get_mask(layer(INTS)), INTS != 0)
    assert get_mask(layers.Embedding(7, 4)(INTS)) is None


def test_embedding_takes_first_values():
    table = floats(7, 4)
    np.testing.assert_array_equal(
        layers.Embedding(7, 4, weights=[table])([[3]])[0, 0], table[3]
    )


def test_masking_and_masks_through_layers():
    x = X3 * (np.arange(5) < 3)[:, None]
    out = layers.Dense(2)(layers.Activation("relu")(layers.Masking()(x)))
    np.testing.assert_array_equal(get_mask(out), np.broadcast_to(np.arange(5) < 3, (4, 5)))


MASKED = ["Add", "Subtract", "Average", "Multiply", "Maximum", "Minimum", "Concatenate"]


@pytest.mark.parametrize("which", ["both", "first"])
@pytest.mark.parametrize("name", MASKED)
def test_masks_of_merges_are_keras(tf, peers, name, which):
    a, b = X3, floats(4, 5, 6)
    masks = [rng.integers(0, 2, (4, 5)).astype(bool) for _ in range(2)]
    mine, its = [hr.constant(a), hr.constant(b)], [tf.constant(a), tf.constant(b)]
    for i in range(2 if which == "both" else 1):
        set_mask(mine[i], hr.constant(masks[i]))
        its[i]._keras_mask = tf.constant(masks[i])
    out, expected = getattr(layers, name)()(mine), getattr(peers, name)()(its)
    np.testing.assert_allclose(out, expected, rtol=1e-6)
    peer_mask = getattr(expected, "_keras_mask", None)
    if peer_mask is None:
        assert get_mask(out) is None
    else:
        np.testing.assert_array_equal(get_mask(out), peer_mask)


def test_softmax_with_mask(peers):
    mask = rng.integers(0, 2, X3.shape).astype(bool)
    mask[0, 0] = False
    np.testing.assert_allclose(
        layers.Softmax()(X3, mask=mask), peers.Softmax()(X3, mask=mask), atol=1e-6
    )


def test_batch_normalization_with_mask(tf, peers):
    ours, peer = layers.BatchNormalization(), peers.BatchNormalization()
    mask = rng.integers(0, 2, (4, 5)).astype(bool)
    for _ in range(3):
        np.testing.assert_allclose(
            ours(X3, training=True, mask=mask),
            peer(X3, training=True, mask=tf.constant(mask)),
            rtol=1e-4,
            atol=1e-5,
        )
    for a, b in zip(ours.weights, peer.weights, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-6)


def test_frozen_batch_normalization_uses_its_averages():
    layer = layers.BatchNormalization()
    layer.trainable = False
    np.testing.assert_allclose(layer(X2, training=True), layer(X2, training=False))
    np.testing.assert_array_equal(layer.moving_mean.numpy(), 0)


NOISY = ["Dropout", "GaussianNoise", "GaussianDropout", "AlphaDropout"]


@pytest.mark.parametrize("name", NOISY)
def test_noise_acts_in_training_only_and_repeats_by_seed(name):
    x = np.ones((200, 50), "float32")
    make = lambda: getattr(layers, name)(0.4, seed=3)  # noqa: E731
    layer, twin = make(), make()
    np.testing.assert_array_equal(layer(x), x)
    first, second = layer(x, training=True), layer(x, training=True)
    assert np.any(np.asarray(first) != np.asarray(second))
    np.testing.assert_array_equal(first, twin(x, training=True))
    np.testing.assert_array_equal(second, hr.function(lambda a: twin(a, training=True))(x))
    if name != "AlphaDropout":  # that one keeps the moments of SELU's output, not of ones
        assert np.mean(first) == pytest.approx(1.0, abs=0.05)
    assert getattr(layers, name)(0.0)(x, training=True) is not None


@pytest.mark.parametrize(
    ("layer", "axes"),
    [
        (layers.Dropout(0.5, noise_shape=(None, 1, None), seed=1), (1,)),
        (layers.SpatialDropout1D(0.5, seed=1), (1,)),
        (layers.SpatialDropout2D(0.5, seed=1), (1, 2)),
        (layers.SpatialDropout2D(0.5, data_format="channels_first", seed=1), (2, 3)),
        (layers.SpatialDropout3D(0.5, seed=1), (1, 2, 3)),
    ],
    ids=["noise shape", "1d", "2d", "2d first", "3d"],
)
def test_dropout_of_whole_maps(layer, axes):
    rank = 5 if axes == (1, 2, 3) else 4 if len(axes) == 2 else 3
    out = np.asarray(layer(np.ones((6, *[4] * (rank - 2), 7), "float32"), training=True))
    kept = out.max(axis=axes)
    np.testing.assert_array_equal(kept, out.min(axis=axes))
    assert set(np.unique(kept)) == {0.0, 2.0}


def test_full_dropout_gives_zeros():
    np.testing.assert_array_equal(layers.Dropout(1.0)(X2, training=True), 0)


def test_activity_regularization_adds_a_loss():
    layer = layers.ActivityRegularization(l1=0.5, l2=2.0)
    x = np.array([[1.0, -2.0]], "float32")
    layer(x)
    assert float(layer.losses[0]) == pytest.approx(0.5 * 3 + 2.0 * 5)


def test_lambda():
    double = layers.Lambda(lambda x, by=2.0: x * by, arguments={"by": 3.0})
    np.testing.assert_allclose(double(X2), 3 * X2)
    flagged = layers.Lambda(lambda x, training: x if training else -x)
    np.testing.assert_allclose(flagged(X2, training=True), X2)
    np.testing.assert_allclose(flagged(X2, training=False), -X2)
    assert layers.Lambda(lambda x: x[:, :2])(layers.Input((5,))).shape == (None, 2)
    assert layers.Lambda(abs, output_shape=(9,)).compute_output_shape((None, 3)) == (None, 9)
    masked = layers.Lambda(lambda x: x, mask=lambda x, m: hr.reduce_all(x > 0, axis=-1))
    np.testing.assert_array_equal(get_mask(masked(X3)), (X3 > 0).all(-1))


def test_lambda_of_a_named_function_round_trips():
    layer = layers.Lambda(hr.keras.activations.relu, output_shape=(6,), name="chosen")
    again = layers.Lambda.from_config(layer.get_config())
    np.testing.assert_array_equal(again(X2), layer(X2))
    assert again.get_config() == layer.get_config()
    assert again(layers.Input((6,))).shape == (None, 6)
    doubled = layers.Lambda(lambda x: x, output_shape=lambda shape: (shape[0], 2 * shape[1]))
    assert doubled(layers.Input((3,))).shape == (None, 6)


def test_identity_keeps_structure_and_dtype():
    out = layers.Identity()({"a": layers.Input((2,), dtype="int32"), "b": layers.Input((3,))})
    assert out["a"].dtype == "int32" and out["b"].shape == (None, 3)


def test_old_names_of_slopes():
    assert layers.LeakyReLU(alpha=0.2).negative_slope == 0.2
    assert layers.ReLU(alpha=0.2).negative_slope == 0.2
    assert layers.PReLU(shared_axes=1).shared_axes == [1]


def test_lambda_is_code_and_loads_only_if_trusted():
    described = hr.keras.utils.serialize_keras_object(layers.Lambda(lambda x: x + 1))
    with pytest.raises(ValueError, match="safe_mode"):
        hr.keras.utils.deserialize_keras_object(described)
    again = hr.keras.utils.deserialize_keras_object(described, safe_mode=False)
    np.testing.assert_allclose(again(X2), X2 + 1)


def test_dtype_policy_computes_in_half_and_keeps_float32():
    layer = layers.Dense(3, dtype="mixed_float16")
    out = layer(X2)
    assert out.dtype == "float16" and layer.kernel.dtype == "float32"
    assert layers.LayerNormalization(dtype="mixed_bfloat16")(X2).dtype == "bfloat16"
    assert layers.BatchNormalization(dtype="float16")(X2).dtype == "float16"


BAD = {
    "units": (lambda: layers.Dense(0), "units=0"),
    "last axis": (lambda: layers.Dense(2)(layers.Input((None,))), "last dimension"),
    "rank": (lambda: layers.Dense(2)(X2[:, 0]), "min_ndim=2"),
    "size": (lambda: (d := layers.Dense(2), d(X2), d(X2[:, :3])), "expected axis -1"),
    "reshape": (lambda: layers.Reshape((4,))(X2), "total size"),
    "two free": (lambda: layers.Reshape((-1, -1)), "more than one"),
    "permute": (lambda: layers.Permute((0, 1)), "start from 1"),
    "rate": (lambda: layers.Dropout(1.5), "rate=1.5"),
    "noise shape": (lambda: layers.Dropout(0.5, noise_shape=(0, 1)), "noise_shape"),
    "stddev": (lambda: layers.GaussianNoise(2.0), "stddev=2.0"),
    "relu": (lambda: layers.ReLU(max_value=-1.0), "max_value=-1.0"),
    "slope": (lambda: layers.LeakyReLU(negative_slope=None), "negative_slope=None"),
    "embedding": (lambda: layers.Embedding(0, 3), "input_dim=0"),
    "merge one": (lambda: layers.Add()(X2), "list of inputs"),
    "merge shapes": (lambda: layers.Add()([X2, X2[:, :3]]), "incompatible shapes"),
    "merge batches": (lambda: layers.Add()([X2, X2[:2]]), "batch sizes"),
    "concatenate": (lambda: layers.Concatenate()([X3, X3[:, :2]]), "matching shapes"),
    "subtract": (lambda: layers.Subtract()([X2, X2, X2]), "exactly 2"),
    "dot": (lambda: layers.Dot(1)([X2, X2[:, :3]]), "Incompatible input shapes"),
    "axis": (lambda: layers.LayerNormalization(axis=4).compute_output_shape((2, 3)), "Axis 4"),
    "format": (lambda: layers.Flatten(data_format="channels"), "data_format"),
    "activation": (lambda: layers.Activation("no_such"), "no_such"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    make, text = BAD[case]
    with pytest.raises((ValueError, TypeError), match=text):
        make()


def test_function_forms_of_merges():
    a, b = hr.constant(X2), hr.constant(2 * X2)
    np.testing.assert_allclose(layers.add([a, b]), 3 * X2, rtol=1e-6)
    np.testing.assert_allclose(layers.subtract([a, b]), -X2)
    np.testing.assert_allclose(layers.multiply([a, b]), 2 * X2 * X2)
    np.testing.assert_allclose(layers.average([a, b]), 1.5 * X2)
    np.testing.assert_allclose(layers.maximum([a, b]), np.maximum(X2, 2 * X2))
    np.testing.assert_allclose(layers.minimum([a, b]), np.minimum(X2, 2 * X2))
    assert layers.concatenate([a, b], axis=0).shape == (8, 6)
    assert layers.dot([a, b]).shape == (4, 1)


def test_seed_generator_counts():
    generator = hr.keras.random.SeedGenerator(5)
    assert [generator.next().numpy().tolist() for _ in range(2)] == [[5, 0], [5, 1]]
    again = hr.keras.random.SeedGenerator.from_config(generator.get_config())
    assert again.next().numpy().tolist() == [5, 0]
    assert hr.keras.random.SeedGenerator().get_config()["seed"] > 0
    for bad in (-1, 1.5):
        with pytest.raises(ValueError, match="seed"):
            hr.keras.random.SeedGenerator(bad)


def test_flatten_and_reshape_with_several_unknown_sizes():
    flat = hr.function(layers.Flatten(), input_signature=[hr.TensorSpec([None, None, 3])])
    assert flat(np.zeros((2, 5, 3), "float32")).shape == (2, 15)
    shaped = hr.function(
        layers.Reshape((-1, 3)), input_signature=[hr.TensorSpec([None, None, 6])]
    )
    assert shaped(np.zeros((2, 5, 6), "float32")).shape == (2, 10, 3)
    with pytest.raises(TypeError, match="integer"):
        layers.RepeatVector(2.0)


@pytest.mark.parametrize("dtype", ["uint8", "int64", "float32"])
def test_embedding_takes_any_numbers(dtype):
    layer = layers.Embedding(7, 4)
    np.testing.assert_array_equal(layer(INTS.astype(dtype)), layer(INTS))


def test_what_is_not_supported_yet_says_so():
    for make in (
        lambda: layers.Dense(2, lora_rank=4),
        lambda: layers.BatchNormalization(renorm=True),
        lambda: layers.LayerNormalization(rms_scaling=True),
    ):
        with pytest.raises(NotImplementedError, match="not supported"):
            make()
