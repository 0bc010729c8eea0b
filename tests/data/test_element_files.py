"""Element files give back exactly what was written; damage is noticed wherever it is."""

import os

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset
from headrace.data.storage.element_file import ElementFile, ElementWriter
from headrace.data.storage.spec_json import dump_state, load_state, spec_from_json, spec_to_json
from headrace.ops import nest

CODECS = ["", "GZIP", "ZLIB", "SNAPPY", "ZSTD", "LZ4"]


def ragged_generator():
    for i in range(9):
        yield {"a": [i] * (i % 4), "s": ["x" * k for k in range(i % 3)]}


def sparse_rows():
    dense = np.array([[0, 1, 0], [2, 0, 3], [0, 0, 0], [4, 5, 6]])
    indices = np.argwhere(dense)
    return hr.SparseTensor(indices, dense[dense != 0], dense.shape)


KINDS = {
    "scalars": lambda: Dataset.range(100),
    "matrices": lambda: Dataset.from_tensor_slices(
        np.arange(60, dtype=np.float32).reshape(5, 4, 3)),
    "bools": lambda: Dataset.from_tensor_slices([True, False, True]),
    "halves": lambda: Dataset.range(5).map(lambda x: hr.cast(x, hr.bfloat16)),
    "complex": lambda: Dataset.from_tensor_slices(np.array([1j, 2], np.complex64)),
    "strings": lambda: Dataset.from_tensor_slices(["", "a", "\0b", "é"]),
    "string_matrices": lambda: Dataset.from_tensor_slices([["a", "bc"], ["", "d"]]),
    "nested": lambda: Dataset.range(7).map(
        lambda x: {"a": (x, x + 1), "b": {"c": hr.cast(x, "float64")}}),
    "varying": lambda: Dataset.from_generator(ragged_generator, output_signature={
        "a": hr.TensorSpec([None], hr.int64), "s": hr.TensorSpec([None], hr.string)}),
    "ranks": lambda: Dataset.from_generator(lambda: iter([1, [1, 2], [[1], [2]]]),
        output_signature=hr.TensorSpec(None, hr.int32)),
    "ragged": lambda: Dataset.range(11).map(lambda x: hr.range(x % 4)).ragged_batch(3),
    "ragged_strings": lambda: Dataset.from_tensors(
        hr.ragged.constant([["a"], [], ["b", "cc"]])),
    "sparse": lambda: Dataset.from_tensor_slices(sparse_rows()),
    "sparse_whole": lambda: Dataset.from_tensors((sparse_rows(), 1)),
    "empty": lambda: Dataset.range(0),
    "empty_rows": lambda: Dataset.from_tensor_slices(np.zeros((3, 0), np.int64)),
    "no_components": lambda: Dataset.range(3).map(lambda x: ()),
    "batches": lambda: Dataset.range(10).batch(4),
}  # fmt: skip


def written(dataset, path, codec="", rows=3):
    writer = ElementWriter(str(path), dataset._node.structure, codec, {"note": [1]})
    with dataset.raw_iterator() as iterator:
        while (block := iterator.next_block(rows)) is not None:
            writer.write(block)
            writer.flush()
    writer.commit()
    return ElementFile(str(path))


def values(element):
    out = []
    for leaf in nest.flatten(element):
        parts = leaf._components() if hasattr(leaf, "_components") else [leaf]
        out += [
            (p.dtype.name, p.shape.as_list(), np.asarray(p.numpy()).tolist()) for p in parts
        ]
    return out


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("codec", CODECS)
def test_what_is_written_comes_back(tmp_path, kind, codec):
    dataset = KINDS[kind]()
    file = written(dataset, tmp_path / "f.elements", codec)
    assert file.extra == {"note": [1]}
    assert file.spec == dataset.element_spec
    pack = dataset._node.structure.pack
    from headrace.data.values import from_raw

    rows = [
        pack([from_raw(v) for v in row])
        for n in range(file.num_frames)
        for row in file.block(n).rows()
    ]
    expected = list(dataset)
    assert file.num_rows == len(rows) == len(expected)
    assert list(map(values, rows)) == list(map(values, expected))
    file.close()


def test_compression_makes_files_smaller(tmp_path):
    dataset = Dataset.range(10_000)
    sizes = {}
    for codec in CODECS:
        written(dataset, tmp_path / "f", codec, 10_000).close()
        sizes[codec] = os.path.getsize(tmp_path / "f")
    assert all(sizes[c] < sizes[""] for c in CODECS[1:]), sizes


@pytest.mark.parametrize("codec", ["", "ZSTD"])
def test_every_damaged_byte_is_noticed(tmp_path, codec):
    path = tmp_path / "f.elements"
    written(Dataset.from_tensor_slices((np.arange(6), list("abcdef"))), path, codec).close()
    good = path.read_bytes()
    for at in range(len(good)):
        path.write_bytes(good[:at] + bytes([good[at] ^ 0x55]) + good[at + 1 :])
        with pytest.raises((hr.errors.DataLossError, hr.errors.InvalidArgumentError)) as caught:
            file = ElementFile(str(path))
            for n in range(file.num_frames):
                file.block(n)
        assert str(path) in str(caught.value)


def test_every_cut_is_noticed(tmp_path):
    path = tmp_path / "f.elements"
    written(Dataset.range(6), path).close()
    good = path.read_bytes()
    for length in range(len(good)):
        path.write_bytes(good[:length])
        with pytest.raises(hr.errors.DataLossError, match="damaged at byte"):
            ElementFile(str(path))


def test_a_file_cut_while_it_is_read_is_an_error_not_a_crash(tmp_path):
    path = tmp_path / "f.elements"
    file = written(Dataset.range(1000), path, rows=100)
    file.block(0)
    os.truncate(path, 2000)
    with pytest.raises(hr.errors.DataLossError, match="ends too early"):
        for n in range(file.num_frames):
            file.block(n)


def test_another_format_version_is_refused(tmp_path):
    path = tmp_path / "f.elements"
    written(Dataset.range(6), path).close()
    path.write_bytes(b"HRELEM99" + path.read_bytes()[8:])
    with pytest.raises(hr.errors.InvalidArgumentError, match="version 99"):
        ElementFile(str(path))


def test_foreign_files_are_refused(tmp_path):
    path = tmp_path / "f.elements"
    path.write_bytes(b"PK\3\4 something else entirely" * 10)
    with pytest.raises(hr.errors.DataLossError, match="no file of elements"):
        ElementFile(str(path))


def test_a_file_appears_only_when_it_is_complete(tmp_path):
    writer = ElementWriter(str(tmp_path / "f"), Dataset.range(1)._node.structure)
    with Dataset.range(5).raw_iterator() as iterator:
        writer.write(iterator.next_block(5))
    writer.flush()
    assert not (tmp_path / "f").exists()
    writer.abort()
    assert os.listdir(tmp_path) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_a_clear_error(tmp_path):
    os.symlink("/dev/full", tmp_path / "f.partial")
    with pytest.raises(hr.errors.ResourceExhaustedError, match=r"f\.partial.*free some space"):
        ElementWriter(str(tmp_path / "f"), Dataset.range(1)._node.structure)


def test_specs_survive_json():
    import collections

    Point = collections.namedtuple("Point", "x y")
    spec = {
        "a": (hr.TensorSpec([None, 2], hr.float32), hr.SparseTensorSpec([3, None], hr.string)),
        "b": Point(hr.RaggedTensorSpec([None, None], hr.int32), hr.TensorSpec(None, hr.bool)),
    }
    back = spec_from_json(spec_to_json(spec))
    assert nest.flatten(back) == nest.flatten(spec)
    assert back["b"]._fields == ("x", "y")
    with pytest.raises(TypeError, match="cannot be written to files"):
        spec_to_json(Dataset.range(3).window(2).element_spec)


def test_states_survive_json():
    state = {"a": [1, b"\xff", None, {"b": (1.5, True)}], "$c": "x", "n": np.int64(3)}
    assert load_state(dump_state(state)) == {**state, "n": 3}
    assert dump_state({"x": 1, "y": 2}) == dump_state({"y": 2, "x": 1})
