"""The primitives of lookup tables, under TensorFlow's names.

A table is an attribute (`table_handle`), not an input.  What a static table gives depends on
the keys alone, so its `_StaticTableFind` is a function as any other: batched, folded, shared.
The others read or change a table that changes: a trace keeps them in order, and a pipeline
runs them element by element.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .errors import InvalidArgumentError
from .primitive import Primitive
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "LookupTableExportV2",
    "LookupTableFindV2",
    "LookupTableImportV2",
    "LookupTableInsertV2",
    "LookupTableRemoveV2",
    "LookupTableSizeV2",
    "StaticTableFind",
]


def _check(op: str, table: Any, keys: Any, values: Any = None) -> None:
    """Raise InvalidArgumentError unless the tensors have the table's dtypes."""
    store = table._store
    for what, tensor, want in (
        ("keys", keys, store.key_dtype),
        ("values", values, store.value_dtype),
    ):
        if tensor is not None and tensor.dtype != want:
            raise InvalidArgumentError(
                f"Signature mismatch: the table's {what} are {want.name}, got "
                f"{tensor.dtype.name} [Op:{op}]",
                op=op,
            )


def _no_result(op: str) -> Any:
    """The shape rule of an operation on keys (and values) that gives nothing."""

    def shape(*tensors: Any, table_handle: Any) -> tuple[()]:
        _check(op, table_handle, *tensors)
        return ()

    return shape


def _found(keys: Any, default: Any, *, table_handle: Any) -> TensorSpec:
    """The spec of the values of `keys`."""
    _check("LookupTableFindV2", table_handle, keys, default)
    store = table_handle._store
    shape = keys.shape
    if store.key_shape and shape.rank is not None:
        shape = shape[: shape.rank - len(store.key_shape)]
    return TensorSpec(shape.concatenate(TensorShape(store.value_shape)), store.value_dtype)


StaticTableFind = Primitive(
    "_StaticTableFind",
    "keys: Tin",
    impl=lambda keys, *, table_handle: table_handle._find(keys),
    shape=lambda keys, *, table_handle: TensorSpec(keys.shape, table_handle.value_dtype),
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)


def _find_impl(keys: Any, default: Any, *, table_handle: Any) -> Any:
    table_handle._check_keys(keys)
    return table_handle._store.find_or(keys, default)


LookupTableFindV2 = Primitive(
    "LookupTableFindV2",
    "keys: Tin, default_value: Tout",
    impl=_find_impl,
    shape=_found,
    check_first=True,
    vjp=lambda op, g: (None, None),
    stateful=True,
)


def _insert_impl(keys: Any, values: Any, *, table_handle: Any) -> tuple[()]:
    table_handle._check_keys(keys)
    table_handle._store.insert(keys, values)
    return ()


LookupTableInsertV2 = Primitive(
    "LookupTableInsertV2",
    "keys: Tin, values: Tout",
    impl=_insert_impl,
    shape=_no_result("LookupTableInsertV2"),
    check_first=True,
    stateful=True,
)


def _import_impl(keys: Any, values: Any, *, table_handle: Any) -> tuple[()]:
    store = table_handle._store
    with store.lock:
        store.clear()
        return _insert_impl(keys, values, table_handle=table_handle)


LookupTableImportV2 = Primitive(
    "LookupTableImportV2",
    "keys: Tin, values: Tout",
    impl=_import_impl,
    shape=_no_result("LookupTableImportV2"),
    check_first=True,
    stateful=True,
)


def _remove_impl(keys: Any, *, table_handle: Any) -> tuple[()]:
    table_handle._check_keys(keys)
    table_handle._store.remove(keys)
    return ()


LookupTableRemoveV2 = Primitive(
    "LookupTableRemoveV2",
    "keys: Tin",
    impl=_remove_impl,
    shape=_no_result("LookupTableRemoveV2"),
    check_first=True,
    stateful=True,
)


def _size_impl(*, table_handle: Any) -> np.ndarray:
    return np.array(len(table_handle._store), np.int64)


LookupTableSizeV2 = Primitive(
    "LookupTableSizeV2",
    "",
    impl=_size_impl,
    shape=lambda *, table_handle: TensorSpec([], dtypes.int64),
    stateful=True,
)


def _export_shape(*, table_handle: Any) -> tuple[TensorSpec, TensorSpec]:
    store = table_handle._store
    return (
        TensorSpec([None, *store.key_shape], store.key_dtype),
        TensorSpec([None, *store.value_shape], store.value_dtype),
    )


LookupTableExportV2 = Primitive(
    "LookupTableExportV2",
    "",
    impl=lambda *, table_handle: table_handle._store.export(),
    shape=_export_shape,
    stateful=True,
)
