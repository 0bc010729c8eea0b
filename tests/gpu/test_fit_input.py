"""`fit` copies a dataset's batches to the model's GPU ahead of the steps that use them.

On the test double copies are put off until a step waits for them; batches that a step used
without waiting would hold 77s.
"""

import numpy as np
import pytest
from late_copies import Late

import headrace as hr
from headrace.data import Dataset
from headrace.data.device_copies import CupyCopies
from headrace.keras import layers
from headrace.keras.engine import device_input

MOST_S = 120  # to wait for another thread


@pytest.fixture
def rings(gpus, monkeypatch):
    """The copies that were made; each belongs to one pass over data."""
    made = []

    class Seen(CupyCopies if gpus.real else Late):
        def __init__(self, index):
            super().__init__(index)
            made.append(self)

    monkeypatch.setattr(device_input, "CupyCopies", Seen)
    monkeypatch.setattr(Late, "waits", True)
    return made


def batches(n=6, size=4):
    rng = np.random.default_rng(3)
    x = rng.normal(size=(n * size, 5)).astype("f4")
    return Dataset.from_tensor_slices((x, rng.integers(0, 3, n * size))).batch(size)


def without_ring(dataset):
    options = hr.data.Options()
    options.fetch_to_device = False
    return dataset.with_options(options)


def model(**how):
    hr.keras.utils.set_random_seed(1)
    made = hr.keras.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(3)])
    loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("adam", loss, metrics=["accuracy"], **how)
    return made


def fitted(dataset, compiled=None, **how):
    trained = model(**(compiled or {}))
    history = trained.fit(dataset, verbose=0, **{"epochs": 3, **how}).history
    return history, trained.get_weights()


def assert_same(one, other):
    assert one[0].keys() == other[0].keys()
    for name in one[0]:
        np.testing.assert_allclose(one[0][name], other[0][name], rtol=1e-5)
    for a, b in zip(one[1], other[1], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"steps_per_epoch": 4, "epochs": 4},
        {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}},
        {"validation_data": batches(3)},
        {"compiled": {"run_eagerly": True}},
    ],
    ids=["plain", "steps", "class_weight", "validation", "eager"],
)
def test_training_is_what_it_is_without(rings, how):
    data = batches().repeat() if "steps_per_epoch" in how else batches()
    ours = fitted(data, **how)
    passes = 1 if "steps_per_epoch" in how else 6 if "validation_data" in how else 3
    passes -= "compiled" in how  # the first step makes the variables, and shows where they are
    assert len(rings) == passes
    if "validation_data" in how:
        how = {**how, "validation_data": without_ring(batches(3))}
    theirs = fitted(without_ring(data), **how)
    assert len(rings) == passes
    assert_same(ours, theirs)


def test_evaluate_and_predict(rings):
    trained, data = model(), batches()
    trained.fit(without_ring(data), verbose=0)
    assert rings == []
    want = trained.evaluate(without_ring(data), verbose=0)
    np.testing.assert_allclose(trained.evaluate(data, verbose=0), want, rtol=1e-5)
    rows = data.map(lambda x, y: x)
    want = trained.predict(without_ring(rows), verbose=0)
    np.testing.assert_allclose(trained.predict(rows, verbose=0), want, rtol=1e-5)
    assert len(rings) == 2


def test_the_double_shows_a_wait_that_is_missing(gpus, rings):
    if gpus.real:
        pytest.skip("a GPU's copies cannot be put off")
    Late.waits = False
    with pytest.raises(hr.errors.InvalidArgumentError, match="outside the valid range"):
        fitted(batches(), epochs=1)


def test_the_next_batch_is_copied_during_a_step(gpus, rings):
    """Each step ends only when the copies of the next batch have been queued."""
    if gpus.real:
        pytest.skip("the double counts copies")
    n, late = 6, []

    class Step(hr.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            if batch + 1 < n:
                # The first batch was taken to build the model, and is sent like the others.
                with Late.changed:
                    if not Late.changed.wait_for(
                        lambda: rings[0].queued >= 2 * batch + 4, MOST_S
                    ):
                        late.append(batch)

    fitted(batches(n), epochs=1, callbacks=[Step()])
    assert late == [] and [ring.queued for ring in rings] == [2 * n]


def test_python_per_element_does_not_run_ahead(rings):
    def rows():
        for i in range(8):
            yield np.full((4, 5), i, "f4"), np.arange(4) % 3

    spec = (hr.TensorSpec((4, 5), "float32"), hr.TensorSpec((4,), "int64"))
    data = Dataset.from_generator(rows, output_signature=spec)
    fitted(data, epochs=1)
    assert rings == []
    fitted(data.prefetch(2), epochs=1)  # the user lets it
    assert len(rings) == 1


def test_batches_stay_on_the_host(rings):
    with hr.device("cpu:0"):
        fitted(batches(), epochs=1)
    fitted(batches(), compiled={"steps_per_execution": 2}, epochs=1)
    x, y = next(iter(batches(1, 24)))
    fitted(x.numpy(), y=y.numpy(), epochs=1)
    assert rings == []


def test_errors_of_the_data_are_raised(rings):
    def check(x, y):
        return hr.debugging.check_numerics(x, "bad row"), y

    x = np.ones((24, 5), "f4")
    x[17] = np.nan
    data = Dataset.from_tensor_slices((x, np.zeros(24, "i8"))).map(check).batch(4)
    with pytest.raises(hr.errors.InvalidArgumentError, match="bad row"):
        fitted(data, epochs=1)
    assert len(rings) == 1
