"""Activations against Keras: values, gradients, names."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras import activations

X = (
    np.concatenate([np.linspace(-6, 8, 41), [0.0, 1.0, -1.0, 0.5]])
    .astype("float32")
    .reshape(5, 9)
)
X2 = X[:, :8]
CASES = [
    *((n, {}) for n in ("elu", "exponential", "gelu", "hard_sigmoid", "hard_silu", "hard_swish",
                        "hard_tanh", "leaky_relu", "linear", "log_sigmoid", "log_softmax",
                        "mish",
                        "relu", "relu6", "selu", "sigmoid", "silu", "softmax", "softplus",
                        "softsign", "sparse_plus", "sparse_sigmoid", "squareplus",
                        "swish", "tanh", "tanh_shrink", "glu", "celu", "hard_shrink",
                        "soft_shrink")),
    ("relu", {"negative_slope": 0.1}),
    ("relu", {"max_value": 3.0}),
    ("relu", {"threshold": 0.7, "max_value": 3.0, "negative_slope": 0.2}),
    ("elu", {"alpha": 0.4}),
    ("gelu", {"approximate": True}),
    ("leaky_relu", {"negative_slope": 0.3}),
    ("softmax", {"axis": 0}),
    ("log_softmax", {"axis": 0}),
    ("threshold", {"threshold": 0.6, "default_value": 20.0}),
    ("celu", {"alpha": 2.0}),
]  # fmt: skip
IDS = [f"{n}-{'-'.join(kw) or 'plain'}" for n, kw in CASES]
# Where a function has a corner, either side's slope is right.
CORNERS = (0.0, 1.0, -1.0, 0.5, -0.5, 3.0, 6.0, -3.0)


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_value_and_gradient_are_keras(tf, name, kwargs):
    x = hr.constant(X2)
    with hr.GradientTape() as tape:
        tape.watch(x)
        out = getattr(activations, name)(x, **kwargs)
        value = hr.reduce_sum(out * out)
    theirs = tf.constant(X2)
    with tf.GradientTape() as peer_tape:
        peer_tape.watch(theirs)
        expected = getattr(tf.keras.activations, name)(theirs, **kwargs)
        peer_value = tf.reduce_sum(expected * expected)
    np.testing.assert_allclose(out, expected, rtol=2e-5, atol=2e-6)
    smooth = np.all([np.abs(X2 - c) > 1e-3 for c in CORNERS], axis=0)
    grad, peer_grad = tape.gradient(value, x), peer_tape.gradient(peer_value, theirs)
    np.testing.assert_allclose(
        np.asarray(grad)[smooth], peer_grad.numpy()[smooth], rtol=2e-4, atol=1e-5
    )


@pytest.mark.parametrize("name", activations.__all__)
def test_every_name_is_found(tf, name):
    if name in ("get", "serialize", "deserialize"):
        return
    function = activations.get(name)
    assert function is getattr(activations, name)
    assert activations.serialize(function) == tf.keras.activations.serialize(
        tf.keras.activations.get(name)
    )
    assert activations.deserialize(activations.serialize(function)) is function


def test_get():
    assert activations.get(None) is activations.linear
    assert activations.get(np.tanh) is np.tanh
    for bad in ("no_such", 4):
        with pytest.raises(ValueError):
            activations.get(bad)


def test_no_name_is_missing(tf):
    assert set(activations.__all__) >= {n for n in dir(tf.keras.activations) if n[0] != "_"}


@pytest.mark.parametrize("axis", [-1, 0])
def test_sparsemax_is_the_projection_onto_the_simplex(axis):
    """The nearest distribution: shares `x - t` where positive. (Keras 3.15's rows do not sum
    to 1.)"""
    x = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")
    p = np.asarray(activations.sparsemax(x, axis=axis))
    np.testing.assert_allclose(p.sum(axis), 1, rtol=1e-5)
    shift = np.where(p > 0, x - p, -np.inf).max(axis, keepdims=True)
    np.testing.assert_allclose(p, np.maximum(x - shift, 0), atol=1e-6)
