"""The same code on Headrace and on TensorFlow gives the same elements, specs, cardinalities
and kinds of errors."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops import nest, sparse_tensor

ROWS = np.arange(24, dtype=np.float32).reshape(8, 3)
WORDS = ["a", "bc", "", "def", "gh", "i", "jkl", "m"]


def ragged_rows(m):
    return m.data.Dataset.from_generator(
        lambda: ([i] * (i % 4) for i in range(10)),
        output_signature=m.TensorSpec([None], m.int64),
    )


def sparse(m, rows):
    array = np.array(rows, np.int32)
    kind = sparse_tensor.SparseTensor if m is hr else m.SparseTensor
    return kind(np.argwhere(array), array[array != 0], array.shape)


SAME = {
    "range": lambda m: m.data.Dataset.range(7),
    "range_2": lambda m: m.data.Dataset.range(3, 7),
    "range_3": lambda m: m.data.Dataset.range(9, 1, -3),
    "range_type": lambda m: m.data.Dataset.range(4, output_type=m.float32),
    "range_empty": lambda m: m.data.Dataset.range(5, 2),
    "tensors": lambda m: m.data.Dataset.from_tensors({"b": [1, 2], "a": (1.5, ["x", "y"])}),
    "tensors_list": lambda m: m.data.Dataset.from_tensors([[1, 2], [3, 4]]),
    "tensors_numpy": lambda m: m.data.Dataset.from_tensors(np.float64(3)),
    "slices": lambda m: m.data.Dataset.from_tensor_slices(ROWS),
    "slices_nested": lambda m: m.data.Dataset.from_tensor_slices((ROWS, {"w": WORDS})),
    "slices_dict_order": lambda m: m.data.Dataset.from_tensor_slices(
        {"b": [1, 2], "a": [True, False]}),
    "slices_of_lists": lambda m: m.data.Dataset.from_tensor_slices([[1, 2], [3, 4]]),
    "generator": lambda m: m.data.Dataset.from_generator(
        lambda: ((i, "x" * i) for i in range(4)),
        output_signature=(m.TensorSpec([], m.int64), m.TensorSpec([], m.string))),
    "generator_types": lambda m: m.data.Dataset.from_generator(
        lambda n: range(n), output_types=m.int32, args=[3]),
    "generator_shapes": lambda m: m.data.Dataset.from_generator(
        lambda: [([1, 2], 1.0)], (m.int32, m.float32), ([2], [])),
    "map": lambda m: m.data.Dataset.range(5).map(lambda x: x * 2 + 1),
    "map_nested": lambda m: m.data.Dataset.range(5).map(lambda x: {"a": (x, x + 1)}),
    "map_two": lambda m: m.data.Dataset.from_tensor_slices((ROWS, WORDS)).map(
        lambda a, b: (b, a)),
    "map_list": lambda m: m.data.Dataset.range(5).map(lambda x: [x, x]),
    "map_constant": lambda m: m.data.Dataset.range(3).map(lambda x: 7),
    "map_parallel": lambda m: m.data.Dataset.range(100).map(
        lambda x: x * x, num_parallel_calls=m.data.AUTOTUNE),
    "map_numpy_result": lambda m: m.data.Dataset.range(3).map(lambda x: np.ones(2)),
    "map_varying": lambda m: m.data.Dataset.range(4).map(lambda x: m.fill([x], x)),
    "filter": lambda m: m.data.Dataset.range(20).filter(lambda x: x % 3 == 0),
    "filter_none": lambda m: m.data.Dataset.range(20).filter(lambda x: x > 100),
    "filter_strings": lambda m: m.data.Dataset.from_tensor_slices(WORDS).filter(
        lambda w: m.strings.length(w) > 1),
    "batch": lambda m: m.data.Dataset.range(7).batch(3),
    "batch_drop": lambda m: m.data.Dataset.range(7).batch(3, drop_remainder=True),
    "batch_nested": lambda m: m.data.Dataset.from_tensor_slices((ROWS, {"w": WORDS})).batch(3),
    "batch_of_batch": lambda m: m.data.Dataset.range(12).batch(2).batch(3),
    "batch_large": lambda m: m.data.Dataset.range(3).batch(10),
    "unbatch": lambda m: m.data.Dataset.from_tensors((ROWS, WORDS)).unbatch(),
    "unbatch_batch": lambda m: m.data.Dataset.range(7).batch(3).unbatch(),
    "unbatch_ragged": lambda m: ragged_rows(m).unbatch(),
    "padded": lambda m: ragged_rows(m).padded_batch(4),
    "padded_shape": lambda m: ragged_rows(m).padded_batch(4, [5], np.int64(-1), True),
    "padded_strings": lambda m: m.data.Dataset.from_tensor_slices(WORDS).map(
        lambda w: m.strings.split(w, " ")).map(lambda w: w[:1]).padded_batch(3, [2], "-"),
    "rebatch": lambda m: m.data.Dataset.range(10).batch(4).rebatch(3),
    "rebatch_drop": lambda m: m.data.Dataset.range(10).batch(4).rebatch(3, drop_remainder=True),
    "window": lambda m: m.data.Dataset.range(9).window(4, shift=2).flat_map(
        lambda w: w.batch(4)),
    "window_options": lambda m: m.data.Dataset.range(9).window(3, 1, 2, True).flat_map(
        lambda w: w.batch(3)),
    "window_shift": lambda m: m.data.Dataset.range(9).window(2, shift=4).flat_map(
        lambda w: w.batch(2)),
    "repeat": lambda m: m.data.Dataset.range(3).repeat(3),
    "repeat_0": lambda m: m.data.Dataset.range(3).repeat(0),
    "repeat_endless": lambda m: m.data.Dataset.range(3).repeat().take(8),
    "take": lambda m: m.data.Dataset.range(9).take(4),
    "take_all": lambda m: m.data.Dataset.range(9).take(-1),
    "take_more": lambda m: m.data.Dataset.range(9).take(100),
    "skip": lambda m: m.data.Dataset.range(9).skip(4),
    "skip_all": lambda m: m.data.Dataset.range(9).skip(-1),
    "shard": lambda m: m.data.Dataset.range(10).shard(3, 1),
    "shard_many": lambda m: m.data.Dataset.range(2).shard(5, 4),
    "enumerate": lambda m: m.data.Dataset.from_tensor_slices((ROWS, WORDS)).enumerate(start=5),
    "concatenate": lambda m: m.data.Dataset.range(3).concatenate(m.data.Dataset.range(8, 10)),
    "concatenate_shapes": lambda m: m.data.Dataset.from_tensors([1, 2]).concatenate(
        m.data.Dataset.from_tensors([1, 2, 3])),
    "zip": lambda m: m.data.Dataset.zip(m.data.Dataset.range(3), m.data.Dataset.range(5, 10)),
    "zip_nested": lambda m: m.data.Dataset.zip(
        (m.data.Dataset.range(3), {"a": m.data.Dataset.range(4).batch(2)})),
    "zip_datasets": lambda m: m.data.Dataset.zip(datasets=(m.data.Dataset.range(2),)),
    "cache": lambda m: m.data.Dataset.range(4).cache().repeat(2),
    "prefetch": lambda m: m.data.Dataset.range(4).prefetch(2),
    "flat_map": lambda m: m.data.Dataset.range(5).flat_map(m.data.Dataset.range),
    "flat_map_pairs": lambda m: m.data.Dataset.from_tensor_slices((ROWS, WORDS)).flat_map(
        lambda a, b: m.data.Dataset.from_tensors((b, a)).repeat(2)),
    "interleave": lambda m: m.data.Dataset.range(1, 6).interleave(
        lambda x: m.data.Dataset.from_tensors(x).repeat(6), cycle_length=2, block_length=4),
    "interleave_ends": lambda m: m.data.Dataset.range(9).interleave(
        lambda x: m.data.Dataset.range(10 * x, 11 * x), cycle_length=3, block_length=2),
    "interleave_parallel": lambda m: m.data.Dataset.range(1, 6).interleave(
        lambda x: m.data.Dataset.from_tensors(x).repeat(6), cycle_length=2, block_length=4,
        num_parallel_calls=2),
    "interleave_wide": lambda m: m.data.Dataset.range(3).interleave(
        lambda x: m.data.Dataset.range(x, x + 3), cycle_length=8),
    "ignore_errors": lambda m: m.data.Dataset.range(9).map(
        lambda x: 12 // (x - 4)).ignore_errors(),
    "assert_cardinality": lambda m: m.data.Dataset.range(9).filter(lambda x: x < 4).apply(
        m.data.experimental.assert_cardinality(4)),
    "from_list": lambda m: m.data.experimental.from_list([(1, "a"), (2, "b")]),
    "group_by_window": lambda m: m.data.Dataset.range(31).group_by_window(
        lambda x: x * x % 5, lambda k, w: w.batch(3), window_size=3),
    "group_by_window_sizes": lambda m: m.data.Dataset.range(40).group_by_window(
        lambda x: x % 4, lambda k, w: w.map(lambda x: (k, x)),
        window_size_func=lambda k: k + 1),
    "group_by_window_ends": lambda m: m.data.Dataset.range(9).group_by_window(
        lambda x: 5 - x % 3, lambda k, w: w.batch(10), window_size=10),
    "bucket": lambda m: m.data.Dataset.range(1, 20).map(
        lambda x: m.fill([x % 7], x)).bucket_by_sequence_length(
        lambda x: m.shape(x)[0], [3, 5], [2, 3, 2]),
    "bucket_boundary": lambda m: m.data.Dataset.range(1, 20).map(
        lambda x: m.fill([x % 7], x)).bucket_by_sequence_length(
        lambda x: m.shape(x)[0], [3, 8], [2, 3, 2], pad_to_bucket_boundary=True),
    "bucket_pairs": lambda m: m.data.Dataset.range(1, 20).map(
        lambda x: (m.fill([x % 7], x), x)).bucket_by_sequence_length(
        lambda x, y: m.shape(x)[0], [3, 5], [2, 3, 2], padded_shapes=([None], []),
        padding_values=(np.int64(-1), np.int64(0)), drop_remainder=True),
    "bucket_no_padding": lambda m: m.data.Dataset.range(1, 20).map(
        lambda x: m.fill([2 * (x % 2) + 1], x)).bucket_by_sequence_length(
        lambda x: m.shape(x)[0], [2], [2, 3], no_padding=True),
    "sparse_rows": lambda m: m.data.Dataset.range(1, 8).map(
        lambda x: m.fill([x % 4], x)).sparse_batch(3, [6]),
    "sparse_batch_open": lambda m: m.data.Dataset.range(1, 8).map(
        lambda x: m.fill([x % 4, 2], x)).sparse_batch(3, [None, 2]),
    "group_by_reducer": lambda m: m.data.Dataset.range(23).apply(
        m.data.experimental.group_by_reducer(
            lambda x: 7 - x % 5, m.data.experimental.Reducer(
                lambda k: (k, m.constant(0.5)), lambda s, x: (s[0] + x, s[1] * 2.0),
                lambda a, b: {"a": a, "b": b}))),
    "pad_to_cardinality": lambda m: m.data.Dataset.from_tensor_slices(
        {"a": [1, 2], "b": [1.5, 2.5]}).apply(m.data.experimental.pad_to_cardinality(5)),
    "resample_all": lambda m: m.data.Dataset.range(8).rejection_resample(
        lambda x: m.cast(x % 2, m.int32), [0.5, 0.5], [0.5, 0.5], seed=1),
    "take_while": lambda m: m.data.Dataset.range(9).take_while(lambda x: x < 4),
    "scan": lambda m: m.data.Dataset.range(6).scan(
        m.constant(1, m.int64), lambda s, x: (s + x, s * 2)),
    "unique": lambda m: m.data.Dataset.from_tensor_slices([1, 37, 2, 37, 2, 1]).unique(),
    "unique_strings": lambda m: m.data.Dataset.from_tensor_slices(["a", "b", "a"]).unique(),
    "choose": lambda m: m.data.Dataset.choose_from_datasets(
        [m.data.Dataset.range(3), m.data.Dataset.range(10, 15)],
        m.data.Dataset.from_tensor_slices(np.array([0, 1, 1, 0, 1, 0, 0, 1], np.int64)), False),
    "choose_stop": lambda m: m.data.Dataset.choose_from_datasets(
        [m.data.Dataset.range(2), m.data.Dataset.range(10, 15)],
        m.data.Dataset.range(2).repeat()),
    "ragged_tensors": lambda m: m.data.Dataset.from_tensors(
        m.RaggedTensor.from_row_lengths([1, 2, 3], [2, 1])).repeat(3).batch(2),
    "ragged_slices": lambda m: m.data.Dataset.from_tensor_slices(
        m.RaggedTensor.from_row_lengths([1, 2, 3], [2, 1])),
    "ragged_slices_map": lambda m: m.data.Dataset.from_tensor_slices(
        m.RaggedTensor.from_row_lengths([1, 2, 3], [2, 1])).map(lambda x: x + 1),
    "ragged_slices_batch": lambda m: m.data.Dataset.from_tensor_slices(
        m.RaggedTensor.from_row_lengths([1, 2, 3], [2, 0, 1])).batch(2),
    "ragged_slices_batch_unbatch": lambda m: m.data.Dataset.from_tensor_slices(
        m.RaggedTensor.from_row_lengths([1, 2, 3], [2, 0, 1])).batch(2).unbatch(),
    "ragged_batch": lambda m: ragged_rows(m).ragged_batch(4),
    "ragged_batch_dense": lambda m: m.data.Dataset.from_tensor_slices(ROWS).ragged_batch(
        3, drop_remainder=True),
    "sparse_batch": lambda m: m.data.Dataset.from_tensors(
        sparse(m, [[1, 0, 2], [0, 0, 3]])).repeat(3).batch(2),
    "sparse_slices": lambda m: m.data.Dataset.from_tensor_slices(
        sparse(m, [[1, 0, 2], [0, 0, 3]])),
}  # fmt: skip


def plain(value):
    """A component as (dtype, shape, values)."""
    array = np.asarray(value)
    if array.dtype == object and array.size and isinstance(array.flat[0], np.ndarray):
        return [plain(row) for row in array]  # a ragged tensor
    return array.dtype.str, array.shape, array.tolist()


def spec_text(spec):
    """A spec as text without the module's name."""
    return str(spec).replace("tf.", "hr.")


@pytest.mark.parametrize("name", SAME)
def test_same_elements(tf, name):
    ours = list(SAME[name](hr).as_numpy_iterator())
    theirs = list(SAME[name](tf).as_numpy_iterator())
    assert len(ours) == len(theirs)
    for a, b in zip(ours, theirs, strict=True):
        assert type(a) is type(b)
        x, y = nest.flatten(a), tf.nest.flatten(b)
        assert list(map(plain, x)) == list(map(plain, y))


@pytest.mark.parametrize("name", SAME)
def test_same_element_spec(tf, name):
    ours, theirs = SAME[name](hr).element_spec, SAME[name](tf).element_spec
    if name == "scan":
        return  # TensorFlow forgets the shape
    assert spec_text(ours) == spec_text(theirs)


@pytest.mark.parametrize("name", SAME)
def test_same_cardinality(tf, name):
    assert int(SAME[name](hr).cardinality()) == int(SAME[name](tf).cardinality())


def drain(dataset):
    return [e for e, _ in zip(dataset, range(100), strict=False)]


ERRORS = {
    "batch_0": lambda m: drain(m.data.Dataset.range(3).batch(0)),
    "batch_shapes": lambda m: drain(ragged_rows(m).batch(3)),
    "batch_of_batch": lambda m: drain(m.data.Dataset.range(9).batch(2).batch(3)),
    "range_step": lambda m: m.data.Dataset.range(1, 2, 0),
    "range_nothing": lambda m: m.data.Dataset.range(),
    "shuffle_0": lambda m: m.data.Dataset.range(3).shuffle(0),
    "shard_0": lambda m: m.data.Dataset.range(3).shard(0, 0),
    "shard_index": lambda m: m.data.Dataset.range(3).shard(3, 3),
    "slices_lengths": lambda m: m.data.Dataset.from_tensor_slices(([1, 2], [1, 2, 3])),
    "slices_scalar": lambda m: m.data.Dataset.from_tensor_slices(5),
    "unbatch_scalar": lambda m: m.data.Dataset.range(3).unbatch(),
    "zip_list": lambda m: m.data.Dataset.zip([m.data.Dataset.range(3)]),
    "zip_other": lambda m: m.data.Dataset.zip(m.data.Dataset.range(3), 5),
    "zip_nothing": lambda m: m.data.Dataset.zip(),
    "concatenate_dtypes": lambda m: m.data.Dataset.range(3).concatenate(
        m.data.Dataset.from_tensors(1.0)),
    "map_no_function": lambda m: m.data.Dataset.range(3).map(3),
    "filter_not_bool": lambda m: m.data.Dataset.range(3).filter(lambda x: x),
    "filter_not_scalar": lambda m: m.data.Dataset.range(3).batch(2).filter(lambda x: x > 1),
    "generator_not_callable": lambda m: m.data.Dataset.from_generator([1], m.int32),
    "generator_no_signature": lambda m: m.data.Dataset.from_generator(lambda: [1]),
    "generator_type": lambda m: drain(m.data.Dataset.from_generator(
        lambda: [1, "x"], output_signature=m.TensorSpec([], m.int32))),
    "generator_shape": lambda m: drain(m.data.Dataset.from_generator(
        lambda: [1, [2]], output_signature=m.TensorSpec([], m.int32))),
    "generator_structure": lambda m: drain(m.data.Dataset.from_generator(
        lambda: [(1, 2, 3)],
        output_signature=(m.TensorSpec([], m.int32), m.TensorSpec([], m.int32)))),
    "missing_file": lambda m: drain(m.data.TFRecordDataset("/no/such/file")),
    "missing_text": lambda m: drain(m.data.TextLineDataset("/no/such/file")),
    "list_files": lambda m: m.data.Dataset.list_files("/no/such/*"),
    "len_infinite": lambda m: len(m.data.Dataset.range(3).repeat()),
    "len_unknown": lambda m: len(m.data.Dataset.range(3).filter(lambda x: x > 1)),
    "single_many": lambda m: m.data.Dataset.range(3).get_single_element(),
    "single_none": lambda m: m.data.Dataset.range(0).get_single_element(),
    "cardinality_less": lambda m: drain(m.data.Dataset.range(3).apply(
        m.data.experimental.assert_cardinality(4))),
    "cardinality_more": lambda m: drain(m.data.Dataset.range(5).apply(
        m.data.experimental.assert_cardinality(4))),
    "cardinality_end": lambda m: drain(m.data.Dataset.range(5).apply(
        m.data.experimental.assert_cardinality(-1))),
    "get_next_end": lambda m: iter(m.data.Dataset.range(0)).get_next(),
    "apply": lambda m: m.data.Dataset.range(3).apply(lambda d: 3),
    "padded_small": lambda m: drain(ragged_rows(m).padded_batch(4, [2])),
    "padded_rank": lambda m: ragged_rows(m).padded_batch(4, [2, 2]),
    "sample_weights": lambda m: m.data.Dataset.sample_from_datasets(
        [m.data.Dataset.range(3)], [0.5, 0.5]),
    "choose_dtype": lambda m: m.data.Dataset.choose_from_datasets(
        [m.data.Dataset.range(3)], m.data.Dataset.from_tensors(1)),
    "unique_pairs": lambda m: m.data.Dataset.range(3).enumerate().unique(),
    "rebatch_scalars": lambda m: m.data.Dataset.range(3).rebatch(3),
    "group_both_sizes": lambda m: m.data.Dataset.range(3).group_by_window(
        lambda x: x, lambda k, w: w, window_size=2, window_size_func=lambda k: k),
    "group_no_size": lambda m: m.data.Dataset.range(3).group_by_window(
        lambda x: x, lambda k, w: w),
    "group_size_0": lambda m: drain(m.data.Dataset.range(3).group_by_window(
        lambda x: x, lambda k, w: w, window_size_func=lambda k: m.constant(0, m.int64))),
    "group_key_vector": lambda m: m.data.Dataset.range(3).batch(2).group_by_window(
        lambda x: x, lambda k, w: w, window_size=2),
    "group_no_dataset": lambda m: m.data.Dataset.range(3).group_by_window(
        lambda x: x, lambda k, w: k, window_size=2),
    "bucket_sizes": lambda m: m.data.Dataset.range(3).batch(2).bucket_by_sequence_length(
        lambda x: m.shape(x)[0], [2, 3], [2, 3]),
    "sparse_batch_pairs": lambda m: m.data.Dataset.range(3).enumerate().sparse_batch(2, [1]),
    "sparse_batch_small": lambda m: drain(
        m.data.Dataset.range(9).batch(3).sparse_batch(2, [2])),
    "reducer_key": lambda m: m.data.Dataset.range(3).batch(2).apply(
        m.data.experimental.group_by_reducer(lambda x: x, m.data.experimental.Reducer(
            lambda k: k, lambda s, x: s, lambda s: s))),
    "reducer_state": lambda m: m.data.Dataset.range(3).apply(
        m.data.experimental.group_by_reducer(lambda x: x, m.data.experimental.Reducer(
            lambda k: k, lambda s, x: m.cast(s, m.float32), lambda s: s))),
    "pad_too_many": lambda m: m.data.Dataset.range(3).map(lambda x: {"a": x}).apply(
        m.data.experimental.pad_to_cardinality(2)),
    "pad_unknown": lambda m: m.data.Dataset.range(3).map(lambda x: {"a": x}).repeat().apply(
        m.data.experimental.pad_to_cardinality(2)),
    "pad_no_dict": lambda m: m.data.Dataset.range(3).apply(
        m.data.experimental.pad_to_cardinality(5)),
    "at_end": lambda m: m.data.experimental.at(m.data.Dataset.range(3), 3),
    "optional_empty": lambda m: m.data.experimental.Optional.empty(
        m.TensorSpec([], m.int32)).get_value(),
    "features_label": lambda m: m.data.experimental.make_batched_features_dataset(
        __file__, 2, {"a": m.io.FixedLenFeature([], m.int64)}, label_key="b"),
    "parse_scalars": lambda m: m.data.Dataset.from_tensors("x").apply(
        m.data.experimental.parse_example_dataset({"a": m.io.FixedLenFeature([], m.int64)})),
    "scan_state": lambda m: m.data.Dataset.range(3).scan(0, lambda s, x: (x, x)),
}  # fmt: skip


@pytest.mark.parametrize("name", ERRORS)
def test_same_kind_of_error(tf, name):
    with pytest.raises(Exception) as theirs:
        ERRORS[name](tf)
    with pytest.raises(Exception) as ours:
        ERRORS[name](hr)
    kind = theirs.type
    if issubclass(kind, tf.errors.OpError):
        assert issubclass(ours.type, getattr(hr.errors, kind.__name__))
    else:
        assert issubclass(ours.type, kind)


@pytest.mark.parametrize("label", [None, "b"])
def test_batched_features(tf, tmp_path, label):
    examples = []
    for i in range(7):
        feature = {
            "a": tf.train.Feature(int64_list=tf.train.Int64List(value=[i])),
            "b": tf.train.Feature(float_list=tf.train.FloatList(value=[i / 2])),
            "c": tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"x"] * (i % 3))),
        }
        examples.append(tf.train.Example(features=tf.train.Features(feature=feature)))
    texts = [e.SerializeToString() for e in examples]
    path = str(tmp_path / "f.tfrecord")
    hr.data.experimental.TFRecordWriter(path).write(
        hr.data.Dataset.from_tensor_slices(np.array(texts, object))
    )
    seen = []
    for m in (hr, tf):
        features = {
            "a": m.io.FixedLenFeature([], m.int64),
            "b": m.io.FixedLenFeature([], m.float32),
            "c": m.io.VarLenFeature(m.string),
        }
        dataset = m.data.experimental.make_batched_features_dataset(
            path, 3, features, label_key=label, num_epochs=2, shuffle=False
        )
        rows = []
        for batch in dataset:
            row, target = batch if label else (batch, None)
            dense = m.sparse.to_dense(row["c"], b"")
            rows.append([row["a"].numpy().tolist(), dense.numpy().tolist(), sorted(row)])
            rows.append(None if target is None else target.numpy().tolist())
        seen.append(rows)
    assert seen[0] == seen[1]


def test_resampling_gives_the_wanted_frequencies(tf):
    for m in (hr, tf):
        for initial in (None, [0.9, 0.1]):
            pairs = m.data.Dataset.range(20_000).rejection_resample(
                lambda x, m=m: m.cast(x % 10 == 0, m.int32), [0.4, 0.6], initial, seed=1
            )
            kinds = np.array([int(kind) for kind, _ in pairs])
            assert abs(kinds.mean() - 0.6) < 0.03
            assert pairs.element_spec[0].dtype.name == "int32"


def test_optionals(tf):
    for m in (hr, tf):
        iterator = iter(m.data.Dataset.range(1))
        first, second = (m.data.experimental.get_next_as_optional(iterator) for _ in range(2))
        assert bool(first.has_value()) and int(first.get_value()) == 0
        assert not bool(second.has_value())
        some = m.data.experimental.Optional.from_value({"a": [1, 2]})
        assert some.get_value()["a"].numpy().tolist() == [1, 2]
        assert some.element_spec["a"].shape.as_list() == [2]


def test_elements_by_number(tf):
    for m in (hr, tf):
        at = m.data.experimental.at
        assert at(m.data.Dataset.range(20).batch(3), 6).numpy().tolist() == [18, 19]
        assert int(at(m.data.Dataset.range(9).map(lambda x: x * x).skip(1), 4)) == 25


def test_fingerprints_tell_datasets_apart(tf):
    for m in (hr, tf):

        def make(n, m=m):
            return m.data.Dataset.range(5).map(lambda x: x + n)

        assert make(1).fingerprint() == make(1).fingerprint()
        assert make(1).fingerprint() != make(2).fingerprint()
        assert make(1).fingerprint().dtype.name == "uint64"


def test_reduce(tf):
    for m in (hr, tf):
        total = m.data.Dataset.range(10).reduce(np.int64(0), lambda s, x: s + x)
        assert int(total) == 45
        pair = m.data.Dataset.range(5).reduce(
            (np.int64(0), np.int64(1)), lambda s, x: (s[0] + x, s[1] * 2)
        )
        assert [int(v) for v in pair] == [10, 32]


@pytest.mark.parametrize("buffer_size", [1, 2, 5, 20, 100])
def test_shuffle_keeps_the_guarantees(tf, buffer_size):
    for m in (hr, tf):
        out = list(m.data.Dataset.range(20).shuffle(buffer_size).as_numpy_iterator())
        assert sorted(out) == list(range(20))
        assert all(x < position + buffer_size for position, x in enumerate(out))


def test_shuffle_reshuffles_as_told(tf):
    for m in (hr, tf):
        for again, seed in ((True, 1), (False, 1), (False, None)):
            d = m.data.Dataset.range(50).shuffle(50, seed, reshuffle_each_iteration=again)
            a, b = (list(d.as_numpy_iterator()) for _ in range(2))
            assert (a != b) == again
            c = list(d.repeat(2).as_numpy_iterator())
            assert (c[:50] != c[50:]) == again
