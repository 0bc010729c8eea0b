"""Indexing: `Tensor.__getitem__`, slice and strided_slice.

A key is kept as a hashable tuple: an int, ``(start, stop, step)``, None (a new axis) or
``Ellipsis`` per entry.  Keys of Python integers become `_StaticSlice`, a view, whose eager path
touches nothing but the array; keys with computed parts become `StridedSlice` with TensorFlow's
inputs and masks, or a gather where one entry of the key is a computed index.
Ranges are cut off at the ends of an axis, as in Python; a single index must lie within it.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np

from . import array_gather, array_pad, array_scatter, array_sort
from .array_basics import UnbatchableShape, shape, zeros_like
from .array_gather import *  # noqa: F403
from .array_gather import boolean_mask, gather
from .array_join import stack
from .array_pad import *  # noqa: F403
from .array_scatter import *  # noqa: F403
from .array_scatter import scatter_rows
from .array_sort import *  # noqa: F403
from .context import recording
from .convert import to_tensor
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import shape_input
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = [
    *array_gather.__all__, *array_pad.__all__, *array_scatter.__all__, *array_sort.__all__,
    "getitem", "newaxis", "scatter_rows", "slice", "strided_slice",
]  # fmt: skip

newaxis = None
_slice = slice  # the builtin; `slice` is the operation below
_BASIC = frozenset((int, _slice, type(None), EllipsisType))
_of = Tensor.of


# -- getitem ----------------------------------------------------------------------------------


def getitem(self: Any, key: Any) -> Tensor:
    """``self[key]`` by TensorFlow's rules: integers, ranges, None, ``...``, scalar integer
    tensors, or one boolean mask.

    Raises:
        InvalidArgumentError: an index is out of bounds, or there are more than axes.
        TypeError: something else is in the key.
    """
    if type(self) is Tensor and not recording.count:
        kind = type(key)
        try:
            if kind is int:
                return _of(self._value[key, ...])
            if kind is tuple:
                for k in key:
                    if type(k) not in _BASIC:
                        break
                else:
                    return _of(self._value[key if Ellipsis in key else (*key, ...)])
            elif kind in _BASIC:
                return _of(self._value[key])
        except (IndexError, TypeError, ValueError):
            pass  # the general path finds the words
    return _getitem(self, key)


def _getitem(x: Any, key: Any) -> Tensor:
    if not isinstance(x, Tensor):
        x = to_tensor(x, None)
    if isinstance(key, (list, np.ndarray)) and np.asarray(key).dtype == bool and np.ndim(key):
        key = to_tensor(np.asarray(key), None)
    if isinstance(key, (Tensor, Variable)) and key.dtype.is_bool and key.shape.rank != 0:
        return boolean_mask(x, key)
    parts = key if isinstance(key, tuple) else (key,)
    entries = [_entry(k) for k in parts]
    if sum(e is Ellipsis for e in entries) > 1:
        raise InvalidArgumentError("Multiple ellipses in slice spec not allowed [Op:StridedSlice]", op="StridedSlice")
    if not any(_computed(e) for e in entries):
        return _StaticSlice(x, key=tuple(entries))
    if not any(isinstance(e, tuple) and _computed(e) for e in entries) and x.shape.rank is not None:
        return _gather_entries(x, entries)
    return _dynamic(x, entries)


def _entry(k: Any) -> Any:
    """One part of a key in the hashable form; symbolic parts stay."""
    if k is None or k is Ellipsis:
        return k
    if isinstance(k, _slice):
        if k.step is not None and not is_symbolic(k.step) and int(k.step) == 0:
            raise InvalidArgumentError("strides[0] must be non-zero [Op:StridedSlice]", op="StridedSlice")
        return tuple(None if p is None else _index(p) for p in (k.start, k.stop, k.step))
    return _index(k)


def _index(k: Any) -> Any:
    if isinstance(k, Variable):
        k = to_tensor(k, None)
    if isinstance(k, Tensor) and k.shape.rank in (0, None) and k.dtype.is_integer:
        value = constant_value(k)
        return k if value is None else int(value)
    if isinstance(k, (int, np.integer)):
        return int(k)
    if isinstance(k, np.ndarray) and k.ndim == 0 and k.dtype.kind in "iu":
        return int(k)
    raise TypeError(
        f"Only integers, slices (`:`), ellipsis (`...`), hr.newaxis (`None`) and scalar "
        f"hr.int32/hr.int64 tensors are valid indices, got {k!r}. Use hr.gather for lists of indices."
    )


def _computed(entry: Any) -> bool:
    return any(_computed(p) for p in entry) if isinstance(entry, tuple) else isinstance(entry, Tensor)


def _gather_entries(x: Tensor, entries: list[Any]) -> Tensor:
    """A key whose only computed parts are single indices: a static slice, then gathers."""
    rest = [(None, None, None) if isinstance(e, Tensor) else e for e in entries]
    out = _StaticSlice(x, key=tuple(rest))
    consumed = sum(e is not None and e is not Ellipsis for e in entries)
    axis = 0
    for e in entries:
        if isinstance(e, Tensor):
            size = shape(x)[_axis_in_input(entries, e, x.shape.rank)]
            size = size if e.dtype == size.dtype else _cast(size, e.dtype)
            e = array_gather.where(e < _cast(0, e.dtype), e + size, e)
            out = gather(out, e, axis=axis)
        elif e is Ellipsis:
            axis += x.shape.rank - consumed
        elif e is None or isinstance(e, tuple):
            axis += 1
    return out


def _axis_in_input(entries: list[Any], one: Any, rank: int) -> int:
    position = next(i for i, e in enumerate(entries) if e is one)
    before = [e for e in entries[:position] if e is not None]
    if Ellipsis in [e for e in before if not isinstance(e, Tensor)]:
        return rank - sum(e is not None for e in entries[position:])
    return len(before)


def _cast(value: Any, dtype: Any) -> Any:
    from .array_basics import cast

    return cast(value, dtype)


def _dynamic(x: Tensor, entries: list[Any]) -> Tensor:
    """A key with computed ranges, as TensorFlow's vectors and masks."""
    begin, end, strides = [], [], []
    masks = {"begin_mask": 0, "end_mask": 0, "ellipsis_mask": 0, "new_axis_mask": 0, "shrink_axis_mask": 0}
    for i, e in enumerate(entries):
        bit = 1 << i
        b, f, s = 0, 0, 1
        if e is None:
            masks["new_axis_mask"] |= bit
        elif e is Ellipsis:
            masks["ellipsis_mask"] |= bit
        elif isinstance(e, tuple):
            b, f, s = (0 if e[0] is None else e[0]), (0 if e[1] is None else e[1]), (1 if e[2] is None else e[2])
            masks["begin_mask"] |= bit if e[0] is None else 0
            masks["end_mask"] |= bit if e[1] is None else 0
        else:
            b, f = e, (e + 1)
            masks["shrink_axis_mask"] |= bit
        begin.append(b)
        end.append(f)
        strides.append(s)
    dtype = next(t.dtype for t in (*begin, *end, *strides) if isinstance(t, Tensor))
    vectors = [stack([_cast(v, dtype) for v in vs]) for vs in (begin, end, strides)]
    return StridedSlice(x, *vectors, **masks)


# -- static keys ------------------------------------------------------------------------------


def _numpy_key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    out = tuple(_slice(*k) if type(k) is tuple else k for k in key)
    return out if Ellipsis in out else (*out, Ellipsis)


def _static_impl(x: Any, *, key: tuple[Any, ...]) -> Any:
    return x[_numpy_key(key)]


def _static_shape(x: Any, *, key: tuple[Any, ...]) -> TensorSpec:
    return TensorSpec(_sliced(x.shape, key), x.dtype)


def _sliced(of: TensorShape, key: tuple[Any, ...]) -> TensorShape:
    dims = of.dims
    if dims is None:
        return TensorShape.of(None)
    rank = len(dims)
    used = sum(k is not None and k is not Ellipsis for k in key)
    if used > rank:
        text = "Attempting to slice scalar input." if rank == 0 else (
            f"Index out of range using input dim {rank}; input has only {rank} dims"
        )
        raise InvalidArgumentError(f"{text} [Op:StridedSlice]", op="StridedSlice")
    out: list[int | None] = []
    axis = 0
    for k in key:
        if k is None:
            out.append(1)
        elif k is Ellipsis:
            out.extend(dims[axis : axis + rank - used])
            axis += rank - used
        elif type(k) is tuple:
            out.append(_range_size(dims[axis], k))
            axis += 1
        else:
            d = dims[axis]
            if d is not None and not -d <= k < d:
                raise InvalidArgumentError(
                    f"slice index {k} of dimension {axis} out of bounds. [Op:StridedSlice]", op="StridedSlice"
                )
            axis += 1
    out.extend(dims[axis:])
    return TensorShape.of(tuple(out))


def _range_size(d: int | None, k: tuple[Any, ...]) -> int | None:
    if d is not None:
        return len(range(*_slice(*k).indices(d)))
    if k[0] in (None, 0) and k[1] is None and k[2] in (None, 1):
        return None
    start, stop, step = k[0], k[1], 1 if k[2] is None else k[2]
    start = 0 if start is None and step > 0 else start
    same_side = start is not None and stop is not None and (start < 0) == (stop < 0)
    if same_side and len(range(start, stop, step)) == 0:
        return 0
    return None


def _static_vjp(op: Any, g: Any) -> Any:
    return (_StaticSliceGrad(g, op.inputs[0], **op.attrs),)


def _static_batch(ctx: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    return _StaticSlice(x, key=((None, None, None), *key))


_StaticSlice = Primitive(
    "_StaticSlice", "input: T", impl=_static_impl, shape=_static_shape, vjp=_static_vjp, batch=_static_batch,
)  # fmt: skip


def _static_grad_impl(g: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    out = _zeros(x, g)
    out[_numpy_key(key)] = g
    return out


def _zeros(x: Any, g: Any) -> Any:
    from .array_module import array_module

    return array_module(g).zeros(x.shape, g.dtype)


def _grad_batch(ctx: Any, g: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    from .batch_rules import all_batched

    g, x = all_batched(ctx, (g, x))
    return _StaticSliceGrad(g, x, key=((None, None, None), *key))


_StaticSliceGrad = Primitive(
    "_StaticSliceGrad", "g: T, input: T", impl=_static_grad_impl,
    shape=lambda g, x, *, key: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (_StaticSlice(gg, **op.attrs), None), batch=_grad_batch,
)  # fmt: skip


# -- strided_slice ----------------------------------------------------------------------------


def strided_slice(
    input_: Any, begin: Any, end: Any, strides: Any = None, begin_mask: int = 0, end_mask: int = 0,
    ellipsis_mask: int = 0, new_axis_mask: int = 0, shrink_axis_mask: int = 0, var: Any = None,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The part of `input_` from `begin` to `end` in steps of `strides`, per axis; bit i of a
    mask gives entry i another meaning, as in TensorFlow.
    """
    begin = to_tensor(shape_input(begin), None)
    if strides is None:
        from .array_basics import ones_like

        strides = ones_like(begin)
    return StridedSlice(
        input_, begin, shape_input(end), shape_input(strides), begin_mask=begin_mask, end_mask=end_mask,
        ellipsis_mask=ellipsis_mask, new_axis_mask=new_axis_mask, shrink_axis_mask=shrink_axis_mask,
    )  # fmt: skip


def _key_of(begin: Any, end: Any, strides: Any, masks: dict[str, int]) -> tuple[Any, ...]:
    key: list[Any] = []
    for i, (b, e, s) in enumerate(zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)):
        bit = 1 << i
        if masks.get("ellipsis_mask", 0) & bit:
            key.append(Ellipsis)
        elif masks.get("new_axis_mask", 0) & bit:
            key.append(None)
        elif masks.get("shrink_axis_mask", 0) & bit:
            key.append(b)
        else:
            if s == 0:
                raise InvalidArgumentError(f"strides[{i}] must be non-zero [Op:StridedSlice]", op="StridedSlice")
            key.append((None if masks.get("begin_mask", 0) & bit else b, None if masks.get("end_mask", 0) & bit else e, s))
    return tuple(key)


def _strided_key(begin: Any, end: Any, strides: Any, attrs: dict[str, Any]) -> tuple[Any, ...]:
    lead = ((None, None, None),) * attrs.get("batch_dims", 0)
    return lead + _key_of(begin, end, strides, attrs)


def _strided_impl(x: Any, begin: Any, end: Any, strides: Any, **attrs: Any) -> Any:
    return x[_numpy_key(_strided_key(begin, end, strides, attrs))]


def _strided_shape(x: Any, begin: Any, end: Any, strides: Any, **attrs: Any) -> TensorSpec:
    known = [constant_value(t) for t in (begin, end, strides)]
    if all(k is not None for k in known):
        return TensorSpec(_sliced(x.shape, _strided_key(*known, attrs)), x.dtype)
    n = begin.shape[0] if begin.shape.rank == 1 else None
    if n is None or x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    # Sizes of computed ranges are unknown: a range that no size survives stands for them.
    key: list[Any] = [(None, None, None)] * attrs.get("batch_dims", 0)
    computed: list[int] = []
    for i in range(n):
        bit = 1 << i
        if attrs.get("ellipsis_mask", 0) & bit:
            key.append(Ellipsis)
        elif attrs.get("new_axis_mask", 0) & bit:
            key.append(None)
        elif attrs.get("shrink_axis_mask", 0) & bit:
            key.append("one")
        elif attrs.get("begin_mask", 0) & bit and attrs.get("end_mask", 0) & bit:
            key.append((None, None, None))
        else:
            key.append("some")
            computed.append(i)
    out: list[int | None] = []
    used = sum(k is not None and k is not Ellipsis for k in key)
    axis, rank = 0, x.shape.rank
    for k in key:
        if k is None:
            out.append(1)
        elif k is Ellipsis:
            out.extend(x.shape.dims[axis : axis + rank - used])
            axis += rank - used
        else:
            if k != "one":
                out.append(None if k == "some" else x.shape[axis])
            axis += 1
    out.extend(x.shape.dims[axis:])
    return TensorSpec(out, x.dtype)


def _strided_vjp(op: Any, g: Any) -> Any:
    return StridedSliceGrad(g, *op.inputs, **op.attrs), None, None, None


def _strided_batch(ctx: Any, x: Any, *vectors: Any, **attrs: Any) -> Any:
    if any(ctx.batched[1:]):
        raise UnbatchableShape("StridedSlice")
    return StridedSlice(x, *vectors, **{**attrs, "batch_dims": attrs.get("batch_dims", 0) + 1})


StridedSlice = Primitive(
    "StridedSlice", "input: T, begin: Index, end: Index, strides: Index", impl=_strided_impl,
    shape=_strided_shape, vjp=_strided_vjp, batch=_strided_batch,
)  # fmt: skip


def _strided_grad_impl(g: Any, x: Any, begin: Any, end: Any, strides: Any, **attrs: Any) -> Any:
    out = _zeros(x, g)
    out[_numpy_key(_strided_key(begin, end, strides, attrs))] = g
    return out


StridedSliceGrad = Primitive(
    "_StridedSliceGrad", "g: T, input: T, begin: Index, end: Index, strides: Index", impl=_strided_grad_impl,
    shape=lambda g, x, *vectors, **attrs: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (StridedSlice(gg, *op.inputs[2:], **op.attrs), None, None, None, None),
)  # fmt: skip


# -- slice ------------------------------------------------------------------------------------


def slice(input_: Any, begin: Any, size: Any, name: str | None = None) -> Tensor:
    """The part of `input_` that starts at `begin` and has `size`; a size of -1 goes to the end.

    Raises:
        InvalidArgumentError: the part is not inside `input_`.
    """
    return Slice(input_, shape_input(begin), shape_input(size), batch_dims=0)


def _slice_impl(x: Any, begin: Any, size: Any, *, batch_dims: int = 0) -> Any:
    begins, sizes = begin.tolist(), size.tolist()
    own = x.shape[batch_dims:]
    key = [_slice(None)] * batch_dims
    if not len(begins) == len(sizes) == len(own):
        raise ValueError(f"Slice: begin and size must have {len(own)} entries, got {begins} and {sizes}")
    for i, (b, s, d) in enumerate(zip(begins, sizes, own, strict=True)):
        _check_part(i, b, s, d)
        key.append(_slice(b, None if s == -1 else b + s))
    return x[(*key, ...)]


def _check_part(i: int, b: int, s: int, d: int) -> None:
    if not 0 <= b <= d:
        raise InvalidArgumentError(f"Expected begin[{i}] in [0, {d}], but got {b} [Op:Slice]", op="Slice")
    if s != -1 and not 0 <= s <= d - b:
        raise InvalidArgumentError(f"Expected size[{i}] in [0, {d - b}], but got {s} [Op:Slice]", op="Slice")


def _slice_shape(x: Any, begin: Any, size: Any, *, batch_dims: int = 0) -> TensorSpec:
    sizes, begins = constant_value(size), constant_value(begin)
    dims = x.shape.dims
    if dims is None and sizes is None:
        return TensorSpec(None, x.dtype)
    if sizes is not None and begins is not None and len(sizes) != len(begins):
        raise InvalidArgumentError(
            f"Expected begin and size arguments to be 1-D tensors of one size, but got {len(begins)} and "
            f"{len(sizes)} [Op:Slice]", op="Slice")  # fmt: skip
    own = dims[batch_dims:] if dims is not None else (None,) * len(sizes)
    lead = dims[:batch_dims] if dims is not None else (None,) * batch_dims
    if sizes is None:
        return TensorSpec((*lead, *(None,) * len(own)), x.dtype)
    if len(sizes) != len(own):
        raise InvalidArgumentError(
            f"Expected begin and size arguments to be 1-D tensors of size {len(own)}, but got {len(sizes)} "
            f"[Op:Slice]", op="Slice")  # fmt: skip
    out: list[int | None] = []
    for i, (s, d) in enumerate(zip(sizes.tolist(), own, strict=True)):
        b = None if begins is None else begins.tolist()[i]
        if b is not None and d is not None:
            _check_part(i, b, s, d)
        out.append(s if s != -1 else None if b is None or d is None else d - b)
    return TensorSpec((*lead, *out), x.dtype)


def _slice_vjp(op: Any, g: Any) -> Any:
    return _SliceGrad(g, op.inputs[0], op.inputs[1], **op.attrs), None, None


def _slice_batch(ctx: Any, x: Any, begin: Any, size: Any, *, batch_dims: int = 0) -> Any:
    if ctx.batched[2]:
        raise UnbatchableShape("Slice")
    if not ctx.batched[1]:
        return Slice(x, begin, size, batch_dims=batch_dims + 1)
    if batch_dims or constant_value(size) is None or -1 in constant_value(size).tolist():
        raise UnbatchableShape("Slice")
    if not ctx.batched[0]:
        from .array_basics import broadcast_to_block

        x = broadcast_to_block(x, begin)
    return _SliceWindows(x, begin, size=tuple(constant_value(size).tolist()))


Slice = Primitive(
    "Slice", "input: T, begin: I, size: S", impl=_slice_impl, shape=_slice_shape, vjp=_slice_vjp,
    batch=_slice_batch,
)  # fmt: skip


def _slice_grad_impl(g: Any, x: Any, begin: Any, *, batch_dims: int = 0) -> Any:
    out = _zeros(x, g)
    key = [_slice(None)] * batch_dims
    key += [_slice(b, b + n) for b, n in zip(begin.tolist(), g.shape[batch_dims:], strict=True)]
    out[tuple(key)] = g
    return out


def _slice_grad_vjp(op: Any, gg: Any) -> Any:
    n = op.attrs.get("batch_dims", 0)
    return Slice(gg, op.inputs[2], shape(op.inputs[0])[n:], **op.attrs), None, None


_SliceGrad = Primitive(
    "_SliceGrad", "g: T, input: T, begin: I", impl=_slice_grad_impl,
    shape=lambda g, x, begin, *, batch_dims=0: TensorSpec(x.shape, g.dtype), vjp=_slice_grad_vjp,
)  # fmt: skip


def _windows_impl(x: Any, begin: Any, *, size: tuple[int, ...]) -> Any:
    """Per element of a block, the part of constant size that starts at its own `begin`."""
    own = x.shape[1:]
    for row in begin.tolist() if not _inside(begin, size, own) else ():
        for i, (b, s, d) in enumerate(zip(row, size, own, strict=True)):
            _check_part(i, b, s, d)
    rank = len(own)
    key = [np.arange(x.shape[0]).reshape((-1,) + (1,) * rank)]
    for i, s in enumerate(size):
        at = begin[:, i].reshape((-1,) + (1,) * rank)
        key.append(at + np.arange(s).reshape((1,) * (i + 1) + (-1,) + (1,) * (rank - i - 1)))
    return x[tuple(key)]


def _inside(begin: Any, size: tuple[int, ...], own: tuple[int, ...]) -> bool:
    return bool((begin >= 0).all() and (begin + np.array(size) <= np.array(own)).all())


_SliceWindows = Primitive(
    "_SliceWindows", "input: T, begin: I", impl=_windows_impl,
    shape=lambda x, begin, *, size: TensorSpec((x.shape[0] if x.shape.rank else None, *size), x.dtype),
)  # fmt: skip

