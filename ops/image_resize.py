"""resize, resize_with_pad, crop_and_resize: images in another size.

The pixels are TensorFlow's within rounding.  All methods are linear and separable:
`image_weights` holds the tables, `image_resample` applies them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import UnbatchableShape, cast
from .array_join import stack
from .array_module import array_module, brought
from .blas import matrix_product
from .convert import to_tensor
from .elementwise import floor, round as round_
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .graph.into import WRITERS
from .image_flip_kernel import mirrored
from .image_resample import resample, resample_transposed
from .image_shapes import image_size, pad_to_bounding_box, require_images
from .image_weights import METHODS, Taps, taps, taps_reversed
from .math_ops import maximum, minimum
from .primitive import Primitive
from .shape_rules import FLOATS
from .static_args import shape_input
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["ResizeMethod", "resize", "resize_with_pad"]


class ResizeMethod:
    """The names of the ways to resize."""

    BILINEAR = "bilinear"
    NEAREST_NEIGHBOR = "nearest"
    BICUBIC = "bicubic"
    AREA = "area"
    LANCZOS3 = "lanczos3"
    LANCZOS5 = "lanczos5"
    GAUSSIAN = "gaussian"
    MITCHELLCUBIC = "mitchellcubic"


def resize(
    images: Any,
    size: Any,
    method: str = ResizeMethod.BILINEAR,
    preserve_aspect_ratio: bool = False,
    antialias: bool = False,
    name: str | None = None,
) -> Tensor:
    """`images` with `size` rows and columns; pixel centres lie at half coordinates.

    Args:
        images: [batch, height, width, channels] or [height, width, channels].
        size: int32 [2], the new height and width.
        method: one of `ResizeMethod`.
        preserve_aspect_ratio: `size` is the most; the sides keep their proportion.
        antialias: average what goes into a smaller image's pixel, for the methods that
            interpolate.

    Returns:
        float32, of the dtype of `images` for "nearest".

    Raises:
        ValueError: `images`, `size` or `method` is not of that kind.
    """
    x = to_tensor(images, None)
    if x.shape.rank is None:
        raise ValueError("'images' contains no shape.")
    require_images(x, "images")
    if method not in METHODS:
        raise ValueError(
            f"Resize method is not implemented: {method}; choose one of {', '.join(METHODS)}"
        )
    try:
        new = to_tensor(shape_input(size), dtypes.int32)
    except (TypeError, ValueError):
        raise ValueError(f"'size' must be a 1-D int32 Tensor, got {size!r}") from None
    if not new.shape.is_compatible_with([2]):
        raise ValueError(
            "'size' must be a 1-D Tensor of 2 elements: new_height, new_width, got shape "
            f"{new.shape}"
        )
    if preserve_aspect_ratio:
        new = _proportional(x, new)
    return Resize(x, new, method=method, antialias=bool(antialias))


def _proportional(x: Tensor, size: Tensor) -> Tensor:
    """The largest size within `size` with the proportions of the images `x`."""
    current = stack([cast(n, dtypes.float32) for n in image_size(x)])
    wanted = cast(size, dtypes.float32)
    scales = wanted / current
    scale = minimum(scales[0], scales[1])
    return cast(round_(scale * current), dtypes.int32)


def resize_with_pad(
    image: Any,
    target_height: Any,
    target_width: Any,
    method: str = ResizeMethod.BILINEAR,
    antialias: bool = False,
) -> Tensor:
    """`image` resized in proportion to fit the target, with zeros around it.

    Args:
        image: [batch, height, width, channels] or [height, width, channels].
        target_height, target_width: of the result.
        method, antialias: see `resize`.

    Raises:
        ValueError: a target is not positive, or `image` has other axes.
    """
    x = require_images(to_tensor(image, None))
    for what, value in (("target_height", target_height), ("target_width", target_width)):
        known = constant_value(value) if isinstance(value, Tensor) else value
        if known is not None and known <= 0:
            raise ValueError(f"{what} must be > 0, got {known}.")
    target = [cast(to_tensor(n, None), dtypes.float32) for n in (target_height, target_width)]
    own = [cast(to_tensor(n, None), dtypes.float32) for n in image_size(x)]
    ratio = maximum(own[1] / target[1], own[0] / target[0])
    fitted = [n / ratio for n in own]
    size = [cast(floor(n), dtypes.int32) for n in fitted]
    before = [
        maximum(cast(floor((t - f) / 2.0), dtypes.int32), 0)
        for t, f in zip(target, fitted, strict=True)
    ]
    resized = resize(x, stack(size), method, antialias=antialias)
    return pad_to_bounding_box(resized, before[0], before[1], target_height, target_width)


# -- primitives -------------------------------------------------------------------------------


def _resize_impl(
    x: Any, size: Any, flipped: Any = False, *, method: str, antialias: bool, out: Any = None
) -> Any:
    """The resized images, their columns in reverse order if `flipped`.

    With `out`, a float32 array of the result's shape without gaps, they are written there, or
    None comes back.
    """
    new_height, new_width = size.tolist()
    height, width = x.shape[-3:-1]
    if new_height <= 0 or new_width <= 0:
        raise ValueError(f"output dimensions must be positive, got {new_height}, {new_width}")
    if 0 in x.shape[-3:-1]:
        raise ValueError(f"input image must be of non-zero size, got shape {list(x.shape)}")
    rows = taps(method, height, new_height, antialias)
    cols = (taps_reversed if flipped else taps)(method, width, new_width, antialias)
    xp = array_module(x)
    if method == "nearest" or (height, width) == (new_height, new_width):
        if out is not None:
            return None
        if method == "nearest":
            return x.take(brought(rows.starts, x), -3).take(brought(cols.starts, x), -2)
        if method == "bilinear":
            return (mirrored(x) if flipped else x).astype(np.float32)
    return resample(x, rows, cols, out) if xp is np else _products(xp, x, rows, cols, False)


def _products(
    xp: Any, x: Any, rows: Taps, cols: Taps, transposed: bool, sizes: Any = None
) -> Any:
    """The images resized, or its transpose, as products with the tables as matrices."""
    x = x.astype(np.float32, copy=False)
    for axis, table in ((-3, rows), (-2, cols)):
        old = x.shape[axis] if sizes is None else sizes[axis + 3]
        matrix = brought(_matrix(table, old), x)
        x = xp.moveaxis(x, axis, 0)
        sums = matrix_product(matrix.T if transposed else matrix, x.reshape((len(x), -1)))
        x = xp.moveaxis(sums.reshape((-1, *x.shape[1:])), 0, axis)
    return xp.ascontiguousarray(x)


def _matrix(table: Taps, old: int) -> np.ndarray:
    """[result, pixels]: what each result takes of each pixel."""
    out = np.zeros((len(table.starts), old), np.float32)
    every = np.arange(len(out))
    for t in range(table.weights.shape[1]):
        np.add.at(out, (every, np.minimum(table.starts + t, old - 1)), table.weights[:, t])
    return out


def _resize_shape(x: Any, size: Any, *, method: str, antialias: bool) -> TensorSpec:
    dtype = x.dtype if method == "nearest" else dtypes.float32
    if x.shape.rank is None:
        return TensorSpec(None, dtype)
    known = constant_value(size)
    new = (None, None) if known is None else tuple(known.tolist())
    if any(n is not None and n <= 0 for n in new):
        raise InvalidArgumentError(
            f"output dimensions must be positive, got {new[0]}, {new[1]} [Op:Resize]",
            op="Resize",
        )
    if 0 in x.shape.dims[-3:-1]:
        raise InvalidArgumentError(
            f"input image must be of non-zero size, got shape {x.shape} [Op:Resize]",
            op="Resize",
        )
    return TensorSpec((*x.shape.dims[:-3], *new, x.shape.dims[-1]), dtype)


def _resize_vjp(op: Any, g: Any) -> Any:
    x = op.inputs[0]
    if not x.dtype.is_floating:
        return None, None
    return ResizeGrad(g, x, op.inputs[1], **op.attrs), None


def _resize_batch(ctx: Any, x: Any, size: Any, **attrs: Any) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape("_Resize")
    return Resize(x, size, **attrs)


Resize = Primitive(
    "_Resize",
    "images: T, size: int32",
    impl=_resize_impl,
    shape=_resize_shape,
    vjp=_resize_vjp,
    batch=_resize_batch,
)


# What `flipped_resizes` makes of both, after tracing: it has no gradient and no batched form.
ResizeFlipIf = Primitive(
    "_ResizeFlipIf",
    "images: T, size: int32, flag: bool",
    impl=_resize_impl,
    shape=lambda x, size, flag, **attrs: _resize_shape(x, size, **attrs),
)


def _put_resized(out: np.ndarray, *inputs: Any, **attrs: Any) -> Any:
    return _resize_impl(*inputs, **attrs, out=out)


WRITERS.update(dict.fromkeys((Resize.name, ResizeFlipIf.name), _put_resized))


def _grad_impl(g: Any, x: Any, size: Any, *, method: str, antialias: bool) -> Any:
    height, width = x.shape[-3:-1]
    rows = taps(method, height, g.shape[-3], antialias)
    cols = taps(method, width, g.shape[-2], antialias)
    g, xp = g.astype(np.float32, copy=False), array_module(g)
    if xp is np:
        return resample_transposed(g, rows, cols, (height, width)).astype(x.dtype)
    return _products(xp, g, rows, cols, True, (height, width)).astype(x.dtype)


def _grad_vjp(op: Any, gg: Any) -> Any:
    g, _, size = op.inputs
    return cast(Resize(gg, size, **op.attrs), g.dtype), None, None


def _grad_batch(ctx: Any, g: Any, x: Any, size: Any, **attrs: Any) -> Any:
    if ctx.batched[2]:
        raise UnbatchableShape("_ResizeGrad")
    if not ctx.batched[0] or not ctx.batched[1]:
        from .batch_rules import all_batched

        ctx.batched = ctx.batched[:2]
        g, x = all_batched(ctx, (g, x))
    return ResizeGrad(g, x, size, **attrs)


ResizeGrad = Primitive(
    "_ResizeGrad",
    "grads: G, images: T, size: int32",
    impl=_grad_impl,
    shape=lambda g, x, size, **attrs: TensorSpec(x.shape, x.dtype),
    vjp=_grad_vjp,
    batch=_grad_batch,
    types={"G": FLOATS, "T": FLOATS},
)
