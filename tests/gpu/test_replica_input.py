"""Batches of a strategy with replicas on GPUs: each part is copied to its replica's ahead.

On the test double copies are put off until a step waits for them; parts that a step used
without waiting would hold 77s.
"""

import contextlib
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
from late_copies import Late

import headrace as hr
from headrace.data import Dataset
from headrace.data.device_copies import CupyCopies
from headrace.distribute import input as distributed_input
from headrace.keras import layers
from headrace.keras.engine import device_input

sys.path.append(str(Path(__file__).parents[1] / "distribute"))

NAMES = ["/job:localhost/replica:0/task:0/device:GPU:0"]
NAMES += [NAMES[0].replace("GPU:0", "GPU:1")]


def watch(gpus, monkeypatch, made):
    """Note the copies that are made."""

    class Seen(CupyCopies if gpus.real else Late):
        def __init__(self, index):
            super().__init__(index)
            made.append((index, self))

    monkeypatch.setattr(distributed_input, "CupyCopies", Seen)
    monkeypatch.setattr(Late, "waits", True)


@pytest.fixture
def rings(two_gpus, monkeypatch):
    """The copies that were made, one after the other for each pass and device."""
    made = []
    watch(two_gpus, monkeypatch, made)
    return made


@pytest.fixture
def strategy(rings):
    how = hr.distribute.HierarchicalCopyAllReduce()  # without NCCL, which the double lacks
    return hr.distribute.MirroredStrategy(["gpu:0", "gpu:1"], cross_device_ops=how)


def rows(n=22):
    rng = np.random.default_rng(3)
    return rng.normal(size=(n, 5)).astype("f4"), rng.integers(0, 3, n)


def whole(size=8):
    return Dataset.from_tensor_slices(rows()).batch(size)


def parts_of(dataset):
    """(device, values) of each part of x, batch after batch; none is on its way any more."""
    found = []
    for x, _ in dataset:
        found.append([(part.device, part.numpy().tolist()) for part in x.values])
    return found


def test_parts_lie_on_their_devices(strategy, rings):
    x = rows()[0].tolist()
    want = [[(NAMES[0], x[i : i + 4]), (NAMES[1], x[i + 4 : i + 8])] for i in range(0, 22, 8)]
    want[-1] = [(NAMES[0], x[16:20]), (NAMES[1], x[20:22])]
    dataset = strategy.experimental_distribute_dataset(whole())
    for passes in (1, 2):
        assert parts_of(dataset) == want
        assert [index for index, _ in rings] == [0, 1] * passes


def test_batches_of_replicas_go_round(strategy, rings):
    x = rows()[0].tolist()
    dataset = strategy.distribute_datasets_from_function(lambda context: whole(4))
    found = parts_of(dataset)
    assert [name for step in found for name, _ in step] == NAMES * 3
    assert [row for step in found for _, values in step for row in values] == x
    assert [index for index, _ in rings] == [0, 1]


@pytest.mark.parametrize("how", ["input", "dataset"])
def test_parts_stay_on_the_host_where_that_is_asked_for(strategy, rings, how):
    data, options = whole(), None
    if how == "input":
        options = hr.distribute.InputOptions(experimental_fetch_to_device=False)
    else:
        own = hr.data.Options()
        own.fetch_to_device = False
        data = data.with_options(own)
    for x, _ in strategy.experimental_distribute_dataset(data, options):
        assert len(x.values) == 2
    assert rings == []


def test_bytes_travel_to_each(two_gpus, strategy, rings):
    images = np.random.default_rng(1).integers(0, 256, (16, 6), dtype=np.uint8)
    plain = Dataset.from_tensor_slices((images, np.arange(16)))
    data = plain.map(lambda x, y: (hr.cast(x, hr.float32) / 255, y)).batch(8, True)
    want = [e[0].tolist() for e in data.as_numpy_iterator()]
    found = parts_of(strategy.experimental_distribute_dataset(data))
    assert [[row for _, values in step for row in values] for step in found] == want
    if not two_gpus.real:
        assert [copies.moved for _, copies in rings] == [8 * (6 + 8)] * 2
    assert "sends uint8" in data.explain()


def test_the_next_batch_is_copied_during_a_step(two_gpus, strategy, rings):
    if two_gpus.real:
        pytest.skip("the double counts copies")
    steps = strategy.experimental_distribute_dataset(whole(4))
    for k, _ in enumerate(steps):
        with Late.changed:
            enough = min(2 * (k + 2), 10)  # the last part has no rows
            assert Late.changed.wait_for(
                lambda least=enough: all(c.queued >= least for _, c in rings), 120
            )


def test_python_code_runs_when_its_batch_is_asked_for(strategy, rings):
    taken = []

    def batches():
        for i in range(3):
            taken.append((i, threading.get_ident()))
            yield np.full((4, 2), i, "f4"), np.zeros(4)

    spec = (hr.TensorSpec((4, 2), "float32"), hr.TensorSpec((4,), "float64"))
    data = Dataset.from_generator(batches, output_signature=spec)
    for k, (x, _) in enumerate(strategy.experimental_distribute_dataset(data)):
        assert len(taken) == k + 1
        assert [float(part[0, 0]) for part in x.values] == [k, k]
    assert {thread for _, thread in taken} == {threading.get_ident()}


def model(strategy):
    hr.keras.utils.set_random_seed(1)
    with strategy.scope():
        made = hr.keras.Sequential([layers.Dense(4, activation="tanh"), layers.Dense(3)])
        loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        made.compile("sgd", loss, metrics=["accuracy"])
    return made


@pytest.fixture
def reducing(two_gpus, monkeypatch):
    """The copies that were made, where replicas can add gradients."""
    made, doubled = [], contextlib.nullcontext
    if not two_gpus.real:
        from nccl_double import doubled_gpus as doubled
    with doubled():
        watch(two_gpus, monkeypatch, made)
        yield made
        monkeypatch.undo()


@pytest.mark.parametrize("kind", ["dataset", "arrays", "sequence"])
def test_training_is_what_it_is_without(reducing, kind):
    strategy = hr.distribute.MirroredStrategy(["gpu:0", "gpu:1"])

    class Batches(hr.keras.utils.Sequence):
        def __len__(self):
            return 3

        def __getitem__(self, i):
            return tuple(a[8 * i : 8 * i + 8] for a in rows())

    def fitted(**how):
        trained = model(strategy)
        x, y = rows()
        data = {"dataset": (whole(), None), "arrays": (x, y), "sequence": (Batches(), None)}
        size = 8 if kind == "arrays" else None
        given = data[kind]
        if how and kind == "dataset":
            own = hr.data.Options()
            own.fetch_to_device = False
            given = (given[0].with_options(own), None)
        history = trained.fit(
            *given, batch_size=size, epochs=2, verbose=0, shuffle=False
        ).history
        scores = trained.evaluate(*given, batch_size=size, verbose=0)
        return history, scores, trained.get_weights()

    ours = fitted()
    assert [index for index, _ in reducing] == [0, 1] * 3
    with pytest.MonkeyPatch.context() as without:
        without.setattr(device_input, "on_gpus", lambda places: False)
        theirs = fitted(without=True)
    assert len(reducing) == 6
    for a, b in zip(ours[2], theirs[2], strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(ours[1], theirs[1], rtol=1e-5)
    assert ours[0]["loss"] == pytest.approx(theirs[0]["loss"], rel=1e-5)
