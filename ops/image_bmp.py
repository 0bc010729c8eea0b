"""BMP: bytes to pixels, for the uncompressed files of 8, 24 or 32 bits TensorFlow takes."""

from __future__ import annotations

import struct

import numpy as np

from .errors import InvalidArgumentError

__all__ = ["decode"]


def decode(data: np.ndarray, *, channels: int = 0) -> np.ndarray:
    """The pixels, uint8 [height, width, channels].

    Args:
        data: uint8 [size], the file.
        channels: 0 for the file's own, 3 for RGB, 4 for RGB + alpha.  The bytes of a file with
            8 bits a pixel are taken as grey, whatever its palette says, as TensorFlow does.

    Raises:
        InvalidArgumentError: the header does not fit the data, or asks for another kind of BMP.
    """
    if channels == 1:
        raise InvalidArgumentError(f"`channels` must be 0, 3 or 4 for BMP, but got {channels}")
    if data.size < 32:
        raise InvalidArgumentError(
            "Incomplete bmp content, requires at least 32 bytes to find the header size, "
            f"width, height, and bpp, got {data.size} bytes"
        )
    head = data[:32].tobytes()
    offset, width, height = (struct.unpack_from("<i", head, at)[0] for at in (10, 18, 22))
    own = struct.unpack_from("<h", head, 28)[0] // 8
    if own not in (1, 3, 4):
        raise InvalidArgumentError(
            f"Number of channels inherent in the image must be 1, 3 or 4, was {own}"
        )
    for wrong, text in (
        (width <= 0, f"Width must be positive, got {width}"),
        (height == 0, "Height must be nonzero"),
        (offset < 0, f"header size must be nonnegative, got {offset}"),
        (width * abs(height) >= (2**31 - 1) // 8,
         "Total possible pixel bytes must be less than 2^30"),
    ):  # fmt: skip
        if wrong:
            raise InvalidArgumentError(text)
    rows = abs(height)
    stride = (own * width + 3) // 4 * 4  # rows are padded to whole words
    excess = data.size - offset - stride * rows
    if excess:
        raise InvalidArgumentError(
            "Input size should match (header_size + row_size * abs_height) but they differ by "
            f"{excess}"
        )
    lines = data[offset:].reshape(rows, stride)[:, : own * width].reshape(rows, width, own)
    if height > 0:  # stored from the bottom up
        lines = lines[::-1]
    wanted = channels or own
    out = np.empty((rows, width, wanted), np.uint8)
    if own == 1:
        out[..., : min(wanted, 3)] = lines
    else:
        out[..., :3] = lines[..., 2::-1]
    if wanted == 4:
        out[..., 3] = lines[..., 3] if own == 4 else 255
    return out
