"""Indexing: `Tensor.__getitem__`, and slice.

A key of Python integers becomes a view, whose eager path touches nothing but the array; a key
whose only computed parts are single indices a view and gathers; any other a strided slice.
"""

from __future__ import annotations

from types import EllipsisType
from typing import Any

import numpy as np

from .array_basics import (
    UnbatchableShape,
    cast,
    shape,
)
from .array_gather import boolean_mask, gather, where
from .array_join import stack
from .array_scatter import scatter_rows
from .array_slice import StaticSlice, StridedSlice, zeros_of
from .block_axis import broadcast_to_block
from .context import placing, recording
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import shape_input
from .tensor import Tensor, is_symbolic
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = ["getitem", "newaxis", "scatter_rows", "slice"]

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
    if type(self) is Tensor and not recording.count and not placing.on:
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
            elif kind is Tensor and not key._value.shape and key._value.dtype.kind in "iu":
                return _of(self._value[int(key._value), ...])
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
        raise InvalidArgumentError(
            "Multiple ellipses in slice spec not allowed [Op:StridedSlice]", op="StridedSlice"
        )
    if not any(_computed(e) for e in entries):
        return StaticSlice(x, key=tuple(entries))
    if (
        not any(isinstance(e, tuple) and _computed(e) for e in entries)
        and x.shape.rank is not None
    ):
        return _gather_entries(x, entries)
    return _dynamic(x, entries)


def _entry(k: Any) -> Any:
    """One part of a key in the hashable form; symbolic parts stay."""
    if k is None or k is Ellipsis:
        return k
    if isinstance(k, _slice):
        if k.step is not None and not is_symbolic(k.step) and int(k.step) == 0:
            raise InvalidArgumentError(
                "strides[0] must be non-zero [Op:StridedSlice]", op="StridedSlice"
            )
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
        f"hr.int32/hr.int64 tensors are valid indices, got {k!r}. Use hr.gather for lists "
        "of indices."
    )


def _computed(entry: Any) -> bool:
    return (
        any(_computed(p) for p in entry)
        if isinstance(entry, tuple)
        else isinstance(entry, Tensor)
    )


def _gather_entries(x: Tensor, entries: list[Any]) -> Tensor:
    """A key whose only computed parts are single indices: a static slice, then gathers."""
    rest = [(None, None, None) if isinstance(e, Tensor) else e for e in entries]
    out = StaticSlice(x, key=tuple(rest))
    consumed = sum(e is not None and e is not Ellipsis for e in entries)
    axis = 0
    for e in entries:
        if isinstance(e, Tensor):
            size = shape(x)[_axis_in_input(entries, e, x.shape.rank)]
            size = size if e.dtype == size.dtype else cast(size, e.dtype)
            e = where(e < cast(0, e.dtype), e + size, e)
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


def _dynamic(x: Tensor, entries: list[Any]) -> Tensor:
    """A key with computed ranges, as TensorFlow's vectors and masks."""
    begin, end, strides = [], [], []
    masks = {
        "begin_mask": 0,
        "end_mask": 0,
        "ellipsis_mask": 0,
        "new_axis_mask": 0,
        "shrink_axis_mask": 0,
    }
    for i, e in enumerate(entries):
        bit = 1 << i
        b, f, s = 0, 0, 1
        if e is None:
            masks["new_axis_mask"] |= bit
        elif e is Ellipsis:
            masks["ellipsis_mask"] |= bit
        elif isinstance(e, tuple):
            b, f, s = (
                (0 if e[0] is None else e[0]),
                (0 if e[1] is None else e[1]),
                (1 if e[2] is None else e[2]),
            )
            masks["begin_mask"] |= bit if e[0] is None else 0
            masks["end_mask"] |= bit if e[1] is None else 0
        else:
            b, f = e, (e + 1)
            masks["shrink_axis_mask"] |= bit
        begin.append(b)
        end.append(f)
        strides.append(s)
    dtype = next(t.dtype for t in (*begin, *end, *strides) if isinstance(t, Tensor))
    vectors = [stack([cast(v, dtype) for v in vs]) for vs in (begin, end, strides)]
    return StridedSlice(x, *vectors, **masks)


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
        raise ValueError(
            f"Slice: begin and size must have {len(own)} entries, got {begins} and {sizes}"
        )
    for i, (b, s, d) in enumerate(zip(begins, sizes, own, strict=True)):
        _check_part(i, b, s, d)
        key.append(_slice(b, None if s == -1 else b + s))
    return x[(*key, ...)]


def _check_part(i: int, b: int, s: int, d: int) -> None:
    if not 0 <= b <= d:
        raise InvalidArgumentError(
            f"Expected begin[{i}] in [0, {d}], but got {b} [Op:Slice]", op="Slice"
        )
    if s != -1 and not 0 <= s <= d - b:
        raise InvalidArgumentError(
            f"Expected size[{i}] in [0, {d - b}], but got {s} [Op:Slice]", op="Slice"
        )


def _slice_shape(x: Any, begin: Any, size: Any, *, batch_dims: int = 0) -> TensorSpec:
    sizes, begins = constant_value(size), constant_value(begin)
    dims = x.shape.dims
    if dims is None and sizes is None:
        return TensorSpec(None, x.dtype)
    if sizes is not None and begins is not None and len(sizes) != len(begins):
        raise InvalidArgumentError(
            "Expected begin and size arguments to be 1-D tensors of one size, but got "
            f"{len(begins)} and "
            f"{len(sizes)} [Op:Slice]",
            op="Slice",
        )
    own = dims[batch_dims:] if dims is not None else (None,) * len(sizes)
    lead = dims[:batch_dims] if dims is not None else (None,) * batch_dims
    if sizes is None:
        return TensorSpec((*lead, *(None,) * len(own)), x.dtype)
    if len(sizes) != len(own):
        raise InvalidArgumentError(
            f"Expected begin and size arguments to be 1-D tensors of size {len(own)}, but "
            f"got {len(sizes)} "
            f"[Op:Slice]",
            op="Slice",
        )
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
        x = broadcast_to_block(x, begin)
    return _SliceWindows(x, begin, size=tuple(constant_value(size).tolist()))


Slice = Primitive(
    "Slice",
    "input: T, begin: I, size: S",
    impl=_slice_impl,
    shape=_slice_shape,
    vjp=_slice_vjp,
    batch=_slice_batch,
)


def _slice_grad_impl(g: Any, x: Any, begin: Any, *, batch_dims: int = 0) -> Any:
    out = zeros_of(x, g)
    key = [_slice(None)] * batch_dims
    key += [_slice(b, b + n) for b, n in zip(begin.tolist(), g.shape[batch_dims:], strict=True)]
    out[tuple(key)] = g
    return out


def _slice_grad_vjp(op: Any, gg: Any) -> Any:
    n = op.attrs.get("batch_dims", 0)
    return Slice(gg, op.inputs[2], shape(op.inputs[0])[n:], **op.attrs), None, None


_SliceGrad = Primitive(
    "_SliceGrad",
    "g: T, input: T, begin: I",
    impl=_slice_grad_impl,
    shape=lambda g, x, begin, *, batch_dims=0: TensorSpec(x.shape, g.dtype),
    vjp=_slice_grad_vjp,
)


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
    "_SliceWindows",
    "input: T, begin: I",
    impl=_windows_impl,
    shape=lambda x, begin, *, size: TensorSpec(
        (x.shape[0] if x.shape.rank else None, *size), x.dtype
    ),
)
