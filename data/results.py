"""From what a user's function gave to columns: specs, flat raw values, and their checks.

The results of a function follow tf.data's rules: lists become tensors, tuples, dictionaries and
named tuples nest, `None` stays, Python and NumPy values become tensors, sparse and ragged
tensors and datasets are components of their own.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..ops import nest
from ..ops.composite import Composite, CompositeSpec
from ..ops.convert import to_tensor
from ..ops.errors import (
    InvalidArgumentError,
    OpError,
    OutOfRangeError,
    ResourceExhaustedError,
    UnimplementedError,
    UnknownError,
)
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .columns import ListColumn, column_from_rows, sparse_column

__all__ = [
    "ELEMENT_BITS",
    "check_result",
    "columns_of",
    "component_inputs",
    "flatten_result",
    "leaf_spec",
    "pack_components",
    "raised_at",
    "relaxed_spec",
    "to_argument",
    "user_error",
]


def to_argument(raw: Any) -> Any:
    """A row of a column as the eager value a user's function receives."""
    if isinstance(raw, (np.ndarray, StringArray)):
        return Tensor.of(raw)
    if isinstance(raw, np.generic):
        return Tensor.of(np.asarray(raw))
    return raw


def flatten_result(result: Any) -> tuple[list[Any], Any]:
    """Flat raw values of an eager function's result, and the result with specs as leaves.

    Raises:
        TypeError, ValueError: a part of the result is neither a tensor nor converts to one.
    """
    result = nest.lists_to_tensors(result, to_tensor)
    leaves, tree = nest.flatten_with_spec(result)
    values, specs = [], []
    for leaf in leaves:
        if leaf is not None and not isinstance(leaf, Composite) and not _is_dataset(leaf):
            leaf = to_tensor(leaf, None)
        specs.append(leaf_spec(leaf))
        values.append(leaf._value if type(leaf) is Tensor else leaf)
    return values, nest.pack_sequence_as(tree, specs)


def leaf_spec(leaf: Any) -> Any:
    """The spec of one component of a result: None for None."""
    if leaf is None:
        return None
    spec = getattr(leaf, "_type_spec", None)
    if spec is not None:
        return spec
    return TensorSpec(leaf.shape, leaf.dtype)


def _is_dataset(value: Any) -> bool:
    return hasattr(value, "element_spec") and hasattr(value, "cardinality")


def relaxed_spec(structure: Any) -> Any:
    """The specs of one result as what is known of all results: dtype and rank, but no sizes.

    A function that could not be traced may give other sizes for other elements.
    """

    def relax(spec: Any) -> Any:
        if type(spec) is TensorSpec and spec.shape.rank is not None:
            return TensorSpec([None] * spec.shape.rank, spec.dtype)
        return spec

    leaves, tree = nest.flatten_with_spec(structure)
    return nest.pack_sequence_as(tree, [relax(s) for s in leaves])


def check_result(values: Sequence[Any], structure: Any, expected: Any, name: str) -> None:
    """Raise InvalidArgumentError unless structure, dtypes and ranks are as expected."""
    got = nest.flatten(structure)
    want = nest.flatten(expected)
    if nest.structure_of(structure) != nest.structure_of(expected):
        raise InvalidArgumentError(
            f"{name} must return the same structure for every element; it returned {structure} "
            f"after {expected}"
        )
    for a, b in zip(got, want, strict=True):
        if type(a) is TensorSpec and type(b) is TensorSpec:
            if a.dtype is not b.dtype or not b.shape.is_compatible_with(a.shape):
                raise InvalidArgumentError(
                    f"{name} must return tensors of one dtype and rank for every element; it "
                    f"returned {a.dtype.name}{a.shape} after {b.dtype.name}{b.shape}"
                )
        elif (a is None) != (b is None) or type(a) is not type(b):
            raise InvalidArgumentError(f"{name} returned {a} where it returned {b} before")


def component_inputs(values: Sequence[Any], specs: Sequence[Any]) -> list[Any]:
    """The raw arrays a traced graph takes for one element: composites split into parts."""
    flat: list[Any] = []
    for value, spec in zip(values, specs, strict=True):
        if isinstance(spec, CompositeSpec) and isinstance(value, Composite):
            flat.extend(t._value for t in value._components())
        elif spec is not None:
            flat.append(value)
    return flat


def pack_components(arrays: Sequence[Any], specs: Sequence[Any]) -> list[Any]:
    """The inverse: one value per component of an element from a graph's raw results."""
    parts = iter(arrays)
    values: list[Any] = []
    for spec in specs:
        if isinstance(spec, CompositeSpec):
            tensors = [Tensor.of(next(parts)) for _ in spec.component_specs()]
            values.append(spec.from_components(tensors))
        elif spec is None:
            values.append(None)
        else:
            values.append(next(parts))
    return values


def columns_of(rows: Sequence[Sequence[Any]], specs: Sequence[Any]) -> list[Any]:
    """Columns of elements given as flat values."""
    columns = []
    for k, spec in enumerate(specs):
        column = [row[k] for row in rows]
        if type(spec).__name__ == "SparseTensorSpec" and rows:
            columns.append(sparse_column(column))
        elif isinstance(spec, TensorSpec):
            columns.append(column_from_rows(column))
        else:
            columns.append(ListColumn(column))
    return columns


#: Of an element's number; what stands above tells passes apart (`UserFunction.first_index`).
ELEMENT_BITS = 40


def user_error(error: Exception, name: str, index: int) -> Exception:
    """What a failing function raises: the same kind of error, with the element in its text.

    Python exceptions become the kinds `tf.py_function` gives them; the original stays as the
    cause.
    """
    where = f"(element {index % (1 << ELEMENT_BITS)} of {name})"
    if isinstance(error, OpError):
        kind = type(error)
        text = str(error)
        try:
            made: Exception = kind(f"{text} {where}", op=error.op)
        except TypeError:
            return error
    else:
        kind = next(kind for kinds, kind in _KINDS if isinstance(error, kinds))
        made = kind(f"{type(error).__name__}: {error} {where}{raised_at(error)}")
    made.__cause__ = error
    return made


_KINDS: tuple[tuple[Any, type[OpError]], ...] = (
    ((NotImplementedError,), UnimplementedError),
    ((TypeError, ValueError), InvalidArgumentError),
    ((StopIteration,), OutOfRangeError),
    ((MemoryError,), ResourceExhaustedError),
    ((Exception,), UnknownError),
)


def raised_at(error: BaseException, short: bool = False) -> str:
    """The text ", raised at file:line" of the innermost frame outside this package, or ""."""
    frame = error.__traceback__
    found = ""
    while frame is not None:
        code = frame.tb_frame
        if not code.f_globals.get("__name__", "").startswith("headrace."):
            path = code.f_code.co_filename
            name = os.path.basename(path) if short else path
            found = f", raised at {name}:{frame.tb_lineno}"
        frame = frame.tb_next
    return found
