"""Moments by parts and with weights, and the batch normalization of the first TensorFlow."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, shape as shape_of, zeros_like
from .array_gather import gather
from .array_shape import squeeze
from .convert import to_tensor
from .elementwise import reciprocal
from .math_ops import squared_difference
from .nn_ops import batch_normalization
from .reductions import reduce_prod, reduce_sum
from .tensor import Tensor

__all__ = [
    "batch_norm_with_global_normalization", "normalize_moments", "sufficient_statistics",
    "weighted_moments",
]  # fmt: skip


def sufficient_statistics(
    x: Any, axes: Any, shift: Any = None, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """What mean and variance over `axes` are made of.

    Args:
        x: numbers.
        axes: the axes to reduce.
        shift: a value near the mean, for precision.
        keepdims: keep the axes with size 1.
        name: ignored.

    Returns:
        The number of elements (a scalar), the sum, the sum of squares (both of ``x - shift``),
        and `shift` as a tensor or None: what `normalize_moments` takes.
    """
    x = to_tensor(x, None)
    axes = sorted({int(a) for a in np.atleast_1d(np.asarray(axes))})
    sizes = None if x.shape.rank is None else [x.shape[a] for a in axes]
    if sizes is not None and None not in sizes:
        counts = to_tensor(int(np.prod(sizes)), x.dtype)
    else:
        counts = cast(reduce_prod(gather(shape_of(x), axes)), x.dtype)
    if shift is None:
        first, second = x, x * x
    else:
        shift = to_tensor(shift, x.dtype)
        first, second = x - shift, squared_difference(x, shift)
    sums = [reduce_sum(v, axes, keepdims) for v in (first, second)]
    return counts, sums[0], sums[1], shift


def normalize_moments(
    counts: Any, mean_ss: Any, variance_ss: Any, shift: Any, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance from the results of `sufficient_statistics`.

    >>> x = to_tensor([1.0, 3.0], None)
    >>> [float(v) for v in normalize_moments(*sufficient_statistics(x, [0]))]
    [2.0, 1.0]
    """
    divisor = reciprocal(counts)
    shifted = mean_ss * divisor
    mean = shifted if shift is None else shifted + shift
    return mean, variance_ss * divisor - shifted * shifted


def weighted_moments(
    x: Any, axes: Any, frequency_weights: Any, keepdims: bool = False, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Mean and variance of `x` over `axes`, each element counted `frequency_weights` times.

    Args:
        x: floats.
        axes: the axes to reduce.
        frequency_weights: not negative; broadcast to `x`.
        keepdims: keep the axes with size 1.
        name: ignored.
    """
    x = to_tensor(x, None)
    half = x.dtype is dtypes.float16
    values = cast(x, dtypes.float32) if half else x
    weights = cast(to_tensor(frequency_weights, None), values.dtype)
    total = reduce_sum(weights + zeros_like(values), axes, True)
    divisor = reciprocal(total)
    mean = reduce_sum(weights * values, axes, True) * divisor
    variance = reduce_sum(weights * squared_difference(values, mean), axes, True) * divisor
    if not keepdims:
        dropped = [int(a) for a in np.atleast_1d(np.asarray(axes))]
        mean, variance = squeeze(mean, dropped), squeeze(variance, dropped)
    return (cast(mean, x.dtype), cast(variance, x.dtype)) if half else (mean, variance)


def batch_norm_with_global_normalization(
    input: Any,
    mean: Any,
    variance: Any,
    beta: Any,
    gamma: Any,
    variance_epsilon: Any,
    scale_after_normalization: bool,
    name: str | None = None,
) -> Tensor:
    """`batch_normalization` with the scale `gamma` only where `scale_after_normalization`."""
    scale = gamma if scale_after_normalization else None
    return batch_normalization(input, mean, variance, beta, scale, variance_epsilon)
