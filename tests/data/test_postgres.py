"""SQL sources against a real PostgreSQL server on loopback; skipped where none is installed."""

import itertools
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset
from headrace.data.experimental import SqlDataset

sys.path.append(str(Path(__file__).parent))
import postgres_server

dbapi = pytest.importorskip(
    "adbc_driver_postgresql.dbapi", reason="needs the extra `sql` (adbc-driver-postgresql)"
)
pytestmark = [
    pytest.mark.processes,
    pytest.mark.timeout(90),
    pytest.mark.skipif(
        postgres_server.programs() is None,
        reason="no PostgreSQL server is installed (apt-get install postgresql)",
    ),
]
ROWS = 5000
COLUMNS = """
    id bigint, small smallint, whole int, real4 real, real8 double precision, flag boolean,
    name text, raw bytea, day date, moment timestamptz, price numeric(12, 2), tags text[],
    weights double precision[], note text
"""
FILL = f"""
    INSERT INTO things SELECT k, k % 7, k * 3, k / 2.0, k / 4.0, k % 2 = 0, 'n' || k,
    decode(lpad(to_hex(k), 8, '0'), 'hex'), date '2020-01-01' + k,
    timestamptz '2020-01-01 00:00:00Z' + k * interval '1 second', k + 0.25,
    ARRAY['a', 't' || k], ARRAY[k, k + 0.5], CASE WHEN k % 3 = 0 THEN NULL ELSE 'x' END
    FROM generate_series(0, {ROWS - 1}) k
"""
ORDERED = "SELECT * FROM things ORDER BY id"


@pytest.fixture(scope="module")
def uri():
    with postgres_server.running_server() as uri:
        execute(uri, f"CREATE TABLE things ({COLUMNS})", FILL)
        yield uri


def execute(uri, *statements):
    with dbapi.connect(uri) as connection, connection.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        connection.commit()


def tuples(uri, query, types):
    return list(SqlDataset("postgresql", uri, query, types).as_numpy_iterator())


def test_every_kind_of_column(uri):
    rows = list(Dataset.from_sql(ORDERED, uri, nulls="zero").as_numpy_iterator())
    assert len(rows) == ROWS
    for k in (0, 1, 2, 4999):
        row = rows[k]
        assert (row["id"], row["small"], row["whole"]) == (k, k % 7, 3 * k)
        assert (row["real4"], row["real8"], row["flag"]) == (k / 2, k / 4, k % 2 == 0)
        assert (row["name"], row["raw"]) == (b"n%d" % k, k.to_bytes(4, "big"))
        assert row["day"] == 18262 + k
        assert row["moment"] == (1577836800 + k) * 1_000_000
        assert row["price"] == b"%d.25" % k
        assert row["tags"].tolist() == [b"a", b"t%d" % k]
        assert row["weights"].tolist() == [k, k + 0.5]
        assert row["note"] == (b"" if k % 3 == 0 else b"x")
    kinds = {name: rows[0][name].dtype for name in ("id", "small", "whole", "real4", "real8")}
    assert kinds == {
        "id": np.int64, "small": np.int16, "whole": np.int32, "real4": np.float32,
        "real8": np.float64,
    }  # fmt: skip


def test_columns_batches_and_nulls(uri):
    dataset = Dataset.from_sql(ORDERED, uri, columns=["name", "id"]).batch(1000)
    assert [sorted(b) for b in dataset.as_numpy_iterator()] == [["id", "name"]] * 5
    with pytest.raises(hr.errors.InvalidArgumentError, match="note"):
        list(Dataset.from_sql(ORDERED, uri, columns=["note"]))
    empty = Dataset.from_sql("SELECT id FROM things WHERE false", uri)
    assert list(empty) == []
    assert empty.element_spec == {"id": hr.TensorSpec([], hr.int64)}


@pytest.mark.parametrize("taken", [0, 1, 999, 4999, 5000])
@pytest.mark.parametrize("make", [
    lambda uri: Dataset.from_sql(ORDERED, uri, columns=["id"]).map(lambda row: row["id"]),
    lambda uri: SqlDataset("postgresql", uri, "SELECT id FROM things ORDER BY id", (hr.int64,))
    .map(lambda k: k),
], ids=["from_sql", "SqlDataset"])  # fmt: skip
def test_checkpoint_law(uri, make, taken):
    iterator = iter(make(uri))
    for k in range(taken):
        assert int(next(iterator)) == k
    state = iterator.state()
    fresh = iter(make(uri))
    fresh.restore(state)
    assert [int(k) for k in fresh] == list(range(taken, ROWS))


def test_tuples_with_the_interface_of_tensorflow(uri):
    types = (hr.int32, hr.string, hr.bool, hr.float64, hr.string, hr.float64, hr.uint8)
    query = "SELECT id, name, flag, real8, note, price, small FROM things ORDER BY id LIMIT 4"
    assert tuples(uri, query, types) == [
        (k, b"n%d" % k, k % 2 == 0, k / 4, b"" if k % 3 == 0 else b"x", k + 0.25, k)
        for k in range(4)
    ]
    words = "SELECT day, moment, id, price FROM things ORDER BY id LIMIT 1"
    assert tuples(uri, words, (hr.string,) * 4) == [
        (b"2020-01-01", b"2020-01-01 00:00:00+00:00", b"0", b"0.25")
    ]
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"columns in query \(2\)"):
        tuples(uri, "SELECT 1 AS a, 2 AS b", (hr.int32,))
    assert tuples(uri, "SELECT 1, 2", (hr.int32, hr.int32)) == [(1, 2)]


def test_a_query_changes_nothing(uri):
    for make in (Dataset.from_sql, lambda query, uri: SqlDataset("postgresql", uri, query, ())):
        list(make("CREATE TABLE made (a int)", uri))
        list(make("DELETE FROM things", uri))
    (row,) = Dataset.from_sql("SELECT count(*) AS n FROM things", uri)
    assert int(row["n"]) == ROWS
    with pytest.raises(hr.errors.InvalidArgumentError, match='"made" does not exist'):
        Dataset.from_sql("SELECT * FROM made", uri)


def test_the_spec_is_learnt_without_running_the_query(uri):
    begin = time.monotonic()
    dataset = Dataset.from_sql("SELECT 7 AS n FROM pg_sleep(8)", uri)
    assert time.monotonic() - begin < 7
    assert [int(row["n"]) for row in dataset] == [7]


def test_a_long_result_is_streamed_and_may_be_left(uri):
    query = "SELECT k, repeat('x', 100) AS s FROM generate_series(1, 3000000) k"
    begin = time.monotonic()
    with iter(Dataset.from_sql(query, uri)) as iterator:
        head = [int(row["k"]) for row in itertools.islice(iterator, 1000)]
    left_s = time.monotonic() - begin
    assert head == list(range(1, 1001))
    assert left_s < 20


@pytest.mark.parametrize(("query", "text"), [
    ("SELECT * FROM nope", '"nope" does not exist'),
    ("SELEKT 1", "syntax error"),
    ("SELECT 1 / (5 - id) AS a FROM things ORDER BY id", "division by zero in 'SELECT 1"),
])  # fmt: skip
def test_queries_that_fail(uri, query, text):
    with pytest.raises(hr.errors.InvalidArgumentError, match=f"query failed.*{text}"):
        list(Dataset.from_sql(query, uri))
    with pytest.raises(hr.errors.InvalidArgumentError, match=f"query failed.*{text}"):
        tuples(uri, query, (hr.int32,))


def test_databases_that_cannot_be_reached(uri):
    host = uri.partition("@")[2]
    wrong = {
        uri.replace("/postgres", "/nodb"): '"nodb" does not exist',
        f"postgresql://nobody:secret@{host}": '"nobody" does not exist',
        "postgres://rower:secret@127.0.0.1:1/postgres": "Connection refused",
    }
    for address, text in wrong.items():
        with pytest.raises(hr.errors.UnavailableError, match=text) as caught:
            Dataset.from_sql("SELECT 1 AS a", address)
        assert "check that the server runs" in str(caught.value)
        assert "secret" not in str(caught.value)


def test_a_server_that_goes_away(uri):
    """The connection ends in the middle of a result: an error, after whole rows."""
    dataset = Dataset.from_sql(
        "SELECT k, repeat('x', 1000) AS long, CASE WHEN k > 30000 THEN pg_sleep(60)::text END "
        "AS hangs FROM generate_series(1, 40000) k", uri, nulls="zero",
    )  # fmt: skip
    got = []
    stop = threading.Thread(target=_end_others, args=(uri,))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"query failed.*terminat"):
        for row in dataset:
            if not got:
                stop.start()
            got.append(int(row["k"]))
    stop.join()
    assert got == list(range(1, len(got) + 1))


def _end_others(uri):
    execute(
        uri,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE pid <> pg_backend_pid() AND backend_type = 'client backend'",
    )
