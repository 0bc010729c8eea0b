"""Layers over the arguments that Keras documents: one table, every law for each row.

Outputs and gradients are Keras's from the same weights; so are the shapes and dtypes of
placeholders, configs (read by the other side), masks and results under a policy of mixed
precision; one row, no row, and a traced call give what they should.
"""

import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(12)
V = RNG.normal(size=(4, 6)).astype("f")
S = RNG.normal(size=(3, 5, 4)).astype("f")
M = RNG.normal(size=(2, 6, 7, 3)).astype("f")
C = RNG.normal(size=(2, 5, 4, 5, 2)).astype("f")
IDS = RNG.integers(0, 7, (3, 5))
EVERY = dict(
    kernel_initializer="he_normal", bias_initializer="ones", kernel_regularizer="l2",
    bias_regularizer="l1", activity_regularizer="l2", kernel_constraint="unit_norm",
    bias_constraint="max_norm",
)  # fmt: skip
RECURRENT = dict(
    recurrent_initializer="glorot_normal", recurrent_regularizer="l2",
    recurrent_constraint="max_norm",
)  # fmt: skip

# (layer, arguments, input or inputs)
GRID = [
    ("Activation", dict(activation="softplus"), V), ("ActivityRegularization", dict(l1=0.1,
     l2=0.2), V),
    ("AdaptiveAveragePooling2D", dict(output_size=(3, 2)), M),
    ("AdaptiveMaxPooling1D", dict(output_size=2, data_format="channels_last"), S),
    ("Add", {}, [V, V + 1]), ("Average", {}, [V, V * 2, V + 1]), ("Maximum", {}, [V, -V]),
    ("Minimum", {}, [V, -V]), ("Multiply", {}, [V, V]), ("Subtract", {}, [V, V * 3]),
    ("Concatenate", dict(axis=1), [S, S]), ("Concatenate", {}, [S, S * 2]),
    ("Dot", dict(axes=1), [V, V + 1]), ("Dot", dict(axes=(1, 1), normalize=True), [V, V + 1]),
    ("Dot", dict(axes=(2, 2)), [S, S + 1]), ("Dot", dict(axes=[1, 1]), [S, S * 2]),
    ("Attention", {}, [S, S + 1]), ("Attention", dict(use_scale=True, score_mode="concat"),
     [S, S]),
    ("AdditiveAttention", dict(use_scale=False), [S, S + 1, S * 2]),
    ("AveragePooling1D", dict(pool_size=2, strides=1, padding="same"), S),
    ("AveragePooling2D", dict(pool_size=(2, 3), strides=(1, 2), padding="same"), M),
    ("AveragePooling3D", dict(pool_size=2, padding="valid"), C),
    ("MaxPooling1D", dict(pool_size=3, strides=2, padding="same"), S),
    ("MaxPooling2D", dict(pool_size=3, strides=2, padding="same"), M),
    ("MaxPooling3D", dict(pool_size=(2, 1, 2), strides=2, padding="same"), C),
    ("GlobalMaxPooling1D", dict(keepdims=True), S), ("GlobalAveragePooling1D", {}, S),
    ("GlobalMaxPooling2D", dict(keepdims=True), M), ("GlobalAveragePooling3D", {}, C),
    ("BatchNormalization", dict(momentum=0.9, epsilon=0.01), M),
    ("BatchNormalization", dict(axis=1, center=False, scale=False), S),
    ("BatchNormalization", dict(gamma_regularizer="l2", beta_regularizer="l1",
                                beta_initializer="ones", gamma_constraint="non_neg"), V),
    ("Conv1D", dict(filters=3, kernel_size=2, padding="causal", dilation_rate=2, **EVERY), S),
    ("Conv1D", dict(filters=4, kernel_size=3, strides=2, padding="same", groups=2), S),
    ("Conv2D", dict(filters=3, kernel_size=(2, 3), strides=(2, 1), activation="gelu",
     **EVERY), M),
    ("Conv2D", dict(filters=6, kernel_size=3, groups=3, use_bias=False, padding="same"), M),
    ("Conv2D", dict(filters=2, kernel_size=2, dilation_rate=(1, 2)), M),
    ("Conv3D", dict(filters=2, kernel_size=(1, 2, 3), padding="same", activation="elu"), C),
    ("Conv1DTranspose", dict(filters=2, kernel_size=3, strides=2, output_padding=1), S),
    ("Conv2DTranspose", dict(filters=2, kernel_size=(3, 2), strides=2, padding="same",
     **EVERY), M),
    ("Conv3DTranspose", dict(filters=2, kernel_size=2, strides=(1, 2, 1)), C),
    ("DepthwiseConv1D", dict(kernel_size=2, depth_multiplier=2, activation="relu"), S),
    ("DepthwiseConv2D", dict(kernel_size=(3, 2), strides=2, padding="same",
                             depthwise_regularizer="l2", depthwise_constraint="max_norm"), M),
    ("DepthwiseConv2D", dict(kernel_size=2, dilation_rate=2, use_bias=False), M),
    ("SeparableConv1D", dict(filters=3, kernel_size=2, padding="same", depth_multiplier=2), S),
    ("SeparableConv2D", dict(filters=3, kernel_size=2, strides=2, activation="silu",
                             pointwise_regularizer="l2"), M),
    ("Cropping1D", dict(cropping=(1, 2)), S), ("Cropping2D", dict(cropping=((1, 0), (2, 1))),
     M),
    ("Cropping3D", dict(cropping=(1, 0, 1)), C),
    ("Dense", dict(units=3, activation="tanh", **EVERY), V), ("Dense", dict(units=2,
     use_bias=False), S),
    ("EinsumDense", dict(equation="abc,cd->abd", output_shape=(None, 3), bias_axes="d",
                         activation="relu"), S),
    ("EinsumDense", dict(equation="...x,xy->...y", output_shape=4), S),
    ("ELU", dict(alpha=0.5), V), ("LeakyReLU", dict(negative_slope=0.1), V),
    ("PReLU", dict(shared_axes=[1], alpha_initializer="ones"), S), ("PReLU", {}, V),
    ("ReLU", dict(max_value=0.7, negative_slope=0.1, threshold=0.2), V), ("Softmax",
     dict(axis=1), S),
    ("Embedding", dict(input_dim=8, output_dim=3, mask_zero=True,
     embeddings_regularizer="l2"), IDS),
    ("Embedding", dict(input_dim=8, output_dim=3, embeddings_constraint="unit_norm",
     mask_zero=False), IDS),
    ("Flatten", {}, M), ("Flatten", dict(data_format="channels_first"), M),
    ("Identity", {}, V), ("Masking", dict(mask_value=0.5), S), ("Permute", dict(dims=(2, 1)),
     S),
    ("RepeatVector", dict(n=3), V), ("Reshape", dict(target_shape=(-1, 2)), V),
    ("Rescaling", dict(scale=0.5, offset=[1.0, 2, 3]), M),
    ("UpSampling1D", dict(size=3), S), ("UpSampling2D", dict(size=(2, 1),
     interpolation="bilinear"), M),
    ("UpSampling2D", dict(size=2, interpolation="nearest"), M), ("UpSampling3D",
     dict(size=(1, 2, 1)), C),
    ("ZeroPadding1D", dict(padding=(2, 1)), S), ("ZeroPadding2D", dict(padding=((1, 2), (0,
     3))), M),
    ("ZeroPadding3D", dict(padding=((1, 0), (0, 1), (2, 0))), C),
    ("LayerNormalization", dict(axis=(1, 2), epsilon=0.01, scale=False), S),
    ("LayerNormalization", dict(gamma_initializer="he_normal", beta_regularizer="l2"), S),
    ("GroupNormalization", dict(groups=3, axis=-1, center=False), M),
    ("GroupNormalization", dict(groups=-1, epsilon=0.01), M),
    ("RMSNormalization", dict(axis=-1, epsilon=0.01), S), ("UnitNormalization", dict(axis=1),
     S),
    ("SimpleRNN", dict(units=3, activation="relu", return_sequences=True, **{
        **EVERY, **RECURRENT, "activity_regularizer": None}), S),  # Keras forgets that one
    ("LSTM", dict(units=3, return_state=True, go_backwards=True, **EVERY, **RECURRENT), S),
    ("LSTM", dict(units=2, unit_forget_bias=False, unroll=True, recurrent_activation="relu"),
     S),
    ("GRU", dict(units=3, reset_after=False, return_sequences=True, **EVERY, **RECURRENT), S),
    ("GRU", dict(units=2, use_bias=False, return_state=True, return_sequences=True), S),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=3, value_dim=2, use_bias=False,
                                output_shape=5), [S, S + 1]),
    ("MultiHeadAttention", dict(num_heads=2, key_dim=2, attention_axes=(1,), **{
        k: v for k, v in EVERY.items() if k != "kernel_constraint"}), [S, S]),
    ("GroupQueryAttention", dict(head_dim=2, num_query_heads=4, num_key_value_heads=2), [S,
     S + 1]),
    ("CategoryEncoding", dict(num_tokens=8, output_mode="multi_hot"), IDS),
    ("CategoryEncoding", dict(num_tokens=8, output_mode="count"), IDS),
    ("Discretization", dict(bin_boundaries=[-0.5, 0.5]), V),
    ("Discretization", dict(bin_boundaries=[-0.5, 0.5], output_mode="one_hot"), V[:, :1]),
    ("Hashing", dict(num_bins=5, salt=7), IDS), ("Hashing", dict(num_bins=4,
     output_mode="count"), IDS),
    ("IntegerLookup", dict(vocabulary=[1, 2, 5], num_oov_indices=2), IDS),
    ("Normalization", dict(mean=[1.0, 2, 3], variance=[1.0, 4, 9], invert=True), M),
    ("CenterCrop", dict(height=4, width=9), M), ("Resizing", dict(height=4, width=3), M),
    ("Resizing", dict(height=4, width=3, interpolation="bicubic", antialias=True), M),
]  # fmt: skip

PREPROCESSING = {
    "CategoryEncoding", "Discretization", "Hashing", "IntegerLookup", "Normalization",
    "CenterCrop", "Resizing", "Rescaling",
}  # fmt: skip


@pytest.fixture(scope="module")
def real(tf):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


def several(x):
    return x if isinstance(x, list) else [x]


def flat(x):
    return list(x) if isinstance(x, (list, tuple)) else [x]


def call(layer, tensors, **kwargs):
    if "Attention" in type(layer).__name__ and len(type(layer).__name__) > 17:
        return layer(*tensors, **kwargs)  # the heads take their inputs one by one
    return layer(tensors if len(tensors) > 1 else tensors[0], **kwargs)


def made(family, name, kwargs, data, dtype=None):
    layer = getattr(family.layers, name)(**kwargs, name="n", dtype=dtype)
    call(layer, [x[:2] for x in several(data)])
    return layer


def near(got, want, tolerance):
    got, want = (np.asarray(v).astype("f") for v in (got, want))
    assert got.shape == want.shape
    scale = max(1.0, np.abs(want).max(initial=0))
    np.testing.assert_allclose(got / scale, want / scale, atol=tolerance, rtol=tolerance)


CASES = [pytest.param(*c, id=f"{c[0]}-{i}") for i, c in enumerate(GRID)]


@pytest.mark.peers
@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_outputs_gradients_losses_and_configs_are_keras(tf, real, name, kwargs, data):
    ours, theirs = made(keras, name, kwargs, data), made(real, name, kwargs, data)
    assert [tuple(w.shape) for w in ours.weights] == [tuple(w.shape) for w in theirs.weights]
    values = [RNG.uniform(0.1, 0.9, w.shape).astype("f") for w in theirs.weights]
    if values and name != "IntegerLookup":
        ours.set_weights(values)
        theirs.set_weights(values)
    mine = [hr.constant(x) for x in several(data)]
    other = [tf.constant(x) for x in several(data)]
    flag = {"training": True} if name == "BatchNormalization" else {}
    with hr.GradientTape() as tape:
        for x in mine:
            tape.watch(x) if x.dtype.is_floating else None
        got = flat(call(ours, mine, **flag))
        total = sum(hr.reduce_sum(hr.sin(g)) for g in got if g.dtype.is_floating)
        total += sum(ours.losses, hr.constant(0.0))
    with tf.GradientTape() as peer:
        for x in other:
            peer.watch(x) if x.dtype.is_floating else None
        want = flat(call(theirs, other, **flag))
        peer_total = sum(tf.reduce_sum(tf.sin(w)) for w in want if w.dtype.is_floating)
        peer_total += sum(theirs.losses, tf.constant(0.0))
    for a, b in zip(got, want, strict=True):
        assert a.dtype.name == b.dtype.name
        near(a, b, 2e-5)
    near(total, peer_total, 1e-4)
    if name not in PREPROCESSING:
        sources = [x for x in mine if x.dtype.is_floating] + ours.trainable_variables
        peers = [x for x in other if x.dtype.is_floating]
        peers += [v.value for v in theirs.trainable_variables]
        for a, b in zip(
            tape.gradient(total, sources), peer.gradient(peer_total, peers), strict=True
        ):
            assert (a is None) == (b is None)
            if a is not None:
                near(hr.convert_to_tensor(a), tf.convert_to_tensor(b), 2e-4)
    a, b = ours.get_config(), theirs.get_config()
    assert b.keys() - a.keys() == set()
    assert a.keys() - b.keys() <= {"batch_input_shape", "zero_output_for_mask"}
    again = type(theirs).from_config({k: a[k] for k in b})
    back = type(ours).from_config(b)
    for layer in (again, back):
        call(layer, [x[:1] for x in several(data)])
    assert type(ours).from_config(a).get_config() == a
    for w, v in zip(ours.non_trainable_weights, theirs.non_trainable_weights, strict=True):
        near(w, v, 1e-4)


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_rows_traces_and_placeholders_agree(name, kwargs, data):
    layer = made(keras, name, kwargs, data)
    whole = flat(call(layer, several(data)))
    traced = flat(hr.function(lambda *x: call(layer, list(x)))(*several(data)))
    for a, b in zip(whole, traced, strict=True):
        near(b, a, 1e-5)
    for rows in (1, 0):
        part = flat(call(layer, [x[:rows] for x in several(data)]))
        for a, b in zip(part, whole, strict=True):
            assert tuple(a.shape) == (rows, *b.shape[1:])
            near(a, b[:rows], 2e-5)
    shapes = [(None, *x.shape[1:]) for x in several(data)]
    inputs = [
        keras.Input(batch_shape=shape, dtype=x.dtype.name)
        for shape, x in zip(shapes, several(data), strict=True)
    ]
    for placeholder, value in zip(flat(call(layer, inputs)), whole, strict=True):
        assert placeholder.shape[1:] == tuple(value.shape[1:])
        assert placeholder.dtype == value.dtype.name


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "kwargs", "data"),
    [c for c in CASES if c.values[0] not in PREPROCESSING],
)
def test_mixed_precision_is_keras(real, name, kwargs, data):
    ours, theirs = (made(f, name, kwargs, data, "mixed_bfloat16") for f in (keras, real))
    assert [w.dtype.name if hasattr(w.dtype, "name") else w.dtype for w in ours.weights] == [
        w.dtype for w in theirs.weights
    ]
    values = [RNG.uniform(0.1, 0.9, w.shape).astype("f") for w in theirs.weights]
    if values:
        ours.set_weights(values)
        theirs.set_weights(values)
    got, want = (flat(call(layer, several(data))) for layer in (ours, theirs))
    for a, b in zip(got, want, strict=True):
        assert a.dtype.name == real.backend.standardize_dtype(b.dtype)
        near(hr.cast(a, "float32"), real.ops.cast(b, "float32"), 4e-2)
