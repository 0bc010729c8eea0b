"""Primitives that update a variable and its slots in one pass, in place where nobody else holds
the arrays (`Variable.owned`).

Names and arithmetic are TensorFlow's raw ops (``ResourceApplyAdam`` ...).  The variables are
the attribute ``variables``, first the one being trained, then its slots.  The result is a
scalar that says only that the update has been made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.array_module import array_module
from ...ops.errors import InvalidArgumentError
from ...ops.primitive import Primitive
from ...ops.row_updates import update_rows
from ...ops.tensor_spec import TensorSpec
from .updates import update

__all__ = [
    "ResourceApplyAdam",
    "ResourceApplyAdamWithAmsgrad",
    "ResourceApplyGradientDescent",
    "ResourceApplyKerasMomentum",
    "ResourceSparseApplyAdagradV2",
    "ResourceSparseApplyGradientDescent",
]

DONE = np.zeros((), np.bool_)


def dense_shape(*tensors: Any, variables: Any, **attrs: Any) -> TensorSpec:
    """The gradient, the last input, must have the variable's shape."""
    grad = tensors[-1]
    if not variables[0].shape.is_compatible_with(grad.shape):
        raise InvalidArgumentError(
            f"gradient of variable '{variables[0].name}' must have its shape "
            f"{variables[0].shape}, got {grad.shape}"
        )
    return TensorSpec([], dtypes.bool)


def _sgd_impl(alpha: Any, delta: Any, *, variables: Any) -> Any:
    var = variables[0].owned()
    if not update("sgd", (var, delta), alpha):
        var -= alpha * delta
    return DONE


ResourceApplyGradientDescent = Primitive(
    "ResourceApplyGradientDescent",
    "alpha: T, delta: T",
    impl=_sgd_impl,
    shape=dense_shape,
    stateful=True,
    check_first=True,
)


def _momentum_impl(
    lr: Any, momentum: Any, grad: Any, *, variables: Any, use_nesterov: bool
) -> Any:
    var, accum = [v.owned() for v in variables]
    if update("nesterov" if use_nesterov else "momentum", (var, accum, grad), lr, momentum):
        return DONE
    step = lr * grad
    accum *= momentum
    accum -= step
    var += accum * momentum - step if use_nesterov else accum
    return DONE


ResourceApplyKerasMomentum = Primitive(
    "ResourceApplyKerasMomentum",
    "lr: T, momentum: T, grad: T",
    impl=_momentum_impl,
    shape=dense_shape,
    stateful=True,
    check_first=True,
)


def _adam_impl(
    beta1_power: Any,
    beta2_power: Any,
    lr: Any,
    grad: Any,
    *,
    variables: Any,
    beta1: float,
    beta2: float,
    epsilon: float,
) -> Any:
    var, m, v, *rest = [x.owned() for x in variables]
    kind = var.dtype.type
    rest_1, rest_2, eps = kind(1 - beta1), kind(1 - beta2), kind(epsilon)
    xp = array_module(grad)
    if xp is np:
        # Python's floats: arithmetic on arrays without axes costs as much as a small update.
        alpha = kind(float(lr) * math.sqrt(1 - float(beta2_power)) / (1 - float(beta1_power)))
        name = "amsgrad" if rest else "adam"
        if update(name, (var, m, v, *rest, grad), alpha, rest_1, rest_2, eps):
            return DONE
    else:
        one = kind(1)
        alpha = lr * xp.sqrt(one - beta2_power) / (one - beta1_power)
    m += (grad - m) * rest_1
    v += (grad * grad - v) * rest_2
    if rest:
        xp.maximum(rest[0], v, out=rest[0])
    step = xp.asarray(xp.sqrt(rest[0] if rest else v))  # of a scalar, sqrt makes no array
    step += eps
    xp.divide(m * alpha, step, out=step)
    var -= step
    return DONE


ResourceApplyAdam = Primitive(
    "ResourceApplyAdam",
    "beta1_power: T, beta2_power: T, lr: T, grad: T",
    impl=_adam_impl,
    shape=dense_shape,
    stateful=True,
    check_first=True,
)
ResourceApplyAdamWithAmsgrad = Primitive(
    "ResourceApplyAdamWithAmsgrad",
    "beta1_power: T, beta2_power: T, lr: T, grad: T",
    impl=_adam_impl,
    shape=dense_shape,
    stateful=True,
    check_first=True,
)


def _rows_shape(*tensors: Any, variables: Any, **attrs: Any) -> TensorSpec:
    """The last two inputs are rows of the variable and their numbers."""
    values = tensors[-2]
    rows = variables[0].shape[1:]
    if not values.shape[1:].is_compatible_with(rows):
        raise InvalidArgumentError(
            f"sparse gradient of variable '{variables[0].name}' must have rows of shape "
            f"{rows}, got {values.shape}"
        )
    return TensorSpec([], dtypes.bool)


def merge_rows(values: Any, indices: Any, variable: Any) -> tuple[Any, Any]:
    """``(rows, indices)`` with the rows of equal indices added up; indices are sorted.

    Raises:
        InvalidArgumentError: an index is not one of a row of `variable`.
    """
    xp = array_module(values)
    if indices.size == 0:
        return values, indices
    order = xp.argsort(indices, kind="stable")
    ordered = indices[order]
    low, high, count = int(ordered[0]), int(ordered[-1]), variable.shape[0]
    if low < 0 or high >= count:
        raise InvalidArgumentError(
            f"indices of the sparse gradient of variable '{variable.name}' must be in "
            f"[0, {count}), got {low if low < 0 else high}"
        )
    starts = xp.flatnonzero(xp.concatenate([xp.ones(1, bool), ordered[1:] != ordered[:-1]]))
    if starts.size == indices.size:
        return values[order], ordered
    if xp is np:
        return np.add.reduceat(values[order], starts, axis=0), ordered[starts]
    rows = xp.zeros((starts.size, *values.shape[1:]), values.dtype)
    xp.add.at(rows, xp.searchsorted(ordered[starts], indices), values)
    return rows, ordered[starts]


def _sparse_sgd_impl(alpha: Any, values: Any, indices: Any, *, variables: Any) -> Any:
    var = variables[0].owned()
    if update_rows("sgd", (var,), values, indices, alpha):
        return DONE
    rows, where = merge_rows(values, indices, variables[0])
    var[where] -= alpha * rows
    return DONE


ResourceSparseApplyGradientDescent = Primitive(
    "ResourceSparseApplyGradientDescent",
    "alpha: T, values: T, indices: Tindices",
    impl=_sparse_sgd_impl,
    shape=_rows_shape,
    stateful=True,
    check_first=True,
)


def _sparse_adagrad_impl(
    lr: Any, values: Any, indices: Any, *, variables: Any, epsilon: float
) -> Any:
    var, accum = [v.owned() for v in variables]
    if update_rows("adagrad", (var, accum), values, indices, lr, epsilon):
        return DONE
    xp = array_module(values)
    rows, where = merge_rows(values, indices, variables[0])
    grown = accum[where] + rows * rows
    accum[where] = grown
    var[where] -= lr * rows / xp.sqrt(grown + var.dtype.type(epsilon))
    return DONE


ResourceSparseApplyAdagradV2 = Primitive(
    "ResourceSparseApplyAdagradV2",
    "lr: T, values: T, indices: Tindices",
    impl=_sparse_adagrad_impl,
    shape=_rows_shape,
    stateful=True,
    check_first=True,
)
