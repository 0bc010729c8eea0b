"""CSV: what pyarrow reads and what is read exactly are the same; parity with TensorFlow."""

import random
import struct
from fractions import Fraction
from unittest import mock

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.data.experimental import CsvDataset
from headrace.io import csv_reader, jit
from headrace.io.csv_fields import Parsed
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
        columns = [column.tolist() for column in batch.columns]
        rows += [tuple(map(repr, row)) for row in zip(*columns, strict=True)]


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return str(tmp_path_factory.mktemp("csv") / "t.csv")


def exactly(path, form, **options):
    """The outcome of reading record by record."""
    exact = CsvReader(path, form, **options)
    exact._parse = lambda size_bytes, final: Parsed(None, 0, 0, True)
    return drain(exact)


@settings(max_examples=300, deadline=None)
@given(case=texts())
def test_all_ways_of_reading_agree(path, compiled, case):
    text, form = case
    with open(path, "wb") as file:
        file.write(text)
    expected = exactly(path, form)
    assert drain(CsvReader(path, form)) == expected
    with mock.patch.object(jit, "kernel", lambda name: None):
        assert drain(CsvReader(path, form)) == expected


def decimals(rng):
    """Texts of numbers, most of them floats."""
    whole, fraction = rng.getrandbits(rng.randint(1, 80)), rng.getrandbits(rng.randint(1, 70))
    return rng.choice([
        f"{rng.uniform(-9, 9):.{rng.randint(0, 24)}f}", f"{whole}.{fraction}", f"-.{fraction}",
        f"{rng.uniform(-9, 9):.{rng.randint(0, 20)}e}", f"{whole}e{rng.randint(-30, 20)}",
        repr(struct.unpack("d", struct.pack("Q", rng.getrandbits(64)))[0]),
        # Halfway between two float32s, or next to it.
        str(2**24 + 1 + 2 * rng.getrandbits(22)) + rng.choice(["", ".0", ".00000000001"]),
        str(rng.getrandbits(rng.randint(1, 70)) - 2**63), "Infinity", "-inf", "1e-320", "1e400",
    ])  # fmt: skip


def nearest_float32(text):
    """By the distances of the candidates, exactly."""
    value = Fraction(text)
    with np.errstate(over="ignore"):
        near = np.float32(float(text))
    if not np.isfinite(near):
        return near
    around = [np.nextafter(near, np.float32(s) * np.float32(np.inf)) for s in (-1, 1)]
    finite = [x for x in (near, *around) if np.isfinite(x)]
    return min(finite, key=lambda x: (abs(Fraction(float(x)) - value), x.view(np.int32) & 1))


def test_numbers_are_the_nearest(path, compiled):
    rng = random.Random(3)
    texts = [decimals(rng) for _ in range(3000)]
    with open(path, "w") as file:
        file.writelines(f"{text},{text}\n" for text in texts)
    form = CsvFormat((CsvColumn(dtypes.float64), CsvColumn(dtypes.float32)))
    rows, errors = drain(CsvReader(path, form))
    assert not errors
    expected = [
        (repr(float(t)), repr(float(t if "n" in t.lower() else nearest_float32(t))))
        for t in texts
    ]
    assert rows == expected


@pytest.mark.parametrize("kind", [dtypes.int32, dtypes.int64])
def test_integers_within_limits(path, compiled, kind):
    rng = random.Random(4)
    limit = np.iinfo(kind.np_dtype)
    edge = [limit.max, limit.min, limit.max + 1, limit.min - 1, 0, 10**18, 10**19, -(10**20)]
    values = edge + [
        rng.getrandbits(rng.randint(1, 68)) * rng.choice([-1, 1]) for _ in range(999)
    ]
    with open(path, "w") as file:
        file.writelines(f"{value}\n" for value in values)
    rows, errors = drain(CsvReader(path, CsvFormat((CsvColumn(kind),))))
    good = [v for v in values if limit.min <= v <= limit.max]
    assert [int(row[0]) for row in rows] == good and len(errors) == len(values) - len(good)


def test_the_kernels_constants_are_known():
    from headrace.io import csv_fields, csv_kernel as kernel

    facts = kernel.HAS_QUOTES, kernel.HAS_RETURNS, kernel.HAS_ESCAPES, kernel.IS_WRONG
    assert facts == (
        csv_fields._HAS_QUOTES, csv_fields._HAS_RETURNS, csv_fields._HAS_ESCAPES,
        csv_fields._IS_WRONG,
    )  # fmt: skip
    assert kernel.FACTS == csv_fields._FACTS and kernel.SIZE == 7
    kinds = kernel.INT32, kernel.INT64, kernel.FLOAT32, kernel.FLOAT64, kernel.STRING
    assert kinds == tuple(csv_fields._KINDS.values())


@st.composite
def quoted_texts(draw):
    """Longer records whose quotes, delimiters and line ends lie across words of 64 bytes."""
    field = st.text('ab,"\n\r', max_size=40).map(lambda t: '"' + t.replace('"', '""') + '"')
    rows = draw(
        st.lists(st.lists(field | st.just("plain"), min_size=2, max_size=2), max_size=9)
    )
    text = draw(ENDS).join(",".join(row) for row in rows)
    at = draw(st.integers(0, len(text)))
    return text[:at] + draw(st.sampled_from(["", "", '"', ",", "\n"])) + text[at:]


@settings(max_examples=300, deadline=None)
@given(text=quoted_texts(), size=st.sampled_from([7, 70, 1 << 14]))
def test_quotes_anywhere(path, compiled, text, size):
    form = CsvFormat((CsvColumn(dtypes.string), CsvColumn(dtypes.string, b'"none"')))
    with open(path, "w", newline="") as file:
        file.write(text)
    with mock.patch.object(csv_reader, "_FIRST_BYTES", size):
        assert drain(CsvReader(path, form)) == exactly(path, form)


@pytest.mark.parametrize("text", [b"1,1\n\n", b"\n1,1\n", b"1,1\r\n\r\n2,2", b"1,1\n\n2,2\n"])
def test_an_empty_line_lacks_fields(path, text):
    form = CsvFormat((CsvColumn(dtypes.int64, 7), CsvColumn(dtypes.int64, 7)))
    with open(path, "wb") as file:
        file.write(text)
    (rows, ((at, message),)) = drain(CsvReader(path, form))
    assert rows[0] == ("1", "1") and ("7", "7") not in rows
    assert at == (0 if text.startswith(b"\n") else 1) and "field" in message


def test_small_chunks_change_nothing(path, monkeypatch):
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
