"""Slices with keys: the views that brackets make, and strided_slice.

A key is a hashable tuple with an int, ``(start, stop, step)``, None (a new axis) or
``Ellipsis`` per entry.  Keys of Python integers are the attribute of `StaticSlice`, a view;
keys with computed parts are the inputs and masks of TensorFlow's `StridedSlice`.  Ranges are
cut off at the ends of an axis, as in Python; a single index must lie within it.
"""

from __future__ import annotations

from typing import Any

from . import batch_rules
from .array_basics import (
    UnbatchableShape,
    ones_like,
)
from .array_module import array_module
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import shape_input
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["strided_slice"]


# -- static keys ------------------------------------------------------------------------------


def _numpy_key(key: tuple[Any, ...]) -> tuple[Any, ...]:
    out = tuple(slice(*k) if type(k) is tuple else k for k in key)
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
        text = (
            "Attempting to slice scalar input."
            if rank == 0
            else (f"Index out of range using input dim {rank}; input has only {rank} dims")
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
                    f"slice index {k} of dimension {axis} out of bounds. [Op:StridedSlice]",
                    op="StridedSlice",
                )
            axis += 1
    out.extend(dims[axis:])
    return TensorShape.of(tuple(out))


def _range_size(d: int | None, k: tuple[Any, ...]) -> int | None:
    if d is not None:
        return len(range(*slice(*k).indices(d)))
    if k[0] in (None, 0) and k[1] is None and k[2] in (None, 1):
        return None
    start, stop, step = k[0], k[1], 1 if k[2] is None else k[2]
    start = 0 if start is None and step > 0 else start
    same_side = start is not None and stop is not None and (start < 0) == (stop < 0)
    if same_side and len(range(start, stop, step)) == 0:
        return 0
    return None


def _static_vjp(op: Any, g: Any) -> Any:
    return (StaticSliceGrad(g, op.inputs[0], **op.attrs),)


def _static_batch(ctx: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    return StaticSlice(x, key=((None, None, None), *key))


StaticSlice = Primitive(
    "_StaticSlice",
    "input: T",
    impl=_static_impl,
    shape=_static_shape,
    vjp=_static_vjp,
    batch=_static_batch,
)


def _static_grad_impl(g: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    out = zeros_of(x, g)
    out[_numpy_key(key)] = g
    return out


def zeros_of(x: Any, g: Any) -> Any:
    return array_module(g).zeros(x.shape, g.dtype)


def _grad_batch(ctx: Any, g: Any, x: Any, *, key: tuple[Any, ...]) -> Any:
    g, x = batch_rules.all_batched(ctx, (g, x))
    return StaticSliceGrad(g, x, key=((None, None, None), *key))


StaticSliceGrad = Primitive(
    "_StaticSliceGrad", "g: T, input: T", impl=_static_grad_impl,
    shape=lambda g, x, *, key: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (StaticSlice(gg, **op.attrs), None), batch=_grad_batch,
)  # fmt: skip


# -- strided_slice ----------------------------------------------------------------------------


def strided_slice(
    input_: Any,
    begin: Any,
    end: Any,
    strides: Any = None,
    begin_mask: int = 0,
    end_mask: int = 0,
    ellipsis_mask: int = 0,
    new_axis_mask: int = 0,
    shrink_axis_mask: int = 0,
    var: Any = None,
    name: str | None = None,
) -> Tensor:
    """The part of `input_` from `begin` to `end` in steps of `strides`, per axis; bit i of a
    mask gives entry i another meaning, as in TensorFlow.
    """
    begin = to_tensor(shape_input(begin), None)
    if strides is None:
        strides = ones_like(begin)
    return StridedSlice(
        input_,
        begin,
        shape_input(end),
        shape_input(strides),
        begin_mask=begin_mask,
        end_mask=end_mask,
        ellipsis_mask=ellipsis_mask,
        new_axis_mask=new_axis_mask,
        shrink_axis_mask=shrink_axis_mask,
    )


def _key_of(begin: Any, end: Any, strides: Any, masks: dict[str, int]) -> tuple[Any, ...]:
    key: list[Any] = []
    for i, (b, e, s) in enumerate(
        zip(begin.tolist(), end.tolist(), strides.tolist(), strict=True)
    ):
        bit = 1 << i
        if masks.get("ellipsis_mask", 0) & bit:
            key.append(Ellipsis)
        elif masks.get("new_axis_mask", 0) & bit:
            key.append(None)
        elif masks.get("shrink_axis_mask", 0) & bit:
            key.append(b)
        else:
            if s == 0:
                raise InvalidArgumentError(
                    f"strides[{i}] must be non-zero [Op:StridedSlice]", op="StridedSlice"
                )
            key.append(
                (
                    None if masks.get("begin_mask", 0) & bit else b,
                    None if masks.get("end_mask", 0) & bit else e,
                    s,
                )
            )
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
    out = zeros_of(x, g)
    out[_numpy_key(_strided_key(begin, end, strides, attrs))] = g
    return out


StridedSliceGrad = Primitive(
    "_StridedSliceGrad",
    "g: T, input: T, begin: Index, end: Index, strides: Index",
    impl=_strided_grad_impl,
    shape=lambda g, x, *vectors, **attrs: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (StridedSlice(gg, *op.inputs[2:], **op.attrs), None, None, None, None),
)
