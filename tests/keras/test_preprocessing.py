"""Preprocessing layers: Keras's ids and values, adapting, pipelines by the block, files."""

import itertools
import json
import zipfile

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import layers

WORDS = ["the", "cat", "sat", "on", "a", "mat", "é", ""]
TEXTS = ["The cat, sat!", "  on a  MAT é.", "", "the the dog (x) it's"]


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").layers


def words(shape, seed=0):
    pick = np.random.default_rng(seed).integers(0, len(WORDS), shape)
    return np.array(WORDS, object)[pick]


def plain(value):
    """A result of either library as an array, rows of ragged ones as lists."""
    if hasattr(value, "to_list"):
        return value.to_list()
    if hasattr(value, "row_splits"):
        return value.numpy().tolist()
    if hasattr(value, "dense_shape"):
        value = hr.sparse.to_dense(value) if isinstance(value, hr.SparseTensor) else (
            __import__("tensorflow").sparse.to_dense(value))  # fmt: skip
    return np.asarray(value)


def same(ours, peer):
    a, b = plain(ours), plain(peer)
    if isinstance(a, list) or isinstance(b, list):
        assert a == (b if isinstance(b, list) else b.tolist())
        return
    assert a.dtype == b.dtype, (a.dtype, b.dtype)
    if a.dtype == object:
        assert a.tolist() == b.tolist()
    else:
        np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-6)


def text(config):
    drop = ("name", "registered_name", "build_config", "module")
    if isinstance(config, dict):
        return {k: text(v) for k, v in config.items() if k not in drop}
    return [text(c) for c in config] if isinstance(config, (list, tuple)) else config


STRING_CASES = {
    "plain": {},
    "masked": {"mask_token": ""},
    "several oov": {"num_oov_indices": 3},
    "salted": {"num_oov_indices": 3, "salt": [3, 9]},
    "cut": {"max_tokens": 4},
    "multi_hot": {"output_mode": "multi_hot"},
    "multi_hot masked": {"output_mode": "multi_hot", "mask_token": ""},
    "one_hot": {"output_mode": "one_hot", "num_oov_indices": 2},
    "count": {"output_mode": "count", "max_tokens": 20, "pad_to_max_tokens": True},
    "tf_idf": {"output_mode": "tf_idf"},
    "tf_idf padded": {"output_mode": "tf_idf", "max_tokens": 12, "pad_to_max_tokens": True},
    "sparse": {"output_mode": "count", "sparse": True},
}


# -- against Keras ----------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("case", STRING_CASES)
def test_string_lookup_is_keras(tf, peers, case):
    data = words((40, 3))
    asked = words((5, 4), 1)
    asked[0, 0] = "never seen"
    found = []
    for family, Dataset in ((layers, hr.data.Dataset), (peers, tf.data.Dataset)):
        layer = family.StringLookup(**STRING_CASES[case])
        layer.adapt(Dataset.from_tensor_slices(data).batch(7))
        found.append(layer)
    ours, peer = found
    assert ours.get_vocabulary() == peer.get_vocabulary()
    assert ours.get_vocabulary(False) == peer.get_vocabulary(False)
    assert ours.vocabulary_size() == peer.vocabulary_size()
    same(ours(asked), peer(tf.constant(asked)))
    same(ours(asked[0]), peer(tf.constant(asked[0])))
    assert text(ours.get_config()) == text(peer.get_config())
    spec, its = (
        ours(layers.Input((4,), dtype="string")),
        peer(peers.Input((4,), dtype="string")),
    )
    assert spec.shape == its.shape


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {},
        {"mask_token": 0},
        {"num_oov_indices": 4},
        {"num_oov_indices": 4, "oov_method": "farmhash"},
        {"num_oov_indices": 4, "oov_method": "farmhash", "salt": 7},
        {"output_mode": "multi_hot"},
        {"output_mode": "count", "mask_token": 0},
        {"output_mode": "tf_idf"},
    ],
    ids=str,
)
def test_integer_lookup_is_keras(tf, peers, kwargs):
    data = np.random.default_rng(0).integers(-5, 9, (50, 2))
    asked = np.random.default_rng(1).integers(-9, 20, (6, 3))
    found = []
    for family in (layers, peers):
        layer = family.IntegerLookup(**kwargs)
        layer.adapt(data)
        found.append(layer)
    assert [int(v) for v in found[0].get_vocabulary()] == [
        int(v) for v in found[1].get_vocabulary()
    ]
    same(found[0](asked), found[1](asked))
    assert text(found[0].get_config()) == text(found[1].get_config())


@pytest.mark.peers
def test_inverse_lookups_are_keras(tf, peers):
    ids = np.array([[0, 1, 2], [5, 3, 99]])
    for mask in (None, ""):
        kwargs = {"vocabulary": ["a", "b", "c"], "invert": True, "mask_token": mask}
        same(layers.StringLookup(**kwargs)(ids), peers.StringLookup(**kwargs)(ids))
    kwargs = {"vocabulary": [10, 20], "invert": True, "mask_token": 0}
    same(layers.IntegerLookup(**kwargs)(ids), peers.IntegerLookup(**kwargs)(ids))


TEXT_CASES = {
    "plain": {},
    "lower": {"standardize": "lower"},
    "punctuation": {"standardize": "strip_punctuation"},
    "as it is": {"standardize": None},
    "characters": {"split": "character"},
    "bigrams": {"ngrams": 2},
    "only trigrams": {"ngrams": (3,)},
    "length": {"output_sequence_length": 3},
    "long": {"output_sequence_length": 9, "ngrams": 2},
    "characters of a length": {"split": "character", "output_sequence_length": 5},
    "ragged": {"ragged": True},
    "ragged length": {"ragged": True, "output_sequence_length": 2},
    "multi_hot": {"output_mode": "multi_hot"},
    "count": {"output_mode": "count", "max_tokens": 30, "pad_to_max_tokens": True},
    "tf_idf": {"output_mode": "tf_idf"},
    "tf_idf bigrams": {"output_mode": "tf_idf", "ngrams": 2},
    "whole": {"split": None, "output_sequence_length": 2},
}


@pytest.mark.peers
@pytest.mark.parametrize("case", TEXT_CASES)
def test_text_vectorization_is_keras(tf, peers, case):
    found = []
    for family, Dataset in ((layers, hr.data.Dataset), (peers, tf.data.Dataset)):
        layer = family.TextVectorization(**TEXT_CASES[case])
        layer.adapt(Dataset.from_tensor_slices(TEXTS * 3).batch(5))
        found.append(layer)
    ours, peer = found
    assert ours.get_vocabulary() == peer.get_vocabulary()
    asked = np.array([*TEXTS[::-1], "A dog sat; on é"], object)
    if case != "whole":
        same(ours(asked), peer(tf.constant(asked)))
        same(ours(hr.constant(asked[0])), peer(tf.constant(asked[0])))
    same(ours(asked[:, None]), peer(tf.constant(asked[:, None])))
    assert text(ours.get_config()) == text(peer.get_config())
    # Keras's own symbolic shapes have one axis too many for rows of counts: the law is ours.
    spec, shape = ours(layers.Input((1,), dtype="string")), ours(asked[:, None]).shape
    assert len(spec.shape) == len(shape)
    assert "ragged" in case or all(
        a in (None, b) for a, b in zip(spec.shape, shape, strict=True)
    )


@pytest.mark.peers
@pytest.mark.parametrize(
    "kwargs",
    [
        {"num_bins": 3},
        {"num_bins": 5, "mask_value": "cat"},
        {"num_bins": 7, "salt": [133, 137]},
        {"num_bins": 4, "output_mode": "one_hot"},
        {"num_bins": 4, "output_mode": "multi_hot"},
        {"num_bins": 4, "output_mode": "count", "salt": 3},
    ],
    ids=str,
)
def test_hashing_is_keras(tf, peers, kwargs):
    ours, peer = layers.Hashing(**kwargs), peers.Hashing(**kwargs)
    data = words((6, 3))
    same(ours(data), peer(tf.constant(data)))
    same(ours(data[:, :1]), peer(tf.constant(data[:, :1])))
    if "mask_value" not in kwargs:
        numbers = np.arange(-3, 6).reshape(3, 3)
        same(ours(numbers), peer(numbers))
    assert text(ours.get_config()) == text(peer.get_config())


@pytest.mark.peers
def test_hashed_crossing_is_keras(tf, peers):
    a, b = words(9), np.arange(9) - 4
    for kwargs in (
        {"num_bins": 5},
        {"num_bins": 1000},
        {"num_bins": 4, "output_mode": "one_hot"},
    ):
        ours, peer = layers.HashedCrossing(**kwargs), peers.HashedCrossing(**kwargs)
        same(ours((a, b)), peer((tf.constant(a), tf.constant(b))))
        columns = tf.constant(b[:, None]), tf.constant(a[:, None])
        same(ours((b[:, None], a[:, None])), peer(columns))
        assert text(ours.get_config()) == text(peer.get_config())


@pytest.mark.peers
def test_category_encoding_is_keras(tf, peers):
    ids = np.array([[0, 2, 2], [3, 1, 0]])
    for mode, sparse in itertools.product(("multi_hot", "one_hot", "count"), (False, True)):
        kwargs = {"num_tokens": 4, "output_mode": mode, "sparse": sparse}
        ours, peer = layers.CategoryEncoding(**kwargs), peers.CategoryEncoding(**kwargs)
        for data in (ids, ids[0], ids[:, :1]):
            same(ours(data), peer(data))
            assert tuple(ours(data).shape) == ours.compute_output_shape(data.shape)
        if not sparse:
            same(ours(ids[None]), peer(ids[None]))
        assert text(ours.get_config()) == text(peer.get_config())
    kwargs = {"num_tokens": 4, "output_mode": "count"}
    weights = np.array([[1.0, 0.5, 2.0], [0.25, 1, 3]], np.float32)
    same(
        layers.CategoryEncoding(**kwargs)(ids, count_weights=weights),
        peers.CategoryEncoding(**kwargs)(ids, count_weights=weights),
    )


@pytest.mark.peers
def test_discretization_is_keras(tf, peers):
    data = np.random.default_rng(0).normal(size=(300, 2)).astype("float32")
    for mode in ("int", "one_hot", "multi_hot", "count"):
        ours = layers.Discretization(num_bins=5, output_mode=mode)
        peer = peers.Discretization(num_bins=5, output_mode=mode)
        ours.adapt(hr.data.Dataset.from_tensor_slices(data).batch(64))
        peer.adapt(tf.data.Dataset.from_tensor_slices(data).batch(64))
        np.testing.assert_allclose(ours.bin_boundaries, peer.bin_boundaries, rtol=1e-6)
        peer.bin_boundaries = ours.bin_boundaries
        same(ours(data[:9]), peer(data[:9]))
        same(ours(data[:9, :1]), peer(data[:9, :1]))
        assert text(ours.get_config()) == text(peer.get_config())
    edges = {"bin_boundaries": [-1.0, 0.1, 2.0]}
    for kind in ("int32", "float64", "float16", "uint8"):
        x = np.array([0, 1, 2, 3]).astype(kind)
        same(layers.Discretization(**edges)(x), peers.Discretization(**edges)(x))


@pytest.mark.peers
@pytest.mark.parametrize("axis", [-1, None, 1, (1, 2)], ids=str)
def test_normalization_is_keras(tf, peers, axis):
    data = np.random.default_rng(0).normal(5, 3, (40, 3, 2)).astype("float32")
    for invert in (False, True):
        ours = layers.Normalization(axis=axis, invert=invert)
        peer = peers.Normalization(axis=axis, invert=invert)
        ours.adapt(hr.data.Dataset.from_tensor_slices(data).batch(16))
        peer.adapt(data)
        np.testing.assert_allclose(ours(data), peer(data), rtol=1e-5, atol=1e-5)
        assert [w.shape for w in ours.weights] == [tuple(w.shape) for w in peer.weights]
        assert text(ours.get_config()) == text(peer.get_config())
    given = {"axis": axis, "mean": 2.0, "variance": 9.0}
    np.testing.assert_allclose(
        layers.Normalization(**given)(data), peers.Normalization(**given)(data), rtol=1e-6
    )


@pytest.mark.peers
def test_files_go_both_ways(tf, peers, tmp_path):
    import keras as peer

    def model(family, kit):
        inputs = family.Input((1,), dtype="string")
        text = family.TextVectorization(output_mode="tf_idf", name="t")
        text.adapt(np.array(TEXTS, object))
        word = family.StringLookup(mask_token="", name="w")
        word.adapt(np.array([w for w in WORDS if w], object))
        outputs = [text(inputs), word(inputs)]
        return kit.Model(inputs, outputs)

    asked = np.array([["the"], ["a mat"], [""]], object)
    ours, theirs = model(layers, keras), model(peers, peer)
    ours.save(tmp_path / "ours.keras")
    theirs.save(tmp_path / "theirs.keras")
    expected = [np.asarray(x) for x in theirs(tf.constant(asked))]
    for got in (
        ours(asked),
        keras.models.load_model(tmp_path / "ours.keras")(asked),
        keras.models.load_model(tmp_path / "theirs.keras")(asked),
        peer.models.load_model(tmp_path / "ours.keras")(tf.constant(asked)),
    ):
        for a, b in zip(got, expected, strict=True):
            np.testing.assert_allclose(np.asarray(a), b, rtol=1e-6)

    numbers = keras.Sequential([keras.Input((2,)), layers.Normalization()])
    numbers.layers[-1].adapt(np.random.default_rng(0).normal(size=(9, 2)))
    numbers.save(tmp_path / "n.keras")
    x = np.ones((3, 2), "float32")
    for load in (keras.models.load_model, peer.models.load_model):
        np.testing.assert_allclose(load(tmp_path / "n.keras")(x), numbers(x), rtol=1e-6)


# -- laws -------------------------------------------------------------------------------------

PIPED = {
    "lookup": (lambda: layers.StringLookup(vocabulary=WORDS[:5]), words(12)),
    "rows": (
        lambda: layers.StringLookup(vocabulary=WORDS[:5], output_mode="count"),
        words((12, 3)),
    ),
    "hashing": (lambda: layers.Hashing(7), words(12)),
    "texts": (
        lambda: layers.TextVectorization(vocabulary=WORDS[:5], output_sequence_length=4),
        np.array(TEXTS * 3, object),
    ),
    "bins": (lambda: layers.Discretization([0.0, 0.5]), np.linspace(-1, 1, 12)),
    "categories": (
        lambda: layers.CategoryEncoding(5, output_mode="multi_hot"),
        np.arange(24).reshape(12, 2) % 5,
    ),
    "normal": (lambda: layers.Normalization(mean=[1.0, 2.0], variance=[4.0, 9.0]),
               np.arange(24.0, dtype="float32").reshape(12, 2)),
}  # fmt: skip


@pytest.mark.parametrize("case", PIPED)
def test_in_a_pipeline_a_block_is_a_loop(case):
    make, data = PIPED[case]
    layer = make()
    mapped = hr.data.Dataset.from_tensor_slices(data).map(layer)
    assert "by the block" in str(mapped.explain())
    eager = [
        np.asarray(layer(row[None] if np.ndim(row) else np.array([row])))[0] for row in data
    ]
    for got, expected in zip(mapped, eager, strict=True):
        np.testing.assert_allclose(got, expected, rtol=1e-6)
    batched = hr.data.Dataset.from_tensor_slices(data).batch(5).map(layer)
    joined = np.concatenate([np.asarray(b) for b in batched])
    np.testing.assert_allclose(joined, np.stack(eager), rtol=1e-6)


def test_adapting_does_not_depend_on_the_batches():
    data = words((200, 2), 5)
    vocabularies = []
    for size in (1, 7, 200):
        layer = layers.StringLookup(output_mode="tf_idf")
        layer.adapt(hr.data.Dataset.from_tensor_slices(data).batch(size))
        vocabularies.append((layer.get_vocabulary(), layer.idf_weights.tolist()))
    assert vocabularies[0] == vocabularies[1] == vocabularies[2]
    numbers = np.random.default_rng(1).normal(1e4, 1, (300, 2)).astype("float32")
    for size in (1, 64, 300):
        layer = layers.Normalization()
        layer.adapt(hr.data.Dataset.from_tensor_slices(numbers).batch(size))
        np.testing.assert_allclose(layer.mean[0], numbers.mean(0, dtype="float64"), rtol=1e-6)
        np.testing.assert_allclose(
            layer.variance[0], numbers.var(0, dtype="float64"), rtol=1e-4
        )


def test_counts_are_merged(monkeypatch):
    from headrace.keras.layers import preprocessing_vocabulary

    monkeypatch.setattr(preprocessing_vocabulary, "_MERGE_AT", 5)
    data = words((300,), 8)
    few, many = layers.StringLookup(), layers.StringLookup()
    few.adapt(data)
    many.adapt(hr.data.Dataset.from_tensor_slices(data).batch(3))
    assert few.get_vocabulary() == many.get_vocabulary()


def test_steps_limit_what_is_adapted_to():
    layer = layers.StringLookup()
    layer.adapt(hr.data.Dataset.from_tensor_slices(["a", "b", "c"]), steps=2)
    assert sorted(layer.get_vocabulary(False)) == ["a", "b"]


def test_vocabularies_are_files_in_the_archive(tmp_path):
    layer = layers.StringLookup(name="w")
    layer.adapt(np.array(["x", "y", "x"]))
    model = keras.Sequential([keras.Input((1,), dtype="string"), layer])
    model.save(tmp_path / "m.keras")
    with zipfile.ZipFile(tmp_path / "m.keras") as archive:
        assert archive.read("assets/layers/string_lookup/vocabulary.txt") == b"[UNK]\nx\ny"
        config = json.loads(archive.read("config.json"))
    assert config["config"]["layers"][1]["config"]["vocabulary"] is None


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.StringLookup(vocabulary=["a", "a"]), "repeated"),
        (lambda: layers.StringLookup(vocabulary=[]), "empty vocabulary"),
        (lambda: layers.StringLookup(max_tokens=1), "greater than 1"),
        (lambda: layers.StringLookup(vocabulary=["a", "b"], max_tokens=2), "larger than"),
        (lambda: layers.StringLookup(output_mode="what"), "output_mode"),
        (lambda: layers.StringLookup(invert=True, output_mode="count"), "invert"),
        (lambda: layers.StringLookup(pad_to_max_tokens=True), "max_tokens"),
        (lambda: layers.StringLookup(vocabulary=["a", "", "b"], mask_token=""), "mask token"),
        (lambda: layers.StringLookup(vocabulary="/no/such/file"), "does not exist"),
        (lambda: layers.StringLookup(output_mode="tf_idf", vocabulary=["a"]), "idf_weights"),
        (lambda: layers.IntegerLookup(salt=3), "farmhash"),
        (lambda: layers.Hashing(0), "num_bins"),
        (lambda: layers.Hashing(3, salt="x"), "salt"),
        (lambda: layers.Hashing(3, sparse=True), "sparse"),
        (lambda: layers.CategoryEncoding(), "num_tokens"),
        (lambda: layers.CategoryEncoding(0), "num_tokens"),
        (lambda: layers.Discretization(), "either"),
        (lambda: layers.Discretization([1.0], num_bins=2), "Both"),
        (lambda: layers.Normalization(mean=1.0), "both"),
        (lambda: layers.Normalization(axis=4)(np.ones((2, 2))), "range"),
        (lambda: layers.TextVectorization(ngrams="x"), "ngrams"),
        (lambda: layers.TextVectorization(split="what"), "split"),
        (lambda: layers.TextVectorization(output_mode="count", ragged=True), "ragged"),
        (lambda: layers.TextVectorization(vocabulary=["a"])([["a", "b"]]), "last shape"),
        (lambda: layers.HashedCrossing(3)(["a"]), "at least two"),
        (lambda: layers.CategoryEncoding(3)([[-1]]), "range"),
        (lambda: layers.StringLookup(num_oov_indices=0, vocabulary=["a"])(["b"]), "found OOV"),
        (lambda: layers.StringLookup(output_mode="count")([["b"]]), "vocabulary before"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told(make, message):
    with pytest.raises((ValueError, RuntimeError), match=message):
        make()
