"""`fit` copies a dataset's batches to the model's GPU ahead of the steps that use them.

On the test double copies are put off until a step waits for them; batches that a step used
without waiting would hold 77s.
"""

import threading
import time

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
        {"compiled": {"steps_per_execution": 4}},
    ],
    ids=["plain", "steps", "class_weight", "validation", "eager", "executions"],
)
def test_training_is_what_it_is_without(rings, how):
    data = batches().repeat() if "steps_per_epoch" in how else batches()
    ours = fitted(data, **how)
    passes = 1 if "steps_per_epoch" in how else 6 if "validation_data" in how else 3
    passes -= "run_eagerly" in how.get(
        "compiled", {}
    )  # the first step makes the variables, and shows where they are
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


def rows_of(n=24):
    (x, y) = next(iter(batches(1, n)))
    return x.numpy(), y.numpy()


class Batches(hr.keras.utils.Sequence):
    """Tells when its batches are asked for."""

    def __init__(self, taken=None):
        self.x, self.y = rows_of()
        self.taken = [] if taken is None else taken

    def __len__(self):
        return 6

    def __getitem__(self, i):
        self.taken.append((i, threading.get_ident()))
        return self.x[4 * i : 4 * i + 4], self.y[4 * i : 4 * i + 4]


def wait_until(holds):
    """Whether it does, within a while."""
    end = time.monotonic() + MOST_S
    while not holds() and time.monotonic() < end:
        time.sleep(1e-3)
    return holds()


def from_python(taken):
    def rows():
        for i, row in enumerate(zip(*rows_of(), strict=True)):
            taken.append(i)
            yield row

    spec = (hr.TensorSpec((5,), "float32"), hr.TensorSpec((), "int64"))
    return Dataset.from_generator(rows, output_signature=spec).batch(4)


DATA = {
    "arrays": lambda: (*rows_of(), {"batch_size": 5}),
    "in_order": lambda: (*rows_of(), {"batch_size": 4, "shuffle": False}),
    "generator": lambda: (iter(Batches()), None, {"steps_per_epoch": 3, "epochs": 2}),
    "sequence": lambda: (Batches(), None, {}),
    "weighed": lambda: (Batches(), None, {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}),
    "python": lambda: (from_python([]), None, {}),
}


@pytest.mark.parametrize(
    ("kind", "thread", "executions"),
    [
        ("arrays", False, 1),
        ("arrays", True, 2),
        ("in_order", True, 1),
        ("generator", False, 2),
        ("sequence", False, 1),
        ("weighed", False, 1),
        ("python", False, 2),
    ],
)
def test_other_data_goes_through_the_ring(rings, monkeypatch, kind, thread, executions):
    monkeypatch.setattr(device_input, "_WORTH_A_THREAD", 0 if thread else 1 << 40)
    compiled = {"steps_per_execution": executions}
    x, y, how = DATA[kind]()
    ours = fitted(x, compiled, y=y, **how)
    assert len(rings) == (1 if kind == "generator" else 3)
    with monkeypatch.context() as without:
        without.setattr(device_input, "_gpu_of", lambda model: None)
        x, y, how = DATA[kind]()
        theirs = fitted(x, compiled, y=y, **how)
    assert_same(ours, theirs)


@pytest.mark.parametrize("kind", ["sequence", "dataset"])
@pytest.mark.parametrize("executions", [1, 2])
def test_python_code_runs_when_its_batch_is_asked_for(rings, kind, executions):
    taken, seen = [], []
    data = Batches(taken) if kind == "sequence" else from_python(taken)

    class Step(hr.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(len(taken))

    compiled = {"steps_per_execution": executions}
    fitted(data, compiled, epochs=1, callbacks=[Step()], shuffle=False)
    assert len(rings) == 1
    each = executions * (1 if kind == "sequence" else 4)
    assert seen == [each * (k + 1) for k in range(6 // executions)]
    if kind == "sequence":
        assert taken == [(i, threading.get_ident()) for i in range(6)]


def test_python_behind_a_prefetch_runs_ahead(rings):
    taken, seen = [], []

    class Step(hr.keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            seen.append(wait_until(lambda: len(taken) > 4 * (batch + 1) or batch > 3))

    fitted(from_python(taken).prefetch(2), epochs=1, callbacks=[Step()])
    assert len(rings) == 1 and all(seen)


def test_bytes_travel_and_are_cast_on_the_gpu(gpus, rings):
    images = np.random.default_rng(3).integers(0, 256, (24, 5), dtype=np.uint8)
    whole = Dataset.from_tensor_slices((images, rows_of()[1]))
    data = whole.map(lambda x, y: (hr.cast(x, hr.float32) / 255, y)).batch(4)
    assert "fed" not in data.explain()
    ours = fitted(data)
    text = " ".join(data.explain().split())
    assert "As a model on a GPU was fed:" in text and "on_device(0, 3, cast_on_device)" in text
    assert "+ '<lambda>' sends uint8, cast to float32 behind the copy" in text
    assert "MiB on gpu:0" in " ".join(data.stats().choices)
    if not gpus.real:
        assert [ring.moved for ring in rings] == [24 * (5 + 8)] * 3
    assert_same(ours, fitted(without_ring(data)))
    weighed = {"class_weight": {0: 1.0, 1: 2.0, 2: 0.5}}  # of floats
    assert_same(fitted(data, **weighed), fitted(without_ring(data), **weighed))


def test_another_device_is_asked_for(rings):
    with hr.device("cpu:0"):
        data = batches()
        fitted(data, epochs=1)
        assert "was fed" not in data.explain()
        fitted(*rows_of()[:1], y=rows_of()[1], epochs=1)
    assert rings == []


def test_arrays_of_a_gpu_stay_there(rings):
    x, y = rows_of()
    with hr.device("gpu:0"):
        fitted(hr.constant(x), y=y, epochs=1)
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
