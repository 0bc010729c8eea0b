"""Metrics over the arguments that Keras documents: one table, every law for each row.

Results after each of several updates, without and with weights of each rank, are Keras's; so
are states that are merged and reset, results of masked predictions, and configs both ways.
"""

import json
import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras.engine.masks import set_mask

RNG = np.random.default_rng(31)
BATCHES, N, T, C = 2, 6, 3, 4


def several(make):
    return [make() for _ in range(BATCHES)]


def softmaxed(*shape):
    scores = RNG.uniform(0.05, 1, shape).astype("f")
    return scores / scores.sum(-1, keepdims=True)


def normal(*shape):
    return RNG.normal(size=shape).astype("f")


def numbers(*shape):
    return several(lambda: (normal(*shape), normal(*shape)))


def positive(*shape):
    return several(lambda: (np.abs(normal(*shape)), np.abs(normal(*shape)) + 0.1))


def binary(*shape):
    return several(lambda: (RNG.integers(0, 2, shape), RNG.uniform(0, 1, shape).astype("f")))


def logits(*shape):
    return several(lambda: (RNG.integers(0, 2, shape), 3 * normal(*shape)))


def hot(*shape):
    return np.eye(shape[-1], dtype="f")[RNG.integers(0, shape[-1], shape[:-1])]


def one_hot(*shape):
    return several(lambda: (hot(*shape), softmaxed(*shape)))


def sparse(*shape):
    return several(lambda: (RNG.integers(0, shape[-1], shape[:-1]), softmaxed(*shape)))


def labels(classes, *shape):
    return several(lambda: (RNG.integers(0, classes, shape), RNG.integers(0, classes, shape)))


def changed(data, change):
    return [change(*pair) for pair in data]


PLAIN = [
    ("MeanSquaredError", numbers), ("RootMeanSquaredError", numbers),
    ("MeanAbsoluteError", numbers), ("LogCoshError", numbers),
    ("MeanAbsolutePercentageError", numbers), ("MeanSquaredLogarithmicError", positive),
    ("Poisson", positive), ("Hinge", numbers), ("SquaredHinge", logits),
    ("CategoricalHinge", one_hot), ("KLDivergence", one_hot), ("CosineSimilarity", numbers),
    ("BinaryCrossentropy", binary), ("BinaryAccuracy", binary),
    ("CategoricalAccuracy", one_hot), ("CategoricalCrossentropy", one_hot),
    ("SparseCategoricalAccuracy", sparse), ("SparseCategoricalCrossentropy", sparse),
]  # fmt: skip
CONFUSION = ["TruePositives", "TrueNegatives", "FalsePositives", "FalseNegatives"]
SEARCHES = [("SensitivityAtSpecificity", "specificity"),
            ("SpecificityAtSensitivity", "sensitivity"), ("PrecisionAtRecall", "recall"),
            ("RecallAtPrecision", "precision")]  # fmt: skip
# (metric, arguments, batches)
GRID = [
    *((name, {}, data(N, C)) for name, data in PLAIN),
    *((name, {}, data(N, T, C)) for name, data in PLAIN),
    *((name, {"dtype": "float64"}, data(N, C)) for name, data in PLAIN),
    *((name, {"dtype": "float16"}, data(N, C)) for name, data in PLAIN[:3]),
    *((name, {}, data(N, 1)) for name, data in PLAIN[:9]),
    *((name, {}, changed(data(N, 1), lambda a, b: (a[:, 0], b))) for name, data in PLAIN[:9]),
    ("Accuracy", {}, labels(3, N, C)), ("Accuracy", {}, labels(2, N, 1)),
    ("Accuracy", {}, labels(2, N)),
    ("BinaryAccuracy", {"threshold": 0.0}, logits(N, C)),
    ("BinaryAccuracy", {"threshold": 0.9}, binary(N, 1)),
    ("BinaryAccuracy", {}, changed(binary(N, 1), lambda a, b: (a[:, 0], b))),
    ("CosineSimilarity", {"axis": 1}, numbers(N, T, C)),
    ("CosineSimilarity", {"axis": -2}, numbers(N, T, C)),
    ("BinaryCrossentropy", {"from_logits": True, "label_smoothing": 0.2}, logits(N, C)),
    ("CategoricalCrossentropy", {"from_logits": True, "label_smoothing": 0.2},
     changed(one_hot(N, C), lambda a, b: (a, normal(N, C)))),
    ("CategoricalCrossentropy", {"axis": 1},
     changed(one_hot(N, T, C), lambda a, b: (a.swapaxes(1, 2), b.swapaxes(1, 2)))),
    ("SparseCategoricalCrossentropy", {"from_logits": True, "ignore_class": 2},
     changed(sparse(N, T, C), lambda a, b: (a, normal(N, T, C)))),
    ("SparseCategoricalCrossentropy", {"ignore_class": -1},
     changed(sparse(N, C), lambda a, b: (np.where(a == 1, -1, a), b))),
    ("SparseCategoricalAccuracy", {}, changed(sparse(N, T, C), lambda a, b: (a[..., None], b))),
    ("SparseCategoricalAccuracy", {},
     changed(sparse(N, C), lambda a, b: (a.astype("f"), b))),
    ("TopKCategoricalAccuracy", {"k": 1}, one_hot(N, C)),
    ("TopKCategoricalAccuracy", {"k": 9}, one_hot(N, C)),
    ("TopKCategoricalAccuracy", {"k": 2}, one_hot(N, T, C)),
    ("TopKCategoricalAccuracy", {"k": 2},
     changed(one_hot(N, C), lambda a, b: (a, np.ones_like(b)))),
    ("SparseTopKCategoricalAccuracy", {"k": 2}, sparse(N, T, C)),
    ("SparseTopKCategoricalAccuracy", {}, sparse(N, 7)),
    *((name, {}, binary(N, T, C)) for name in CONFUSION),
    *((name, {"thresholds": [0.2, 0.5, 0.9]}, binary(N, C)) for name in CONFUSION),
    *((name, {"thresholds": 0.25, "dtype": "float64"}, binary(N)) for name in CONFUSION),
    *((name, kwargs, data) for name in ("Precision", "Recall") for kwargs, data in [
        ({}, binary(N, T, C)), ({"thresholds": 0.0}, logits(N)), ({"top_k": 1}, one_hot(N, C)),
        ({"thresholds": [0.0, 1.0]}, binary(N)), ({"top_k": 3}, one_hot(N, T, C)),
        ({"thresholds": 0.3, "class_id": 0}, binary(N, C)),
        ({"top_k": 2, "class_id": 1}, one_hot(N, C)),
        ({"thresholds": [0.1, 0.2, 0.3], "class_id": 3}, binary(N, C)),
        ({"dtype": "float64"}, binary(N, 1))]),
    *(("AUC", {"curve": curve, "summation_method": method, **more}, binary(N, 1))
      for curve in ("ROC", "PR")
      for method in ("interpolation", "minoring", "majoring")
      for more in ({}, {"num_thresholds": 5})),
    ("AUC", {"thresholds": [0.3, 0.35, 0.9], "curve": "PR"}, binary(N, C)),
    ("AUC", {"multi_label": True, "num_labels": C, "curve": "PR"}, binary(N, C)),
    ("AUC", {"multi_label": True, "num_labels": C, "thresholds": [0.2, 0.7],
             "summation_method": "minoring"}, binary(N, C)),
    ("AUC", {"multi_label": True, "label_weights": [0.5, 0.0, 2.0, 1.0],
             "from_logits": True}, logits(N, C)),
    ("AUC", {"label_weights": [0.5, 0.25, 2.0, 1.0]}, binary(N, C)),
    ("AUC", {"from_logits": True, "num_thresholds": 11}, logits(N)),
    ("AUC", {"dtype": "float64"}, binary(N, 1)),
    *((name, {key: at, **more}, data) for name, key in SEARCHES for at, more, data in [
        (0.0, {}, binary(N)), (1.0, {}, binary(N, 1)), (0.5, {}, binary(N, T, C)),
        (0.3, {"num_thresholds": 1}, binary(N)), (0.3, {"num_thresholds": 4}, binary(N)),
        (0.7, {"class_id": 1}, binary(N, C))]),
    *(("F1Score", {"average": average, "threshold": threshold}, one_hot(N, C))
      for average in (None, "micro", "macro", "weighted") for threshold in (None, 0.3)),
    ("FBetaScore", {"beta": 3.0, "average": "macro"}, one_hot(N, C)),
    ("FBetaScore", {"beta": 0.1, "threshold": 0.9, "dtype": "float64"}, binary(N, C)),
    *(("R2Score", {"class_aggregation": way, "num_regressors": number}, numbers(N, C))
      for way in ("uniform_average", "variance_weighted_average", None) for number in (0, 2)),
    ("R2Score", {"dtype": "float64"}, numbers(N, 1)),
    ("PearsonCorrelation", {"axis": (0, 1)}, numbers(N, C)),
    ("ConcordanceCorrelation", {"axis": (0, 1)}, numbers(N, C)),
    ("PearsonCorrelation", {"axis": 1}, numbers(N, T, C)),
    ("ConcordanceCorrelation", {"axis": -1, "dtype": "float64"}, numbers(N, C)),
    ("IoU", {"num_classes": 4, "target_class_ids": [1]}, labels(4, N, T)),
    ("IoU", {"num_classes": 4, "target_class_ids": [0, 3], "ignore_class": 3},
     labels(4, N, T)),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 2], "sparse_y_pred": False},
     sparse(N, T, C)),
    ("IoU", {"num_classes": C, "target_class_ids": [0, 2], "sparse_y_pred": False,
             "sparse_y_true": False}, one_hot(N, T, C)),
    ("MeanIoU", {"num_classes": 4}, labels(3, N, T)),
    ("MeanIoU", {"num_classes": 4, "ignore_class": -1},
     changed(labels(4, N, T), lambda a, b: (np.where(a == 2, -1, a), b))),
    ("MeanIoU", {"num_classes": C, "sparse_y_true": False, "sparse_y_pred": False},
     one_hot(N, T, C)),
    ("BinaryIoU", {"target_class_ids": [0]}, binary(N, T)),
    ("BinaryIoU", {"target_class_ids": [0, 1], "threshold": 0.9}, binary(N, 1)),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1], "ignore_class": 2},
     one_hot(N, T, C)),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1, 2], "sparse_y_pred": True},
     changed(one_hot(N, C), lambda a, b: (a, b.argmax(-1)))),
    ("OneHotMeanIoU", {"num_classes": C}, one_hot(N, T, C)),
]  # fmt: skip
CASES = [pytest.param(*c, id=f"{c[0]}-{'-'.join(c[1])}-{i}") for i, c in enumerate(GRID)]
TOLERANCES = {"float64": 1e-6, "float32": 3e-5, "float16": 6e-3}


def outcome(run):
    """What a call gives: an array, or that it is refused."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return np.asarray(run())
    except Exception as error:
        return type(error)


def plain(config):
    """As text; the label weights of Keras's AUC are a tensor."""
    return json.dumps(config, default=lambda x: np.asarray(x).tolist())


def same(got, want, tolerance):
    if isinstance(want, type):
        assert isinstance(got, type), f"{want.__name__} of Keras, {got} here"
        return
    assert not isinstance(got, type), got
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    np.testing.assert_allclose(
        got.astype("f8"), want.astype("f8"), rtol=tolerance, atol=tolerance
    )


def weight_shapes(data):
    true, pred = (np.shape(x) for x in data[0])
    shapes = [None, (), (N,), (N, 1)]
    for shape in (true, pred):
        shapes += [shape[:-1], shape]
    return list(dict.fromkeys(shapes))


def updated(metric, pairs, weights, masks=None):
    """After each batch: the result, or that the batch is refused."""
    out = []
    for i, ((true, pred), weight) in enumerate(zip(pairs, weights, strict=True)):
        if masks is not None:
            true, pred = masks(true, pred, i)
        got = outcome(lambda: [metric.update_state(true, pred, weight)] and 0)  # noqa: B023
        out.append(got if isinstance(got, type) else outcome(metric.result))
        if isinstance(got, type):
            break
    return out


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_updates_merges_resets_and_configs_are_keras(tf, name, kwargs, data):
    tolerance = TOLERANCES[kwargs.get("dtype", "float32")]
    ours, theirs = getattr(keras.metrics, name), getattr(tf.keras.metrics, name)
    for shape in weight_shapes(data):
        weights = [None] * BATCHES
        if shape is not None:
            weights = [RNG.uniform(0, 2, shape).astype("f") for _ in range(BATCHES)]
        got, want = (updated(f(**kwargs), data, weights) for f in (ours, theirs))
        assert len(got) == len(want), (shape, got, want)
        for a, b in zip(got, want, strict=True):
            same(a, b, tolerance)
    mine = [ours(**kwargs, name="chosen") for _ in data]
    its = theirs(**kwargs, name="chosen")
    for part, batch in zip(mine, data, strict=True):
        part.update_state(*batch)
    its.update_state(*data[0])
    whole = theirs(**kwargs)  # a merged state is that of one metric that saw every batch
    for batch in data:
        whole.update_state(*batch)
    mine[0].merge_state(mine[1:])
    same(outcome(mine[0].result), outcome(whole.result), tolerance)
    for a, b in zip(mine[0].variables, its.variables, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
    for metric in (mine[0], its):
        metric.reset_state()
    same(outcome(mine[0].result), outcome(its.result), tolerance)
    a, b = mine[0].get_config(), its.get_config()
    assert plain({k: a[k] for k in b}) == plain(b)
    assert a.keys() - b.keys() <= ({"axis"} if name == "CosineSimilarity" else set())  # forgot
    read = tf.keras.utils.deserialize_keras_object(keras.metrics.serialize(mine[0]))
    assert plain(read.get_config()) == plain(b)
    back = keras.metrics.deserialize(tf.keras.metrics.serialize(its))
    assert plain({k: back.get_config()[k] for k in b}) == plain(b)
    again = keras.metrics.deserialize(keras.metrics.serialize(mine[0]))
    assert plain(again.get_config()) == plain(a)


@pytest.mark.parametrize(("name", "kwargs", "data"), CASES)
def test_masked_predictions_are_keras(tf, name, kwargs, data):
    tolerance = TOLERANCES[kwargs.get("dtype", "float32")]
    for rank in {1, data[0][1].ndim}:
        masks = [RNG.random(pred.shape[:rank]) < 0.6 for _, pred in data]

        def own(true, pred, i):
            pred = hr.constant(pred)
            set_mask(pred, hr.constant(masks[i]))  # noqa: B023
            return true, pred

        def peer(true, pred, i):
            pred = tf.constant(pred)
            pred._keras_mask = tf.constant(masks[i])  # noqa: B023
            return true, pred

        weights = [np.arange(N, dtype="f") if rank == 1 else None] * BATCHES
        got = updated(getattr(keras.metrics, name)(**kwargs), data, weights, own)
        want = updated(getattr(tf.keras.metrics, name)(**kwargs), data, weights, peer)
        assert len(got) == len(want), (rank, got, want)
        for a, b in zip(got, want, strict=True):
            same(a, b, tolerance)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [("OneHotMeanIoU", {}), ("OneHotIoU", {"target_class_ids": [0, 2]})],
)
def test_classes_along_another_axis(tf, name, kwargs):
    """Keras takes `axis` for that of its square of counts, too, and fails; here it counts as
    the same data with the classes last."""
    kwargs["num_classes"] = C
    for true, pred in one_hot(N, T, C):
        mine = getattr(keras.metrics, name)(**kwargs, axis=1)
        its = getattr(tf.keras.metrics, name)(**kwargs)
        got = mine(true.swapaxes(1, 2), pred.swapaxes(1, 2))
        same(np.asarray(got), np.asarray(its(true, pred)), 1e-6)
