"""RecordReader: what comes back, where it stood, how it resumes, and every kind of damage."""

import errno
import gc
import os
import pickle
import struct
import tracemalloc

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

from headrace.io import buffers
from headrace.io.compression import KINDS
from headrace.io.crc32c import masked_crc32c
from headrace.io.files import file_error
from headrace.io.tfrecord import RecordChunk, RecordReader, tf_record_iterator
from headrace.io.tfrecord_writer import TFRecordOptions, TFRecordWriter
from headrace.ops.errors import (
    DataLossError,
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    PermissionDeniedError,
    ResourceExhaustedError,
    UnknownError,
)

RECORDS = [bytes([i % 256]) * (i * 37 % 900) for i in range(400)]


def write(path, records, compression=""):
    with TFRecordWriter(path, compression) as writer:
        for record in records:
            writer.write(record)
    return path


def read(reader, **limits):
    out = []
    while (chunk := reader.read_chunk(**limits)) is not None:
        assert len(chunk) > 0
        out += chunk.tolist()
    return out


@pytest.fixture(params=KINDS, ids=lambda c: c or "plain")
def compression(request):
    return request.param


@pytest.fixture
def path(tmp_path, compression):
    return write(tmp_path / "a.tfrecord", RECORDS, compression)


@pytest.mark.parametrize("chunk_bytes", [1, 5000, 1 << 20])
def test_reads_what_was_written(form, path, compression, chunk_bytes):
    with RecordReader(path, compression, chunk_bytes=chunk_bytes) as reader:
        assert read(reader) == RECORDS
        assert reader.read_chunk() is None
    assert list(tf_record_iterator(path, compression)) == RECORDS
    assert list(tf_record_iterator(path, TFRecordOptions(compression))) == RECORDS


@pytest.mark.parametrize("limits", [{"max_records": 7}, {"max_bytes": 2000}])
def test_limits_bound_a_chunk(form, path, compression, limits):
    reader = RecordReader(path, compression)
    chunks = []
    while (chunk := reader.read_chunk(**limits)) is not None:
        chunks.append(chunk)
    assert [r for c in chunks for r in c.tolist()] == RECORDS
    for chunk in chunks:
        if "max_records" in limits:
            assert len(chunk) <= 7
        else:
            # It stops after the record that reaches the limit.
            assert chunk.lengths[:-1].sum() + 16 * (len(chunk) - 1) < 2000


@pytest.mark.parametrize("at", [0, 1, 57, 399, 400])
def test_resumes_at_any_record(form, path, compression, at):
    reader = RecordReader(path, compression, chunk_bytes=4096)
    done = []
    while len(done) < at:
        done += reader.read_chunk(max_records=at - len(done)).tolist()
    record, offset = reader.position
    assert record == at
    resumed = RecordReader(path, compression, offset, record)
    assert resumed.position == (record, offset)
    assert done + read(resumed) == RECORDS


def test_tells_where_each_record_is(form, path, compression):
    reader = RecordReader(path, compression, chunk_bytes=4096)
    offset = number = 0
    while (chunk := reader.read_chunk(max_records=100)) is not None:
        for i in range(len(chunk)):
            text = f"record {number} at byte offset {offset} of '{path}'"
            assert chunk.describe(i) == text
            offset += len(RECORDS[number]) + 16
            number += 1


def test_chunks_are_views(form, tmp_path):
    path = write(tmp_path / "a", RECORDS)
    chunk = RecordReader(path).read_chunk()
    again = RecordReader(path).read_chunk(max_records=3)
    assert chunk.data.size >= sum(map(len, RECORDS))
    assert again.data is not chunk.data
    half = chunk[100:]
    assert half.data is chunk.data


def test_buffers_come_back_only_when_no_view_is_left(form, tmp_path):
    path = write(tmp_path / "a", RECORDS[:50])
    chunk = RecordReader(path, chunk_bytes=40960).read_chunk()
    view = chunk[3].data
    expected = chunk.tolist()
    address = view.ctypes.data
    del chunk
    gc.collect()
    other = buffers.take(40960)
    assert other.ctypes.data != address
    other[:] = 0
    reread = view.tobytes()
    assert expected[3] in reread
    del view, other, reread
    gc.collect()
    assert address in {buffers.take(40960).ctypes.data, *(
        a.ctypes.data for a in buffers._free.get(40960, ()))}  # fmt: skip


def test_empty_file_has_no_records(form, tmp_path, compression):
    assert read(RecordReader(write(tmp_path / "a", [], compression), compression)) == []
    (tmp_path / "b").write_bytes(b"")
    assert read(RecordReader(tmp_path / "b", compression)) == []


def test_members_of_a_gzip_file_follow_each_other(form, tmp_path):
    parts = [write(tmp_path / str(i), [b"r%d" % i] * i, "GZIP").read_bytes() for i in range(3)]
    (tmp_path / "all").write_bytes(b"".join(parts))
    assert list(tf_record_iterator(tmp_path / "all", "GZIP")) == [b"r1", b"r2", b"r2"]


def test_record_larger_than_the_chunk(form, tmp_path, compression):
    big = np.random.default_rng(0).integers(0, 256, 3_000_000, np.uint8).tobytes()
    path = write(tmp_path / "a", [b"x", big, b"y"], compression)
    assert read(RecordReader(path, compression, chunk_bytes=4096)) == [b"x", big, b"y"]


def framed(payload, length=None):
    size = struct.pack("<Q", len(payload) if length is None else length)
    crc = struct.pack("<I", masked_crc32c(size))
    return size + crc + payload + struct.pack("<I", masked_crc32c(payload))


GOOD = framed(b"first") + framed(b"second" * 20)
DAMAGE = {
    "length crc": (GOOD + b"\1" + framed(b"third")[1:], "corrupted record at 157", 2),
    "payload crc": (GOOD + framed(b"third")[:-6] + b"x" * 6, "corrupted record at 169", 2),
    "payload cut": (GOOD + framed(b"third")[:-1], "truncated record at 157", 2),
    "payload gone": (GOOD + framed(b"third")[:12], "truncated record at 157", 2),
    "header cut": (GOOD + framed(b"third")[:11], "truncated record at 157", 2),
    "one byte": (GOOD + b"\0", "truncated record at 157", 2),
    "length 2^60": (GOOD + framed(b"", 1 << 60), "truncated record at 157", 2),
    "length 2^64-1": (GOOD + framed(b"", (1 << 64) - 1), "truncated record at 157", 2),
    "length 2^63": (GOOD + framed(b"", 1 << 63), "truncated record at 157", 2),
    "no record file": (b"some text, long enough to be taken for a header\n" * 9,
                       "corrupted record at 0 (Is this even a TFRecord file?)", 0),
    "zeros": (bytes(100), "corrupted record at 0 (Is this even a TFRecord file?)", 0),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGE)
@pytest.mark.parametrize("chunk_bytes", [4096, 1 << 20])
def test_damage_is_reported_after_the_good_records(form, tmp_path, name, chunk_bytes):
    data, message, good = DAMAGE[name]
    path = tmp_path / "bad.tfrecord"
    path.write_bytes(data)
    reader = RecordReader(path, chunk_bytes=chunk_bytes)
    got = reader.read_chunk().tolist() if good else []
    assert got == [b"first", b"second" * 20][:good]
    with pytest.raises(DataLossError) as caught:
        reader.read_chunk()
    text = str(caught.value)
    assert text.startswith(message)
    offset = 157 if good else 0
    assert f"record {good} at byte offset {offset} of file '{path}'" in text
    assert "Copy or write the file again" in text
    with pytest.raises(DataLossError):
        reader.read_chunk()  # and it stays so


def test_a_huge_length_takes_no_memory(form, tmp_path):
    (tmp_path / "a").write_bytes(framed(b"x" * 100, 1 << 60))
    reader = RecordReader(tmp_path / "a", chunk_bytes=4096)
    tracemalloc.start()
    with pytest.raises(DataLossError, match="1152921504606846992 bytes expected"):
        reader.read_chunk()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("kind", KINDS[1:])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_truncated_compressed_file(form, tmp_path, kind, kept):
    rng = np.random.default_rng(0)
    records = [rng.integers(0, 256, 1000, np.uint8).tobytes() for _ in range(50)]
    whole = write(tmp_path / "a", records, kind).read_bytes()
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * kept)])
    reader = RecordReader(tmp_path / "a", kind, chunk_bytes=4096)
    got = []
    with pytest.raises(DataLossError, match=f"truncated {kind} data.*record ") as caught:
        while True:
            got += reader.read_chunk().tolist()
    assert got == records[: len(got)]
    # What a truncated bzip2 block or Snappy block holds cannot be told.
    if kind not in ("BZ2", "SNAPPY"):
        assert len(got) >= int(50 * kept) - 1 - (66 if kind == "LZ4" else 0)
    assert f"record {len(got)} at byte offset {1016 * len(got)} of decompressed file" in str(
        caught.value
    )


WRONG = [
    ("ZSTD", "", "it looks like ZSTD; pass compression_type='ZSTD'"),
    ("LZ4", "", "it looks like LZ4; pass compression_type='LZ4'"),
    ("BZ2", "GZIP", "it looks like BZ2; pass compression_type='BZ2'"),
    ("GZIP", "BZ2", "it looks like GZIP; pass compression_type='GZIP'"),
    ("GZIP", "ZSTD", "it looks like GZIP; pass compression_type='GZIP'"),
    ("ZSTD", "LZ4", "it looks like ZSTD; pass compression_type='ZSTD'"),
    ("ZSTD", "SNAPPY", "it looks like ZSTD; pass compression_type='ZSTD'"),
    ("", "ZSTD", "if the file is not compressed, pass compression_type=''"),
    ("", "BZ2", "if the file is not compressed, pass compression_type=''"),
    ("GZIP", "", "it looks like GZIP; pass compression_type='GZIP'"),
    ("ZLIB", "", "it looks like ZLIB; pass compression_type='ZLIB'"),
    ("", "GZIP", "if the file is not compressed, pass compression_type=''"),
    ("", "ZLIB", "if the file is not compressed, pass compression_type=''"),
    ("GZIP", "ZLIB", "it looks like GZIP; pass compression_type='GZIP'"),
    ("ZLIB", "GZIP", "it looks like ZLIB; pass compression_type='ZLIB'"),
]


@pytest.mark.parametrize(("written", "read_as", "remedy"), WRONG)
def test_wrong_compression_names_the_right_one(form, tmp_path, written, read_as, remedy):
    path = write(tmp_path / "a", RECORDS[1:], written)
    with pytest.raises(DataLossError) as caught:
        RecordReader(path, read_as).read_chunk()
    assert remedy in str(caught.value)
    assert str(path) in str(caught.value)


def test_flipped_bits_in_compressed_data_are_found(form, tmp_path, compression):
    path = write(tmp_path / "a", RECORDS, compression)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x10
    path.write_bytes(data)
    got = []
    with pytest.raises(DataLossError):
        reader = RecordReader(path, compression)
        while (chunk := reader.read_chunk(max_records=1)) is not None:
            got += chunk.tolist()
    assert got == RECORDS[: len(got)]


def test_a_path_may_be_bytes(tmp_path):
    path = write(tmp_path / "a", RECORDS[:3])
    assert read(RecordReader(str(path).encode())) == RECORDS[:3]


def test_an_offset_past_the_end_is_the_end(form, path, compression):
    reader = RecordReader(path, compression, offset=1 << 30, record=5)
    assert reader.read_chunk() is None
    assert reader.position == (5, 1 << 30)


@pytest.mark.parametrize(
    ("number", "kind"),
    [
        (errno.ENOENT, NotFoundError),
        (errno.EACCES, PermissionDeniedError),
        (errno.EISDIR, FailedPreconditionError),
        (errno.ENOSPC, ResourceExhaustedError),
        (errno.EIO, UnknownError),
    ],
)
def test_errors_of_the_operating_system(number, kind):
    error = file_error(OSError(number, os.strerror(number)), "/some/file")
    assert type(error) is kind
    assert str(error).startswith("/some/file; ")
    assert file_error(error, "/another") is error


def test_a_reader_cannot_be_pickled(tmp_path):
    reader = RecordReader(write(tmp_path / "a", RECORDS[:3]))
    with pytest.raises(TypeError, match="keep its position"):
        pickle.dumps(reader)
    chunk = pickle.loads(pickle.dumps(reader.read_chunk()))
    assert chunk.tolist() == RECORDS[:3]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(NotFoundError, match=r"nowhere\.tfrecord; No such file"):
        RecordReader(tmp_path / "nowhere.tfrecord")
    with pytest.raises(FileNotFoundError):
        RecordReader(tmp_path / "nowhere.tfrecord", "GZIP")
    with pytest.raises(FailedPreconditionError, match="Is a directory"):
        RecordReader(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"compression": "BZIP"}, "'LZ4' or 'BZ2', got 'BZIP'"),
        ({"offset": -1}, "must not be negative"),
        ({"chunk_bytes": 0}, "chunk_bytes must be positive, got 0"),
    ],
)
def test_bad_arguments(tmp_path, arguments, message):
    path = write(tmp_path / "a", RECORDS[:3])
    with pytest.raises(InvalidArgumentError, match=message):
        RecordReader(path, **arguments)


@pytest.mark.parametrize("limit", ["max_records", "max_bytes"])
def test_bad_limits(tmp_path, limit):
    reader = RecordReader(write(tmp_path / "a", RECORDS[:3]))
    with pytest.raises(InvalidArgumentError, match=f"{limit} must be positive, got 0"):
        reader.read_chunk(**{limit: 0})


def test_a_closed_reader_is_at_its_end(form, tmp_path):
    reader = RecordReader(write(tmp_path / "a", RECORDS))
    first = reader.read_chunk(max_records=2)
    reader.close()
    reader.close()
    assert reader.read_chunk() is None
    assert first.tolist() == RECORDS[:2]


@settings(max_examples=60, suppress_health_check=list(HealthCheck))
@given(st.lists(st.binary(max_size=50), max_size=30), st.data())
def test_any_damage_is_found_and_never_invents_a_record(form, tmp_path, records, draw):
    data = bytearray(b"".join(map(framed, records)))
    if data:
        at = draw.draw(st.integers(0, len(data) - 1))
        data[at] ^= draw.draw(st.integers(1, 255))
    path = tmp_path / "fuzzed"
    path.write_bytes(data)
    reader = RecordReader(path, chunk_bytes=4096)
    got = []
    try:
        got += read(reader, max_records=3)
    except DataLossError:
        pass
    else:
        assert not data  # a changed byte cannot pass
    assert got == records[: len(got)]


def test_a_uri_is_read_through_arrow(form, tmp_path):
    path = write(tmp_path / "a", RECORDS)
    assert read(RecordReader(f"file://{path}")) == RECORDS
    with pytest.raises(NotFoundError):
        RecordReader(f"file://{path}.not")
    with pytest.raises(InvalidArgumentError, match="no filesystem"):
        RecordReader("nosuchscheme://x/y")


def test_records_that_were_cut_reordered_and_joined_tell_where_they_are_or_nothing(tmp_path):
    path, rng = str(tmp_path / "r"), np.random.default_rng(0)
    records = [bytes(rng.integers(0, 256, rng.integers(0, 3000), "u1")) for _ in range(400)]
    with TFRecordWriter(path) as writer:
        for record in records:
            writer.write(record)
    truth, offset = {}, 0
    for number, record in enumerate(records):
        truth[f"record {number} at byte offset {offset} of {path!r}"] = record
        offset += len(record) + 16
    reader, chunks = RecordReader(path, chunk_bytes=1 << 14), []
    while (chunk := reader.read_chunk(max_records=40)) is not None:
        chunks.append(chunk)
    known = 0
    for _ in range(300):
        parts = []
        for k in rng.integers(0, len(chunks), rng.integers(1, 6)):
            part = chunks[k]
            a, b = np.sort(rng.integers(0, len(part) + 1, 2))
            part = part[a:b]
            if rng.random() < 0.3:
                part = part[rng.permutation(len(part))]
            if len(part):
                parts.append(part)
        if not parts:
            continue
        joined = RecordChunk.join(parts)
        if len(joined) % 2 == 0 and isinstance(joined, RecordChunk):
            joined = RecordChunk.join([joined, chunks[0]])
            assert joined.reshape(-1, 1).describe(3, 0) == joined.describe(3)
        for k in range(len(joined)):
            told = joined.describe(k) if isinstance(joined, RecordChunk) else None
            if told is not None:
                known += 1
                assert truth[told] == joined[k].item()
    assert known > 2000
