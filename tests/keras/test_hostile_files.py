"""Broken and hostile model files: each gives a clear error, and nothing of theirs is run, read
or written elsewhere, or allowed to fill the memory."""

from __future__ import annotations

import io
import json
import zipfile

import h5py
import numpy as np
import pytest

import headrace as hr

keras = hr.keras
DAMAGED = hr.errors.DataLossError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """The parts of a good `.keras` file, and a good `.h5` file, of the same model."""
    model = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="first"), keras.layers.Dense(2)]
    )
    model.compile("adam", "mse")
    model.fit(np.zeros((8, 4)), np.zeros((8, 2)), verbose=0)
    folder = tmp_path_factory.mktemp("whole")
    model.save(folder / "m.keras")
    model.save(folder / "m.h5")
    with zipfile.ZipFile(folder / "m.keras") as archive:
        parts = {name: archive.read(name) for name in archive.namelist()}
    return parts, folder


def written(folder, whole, **changed):
    """A `.keras` file with some parts changed (underscores for dots) or, if None, left out."""
    parts = {**whole[0], **{k.replace("__", "."): v for k, v in changed.items()}}
    path = folder / "changed.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in parts.items():
            if content is not None:
                archive.writestr(name, content)
    return path


def configured(folder, whole, change):
    config = json.loads(whole[0]["config.json"])
    change(config, config["config"]["layers"][1])
    return written(folder, whole, config__json=json.dumps(config))


def weighted(folder, whole, change):
    stored = io.BytesIO(whole[0]["model.weights.h5"])
    with h5py.File(stored, "r+") as file:
        change(file)
    return written(folder, whole, model__weights__h5=stored.getvalue())


def test_the_unchanged_file_loads(tmp_path, whole):
    keras.models.load_model(written(tmp_path, whole))


@pytest.mark.parametrize("share", [0.0, 0.01, 0.5, 0.99])
def test_truncated_archives(tmp_path, whole, share):
    data = (whole[1] / "m.keras").read_bytes()
    path = tmp_path / "m.keras"
    path.write_bytes(data[: int(share * len(data))])
    with pytest.raises(DAMAGED, match=r"m\.keras is no complete `\.keras` file"):
        keras.models.load_model(path)


def test_flipped_bits(tmp_path, whole):
    data = bytearray((whole[1] / "m.keras").read_bytes())
    data[len(data) // 2] ^= 255
    path = tmp_path / "m.keras"
    path.write_bytes(data)
    with pytest.raises(DAMAGED, match="CRC"):
        keras.models.load_model(path)


@pytest.mark.parametrize("part", ["config.json", "metadata.json", "model.weights.h5"])
def test_missing_parts(tmp_path, whole, part):
    path = written(tmp_path, whole, **{part.replace(".", "__"): None})
    with pytest.raises(DAMAGED, match=part):
        keras.models.load_model(path)


DEEP = b'{"a":' * 100_000 + b"1" + b"}" * 100_000


@pytest.mark.parametrize(
    "text", [b"{", b"[1]", b"\xff\xfe\xfa", DEEP], ids=["cut", "a list", "no text", "deep"]
)
def test_configs_that_are_none(tmp_path, whole, text):
    with pytest.raises(DAMAGED, match=r"the config in .*changed\.keras"):
        keras.models.load_model(written(tmp_path, whole, config__json=text))


@pytest.mark.parametrize("size", [0, 100, 9_000])
def test_weights_that_are_no_hdf5(tmp_path, whole, size):
    path = written(tmp_path, whole, model__weights__h5=whole[0]["model.weights.h5"][:size])
    with pytest.raises(DAMAGED, match="no readable HDF5 file of weights"):
        keras.models.load_model(path)


# -- code --------------------------------------------------------------------------------------


def named(module, name, config, registered=None):
    return {
        "module": module,
        "class_name": name,
        "config": config,
        "registered_name": registered,
    }


FOREIGN = {
    "a process": lambda mark: named("subprocess", "Popen", {"args": ["touch", mark]}),
    "a process, as registered": lambda mark: named(
        "subprocess", "Popen", {"args": ["touch", mark]}, "Popen"
    ),
    "a shell": lambda mark: named("os", "system", {"command": f"touch {mark}"}),
    "a shell as function": lambda mark: named("os", "function", "system", "system"),
    "eval": lambda mark: named("builtins", "function", "eval"),
    "exec": lambda mark: named("builtins", "exec", {}),
    "a module": lambda mark: named("importlib", "import_module", {"name": "this"}),
    "a file of the net": lambda mark: named(
        "keras.utils", "get_file", {"fname": "x", "origin": "http://127.0.0.1:1/x"}
    ),
    "another model": lambda mark: named("keras.saving", "load_model", {"filepath": mark}),
    "a module of ours": lambda mark: named("keras.src.utils.files", "os", {}),
    "a class of ours": lambda mark: named("keras.callbacks", "CSVLogger", {"filename": mark}),
    "a class of ours by its place": lambda mark: named(
        "headrace.io.tfrecord_writer", "TFRecordWriter", {"path": mark}
    ),
    "an unknown class": lambda mark: named("nowhere", "Nothing", {}),
}


@pytest.mark.parametrize("place", ["layer", "model", "activation", "optimizer", "loss", "type"])
@pytest.mark.parametrize("what", FOREIGN)
def test_nothing_foreign_is_called(tmp_path, whole, what, place):
    mark = tmp_path / "mark"
    foreign = FOREIGN[what](str(mark))

    def change(config, layer):
        if place == "layer":
            config["config"]["layers"][1] = foreign
        elif place == "model":
            config.update(foreign)
        elif place == "activation":
            layer["config"]["activation"] = foreign
        elif place == "type":
            named = foreign["class_name"]
            named = foreign["config"] if named == "function" else named
            inner = {"name": named, "module": foreign["module"]}
            layer["config"]["activation"] = {"class_name": "__type__", "config": inner}
        else:
            config["compile_config"][place] = foreign

    with pytest.raises(ValueError, match=r"Could not locate class or function"):
        keras.models.load_model(configured(tmp_path, whole, change))
    assert not mark.exists()


def test_a_lambda_is_refused(tmp_path, whole):
    def change(config, layer):
        value = {"code": "4wEAAAA", "defaults": None, "closure": None}
        layer["config"]["activation"] = {"class_name": "__lambda__", "config": {"value": value}}

    with pytest.raises(ValueError, match="safe_mode=False"):
        keras.models.load_model(configured(tmp_path, whole, change))


def test_legacy_files_call_nothing_foreign_either(tmp_path, whole):
    path, mark = tmp_path / "m.h5", tmp_path / "mark"
    for change in (
        lambda layer: layer.update(
            named("subprocess", "Popen", {"args": ["touch", str(mark)]})
        ),
        lambda layer: layer["config"].update(activation=named("os", "function", "system")),
    ):
        path.write_bytes((whole[1] / "m.h5").read_bytes())
        with h5py.File(path, "r+") as file:
            config = json.loads(file.attrs["model_config"])
            change(config["config"]["layers"][1])
            file.attrs["model_config"] = json.dumps(config)
        with pytest.raises(ValueError, match="Could not locate class or function"):
            keras.models.load_model(path)
    with h5py.File(path, "r+") as file:
        file.attrs["model_config"] = b"{"
    with pytest.raises(DAMAGED, match="no readable JSON"):
        keras.models.load_model(path)
    assert not mark.exists()


# -- other files -------------------------------------------------------------------------------


def test_names_that_lead_out_of_the_archive(tmp_path, whole):
    inner = tmp_path / "deep" / "er"
    inner.mkdir(parents=True)
    path = written(
        inner,
        whole,
        **{"../../evil": b"x", "assets/../../evil": b"x", "/tmp/evil-of-headrace": b"x"},
    )
    before = sorted(tmp_path.rglob("*"))
    keras.models.load_model(path)
    assert sorted(tmp_path.rglob("*")) == before  # what is not asked for is not unpacked


KERNEL = "layers/dense/vars/0"


def test_links_and_datasets_in_other_files(tmp_path, whole):
    secret = tmp_path / "secret.h5"
    with h5py.File(secret, "w") as file:
        file["x"] = np.ones((4, 3), np.float32)
    raw = tmp_path / "raw"
    raw.write_bytes(b"s" * 48)

    def external_link(file):
        file[KERNEL] = h5py.ExternalLink(str(secret), "/x")

    def soft_link(file):
        file[KERNEL] = h5py.SoftLink("/layers/dense_1/vars/0")

    def external_bytes(file):
        file.create_dataset(KERNEL, (4, 3), "f4", external=[(str(raw), 0, 48)])

    def virtual(file):
        layout = h5py.VirtualLayout((4, 3), "f4")
        layout[:] = h5py.VirtualSource(str(secret), "x", (4, 3))
        file.create_virtual_dataset(KERNEL, layout)

    def a_whole_layer(file):
        del file["layers/dense"]
        file["layers/dense"] = h5py.ExternalLink(str(secret), "/")

    for put in (external_link, soft_link, external_bytes, virtual, a_whole_layer):

        def change(file, put=put):
            del file[KERNEL]
            put(file)

        path = weighted(tmp_path, whole, change)
        with pytest.raises(DAMAGED, match="another file"):
            keras.models.load_model(path)


# -- sizes -------------------------------------------------------------------------------------


def replaced(name, make):
    def change(file):
        del file[name]
        make(file, name)

    return change


def huge(file, name):
    file.create_dataset(name, (10**9, 10**3), "f4", chunks=(1000, 1000))


@pytest.mark.parametrize(
    ("name", "make", "said"),
    [
        (KERNEL, huge, "first/kernel.*|shape of the target"),
        ("optimizer/vars/2", huge, r"optimizer 'adam\w*' has the shape \(4, 3\)"),
        (KERNEL, lambda f, n: f.create_dataset(n, data=np.full((4, 3), b"x")), "no number"),
        (KERNEL, lambda f, n: None, "expected 2 variables, but received 1"),
    ],
    ids=["huge", "huge in the optimizer", "strings", "missing"],
)
def test_arrays_that_do_not_fit_are_not_read(tmp_path, whole, name, make, said):
    with pytest.raises(ValueError, match=said):
        keras.models.load_model(weighted(tmp_path, whole, replaced(name, make)))


@pytest.mark.parametrize("units", [10**8, 10**12])
def test_layers_larger_than_the_file(tmp_path, whole, units):
    path = configured(tmp_path, whole, lambda c, layer: layer["config"].update(units=units))
    with pytest.raises(DAMAGED, match="layer 'first' asks for a weight of the shape"):
        keras.models.load_model(path)


@pytest.mark.parametrize("part", ["config.json", "model.weights.h5"])
def test_bombs(tmp_path, whole, part):
    path = written(tmp_path, whole, **{part.replace(".", "__"): b" " * 1000})
    data = path.read_bytes()
    # The directory says that the part is large; unpacking is never begun.
    at = data.rindex(part.encode()) - 46
    assert data[at : at + 4] == b"PK\x01\x02"
    size = (3 << 30).to_bytes(4, "little")
    path.write_bytes(data[: at + 24] + size + data[at + 28 :])
    with pytest.raises(DAMAGED, match=rf"{part} would be {3 << 30} bytes"):
        keras.models.load_model(path)


def test_loading_leaves_no_limit_behind(tmp_path, whole):
    path = configured(tmp_path, whole, lambda c, layer: layer["config"].update(units=10**12))
    with pytest.raises(DAMAGED):
        keras.models.load_model(path)
    from headrace.keras.engine.loading import check_size

    check_size((1 << 40,), "mine")
