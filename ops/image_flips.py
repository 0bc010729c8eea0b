"""Flips, quarter turns and transposition of images, also at random."""

from __future__ import annotations

from typing import Any

import numpy as np

from .array_basics import shape as shape_of
from .array_module import array_module
from .array_shape import transpose as transpose_axes
from .array_sort import reverse
from .batch_rules import all_batched
from .convert import to_tensor
from .image_flip_kernel import mirrored
from .image_shapes import require_images
from .primitive import Primitive
from .random_ops import random_uniform, stateless_uniform
from .shape_rules import same
from .static_args import static_int
from .tensor import Tensor

__all__ = [
    "flip_left_right",
    "flip_up_down",
    "random_flip_left_right",
    "random_flip_up_down",
    "rot90",
    "stateless_random_flip_left_right",
    "stateless_random_flip_up_down",
    "transpose",
]

_HEIGHT, _WIDTH = -3, -2


def flip_left_right(image: Any) -> Tensor:
    """`image` ([..., height, width, channels]) with its columns reversed.

    Raises:
        ValueError: `image` has neither three nor four axes.
    """
    return _flipped(image, _WIDTH)


def flip_up_down(image: Any) -> Tensor:
    """`image` ([..., height, width, channels]) with its rows reversed.

    Raises:
        ValueError: `image` has neither three nor four axes.
    """
    return _flipped(image, _HEIGHT)


def _flipped(image: Any, axis: int) -> Tensor:
    x = require_images(to_tensor(image, None))
    return FlipIf(x, Tensor.of(np.array(True)), axis=axis)


def random_flip_left_right(image: Any, seed: int | None = None) -> Tensor:
    """`image`, or each of a batch, with its columns reversed with a chance of one half."""
    return _flipped_at_random(image, _WIDTH, lambda shape: random_uniform(shape, seed=seed))


def random_flip_up_down(image: Any, seed: int | None = None) -> Tensor:
    """`image`, or each of a batch, with its rows reversed with a chance of one half."""
    return _flipped_at_random(image, _HEIGHT, lambda shape: random_uniform(shape, seed=seed))


def stateless_random_flip_left_right(image: Any, seed: Any) -> Tensor:
    """Like `random_flip_left_right`, decided by `seed` (two integers) alone."""
    return _flipped_at_random(image, _WIDTH, lambda shape: stateless_uniform(shape, seed))


def stateless_random_flip_up_down(image: Any, seed: Any) -> Tensor:
    """Like `random_flip_up_down`, decided by `seed` (two integers) alone."""
    return _flipped_at_random(image, _HEIGHT, lambda shape: stateless_uniform(shape, seed))


def _flipped_at_random(image: Any, axis: int, draw: Any) -> Tensor:
    x = require_images(to_tensor(image, None))
    if x.shape.rank is None:
        raise ValueError("'image' must have a known number of dimensions, 3 or 4.")
    if x.shape.rank == 3:
        return FlipIf(x, draw([]) < 0.5, axis=axis)
    # One draw per image, rounded: up to one half means as it is.
    batch = x.shape.dims[0]
    count = [batch] if batch is not None else shape_of(x)[:1]
    return FlipIf(x, draw(count) > 0.5, axis=axis)


def rot90(image: Any, k: Any = 1, name: str | None = None) -> Tensor:
    """`image` turned left by `k` quarter turns.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        k: integer, known while tracing.

    Raises:
        ValueError: `image` has neither three nor four axes.
    """
    x = require_images(to_tensor(image, None))
    turns = static_int(k, "rot90", "k") % 4
    if turns == 2:
        rank = x.shape.rank or 3
        return reverse(x, [rank - 3, rank - 2])
    if turns == 1:
        return transpose(flip_left_right(x))
    if turns == 3:
        return flip_left_right(transpose(x))
    return x


def transpose(image: Any, name: str | None = None) -> Tensor:
    """`image` with rows and columns exchanged.

    Raises:
        ValueError: `image` has neither three nor four axes.
    """
    x = require_images(to_tensor(image, None))
    return transpose_axes(x, [0, 2, 1, 3] if x.shape.rank == 4 else [1, 0, 2])


# -- flips that depend on a value -------------------------------------------------------------


def _flip_if_impl(x: Any, flags: Any, *, axis: int) -> Any:
    if not flags.ndim:
        return _flip(x, axis) if flags else x
    out = x.copy()
    out[flags] = _flip(x[flags], axis)
    return out


def _flip(x: Any, axis: int) -> Any:
    if axis == _WIDTH and type(x) is np.ndarray:
        return mirrored(x)
    return array_module(x).flip(x, axis)


def _flip_if_batch(ctx: Any, x: Any, flags: Any, *, axis: int) -> Any:
    if not ctx.batched[1] and ctx.element_shapes[1].rank == 0:
        return FlipIf(x, flags, axis=axis)
    x, flags = all_batched(ctx, (x, flags))
    return FlipIf(x, flags, axis=axis)


FlipIf = Primitive(
    "_FlipIf",
    "image: T, flags: bool",
    impl=_flip_if_impl,
    shape=same,
    vjp=lambda op, g: (FlipIf(g, op.inputs[1], **op.attrs), None),
    batch=_flip_if_batch,
)
