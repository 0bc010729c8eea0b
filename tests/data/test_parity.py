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
