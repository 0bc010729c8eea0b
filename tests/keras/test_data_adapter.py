"""Data for `fit`: arrays, datasets, generators, sequences; what an epoch delivers of each."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras.engine.epochs import EpochIterator, make_adapter

X = np.arange(20, dtype="float32").reshape(10, 2)
Y = np.arange(10, dtype="float32")


def rows(batches):
    return [np.asarray(b[0]).tolist() for b in batches]


def test_batches_in_order_with_a_partial_last_one():
    adapter = make_adapter(X, Y, batch_size=4)
    assert adapter.num_batches == 3
    assert [b[0].shape.as_list() for b in adapter.epoch()] == [[4, 2], [4, 2], [2, 2]]
    np.testing.assert_array_equal(np.concatenate([b[1] for b in adapter.epoch()]), Y)


@pytest.mark.parametrize("shuffle", [True, "batch"])
def test_shuffling_permutes_rows_with_their_targets(shuffle):
    keras.utils.set_random_seed(3)
    adapter = make_adapter(X, Y, batch_size=3, shuffle=shuffle)
    first, second = ([np.asarray(b[1]) for b in adapter.epoch()] for _ in range(2))
    for epoch in (first, second):
        np.testing.assert_array_equal(np.sort(np.concatenate(epoch)), Y)
    assert not np.array_equal(np.concatenate(first), np.concatenate(second))
    for batch in adapter.epoch():
        np.testing.assert_array_equal(np.asarray(batch[0])[:, 0], 2 * np.asarray(batch[1]))


def test_whole_batches_stay_together():
    adapter = make_adapter(Y, batch_size=5, shuffle="batch")
    for batch in adapter.epoch():
        np.testing.assert_array_equal(np.diff(batch[0]), 1.0)


def test_double_precision_becomes_floatx():
    (batch,) = make_adapter(X.astype("float64"), batch_size=10).epoch()
    assert batch[0].dtype == hr.float32


def test_nested_and_text_arrays():
    data = {"a": X, "b": np.array([b"x%d" % i for i in range(10)])}
    batches = list(make_adapter(data, batch_size=4, shuffle=True).epoch())
    for (batch,) in batches:
        for a, b in zip(batch["a"].numpy(), batch["b"].numpy(), strict=True):
            assert b == b"x%d" % (a[0] // 2)


def test_lists_of_numbers_are_one_array():
    (batch,) = make_adapter([[1, 2], [3, 4]], [0, 1]).epoch()
    assert batch[0].shape.as_list() == [2, 2] and batch[1].shape.as_list() == [2]


def test_generator_goes_on_over_epochs():
    data = EpochIterator(make_adapter((X[i : i + 1], Y[i : i + 1]) for i in range(10)), steps=4)
    assert rows(data) == [[[0, 1]], [[2, 3]], [[4, 5]], [[6, 7]]]
    assert rows(data) == [[[8, 9]], [[10, 11]], [[12, 13]], [[14, 15]]]
    with pytest.warns(UserWarning, match="ran out of data.*2 of 4 steps"):
        assert len(rows(data)) == 2


def test_arrays_start_over_when_steps_ask_for_more():
    data = EpochIterator(make_adapter(Y, batch_size=6), steps=3)
    assert [len(r) for r in rows(data)] == [6, 4, 6]


def test_peek_loses_nothing():
    data = EpochIterator(make_adapter(iter([(X,), (X + 1,)])))
    np.testing.assert_array_equal(data.peek()[0], X)
    assert len(rows(data)) == 2


def test_sequence_by_index():
    class Numbers(keras.utils.Sequence):
        ended = 0

        def __len__(self):
            return 3

        def __getitem__(self, index):
            return np.full((2, 1), index, "float32"), np.zeros(2, "float32")

        def on_epoch_end(self):
            self.ended += 1

    numbers = Numbers()
    data = EpochIterator(make_adapter(numbers))
    assert data.num_batches == 3
    assert [r[0][0] for r in rows(data)] == [0.0, 1.0, 2.0]
    assert numbers.ended == 1
    keras.utils.set_random_seed(0)
    shuffled = [r[0][0] for r in rows(EpochIterator(make_adapter(numbers, shuffle=True)))]
    assert sorted(shuffled) == [0.0, 1.0, 2.0]


def test_class_weight_of_batches():
    batches = iter([(X[:3], np.array([0, 1, 1]))])
    ((_, _, weights),) = make_adapter(batches, class_weight={0: 2.0, 1: 0.5}).epoch()
    np.testing.assert_array_equal(weights, [2.0, 0.5, 0.5])


def test_dataset():
    dataset = hr.data.Dataset.from_tensor_slices((X, Y)).batch(4)
    data = EpochIterator(make_adapter(dataset))
    assert data.num_batches == 3
    for _ in range(2):
        assert [len(r) for r in rows(data)] == [4, 4, 2]


def test_fit_on_a_dataset_equals_fit_on_arrays():
    def run(*data, **kwargs):
        model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
        model.set_weights([np.array([[0.1], [0.2]]), np.zeros(1)])
        model.compile(keras.optimizers.SGD(1e-3), "mse")
        return model.fit(*data, epochs=2, verbose=0, **kwargs).history["loss"]

    dataset = hr.data.Dataset.from_tensor_slices((X, Y)).batch(4).prefetch(1)
    assert run(dataset) == run(X, Y, batch_size=4, shuffle=False)


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"y": Y}, "`y` must not be passed when `x` is a Dataset"),
        ({"batch_size": 3}, "`batch_size` must not be passed"),
        ({"sample_weight": Y}, "`sample_weight` must not be passed"),
    ],
    ids=["y", "batch_size", "sample_weight"],
)
def test_datasets_bring_their_own(kwargs, message):
    with pytest.raises(ValueError, match=message):
        make_adapter(hr.data.Dataset.range(3).batch(1), **kwargs)


def test_unknown_data():
    with pytest.raises(ValueError, match="Unrecognized data type"):
        make_adapter(object())


def test_no_axis():
    with pytest.raises(ValueError, match="one row per sample"):
        make_adapter(np.float32(3))


def test_sequence_without_length():
    class Endless:
        num_batches = None

        def __getitem__(self, index):
            return (np.full((1, 1), index, "float32"),)

        def on_epoch_begin(self):
            self.begun = True

    data = EpochIterator(make_adapter(Endless()), steps=3)
    assert rows(data) == [[[0.0]], [[1.0]], [[2.0]]] and data.adapter._sequence.begun


def test_sequences_must_be_defined():
    for use in (len, lambda s: s[0]):
        with pytest.raises(NotImplementedError, match="must define"):
            use(keras.utils.PyDataset())


@pytest.mark.parametrize(
    ("batch", "parts"),
    [
        (X, (X, None, None)),
        ((X,), (X, None, None)),
        ([X, Y], (X, Y, None)),
        ((X, Y, Y), (X, Y, Y)),
    ],
    ids=["bare", "one", "list", "three"],
)
def test_unpacking(batch, parts):
    found = keras.utils.unpack_x_y_sample_weight(batch)
    assert all(a is b for a, b in zip(found, parts, strict=True))


def test_unpacking_too_many():
    with pytest.raises(ValueError, match="tuple of length 4"):
        keras.utils.unpack_x_y_sample_weight((X, X, X, X))


def test_packing():
    pack = keras.utils.pack_x_y_sample_weight
    assert pack(X) is X and pack([X]) == ([X],)
    assert pack(X, Y) == (X, Y) and len(pack(X, Y, Y)) == 3


def test_steps_must_be_positive():
    with pytest.raises(ValueError, match="must be positive or None, got 0"):
        EpochIterator(make_adapter(X), steps=0)


def test_class_weights_with_weights():
    batches = iter([(X, Y, Y)])
    with pytest.raises(ValueError, match="`class_weight` and `sample_weight`"):
        list(make_adapter(batches, class_weight={0: 1.0}).epoch())


def test_datasets_can_be_weighted():
    dataset = hr.data.Dataset.from_tensor_slices((X, np.arange(10) % 2)).batch(5)
    for _, y, weights in make_adapter(dataset, class_weight={1: 3.0}).epoch():
        np.testing.assert_array_equal(weights, np.where(np.asarray(y) == 1, 3.0, 1.0))
