"""The checkpoint law: a state saved before any element, restored into a fresh iterator of a
freshly built dataset, gives exactly the rest; with the rules on and off, for every
transformation."""

import pickle
from functools import partial

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, FixedLengthRecordDataset, TextLineDataset, TFRecordDataset
from headrace.data.iterator import NumpyIterator
from headrace.ops import nest

R = Dataset.range


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Three small files of each kind."""
    folder = tmp_path_factory.mktemp("files")
    for f, count in enumerate((5, 0, 9)):
        with hr.io.TFRecordWriter(str(folder / f"{f}.tfrecord")) as writer:
            for i in range(count):
                writer.write(b"x" * i + b"%d-%d" % (f, i))
        (folder / f"{f}.txt").write_text("".join(f"line {f} {i}\n" for i in range(count)))
        (folder / f"{f}.bin").write_bytes(b"HD" + bytes(range(4 * count)) + b"F")
    return folder


def paths(folder, kind):
    return sorted(str(p) for p in folder.glob(f"*.{kind}"))


def counting():
    for i in range(13):
        yield i, [i] * (i % 3)


GENERATED = (hr.TensorSpec([], hr.int64), hr.TensorSpec([None], hr.int32))


def untraceable(x):
    return int(x) * 2 if int(x) % 2 else int(x)


def untraceable_division(x):
    return 60 // (int(x) % 7 - 3)


def fails_at(k, x):
    if int(x) == k:
        raise ValueError("bad element")
    return x


def saved(dataset, path, shard_func=None):
    if not path.exists():
        dataset.save(path, shard_func=shard_func)
    return Dataset.load(path)


CHAINS = {
    "range": lambda f: R(23),
    "range_step": lambda f: R(20, -5, -3),
    "tensors": lambda f: Dataset.from_tensors({"a": [1, 2], "b": ("x", 3.0)}),
    "slices": lambda f: Dataset.from_tensor_slices(
        (np.arange(24).reshape(12, 2), list("abcdefghijkl"))),
    "generator": lambda f: Dataset.from_generator(counting, output_signature=GENERATED),
    "generator_map": lambda f: Dataset.from_generator(
        counting, output_signature=GENERATED).map(lambda a, b: a),
    "tfrecord": lambda f: TFRecordDataset(paths(f, "tfrecord")),
    "tfrecord_parallel": lambda f: TFRecordDataset(paths(f, "tfrecord"), num_parallel_reads=2),
    "tfrecord_from_dataset": lambda f: TFRecordDataset(
        Dataset.list_files(str(f / "*.tfrecord"), shuffle=True, seed=3)),
    "text": lambda f: TextLineDataset(paths(f, "txt")),
    "fixed_length": lambda f: FixedLengthRecordDataset(paths(f, "bin"), 4, 2, 1),
    "list_files": lambda f: Dataset.list_files(str(f / "*"), seed=1),
    "map": lambda f: R(23).map(lambda x: x * 2),
    "map_dict": lambda f: R(9).map(lambda x: {"a": x, "b": (x + 1, x * 2)}),
    "map_untraceable": lambda f: R(23).map(untraceable),
    "map_parallel": lambda f: R(50).map(lambda x: x * 2, num_parallel_calls=2),
    "map_untraceable_parallel": lambda f: R(23).map(untraceable, num_parallel_calls=3),
    "map_map_batch": lambda f: R(23).map(lambda x: x + 1).map(lambda x: x * x).batch(4),
    "filter": lambda f: R(40).filter(lambda x: x % 3 == 1),
    "filter_untraceable": lambda f: R(20).filter(lambda x: int(x) % 3 == 1),
    "batch": lambda f: R(23).batch(4),
    "batch_drop": lambda f: R(23).batch(4, drop_remainder=True),
    "batch_strings": lambda f: TextLineDataset(paths(f, "txt")).batch(3),
    "batch_batch": lambda f: R(22).batch(2).batch(3),
    "batch_unbatch": lambda f: R(23).batch(4).unbatch(),
    "unbatch_skewed": lambda f: Dataset.from_generator(
        lambda: ([0] * (i % 4) for i in range(12)),
        output_signature=hr.TensorSpec([None], hr.int32)).unbatch(),
    "padded_batch": lambda f: R(1, 11).map(lambda x: hr.fill([x % 4], x)).padded_batch(3),
    "rebatch": lambda f: R(23).batch(4).rebatch(3),
    "window_flat_map": lambda f: R(17).window(4, shift=2).flat_map(lambda w: w.batch(4)),
    "window_stride": lambda f: R(17).window(3, shift=2, stride=2, drop_remainder=True).flat_map(
        lambda w: w.batch(3)),
    "shuffle": lambda f: R(40).shuffle(7, seed=5),
    "shuffle_all": lambda f: R(20).shuffle(100, seed=5),
    "shuffle_stored": lambda f: R(40).map(lambda x: x + 1).shuffle(7, seed=5),
    "shuffle_strings": lambda f: TFRecordDataset(paths(f, "tfrecord")).shuffle(4, seed=2),
    "shuffle_generator": lambda f: Dataset.from_generator(
        counting, output_signature=GENERATED).shuffle(4, seed=2),
    "shuffle_repeat": lambda f: R(12).shuffle(5, seed=5).repeat(3),
    "shuffle_repeat_same": lambda f: R(12).shuffle(
        5, seed=5, reshuffle_each_iteration=False).repeat(3),
    "repeat_shuffle_batch": lambda f: R(9).repeat(3).shuffle(6, seed=5).batch(4),
    "shuffle_shuffle": lambda f: R(30).shuffle(5, seed=5).shuffle(9, seed=6),
    "repeat": lambda f: R(5).repeat(4),
    "repeat_endless": lambda f: R(5).repeat().take(23),
    "repeat_nothing": lambda f: R(0).repeat(),
    "repeat_map_untraceable": lambda f: R(4).map(untraceable).repeat(3).batch(5),
    "take": lambda f: R(30).take(11),
    "take_repeat": lambda f: R(30).map(lambda x: x + 1).prefetch(2).take(5).repeat(3),
    "skip": lambda f: R(30).skip(11),
    "shard": lambda f: R(30).shard(4, 1),
    "shard_untraceable": lambda f: R(20).map(untraceable).shard(3, 2),
    "enumerate": lambda f: R(5, 20).enumerate(start=7),
    "concatenate": lambda f: R(5).concatenate(R(10, 17)).concatenate(R(0)),
    "zip": lambda f: Dataset.zip(R(9), {"a": R(20).batch(2), "b": R(9).shuffle(3, seed=1)}),
    "zip_filter": lambda f: Dataset.zip(R(30).filter(lambda x: x % 2 == 0), R(11)),
    "cache": lambda f: R(11).cache(),
    "cache_repeat": lambda f: R(11).cache().repeat(3),
    "cache_shuffle_repeat": lambda f: R(11).shuffle(4, seed=3).cache().repeat(2),
    "cache_then_shuffle": lambda f: R(11).cache().shuffle(4, seed=3).repeat(3),
    "cache_file": lambda f: R(11).cache(str(f / "cached-1")),
    "cache_file_repeat": lambda f: R(11).map(lambda x: (x, hr.fill([x % 3], x))).cache(
        str(f / "cached-2")).repeat(3),
    "cache_file_shuffle": lambda f: R(11).shuffle(4, seed=3).cache(
        str(f / "cached-3")).shuffle(3, seed=2).repeat(2).batch(2),
    "snapshot": lambda f: R(11).snapshot(str(f / "snapshot-1")),
    "snapshot_repeat": lambda f: R(11).shuffle(4, seed=3).snapshot(
        str(f / "snapshot-2")).repeat(3),
    "snapshot_shards": lambda f: R(11).snapshot(
        str(f / "snapshot-3"), shard_func=lambda x: x % 3,
        reader_func=lambda d: d.flat_map(lambda x: x)),
    "load": lambda f: saved(R(11).batch(2), f / "saved-1"),
    "load_shards": lambda f: saved(R(11), f / "saved-2", lambda x: x % 3).repeat(2),
    "prefetch": lambda f: R(23).prefetch(3),
    "prefetch_untraceable": lambda f: R(23).map(untraceable).prefetch(3).batch(2),
    "prefetch_repeat": lambda f: R(7).prefetch(3).repeat(3),
    "flat_map": lambda f: R(7).flat_map(R),
    "flat_map_slices": lambda f: R(9).batch(3).flat_map(Dataset.from_tensor_slices),
    "flat_map_shuffled": lambda f: R(4).flat_map(lambda x: R(6).shuffle(3, seed=1)),
    "interleave": lambda f: R(9).interleave(lambda x: R(x, x + 4), cycle_length=3),
    "interleave_blocks": lambda f: R(9).interleave(
        lambda x: R(x * 2), cycle_length=4, block_length=2),
    "interleave_parallel": lambda f: R(6).interleave(
        lambda x: R(x, x + 4), cycle_length=3, num_parallel_calls=2),
    "interleave_parallel_repeat": lambda f: R(7).shuffle(3, seed=2).interleave(
        lambda x: R(x % 4), cycle_length=2, num_parallel_calls=-1).repeat(2),
    "interleave_files": lambda f: Dataset.from_tensor_slices(paths(f, "txt")).interleave(
        TextLineDataset, cycle_length=2),
    "interleave_shuffled_files": lambda f: Dataset.list_files(
        str(f / "*.txt"), seed=1).interleave(TextLineDataset, cycle_length=2).repeat(2),
    "take_while": lambda f: R(30).take_while(lambda x: x < 17),
    "scan": lambda f: R(12).scan(hr.constant(0, hr.int64), lambda s, x: (s + x, s * x)),
    "unique": lambda f: R(30).map(lambda x: x * x % 11).unique(),
    "ignore_errors": lambda f: R(20).map(lambda x: 60 // (x % 7 - 3)).ignore_errors(),
    "ignore_errors_batch": lambda f: R(20).map(untraceable_division).ignore_errors().batch(3),
    "assert_cardinality": lambda f: R(9).apply(hr.data.experimental.assert_cardinality(9)),
    "ragged_batch": lambda f: R(11).map(lambda x: hr.range(x % 4)).ragged_batch(3),
    "group_by_window": lambda f: R(29).group_by_window(
        lambda x: x * x % 5, lambda k, w: w.batch(3), window_size=3),
    "group_by_window_sizes": lambda f: R(40).shuffle(9, seed=1).group_by_window(
        lambda x: x % 4, lambda k, w: w.map(lambda x: (k, x)), window_size_func=lambda k: k + 1
    ).repeat(2),
    "group_by_window_untraceable": lambda f: R(20).group_by_window(
        lambda x: int(x) % 3, lambda k, w: w.batch(2).take(1 + int(k)), window_size=4),
    "group_by_window_strings": lambda f: TextLineDataset(paths(f, "txt")).enumerate()
    .group_by_window(lambda i, s: i % 2, lambda k, w: w.batch(2), window_size=5),
    "group_rare_key": lambda f: R(30).group_by_window(
        lambda x: hr.cast(x > 0, hr.int64), lambda k, w: w.batch(4), window_size=4),
    "bucket": lambda f: R(1, 20).map(lambda x: hr.fill([x % 7], x)).bucket_by_sequence_length(
        lambda x: hr.shape(x)[0], [3, 5], [2, 3, 2]),
    "bucket_boundary": lambda f: R(1, 20).map(
        lambda x: hr.fill([x % 7], x)).bucket_by_sequence_length(
        lambda x: hr.shape(x)[0], [3, 8], [2, 3, 2], pad_to_bucket_boundary=True,
        drop_remainder=True),
    "rejection_resample": lambda f: R(60).rejection_resample(
        lambda x: x % 3, [0.5, 0.25, 0.25], seed=3),
    "rejection_known": lambda f: R(60).rejection_resample(
        lambda x: x % 2, [0.2, 0.8], [0.5, 0.5], seed=3),
    "sparse_batch": lambda f: R(1, 11).map(lambda x: hr.fill([x % 4], x)).sparse_batch(3, [-1]),
    "group_by_reducer": lambda f: R(23).apply(hr.data.experimental.group_by_reducer(
        lambda x: x % 5, hr.data.experimental.Reducer(
            lambda k: (k, hr.constant(0.5)), lambda s, x: (s[0] + x, s[1] * 2.0),
            lambda a, b: {"a": a, "b": b}))),
    "pad_to_cardinality": lambda f: Dataset.from_tensor_slices(
        {"a": [1, 2], "b": ["x", "y"]}).apply(hr.data.experimental.pad_to_cardinality(5)),
    "choose": lambda f: Dataset.choose_from_datasets(
        [R(5), R(10, 20)], R(2).repeat(), stop_on_empty_dataset=False),
    "sample": lambda f: Dataset.sample_from_datasets([R(8), R(10, 20)], [0.3, 0.7], seed=4),
    "counter": lambda f: Dataset.counter(3, 4).take(9),
    "random": lambda f: Dataset.random(seed=3).take(9),
    "everything": lambda f: (
        TextLineDataset(Dataset.list_files(str(f / "*.txt"), seed=1))
        .shuffle(5, seed=2).map(hr.strings.length).repeat(2).enumerate()
        .filter(lambda i, n: i % 4 != 3).batch(3).prefetch(1)
    ),
}  # fmt: skip


def plain(value):
    array = np.asarray(value)
    if array.dtype == object and array.size and isinstance(array.flat[0], np.ndarray):
        return [plain(row) for row in array]  # a ragged tensor
    return array.dtype, array.tolist()


def same(a, b):
    return list(map(plain, nest.flatten(a))) == list(map(plain, nest.flatten(b)))


def check_law(fresh, most=200):
    """`fresh()` gives an iterator; every position of its run is saved and restored."""
    elements, states = [], []
    with fresh() as iterator:
        for _ in range(most):
            states.append(pickle.dumps(iterator.state()))
            try:
                elements.append(next(iterator))
            except StopIteration:
                break
        states.append(pickle.dumps(iterator.state()))
    for position, state in enumerate(states):
        with fresh() as iterator:
            iterator.restore(pickle.loads(state))
            rest = [e for e, _ in zip(iterator, range(most), strict=False)]
        expected = elements[position:]
        assert len(rest) == len(expected), f"at {position}: {rest} != {expected}"
        for a, b in zip(rest, expected, strict=True):
            assert same(a, b), f"at {position}: {rest} != {expected}"
    return elements


@pytest.mark.parametrize("name", CHAINS)
def test_law_holds_with_rules(files, name):
    check_law(lambda: CHAINS[name](files).as_numpy_iterator())


@pytest.mark.parametrize("name", CHAINS)
def test_law_holds_without_rules(files, name):
    check_law(lambda: NumpyIterator(CHAINS[name](files)._node))


@pytest.mark.parametrize("name", CHAINS)
def test_rules_change_nothing(files, name):
    list(NumpyIterator(CHAINS[name](files)._node))  # a snapshot is written by the first pass
    written = list(NumpyIterator(CHAINS[name](files)._node))
    run = list(CHAINS[name](files).as_numpy_iterator())
    assert len(written) == len(run)
    assert all(same(a, b) for a, b in zip(written, run, strict=True))


@pytest.mark.parametrize("name", CHAINS)
def test_cardinality_is_the_number_of_elements_where_known(files, name):
    dataset = CHAINS[name](files)
    known = int(dataset.cardinality())
    if known >= 0:
        assert sum(1 for _ in dataset) == known


@pytest.mark.parametrize("name", CHAINS)
def test_elements_fit_the_element_spec(files, name):
    dataset = CHAINS[name](files)
    spec = nest.flatten(dataset.element_spec)
    for element in dataset.take(20):
        nest.assert_same_structure(element, dataset.element_spec)
        for value, leaf in zip(nest.flatten(element), spec, strict=True):
            assert leaf.is_compatible_with(value)


def test_law_holds_behind_an_error():
    def fresh():
        return R(12).map(partial(fails_at, 5)).batch(2).as_numpy_iterator()

    with fresh() as iterator:
        assert next(iterator).tolist() == [0, 1]
        assert next(iterator).tolist() == [2, 3]
        before = iterator.state()
        with pytest.raises(hr.errors.InvalidArgumentError, match="bad element"):
            next(iterator)
        after = iterator.state()
        rest = list(iterator)
    with fresh() as iterator:
        iterator.restore(before)
        with pytest.raises(hr.errors.InvalidArgumentError, match="bad element"):
            next(iterator)
    with fresh() as iterator:
        iterator.restore(after)
        assert all(same(a, b) for a, b in zip(iterator, rest, strict=True))


def test_state_of_a_large_shuffle_is_small():
    dataset = R(300_000).map(lambda x: x).shuffle(100_000, seed=1)
    with iter(dataset) as iterator:
        for _ in range(50_000):
            next(iterator)
        state = iterator.state()
        assert len(pickle.dumps(state)) < 2000
        expected = [int(next(iterator)) for _ in range(1000)]
    with iter(R(300_000).map(lambda x: x).shuffle(100_000, seed=9)) as iterator:
        iterator.restore(state)
        assert [int(next(iterator)) for _ in range(1000)] == expected


def test_state_of_another_pipeline_is_refused():
    state = iter(R(5).batch(2)).state()
    with pytest.raises(hr.errors.InvalidArgumentError, match="belongs to the pipeline"):
        iter(R(5).take(2)).restore(state)


def test_state_of_another_version_is_refused():
    iterator = iter(R(5))
    with pytest.raises(hr.errors.InvalidArgumentError, match="version"):
        iterator.restore({**iterator.state(), "version": 0})
