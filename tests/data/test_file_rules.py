"""Rules about files: parsing only what is used, reading several files at a time."""

import gzip
import os
import struct

import pytest

import headrace as hr
from headrace.data import Dataset, TFRecordDataset
from headrace.data.iterator import NumpyIterator
from headrace.data.options import Options
from headrace.data.parallel_files import ParallelFilesNode
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import function_of, walk
from headrace.data.transforms.files import TextLineNode, TFRecordNode

BY_NAME = {rule.name: rule for rule in RULES}
FEATURES = {
    "a": hr.io.FixedLenFeature([], hr.int64),
    "b": hr.io.FixedLenFeature([2], hr.float32),
    "c": hr.io.FixedLenFeature([], hr.string),
}


def example(i):
    feature = {
        "a": hr.train.Feature(int64_list=hr.train.Int64List(value=[i])),
        "b": hr.train.Feature(float_list=hr.train.FloatList(value=[i, 2 * i])),
        "c": hr.train.Feature(bytes_list=hr.train.BytesList(value=[b"x" * i])),
    }
    return hr.train.Example(features=hr.train.Features(feature=feature)).SerializeToString()


def records(n=20):
    return Dataset.from_tensor_slices([example(i) for i in range(n)])


def parse(record):
    return hr.io.parse_single_example(record, FEATURES)


def parsed_features(node):
    for one in walk(node):
        function = function_of(one)
        for op in function.traced.graph.nodes if function is not None else ():
            if op.type == "ParseExampleV2":
                return [output.name for output in op.attrs["plan"].outputs]
    raise AssertionError("no parser")


# -- feature_projection --------------------------------------------------------------


def test_features_nobody_uses_are_not_parsed():
    dataset = records().map(parse).map(lambda e: e["a"] + 1)
    fused = rewrite_plan(dataset._node, BY_NAME["map_fusion"])
    assert sorted(parsed_features(fused)) == ["a", "b", "c"]
    after = rewrite_plan(fused, BY_NAME["feature_projection"])
    assert parsed_features(after) == ["a"]
    with NumpyIterator(after) as got, NumpyIterator(dataset._node) as want:
        assert list(got) == list(want) == list(range(1, 21))
    assert "parses 1 of 3 components" in dataset.explain()


def test_a_feature_nobody_uses_may_be_wrong():
    feature = {"a": hr.train.Feature(int64_list=hr.train.Int64List(value=[7]))}
    bad = hr.train.Example(features=hr.train.Features(feature=feature)).SerializeToString()
    dataset = Dataset.from_tensors(bad).map(lambda r: parse(r)["a"])
    assert [int(v) for v in dataset] == [7]


@pytest.mark.parametrize(
    "fn",
    [parse, lambda r: list(parse(r).values()), lambda r: r],
    ids=["all", "list", "no parser"],
)
def test_features_that_are_used_stay(fn):
    node = records().map(fn)._node
    assert rewrite_plan(node, BY_NAME["feature_projection"]) is node


# -- parallel_file_reading -----------------------------------------------------------


@pytest.fixture
def files(tmp_path):
    """Five compressed files of records, one of them empty."""
    paths = []
    number = 0
    for k, count in enumerate([300, 0, 1, 1000, 40]):
        path = os.path.join(tmp_path, f"{k}.gz")
        with hr.io.TFRecordWriter(path, "GZIP") as writer:
            for _ in range(count):
                writer.write(b"%d " % number + b"." * (number % 7))
                number += 1
        paths.append(path)
    return tuple(paths)


def test_compressed_files_are_read_at_the_same_time_in_order(files):
    node = TFRecordNode(files, "GZIP")
    after = rewrite_plan(node, BY_NAME["parallel_file_reading"])
    assert isinstance(after, ParallelFilesNode)
    assert after.readers >= 2
    with NumpyIterator(after) as got, NumpyIterator(node) as want:
        assert list(got) == list(want)
        row = got.stats().rows[0]
    assert row.name == "parallel_tf_record"
    assert row.threads == after.readers


@pytest.mark.parametrize("taken", [0, 1, 299, 300, 301, 302, 900, 1300, 1341])
def test_checkpoint_law_of_parallel_files(files, taken):
    node = ParallelFilesNode(TFRecordNode(files, "GZIP"), 3)
    with NumpyIterator(node) as iterator:
        full = list(iterator)
    with NumpyIterator(node) as iterator:
        for _ in range(taken):
            next(iterator)
        state = iterator.state()
    with NumpyIterator(node) as iterator:
        iterator.restore(state)
        assert list(iterator) == full[taken:]


def test_repeat_restarts_parallel_files(files):
    dataset = TFRecordDataset(list(files), "GZIP").repeat(2)
    assert "parallel_tf_record" in dataset.explain()
    once = list(TFRecordDataset(list(files), "GZIP").as_numpy_iterator())
    assert list(dataset.as_numpy_iterator()) == once + once


def test_a_damaged_file_raises_in_its_place_and_the_next_file_follows(files, tmp_path):
    with gzip.open(files[2], "wb") as file:
        file.write(struct.pack("<Q", 5) + b"nonsense")
    node = ParallelFilesNode(TFRecordNode(files, "GZIP"), 3)
    with NumpyIterator(node) as iterator:
        first = [next(iterator) for _ in range(300)]
        with pytest.raises(hr.errors.DataLossError, match=r"2\.gz"):
            next(iterator)
        rest = list(iterator)
    assert len(first) + len(rest) == 1340


def test_a_missing_file_is_named(files):
    node = ParallelFilesNode(TFRecordNode((*files, "/nowhere/x.gz"), "GZIP"), 2)
    with NumpyIterator(node) as iterator:
        with pytest.raises(hr.errors.NotFoundError, match="nowhere"):
            list(iterator)


@pytest.mark.parametrize("kind", [TFRecordNode, TextLineNode])
def test_remote_files_are_read_at_the_same_time(kind):
    node = kind(tuple(f"s3://bucket/{k}" for k in range(6)))
    after = rewrite_plan(node, BY_NAME["parallel_file_reading"])
    assert isinstance(after, ParallelFilesNode)
    assert after.readers >= 4


@pytest.mark.parametrize(
    ("node", "why"),
    [
        (TFRecordNode(("a.gz",), "GZIP"), "only one file"),
        (TFRecordNode(("s3://bucket/a",)), "only one file"),
        (TFRecordNode(("file:///a", "file:///b")), "not compressed"),
        (TFRecordNode(("a", "b")), "not compressed"),
        (TextLineNode(("a", "b")), "not compressed"),
    ],
    ids=["one file", "one remote file", "file URLs", "plain files", "plain text"],
)
def test_other_sources_stay(node, why):
    rule = BY_NAME["parallel_file_reading"]
    assert rewrite_plan(node, rule) is node
    assert why in rule.why_not(node)


def test_it_can_be_switched_off(files):
    options = Options()
    options.experimental_optimization.parallel_file_reading = False
    dataset = TFRecordDataset(list(files), "GZIP").with_options(options)
    assert "parallel_tf_record" not in dataset.explain()
    assert len(list(dataset)) == 1341
