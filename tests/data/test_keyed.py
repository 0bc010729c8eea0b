"""Grouping behind errors, older spellings, optionals, fingerprints, writers of records."""

import dataclasses
import functools
import pickle

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset, IteratorSpec
from headrace.data.fingerprint import fingerprint
from headrace.data.iterator import NumpyIterator
from headrace.data.optional import OptionalSpec

E = hr.data.experimental
R = Dataset.range


def fails(x):
    return 60 // (x % 5 - 2)


def outcomes(iterator, most=60):
    """Elements and errors, in order."""
    out = []
    while len(out) < most:
        try:
            out.append(next(iterator).tolist())
        except StopIteration:
            break
        except hr.errors.OpError:
            out.append("error")
    return out


GROUPED = {
    "input": lambda: R(23).map(fails).group_by_window(
        lambda x: x % 3, lambda k, w: w.batch(2), window_size=4),
    "input_last": lambda: R(23, 3, -1).map(fails).take(8).group_by_window(
        lambda x: x % 3, lambda k, w: w.batch(2), window_size=40),
    "key": lambda: R(23).group_by_window(
        lambda x: fails(x) % 3, lambda k, w: w.batch(2), window_size=4),
    "key_python": lambda: R(23).group_by_window(
        lambda x: fails(int(x)) % 3, lambda k, w: w.batch(2), window_size=4),
    "reduce": lambda: R(23).group_by_window(
        lambda x: x % 4, lambda k, w: w.batch(2).map(lambda x: x // (k - 2)), window_size=4),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPED)
def test_groups_behind_errors_can_be_restored(name):
    def fresh():
        return NumpyIterator(GROUPED[name]()._node)

    iterator, states, expected = fresh(), [], []
    for _ in range(60):
        states.append(pickle.dumps(iterator.state()))
        step = outcomes(iterator, 1)
        if not step:
            break
        expected += step
    assert "error" in expected
    for position, state in enumerate(states):
        again = fresh()
        again.restore(pickle.loads(state))
        assert outcomes(again) == expected[position:], position


def test_older_spellings_are_the_methods(tmp_path):
    rows = R(1, 8).map(lambda x: hr.fill([x % 4], x))
    length = lambda x: hr.shape(x)[0]  # noqa: E731
    key, window = (lambda x: x % 2), (lambda k, w: w.batch(2))
    pairs = [
        (R(9).apply(E.group_by_window(key, window, 3)), R(9).group_by_window(key, window, 3)),
        (rows.apply(E.bucket_by_sequence_length(length, [2], [2, 2])),
         rows.bucket_by_sequence_length(length, [2], [2, 2])),
        (rows.apply(E.dense_to_sparse_batch(2, [4])), rows.sparse_batch(2, [4])),
        (R(9).apply(E.parallel_interleave(R, 2)), R(9).interleave(R, 2)),
        (R(9).apply(E.snapshot(str(tmp_path / "n"))), R(9)),
        (R(40).apply(E.rejection_resample(key, [0.5, 0.5], [0.2, 0.8], seed=1)),
         R(40).rejection_resample(key, [0.5, 0.5], [0.2, 0.8], seed=1)),
    ]  # fmt: skip
    E.save(R(9), str(tmp_path / "s"))
    pairs.append((E.load(str(tmp_path / "s")), R(9)))
    for a, b in pairs:
        a, b = ([np.asarray(v).tolist() for v in d.as_numpy_iterator()] for d in (a, b))
        assert a == b
    with pytest.raises(hr.errors.InvalidArgumentError, match="cycle_length"):
        R(9).apply(E.parallel_interleave(R, 0))


def test_elements_by_number():
    shuffled = R(9).shuffle(9, seed=3)
    assert sorted(int(E.at(shuffled, i)) for i in range(9)) == list(range(9))
    for index in (-1, 9):
        with pytest.raises(hr.errors.OutOfRangeError, match="out of range"):
            E.at(shuffled, index)


def test_optionals_and_specs():
    some = E.Optional.from_value((1, "a"))
    spec = some._type_spec
    assert spec == OptionalSpec(some.element_spec) and hash(spec) == hash(some._type_spec)
    assert spec.value_type is E.Optional and spec.is_compatible_with(
        E.Optional.empty(spec._element_spec)
    )
    assert not spec.is_compatible_with(E.Optional.from_value(1))
    assert "element_spec" in repr(some) and "OptionalSpec" in repr(spec)
    of = iter(R(3))._type_spec
    assert of == IteratorSpec(hr.TensorSpec([], hr.int64)) and of.is_compatible_with(iter(R(1)))
    assert hash(of) == hash(iter(R(2))._type_spec) and "IteratorSpec" in repr(of)
    assert not of.is_compatible_with(3)


@dataclasses.dataclass
class Scale:
    factor: int

    def __call__(self, x):
        return int(x) * self.factor

    def method(self, x):
        return int(x) + self.factor


def test_fingerprints():
    """Each dataset, made twice, has its own."""
    sparse = hr.SparseTensor([[0, 1]], [1], [2, 2])
    makers = [
        lambda: R(3), lambda: R(4), lambda: R(3).batch(2), lambda: R(3).batch(2, True),
        lambda: R(3).map(Scale(2)), lambda: R(3).map(Scale(3)),
        lambda: R(3).map(Scale(2).method), lambda: R(3).map(Scale(4).method),
        lambda: R(3).map(functools.partial(lambda a, x: int(x) + a, 1)),
        lambda: R(3).shuffle(2, seed=1), lambda: R(3).shuffle(2, seed=2),
        lambda: R(3).shuffle(2),
        lambda: Dataset.from_tensor_slices([1, 2]), lambda: Dataset.from_tensor_slices([1, 3]),
        lambda: Dataset.from_tensor_slices(["a", "b"]), lambda: Dataset.from_tensors("ab"),
        lambda: Dataset.from_tensors({"a": sparse, "b": hr.ragged.constant([[1], []])}),
        lambda: Dataset.from_tensor_slices(sparse),
        lambda: R(3).flat_map(R), lambda: R(3).flat_map(lambda x: R(x)),
        lambda: R(3).filter(lambda x: x > 1), lambda: R(3).filter(lambda x: x > 2),
        lambda: Dataset.zip(R(3), R(4)), lambda: Dataset.zip({"a": R(3), "b": R(4)}),
    ]  # fmt: skip
    first, second = ([fingerprint(make()._node) for make in makers] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(makers)


def test_names_do_not_change_fingerprints():
    assert fingerprint(R(3, name="a").batch(2)._node) == fingerprint(R(3).batch(2)._node)


def test_record_writer_refuses_what_is_no_record(tmp_path):
    writer = E.TFRecordWriter(str(tmp_path / "f"))
    with pytest.raises(TypeError, match="must be a"):
        writer.write([b"x"])
    with pytest.raises(TypeError, match="scalar"):
        writer.write(R(3))


def test_features_dataset_with_a_reader_of_keys(tmp_path):
    path = tmp_path / "f.txt"
    path.write_bytes(b"\n" * 5)  # five empty Examples

    def reader(name, _):
        return hr.data.TextLineDataset(name).map(lambda line: ("key", line))

    dataset = E.make_batched_features_dataset(
        str(path), 2, {"a": hr.io.FixedLenFeature([], hr.int64, 7)}, reader, reader_args=[1],
        num_epochs=1, shuffle_seed=1, reader_num_threads=2, sloppy_ordering=True,
    )  # fmt: skip
    assert [row["a"].tolist() for row in dataset.as_numpy_iterator()] == [[7, 7], [7, 7], [7]]
    with pytest.raises(ValueError, match="cannot be None"):
        E.parse_example_dataset(None)


def test_reducer_must_be_traceable():
    reducer = E.Reducer(lambda k: k, lambda s, x: int(x), lambda s: s)
    assert callable(reducer.init_func) and callable(reducer.finalize_func)
    with pytest.raises(ValueError, match="reduce_func"):
        R(3).apply(E.group_by_reducer(lambda x: x, reducer))


@pytest.mark.parametrize(("call", "kind", "text"), [
    (lambda: R(3).group_by_window(3, lambda k, w: w, 2), TypeError, "key_func"),
    (lambda: R(3).group_by_window(lambda x: x, lambda k, w: w, 0), ValueError, "positive"),
    (lambda: R(3).rejection_resample(lambda x: x, [0.5, 0.5], [1.0]), ValueError, "per class"),
    (lambda: R(3).batch(2).map(lambda x: {"a": x}).apply(E.pad_to_cardinality(5)), ValueError,
     "known shape"),
])  # fmt: skip
def test_refused(call, kind, text):
    with pytest.raises(kind, match=text):
        call()
