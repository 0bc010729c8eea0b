"""Activation functions: the relu family, softplus and its relatives, softmax along an axis.

Forward and backward are primitives of their own, written with as few passes over the array as
NumPy allows; every pass after the first works in place on an array made here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import batch_rules, dtypes
from .array_basics import cast
from .array_join import concat
from .array_module import array_module
from .binary_primitives import Masked
from .convert import to_tensor
from .elementwise import abs as magnitude, sigmoid, sign, unary_call
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS, same
from .tensor import Tensor

__all__ = [
    "crelu", "elu", "leaky_relu", "log_sigmoid", "relu", "relu6", "selu", "softplus",
    "softsign",
]  # fmt: skip

_ORDERED = FLOATS + INTEGERS


def _activation(
    name: str, impl: Callable[..., Any], expression: str, vjp: Any, types: Any = FLOATS
) -> Primitive:
    return Primitive(
        name,
        "features: T",
        impl=impl,
        shape=same,
        vjp=vjp,
        batch=batch_rules.unary,
        types={"T": types},
        elementwise=expression,
    )


def _activation_grad(
    name: str, impl: Callable[..., Any], expression: str, vjp: Any
) -> Primitive:
    return Primitive(
        name,
        "gradients: T, features: T",
        impl=impl,
        shape=same,
        vjp=vjp,
        batch=batch_rules.same_shaped,
        elementwise=expression,
    )


# -- relu and relatives -----------------------------------------------------------------------


def relu(features: Any, name: str | None = None) -> Tensor:
    """max(x, 0) elementwise.

    >>> relu([-1.0, 2.0]).numpy()
    array([0., 2.], dtype=float32)
    """
    return unary_call(Relu, features)


_INF = float("inf")


def positive_part(x: Any) -> Any:
    """max(x, 0), NaN of NaN, as a new array; `clip` is several times faster than NumPy's
    maximum of an array and a scalar."""
    if x.dtype.kind == "f":
        return x.clip(x.dtype.type(0), x.dtype.type(_INF))
    return array_module(x).maximum(x, x.dtype.type(0))


def negative_part(x: Any) -> Any:
    """min(x, 0), NaN of NaN, as a new array."""
    if x.dtype.kind == "f":
        return x.clip(x.dtype.type(-_INF), x.dtype.type(0))
    return array_module(x).minimum(x, x.dtype.type(0))


Relu = _activation(
    "Relu", positive_part, "max(a, 0)", lambda op, g: (ReluGrad(g, op.outputs[0]),), _ORDERED
)


def _relu_grad_impl(g: Any, x: Any) -> Any:
    # A product and not a choice, as in TensorFlow: it is NaN where the gradient is infinite.
    # (A choice by random bits also costs ten times as much: the processor cannot foresee it.)
    out = (x > 0).astype(g.dtype)
    out *= g
    return out


ReluGrad = _activation_grad(
    "ReluGrad",
    _relu_grad_impl,
    "where(b > 0, 1, 0) * a",
    lambda op, gg: (ReluGrad(gg, op.inputs[1]), None),
)


def relu6(features: Any, name: str | None = None) -> Tensor:
    """min(max(x, 0), 6) elementwise."""
    return unary_call(Relu6, features)


def _relu6_impl(x: Any) -> Any:
    if x.dtype.kind == "f":
        return x.clip(x.dtype.type(0), x.dtype.type(6))
    return array_module(x).minimum(positive_part(x), x.dtype.type(6))


Relu6 = _activation(
    "Relu6",
    _relu6_impl,
    "min(max(a, 0), 6)",
    lambda op, g: (Relu6Grad(g, op.outputs[0]),),
    _ORDERED,
)


def _relu6_grad_impl(g: Any, x: Any) -> Any:
    out = ((x > 0) & (x < 6)).astype(g.dtype)
    out *= g
    return out


Relu6Grad = _activation_grad(
    "Relu6Grad",
    _relu6_grad_impl,
    "where(b > 0, where(b < 6, 1, 0), 0) * a",
    lambda op, gg: (Relu6Grad(gg, op.inputs[1]), None),
)


def leaky_relu(features: Any, alpha: float = 0.2, name: str | None = None) -> Tensor:
    """x where x > 0, else alpha * x."""
    x = to_tensor(features, None)
    if x.dtype.is_integer:
        x = cast(x, dtypes.float32)
    return LeakyRelu(x, alpha=float(alpha))


def _leaky_relu_impl(x: Any, *, alpha: float) -> Any:
    xp = array_module(x)
    scaled = x * x.dtype.type(alpha)
    return xp.maximum(x, scaled) if 0 <= alpha <= 1 else xp.where(x > 0, x, scaled)


LeakyRelu = _activation(
    "LeakyRelu",
    _leaky_relu_impl,
    "where(a > 0, a, alpha * a)",
    lambda op, g: (LeakyReluGrad(g, op.inputs[0], **op.attrs),),
)


def _leaky_relu_grad_impl(g: Any, x: Any, *, alpha: float) -> Any:
    if not 0 <= alpha <= 1:
        return array_module(x).where(x > 0, g, g * g.dtype.type(alpha))
    slope = array_module(x).asarray((x > 0).astype(g.dtype))
    array_module(x).maximum(slope, g.dtype.type(alpha), out=slope)
    slope *= g
    return slope


LeakyReluGrad = _activation_grad(
    "LeakyReluGrad",
    _leaky_relu_grad_impl,
    "where(b > 0, a, alpha * a)",
    lambda op, gg: (LeakyReluGrad(gg, op.inputs[1], **op.attrs), None),
)


def elu(features: Any, name: str | None = None) -> Tensor:
    """x where x > 0, else exp(x) - 1.

    Source: Clevert et al., "Fast and accurate deep network learning by exponential linear
    units" (2015).
    """
    return unary_call(Elu, features)


def _elu_impl(x: Any) -> Any:
    return array_module(x).expm1(negative_part(x)) + positive_part(x)


def _elu_grad_impl(g: Any, y: Any) -> Any:
    return (negative_part(y) + y.dtype.type(1)) * g


def _elu_grad_vjp(op: Any, gg: Any) -> Any:
    g, y = op.inputs  # y is the output of Elu; the rule is y < 0 ? (y + 1) * g : g
    return EluGrad(gg, y), _where_negative(y, gg * g)


def _where_negative(y: Any, value: Any) -> Any:
    return Masked(value, y < 0)


Elu = _activation(
    "Elu", _elu_impl, "expm1(min(a, 0)) + max(a, 0)", lambda op, g: (EluGrad(g, op.outputs[0]),)
)
EluGrad = _activation_grad(
    "EluGrad",
    _elu_grad_impl,
    "(min(b, 0) + 1) * a",
    _elu_grad_vjp,
)

_SCALE = 1.0507009873554804934193349852946
_SCALE_ALPHA = 1.7580993408473768599402175208123


def selu(features: Any, name: str | None = None) -> Tensor:
    """scale * x where x > 0, else scale * alpha * (exp(x) - 1), with the constants that keep
    mean 0 and variance 1.

    Source: Klambauer et al., "Self-normalizing neural networks" (2017).
    """
    return unary_call(Selu, features)


def _selu_impl(x: Any) -> Any:
    t = x.dtype.type
    return array_module(x).expm1(negative_part(x)) * t(_SCALE_ALPHA) + positive_part(x) * t(
        _SCALE
    )


def _selu_grad_impl(g: Any, y: Any) -> Any:
    t = y.dtype.type
    return array_module(y).where(y < 0, g * (y + t(_SCALE_ALPHA)), g * t(_SCALE))


def _selu_grad_vjp(op: Any, gg: Any) -> Any:
    g, y = op.inputs
    return SeluGrad(gg, y), _where_negative(y, gg * g)


Selu = _activation(
    "Selu",
    _selu_impl,
    f"{_SCALE_ALPHA} * expm1(min(a, 0)) + {_SCALE} * max(a, 0)",
    lambda op, g: (SeluGrad(g, op.outputs[0]),),
)
SeluGrad = _activation_grad(
    "SeluGrad",
    _selu_grad_impl,
    f"where(b < 0, a * (b + {_SCALE_ALPHA}), a * {_SCALE})",
    _selu_grad_vjp,
)


def crelu(features: Any, axis: int = -1, name: str | None = None) -> Tensor:
    """relu of x and of -x, joined along `axis`."""
    x = to_tensor(features, None)
    return relu(concat([x, -x], axis))


# -- softplus, softsign -----------------------------------------------------------------------


def softplus(features: Any, name: str | None = None) -> Tensor:
    """log(1 + exp(x)) elementwise, without overflow."""
    return unary_call(Softplus, features)


def _softplus_impl(x: Any) -> Any:
    xp = array_module(x)
    y = xp.empty_like(x)
    xp.absolute(x, out=y)
    xp.negative(y, out=y)
    xp.exp(y, out=y)
    xp.log1p(y, out=y)
    y += positive_part(x)
    return y


def _softplus_grad_impl(g: Any, x: Any) -> Any:
    xp = array_module(x)
    y = xp.empty_like(x)
    xp.negative(x, out=y)
    xp.exp(y, out=y)
    y += y.dtype.type(1)
    return xp.divide(g, y, out=y)


def _softplus_grad_vjp(op: Any, gg: Any) -> Any:
    g, x = op.inputs
    s = sigmoid(x)
    return SoftplusGrad(gg, x), gg * g * s * (1 - s)


Softplus = _activation(
    "Softplus",
    _softplus_impl,
    "log1p(exp(-abs(a))) + max(a, 0)",
    lambda op, g: (SoftplusGrad(g, op.inputs[0]),),
)
SoftplusGrad = _activation_grad(
    "SoftplusGrad", _softplus_grad_impl, "a / (1 + exp(-b))", _softplus_grad_vjp
)


def log_sigmoid(x: Any, name: str | None = None) -> Tensor:
    """log(sigmoid(x)) elementwise, without overflow."""
    return -softplus(-to_tensor(x, None))


def softsign(features: Any, name: str | None = None) -> Tensor:
    """x / (1 + |x|) elementwise."""
    return unary_call(Softsign, features)


def _softsign_grad_vjp(op: Any, gg: Any) -> Any:
    g, x = op.inputs
    bottom = 1 + magnitude(x)
    return SoftsignGrad(gg, x), gg * g * sign(x) * -2 / (bottom * bottom * bottom)


def _softsign_grad_impl(g: Any, x: Any) -> Any:
    bottom = abs(x) + x.dtype.type(1)
    return g / (bottom * bottom)


Softsign = _activation(
    "Softsign",
    lambda x: x / (abs(x) + x.dtype.type(1)),
    "a / (abs(a) + 1)",
    lambda op, g: (SoftsignGrad(g, op.inputs[0]),),
)
SoftsignGrad = _activation_grad(
    "SoftsignGrad", _softsign_grad_impl, "a / ((abs(b) + 1) * (abs(b) + 1))", _softsign_grad_vjp
)
