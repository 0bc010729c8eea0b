"""Remote files, against a real S3 server: ranges, dropped connections, globs, errors."""

import http.server
import socket
import threading
from pathlib import Path

import numpy as np
import pytest
from s3_server import HOST, Proxy, running_server

from headrace.io import filesystems, read_ahead, remote_filesystems
from headrace.io.compression import KINDS
from headrace.io.files import open_stream
from headrace.io.text_lines import LineReader
from headrace.io.tfrecord import RecordReader
from headrace.io.tfrecord_writer import TFRecordWriter
from headrace.ops.errors import (
    DataLossError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    UnavailableError,
    UnimplementedError,
)

pytestmark = [pytest.mark.processes, pytest.mark.timeout(90)]
BIG = np.random.default_rng(0).integers(0, 256, 9_000_000, np.uint8).tobytes()


@pytest.fixture(scope="module")
def server():
    with running_server() as server:
        server.call("PUT", "bucket")
        server.put("bucket/big", BIG)
        yield server


@pytest.fixture(autouse=True)
def environment(request, monkeypatch, server):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr(read_ahead, "_FIRST_PAUSE_S", 0.01)


def read_all(stream, piece=1 << 20):
    out, buffer = bytearray(), bytearray(piece)
    while got := stream.readinto(buffer):
        out += buffer[:got]
    stream.close()
    return bytes(out)


def records_of(reader):
    out = []
    while (chunk := reader.read_chunk()) is not None:
        out += chunk.tolist()
    return out


@pytest.mark.parametrize("offset", [0, 1, 300_000, len(BIG) - 1, len(BIG), len(BIG) + 5])
def test_reads_from_any_offset(offset):
    stream = open_stream("s3://bucket/big", offset=offset)
    assert stream.size == len(BIG)
    assert read_all(stream, 777_777) == BIG[offset:]


def test_asks_for_ranges_ahead_that_grow_and_meet(server):
    with Proxy(server.port) as proxy:
        url = f"s3://bucket/big?endpoint_override={proxy.endpoint}"
        assert read_all(open_stream(url)) == BIG
    ranges = sorted(proxy.ranges)
    assert ranges[0] == (0, (1 << 18) - 1)
    assert [low for low, _ in ranges[1:]] == [high + 1 for _, high in ranges[:-1]]
    assert ranges[-1][1] == len(BIG) - 1
    assert max(high - low + 1 for low, high in ranges) <= 1 << 22


def test_a_look_at_the_start_fetches_little(server):
    with Proxy(server.port) as proxy:
        stream = open_stream(f"s3://bucket/big?endpoint_override={proxy.endpoint}")
        assert proxy.ranges == []
        stream._ask()
        stream._coming[0][1].result()
        assert len(proxy.ranges) == 1
        stream.close()


@pytest.mark.parametrize(("after", "cuts"), [(100_000, 1), (0, 3), (700_000, 4)])
def test_a_dropped_connection_neither_repeats_nor_loses_a_byte(server, after, cuts):
    with Proxy(server.port, after, cuts) as proxy:
        url = f"s3://bucket/big?endpoint_override={proxy.endpoint}"
        assert read_all(open_stream(url)) == BIG
        assert proxy.cut == cuts


def test_records_come_once_each_over_dropped_connections(server, compiled):
    records = [b"%d:" % i + BIG[i : i + 700] for i in range(8000)]
    with TFRecordWriter("s3://bucket/records.tfrecord") as writer:
        for record in records:
            writer.write(record)
    with Proxy(server.port, 400_000, 3) as proxy:
        url = f"s3://bucket/records.tfrecord?endpoint_override={proxy.endpoint}"
        with RecordReader(url) as reader:
            assert records_of(reader) == records
        assert proxy.cut == 3


def test_a_store_that_stays_away_is_an_error_after_the_records_before(
    server, monkeypatch, compiled
):
    monkeypatch.setattr(read_ahead, "ATTEMPTS", 2)
    records = [b"%d" % i * 100 for i in range(8000)]
    with TFRecordWriter("s3://bucket/away.tfrecord") as writer:
        for record in records:
            writer.write(record)
    with Proxy(server.port, 600_000, 1000) as proxy:
        url = f"s3://bucket/away.tfrecord?endpoint_override={proxy.endpoint}"
        reader = RecordReader(url)
        got = []
        with pytest.raises(UnavailableError, match=r"away\.tfrecord.*2 attempts") as caught:
            while True:
                got += reader.read_chunk().tolist()
        assert 0 < len(got) < len(records)
        assert got == records[: len(got)]
        assert "AWS_ENDPOINT_URL" in str(caught.value)
        position = reader.position
    # What was not read comes from where it ended.
    rest = RecordReader("s3://bucket/away.tfrecord", "", position[1], position[0])
    assert got + records_of(rest) == records


def test_a_file_that_changes_while_it_is_read_is_an_error(server):
    server.put("bucket/changing", BIG)
    with Proxy(server.port, 1_000_000, 1) as proxy:
        stream = open_stream(f"s3://bucket/changing?endpoint_override={proxy.endpoint}")
        assert stream.readinto(bytearray(1000)) == 1000
        server.put("bucket/changing", BIG[:5_000_000])
        with pytest.raises(DataLossError, match="changed while it was read, from 9000000"):
            read_all(stream)
        stream.close()


@pytest.mark.parametrize("kind", KINDS)
def test_every_compression_and_resuming_in_it(kind, compiled):
    records = [b"%d" % i * (i % 90) for i in range(3000)]
    url = f"s3://bucket/compressed/{kind or 'none'}"
    with TFRecordWriter(url, kind) as writer:
        for record in records:
            writer.write(record)
    reader = RecordReader(url, kind)
    first = reader.read_chunk(max_records=1234).tolist()
    number, offset = reader.position
    reader.close()
    rest = records_of(RecordReader(url, kind, offset, number))
    assert first + rest == records


def test_a_written_file_appears_when_it_is_closed(server):
    writer = TFRecordWriter("s3://bucket/new.tfrecord")
    writer.write(b"x" * 1_000_000)
    writer.flush()
    assert filesystems.glob("s3://bucket/new*") == []
    writer.close()
    assert filesystems.glob("s3://bucket/new*") == ["s3://bucket/new.tfrecord"]
    assert len(server.get("bucket/new.tfrecord")) == 1_000_016


def test_names_do_not_make_pyarrow_compress(server):
    with TFRecordWriter("s3://bucket/named.gz") as writer:
        writer.write(b"one")
    assert len(server.get("bucket/named.gz")) == 19
    with TFRecordWriter("s3://bucket/packed.gz", "GZIP") as writer:
        writer.write(b"one")
    assert records_of(RecordReader("s3://bucket/packed.gz", "GZIP")) == [b"one"]


@pytest.mark.parametrize(
    ("path", "below", "suffixed"),
    [
        ("a/b", "a/b/c/d", "a/b.x"),
        ("file:///a/b", "file:///a/b/c/d", "file:///a/b.x"),
        ("s3://k/b/", "s3://k/b/c/d", "s3://k/b/.x"),
        ("s3://k/b?region=x", "s3://k/b/c/d?region=x", "s3://k/b.x?region=x"),
        ("s3://k/b?c", "s3://k/b?c/c/d", "s3://k/b?c.x"),
    ],
)
def test_paths_below_and_suffixes(path, below, suffixed):
    assert filesystems.join(path, "c", "d") == below
    assert filesystems.with_suffix(path, ".x") == suffixed


def test_lines(server):
    server.put("bucket/text", b"".join(b"line %d\r\n" % i for i in range(100_000)))
    with LineReader("s3://bucket/text") as reader:
        assert records_of(reader) == [b"line %d" % i for i in range(100_000)]


GLOBS = {
    "glob/*.txt": ["glob/a.txt", "glob/b 1.txt", "glob/b%20.txt"],
    "glob/?.txt": ["glob/a.txt"],
    "glob/[b-z]*.txt": ["glob/b 1.txt", "glob/b%20.txt"],
    "glob/a.txt": ["glob/a.txt"],
    "glob/*/c.txt": ["glob/deep/c.txt"],
    "glob/**/*.txt": [
        "glob/a.txt", "glob/b 1.txt", "glob/b%20.txt", "glob/deep/c.txt",
        "glob/deep/down/d.txt",
    ],
    "glob/d*/down/*": ["glob/deep/down/d.txt"],
    "glob/none*": [],
    "glob/none": [],
    "no/such/*": [],
}  # fmt: skip


@pytest.mark.parametrize("pattern", GLOBS)
def test_globs(server, pattern):
    for name in ("a.txt", "b%201.txt", "b%2520.txt", "deep/c.txt", "deep/down/d.txt"):
        server.put(f"bucket/glob/{name}", b"x")
    expected = [f"s3://bucket/{name}" for name in GLOBS[pattern]]
    assert filesystems.glob(f"s3://bucket/{pattern}") == expected


def test_a_glob_keeps_the_options_of_its_url(server):
    server.put("bucket/kept/one", b"1")
    options = f"?endpoint_override={server.endpoint}&region=eu-west-1"
    (url,) = filesystems.glob(f"s3://bucket/kept/*{options}")
    assert url == f"s3://bucket/kept/one{options}"
    assert read_all(open_stream(url)) == b"1"
    assert filesystems.locate(url).size(url) == 1


def test_streams_dropped_half_way_leave_nothing_behind(server):
    def open_and_drop():
        stream = open_stream("s3://bucket/big")
        assert stream.readinto(bytearray(1000)) == 1000
        stream.close()
        assert stream.readinto(bytearray(1000)) == 0

    def held():
        descriptors = Path("/proc/self/fd")
        return len(list(descriptors.iterdir())) if descriptors.exists() else 0

    for _ in range(30):
        open_and_drop()
    before = held()
    for _ in range(60):
        open_and_drop()
    assert held() <= before + 8  # connections that the client keeps
    names = [t.name for t in threading.enumerate()]
    assert sum(n.startswith("headrace-io-read-ahead") for n in names) <= read_ahead._THREADS


def test_renaming(server):
    server.put("bucket/old", b"content")
    system = filesystems.locate("s3://bucket/old")
    system.rename("s3://bucket/old", "s3://bucket/renamed")
    assert server.get("bucket/renamed") == b"content"
    assert filesystems.glob("s3://bucket/old") == []


@pytest.mark.parametrize("url", ["s3://bucket/no", "s3://nobucket/x", "s3a://bucket/no/x"])
def test_missing_files(url):
    with pytest.raises(NotFoundError, match=f"^{url}; .*check the bucket"):
        open_stream(url)


def test_a_missing_bucket_is_found_when_the_file_is_written():
    with pytest.raises(NotFoundError, match=r"^s3://nobucket/x; "):
        TFRecordWriter("s3://nobucket/x").close()


class _Refusing(http.server.BaseHTTPRequestHandler):
    def do_HEAD(self):
        self.send_response(403)
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD

    def log_message(self, *_):
        """Nothing is printed."""


def test_a_refusal_names_the_credentials():
    with http.server.ThreadingHTTPServer((HOST, 0), _Refusing) as refusing:
        thread = threading.Thread(target=refusing.serve_forever)
        thread.start()
        try:
            url = f"s3://bucket/x?endpoint_override=http://{HOST}:{refusing.server_port}"
            with pytest.raises(PermissionDeniedError) as caught:
                open_stream(url)
        finally:
            refusing.shutdown()
            thread.join(5)
    assert str(caught.value).startswith(url)
    assert "set AWS_ACCESS_KEY_ID" in str(caught.value)
    assert isinstance(caught.value, PermissionError)


def test_a_server_that_is_not_there(monkeypatch):
    monkeypatch.setattr(read_ahead, "ATTEMPTS", 2)
    with socket.socket() as free:
        free.bind((HOST, 0))
        url = f"s3://b/x?endpoint_override=http://{HOST}:{free.getsockname()[1]}"
        with pytest.raises(UnavailableError, match="2 attempts") as caught:
            open_stream(url)
    assert isinstance(caught.value, ConnectionError)


def test_fsspec_serves_other_schemes(server):
    pytest.importorskip("fsspec")
    with TFRecordWriter("memory://folder/a.tfrecord", "ZSTD") as writer:
        writer.write(b"one")
    assert filesystems.glob("memory://folder/*.tfrecord") == ["memory:///folder/a.tfrecord"]
    assert records_of(RecordReader("memory://folder/a.tfrecord", "ZSTD")) == [b"one"]
    with pytest.raises(NotFoundError, match=r"^memory://folder/b; "):
        open_stream("memory://folder/b")


def test_http_by_ranges_over_dropped_connections(server):
    pytest.importorskip("fsspec")
    pytest.importorskip("aiohttp")
    server.call("PUT", "bucket/public", BIG, public=True)
    with Proxy(server.port, 100_000, 3) as proxy:
        url = f"{proxy.endpoint}/bucket/public"
        assert read_all(open_stream(url, offset=5_000_000)) == BIG[5_000_000:]
        assert proxy.cut == 3
    with pytest.raises(NotFoundError):
        open_stream(f"{server.endpoint}/bucket/public/not")
    with pytest.raises(PermissionDeniedError):
        open_stream(f"{server.endpoint}/bucket/big")


def test_what_appears_at_once_is_written_under_another_name(tmp_path):
    pytest.importorskip("fsspec")
    url = f"local://{tmp_path}/a.tfrecord"
    assert not filesystems.locate(url).appears_on_close
    writer = TFRecordWriter(url)
    writer.write(b"one")
    assert not (tmp_path / "a.tfrecord").exists()
    writer.close()
    assert [p.name for p in tmp_path.iterdir()] == ["a.tfrecord"]
    assert records_of(RecordReader(url)) == [b"one"]


def test_unknown_schemes_and_missing_libraries(monkeypatch):
    with pytest.raises(InvalidArgumentError, match=r"^nosuch://x; no filesystem"):
        open_stream("nosuch://x")
    monkeypatch.setitem(__import__("sys").modules, "fsspec.core", None)
    with pytest.raises(UnimplementedError, match=r"install headrace\[remote\]"):
        open_stream("http://127.0.0.1/x")


@pytest.mark.parametrize(
    ("url", "inner", "options"),
    [
        ("s3://b/a?region=x", "s3://b/a", {"region": "x"}),
        ("s3://b/a?.txt", "s3://b/a?.txt", {}),
        ("s3://b/?region=x&anonymous=true", "s3://b/", {"region": "x", "anonymous": "true"}),
        ("http://h/a?region=x&key=1", "http://h/a?region=x&key=1", {}),
    ],
)
def test_options_of_urls(url, inner, options):
    assert remote_filesystems.split_options(url) == (inner, options)


def test_file_urls_are_local_and_taken_as_they_are(tmp_path):
    path = tmp_path / "a%20b.tfrecord"
    with TFRecordWriter(f"file://{path}") as writer:
        writer.write(b"one")
    assert path.stat().st_size == 19
    assert filesystems.glob(f"file://{tmp_path}/*") == [f"file://{path}"]
    for prefix in ("file://", "file://localhost"):
        assert records_of(RecordReader(f"{prefix}{path}")) == [b"one"]
    assert isinstance(filesystems.locate(f"file://{path}"), filesystems.LocalFileSystem)
