"""hdfs:// where Java and Hadoop's library are missing, and webhdfs://, which needs neither,
against a small server that speaks that protocol.  hdfs:// itself needs a cluster: untested.
"""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.data.storage import remote_storage
from headrace.io import filesystems, read_ahead
from headrace.io.files import open_stream
from headrace.io.tfrecord import RecordReader
from headrace.io.tfrecord_writer import TFRecordWriter

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]
BIG = np.random.default_rng(0).integers(0, 256, 1_000_000, np.uint8).tobytes()


def test_hdfs_without_its_library_says_what_to_install(monkeypatch, tmp_path):
    for name in ("HADOOP_HOME", "CLASSPATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("ARROW_LIBHDFS_DIR", str(tmp_path))
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    dataset = hr.data.Dataset.range(3)
    for use in (
        lambda: open_stream("hdfs://namenode:8020/x"),
        lambda: list(hr.data.TFRecordDataset("hdfs://namenode:8020/x")),
        lambda: dataset.save("hdfs://namenode:8020/x"),
    ):
        with pytest.raises(hr.errors.UnavailableError, match="HDFS needs Java") as caught:
            use()
        assert str(caught.value).startswith("hdfs://namenode:8020/")
        for remedy in ("JAVA_HOME", "ARROW_LIBHDFS_DIR", "CLASSPATH", "webhdfs://"):
            assert remedy in str(caught.value)


@pytest.fixture(scope="module")
def root():
    pytest.importorskip("fsspec")
    pytest.importorskip("requests")
    program = Path(__file__).with_name("webhdfs_server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            yield f"webhdfs://127.0.0.1:{int(process.stdout.readline())}"
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(read_ahead, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(remote_storage, "PART_BYTES", 100_000)


def test_webhdfs_reads_writes_and_lists(root):
    with TFRecordWriter(f"{root}/dir/a.tfrecord") as writer:
        writer.write(BIG)
    with RecordReader(f"{root}/dir/a.tfrecord") as reader:
        assert reader.read_chunk().tolist() == [BIG]
    assert filesystems.glob(f"{root}/*/*.tfrecord") == [f"{root}/dir/a.tfrecord"]
    with pytest.raises(hr.errors.NotFoundError):
        open_stream(f"{root}/none")


def test_webhdfs_replaces_what_was_saved(root):
    for count in (200, 100, 0):
        big = hr.data.Dataset.range(count).map(lambda x: hr.fill([1000], x))
        big.save(f"{root}/saved")
        loaded = hr.data.Dataset.load(f"{root}/saved")
        assert [int(x[0]) for x in loaded] == list(range(count))
    cached = hr.data.Dataset.range(9).cache(f"{root}/deep/c").repeat(2)
    assert [int(x) for x in cached] == 2 * list(range(9))
    shot = hr.data.Dataset.range(9).snapshot(f"{root}/shots").repeat(2)
    assert [int(x) for x in shot] == 2 * list(range(9))
