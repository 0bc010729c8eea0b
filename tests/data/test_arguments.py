"""Arguments: what the methods of Dataset take and refuse, and the corners of what they do."""

import gzip

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, DatasetSpec, FixedLengthRecordDataset, TFRecordDataset

R = Dataset.range


def listed(dataset):
    return list(dataset.as_numpy_iterator())


REFUSED = {
    "map_calls": (
        lambda: R(3).map(lambda x: x, num_parallel_calls=0), ValueError, "num_parallel"),
    "interleave_cycle": (
        lambda: R(3).interleave(R, cycle_length=0), ValueError, "cycle_length"),
    "interleave_block": (
        lambda: R(3).interleave(R, block_length=0), ValueError, "block_length"),
    "flat_map_callable": (lambda: R(3).flat_map(3), ValueError, "callable"),
    "prefetch": (lambda: R(3).prefetch(-2), ValueError, "AUTOTUNE"),
    "concatenate": (lambda: R(3).concatenate([1]), TypeError, "must be a Dataset"),
    "with_options": (lambda: R(3).with_options({}), TypeError, "hr.data.Options"),
    "zip_both": (lambda: Dataset.zip(R(3), datasets=R(3)), TypeError, "cannot be set"),
    "range_4": (lambda: R(1, 2, 3, 4), ValueError, "between 1 and 3"),
    "range_float": (lambda: R(1.5), TypeError, "stop"),
    "sample_negative": (
        lambda: Dataset.sample_from_datasets([R(1), R(1)], [1, -1]), ValueError, "weights"),
    "sample_none": (lambda: Dataset.sample_from_datasets([]), ValueError, "empty"),
    "sample_other": (lambda: Dataset.sample_from_datasets([3]), TypeError, "Datasets"),
    "slices_none": (lambda: Dataset.from_tensor_slices(()), ValueError, "empty"),
    "slices_object": (lambda: Dataset.from_tensor_slices(object()), ValueError, "tensors"),
    "reads": (
        lambda: TFRecordDataset("x", num_parallel_reads=0), ValueError, "num_parallel_reads"),
    "file_names": (lambda: TFRecordDataset([1, 2]), TypeError, "must be strings"),
    "file_dataset": (lambda: TFRecordDataset(R(3)), TypeError, "hr.string"),
    "compression": (lambda: TFRecordDataset("x", "LZMA"), ValueError, "compression_type"),
    "record_bytes": (lambda: FixedLengthRecordDataset("x", 0), ValueError, "record_bytes"),
    "footer_bytes": (
        lambda: FixedLengthRecordDataset("x", 1, 0, -1), ValueError, "footer_bytes"),
    "generator_both": (
        lambda: Dataset.from_generator(list, hr.int32, output_signature=hr.TensorSpec([])),
        TypeError, "can not be used together"),
    "generator_spec": (
        lambda: Dataset.from_generator(list, output_signature=3), TypeError, "TypeSpec"),
    "node": (lambda: Dataset(3), TypeError, "not made directly"),
    "padded_dtype": (lambda: R(3).padded_batch(2, [], 1.5), TypeError, "padding_values"),
    "padded_numpy": (
        lambda: R(3).padded_batch(2, [], np.float32(1)), TypeError, "should be of dtype"),
    "padded_text": (lambda: R(3).padded_batch(2, [], "x"), TypeError, "padding_values"),
    "padded_known": (
        lambda: R(4).batch(4, True).padded_batch(2, [2]), ValueError, "not compatible"),
    "padded_rank": (
        lambda: Dataset.from_generator(list, hr.int32).padded_batch(2),
        ValueError, "unknown rank"),
    "padded_ragged": (
        lambda: R(3).map(hr.range).ragged_batch(2).padded_batch(2), TypeError, "tensors"),
    "ragged_rank": (
        lambda: Dataset.from_generator(list, hr.int32).ragged_batch(2),
        ValueError, "known rank"),
    "window_batch": (
        lambda: R(3).window(2).batch(2).element_spec, TypeError, "cannot be batched"),
    "unique_float": (lambda: R(3, output_type=hr.float32).unique(), TypeError, "unique"),
    "window_numpy": (lambda: listed(R(3).window(2)), TypeError, "produce datasets"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name):
    make, kind, text = REFUSED[name]
    with pytest.raises(kind, match=text):
        make()


def test_deterministic_without_parallel_calls_warns():
    with pytest.warns(UserWarning, match="no effect"):
        R(3).map(lambda x: x, deterministic=True)
    with pytest.warns(UserWarning, match="no effect"):
        R(3).batch(2, deterministic=False)


def test_paths_of_all_kinds(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("x\ny")
    for names in (
        path,
        str(path),
        [path],
        (str(path),),
        np.array([str(path)]),
        hr.constant(str(path)),
    ):
        assert listed(hr.data.TextLineDataset(names)) == [b"x", b"y"]
    assert listed(hr.data.TextLineDataset([])) == []
    assert listed(hr.data.TextLineDataset(Dataset.list_files([str(path)]))) == [b"x", b"y"]


def test_compressed_fixed_length_records(tmp_path):
    path = tmp_path / "a.gz"
    path.write_bytes(gzip.compress(b"HHabcdefF"))
    dataset = FixedLengthRecordDataset(path, 2, 2, 1, compression_type="GZIP")
    assert listed(dataset) == [b"ab", b"cd", b"ef"]


def test_list_files_in_order_and_shuffled(tmp_path):
    for i in range(9):
        (tmp_path / f"{i}").touch()
    pattern = str(tmp_path / "*")
    names = [str(tmp_path / f"{i}").encode() for i in range(9)]
    assert listed(Dataset.list_files(pattern, shuffle=False)) == names
    shuffled = listed(Dataset.list_files(pattern, seed=1))
    assert sorted(shuffled) == names != shuffled
    assert len(Dataset.list_files(pattern)) == 9


def test_padded_batches_of_other_ranks_and_scalars():
    assert listed(R(3).padded_batch(2))[0].tolist() == [0, 1]
    rows = R(1, 3).map(lambda x: hr.fill([x, 3 - x], x)).padded_batch(2)
    assert next(iter(rows)).numpy().tolist() == [[[1, 1], [0, 0]], [[2, 0], [2, 0]]]
    pairs = R(3).map(lambda x: {"a": hr.range(x), "b": x}).padded_batch(3, {"a": [4], "b": []})
    assert next(iter(pairs))["a"].shape == [3, 4]
    wrong = Dataset.from_generator(
        lambda: iter([[1], [[2]]]), output_signature=hr.TensorSpec(None, hr.int32)
    )
    with pytest.raises(hr.errors.InvalidArgumentError, match="same rank"):
        listed(wrong.padded_batch(2, [None]))


def test_scan_over_strings_and_saved_in_the_middle():
    def fresh():
        return iter(Dataset.from_tensor_slices(["a", "b", "c"]).scan(
            "", lambda s, x: (hr.strings.join([s, x]), s)))  # fmt: skip

    iterator = fresh()
    assert [next(iterator).numpy() for _ in range(2)] == [b"", b"a"]
    other = fresh()
    other.restore(iterator.state())
    assert next(other).numpy() == b"ab"


def test_scan_of_an_untraceable_function():
    def step(total, x):
        return total + int(x), float(x)

    dataset = R(4).scan(np.int64(0), step)
    assert dataset.element_spec == hr.TensorSpec([], hr.float32)
    assert listed(dataset) == [0.0, 1.0, 2.0, 3.0]
    with pytest.raises(ValueError, match="no element"):
        R(0).scan(np.int64(0), step).element_spec


def test_state_of_a_scan_may_grow():
    grown = R(3).reduce(
        hr.zeros([0], hr.int64), lambda s, x: hr.concat([s, hr.reshape(x, [1])], 0)
    )
    assert grown.numpy().tolist() == [0, 1, 2]


def test_cache_is_filled_by_a_complete_iteration_only():
    calls = []

    def note(x):
        calls.append(int(x))
        return x

    dataset = R(5).map(note).cache()
    dataset.element_spec
    calls.clear()
    for _ in dataset.take(2):
        pass
    assert calls == [0, 1]
    assert listed(dataset) == listed(dataset) == [0, 1, 2, 3, 4]
    assert calls == [0, 1, 0, 1, 2, 3, 4]


def test_cache_warns_of_a_truncated_iteration():
    with pytest.warns(UserWarning, match="did not fully read"):
        listed(R(5).map(lambda x: int(x)).cache().take(2).repeat(2))


def test_cache_of_a_failing_iteration_is_not_kept():
    attempts = []

    def fail_once(x):
        if int(x) == 3 and len(attempts) < 1:
            attempts.append(1)
            raise ValueError("once")
        return int(x)

    dataset = R(5).map(fail_once).cache()
    with pytest.raises(hr.errors.InvalidArgumentError, match="once"):
        listed(dataset)
    assert listed(dataset) == [0, 1, 2, 3, 4]


def test_choice_out_of_range():
    chosen = Dataset.choose_from_datasets([R(3)], Dataset.from_tensor_slices(np.array([0, 5])))
    iterator = iter(chosen)
    assert int(next(iterator)) == 0
    with pytest.raises(hr.errors.InvalidArgumentError, match="Selector index out of range"):
        next(iterator)


def test_random_follows_seeds_and_iterations():
    same = Dataset.random(seed=1).take(4)
    assert listed(same) == listed(same)
    other = Dataset.random(seed=1, rerandomize_each_iteration=True).take(4)
    assert listed(other) != listed(other)
    twice = listed(Dataset.random(seed=1, rerandomize_each_iteration=True).take(4).repeat(2))
    assert twice[:4] != twice[4:]


def test_cardinality_of_mixtures():
    endless, unknown = R(3).repeat(), R(9).filter(lambda x: x > 1)
    choose = Dataset.sample_from_datasets
    cases = [
        (choose([R(3), R(4)]), 7), (choose([R(3), endless]), -1), (choose([R(3), unknown]), -2),
        (choose([R(3), R(4)], stop_on_empty_dataset=True), -2),
        (Dataset.zip(R(3), endless), 3), (Dataset.zip(endless, endless), -1),
        (Dataset.zip(R(0), unknown), 0), (Dataset.zip(R(3), unknown), -2),
        (R(3).concatenate(endless), -1), (R(3).concatenate(unknown), -2),
        (endless.take(5), 5), (unknown.take(0), 0), (unknown.take(5), -2),
        (endless.skip(5), -1),
        (R(0).repeat(), 0), (unknown.repeat(2), -2), (endless.repeat(2), -1),
        (unknown.repeat(0), 0),
        (endless.shard(2, 0), -1), (endless.batch(2), -1), (unknown.window(2), -2),
        (R(9).window(3, 2, 2, True), 3), (R(4).batch(2, True).unbatch(), 4),
        (endless.batch(2, True).unbatch(), -1), (Dataset.counter(), -1), (R(0).flat_map(R), 0),
    ]  # fmt: skip
    assert [int(d.cardinality()) for d, _ in cases] == [n for _, n in cases]


def test_dataset_specs():
    spec = R(6).window(2).element_spec
    assert spec == DatasetSpec(hr.TensorSpec([], hr.int64)) and hash(spec) == hash(spec)
    assert spec.value_type is Dataset
    assert spec.is_compatible_with(R(3)) and not spec.is_compatible_with(R(3).enumerate())
    assert not spec.is_compatible_with(3)
    assert spec.most_specific_common_supertype([spec]) is spec
    assert spec.most_specific_common_supertype([DatasetSpec(hr.TensorSpec([]))]) is None
    assert repr(spec).startswith("DatasetSpec(TensorSpec(")
    window = next(iter(R(6).window(2)))
    assert listed(window) == [0, 1] and len(window) == 2


def test_names_show_in_errors_and_explain():
    dataset = R(3).map(lambda x: 3 // x, name="thirds")
    assert "map:thirds" in dataset.explain()
    with pytest.raises(hr.errors.InvalidArgumentError, match="map:thirds"):
        listed(dataset)


def test_specs_given_for_generators():
    d = Dataset.from_generator(
        lambda: [{"a": [1, 2], "b": "x"}],
        {"a": hr.int32, "b": hr.string},
        {"a": [None], "b": []},
    )
    assert d.element_spec["a"] == hr.TensorSpec([None], hr.int32)
    assert listed(d)[0]["a"].tolist() == [1, 2]
    ragged = hr.RaggedTensor.from_row_lengths([1, 2, 3], [1, 2])
    d = Dataset.from_generator(lambda: [ragged], output_signature=ragged._type_spec)
    assert next(iter(d)).to_list() == [[1], [2, 3]]
    bad = Dataset.from_generator(lambda: [3], output_signature=ragged._type_spec)
    with pytest.raises(hr.errors.InvalidArgumentError, match="was expected"):
        listed(bad)
    numbers = Dataset.from_generator(
        lambda: [1, hr.constant("t"), ["a", 2]], output_signature=hr.TensorSpec(None, hr.string)
    )
    assert [np.asarray(v).tolist() for v in numbers.as_numpy_iterator()] == [
        b"1", b"t", [b"a", b"2"],
    ]  # fmt: skip
    pairs = Dataset.from_generator(
        lambda: [[1, 2], {"a": 1}], output_signature=(hr.TensorSpec([]), hr.TensorSpec([]))
    )
    iterator = iter(pairs)
    assert [float(v) for v in next(iterator)] == [1.0, 2.0]
    with pytest.raises(hr.errors.InvalidArgumentError, match="expected structure"):
        next(iterator)


def test_generator_is_closed_with_the_iterator():
    closed = []

    def generate():
        try:
            while True:
                yield 1
        finally:
            closed.append(True)

    iterator = iter(
        Dataset.from_generator(generate, output_signature=hr.TensorSpec([], hr.int32))
    )
    next(iterator)
    iterator.close()
    assert closed == [True]
