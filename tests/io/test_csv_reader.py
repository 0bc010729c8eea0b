"""CSV: what pyarrow reads and what is read exactly are the same; parity with TensorFlow."""

import random

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.data.experimental import CsvDataset
from headrace.io.csv_reader import CsvReader, RecordError
from headrace.io.csv_records import CsvColumn, CsvFormat
from headrace.ops import dtypes

FIELDS = st.sampled_from([
    "1", "2.5", "-7", "a", "", '"x"', '"a,b"', '"p""q"', '"m\nn"', "NA", " 3 ", "99999999999",
    "inf", 'b"c', '"z"y', "0x1f", "1_0", "+4", "1e3", "nan",
])  # fmt: skip
COLUMNS = st.sampled_from([
    CsvColumn(dtypes.int32), CsvColumn(dtypes.float32), CsvColumn(dtypes.string),
    CsvColumn(dtypes.int64, 7), CsvColumn(dtypes.float64, 1.5), CsvColumn(dtypes.string, b"d"),
])  # fmt: skip
ENDS = st.sampled_from(["\n", "\r\n", "\r"])


@st.composite
def texts(draw):
    """Records of mostly as many fields as there are columns."""
    n = draw(st.integers(1, 3))
    rows = draw(st.lists(st.lists(FIELDS, min_size=n, max_size=n), max_size=6))
    if draw(st.integers(0, 4)) == 0:
        rows.append(draw(st.lists(FIELDS, min_size=1, max_size=4)))
    end = draw(ENDS)
    columns = tuple(draw(st.lists(COLUMNS, min_size=n, max_size=n)))
    text = end.join(",".join(row) for row in rows) + draw(st.sampled_from(["", end]))
    return text.encode(), CsvFormat(columns, quotes=draw(st.booleans()), na_value=b"NA")


def drain(reader):
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
        columns = [column.to_pylist() for column in batch.columns]
        rows += [tuple(map(repr, row)) for row in zip(*columns, strict=True)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("csv") / "t.csv")


@settings(max_examples=150, deadline=None)
@given(case=texts())
def test_both_ways_of_reading_agree(path, case):
    text, form = case
    with open(path, "wb") as file:
        file.write(text)
    exact = CsvReader(path, form)
    exact._parse = lambda data, size_bytes: None
    assert drain(CsvReader(path, form)) == drain(exact)


@pytest.mark.parametrize("text", [b"1,1\n\n", b"\n1,1\n", b"1,1\r\n\r\n2,2", b"1,1\n\n2,2\n"])
def test_an_empty_line_lacks_fields(path, text):
    form = CsvFormat((CsvColumn(dtypes.int64, 7), CsvColumn(dtypes.int64, 7)))
    with open(path, "wb") as file:
        file.write(text)
    (rows, ((at, message),)) = drain(CsvReader(path, form))
    assert rows[0] == ("1", "1") and ("7", "7") not in rows
    assert at == (0 if text.startswith(b"\n") else 1) and "field" in message


def test_small_chunks_change_nothing(path, monkeypatch):
    from headrace.io import csv_reader

    form = CsvFormat((CsvColumn(dtypes.int32), CsvColumn(dtypes.string)))
    with open(path, "w", newline="") as file:
        file.write("".join(f'{i},"line {i}\n""{i * i}"""\r\n' for i in range(300)))
    whole = drain(CsvReader(path, form))
    assert len(whole[0]) == 300 and not whole[1]
    monkeypatch.setattr(csv_reader, "_FIRST_BYTES", 7)
    monkeypatch.setattr(csv_reader, "_MOST_BYTES", 64)
    assert drain(CsvReader(path, form)) == whole


def test_positions_resume(path):
    form = CsvFormat((CsvColumn(dtypes.int32),), header=True)
    with open(path, "w") as file:
        file.write("n\n" + "".join(f"{i}\n" for i in range(50_000)))
    reader = CsvReader(path, form)
    assert reader.position == [2, 2]
    first = reader.read().num_rows
    at = reader.position
    assert at[1] == 2 + first
    rest = drain(reader)
    assert drain(CsvReader(path, form, position=at)) == rest


@pytest.mark.peers
def test_parity_with_tensorflow(path):
    import tensorflow as tf

    kinds = ["int32", "float32", "string", "int64", "float64", [7], [1.5], ["d"]]
    atoms = ["1", "2.5", "-7", "a", "", '"x"', '"a,b"', '"p""q"', '"m\nn"', "NA", " 3 ", "inf",
             "99999999999", 'b"c', '"z"y', "0x1f", "1_0", "+4", "1e3"]  # fmt: skip
    rng = random.Random(5)
    for _ in range(150):
        n = rng.randint(1, 3)
        clean = rng.random() < 0.5
        pool = ["1", "-7", "22", '"3"', ""] if clean else atoms
        lines = [
            ",".join(rng.choice(pool) for _ in range(n if clean or rng.random() < 0.9 else 2))
            for _ in range(rng.randint(0, 6))
        ]
        text = rng.choice(["\n", "\r\n"]).join(lines) + rng.choice(["", "\n"])
        with open(path, "wb") as file:
            file.write(text.encode())
        chosen = [rng.choice(kinds) for _ in range(n)]
        options = {"header": rng.random() < 0.2, "use_quote_delim": rng.random() < 0.9}
        options["na_value"] = rng.choice(["", "NA"])
        found = []
        for lib, make in ((tf, tf.data.experimental.CsvDataset), (hr, CsvDataset)):
            defaults = [getattr(lib, k) if isinstance(k, str) else k for k in chosen]
            found.append(outcomes(make(path, defaults, **options)))
        assert found[0] == found[1], (text, chosen, options)


def outcomes(dataset):
    """Elements and errors, in order, as text."""
    out = []
    iterator = iter(dataset)
    while True:
        try:
            out.append([repr(np.asarray(x.numpy()).item()) for x in next(iterator)])
        except StopIteration:
            return out
        except Exception as error:
            text = str(error).split("__wrapped__")[-1].split("}}")[-1]
            text = text.split(" [")[0].split(f"{error}: ")[-1].strip()
            out.append("Can't read header" if "read header" in text else text)
