"""Losses over the arguments that Keras documents: one table, every law for each row.

Values under every reduction, weight and mask, and gradients, are Keras's; configs are read by
the other side and round trip; a traced call with an unknown batch equals the eager one.
"""

import json

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras.engine.masks import set_mask

RNG = np.random.default_rng(29)
N, T, C = 6, 3, 4


def softmaxed(*shape):
    scores = RNG.uniform(0.05, 1, shape)
    return scores / scores.sum(-1, keepdims=True)


def numbers(*shape):
    return RNG.normal(size=shape), RNG.normal(size=shape)


def positive(*shape):
    return RNG.uniform(0, 3, shape), RNG.uniform(0.1, 3, shape)


def binary(*shape):
    return RNG.integers(0, 2, shape), RNG.uniform(0, 1, shape)


def logits(*shape):
    return RNG.integers(0, 2, shape), RNG.normal(size=shape) * 3


def one_hot(*shape):
    return np.eye(shape[-1])[RNG.integers(0, shape[-1], shape[:-1])], softmaxed(*shape)


def sparse(*shape):
    return RNG.integers(0, shape[-1], shape[:-1]), softmaxed(*shape)


def moved(data, axis):
    """The classes along another axis."""
    true, pred = data
    if true.ndim == pred.ndim:
        true = np.moveaxis(true, -1, axis)
    return true, np.moveaxis(pred, -1, axis)


def scores(data):
    return data[0], RNG.normal(size=data[1].shape) * 3


def embedded():
    x = RNG.normal(size=(N, C))
    return RNG.integers(0, 3, N), x / np.linalg.norm(x, axis=-1, keepdims=True)


def masked_classes(data, number):
    true = data[0].copy()
    true.flat[::3] = number
    return true, data[1]


PLAIN = [  # of numbers and of several axes
    ("MeanSquaredError", numbers), ("MeanAbsoluteError", numbers), ("LogCosh", numbers),
    ("MeanAbsolutePercentageError", numbers), ("MeanSquaredLogarithmicError", positive),
    ("Poisson", positive), ("Hinge", numbers), ("SquaredHinge", logits), ("Hinge", logits),
    ("CategoricalHinge", one_hot), ("KLDivergence", one_hot), ("Huber", numbers),
    ("CosineSimilarity", numbers), ("BinaryCrossentropy", binary),
    ("BinaryFocalCrossentropy", binary),
]  # fmt: skip
# (loss, arguments, data)
GRID = [
    *((name, {}, data(N, T, C)) for name, data in PLAIN),
    *((name, {}, data(N, 1)) for name, data in PLAIN),
    *((name, {}, (data(N, 1)[0][:, 0], data(N, 1)[1])) for name, data in PLAIN[:4]),
    *((name, {"dtype": "float64"}, data(N, C)) for name, data in PLAIN),
    *((name, {"dtype": "float16"}, data(N, C)) for name, data in PLAIN),
    ("MeanSquaredError", {}, (RNG.normal(size=(N, 1)), RNG.normal(size=N))),
    ("MeanSquaredError", {}, (RNG.integers(0, 9, (N, C)), RNG.integers(0, 9, (N, C)))),
    ("MeanSquaredLogarithmicError", {}, numbers(N, C)),
    ("MeanAbsolutePercentageError", {}, (np.zeros((N, C)), RNG.normal(size=(N, C)))),
    *((name, {}, (RNG.choice([-1, 1], (N, C)), RNG.choice([-1.0, 0, 1], (N, C))))  # at the edge
      for name in ("Hinge", "SquaredHinge", "CategoricalHinge")),
    ("Huber", {"delta": 2.5}, numbers(N, T, C)),
    ("Huber", {"delta": 0.1, "dtype": "float64"}, numbers(N, C)),
    ("LogCosh", {}, (numbers(N, C)[0], RNG.normal(size=(N, C)) * 100)),
    ("CosineSimilarity", {"axis": -2}, numbers(N, T, C)),
    ("CosineSimilarity", {"axis": 1}, numbers(N, T, C)),
    ("CosineSimilarity", {"axis": -1}, (np.zeros((N, C)), RNG.normal(size=(N, C)))),
    ("CosineSimilarity", {"axis": (1, 2)}, numbers(N, T, C)),
    ("BinaryCrossentropy", {"axis": 1}, binary(N, T, C)),
    ("BinaryCrossentropy", {"axis": (1, 2)}, binary(N, T, C)),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.3}, logits(N, T)),
    ("BinaryCrossentropy", {}, (np.eye(2)[[0, 1, 0, 1, 0, 1]], np.eye(2)[[0, 1] * 3])),
    ("BinaryCrossentropy", {"from_logits": True}, (logits(N, 1)[0][:, 0], logits(N, 1)[1])),
    ("BinaryFocalCrossentropy", {"axis": 1, "gamma": 0.0}, binary(N, T, C)),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "alpha": 0.6, "gamma": 3.0,
     "from_logits": True, "label_smoothing": 0.2}, logits(N, C)),
    ("BinaryFocalCrossentropy", {"label_smoothing": 1.0}, binary(N, C)),
    ("CategoricalCrossentropy", {}, one_hot(N, T, C)),
    ("CategoricalCrossentropy", {"axis": 1}, moved(one_hot(N, T, C), 1)),
    ("CategoricalCrossentropy", {"axis": 1, "from_logits": True, "label_smoothing": 0.3},
     scores(moved(one_hot(N, T, C), 1))),
    ("CategoricalCrossentropy", {"from_logits": True, "dtype": "float64"},
     scores(one_hot(N, C))),
    ("CategoricalCrossentropy", {}, (np.eye(C)[[0, 1, 2, 3, 0, 1]], np.eye(C)[[0, 1, 3] * 2])),
    ("CategoricalCrossentropy", {}, (one_hot(N, C)[0], RNG.uniform(0.1, 3, (N, C)))),
    ("CategoricalFocalCrossentropy", {"axis": 1}, moved(one_hot(N, T, C), 1)),
    ("CategoricalFocalCrossentropy", {"alpha": [0.1, 0.2, 0.3, 0.4], "gamma": 1.0,
     "label_smoothing": 0.1}, one_hot(N, C)),
    ("CategoricalFocalCrossentropy", {"from_logits": True, "gamma": 0.5, "axis": 1},
     scores(moved(one_hot(N, T, C), 1))),
    ("SparseCategoricalCrossentropy", {}, sparse(N, T, C)),
    ("SparseCategoricalCrossentropy", {"axis": 2, "from_logits": True, "ignore_class": 0},
     scores(sparse(N, T, C))),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1},
     masked_classes(sparse(N, T, C), -1)),
    ("SparseCategoricalCrossentropy", {"ignore_class": 255, "from_logits": True},
     masked_classes(scores(sparse(N, C)), 255)),
    ("SparseCategoricalCrossentropy", {}, (sparse(N, C)[0].astype("f")[:, None],
     softmaxed(N, C))),
    ("SparseCategoricalCrossentropy", {"dtype": "float64"}, sparse(N, C)),
    ("SparseCategoricalCrossentropy", {}, (sparse(N, C)[0], RNG.uniform(0.1, 3, (N, C)))),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.2}, sparse(N, C)),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.7}, sparse(N, T, C)),
    ("Dice", {}, binary(N, T, C)), ("Dice", {"axis": (1, 2)}, binary(N, T, C)),
    ("Dice", {"axis": 1, "dtype": "float64"}, binary(N, T, C)),
    ("Dice", {}, (np.zeros((N, C)), np.zeros((N, C)))),
    ("Tversky", {"axis": (1, 2), "alpha": 0.3}, binary(N, T, C)),
    ("Tversky", {"axis": -1, "beta": 0.1, "alpha": 0.0}, binary(N, T, C)),
    ("Circle", {"gamma": 5.0}, embedded()), ("Circle", {"margin": 0.1}, embedded()),
    ("CTC", {"dtype": "float64"}, (np.array([[1, 2, 0], [3, 3, 1], [1, 0, 0]] * 2),
     RNG.normal(size=(N, 7, C)))),
]  # fmt: skip
CASES = [pytest.param(*c, id=f"{c[0]}-{'-'.join(c[1])}-{i}") for i, c in enumerate(GRID)]
REDUCTIONS = ["sum_over_batch_size", "sum", "mean", "mean_with_sample_weight", "none", None]
TOLERANCES = {"float64": 1e-9, "float32": 5e-5, "float16": 6e-3}
# Where Keras is not exact: log(2) of a float32, and the loss of speech computed in float32.
COARSE = {("LogCosh", "float64"): 1e-8, ("CTC", "float64"): 1e-5}
# Where Keras is wrong: its gradient is not a number where float16 loses an epsilon.
NO_GRADIENT = {("KLDivergence", "float16")}


def prepared(data, dtype="float32"):
    true, pred = data
    return true, pred if pred.dtype.kind == "i" else pred.astype(dtype)


def outcome(run):
    """What a call gives: an array, or that it is refused."""
    try:
        return np.asarray(run())
    except Exception as error:
        return type(error)


def same(got, want, tolerance):
    if isinstance(want, type):
        assert isinstance(got, type), f"{want.__name__} of Keras, {got} here"
        return
    assert not isinstance(got, type), got
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(
        got.astype("float64"), want.astype("float64"), rtol=tolerance, atol=tolerance
    )


def weights_for(values):
    """Weights of each rank that the values have, and with a last axis of one."""
    shape = values.shape
    choices = [None, 0.5, np.zeros(shape, "float32")]
    for rank in range(1, len(shape) + 1):
        weight = RNG.uniform(0, 2, shape[:rank]).astype("float32")
        choices += [weight, weight[..., None]]
    return choices


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_values_gradients_and_configs_are_keras(tf, name, kwargs, data):
    dtype = kwargs.get("dtype", "float32")
    tolerance = COARSE.get((name, dtype), TOLERANCES[dtype])
    true, pred = prepared(data, dtype)
    ours, theirs = getattr(keras.losses, name), getattr(tf.keras.losses, name)
    each = theirs(**kwargs, reduction=None)(true, pred).numpy()
    weights = weights_for(each)
    masks = [None]
    if each.ndim:
        masks += [RNG.random(each.shape) < 0.6, np.zeros(each.shape, bool)]
    for reduction in REDUCTIONS:
        mine, its = (f(**kwargs, reduction=reduction) for f in (ours, theirs))
        for i, weight in enumerate(weights):
            for mask in masks if i < 4 else masks[:1]:
                a, b = hr.constant(pred), tf.constant(pred)
                if mask is not None:
                    set_mask(a, hr.constant(mask))
                    b._keras_mask = tf.constant(mask)
                got = outcome(lambda: mine(true, a, weight))  # noqa: B023
                same(got, outcome(lambda: its(true, b, weight)), tolerance)  # noqa: B023
    mine, its = ours(**kwargs), theirs(**kwargs)
    x, y = hr.constant(pred), tf.constant(pred)
    if pred.dtype.kind == "f":
        weight = RNG.uniform(0.5, 2, each.shape).astype("float32")
        with hr.GradientTape() as tape:
            tape.watch(x)
            value = mine(true, x, weight)
        with tf.GradientTape() as peer:
            peer.watch(y)
            peer_value = its(true, y, weight)
        got, want = tape.gradient(value, x), peer.gradient(peer_value, y)
        if (name, dtype) in NO_GRADIENT:
            assert np.isfinite(got).all() and np.isnan(want).any()
        else:
            same(np.asarray(got), want.numpy(), 10 * tolerance)
    a, b = mine.get_config(), its.get_config()
    assert json.dumps({k: a[k] for k in b}) == json.dumps(b)
    read = tf.keras.utils.deserialize_keras_object(keras.losses.serialize(mine))
    assert json.dumps(read.get_config()) == json.dumps(b)
    back = keras.losses.deserialize(tf.keras.losses.serialize(its))
    assert json.dumps({k: back.get_config()[k] for k in b}) == json.dumps(b)
    again = keras.losses.deserialize(keras.losses.serialize(mine))
    assert json.dumps(again.get_config()) == json.dumps(a)


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_a_trace_with_an_unknown_batch_is_the_call(name, kwargs, data):
    true, pred = prepared(data, kwargs.get("dtype", "float32"))
    loss = getattr(keras.losses, name)(**kwargs)
    specs = [hr.TensorSpec([None, *x.shape[1:]], x.dtype) for x in (true, pred)]
    traced = hr.function(loss, input_signature=specs)
    same(np.asarray(traced(true, pred)), np.asarray(loss(true, pred)), 1e-2)
