"""Encoding of images: encode_jpeg, encode_png, adjust_jpeg_quality's encoder."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["encode_jpeg", "encode_png"]


def encode_jpeg(
    image: Any,
    format: str = "",
    quality: int = 95,
    progressive: bool = False,
    optimize_size: bool = False,
    chroma_downsampling: bool = True,
    density_unit: str = "in",
    x_density: int = 300,
    y_density: int = 300,
    xmp_metadata: str = "",
    name: str | None = None,
) -> Tensor:
    """`image` as a JPEG file.

    The bytes are TensorFlow's: both sides use libjpeg-turbo with the same settings.

    Args:
        image: uint8 [height, width, 1 or 3].
        format: "grayscale", "rgb" or "" for what the channels say.
        quality: 0 to 100, of the compression.
        progressive: write a file that sharpens as it loads.
        optimize_size: spend time on a smaller file; the pixels stay the same.
        chroma_downsampling: keep colours at half the resolution.
        density_unit: "in" or "cm", of the densities.
        x_density, y_density: pixels per unit.
        xmp_metadata: XMP to embed.

    Returns:
        A scalar string.

    Raises:
        InvalidArgumentError: the image has another number of channels than `format` says, or
            `quality` is out of range.
    """
    return EncodeJpeg(
        image, format=format, quality=quality, progressive=bool(progressive),
        optimize_size=bool(optimize_size), chroma_downsampling=bool(chroma_downsampling),
        density_unit=density_unit, x_density=x_density, y_density=y_density,
        xmp_metadata=xmp_metadata,
    )  # fmt: skip


def encode_png(image: Any, compression: int = -1, name: str | None = None) -> Tensor:
    """`image` as a PNG file.

    The pixels decode to what they were; the file's bytes depend on the version of zlib.

    Args:
        image: uint8 or uint16 [..., height, width, 1 to 4].
        compression: -1 for zlib's default, or 0 (none) to 9 (most).

    Returns:
        Strings [...].

    Raises:
        InvalidArgumentError: the number of channels is not 1 to 4.
    """
    return EncodePng(image, compression=compression)


def _check_jpeg(x: Any, quality: Any, format: str, density_unit: str, op: str) -> None:
    if x.shape.rank not in (3, None):
        raise InvalidArgumentError(
            f"image must be 3-dimensional, got shape {x.shape} [Op:{op}]", op=op
        )
    if format not in ("", "grayscale", "rgb"):
        raise InvalidArgumentError(
            f"format must be '', grayscale or rgb, got {format!r} [Op:{op}]", op=op
        )
    if density_unit not in ("in", "cm"):
        raise InvalidArgumentError(
            f"density_unit must be 'in' or 'cm', got {density_unit!r} [Op:{op}]", op=op
        )
    if quality is not None and not 0 <= quality <= 100:
        raise InvalidArgumentError(
            f"quality must be in [0,100], got {quality} [Op:{op}]", op=op
        )
    channels = x.shape.dims[-1] if x.shape.rank else None
    wanted = {"": (1, 3), "grayscale": (1,), "rgb": (3,)}[format]
    if channels is not None and channels not in wanted:
        raise InvalidArgumentError(
            f"image must have {' or '.join(map(str, wanted))} channels, got {channels} "
            f"[Op:{op}]",
            op=op,
        )


def _jpeg_impl(x: Any, *, format: str, quality: int, density_unit: str, xmp_metadata: str,
               **attrs: Any) -> Any:  # fmt: skip
    from . import image_jpeg

    if x.ndim != 3 or x.shape[2] not in (1, 3) or not x.size:
        raise ValueError(f"EncodeJpeg: wrong image of shape {list(x.shape)}")
    if format and x.shape[2] != {"grayscale": 1, "rgb": 3}[format]:
        raise ValueError(f"EncodeJpeg: {x.shape[2]} channels for format {format!r}")
    data = image_jpeg.encode(
        x, quality=quality, density_unit=density_unit, xmp_metadata=xmp_metadata.encode(),
        **attrs,
    )  # fmt: skip
    return _scalar(data)


def _jpeg_shape(x: Any, *, format: str, quality: int, density_unit: str,
                **attrs: Any) -> TensorSpec:  # fmt: skip
    _check_jpeg(x, quality, format, density_unit, "EncodeJpeg")
    return TensorSpec([], dtypes.string)


EncodeJpeg = Primitive(
    "EncodeJpeg",
    "image: uint8",
    impl=_jpeg_impl,
    shape=_jpeg_shape,
    vjp=lambda op, g: (None,),
    check_first=True,
    defaults={
        "format": "", "quality": 95, "progressive": False, "optimize_size": False,
        "chroma_downsampling": True, "density_unit": "in", "x_density": 300,
        "y_density": 300, "xmp_metadata": "",
    },
)  # fmt: skip


def _variable_impl(x: Any, quality: Any) -> Any:
    from . import image_jpeg

    if x.ndim != 3 or x.shape[2] not in (1, 3) or not 0 <= int(quality) <= 100:
        raise ValueError(
            f"EncodeJpegVariableQuality: wrong image of shape {list(x.shape)} or quality "
            f"{quality} not in [0,100]"
        )
    return _scalar(image_jpeg.encode(x, quality=int(quality)))


def _variable_shape(x: Any, quality: Any) -> TensorSpec:
    _check_jpeg(x, None, "", "in", "EncodeJpegVariableQuality")
    return TensorSpec([], dtypes.string)


EncodeJpegVariableQuality = Primitive(
    "EncodeJpegVariableQuality",
    "images: uint8, quality: int32",
    impl=_variable_impl,
    shape=_variable_shape,
    vjp=lambda op, g: (None, None),
)


def _png_impl(x: Any, *, compression: int) -> Any:
    from . import image_png

    if x.ndim == 3:
        return _scalar(image_png.encode(x, compression=compression))
    files = [image_png.encode(i, compression=compression) for i in x.reshape(-1, *x.shape[-3:])]
    return StringArray.from_values(np.array(files, object).reshape(x.shape[:-3]))


def _png_shape(x: Any, *, compression: int) -> TensorSpec:
    rank = x.shape.rank
    if rank is None:
        return TensorSpec(None, dtypes.string)
    if rank < 3:
        raise InvalidArgumentError(
            f"image must have at least three axes, got shape {x.shape} [Op:EncodePng]",
            op="EncodePng",
        )
    if x.shape.dims[-1] not in (1, 2, 3, 4, None) or 0 in x.shape.dims[-3:]:
        raise InvalidArgumentError(
            "image must not be empty and have 1, 2, 3 or 4 channels, got shape "
            f"{x.shape} [Op:EncodePng]",
            op="EncodePng",
        )
    if not -1 <= compression <= 9:
        raise InvalidArgumentError(
            f"compression should be in [-1,9], got {compression} [Op:EncodePng]",
            op="EncodePng",
        )
    return TensorSpec(x.shape.dims[:-3], dtypes.string)


EncodePng = Primitive(
    "EncodePng",
    "image: T",
    impl=_png_impl,
    shape=_png_shape,
    vjp=lambda op, g: (None,),
    batch=lambda ctx, x, **attrs: EncodePng(x, **attrs),
    types={"T": (dtypes.uint8, dtypes.uint16)},
    check_first=True,
    defaults={"compression": -1},
)


def _scalar(data: bytes) -> StringArray:
    return StringArray(
        np.frombuffer(data, np.uint8), np.array(0, np.int64), np.array(len(data), np.int64)
    )
