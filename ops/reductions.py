"""Reductions over axes: sums, means, extrema, logical reductions, norms and arg-extrema.

Axes are attributes: None for all, else a tuple, sorted and counted from the front where the
rank is known.  Sums keep their dtype (integers wrap), integer means are cut towards zero, an
empty list of axes changes nothing, as in TensorFlow.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, stop_gradient
from .array_module import array_module
from .binary_primitives import masked
from .comparison import Equal
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .elementwise import abs, conj_of, exp, is_finite, log, sqrt, square
from .errors import InvalidArgumentError
from .primitive import Primitive
from .scans import cumprod_along
from .shape_rules import BOOL, FLOATS, INTEGERS, NUMERIC, axis_of
from .static_args import static_int, static_ints
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "argmax", "argmin", "count_nonzero", "reduce_all", "reduce_any",
    "reduce_euclidean_norm", "reduce_logsumexp", "reduce_max", "reduce_mean", "reduce_min",
    "reduce_prod", "reduce_std", "reduce_sum", "reduce_variance",
]  # fmt: skip


# -- axes -------------------------------------------------------------------------------------


def _axes(x: Tensor, axis: Any) -> tuple[int, ...] | None:
    """`axis` as the attribute the primitives take."""
    if axis is None:
        return None
    if type(axis) is not int:
        items = static_ints(axis, "reduction", "axis")
    else:
        items = (axis,)
    rank = x.shape.rank
    if rank is None:
        return items
    for a in items:
        if not -rank <= a < rank:
            raise InvalidArgumentError(
                f"Invalid reduction dimension {a} for input with {rank} dimension(s)"
            )
    items = tuple(a + rank if a < 0 else a for a in items)
    if len(items) > 1:
        items = tuple(sorted(items))
        for a, b in itertools.pairwise(items):
            if a == b:
                raise InvalidArgumentError(
                    f"Invalid reduction arguments: Axes contains duplicate dimension: {a}"
                )
    return items


def reduced_shape(x: TensorShape, axis: tuple[int, ...] | None, keepdims: bool) -> TensorShape:
    """The shape after a reduction."""
    dims = x.dims
    if dims is None:
        return TensorShape.of(() if axis is None and not keepdims else None)
    if axis is None:
        return TensorShape.of((1,) * len(dims) if keepdims else ())
    if keepdims:
        return TensorShape.of(tuple(1 if i in axis else d for i, d in enumerate(dims)))
    return TensorShape.of(tuple(d for i, d in enumerate(dims) if i not in axis))


def _shape(x: Any, *, axis: Any, keepdims: bool) -> TensorSpec:
    return TensorSpec(reduced_shape(x.shape, axis, keepdims), x.dtype)


def _batch(ctx: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return ctx.primitive(x, axis=_block_axes(ctx, axis), keepdims=keepdims)


def _block_axes(ctx: Any, axis: tuple[int, ...] | None, position: int = -1) -> tuple[int, ...]:
    """The elements' axes, counted in the block; `position` is that of the reduced input."""
    if axis is None:
        return tuple(range(1, batch_rules.rank_of(ctx, position) + 1))
    return tuple(a + 1 if a >= 0 else a for a in axis)


# -- the way back: a reduction's gradient spread over its input -------------------------------


def spread(g: Any, x: Any, axis: Any, keepdims: bool) -> Tensor:
    """`g`, of the shape of a reduction of `x`, repeated (as a view) to the shape of `x`."""
    return SpreadLike(g, x, axis=axis, keepdims=keepdims)


def _kept(g: Any, x: Any, axis: Any, keepdims: bool) -> Any:
    if keepdims:
        return g
    return g.reshape(
        tuple(1 if axis is None or i in axis else d for i, d in enumerate(x.shape))
    )


def _spread_impl(g: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    return array_module(g).broadcast_to(_kept(g, x, axis, keepdims), x.shape)


def _spread_shape(g: Any, x: Any, *, axis: Any, keepdims: bool) -> TensorSpec:
    return TensorSpec(x.shape, g.dtype)


def _spread_vjp(op: Any, gg: Any) -> Any:
    return Sum(gg, **op.attrs), None


def _spread_batch(ctx: Any, g: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    g, x = batch_rules.all_batched(ctx, (g, x))
    return ctx.primitive(g, x, axis=_block_axes(ctx, axis), keepdims=keepdims)


SpreadLike = Primitive(
    "_SpreadLike",
    "g: T, x: X",
    impl=_spread_impl,
    shape=_spread_shape,
    vjp=_spread_vjp,
    batch=_spread_batch,
)


def _spread_mean_impl(g: Any, x: Any, *, axis: Any, keepdims: bool) -> Any:
    n = x.size // g.size if g.size else 1
    return array_module(g).broadcast_to(_kept(g / g.dtype.type(n), x, axis, keepdims), x.shape)


SpreadMean = Primitive(
    "_SpreadMean",
    "g: T, x: X",
    impl=_spread_mean_impl,
    shape=_spread_shape,
    batch=_spread_batch,
    vjp=lambda op, gg: (Mean(gg, **op.attrs), None),
)


# -- sums and means ---------------------------------------------------------------------------


def _reduction(
    name: str,
    impl: Callable[..., Any],
    vjp: Callable[..., Any],
    types: tuple[DType, ...] = NUMERIC,
) -> Primitive:
    return Primitive(
        name, "input: T", impl=impl, shape=_shape, vjp=vjp, batch=_batch, types={"T": types}
    )


def _through_float32(fn: Callable[..., Any]) -> Callable[..., Any]:
    """The reduction with 16-bit floats accumulated in float32."""

    def impl(x: Any, *, axis: Any, keepdims: bool) -> Any:
        if x.dtype.itemsize == 2 and x.dtype.kind not in "iu":
            return fn(x.astype(np.float32), axis, keepdims).astype(x.dtype)
        return fn(x, axis, keepdims)

    return impl


def _sum(x: Any, axis: Any, keepdims: bool) -> Any:
    if type(x) is np.ndarray:
        return np.add.reduce(x, axis, x.dtype, None, keepdims)
    return x.sum(axis=axis, dtype=x.dtype, keepdims=keepdims)


def reduce_sum(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The sum over `axis` (an int, a list, or None for all axes).

    >>> reduce_sum([[1, 2], [3, 4]], axis=1).numpy()
    array([3, 7], dtype=int32)
    """
    x = _input(input_tensor)
    return Sum(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _input(value: Any) -> Tensor:
    return value if isinstance(value, Tensor) else to_tensor(value, None)


def _sum_vjp(op: Any, g: Any) -> Any:
    return (spread(g, op.inputs[0], **op.attrs),)


Sum = _reduction("Sum", _through_float32(_sum), _sum_vjp)


def reduce_mean(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean over `axis`; of integers cut towards zero, NaN of no elements."""
    x = _input(input_tensor)
    return Mean(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _mean(x: Any, axis: Any, keepdims: bool) -> Any:
    total = _sum(x, axis, keepdims)
    n = x.size // total.size if total.size else 1
    if x.dtype.kind in "iu":
        if not n:
            raise InvalidArgumentError("the mean of no integers is not defined")
        down = total // x.dtype.type(n)
        return down + ((total < 0) & (down * x.dtype.type(n) != total)).astype(x.dtype)
    return total / total.dtype.type(n)


def _mean_vjp(op: Any, g: Any) -> Any:
    return (SpreadMean(g, op.inputs[0], **op.attrs),)


Mean = _reduction("Mean", _through_float32(_mean), _mean_vjp)


def reduce_prod(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The product over `axis`."""
    x = _input(input_tensor)
    return Prod(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _prod(x: Any, axis: Any, keepdims: bool) -> Any:
    return array_module(x).prod(x, axis=axis, dtype=x.dtype, keepdims=keepdims)


def _prod_vjp(op: Any, g: Any) -> Any:
    # One axis at a time: the derivative is the product of what stands before and behind each
    # element, which is exact where elements are 0.
    (x,), axis = op.inputs, op.attrs["axis"]
    if axis is None:
        axis = tuple(range(x.shape.rank))
    steps = [x]
    for a in axis:
        steps.append(Prod(steps[-1], axis=(a,), keepdims=True))
    g = spread(g, steps[-1], op.attrs["axis"], op.attrs["keepdims"])
    for a, part in zip(reversed(axis), reversed(steps[:-1]), strict=True):
        before = cumprod_along(part, a, exclusive=True, reverse=False)
        behind = cumprod_along(part, a, exclusive=True, reverse=True)
        g = spread(g, part, (a,), True) * conj_of(before * behind)
    return (g,)


Prod = _reduction("Prod", _through_float32(_prod), _prod_vjp)


# -- extrema ----------------------------------------------------------------------------------


def reduce_max(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The largest element over `axis`; the dtype's lowest value (-inf) of no elements."""
    x = _input(input_tensor)
    return Max(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def reduce_min(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The smallest element over `axis`; the dtype's highest value (inf) of no elements."""
    x = _input(input_tensor)
    return Min(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _extremum(name: str) -> Callable[..., Any]:
    def impl(x: Any, *, axis: Any, keepdims: bool) -> Any:
        xp = array_module(x)
        reduce = getattr(xp, name)
        if x.size:
            return reduce(x, axis=axis, keepdims=keepdims)
        dtype = as_dtype(x.dtype)
        if dtype.is_floating:
            start = dtype.np_dtype.type(-np.inf if name == "max" else np.inf)
        else:
            start = dtype.min if name == "max" else dtype.max
        if xp is np:
            return reduce(x, axis=axis, keepdims=keepdims, initial=start)
        # CuPy's reductions of nothing have no initial value; the result's shape is a sum's.
        return xp.full_like(xp.sum(x, axis=axis, keepdims=keepdims, dtype=x.dtype), start)

    return impl


def _extremum_vjp(op: Any, g: Any) -> Any:
    # Equal extrema share the gradient.
    x, attrs = op.inputs[0], op.attrs
    chosen = cast(Equal(x, spread(op.outputs[0], x, **attrs)), g.dtype)
    return (chosen / spread(Sum(chosen, **attrs), x, **attrs) * spread(g, x, **attrs),)


Max = _reduction("Max", _extremum("max"), _extremum_vjp, FLOATS + INTEGERS)
Min = _reduction("Min", _extremum("min"), _extremum_vjp, FLOATS + INTEGERS)


def _arg_shape(x: Any, *, axis: int, output_type: DType) -> TensorSpec:
    rank = x.shape.rank
    if rank is not None:
        axis_of(axis, rank, "ArgMax", "dimension")
        if x.shape[axis] == 0:
            raise InvalidArgumentError(
                f"Reduction axis {axis} is empty in shape {x.shape} [Op:ArgMax]", op="ArgMax"
            )
    return TensorSpec(reduced_shape(x.shape, (axis,), False), output_type)


def _arg_batch(ctx: Any, x: Any, *, axis: int, output_type: DType) -> Any:
    return ctx.primitive(x, axis=axis + 1 if axis >= 0 else axis, output_type=output_type)


def _arg_primitive(name: str, method: str) -> Primitive:
    def impl(x: Any, *, axis: int, output_type: DType) -> Any:
        return getattr(array_module(x), method)(x, axis=axis).astype(
            output_type.np_dtype, copy=False
        )

    return Primitive(
        name,
        "input: T",
        impl=impl,
        shape=_arg_shape,
        vjp=lambda op, g: (None,),
        batch=_arg_batch,
        types={"T": (*FLOATS, *INTEGERS, *BOOL)},
    )


ArgMax = _arg_primitive("ArgMax", "argmax")
ArgMin = _arg_primitive("ArgMin", "argmin")


def argmax(
    input: Any, axis: Any = None, output_type: Any = dtypes.int64, name: str | None = None
) -> Tensor:
    """The index of the largest element along `axis` (0 by default), the first of equal ones."""
    return _arg(ArgMax, input, axis, output_type)


def argmin(
    input: Any, axis: Any = None, output_type: Any = dtypes.int64, name: str | None = None
) -> Tensor:
    """The index of the smallest element along `axis` (default 0), the first of equal ones."""
    return _arg(ArgMin, input, axis, output_type)


def _arg(primitive: Primitive, value: Any, axis: Any, output_type: Any) -> Tensor:
    x = _input(value)
    axis = 0 if axis is None else static_int(axis, primitive.name, "axis")
    if x.shape.rank is not None:
        axis = axis_of(axis, x.shape.rank, primitive.name, "dimension")
    return primitive(x, axis=axis, output_type=as_dtype(output_type))


# -- logic ------------------------------------------------------------------------------------


def reduce_all(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """Whether all elements over `axis` are true."""
    x = _input(input_tensor)
    return All(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def reduce_any(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """Whether any element over `axis` is true."""
    x = _input(input_tensor)
    return Any_(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _no_gradient(op: Any, g: Any) -> Any:
    return (None,)


All = _reduction(
    "All", lambda x, *, axis, keepdims: x.all(axis=axis, keepdims=keepdims), _no_gradient, BOOL
)
Any_ = _reduction(
    "Any", lambda x, *, axis, keepdims: x.any(axis=axis, keepdims=keepdims), _no_gradient, BOOL
)


def count_nonzero(
    input: Any,
    axis: Any = None,
    keepdims: Any = None,
    dtype: Any = dtypes.int64,
    name: str | None = None,
) -> Tensor:
    """The number of elements over `axis` that are not 0 (False, the empty string)."""
    x = _input(input)
    zero: Any = b"" if x.dtype is dtypes.string else False if x.dtype.is_bool else 0
    return reduce_sum(cast(x != zero, dtype), axis, bool(keepdims))


# -- norms, variances -------------------------------------------------------------------------


def reduce_euclidean_norm(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The square root of the sum of squares over `axis`."""
    x = _input(input_tensor)
    return EuclideanNorm(x, axis=_axes(x, axis), keepdims=bool(keepdims))


def _euclidean_norm(x: Any, axis: Any, keepdims: bool) -> Any:
    xp = array_module(x)
    squares = _sum((x * x.conj()) if x.dtype.kind == "c" else x * x, axis, keepdims)
    return xp.sqrt(squares).astype(x.dtype, copy=False)


def _euclidean_norm_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs[0], op.outputs[0]
    return (x / spread(y / g, x, **op.attrs),)


EuclideanNorm = _reduction(
    "EuclideanNorm", _through_float32(_euclidean_norm), _euclidean_norm_vjp
)


def reduce_logsumexp(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """log(sum(exp(x))) over `axis`, without overflow."""
    x = _input(input_tensor)
    axes = _axes(x, axis)
    top = Max(x, axis=axes, keepdims=True)
    top = stop_gradient(masked(top, is_finite(top)))
    result = log(Sum(exp(x - top), axis=axes, keepdims=True)) + top
    return result if keepdims else reshape_kept(result, axes)


def reshape_kept(x: Any, axes: tuple[int, ...] | None) -> Tensor:
    """`x`, whose reduced axes have size 1, without them."""
    return Sum(x, axis=axes, keepdims=False)


def reduce_variance(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The mean squared distance from the mean over `axis`; divided by the count, not count - 1.

    Raises:
        TypeError: integers.
    """
    x = _input(input_tensor)
    if x.dtype.is_integer or x.dtype.is_bool:
        raise TypeError(
            f"Input must be either real or complex. Received integer type {x.dtype!r}."
        )
    axes = _axes(x, axis)
    diff = x - Mean(x, axis=axes, keepdims=True)
    squares = square(abs(diff)) if x.dtype.is_complex else square(diff)
    return Mean(squares, axis=axes, keepdims=bool(keepdims))


def reduce_std(
    input_tensor: Any, axis: Any = None, keepdims: bool = False, name: str | None = None
) -> Tensor:
    """The square root of `reduce_variance`."""
    return sqrt(reduce_variance(input_tensor, axis, keepdims))
