"""Normalization with the statistics as part of the operation: fused batch norm, local response
normalization.

`batch_norm_training` is what the batch normalization layer runs: one pass for the statistics,
one for the result, and a backward pass in two.  On a CPU and in float32 the kernels of
`kernels.normalization` take over where they are compiled already.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_loop, batch_rules
from .array_basics import cast
from .array_module import array_module
from .array_shape import transpose
from .elementwise import rsqrt
from .errors import InvalidArgumentError
from .kernels import normalization as compiled
from .math_ops import pow
from .primitive import Primitive
from .reductions import reduce_mean, reduce_sum
from .shape_rules import FLOATS, same
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .windows import channels_first, from_channels_last, to_channels_last

__all__ = ["local_response_normalization", "lrn"]


# -- statistics and normalization in one ------------------------------------------------------


def batch_norm_training(
    x: Any, scale: Any, offset: Any, epsilon: float
) -> tuple[Tensor, Tensor, Tensor]:
    """`x` [..., channels] normalized over all axes but the last, the channels' means, and their
    variances (of the population).

    Args:
        x: floats.
        scale, offset: [channels], float32 for 16-bit `x`, and so are means and variances.
        epsilon: added to the variance.
    """
    return _BatchNorm(x, scale, offset, epsilon=float(epsilon))


def _statistics(x: Any) -> tuple[Any, Any]:
    """Mean and variance of the columns of a matrix, in its dtype."""
    xp = array_module(x)
    rows = x.shape[0]
    # A product with ones adds up in blocks, as pairwise summation does, and at BLAS's speed.
    mean = x.mean(axis=0) if rows < 256 else _column_sums(xp, x) / x.dtype.type(rows)
    centred = x - mean
    xp.multiply(centred, centred, out=centred)
    variance = centred.mean(axis=0) if rows < 256 else _column_sums(xp, centred) / rows
    return mean, variance.astype(x.dtype, copy=False)


def _column_sums(xp: Any, x: Any) -> Any:
    """Sums of columns, a hundred rows at a time: rounding errors stay small."""
    cut = x.shape[0] // 128 * 128
    out = x[:cut].reshape((-1, 128, x.shape[1])).sum(axis=1).sum(axis=0)
    return out + x[cut:].sum(axis=0) if cut < x.shape[0] else out


def _norm_impl(x: Any, scale: Any, offset: Any, *, epsilon: float) -> Any:
    if x.dtype != scale.dtype:
        y, mean, variance = _norm_impl(x.astype(scale.dtype), scale, offset, epsilon=epsilon)
        return y.astype(x.dtype), mean, variance
    found = compiled.batch_norm(x, scale, offset, epsilon)
    if found is not None:
        return found
    xp = array_module(x)
    rows = x.reshape((-1, x.shape[-1]))
    mean, variance = _statistics(rows)
    factor = scale / xp.sqrt(variance + x.dtype.type(epsilon))
    y = rows - mean
    y *= factor
    y += offset
    return y.reshape(x.shape), mean, variance


def _norm_shape(x: Any, scale: Any, offset: Any, *, epsilon: float) -> Any:
    channels = TensorShape([None]) if x.shape.rank is None else x.shape[-1:]
    for what, t in (("scale", scale), ("offset", offset)):
        if not t.shape.is_compatible_with(channels):
            raise InvalidArgumentError(
                f"{what} must have the same number of elements as the channels of x, got "
                f"{t.shape} and {channels} [Op:FusedBatchNormV3]",
                op="FusedBatchNormV3",
            )
    vector = TensorSpec(channels, scale.dtype)
    return TensorSpec(x.shape, x.dtype), vector, vector


def _norm_vjp(op: Any, g: Any, g_mean: Any, g_variance: Any) -> Any:
    x, scale, _ = op.inputs
    _, mean, variance = op.outputs
    dx = dscale = doffset = None
    if g is not None:
        dx, dscale, doffset = _BatchNormGrad(g, x, scale, mean, variance, **op.attrs)
    # The statistics as results of their own; a moving average stops the gradient before.
    if g_mean is not None or g_variance is not None:
        kind, axes = x.dtype, list(range(x.shape.rank - 1))
        x = cast(x, scale.dtype)
        count = reduce_sum(x[..., :1] * 0 + 1)
        extra = 0 if g_mean is None else g_mean / count
        if g_variance is not None:
            extra = extra + (x - reduce_mean(x, axes)) * (2 * g_variance / count)
        extra = cast(extra + x * 0, kind)
        dx = extra if dx is None else dx + extra
    return dx, dscale, doffset


_BatchNorm = Primitive(
    "_BatchNorm",
    "x: T, scale: U, offset: U",
    impl=_norm_impl,
    shape=_norm_shape,
    vjp=_norm_vjp,
    batch=batch_loop.looped,
    types={"T": FLOATS, "U": FLOATS},
    check_first=True,
    partial_grads=True,
)


def _norm_grad_impl(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, *, epsilon: float
) -> Any:
    if x.dtype != scale.dtype:
        wide_g, wide_x = (a.astype(scale.dtype) for a in (g, x))
        dx, *rest = _norm_grad_impl(wide_g, wide_x, scale, mean, variance, epsilon=epsilon)
        return dx.astype(x.dtype), *rest
    found = compiled.batch_norm_grad(g, x, scale, mean, variance, epsilon)
    if found is not None:
        return found
    xp = array_module(x)
    t = x.dtype.type
    shape = x.shape
    x, g = x.reshape((-1, shape[-1])), g.reshape((-1, shape[-1]))
    inverse = t(1) / xp.sqrt(variance + t(epsilon))
    centred = x - mean
    doffset = _column_sums(xp, g)
    dscale = _column_sums(xp, g * centred) * inverse
    n = t(max(x.shape[0], 1))
    centred *= dscale * inverse / n
    dx = g - doffset / n
    dx -= centred
    dx *= scale * inverse
    return dx.reshape(shape), dscale, doffset


def _norm_grad_vjp(op: Any, gdx: Any, gdscale: Any, gdoffset: Any) -> Any:
    g, x, scale, _, _ = op.inputs
    kind, (g, x, gdx) = x.dtype, (cast(t, scale.dtype) for t in (g, x, gdx))
    dg, dx, dscale = _second_order(g, x, scale, gdx, gdscale, gdoffset, op.attrs["epsilon"])
    return cast(dg, kind), cast(dx, kind), dscale, None, None


def _second_order(
    g: Any, x: Any, scale: Any, gdx: Any, gdscale: Any, gdoffset: Any, epsilon: float
) -> tuple[Any, Any, Any]:
    """Gradients for `g`, `x` and `scale` of the backward pass over [..., channels]: the
    derivative of its formula written in ops (second order is rare)."""
    axes = list(range(x.shape.rank - 1))
    mean = reduce_mean(x, axes)
    c = x - mean
    inverse = rsqrt(reduce_mean(c * c, axes) + epsilon)
    h = c * inverse  # normalized

    def project(v: Any) -> Any:
        """The part of v that survives centring and scaling, per channel."""
        return v - reduce_mean(v, axes) - h * reduce_mean(v * h, axes)

    # dx = scale * inverse * project(g); dscale = sum(g * h); doffset = sum(g).
    dg = scale * inverse * project(gdx) + gdscale * h + gdoffset
    dscale = reduce_sum(gdx * inverse * project(g), axes)
    # Derivative along h and inverse, both functions of x.
    gh = reduce_mean(g * h, axes)
    uh = reduce_mean(gdx * h, axes)
    along_h = -scale * inverse * (g * uh + gdx * gh) + gdscale * g
    dot = reduce_sum(gdx * project(g), axes) * scale
    dx = inverse * project(along_h) - h * (inverse * inverse) * dot / _rows(x)
    return dg, dx, dscale


def _rows(x: Any) -> Any:
    return reduce_sum(x[..., :1] * 0 + 1)


def _norm_grad_shape(g: Any, x: Any, scale: Any, *rest: Any, epsilon: float) -> Any:
    vector = TensorSpec(scale.shape, scale.dtype)
    return TensorSpec(x.shape, x.dtype), vector, vector


_BatchNormGrad = Primitive(
    "_BatchNormGrad",
    "g: T, x: T, scale: U, mean: U, variance: U",
    impl=_norm_grad_impl,
    shape=_norm_grad_shape,
    vjp=_norm_grad_vjp,
    batch=batch_loop.looped,
)


# -- TensorFlow's raw op ----------------------------------------------------------------------


def _fused_impl(
    x: Any, scale: Any, offset: Any, mean: Any, variance: Any, *, epsilon: float,
    exponential_avg_factor: float, data_format: str, is_training: bool,
) -> Any:  # fmt: skip
    xp = array_module(x)
    dtype = x.dtype
    wide = to_channels_last(x, data_format).astype(scale.dtype, copy=False)
    if is_training:
        wide = xp.ascontiguousarray(wide)
        y, m, v = _norm_impl(wide, scale, offset, epsilon=epsilon)
        rows = max(wide.size // max(wide.shape[-1], 1), 1)
        moved = moving_averages(mean, variance, m, v, rows, exponential_avg_factor)
        new_mean, new_variance = moved
        reserve = (m, v)
    else:
        factor = scale / xp.sqrt(variance + scale.dtype.type(epsilon))
        y = wide * factor
        y += offset - mean * factor
        new_mean, new_variance = mean, variance
        reserve = (mean, variance)
    y = from_channels_last(y.astype(dtype, copy=False), data_format)
    return (y, new_mean, new_variance, *reserve, xp.zeros(0, scale.dtype))


def moving_averages(
    mean: Any, variance: Any, m: Any, v: Any, rows: int, factor: float
) -> tuple[Any, Any]:
    """The moving averages behind a batch of `rows` with mean `m` and variance `v`."""
    bessel = v * v.dtype.type(rows / max(rows - 1, 1))
    f = v.dtype.type(factor)
    if f == 1 or not mean.size:
        return m, bessel
    return mean + (m - mean) * f, variance + (bessel - variance) * f


def _fused_shape(
    x: Any, scale: Any, offset: Any, mean: Any, variance: Any, *, data_format: str, **_: Any
) -> Any:
    if x.shape.rank not in (4, 5, None):
        raise InvalidArgumentError(
            f"input must be 4-dimensional or 5-dimensional, got {x.shape} "
            "[Op:FusedBatchNormV3]",
            op="FusedBatchNormV3",
        )
    depth = None
    if x.shape.rank is not None:
        depth = x.shape[1 if channels_first(data_format) else -1]
    for what, t in (("scale", scale), ("offset", offset)):
        if not t.shape.is_compatible_with([depth]):
            raise InvalidArgumentError(
                f"{what} must have the same number of elements as the channels of x, got "
                f"{t.shape} and {depth} [Op:FusedBatchNormV3]",
                op="FusedBatchNormV3",
            )
    vector = TensorSpec([depth], scale.dtype)
    return (
        TensorSpec(x.shape, x.dtype), vector, vector, vector, vector,
        TensorSpec([0], scale.dtype),
    )  # fmt: skip


def _fused_vjp(op: Any, g: Any, *_: Any) -> Any:
    x, scale, _, mean, variance = op.inputs
    attrs = {k: op.attrs[k] for k in ("epsilon", "data_format", "is_training")}
    m, v = (op.outputs[3], op.outputs[4]) if attrs["is_training"] else (mean, variance)
    found = FusedBatchNormGradV3(g, x, scale, m, v, op.outputs[5], **attrs)
    return found[0], found[1], found[2], None, None


FusedBatchNormV3 = Primitive(
    "FusedBatchNormV3",
    "x: T, scale: U, offset: U, mean: U, variance: U",
    impl=_fused_impl,
    shape=_fused_shape,
    vjp=_fused_vjp,
    batch=batch_loop.looped,
    types={"T": FLOATS, "U": FLOATS},
    check_first=True,
    defaults={
        "epsilon": 1e-4,
        "exponential_avg_factor": 1.0,
        "data_format": "NHWC",
        "is_training": True,
    },
)


def _fused_grad_impl(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, reserve: Any, *, epsilon: float,
    data_format: str, is_training: bool,
) -> Any:  # fmt: skip
    xp = array_module(x)
    dtype = x.dtype
    g, x = (
        xp.ascontiguousarray(to_channels_last(a, data_format).astype(scale.dtype, copy=False))
        for a in (g, x)
    )
    if is_training:
        dx, dscale, doffset = _norm_grad_impl(g, x, scale, mean, variance, epsilon=epsilon)
    else:
        inverse = scale.dtype.type(1) / xp.sqrt(variance + scale.dtype.type(epsilon))
        dx = g * (scale * inverse)
        axes = tuple(range(x.ndim - 1))
        dscale = (g * (x - mean)).sum(axis=axes) * inverse
        doffset = g.sum(axis=axes)
    empty = xp.zeros(0, scale.dtype)
    dx = from_channels_last(dx.astype(dtype, copy=False), data_format)
    return dx, dscale, doffset, empty, empty


def _fused_grad_shape(g: Any, x: Any, scale: Any, *rest: Any, **_: Any) -> Any:
    vector, none = TensorSpec(scale.shape, scale.dtype), TensorSpec([0], scale.dtype)
    return TensorSpec(x.shape, x.dtype), vector, vector, none, none


def _fused_grad_vjp(op: Any, gdx: Any, gdscale: Any, gdoffset: Any, *_: Any) -> Any:
    """Gradients for y_backprop, x and scale, as TensorFlow's: when training the statistics
    depend on x; otherwise they are constants."""
    g, x, scale, mean, variance, _ = op.inputs
    rank, dtype, epsilon = x.shape.rank, x.dtype, op.attrs["epsilon"]
    swap = channels_first(op.attrs["data_format"])
    g, x, gdx = (
        cast(transpose(t, [0, *range(2, rank), 1]) if swap else t, scale.dtype)
        for t in (g, x, gdx)
    )
    if op.attrs["is_training"]:
        dg, dx, dscale = _second_order(g, x, scale, gdx, gdscale, gdoffset, epsilon)
    else:
        inverse = rsqrt(variance + epsilon)
        dg = gdx * (scale * inverse) + gdscale * (x - mean) * inverse + gdoffset
        dx = g * (gdscale * inverse)
        dscale = reduce_sum(gdx * g, list(range(rank - 1))) * inverse
    dg, dx = (
        cast(transpose(t, [0, rank - 1, *range(1, rank - 1)]) if swap else t, dtype)
        for t in (dg, dx)
    )
    return dg, dx, dscale, None, None, None


FusedBatchNormGradV3 = Primitive(
    "FusedBatchNormGradV3",
    "y_backprop: T, x: T, scale: U, reserve_space_1: U, reserve_space_2: U, reserve_space_3: U",
    impl=_fused_grad_impl,
    shape=_fused_grad_shape,
    vjp=_fused_grad_vjp,
    batch=batch_loop.looped,
    types={"T": FLOATS, "U": FLOATS},
    defaults={"epsilon": 1e-4, "data_format": "NHWC", "is_training": True},
)


# -- local response normalization -------------------------------------------------------------


def local_response_normalization(
    input: Any,
    depth_radius: int = 5,
    bias: float = 1,
    alpha: float = 1,
    beta: float = 0.5,
    name: str | None = None,
) -> Tensor:
    """`input` / (bias + alpha * sum of squares of the channels within `depth_radius`) ** beta.

    Args:
        input: floats [batch, height, width, channels].
        depth_radius: how many channels on either side.
        bias, alpha, beta: see the formula.
        name: ignored.
    """
    return LRN(
        input,
        depth_radius=int(depth_radius),
        bias=float(bias),
        alpha=float(alpha),
        beta=float(beta),
    )


lrn = local_response_normalization


def _neighbours(x: Any, radius: int) -> Any:
    """Sums over the channels within `radius`."""
    xp = array_module(x)
    c = x.shape[-1]
    out = xp.zeros_like(x)
    for d in range(-min(radius, c - 1), min(radius, c - 1) + 1):
        low, high = max(0, -d), min(c, c - d)
        out[..., low:high] += x[..., low + d : high + d]
    return out


def _lrn_impl(x: Any, *, depth_radius: int, bias: float, alpha: float, beta: float) -> Any:
    dtype = x.dtype
    x = x.astype(np.float32) if dtype.itemsize == 2 else x
    t = x.dtype.type
    below = t(bias) + t(alpha) * _neighbours(x * x, depth_radius)
    return (x * below ** t(-beta)).astype(dtype, copy=False)


def _lrn_shape(x: Any, **_: Any) -> TensorSpec:
    if x.shape.rank not in (4, None):
        raise InvalidArgumentError(f"in must be 4-dimensional: {x.shape} [Op:LRN]", op="LRN")
    return TensorSpec(x.shape, x.dtype)


def _lrn_vjp(op: Any, g: Any) -> Any:
    return (_lrn_gradient(g, op.inputs[0], **op.attrs),)


def _lrn_gradient(
    g: Any, x: Any, *, depth_radius: int, bias: float, alpha: float, beta: float
) -> Any:
    below = bias + alpha * _ChannelSums(x * x, radius=depth_radius)
    through = _ChannelSums(g * x * pow(below, -beta - 1), radius=depth_radius)
    return g * pow(below, -beta) - 2 * alpha * beta * x * through


LRN = Primitive(
    "LRN",
    "input: T",
    impl=_lrn_impl,
    shape=_lrn_shape,
    vjp=_lrn_vjp,
    batch=batch_loop.folded(0),
    types={"T": FLOATS},
    check_first=True,
    defaults={"depth_radius": 5, "bias": 1.0, "alpha": 1.0, "beta": 0.5},
)
_ChannelSums: Primitive = Primitive(
    "_ChannelSums",
    "x: T",
    impl=lambda x, *, radius: _neighbours(x, radius),
    shape=same,
    vjp=lambda op, g: (_ChannelSums(g, **op.attrs),),
    batch=batch_rules.unary,
)
