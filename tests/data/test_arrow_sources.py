"""Arrow data, Parquet, IPC, JSON lines, CSV and SQL as sources: values, the checkpoint law at
every position, errors, and what comes back through `to_arrow`."""

import datetime
import decimal
import gzip
import json
import pickle
import sqlite3

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.data import ArrowFileDataset, Dataset, JsonLinesDataset, ParquetDataset
from headrace.data.experimental import CsvDataset, SqlDataset, make_csv_dataset
from headrace.data.iterator import NumpyIterator
from headrace.ops import nest

ROWS = 23
TABLE = pa.table({
    "id": np.arange(ROWS),
    "x": np.arange(ROWS, dtype=np.float32) / 2,
    "name": [f"n{i}" * (i % 3) for i in range(ROWS)],
    "tags": [[f"t{j}" for j in range(i % 4)] for i in range(ROWS)],
    "vec": pa.FixedSizeListArray.from_arrays(pa.array(np.arange(2 * ROWS)), 2),
    "point": [{"a": i, "b": i % 2 == 0} for i in range(ROWS)],
    "deep": [[list(range(j)) for j in range(i % 3)] for i in range(ROWS)],
})  # fmt: skip
FLAT = TABLE.select(["id", "x", "name"])


class Stream:
    """An object of which only the Arrow C stream interface is known."""

    def __init__(self, table):
        self.table = table

    def __arrow_c_stream__(self, requested_schema=None):
        return self.table.__arrow_c_stream__(requested_schema)


class Frame(Stream):
    """The same with a length, as data frames have."""

    def __len__(self):
        return len(self.table)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two files of each format, the first of 15 rows, the second of 8."""
    folder = tmp_path_factory.mktemp("arrow")
    database = sqlite3.connect(folder / "rows.sqlite")
    database.execute("CREATE TABLE rows (id INTEGER, x REAL, name TEXT)")
    rows = list(zip(*FLAT.to_pydict().values(), strict=True))
    database.executemany("INSERT INTO rows VALUES (?, ?, ?)", rows)
    database.commit()
    database.close()
    for f, part in enumerate((TABLE[:15], TABLE[15:])):
        pa.parquet.write_table(part, folder / f"{f}.parquet", row_group_size=4)
        with pa.OSFile(str(folder / f"{f}.arrow"), "wb") as sink:
            with pa.ipc.new_file(sink, part.schema) as writer:
                writer.write_table(part, max_chunksize=4)
        with pa.OSFile(str(folder / f"{f}.arrows"), "wb") as sink:
            with pa.ipc.new_stream(sink, part.schema) as writer:
                writer.write_table(part, max_chunksize=4)
        pa.feather.write_feather(part, str(folder / f"{f}.feather"))
        rows = part.select(["id", "x", "name", "tags"]).to_pylist()
        (folder / f"{f}.jsonl").write_text("".join(json.dumps(r) + "\n" for r in rows))
        lines = "".join(f'{r["id"]},{r["x"]},"{r["name"]}"\n' for r in rows)
        (folder / f"{f}.csv").write_text("id,x,name\n" + lines)
        (folder / f"{f}.csv.gz").write_bytes(gzip.compress(("id,x,name\n" + lines).encode()))
    return folder


def paths(folder, kind):
    return [str(folder / f"{f}.{kind}") for f in range(2)]


def csv(folder, kind="csv", **kwargs):
    kinds = [hr.int64, hr.float32, [""]]
    return CsvDataset(paths(folder, kind), kinds, header=True, **kwargs)


WHOLE = {
    "table": lambda f: Dataset.from_arrow(TABLE),
    "chunked_table": lambda f: Dataset.from_arrow(
        pa.concat_tables([TABLE[:5], TABLE[5:5], TABLE[5:]])),
    "frame": lambda f: Dataset.from_arrow(Frame(TABLE)),
    "stream": lambda f: Dataset.from_arrow(Stream(TABLE)),
    "reader": lambda f: Dataset.from_arrow(TABLE.to_reader(7)),
    "parquet": lambda f: ParquetDataset(paths(f, "parquet")),
    "parquet_of_names": lambda f: ParquetDataset(Dataset.from_tensor_slices(
        paths(f, "parquet"))),
    "ipc": lambda f: ArrowFileDataset(paths(f, "arrow")),
    "ipc_stream": lambda f: ArrowFileDataset(paths(f, "arrows")),
    "feather": lambda f: ArrowFileDataset(paths(f, "feather")),
}  # fmt: skip
OTHERS = {
    "json": lambda f: JsonLinesDataset(paths(f, "jsonl")),
    "csv": csv,
    "csv_gzip": lambda f: csv(f, "csv.gz", compression_type="GZIP"),
    "csv_of_names": lambda f: CsvDataset(
        Dataset.from_tensor_slices(paths(f, "csv")), [hr.int64, hr.float32, [""]],
        header=True),
    "make_csv": lambda f: make_csv_dataset(
        str(f / "*.csv"), 4, label_name="x", num_epochs=1, shuffle=False),
    "make_csv_shuffled": lambda f: make_csv_dataset(
        str(f / "*.csv"), 4, num_epochs=2, shuffle_seed=3, num_parallel_reads=2),
    "sqlite": lambda f: SqlDataset(
        "sqlite", str(f / "rows.sqlite"), "SELECT id, x, name FROM rows ORDER BY id",
        (hr.int64, hr.float64, hr.string)),
    "from_sql": lambda f: Dataset.from_sql(
        "SELECT * FROM rows ORDER BY id", str(f / "rows.sqlite")),
    "parquet_map_batch": lambda f: ParquetDataset(paths(f, "parquet")).map(
        lambda e: (e["id"] + 1, e["vec"])).batch(4),
    "parquet_filter": lambda f: ParquetDataset(paths(f, "parquet")).filter(
        lambda e: e["id"] >= 9).map(lambda e: e["name"]),
    "parquet_shuffle": lambda f: ParquetDataset(paths(f, "parquet")).shuffle(6, seed=2).map(
        lambda e: e["point"]["a"]).repeat(2),
    "csv_map": lambda f: csv(f).batch(3).map(lambda i, x, name: x),
    "arrow_skip_take": lambda f: Dataset.from_arrow(FLAT).skip(3).take(9).batch(2),
}  # fmt: skip
ALL = WHOLE | OTHERS


def plain(value):
    array = np.asarray(value)
    if array.dtype == object and array.size and isinstance(array.flat[0], np.ndarray):
        return [plain(row) for row in array]
    return array.dtype, array.tolist()


def flat(element):
    return [v.to_list() if hasattr(v, "to_list") else plain(v) for v in nest.flatten(element)]


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("rules", [True, False], ids=["rules", "as_written"])
def test_checkpoint_law(files, name, rules):
    def fresh():
        dataset = ALL[name](files)
        return dataset.as_numpy_iterator() if rules else NumpyIterator(dataset._node)

    elements, states = [], []
    with fresh() as iterator:
        while True:
            states.append(pickle.dumps(iterator.state()))
            try:
                elements.append(flat(next(iterator)))
            except StopIteration:
                break
    assert len(elements) > 3
    for position, state in enumerate(states):
        assert len(state) < 2000
        with fresh() as iterator:
            iterator.restore(pickle.loads(state))
            assert list(map(flat, iterator)) == elements[position:], position


@pytest.mark.parametrize("name", ALL)
def test_rules_change_nothing_and_elements_fit(files, name):
    written = list(map(flat, NumpyIterator(ALL[name](files)._node)))
    dataset = ALL[name](files)
    assert list(map(flat, dataset.as_numpy_iterator())) == written
    dataset = ALL[name](files)
    known = int(dataset.cardinality())
    assert known in (len(written), -2)
    spec = dataset.element_spec
    for element in ALL[name](files):
        nest.assert_same_structure(element, spec)
        pairs = zip(nest.flatten(element), nest.flatten(spec), strict=True)
        assert all(leaf.is_compatible_with(value) for value, leaf in pairs)


@pytest.mark.parametrize("name", WHOLE)
def test_rows_are_those_of_the_table(files, name):
    found = list(WHOLE[name](files))
    assert len(found) == ROWS
    for element, row in zip(found, TABLE.to_pylist(), strict=True):
        assert list(element) == TABLE.column_names
        assert int(element["id"]) == row["id"]
        assert element["name"].numpy().decode() == row["name"]
        assert [t.decode() for t in element["tags"].numpy()] == row["tags"]
        assert element["vec"].numpy().tolist() == row["vec"]
        assert element["deep"].to_list() == row["deep"]
        assert {k: v.numpy().item() for k, v in element["point"].items()} == row["point"]


def test_json_csv_and_sql_give_the_same_rows(files):
    expected = [(r["id"], r["x"], r["name"].encode()) for r in FLAT.to_pylist()]
    found = {
        "json": [(e["id"], e["x"], e["name"])
                 for e in OTHERS["json"](files).as_numpy_iterator()],
        "from_sql": [tuple(e[k] for k in FLAT.column_names)
                     for e in OTHERS["from_sql"](files).as_numpy_iterator()],
        **{n: list(OTHERS[n](files).as_numpy_iterator()) for n in
           ("csv", "csv_gzip", "csv_of_names", "sqlite")},
    }  # fmt: skip
    for name, rows in found.items():
        assert rows == expected, name


@pytest.mark.parametrize("name", [n for n in WHOLE if n not in ("stream", "reader")])
def test_to_arrow_and_back_gives_the_same_elements(files, name):
    dataset = WHOLE[name](files)
    table = dataset.to_arrow().read_all()
    assert table.column_names == TABLE.column_names
    again = Dataset.from_arrow(table)
    assert list(map(flat, again)) == list(map(flat, dataset))
    assert pa.table(dataset).equals(table)


def test_to_arrow_names_components():
    assert Dataset.range(3).to_arrow().read_all().to_pydict() == {"value": [0, 1, 2]}
    pairs = Dataset.from_tensor_slices(([1, 2], ["a", "b"]))
    assert pairs.to_arrow().read_all().to_pydict() == {"0": [1, 2], "1": [b"a", b"b"]}
    varying = Dataset.range(4).map(lambda i: hr.range(i)).to_arrow().read_all()
    assert varying["value"].to_pylist() == [[], [0], [0, 1], [0, 1, 2]]
    batched = Dataset.range(5).batch(2).to_arrow().read_all()
    assert batched["value"].to_pylist() == [[0, 1], [2, 3], [4]]
    with pytest.raises(TypeError, match=r"component 'value'.*no Arrow form"):
        Dataset.from_tensors(hr.SparseTensor([[0]], [1], [2])).to_arrow()


KINDS = {
    "int8": (pa.array([1, -2], pa.int8()), np.int8, [1, -2]),
    "uint64": (pa.array([1, 2**63], pa.uint64()), np.uint64, [1, 2**63]),
    "half": (pa.array(np.array([1, 2], np.float16)), np.float16, [1, 2]),
    "bool": (pa.array([True, False]), np.bool_, [True, False]),
    "string": (pa.array(["a", "é"]), object, [b"a", "é".encode()]),
    "string_view": (pa.array(["a", "bb"], pa.string_view()), object, [b"a", b"bb"]),
    "fixed_binary": (pa.array([b"ab", b"cd"], pa.binary(2)), object, [b"ab", b"cd"]),
    "timestamp_us": (pa.array([7, 8], pa.timestamp("us", "UTC")), np.int64, [7, 8]),
    "date32": (pa.array([datetime.date(1970, 1, 3)] * 2), np.int64, [2, 2]),
    "date64": (pa.array([86400000, 0], pa.date64()), np.int64, [86400000, 0]),
    "time32": (pa.array([5, 6], pa.time32("s")), np.int64, [5, 6]),
    "duration": (pa.array([5, 6], pa.duration("ms")), np.int64, [5, 6]),
    "decimal": (pa.array([decimal.Decimal("1.50"), decimal.Decimal(2)]), np.float64, [1.5, 2]),
    "dictionary": (pa.array(["u", "v"]).dictionary_encode(), object, [b"u", b"v"]),
    "dictionary_int": (pa.array([5, 9]).dictionary_encode(), np.int64, [5, 9]),
    "run_end": (pa.RunEndEncodedArray.from_arrays([1, 2], [4, 6]), np.int64, [4, 6]),
    "uuid": (pa.ExtensionArray.from_storage(
        pa.uuid(), pa.array([b"0" * 16, b"1" * 16], pa.binary(16))), object,
        [b"0" * 16, b"1" * 16]),
    "large_list": (pa.array([[1], []], pa.large_list(pa.int32())), np.int32, [[1], []]),
    "list_view": (pa.array([[1], []], pa.list_view(pa.int32())), np.int32, [[1], []]),
    "fixed_list": (pa.array([["a"], ["b"]], pa.list_(pa.string(), 1)), object,
                   [[b"a"], [b"b"]]),
    "fixed_of_fixed": (pa.array([[[1, 2]], [[3, 4]]], pa.list_(pa.list_(pa.int8(), 2), 1)),
                       np.int8, [[[1, 2]], [[3, 4]]]),
    "tensor": (pa.FixedShapeTensorArray.from_numpy_ndarray(np.arange(12.0).reshape(2, 3, 2)),
               np.float64, np.arange(12.0).reshape(2, 3, 2).tolist()),
    "tensor_permuted": (pa.FixedShapeTensorArray.from_numpy_ndarray(
        np.arange(12.0).reshape(2, 3, 2).transpose(0, 2, 1)), np.float64,
        np.arange(12.0).reshape(2, 3, 2).transpose(0, 2, 1).tolist()),
}  # fmt: skip


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("offset", [0, 1])
def test_types(name, offset):
    array, dtype, expected = KINDS[name]
    padded = pa.concat_arrays([array[:1], array])[1:] if offset else array
    dataset = Dataset.from_arrow(pa.table({"c": padded}))
    values = [e["c"] for e in dataset.as_numpy_iterator()]
    assert [np.asarray(v).tolist() for v in values] == expected
    for value in values:
        found = np.asarray(value)
        assert found.dtype == dtype or found.dtype.kind == "S"
        assert dataset.element_spec["c"].shape.is_compatible_with(found.shape)


def test_maps_and_lists_of_structs_are_dicts_of_lists():
    table = pa.table({
        "m": pa.array([[("k", 1)], [], [("a", 2), ("b", 3)]], pa.map_(pa.string(), pa.int32())),
        "s": [[{"x": 1}], [], [{"x": 2}, {"x": 3}]],
    })  # fmt: skip
    found = list(Dataset.from_arrow(table).as_numpy_iterator())
    assert [e["m"]["value"].tolist() for e in found] == [[1], [], [2, 3]]
    assert [e["m"]["key"].tolist() for e in found] == [[b"k"], [], [b"a", b"b"]]
    assert [e["s"]["x"].tolist() for e in found] == [[1], [], [2, 3]]


def test_numbers_and_strings_share_memory():
    numbers = np.arange(100_000)
    table = pa.table({"n": numbers, "s": pa.array(["ab"] * 100_000)})
    iterator = Dataset.from_arrow(table).raw_iterator()
    block = iterator.next_block(1000)
    n, s = block.columns
    assert np.shares_memory(n, numbers)
    bytes_ = np.frombuffer(table["s"].chunk(0).buffers()[2], np.uint8)
    assert np.shares_memory(s.data, bytes_)


@pytest.mark.parametrize("array", [
    pa.nulls(2), pa.array([(1, 2, 3)] * 2, pa.month_day_nano_interval()),
    pa.UnionArray.from_dense(pa.array([0, 0], pa.int8()), pa.array([0, 1], pa.int32()),
                             [pa.array([1, 2])]),
    pa.array([[[1], []]] * 2, pa.list_(pa.list_(pa.int8()), 2)),
], ids=["null", "interval", "union", "list_in_fixed"])  # fmt: skip
def test_types_without_tensor_form_name_the_column(array):
    with pytest.raises(TypeError, match=r"column 'c'.*no tensor form"):
        Dataset.from_arrow(pa.table({"c": array}))


NULLS = pa.table({
    "i": pa.array([1, None, 3]), "f": pa.array([1.5, 2.5, None]), "s": ["a", None, "c"],
    "b": pa.array([True, None, False]), "l": [[1], None, [2, None]],
    "t": pa.array([1, None, 2], pa.timestamp("s")),
    "v": pa.array([[1, 2], None, [3, None]], pa.list_(pa.int32(), 2)),
    "d": pa.array(["x", None, "x"]).dictionary_encode(),
    "p": [{"q": 1}, None, {"q": None}],
})  # fmt: skip


@pytest.mark.parametrize(("column", "row"), [
    ("i", 1), ("f", 2), ("s", 1), ("b", 1), ("l", 1), ("t", 1), ("v", 1), ("d", 1), ("p", 1),
])  # fmt: skip
def test_nulls_are_errors_that_name_column_and_row(column, row):
    iterator = Dataset.from_arrow(NULLS, [column]).as_numpy_iterator()
    for _ in range(row):
        next(iterator)
    with pytest.raises(hr.errors.InvalidArgumentError, match=rf"'{column}.* null in row {row}"):
        next(iterator)


def test_elements_around_a_null_come():
    dataset = Dataset.from_arrow(NULLS, ["i"])
    iterator = dataset.as_numpy_iterator()
    before = iterator.state()
    assert next(iterator) == {"i": 1}
    at_error = iterator.state()
    with pytest.raises(ValueError, match="nulls='zero'"):
        next(iterator)
    behind = iterator.state()
    assert list(iterator) == [{"i": 3}]
    for state, message in ((at_error, "row 1"), (behind, None), (before, None)):
        fresh = dataset.as_numpy_iterator()
        fresh.restore(state)
        if message:
            with pytest.raises(ValueError, match=message):
                next(fresh)
            assert next(fresh) == {"i": 3}
        else:
            assert next(fresh) == {"i": 3 if state is behind else 1}


def test_nulls_zero():
    found = list(Dataset.from_arrow(NULLS, nulls="zero").as_numpy_iterator())
    assert [e["i"].item() for e in found] == [1, 0, 3]
    assert [e["f"].item() for e in found] == [1.5, 2.5, 0]
    assert [e["s"] for e in found] == [b"a", b"", b"c"]
    assert [e["b"].item() for e in found] == [True, False, False]
    assert [e["l"].tolist() for e in found] == [[1], [], [2, 0]]
    assert [e["t"].item() for e in found] == [1, 0, 2]
    assert [e["v"].tolist() for e in found] == [[1, 2], [0, 0], [3, 0]]
    assert [e["d"] for e in found] == [b"x", b"", b"x"]
    assert [e["p"]["q"].item() for e in found] == [1, 0, 0]


def test_nulls_by_column():
    rules = {"i": -1, "f": float("nan"), "s": "?", "b": True, "d": b"!"}
    found = list(Dataset.from_arrow(NULLS, list(rules), nulls=rules).as_numpy_iterator())
    assert [e["i"].item() for e in found] == [1, -1, 3]
    assert np.isnan(found[2]["f"])
    assert [e["s"] for e in found] == [b"a", b"?", b"c"]
    assert [e["b"].item() for e in found] == [True, True, False]
    assert [e["d"] for e in found] == [b"x", b"!", b"x"]
    inner = Dataset.from_arrow(NULLS[2:], ["p"], nulls={"p.q": 9})
    assert next(inner.as_numpy_iterator()) == {"p": {"q": 9}}
    with pytest.raises(ValueError, match=r"columns \['zz'\]"):
        Dataset.from_arrow(NULLS, nulls={"zz": 1})
    with pytest.raises(ValueError, match="must be 'error', 'zero' or a dict"):
        Dataset.from_arrow(NULLS, nulls="drop")
    with pytest.raises(ValueError, match=r"nulls\['i'\] must be .* int64, got 1.5"):
        list(Dataset.from_arrow(NULLS, ["i"], nulls={"i": 1.5}))


def test_a_reader_is_read_once_and_says_so():
    dataset = Dataset.from_arrow(FLAT.to_reader())
    assert sum(1 for _ in dataset) == ROWS
    with pytest.raises(hr.errors.FailedPreconditionError, match=r"has been read.*read_all"):
        list(dataset)
    kept = Dataset.from_arrow(FLAT.to_reader()).cache()
    assert sum(1 for _ in kept) == sum(1 for _ in kept) == ROWS


def test_columns_are_checked():
    with pytest.raises(ValueError, match="must name columns of the Table"):
        Dataset.from_arrow(TABLE, ["id", "nope"])
    with pytest.raises(TypeError, match="a list of names"):
        Dataset.from_arrow(TABLE, "id")
    with pytest.raises(TypeError, match="__arrow_c_stream__"):
        Dataset.from_arrow([1, 2])
    with pytest.raises(ValueError, match="more than once"):
        Dataset.from_arrow(pa.table([[1], [2]], ["a", "a"]))
    assert list(Dataset.from_arrow(TABLE, ["x", "id"]).element_spec) == ["x", "id"]


# -- files that are not as they should be -----------------------------------------------------


def test_missing_files_columns_and_types(files, tmp_path):
    with pytest.raises(hr.errors.NotFoundError, match=r"nope\.parquet"):
        ParquetDataset(str(tmp_path / "nope.parquet"))
    with pytest.raises(ValueError, match="at least one file"):
        ParquetDataset([])
    other = tmp_path / "other.parquet"
    pa.parquet.write_table(TABLE.select(["x"]), other)
    broken = ParquetDataset([paths(files, "parquet")[0], str(other)], ["id"])
    iterator = broken.as_numpy_iterator()
    assert [int(next(iterator)["id"]) for _ in range(15)] == list(range(15))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"other\.parquet.*'id'"):
        next(iterator)
    pa.parquet.write_table(pa.table({"id": pa.array([7, 8], pa.int16())}), other)
    assert [int(e["id"]) for e in broken][-2:] == [7, 8]
    pa.parquet.write_table(pa.table({"id": ["seven"]}), other)
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"other\.parquet.*'id' is string"):
        list(broken)


@pytest.mark.parametrize("kind", ["parquet", "arrow", "arrows"])
def test_damaged_files_name_the_place(files, tmp_path, kind):
    good = (files / f"0.{kind}").read_bytes()
    reader = ParquetDataset if kind == "parquet" else ArrowFileDataset
    bad = tmp_path / f"bad.{kind}"
    bad.write_bytes(b"PAR1 nothing of the kind PAR1")
    with pytest.raises(hr.errors.DataLossError, match=f"bad.{kind}"):
        reader(str(bad))
    for size in range(len(good) // 2, len(good), max(len(good) // 40, 1)):
        bad.write_bytes(good[:size])
        try:
            rows = [int(e["id"]) for e in reader([paths(files, kind)[0], str(bad)])]
        except hr.errors.DataLossError as error:
            assert f"bad.{kind}" in str(error)
        else:  # a stream may end at any batch
            assert rows[15:] == list(range(len(rows) - 15))


def test_bad_csv_records_fail_alone(tmp_path):
    path = tmp_path / "bad.csv"
    lines = [f"{i},{i / 2}" for i in range(9000)]
    lines[5000] = "oops,1"
    lines[5001] = "1"
    path.write_text("\n".join(lines))
    dataset = CsvDataset(str(path), [hr.int32, hr.float32])
    iterator = dataset.as_numpy_iterator()
    for i in range(5000):
        assert next(iterator) == (i, i / 2)
    state = iterator.state()
    with pytest.raises(
        hr.errors.InvalidArgumentError,
        match=r"not a valid int32: oops .*"
        r"bad\.csv, line 5001, byte 5\d+\] \[stage csv, .*test_arrow_sources",
    ):
        next(iterator)
    middle = iterator.state()
    with pytest.raises(hr.errors.InvalidArgumentError, match="Expect 2 fields but have 1"):
        next(iterator)
    assert [int(i) for i, _ in iterator] == list(range(5002, 9000))
    for at, count in ((state, 2), (middle, 1)):
        fresh = dataset.as_numpy_iterator()
        fresh.restore(at)
        for _ in range(count):
            with pytest.raises(hr.errors.InvalidArgumentError):
                next(fresh)
        assert next(fresh) == (5002, 2501.0)
    assert sum(1 for _ in dataset.ignore_errors()) == 8998


def test_bad_json_lines_fail_alone(tmp_path):
    path = tmp_path / "bad.jsonl"
    lines = [json.dumps({"i": i, "s": "x" * (i % 5)}) for i in range(4000)]
    lines[2500] = '{"i": '
    lines[2501] = '{"i": "text"}'
    path.write_text("\n".join(lines))
    dataset = JsonLinesDataset(str(path), schema=pa.schema({"i": pa.int64()}))
    iterator = dataset.as_numpy_iterator()
    assert [int(next(iterator)["i"]) for _ in range(2500)] == list(range(2500))
    for line in (2501, 2502):
        with pytest.raises(hr.errors.InvalidArgumentError, match=rf"bad\.jsonl, line {line},"):
            next(iterator)
    assert [int(e["i"]) for e in iterator] == list(range(2502, 4000))


def test_json_keys_that_are_missing_are_null(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"a": 1, "b": "x"}\n\n{"a": 2}\n{"b": "y", "c": 3}')
    dataset = JsonLinesDataset(str(path), ["a", "b"], nulls="zero")
    assert [(e["a"], e["b"]) for e in dataset.as_numpy_iterator()] == [
        (1, b"x"), (2, b""), (0, b"y")]  # fmt: skip
    with pytest.raises(hr.errors.InvalidArgumentError, match="'b' is null in row 1"):
        list(JsonLinesDataset(str(path), ["a", "b"]))


# -- CSV --------------------------------------------------------------------------------------


def test_csv_longer_than_a_chunk_with_quoted_lines(tmp_path):
    path = tmp_path / "long.csv"
    rows = [(i, 'a"b' if i % 7 == 0 else "line\nbreak, " * (i % 5)) for i in range(20_000)]
    with open(path, "w", newline="") as file:
        import csv as python_csv

        python_csv.writer(file).writerows(rows)
    dataset = CsvDataset(str(path), [hr.int32, [""]])
    found = [(int(i), s.decode()) for i, s in dataset.as_numpy_iterator()]
    assert found == rows
    iterator = dataset.as_numpy_iterator()
    for _ in range(12_345):
        next(iterator)
    state = iterator.state()
    fresh = dataset.as_numpy_iterator()
    fresh.restore(state)
    assert [(int(i), s.decode()) for i, s in fresh] == rows[12_345:]


def test_csv_arguments():
    with pytest.raises(hr.errors.InvalidArgumentError, match="strictly increasing"):
        CsvDataset("x", [hr.int32, hr.int32], select_cols=[2, 1])
    with pytest.raises(hr.errors.InvalidArgumentError, match="match output size"):
        CsvDataset("x", [hr.int32], select_cols=[0, 1])
    with pytest.raises(hr.errors.InvalidArgumentError, match="Either select_cols or exclude"):
        CsvDataset("x", [hr.int32], select_cols=[0], exclude_cols=[1])
    with pytest.raises(hr.errors.InvalidArgumentError, match="only 1 char"):
        CsvDataset("x", [hr.int32], field_delim="||")
    with pytest.raises(ValueError, match=r"record_defaults\[0\] has dtype bool"):
        CsvDataset("x", [hr.bool])


def test_make_csv_dataset(files):
    first = next(
        iter(
            make_csv_dataset(
                str(files / "*.csv"),
                5,
                label_name="name",
                select_columns=["id", 2],
                shuffle=False,
            )
        )
    )
    features, label = first
    assert list(features) == ["id"] and features["id"].dtype == hr.int32
    assert features["id"].numpy().tolist() == list(range(5)) and label.shape == [5]
    with pytest.raises(ValueError, match="label_name"):
        make_csv_dataset(str(files / "*.csv"), 5, label_name="zz")
    with pytest.raises(ValueError, match="column_names"):
        make_csv_dataset(str(files / "*.csv"), 5, header=False)
    shuffled = make_csv_dataset(str(files / "*.csv"), 23, num_epochs=1, shuffle_seed=1)
    (batch,) = shuffled.as_numpy_iterator()
    assert sorted(batch["id"].tolist()) == list(range(ROWS)) != batch["id"].tolist()


# -- SQL --------------------------------------------------------------------------------------


def test_sql_errors(files):
    path = str(files / "rows.sqlite")
    with pytest.raises(hr.errors.InvalidArgumentError, match="not supported"):
        SqlDataset("mysql", path, "SELECT 1", (hr.int32,))
    with pytest.raises(hr.errors.InvalidArgumentError, match="number of columns in query"):
        list(SqlDataset("sqlite", path, "SELECT id FROM rows", (hr.int32, hr.int32)))
    with pytest.raises(hr.errors.InvalidArgumentError, match="no such table: nope"):
        list(SqlDataset("sqlite", path, "SELECT * FROM nope", (hr.int32,)))
    with pytest.raises(hr.errors.NotFoundError, match="no such database"):
        list(SqlDataset("sqlite", "/nope/db", "SELECT 1", (hr.int32,)))
    with pytest.raises(hr.errors.InvalidArgumentError, match="nope"):
        Dataset.from_sql("SELECT * FROM nope", path)
    with pytest.raises(ValueError, match="uri must be"):
        Dataset.from_sql("SELECT 1", "mysql://host/db")
    with pytest.raises(hr.errors.InvalidArgumentError, match="output_types"):
        SqlDataset("sqlite", path, "SELECT 1", (hr.float32,))


def test_sql_values_convert_as_sqlite_does(files):
    path = str(files / "rows.sqlite")
    query = "SELECT 300, NULL, '12abc', 2.7, 1, NULL"
    kinds = (hr.uint8, hr.int32, hr.int64, hr.int16, hr.bool, hr.string)
    (row,) = SqlDataset("sqlite", path, query, kinds).as_numpy_iterator()
    assert row == (44, 0, 12, 2, True, b"")


def test_from_sql_without_the_driver(files, monkeypatch):
    from headrace.io import sql_query

    expected = list(OTHERS["from_sql"](files).as_numpy_iterator())
    monkeypatch.setattr(sql_query.importlib.util, "find_spec", lambda name: None)
    assert list(OTHERS["from_sql"](files).as_numpy_iterator()) == expected
    with pytest.raises(hr.errors.UnavailableError, match="adbc-driver-postgresql"):
        Dataset.from_sql("SELECT 1", "postgresql://localhost/db")
