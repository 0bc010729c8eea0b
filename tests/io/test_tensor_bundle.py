"""Tensor bundles: what is written is read, TensorFlow agrees, damage is named and bounded."""

import os
import struct
import tracemalloc

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from headrace.io.bundle import reader as tensor_bundle, sorted_table, writer as bundle_writer
from headrace.io.bundle.slices import slice_key
from headrace.io.bundle.sorted_table import read_table, varint, write_table
from headrace.ops.errors import DataLossError, NotFoundError, UnimplementedError
from headrace.ops.string_array import StringArray

DTYPES = [
    "float32", "float64", "int32", "uint8", "int16", "int8", "complex64", "int64", "bool",
    "bfloat16", "uint16", "complex128", "float16", "uint32", "uint64",
]  # fmt: skip


def strings(values):
    return StringArray.from_values(np.array(values, object))


def sample():
    rng = np.random.default_rng(0)
    tensors = {}
    for i, name in enumerate(DTYPES):
        kind = np.dtype(ml_dtypes.bfloat16 if name == "bfloat16" else name)
        tensors[f"t/{name}"] = rng.integers(0, 2, (3, i % 4)).astype(kind)
    tensors["scalar"] = np.float32(2.5).reshape(())
    tensors["strings"] = strings([[b"a", b""], [b"x" * 300, "é".encode()]])
    tensors["none"] = StringArray.empty((0, 3))
    tensors["one"] = StringArray.from_values(np.array(b"one", object))
    tensors["turned"] = np.arange(12.0).reshape(3, 4).T
    for i in range(2000):  # several blocks of the index
        tensors[f"many/{i}/value"] = np.array([i])
    return tensors


def same(a, b):
    if isinstance(a, StringArray):
        return a.shape == b.shape and np.array_equal(a.numpy(), b.numpy())
    return a.dtype == b.dtype and np.array_equal(a, b)


@pytest.fixture
def bundle(tmp_path):
    prefix = str(tmp_path / "b")
    bundle_writer.write_bundle(prefix, sample())
    return prefix


def test_what_is_written_is_read(bundle, tmp_path):
    wanted = sample()
    assert {p.name for p in tmp_path.iterdir()} == {"b.index", "b.data-00000-of-00001"}
    with tensor_bundle.BundleReader(bundle) as reader:
        assert reader.names() == sorted(wanted)
        for name, value in wanted.items():
            assert same(value, reader.read(name)), name
            assert reader.shape(name) == list(value.shape)
        with pytest.raises(NotFoundError, match="Key nope not found in checkpoint"):
            reader.read("nope")


def test_a_bundle_written_over_another_never_mixes_with_it(tmp_path, monkeypatch):
    prefix = str(tmp_path / "b")
    bundle_writer.write_bundle(prefix, {"v": np.array([1.0])})

    def killed(items):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:  # after the data, before the index
        patch.setattr(bundle_writer, "write_table", killed)
        with pytest.raises(KeyboardInterrupt):
            bundle_writer.write_bundle(prefix, {"v": np.array([2.0])})
    with tensor_bundle.BundleReader(prefix) as reader:
        assert reader.read("v") == [1.0]
    for value in (3.0, 4.0):
        bundle_writer.write_bundle(prefix, {"v": np.array([value])})
        with tensor_bundle.BundleReader(prefix) as reader:
            assert reader.read("v") == [value]
        assert len(list(tmp_path.iterdir())) == 2
    bundle_writer.delete_bundle(prefix)
    bundle_writer.delete_bundle(prefix)
    assert not list(tmp_path.iterdir())


def test_a_failed_write_leaves_nothing(tmp_path):
    with pytest.raises(TypeError):
        bundle_writer.write_bundle(
            str(tmp_path / "b"), {"a": np.ones(3), "b": np.array(["2020"], "datetime64")}
        )
    assert not list(tmp_path.iterdir())


@pytest.mark.peers
def test_tensorflow_reads_ours(bundle):
    tf = pytest.importorskip("tensorflow")
    reader = tf.train.load_checkpoint(bundle)
    for name, value in sample().items():
        found = reader.get_tensor(name)
        if isinstance(value, StringArray):
            value = value.numpy() if value.ndim else value.item()
        assert np.array_equal(found, value), name


@pytest.mark.peers
def test_tensorflows_are_read_also_in_parts_and_several_files(tmp_path):
    tf = pytest.importorskip("tensorflow")
    whole = np.arange(1200.0, dtype=np.float32).reshape(300, 4)
    prefixes = []
    for i in range(2):
        prefixes.append(str(tmp_path / f"part{i}"))
        tf.raw_ops.SaveV2(
            prefix=prefixes[-1],
            tensor_names=["w", f"s{i}"],
            shape_and_slices=[f"300 4 {i * 150},150:0,4", ""],
            tensors=[whole[i * 150 : (i + 1) * 150], tf.constant(["a", "", "xx" * 200])],
        )
    merged = str(tmp_path / "merged")
    tf.raw_ops.MergeV2Checkpoints(checkpoint_prefixes=prefixes, destination_prefix=merged)
    assert os.path.exists(f"{merged}.data-00001-of-00002")
    with tensor_bundle.BundleReader(merged) as reader:
        assert reader.names() == ["s0", "s1", "w"]
        assert np.array_equal(reader.read("w"), whole)
        assert reader.read("s1").numpy().tolist() == [b"a", b"", b"xx" * 200]
    os.remove(f"{merged}.data-00001-of-00002")
    with tensor_bundle.BundleReader(merged) as reader:
        with pytest.raises(
            NotFoundError, match=r"data-00001-of-00002: this data file .* missing"
        ):
            reader.read("s1")
        reader.read("s0")


@pytest.mark.parametrize(
    ("box", "wanted"),
    [
        ([(0, 2)], "0077000101018082"),
        ([(63, 64)], "00770001010 1bf c040".replace(" ", "")),
        ([(0, -1), (8191, 8192)], "0077000101 0280 7f dfff e02000".replace(" ", "")),
    ],
)
def test_names_of_parts(box, wanted):
    assert slice_key("w", box).hex() == wanted


# -- damage -----------------------------------------------------------------------------------


def damaged(prefix, name, change):
    path = f"{prefix}{name}"
    with open(path, "rb") as file:
        data = bytearray(file.read())
    changed = change(data)
    data = data if changed is None else changed
    with open(path, "wb") as file:
        file.write(data)


def flip(data):
    data[len(data) // 2] ^= 1


@pytest.mark.parametrize(
    ("name", "change", "said"),
    [
        (".index", flip, r"b\.index: the checkpoint's index file is damaged: the CRC of"),
        (
            ".index",
            lambda d: d[: len(d) // 2],
            r"b\.index: not a checkpoint's index file, or cut",
        ),
        (".index", lambda d: b"", "not a checkpoint's index file"),
        (".index", lambda d: b"hello" * 30, "not a checkpoint's index file"),
        (
            ".data-00000-of-00001",
            lambda d: d[: len(d) // 2],
            r"of-00001: the tensor .* cut short",
        ),
        (".data-00000-of-00001", lambda d: b"", "cut short, or belongs to another checkpoint"),
        (".data-00000-of-00001", flip, r"of-00001: the CRC of the tensor 'many/"),
    ],
)
def test_a_damaged_file_is_named(bundle, name, change, said):
    damaged(bundle, name, change)
    with pytest.raises(DataLossError, match=said):
        with tensor_bundle.BundleReader(bundle) as reader:
            for each in reader.names():
                reader.read(each)


def index_with(prefix, **fields):
    """A bundle whose only entry claims what `fields` say."""
    entry = tensor_bundle.BundleEntry(dtype=1, size=4)
    entry.shape.SetInParent()
    for key, value in fields.items():
        if key == "dims":
            for n in value:
                entry.shape.dim.add(size=n)
        else:
            setattr(entry, key, value)
    header = tensor_bundle.BundleHeader(num_shards=1)
    items = [(b"", header.SerializeToString()), (b"v", entry.SerializeToString())]
    with open(f"{prefix}.index", "wb") as file:
        file.write(write_table(items))
    with open(f"{prefix}.data-00000-of-00001", "wb") as file:
        file.write(b"\0" * 64)


@pytest.mark.parametrize(
    ("fields", "kind", "said"),
    [
        ({"size": 1 << 50}, DataLossError, "but the file has 64"),
        ({"offset": -8}, DataLossError, "should be in bytes -8"),
        (
            {"dims": [1 << 40, 1 << 40]},
            DataLossError,
            "should have .* bytes, but the index says 4",
        ),
        ({"dims": [-1]}, DataLossError, r"'v' has the shape \[-1\]"),
        ({"dims": [1] * 300}, DataLossError, "'v' has the shape"),
        ({"dims": [1 << 40], "dtype": 7}, DataLossError, "strings of the tensor 'v' cannot be"),
        ({"dtype": 7, "size": 64, "dims": [64]}, DataLossError, "lengths of the strings"),
        ({"dtype": 99}, UnimplementedError, "data type number 99"),
        ({"dtype": 21}, UnimplementedError, "is a variant, which only TensorFlow can read"),
        ({"shard_id": 3}, DataLossError, "should be in data file 3 of 1"),
    ],
)
def test_an_index_that_lies_is_found_out_without_much_memory(tmp_path, fields, kind, said):
    prefix = str(tmp_path / "lie")
    index_with(prefix, **fields)
    tracemalloc.start()
    try:
        with pytest.raises(kind, match=said), tensor_bundle.BundleReader(prefix) as reader:
            reader.read("v")
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()


def test_keys_that_grow_without_end_are_refused(monkeypatch):
    monkeypatch.setattr(sorted_table, "_WHOLE_EVERY", 1 << 30)
    monkeypatch.setattr(sorted_table, "_BLOCK_BYTES", 1 << 30)
    long = b"k" * 30_000
    table = write_table((long + struct.pack(">I", i), b"") for i in range(300))
    assert len(table) < 70_000
    with pytest.raises(DataLossError, match="far more bytes than the file has"):
        list(read_table(table, "x.index"))


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.data())
def test_no_bytes_crash_the_reader(noise, data):
    table = bytearray(write_table([(b"a", b"1" * 50), (b"ab", b"2")]))
    at = data.draw(st.integers(0, len(table)))
    for hostile in (noise, bytes(table[:at] + noise), bytes(table[:at] + noise + table[at:])):
        try:
            list(read_table(hostile, "x.index"))
        except (DataLossError, UnimplementedError):
            pass


def test_varints():
    assert [varint(n).hex() for n in (0, 127, 128, 1 << 32)] == [
        "00",
        "7f",
        "8001",
        "8080808010",
    ]
