"""Legacy .h5 files: round trips, and both ways between us and Keras."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

import headrace as hr

RNG = np.random.default_rng(0)
X = RNG.standard_normal((16, 6, 6, 1)).astype(np.float32)
Y = RNG.integers(0, 3, 16)


def model_of(lib=hr.keras, fitted=True):
    inputs = lib.Input((6, 6, 1), name="pixels")
    x = lib.layers.Conv2D(2, 3, name="conv")(inputs)
    x = lib.layers.BatchNormalization(name="norm")(x)
    x = lib.layers.Flatten(name="flat")(x)
    inner = lib.Sequential([lib.Input((32,)), lib.layers.Dense(4, name="deep")], name="inner")
    out = lib.layers.Dense(3, name="top")(inner(x))
    model = lib.Model(inputs, out, name="legacy")
    if fitted:
        loss = lib.losses.SparseCategoricalCrossentropy(from_logits=True)
        model.compile("adam", loss, metrics=["accuracy"])
        model.fit(X, Y, batch_size=8, epochs=2, verbose=0)
    return model


def check_same(a, b):
    for v, w in zip(a.get_weights(), b.get_weights(), strict=True):
        np.testing.assert_array_equal(v, w)
    np.testing.assert_allclose(
        a.predict(X, verbose=0), b.predict(X, verbose=0), rtol=1e-4, atol=1e-5
    )


def test_a_model_comes_back_with_its_optimizer(tmp_path):
    model = model_of()
    model.save(tmp_path / "m.h5")
    back = hr.keras.models.load_model(tmp_path / "m.h5")
    check_same(model, back)
    for v, w in zip(model.optimizer.variables, back.optimizer.variables, strict=True):
        np.testing.assert_array_equal(v, w)
    assert back.evaluate(X, Y, verbose=0) == pytest.approx(model.evaluate(X, Y, verbose=0))
    for one in (model, back):
        one.fit(X, Y, shuffle=False, verbose=0)
    check_same(model, back)
    assert not hr.keras.models.load_model(tmp_path / "m.h5", compile=False).compiled


def test_weights_by_order_and_by_name(tmp_path):
    model, other = model_of(), model_of(fitted=False)
    model.save(tmp_path / "w.h5")
    other.load_weights(tmp_path / "w.h5")
    check_same(model, other)
    only = hr.keras.Sequential([hr.keras.Input((4,)), hr.keras.layers.Dense(3, name="top")])
    only.load_weights(tmp_path / "w.h5", by_name=True)
    np.testing.assert_array_equal(
        only.get_weights()[0], model.get_layer("top").get_weights()[0]
    )


def test_names_that_are_too_many_for_one_attribute(tmp_path):
    names = [f"{i:04d}" + "x" * 300 for i in range(250)]
    layers = [hr.keras.layers.Activation("linear", name=name) for name in names]
    model = hr.keras.Sequential([hr.keras.Input((2,)), *layers, hr.keras.layers.Dense(1)])
    model.save(tmp_path / "w.h5")
    with h5py.File(tmp_path / "w.h5") as file:
        names = file["model_weights"].attrs
        assert "layer_names" not in names and "layer_names1" in names
    before = model.get_weights()
    model.set_weights([np.zeros_like(w) for w in before])
    model.load_weights(tmp_path / "w.h5")
    for v, w in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(v, w)


class TestBadFiles:
    def test_what_is_missing_or_no_hdf5(self, tmp_path):
        with pytest.raises(hr.errors.NotFoundError, match="File not found"):
            hr.keras.models.load_model(tmp_path / "none.h5")
        (tmp_path / "bad.h5").write_bytes(b"not hdf5 at all")
        with pytest.raises(hr.errors.DataLossError, match="no readable HDF5"):
            hr.keras.models.load_model(tmp_path / "bad.h5")
        model_of(fitted=False).save(tmp_path / "w.h5")
        with h5py.File(tmp_path / "w.h5", "a") as file:
            del file.attrs["model_config"]
        with pytest.raises(ValueError, match=r"No model config.*load_weights"):
            hr.keras.models.load_model(tmp_path / "w.h5")

    def test_links_to_other_files_are_not_followed(self, tmp_path):
        model = model_of(fitted=False)
        model.save(tmp_path / "m.h5")
        with h5py.File(tmp_path / "m.h5", "a") as file:
            file.move("model_weights", "elsewhere")
            file["model_weights"] = h5py.ExternalLink(str(tmp_path / "other.h5"), "/")
        with pytest.raises(ValueError, match="no group 'model_weights' of its own"):
            hr.keras.models.load_model(tmp_path / "m.h5")

    def test_lambdas_need_leave(self, tmp_path):
        model = hr.keras.Sequential(
            [hr.keras.Input((2,)), hr.keras.layers.Lambda(lambda x: x * 2)]
        )
        model.save(tmp_path / "m.h5")
        with pytest.raises(ValueError, match="safe_mode"):
            hr.keras.models.load_model(tmp_path / "m.h5")

    def test_another_shape(self, tmp_path):
        model = hr.keras.Sequential([hr.keras.Input((2,)), hr.keras.layers.Dense(3, name="d")])
        model.save(tmp_path / "w.h5")
        other = hr.keras.Sequential([hr.keras.Input((2,)), hr.keras.layers.Dense(4, name="d")])
        with pytest.raises(
            ValueError, match=r"Shape mismatch in layer 'd'.*\(2, 4\).*\(2, 3\)"
        ):
            other.load_weights(tmp_path / "w.h5")
        before = other.get_weights()
        with pytest.warns(UserWarning, match="Skipping loading"):
            other.load_weights(tmp_path / "w.h5", skip_mismatch=True)
        np.testing.assert_array_equal(before[0], other.get_weights()[0])


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
class TestKeras:
    def test_keras_loads_ours(self, tmp_path, tf):
        import keras

        model = model_of()
        model.save(tmp_path / "ours.h5")
        theirs = keras.models.load_model(tmp_path / "ours.h5")
        check_same(model, theirs)
        # Keras 3.15 compiles the model but restores the state of no optimizer, even of its own
        # files; what it would look for is there.
        assert theirs.optimizer.get_config() == model.optimizer.get_config()
        again = model_of(keras)
        again.save(tmp_path / "theirs.h5")
        # Names of nested layers' weights differ, but Keras goes by their order.
        shapes = []
        for name in ("ours.h5", "theirs.h5"):
            with h5py.File(tmp_path / name) as file:
                group = file["optimizer_weights"]
                shapes.append([group[n].shape for n in group.attrs["weight_names"]])
        assert shapes[0] == shapes[1]

    def test_we_load_keras(self, tmp_path, tf):
        import keras

        theirs = model_of(keras)
        theirs.save(tmp_path / "theirs.h5")
        model = hr.keras.models.load_model(tmp_path / "theirs.h5")
        check_same(theirs, model)
        for v, w in zip(model.optimizer.variables, theirs.optimizer.variables, strict=True):
            np.testing.assert_array_equal(v, np.asarray(w))
        again = model_of(fitted=False)
        again.load_weights(tmp_path / "theirs.h5")
        check_same(theirs, again)
