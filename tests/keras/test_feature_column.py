"""hr.feature_column and DenseFeatures: TensorFlow's numbers, names, parsing and errors."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras

FC = hr.feature_column
RAW = {
    "age": np.array([[20.0], [35.0], [50.0]], "f"),
    "pair": np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 9.0]], "f"),
    "job": np.array([["clerk", "smith"], ["smith", ""], ["king", "king"]], object),
    "rank": np.array([[0, 2], [1, -1], [3, 2]], "int64"),
    "share": np.array([[1.0, 2.0], [0.5, 0.0], [3.0, 1.0]], "f"),
}
TABLE = np.random.default_rng(3).normal(size=(20, 4)).astype("f")


def columns(fc, which, path, initializer, int64=hr.int64):
    job = fc.categorical_column_with_vocabulary_list("job", ["smith", "clerk"])
    oov = fc.categorical_column_with_vocabulary_list("job", ["smith"], num_oov_buckets=3)
    rank = fc.categorical_column_with_identity("rank", 4)
    age = fc.numeric_column("age")
    ages = fc.bucketized_column(age, [25, 35])
    hashed = fc.categorical_column_with_hash_bucket("job", 6)
    pairs = fc.bucketized_column(fc.numeric_column("pair", shape=2), [2.0, 4.0])
    kinds = {
        "numeric": lambda: [age, fc.numeric_column("pair", shape=(2,))],
        "normalised": lambda: [fc.numeric_column("age", normalizer_fn=lambda x: (x - 30) / 10)],
        "bucketized": lambda: [ages, pairs],
        "bucketized embedding": lambda: [fc.embedding_column(pairs, 4, "sum", initializer)],
        "hash": lambda: [fc.indicator_column(hashed)],
        "hash of integers": lambda: [fc.indicator_column(
            fc.categorical_column_with_hash_bucket("rank", 5, int64))],
        "list": lambda: [fc.indicator_column(job)],
        "list, default": lambda: [fc.indicator_column(
            fc.categorical_column_with_vocabulary_list("job", ["smith", "clerk"], None, 0))],
        "list, buckets": lambda: [fc.indicator_column(oov)],
        "list of integers": lambda: [fc.indicator_column(
            fc.categorical_column_with_vocabulary_list("rank", [3, 2, 0], int64))],
        "file": lambda: [fc.indicator_column(
            fc.categorical_column_with_vocabulary_file("job", path, 2))],
        "file, buckets": lambda: [fc.indicator_column(
            fc.categorical_column_with_vocabulary_file("job", path, num_oov_buckets=2))],
        "identity": lambda: [fc.indicator_column(rank), age],
        "identity, default": lambda: [fc.indicator_column(
            fc.categorical_column_with_identity("rank", 3, default_value=1))],
        "weighted": lambda: [fc.indicator_column(fc.weighted_categorical_column(rank,
         "share"))],
        **{f"embedding {c}": (lambda c=c: [fc.embedding_column(oov, 4, c, initializer)])
           for c in ("mean", "sum", "sqrtn")},
        "embedding weighted": lambda: [fc.embedding_column(
            fc.weighted_categorical_column(rank, "share"), 4, "mean", initializer)],
        "embedding, max norm": lambda: [
            fc.embedding_column(rank, 4, initializer=initializer, max_norm=1.0)],
        "crossed": lambda: [fc.indicator_column(fc.crossed_column(["job", "rank"], 7))],
        "crossed columns": lambda: [fc.indicator_column(
            fc.crossed_column([ages, rank, "job"], 9, hash_key=5))],
        "crossed crosses": lambda: [fc.indicator_column(
            fc.crossed_column([fc.crossed_column(["job", rank], 5), ages], 8))],
        "all": lambda: [age, ages, fc.indicator_column(job),
                        fc.embedding_column(rank, 4, initializer=initializer)],
    }  # fmt: skip
    return kinds[which]() if which else kinds


KINDS = list(columns(FC, "", "", None))


def first_rows(shape, dtype=None, **kwargs):
    return TABLE[: shape[0], : shape[1]]


@pytest.fixture(scope="module")
def vocabulary(tmp_path_factory):
    path = tmp_path_factory.mktemp("words") / "jobs.txt"
    path.write_text("smith\nclerk\nbaker\n")
    return str(path)


def with_tensorflow(tf, which, vocabulary):
    with tf.Graph().as_default(), tf.compat.v1.Session() as session:
        fc = tf.feature_column
        made = columns(
            fc, which, vocabulary, lambda shape, **kw: tf.constant(first_rows(shape))
        )
        features = {
            k: tf.constant(v if v.dtype != object else v.tolist()) for k, v in RAW.items()
        }
        out = tf.compat.v1.feature_column.input_layer(features, made)
        session.run([tf.compat.v1.global_variables_initializer(),
                     tf.compat.v1.tables_initializer()])  # fmt: skip
        spec = fc.make_parse_example_spec(made)
        return session.run(out), [c.name for c in made], spec


@pytest.mark.peers
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("which", KINDS)
def test_numbers_names_and_specs_are_tensorflows(tf, vocabulary, which):
    want, names, spec = with_tensorflow(tf, which, vocabulary)
    made = columns(FC, which, vocabulary, first_rows)
    layer = keras.layers.DenseFeatures(made)
    got = layer(RAW)
    np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)
    assert [c.name for c in made] == names
    mine = FC.make_parse_example_spec(made)
    assert mine.keys() == spec.keys()
    for key, value in spec.items():
        assert type(mine[key]).__name__ == type(value).__name__
        assert mine[key].dtype.name == value.dtype.name
    assert layer.compute_output_shape({k: v.shape for k, v in RAW.items()}) == want.shape


@pytest.mark.parametrize("which", KINDS)
def test_traced_and_sparse_inputs_give_the_same(vocabulary, which):
    layer = keras.layers.DenseFeatures(columns(FC, which, vocabulary, first_rows))
    want = layer(RAW).numpy()
    np.testing.assert_allclose(hr.function(layer)(RAW), want, rtol=1e-5, atol=1e-6)
    if "crossed" in which:  # as in TensorFlow, crosses of dense features have '' and -1, too
        return
    sparse = dict(RAW)
    for key, nothing in (("job", ""), ("rank", -1)):
        places = np.argwhere(RAW[key] != nothing)
        values = RAW[key][tuple(places.T)]
        values = values.tolist() if key == "job" else values
        sparse[key] = hr.SparseTensor(places, hr.constant(values), RAW[key].shape)
    np.testing.assert_allclose(layer(sparse), want, rtol=1e-5, atol=1e-6)


def test_embeddings_learn_and_are_shared():
    one, two = (FC.categorical_column_with_identity(k, 4) for k in ("a", "b"))
    shared = FC.shared_embeddings([one, two], 3)
    assert [c.name for c in shared] == ["a_shared_embedding", "b_shared_embedding"]
    layer = keras.layers.DenseFeatures(shared)
    x = {"a": np.array([[0], [1]]), "b": np.array([[1], [3]])}
    rows = layer(x).numpy()
    assert rows.shape == (2, 6) and len(layer.weights) == 1
    np.testing.assert_array_equal(rows[1, :3], rows[0, 3:])
    model = keras.Sequential([layer, keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    before = layer.get_weights()[0].copy()
    data = hr.data.Dataset.from_tensors((x, np.ones((2, 1), "f"))).repeat(3)
    model.fit(data, verbose=0)
    changed = np.abs(layer.get_weights()[0] - before).max(axis=1) > 0
    assert changed.tolist() == [True, True, False, True]


def test_columns_work_on_parsed_examples():
    made = columns(FC, "all", "", first_rows)
    spec = FC.make_parse_example_spec(made)
    E = hr.train
    example = E.Example(features=E.Features(feature={
        "age": E.Feature(float_list=E.FloatList(value=[35.0])),
        "job": E.Feature(bytes_list=E.BytesList(value=[b"smith", b"clerk"])),
        "rank": E.Feature(int64_list=E.Int64List(value=[1])),
    }))  # fmt: skip
    parsed = hr.io.parse_example([example.SerializeToString()], spec)
    row = keras.layers.DenseFeatures(made)(parsed)
    np.testing.assert_allclose(row.numpy()[0], [35, 0, 0, 1, 1, 1, *TABLE[1]], rtol=1e-6)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: FC.numeric_column("a", shape=(0,)), "positive"),
        (lambda: FC.bucketized_column(FC.numeric_column("a"), [2, 1]), "sorted"),
        (lambda: FC.bucketized_column("a", [1]), "numeric_column"),
        (lambda: FC.categorical_column_with_hash_bucket("a", 0), "at least 1"),
        (lambda: FC.categorical_column_with_identity("a", 3, 3), "not in range"),
        (lambda: FC.categorical_column_with_vocabulary_list("a", []), "non-empty"),
        (lambda: FC.categorical_column_with_vocabulary_list("a", ["x", "x"]), "Duplicate"),
        (lambda: FC.categorical_column_with_vocabulary_list("a", ["x"], None, 0, 2), "both"),
        (lambda: FC.crossed_column(["a"], 3), "length > 1"),
        (lambda: FC.crossed_column(
            ["b", FC.categorical_column_with_hash_bucket("a", 3)], 3), "not supported"),
        (lambda: FC.embedding_column(FC.numeric_column("a"), 2), "categorical"),
        (lambda: FC.embedding_column(
            FC.categorical_column_with_identity("a", 3), 2, "max"), "combiner"),
        (lambda: keras.layers.DenseFeatures(
            FC.categorical_column_with_identity("a", 3)), "indicator_column"),
        (lambda: keras.layers.DenseFeatures([FC.numeric_column("a")] * 2), "Duplicate"),
        (lambda: keras.layers.DenseFeatures(FC.numeric_column("a"))({"b": [1.0]}), "Feature a"),
        (lambda: keras.layers.DenseFeatures(FC.indicator_column(
            FC.categorical_column_with_identity("a", 3)))({"a": np.array([5])}), "num_buckets"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told(make, words):
    with pytest.raises(ValueError, match=words):
        make()
