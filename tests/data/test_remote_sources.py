"""Datasets of remote files, against a real S3 server."""

import os
import sys
import time
from pathlib import Path

import pytest

import headrace as hr

sys.path.append(str(Path(__file__).parents[1] / "io"))
from s3_server import Proxy, running_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
FILES = [f"s3://bucket/records/{i}.tfrecord" for i in range(3)]
RECORDS = [[b"%d-%d" % (f, i) * 40 for i in range(1500)] for f in range(3)]
ALL = [r for own in RECORDS for r in own]


@pytest.fixture(scope="module")
def server():
    names = {
        "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
    }  # fmt: skip
    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in names.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        patch.delenv("AWS_PROFILE", raising=False)
        server.call("PUT", "bucket")
        for path, records in zip(FILES, RECORDS, strict=True):
            with hr.io.TFRecordWriter(path) as writer:
                for record in records:
                    writer.write(record)
        server.put("bucket/lines.txt", b"".join(b"line %d\n" % i for i in range(5000)))
        server.put("bucket/fixed", b"head" + b"".join(b"%05d" % i for i in range(5000)))
        yield server


def test_records_of_listed_files(server):
    files = hr.data.Dataset.list_files("s3://bucket/*/*.tfrecord", shuffle=False)
    assert [f.decode() for f in files.as_numpy_iterator()] == FILES
    assert list(files.flat_map(hr.data.TFRecordDataset).as_numpy_iterator()) == ALL
    with pytest.raises(hr.errors.InvalidArgumentError, match="No files matched"):
        hr.data.Dataset.list_files("s3://bucket/none*")


def test_records_in_parallel_over_dropped_connections(server):
    with Proxy(server.port, 20_000, 4) as proxy:
        files = [f"{f}?endpoint_override={proxy.endpoint}" for f in FILES]
        dataset = hr.data.TFRecordDataset(files, num_parallel_reads=3)
        assert sorted(dataset.as_numpy_iterator()) == sorted(ALL)
        assert proxy.cut == 4


@pytest.mark.parametrize("at", [0, 1, 1499, 1500, 4000, 4500])
def test_a_saved_iterator_goes_on(server, at):
    dataset = hr.data.TFRecordDataset(FILES)
    iterator = iter(dataset)
    done = [next(iterator).numpy() for _ in range(at)]
    state = iterator.state()
    fresh = iter(dataset)
    fresh.restore(state)
    assert done + [x.numpy() for x in fresh] == ALL


def files_asked_for(proxy):
    return {path for method, path in list(proxy.asked) if method == "GET" and ".tfr" in path}


@pytest.mark.parametrize("way", ["files", "interleave"])
def test_the_next_files_are_fetched_while_the_first_is_read(server, way):
    with Proxy(server.port) as proxy:
        files = [f"{f}?endpoint_override={proxy.endpoint}" for f in FILES]
        if way == "files":
            dataset = hr.data.TFRecordDataset(files)
            assert "parallel_tf_record" in dataset.explain()
        else:
            listed = hr.data.Dataset.from_tensor_slices(files)
            dataset = listed.interleave(
                hr.data.TFRecordDataset, cycle_length=3, num_parallel_calls=3
            )
        in_turn = [r for three in zip(*RECORDS, strict=True) for r in three]
        expected = ALL if way == "files" else in_turn
        with iter(dataset) as iterator:
            for k in range(1 if way == "files" else 3):
                assert next(iterator).numpy() == expected[k]
            limit = time.monotonic() + 20
            while len(files_asked_for(proxy)) < 3 and time.monotonic() < limit:
                time.sleep(0.01)
            assert len(files_asked_for(proxy)) == 3
            assert [x.numpy() for x in iterator] == expected[k + 1 :]


def test_lines_and_records_of_fixed_length(server):
    lines = hr.data.TextLineDataset("s3://bucket/lines.txt")
    assert list(lines.as_numpy_iterator()) == [b"line %d" % i for i in range(5000)]
    fixed = hr.data.FixedLengthRecordDataset("s3://bucket/fixed", 5, header_bytes=4)
    assert list(fixed.as_numpy_iterator()) == [b"%05d" % i for i in range(5000)]


def test_a_missing_file_is_named(server):
    with pytest.raises(hr.errors.NotFoundError, match="s3://bucket/none"):
        list(hr.data.TFRecordDataset([FILES[0], "s3://bucket/none"]))


def test_hidden_files_are_listed_as_by_tensorflow(tf, tmp_path):
    for name in (".a.txt", "b.txt"):
        (tmp_path / name).touch()
    pattern = os.path.join(tmp_path, "*.txt")
    ours = hr.data.Dataset.list_files(pattern, shuffle=False).as_numpy_iterator()
    theirs = tf.data.Dataset.list_files(pattern, shuffle=False).as_numpy_iterator()
    assert list(ours) == list(theirs)
