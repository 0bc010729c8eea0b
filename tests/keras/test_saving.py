"""Weights files and model files: round trips, layout, atomicity, bad files."""

import json
import zipfile

import h5py
import numpy as np
import pytest

import headrace as hr
from headrace import keras

X = np.random.default_rng(1).normal(size=(8, 4)).astype("float32")
Y = X[:, :2]


def stack():
    return keras.Sequential(
        [
            keras.Input((4,)),
            keras.layers.Dense(3, activation="relu"),
            keras.layers.BatchNormalization(),
            keras.layers.Dropout(0.0),
            keras.Sequential([keras.layers.Dense(2)]),
        ]
    )


def graph():
    a = keras.Input((4,), name="a")
    h = keras.layers.Dense(3, name="h")(a)
    out = keras.layers.Concatenate()([keras.layers.Dense(1)(h), keras.layers.Dense(1)(h)])
    return keras.Model(a, out)


class Net(keras.Model):
    def __init__(self):
        super().__init__()
        self.enc = keras.layers.Dense(3)
        self.blocks = [keras.layers.Dense(3), keras.layers.Dense(3)]
        self.heads = {"main": keras.layers.Dense(2)}
        self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

    def call(self, x):
        x = self.enc(x)
        for block in self.blocks:
            x = block(x)
        return self.heads["main"](x) * self.scale


def datasets(path):
    found = {}
    with h5py.File(path) as file:
        file.visititems(
            lambda name, obj: found.update({name: obj.shape}) if hasattr(obj, "shape") else None
        )
    return found


def trained(make):
    model = make()
    model.compile("adam", "mse")
    model.fit(X, Y, epochs=2, verbose=0)
    return model


@pytest.mark.parametrize("make", [stack, graph, Net])
def test_weights_round_trip(make, tmp_path):
    path = tmp_path / "m.weights.h5"
    model = trained(make)
    model.save_weights(path)
    other = make()
    other(X)
    other.load_weights(path)
    np.testing.assert_array_equal(other(X), model(X))


@pytest.mark.parametrize("make", [stack, graph, Net])
def test_optimizer_goes_on_where_it_was(make, tmp_path):
    path = tmp_path / "m.weights.h5"
    model = trained(make)
    model.layers[2].trainable = True
    model.save_weights(path)
    other = make()
    other(X)
    other.compile("adam", "mse")
    other.load_weights(path)
    assert int(other.optimizer.iterations) == 2
    for m in (model, other):
        m.train_on_batch(X, Y)
    for a, b in zip(model.trainable_weights, other.trainable_weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_layout_of_sequential(tmp_path):
    path = tmp_path / "m.weights.h5"
    trained(stack).save_weights(path)
    found = datasets(path)
    layers = {k: v for k, v in found.items() if k.startswith("layers")}
    assert layers == {
        "layers/dense/vars/0": (4, 3),
        "layers/dense/vars/1": (3,),
        "layers/batch_normalization/vars/0": (3,),
        "layers/batch_normalization/vars/1": (3,),
        "layers/batch_normalization/vars/2": (3,),
        "layers/batch_normalization/vars/3": (3,),
        "layers/sequential/layers/dense/vars/0": (3, 2),
        "layers/sequential/layers/dense/vars/1": (2,),
    }
    assert found["optimizer/vars/0"] == () and len(found) - len(layers) == 2 + 2 * 6


def test_layout_of_subclassed(tmp_path):
    path = tmp_path / "m.weights.h5"
    model = Net()
    model(X)
    model.save_weights(path)
    assert sorted(datasets(path)) == [
        "blocks/dense/vars/0", "blocks/dense/vars/1", "blocks/dense_1/vars/0",
        "blocks/dense_1/vars/1", "enc/vars/0", "enc/vars/1", "heads/dense/vars/0",
        "heads/dense/vars/1", "vars/0",
    ]  # fmt: skip


def test_file_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    path = tmp_path / "m.weights.h5"
    model = graph()
    model.save_weights(path)
    before = path.read_bytes()
    monkeypatch.setattr(type(model.layers[-1]), "save_own_variables", lambda self, store: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        model.save_weights(path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]


def test_overwrite(tmp_path):
    path = tmp_path / "m.weights.h5"
    model = graph()
    model.save_weights(path)
    with pytest.raises(FileExistsError, match="overwrite=True"):
        model.save_weights(path, overwrite=False)


def test_other_architecture(tmp_path):
    path = tmp_path / "m.weights.h5"
    graph().save_weights(path)
    with pytest.raises(ValueError, match="could not be loaded"):
        stack().load_weights(path)


def test_other_shape_names_both(tmp_path):
    path = tmp_path / "m.weights.h5"
    keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)]).save_weights(path)
    other = keras.Sequential([keras.Input((5,)), keras.layers.Dense(3, name="wide")])
    with pytest.raises(ValueError, match=r"variable.shape=\(5, 3\).*\(4, 3\).*'wide'"):
        other.load_weights(path)
    with pytest.warns(UserWarning, match="Skipping object"):
        other.load_weights(path, skip_mismatch=True)


@pytest.mark.parametrize(
    ("name", "content", "kind", "message"),
    [
        ("none.weights.h5", None, FileNotFoundError, "File not found"),
        (
            "cut.weights.h5",
            b"\x89HDF\r\n\x1a\n123",
            hr.errors.DataLossError,
            "no readable HDF5",
        ),
        ("text.weights.h5", b"hello", hr.errors.DataLossError, "no readable HDF5"),
        ("w.npz", b"", ValueError, r"must end in `.weights.h5`"),
    ],
)
def test_bad_weights_files(tmp_path, name, content, kind, message):
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(kind, match=message):
        graph().load_weights(path)


def test_unbuilt_model():
    with pytest.raises(ValueError, match="not been built"):
        keras.Sequential([keras.layers.Dense(2)]).save_weights("x.weights.h5")


@pytest.mark.parametrize("make", [stack, graph])
def test_model_round_trip(make, tmp_path):
    path = tmp_path / "m.keras"
    model = trained(make)
    model.save(path)
    other = keras.models.load_model(path)
    np.testing.assert_array_equal(other(X), model(X))
    assert other.optimizer.get_config() == model.optimizer.get_config()
    assert other.evaluate(X, Y, verbose=0) == model.evaluate(X, Y, verbose=0)
    assert other.train_on_batch(X, Y) == model.train_on_batch(X, Y)
    with zipfile.ZipFile(path) as archive:
        assert archive.namelist() == ["metadata.json", "config.json", "model.weights.h5"]
        assert json.loads(archive.read("config.json"))["class_name"] == type(model).__name__


@keras.utils.register_keras_serializable("tests")
class Doubler(keras.Layer):
    def __init__(self, times=2, **kwargs):
        super().__init__(**kwargs)
        self.times = times

    def call(self, x):
        return x * float(self.times)

    def get_config(self):
        return {**super().get_config(), "times": self.times}


def test_custom_layers_are_found_by_their_registration(tmp_path):
    path = tmp_path / "m.keras"
    model = keras.Sequential([keras.Input((4,)), Doubler(3)])
    model.save(path)
    np.testing.assert_array_equal(keras.models.load_model(path)(X), X * 3)


def test_model_file_that_is_none(tmp_path):
    path = tmp_path / "m.keras"
    with pytest.raises(FileNotFoundError):
        keras.models.load_model(path)
    path.write_bytes(b"PK nothing")
    with pytest.raises(hr.errors.DataLossError, match="no complete"):
        keras.models.load_model(path)
    with pytest.raises(ValueError, match=r"`.keras` extension"):
        graph().save(tmp_path / "m.zip")


def test_bfloat16_weights(tmp_path):
    path = tmp_path / "m.weights.h5"
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="bfloat16")])
    model.save_weights(path)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="bfloat16")])
    other.load_weights(path)
    np.testing.assert_array_equal(other.get_weights()[0], model.get_weights()[0])


def test_loading_without_compiling(tmp_path):
    path = tmp_path / "m.keras"
    trained(graph).save(path)
    assert not keras.models.load_model(path, compile=False).compiled


def test_unbuilt_part_of_a_model(tmp_path):
    path = tmp_path / "m.weights.h5"

    class Lazy(keras.Model):
        def __init__(self):
            super().__init__()
            self.a = keras.layers.Dense(2)
            self.b = keras.layers.Dense(2)

        def call(self, x, use_b=False):
            return self.b(x) if use_b else self.a(x)

    full, half = Lazy(), Lazy()
    full(X)
    full(X, use_b=True)
    full.save_weights(path)
    half(X)
    with pytest.raises(ValueError, match=r"was never built.*lists 2 variables"):
        half.load_weights(path)


def test_containers_of_containers(tmp_path):
    class Deep(keras.Model):
        def __init__(self):
            super().__init__()
            self.groups = [[keras.layers.Dense(4)], {"x": keras.layers.Dense(4)}]

        def call(self, x):
            return self.groups[1]["x"](self.groups[0][0](x))

    path = tmp_path / "m.weights.h5"
    model, other = Deep(), Deep()
    model(X), other(X)
    model.save_weights(path)
    other.load_weights(path)
    np.testing.assert_array_equal(other(X), model(X))
    assert "groups/container_1/dense/vars/0" in datasets(path)
