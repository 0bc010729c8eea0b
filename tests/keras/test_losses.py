"""Losses against Keras: values, gradients, weights, masks, configs; eager = traced."""

import inspect
import json

import numpy as np
import pytest

import headrace as hr
from headrace.keras import losses

rng = np.random.default_rng(7)
N, C = 12, 5
REAL = (rng.normal(size=(N, C)), rng.normal(size=(N, C)))
POSITIVE = (rng.uniform(0, 3, (N, C)), rng.uniform(0.1, 3, (N, C)))
BINARY = (rng.integers(0, 2, (N, C)), rng.uniform(0.01, 0.99, (N, C)))
SIGNS = (rng.choice([-1, 1], (N, C)), rng.normal(size=(N, C)))
_scores = rng.uniform(0.05, 1, (N, C))
ONE_HOT = (np.eye(C)[rng.integers(0, C, N)], _scores / _scores.sum(-1, keepdims=True))
SPARSE = (rng.integers(0, C, N), ONE_HOT[1])
LOGITS = rng.normal(size=(N, C))
_vectors = rng.normal(size=(N, C))
EMBEDDED = (rng.integers(0, 4, N), _vectors / np.linalg.norm(_vectors, axis=-1, keepdims=True))
SPEECH = (
    np.where(np.arange(4) < rng.integers(1, 5, (N, 1)), rng.integers(1, C, (N, 4)), 0),
    rng.normal(size=(N, 9, C)),
)

CASES = [
    ("MeanSquaredError", {}, REAL),
    ("MeanAbsoluteError", {}, REAL),
    ("MeanAbsolutePercentageError", {}, REAL),
    ("MeanSquaredLogarithmicError", {}, POSITIVE),
    ("LogCosh", {}, REAL),
    ("Huber", {}, REAL),
    ("Huber", {"delta": 0.3}, REAL),
    ("CosineSimilarity", {}, REAL),
    ("CosineSimilarity", {"axis": 0}, REAL),
    ("Hinge", {}, SIGNS),
    ("Hinge", {}, (BINARY[0], SIGNS[1])),
    ("SquaredHinge", {}, SIGNS),
    ("CategoricalHinge", {}, (ONE_HOT[0], LOGITS)),
    ("KLDivergence", {}, (ONE_HOT[1], ONE_HOT[1][::-1])),
    ("Poisson", {}, POSITIVE),
    ("BinaryCrossentropy", {}, BINARY),
    ("BinaryCrossentropy", {"label_smoothing": 0.2}, BINARY),
    ("BinaryCrossentropy", {"from_logits": True}, (BINARY[0], LOGITS)),
    ("BinaryFocalCrossentropy", {}, BINARY),
    ("BinaryFocalCrossentropy", {"apply_class_balancing": True, "gamma": 1.5}, BINARY),
    ("BinaryFocalCrossentropy", {"from_logits": True}, (BINARY[0], LOGITS)),
    ("CategoricalCrossentropy", {}, ONE_HOT),
    ("CategoricalCrossentropy", {"label_smoothing": 0.1}, ONE_HOT),
    ("CategoricalCrossentropy", {"from_logits": True}, (ONE_HOT[0], LOGITS)),
    ("CategoricalFocalCrossentropy", {"alpha": 0.5}, ONE_HOT),
    ("CategoricalFocalCrossentropy", {"from_logits": True}, (ONE_HOT[0], LOGITS)),
    ("SparseCategoricalCrossentropy", {}, SPARSE),
    ("SparseCategoricalCrossentropy", {"from_logits": True}, (SPARSE[0], LOGITS)),
    ("SparseCategoricalCrossentropy", {"ignore_class": 2}, SPARSE),
    ("SparseCategoricalCrossentropy", {}, (SPARSE[0][:, None], SPARSE[1])),
    ("CategoricalGeneralizedCrossEntropy", {}, SPARSE),
    ("CategoricalGeneralizedCrossEntropy", {"q": 0.9}, SPARSE),
    ("Dice", {}, BINARY),
    ("Dice", {"axis": -1}, BINARY),
    ("Tversky", {"alpha": 0.2, "beta": 0.9}, BINARY),
    ("Tversky", {"axis": (1,)}, BINARY),
    ("Circle", {}, EMBEDDED),
    ("Circle", {"gamma": 10.0, "margin": 0.2, "remove_diagonal": False}, EMBEDDED),
    ("CTC", {}, SPEECH),
]
IDS = [
    f"{name}-{'-'.join(map(str, kw)) or 'plain'}-{i}" for i, (name, kw, _) in enumerate(CASES)
]
REDUCTIONS = ["sum_over_batch_size", "sum", None, "mean_with_sample_weight"]
WEIGHTS = {"none": None, "row": rng.uniform(0, 2, N).astype("float32")}


def as_inputs(data):
    true, pred = data
    return true, pred.astype("float32")


def own(case, **more):
    name, kwargs, data = case
    return getattr(losses, name)(**kwargs, **more), *as_inputs(data)


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("reduction", REDUCTIONS, ids=str)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_value_is_keras(tf, case, reduction, weights):
    loss, true, pred = own(case, reduction=reduction)
    weight = WEIGHTS[weights]
    if case[1].get("axis") == 0 and weight is not None:
        weight = weight[:C]
    expected = getattr(tf.keras.losses, case[0])(**case[1], reduction=reduction)
    np.testing.assert_allclose(
        loss(true, pred, sample_weight=weight),
        expected(true, pred, sample_weight=weight),
        rtol=2e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_gradient_is_keras(tf, case):
    loss, true, pred = own(case)
    x = hr.constant(pred)
    with hr.GradientTape() as tape:
        tape.watch(x)
        value = loss(true, x)
    theirs = tf.constant(pred)
    with tf.GradientTape() as peer_tape:
        peer_tape.watch(theirs)
        peer_value = getattr(tf.keras.losses, case[0])(**case[1])(true, theirs)
    np.testing.assert_allclose(
        tape.gradient(value, x), peer_tape.gradient(peer_value, theirs), rtol=3e-4, atol=1e-6
    )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_traced_with_unknown_batch_equals_eager(case):
    loss, true, pred = own(case)
    true = np.asarray(true)

    @hr.function(
        input_signature=[
            hr.TensorSpec([None, *true.shape[1:]], true.dtype),
            hr.TensorSpec([None, *pred.shape[1:]], "float32"),
            hr.TensorSpec([None], "float32"),
        ]
    )
    def traced(y_true, y_pred, weight):
        return loss(y_true, y_pred, sample_weight=weight)

    weight = WEIGHTS["row"][: C if case[1].get("axis") == 0 else N]
    np.testing.assert_allclose(
        traced(true, pred, weight), loss(true, pred, sample_weight=weight), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_config_is_keras_and_round_trips(tf, case):
    name, kwargs, _ = case
    ours = getattr(losses, name)(**kwargs, name="chosen", reduction="sum")
    config = ours.get_config()
    expected = getattr(tf.keras.losses, name)(
        **kwargs, name="chosen", reduction="sum"
    ).get_config()
    # Keras forgets these two, which its constructors take.
    assert {k: v for k, v in config.items() if k in expected} == expected
    assert set(config) - set(expected) <= {"delta", "axis"}
    theirs = tf.keras.utils.deserialize_keras_object(losses.serialize(ours))
    assert json.dumps(theirs.get_config()) == json.dumps(expected)  # tuples as lists

    again = losses.deserialize(losses.serialize(ours))
    assert type(again) is type(ours)
    assert json.dumps(again.get_config()) == json.dumps(config)


def test_signatures_are_keras(tf):
    """Names, order and defaults of the arguments of every loss, class or function."""
    family = tf.keras.losses
    names = [n for n in dir(family) if n[0] != "_" and n != "Loss"]
    for name in names:
        mine, expected = (
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(f, name)).parameters.values()
            ]
            for f in (losses, family)
        )
        if name == "Reduction":
            assert losses.Reduction.all() == family.Reduction.all()
            continue
        assert mine == expected, name


ALIASES = ["mse", "MSE", "mae", "MAPE", "msle", "bce", "kld", "huber", "log_cosh", "poisson",
           "sparse_categorical_crossentropy", "cosine_similarity", "categorical_hinge",
           "MeanSquaredError", "SparseCategoricalCrossentropy"]  # fmt: skip


@pytest.mark.parametrize("name", ALIASES)
def test_get_is_keras(tf, name):
    ours, expected = losses.get(name), tf.keras.losses.get(name)
    assert isinstance(ours, losses.Loss) == isinstance(expected, tf.keras.losses.Loss)
    assert getattr(ours, "name", getattr(ours, "__name__", None)) == getattr(
        expected, "name", getattr(expected, "__name__", None)
    )


def test_get_passes_on_or_refuses():
    loss = losses.MeanSquaredError()
    assert losses.get(loss) is loss
    assert losses.get(None) is None
    assert losses.get(losses.huber) is losses.huber
    assert isinstance(losses.get(losses.Huber), losses.Huber)
    with pytest.raises(ValueError, match="no_such_loss"):
        losses.get("no_such_loss")
    with pytest.raises(ValueError, match="interpret loss identifier"):
        losses.get(3)


def test_unknown_reduction_is_refused():
    with pytest.raises(ValueError, match="reduction"):
        losses.MeanSquaredError(reduction="average")


def test_a_subclass_needs_only_call():
    class Worst(losses.Loss):
        def call(self, y_true, y_pred):
            return hr.reduce_max(hr.abs(y_true - y_pred), axis=-1)

    assert float(Worst()([[0.0, 0.0]], [[1.0, -3.0]])) == 3.0
    assert Worst(name="mine").get_config() == {
        "name": "mine",
        "reduction": "sum_over_batch_size",
    }


@pytest.mark.parametrize("reduction", ["sum_over_batch_size", "sum", None, "mean"], ids=str)
def test_mask_leaves_samples_out(tf, reduction):
    """A mask that comes with the predictions counts as Keras counts it."""
    from headrace.keras.engine.masks import set_mask

    true, pred = rng.normal(size=(2, 4, 3, 1)).astype("float32")
    mask = np.array([[1, 1, 0], [1, 0, 0], [1, 1, 1], [0, 0, 0]], bool)
    weight = np.array([1.0, 2.0, 0.5, 3.0], "float32")[:, None]
    ours = hr.constant(pred)
    set_mask(ours, hr.constant(mask))
    theirs = tf.constant(pred)
    theirs._keras_mask = tf.constant(mask)
    for w in (None, weight):
        np.testing.assert_allclose(
            losses.MeanSquaredError(reduction=reduction)(true, ours, w),
            tf.keras.losses.MeanSquaredError(reduction=reduction)(true, theirs, w),
            rtol=1e-5,
            atol=1e-7,
        )


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("case", CASES, ids=IDS)
def test_masked_value_is_keras(tf, case, weights):
    """Every loss with a mask of its samples on the predictions, alone and beside weights."""
    from headrace.keras.engine.masks import set_mask

    if "axis" in case[1] or case[0] in ("Dice", "Tversky"):
        pytest.skip("a sum over the batch has no samples to mask")
    loss, true, pred = own(case)
    mask = np.arange(N) % 3 > 0
    ours, theirs = hr.constant(pred), tf.constant(pred)
    set_mask(ours, hr.constant(mask))
    theirs._keras_mask = tf.constant(mask)
    expected = getattr(tf.keras.losses, case[0])(**case[1])
    np.testing.assert_allclose(
        loss(true, ours, WEIGHTS[weights]),
        expected(true, theirs, WEIGHTS[weights]),
        rtol=2e-5,
        atol=1e-6,
    )


@pytest.mark.parametrize("eager", [True, False], ids=["eager", "traced"])
@pytest.mark.parametrize(
    ("activation", "loss", "target"),
    [
        ("softmax", losses.sparse_categorical_crossentropy, np.array([1, 0])),
        ("softmax", losses.categorical_crossentropy, np.eye(2)[[1, 0]]),
        ("sigmoid", losses.binary_crossentropy, np.eye(2)[[1, 0]]),
    ],
    ids=["sparse", "categorical", "binary"],
)
def test_logits_of_an_activation_are_used(activation, loss, target, eager):
    """exp(-200) is 0 in float32, yet the loss stays exact and keeps its gradient."""
    from headrace.keras import activations

    logits = hr.constant([[200.0, 0.0], [200.0, 0.0]])

    def gradient(x):
        with hr.GradientTape() as tape:
            tape.watch(x)
            value = loss(target, activations.get(activation)(x))
        return value, tape.gradient(value, x)

    value, grad = (gradient if eager else hr.function(gradient))(logits)
    wrong = float(value[0])
    assert wrong == pytest.approx(200.0 if activation == "softmax" else 100.0, abs=50)
    assert np.abs(np.asarray(grad)[0]).max() > 0.4


def test_logits_of_an_activation_contradict_from_logits():
    from headrace.keras import activations

    probabilities = activations.softmax(hr.constant([[1.0, 2.0]]))
    with pytest.warns(UserWarning, match="does not represent logits"):
        losses.sparse_categorical_crossentropy([1], probabilities, from_logits=True)


BAD = {
    "rank": (losses.sparse_categorical_crossentropy, [[1, 0]], [[0.2, 0.8]], "rank"),
    "size": (losses.sparse_categorical_crossentropy, [1, 0, 1], [[0.2, 0.8]] * 2, "same shape"),
    "categorical": (
        losses.categorical_crossentropy,
        [[1.0, 0.0, 0.0]],
        [[0.2, 0.8]],
        "same shape",
    ),
    "binary": (losses.binary_crossentropy, [[1.0, 0.0, 1.0]], [[0.2, 0.8]], "same shape"),
}


@pytest.mark.parametrize("case", BAD)
def test_shapes_that_do_not_fit_are_named(case):
    function, true, pred, text = BAD[case]
    with pytest.raises(ValueError, match=text):
        function(np.array(true), np.array(pred, "float32"))


def test_single_class_warns():
    with pytest.warns(SyntaxWarning, match="binary_crossentropy"):
        losses.categorical_crossentropy([[1.0]], [[0.5]])


def test_large_class_numbers_stay_exact():
    """2**24 + 1 is not a float32; class numbers must not pass through one."""
    from headrace.keras.metrics import sparse_categorical_accuracy

    classes = 2**24 + 2
    scores = np.zeros((1, classes), "float32")
    scores[0, classes - 1] = 5
    assert float(sparse_categorical_accuracy([classes - 1], scores)[0]) == 1
    assert float(sparse_categorical_accuracy([classes - 2], scores)[0]) == 0


def test_two_targets_at_once(tf):
    """A function may take structures; each pair is brought to one rank."""

    def total(y_true, y_pred):
        return hr.abs(y_true[0] - y_pred[0]) + hr.abs(y_true[1] - y_pred[1])

    loss = losses.LossFunctionWrapper(total, name="total")
    true = [np.zeros(3), np.zeros((3, 1))]
    pred = [np.full((3, 1), 2.0), np.full(3, 5.0)]
    assert float(loss(true, pred)) == 7.0
    assert loss.name == "total" and "total" in repr(loss)


def test_wrapped_function_round_trips():
    loss = losses.LossFunctionWrapper(losses.huber, delta=0.5)
    again = losses.LossFunctionWrapper.from_config(loss.get_config())
    assert float(again([[3.0]], [[0.0]])) == float(loss([[3.0]], [[0.0]])) == 1.375


def test_masks_of_inputs_and_of_the_loss_combine():
    """Neither padding (the input's mask) nor the ignored class counts."""
    from headrace.keras.engine.masks import set_mask

    pred = hr.constant([[0.5, 0.5], [0.9, 0.1], [0.2, 0.8]])
    set_mask(pred, hr.constant([True, True, False]))
    loss = losses.SparseCategoricalCrossentropy(ignore_class=1)
    assert float(loss([0, 1, 0], pred)) == pytest.approx(np.log(2), rel=1e-5)


def test_circle_masks_what_it_need_not_move(tf):
    """Samples of loss 0 do not count in the mean; references need not be the batch."""
    labels, embedded = EMBEDDED[0], EMBEDDED[1].astype("float32")
    kwargs = {"ref_labels": labels[:5], "ref_embeddings": embedded[:5]}
    for more in ({}, kwargs):
        np.testing.assert_allclose(
            losses.circle(labels, embedded, **more),
            tf.keras.losses.circle(labels, embedded, **more),
            rtol=1e-5,
        )
    alone = losses.Circle()(np.arange(3), np.eye(3, dtype="float32"))
    assert float(alone) == 0.0


def test_ctc_refuses_other_ranks():
    with pytest.raises(ValueError, match="Targets"):
        losses.ctc([1, 2], np.zeros((1, 3, 4), "float32"))
    with pytest.raises(ValueError, match="Logits"):
        losses.ctc([[1, 2]], np.zeros((3, 4), "float32"))


def test_generalized_needs_q_between_0_and_1():
    with pytest.raises(ValueError, match="q=1"):
        losses.CategoricalGeneralizedCrossEntropy(q=1)


def test_empty_batch_has_loss_zero():
    x = np.zeros((0, 3), "float32")
    assert losses.MeanSquaredError()(x, x).shape == (0,)
    traced = hr.function(
        losses.MeanSquaredError(), input_signature=[hr.TensorSpec([None, 3], "float32")] * 2
    )
    assert float(traced(x, x)) == 0.0


def test_axis_must_be_a_number():
    with pytest.raises(ValueError, match="axis=True"):
        losses.categorical_crossentropy([[1.0, 0.0]], [[0.5, 0.5]], axis=True)
    with pytest.raises(ValueError, match="axis=0"):
        losses.sparse_categorical_crossentropy([0], [[0.5, 0.5]], axis=0)
    with pytest.raises(ValueError, match="at least rank 1"):
        losses.sparse_categorical_crossentropy(0, 0.5)
