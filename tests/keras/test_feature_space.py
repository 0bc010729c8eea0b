"""keras.utils.FeatureSpace: Keras's encodings, files both ways, pipelines, errors."""

import warnings

import numpy as np
import pytest

import headrace as hr
from headrace import keras

FS = keras.utils.FeatureSpace
DATA = {
    "f": np.array([0.1, 0.2, 0.3, 0.4], "f"),
    "n": np.array([1.0, 2, 3, 5], "f"),
    "r": np.array([1.0, 2, 3, 5], "f"),
    "d": np.array([0.5, 1.5, 2.5, 9.0], "f"),
    "i": np.array([1, 2, 2, 7]),
    "s": np.array(["a", "b", "a", "c"]),
    "h": np.array(["x", "y", "z", "w"]),
    "g": np.array([3, 4, 5, 6]),
}


def features(space):
    return {
        "f": "float",
        "n": "float_normalized",
        "r": space.float_rescaled(scale=2.0, offset=1.0),
        "d": space.float_discretized(num_bins=3),
        "i": "integer_categorical",
        "s": space.string_categorical(num_oov_indices=2),
        "h": space.string_hashed(4),
        "g": "integer_hashed",
    }


def adapted(space, dataset, **kwargs):
    crosses = [("s", "i"), space.cross(("h", "g"), 5)]
    made = space(features(space), crosses=crosses, crossing_dim=8, **kwargs)
    made.adapt(dataset)
    return made


@pytest.fixture(scope="module")
def real(tf):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("keras")


@pytest.mark.peers
def test_encodings_are_keras_and_files_go_both_ways(tf, real, tmp_path):
    ours = adapted(FS, dict(DATA))
    theirs = adapted(real.utils.FeatureSpace, tf.data.Dataset.from_tensor_slices(DATA))
    want = np.asarray(theirs(DATA))
    np.testing.assert_allclose(ours(DATA), want, rtol=1e-6)
    by_name = adapted(FS, dict(DATA), output_mode="dict")(DATA)
    peers = adapted(
        real.utils.FeatureSpace, tf.data.Dataset.from_tensor_slices(DATA), output_mode="dict"
    )(DATA)
    assert list(by_name) == list(peers)
    for name, value in peers.items():
        np.testing.assert_allclose(by_name[name], np.asarray(value), rtol=1e-6)
    paths = [str(tmp_path / f"{n}.keras") for n in "ab"]
    ours.save(paths[0])
    theirs.save(paths[1])
    for family, path in ((keras, paths[0]), (real, paths[0]), (keras, paths[1])):
        np.testing.assert_allclose(
            np.asarray(family.models.load_model(path)(DATA)), want, rtol=1e-6
        )


def test_rows_batches_pipelines_and_models_agree():
    space = adapted(FS, hr.data.Dataset.from_tensor_slices(DATA).batch(3))
    whole = space(DATA).numpy()
    rows = [space({k: v[i] for k, v in DATA.items()}) for i in range(4)]
    np.testing.assert_allclose(np.stack(rows), whole)
    mapped = hr.data.Dataset.from_tensor_slices(DATA).batch(2).map(space)
    np.testing.assert_allclose(np.concatenate(list(mapped.as_numpy_iterator())), whole)
    model = keras.Model(space.get_inputs(), space.get_encoded_features())
    np.testing.assert_allclose(model({k: v[:, None] for k, v in DATA.items()}), whole)
    trained = keras.Model(
        space.get_encoded_features(), keras.layers.Dense(1)(space.get_encoded_features())
    )
    trained.compile("sgd", "mse")
    data = hr.data.Dataset.from_tensor_slices((DATA, np.zeros((4, 1), "f"))).batch(2)
    encoded = data.map(lambda x, y: (space(x), y))
    assert np.isfinite(trained.fit(encoded, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FS({}), "empty"),
        (lambda: FS({"a": "float64"}), "Invalid feature type"),
        (lambda: FS({"a": "float"}, output_mode="list"), "output_mode"),
        (lambda: FS({"a": "float"}, crosses=[("a", "b")]), "unknown features"),
        (lambda: FS({"a": "float_normalized"})({"a": 1.0}), "adapt"),
        (lambda: FS({"a": "float"})([1.0]), "dict"),
        (lambda: FS({"a": "float"})({"b": 1.0}), "Missing feature 'a'"),
        (lambda: FS({"a": "float"}).adapt([1.0]), "adapt"),
        (lambda: FS({"a": FS.string_hashed(3, output_mode="int")})({"a": "x"}), "concatenate"),
        (lambda: FS.cross(("a", "b"), 3, output_mode="float"), "output_mode"),
    ],
)
def test_bad_arguments_are_told(make, words):
    with pytest.raises(ValueError, match=words):
        make()
