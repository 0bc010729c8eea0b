"""Rows of a database query: as tuples of scalars, or through Arrow as dicts.

The state is a number of rows: a query is run anew and its first rows dropped, so resuming is
exact where the query fixes an order (ORDER BY).
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from ...io.arrow_files import ArrowReader, conform
from ...io.sql_query import ArrowQuery, open_rows, sql_value
from ...ops import dtypes
from ...ops.string_array import StringArray
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..node import Node
from ..stage import Context, Stage, State
from .arrow_source import ArrowSourceNode

__all__ = ["SqlNode", "SqlQueryNode"]

_ROWS = 1 << 12


@dataclasses.dataclass(frozen=True, eq=False)
class SqlNode(Node):
    """Rows of a query as tuples of scalars.

    Attributes:
        driver: ``"sqlite"`` or ``"postgresql"``.
        path: of the database file, or a URI.
        query: SQL.
        types: dtypes of the columns.
    """

    driver: str
    path: str = dataclasses.field(repr=False)  # a URI may hold a password
    query: str
    types: tuple[Any, ...] = dataclasses.field(repr=False)
    reads_files = True

    def _element_spec(self) -> Any:
        return tuple(TensorSpec([], kind) for kind in self.types)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _SqlStage(self, inputs, context)


class _SqlStage(Stage):
    node: SqlNode

    def __init__(self, node: SqlNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self._restart()

    def _restart(self) -> None:
        self._close()
        self._row = 0
        self._rows: Any = None
        self._error: Exception | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        node = self.node
        if self._rows is None:
            self._rows = open_rows(
                node.driver, node.path, node.query, len(node.types), self._row
            )
        found = self._rows.fetch(min(max_rows, _ROWS))
        good: list[tuple[Any, ...]] = []
        for row in found:
            try:
                pairs = enumerate(zip(row, node.types, strict=True))
                good.append(tuple(sql_value(v, kind, k) for k, (v, kind) in pairs))
            except Exception as error:
                if not good:
                    self._row += 1
                    self._rows.unread(found[1:])
                    raise
                self._rows.unread(found[len(good) :])
                del error
                break
        if not good:
            return None
        self._row += len(good)
        columns = [
            StringArray.from_values([row[k] for row in good])
            if kind is dtypes.string
            else np.array([row[k] for row in good], kind.np_dtype)
            for k, kind in enumerate(node.types)
        ]
        return Block(columns, len(good), self.structure)

    def _state(self) -> State:
        return {"row": self._row}

    def _restore(self, state: State) -> None:
        self._restart()
        self._row = state["row"]

    def _close(self) -> None:
        rows = getattr(self, "_rows", None)
        if rows is not None:
            rows.close()
            self._rows = None


@dataclasses.dataclass(frozen=True, eq=False)
class SqlQueryNode(ArrowSourceNode):
    """Rows of a query as dicts."""

    sql: ArrowQuery = dataclasses.field(repr=False, kw_only=True)
    label = "sql"

    @property
    def _parts(self) -> tuple[str, ...]:
        return (self.sql.what,)

    def _what(self) -> str:
        return self.sql.what

    def open_batches(self, part: str, position: list[int] | None) -> ArrowReader:
        """The result of the query, from some row on."""
        return _QueryReader(self, (position or [0])[0])


class _QueryReader:
    def __init__(self, node: SqlQueryNode, row: int):
        self._node = node
        self._batches = node.sql.batches(node.schema)
        self._row, self._drop = row, row

    @property
    def position(self) -> list[int]:
        return [self._row]

    def read(self) -> Any:
        for batch in self._batches:
            if self._drop >= batch.num_rows:
                self._drop -= batch.num_rows
                continue
            rows, self._drop = batch[self._drop :], 0
            self._row += rows.num_rows
            return conform(rows, self._node.schema, self._node.sql.what)
        return None

    def close(self) -> None:
        self._batches.close()
