"""Clipping of gradients: by value, by each gradient's norm, by the norm of all together."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr

__all__ = ["clip_by_global_norm", "clip_by_norm", "global_norm"]


def clip_by_norm(grad: Any, limit: float) -> Any:
    """`grad`, shortened to the norm `limit` where it is longer."""
    norm = hr.sqrt(hr.reduce_sum(hr.square(grad)))
    most = hr.cast(limit, grad.dtype)
    return grad * most / hr.maximum(norm, most)


def global_norm(grads: list[Any]) -> Any:
    """The norm of all gradients taken as one vector."""
    return hr.sqrt(hr.add_n([hr.reduce_sum(hr.square(g)) for g in grads]))


def clip_by_global_norm(grads: list[Any], limit: float) -> list[Any]:
    """`grads`, scaled together so that their global norm is at most `limit`.

    A norm that is infinite or NaN makes all of them NaN.
    """
    norm = global_norm(grads)
    scale = limit * hr.minimum(1.0 / norm, hr.cast(1.0 / limit, norm.dtype))
    scale = scale + (norm - norm)
    return [g * hr.cast(scale, g.dtype) for g in grads]
