"""LineReader: TensorFlow's lines, by chunks, resumable."""

import gzip
import zlib

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from headrace.io import text_lines
from headrace.io.text_lines import LineReader
from headrace.ops.errors import DataLossError, InvalidArgumentError, NotFoundError

TEXTS = {
    "plain": b"a\nbc\n\nd\n",
    "no newline at the end": b"a\nb",
    "empty": b"",
    "one newline": b"\n",
    "windows": b"a\r\nb\r\n\r\n",
    "returns inside": b"a\r\r\nb\rc\n\rd\r",
    "a return alone": b"\r",
    "returns only": b"\r\r\n\r",
    "long": b"x" * 20000 + b"\r\n" + b"y" * 9000,
}


def read(reader, limit=None):
    lines = []
    while (chunk := reader.read_chunk(limit)) is not None:
        assert 0 < len(chunk) <= (limit or len(chunk))
        lines += chunk.tolist()
    return lines


def expected(data):
    lines = [line.replace(b"\r", b"") for line in data.split(b"\n")]
    return lines if lines[-1] else lines[:-1]


@pytest.mark.parametrize("name", TEXTS)
def test_lines_are_tensorflows(tf, form, tmp_path, name):
    path = tmp_path / "a.txt"
    path.write_bytes(TEXTS[name])
    theirs = list(tf.data.TextLineDataset(str(path)).as_numpy_iterator())
    assert read(LineReader(path)) == theirs == expected(TEXTS[name])


@settings(max_examples=100, suppress_health_check=list(HealthCheck))
@given(st.lists(st.sampled_from([b"\n", b"\r", b"\r\n", b"ab", b"x" * 3000])).map(b"".join),
       st.integers(1, 5))  # fmt: skip
def test_any_text(form, tmp_path, data, limit):
    path = tmp_path / "a.txt"
    path.write_bytes(data)
    assert read(LineReader(path, chunk_bytes=4096), limit) == expected(data)


@pytest.mark.parametrize("at", range(6))
def test_resumes_at_any_line(form, tmp_path, at):
    path = tmp_path / "a.gz"
    data = b"zero\r\none\n\nthr\ree\nfour\nfive"
    path.write_bytes(gzip.compress(data))
    reader = LineReader(path, "GZIP")
    done = []
    while len(done) < at:
        done += reader.read_chunk(1).tolist()
    line, offset = reader.position
    assert line == at
    resumed = LineReader(path, "GZIP", offset, line)
    assert done + read(resumed) == expected(data)
    assert resumed.position == (6, len(data))


def test_more_lines_than_are_found_at_a_time(form, tmp_path, monkeypatch):
    monkeypatch.setattr(text_lines, "_MOST_LINES", 200)
    path = tmp_path / "a.txt"
    data = b"".join(b"%d\n" % k for k in range(3000)) + b"a\rb\n" + b"c\r\n" * 300 + b"d"
    path.write_bytes(data)
    assert read(LineReader(path)) == expected(data)


def test_lines_without_returns_are_views(form, tmp_path):
    path = tmp_path / "a"
    path.write_bytes(b"a\r\nbc\r\n")
    lines = LineReader(path).read_chunk()
    assert lines.data.size > 7  # the chunk's buffer itself
    assert lines.tolist() == [b"a", b"bc"]


def test_truncated_compressed_text(tmp_path):
    path = tmp_path / "a"
    path.write_bytes(zlib.compress(b"".join(b"line %d\n" % i for i in range(1000)))[:-20])
    reader = LineReader(path, "ZLIB")
    lines = reader.read_chunk()
    with pytest.raises(DataLossError, match=f"truncated ZLIB data.*line {len(lines)} at byte"):
        reader.read_chunk()
    assert lines.tolist() == [b"line %d" % i for i in range(len(lines))]


def test_misuse(tmp_path):
    with pytest.raises(NotFoundError):
        LineReader(tmp_path / "no")
    (tmp_path / "a").write_bytes(b"a\nb\n")
    with pytest.raises(InvalidArgumentError, match="max_lines must be positive, got 0"):
        LineReader(tmp_path / "a").read_chunk(0)
    with pytest.raises(InvalidArgumentError, match="must not be negative"):
        LineReader(tmp_path / "a", offset=-1)
    with LineReader(tmp_path / "a") as reader:
        reader.read_chunk(1)
    assert reader.read_chunk() is None
