"""Lookup tables filled from datasets are TensorFlow's."""

import numpy as np
import pytest

import headrace as hr


def words(m, count=4):
    return m.data.Dataset.from_tensor_slices(["to", "be", "or", "not"][:count])


def made(m, how):
    x = m.data.experimental
    pairs = m.data.Dataset.zip((words(m), m.data.Dataset.range(4).map(lambda n: n * n)))
    spec = type(x.index_table_from_dataset.__defaults__[4])  # HasherSpec
    numbers = m.data.Dataset.range(5, 25, 5)
    return {
        "positions": lambda: x.index_table_from_dataset(words(m)),
        "buckets": lambda: x.index_table_from_dataset(words(m), num_oov_buckets=6),
        "legacy": lambda: x.index_table_from_dataset(
            words(m), 6, hasher_spec=spec("legacy", None)
        ),
        "strong": lambda: x.index_table_from_dataset(
            words(m), 6, hasher_spec=spec("stronghash", [3, 9])
        ),
        "two": lambda: x.index_table_from_dataset(words(m), vocab_size=2, default_value=-7),
        "pairs": lambda: x.table_from_dataset(pairs),
        "initializer": lambda: m.lookup.StaticHashTable(x.DatasetInitializer(pairs), 100),
        "vocabulary": lambda: m.lookup.StaticVocabularyTable(x.DatasetInitializer(pairs), 3),
        "texts": lambda: x.table_from_dataset(
            m.data.Dataset.zip((words(m), words(m).map(m.strings.upper))), default_value="?"
        ),
        "numbers": lambda: x.index_table_from_dataset(numbers, 3, key_dtype=m.int64),
    }[how]()


@pytest.mark.parametrize(
    "how",
    ["positions", "buckets", "legacy", "strong", "two", "pairs", "initializer", "vocabulary",
     "texts", "numbers"],
)  # fmt: skip
def test_tables_from_datasets_are_tensorflows(tf, how):
    queries = np.array(["be", "x", "to", "", "not", "whether"], object)
    if how == "numbers":
        queries = np.array([5, 0, 20, 10, 7])
    ours, theirs = made(hr, how), made(tf, how)
    got, want = ours.lookup(hr.constant(queries)), theirs.lookup(tf.constant(queries))
    assert got.numpy().tolist() == want.numpy().tolist()
    assert got.dtype.name == want.dtype.name
    assert int(ours.size()) == int(theirs.size())


def test_errors_are_of_tensorflows_kind(tf):
    def calls(m):
        x = m.data.experimental
        slices = m.data.Dataset.from_tensor_slices
        return [
            lambda: x.index_table_from_dataset(words(m), vocab_size=5),
            lambda: x.index_table_from_dataset(words(m), vocab_size=0),
            lambda: x.index_table_from_dataset(words(m), num_oov_buckets=-1),
            lambda: x.index_table_from_dataset(words(m), key_dtype=m.float32),
            lambda: x.index_table_from_dataset(words(m).repeat(2)),
            lambda: x.table_from_dataset(slices((["a"], ["b"]))),
            lambda: x.table_from_dataset(slices((["a"], [1])), num_oov_buckets=1),
            lambda: x.DatasetInitializer(slices((["a"], [1])).batch(1)),
            lambda: x.DatasetInitializer(slices((["a"], [1], [2]))),
            lambda: x.DatasetInitializer(slices((m.ragged.constant([["a"]]), [1]))),
        ]

    def kind(call):
        with pytest.raises(Exception) as caught:
            call()
        return type(caught.value).__name__

    assert [kind(c) for c in calls(hr)] == [kind(c) for c in calls(tf)]


def test_no_pairs_and_no_elements():
    with pytest.raises(ValueError, match="1 components instead of two"):
        hr.data.experimental.table_from_dataset(words(hr))
    table = hr.data.experimental.index_table_from_dataset(words(hr).take(0))
    assert int(table.size()) == 0 and table[["a"]].numpy().tolist() == [-1]


def test_a_large_vocabulary_serves_a_pipeline():
    numbers = hr.data.Dataset.range(200_000)
    table = hr.data.experimental.index_table_from_dataset(numbers.map(hr.strings.as_string))
    ids = numbers.map(lambda n: table[hr.strings.as_string(n * 2)])
    want = [2 * n if n < 100_000 else -1 for n in range(200_000)]
    assert np.concatenate([b.numpy() for b in ids.batch(4096)]).tolist() == want
