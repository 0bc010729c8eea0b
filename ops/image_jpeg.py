"""JPEG: bytes to pixels and back, through libjpeg-turbo, with TensorFlow's choices.

The decoder is simplejpeg's libjpeg-turbo, which works without the GIL.  TensorFlow decodes with
the same library and, unless told otherwise, the fast integer DCT and smooth ("fancy") chroma
upsampling; so do we, and the pixels are TensorFlow's, bit for bit.  The encoder is Pillow's.

Raw bytes and arrays only; the operations are in `image_decode` and `image_encode`.
"""

from __future__ import annotations

import io
from typing import Any

import numpy as np

from . import recycling
from .errors import InvalidArgumentError, UnimplementedError

__all__ = ["decode", "encode", "header"]

_INVALID = "jpeg::Uncompress failed. Invalid JPEG data or crop window."
_TRUNCATED = "Premature end of JPEG file"
_MOST_PIXELS = 1 << 29


def header(data: np.ndarray) -> tuple[int, int, str]:
    """Height, width and colour space ("Gray", "YCbCr", "RGB", "CMYK" or "YCCK") of a JPEG.

    Raises:
        InvalidArgumentError: `data` is no JPEG.
    """
    import simplejpeg

    try:
        height, width, space, _ = simplejpeg.decode_jpeg_header(data, strict=False)
    except (ValueError, KeyError) as error:  # KeyError: no frame header was found
        raise InvalidArgumentError(f"{_INVALID} ({error})") from error
    return height, width, space


def decode(
    data: np.ndarray,
    *,
    channels: int = 0,
    ratio: int = 1,
    fancy_upscaling: bool = True,
    try_recover_truncated: bool = False,
    acceptable_fraction: float = 1.0,
    fast_dct: bool = True,
    crop: tuple[int, int, int, int] | None = None,
) -> np.ndarray:
    """The pixels, uint8 [height, width, channels].

    Args:
        data: uint8 [size], the file.
        channels: 0 for the file's own (3 for CMYK), 1 for grey, 3 for RGB.
        ratio: 1, 2, 4 or 8: decode at that fraction of the size.
        fancy_upscaling: interpolate chroma smoothly.
        try_recover_truncated: a file that ends early gives what is there.
        acceptable_fraction: as TensorFlow's; fractions of a truncated file are not told.
        fast_dct: the fast integer transform, else the accurate one.
        crop: y, x, height, width of the window to return.

    Raises:
        InvalidArgumentError: the data are damaged, or the window does not lie in the image.
    """
    if channels == 4:
        raise InvalidArgumentError("JPEG does not support 4 channels")
    height, width, space = header(data)
    height, width = -(-height // ratio), -(-width // ratio)
    if height * width * 3 >= _MOST_PIXELS:
        raise InvalidArgumentError(f"{_INVALID} (the image is too large: {height}x{width})")
    if crop is not None:
        y, x, rows, cols = crop
        if rows <= 0 or cols <= 0 or y < 0 or x < 0 or y + rows > height or x + cols > width:
            raise InvalidArgumentError(
                f"{_INVALID} (the window y={y}, x={x}, height={rows}, width={cols} does not "
                f"lie in an image of {height}x{width})"
            )
    if channels == 0:
        channels = 1 if space == "Gray" else 3
    cmyk = space in ("CMYK", "YCCK")
    if cmyk and channels == 1:
        raise InvalidArgumentError(f"{_INVALID} ({space} does not convert to one channel)")
    settings = {
        "colorspace": "GRAY" if channels == 1 else "CMYK" if cmyk else "RGB",
        "fastdct": fast_dct,
        "fastupsample": not fancy_upscaling,
    }
    if ratio > 1:
        settings |= {"min_height": height, "min_width": width}
    size = height * width * (4 if cmyk else channels)
    settings["buffer"] = recycling.empty((size,), np.uint8)
    pixels = _pixels(data, settings, try_recover_truncated, acceptable_fraction)
    if crop is not None:
        pixels = np.ascontiguousarray(pixels[y : y + rows, x : x + cols])
    return _rgb_of(pixels, data) if cmyk else pixels


def _pixels(
    data: np.ndarray, settings: dict[str, Any], recover: bool, fraction: float
) -> np.ndarray:
    """Decode as libjpeg's callers do: damage inside is borne, an early end is not."""
    import simplejpeg

    try:
        return simplejpeg.decode_jpeg(data, strict=not recover, **settings)
    except ValueError as error:
        reason = str(error)
    if reason == _TRUNCATED:
        if fraction < 1.0:
            raise UnimplementedError(
                "acceptable_fraction: the decoder does not say how much of a truncated JPEG "
                "there was; try_recover_truncated=True takes any part"
            )
    else:
        try:
            return simplejpeg.decode_jpeg(data, strict=False, **settings)
        except ValueError:
            pass
    raise InvalidArgumentError(f"{_INVALID} ({reason})")


def _rgb_of(cmyk: np.ndarray, data: np.ndarray) -> np.ndarray:
    """RGB of CMYK; a file with Adobe's marker has its inks inverted."""
    ink = cmyk.astype(np.int32)
    if not _has_adobe_marker(data):
        ink = 255 - ink
    return (ink[..., :3] * ink[..., 3:] // 255).astype(np.uint8)


def _has_adobe_marker(data: np.ndarray) -> bool:
    """Whether an APP14 segment of Adobe's stands before the scan (ITU-T T.81, B.1.1.4)."""
    raw = data[: 1 << 16].tobytes()
    at = 2
    while at + 4 <= len(raw) and raw[at] == 0xFF:
        kind, size = raw[at + 1], int.from_bytes(raw[at + 2 : at + 4], "big")
        if kind == 0xEE and raw[at + 4 : at + 9] == b"Adobe":
            return True
        if kind == 0xDA:
            return False
        at += 2 + size
    return False


def encode(
    image: np.ndarray,
    *,
    quality: int = 95,
    progressive: bool = False,
    optimize_size: bool = False,
    chroma_downsampling: bool = True,
    density_unit: str = "in",
    x_density: int = 300,
    y_density: int = 300,
    xmp_metadata: bytes = b"",
) -> bytes:
    """A JPEG file of `image`, uint8 [height, width, 1 or 3]."""
    from PIL import Image

    out = io.BytesIO()
    picture = Image.fromarray(image[..., 0] if image.shape[2] == 1 else image)
    extra = {"xmp": xmp_metadata} if xmp_metadata else {}
    picture.save(
        out, "JPEG", quality=quality, progressive=progressive, optimize=optimize_size,
        subsampling=2 if chroma_downsampling and image.shape[2] == 3 else 0, **extra,
    )  # fmt: skip
    data = bytearray(out.getvalue())
    # The JFIF header comes first: marker, size, "JFIF\0", version, then the density.
    data[13] = 1 if density_unit == "in" else 2
    data[14:18] = x_density.to_bytes(2, "big") + y_density.to_bytes(2, "big")
    return bytes(data)
