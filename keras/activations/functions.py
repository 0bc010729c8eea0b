"""Activation functions: tensor in, tensor of the same shape out."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .logits import remember_logits

__all__ = [
    "celu",
    "elu",
    "exponential",
    "gelu",
    "glu",
    "hard_shrink",
    "hard_sigmoid",
    "hard_silu",
    "hard_tanh",
    "leaky_relu",
    "linear",
    "log_sigmoid",
    "log_softmax",
    "mish",
    "relu",
    "relu6",
    "selu",
    "sigmoid",
    "silu",
    "soft_shrink",
    "softmax",
    "softplus",
    "softsign",
    "sparse_plus",
    "sparse_sigmoid",
    "sparsemax",
    "squareplus",
    "tanh",
    "tanh_shrink",
    "threshold",
]


def relu(
    x: Any, negative_slope: float = 0.0, max_value: float | None = None, threshold: float = 0.0
) -> Any:
    """``max(x, 0)``; with arguments: ``max_value`` above it, ``x`` from `threshold` on, and
    ``negative_slope * (x - threshold)`` below.

    >>> relu([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    """
    x = hr.convert_to_tensor(x)
    if negative_slope == 0.0 and threshold == 0.0:
        if max_value is None:
            return hr.relu(x)
        if max_value == 6:
            return hr.relu6(x)
        return _between(x, max_value)
    if threshold == 0.0:
        if max_value is None:
            return hr.leaky_relu(x, alpha=negative_slope)
        positive = hr.relu(x)
    else:
        positive = hr.where(x > hr.cast(threshold, x.dtype), x, hr.zeros_like(x))
    if max_value is not None:
        positive = _between(positive, max_value)
    if negative_slope == 0.0:
        return positive
    return positive - negative_slope * hr.relu(threshold - x)


def _between(x: Any, max_value: float) -> Any:
    return hr.clip_by_value(x, hr.cast(0.0, x.dtype), hr.cast(max_value, x.dtype))


def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """`x` where positive, ``negative_slope * x`` elsewhere."""
    return hr.leaky_relu(hr.convert_to_tensor(x), alpha=negative_slope)


def relu6(x: Any) -> Any:
    """`x` cut to ``[0, 6]``."""
    return hr.relu6(hr.convert_to_tensor(x))


def softmax(x: Any, axis: Any = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along `axis` (an int, or several)."""
    x = hr.convert_to_tensor(x)
    if isinstance(axis, list | tuple):
        if len(axis) == 1:
            axis = axis[0]
        else:
            peak = hr.stop_gradient(hr.reduce_max(x, axis=axis, keepdims=True))
            e = hr.exp(x - peak)
            return e / hr.reduce_sum(e, axis=axis, keepdims=True)
    out = hr.softmax(x, axis=axis)
    return remember_logits(out, x, "softmax") if axis in (-1, len(x.shape) - 1) else out


def log_softmax(x: Any, axis: int = -1) -> Any:
    """``log(softmax(x))`` along `axis`, without its loss of digits."""
    return hr.log_softmax(hr.convert_to_tensor(x), axis=axis)


def sigmoid(x: Any) -> Any:
    """``1 / (1 + exp(-x))``."""
    x = hr.convert_to_tensor(x)
    return remember_logits(hr.sigmoid(x), x, "sigmoid")


def tanh(x: Any) -> Any:
    """Hyperbolic tangent."""
    return hr.tanh(hr.convert_to_tensor(x))


def linear(x: Any) -> Any:
    """`x` itself."""
    return x


def elu(x: Any, alpha: float = 1.0) -> Any:
    """`x` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    x = hr.convert_to_tensor(x)
    out = hr.elu(x)
    return out if alpha == 1 else hr.where(x > 0, out, alpha * out)


def celu(x: Any, alpha: float = 1.0) -> Any:
    """``max(x, 0) + min(0, alpha * (exp(x / alpha) - 1))``."""
    x = hr.convert_to_tensor(x)
    return hr.relu(x) + alpha * hr.expm1(hr.minimum(x, hr.zeros_like(x)) / alpha)


def selu(x: Any) -> Any:
    """ELU scaled so that layers keep mean 0 and variance 1 (Klambauer et al. 2017)."""
    return hr.selu(hr.convert_to_tensor(x))


def gelu(x: Any, approximate: bool = False) -> Any:
    """``x * P(X <= x)`` for a unit normal X; `approximate` uses tanh (Hendrycks & Gimpel)."""
    return hr.gelu(hr.convert_to_tensor(x), approximate=approximate)


def silu(x: Any) -> Any:
    """``x * sigmoid(x)``, also called swish."""
    x = hr.convert_to_tensor(x)
    return x * hr.sigmoid(x)


def softplus(x: Any) -> Any:
    """``log(1 + exp(x))``."""
    return hr.softplus(hr.convert_to_tensor(x))


def softsign(x: Any) -> Any:
    """``x / (1 + |x|)``."""
    x = hr.convert_to_tensor(x)
    return x / (1.0 + hr.abs(x))


def exponential(x: Any) -> Any:
    """``exp(x)``."""
    return hr.exp(hr.convert_to_tensor(x))


def mish(x: Any) -> Any:
    """``x * tanh(softplus(x))`` (Misra 2019)."""
    x = hr.convert_to_tensor(x)
    return x * hr.tanh(hr.softplus(x))


def hard_sigmoid(x: Any) -> Any:
    """``relu6(x + 3) / 6``: straight lines in place of the sigmoid."""
    return hr.relu6(hr.convert_to_tensor(x) + 3.0) / 6.0


def hard_silu(x: Any) -> Any:
    """``x * hard_sigmoid(x)``, also called hard swish."""
    x = hr.convert_to_tensor(x)
    return x * hard_sigmoid(x)


def hard_tanh(x: Any) -> Any:
    """`x` cut to ``[-1, 1]``."""
    return hr.clip_by_value(hr.convert_to_tensor(x), -1.0, 1.0)


def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` where ``|x| > threshold``, else 0."""
    x = hr.convert_to_tensor(x)
    return hr.where(hr.abs(x) > threshold, x, hr.zeros_like(x))


def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """`x` moved towards 0 by `threshold`, 0 where it would cross."""
    x = hr.convert_to_tensor(x)
    return hr.relu(x - threshold) - hr.relu(-x - threshold)


def tanh_shrink(x: Any) -> Any:
    """``x - tanh(x)``."""
    x = hr.convert_to_tensor(x)
    return x - hr.tanh(x)


def log_sigmoid(x: Any) -> Any:
    """``log(sigmoid(x))``."""
    return -hr.softplus(-hr.convert_to_tensor(x))


def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x` where above `threshold`, else `default_value`."""
    x = hr.convert_to_tensor(x)
    return hr.where(x > threshold, x, hr.cast(default_value, x.dtype))


def glu(x: Any, axis: int = -1) -> Any:
    """First half of `x` along `axis`, times the sigmoid of the second."""
    first, second = hr.split(hr.convert_to_tensor(x), 2, axis=axis)
    return first * hr.sigmoid(second)


def squareplus(x: Any, b: float = 4) -> Any:
    """``(x + sqrt(x ** 2 + b)) / 2``."""
    x = hr.convert_to_tensor(x)
    return (x + hr.sqrt(hr.square(x) + float(b))) / 2.0


def sparse_plus(x: Any) -> Any:
    """0 up to -1, ``(x + 1) ** 2 / 4`` up to 1, then `x`."""
    x = hr.convert_to_tensor(x)
    middle = hr.square(x + 1.0) / 4.0
    return hr.where(x <= -1.0, hr.zeros_like(x), hr.where(x < 1.0, middle, x))


def sparse_sigmoid(x: Any) -> Any:
    """0 up to -1, ``(x + 1) / 2`` up to 1, then 1."""
    return hr.clip_by_value((hr.convert_to_tensor(x) + 1.0) / 2.0, 0.0, 1.0)


def sparsemax(x: Any, axis: int = -1) -> Any:
    """Projection onto the simplex: a softmax with exact zeros (Martins & Astudillo 2016)."""
    x = hr.convert_to_tensor(x)
    rank = len(x.shape)
    last = axis % rank == rank - 1
    order = [i for i in range(rank) if i != axis % rank] + [axis % rank]
    z = x if last else hr.transpose(x, order)
    down = hr.sort(z, axis=-1, direction="DESCENDING")
    k = hr.cast(hr.range(1, hr.shape(z)[-1] + 1), x.dtype)
    sums = hr.cumsum(down, axis=-1)
    inside = 1.0 + k * down > sums
    size = hr.reduce_sum(hr.cast(inside, x.dtype), axis=-1, keepdims=True)
    total = hr.reduce_sum(hr.where(inside, down, hr.zeros_like(down)), axis=-1, keepdims=True)
    out = hr.relu(z - (total - 1.0) / size)
    return out if last else hr.transpose(out, [order.index(i) for i in range(rank)])
