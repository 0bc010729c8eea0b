"""Losses and metrics of `compile`, matched to outputs by name, position or structure."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras.engine.compile_utils import (
    LossContainer,
    MetricsContainer,
    apply_class_weight,
)

ONE = hr.constant([[1.0], [1.0]])
TWO = hr.constant([[3.0], [3.0]])


@pytest.mark.parametrize(
    ("loss", "weights", "want"),
    [
        ("mse", None, 4.0 + 1.0),
        (["mse", "mae"], None, 4.0 + 1.0),
        ([None, "mae"], None, 1.0),
        ({"a": "mse"}, None, 4.0),
        ({"b": keras.losses.MeanAbsoluteError()}, {"b": 3.0}, 3.0),
        (["mse", "mse"], [0.5, 2.0], 2.0 + 2.0),
        ("mse", 2.0, 8.0 + 2.0),
    ],
    ids=["one", "list", "none", "dict", "object", "weights", "one_weight"],
)
@pytest.mark.parametrize("structure", ["list", "dict"])
def test_losses_of_two_outputs(loss, weights, want, structure):
    y, pred = [ONE, ONE], [TWO, 2 * ONE]
    if structure == "dict":
        y, pred = dict(zip("ab", y, strict=True)), dict(zip("ab", pred, strict=True))
    container = LossContainer(loss, weights, ["a", "b"])
    assert float(container(y, pred)) == want


def test_losses_are_tracked_per_output():
    container = LossContainer("mse", None, ["a", "b"])
    container([ONE, ONE], [TWO, 2 * ONE])
    found = {m.name: float(m.result()) for m in container.metrics}
    assert found == {"a_loss": 4.0, "b_loss": 1.0}


def test_functions_are_averaged_over_samples():
    container = LossContainer(lambda y, pred: hr.reduce_sum(hr.abs(y - pred), axis=-1))
    assert float(container(ONE, TWO)) == 2.0
    weighted = container(ONE, TWO, hr.constant([1.0, 0.0]))
    assert float(weighted) == 1.0


def test_sample_weights_per_output():
    container = LossContainer("mse", None, ["a", "b"])
    weights = {"a": hr.constant([1.0, 0.0]), "b": hr.constant([0.0, 0.0])}
    assert float(container([ONE, ONE], [TWO, TWO], weights)) == 2.0


@pytest.mark.parametrize(
    ("loss", "y", "pred", "message"),
    [
        (["mse"], [ONE, ONE], [TWO, TWO], "1 entries for 2 outputs"),
        ({"c": "mse"}, [ONE, ONE], [TWO, TWO], "key 'c' does not correspond"),
        ("mse", [ONE], [TWO, TWO], "`y` has 1 entries, but the model has 2 outputs"),
        ("mse", ONE, [TWO, TWO], "must be a list or dict with one entry per output"),
        ("mse", {"a": ONE}, {"a": TWO, "b": TWO}, "`y` has no entry for output 'b'"),
    ],
    ids=["count", "key", "targets", "tensor", "missing"],
)
def test_loss_errors(loss, y, pred, message):
    with pytest.raises(ValueError, match=message):
        LossContainer(loss, None, ["a", "b"])(y, pred)


def test_loss_that_does_not_fit_says_which():
    container = LossContainer("mse", None, ["a", "b"])
    with pytest.raises(ValueError) as caught:
        container([ONE, hr.ones((2, 3))], [ONE, hr.ones((2, 2))])
    assert "of output 'b': y_true (shape=(2, 3), dtype=float32)" in caught.value.__notes__[-1]


@pytest.mark.parametrize(
    ("metrics", "names"),
    [
        (["mae"], ["a_mae", "b_mae"]),
        ([["mae", "mse"], []], ["a_mae", "a_mse"]),
        ([None, ["mse"]], ["b_mse"]),
        (["mae", "mse"], ["a_mae", "b_mse"]),
        ({"b": "mae"}, ["b_mae"]),
        ({"a": ["mae"], "b": [keras.metrics.MeanSquaredError(name="sq")]}, ["a_mae", "b_sq"]),
    ],
    ids=["all", "lists", "none", "one_each", "dict", "objects"],
)
def test_metric_names_of_two_outputs(metrics, names):
    container = MetricsContainer(metrics, None, ["a", "b"])
    if metrics == ["mae"]:
        with pytest.raises(ValueError, match="one entry per output"):
            container.update_state([ONE, ONE], [TWO, TWO])
        return
    container.update_state([ONE, ONE], [TWO, TWO])
    assert list(container.results()) == names


def test_names_of_one_output():
    container = MetricsContainer(["mae", "mae"], ["mae"])
    container.update_state(ONE, TWO, hr.constant([1.0, 1.0]))
    assert list(container.results()) == ["mae", "mae_1", "weighted_mae"]


def test_only_weighted_metrics_see_weights():
    container = MetricsContainer(["mae"], ["mse"])
    container.update_state(ONE, hr.constant([[3.0], [1.0]]), hr.constant([0.0, 1.0]))
    assert {k: float(v) for k, v in container.results().items()} == {"mae": 1.0, "mse": 0.0}


def test_functions_are_metrics():
    def largest(y, pred):
        return hr.reduce_max(hr.abs(y - pred), axis=-1)

    container = MetricsContainer([largest])
    container.update_state(ONE, TWO)
    assert {k: float(v) for k, v in container.results().items()} == {"largest": 2.0}


@pytest.mark.parametrize(
    ("y", "pred", "kind"),
    [
        ((2, 1), (2, 1), "BinaryAccuracy"),
        ((2,), (2, 3), "SparseCategoricalAccuracy"),
        ((2, 1), (2, 3), "SparseCategoricalAccuracy"),
        ((2, 3), (2, 3), "CategoricalAccuracy"),
    ],
)
def test_accuracy_by_shape(y, pred, kind):
    container = MetricsContainer(["accuracy", "crossentropy"])
    container.build(hr.zeros(y), hr.zeros(pred))
    assert [type(m).__name__ for m in container.metrics] == [
        kind,
        kind.replace("Accuracy", "Crossentropy"),
    ]


def test_metrics_must_be_listed():
    with pytest.raises(ValueError, match="to be a list, tuple, or dict"):
        MetricsContainer("mae").update_state(ONE, TWO)


@pytest.mark.parametrize(
    "y",
    [np.array([0, 1, 2]), np.array([[0], [1], [2]]), np.eye(3), np.array([0.0, 1.0, 2.0])],
    ids=["flat", "column", "one_hot", "floats"],
)
def test_class_weights(y):
    np.testing.assert_array_equal(apply_class_weight(y, {0: 2.0, 2: 0.5}), [2.0, 1.0, 0.5])


def test_class_weights_of_one_output_only():
    with pytest.raises(ValueError, match="single output"):
        apply_class_weight({"a": ONE}, {0: 1.0})
