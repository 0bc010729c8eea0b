"""Lists of tensors as values: what `TensorArray` and the gradients of loops are made of.

A list is a scalar of dtype variant.  It never changes: writing gives another list.  All
versions of one list share a single table, which the newest version owns; an older version
knows the one entry in which it differs from the next (Baker's persistent arrays).  So a loop
that pushes, pops or writes pays O(1) for each, and older versions stay readable.

An entry that was never written counts as zeros; the gradient of a list is a list.
"""

from __future__ import annotations

import threading
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import zeros_like
from .array_module import array_module, beside, together
from .block_axis import broadcast_to_block
from .errors import InvalidArgumentError, OutOfRangeError, UnimplementedError
from .primitive import Primitive
from .string_array import StringArray
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["LIST", "ListValue", "list_zeros_like"]

_LOCK = threading.RLock()
_MISSING: Any = object()

#: The spec of every list.
LIST = TensorSpec([], dtypes.variant)


class ListValue:
    """One version of a list of raw arrays.

    Attributes:
        length: number of entries.
    """

    __slots__ = ("_diff", "_items", "length")
    dtype = dtypes.variant
    shape = ()
    ndim = 0
    size = 1

    def __init__(self, length: int = 0, items: dict[int, Any] | None = None):
        self.length = length
        self._items: dict[int, Any] | None = {} if items is None else items
        self._diff: tuple[int, Any, ListValue] | None = None

    def get(self, index: int) -> Any:
        """The entry, or None if it was never written.

        Raises:
            OutOfRangeError: there is no such entry.
        """
        self._check(index)
        with _LOCK:
            return self._table().get(index)

    def put(self, index: int, value: Any, length: int | None = None) -> ListValue:
        """A list with another entry at `index` (None: none), perhaps of another length."""
        with _LOCK:
            table = self._table()
            new = ListValue(self.length if length is None else length, table)
            self._items = None
            self._diff = (index, table.get(index), new)
            if value is None:
                table.pop(index, None)
            else:
                table[index] = value
            return new

    def entries(self) -> dict[int, Any]:
        """The written entries by index."""
        with _LOCK:
            return dict(self._table())

    def _table(self) -> dict[int, Any]:
        """The table, made this version's own first."""
        path = []
        version = self
        while version._items is None:
            path.append(version)
            version = version._diff[2]  # type: ignore[index]
        table = version._items
        for older in reversed(path):
            index, value, newer = older._diff  # type: ignore[misc]
            newer._items = None
            newer._diff = (index, table.get(index), older)
            if value is None:
                table.pop(index, None)
            else:
                table[index] = value
            older._items, older._diff = table, None
        return table

    def _check(self, index: int) -> None:
        if not 0 <= index < self.length:
            raise OutOfRangeError(
                f"Tried to access element {index} in a list with {self.length} elements."
            )

    def __repr__(self) -> str:
        return f"<list of {self.length} tensors>"


def list_zeros_like(x: Any) -> Any:
    """Zeros of any value's kind: a list of unwritten entries for a list."""
    if x.dtype is dtypes.variant:
        return TensorListZerosLike.call_flat((x,), {})
    return zeros_like(x)


def _zeros(spec: TensorSpec, like: Any = None) -> Any:
    if like is not None:
        return np.zeros(like.shape, like.dtype)
    if not spec.shape.is_fully_defined():
        raise InvalidArgumentError(
            "Trying to access an uninitialized element of a list whose element shape is not "
            f"fully defined: {spec.shape}. Write it first, or give element_shape."
        )
    if spec.dtype is dtypes.string:
        return StringArray.from_values(np.full(spec.shape.dims, b"", object))
    if spec.dtype is dtypes.variant:
        return ListValue()
    return np.zeros(spec.shape.dims, spec.dtype.np_dtype)


def _like(value: Any) -> Any:
    if isinstance(value, ListValue):
        return ListValue(value.length)
    return np.zeros(value.shape, value.dtype)


def _index(raw: Any) -> int:
    return int(raw)


def _spec(x: Any) -> TensorSpec:
    return TensorSpec(x.shape, x.dtype)


def _one_list(*tensors: Any, **attrs: Any) -> TensorSpec:
    return LIST


# -- making, length ---------------------------------------------------------------------------

TensorListReserve = Primitive(
    "TensorListReserve",
    "num_elements: int32",
    impl=lambda n: ListValue(int(n)),
    shape=_one_list,
    vjp=lambda op, g: (None,),
)

TensorListZerosLike = Primitive(
    "_TensorListZerosLike",
    "input_handle: variant",
    impl=lambda a: ListValue(a.length),
    shape=_one_list,
    vjp=lambda op, g: (None,),
    batch=lambda ctx, a: TensorListZerosLike.call_flat((a,), {}),
)

TensorListLength = Primitive(
    "TensorListLength",
    "input_handle: variant",
    impl=lambda a: np.array(a.length, np.int32),
    shape=lambda a: TensorSpec([], dtypes.int32),
    vjp=lambda op, g: (None,),
    batch=lambda ctx, a: ctx.unbatched(TensorListLength.call_flat((a,), {})),
)


def _resize(a: ListValue, n: Any) -> ListValue:
    n = int(n)
    if n >= a.length:
        return ListValue(n, a.entries())
    return ListValue(n, {k: v for k, v in a.entries().items() if k < n})


TensorListResize = Primitive(
    "TensorListResize",
    "input_handle: variant, size: int32",
    impl=_resize,
    shape=_one_list,
    vjp=lambda op, g: (TensorListResize(g, TensorListLength(op.inputs[0])), None),
)


def _sum(x: Any, y: Any) -> Any:
    x, y = together(x, y)
    with beside(x):
        return x + y


def _add_lists(a: ListValue, b: ListValue) -> ListValue:
    x, y = a.entries(), None
    y = b.entries()
    if len(y) > len(x):
        a, x, y = b, y, x
    for k, v in y.items():
        have = x.get(k)
        if have is not None:
            v = _add_lists(have, v) if isinstance(v, ListValue) else _sum(have, v)
        a = a.put(k, np.asarray(v) if isinstance(v, np.generic) else v)
    return a


TensorListAdd = Primitive(
    "_TensorListAdd",
    "a: variant, b: variant",
    impl=_add_lists,
    shape=_one_list,
    vjp=lambda op, g: (g, g),
    batch=lambda ctx, a, b: TensorListAdd.call_flat((a, b), {}),
)

# -- push and pop -----------------------------------------------------------------------------

TensorListPushBack = Primitive(
    "TensorListPushBack",
    "input_handle: variant, tensor: T",
    impl=lambda a, x: a.put(a.length, x, a.length + 1),
    shape=_one_list,
    vjp=lambda op, g: PopBackLike.call_flat((g, op.inputs[1]), {}),
)


def _pop(a: ListValue, spec: TensorSpec | None, like: Any = None) -> tuple[Any, Any]:
    if not a.length:
        raise InvalidArgumentError("Trying to pop from an empty list.")
    n = a.length - 1
    value = a.get(n)
    if value is None:
        value = _zeros(spec) if like is None else _like(like)  # type: ignore[arg-type]
    return a.put(n, None, n), value


def _pop_vjp(op: Any, dlist: Any, dx: Any) -> Any:
    rest, x = op.outputs
    if dlist is None:
        dlist = list_zeros_like(rest)
    if dx is None:
        dx = list_zeros_like(x)
    return (TensorListPushBack.call_flat((dlist, dx), {}), None)


TensorListPopBack = Primitive(
    "TensorListPopBack",
    "input_handle: variant",
    impl=lambda a, *, spec: _pop(a, spec),
    shape=lambda a, *, spec: (LIST, spec),
    vjp=lambda op, dlist, dx: _pop_vjp(op, dlist, dx)[:1],
    partial_grads=True,
)

#: Pop where an unwritten entry is zeros like the second input.
PopBackLike = Primitive(
    "_TensorListPopBackLike",
    "input_handle: variant, like: T",
    impl=lambda a, like: _pop(a, None, like),
    shape=lambda a, like: (LIST, _spec(like)),
    vjp=_pop_vjp,
    partial_grads=True,
)

# -- items ------------------------------------------------------------------------------------


def _get_impl(a: ListValue, i: Any, *, spec: TensorSpec) -> Any:
    value = a.get(_index(i))
    return _zeros(spec) if value is None else value


def _get_like_impl(a: ListValue, i: Any, like: Any) -> Any:
    value = a.get(_index(i))
    return _like(like) if value is None else value


def _get_vjp(op: Any, g: Any) -> Any:
    zeros = list_zeros_like(op.inputs[0])
    return (TensorListSetItem.call_flat((zeros, op.inputs[1], g), {}), None, None)


def _unbatched_index(ctx: Any, at: int = 1) -> bool:
    if ctx.batched[at]:
        raise UnimplementedError(
            f"primitive {ctx.primitive.name}: elements of a block use different indices",
            op=ctx.primitive.name,
        )
    return True


def _block_spec(spec: TensorSpec) -> TensorSpec:
    return TensorSpec(TensorShape([None]).concatenate(spec.shape), spec.dtype)


def _get_batch(ctx: Any, a: Any, i: Any, *, spec: TensorSpec) -> Any:
    _unbatched_index(ctx)
    return TensorListGetItem.call_flat((a, i), {"spec": _block_spec(spec)})


TensorListGetItem = Primitive(
    "TensorListGetItem",
    "input_handle: variant, index: int32",
    impl=_get_impl,
    shape=lambda a, i, *, spec: spec,
    vjp=lambda op, g: _get_vjp(op, g)[:2],
    batch=_get_batch,
)

GetLike = Primitive(
    "_TensorListGetLike",
    "input_handle: variant, index: int32, like: T",
    impl=_get_like_impl,
    shape=lambda a, i, like: _spec(like),
    vjp=_get_vjp,
)


def _set_impl(a: ListValue, i: Any, x: Any, *, grow: bool = False) -> ListValue:
    i = _index(i)
    if grow and i >= a.length:
        return a.put(i, x, i + 1)
    a._check(i)
    return a.put(i, x)


def _set_batch(ctx: Any, a: Any, i: Any, x: Any, **attrs: Any) -> Any:
    _unbatched_index(ctx)
    if not ctx.batched[2]:
        x = broadcast_to_block(x, ctx.element_index())
    return TensorListSetItem.call_flat((a, i, x), attrs)


#: `grow`: an index past the end makes the list longer.
TensorListSetItem = Primitive(
    "TensorListSetItem",
    "input_handle: variant, index: int32, item: T",
    impl=_set_impl,
    shape=_one_list,
    vjp=lambda op, g: (
        TensorListResize.call_flat(
            (
                Clear.call_flat((g, op.inputs[1]), {}),
                TensorListLength.call_flat((op.inputs[0],), {}),
            ),
            {},
        )
        if op.attrs.get("grow")
        else Clear.call_flat((g, op.inputs[1]), {}),
        None,
        GetLike.call_flat((g, op.inputs[1], op.inputs[2]), {}),
    ),
    batch=_set_batch,
)


def _clear_impl(a: ListValue, i: Any) -> ListValue:
    for k in np.reshape(i, -1).tolist():
        a = a.put(k, None)
    return a


#: The list with the entries at the given indices unwritten.
Clear = Primitive(
    "_TensorListClear",
    "input_handle: variant, index: int32",
    impl=_clear_impl,
    shape=_one_list,
    vjp=lambda op, g: (Clear.call_flat((g, op.inputs[1]), {}), None),
)

# -- all entries at once ----------------------------------------------------------------------


def _rows(a: ListValue, indices: Any, spec: TensorSpec, like: Any = None) -> list[Any]:
    found = [a.get(int(k)) for k in indices]
    if any(v is None for v in found):
        zero = like
        if zero is None:
            known = next((v for v in found if v is not None), None)
            zero = _zeros(spec) if known is None else np.zeros(known.shape, known.dtype)
        found = [zero if v is None else v for v in found]
    return found


def _stacked(rows: list[Any], spec: TensorSpec) -> Any:
    if not rows:
        dims = tuple(d or 0 for d in spec.shape.dims or ())
        if spec.dtype is dtypes.string:
            return StringArray.from_values(np.empty((0, *dims), object))
        return np.empty((0, *dims), spec.dtype.np_dtype)
    if any(r.shape != rows[0].shape for r in rows):
        shapes = sorted({r.shape for r in rows})
        raise InvalidArgumentError(
            f"Tried to stack elements of a list with different shapes: {shapes[0]} and "
            f"{shapes[1]}."
        )
    if isinstance(rows[0], StringArray):
        values = np.array([r.numpy() if r.ndim else r.item() for r in rows], object)
        return StringArray.from_values(values.reshape(len(rows), *rows[0].shape))
    rows = together(*rows)
    with beside(*rows):
        return array_module(*rows).stack(rows)


def _gathered(a: Any, indices: Any, *, spec: TensorSpec) -> Any:
    dims = indices.shape if indices is not None else TensorShape([None])
    return TensorSpec(dims.concatenate(spec.shape), spec.dtype)


def _stack_batch(ctx: Any, a: Any, *, spec: TensorSpec) -> Any:
    from .array_shape import transpose

    out = TensorListStack.call_flat((a,), {"spec": _block_spec(spec)})  # [steps, block, ...]
    return transpose(out, [1, 0, *range(2, 2 + (spec.shape.rank or 0))])


TensorListStack = Primitive(
    "TensorListStack",
    "input_handle: variant",
    impl=lambda a, *, spec: _stacked(_rows(a, range(a.length), spec), spec),
    shape=lambda a, *, spec: _gathered(a, None, spec=spec),
    vjp=lambda op, g: (TensorListFromTensor.call_flat((g,), {}),),
    batch=_stack_batch,
)


def _from_batch(ctx: Any, x: Any) -> Any:
    from .array_shape import transpose

    return TensorListFromTensor.call_flat(
        (transpose(x, [1, 0, *range(2, 1 + ctx.element_shapes[0].rank)]),), {}
    )


def _row(x: Any, k: int) -> Any:
    return x[k] if isinstance(x, StringArray) else x[k, ...]


TensorListFromTensor = Primitive(
    "TensorListFromTensor",
    "tensor: T",
    impl=lambda x: ListValue(x.shape[0], {k: _row(x, k) for k in range(x.shape[0])}),
    shape=_one_list,
    vjp=lambda op, g: (StackLike.call_flat((g, op.inputs[0]), {}),),
    batch=_from_batch,
)


def _stack_like(a: ListValue, like: Any) -> Any:
    with beside(like):
        out = array_module(like).zeros(like.shape, like.dtype)
    for k, v in a.entries().items():
        out[k] = v
    return out


#: The entries stacked, unwritten ones as zeros, in the second input's shape.
StackLike = Primitive(
    "_TensorListStackLike",
    "input_handle: variant, like: T",
    impl=_stack_like,
    shape=lambda a, like: _spec(like),
    vjp=lambda op, g: (TensorListFromTensor.call_flat((g,), {}), None),
)


def _scatter(a: ListValue, indices: Any, x: Any, *, add: bool) -> ListValue:
    for row, k in enumerate(indices.tolist()):
        if k >= a.length and not add:
            a = ListValue(k + 1, a.entries())
        have = a.get(k) if add else None
        a = a.put(k, _row(x, row) if have is None else have + _row(x, row))
    return a


TensorListGather = Primitive(
    "TensorListGather",
    "input_handle: variant, indices: int32",
    impl=lambda a, indices, *, spec: _stacked(_rows(a, indices.tolist(), spec), spec),
    shape=_gathered,
    vjp=lambda op, g: (
        TensorListScatter.call_flat(
            (list_zeros_like(op.inputs[0]), op.inputs[1], g), {"add": True}
        ),
        None,
    ),
)


def _gather_like(a: ListValue, indices: Any, like: Any) -> Any:
    with beside(like):
        out = array_module(like).zeros(like.shape, like.dtype)
    for row, k in enumerate(indices.tolist()):
        value = a.get(k)
        if value is not None:
            out[row] = value
    return out


_GatherLike = Primitive(
    "_TensorListGatherLike",
    "input_handle: variant, indices: int32, like: T",
    impl=_gather_like,
    shape=lambda a, indices, like: _spec(like),
    vjp=lambda op, g: (
        TensorListScatter.call_flat(
            (list_zeros_like(op.inputs[0]), op.inputs[1], g), {"add": True}
        ),
        None,
        None,
    ),
)


def _scatter_vjp(op: Any, g: Any) -> Any:
    _, indices, x = op.inputs
    rest = g if op.attrs["add"] else Clear.call_flat((g, indices), {})
    return (rest, None, _GatherLike.call_flat((g, indices, x), {}))


TensorListScatter = Primitive(
    "TensorListScatterIntoExistingList",
    "input_handle: variant, indices: int32, tensor: T",
    impl=_scatter,
    shape=_one_list,
    vjp=_scatter_vjp,
)

# -- concat and split -------------------------------------------------------------------------


def _concat_impl(a: ListValue, *, spec: TensorSpec) -> tuple[Any, Any]:
    rows = _rows(a, range(a.length), spec)
    lengths = np.array([r.shape[0] for r in rows], np.int64)
    if not rows:
        return _stacked([], TensorSpec((spec.shape.dims or (None,))[1:], spec.dtype)), lengths
    if isinstance(rows[0], StringArray):
        joined = np.concatenate([r.numpy() for r in rows])
        return StringArray.from_values(joined), lengths
    rows = together(*rows)
    with beside(*rows):
        return array_module(*rows).concatenate(rows), lengths


def _concat_shape(a: Any, *, spec: TensorSpec) -> tuple[TensorSpec, TensorSpec]:
    tail = None if spec.shape.rank is None else spec.shape.dims[1:]  # type: ignore[index]
    whole = TensorShape(None) if tail is None else TensorShape([None, *tail])
    return TensorSpec(whole, spec.dtype), TensorSpec([None], dtypes.int64)


TensorListConcat = Primitive(
    "TensorListConcatV2",
    "input_handle: variant",
    impl=_concat_impl,
    shape=_concat_shape,
    vjp=lambda op, g, _: (TensorListSplit.call_flat((g, op.outputs[1]), {}),),
    partial_grads=True,
)


def _split_impl(x: Any, lengths: Any) -> ListValue:
    ends = np.cumsum(lengths).tolist()
    if (ends[-1] if ends else 0) != x.shape[0]:
        raise InvalidArgumentError(
            f"Expected sum of lengths to be equal to values.shape[0], but sum of lengths is "
            f"{ends[-1] if ends else 0} and value's shape is: {list(x.shape)}"
        )
    starts = [0, *ends[:-1]]
    return ListValue(
        len(ends), {k: x[s:e] for k, (s, e) in enumerate(zip(starts, ends, strict=True))}
    )


def _concat_like(a: ListValue, like: Any, lengths: Any) -> Any:
    with beside(like):
        out = array_module(like).zeros(like.shape, like.dtype)
    ends = np.cumsum(lengths).tolist()
    for k, v in a.entries().items():
        out[ends[k] - v.shape[0] : ends[k]] = v
    return out


_ConcatLike = Primitive(
    "_TensorListConcatLike",
    "input_handle: variant, like: T, lengths: int64",
    impl=_concat_like,
    shape=lambda a, like, lengths: _spec(like),
    vjp=lambda op, g: (TensorListSplit.call_flat((g, op.inputs[2]), {}), None, None),
)

TensorListSplit = Primitive(
    "TensorListSplit",
    "tensor: T, lengths: int64",
    impl=_split_impl,
    shape=_one_list,
    vjp=lambda op, g: (_ConcatLike.call_flat((g, op.inputs[0], op.inputs[1]), {}), None),
)
