"""Compressed streams: other programs' files, frames in a row, damage, bombs, wrong names."""

import bz2
import gzip
import struct
import tracemalloc
import zlib
from contextlib import closing

import numpy as np
import pyarrow as pa
import pytest

from headrace.io.compression import KINDS, check_compression, compressor, looks_like
from headrace.io.crc32c import masked_crc32c
from headrace.io.files import open_stream
from headrace.io.text_lines import LineReader
from headrace.io.tfrecord import RecordReader
from headrace.io.tfrecord_writer import TFRecordOptions, TFRecordWriter
from headrace.ops.errors import DataLossError, InvalidArgumentError

TEXT = b"".join(b"line %d of some text\n" % i for i in range(20_000))
NOISE = np.random.default_rng(1).integers(0, 256, 1_500_000, np.uint8).tobytes()


def arrow(kind, data):
    return pa.Codec(kind).compress(data, asbytes=True)


def snappy_frames(data):
    """The framing format of Snappy, with a chunk of padding and one that is not compressed."""
    out = [b"\xff\x06\x00\x00sNaPpY", b"\xfe\x03\x00\x00abc"]
    for i in range(0, len(data), 60_000):
        part = data[i : i + 60_000]
        kind, body = (1, part) if i == 60_000 else (0, arrow("snappy", part))
        size = (len(body) + 4).to_bytes(3, "little")
        out += [bytes([kind]), size, struct.pack("<I", masked_crc32c(part)), body]
    return b"".join(out)


def snappy_blocks(data):
    parts = [arrow("snappy", data[i : i + 50_000]) for i in range(0, len(data), 50_000)]
    return b"".join(struct.pack(">I", len(p)) + p for p in parts)


OTHERS = {
    "GZIP": gzip.compress,
    "ZLIB": zlib.compress,
    "BZ2": bz2.compress,
    "ZSTD": lambda data: arrow("zstd", data),
    "LZ4": lambda data: arrow("lz4", data),
    "SNAPPY": snappy_blocks,
    "SNAPPY framed": snappy_frames,
}


def read_all(stream, piece=100_000):
    out, buffer = bytearray(), bytearray(piece)
    with closing(stream):
        while got := stream.readinto(buffer):
            out += buffer[:got]
    return bytes(out)


def read_some(path, kind, size=10):
    with closing(open_stream(path, kind)) as stream:
        stream.readinto(bytearray(size))


def records_of(path, kind):
    with RecordReader(path, kind) as reader:
        records = []
        while (chunk := reader.read_chunk()) is not None:
            records += chunk.tolist()
    return records


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["0", "1", "text", "noise"])
def test_files_of_other_programs(tmp_path, name, data):
    (tmp_path / "a").write_bytes(OTHERS[name](data))
    kind = name.split()[0]
    assert read_all(open_stream(tmp_path / "a", kind), 7777 if data else 1) == data
    assert read_all(open_stream(tmp_path / "a", kind, offset=12_345)) == data[12_345:]


@pytest.mark.parametrize("name", [n for n in OTHERS if n != "ZLIB"])
def test_streams_in_a_row(tmp_path, name):
    parts = [TEXT[:100_000], b"", TEXT[100_000:100_001], TEXT[100_001:]]
    (tmp_path / "a").write_bytes(b"".join(map(OTHERS[name], parts)))
    assert read_all(open_stream(tmp_path / "a", name.split()[0])) == TEXT


@pytest.mark.parametrize("name", OTHERS)
def test_lines(tmp_path, name):
    (tmp_path / "a").write_bytes(OTHERS[name](TEXT))
    with LineReader(tmp_path / "a", name.split()[0], chunk_bytes=5000) as reader:
        lines = []
        while (chunk := reader.read_chunk()) is not None:
            lines += chunk.tolist()
    assert lines == TEXT.splitlines()


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("data", [TEXT, NOISE], ids=["text", "noise"])
@pytest.mark.parametrize("kept", [0.11, 0.53, 0.999])
def test_what_precedes_a_truncation_comes_first(tmp_path, name, data, kept):
    whole = OTHERS[name](data)
    (tmp_path / "a").write_bytes(whole[: int(len(whole) * kept)])
    buffer, got = bytearray(10_000), bytearray()
    with closing(open_stream(tmp_path / "a", name.split()[0])) as stream:
        with pytest.raises(DataLossError, match="truncated"):
            while n := stream.readinto(buffer):
                got += buffer[:n]
        with pytest.raises(DataLossError, match="truncated"):  # and it stays so
            stream.readinto(buffer)
    assert data.startswith(got)
    # Half a block tells nothing: it has up to 900 kB in bzip2, 128 KiB in ZSTD, 60 kB here in
    # Snappy; in LZ4 as much as the writer likes.
    if name not in ("BZ2", "LZ4") and data is NOISE:
        assert len(got) >= int(kept * len(data)) - 140_000


@pytest.mark.parametrize("name", OTHERS)
def test_flipped_bytes_never_pass_for_more_than_what_was_written(tmp_path, name):
    whole = OTHERS[name](TEXT)
    rng = np.random.default_rng(3)
    for at in rng.integers(0, len(whole), 25).tolist():
        damaged = bytearray(whole)
        damaged[at] ^= 1 << int(rng.integers(8))
        (tmp_path / "a").write_bytes(damaged)
        try:
            got = read_all(open_stream(tmp_path / "a", name.split()[0]))
            assert len(got) <= 64 * len(whole)
        except DataLossError as error:
            assert name.split()[0] in str(error)


@pytest.mark.parametrize("name", OTHERS)
def test_a_bomb_takes_no_memory(tmp_path, name):
    bomb = OTHERS[name](bytes(50_000_000))
    (tmp_path / "a").write_bytes(bomb)
    pool = pa.default_memory_pool()
    before, buffer, total = pool.bytes_allocated(), bytearray(1000), 0
    tracemalloc.start()
    with closing(open_stream(tmp_path / "a", name.split()[0])) as stream:
        for _ in range(2000):
            total += stream.readinto(buffer)
        held = pool.bytes_allocated() - before
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 2_000_000
    assert peak < 4_000_000
    assert held < 8_000_000


def test_a_snappy_block_that_claims_too_much(tmp_path):
    claim = b"\xff\xff\xff\xff\x0f" + b"\0" * 20
    (tmp_path / "a").write_bytes(struct.pack(">I", len(claim)) + claim)
    with pytest.raises(DataLossError, match="25 bytes that claim to hold 4294967295"):
        read_some(tmp_path / "a", "SNAPPY")
    (tmp_path / "a").write_bytes(b"\x7f\xff\xff\xff" + claim)
    with pytest.raises(DataLossError, match=r"a block of 2147483647 bytes.*not compressed"):
        read_some(tmp_path / "a", "SNAPPY")


def test_a_framed_chunk_with_another_checksum(tmp_path):
    data = bytearray(snappy_frames(TEXT[:1000]))
    data[21] ^= 1
    (tmp_path / "a").write_bytes(data)
    with pytest.raises(DataLossError, match="CRC32C of a chunk"):
        read_some(tmp_path / "a", "SNAPPY")


@pytest.mark.parametrize("kind", KINDS[1:])
def test_what_is_flushed_can_be_read(tmp_path, kind):
    writer = TFRecordWriter(tmp_path / "a", kind)
    writer.write(b"one")
    writer.flush()
    with RecordReader(tmp_path / "a", kind) as reader:
        assert reader.read_chunk().tolist() == [b"one"]
    writer.write(b"two")
    writer.close()
    assert records_of(tmp_path / "a", kind) == [b"one", b"two"]


@pytest.mark.parametrize("kind", ["GZIP", "ZLIB", "ZSTD", "BZ2", "LZ4"])
def test_levels(tmp_path, kind):
    sizes = []
    for level in (1, 9):
        path = tmp_path / str(level)
        with TFRecordWriter(path, TFRecordOptions(kind, compression_level=level)) as writer:
            writer.write(TEXT)
        assert records_of(path, kind) == [TEXT]
        sizes.append(path.stat().st_size)
    assert sizes[1] < sizes[0] or kind == "BZ2"  # its level is the block's size


@pytest.mark.peers
def test_snappy_is_tensorflows(tf, tmp_path):
    from tensorflow.python.lib.io import _pywrap_record_io as theirs

    records = [b"%d" % i * 300 for i in range(3000)]
    with TFRecordWriter(tmp_path / "ours", "SNAPPY") as writer:
        for record in records:
            writer.write(record)
    dataset = tf.data.TFRecordDataset(str(tmp_path / "ours"), compression_type="SNAPPY")
    assert list(dataset.as_numpy_iterator()) == records
    writer = theirs.RecordWriter(str(tmp_path / "theirs"), theirs.RecordWriterOptions("SNAPPY"))
    for record in records:
        writer.write(record)
    writer.close()
    assert records_of(tmp_path / "theirs", "SNAPPY") == records


def test_names():
    assert check_compression(None) == ""
    for name in ("gzip", "ZIP", "LZO"):
        with pytest.raises(InvalidArgumentError) as caught:
            check_compression(name)
        assert repr(name) in str(caught.value)
        assert all(repr(kind) in str(caught.value) for kind in KINDS)
    with pytest.raises(InvalidArgumentError, match="from 1 to 9, got 0 for BZ2"):
        compressor("BZ2", 0)
    for name, compress in OTHERS.items():
        hint = looks_like(compress(TEXT))
        assert name == "SNAPPY" or f"compression_type={name.split()[0]!r}" in hint
    assert looks_like(b"") == looks_like(TEXT) == ""
