"""TFRecordWriter: bytes as TensorFlow writes them, options, misuse."""

import os

import pytest

from headrace.io.tfrecord import tf_record_iterator
from headrace.io.tfrecord_writer import TFRecordCompressionType, TFRecordOptions, TFRecordWriter
from headrace.ops.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    NotFoundError,
    ResourceExhaustedError,
)

RECORDS = [b"", b"one", bytes(range(256)) * 40, b"last"]


def write(writer):
    with writer:
        for record in RECORDS:
            writer.write(record)


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_same_bytes_as_tensorflow(tf, tmp_path, kind):
    write(TFRecordWriter(str(tmp_path / "ours"), kind))
    write(tf.io.TFRecordWriter(str(tmp_path / "theirs"), kind))
    assert (tmp_path / "ours").read_bytes() == (tmp_path / "theirs").read_bytes()


@pytest.mark.parametrize(
    "options",
    [
        {"compression_type": "ZLIB", "compression_level": 9},
        {"compression_type": "GZIP", "compression_level": 0},
        {"compression_type": "ZLIB", "window_bits": 9, "mem_level": 1},
        {"compression_type": "GZIP", "compression_strategy": 3},
    ],
)
def test_tensorflow_reads_what_the_options_make(tf, tmp_path, options):
    path = str(tmp_path / "a")
    write(TFRecordWriter(path, TFRecordOptions(**options)))
    kind = options["compression_type"]
    dataset = tf.data.TFRecordDataset(path, kind)
    assert list(dataset.as_numpy_iterator()) == RECORDS
    write(tf.io.TFRecordWriter(path, tf.io.TFRecordOptions(**options)))
    assert list(tf_record_iterator(path, kind)) == RECORDS


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        (None, ""),
        ("", ""),
        ("GZIP", "GZIP"),
        (TFRecordCompressionType.ZLIB, "ZLIB"),
        (TFRecordCompressionType.NONE, ""),
        (TFRecordOptions("GZIP"), "GZIP"),
    ],
)
def test_forms_of_the_compression_type(tmp_path, given, kind):
    assert TFRecordOptions.get_compression_type_string(given) == kind
    write(TFRecordWriter(tmp_path / "a", given))
    assert list(tf_record_iterator(tmp_path / "a", kind)) == RECORDS


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"compression_type": "LZO"}, "'LZ4' or 'BZ2', got 'LZO'"),
        ({"compression_level": 10}, "compression_level must be from -1 to 9, got 10"),
        (
            {"compression_type": "ZSTD", "compression_level": 23},
            "compression_level must be from -7 to 22, got 23 for ZSTD",
        ),
        ({"window_bits": 7}, "window_bits must be from 8 to 15, got 7"),
        ({"mem_level": 0}, "mem_level must be from 1 to 9, got 0"),
        ({"compression_strategy": "best"}, "compression_strategy must be one of"),
    ],
)
def test_bad_options(options, message):
    with pytest.raises(InvalidArgumentError, match=message):
        TFRecordOptions(**options)


def test_strategy_by_name():
    assert TFRecordOptions(compression_strategy="rle").compression_strategy == 3
    assert repr(TFRecordOptions("GZIP", mem_level=3)) == (
        "TFRecordOptions(compression_type='GZIP', mem_level=3)"
    )


@pytest.mark.parametrize("kind", ["", "GZIP", "ZLIB"])
def test_flush_makes_records_readable(tmp_path, kind):
    writer = TFRecordWriter(tmp_path / "a", kind)
    assert (tmp_path / "a").exists()
    writer.write(b"here")
    writer.flush()
    first = next(tf_record_iterator(tmp_path / "a", kind))
    writer.close()
    assert first == b"here"


def test_small_output_buffer_drains_while_writing(tmp_path):
    with TFRecordWriter(tmp_path / "a", TFRecordOptions(output_buffer_size=10)) as writer:
        writer.write(b"x" * 20)
        assert (tmp_path / "a").stat().st_size == 36


def test_an_abandoned_writer_leaves_whole_records(tmp_path):
    writer = TFRecordWriter(tmp_path / "a")
    writer.write(b"kept")
    del writer
    assert list(tf_record_iterator(tmp_path / "a")) == [b"kept"]


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk():
    writer = TFRecordWriter("/dev/full")
    writer.write(b"x")
    with pytest.raises(ResourceExhaustedError, match="/dev/full; No space left"):
        writer.flush()
    writer.close()


def test_misuse(tmp_path):
    writer = TFRecordWriter(tmp_path / "a")
    with pytest.raises(TypeError, match="record must be bytes, got int: call Serialize"):
        writer.write(3)
    writer.write("text is UTF-8: é")
    writer.close()
    writer.close()
    for call in (writer.flush, lambda: writer.write(b"")):
        with pytest.raises(FailedPreconditionError, match="closed"):
            call()
    assert list(tf_record_iterator(tmp_path / "a")) == ["text is UTF-8: é".encode()]
    with pytest.raises(NotFoundError):
        TFRecordWriter(tmp_path / "no" / "a")
