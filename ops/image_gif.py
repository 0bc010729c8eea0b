"""GIF: bytes to the frames of an animation, put together as TensorFlow does.

TensorFlow's canvas is as large as the largest frame; each frame is drawn over the one before,
whatever its disposal method says.  Pillow undoes the LZW compression, one frame at a time, from
a file of that frame alone; the rest is the block structure of the format (GIF89a).
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import numpy as np

from .errors import InvalidArgumentError

__all__ = ["decode"]

_RAMP = bytes(v for k in range(256) for v in (k, k, k))


@dataclass(frozen=True)
class _Frame:
    left: int
    top: int
    width: int
    height: int
    interlaced: bool
    colours: np.ndarray | None  # uint8 [count, 3]
    clear: int  # index of the transparent colour, -1 for none
    packed: bytes  # code size and data blocks


def decode(data: bytes, *, animated: bool = True) -> np.ndarray:
    """The frames, uint8 [frames, height, width, 3]; only the first unless `animated`.

    Raises:
        InvalidArgumentError: the data are damaged, or end before the first frame does.
    """
    try:
        frames = _frames(data)
        if not frames:
            raise ValueError("gif file does not contain any image")
        height, width = max(f.height for f in frames), max(f.width for f in frames)
        out = np.zeros((len(frames) if animated else 1, height, width, 3), np.uint8)
        for k, (frame, canvas) in enumerate(zip(frames, out, strict=False)):
            if k:
                canvas[:] = out[k - 1]
            _draw(frame, canvas, k)
    except (ValueError, OSError, EOFError, SyntaxError) as error:
        raise InvalidArgumentError(f"Invalid GIF data (size {len(data)}), {error}") from error
    return out


def _frames(data: bytes) -> list[_Frame]:
    """The image blocks of a file, still compressed; those before its end if it is cut off."""
    if len(data) < 13 or data[:4] != b"GIF8":
        raise ValueError("failed to open gif file")
    frames: list[_Frame] = []
    try:
        _read_blocks(data, frames)
    except IndexError:
        if not frames:
            raise ValueError("the file ends before the first image does") from None
    return frames


def _read_blocks(data: bytes, frames: list[_Frame]) -> None:
    """Append the images to `frames`; IndexError where the data end early."""
    shared, at = _colours(data, 13, data[10])
    clear = -1
    while True:
        kind = data[at]
        if kind == 0x3B:  # trailer
            return
        if kind == 0x21:
            if data[at + 1] == 0xF9 and data[at + 2] == 4:  # graphic control
                clear = data[at + 6] if data[at + 3] & 1 else -1
            at = _blocks_end(data, at + 2)
        elif kind == 0x2C:
            left, top, width, height = (
                int.from_bytes(data[at + k : at + k + 2], "little") for k in (1, 3, 5, 7)
            )
            flags = data[at + 9]
            own, at = _colours(data, at + 10, flags)
            end = _blocks_end(data, at + 1)
            frames.append(
                _Frame(left, top, width, height, bool(flags & 0x40),
                       shared if own is None else own, clear, data[at:end])
            )  # fmt: skip
            at, clear = end, -1
        else:
            raise ValueError(f"unknown block 0x{kind:02x}")


def _colours(data: bytes, at: int, flags: int) -> tuple[Any, int]:
    """A colour table, if the flags say there is one, and where it ends."""
    if not flags & 0x80:
        return None, at
    end = at + 3 * (2 << (flags & 7))
    if end > len(data):
        raise IndexError("the file ends early")
    return np.frombuffer(data[at:end], np.uint8).reshape(-1, 3), end


def _blocks_end(data: bytes, at: int) -> int:
    """The place behind a chain of data blocks."""
    while data[at]:
        at += data[at] + 1
    return at + 1


def _draw(frame: _Frame, canvas: np.ndarray, number: int) -> None:
    """Draw a frame over `canvas`; transparent pixels leave what is there."""
    if frame.colours is None:
        raise ValueError(f"missing color map for frame {number}")
    indices = _indices(frame)
    height, width = canvas.shape[:2]
    bottom, right = min(frame.top + frame.height, height), min(frame.left + frame.width, width)
    if bottom <= frame.top or right <= frame.left:
        return
    indices = indices[: bottom - frame.top, : right - frame.left]
    drawn = indices != frame.clear
    used = indices[drawn]
    if used.size and used.max() >= len(frame.colours):
        raise ValueError(
            f"found color index {used.max()} outside of color map range {len(frame.colours)}"
        )
    canvas[frame.top : bottom, frame.left : right][drawn] = frame.colours[used]


def _indices(frame: _Frame) -> np.ndarray:
    """uint8 [height, width] of colour numbers, by Pillow, with a grey ramp as the colours."""
    from PIL.GifImagePlugin import GifImageFile

    size = frame.width.to_bytes(2, "little") + frame.height.to_bytes(2, "little")
    alone = (
        b"GIF89a" + size + b"\xf7\0\0" + _RAMP + b"\x2c\0\0\0\0" + size
        + (b"\x40" if frame.interlaced else b"\0") + frame.packed + b"\x3b"
    )  # fmt: skip
    with GifImageFile(io.BytesIO(alone)) as image:
        image.load()
        return np.asarray(image).reshape(frame.height, frame.width)
