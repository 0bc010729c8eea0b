"""PNG: bytes to pixels and back.

Pillow decodes; what it does to samples beyond 8 bits (it drops the lower byte of colours) is
not what `uint16` asks for, so 16-bit files with colours or alpha are decoded by `image_png16`.
Changes of the channels follow libpng as TensorFlow sets it up, so the pixels are TensorFlow's.
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import Any

import numpy as np

from . import image_png16
from .errors import InvalidArgumentError

__all__ = ["decode", "encode"]

_END = b"IEND\xaeB`\x82"  # the last chunk's name and checksum
_GRAY, _RGB, _PALETTE, _GRAY_ALPHA, _RGB_ALPHA = 0, 2, 3, 4, 6
# libpng's fixed-point weights of red, green and blue, in 1/32768.
_WEIGHTS = np.array([9797, 19234, 3737], np.int64)


def decode(data: bytes, *, channels: int = 0, bits: int = 8) -> np.ndarray:
    """The pixels, uint8 or uint16 [height, width, channels].

    Args:
        data: the file.
        channels: 0 for the file's own, 1 grey, 2 grey + alpha, 3 RGB, 4 RGB + alpha.
        bits: 8 or 16, of a sample of the result.

    Raises:
        InvalidArgumentError: the data are damaged or end early.
    """
    if len(data) < 33 or data[12:16] != b"IHDR":
        raise InvalidArgumentError("Invalid PNG. Failed to initialize decoder.")
    width, height, depth, kind = struct.unpack(">IIBB", data[16:26])
    if width >= 1 << 27 or height >= 1 << 27 or width * height >= 1 << 29:
        raise InvalidArgumentError(f"PNG size too large for int: {width} by {height}")
    if data.find(_END, 33) < 0:
        raise InvalidArgumentError(f"Invalid PNG data, size {len(data)} (it ends early)")
    try:
        if depth == 16 and (kind != _GRAY or b"tRNS" in data):
            pixels, alpha = image_png16.decode(data)
        else:
            pixels, alpha = _through_pillow(data, depth, kind)
    except InvalidArgumentError:
        raise
    except Exception as error:
        raise InvalidArgumentError(f"Invalid PNG data, size {len(data)} ({error})") from error
    own = pixels.shape[2]
    if not channels:
        channels = own + (alpha is not None and kind not in (_GRAY, _RGB))
    if channels < 3 and own == 3:
        pixels = _gray(pixels)
    elif channels >= 3 and own == 1:
        pixels = np.repeat(pixels, 3, axis=2)
    if channels % 2 == 0:
        if alpha is None:
            full = np.array((1 << depth) - 1).astype(pixels.dtype)
            alpha = np.full(pixels.shape[:2], full, pixels.dtype)
        pixels = np.concatenate([pixels, alpha[..., None]], axis=2)
    if bits == 8 and pixels.dtype == np.uint16:
        pixels = (pixels >> 8).astype(np.uint8)
    elif bits == 16 and pixels.dtype == np.uint8:
        pixels = pixels.astype(np.uint16) * np.uint16(257)
    return np.ascontiguousarray(pixels)


def _gray(pixels: np.ndarray) -> np.ndarray:
    """libpng's grey of RGB: rounded for 16-bit samples, cut off for 8-bit ones."""
    total = pixels.astype(np.int64) @ _WEIGHTS
    if pixels.dtype == np.uint16:
        total += 1 << 14
    gray = total >> 15
    same = (pixels == pixels[..., :1]).all(axis=2)
    return np.where(same, pixels[..., 0], gray).astype(pixels.dtype)[..., None]


def _through_pillow(data: bytes, depth: int, kind: int) -> tuple[np.ndarray, Any]:
    """Pixels [height, width, 1 or 3] and alpha [height, width] or None."""
    from PIL.PngImagePlugin import PngImageFile

    # The class, not Image.open: that one warns of large images.
    with PngImageFile(io.BytesIO(data)) as image:
        image.load()
        samples = np.asarray(image)
        clear = image.info.get("transparency")
        palette = image.getpalette("RGB") if kind == _PALETTE else None
    if kind == _PALETTE:
        return _of_palette(samples, palette or [], clear)
    if samples.dtype == bool:
        samples = samples.astype(np.uint8) * np.uint8(255)
    elif samples.dtype.kind == "i" or samples.dtype.byteorder == ">":
        samples = samples.astype(np.uint16)
    if kind in (_GRAY_ALPHA, _RGB_ALPHA):
        return samples[..., :-1], samples[..., -1]
    if samples.ndim == 2:
        samples = samples[..., None]
    if clear is None:
        return samples, None
    if kind == _GRAY and depth in (2, 4):
        clear = int(clear) * 255 // ((1 << depth) - 1)
    alpha = np.where((samples == np.asarray(clear)).all(axis=2), 0, 255)
    return samples, alpha.astype(samples.dtype)


def _of_palette(samples: np.ndarray, palette: list[int], clear: Any) -> tuple[np.ndarray, Any]:
    colours = np.zeros((256, 3), np.uint8)
    colours.reshape(-1)[: len(palette)] = palette[:768]
    pixels = colours[samples]
    if clear is None:
        return pixels, None
    alphas = np.full(256, 255, np.uint8)
    if isinstance(clear, bytes):
        alphas[: len(clear)] = np.frombuffer(clear, np.uint8)
    else:
        alphas[clear] = 0
    return pixels, alphas[samples]


def encode(image: np.ndarray, *, compression: int = -1) -> bytes:
    """A PNG file of `image`, uint8 or uint16 [height, width, 1 to 4].

    Every row takes the filter that leaves the smallest sum of absolute differences, the rule of
    thumb of the PNG specification (12.8) that libpng follows too.
    """
    height, width, channels = image.shape
    depth = image.dtype.itemsize * 8
    kind = {1: _GRAY, 2: _GRAY_ALPHA, 3: _RGB, 4: _RGB_ALPHA}[channels]
    step = channels * image.dtype.itemsize
    rows = image.astype(image.dtype.newbyteorder(">"), copy=False)
    rows = np.ascontiguousarray(rows).view(np.uint8).reshape(height, width * step)
    filtered = image_png16.filtered(rows, step)
    parts = [
        _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, kind, 0, 0, 0)),
        _chunk(b"IDAT", zlib.compress(filtered.tobytes(), compression)),
        _chunk(b"IEND", b""),
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def _chunk(kind: bytes, body: bytes) -> bytes:
    return (
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
    )
