"""How Arrow types correspond to components of elements: the one table of it.

| Arrow type | component of an element | memory |
|---|---|---|
| (u)int8-64, halffloat, float, double | scalar of that dtype | shared |
| bool | bool scalar | copied (bits to bytes) |
| string, binary, their large and view forms, fixed_size_binary | string scalar | bytes shared |
| timestamp, duration, time64, date64 | int64 in the type's own unit | shared |
| date32 (days), time32 | int64 in the type's own unit | copied |
| decimal | float64 | copied |
| dictionary | its decoded values | bytes of strings shared |
| list<T>, large_list, list_view | [None, ...]: T behind an axis of varying size | shared |
| list<list<T>> | `RaggedTensor` [None, None, ...] | copied |
| fixed_size_list<T, k> | [k, ...] | shared |
| fixed_shape_tensor | its shape | shared |
| struct | nested dict | as its fields |
| list<struct>, map | dict of lists (a map's: "key", "value") | as its fields |
| run_end_encoded | its decoded values | copied |
| other extension types | as their storage type | as that |
| null, interval, union | none: TypeError that names the column | |

Nulls have no counterpart among tensors.  `nulls` says what becomes of them: ``"error"`` (the
default; the error names column and row), ``"zero"`` (0, False, an empty string or list), or a
dict from column names (``"a.b"`` for a field of a struct) to "error", "zero" or the value to
put there.  Entries null in a list count as the list's column.

The other way (`arrow_export`), a dict becomes columns of its keys (nested: structs), a tuple
columns "0", "1", ..., a lone component a column "value"; strings become large_binary, fixed
inner axes fixed_size_list, varying ones large_list.

`arrow_columns` converts values by this table.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..ops import dtypes, nest
from ..ops.ragged_tensor import RaggedTensorSpec
from ..ops.tensor_spec import TensorSpec

__all__ = ["arrow_schema", "arrow_type", "element_spec", "is_list", "is_string", "named"]

PLAIN = {
    "int8": dtypes.int8, "int16": dtypes.int16, "int32": dtypes.int32, "int64": dtypes.int64,
    "uint8": dtypes.uint8, "uint16": dtypes.uint16, "uint32": dtypes.uint32,
    "uint64": dtypes.uint64, "halffloat": dtypes.float16, "float": dtypes.float32,
    "double": dtypes.float64, "bool": dtypes.bool,
}  # fmt: skip


def element_spec(schema: Any) -> dict[str, Any]:
    """The nested specs of the elements of an Arrow schema.

    Raises:
        TypeError: a column's type has no tensor form.
        ValueError: two columns share a name.
    """
    names = schema.names
    if len(set(names)) < len(names):
        twice = sorted({n for n in names if names.count(n) > 1})
        raise ValueError(f"columns {twice} occur more than once; rename them or select others")
    return {field.name: _spec(field.type, field.name) for field in schema}


def _spec(kind: Any, column: str) -> Any:
    import pyarrow as pa

    t = pa.types
    if str(kind) in PLAIN:
        return TensorSpec([], PLAIN[str(kind)])
    if isinstance(kind, pa.FixedShapeTensorType):
        inner = _spec(kind.value_type, column)
        return TensorSpec(_tensor_shape(kind), inner.dtype)
    if isinstance(kind, pa.BaseExtensionType):
        return _spec(kind.storage_type, column)
    if is_string(kind):
        return TensorSpec([], dtypes.string)
    if t.is_temporal(kind) and not t.is_interval(kind):
        return TensorSpec([], dtypes.int64)
    if t.is_decimal(kind):
        return TensorSpec([], dtypes.float64)
    if t.is_dictionary(kind) or t.is_run_end_encoded(kind):
        return _spec(kind.value_type, column)
    if t.is_struct(kind):
        return {f.name: _spec(f.type, f"{column}.{f.name}") for f in kind}
    if t.is_map(kind):
        fields = {"key": kind.key_type, "value": kind.item_type}
        return {k: _list_spec(_spec(v, f"{column}.{k}"), column) for k, v in fields.items()}
    if t.is_fixed_size_list(kind):
        inner = _spec(kind.value_type, column)
        return nest.map_structure(lambda s: _fixed_spec(s, kind.list_size, column), inner)
    if is_list(kind):
        return nest.map_structure(
            lambda s: _list_spec(s, column), _spec(kind.value_type, column)
        )
    raise TypeError(
        f"column {column!r} has the Arrow type {kind}, which has no tensor form; select other "
        "columns with columns=[...] or cast it first"
    )


def _fixed_spec(inner: Any, size: int, column: str) -> Any:
    if isinstance(inner, RaggedTensorSpec) or (inner.shape.rank and inner.shape[0] is None):
        raise TypeError(
            f"column {column!r} has lists of varying size in lists of size {size}, which have "
            "no tensor form; cast the outer type to list first"
        )
    return TensorSpec([size, *inner.shape], inner.dtype)


def _list_spec(inner: Any, column: str) -> Any:
    if isinstance(inner, dict):
        return nest.map_structure(lambda s: _list_spec(s, column), inner)
    if isinstance(inner, RaggedTensorSpec):
        return RaggedTensorSpec([None, *inner.shape], inner.dtype, inner.ragged_rank + 1)
    if inner.shape.rank and inner.shape[0] is None:
        return RaggedTensorSpec([None, *inner.shape], inner.dtype, 1)
    return TensorSpec([None, *inner.shape], inner.dtype)


def is_string(kind: Any) -> bool:
    """Whether values of the Arrow type are byte strings."""
    import pyarrow as pa

    t = pa.types
    return (
        t.is_string(kind) or t.is_binary(kind) or t.is_large_string(kind)
        or t.is_large_binary(kind) or t.is_fixed_size_binary(kind)
        or t.is_string_view(kind) or t.is_binary_view(kind)
    )  # fmt: skip


def is_list(kind: Any) -> bool:
    """Whether values of the Arrow type are lists of varying size (maps aside)."""
    import pyarrow as pa

    t = pa.types
    return (
        t.is_list(kind) or t.is_large_list(kind) or t.is_list_view(kind)
        or t.is_large_list_view(kind)
    )  # fmt: skip


def _tensor_shape(kind: Any) -> list[int]:
    """The logical shape: the stored axes in the order `permutation` names them."""
    shape = list(kind.shape)
    return shape if kind.permutation is None else [shape[k] for k in kind.permutation]


def arrow_schema(spec: Any) -> Any:
    """The Arrow schema of elements of nested `spec`.

    Raises:
        TypeError: a component has no Arrow type.
    """
    import pyarrow as pa

    return pa.schema([pa.field(n, arrow_type(s, n), nullable=False) for n, s in named(spec)])


def named(spec: Any) -> list[tuple[str, Any]]:
    """The columns that elements of `spec` become."""
    if isinstance(spec, Mapping):
        return [(str(k), v) for k, v in spec.items()]
    if isinstance(spec, tuple):
        names = getattr(spec, "_fields", None) or map(str, range(len(spec)))
        return list(zip(names, spec, strict=True))
    return [("value", spec)]


def arrow_type(spec: Any, name: str) -> Any:
    """The Arrow type of a component or nested components.

    Raises:
        TypeError: there is none.
    """
    import pyarrow as pa

    if isinstance(spec, (Mapping, tuple)):
        return pa.struct(
            [pa.field(n, arrow_type(s, f"{name}.{n}"), False) for n, s in named(spec)]
        )
    if not isinstance(spec, (TensorSpec, RaggedTensorSpec)) or spec.shape.rank is None:
        raise TypeError(
            f"component {name!r} is {spec!r}, which has no Arrow form; make it a dense or "
            "ragged tensor of known rank first, with map"
        )
    if spec.dtype is dtypes.string:
        kind = pa.large_binary()
    else:
        try:
            kind = pa.from_numpy_dtype(spec.dtype.np_dtype)
        except (pa.ArrowNotImplementedError, TypeError):
            raise TypeError(
                f"component {name!r} has dtype {spec.dtype.name}, which Arrow has not; cast it "
                "first, with map"
            ) from None
    sizes = spec.shape.as_list()
    varying = [k for k, size in enumerate(sizes) if size is None]
    fixed = not varying or (varying == [0] and isinstance(spec, TensorSpec))
    for k, size in reversed(list(enumerate(sizes))):
        if size is None or (not fixed and k <= varying[-1]):
            kind = pa.large_list(pa.field("item", kind, False))
        else:
            kind = pa.list_(pa.field("item", kind, False), size)
    return kind
