"""`Dataset.save` in shards: all formats, killed tasks, nothing half-written."""

import glob
import json
import os
import signal

import numpy as np
import pytest

import headrace as hr

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
RUNNERS = pytest.mark.parametrize("runner", [None, "ray"])


def numbers(dataset):
    return sorted(int(x) for x in dataset.as_numpy_iterator())


def dataset(n=1000):
    """Elements that depend on draws nobody seeded: shards must agree about them."""
    ds = hr.data.Dataset.range(n).shuffle(100)
    return ds.map(lambda x: (x, hr.random.uniform([]))).filter(lambda x, r: r >= 0.5)


@RUNNERS
def test_own_format(local_ray, tmp_path, runner):
    path = str(tmp_path / "saved")
    hr.data.Dataset.range(3).save(path)
    ds = hr.data.Dataset.range(1000).map(lambda x: {"a": x, "b": hr.strings.as_string(x)})
    ds.save(path, "ZSTD", shards=3, runner=runner)
    loaded = hr.data.Dataset.load(path)
    assert loaded.element_spec == ds.element_spec and len(loaded) == 1000
    pairs = sorted((int(e["a"]), e["b"]) for e in loaded.as_numpy_iterator())
    assert pairs == [(i, b"%d" % i) for i in range(1000)]
    assert len(glob.glob(f"{path}/run-*/*.elements")) == 3 + 1  # and the run before
    assert len(json.loads((tmp_path / "saved" / "metadata.json").read_text())["shards"]) == 3


def test_unseeded_draws_are_the_same_in_all_shards(local_ray, tmp_path):
    path = str(tmp_path)
    dataset().save(path, shards=4, runner="ray")
    saved = [(int(x), float(r)) for x, r in hr.data.Dataset.load(path).as_numpy_iterator()]
    assert len({x for x, _ in saved}) == len(saved) > 300
    assert min(r for _, r in saved) >= 0.5 and len({r for _, r in saved}) > 300


@RUNNERS
def test_records(local_ray, tmp_path, runner):
    path = str(tmp_path / "records")
    ds = hr.data.Dataset.range(50).map(hr.strings.as_string)
    ds.save(path, "GZIP", shards=2, runner=runner, file_format="tfrecord")
    files = sorted(glob.glob(f"{path}/part-*.tfrecord"))
    assert [os.path.basename(f) for f in files] == [
        f"part-0000{i}-of-00002.tfrecord" for i in range(2)
    ]
    assert json.loads((tmp_path / "records" / "manifest.json").read_text())["files"] == [
        [os.path.basename(f), 25] for f in files
    ]
    assert sorted(os.listdir(path)) == ["manifest.json", *map(os.path.basename, files)]
    read = hr.data.TFRecordDataset(files, "GZIP")
    assert sorted(read.as_numpy_iterator()) == sorted(b"%d" % i for i in range(50))
    with pytest.raises(hr.errors.AlreadyExistsError, match="another save"):
        ds.save(path, shards=2, file_format="tfrecord")


@RUNNERS
def test_parquet(local_ray, tmp_path, runner):
    path = str(tmp_path)
    ds = hr.data.Dataset.range(50).map(
        lambda x: {"x": x, "v": hr.fill([2], hr.cast(x, hr.float32))}
    )
    ds.save(path, "ZSTD", shards=2, runner=runner, file_format="parquet")
    read = hr.data.ParquetDataset(sorted(glob.glob(f"{path}/part-*.parquet")))
    found = sorted((int(e["x"]), np.asarray(e["v"]).tolist()) for e in read.as_numpy_iterator())
    assert found == [(i, [float(i)] * 2) for i in range(50)]


def test_a_task_that_is_killed_is_run_again(local_ray, tmp_path):
    once = str(tmp_path / "once")

    def dies_once(x):
        if int(x) == 60:
            try:
                os.close(os.open(once, os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                return int(x)
            os.kill(os.getpid(), signal.SIGKILL)
        return int(x)

    path = str(tmp_path / "saved")
    hr.data.Dataset.range(100).map(dies_once).save(path, shards=2, runner="ray")
    assert os.path.exists(once)
    assert numbers(hr.data.Dataset.load(path)) == list(range(100))


@RUNNERS
@pytest.mark.parametrize("file_format", [None, "parquet"])
def test_a_failure_leaves_what_was_there(local_ray, tmp_path, runner, file_format):
    path = str(tmp_path)
    if file_format is None:
        hr.data.Dataset.range(5).save(path)
    before = sorted(os.listdir(path))
    ds = hr.data.Dataset.range(100).map(lambda x: 100 // (x - 60))
    with pytest.raises(hr.errors.InvalidArgumentError, match="zero"):
        ds.save(path, shards=3, runner=runner, file_format=file_format)
    assert sorted(os.listdir(path)) == before
    if file_format is None:
        assert numbers(hr.data.Dataset.load(path)) == list(range(5))


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"shards": 0}, "must be positive"),
        ({"runner": "spark"}, "'ray'"),
        ({"file_format": "csv"}, "'parquet'"),
        ({"file_format": "tfrecord"}, "scalar strings"),
        ({"shards": 2, "shard_func": lambda x: x}, "shard_func"),
    ],
)
def test_bad_input(tmp_path, options, text):
    with pytest.raises(hr.errors.InvalidArgumentError, match=text):
        hr.data.Dataset.range(3).save(str(tmp_path), **options)
