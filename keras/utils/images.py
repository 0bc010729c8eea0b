"""Images as arrays and back, and from and to files, by Pillow."""

from __future__ import annotations

import io
import os
from typing import Any

import numpy as np

from ...ops import api as hr
from .. import settings

__all__ = ["array_to_img", "img_to_array", "load_img", "save_img", "smart_resize"]

_MODES = {"rgb": "RGB", "rgba": "RGBA", "grayscale": "L"}


def _pillow() -> Any:
    try:
        from PIL import Image
    except ImportError:
        raise ImportError("This function needs Pillow: pip install pillow") from None
    return Image


def _format(data_format: str | None) -> str:
    found = data_format or settings.image_data_format()
    if found not in ("channels_first", "channels_last"):
        raise ValueError(f"Invalid data_format: {data_format}")
    return found


def array_to_img(
    x: Any, data_format: str | None = None, scale: bool = True, dtype: Any = None
) -> Any:
    """A Pillow image of ``[height, width, channels]``.

    Args:
        x: an array or tensor of 1, 3 or 4 channels.
        data_format: where the channels are.
        scale: spread the values over 0 to 255.
        dtype: to compute in.

    Raises:
        ValueError: another number of axes or channels.
    """
    image = _pillow()
    x = np.asarray(x, dtype=dtype or settings.floatx())
    if x.ndim != 3:
        raise ValueError(
            "Expected image array to have rank 3 (single image). Got array with shape: "
            f"{x.shape}"
        )
    if _format(data_format) == "channels_first":
        x = x.transpose(1, 2, 0)
    if scale:
        x = x - np.min(x)
        top = np.max(x)
        x = (x / top if top else x) * 255
    channels = x.shape[2]
    if channels in (3, 4):
        return image.fromarray(x.astype("uint8"), {3: "RGB", 4: "RGBA"}[channels])
    if channels == 1:
        large = np.max(x) > 255
        return image.fromarray(x[:, :, 0].astype("int32" if large else "uint8"))
    raise ValueError(f"Unsupported channel number: {channels}")


def img_to_array(img: Any, data_format: str | None = None, dtype: Any = None) -> np.ndarray:
    """A Pillow image as an array ``[height, width, channels]``.

    Raises:
        ValueError: the image has not two or three axes.
    """
    x = np.asarray(img, dtype=dtype or settings.floatx())
    first = _format(data_format) == "channels_first"
    if x.ndim == 3:
        return x.transpose(2, 0, 1) if first else x
    if x.ndim == 2:
        return x[None] if first else x[:, :, None]
    raise ValueError(f"Unsupported image shape: {x.shape}")


def save_img(
    path: Any,
    x: Any,
    data_format: str | None = None,
    file_format: str | None = None,
    scale: bool = True,
    **kwargs: Any,
) -> None:
    """Write an image ``[height, width, channels]`` to a file.

    Args:
        path: file name or file object.
        x: see `array_to_img`.
        data_format, scale: see there.
        file_format: by default that of the file's name.
        **kwargs: for Pillow's `save`.
    """
    img = array_to_img(x, data_format=data_format, scale=scale)
    name = str(file_format or path).lower()
    if img.mode == "RGBA" and name.endswith(("jpg", "jpeg")):
        img = img.convert("RGB")  # JPEG has no transparency
    img.save(path, format=file_format, **kwargs)


def load_img(
    path: Any,
    color_mode: str = "rgb",
    target_size: Any = None,
    interpolation: str = "nearest",
    keep_aspect_ratio: bool = False,
) -> Any:
    """The image of a file, as Pillow has it.

    Args:
        path: file name, path or file object.
        color_mode: ``"rgb"``, ``"rgba"`` or ``"grayscale"``.
        target_size: height and width, or None.
        interpolation: ``nearest``, ``bilinear``, ``bicubic``, ``hamming``, ``box``,
            ``lanczos``.
        keep_aspect_ratio: cut to the aspect of `target_size` first.

    Raises:
        ValueError: an unknown mode or interpolation.
        TypeError: `path` is no file.
    """
    image = _pillow()
    if isinstance(path, io.BytesIO):
        img = image.open(path)
    elif isinstance(path, (str, bytes, os.PathLike)):
        with open(path, "rb") as file:
            img = image.open(io.BytesIO(file.read()))
    else:
        raise TypeError(f"path should be path-like or io.BytesIO, not {type(path)}")
    if color_mode not in _MODES:
        raise ValueError('color_mode must be "grayscale", "rgb", or "rgba"')
    if not (color_mode == "grayscale" and img.mode in ("I;16", "I")):
        img = img.convert(_MODES[color_mode]) if img.mode != _MODES[color_mode] else img
    if target_size is None:
        return img
    known = {n.lower(): getattr(image.Resampling, n.upper()) for n in
             ("nearest", "bilinear", "bicubic", "hamming", "box", "lanczos")}  # fmt: skip
    if interpolation not in known:
        raise ValueError(
            f"Invalid interpolation method {interpolation} specified. Supported methods are "
            f"{', '.join(known)}"
        )
    size = (target_size[1], target_size[0])
    if img.size == size:
        return img
    box = None
    if keep_aspect_ratio:
        width, height = img.size
        crop_height = min(height, width * target_size[0] // target_size[1])
        crop_width = min(width, height * target_size[1] // target_size[0])
        top, left = (height - crop_height) // 2, (width - crop_width) // 2
        box = [left, top, left + crop_width, top + crop_height]
    return img.resize(size, known[interpolation], box=box)


def smart_resize(
    x: Any, size: Any, interpolation: str = "bilinear", data_format: Any = None,
    backend_module: Any = None,
) -> Any:  # fmt: skip
    """Images cut to the aspect of `size` in the middle, then resized to it.

    Args:
        x: an image or a batch; an array gives an array.
        size: height and width.
        interpolation: see `keras.ops.image.resize`.
        data_format: where the channels are.
        backend_module: accepted.

    Raises:
        ValueError: `size` is no pair, or `x` has not three or four axes.
    """
    from ..ops.image_family import resize

    if len(size) != 2:
        raise ValueError(f"Expected `size` to be a tuple of 2 integers, but got: {size}.")
    tensor = hr.convert_to_tensor(x)
    if len(tensor.shape) not in (3, 4):
        raise ValueError(
            "Expected an image array with shape `(height, width, channels)`, or "
            f"`(batch_size, height, width, channels)`, but got input with shape {tensor.shape}."
        )
    tensor = hr.cast(tensor, settings.floatx())
    found = resize(
        tensor, size, interpolation, crop_to_aspect_ratio=True, data_format=data_format
    )
    return found.numpy() if isinstance(x, np.ndarray) else found
