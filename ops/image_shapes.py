"""Cutting and padding: crop_to_bounding_box, pad_to_bounding_box, central_crop, ..."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, reshape, shape
from .array_index import slice as slice_
from .array_join import stack
from .array_pad import pad
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import maximum, minimum
from .primitive import Primitive
from .random_ops import random_uniform, stateless_uniform
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "central_crop",
    "crop_to_bounding_box",
    "pad_to_bounding_box",
    "random_crop",
    "resize_with_crop_or_pad",
    "stateless_random_crop",
]


def require_images(image: Tensor, what: str = "image") -> Tensor:
    """`image`, if it has three or four axes or it is not known how many.

    Raises:
        ValueError: it has another number.
    """
    if image.shape.rank not in (3, 4, None):
        raise ValueError(f"'{what}' (shape {image.shape}) must have either 3 or 4 dimensions.")
    return image


def image_size(image: Tensor) -> list[Any]:
    """Height and width: Python ints where they are known, else int32 scalars."""
    dims = image.shape.dims
    if dims is not None and None not in dims[-3:-1]:
        return list(dims[-3:-1])
    now = shape(image)
    return [
        now[axis] if dims is None or dims[axis] is None else dims[axis] for axis in (-3, -2)
    ]


def _known(value: Any) -> Any:
    """A number if the value is known, else None."""
    if isinstance(value, Tensor):
        found = constant_value(value)
        return None if found is None else found.item()
    return value


def _require(test: Any, text: str) -> None:
    """Raise ValueError if the test is known to fail; None means it is not known."""
    if test is False:
        raise ValueError(text)


def _at_least(a: Any, b: Any) -> bool | None:
    a, b = _known(a), _known(b)
    return None if a is None or b is None else bool(a >= b)


def crop_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Tensor:
    """The box of `image` with the given upper left corner, height and width.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        offset_height, offset_width: the corner.
        target_height, target_width: of the box.

    Raises:
        ValueError: the box does not lie in the image.
    """
    x = require_images(to_tensor(image, None))
    height, width = image_size(x)
    for what, offset, target, size in (
        ("width", offset_width, target_width, width),
        ("height", offset_height, target_height, height),
    ):
        _require(_at_least(offset, 0), f"offset_{what} must be >= 0, got {offset!r}.")
        _require(_at_least(target, 1), f"target_{what} must be > 0, got {target!r}.")
        if None not in map(_known, (offset, target, size)):
            needed = _known(offset) + _known(target)
            _require(
                _known(size) >= needed,
                f"{what} must be >= target + offset, got {size!r} for {needed}.",
            )
    rank = x.shape.rank or 3
    lead = [0] * (rank - 3)
    begin = [*lead, offset_height, offset_width, 0]
    size = [*([-1] * len(lead)), target_height, target_width, -1]
    return _sliced(x, begin, size)


def _sliced(x: Tensor, begin: list[Any], size: list[Any]) -> Tensor:
    return slice_(x, _vector(begin), _vector(size))


def _vector(values: list[Any]) -> Any:
    found = [_known(v) for v in values]
    if None not in found:
        return np.array(found, np.int32)
    return stack([cast(to_tensor(v, None), dtypes.int32) for v in values])


def pad_to_bounding_box(
    image: Any, offset_height: Any, offset_width: Any, target_height: Any, target_width: Any
) -> Tensor:
    """`image` in a frame of zeros of the target's size, its corner at the offsets.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        offset_height, offset_width: rows above and columns left of the image.
        target_height, target_width: of the result.

    Raises:
        ValueError: the image does not fit the frame there.
    """
    x = require_images(to_tensor(image, None))
    height, width = image_size(x)
    pads = []
    for what, offset, target, size in (
        ("height", offset_height, target_height, height),
        ("width", offset_width, target_width, width),
    ):
        _require(_at_least(offset, 0), f"offset_{what} must be >= 0, got {offset!r}")
        after = target - offset - size
        _require(
            _at_least(after, 0),
            f"{what} must be <= target - offset, got {size!r} for {_known(target)} - "
            f"{_known(offset)}",
        )
        pads += [offset, after]
    rank = x.shape.rank or 3
    flat = _vector([0, 0] * (rank - 3) + pads + [0, 0])
    padded = pad(x, flat.reshape(rank, 2) if isinstance(flat, np.ndarray) else _pairs(flat))
    if isinstance(padded, Tensor) and padded.shape.rank:
        target = [_known(target_height), _known(target_width)]
        if not padded.shape.is_fully_defined() and hasattr(padded, "set_shape"):
            dims = x.shape.dims or (None,) * rank
            padded.set_shape([*dims[:-3], *target, dims[-1]])
    return padded


def _pairs(flat: Tensor) -> Tensor:
    return reshape(flat, [-1, 2])


def central_crop(image: Any, central_fraction: Any) -> Tensor:
    """The middle of `image`, `central_fraction` of its height and width.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        central_fraction: in (0, 1].

    Raises:
        ValueError: the fraction is not in (0, 1], or `image` has other axes.
    """
    x = to_tensor(image, None)
    fraction = _known(central_fraction)
    if fraction is not None:
        if not 0.0 < fraction <= 1.0:
            raise ValueError(f"central_fraction must be within (0, 1], got {fraction}")
        if fraction == 1.0:
            return x
    if x.shape.rank not in (3, 4):
        raise ValueError(
            "`image` should either be a Tensor with rank = 3 or rank = 4. Had rank = "
            f"{x.shape.rank}."
        )
    begin, size = [], []
    for n in image_size(x):
        if fraction is not None and not isinstance(n, Tensor):
            start: Any = int((float(n) - float(n) * fraction) / 2)
        else:
            wide = cast(to_tensor(n, None), dtypes.float64)
            part = cast(to_tensor(central_fraction, None), dtypes.float64)
            start = cast((wide - wide * part) / 2.0, dtypes.int32)
        begin.append(start)
        size.append(n - start * 2)
    lead = x.shape.rank - 3
    return _sliced(x, [0] * lead + begin + [0], [-1] * lead + size + [-1])


def resize_with_crop_or_pad(image: Any, target_height: Any, target_width: Any) -> Tensor:
    """`image` cut in the middle, or framed with zeros, to the target's size.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        target_height, target_width: of the result.

    Raises:
        ValueError: a target is not positive, or `image` has other axes.
    """
    x = require_images(to_tensor(image, None))
    for what, value in (("target_width", target_width), ("target_height", target_height)):
        _require(_at_least(value, 1), f"{what} must be > 0, got {value!r}.")
    offsets, sizes, frames = [], [], []
    for target, size in zip((target_height, target_width), image_size(x), strict=True):
        lack = target - size
        if isinstance(lack, Tensor):
            offsets.append(maximum(-lack // 2, 0))
            sizes.append(minimum(target, size))
            frames.append(maximum(lack // 2, 0))
        else:
            offsets.append(max(-lack // 2, 0))
            sizes.append(min(target, size))
            frames.append(max(lack // 2, 0))
    cropped = crop_to_bounding_box(x, *offsets, *sizes)
    return pad_to_bounding_box(cropped, *frames, target_height, target_width)


# -- random -----------------------------------------------------------------------------------


def random_crop(
    value: Any, size: Any, seed: int | None = None, name: str | None = None
) -> Tensor:
    """A box of the given size from a random place of `value`.

    Args:
        value: tensor of any rank.
        size: integers [rank].
        seed: see `hr.random.set_seed`.

    Raises:
        InvalidArgumentError: `value` is smaller than `size`.
    """
    x, size = to_tensor(value, None), to_tensor(size, dtypes.int32)
    room = _Room(shape(x), size)
    offset = random_uniform(shape(room), dtype=dtypes.int32, maxval=dtypes.int32.max, seed=seed)
    return slice_(x, offset % room, size)


def stateless_random_crop(value: Any, size: Any, seed: Any, name: str | None = None) -> Tensor:
    """A box of the given size from a place of `value` that `seed` [2] alone decides.

    Raises:
        InvalidArgumentError: `value` is smaller than `size`.
    """
    x, size = to_tensor(value, None), to_tensor(size, dtypes.int32)
    room = _Room(shape(x), size)
    offset = stateless_uniform(
        shape(room), seed=seed, dtype=dtypes.int32, maxval=dtypes.int32.max
    )
    return slice_(x, offset % room, size)


def _room_impl(have: Any, size: Any) -> Any:
    if have.shape[-1] != size.shape[-1] or (have < size).any():
        raise InvalidArgumentError(
            f"Need value.shape >= size, got {have.tolist()} and {size.tolist()}"
        )
    return have - size + 1


_Room = Primitive(
    "_CropRoom",
    "have: int32, size: int32",
    impl=_room_impl,
    shape=lambda have, size: TensorSpec(size.shape, dtypes.int32),
    vjp=lambda op, g: (None, None),
    batch=lambda ctx, have, size: _Room(have, size),
)
