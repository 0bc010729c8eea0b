"""encode_base64, decode_base64 and decode_compressed.

Base64 is the web-safe one (RFC 4648, section 5), with and without padding, as in TensorFlow.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .errors import DataLossError, InvalidArgumentError
from .primitive import Primitive
from .shape_rules import same
from .string_array import StringArray
from .tensor import Tensor

__all__ = ["decode_base64", "decode_compressed", "encode_base64"]


def _each(fn: Callable[..., bytes]) -> Callable[..., StringArray]:
    """A function of bytes, applied to each string."""

    def impl(x: StringArray, **attrs: Any) -> StringArray:
        values = [fn(v, **attrs) for v in x.numpy().reshape(-1).tolist()]
        return StringArray.from_values(np.array([*values, None], object)[:-1]).reshape(x.shape)

    return impl


def _declare(name: str, argument: str, fn: Callable[..., bytes], **defaults: Any) -> Primitive:
    return Primitive(
        name,
        f"{argument}: string",
        impl=_each(fn),
        shape=same,
        batch=batch_rules.unary,
        types={"T": (dtypes.string,)},
        defaults=defaults,
    )


def _encode(value: bytes, *, pad: bool) -> bytes:
    found = base64.urlsafe_b64encode(value)
    return found if pad else found.rstrip(b"=")


def _decode(value: bytes) -> bytes:
    plain = value.rstrip(b"=") if len(value) % 4 == 0 else value
    try:
        if b"=" in plain or b"+" in plain or b"/" in plain or len(plain) % 4 == 1:
            raise binascii.Error
        standard = plain.translate(_STANDARD) + b"=" * (-len(plain) % 4)
        return base64.b64decode(standard, validate=True)
    except binascii.Error:
        shown = value[:60].decode("utf-8", "backslashreplace")
        raise InvalidArgumentError(
            f"Invalid character found in base64, or a length that is none of base64: "
            f"{shown!r}. The web-safe alphabet has - and _ for + and / [Op:DecodeBase64]",
            op="DecodeBase64",
        ) from None


_STANDARD = bytes.maketrans(b"-_", b"+/")

EncodeBase64 = _declare("EncodeBase64", "input", _encode, pad=False)
DecodeBase64 = _declare("DecodeBase64", "input", _decode)


def encode_base64(input: Any, pad: bool = False, name: str | None = None) -> Tensor:
    """Strings in web-safe base64, with ``=`` at the end where `pad`.

    >>> encode_base64("hi", pad=True).numpy()
    b'aGk='
    """
    return EncodeBase64(input, pad=bool(pad))


def decode_base64(input: Any, name: str | None = None) -> Tensor:
    """The bytes of web-safe base64 strings, padded or not.

    Raises:
        InvalidArgumentError: a string is no base64.
    """
    return DecodeBase64(input)


# -- compression ------------------------------------------------------------------------------

_WINDOW = {"ZLIB": 15, "GZIP": 31}


def _expand(value: bytes, *, compression_type: str) -> bytes:
    if not compression_type:
        return value
    if not value:
        return b""
    try:
        engine = zlib.decompressobj(_WINDOW[compression_type])
        out = engine.decompress(value)
        while engine.eof and engine.unused_data:  # gzip members may follow each other
            engine, rest = zlib.decompressobj(_WINDOW[compression_type]), engine.unused_data
            out += engine.decompress(rest)
        if not engine.eof:
            raise zlib.error("the data end inside of a stream")
    except zlib.error as e:
        raise DataLossError(
            f"the input is not {compression_type}: {e} [Op:DecodeCompressed]",
            op="DecodeCompressed",
        ) from None
    return out


DecodeCompressed = _declare("DecodeCompressed", "bytes", _expand, compression_type="")


def decode_compressed(
    bytes: Any, compression_type: str = "", name: str | None = None
) -> Tensor:
    """Strings decompressed, each by itself.

    Args:
        bytes: strings.
        compression_type: ``""`` for none, ``"ZLIB"`` or ``"GZIP"``.
        name: ignored.

    Raises:
        InvalidArgumentError: an unknown compression.
        DataLossError: a string is not of that kind.
    """
    if compression_type not in ("", *_WINDOW):
        raise InvalidArgumentError(
            "Only ZLIB, GZIP or NONE are supported compressions, got "
            f"{compression_type!r} [Op:DecodeCompressed]",
            op="DecodeCompressed",
        )
    return DecodeCompressed(bytes, compression_type=compression_type)
