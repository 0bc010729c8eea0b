"""Templates: a function that gives datasets, sent as data, gives what the function gave."""

import numpy as np
import pytest

import headrace as hr
from headrace.data.dataset_template import Untemplated, template_of
from headrace.distribute.data_service.shipping import ship, unship

Dataset = hr.data.Dataset


def sent(dataset):
    """The dataset as another process gets it, its Python functions left behind."""
    shipment = ship(dataset._node, dataset._own_options)
    assert not any("as pickled Python" in note for note in shipment.notes), shipment.notes
    return Dataset(*unship(shipment.data, lambda: (1, 2)))


def shown(dataset):
    return [repr(element) for element in dataset.as_numpy_iterator()]


@pytest.fixture
def files(tmp_path):
    paths = [tmp_path / f"{k}.txt" for k in range(3)]
    for k, path in enumerate(paths):
        path.write_text("".join(f"{k}-{i}\n" for i in range(4)))
    return [str(path) for path in paths]


def by_length(n):
    return hr.fill([n % 5 + 1], n)


TEMPLATED = {
    "tensor": lambda: Dataset.range(3).interleave(
        lambda x: Dataset.from_tensors((x, hr.strings.as_string(x))).repeat(2), 2),
    "slices": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.from_tensor_slices([x, x + 1, x * x])),
    "own slices": lambda: Dataset.from_tensor_slices(np.arange(12).reshape(3, 4)).flat_map(
        Dataset.from_tensor_slices),
    "dicts": lambda: Dataset.from_tensor_slices({"a": [1, 2], "b": [[3.0], [4.0]]}).flat_map(
        lambda e: Dataset.from_tensors({"c": e["a"], **e}).repeat(2)),
    "inner functions": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.range(3).filter(lambda y: y <= x).map(lambda y: (x, x - y))),
    "branches": lambda: Dataset.range(4).flat_map(
        lambda x: Dataset.range(3).map(lambda y: hr.cond(x > y, lambda: x, lambda: 10 * y))),
    "nested": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.range(2).flat_map(lambda y: Dataset.range(x + y))),
    "three deep": lambda: Dataset.range(3).flat_map(lambda x: Dataset.range(2).interleave(
        lambda y: Dataset.range(x, x + 2).map(lambda z: (x, y, z)).flat_map(
            lambda a, b, c: Dataset.from_tensors(100 * a + 10 * b + c + x)))),
    "scan": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.range(4).scan(x, lambda s, v: (s + v, s * x))),
    "ragged": lambda: Dataset.range(4).map(hr.range).ragged_batch(2).flat_map(
        lambda r: Dataset.from_tensors(hr.reduce_sum(r.values))),
    "windows": lambda: Dataset.range(7).window(3, 2).flat_map(lambda w: w.batch(2)),
    "several windows": lambda: Dataset.from_tensor_slices(
        {"a": [1, 2, 3, 4], "b": [5, 6, 7, 8]}).window(2).flat_map(
            lambda w: Dataset.zip((w["a"].map(lambda v: v * 2).batch(2), w["b"].batch(2)))),
    "groups": lambda: Dataset.range(10).group_by_window(
        lambda x: x % 3, lambda key, w: w.batch(4).map(lambda b: (key, b)), window_size=4),
    "buckets": lambda: Dataset.range(1, 20).map(by_length).bucket_by_sequence_length(
        lambda e: hr.shape(e)[0], [3, 5], [2, 2, 2]),
    "caches and numbers": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.from_tensor_slices(np.arange(3)).cache().enumerate().take(2)),
    "seeded shuffles": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.range(9).shuffle(9, seed=3).map(lambda y: 10 * x + y)),
    "choice": lambda: Dataset.range(2).flat_map(lambda x: Dataset.choose_from_datasets(
        [Dataset.range(x, x + 3), Dataset.from_tensors(x).repeat(3)],
        Dataset.from_tensor_slices(np.array([0, 1, 1, 0], np.int64)))),
    "unused columns": lambda: Dataset.range(3).flat_map(
        lambda x: Dataset.range(3).map(lambda y: (x + y, x * y))).map(lambda a, b: a),
}  # fmt: skip


@pytest.mark.parametrize("case", TEMPLATED)
def test_sent_as_data_it_gives_what_the_function_gave(case):
    dataset = TEMPLATED[case]()
    there = sent(dataset)
    assert shown(there) == shown(dataset)
    assert there.element_spec == dataset.element_spec


@pytest.mark.parametrize(
    "make",
    [
        lambda names: names.interleave(hr.data.TextLineDataset, cycle_length=2),
        lambda names: names.interleave(
            lambda f: hr.data.TextLineDataset(f).skip(1).map(lambda line: (f, line)),
            cycle_length=3, num_parallel_calls=2),
        lambda names: hr.data.TextLineDataset(names, num_parallel_reads=2),
        lambda names: names.flat_map(
            lambda f: hr.data.experimental.CsvDataset(f, [hr.string])),
    ],
)  # fmt: skip
def test_files(files, make):
    dataset = make(Dataset.from_tensor_slices(files))
    there = sent(dataset)
    assert shown(there) == shown(dataset)
    assert there._node.reads_files or there._node.input.reads_files  # they are cut by file


def test_unseeded_shuffles_differ_by_element_and_agree_with_themselves():
    dataset = Dataset.range(8).flat_map(lambda x: Dataset.range(20).shuffle(20))
    rows = [np.array(list(sent(dataset).as_numpy_iterator())).reshape(8, 20) for _ in range(2)]
    assert (np.sort(rows[0]) == np.arange(20)).all()
    assert (rows[0] == rows[1]).all()  # a worker that starts anew goes on where it was
    assert len({tuple(row) for row in rows[0].tolist()}) > 5


def test_it_stops_and_goes_on_anywhere():
    dataset = sent(TEMPLATED["three deep"]())
    whole = shown(dataset)
    for stop in range(len(whole)):
        first = iter(dataset)
        for _ in range(stop):
            next(first)
        again = iter(dataset)
        again.restore(first.state())
        rest = [repr(hr.nest.map_structure(lambda t: t.numpy(), e)) for e in again]
        assert rest == whole[stop:]


def eager(x):
    return int(x) + 1


@pytest.mark.parametrize(
    ("function", "why"),
    [
        (lambda x: Dataset.from_tensors(int(x)), "could not be traced"),
        (lambda x: Dataset.range(2).map(eager), "'eager' in it was not traced"),
        (lambda x: Dataset.from_generator(lambda: iter([1]), hr.int64, [], args=(x,)),
         "made of the element"),
        (lambda x: Dataset.from_generator(lambda: iter([1]), hr.int64, []), "function"),
        (lambda x: Dataset.range(2).flat_map(lambda y: Dataset.from_tensors(int(y))),
         "not be traced|known when it has run"),
    ],
)  # fmt: skip
def test_what_has_none_says_why(function, why):
    dataset = Dataset.range(3).flat_map(function)
    with pytest.raises(Untemplated, match=why):
        template_of(dataset._node.map_func)
    note = ship(dataset._node, dataset._own_options).notes[-1]
    assert "as pickled Python: " in note


def test_functions_in_functions_may_use_all_tensors_around():
    dataset = Dataset.range(3).flat_map(
        lambda x: Dataset.range(2).flat_map(lambda y: Dataset.range(x * y, x * y + 2))
    )
    expected = [v for x in range(3) for y in range(2) for v in (x * y, x * y + 1)]
    assert [int(v) for v in dataset] == expected
