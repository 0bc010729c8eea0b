"""The names under which tensor bundles keep parts of tensors (TensorFlow's sharded variables).

The key says the tensor's name and, per axis, start and length (-1 for the whole axis), coded so
that keys sort as their numbers do.  (Format: tensorflow/core/lib/strings/ordered_code.)
"""

from __future__ import annotations

from collections.abc import Sequence

__all__ = ["slice_key"]


def slice_key(name: str, box: Sequence[tuple[int, int]]) -> bytes:
    """The key of the part `box`, ``(start, length)`` per axis, of a tensor.

    >>> slice_key("w", [(0, 2)]).hex()
    '0077000101018082'
    """
    text = name.encode("utf-8", "surrogateescape")
    text = b"".join({0: b"\0\xff", 255: b"\xff\0"}.get(b, bytes([b])) for b in text)
    key = _number(0) + text + b"\0\1" + _number(len(box))
    return key + b"".join(_signed(start) + _signed(length) for start, length in box)


def _number(n: int) -> bytes:
    """A number behind its length in bytes."""
    size = (n.bit_length() + 7) // 8
    return bytes([size]) + n.to_bytes(size, "big")


def _signed(n: int) -> bytes:
    """A number whose first bits say its length in bytes: ones, and a zero if positive."""
    bits = (~n if n < 0 else n).bit_length()
    width = bits // 7 + 1  # of a byte's eight bits, one says the length
    out = bytearray(n.to_bytes(10, "big", signed=True)[-width:])
    header = ((1 << width) - 1) << (16 - width)  # `width` ones, from the top of two bytes
    out[0] ^= header >> 8
    if width > 1:
        out[1] ^= header & 0xFF
    return bytes(out)
