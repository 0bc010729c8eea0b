"""keras.utils: datasets of files and arrays, splits, padding, files, drawings."""

import hashlib
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import utils
from headrace.ops.errors import DataLossError


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").utils


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        for i in range(5):
            size = (int(rng.integers(8, 20)), 12, 3)
            pixels = rng.integers(0, 255, size).astype("uint8")
            file = hr.image.encode_png(pixels).numpy()
            (tmp_path / name / f"{i}.png").write_bytes(file)
            (tmp_path / name / f"{i}.txt").write_text(f"{name} number {i}")
    return tmp_path


def arrays(dataset):
    return [[np.asarray(a) for a in (e if isinstance(e, tuple) else (e,))] for e in dataset]


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"label_mode": "categorical", "color_mode": "grayscale"},
        {"label_mode": "binary", "crop_to_aspect_ratio": True},
        {"label_mode": None, "pad_to_aspect_ratio": True},
        {"validation_split": 0.3, "subset": "validation", "seed": 4},
        {
            "validation_split": 0.3,
            "subset": "training",
            "seed": 4,
            "class_names": ["dog", "cat"],
        },
    ],
    ids=str,
)
def test_images_of_a_folder_are_keras(peers, folder, kwargs):
    shared = {"image_size": (10, 9), "batch_size": 4, "verbose": False, **kwargs}
    for shuffle in (False, True):
        ours = utils.image_dataset_from_directory(folder, shuffle=shuffle, **shared)
        peer = peers.image_dataset_from_directory(str(folder), shuffle=shuffle, **shared)
        assert ours.class_names == peer.class_names
        if "seed" in kwargs or not shuffle:
            assert ours.file_paths == peer.file_paths
        if shuffle:
            continue
        for got, want in zip(arrays(ours), arrays(peer), strict=True):
            for a, b in zip(got, want, strict=True):
                assert a.dtype == b.dtype
                np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-2)


@pytest.mark.peers
def test_texts_of_a_folder_are_keras(peers, folder):
    for kwargs in ({}, {"max_length": 5, "labels": None}, {"labels": list(range(10))}):
        shared = {"shuffle": False, "verbose": False, "batch_size": 3, **kwargs}
        ours = utils.text_dataset_from_directory(folder, **shared)
        where = str(folder)
        peer = peers.text_dataset_from_directory(where, **shared)
        for got, want in zip(arrays(ours), arrays(peer), strict=True):
            for a, b in zip(got, want, strict=True):
                assert a.tolist() == b.tolist()


def test_both_subsets_part_the_files(folder):
    parts = utils.image_dataset_from_directory(
        folder, validation_split=0.4, subset="both", seed=1, verbose=False
    )
    left, right = (set(part.file_paths) for part in parts)
    assert len(left) == 6 and len(right) == 4 and not left & right


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"sequence_stride": 2, "sampling_rate": 2},
        {"batch_size": None},
        {"start_index": 2, "end_index": 15},
    ],
    ids=str,
)
def test_windows_of_a_series_are_keras(peers, kwargs):
    data = np.arange(40, dtype="float32").reshape(20, 2)
    for targets in (None, np.arange(20) * 10):
        args = (data, targets, 3)
        ours = utils.timeseries_dataset_from_array(*args, **kwargs)
        peer = peers.timeseries_dataset_from_array(*args, **kwargs)
        for got, want in zip(arrays(ours), arrays(peer), strict=True):
            for a, b in zip(got, want, strict=True):
                np.testing.assert_array_equal(a, b)
    with pytest.raises(ValueError, match="sampling_rate"):
        utils.timeseries_dataset_from_array(data, None, 3, sampling_rate=0)


def test_splits():
    data = np.arange(10)
    for sizes, want in (((0.7, None), (7, 3)), ((None, 2), (8, 2)), ((3, 4), (3, 4))):
        left, right = utils.split_dataset(data, *sizes)
        assert len(list(left)) == want[0] and len(list(right)) == want[1]
        assert int(next(iter(right))) == 10 - want[1]
    pairs = hr.data.Dataset.from_tensor_slices((data, data * 2)).batch(4)
    left, right = utils.split_dataset(pairs, 0.8, shuffle=True, seed=3)
    seen = [int(v) for part in (left, right) for batch in part for v in batch[0]]
    assert sorted(seen) == list(range(10))
    assert next(iter(left))[0].shape == (4,)
    for bad in ((None, None), (0.9, 0.9), (20, None), (0, None)):
        with pytest.raises(ValueError, match="size"):
            utils.split_dataset(data, *bad)


@pytest.mark.peers
@pytest.mark.parametrize("padding", ["pre", "post"])
@pytest.mark.parametrize("truncating", ["pre", "post"])
def test_padding_is_keras(peers, padding, truncating):
    rows = [[1], [2, 3, 4], [], [5, 6]]
    for kwargs in ({}, {"maxlen": 2}, {"maxlen": 5, "value": -1.0, "dtype": "float32"}):
        kwargs = {**kwargs, "padding": padding, "truncating": truncating}
        got, want = utils.pad_sequences(rows, **kwargs), peers.pad_sequences(rows, **kwargs)
        assert got.dtype == want.dtype
        np.testing.assert_array_equal(got, want)
    nested = [[[1, 2]], [[3, 4], [5, 6]]]
    np.testing.assert_array_equal(utils.pad_sequences(nested), peers.pad_sequences(nested))
    with pytest.raises(ValueError, match="iterable"):
        utils.pad_sequences([1, 2])


def test_files_are_fetched_once_and_checked(tmp_path):
    source = tmp_path / "a.txt"
    source.write_text("one")
    digest = hashlib.sha256(b"one").hexdigest()
    kwargs = {"origin": source.as_uri(), "cache_dir": tmp_path / "cache"}
    path = utils.get_file(file_hash=digest, **kwargs)
    source.write_text("two")
    assert Path(utils.get_file(**kwargs)).read_text() == "one"
    assert Path(utils.get_file(force_download=True, **kwargs)).read_text() == "two"
    with pytest.raises(DataLossError, match="hash"):
        utils.get_file(file_hash="0" * 64, **kwargs)
    assert path.endswith("datasets/a.txt")
    with pytest.raises(ValueError, match="origin"):
        utils.get_file("x")


def test_models_are_drawn(tmp_path):
    a = keras.Input((4,), name="a")
    b = keras.layers.Dense(3, activation="relu", name="b")(a)
    model = keras.Model(
        a, keras.layers.Add(name="sum")([b, keras.layers.Dense(3, name="c")(a)])
    )
    text = utils.model_to_dot(model, show_shapes=True, show_layer_activations=True)
    assert text.startswith("digraph") and text.count("->") == 4 and "relu" in text
    for name in ("m.svg", "m.dot"):
        drawn = Path(utils.plot_model(model, tmp_path / name, show_shapes=True)).read_text()
        assert "sum (Add)" in drawn
    stack = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1), keras.layers.Dense(1)])
    assert utils.model_to_dot(stack).count("->") == 1


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({"labels": 3}, "labels"),
        ({"label_mode": "what"}, "label_mode"),
        ({"color_mode": "what"}, "color_mode"),
        ({"validation_split": 0.5}, "subset"),
        ({"validation_split": 0.5, "subset": "training"}, "seed"),
        ({"class_names": ["bird"]}, "class_names"),
        ({"labels": [1, 2]}, "lengths"),
    ],
)
def test_bad_arguments_are_told(folder, kwargs, message):
    with pytest.raises(ValueError, match=message):
        utils.image_dataset_from_directory(folder, verbose=False, **kwargs)
