"""CSV files in parts on several threads: the plain reader's records, errors and positions."""

import random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.data import parts_reader
from headrace.data.experimental import CsvDataset
from headrace.data.parts_reader import PartsReader
from headrace.data.transforms import csv_files
from headrace.io import csv_reader, jit
from headrace.io.csv_reader import CsvReader, RecordError
from headrace.io.csv_records import CsvColumn, CsvFormat
from headrace.ops import dtypes

FORM = CsvFormat((CsvColumn(dtypes.int32), CsvColumn(dtypes.string, b"none")))


@pytest.fixture(scope="module", autouse=True)
def small_parts():
    """Parts of 64 bytes from the beginning on, three at a time."""
    assert jit.ensure_compiled()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(csv_reader, "_MOST_BYTES", 64)
        patch.setattr(csv_reader, "_FIRST_BYTES", 20)
        patch.setattr(parts_reader, "_PLAIN_BYTES", 0)
        patch.setattr(csv_files, "usable_cpus", lambda: 3)
        yield


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("csv") / "t.csv")


def write(path, text):
    with open(path, "w", newline="") as file:
        file.write(text)


def drain(reader):
    """Rows, and errors with the number of rows before them."""
    rows, errors = [], []
    while True:
        try:
            batch = reader.read()
        except RecordError as error:
            errors.append((len(rows), error.message))
            continue
        if batch is None:
            reader.close()
            return rows, errors
        rows += zip(*(column.tolist() for column in batch.columns), strict=True)


ROWS = st.sampled_from([
    "1,plain", '2,"quoted, ""twice"""', '3,"line\nline"', "4,", "x,bad", "5", '6,st"ray',
    '7,"unfit"x', '8,"' + 40 * "long\n" + '"', "0000009,spaced",
])  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(rows=st.lists(ROWS, max_size=40), end=st.sampled_from(["\n", "\r\n", "\r"]),
       last=st.sampled_from(["", "\n", '1,"open\n2,b\n']))  # fmt: skip
def test_parts_are_the_file(path, rows, end, last):
    write(path, end.join(rows) + last)
    plain = drain(CsvReader(path, FORM))
    opened = lambda at: CsvReader(path, FORM, position=at or (0, 1))  # noqa: E731
    assert drain(PartsReader(opened, None, 3)) == plain


@pytest.mark.parametrize("stray", [False, True])
def test_positions_resume(path, stray):
    rows = [f'{k},"row ""{k}"""\n' for k in range(60)]
    rows[40] += '40,a"b\n' * stray
    write(path, "".join(rows))
    opened = lambda at: CsvReader(path, FORM, position=at or (0, 1))  # noqa: E731
    whole, errors = drain(PartsReader(opened, None, 3))
    assert len(whole) == 60 and len(errors) == stray
    reader, seen = PartsReader(opened, None, 3), 0
    while True:
        at = reader.position
        assert drain(PartsReader(opened, at, 3))[0] == whole[seen:]
        try:
            batch = reader.read()
        except RecordError:
            continue
        if batch is None:
            break
        seen += batch.num_rows
    reader.close()


def test_an_iterator_closed_amid_parts_leaves_no_thread(path, pipeline_threads):
    write(path, "".join(f"{k},row {k}\n" for k in range(500)))
    dataset = CsvDataset(path, [hr.int32, hr.string])
    assert [int(k) for k, _ in dataset.as_numpy_iterator()] == list(range(500))
    with iter(dataset.batch(7)) as iterator:
        for _ in range(3):
            next(iterator)
        assert pipeline_threads()
    assert pipeline_threads.all_ended()


def test_checkpoints_within_parts(path):
    rng = random.Random(0)
    rows = [f'{k},"{"x" * rng.randint(1, 30)}"\n' for k in range(80)]
    write(path, "".join(rows))
    dataset = CsvDataset(path, [hr.int32, hr.string]).batch(3)
    whole = [a.tolist() for a, _ in dataset.as_numpy_iterator()]
    iterator = iter(dataset)
    for k in range(len(whole)):
        resumed = iter(dataset)
        resumed.restore(iterator.state())
        rest = [np.asarray(a).tolist() for a, _ in resumed]
        assert rest == whole[k:]
        next(iterator)
