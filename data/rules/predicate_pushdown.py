"""predicate_pushdown: row groups of Parquet files that a filter would drop whole are not read.

Of a traced filter right behind the source, comparisons of a column with a constant, joined by
"and", are compared with the row groups' statistics.  The filter still runs: statistics only
say that no row of a group can pass.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops.graph.graph import constant_value
from ...ops.string_array import StringArray
from ...ops.tensor_spec import TensorSpec
from ..node import Node
from ..transforms.arrow_files import ParquetNode
from ..transforms.filter import FilterNode
from .column_projection import inputs_per_leaf
from .common import describe

__all__ = ["Comparison", "rewrite", "told", "why_not"]

_OPERATORS = {
    "Greater": ">",
    "GreaterEqual": ">=",
    "Less": "<",
    "LessEqual": "<=",
    "Equal": "==",
}
_MIRRORED = {">": "<", ">=": "<=", "<": ">", "<=": ">=", "==": "=="}


@dataclasses.dataclass(frozen=True)
class Comparison:
    """``column operator value``, with operator one of > >= < <= ==."""

    column: str
    operator: str
    value: Any

    def may_hold(self, group: Any) -> bool:
        """Whether a row of a Parquet row group may meet it, by the group's statistics."""
        for k in range(group.num_columns):
            chunk = group.column(k)
            if chunk.path_in_schema == self.column:
                break
        else:
            return True
        found = chunk.statistics
        # A null may become any value, or an error.
        if found is None or not found.has_min_max or found.null_count != 0:
            return True
        low, high = found.min, found.max
        if isinstance(low, str):
            low, high = low.encode(), high.encode()
        if isinstance(low, bytes) != isinstance(self.value, bytes):
            return True
        match self.operator:
            case ">":
                return high > self.value
            case ">=":
                return high >= self.value
            case "<":
                return low < self.value
            case "<=":
                return low <= self.value
        return low <= self.value <= high

    def __str__(self) -> str:
        return f"{self.column} {self.operator} {self.value!r}"


def rewrite(node: Node) -> Node | None:
    """The filter over a source that skips row groups."""
    if _reason(node) is not None:
        return None
    path, source = _path(node)
    assert source is not None
    found = _comparisons(path[0], source)
    new = tuple(one for one in found if one not in source.predicate)
    if not new:
        return None
    plan: Node = dataclasses.replace(source, predicate=source.predicate + new)
    for one in reversed(path):
        plan = one.with_inputs(plan)
    return plan


def told(before: Node, after: Node) -> str:
    """The new source."""
    return describe(_path(after)[1])  # type: ignore[arg-type]


def why_not(node: Node) -> str | None:
    """Why a filter over Parquet files does not say which row groups to skip."""
    if not isinstance(node, FilterNode) or _path(node)[1] is None:
        return None
    return _reason(node)


def _path(node: Node) -> tuple[list[FilterNode], ParquetNode | None]:
    """The filters in a row from `node` down, and the Parquet source below them."""
    path = []
    while isinstance(node, FilterNode):
        path.append(node)
        node = node.input
    return path, node if path and isinstance(node, ParquetNode) else None


def _reason(node: Node) -> str | None:
    path, source = _path(node)
    if source is None:
        return "no filter of Parquet files"
    for one in path:
        if one.function.traced is None:
            return f"{one.function.name!r} was not traced: {one.function.why_not}"
    if not _comparisons(path[0], source):
        name = path[0].function.name
        return f"{name!r} is no comparison of a number or string column with a constant"
    return None


def _comparisons(node: FilterNode, source: ParquetNode) -> list[Comparison]:
    """What every row that passes must meet."""
    traced = node.function.traced
    assert traced is not None
    graph = traced.graph
    columns: dict[int, str] = {}
    inputs = iter(graph.inputs)
    leaves = zip(
        node.function.input.leaves, source.leaf_columns,
        inputs_per_leaf(node.function) or (), strict=False,
    )  # fmt: skip
    for spec, owner, count in leaves:
        tensors = [next(inputs) for _ in range(count)]
        if type(spec) is TensorSpec and spec.shape.rank == 0:
            if _comparable(source.schema.field(owner).type):
                columns[id(tensors[0])] = owner
    found = []
    pending = list(graph.outputs[:1])
    while pending:
        tensor = pending.pop(0)
        maker = tensor.node
        if maker.type == "LogicalAnd":
            pending += maker.inputs
        elif maker.type in _OPERATORS:
            left, right = maker.inputs
            operator = _OPERATORS[maker.type]
            if id(right) in columns:
                left, right, operator = right, left, _MIRRORED[operator]
            value = constant_value(right)
            if id(left) in columns and value is not None and value.shape == ():
                plain = value.item()
                plain = bytes(plain) if isinstance(value, StringArray) else plain
                found.append(Comparison(columns[id(left)], operator, plain))
    return found


def _comparable(kind: Any) -> bool:
    """Whether statistics of an Arrow type are values as the tensors have them."""
    import pyarrow as pa

    t = pa.types
    return (
        t.is_integer(kind) or t.is_float32(kind) or t.is_float64(kind) or t.is_string(kind)
        or t.is_large_string(kind) or t.is_binary(kind) or t.is_large_binary(kind)
    )  # fmt: skip
