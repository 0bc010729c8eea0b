"""Uneven features are parsed by the block, and give what parsing one by one gives."""

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset
from headrace.data.columns import RaggedColumn, SparseColumn
from headrace.data.options import Options


def record(i):
    ints = hr.train.Feature(int64_list=hr.train.Int64List(value=list(range(i % 4))))
    words = hr.train.Feature(bytes_list=hr.train.BytesList(value=[b"w%d" % i] * (i % 3)))
    dense = hr.train.Feature(float_list=hr.train.FloatList(value=[1.0, i]))
    feature = {"v": ints, "w": words, "d": dense}
    return hr.train.Example(features=hr.train.Features(feature=feature)).SerializeToString()


RECORDS = [record(i) for i in range(50)]
DENSE = hr.io.FixedLenFeature([2], hr.float32)
SEQUENCE = hr.io.FixedLenSequenceFeature([], hr.int64, allow_missing=True)
FEATURES = {
    "varlen": {"v": hr.io.VarLenFeature(hr.int64), "d": DENSE},
    "strings": {"w": hr.io.VarLenFeature(hr.string), "d": DENSE},
    "sequence": {"v": SEQUENCE, "d": DENSE},
    "ragged": {"v": hr.io.RaggedFeature(hr.int64), "d": DENSE},
    "only uneven": {"v": SEQUENCE},
}


def parse(features):
    return lambda r: hr.io.parse_single_example(r, features)


def flat(value):
    if isinstance(value, dict):
        return {k: flat(v) for k, v in value.items()}
    if isinstance(value, (tuple, list)):
        return [flat(v) for v in value]
    if isinstance(value, hr.SparseTensor):
        return [flat(value.indices), flat(value.values), flat(value.dense_shape)]
    return None if value is None else np.asarray(value).tolist()


def both_ways(dataset):
    """The elements run by the block and one by one."""
    slow = Options()
    slow.experimental_optimization.apply_default_optimizations = False
    assert "by the block" in dataset.explain()
    return flat(list(dataset)), flat(list(dataset.with_options(slow)))


@pytest.mark.parametrize("features", FEATURES.values(), ids=FEATURES)
def test_the_same_as_one_by_one(features):
    by_block, one_by_one = both_ways(Dataset.from_tensor_slices(RECORDS).map(parse(features)))
    assert by_block == one_by_one
    assert len(by_block) == 50


def test_other_results_are_computed_from_dense_features_beside_them():
    def fn(r):
        e = hr.io.parse_single_example(r, FEATURES["sequence"])
        more = {"length": hr.strings.length(r), "random": hr.random.uniform([], seed=1)}
        return {"twice": e["d"] * 2, "v": e["v"], "none": None, "text": "t", **more}

    by_block, one_by_one = both_ways(Dataset.from_tensor_slices(RECORDS).map(fn))
    assert by_block == one_by_one


@pytest.mark.parametrize("kind", ["varlen", "sequence"])
def test_columns_stay_columns(kind):
    dataset = Dataset.from_tensor_slices(RECORDS).map(parse(FEATURES[kind]))
    with dataset.raw_iterator() as iterator:
        column = iterator.next_block(50).columns[1]
    assert isinstance(column, SparseColumn if kind == "varlen" else RaggedColumn)


@pytest.mark.parametrize(
    "fn",
    [
        lambda r: hr.reduce_sum(hr.io.parse_single_example(r, FEATURES["sequence"])["v"]),
        lambda r: hr.io.parse_single_example(hr.strings.join([r]), FEATURES["sequence"])["v"],
    ],
    ids=["uneven values are used", "the record is computed"],
)
def test_others_run_one_by_one(fn):
    dataset = Dataset.from_tensor_slices(RECORDS).map(fn)
    assert "runs element by element" in " ".join(dataset.explain().split())
    assert len(list(dataset)) == 50


def test_a_bad_record_fails_in_its_place():
    records = [*RECORDS[:20], b"\xff\xff", *RECORDS[20:]]
    dataset = Dataset.from_tensor_slices(records).map(parse(FEATURES["sequence"]))
    iterator = iter(dataset)
    for _ in range(20):
        next(iterator)
    with pytest.raises(hr.errors.InvalidArgumentError, match="element 20"):
        next(iterator)
    assert len(list(iterator)) == 30


def test_batches_of_sparse_tensors():
    dataset = Dataset.from_tensor_slices(RECORDS).map(parse(FEATURES["varlen"])).batch(8)
    by_block, one_by_one = both_ways(dataset)
    assert by_block == one_by_one
