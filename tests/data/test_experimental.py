"""hr.data.experimental: the older spellings do what the methods do."""

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, experimental as x

R = Dataset.range

SAME = {
    "enumerate": (x.enumerate_dataset(3), lambda d: d.enumerate(3)),
    "ignore_errors": (x.ignore_errors(), lambda d: d.ignore_errors()),
    "map_and_batch": (
        x.map_and_batch(lambda v: v + 1, 4), lambda d: d.map(lambda v: v + 1).batch(4)),
    "scan": (
        x.scan(np.int64(0), lambda s, v: (s + v, s)),
        lambda d: d.scan(np.int64(0), lambda s, v: (s + v, s)),
    ),
    "shuffle_and_repeat": (
        x.shuffle_and_repeat(5, 2, seed=3), lambda d: d.shuffle(5, seed=3).repeat(2)),
    "take_while": (x.take_while(lambda v: v < 4), lambda d: d.take_while(lambda v: v < 4)),
    "unique": (x.unique(), lambda d: d.unique()),
    "assert_cardinality": (x.assert_cardinality(10), lambda d: d),
}  # fmt: skip


@pytest.mark.parametrize("name", SAME)
def test_same_as_the_method(name):
    old, new = SAME[name]
    a = list(R(10).apply(old).as_numpy_iterator())
    b = list(new(R(10)).as_numpy_iterator())
    assert all(np.array_equal(p, q) for p, q in zip(a, b, strict=True)) and len(a) > 0


def test_batches():
    assert len(list(R(10).batch(5).apply(x.unbatch()))) == 10
    rows = R(3).map(hr.range).apply(x.dense_to_ragged_batch(3))
    assert next(iter(rows)).to_list() == [[], [0], [0, 1]]


def test_sources():
    assert list(x.Counter(2, 3).take(3).as_numpy_iterator()) == [2, 5, 8]
    numbers = list(x.RandomDataset(seed=1).take(5).as_numpy_iterator())
    assert numbers == list(Dataset.random(seed=1).take(5).as_numpy_iterator())
    assert len(set(numbers)) == 5
    chosen = x.choose_from_datasets([R(2), R(10, 14)], R(2).repeat())
    assert list(chosen.as_numpy_iterator()) == [0, 10, 1, 11, 12, 13]
    sampled = x.sample_from_datasets([R(3), R(10, 13)], seed=1)
    assert sorted(sampled.as_numpy_iterator()) == [0, 1, 2, 10, 11, 12]


def test_from_list():
    pairs = x.from_list([{"a": 1, "b": "x"}, {"a": 2, "b": "y"}])
    assert list(pairs.as_numpy_iterator()) == [{"a": 1, "b": b"x"}, {"a": 2, "b": b"y"}]
    uneven = x.from_list([[1], [2, 3]])
    assert [e.tolist() for e in uneven.as_numpy_iterator()] == [[1], [2, 3]]
    with pytest.raises(ValueError, match="empty"):
        x.from_list([])


def test_questions():
    assert int(x.cardinality(R(4))) == 4
    assert int(x.get_single_element(R(3, 4))) == 3
    assert x.get_structure(R(4)) == R(4).element_spec == x.get_structure(iter(R(4)))


def test_sampling_follows_the_weights():
    zeros = [Dataset.from_tensors(i).repeat(10000) for i in range(2)]
    picked = x.sample_from_datasets(zeros, [0.8, 0.2], seed=1, stop_on_empty_dataset=True)
    ones = np.array(list(picked.take(5000).as_numpy_iterator()))
    assert abs(ones.mean() - 0.2) < 0.03
