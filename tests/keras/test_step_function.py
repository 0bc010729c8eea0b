"""StepFunction: which batches share a trace, and what comes back."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras.engine.step_function import StepFunction


def tensors(*arrays):
    return tuple(hr.constant(a) for a in arrays)


def test_batch_size_is_open():
    step = StepFunction(lambda batch: hr.reduce_sum(batch[0] * 2.0), "step")
    assert [float(step(tensors(np.ones((n, 3), "float32")))) for n in (4, 2, 1)] == [24, 12, 6]
    assert step.traces == 1


def test_results_keep_their_structure():
    step = StepFunction(lambda batch: {"a": (batch[0], None), "b": [batch[0] + 1]}, "step")
    found = step(tensors(np.arange(3)))
    assert sorted(found) == ["a", "b"] and found["a"][1] is None
    np.testing.assert_array_equal(found["b"][0], [1, 2, 3])


@pytest.mark.parametrize(
    ("batches", "traces"),
    [
        ([np.ones((2, 3), "float32"), np.ones((2, 3), "float64")], 2),
        ([np.ones((2, 3)), np.ones((2, 4))], 2),
        ([np.ones((2, 3)), np.ones((2, 4)), np.ones((2, 5)), np.ones((9, 3))], 2),
        ([np.ones(2), np.ones((2, 1))], 2),
    ],
    ids=["dtypes", "two_widths", "many_widths", "ranks"],
)
def test_traces(batches, traces):
    step = StepFunction(lambda batch: hr.reduce_sum(batch[0]), "step")
    for batch in batches:
        assert float(step(tensors(batch))) == batch.size
    assert step.traces == traces


def test_absent_parts_and_other_structures():
    step = StepFunction(lambda b: b[0] if b[1] is None else b[0] + b[1], "step")
    one = hr.constant([1.0])
    for _ in range(2):
        assert step((one, None)).numpy() == [1.0]
        assert step((one, one)).numpy() == [2.0]
    assert step.traces == 2


def test_ragged_batches():
    step = StepFunction(lambda batch: hr.reduce_sum(batch[0].values), "step")
    for _ in range(2):
        ragged = hr.RaggedTensor.from_row_lengths([1.0, 2.0, 3.0], [1, 2])
        assert float(step((ragged,))) == 6.0
    assert step.traces == 1


def test_effects_without_results():
    total = hr.Variable(0.0)

    def count(batch):
        total.assign_add(hr.reduce_sum(batch[0]))
        return hr.exp(batch[0])

    step = StepFunction(count, "step", keep_results=False)
    assert step(tensors(np.ones(3, "float32"))) is None and float(total) == 3.0


def test_eager_steps_get_eager_tensors():
    step = StepFunction(lambda batch: float(batch[0].numpy().sum()), "step", eager=True)
    assert step(tensors(np.ones(3))) == 3.0 and step.traces == 0 and step.eager


@pytest.mark.parametrize("ragged", [False, True], ids=["dense", "ragged"])
def test_untraceable_steps_fall_back(ragged):
    def step(batch):
        values = batch[0].values if ragged else batch[0]
        return 1.0 if float(hr.reduce_sum(values)) > 0 else -1.0

    function = StepFunction(step, "the step")
    value = hr.RaggedTensor.from_row_lengths([1.0], [1]) if ragged else hr.constant([1.0])
    with pytest.warns(UserWarning, match="the step cannot be traced and runs eagerly"):
        assert function((value,)) == 1.0
    assert function((value,)) == 1.0  # no second warning
