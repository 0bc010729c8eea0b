"""Regularizers and constraints against Keras."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras import constraints, regularizers

W = np.random.default_rng(1).normal(size=(6, 4)).astype("float32")
PENALTIES = [
    ("L1", {"l1": 0.3}),
    ("L2", {"l2": 0.2}),
    ("L1L2", {"l1": 0.1, "l2": 0.4}),
    ("L1L2", {}),
    ("OrthogonalRegularizer", {}),
    ("OrthogonalRegularizer", {"factor": 0.5, "mode": "columns"}),
]
PROJECTIONS = [
    ("MaxNorm", {}),
    ("MaxNorm", {"max_value": 0.5, "axis": 1}),
    ("NonNeg", {}),
    ("UnitNorm", {}),
    ("UnitNorm", {"axis": [0, 1]}),
    ("MinMaxNorm", {"min_value": 0.7, "max_value": 1.5, "rate": 0.4}),
]


@pytest.mark.parametrize(("name", "kwargs"), PENALTIES)
def test_penalty_is_keras(tf, name, kwargs):
    ours = getattr(regularizers, name)(**kwargs)
    peer = getattr(tf.keras.regularizers, name)(**kwargs)
    for value in (
        ours(hr.constant(W)),
        ours(hr.Variable(W)),
        hr.function(ours)(hr.constant(W)),
    ):
        assert float(value) == pytest.approx(float(peer(tf.constant(W))), rel=1e-5)
    expected = peer.get_config()
    config = ours.get_config()
    assert {
        k: pytest.approx(v) if isinstance(v, float) else v for k, v in config.items()
    } == expected
    again = regularizers.deserialize(regularizers.serialize(ours))
    assert type(again) is type(ours) and again.get_config() == config


@pytest.mark.parametrize(("name", "kwargs"), PROJECTIONS)
def test_projection_is_keras(tf, name, kwargs):
    ours = getattr(constraints, name)(**kwargs)
    peer = getattr(tf.keras.constraints, name)(**kwargs)
    np.testing.assert_allclose(ours(hr.Variable(W)), peer(tf.constant(W)), rtol=1e-5, atol=1e-6)
    assert ours.get_config() == peer.get_config()
    again = constraints.deserialize(constraints.serialize(ours))
    assert type(again) is type(ours) and again.get_config() == ours.get_config()


@pytest.mark.parametrize("name", ["l1", "l2", "L1L2", "orthogonal_regularizer"])
def test_get_regularizer_is_keras(tf, name):
    ours, peer = regularizers.get(name), tf.keras.regularizers.get(name)
    assert type(ours).__name__ == type(peer).__name__
    assert ours.get_config() == {
        k: pytest.approx(v) if isinstance(v, float) else v for k, v in peer.get_config().items()
    }


@pytest.mark.parametrize(
    "name", ["max_norm", "non_neg", "unit_norm", "min_max_norm", "MaxNorm"]
)
def test_get_constraint_is_keras(tf, name):
    assert type(constraints.get(name)).__name__ == type(tf.keras.constraints.get(name)).__name__


def test_get_passes_on_or_refuses():
    for family in (regularizers, constraints):
        assert family.get(None) is None
        assert family.get(abs) is abs
        with pytest.raises(ValueError):
            family.get("no_such")


@pytest.mark.parametrize("bad", [-1.0, float("nan"), "0.1", True])
def test_bad_factor_is_refused(bad):
    with pytest.raises(ValueError, match="non-negative"):
        regularizers.L2(bad)


def test_bad_mode_and_rank_are_refused():
    with pytest.raises(ValueError, match="mode=diagonal"):
        regularizers.OrthogonalRegularizer(mode="diagonal")
    with pytest.raises(ValueError, match="rank 2"):
        regularizers.OrthogonalRegularizer()(hr.constant([1.0]))
