"""PNG samples of 16 bits, and the five row filters (PNG specification, chapters 8 to 10).

Undoing the filters looks sequential: a byte needs its left, upper and upper left neighbours.
But all pixels of one anti-diagonal need only the two diagonals before it, so whole diagonals
are done at a time, each row by its own filter.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any

import numpy as np

__all__ = ["decode", "filtered"]

# Adam7: first row, first column, row step, column step of each pass.
_PASSES = ((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2),
           (1, 0, 2, 1))  # fmt: skip
_CHANNELS = {0: 1, 2: 3, 4: 2, 6: 4}


def decode(data: bytes) -> tuple[np.ndarray, Any]:
    """Pixels, uint16 [height, width, 1 or 3], and alpha or None of a 16-bit PNG.

    Raises:
        ValueError: the file is damaged.
        zlib.error: the compressed data are.
    """
    chunks: dict[bytes, list[bytes]] = {}
    at = 8
    while at + 12 <= len(data):
        size, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + size]
        check = data[at + 8 + size : at + 12 + size]
        if len(check) < 4 or zlib.crc32(kind + body) != int.from_bytes(check, "big"):
            raise ValueError(f"chunk {kind.decode('latin-1')} is damaged")
        chunks.setdefault(kind, []).append(body)
        at += 12 + size
    if b"IEND" not in chunks or b"IDAT" not in chunks:
        raise ValueError("the file ends early")
    width, height, _, kind_of, _, _, interlaced = struct.unpack(
        ">IIBBBBB", chunks[b"IHDR"][0][:13]
    )
    channels = _CHANNELS[kind_of]
    raw = np.frombuffer(zlib.decompress(b"".join(chunks[b"IDAT"])), np.uint8)
    pixels = np.empty((height, width, channels), np.uint16)
    at = 0
    for top, left, down, right in _PASSES if interlaced else ((0, 0, 1, 1),):
        rows, cols = -(-(height - top) // down), -(-(width - left) // right)
        if rows <= 0 or cols <= 0:
            continue
        stride = 1 + cols * channels * 2
        lines = raw[at : at + rows * stride].reshape(rows, stride)
        at += rows * stride
        found = _unfiltered(lines[:, 0], lines[:, 1:].reshape(rows, cols, channels * 2))
        pixels[top::down, left::right] = found.view(">u2")
    if channels in (2, 4):
        return pixels[..., :-1], pixels[..., -1]
    if b"tRNS" not in chunks:
        return pixels, None
    clear = np.frombuffer(chunks[b"tRNS"][0], ">u2")[:channels]
    return pixels, np.where((pixels == clear).all(axis=2), 0, 65535).astype(np.uint16)


def _unfiltered(kinds: np.ndarray, lines: np.ndarray) -> np.ndarray:
    """The bytes of [rows, cols, bytes of a pixel] filtered by `kinds` [rows]."""
    rows, cols, size = lines.shape
    # One row and column of zeros before the first: the neighbours outside.
    out = np.zeros((rows + 1, cols + 1, size), np.int16)
    is_left, is_up, is_mean, is_paeth = ((kinds == k)[:, None] for k in (1, 2, 3, 4))
    if not (is_mean.any() or is_paeth.any() or is_left.any()):
        up = np.where(is_up, 1, 0)
        body = lines.astype(np.int16)
        for y in range(rows):
            out[y + 1, 1:] = (body[y] + up[y] * out[y, 1:]) & 255
        return np.ascontiguousarray(out[1:, 1:].astype(np.uint8))
    for d in range(rows + cols - 1):
        ys = np.arange(max(0, d - cols + 1), min(rows, d + 1))
        xs = d - ys
        left, up, corner = out[ys + 1, xs], out[ys, xs + 1], out[ys, xs]
        base = left + up - corner
        a, b, c = abs(base - left), abs(base - up), abs(base - corner)
        paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
        guess = np.select(
            [is_left[ys], is_up[ys], is_mean[ys], is_paeth[ys]],
            [left, up, (left + up) >> 1, paeth],
            0,
        )
        out[ys + 1, xs + 1] = (lines[ys, xs] + guess) & 255
    return np.ascontiguousarray(out[1:, 1:].astype(np.uint8))


def filtered(rows: np.ndarray, step: int) -> np.ndarray:
    """uint8 [height, 1 + width]: the filter of each row and its filtered bytes.

    Args:
        rows: uint8 [height, width in bytes].
        step: bytes of a pixel.
    """
    height, size = rows.shape
    wide = np.zeros((height + 1, size + step), np.int16)
    wide[1:, step:] = rows
    here, left, up, corner = (
        wide[1:, step:],
        wide[1:, :size],
        wide[:-1, step:],
        wide[:-1, :size],
    )
    base = left + up - corner
    a, b, c = abs(base - left), abs(base - up), abs(base - corner)
    paeth = np.where((a <= b) & (a <= c), left, np.where(b <= c, up, corner))
    forms = np.stack([here, here - left, here - up, here - ((left + up) >> 1), here - paeth])
    forms &= 255
    cost = np.minimum(forms, 256 - forms).sum(axis=2, dtype=np.int64)
    best = cost.argmin(axis=0)
    out = np.empty((height, size + 1), np.uint8)
    out[:, 0] = best
    out[:, 1:] = forms[best, np.arange(height)]
    return out
