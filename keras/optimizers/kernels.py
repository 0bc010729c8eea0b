"""Loops of the fused updates, one pass over all arrays, compiled by `compiled`.

Plain Python: this module does not import numba.  Everything is float32 and contiguous, scalars
included, so that no operation widens to float64 and the loops vectorise.
"""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["kernel"]


def sgd(var, grad, lr):  # type: ignore[no-untyped-def]
    """``var -= lr * grad``."""
    for i in range(var.size):
        var[i] -= lr * grad[i]


def momentum(var, accum, grad, lr, mu, nesterov):  # type: ignore[no-untyped-def]
    """``accum = mu * accum - lr * grad``, ``var += accum`` (looking ahead for Nesterov)."""
    if nesterov:
        for i in range(var.size):
            step = lr * grad[i]
            a = accum[i] * mu - step
            accum[i] = a
            var[i] += a * mu - step
    else:
        for i in range(var.size):
            a = accum[i] * mu - lr * grad[i]
            accum[i] = a
            var[i] += a


def adam(var, m, v, grad, alpha, rest_1, rest_2, epsilon):  # type: ignore[no-untyped-def]
    """Adam with ``alpha`` the corrected rate and ``rest_k = 1 - beta_k``."""
    for i in range(var.size):
        g = grad[i]
        a = m[i] + (g - m[i]) * rest_1
        b = v[i] + (g * g - v[i]) * rest_2
        m[i] = a
        v[i] = b
        var[i] -= a * alpha / (np.sqrt(b) + epsilon)


def amsgrad(var, m, v, vhat, grad, alpha, rest_1, rest_2, epsilon):  # type: ignore[no-untyped-def]
    """Adam that divides by the largest second moment so far."""
    for i in range(var.size):
        g = grad[i]
        a = m[i] + (g - m[i]) * rest_1
        b = v[i] + (g * g - v[i]) * rest_2
        m[i] = a
        v[i] = b
        top = max(vhat[i], b)
        vhat[i] = top
        var[i] -= a * alpha / (np.sqrt(top) + epsilon)


def kernel(name: str) -> tuple[Any, Any]:
    """The function called `name` and its signature."""
    from numba import boolean, float32, void

    a, s = float32[::1], float32
    return {
        "sgd": (sgd, void(a, a, s)),
        "momentum": (momentum, void(a, a, a, s, s, boolean)),
        "adam": (adam, void(a, a, a, a, s, s, s, s)),
        "amsgrad": (amsgrad, void(a, a, a, a, a, s, s, s, s)),
    }[name]
