"""Strings of tensors, base64, compression, CSV, JSON, files: against TensorFlow."""

import gzip
import zlib

import numpy as np
import pytest

import headrace as hr

ARRAYS = [
    np.arange(6.0).reshape(2, 3).astype(np.float32),
    np.array(3, np.int64),
    np.zeros((0, 2), np.int8),
    np.array([True, False]),
    np.array([1 + 2j], np.complex64),
    np.array([[b"ab", b""], [b"\x00c", b"d"]], object),
    np.array([1.5, 2.5], np.float16),
]


@pytest.mark.parametrize("array", ARRAYS, ids=[f"{a.dtype}{list(a.shape)}" for a in ARRAYS])
def test_tensors_as_strings_are_tensorflows(tf, array):
    ours, theirs = hr.io.serialize_tensor(array), tf.io.serialize_tensor(array)
    assert ours.numpy() == theirs.numpy()
    back = hr.io.parse_tensor(theirs.numpy(), hr.constant(array).dtype)
    np.testing.assert_array_equal(back.numpy(), array)
    assert back.numpy().dtype == array.dtype


@pytest.mark.parametrize("array", ARRAYS, ids=[f"{a.dtype}{list(a.shape)}" for a in ARRAYS])
def test_tensor_protos_are_tensorflows(tf, array):
    ours, theirs = hr.make_tensor_proto(array), tf.make_tensor_proto(array)
    assert ours.SerializeToString() == theirs.SerializeToString()
    np.testing.assert_array_equal(hr.make_ndarray(theirs), array)
    np.testing.assert_array_equal(hr.make_ndarray(ours), array)
    same = hr.make_tensor_proto(2.0, shape=[3], allow_broadcast=True)
    assert hr.make_ndarray(same).tolist() == [2, 2, 2]


def test_parse_errors():
    with pytest.raises(hr.errors.InvalidArgumentError, match="Could not parse"):
        hr.io.parse_tensor(b"\xff\xff", hr.int32)
    with pytest.raises(hr.errors.InvalidArgumentError, match="Type mismatch"):
        hr.io.parse_tensor(hr.io.serialize_tensor([1]), hr.float32)


@pytest.mark.parametrize("kind", ["numbers", "strings"])
def test_sparse_strings_are_tensorflows(tf, kind):
    values = np.array([1, 2, 3], np.int32) if kind == "numbers" else ["a", "bc", ""]
    places, shape = [[0, 1], [2, 0], [2, 3]], [3, 4]
    found = {}
    for lib in (hr, tf):
        sp = lib.SparseTensor(places, values, shape)
        one, many = lib.io.serialize_sparse(sp), lib.io.serialize_many_sparse(sp)
        found[lib] = one.numpy().tolist(), many.numpy().tolist()
        back = lib.io.deserialize_many_sparse(many, sp.dtype)
        assert back.indices.numpy().tolist() == places
        assert back.dense_shape.numpy().tolist() == shape
        assert back.values.numpy().tolist() == sp.values.numpy().tolist()
    assert found[hr] == found[tf]


@pytest.mark.parametrize("pad", [True, False])
def test_base64_is_tensorflows(tf, pad):
    values = [b"", b"a", b"ab", b"abc", bytes(range(256))]
    ours, theirs = (lib.io.encode_base64(values, pad=pad).numpy() for lib in (hr, tf))
    assert ours.tolist() == theirs.tolist()
    assert hr.io.decode_base64(ours).numpy().tolist() == values
    for bad in (b"a", b"+/+/", b"ab=c", b"!!!!"):
        with pytest.raises(hr.errors.InvalidArgumentError, match="base64"):
            hr.io.decode_base64(bad)
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.io.decode_base64(bad)


def test_decode_compressed():
    values = [b"hello" * 50, b"x"]
    for kind, pack in (("GZIP", gzip.compress), ("ZLIB", zlib.compress), ("", bytes)):
        found = hr.io.decode_compressed([pack(v) for v in values], kind)
        assert found.numpy().tolist() == values
    with pytest.raises(hr.errors.DataLossError):
        hr.io.decode_compressed([b"junk"], "GZIP")
    with pytest.raises(hr.errors.InvalidArgumentError, match="compressions"):
        hr.io.decode_compressed([b""], "LZ4")


def test_decode_csv_is_tensorflows(tf):
    lines = [["1,2.5,x", '2,,"a,""b"'], [",1e3,", "-7,nan,é"]]
    for more in ({}, {"na_value": "nan"}, {"select_cols": [0, 2, 3][:2]}):
        defaults = [[9], [0.5], [""]] if "select_cols" not in more else [[9], [""]]
        ours, theirs = (lib.io.decode_csv(lines, defaults, **more) for lib in (hr, tf))
        for got, want in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(got.numpy(), want.numpy())
            assert got.numpy().dtype == want.numpy().dtype
    for line, text in (("1", "Expect 2"), ("x,1", "not a valid int32"), (",1", "required")):
        for lib in (hr, tf):
            with pytest.raises(lib.errors.InvalidArgumentError, match=text):
                lib.io.decode_csv([line], [np.array([], np.int32), [1.0]])


def test_decode_json_example(tf):
    text = '{"features": {"feature": {"a": {"int64List": {"value": ["1", "2"]}}}}}'
    ours, theirs = (lib.io.decode_json_example(text).numpy() for lib in (hr, tf))
    assert hr.train.Example.FromString(ours) == hr.train.Example.FromString(theirs)
    assert hr.train.Example.FromString(ours).features.feature["a"].int64_list.value[1] == 2
    with pytest.raises(hr.errors.InvalidArgumentError, match="JSON"):
        hr.io.decode_json_example("{")


def test_files_as_operations(tmp_path):
    path = str(tmp_path / "deep" / "a.txt")
    hr.io.write_file(path, b"\x00hi")
    assert hr.io.read_file(path).numpy() == b"\x00hi"
    hr.io.write_file(str(tmp_path / "deep" / "b.txt"), "x")
    found = hr.io.matching_files(str(tmp_path / "deep" / "*.txt")).numpy().tolist()
    assert [f.decode().rpartition("/")[2] for f in found] == ["a.txt", "b.txt"]
    assert hr.io.match_filenames_once(str(tmp_path / "*" / "a*")).numpy().tolist() == found[:1]
    assert hr.io.matching_files(str(tmp_path / "none*")).numpy().tolist() == []
    with pytest.raises(hr.errors.NotFoundError):
        hr.io.read_file(path + "x")

    @hr.function
    def read(p):
        return hr.io.read_file(p)

    assert read(path).numpy() == b"\x00hi"
