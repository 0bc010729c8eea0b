"""Resizing, CenterCrop: images of one size; MaxNumBoundingBoxes: as many boxes for each."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ...ops.image_dtypes import saturate_cast
from ...ops.image_resize import resize
from .augmentation_base import ImageLayer
from .preprocessing_base import as_tensor

__all__ = ["CenterCrop", "MaxNumBoundingBoxes", "Resizing"]

_METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian",
            "mitchellcubic")  # fmt: skip


class _Sized(ImageLayer):
    """A layer whose images have a given height and width."""

    trains_only = False

    def __init__(self, height: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.height = height
        self.width = width

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape with the height and width."""
        shape = list(input_shape)
        if len(shape) not in (3, 4) or any(isinstance(n, (list, tuple)) for n in shape):
            raise ValueError(
                "`input_shape` must be a non-nested tuple or list of rank-1 with size 3 "
                f"(unbatched) or 4 (batched). Received: {input_shape}"
            )
        first = self.data_format == "channels_first"
        high, wide = (-2, -1) if first else (-3, -2)
        shape[high], shape[wide] = self.height, self.width
        return tuple(shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "height": self.height, "width": self.width}


def _sizes(images: Any) -> tuple[Any, Any]:
    """Height and width, integers where they are known."""
    known = images.shape[1:3]
    if None not in known.as_list():
        return tuple(known.as_list())  # type: ignore[return-value]
    sizes = hr.shape(images)
    return tuple(sizes[i + 1] if n is None else n for i, n in enumerate(known.as_list()))  # type: ignore[return-value]


def _scaled(size: Any, times: int, by: int) -> Any:
    """``int(size * times / by)``, the product divided as float32 as TensorFlow's graph does."""
    if isinstance(size, int):
        return int(size * times / by)
    return hr.cast(hr.cast(size * times, hr.float32) / by, hr.int32)


def _least(a: Any, b: Any) -> Any:
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else hr.minimum(a, b)


def _most(a: Any, b: Any) -> Any:
    return max(a, b) if isinstance(a, int) and isinstance(b, int) else hr.maximum(a, b)


class Resizing(_Sized):
    """Images resized.

    Args:
        height, width: the new size.
        interpolation: ``"bilinear"``, ``"nearest"``, ``"bicubic"``, ``"lanczos3"``, ...
        crop_to_aspect_ratio: cut the images to the new aspect first, in the middle.
        pad_to_aspect_ratio: pad them to it instead.
        fill_mode: ``"constant"``, for the padding.
        fill_value: of the padding.
        antialias: average over what falls onto a pixel when images become smaller.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        height: int,
        width: int,
        interpolation: str = "bilinear",
        crop_to_aspect_ratio: bool = False,
        pad_to_aspect_ratio: bool = False,
        fill_mode: str = "constant",
        fill_value: float = 0.0,
        antialias: bool = False,
        data_format: Any = None,
        **kwargs: Any,
    ):
        super().__init__(height, width, data_format=data_format, **kwargs)
        if interpolation not in _METHODS:
            raise ValueError(f"interpolation must be one of {_METHODS}, got {interpolation!r}")
        if crop_to_aspect_ratio and pad_to_aspect_ratio:
            raise ValueError(
                "Only one of `pad_to_aspect_ratio` & `crop_to_aspect_ratio` can be `True`."
            )
        if fill_mode != "constant":
            raise ValueError(
                f"Invalid value for argument `fill_mode`. Only `'constant'` is supported. "
                f"Received: fill_mode={fill_mode}"
            )
        self.interpolation = interpolation
        self.crop_to_aspect_ratio = crop_to_aspect_ratio
        self.pad_to_aspect_ratio = pad_to_aspect_ratio
        self.fill_mode = fill_mode
        self.fill_value = fill_value
        self.antialias = bool(antialias)

    def transform_images(self, images: Any, transformation: Any, training: Any = True) -> Any:
        """Images resized, of their own dtype."""
        images = as_tensor(images)
        return self._back(
            self._resized(self._normal(images), self.interpolation), images.shape.rank
        )

    def transform_segmentation_masks(
        self, segmentation_masks: Any, transformation: Any, training: Any = True
    ) -> Any:
        """Masks resized by taking the nearest."""
        masks = as_tensor(segmentation_masks)
        return self._back(self._resized(self._normal(masks), "nearest"), masks.shape.rank)

    def _resized(self, images: Any, method: str) -> Any:
        if self.crop_to_aspect_ratio:
            top, left, high, wide = self._window(*_sizes(images), _least)
            images = hr.slice(
                images, hr.stack([0, top, left, 0]), hr.stack([-1, high, wide, -1])
            )
        elif self.pad_to_aspect_ratio:
            height, width = _sizes(images)
            top, left, high, wide = self._window(height, width, _most)
            pads = [0, 0, -top, high - height + top, -left, wide - width + left, 0, 0]
            images = hr.pad(
                images,
                hr.reshape(hr.stack(pads), [4, 2]),
                constant_values=hr.cast(self.fill_value, images.dtype),
            )
        out = resize(images, [self.height, self.width], method=method, antialias=self.antialias)
        if out.dtype is images.dtype:
            return out
        if images.dtype.is_integer:
            out = hr.round(out)
        return saturate_cast(out, images.dtype)

    def _window(self, height: Any, width: Any, choose: Any) -> tuple[Any, ...]:
        """Top, left, height and width of the middle part of the new aspect; padded parts start
        before the image."""
        high = _most(choose(height, _scaled(width, self.height, self.width)), 1)
        wide = _most(choose(width, _scaled(height, self.width, self.height)), 1)
        return _middle(height, high), _middle(width, wide), high, wide

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        top, left, high, wide = 0, 0, height, width
        if self.crop_to_aspect_ratio or self.pad_to_aspect_ratio:
            choose = _least if self.crop_to_aspect_ratio else _most
            top, left, high, wide = self._window(height, width, choose)
        y, x = self.height / high, self.width / wide

        def change(corners: Any) -> Any:
            moved = corners - hr.constant([left, top, left, top], dtype=corners.dtype)
            return moved * hr.constant([x, y, x, y], dtype=corners.dtype)

        return change

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "interpolation": self.interpolation,
            "crop_to_aspect_ratio": self.crop_to_aspect_ratio,
            "pad_to_aspect_ratio": self.pad_to_aspect_ratio,
            "fill_mode": self.fill_mode,
            "fill_value": self.fill_value,
            "antialias": self.antialias,
        }


def _middle(have: Any, want: Any) -> Any:
    """Where a stretch of `want` starts that has the middle of `have`; towards zero."""
    if isinstance(have, int) and isinstance(want, int):
        return int((have - want) / 2)
    return hr.truncatediv(hr.cast(have - want, hr.int32), 2)


class CenterCrop(_Sized):
    """The middle of images; those that are too small are cut to the aspect and resized.

    Args:
        height, width: of the piece.
        data_format: see `ImageLayer`.
        **kwargs: see `Layer`.
    """

    def __init__(self, height: int, width: int, data_format: Any = None, **kwargs: Any):
        super().__init__(height, width, data_format=data_format, **kwargs)

    def _change(self, images: Any, drawn: Any) -> Any:
        height, width = _sizes(images)
        below = [isinstance(n, int) and n < size
                 for n, size in ((height, self.height), (width, self.width))]  # fmt: skip
        if any(below):
            fit = Resizing(self.height, self.width, crop_to_aspect_ratio=True,
                           data_format="channels_last")  # fmt: skip
            return fit._resized(images, "bilinear")
        top, left = (height - self.height) // 2, (width - self.width) // 2
        begin = hr.stack([0, top, left, 0])
        return hr.slice(images, begin, [-1, self.height, self.width, -1])

    _change_masks = _change

    def _box_change(self, drawn: Any, height: Any, width: Any) -> Any:
        if height < self.height or width < self.width:
            fit = Resizing(self.height, self.width, crop_to_aspect_ratio=True)
            return fit._box_change(None, height, width)
        top, left = (height - self.height) // 2, (width - self.width) // 2
        return lambda corners: corners - hr.constant([left, top, left, top], corners.dtype)


class MaxNumBoundingBoxes(ImageLayer):
    """Cuts or pads the bounding boxes of each image to the same number.

    Args:
        max_number: how many.
        fill_value: of the padding.
        **kwargs: see `ImageLayer` and `Layer`.
    """

    trains_only = False

    def __init__(self, max_number: int, fill_value: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_number = int(max_number)
        self.fill_value = int(fill_value)

    def _boxes(self, boxes: Any, images: Any, out: Any, drawn: Any, training: Any) -> Any:
        return {
            **boxes,
            "boxes": self._fitted(as_tensor(boxes["boxes"]), -2),
            "labels": self._fitted(as_tensor(boxes["labels"]), -1),
        }

    def _fitted(self, x: Any, axis: int) -> Any:
        keys = [slice(None)] * x.shape.rank
        keys[axis] = slice(self.max_number)
        x = x[tuple(keys)]
        pads = [[0, 0] for _ in keys]
        pads[axis] = [0, self.max_number - x.shape[axis]]
        return hr.pad(x, pads, constant_values=hr.cast(self.fill_value, x.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "max_number": self.max_number}
