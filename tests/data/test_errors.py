"""Errors come in their place, after the elements before them, and say where they come from."""

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, TFRecordDataset
from headrace.data.iterator import NumpyIterator

HERE = "test_errors.py"


def take_until_error(dataset, kind):
    """The elements before the error, the error, and the elements after it."""
    before, after = [], []
    iterator = dataset.as_numpy_iterator()
    with pytest.raises(kind) as caught:
        for element in iterator:
            before.append(element)
    for element in iterator:
        after.append(element)
    return before, caught.value, after


def refuse(k):
    def function(x):
        if int(x) == k:
            raise ValueError(f"no {k} please")
        return x

    return function


def divide(x):
    """Fails in a traced function: integer division by zero."""
    return 100 // (x - 7)


@pytest.mark.parametrize("parallel", [None, 2])
def test_untraceable_map(parallel):
    dataset = Dataset.range(20).map(refuse(12), num_parallel_calls=parallel)
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == list(range(12))
    assert after == list(range(13, 20))
    for part in ("no 12 please", "element 12", HERE, "map"):
        assert part in str(error)


def test_far_element_of_a_large_dataset():
    dataset = Dataset.range(100_000).map(lambda x: x // (x - 70_001))
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert len(before) == 70_001
    assert len(after) == 100_000 - 70_002
    assert "70001" in str(error) and HERE in str(error)


def test_traced_map_behind_a_batch():
    before, error, after = take_until_error(
        Dataset.range(12).map(divide).batch(2), hr.errors.InvalidArgumentError
    )
    assert len(before) == 3
    assert [b.tolist() for b in after] == [[100, 50], [33, 25]]
    assert HERE in str(error)


def test_filter():
    dataset = Dataset.range(20).filter(lambda x: 100 // (x - 7) > -50)
    before, _, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == [0, 1, 2, 3, 4]
    assert after == list(range(8, 20))


@pytest.mark.parametrize(
    "make",
    [
        lambda d: d.map(divide),
        lambda d: d.filter(lambda x: divide(x) < 1000),
        lambda d: d.take_while(lambda x: divide(x) < 1000),
        lambda d: d.scan(np.int64(0), lambda s, x: (s + divide(x), x)),
        lambda d: d.scan(np.int64(0), lambda s, x: (s, refuse(7)(x))),
    ],
    ids=["map", "filter", "take_while", "scan", "scan_untraceable"],
)
def test_rows_around_a_failing_one_without_rules(make):
    """The plain stages, which the rules mostly replace."""
    dataset = make(Dataset.range(40))
    plan = dataset._node
    whole = [e for e in make(Dataset.range(40)).ignore_errors().as_numpy_iterator()]
    for rows in (1, 5, 40):
        iterator = NumpyIterator(plan)
        iterator._ask = rows
        before, states, states_after = [], [], []
        with pytest.raises(hr.errors.InvalidArgumentError, match="element 7") as caught:
            while True:
                states.append(iterator.state())
                before.append(next(iterator))
        assert len(before) == 7 and HERE in str(caught.value)
        after = []
        while True:
            states_after.append(iterator.state())
            try:
                after.append(next(iterator))
            except StopIteration:
                break
        assert before + after == whole
        for position, state in enumerate(states_after):
            again = NumpyIterator(plan)
            again.restore(state)
            assert list(again) == after[position:]
        for position, state in enumerate(states):
            again = NumpyIterator(plan)
            again.restore(state)
            for expected in before[position:]:
                assert next(again) == expected
            with pytest.raises(hr.errors.InvalidArgumentError):
                next(again)


def test_an_error_that_ends_take_while_never_comes():
    dataset = Dataset.range(40).take_while(lambda x: 100 // (x - 7) > -20)
    assert list(dataset.as_numpy_iterator()) == [0, 1]


def test_scan_must_keep_its_state():
    with pytest.raises(TypeError, match="pair"):
        Dataset.range(3).scan(np.int64(0), lambda s, x: x)
    with pytest.raises(TypeError, match="structure of the new state"):
        Dataset.range(3).reduce(np.int64(0), lambda s, x: (s, x))


def test_reduce_of_an_untraceable_function():
    calls = []

    def add(total, x):
        calls.append(int(x))
        return total + int(x)

    assert int(Dataset.range(5).reduce(np.int64(0), add)) == 10
    assert calls == [0, 1, 2, 3, 4]
    with pytest.raises(hr.errors.InvalidArgumentError, match="element 3"):
        Dataset.range(5).reduce(np.int64(0), lambda s, x: s + refuse(3)(x))


def test_untraceable_function_without_elements_has_no_spec():
    empty = Dataset.range(0).map(lambda x: int(x))
    with pytest.raises(ValueError, match="no element to run it on"):
        empty.element_spec
    with pytest.raises(ValueError, match="no element to run it on"):
        Dataset.range(0).flat_map(lambda x: Dataset.range(int(x))).element_spec
    assert "unknown" in repr(empty)


def test_zip_keeps_step_with_an_error():
    dataset = Dataset.zip(Dataset.range(10), Dataset.range(10).map(refuse(4)))
    before, _, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == [(i, i) for i in range(4)]
    assert after == [(i, i) for i in range(5, 10)]


def test_interleave_function():
    dataset = Dataset.range(4).interleave(
        lambda x: Dataset.range(10 // (int(x) - 2) * 0 + 2), cycle_length=2
    )
    before, error, after = take_until_error(dataset, hr.errors.OpError)
    assert len(before) == 4 and len(after) == 2
    assert "element 2" in str(error) and HERE in str(error)


def test_interleave_function_that_gives_no_dataset():
    with pytest.raises(TypeError, match="must return a `Dataset`"):
        Dataset.range(3).interleave(lambda x: x)


def test_inner_error_of_an_interleave():
    dataset = Dataset.range(2).interleave(
        lambda x: Dataset.range(5).map(refuse(3)), cycle_length=2
    )
    iterator = dataset.as_numpy_iterator()
    assert [next(iterator) for _ in range(6)] == [0, 0, 1, 1, 2, 2]
    for _ in range(2):
        with pytest.raises(hr.errors.InvalidArgumentError, match="no 3 please"):
            next(iterator)
        assert next(iterator) == 4  # the turn is still that dataset's
    assert list(iterator) == []


def test_prefetch_hands_errors_on_in_order():
    dataset = Dataset.range(20).map(refuse(9)).prefetch(4)
    before, _, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == list(range(9)) and after == list(range(10, 20))


def test_shapes_that_do_not_batch():
    rows = [[1, 2], [3, 4], [5, 6], [7, 8, 9], [1, 1], [2, 2]]
    dataset = Dataset.from_generator(
        lambda: iter(rows), output_signature=hr.TensorSpec([None], hr.int32)
    ).batch(2)
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert [b.tolist() for b in before] == [[[1, 2], [3, 4]]]
    assert [b.tolist() for b in after] == [[[1, 1], [2, 2]]]
    assert (
        "Cannot batch tensors with different shapes in component 0. First element had shape "
        "[2] and element 1 had shape [3]." in str(error)
    )
    assert HERE in str(error)


def test_unbatch_of_unequal_components():
    dataset = Dataset.from_generator(
        lambda: iter([([1], [1]), ([1, 2], [1]), ([3], [3])]),
        output_signature=(hr.TensorSpec([None], hr.int32), hr.TensorSpec([None], hr.int32)),
    ).unbatch()
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == [(1, 1)] and after == [(3, 3)]
    assert "differ in their first axis" in str(error)


def test_generator_that_raises():
    def generate():
        yield 1
        yield 2
        raise RuntimeError("out of numbers")

    dataset = Dataset.from_generator(generate, output_signature=hr.TensorSpec([], hr.int32))
    before, error, after = take_until_error(dataset, hr.errors.OpError)
    assert before == [1, 2] and after == []
    assert "out of numbers" in str(error) and isinstance(error.__cause__, RuntimeError)


def test_generator_that_lies():
    dataset = Dataset.from_generator(
        lambda: iter([1, "x", 3]), output_signature=hr.TensorSpec([], hr.int32)
    )
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == [1] and after == [3]
    assert "could not be converted to the expected type" in str(error)


@pytest.fixture
def records(tmp_path):
    path = tmp_path / "damaged.tfrecord"
    with hr.io.TFRecordWriter(str(path)) as writer:
        for i in range(10):
            writer.write(b"record %d" % i)
    data = bytearray(path.read_bytes())
    data[3 * 24 + 14] ^= 1  # payload of record 3
    path.write_bytes(data)
    return path


def test_damaged_file(records):
    before, error, _ = take_until_error(TFRecordDataset(str(records)), hr.errors.DataLossError)
    assert before == [b"record %d" % i for i in range(3)]
    for part in ("record 3", "offset 72", records.name, HERE, "tf_record"):
        assert part in str(error)


def test_truncated_file_behind_a_batch(records):
    records.write_bytes(records.read_bytes()[: 2 * 24 + 5])
    before, _, _ = take_until_error(
        TFRecordDataset(str(records)).batch(2), hr.errors.DataLossError
    )
    assert [b.tolist() for b in before] == [[b"record 0", b"record 1"]]


def test_a_failing_map_names_the_record(tmp_path):
    path = tmp_path / "text.tfrecord"
    with hr.io.TFRecordWriter(str(path)) as writer:
        for text in (b"1", b"2", b"three", b"4"):
            writer.write(text)
    dataset = TFRecordDataset(str(path)).map(lambda r: int(r.numpy()))
    before, error, after = take_until_error(dataset, hr.errors.InvalidArgumentError)
    assert before == [1, 2] and after == [4]
    for part in ("record 2", "byte offset 34", "text.tfrecord", "element 2"):
        assert part in str(error)


def test_files_behind_a_missing_one_are_read(tmp_path):
    good = tmp_path / "good.txt"
    good.write_text("a\nb\n")
    dataset = hr.data.TextLineDataset([str(good), str(tmp_path / "none"), str(good)])
    before, error, after = take_until_error(dataset, hr.errors.NotFoundError)
    assert before == [b"a", b"b"] == after
    assert "none" in str(error)


def test_fixed_length_excess_bytes(tmp_path):
    path = tmp_path / "odd.bin"
    path.write_bytes(b"12345")
    with pytest.raises(hr.errors.InvalidArgumentError, match="Excess bytes of 1"):
        list(hr.data.FixedLengthRecordDataset(str(path), 2))


def test_closed_iterator():
    iterator = iter(Dataset.range(3))
    iterator.close()
    iterator.close()
    with pytest.raises(hr.errors.FailedPreconditionError, match="closed"):
        next(iterator)


@pytest.mark.parametrize("bad", [2.5, "3", True, None, np.float32(2)])
def test_batch_size_must_be_an_integer(bad):
    with pytest.raises(TypeError, match="`batch_size` must be an integer"):
        Dataset.range(3).batch(bad)


def test_integers_of_other_libraries_are_taken():
    assert len(Dataset.range(np.int32(6)).batch(np.int64(3)).take(hr.constant(1))) == 1


def test_bucket_without_boundary_says_what_to_do():
    rows = Dataset.range(7).map(lambda x: hr.fill([x], x))
    buckets = rows.bucket_by_sequence_length(
        lambda x: hr.shape(x)[0], [5], [2, 2], pad_to_bucket_boundary=True
    )
    before, error, _ = take_until_error(buckets, hr.errors.InvalidArgumentError)
    assert len(before) == 2
    assert "elements must have length < max(bucket_boundaries), which is [5]" in str(error)
    assert HERE in str(error)


def test_group_by_window_skips_elements_without_key():
    groups = Dataset.range(8).group_by_window(
        lambda x: 12 // (x - 2), lambda key, window: window.batch(9), window_size=2
    )
    before, error, after = take_until_error(groups, hr.errors.InvalidArgumentError)
    assert before == []
    assert "group" in str(error)
    assert sorted(x for batch in after for x in batch) == [0, 1, 3, 4, 5, 6, 7]


def test_devices_other_than_cpus_are_refused():
    to = hr.data.experimental.prefetch_to_device
    assert list(Dataset.range(3).apply(to("/cpu:0")).as_numpy_iterator()) == [0, 1, 2]
    copied = Dataset.range(3).apply(hr.data.experimental.copy_to_device("/device:CPU:0"))
    assert list(copied.as_numpy_iterator()) == [0, 1, 2]
    with pytest.raises(hr.errors.InvalidArgumentError, match="must be a CPU"):
        hr.data.experimental.copy_to_device("/gpu:0")
    with pytest.raises(hr.errors.InvalidArgumentError, match="must be a CPU or a GPU"):
        to("/tpu:0")


@pytest.mark.parametrize("bad", [0, 77, 1499, 2999])
@pytest.mark.parametrize(
    "batched",
    [
        lambda d: d.batch(64),
        lambda d: d.skip(13).batch(50),
        lambda d: d.shard(2, 1).batch(7),
        lambda d: d.filter(lambda r: hr.strings.length(r) != 700).batch(100),
        lambda d: d.batch(1500, drop_remainder=True).prefetch(2),
    ],
    ids=["batch", "skip", "shard", "filter", "large"],
)
def test_a_bad_record_of_a_batch_is_named(tmp_path, batched, bad):
    """Batches span the chunks in which the file is read."""
    path, number = str(tmp_path / "a.tfrecord"), bad | 1 if bad else 13
    offset = at = 0
    with hr.io.TFRecordWriter(path) as writer:
        for k in range(3000):
            text = b"\xff" * (k % 900 + 200) if k == number else b"\x0a" + bytes([0])
            record = text if k == number else text * (k % 400 + 300)
            writer.write(record)
            at, offset = (offset if k == number else at), offset + len(record) + 16
    spec = {"a": hr.io.FixedLenFeature([], hr.int64, 0)}
    parsed = batched(hr.data.TFRecordDataset(path)).map(lambda r: hr.io.parse_example(r, spec))
    with pytest.raises(hr.errors.InvalidArgumentError) as caught:
        for _ in parsed:
            pass
    assert f"[record {number} at byte offset {at} of {path!r}]" in str(caught.value)


def test_a_bad_record_behind_a_shuffle_is_named_by_its_place_in_the_batch():
    records = [b"\xff\xff" if k == 3 else b"" for k in range(8)]
    dataset = Dataset.from_tensor_slices(records).batch(4)
    spec = {"a": hr.io.FixedLenFeature([], hr.int64, 0)}
    with pytest.raises(hr.errors.InvalidArgumentError, match="string 3 of the batch"):
        list(dataset.map(lambda r: hr.io.parse_example(r, spec)))
