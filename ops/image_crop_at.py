"""crop_at: a piece of images from a place that is computed, for each element its own."""

from __future__ import annotations

from typing import Any

from .array_basics import reshape, shape as shape_of
from .array_join import stack
from .array_module import array_module
from .array_pad import pad
from .block_axis import broadcast_to_block
from .convert import to_tensor
from .dtypes import int32
from .errors import InvalidArgumentError
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["crop_at"]


def crop_at(images: Any, top: Any, left: Any, height: int, width: int) -> Tensor:
    """Rows from `top` and columns from `left` on: ``[..., height, width, channels]``.

    Args:
        images: ``[..., rows, columns, channels]``.
        top, left: int32 scalars.
        height, width: size of the piece, known.

    Raises:
        InvalidArgumentError: the piece leaves the images.
    """
    begin = stack([to_tensor(top, int32), to_tensor(left, int32)])
    return CropAt(images, begin, height=int(height), width=int(width))


def _piece(x: Any, begin: Any, height: int, width: int) -> Any:
    top, left = (int(n) for n in begin)
    have = x.shape[-3:-1]
    if min(top, left) < 0 or top + height > have[0] or left + width > have[1]:
        raise InvalidArgumentError(
            f"a piece of {height} x {width} at ({top}, {left}) leaves images of "
            f"{have[0]} x {have[1]}"
        )
    return x[..., top : top + height, left : left + width, :]


def _impl(x: Any, begin: Any, *, height: int, width: int) -> Any:
    if begin.ndim == 1:
        return _piece(x, begin, height, width).copy()
    out = array_module(x).empty((*x.shape[:-3], height, width, x.shape[-1]), x.dtype)
    for row, image, place in zip(out, x, begin, strict=True):
        row[...] = _piece(image, place, height, width)
    return out


def _shape(x: Any, begin: Any, *, height: int, width: int) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    return TensorSpec([*x.shape[:-3], height, width, x.shape[-1]], x.dtype)


def _vjp(op: Any, g: Any) -> Any:
    x, begin = op.inputs
    sizes = shape_of(x)
    zero = begin[0] * 0
    pads = [zero, zero] * (x.shape.rank - 3)
    for i, size in enumerate((op.attrs["height"], op.attrs["width"])):
        pads += [begin[i], sizes[i - 3] - begin[i] - size]
    return pad(g, reshape(stack([*pads, zero, zero]), [-1, 2])), None


def _batch(ctx: Any, x: Any, begin: Any, **attrs: Any) -> Any:
    if not ctx.batched[0]:
        x = broadcast_to_block(x, begin)
    return CropAt(x, begin, **attrs)


CropAt = Primitive(
    "_CropAt",
    "images: T, begin: int32",
    impl=_impl,
    shape=_shape,
    vjp=_vjp,
    batch=_batch,
)
