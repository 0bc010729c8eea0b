"""Clipping: of values to an interval, of tensors to a norm."""

from __future__ import annotations

from typing import Any

from .array_basics import cast, ones_like
from .binary_primitives import masked
from .comparison import logical_not
from .convert import to_tensor
from .elementwise import sqrt
from .errors import InvalidArgumentError
from .indexed_slices import IndexedSlices
from .math_ops import add_n, maximum, minimum
from .nn_losses import l2_loss
from .reductions import reduce_sum
from .tensor import Tensor

__all__ = ["clip_by_global_norm", "clip_by_norm", "clip_by_value", "global_norm"]


def clip_by_value(
    t: Any, clip_value_min: Any, clip_value_max: Any, name: str | None = None
) -> Any:
    """`t` with values below `clip_value_min` raised to it and above `clip_value_max` lowered.

    Args:
        t: tensor or `IndexedSlices`.
        clip_value_min, clip_value_max: bounds that broadcast to the shape of `t`.
        name: ignored.

    Raises:
        InvalidArgumentError: the bounds are larger than `t`.
    """
    if isinstance(t, IndexedSlices):
        values = clip_by_value(t.values, clip_value_min, clip_value_max)
        return IndexedSlices(values, t.indices, t.dense_shape)
    x = to_tensor(t, None)
    clipped = maximum(minimum(x, clip_value_max), clip_value_min)
    if not clipped.shape.is_compatible_with(x.shape):
        raise InvalidArgumentError(
            "clip_by_value: the bounds must broadcast to the shape of "
            f"t, {x.shape}; they make it {clipped.shape}"
        )
    return clipped


def clip_by_norm(t: Any, clip_norm: Any, axes: Any = None, name: str | None = None) -> Any:
    """`t` scaled down so that its L2 norm over `axes` (all if None) is at most `clip_norm`.

    Raises:
        ValueError: `t` is not made of floats.
    """
    slices = t if isinstance(t, IndexedSlices) else None
    x = slices.values if slices is not None else to_tensor(t, None)
    squares = reduce_sum(x * x, axes, True)
    some = squares > 0
    # The square root of 0 has no derivative: take that of 1, and put 0 back.
    norm = masked(sqrt(squares + cast(logical_not(some), x.dtype)), some)
    clipped = x * clip_norm / maximum(norm, clip_norm)
    return (
        IndexedSlices(clipped, slices.indices, slices.dense_shape)
        if slices is not None
        else clipped
    )


def global_norm(t_list: Any, name: str | None = None) -> Tensor:
    """The L2 norm of all tensors of a list together; None entries are left out.

    Raises:
        TypeError: `t_list` is not a sequence.
    """
    halves = [
        l2_loss(t.values if isinstance(t, IndexedSlices) else t)
        for t in _checked(t_list)
        if t is not None
    ]
    return sqrt(add_n(halves) * 2.0) if halves else to_tensor(0.0, None)


def _checked(t_list: Any) -> list[Any]:
    if isinstance(t_list, (str, Tensor)) or not hasattr(t_list, "__len__"):
        raise TypeError(f"`t_list` should be a sequence of tensors. Received {type(t_list)}.")
    return list(t_list)


def clip_by_global_norm(
    t_list: Any, clip_norm: Any, use_norm: Any = None, name: str | None = None
) -> tuple[list[Any], Tensor]:
    """The tensors of a list scaled down together so that their `global_norm` is at most
    `clip_norm`, and that norm.

    Args:
        t_list: tensors, `IndexedSlices` or None.
        clip_norm: the largest norm.
        use_norm: the norm, if it is known.
        name: ignored.

    If the norm is not finite, every result is NaN.
    """
    items = _checked(t_list)
    norm = global_norm(items) if use_norm is None else to_tensor(use_norm, None)
    clip = to_tensor(clip_norm, None if hasattr(clip_norm, "dtype") else norm.dtype)
    scale = clip * minimum(1.0 / norm, ones_like(clip) / clip)
    # NaN where the norm is not finite: inf - inf and NaN - NaN are.
    scale = scale + (norm - norm)
    found: list[Any] = []
    for t in items:
        if t is None:
            found.append(None)
        elif isinstance(t, IndexedSlices):
            found.append(
                IndexedSlices(t.values * cast(scale, t.dtype), t.indices, t.dense_shape)
            )
        else:
            x = to_tensor(t, None)
            found.append(x * cast(scale, x.dtype))
    return found, norm
