"""gs:// against a small server on loopback that speaks the part of the JSON API that is used:
there is no emulator of Google's in Python.  What all stores share is tested with S3."""

import subprocess
import sys
import urllib.request
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.data.storage import remote_storage
from headrace.io import filesystems, read_ahead
from headrace.io.files import open_stream
from headrace.io.tfrecord import RecordReader
from headrace.io.tfrecord_writer import TFRecordWriter
from headrace.ops.errors import NotFoundError, PermissionDeniedError

pytestmark = [pytest.mark.processes, pytest.mark.timeout(60)]
BIG = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()


@pytest.fixture(scope="module")
def server():
    program = Path(__file__).with_name("gcs_server.py")
    with subprocess.Popen(
        [sys.executable, str(program)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        try:
            endpoint = f"http://127.0.0.1:{int(process.stdout.readline())}"
            put(f"{endpoint}/up?name=dir/big", BIG)
            yield endpoint
        finally:
            process.kill()


@pytest.fixture(autouse=True)
def environment(server, monkeypatch):
    monkeypatch.setattr(read_ahead, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", server)


def put(url, body):
    request = urllib.request.Request(url, data=body, method="PUT")
    urllib.request.urlopen(request, timeout=10).close()


def read_all(url, offset=0):
    stream = open_stream(url, offset=offset)
    out, buffer = bytearray(), bytearray(100_000)
    while got := stream.readinto(buffer):
        out += buffer[:got]
    stream.close()
    return bytes(out)


@pytest.mark.parametrize("offset", [0, 1_234_567, len(BIG)])
def test_reads_from_any_offset(offset):
    assert read_all("gs://bucket/dir/big", offset) == BIG[offset:]


def test_downloads_that_break_off(server):
    put(f"{server}/breaks", b"****")
    assert read_all("gs://bucket/dir/big") == BIG


def test_written_and_listed(server):
    with TFRecordWriter("gs://bucket/dir/a.tfrecord", "ZSTD") as writer:
        writer.write(b"one")
    with RecordReader("gs://bucket/dir/a.tfrecord", "ZSTD") as reader:
        assert reader.read_chunk().tolist() == [b"one"]
    assert filesystems.glob("gs://bucket/*/*.tfrecord") == ["gs://bucket/dir/a.tfrecord"]
    put(f"{server}/up?name=dir/deep/b.tfrecord", b"x")
    for pattern, names in {
        "dir/*.tfrecord": ["dir/a"],
        "*/deep/?.tfrecord": ["dir/deep/b"],
        "**/*.tfrecord": ["dir/a", "dir/deep/b"],
        "*.tfrecord": [],
        "none/*/*": [],
    }.items():
        expected = [f"gs://bucket/{name}.tfrecord" for name in names]
        assert filesystems.glob(f"gs://bucket/{pattern}") == expected
    assert filesystems.locate("gs://x").size("gs://bucket/dir/big") == len(BIG)


def test_elements_are_kept(monkeypatch):
    monkeypatch.setattr(remote_storage, "PART_BYTES", 100_000)
    monkeypatch.setattr(remote_storage, "ABANDONED_S", -1e9)
    big = hr.data.Dataset.range(100).map(lambda x: hr.fill([1000], x))
    for count in (100, 50, 20):
        big.take(count).save("gs://bucket/saved")
        loaded = hr.data.Dataset.load("gs://bucket/saved")
        assert [int(x[0]) for x in loaded] == list(range(count))
    system = filesystems.locate("gs://bucket/saved")
    runs = {name.partition("/")[0] for name, _ in system.walk("gs://bucket/saved")}
    assert len(runs - {"metadata.json"}) == 2, "this run and the one before"
    for kept in (big.cache("gs://bucket/c"), big.snapshot("gs://bucket/shots")):
        assert [int(x[0]) for x in kept.repeat(2)] == 2 * list(range(100))


def test_errors_name_the_url_and_the_remedy():
    with pytest.raises(NotFoundError, match=r"^gs://bucket/none; "):
        open_stream("gs://bucket/none")
    with pytest.raises(PermissionDeniedError, match="GOOGLE_APPLICATION_CREDENTIALS"):
        open_stream("gs://closed/x")
