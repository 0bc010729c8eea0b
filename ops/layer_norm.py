"""Rows scaled to mean 0 and variance 1: what layer normalization does to the last axis.

The gradient reads the normalized rows and one factor per row, and nothing else that a graph
would have to keep.  By the rules of the smaller operations it would read a dozen arrays.

Source: Ba et al., "Layer normalization" (2016).
"""

from __future__ import annotations

from typing import Any

from . import batch_rules
from .array_module import array_module
from .primitive import Primitive
from .reductions import reduce_mean, reduce_sum
from .shape_rules import FLOATS, same
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["normalized_rows"]


def normalized_rows(x: Any, epsilon: float) -> Tensor:
    """``(x - mean) / sqrt(variance + epsilon)``, both taken over the last axis.

    Args:
        x: floats of rank 1 or more.
        epsilon: added to the variance.
    """
    return _LayerNorm(x, epsilon=float(epsilon))


def _centred(x: Any) -> tuple[Any, Any]:
    """Distances from the rows' means, and their mean squares."""
    c = x - x.mean(-1, keepdims=True, dtype=x.dtype)
    return c, (c * c).mean(-1, keepdims=True, dtype=x.dtype)


def _impl(x: Any, *, epsilon: float) -> Any:
    c, variance = _centred(x)
    c *= _factor(variance, epsilon)
    return c


def _factor(variance: Any, epsilon: float) -> Any:
    t = variance.dtype.type
    return t(1) / array_module(variance).sqrt(variance + t(epsilon))


def _grad_impl(g: Any, h: Any, factor: Any) -> Any:
    out = h * -(g * h).mean(-1, keepdims=True, dtype=g.dtype)
    out += g
    out -= g.mean(-1, keepdims=True, dtype=g.dtype)
    out *= factor
    return out


def _vjp(op: Any, g: Any) -> Any:
    return (_LayerNormGrad(g, op.outputs[0], _RowFactor(op.inputs[0], **op.attrs)),)


def _factor_shape(x: Any, *, epsilon: float) -> TensorSpec:
    dims = x.shape.dims
    return TensorSpec(None if dims is None else (*dims[:-1], 1), x.dtype)


def _factor_vjp(op: Any, g: Any) -> Any:
    (x,), factor = op.inputs, op.outputs[0]
    # The variance is the mean of squared distances, 1 / factor times the normalized rows each.
    spread = g * factor * factor * _LayerNorm(x, **op.attrs)
    return (-spread / reduce_sum(x * 0 + 1, -1, True),)


def _grad_vjp(op: Any, u: Any) -> Any:
    g, h, factor = op.inputs
    along = reduce_mean(g * h, -1, True)
    of_u = reduce_mean(u * h, -1, True)
    return (
        _LayerNormGrad(u, h, factor),
        -factor * (u * along + g * of_u),
        reduce_sum(u * (g - reduce_mean(g, -1, True) - h * along), -1, True),
    )


_LayerNorm = Primitive(
    "_LayerNorm",
    "x: T",
    impl=_impl,
    shape=same,
    vjp=_vjp,
    batch=batch_rules.unary,
    types={"T": FLOATS},
)
_RowFactor = Primitive(
    "_RowFactor",
    "x: T",
    impl=lambda x, *, epsilon: _factor(_centred(x)[1], epsilon),
    shape=_factor_shape,
    vjp=_factor_vjp,
    batch=batch_rules.unary,
    types={"T": FLOATS},
)
_LayerNormGrad = Primitive(
    "_LayerNormGrad",
    "g: T, normalized: T, factor: T",
    impl=_grad_impl,
    shape=same,
    vjp=_grad_vjp,
    batch=batch_rules.same_shaped,
    types={"T": FLOATS},
)
