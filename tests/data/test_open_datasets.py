"""Datasets opened ahead of their turn: side by side; elements, errors, states stay the same."""

import pickle
import threading

import numpy as np
import pytest

import headrace as hr
from headrace.data import AUTOTUNE, Dataset

from .conftest import outcomes


def waiting_for(parties):
    """A source that gives its first element when so many of its kind are open."""
    barrier = threading.Barrier(parties)

    def values(n):
        barrier.wait(timeout=30)
        yield from range(n)

    def source(n):
        return Dataset.from_generator(
            values, args=(n,), output_signature=hr.TensorSpec((), "int64")
        )

    return source


@pytest.mark.parametrize("calls", [2, AUTOTUNE])
def test_the_next_datasets_are_opened_while_others_are_read(calls):
    """One after the other none would ever give an element."""
    dataset = Dataset.from_tensor_slices([3, 3, 3]).interleave(
        waiting_for(3), cycle_length=2, num_parallel_calls=calls
    )
    assert list(dataset.as_numpy_iterator()) == [0, 0, 1, 1, 2, 2, 0, 1, 2]


def test_without_parallel_calls_each_is_opened_when_its_turn_comes():
    calls = []

    def dataset_of(x):
        calls.append(int(x))
        return Dataset.range(2)

    dataset = Dataset.range(5).interleave(dataset_of, cycle_length=2)
    assert dataset.element_spec == hr.TensorSpec((), "int64")
    calls.clear()
    next(iter(dataset))
    assert calls == [0]


def odd_ones(x):
    """Fails inside for every third, has nothing for every second."""
    return Dataset.range(x % 2 * 4).map(lambda y: 12 // (x % 3) + y)


def refused(x):
    if int(x) in (3, 4, 8):
        raise ValueError("not this one")
    return Dataset.range(x, x + 3)


@pytest.mark.parametrize("calls", [1, 3, AUTOTUNE])
@pytest.mark.parametrize("cycle", [1, 2, 5])
@pytest.mark.parametrize(
    "function", [lambda x: Dataset.range(x), odd_ones, refused], ids=["fine", "inside", "made"]
)
@pytest.mark.parametrize("source", ["fine", "failing"])
def test_elements_errors_and_states_are_those_without_parallel_calls(
    function, cycle, calls, source
):
    def make(calls):
        dataset = Dataset.range(12)
        if source == "failing":
            dataset = dataset.map(lambda x: x + 0 // (x - 6))
        return dataset.interleave(function, cycle_length=cycle, num_parallel_calls=calls)

    whole = outcomes(make(None).as_numpy_iterator())
    assert outcomes(make(calls).as_numpy_iterator()) == whole
    with make(calls).as_numpy_iterator() as iterator:
        for position in range(len(whole) + 1):
            if position in (0, 1, len(whole) // 2, len(whole) - 1):
                with make(calls).as_numpy_iterator() as again:
                    again.restore(pickle.loads(pickle.dumps(iterator.state())))
                    assert outcomes(again) == whole[position:], position
            try:
                next(iterator, None)
            except hr.errors.OpError:
                pass


def test_closing_closes_what_waits(pipeline_threads):
    dataset = Dataset.range(40).interleave(
        lambda x: Dataset.range(x + 9).map(lambda y: np.int64(int(y))),
        cycle_length=8,
        num_parallel_calls=8,
    )
    for taken in (0, 1, 30):
        iterator = iter(dataset)
        for _ in range(taken):
            next(iterator)
        iterator.close()
        assert pipeline_threads.all_ended()
