"""Metrics against Keras over several updates, with weights; configs; eager = traced."""

import inspect

import numpy as np
import pytest

import headrace as hr
from headrace.keras import metrics

rng = np.random.default_rng(3)
BATCHES, N, C = 4, 10, 6


def batches(make):
    return [make() for _ in range(BATCHES)]


def softmaxed():
    scores = rng.uniform(0.05, 1, (N, C)).astype("float32")
    return scores / scores.sum(-1, keepdims=True)


REAL = batches(lambda: (rng.normal(size=(N, C)), rng.normal(size=(N, C)).astype("float32")))
POSITIVE = batches(
    lambda: (rng.uniform(0, 3, (N, C)), rng.uniform(0.1, 3, (N, C)).astype("float32"))
)
BINARY = batches(
    lambda: (rng.integers(0, 2, (N, C)), rng.uniform(0, 1, (N, C)).astype("float32"))
)
BINARY1 = batches(lambda: (rng.integers(0, 2, N), rng.uniform(0, 1, N).astype("float32")))
SIGNS = batches(
    lambda: (rng.choice([-1, 1], (N, C)), rng.normal(size=(N, C)).astype("float32"))
)
ONE_HOT = batches(lambda: (np.eye(C)[rng.integers(0, C, N)], softmaxed()))
SPARSE = batches(lambda: (rng.integers(0, C, N), softmaxed()))
SPARSE1 = batches(lambda: (rng.integers(0, C, (N, 1)), softmaxed()))
EQUAL = batches(lambda: (rng.integers(0, 3, (N, C)), rng.integers(0, 3, (N, C))))
IDS5 = batches(
    lambda: (rng.integers(0, C, N), rng.permuted(np.tile(np.arange(C), (N, 1)), axis=1))
)
EDGES = batches(
    lambda: (rng.integers(0, 2, N), rng.choice([0.0, 0.25, 0.5, 1.0], N).astype("float32"))
)
SQUARE = batches(lambda: (rng.normal(size=(N, N)), rng.normal(size=(N, N)).astype("float32")))
LABELS = batches(lambda: (rng.integers(0, 3, N), rng.integers(-1, 4, N)))
CHOSEN = batches(lambda: (np.eye(C)[rng.integers(0, C, N)], rng.integers(0, C, N)))

CASES = [
    ("Accuracy", {}, EQUAL),
    ("BinaryAccuracy", {}, BINARY),
    ("BinaryAccuracy", {"threshold": 0.2}, BINARY1),
    ("CategoricalAccuracy", {}, ONE_HOT),
    ("SparseCategoricalAccuracy", {}, SPARSE),
    ("SparseCategoricalAccuracy", {}, SPARSE1),
    ("TopKCategoricalAccuracy", {"k": 2}, ONE_HOT),
    ("SparseTopKCategoricalAccuracy", {"k": 3}, SPARSE),
    ("SparseTopKCategoricalAccuracy", {"k": 3, "from_sorted_ids": True}, IDS5),
    ("TruePositives", {}, BINARY),
    ("FalsePositives", {"thresholds": [0.1, 0.7]}, BINARY),
    ("TrueNegatives", {"thresholds": 0.3}, BINARY1),
    ("FalseNegatives", {"thresholds": [0.0, 0.5, 1.0]}, BINARY1),
    ("TruePositives", {"thresholds": [0.0, 0.25, 0.5, 0.75, 1.0]}, EDGES),
    ("Precision", {}, BINARY),
    ("Precision", {"thresholds": [0.2, 0.8]}, BINARY),
    ("Precision", {"top_k": 2}, ONE_HOT),
    ("Precision", {"class_id": 1}, ONE_HOT),
    ("Recall", {}, BINARY1),
    ("Recall", {"top_k": 2, "class_id": 3}, ONE_HOT),
    ("AUC", {}, BINARY1),
    ("AUC", {"curve": "PR"}, BINARY1),
    ("AUC", {"curve": "PR", "summation_method": "majoring", "num_thresholds": 20}, BINARY1),
    ("AUC", {"summation_method": "minoring", "num_thresholds": 7}, EDGES),
    ("AUC", {"thresholds": [0.1, 0.5, 0.6]}, BINARY1),
    ("AUC", {"multi_label": True, "num_thresholds": 50}, BINARY),
    ("AUC", {"multi_label": True, "label_weights": [1.0, 2.0, 0.5, 1.0, 0.0, 3.0]}, BINARY),
    ("AUC", {"from_logits": True}, batches(lambda: (BINARY1[0][0], SIGNS[0][1][:, 0]))),
    ("MeanSquaredError", {}, REAL),
    ("RootMeanSquaredError", {}, REAL),
    ("MeanAbsoluteError", {}, REAL),
    ("MeanAbsolutePercentageError", {}, REAL),
    ("MeanSquaredLogarithmicError", {}, POSITIVE),
    ("LogCoshError", {}, REAL),
    ("CosineSimilarity", {}, REAL),
    ("Hinge", {}, SIGNS),
    ("SquaredHinge", {}, SIGNS),
    ("CategoricalHinge", {}, ONE_HOT),
    ("KLDivergence", {}, batches(lambda: (softmaxed(), softmaxed()))),
    ("Poisson", {}, POSITIVE),
    ("BinaryCrossentropy", {"label_smoothing": 0.1}, BINARY),
    ("CategoricalCrossentropy", {}, ONE_HOT),
    ("SparseCategoricalCrossentropy", {"ignore_class": 1}, SPARSE),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, SPARSE),
    ("F1Score", {}, ONE_HOT),
    ("F1Score", {"average": "micro"}, ONE_HOT),
    ("F1Score", {"average": "macro", "threshold": 0.3}, BINARY),
    ("FBetaScore", {"average": "weighted", "beta": 2.0, "threshold": 0.5}, BINARY),
    ("FBetaScore", {"beta": 0.5}, ONE_HOT),
    ("R2Score", {}, REAL),
    ("R2Score", {"class_aggregation": None}, REAL),
    ("R2Score", {"class_aggregation": "variance_weighted_average", "num_regressors": 3}, REAL),
    ("PearsonCorrelation", {}, REAL),
    ("PearsonCorrelation", {"axis": 0}, SQUARE),
    ("ConcordanceCorrelation", {}, REAL),
    ("ConcordanceCorrelation", {"axis": 0}, SQUARE),
    ("SensitivityAtSpecificity", {"specificity": 0.4}, BINARY1),
    ("SensitivityAtSpecificity", {"specificity": 0.4, "class_id": 2}, BINARY),
    ("SpecificityAtSensitivity", {"sensitivity": 0.6, "num_thresholds": 13}, BINARY1),
    ("PrecisionAtRecall", {"recall": 0.5}, BINARY1),
    ("PrecisionAtRecall", {"recall": 0.5, "num_thresholds": 1}, BINARY1),
    ("RecallAtPrecision", {"precision": 0.55, "num_thresholds": 2}, BINARY1),
    ("RecallAtPrecision", {"precision": 1.0}, BINARY1),
    ("IoU", {"num_classes": 3, "target_class_ids": [0, 2]}, LABELS),
    ("IoU", {"num_classes": 2, "target_class_ids": (0, 1), "dtype": "float32"}, LABELS),
    ("MeanIoU", {"num_classes": 3}, LABELS),
    ("MeanIoU", {"num_classes": 3, "ignore_class": 1, "dtype": "float32"}, LABELS),
    ("MeanIoU", {"num_classes": C, "sparse_y_pred": False}, SPARSE),
    ("BinaryIoU", {}, BINARY1),
    ("BinaryIoU", {"target_class_ids": [1], "threshold": 0.3, "dtype": "float32"}, BINARY1),
    ("OneHotIoU", {"num_classes": C, "target_class_ids": [1, 3]}, ONE_HOT),
    ("OneHotMeanIoU", {"num_classes": C, "ignore_class": 0}, ONE_HOT),
    ("OneHotMeanIoU", {"num_classes": C, "sparse_y_pred": True}, CHOSEN),
]
IDS = [f"{name}-{'-'.join(kw) or 'plain'}-{i}" for i, (name, kw, _) in enumerate(CASES)]
WEIGHTS = [rng.uniform(0, 2, N).astype("float32") for _ in range(BATCHES)]


@pytest.mark.filterwarnings("ignore:You are passing weight")
@pytest.mark.parametrize("weighted", [False, True], ids=["plain", "weighted"])
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_every_update_is_keras(tf, case, weighted):
    name, kwargs, data = case
    ours, theirs = getattr(metrics, name)(**kwargs), getattr(tf.keras.metrics, name)(**kwargs)
    for (true, pred), weight in zip(data, WEIGHTS, strict=True):
        weight = weight if weighted else None
        ours.update_state(true, pred, sample_weight=weight)
        theirs.update_state(true, pred, sample_weight=weight)
        np.testing.assert_allclose(ours.result(), theirs.result(), rtol=3e-5, atol=5e-6)
    for mine, its in zip(ours.variables, theirs.variables, strict=True):
        assert tuple(mine.shape) == tuple(its.shape)
    ours.reset_state()
    assert all(not np.any(v.numpy()) for v in ours.variables)


@pytest.mark.filterwarnings("ignore:You are passing weight")
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_traced_with_unknown_batch_equals_eager(case):
    name, kwargs, data = case
    if kwargs.get("multi_label"):
        kwargs = {**kwargs, "num_labels": C}
    eager, traced = getattr(metrics, name)(**kwargs), getattr(metrics, name)(**kwargs)
    true, pred = (np.asarray(a) for a in data[0])

    @hr.function(
        input_signature=[
            hr.TensorSpec([None, *true.shape[1:]], true.dtype),
            hr.TensorSpec([None, *pred.shape[1:]], pred.dtype),
            hr.TensorSpec([None], "float32"),
        ]
    )
    def update(y_true, y_pred, weight):
        traced.update_state(y_true, y_pred, sample_weight=weight)
        return traced.result()

    for (true, pred), weight in zip(data, WEIGHTS, strict=True):
        eager.update_state(true, pred, sample_weight=weight)
        result = update(true, pred, weight)
        np.testing.assert_allclose(result, eager.result(), rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_config_is_keras_and_round_trips(tf, case):
    name, kwargs, _ = case
    ours = getattr(metrics, name)(**kwargs, name="chosen")
    expected = getattr(tf.keras.metrics, name)(**kwargs, name="chosen").get_config()
    config = ours.get_config()
    if kwargs.get("label_weights"):
        expected["label_weights"] = kwargs["label_weights"]
    assert set(config) - set(expected) <= {"axis"}
    assert {k: config[k] for k in expected} == expected
    again = metrics.deserialize(metrics.serialize(ours))
    assert type(again) is type(ours) and again.get_config() == config


def test_signatures_are_keras(tf):
    """Names, order and defaults of the arguments of every metric, class or function."""
    family = tf.keras.metrics
    names = [n for n in dir(family) if n[0] != "_"]
    for name in names:
        mine, expected = (
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(f, name)).parameters.values()
                if p.kind is not p.VAR_KEYWORD
            ]
            for f in (metrics, family)
        )
        assert mine == expected, name


def test_adjusted_r2_needs_more_samples_than_regressors(tf):
    true, pred = rng.normal(size=(2, 4, 1)).astype("float32")
    for regressors, text in ((1, None), (3, "Division by zero"), (7, "More independent")):
        ours = metrics.R2Score(num_regressors=regressors)
        theirs = tf.keras.metrics.R2Score(num_regressors=regressors)
        if text is None:
            found, expected = ours(true, pred), theirs(true, pred)
        else:
            with pytest.warns(UserWarning, match=text):
                found = ours(true, pred)
            with pytest.warns(UserWarning, match=text):
                expected = theirs(true, pred)
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_fractions_of_weights_are_lost_in_whole_counts():
    metric = metrics.MeanIoU(2)
    with pytest.warns(UserWarning, match="integer weights"):
        metric.update_state([0, 1], [0, 1], sample_weight=np.array([0.5, 2.0]))
    np.testing.assert_array_equal(metric.total_cm.numpy(), [[0, 0], [0, 2]])


@pytest.mark.parametrize("values", [3.0, [1.0, 2.0, 6.0], np.ones((3, 2)) * 2], ids=str)
@pytest.mark.parametrize("weight", [None, 0.5, [1.0, 0.0, 3.0]], ids=str)
@pytest.mark.parametrize("name", ["Mean", "Sum"])
def test_mean_and_sum_are_keras(tf, name, values, weight):
    if np.ndim(values) == 0 and np.ndim(weight) == 1:
        pytest.skip("a scalar has no samples to weigh")
    ours, theirs = getattr(metrics, name)(), getattr(tf.keras.metrics, name)()
    for _ in range(3):
        ours.update_state(values, sample_weight=weight)
        theirs.update_state(values, sample_weight=weight)
    np.testing.assert_allclose(ours.result(), theirs.result(), rtol=1e-6)
    assert [float(v.numpy()) for v in ours.variables] == pytest.approx(
        [float(v.numpy()) for v in theirs.variables]
    )


def test_mean_of_nothing_is_zero():
    assert float(metrics.Mean().result()) == 0


def test_merge_equals_one_metric_over_all():
    first, second, both = metrics.Precision(), metrics.Precision(), metrics.Precision()
    for part, (true, pred) in zip((first, second), BINARY[:2], strict=True):
        part.update_state(true, pred)
        both.update_state(true, pred)
    first.merge_state([second])
    assert float(first.result()) == float(both.result())


def test_mask_of_predictions_leaves_samples_out():
    from headrace.keras.engine.masks import set_mask

    pred = hr.constant([1.0, 5.0, 3.0])
    set_mask(pred, hr.constant([True, False, True]))
    metric = metrics.MeanSquaredError()
    metric.update_state(hr.constant([[0.0], [0.0], [0.0]]), hr.expand_dims(pred, -1))
    assert float(metric.result()) == pytest.approx((1 + 25 + 9) / 3)
    wrapped = metrics.MeanMetricWrapper(lambda t, p: hr.square(t - p))
    wrapped.update_state(hr.constant([0.0, 0.0, 0.0]), pred)
    assert float(wrapped.result()) == pytest.approx(5.0)


def test_wrapper_of_a_named_function_round_trips():
    metric = metrics.MeanMetricWrapper(metrics.binary_accuracy, name="m", threshold=0.9)
    again = metrics.deserialize(metrics.serialize(metric))
    for m in (metric, again):
        m.update_state([1.0, 1.0], [0.8, 0.95])
        assert float(m.result()) == 0.5


def test_contained_state_belongs_to_the_metric():
    class Ratio(metrics.Metric):
        def __init__(self, name=None):
            super().__init__(name=name)
            self.top = metrics.Sum()
            self.bottom = metrics.Sum()
            self.calls = self.add_weight(name="calls", shape=(), initializer="ones")

        def update_state(self, a, b):
            self.top.update_state(a)
            self.bottom.update_state(b)

        def result(self):
            return self.top.result() / self.bottom.result()

    ratio = Ratio()
    assert ratio.name == "ratio" or ratio.name.startswith("ratio_")
    assert float(ratio(6.0, 3.0)) == 2.0
    assert len(ratio.variables) == 3


def test_forgotten_super_is_told():
    class Bad(metrics.Metric):
        def __init__(self):
            self.total = 3

    with pytest.raises(RuntimeError, match="super"):
        Bad()


@pytest.mark.parametrize("name", ["mse", "MSE", "binary_accuracy", "AUC", "auc", "precision",
                                  "sparse_categorical_accuracy", "top_k_categorical_accuracy",
                                  "kl_divergence", "mae", "Mean",
                                  "f1_score", "r2_score", "pearson_correlation"])  # fmt: skip
def test_get_is_keras(tf, name):
    ours, expected = metrics.get(name), tf.keras.metrics.get(name)
    assert type(ours).__name__ == type(expected).__name__
    assert ours.name.rstrip("_0123456789") == expected.name.rstrip("_0123456789")


def test_get_passes_on_or_refuses():
    metric = metrics.Mean()
    assert metrics.get(metric) is metric and metrics.get(None) is None
    assert metrics.get(metrics.binary_accuracy) is metrics.binary_accuracy
    with pytest.raises(ValueError, match="no_such_metric"):
        metrics.get("no_such_metric")


BAD = {
    "threshold": (lambda: metrics.TruePositives(thresholds=1.5), "must be in"),
    "curve": (lambda: metrics.AUC(curve="ROK"), "ROK"),
    "method": (lambda: metrics.AUC(summation_method="sum"), "summation"),
    "few": (lambda: metrics.AUC(num_thresholds=1), "num_thresholds=1"),
    "labels": (lambda: metrics.AUC(num_labels=3), "multi_label"),
    "rank": (lambda: metrics.AUC(multi_label=True)([1.0], [1.0]), "rank 2"),
    "class": (lambda: metrics.Precision(class_id=1)([1.0], [1.0]), "2D"),
    "average": (lambda: metrics.F1Score(average="median"), "average=median"),
    "beta type": (lambda: metrics.FBetaScore(beta=1), "Python float"),
    "beta": (lambda: metrics.FBetaScore(beta=0.0), "> 0"),
    "threshold type": (lambda: metrics.F1Score(threshold=1), "Python float"),
    "threshold range": (lambda: metrics.F1Score(threshold=1.5), "threshold=1.5"),
    "scores": (lambda: metrics.F1Score()([1.0], [1.0]), "2D inputs"),
    "aggregation": (lambda: metrics.R2Score("mean"), "class_aggregation=mean"),
    "regressors": (lambda: metrics.R2Score(num_regressors=-1), "num_regressors=-1"),
    "columns": (lambda: metrics.R2Score()([1.0], [1.0]), "2D inputs"),
    "target class": (lambda: metrics.IoU(2, [2]), "out of range"),
    "recall": (lambda: metrics.PrecisionAtRecall(1.5), "recall=1.5"),
    "thresholds": (lambda: metrics.RecallAtPrecision(0.5, 0), "num_thresholds=0"),
    "shape": (lambda: metrics.Recall()([[1.0, 0.0]], [[1.0, 0.0, 0.0]]), "compatible"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_named(case):
    make, text = BAD[case]
    with pytest.raises(ValueError, match=text):
        make()
