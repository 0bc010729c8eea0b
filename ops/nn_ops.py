"""Neural-network functions: bias, normalization, dropout, top-k, embedding lookup.

Activations, softmax and losses have modules of their own.
"""

from __future__ import annotations

import functools
import numbers
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, identity, shape, stop_gradient
from .array_index import gather
from .array_module import array_module
from .array_shape import expand_dims, squeeze
from .binary_primitives import masked
from .convert import to_tensor
from .elementwise import rsqrt, sqrt
from .errors import InvalidArgumentError
from .math_ops import maximum, squared_difference
from .primitive import Primitive
from .random_ops import random_uniform, stateless_uniform
from .reductions import reduce_mean, reduce_sum, spread
from .shape_rules import NUMERIC
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "batch_normalization", "bias_add", "dropout", "embedding_lookup", "in_top_k",
    "l2_normalize", "moments", "top_k", "zero_fraction",
]  # fmt: skip


# -- bias -------------------------------------------------------------------------------------


def bias_add(
    value: Any, bias: Any, data_format: str | None = None, name: str | None = None
) -> Tensor:
    """`value` plus the vector `bias` along the channels.

    Args:
        value: [..., channels], or [n, channels, ...] with `data_format` starting ``"NC"``.
        bias: [channels].
        data_format: such as ``"NHWC"`` (the default) or ``"NCHW"``.
        name: ignored.

    Raises:
        ValueError: the format is not known.
        InvalidArgumentError: the sizes do not fit.
    """
    if (
        data_format is None
        or data_format == "N...C"
        or (data_format[0] == "N" and data_format[-1] == "C")
    ):
        return BiasAdd(value, bias, data_format="NHWC")
    if not data_format.startswith("NC"):
        raise ValueError(
            f"`data_format` must be of the form `N...C` or `NC...`. Received: {data_format}"
        )
    return BiasAdd(value, bias, data_format="NCHW")


def _channel_axis(rank: int, data_format: str) -> int:
    return 1 if data_format == "NCHW" and rank > 1 else rank - 1


def _bias_add_impl(value: Any, bias: Any, *, data_format: str) -> Any:
    if data_format == "NCHW" and value.ndim > 2:
        bias = bias.reshape((-1,) + (1,) * (value.ndim - 2))
    return array_module(value).add(value, bias)


def _bias_add_shape(value: Any, bias: Any, *, data_format: str) -> TensorSpec:
    if value.shape.rank is not None:
        if value.shape.rank < 2:
            raise InvalidArgumentError(
                f"Input tensor must be at least 2D: {value.shape} [Op:BiasAdd]", op="BiasAdd"
            )
        if bias.shape.rank not in (1, None):
            raise InvalidArgumentError(
                f"Biases must be 1D: {bias.shape} [Op:BiasAdd]", op="BiasAdd"
            )
        channels = value.shape[_channel_axis(value.shape.rank, data_format)]
        if None not in (channels, bias.shape[0]) and channels != bias.shape[0]:
            raise InvalidArgumentError(
                "Must provide as many biases as the last dimension "
                f"of the input tensor: {bias.shape} vs. "
                f"{value.shape} [Op:BiasAdd]",
                op="BiasAdd",
            )
    return TensorSpec(value.shape, value.dtype)


def _bias_add_vjp(op: Any, g: Any) -> Any:
    return g, BiasAddGrad(g, **op.attrs)


def _bias_add_batch(ctx: Any, value: Any, bias: Any, *, data_format: str) -> Any:
    if ctx.batched == (True, False) and data_format == "NHWC":
        return ctx.primitive(value, bias, data_format=data_format)
    rank = batch_rules.rank_of(ctx, 0)
    axis = _channel_axis(rank, data_format)
    for _ in range(axis):
        bias = expand_dims(bias, 1 if ctx.batched[1] else 0)
    for _ in range(rank - 1 - axis):
        bias = expand_dims(bias, -1)
    return value + bias


BiasAdd = Primitive(
    "BiasAdd",
    "value: T, bias: T",
    impl=_bias_add_impl,
    shape=_bias_add_shape,
    vjp=_bias_add_vjp,
    batch=_bias_add_batch,
    types={"T": NUMERIC},
    check_first=True,
)


def _bias_add_grad_impl(g: Any, *, data_format: str) -> Any:
    axis = _channel_axis(g.ndim, data_format)
    axes = tuple(i for i in range(g.ndim) if i != axis)
    if g.dtype.itemsize == 2 and g.dtype.kind not in "iu":
        return g.sum(axis=axes, dtype=np.float32).astype(g.dtype)
    if axis == g.ndim - 1 and g.flags.c_contiguous:
        return array_module(g).add.reduce(
            g.reshape((-1, g.shape[-1])) if g.size else g, 0 if g.size else axes, g.dtype
        )
    return g.sum(axis=axes, dtype=g.dtype)


def _bias_add_grad_shape(g: Any, *, data_format: str) -> TensorSpec:
    if g.shape.rank is None:
        return TensorSpec([None], g.dtype)
    return TensorSpec([g.shape[_channel_axis(g.shape.rank, data_format)]], g.dtype)


def _bias_add_grad_vjp(op: Any, gg: Any) -> Any:
    x = op.inputs[0]
    axis = _channel_axis(x.shape.rank, op.attrs["data_format"])
    return (spread(gg, x, tuple(i for i in range(x.shape.rank) if i != axis), False),)


def _bias_add_grad_batch(ctx: Any, g: Any, *, data_format: str) -> Any:
    rank = batch_rules.rank_of(ctx)
    axis = _channel_axis(rank, data_format)
    return reduce_sum(g, [i + 1 for i in range(rank) if i != axis])


BiasAddGrad = Primitive(
    "BiasAddGrad",
    "out_backprop: T",
    impl=_bias_add_grad_impl,
    shape=_bias_add_grad_shape,
    vjp=_bias_add_grad_vjp,
    batch=_bias_add_grad_batch,
)


# -- normalization ----------------------------------------------------------------------------


def moments(
    x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance over `axes`.

    Args:
        x: numbers; 16-bit floats are computed in float32.
        axes: axes to reduce.
        shift: ignored, as in TensorFlow.
        keepdims: keep the axes with size 1.
        name: ignored.
    """
    x = to_tensor(x, None)
    small = x.dtype in (dtypes.float16, dtypes.bfloat16)
    y = cast(x, dtypes.float32) if small else x
    mean = reduce_mean(y, axes, True)
    variance = reduce_mean(squared_difference(y, stop_gradient(mean)), axes, True)
    if not keepdims:
        mean, variance = squeeze(mean, axes), squeeze(variance, axes)
    return (cast(mean, x.dtype), cast(variance, x.dtype)) if small else (mean, variance)


def batch_normalization(
    x: Any,
    mean: Any,
    variance: Any,
    offset: Any,
    scale: Any,
    variance_epsilon: Any,
    name: str | None = None,
) -> Tensor:
    """scale * (x - mean) / sqrt(variance + variance_epsilon) + offset; `scale` and `offset` may
    be None."""
    x = to_tensor(x, None)
    inverse = rsqrt(variance + variance_epsilon)
    if scale is not None:
        inverse = inverse * scale
    rest = offset - mean * inverse if offset is not None else -mean * inverse
    return x * cast(inverse, x.dtype) + cast(rest, x.dtype)


def l2_normalize(
    x: Any, axis: Any = None, epsilon: float = 1e-12, name: str | None = None, dim: Any = None
) -> Tensor:
    """x / sqrt(max(sum(x * x), epsilon)) along `axis` (all axes if None)."""
    x = to_tensor(x, None)
    squares = reduce_sum(x * x, dim if axis is None else axis, True)
    return x * rsqrt(maximum(squares, epsilon))


def zero_fraction(value: Any, name: str | None = None) -> Tensor:
    """The fraction of elements that are 0, float32."""
    value = to_tensor(value, None)
    return reduce_mean(cast(value == 0, dtypes.float32))


# -- dropout ----------------------------------------------------------------------------------


def dropout(
    x: Any, rate: Any, noise_shape: Any = None, seed: int | None = None, name: str | None = None
) -> Tensor:
    """`x` with a random fraction `rate` of elements set to 0, the others divided by 1 - rate.

    Args:
        x: floats.
        rate: number or scalar tensor in [0, 1).
        noise_shape: shape of the random draw, which broadcasts to x's.
        seed: operation seed.
        name: ignored.

    Raises:
        ValueError: `rate` is out of range, or `x` no float.
    """
    return general_dropout(
        x, rate, functools.partial(random_uniform, seed=seed), noise_shape=noise_shape
    )


def general_dropout(
    x: Any,
    rate: Any,
    uniform_sampler: Callable[..., Any],
    noise_shape: Any = None,
    name: str | None = None,
) -> Tensor:
    """`dropout` with its random numbers from `uniform_sampler`, a function of ``shape`` and
    ``dtype`` that gives uniform numbers in [0, 1)."""
    x = to_tensor(x, None)
    if not x.dtype.is_floating:
        raise ValueError(
            "`x.dtype` must be a floating point tensor as `x` will "
            f"be scaled. Received x.dtype={x.dtype!r}."
        )
    if isinstance(rate, numbers.Real):
        if not 0 <= rate < 1:
            raise ValueError(
                "`rate` must be a scalar tensor or a float in the "
                f"range [0, 1). Received: rate={rate}"
            )
        if rate == 0:
            return identity(x)
        scale: Any = 1 / (1 - float(rate))
    else:
        rate = to_tensor(rate, None if hasattr(rate, "dtype") else x.dtype)
        if rate.shape.rank not in (0, None):
            raise ValueError(f"`rate` must be a scalar tensor. Received shape {rate.shape}")
        rate = cast(rate, x.dtype)
        scale = 1 / (1 - rate)
    draw = uniform_sampler(
        shape=shape(x) if noise_shape is None else _noise_shape(x, noise_shape),
        dtype=x.dtype,
    )
    return masked(x * scale, draw >= rate)


def stateless_dropout(
    x: Any,
    rate: Any,
    seed: Any,
    rng_alg: str | None = None,
    noise_shape: Any = None,
    name: str | None = None,
) -> Tensor:
    """`dropout` that depends on `seed` (two integers) alone.

    >>> stateless_dropout(to_tensor([1.0] * 4, None), 0.5, seed=[1, 0]).numpy()
    array([2., 0., 2., 0.], dtype=float32)
    """
    draw = functools.partial(stateless_uniform, seed=seed, alg=rng_alg or "auto_select")
    return general_dropout(x, rate, draw, noise_shape=noise_shape)


def _noise_shape(x: Tensor, noise_shape: Any) -> Any:
    if isinstance(noise_shape, Tensor):
        return noise_shape
    sizes = list(noise_shape)
    if None in sizes:
        sizes = [d if n is None else n for n, d in zip(sizes, x.shape.as_list(), strict=True)]
    return sizes


# -- top-k ------------------------------------------------------------------------------------


class TopKV2Result(NamedTuple):
    """The largest elements and where they stand."""

    values: Tensor
    indices: Tensor


def top_k(
    input: Any,
    k: Any = 1,
    sorted: bool = True,
    index_type: Any = dtypes.int32,
    name: str | None = None,
) -> TopKV2Result:
    """Values and indices of the `k` largest elements along the last axis, largest first; of
    equal ones the first comes first.

    Raises:
        InvalidArgumentError: there are fewer than `k`.
    """
    found = TopKV2(
        input, k=static_int(k, "TopKV2", "k"), index_type=dtypes.as_dtype(index_type)
    )
    return TopKV2Result(*found)


def _top_k_impl(x: Any, *, k: int, index_type: dtypes.DType) -> Any:
    xp, n = array_module(x), x.shape[-1]
    if k == 1 and n and x.dtype.kind != "V":
        order = xp.argmax(x, axis=-1)[..., None]
    else:
        # Sorting the reversed row, read backwards, keeps equal elements in order.
        order = n - 1 - xp.argsort(x[..., ::-1], axis=-1, kind="stable")[..., ::-1][..., :k]
    return xp.take_along_axis(x, order, axis=-1), order.astype(index_type.np_dtype)


def _top_k_shape(x: Any, *, k: int, index_type: dtypes.DType) -> Any:
    if k < 0:
        raise InvalidArgumentError(f"Need k >= 0, got {k} [Op:TopKV2]", op="TopKV2")
    if x.shape.rank == 0:
        raise InvalidArgumentError(
            "input must be >= 1-D, got shape [] [Op:TopKV2]", op="TopKV2"
        )
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype), TensorSpec(None, index_type)
    if x.shape[-1] is not None and x.shape[-1] < k:
        raise InvalidArgumentError(
            f"input must have at least k columns. Had {x.shape[-1]}, needed {k} [Op:TopKV2]",
            op="TopKV2",
        )
    out = x.shape[:-1].concatenate([k])
    return TensorSpec(out, x.dtype), TensorSpec(out, index_type)


def _top_k_vjp(op: Any, g: Any, _: Any) -> Any:
    return (_ScatterLast(g, op.outputs[1], op.inputs[0]),)


TopKV2 = Primitive(
    "TopKV2",
    "input: T",
    impl=_top_k_impl,
    shape=_top_k_shape,
    vjp=_top_k_vjp,
    batch=batch_rules.unary,
    check_first=True,
)


def _scatter_last_impl(g: Any, indices: Any, like: Any) -> Any:
    xp = array_module(g)
    out = xp.zeros(like.shape, g.dtype)
    xp.put_along_axis(out, indices.astype(np.int64), g, axis=-1)
    return out


def _scatter_last_vjp(op: Any, gg: Any) -> Any:
    return gather(gg, op.inputs[1], batch_dims=op.inputs[1].shape.rank - 1), None, None


_ScatterLast = Primitive(
    "_ScatterLast",
    "g: T, indices: Ti, like: T",
    impl=_scatter_last_impl,
    shape=lambda g, indices, like: TensorSpec(like.shape, g.dtype),
    vjp=_scatter_last_vjp,
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
)


def in_top_k(targets: Any, predictions: Any, k: Any, name: str | None = None) -> Tensor:
    """Whether fewer than `k` classes are predicted more strongly than the target: bool [batch].

    Args:
        targets: integers [batch]; those out of range are in no top k.
        predictions: float32 [batch, classes]; rows with a target that is not finite give False.
        k: how many.
        name: ignored.
    """
    return InTopKV2(predictions, targets, k=static_int(k, "InTopKV2", "k"))


def _in_top_k_impl(predictions: Any, targets: Any, *, k: int) -> Any:
    xp = array_module(predictions)
    classes = predictions.shape[-1]
    valid = (targets >= 0) & (targets < classes)
    safe = xp.where(valid, targets, 0)[..., None]
    own = xp.take_along_axis(predictions, safe, axis=-1)
    above = (predictions > own).sum(axis=-1)
    return (
        valid & xp.isfinite(own[..., 0]) & xp.isfinite(predictions).all(axis=-1) & (above < k)
    )


def _in_top_k_shape(predictions: Any, targets: Any, *, k: int) -> TensorSpec:
    if predictions.shape.rank not in (2, None) and targets.shape.rank in (1, None):
        raise InvalidArgumentError(
            f"predictions must be 2-dimensional, got shape {predictions.shape} [Op:InTopKV2]"
        )
    if predictions.shape.rank is not None and not targets.shape.is_compatible_with(
        predictions.shape[:-1]
    ):
        raise InvalidArgumentError(
            f"First dimension of predictions {predictions.shape} must "
            f"match length of targets {targets.shape} "
            f"[Op:InTopKV2]",
            op="InTopKV2",
        )
    return TensorSpec(targets.shape, dtypes.bool)


InTopKV2 = Primitive(
    "InTopKV2",
    "predictions: float32, targets: Ti",
    impl=_in_top_k_impl,
    shape=_in_top_k_shape,
    vjp=lambda op, g: (None, None),
    check_first=True,
    batch=lambda ctx, *xs, k: ctx.primitive(*batch_rules.all_batched(ctx, xs), k=k),
)


# -- embedding lookup -------------------------------------------------------------------------


def embedding_lookup(
    params: Any, ids: Any, max_norm: float | None = None, name: str | None = None
) -> Tensor:
    """The rows of `params` at `ids`: [*ids.shape, *params.shape[1:]]; the gradient for a
    variable is `IndexedSlices`.

    Args:
        params: tensor or variable [rows, ...], or a list of one.
        ids: integers.
        max_norm: rows longer than this are scaled down to it.
        name: ignored.
    """
    if isinstance(params, (list, tuple)):
        if len(params) != 1:
            raise ValueError(
                "embedding_lookup takes one table; partitioned ones "
                f"are not supported, got {len(params)}"
            )
        params = params[0]
    rows = gather(params, ids)
    if max_norm is None:
        return rows
    axes = list(range(to_tensor(ids, None).shape.rank, rows.shape.rank))
    squares = reduce_sum(rows * rows, axes, True)
    return rows * (max_norm / maximum(sqrt(squares), to_tensor(max_norm, rows.dtype)))
