"""The few array operations that everything else is written with: shapes, reshape, cast, zeros
and ones, identity, stop_gradient, and broadcasting's own gradient.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_module import array_module, is_on_device
from .context import current, placing
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .primitive import Primitive
from .shape_rules import same
from .string_array import StringArray
from .tensor import Tensor, is_symbolic
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .variable import Variable

__all__ = [
    "cast",
    "fill",
    "identity",
    "ones",
    "ones_like",
    "rank",
    "reshape",
    "shape",
    "size",
    "stop_gradient",
    "sum_to",
    "zeros",
    "zeros_like",
]


# -- shape, size, rank ------------------------------------------------------------------------


def shape(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Tensor:
    """The shape of `input` as an integer vector; a constant where it is known while tracing."""
    x = to_tensor(input, None)
    dtype = as_dtype(out_type)
    dims = x.shape.dims
    if dims is not None and None not in dims:
        return Tensor.of(np.array(dims, dtype.np_dtype))
    return Shape(x, out_type=dtype)


def _shape_shape(x: Any, *, out_type: DType) -> TensorSpec:
    return TensorSpec([x.shape.rank], out_type)


def _shape_batch(ctx: Any, x: Any, *, out_type: DType) -> Any:
    # All elements of a block have one shape: the result is the same for every element.
    return ctx.unbatched(Shape(x, out_type=out_type)[1:])


Shape = Primitive(
    "Shape",
    "input: T",
    impl=lambda x, *, out_type: np.array(x.shape, out_type.np_dtype),
    shape=_shape_shape,
    vjp=lambda op, g: (None,),
    batch=_shape_batch,
    defaults={"out_type": dtypes.int32},
)


def size(input: Any, out_type: Any = dtypes.int32, name: str | None = None) -> Tensor:
    """The number of elements of `input`, as a scalar."""
    x = to_tensor(input, None)
    n = x.shape.num_elements()
    if n is not None:
        return Tensor.of(np.array(n, as_dtype(out_type).np_dtype))
    return Size(x, out_type=as_dtype(out_type))


def _size_impl(x: Any, *, out_type: DType, batch_dims: int = 0) -> Any:
    return np.array(np.prod(x.shape[batch_dims:], dtype=np.int64), out_type.np_dtype)


def _size_batch(ctx: Any, x: Any, *, out_type: DType, batch_dims: int = 0) -> Any:
    return ctx.unbatched(Size(x, out_type=out_type, batch_dims=batch_dims + 1))


Size = Primitive(
    "Size",
    "input: T",
    impl=_size_impl,
    shape=lambda x, *, out_type, batch_dims=0: TensorSpec([], out_type),
    vjp=lambda op, g: (None,),
    batch=_size_batch,
    defaults={"out_type": dtypes.int32},
)


def rank(input: Any, name: str | None = None) -> Tensor:
    """The number of axes of `input`, as an int32 scalar."""
    return Tensor.of(np.array(to_tensor(input, None).shape.rank, np.int32))


# -- identity, stop_gradient ------------------------------------------------------------------


def identity(input: Any, name: str | None = None) -> Tensor:
    """A tensor equal to `input`."""
    if hasattr(input, "_components"):
        return input
    return Identity(input)


Identity = Primitive(
    "Identity",
    "input: T",
    impl=lambda x: x,
    shape=same,
    vjp=lambda op, g: (g,),
    batch=batch_rules.unary,
)


def stop_gradient(input: Any, name: str | None = None) -> Tensor:
    """`input`, through which no gradient flows."""
    return StopGradient(input)


StopGradient = Primitive(
    "StopGradient",
    "input: T",
    impl=lambda x: x,
    shape=same,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)


# -- reshape ----------------------------------------------------------------------------------


def reshape(tensor: Any, shape: Any, name: str | None = None) -> Tensor:
    """`tensor` with its elements, in row-major order, in another `shape`; one size may be -1.

    Raises:
        InvalidArgumentError: the number of elements does not fit.
    """
    dims = _shape_vector(shape)
    if type(dims) is np.ndarray:  # known sizes need no conversion
        x = tensor if isinstance(tensor, Tensor) else to_tensor(tensor, None)
        return Reshape.call_flat((x, Tensor.of(dims)), {"batch_dims": 0})
    return Reshape(tensor, dims, batch_dims=0)


def _shape_vector(shape: Any) -> Any:
    if isinstance(shape, TensorShape):
        return [-1 if d is None else d for d in shape]
    if isinstance(shape, (list, tuple)) and not any(
        isinstance(d, (Tensor, Variable)) for d in shape
    ):
        return np.array([-1 if d is None else int(d) for d in shape], np.int32)
    return shape


def _reshape_impl(x: Any, shape: Any, *, batch_dims: int) -> Any:
    dims = shape.tolist()
    return x.reshape((*x.shape[:batch_dims], *dims))


def _reshape_shape(x: Any, shape: Any, *, batch_dims: int) -> TensorSpec:
    lead = x.shape[:batch_dims] if batch_dims else TensorShape.of(())
    dims = constant_value(shape)
    if dims is None:
        n = shape.shape[0] if shape.shape.rank == 1 else None
        return TensorSpec(lead.concatenate([None] * n if n is not None else None), x.dtype)
    dims = [int(d) for d in dims.reshape(-1).tolist()]
    if dims.count(-1) > 1:
        raise InvalidArgumentError(
            f"Reshape: only one size may be -1, got {dims} [Op:Reshape]", op="Reshape"
        )
    total = x.shape[batch_dims:].num_elements() if x.shape.rank is not None else None
    known = int(np.prod([d for d in dims if d != -1], dtype=np.int64))
    if any(d < -1 for d in dims):
        raise InvalidArgumentError(
            f"Reshape: sizes must be >= -1, got {dims} [Op:Reshape]", op="Reshape"
        )
    if -1 in dims:
        if total is not None:
            if (known == 0 and total != 0) or (known and total % known):
                raise InvalidArgumentError(
                    f"Input to reshape is a tensor with {total} values, but the requested "
                    "shape "
                    f"requires a multiple of {known} [Op:Reshape]",
                    op="Reshape",
                )
            dims[dims.index(-1)] = total // known if known else 0
        out: list[int | None] = [None if d == -1 else d for d in dims]
        if (
            total is None
            and x.shape.rank is not None
            and x.shape[batch_dims:].dims.count(None) == 1
        ):
            # One unknown size on both sides: if the known ones agree, nothing else changes.
            rest = int(
                np.prod([d for d in x.shape[batch_dims:].dims if d is not None], dtype=np.int64)
            )
            if rest == known:
                pass
        return TensorSpec(lead.concatenate(out), x.dtype)
    if total is not None and total != known:
        raise InvalidArgumentError(
            f"Input to reshape is a tensor with {total} values, but the requested shape "
            f"has {known} "
            f"[Op:Reshape]",
            op="Reshape",
        )
    return TensorSpec(lead.concatenate(dims), x.dtype)


def _reshape_vjp(op: Any, g: Any) -> Any:
    x = op.inputs[0]
    return reshape(g, shape(x)), None


def _reshape_batch(ctx: Any, x: Any, dims: Any, *, batch_dims: int) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape("Reshape")
    return Reshape(x, dims, batch_dims=batch_dims + 1)


def UnbatchableShape(name: str) -> Exception:
    """The error of a batch rule whose shape argument differs from element to element."""
    return UnimplementedError(
        f"primitive {name}: its shape is computed from the element", op=name
    )


Reshape = Primitive(
    "Reshape",
    "tensor: T, shape: Tshape",
    impl=_reshape_impl,
    shape=_reshape_shape,
    vjp=_reshape_vjp,
    batch=_reshape_batch,
    defaults={"batch_dims": 0},
)


# -- cast -------------------------------------------------------------------------------------


def cast(x: Any, dtype: Any, name: str | None = None) -> Tensor:
    """`x` converted to `dtype`; floats are truncated towards zero.  Sparse and ragged tensors
    keep their structure."""
    dtype = as_dtype(dtype)
    if hasattr(x, "_with_values"):
        return x._with_values(cast(x.values, dtype))
    x = to_tensor(x, None)
    return x if x.dtype is dtype else Cast(x, dtype=dtype)


def _cast_impl(x: Any, *, dtype: DType) -> Any:
    if x.dtype.kind == "c" and not dtype.is_complex:
        x = x.real
    return x.astype(dtype.np_dtype)


def _cast_shape(x: Any, *, dtype: DType) -> TensorSpec:
    if (x.dtype is dtypes.string) != (dtype is dtypes.string):
        raise InvalidArgumentError(
            f"Cast {x.dtype.name} to {dtype.name} is not supported; use "
            "hr.strings.to_number or "
            f"hr.strings.as_string [Op:Cast]",
            op="Cast",
        )
    return TensorSpec(x.shape, dtype)


def _cast_vjp(op: Any, g: Any) -> Any:
    source = op.inputs[0].dtype
    if (source.is_floating or source.is_complex) and (
        g.dtype.is_floating or g.dtype.is_complex
    ):
        return (cast(g, source),)
    return (None,)


Cast = Primitive(
    "Cast",
    "x: SrcT",
    impl=_cast_impl,
    shape=_cast_shape,
    vjp=_cast_vjp,
    batch=batch_rules.unary,
    check_first=False,
)


# -- constants of a shape ---------------------------------------------------------------------


def fill(dims: Any, value: Any, name: str | None = None) -> Tensor:
    """A tensor of shape `dims` with `value` everywhere."""
    return Fill(dims, value)


def _fill_impl(dims: Any, value: Any) -> Any:
    shape = tuple(dims.tolist())
    if isinstance(value, StringArray):
        return value.map_offsets(lambda a: np.broadcast_to(a, shape))
    return array_module(value).full(shape, value)


def _fill_shape(dims: Any, value: Any) -> TensorSpec:
    if value.shape.rank not in (0, None):
        raise InvalidArgumentError(
            f"value must be a scalar, got shape {value.shape} [Op:Fill]", op="Fill"
        )
    known = constant_value(dims)
    if known is not None:
        if any(d < 0 for d in known.tolist()):
            raise InvalidArgumentError(
                f"Fill dimensions must be >= 0, got {known.tolist()} [Op:Fill]", op="Fill"
            )
        return TensorSpec(known.tolist(), value.dtype)
    return TensorSpec(
        [None] * dims.shape[0] if dims.shape.rank == 1 and dims.shape[0] is not None else None,
        value.dtype,
    )


def _fill_vjp(op: Any, g: Any) -> Any:
    return None, sum_to(g, op.inputs[1])


def _fill_batch(ctx: Any, dims: Any, value: Any) -> Any:
    if ctx.batched[0]:
        raise UnbatchableShape("Fill")
    return _FillBlock(dims, value)


Fill = Primitive(
    "Fill",
    "dims: Tdims, value: T",
    impl=_fill_impl,
    shape=_fill_shape,
    vjp=_fill_vjp,
    batch=_fill_batch,
    check_first=True,
)


def _fill_block_impl(dims: Any, value: Any) -> Any:
    shape = (value.shape[0], *dims.tolist())
    spread = (value.shape[0],) + (1,) * (len(shape) - 1)
    if isinstance(value, StringArray):
        return value.map_offsets(lambda a: np.broadcast_to(a.reshape(spread), shape))
    return array_module(value).broadcast_to(value.reshape(spread), shape).copy()


_FillBlock = Primitive(
    "_FillBlock",
    "dims: Tdims, value: T",
    impl=_fill_block_impl,
    shape=lambda dims, value: TensorSpec(None, value.dtype),
)


def zeros(shape: Any, dtype: Any = dtypes.float32, name: str | None = None) -> Tensor:
    """A tensor of zeros (empty strings, False)."""
    return _constant_of(shape, as_dtype(dtype), 0)


def ones(shape: Any, dtype: Any = dtypes.float32, name: str | None = None) -> Tensor:
    """A tensor of ones (True)."""
    return _constant_of(shape, as_dtype(dtype), 1)


def _constant_of(shape: Any, dtype: DType, number: int) -> Tensor:
    dims = (
        constant_value(to_tensor(shape, None))
        if not isinstance(shape, TensorShape)
        else np.array(shape.as_list())
    )
    if dims is None:
        return Fill(shape, np.array(number, dtype.np_dtype))
    dims = tuple(int(d) for d in dims.reshape(-1).tolist())
    if dtype is dtypes.string:
        return Tensor.of(StringArray.empty(dims))
    if placing.on and current.trace is None:  # made where it belongs
        value = np.array(number, dtype.np_dtype)
        return Fill.call_flat((Tensor.of(np.array(dims, np.int32)), Tensor.of(value)), {})
    return Tensor.of((np.ones if number else np.zeros)(dims, dtype.np_dtype))


def zeros_like(input: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Zeros of the shape (and, by default, the dtype) of `input`."""
    return _like(input, dtype, 0, ZerosLike)


def ones_like(input: Any, dtype: Any = None, name: str | None = None) -> Tensor:
    """Ones of the shape (and, by default, the dtype) of `input`."""
    return _like(input, dtype, 1, OnesLike)


def _like(x: Any, dtype: Any, number: int, primitive: Primitive) -> Tensor:
    if isinstance(x, Variable):  # only the shape is wanted: nothing is read
        return _constant_of(x.shape, as_dtype(dtype or x.dtype), number)
    x = to_tensor(x, None)
    want = x.dtype if dtype is None else as_dtype(dtype)
    if placing.on and not is_symbolic(x) and is_on_device(x._value):
        return primitive(x, dtype=want)
    if x.shape.is_fully_defined():
        return _constant_of(x.shape, want, number)
    return primitive(x, dtype=want) if is_symbolic(x) else _constant_of(x.shape, want, number)


def _zeros_like_impl(x: Any, *, dtype: DType) -> Any:
    if dtype is dtypes.string:
        return StringArray.empty(x.shape)
    return array_module(x).zeros(x.shape, dtype.np_dtype)


def _like_shape(x: Any, *, dtype: DType) -> TensorSpec:
    return TensorSpec(x.shape, dtype)


ZerosLike = Primitive(
    "ZerosLike",
    "x: T",
    impl=_zeros_like_impl,
    shape=_like_shape,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)
OnesLike = Primitive(
    "OnesLike",
    "x: T",
    impl=lambda x, *, dtype: array_module(x).ones(x.shape, dtype.np_dtype),
    shape=_like_shape,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)


# -- the gradient of broadcasting -------------------------------------------------------------


def sum_to(g: Any, x: Any) -> Tensor:
    """`g`, the gradient of what `x` was broadcast into, summed down to the shape of `x`."""
    if g.shape.is_fully_defined() and g.shape == x.shape:
        return g
    return SumTo(g, x)


def _sum_to_impl(g: Any, x: Any) -> Any:
    if g.shape == x.shape:
        return g
    lead = g.ndim - x.ndim
    axes = tuple(range(lead)) + tuple(
        i + lead for i, d in enumerate(x.shape) if d == 1 and g.shape[i + lead] != 1
    )
    out = g.sum(axis=axes, dtype=g.dtype) if axes else g
    return out.reshape(x.shape)


def _sum_to_batch(ctx: Any, g: Any, x: Any) -> Any:
    (like,) = batch_rules.all_batched(ctx, (g, x))[1:]
    g, x = batch_rules.all_aligned(ctx, (g, x))
    return reshape(SumTo(g, x), shape(like))


SumTo = Primitive(
    "_SumTo",
    "g: T, x: T",
    impl=_sum_to_impl,
    shape=lambda g, x: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (BroadcastLike(gg, op.inputs[0]), None),
    batch=_sum_to_batch,
)


def _broadcast_like_batch(ctx: Any, x: Any, like: Any) -> Any:
    return BroadcastLike(*batch_rules.all_aligned(ctx, (x, like)))


BroadcastLike = Primitive(
    "_BroadcastLike",
    "x: T, like: T",
    impl=lambda x, like: (
        x if x.shape == like.shape else array_module(x).broadcast_to(x, like.shape)
    ),
    shape=lambda x, like: TensorSpec(like.shape, x.dtype),
    vjp=lambda op, g: (sum_to(g, op.inputs[0]), None),
    batch=_broadcast_like_batch,
)
