"""Columnar files in an object store: a real S3 server on loopback."""

import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.data import ArrowFileDataset, JsonLinesDataset, ParquetDataset

moto = pytest.importorskip("moto", reason="needs the extra `test`")
from s3_server import Proxy, running_server  # noqa: E402  needs moto

pytestmark = pytest.mark.processes
ROWS = 5000
TABLE = pa.table({"id": range(ROWS), "name": [f"n{i}" for i in range(ROWS)]})


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    folder = tmp_path_factory.mktemp("remote")
    pa.parquet.write_table(TABLE, folder / "t.parquet", row_group_size=1000)
    pa.feather.write_feather(TABLE, str(folder / "t.feather"))
    (folder / "t.jsonl").write_text("".join(f'{{"id": {i}}}\n' for i in range(ROWS)))
    (folder / "t.csv").write_text("".join(f"{i}\n" for i in range(ROWS)))
    with running_server() as server:
        server.call("PUT", "bucket")
        for file in folder.iterdir():
            server.put(f"bucket/{file.name}", file.read_bytes())
        yield server


@pytest.fixture(autouse=True)
def environment(monkeypatch, server):
    for name in ("AWS_PROFILE", "AWS_ENDPOINT_URL_S3", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_REGION", "us-east-1")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")


@pytest.mark.parametrize("make", [
    lambda: ParquetDataset("s3://bucket/t.parquet"),
    lambda: ArrowFileDataset("s3://bucket/t.feather"),
    lambda: JsonLinesDataset("s3://bucket/t.jsonl"),
], ids=["parquet", "feather", "json"])  # fmt: skip
def test_rows_come_and_resume(make):
    iterator = make().as_numpy_iterator()
    for i in range(2500):
        assert next(iterator)["id"] == i
    state = iterator.state()
    fresh = make().as_numpy_iterator()
    fresh.restore(state)
    assert [int(e["id"]) for e in fresh] == list(range(2500, ROWS))


@pytest.mark.parametrize(("after", "cuts"), [(3000, 1), (0, 3)])
def test_dropped_connections_lose_no_row(server, after, cuts, monkeypatch):
    monkeypatch.setattr("headrace.io.read_ahead._FIRST_PAUSE_S", 0.01)
    with Proxy(server.port, after, cuts) as proxy:
        url = f"s3://bucket/t.parquet?endpoint_override={proxy.endpoint}"
        assert [int(e["id"]) for e in ParquetDataset(url)] == list(range(ROWS))
        assert proxy.cut == cuts


def test_row_groups_of_one_remote_file_are_read_at_the_same_time(server, monkeypatch):
    monkeypatch.setattr("headrace.data.transforms.arrow_files._PART_ROWS", 1000)
    monkeypatch.setattr("headrace.io.read_ahead._FIRST_PAUSE_S", 0.01)
    with Proxy(server.port, 3000, 2) as proxy:
        dataset = ParquetDataset(f"s3://bucket/t.parquet?endpoint_override={proxy.endpoint}")
        assert "parallel_parquet" in dataset.explain()
        assert [int(e["id"]) for e in dataset] == list(range(ROWS))
        assert proxy.cut == 2
        iterator = dataset.as_numpy_iterator()
        for _ in range(2500):
            next(iterator)
        fresh = dataset.as_numpy_iterator()
        fresh.restore(iterator.state())
        assert [int(e["id"]) for e in fresh] == list(range(2500, ROWS))


def test_csv_and_a_missing_file():
    rows = hr.data.experimental.CsvDataset("s3://bucket/t.csv", [hr.int32])
    assert [int(i) for (i,) in rows.as_numpy_iterator()] == list(range(ROWS))
    with pytest.raises(hr.errors.NotFoundError, match=r"nope\.parquet"):
        ParquetDataset("s3://bucket/nope.parquet")
