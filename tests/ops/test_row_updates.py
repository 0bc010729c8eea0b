"""Updates of rows: the compiled pass equals merged rows and array arithmetic."""

import numpy as np
import pytest

from headrace.ops import row_updates, workers

rng = np.random.default_rng(4)


def reference(name, arrays, values, indices, rate, epsilon=0.0):
    table, *slots = arrays
    total = np.zeros(table.shape, np.float64)
    np.add.at(total, indices, values.astype(np.float64))
    rows = np.unique(indices)
    step = rate * total[rows]
    if name == "adagrad":
        slots[0][rows] += (total[rows] ** 2).astype(np.float32)
        step = step / np.sqrt(slots[0][rows] + epsilon)
    table[rows] -= step.astype(np.float32)


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("name", ["sgd", "adagrad"])
@pytest.mark.parametrize("shape", [(50, 64), (50, 7), (9, 3, 5), (40, 1), (3, 40), (1000, 600)])
def test_rows_are_updated_as_by_arrays(shape, name, threads, monkeypatch):
    workers.set_count(threads)
    try:
        count = 2 * shape[0]
        values = rng.normal(size=(count, *shape[1:])).astype("float32")
        for kind in ("int64", "int32"):
            indices = rng.integers(0, shape[0], count).astype(kind)
            first = [rng.random(shape).astype("float32") for _ in range(2)]
            ours = [a.copy() for a in first[: 1 if name == "sgd" else 2]]
            theirs = [a.copy() for a in ours]
            numbers = (0.3,) if name == "sgd" else (0.3, 0.01)
            assert row_updates.update_rows(name, tuple(ours), values, indices, *numbers)
            reference(name, theirs, values, indices, *numbers)
            for a, b in zip(ours, theirs, strict=True):
                np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)
    finally:
        workers.set_count(0)


def test_what_it_does_not_take_is_left_alone():
    table = np.ones((4, 2), np.float32)
    values = np.ones((2, 2), np.float32)
    for arrays, given, indices in (
        ((table,), values, np.array([0, 4])),
        ((table,), values, np.array([-1, 0])),
        ((table.astype("float64"),), values, np.array([0, 1])),
        ((table,), values.astype("float64"), np.array([0, 1])),
        ((table[:, ::2],), values[:, :1], np.array([0, 1])),
        ((table,), values[:0], np.array([], "int64")),
    ):
        assert not row_updates.update_rows("sgd", arrays, given, indices, 0.1)
    np.testing.assert_array_equal(table, 1)


def test_special_values_stay_in_their_rows():
    table, sums = np.zeros((4, 3), np.float32), np.zeros((4, 3), np.float32)
    values = np.array([[np.nan] * 3, [np.inf] * 3, [1e30] * 3, [1e-30] * 3], np.float32)
    assert row_updates.update_rows("adagrad", (table, sums), values, np.arange(4), 0.1, 1e-7)
    assert np.isnan(table[:2]).all() and (table[2] == 0).all()
    np.testing.assert_allclose(table[3], -0.1 * 1e-30 / np.sqrt(1e-7), rtol=1e-5)
