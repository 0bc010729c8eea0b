"""crop_and_resize: parts of images at any place and scale, with gradients for both images and
boxes; extract_glimpse.

Sampling works on all boxes at once: the rows and columns that each box reads are two small
tables, and each corner of the bilinear patch is one gather.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import shape as shape_of
from .array_module import array_module
from .atomic_updates import update_at
from .dtypes import DType
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .random_ops import draw_stream, get_seed
from .shape_rules import INTEGERS
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["crop_and_resize", "extract_glimpse"]

_SOURCES = (*INTEGERS[:6], dtypes.float16, dtypes.float32, dtypes.float64)


# -- where boxes read -------------------------------------------------------------------------


def _places(low: Any, high: Any, size: int, count: int) -> tuple[Any, Any]:
    """Where each of `count` samples of each box lies along an axis of `size`: float32 [boxes,
    count], and which of them are inside."""
    one = np.float32(size - 1)
    if count > 1:
        steps = array_module(low).arange(count, dtype=np.float32)
        scale = (high - low) * one / np.float32(count - 1)
        at = low[:, None] * one + steps * scale[:, None]
    else:
        at = (np.float32(0.5) * (low + high) * one)[:, None]
    return at, (at >= 0) & (at <= one)


class _Samples:
    """The pixels that boxes read from images of a size, and the weights between them."""

    def __init__(self, boxes: Any, height: int, width: int, size: tuple[int, int]):
        boxes = boxes.astype(np.float32)
        y, in_y = _places(boxes[:, 0], boxes[:, 2], height, size[0])
        x, in_x = _places(boxes[:, 1], boxes[:, 3], width, size[1])
        self.inside = in_y[:, :, None] & in_x[:, None, :]
        self.y, self.x = np.where(in_y, y, 0), np.where(in_x, x, 0)
        self.top, self.left = (np.floor(v).astype(np.int64) for v in (self.y, self.x))
        self.bottom, self.right = (np.ceil(v).astype(np.int64) for v in (self.y, self.x))
        self.down = (self.y - self.top).astype(np.float32)[:, :, None, None]
        self.across = (self.x - self.left).astype(np.float32)[:, None, :, None]

    def nearest(self) -> tuple[Any, Any]:
        """Rows and columns of the nearest pixels; halves go up."""
        return tuple(np.floor(v + np.float32(0.5)).astype(np.int64) for v in (self.y, self.x))

    def corners(self) -> Any:
        """Rows, columns and weights of the four pixels around each sample."""
        d, a = self.down, self.across
        return (
            (self.top, self.left, (1 - d) * (1 - a)),
            (self.top, self.right, (1 - d) * a),
            (self.bottom, self.left, d * (1 - a)),
            (self.bottom, self.right, d * a),
        )


def _read(image: Any, index: Any, rows: Any, columns: Any) -> Any:
    found = image[index[:, None, None], rows[:, :, None], columns[:, None, :]]
    return found.astype(np.float32, copy=False)


def _checked(boxes: Any, index: Any, images: int, op: str) -> None:
    if len(index) and (int(index.min()) < 0 or int(index.max()) >= images):
        raise InvalidArgumentError(
            f"box_index has values outside [0, batch_size): they must be in [0, {images}), got "
            f"{int(index.min())} to {int(index.max())} [Op:{op}]",
            op=op,
        )


# -- crop_and_resize --------------------------------------------------------------------------


def crop_and_resize(
    image: Any,
    boxes: Any,
    box_indices: Any,
    crop_size: Any,
    method: str = "bilinear",
    extrapolation_value: float = 0.0,
    name: str | None = None,
) -> Tensor:
    """Boxes of images, each resized to `crop_size`: float32 [num_boxes, *crop_size, channels].

    Args:
        image: numbers [batch, height, width, channels].
        boxes: float32 [num_boxes, 4] of [y1, x1, y2, x2], where 0 is the first row's (column's)
            centre and 1 the last one's; y1 > y2 flips.
        box_indices: int32 [num_boxes]: the image of each box.
        crop_size: [height, width].
        method: ``"bilinear"`` or ``"nearest"``.
        extrapolation_value: what stands outside of the image.
        name: ignored.

    Raises:
        InvalidArgumentError: shapes do not fit or an index names no image.
    """
    return CropAndResize(
        image, boxes, box_indices, crop_size, method=method,
        extrapolation_value=float(extrapolation_value),
    )  # fmt: skip


def _crop_impl(
    image: Any, boxes: Any, index: Any, crop: Any, *, method: str, extrapolation_value: float
) -> Any:
    _checked(boxes, index, len(image), "CropAndResize")
    size = tuple(crop.tolist())
    at = _Samples(boxes, image.shape[1], image.shape[2], size)
    if not len(index):
        return array_module(image).zeros((0, *size, image.shape[3]), np.float32)
    if method == "nearest":
        out = _read(image, index, *at.nearest())
    else:
        upper = _read(image, index, at.top, at.left)
        right = _read(image, index, at.top, at.right)
        upper = upper + (right - upper) * at.across
        lower = _read(image, index, at.bottom, at.left)
        right = _read(image, index, at.bottom, at.right)
        lower = lower + (right - lower) * at.across
        out = upper + (lower - upper) * at.down
    if not at.inside.all():
        out = np.where(at.inside[..., None], out, np.float32(extrapolation_value))
    return out


def _crop_shape(
    image: Any, boxes: Any, index: Any, crop: Any, *, method: str, **_: Any
) -> TensorSpec:
    name = "CropAndResize"
    if image.shape.rank not in (4, None):
        raise InvalidArgumentError(
            f"input image must be 4-D, got shape {image.shape} [Op:{name}]", op=name
        )
    if boxes.shape.rank not in (2, None) or (
        boxes.shape.rank == 2 and boxes.shape[1] not in (4, None)
    ):
        raise InvalidArgumentError(
            f"boxes must be of shape [num_boxes, 4], got {boxes.shape} [Op:{name}]", op=name
        )
    if method not in ("bilinear", "nearest"):
        raise InvalidArgumentError(
            f"method must be 'bilinear' or 'nearest', got {method!r} [Op:{name}]", op=name
        )
    known = boxes.shape.rank == 2 and index.shape.rank == 1
    if known and None not in (boxes.shape[0], index.shape[0]):
        if boxes.shape[0] != index.shape[0]:
            raise InvalidArgumentError(
                f"box_index has incompatible shape: {index.shape} for boxes {boxes.shape} "
                f"[Op:{name}]",
                op=name,
            )
    size = constant_value(crop)
    dims = [None, None] if size is None else [int(v) for v in size.reshape(-1).tolist()]
    if size is not None and (len(dims) != 2 or min(dims) <= 0):
        raise InvalidArgumentError(
            f"crop_size must be two positive numbers, got {dims} [Op:{name}]", op=name
        )
    count = boxes.shape[0] if boxes.shape.rank == 2 else None
    channels = image.shape[3] if image.shape.rank == 4 else None
    return TensorSpec([count, *dims, channels], dtypes.float32)


def _crop_vjp(op: Any, g: Any) -> Any:
    image, boxes, index, _ = op.inputs
    if not image.dtype.is_floating:
        return None, None, None, None
    method = op.attrs["method"]
    to_image = CropAndResizeGradImage(
        g, boxes, index, shape_of(image), T=image.dtype, method=method
    )
    to_boxes = CropAndResizeGradBoxes(g, image, boxes, index, method=method)
    return to_image, to_boxes, None, None


CropAndResize = Primitive(
    "CropAndResize",
    "image: T, boxes: float32, box_ind: int32, crop_size: int32",
    impl=_crop_impl,
    shape=_crop_shape,
    vjp=_crop_vjp,
    types={"T": _SOURCES},
    check_first=True,
    defaults={"method": "bilinear", "extrapolation_value": 0.0},
)


def _grad_image_impl(
    g: Any, boxes: Any, index: Any, dims: Any, *, T: DType, method: str
) -> Any:
    n, height, width, channels = dims.tolist()
    _checked(boxes, index, n, "CropAndResizeGradImage")
    at = _Samples(boxes, height, width, g.shape[1:3])
    wide = np.float64 if T is dtypes.float64 else np.float32
    out = array_module(g).zeros((n * height * width, channels), wide)
    g = np.where(at.inside[..., None], g, 0).astype(wide, copy=False)
    corners = ((*at.nearest(), 1),) if method == "nearest" else at.corners()
    for rows, columns, weight in corners:
        place = (index[:, None, None] * height + rows[:, :, None]) * width + columns[:, None]
        update_at("add", out, place.reshape(-1), (g * weight).reshape(-1, channels))
    return out.reshape((n, height, width, channels)).astype(T.np_dtype, copy=False)


def _grad_image_shape(g: Any, boxes: Any, index: Any, dims: Any, *, T: DType, **_: Any) -> Any:
    known = constant_value(dims)
    return TensorSpec([None] * 4 if known is None else known.tolist(), T)


CropAndResizeGradImage = Primitive(
    "CropAndResizeGradImage",
    "grads: float32, boxes: float32, box_ind: int32, image_size: int32",
    impl=_grad_image_impl,
    shape=_grad_image_shape,
    # Linear in the gradient; its transpose is the sampling itself.
    vjp=lambda op, gg: (
        CropAndResize(
            gg, op.inputs[1], op.inputs[2], shape_of(op.inputs[0])[1:3],
            method=op.attrs["method"], extrapolation_value=0.0,
        ),
        None, None, None,
    ),
    defaults={"T": dtypes.float32, "method": "bilinear"},
)  # fmt: skip


def _grad_boxes_impl(g: Any, image: Any, boxes: Any, index: Any, *, method: str) -> Any:
    _checked(boxes, index, len(image), "CropAndResizeGradBoxes")
    xp = array_module(g)
    out = xp.zeros(boxes.shape, np.float32)
    if not len(index):
        return out
    height, width = image.shape[1:3]
    at = _Samples(boxes, height, width, g.shape[1:3])
    a, b = _read(image, index, at.top, at.left), _read(image, index, at.top, at.right)
    c, d = _read(image, index, at.bottom, at.left), _read(image, index, at.bottom, at.right)
    g = np.where(at.inside[..., None], g, 0)
    by_row = (((1 - at.across) * (c - a) + at.across * (d - b)) * g).sum(-1)
    by_column = (((1 - at.down) * (b - a) + at.down * (d - c)) * g).sum(-1)
    for k, (slope, size, count, axis) in enumerate(
        ((by_row, height, g.shape[1], 2), (by_column, width, g.shape[2], 1))
    ):
        along = slope.sum(axis)
        if count > 1:
            share = xp.arange(count, dtype=np.float32) * np.float32((size - 1) / (count - 1))
            out[:, k + 2] = along @ share
            out[:, k] = along @ (np.float32(size - 1) - share)
        else:
            out[:, k] = out[:, k + 2] = along[:, 0] * np.float32(0.5 * (size - 1))
    return out


CropAndResizeGradBoxes = Primitive(
    "CropAndResizeGradBoxes",
    "grads: float32, image: T, boxes: float32, box_ind: int32",
    impl=_grad_boxes_impl,
    shape=lambda g, image, boxes, index, **_: TensorSpec(boxes.shape, dtypes.float32),
    types={"T": _SOURCES},
    defaults={"method": "bilinear"},
)


# -- glimpses ---------------------------------------------------------------------------------


def extract_glimpse(
    input: Any,
    size: Any,
    offsets: Any,
    centered: bool = True,
    normalized: bool = True,
    noise: str = "uniform",
    name: str | None = None,
) -> Tensor:
    """A window of each image: float32 [batch, *size, channels].

    Args:
        input: float32 [batch, height, width, channels].
        size: [height, width] of the window.
        offsets: float32 [batch, 2] of [y, x]: the window's centre where both `centered` and
            `normalized`, else its upper left corner.
        centered: (0, 0) is the image's centre, and with `normalized` (-1, -1) its upper left
            corner; otherwise (0, 0) is that corner.
        normalized: offsets are fractions of the image's size, not pixels.
        noise: what stands outside of the image: ``"uniform"`` numbers of [0, 256),
            ``"gaussian"`` ones with the image's mean and deviation, or ``"zero"``.
        name: ignored.

    Raises:
        ValueError: an unknown `noise`.
    """
    if noise not in ("uniform", "gaussian", "zero"):
        raise ValueError(f"noise must be 'uniform', 'gaussian' or 'zero', got {noise!r}")
    return ExtractGlimpseV2(
        input, size, offsets, centered=bool(centered), normalized=bool(normalized),
        uniform_noise=noise == "uniform", noise=noise,
    )  # fmt: skip


def _glimpse_impl(
    x: Any, size: Any, offsets: Any, *, centered: bool, normalized: bool, noise: str,
    uniform_noise: bool, second: bool,
) -> Any:  # fmt: skip
    height, width = size.tolist()
    n, rows, columns = x.shape[:3]
    if len(offsets) != n:
        raise InvalidArgumentError(
            f"offsets must have a row per image, got shape {offsets.shape} for {n} images "
            "[Op:ExtractGlimpse]",
            op="ExtractGlimpse",
        )
    full = np.array([rows, columns], np.float32)
    at = offsets.astype(np.float32)
    if normalized:
        at = at * full
    if centered:
        if normalized or not second:
            at = at / 2
        at = at + full / 2
    if not second or (centered and normalized):  # otherwise the corner is given, not the centre
        at = at - np.array([height, width], np.float32) / 2
    first = np.trunc(at).astype(np.int64)
    y = first[:, :1] + np.arange(height)
    z = first[:, 1:] + np.arange(width)
    inside = ((y >= 0) & (y < rows))[:, :, None] & ((z >= 0) & (z < columns))[:, None, :]
    out = x[np.arange(n)[:, None, None], y.clip(0, rows - 1)[:, :, None],
            z.clip(0, columns - 1)[:, None, :]]  # fmt: skip
    if inside.all():
        return out
    return np.where(inside[..., None], out, _noise(noise, x, out.shape))


def _noise(kind: str, x: Any, shape: tuple[int, ...]) -> Any:
    if kind == "zero":
        return np.float32(0)
    n = int(np.prod(shape))
    seeds = get_seed(None)
    if kind == "uniform":
        drawn = draw_stream("uniform", n, dtypes.float32, "ExtractGlimpse", *seeds)
        return (drawn * np.float32(256)).reshape(shape)
    drawn = draw_stream("normal", n, dtypes.float32, "ExtractGlimpse", *seeds).reshape(shape)
    mean, deviation = x.mean((1, 2), keepdims=True), x.std((1, 2), keepdims=True)
    return (drawn * deviation + mean).astype(np.float32)


def _glimpse_shape(x: Any, size: Any, offsets: Any, **_: Any) -> TensorSpec:
    name = "ExtractGlimpse"
    if x.shape.rank not in (4, None) or offsets.shape.rank not in (2, None):
        raise InvalidArgumentError(
            f"input must be 4-dimensional and offsets a matrix, got shapes {x.shape} and "
            f"{offsets.shape} [Op:{name}]",
            op=name,
        )
    known = constant_value(size)
    dims = [None, None] if known is None else known.tolist()
    if known is not None and (len(dims) != 2 or min(dims) <= 0):
        raise InvalidArgumentError(
            f"size must be two positive numbers, got {dims} [Op:{name}]", op=name
        )
    lead, channels = (None, None) if x.shape.rank is None else (x.shape[0], x.shape[3])
    return TensorSpec([lead, *dims, channels], x.dtype)


ExtractGlimpse, ExtractGlimpseV2 = (
    Primitive(
        name,
        "input: float32, size: int32, offsets: float32",
        impl=lambda *xs, second=second, **attrs: _glimpse_impl(*xs, second=second, **attrs),
        shape=_glimpse_shape,
        vjp=lambda op, g: (None, None, None),
        stateful=True,
        random=True,
        check_first=True,
        defaults={
            "centered": True, "normalized": True, "uniform_noise": True, "noise": "uniform",
        },
    )
    for name, second in (("ExtractGlimpse", False), ("ExtractGlimpseV2", True))
)  # fmt: skip
