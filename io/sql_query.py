"""Database queries: SQLite through Python's own module, others through ADBC's drivers.

ADBC (the extra `sql`) gives results as Arrow record batches; for SQLite the standard library's
module stands in where the driver is not installed.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import os
from abc import ABC, abstractmethod
from collections.abc import Generator
from typing import Any

from ..ops import dtypes
from ..ops.errors import (
    InvalidArgumentError,
    NotFoundError,
    OpError,
    UnavailableError,
    UnknownError,
)

__all__ = ["ArrowQuery", "Rows", "open_rows", "sql_value"]

_BATCH_ROWS = 1 << 14
_DRIVERS = {
    "sqlite": "adbc_driver_sqlite",
    "postgresql": "adbc_driver_postgresql",
    "postgres": "adbc_driver_postgresql",
    "snowflake": "adbc_driver_snowflake",
    "grpc": "adbc_driver_flightsql",
    "grpc+tls": "adbc_driver_flightsql",
}


class Rows(ABC):
    """The rows of a query as tuples of Python values.

    Attributes:
        names: of the columns; None where the statement gives no rows.
    """

    names: list[str] | None

    def __init__(self) -> None:
        self._unread: list[Any] = []

    def fetch(self, most: int) -> list[Any]:
        """The next rows, none at the end."""
        if self._unread:
            rows, self._unread = self._unread[:most], self._unread[most:]
            return rows
        return self._fetch(most)

    def unread(self, rows: list[Any]) -> None:
        """Have `fetch` give `rows` again."""
        self._unread = list(rows) + self._unread

    def skip(self, count: int) -> None:
        """Drop the next rows."""
        while count and (rows := self.fetch(min(count, _BATCH_ROWS))):
            count -= len(rows)

    @abstractmethod
    def _fetch(self, most: int) -> list[Any]:
        """Up to `most` new rows."""

    @abstractmethod
    def close(self) -> None:
        """Close the database."""


def open_rows(driver: str, source: str, query: str, columns: int, skip: int = 0) -> Rows:
    """The rows of a query from row `skip` on.

    Args:
        driver: ``"sqlite"`` or ``"postgresql"``.
        source: a path, or a URI.
        query: SQL.
        columns: how many there should be.
        skip: rows to leave out.

    Raises:
        InvalidArgumentError: the query is wrong or gives another number of columns.
        NotFoundError: there is no such database.
        UnavailableError: the server does not answer.
    """
    rows = SqliteRows(source, query) if driver == "sqlite" else AdbcRows(source, query)
    if rows.names is not None and len(rows.names) != columns:
        found = len(rows.names)
        rows.close()
        raise InvalidArgumentError(
            f"The number of columns in query ({found}) must match the number of elements in "
            f"output_types ({columns})."
        )
    rows.skip(skip)
    return rows


class SqliteRows(Rows):
    """The rows of a query in a SQLite file, read only."""

    def __init__(self, path: str, query: str):
        super().__init__()
        import sqlite3  # some builds of Python lack it

        self._error = sqlite3.Error
        file = path.removeprefix("file:").split("?")[0]
        if file != ":memory:" and not os.path.exists(file):
            raise NotFoundError(f"{path}; no such database: check the path")
        try:
            # Stages are used by one thread at a time, but not always by the same.
            self._connection = sqlite3.connect(file, check_same_thread=False)
        except sqlite3.Error as error:
            raise UnknownError(f"{path}; {error}") from None
        self._connection.text_factory = bytes
        self._path = path
        try:
            self._connection.execute("PRAGMA query_only = ON")
            self._cursor = self._connection.execute(query)
        except sqlite3.Error as error:
            self._connection.close()
            raise InvalidArgumentError(f"{path}: {error} in query: {query}") from None
        description = self._cursor.description
        self.names = None if description is None else [d[0] for d in description]

    def _fetch(self, most: int) -> list[Any]:
        try:
            return self._cursor.fetchmany(most)
        except self._error as error:
            raise UnknownError(f"{self._path}; {error}") from None

    def close(self) -> None:
        """Close the database."""
        self._cursor.close()
        self._connection.close()


class AdbcRows(Rows):
    """The rows of a query that an ADBC driver runs."""

    def __init__(self, uri: str, query: str):
        super().__init__()
        self._batches = ArrowQuery(query, uri).batches(None)
        self.names = list(next(self._batches).names)

    def _fetch(self, most: int) -> list[Any]:
        """The rows of one batch; those beyond `most` come next."""
        batch = next(self._batches, None)
        if batch is None:
            return []
        rows = list(zip(*(column.to_pylist() for column in batch.columns), strict=True))
        self.unread(rows[most:])
        return rows[:most]

    def close(self) -> None:
        """Close the connection."""
        self._batches.close()


def sql_value(value: Any, kind: Any, column: int) -> Any:
    """A database's value as one of `kind`, converted as SQLite does; NULL is 0 or empty."""
    if kind is dtypes.string:
        if value is None:
            return b""
        return value if isinstance(value, bytes) else str(value).encode()
    if isinstance(value, str):
        value = value.encode()
    if isinstance(value, bytes):
        value = _leading_number(value)
    number = 0 if value is None else value
    if kind is dtypes.bool:
        return int(number) != 0
    if kind.is_integer:
        bits = kind.size * 8
        whole = int(number) & ((1 << bits) - 1)
        return whole - (1 << bits) if kind.min < 0 and whole >> (bits - 1) else whole
    return float(number)


def _leading_number(text: bytes) -> float:
    """What SQLite makes of text where a number is wanted: its longest numeric beginning."""
    import re

    found = re.match(rb"\s*([+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?)", text)
    if not found:
        return 0
    digits = found[1]
    return int(digits) if digits.lstrip(b"+-").isdigit() else float(digits)


class ArrowQuery:
    """A query whose result comes as Arrow record batches.

    Args:
        query: SQL.
        uri: ``sqlite:///path``, ``postgresql://...``, another of ADBC's, or the path of a
            SQLite file.

    Attributes:
        what: the query, shortened, for messages.

    Raises:
        ValueError: no driver is known for the URI.
        UnavailableError: its driver is not installed.
    """

    def __init__(self, query: str, uri: str):
        self.query = query
        scheme, found, rest = uri.partition("://")
        self._scheme = scheme if found else "sqlite"
        self._uri = uri
        if self._scheme == "sqlite":
            self._uri = rest.removeprefix("/") if found else uri
        if self._scheme not in _DRIVERS:
            raise ValueError(
                f"uri must be a SQLite path or begin with one of "
                f"{', '.join(s + '://' for s in _DRIVERS)}, got {uri!r}"
            )
        short = " ".join(query.split())
        self.what = short if len(short) <= 50 else short[:47] + "..."
        driver = _DRIVERS[self._scheme]
        self._driver = driver if importlib.util.find_spec(driver) else None
        if self._driver is None and self._scheme != "sqlite":
            raise UnavailableError(
                f"{self._scheme}:// needs the package {driver.replace('_', '-')}: "
                f"pip install {driver.replace('_', '-')} (the extra `sql` has those for SQLite "
                "and PostgreSQL)"
            )

    def schema(self) -> Any:
        """The schema of the result; rows are not read, and where the driver can tell it from
        the query alone, that is not run."""
        batches = self.batches(None, schema_only=True)
        try:
            return next(batches)
        finally:
            batches.close()

    def batches(self, schema: Any, schema_only: bool = False) -> Generator[Any, None, None]:
        """The record batches of the result; without `schema`, first of all that of the result.

        Raises:
            InvalidArgumentError: the query failed.
            UnavailableError: the server does not answer or refuses the connection.
        """
        if self._scheme == "sqlite" and not os.path.exists(self._uri):
            raise NotFoundError(f"{self._uri}; no such database: check the path")
        run = self._adbc(schema_only) if self._driver is not None else self._sqlite(schema)
        found = next(run)
        if schema is None:
            yield found
        yield from run

    def _adbc(self, schema_only: bool) -> Generator[Any, None, None]:
        """The result's schema, then its batches."""
        import pyarrow as pa

        assert self._driver is not None
        dbapi = importlib.import_module(f"{self._driver}.dbapi")
        try:
            connection = dbapi.connect(self._uri)
        except dbapi.Error as error:
            raise UnavailableError(
                f"{self._scheme}://; {_one_line(error)}: check that the server runs, and host, "
                "port, user, password and database of the URI"
            ) from None
        # What is not committed is undone when the connection closes: a query changes nothing.
        try:
            with connection, connection.cursor() as cursor:
                if schema_only:
                    with contextlib.suppress(dbapi.NotSupportedError):
                        yield cursor.adbc_execute_schema(self.query)
                        return
                cursor.execute(self.query)
                reader = cursor.fetch_record_batch()
                yield reader.schema
                for batch in reader:
                    for k in range(0, batch.num_rows, _BATCH_ROWS):
                        yield batch[k : k + _BATCH_ROWS]
        except (dbapi.Error, pa.ArrowException, OSError) as error:
            if isinstance(error, OpError):
                raise
            raise InvalidArgumentError(
                f"query failed: {_one_line(error)} in {self.what!r}"
            ) from None

    def _sqlite(self, schema: Any) -> Generator[Any, None, None]:
        import pyarrow as pa

        rows = SqliteRows(self._uri, self.query)
        try:
            names = rows.names or []
            first = rows.fetch(_BATCH_ROWS)
            if schema is None:
                kinds = [_kind_of([row[k] for row in first]) for k in range(len(names))]
                schema = pa.schema(list(zip(names, kinds, strict=True)))
                yield schema
            else:
                yield schema
            wanted = [(names.index(f.name), f.type) for f in schema]
            while first:
                arrays = [
                    pa.array([_plain(row[k], kind) for row in first], kind)
                    for k, kind in wanted
                ]
                yield pa.RecordBatch.from_arrays(arrays, schema=schema)
                first = rows.fetch(_BATCH_ROWS)
        finally:
            rows.close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def _kind_of(values: list[Any]) -> Any:
    import pyarrow as pa

    kinds = {type(v) for v in values if v is not None}
    if not kinds:
        return pa.null() if values else pa.int64()
    if kinds <= {int}:
        return pa.int64()
    return pa.float64() if kinds <= {int, float} else pa.binary()


def _plain(value: Any, kind: Any) -> Any:
    import pyarrow as pa

    if value is None or not pa.types.is_binary(kind):
        return float(value) if isinstance(value, int) and pa.types.is_float64(kind) else value
    return value if isinstance(value, bytes) else str(value).encode()
