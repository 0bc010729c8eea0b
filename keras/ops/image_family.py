"""Images resized, moved, filtered, cut: what Keras keeps in ``ops.image``."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ...ops import api as hr, image_colour, image_quality
from ...ops.decompositions import solve
from ...ops.image_projective import projective_transform
from .. import backend
from ..promotion import result_type
from ..random import SeedGenerator
from .op import operations
from .values import as_tensor, dtype_name, static

op = operations("image")
_INTERPOLATIONS = ("nearest", "bilinear")
_FILL_MODES = ("constant", "nearest", "wrap", "reflect")


def _first(data_format: str | None) -> bool:
    found = data_format or backend.image_data_format()
    if found not in ("channels_first", "channels_last"):
        raise ValueError(
            "data_format must be 'channels_first' or 'channels_last'. Received: data_format="
            f"{data_format}"
        )
    return found == "channels_first"


def _check(**values: tuple[Any, Any]) -> None:
    for name, (value, known) in values.items():
        if value not in known:
            raise ValueError(
                f"Invalid value for argument `{name}`. Expected of one {known}. Received: "
                f"{name}={value}"
            )


class _Batch:
    """Images of rank 3 or 4 as ``[batch, height, width, channels]``, and back."""

    def __init__(self, images: Any, data_format: str | None):
        images = as_tensor(images)
        self.rank = len(images.shape)
        if self.rank not in (3, 4):
            raise ValueError(
                "Invalid images rank: expected rank 3 (single image) or rank 4 (batch of "
                f"images). Received: images.shape={images.shape}"
            )
        self.first = _first(data_format)
        if self.rank == 3:
            images = hr.expand_dims(images, 0)
        self.images = hr.transpose(images, [0, 2, 3, 1]) if self.first else images

    def back(self, images: Any) -> Any:
        """In the format that came in."""
        if self.first:
            images = hr.transpose(images, [0, 3, 1, 2])
        return hr.squeeze(images, 0) if self.rank == 3 else images


@op("RGBToGrayscale")
def rgb_to_grayscale(images: Any, data_format: Any = None) -> Any:
    """Images of one channel, weighted as the eye does."""
    batch = _Batch(images, data_format)
    weights = hr.constant([0.2989, 0.5870, 0.1140])
    dtype = dtype_name(batch.images)
    x = hr.cast(batch.images, result_type(dtype, float))
    grey = hr.reduce_sum(x * hr.cast(weights, x.dtype), axis=-1, keepdims=True)
    return batch.back(hr.cast(grey, dtype))


def _floats(batch: _Batch, what: str) -> None:
    if not batch.images.dtype.is_floating:
        raise ValueError(
            f"Invalid images dtype: expected float dtype for {what}. Received: images.dtype="
            f"{dtype_name(batch.images)}"
        )


@op("RGBToHSV")
def rgb_to_hsv(images: Any, data_format: Any = None) -> Any:
    """Hue, saturation and value of floats in [0, 1]."""
    batch = _Batch(images, data_format)
    _floats(batch, "rgb_to_hsv")
    return batch.back(image_colour.rgb_to_hsv(batch.images))


@op("HSVToRGB")
def hsv_to_rgb(images: Any, data_format: Any = None) -> Any:
    """The inverse of `rgb_to_hsv`."""
    batch = _Batch(images, data_format)
    _floats(batch, "hsv_to_rgb")
    return batch.back(image_colour.hsv_to_rgb(batch.images))


@op()
def resize(
    images: Any,
    size: Any,
    interpolation: str = "bilinear",
    antialias: bool = False,
    crop_to_aspect_ratio: bool = False,
    pad_to_aspect_ratio: bool = False,
    fill_mode: str = "constant",
    fill_value: float = 0.0,
    data_format: Any = None,
) -> Any:
    """Images of another size, of their own dtype.

    Args:
        images: one or a batch.
        size: height and width.
        interpolation: ``"bilinear"``, ``"nearest"``, ``"bicubic"``, ``"lanczos3"``,
            ``"lanczos5"``.
        antialias: average what falls onto a pixel when images become smaller.
        crop_to_aspect_ratio: cut to the new aspect first.
        pad_to_aspect_ratio: pad to it instead.
        fill_mode, fill_value: of the padding.
        data_format: where the channels are.

    Raises:
        ValueError: an unknown interpolation, or both ways to the aspect.
    """
    from ..layers.preprocessing_images import Resizing

    _check(interpolation=(interpolation, ("bilinear", "nearest", "lanczos3", "lanczos5",
                                          "bicubic")))  # fmt: skip
    images = as_tensor(images)
    layer = Resizing(
        *size,
        interpolation=interpolation,
        antialias=antialias,
        crop_to_aspect_ratio=crop_to_aspect_ratio,
        pad_to_aspect_ratio=pad_to_aspect_ratio,
        fill_mode=fill_mode,
        fill_value=fill_value,
        data_format=data_format,
    )
    return layer.transform_images(images, None)


@op(tensors=2)
def affine_transform(
    images: Any, transform: Any, interpolation: str = "bilinear", fill_mode: str = "constant",
    fill_value: float = 0, data_format: Any = None,
) -> Any:  # fmt: skip
    """Images sampled at the places that projective maps ``[8]`` or ``[batch, 8]`` give."""
    _check(interpolation=(interpolation, _INTERPOLATIONS), fill_mode=(fill_mode, _FILL_MODES))
    batch = _Batch(images, data_format)
    maps = as_tensor(transform, "float32")
    maps = hr.expand_dims(maps, 0) if len(maps.shape) == 1 else maps
    moved = projective_transform(
        batch.images, maps, fill_value, interpolation.upper(), fill_mode.upper()
    )
    return batch.back(moved)


def _homography(start: Any, end: Any) -> Any:
    """The maps ``[batch, 8]`` that take the corners `end` to `start`."""
    x, y, u, v = start[..., 0], start[..., 1], end[..., 0], end[..., 1]
    one, none = hr.ones_like(u), hr.zeros_like(u)
    across = hr.stack([u, v, one, none, none, none, -x * u, -x * v], axis=-1)
    down = hr.stack([none, none, none, u, v, one, -y * u, -y * v], axis=-1)
    system = hr.reshape(hr.stack([across, down], axis=2), [-1, 8, 8])
    found = solve(system, hr.reshape(start, [-1, 8, 1]))
    return hr.reshape(found, [-1, 8])


@op(tensors=3)
def perspective_transform(
    images: Any, start_points: Any, end_points: Any, interpolation: str = "bilinear",
    fill_value: float = 0, data_format: Any = None,
) -> Any:  # fmt: skip
    """Images with their corners moved from `start_points` to `end_points`, ``[4, 2]`` each.

    Raises:
        ValueError: points of another shape, or an unknown interpolation.
    """
    _check(interpolation=(interpolation, _INTERPOLATIONS))
    start, end = as_tensor(start_points, "float32"), as_tensor(end_points, "float32")
    for name, points in (("start_points", start), ("end_points", end)):
        if len(points.shape) not in (2, 3) or tuple(points.shape[-2:]) != (4, 2):
            raise ValueError(
                f"Invalid {name} shape: expected (4,2) for a single image or (N,4,2) for a "
                f"batch. Received shape: {points.shape}"
            )
    if tuple(start.shape) != tuple(end.shape):
        raise ValueError(
            "start_points and end_points must have the same shape. Received "
            f"start_points.shape={start.shape}, end_points.shape={end.shape}"
        )
    batch = _Batch(images, data_format)
    start, end = (hr.reshape(p, [-1, 4, 2]) for p in (start, end))
    moved = projective_transform(
        batch.images, _homography(start, end), fill_value, interpolation.upper(), "CONSTANT"
    )
    return batch.back(moved)


@op()
def extract_patches(
    images: Any, size: Any, strides: Any = None, dilation_rate: Any = 1,
    padding: str = "valid", data_format: Any = None,
) -> Any:  # fmt: skip
    """All patches of images, flattened into channels.

    Args:
        images: one or a batch.
        size: of a patch: a number, or height and width (three for volumes).
        strides: from patch to patch; by default its size.
        dilation_rate: steps between a patch's pixels.
        padding: ``"valid"`` or ``"same"``.
        data_format: where the channels are.
    """
    if not isinstance(size, int) and len(size) == 3:
        return extract_patches_3d(images, size, strides, dilation_rate, padding, data_format)
    batch = _Batch(images, data_format)
    high, wide = (size, size) if isinstance(size, int) else size
    steps = (high, wide) if strides is None else strides
    down, across = (steps, steps) if isinstance(steps, int) else steps
    gap = (dilation_rate,) * 2 if isinstance(dilation_rate, int) else dilation_rate
    found = hr.extract_patches(
        batch.images, [1, high, wide, 1], [1, down, across, 1], [1, *gap, 1], padding.upper()
    )
    return batch.back(found)


def extract_patches_3d(
    volumes: Any, size: Any, strides: Any = None, dilation_rate: Any = 1,
    padding: str = "valid", data_format: Any = None,
) -> Any:  # fmt: skip
    """All patches of volumes ``[batch, planes, rows, columns, channels]``, flattened."""
    size = (size,) * 3 if isinstance(size, int) else tuple(size)
    if hasattr(volumes, "_keras_history"):
        return extract_patches(volumes, size, strides, dilation_rate, padding, data_format)
    volumes = as_tensor(volumes)
    first, single = _first(data_format), len(volumes.shape) == 4
    x = hr.expand_dims(volumes, 0) if single else volumes
    x = hr.transpose(x, [0, 2, 3, 4, 1]) if first else x
    steps = size if strides is None else strides
    steps = (steps,) * 3 if isinstance(steps, int) else tuple(steps)
    gap = (dilation_rate,) * 3 if isinstance(dilation_rate, int) else tuple(dilation_rate)
    channels = int(x.shape[-1])
    count = math.prod(size) * channels
    kernel = hr.constant(np.eye(count).reshape(*size, channels, count), dtype_name(x))
    out = hr.convolution(x, kernel, list(steps), padding.upper(), dilations=list(gap))
    out = hr.transpose(out, [0, 4, 1, 2, 3]) if first else out
    return hr.squeeze(out, 0) if single else out


# -- sampling ---------------------------------------------------------------------------------


def _mirrored(at: Any, size: int) -> Any:
    last = size - 1
    return hr.abs(hr.floormod(at + last, max(1, 2 * last)) - last)


def _inside(at: Any, size: int, mode: str) -> Any:
    if mode == "wrap":
        return hr.floormod(at, size)
    if mode == "mirror":
        return _mirrored(at, size)
    if mode == "reflect":  # as Keras on TensorFlow: left of 0 the border is not repeated
        turned = hr.floormod(hr.abs(at), 2 * size)
        return hr.where(turned < size, turned, 2 * size - 1 - turned)
    return hr.maximum(hr.minimum(at, size - 1), 0)


@op(tensors=2)
def map_coordinates(
    inputs: Any, coordinates: Any, order: int, fill_mode: str = "constant", fill_value: Any = 0
) -> Any:
    """`inputs` at `coordinates` ``[axes, ...]``, between elements by interpolation.

    Args:
        inputs: a tensor.
        coordinates: one coordinate for each of its axes.
        order: 0 takes the nearest element, 1 interpolates.
        fill_mode: what lies outside: ``constant``, ``nearest``, ``wrap``, ``mirror``,
            ``reflect``.
        fill_value: with ``constant``.

    Raises:
        ValueError: coordinates of another number of axes, or an unknown mode.
        NotImplementedError: a higher order.
    """
    x = as_tensor(inputs)
    if isinstance(coordinates, (list, tuple)):
        coordinates = hr.stack([as_tensor(c) for c in coordinates])
    places = as_tensor(coordinates)
    if places.shape[0] != len(x.shape):
        raise ValueError(
            "First dim of `coordinates` must be the same as the rank of `inputs`. Received "
            f"inputs with shape: {x.shape} and coordinate leading dim of {places.shape[0]}"
        )
    if len(places.shape) < 2:
        raise ValueError(
            "Invalid coordinates rank: expected at least rank 2. Received input with shape: "
            f"{places.shape}"
        )
    _check(fill_mode=(fill_mode, ("constant", "nearest", "wrap", "mirror", "reflect")))
    if order not in (0, 1):
        raise NotImplementedError("map_coordinates currently requires order<=1")
    if not places.dtype.is_floating and order == 1:
        places = hr.cast(places, "float32")
    choices = []  # for each axis, places to look at and their weights
    for axis, place in enumerate(hr.unstack(places, num=len(x.shape))):
        size = int(x.shape[axis])
        if order == 0:
            near = hr.round(place) if place.dtype.is_floating else place
            found = [(hr.cast(near, "int32"), None)]
        else:
            low = hr.floor(place)
            share = place - low
            at = hr.cast(low, "int32")
            found = [(at, 1 - share), (at + 1, share)]
        choices.append([
            (_inside(at, size, fill_mode), weight,
             hr.logical_and(at >= 0, at < size) if fill_mode == "constant" else None)
            for at, weight in found
        ])  # fmt: skip
    return _sampled(x, choices, fill_value)


def _sampled(x: Any, choices: list[Any], fill_value: Any) -> Any:
    dtype = dtype_name(x)
    corners: list[tuple[list[Any], Any, Any]] = [([], None, None)]
    for options in choices:
        corners = [
            ([*places, at], _times(weight, more), _both(inside, valid))
            for places, weight, inside in corners
            for at, more, valid in options
        ]
    total = None
    for places, weight, inside in corners:
        value = hr.gather_nd(x, hr.stack(places, axis=-1))
        if inside is not None:
            value = hr.where(inside, value, hr.cast(fill_value, x.dtype))
        if weight is not None:
            value = hr.cast(value, weight.dtype) * weight
        total = value if total is None else total + value
    if not x.dtype.is_floating and total.dtype.is_floating:
        total = hr.round(total)
    return hr.cast(total, dtype)


def _times(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else a * b


def _both(a: Any, b: Any) -> Any:
    return b if a is None else a if b is None else hr.logical_and(a, b)


@op()
def gaussian_blur(
    images: Any, kernel_size: Any = (3, 3), sigma: Any = (1.0, 1.0), data_format: Any = None
) -> Any:
    """Images averaged by a bell curve of `sigma` pixels over `kernel_size` pixels."""
    batch = _Batch(images, data_format)
    x = batch.images
    lines = []
    for size, width in zip(kernel_size, sigma, strict=True):
        at = hr.range(size, dtype="float32") - (size - 1) / 2
        line = hr.exp(-0.5 * hr.square(hr.cast(at, x.dtype) / hr.cast(width, x.dtype)))
        lines.append(line / hr.reduce_sum(line))
    # As in Keras the second curve runs down and the first across.
    kernel = hr.reshape(lines[1], [-1, 1]) * hr.reshape(lines[0], [1, -1])
    kernel = hr.reshape(kernel, [int(kernel_size[0]), int(kernel_size[1]), 1, 1])
    kernel = hr.tile(kernel, [1, 1, int(x.shape[-1]), 1])
    return batch.back(hr.depthwise_conv2d(x, kernel, [1, 1, 1, 1], "SAME"))


@op()
def elastic_transform(
    images: Any, alpha: float = 20.0, sigma: float = 5.0, interpolation: str = "bilinear",
    fill_mode: str = "reflect", fill_value: float = 0.0, seed: Any = None,
    data_format: Any = None,
) -> Any:  # fmt: skip
    """Images whose pixels are moved by smooth noise.

    Args:
        images: one or a batch, floats.
        alpha: how far.
        sigma: how smooth the noise is, in pixels.
        interpolation: ``"nearest"`` or ``"bilinear"``.
        fill_mode, fill_value: what lies outside.
        seed: an int or a `SeedGenerator`.
        data_format: where the channels are.
    """
    _check(interpolation=(interpolation, _INTERPOLATIONS), fill_mode=(fill_mode, _FILL_MODES))
    batch = _Batch(images, data_format)
    pair = draw_seed(seed)
    moved = moved_by_noise(
        batch.images, alpha, sigma, sigma, interpolation, fill_mode, fill_value, pair
    )
    return batch.back(moved)


def draw_seed(seed: Any) -> Any:
    """Two numbers for a draw: of a generator, or made of an int."""
    if isinstance(seed, SeedGenerator):
        return seed.next()
    return SeedGenerator(seed).next() if seed is None else hr.constant([seed, 0], "int64")


def moved_by_noise(
    images: Any, alpha: Any, sigma: Any, most: float, interpolation: str, fill_mode: str,
    fill_value: Any, seed: Any,
) -> Any:  # fmt: skip
    """`images` ``[batch, height, width, channels]`` moved; the same way down and across, as
    Keras draws both with one seed.

    Args:
        images: a batch.
        alpha: how far.
        sigma: how smooth, in pixels; a number or a tensor.
        most: what `sigma` does not exceed.
        interpolation, fill_mode, fill_value: see `elastic_transform`.
        seed: two integers.
    """
    x = images if images.dtype.is_floating else hr.cast(images, "float32")
    height, width = int(x.shape[1]), int(x.shape[2])
    noise = hr.stateless_normal([static(x, 0), height, width], seed, dtype=dtype_name(x))
    noise = hr.expand_dims(noise * hr.cast(sigma, x.dtype), -1)
    # A window of 3 sigma to both sides, sigma as a whole number.
    reach = 3 * int(most)
    at = hr.abs(hr.range(-reach, reach + 1, dtype="float32"))
    line = hr.exp(-0.5 * hr.square(at / hr.cast(sigma, "float32")))
    near = at <= 3.0 * hr.floor(hr.cast(sigma, "float32"))
    line = hr.cast(hr.where(near, line, hr.zeros_like(line)), x.dtype)
    line = line / hr.reduce_sum(line)
    kernel = hr.reshape(line, [-1, 1, 1, 1]) * hr.reshape(line, [1, -1, 1, 1])
    smooth = hr.depthwise_conv2d(noise, kernel, [1, 1, 1, 1], "SAME")
    shift = hr.cast(alpha, x.dtype) * hr.squeeze(smooth, -1)
    down = hr.reshape(hr.range(height, dtype="float32"), [1, -1, 1])
    across = hr.reshape(hr.range(width, dtype="float32"), [1, 1, -1])
    rows, columns = hr.cast(down, x.dtype) + shift, hr.cast(across, x.dtype) + shift
    order = _INTERPOLATIONS.index(interpolation)
    flat = hr.reshape(images, [-1, height, width, int(images.shape[-1])])

    def one(parts: Any) -> Any:
        image, y, x = parts
        channels = [
            map_coordinates(image[..., c], [y, x], order, fill_mode, fill_value)
            for c in range(int(image.shape[-1]))
        ]
        return hr.stack(channels, axis=-1)

    return hr.vectorized_map(one, (flat, rows, columns), warn=False)


_CURVES = {
    "linear": lambda x: hr.maximum(1 - x, 0.0),
    "cubic": lambda x: hr.where(
        x >= 2, hr.zeros_like(x),
        hr.where(x >= 1, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
                 ((1.5 * x - 2.5) * x) * x + 1.0)),
    "lanczos3": lambda x: _lanczos(3.0, x),
    "lanczos5": lambda x: _lanczos(5.0, x),
}  # fmt: skip
_SAME_CURVE = {
    "bilinear": "linear", "trilinear": "linear", "triangle": "linear", "bicubic": "cubic",
    "tricubic": "cubic",
}  # fmt: skip


def _lanczos(radius: float, x: Any) -> Any:
    safe = hr.where(x > 1e-3, x, hr.ones_like(x))
    value = radius * hr.sin(math.pi * safe) * hr.sin(math.pi * safe / radius)
    value = hr.where(x > 1e-3, value / (math.pi**2 * safe**2), hr.ones_like(x))
    return hr.where(x > radius, hr.zeros_like(x), value)


@op(tensors=4)
def scale_and_translate(
    images: Any, output_shape: Any, scale: Any, translation: Any, spatial_dims: Any,
    method: str, antialias: bool = True,
) -> Any:  # fmt: skip
    """`images` scaled and moved along `spatial_dims`, 0 beyond their borders.

    Args:
        images: a tensor.
        output_shape: of the result.
        scale, translation: for each of `spatial_dims`.
        spatial_dims: axes.
        method: ``linear``, ``cubic``, ``lanczos3``, ``lanczos5`` and their other names.
        antialias: average what falls onto a pixel when images become smaller.

    Raises:
        ValueError: an unknown method.
    """
    method = _SAME_CURVE.get(method, method)
    _check(method=(method, tuple(_CURVES)))
    images = as_tensor(images)
    scale, translation = as_tensor(scale), as_tensor(translation)
    dtype = result_type(dtype_name(scale), dtype_name(translation))
    scale, translation = hr.cast(scale, dtype), hr.cast(translation, dtype)
    out = images if images.dtype.is_floating else hr.cast(images, "float32")
    rank = len(images.shape)
    for i, axis in enumerate(spatial_dims):
        axis %= rank
        weights = _weights(
            static(images, axis), output_shape[axis], scale[i], translation[i],
            _CURVES[method], antialias,
        )  # fmt: skip
        order = [*[a for a in range(rank) if a != axis], axis]
        back = [order.index(a) for a in range(rank)]
        moved = hr.matmul(hr.transpose(out, order), hr.cast(weights, out.dtype))
        out = hr.transpose(moved, back)
    if images.dtype.is_floating:
        return out
    low, high = (hr.cast(f(images), out.dtype) for f in (hr.reduce_min, hr.reduce_max))
    return hr.cast(hr.minimum(hr.maximum(hr.round(out), low), high), images.dtype)


def _weights(size: Any, count: Any, scale: Any, shift: Any, curve: Any, antialias: bool) -> Any:
    """``[size, count]``: what each input gives to each output."""
    inverse = 1.0 / scale
    stretch = hr.maximum(inverse, 1.0) if antialias else 1.0
    at = (hr.range(count, dtype=dtype_name(scale)) + 0.5) * inverse - shift * inverse - 0.5
    inputs = hr.expand_dims(hr.range(size, dtype=dtype_name(scale)), 1)
    weights = curve(hr.abs(hr.expand_dims(at, 0) - inputs) / stretch)
    total = hr.reduce_sum(weights, axis=0, keepdims=True)
    enough = hr.abs(total) > 1000.0 * float(np.finfo(np.float32).eps)
    safe = hr.where(enough, total, hr.ones_like(total))
    weights = hr.where(enough, weights / safe, hr.zeros_like(weights))
    within = hr.logical_and(at >= -0.5, at <= hr.cast(size, at.dtype) - 0.5)
    return hr.where(hr.expand_dims(within, 0), weights, hr.zeros_like(weights))


# -- borders ----------------------------------------------------------------------------------


def _three(before: Any, after: Any, target: Any, size: Any, axis: str, verb: str) -> Any:
    """What is before and after, of which one of three is left out."""
    if [before, after, target].count(None) != 1:
        names = {"height": ("top", "bottom"), "width": ("left", "right")}[axis]
        raise ValueError(
            f"Must specify exactly two of {names[0]}_{verb}, {names[1]}_{verb}, "
            f"target_{axis}. Received: {names[0]}_{verb}={before}, {names[1]}_{verb}={after}, "
            f"target_{axis}={target}"
        )
    spare = None if target is None else (target - size if verb == "padding" else size - target)
    before = spare - after if before is None else before
    after = spare - before if after is None else after
    for value in (before, after):
        if isinstance(value, int) and value < 0:
            raise ValueError(f"{axis} {verb} must be >= 0. Received: {before} and {after}")
    return before, after


@op()
def pad_images(
    images: Any, top_padding: Any = None, left_padding: Any = None, bottom_padding: Any = None,
    right_padding: Any = None, target_height: Any = None, target_width: Any = None,
    data_format: Any = None,
) -> Any:  # fmt: skip
    """Images with borders of zeros; of each axis two of before, after and target are given.

    Raises:
        ValueError: more or fewer are given, or a border is negative.
    """
    batch = _Batch(images, data_format)
    height, width = static(batch.images, 1), static(batch.images, 2)
    rows = _three(top_padding, bottom_padding, target_height, height, "height", "padding")
    columns = _three(left_padding, right_padding, target_width, width, "width", "padding")
    return batch.back(hr.pad(batch.images, [[0, 0], list(rows), list(columns), [0, 0]]))


@op()
def crop_images(
    images: Any, top_cropping: Any = None, left_cropping: Any = None,
    bottom_cropping: Any = None, right_cropping: Any = None, target_height: Any = None,
    target_width: Any = None, data_format: Any = None,
) -> Any:  # fmt: skip
    """Images without their borders; of each axis two of before, after and target are given.

    Raises:
        ValueError: more or fewer are given, or a border is negative.
    """
    batch = _Batch(images, data_format)
    height, width = static(batch.images, 1), static(batch.images, 2)
    top, bottom = _three(
        top_cropping, bottom_cropping, target_height, height, "height", "cropping"
    )
    left, right = _three(
        left_cropping, right_cropping, target_width, width, "width", "cropping"
    )
    return batch.back(batch.images[:, top : height - bottom, left : width - right])


# -- qualities --------------------------------------------------------------------------------


@op()
def sobel_edges(images: Any, data_format: Any = None) -> Any:
    """The slopes of images down and across, along a new last axis."""
    images = as_tensor(images)
    first = _first(data_format)
    edges = image_quality.sobel_edges(hr.transpose(images, [0, 2, 3, 1]) if first else images)
    return hr.transpose(edges, [0, 3, 1, 2, 4]) if first else edges


@op("SSIM", tensors=2)
def ssim(
    image1: Any, image2: Any, max_val: float = 1.0, filter_size: int = 11,
    filter_sigma: float = 1.5, k1: float = 0.01, k2: float = 0.03, data_format: Any = None,
) -> Any:  # fmt: skip
    """The structural similarity of two batches of images, ``[batch]``."""
    one, two = as_tensor(image1), as_tensor(image2)
    if _first(data_format):
        one, two = (hr.transpose(x, [0, 2, 3, 1]) for x in (one, two))
    return image_quality.ssim(one, two, max_val, filter_size, filter_sigma, k1, k2)


__all__ = [
    "affine_transform", "crop_images", "elastic_transform", "extract_patches",
    "extract_patches_3d", "gaussian_blur", "hsv_to_rgb", "map_coordinates", "pad_images",
    "perspective_transform", "resize", "rgb_to_grayscale", "rgb_to_hsv", "scale_and_translate",
    "sobel_edges", "ssim",
]  # fmt: skip
