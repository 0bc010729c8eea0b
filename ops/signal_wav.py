"""WAV files with 16-bit samples, decoded and encoded.

Format: Microsoft and IBM, "Multimedia programming interface and data specifications 1.0", 1991.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

import numpy as np

from . import batch_rules, dtypes
from .batch_loop import looped
from .errors import InvalidArgumentError
from .primitive import Primitive
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["decode_wav", "encode_wav"]


class Wav(NamedTuple):
    """Samples [samples, channels] in [-1, 1) and samples per second.

    Attributes:
        audio: float32.
        sample_rate: int32.
    """

    audio: Tensor
    sample_rate: Tensor


def decode_wav(
    contents: Any, desired_channels: int = -1, desired_samples: int = -1, name: Any = None
) -> Wav:
    """The samples of a 16-bit WAV file, and their rate.

    Args:
        contents: scalar string, the file.
        desired_channels: of more channels than the file has, the last is repeated; -1 keeps
            the file's.
        desired_samples: cut, or padded with zeros, to this many; -1 keeps the file's.

    Raises:
        InvalidArgumentError: the file is cut off, or of another format.
    """
    return Wav(
        *DecodeWav(
            contents,
            desired_channels=int(desired_channels),
            desired_samples=int(desired_samples),
        )
    )


def _bad(text: str) -> InvalidArgumentError:
    return InvalidArgumentError(f"{text} [Op:DecodeWav]", op="DecodeWav")


def _samples(data: bytes) -> tuple[np.ndarray, int]:
    if len(data) < 44:
        raise _bad(f"Data too short for the header of a WAV file: {len(data)} bytes")
    for at, want in ((0, b"RIFF"), (8, b"WAVE"), (12, b"fmt ")):
        if data[at : at + 4] != want:
            raise _bad(
                f"Header mismatch: Expected {want.decode()} but found "
                f"{data[at : at + 4]!r} at byte {at}"
            )
    size, form, channels, rate, per_second, per_sample, bits = struct.unpack_from(
        "<IHHIIHH", data, 16
    )
    if size not in (16, 18, 40) or form not in (1, 0xFFFE):
        raise _bad(f"Bad audio format for WAV: Expected 1 (PCM), but got {form}")
    if bits != 16 or channels == 0 or per_sample != 2 * channels:
        raise _bad(f"Can only read 16-bit WAV files, but received {bits} bits a sample")
    if per_second != rate * per_sample:
        raise _bad(f"Bad bytes per second in WAV header: Expected {rate * per_sample}")
    at = 20 + size
    while at + 8 <= len(data):
        kind, length = data[at : at + 4], struct.unpack_from("<I", data, at + 4)[0]
        at += 8
        if kind == b"data":
            if at + length > len(data):
                raise _bad(
                    f"Data too short when trying to read samples: {length} bytes foretold, "
                    f"{len(data) - at} there"
                )
            count = length // (2 * channels)
            found = np.frombuffer(data, "<i2", count * channels, at)
            return found.reshape(count, channels), rate
        at += length + length % 2
    raise _bad("Data too short when trying to read the samples: no chunk 'data'")


def _decode_impl(x: StringArray, *, desired_channels: int, desired_samples: int) -> Any:
    pcm, rate = _samples(x.item())
    audio = pcm.astype(np.float32) / np.float32(32768)
    if desired_channels > 0:
        order = np.minimum(np.arange(desired_channels), audio.shape[1] - 1)
        audio = audio[:, order]
    if desired_samples >= 0:
        audio = audio[:desired_samples]
        short = desired_samples - len(audio)
        audio = np.concatenate([audio, np.zeros((short, audio.shape[1]), np.float32)])
    return np.ascontiguousarray(audio), np.array(rate, np.int32)


def _decode_shape(x: Any, *, desired_channels: int, desired_samples: int) -> Any:
    if x.shape.rank not in (0, None):
        raise _bad(f"contents must be scalar, got shape {x.shape}")
    sizes = [
        n if n > least else None for n, least in ((desired_samples, -1), (desired_channels, 0))
    ]
    return TensorSpec(sizes, dtypes.float32), TensorSpec([], dtypes.int32)


DecodeWav = Primitive(
    "DecodeWav",
    "contents: string",
    impl=_decode_impl,
    shape=_decode_shape,
    batch=looped,
    check_first=True,
    defaults={"desired_channels": -1, "desired_samples": -1},
)


def encode_wav(audio: Any, sample_rate: Any, name: str | None = None) -> Tensor:
    """The 16-bit WAV file of samples in [-1, 1]; those beyond are clipped.

    Args:
        audio: float32 [samples, channels].
        sample_rate: samples per second.

    Returns:
        A scalar string.

    Raises:
        InvalidArgumentError: `audio` has not two axes, or no channel.
    """
    return EncodeWav(audio, sample_rate)


def _file(audio: np.ndarray, rate: int) -> bytes:
    scaled = audio.astype(np.float64) * 32768
    rounded = np.trunc(scaled + np.copysign(0.5, scaled))  # halves away from zero
    pcm = np.clip(np.nan_to_num(rounded), -32768, 32767).astype("<i2")
    size, channels = pcm.size * 2, audio.shape[1]
    return b"".join(
        (
            b"RIFF",
            struct.pack("<I", 36 + size),
            b"WAVEfmt ",
            struct.pack(
                "<IHHIIHH", 16, 1, channels, rate, rate * channels * 2, channels * 2, 16
            ),
            b"data",
            struct.pack("<I", size),
            pcm.tobytes(),
        )
    )


def _encode_impl(audio: np.ndarray, sample_rate: np.ndarray) -> StringArray:
    lead = audio.shape[:-2]
    flat = audio.reshape((int(np.prod(lead)), *audio.shape[-2:]))
    rates = np.broadcast_to(sample_rate, lead).reshape(-1)
    if (rates <= 0).any():
        raise InvalidArgumentError(
            "sample_rate must be positive [Op:EncodeWav]", op="EncodeWav"
        )
    files = np.empty(len(flat), object)
    files[:] = [_file(a, int(r)) for a, r in zip(flat, rates, strict=True)]
    return StringArray.from_values(files.reshape(lead))


def _encode_shape(audio: Any, sample_rate: Any) -> TensorSpec:
    rank = audio.shape.rank
    if rank is not None and rank < 2:
        raise InvalidArgumentError(
            f"audio must be 2-dimensional, got shape {audio.shape} [Op:EncodeWav]",
            op="EncodeWav",
        )
    if rank and audio.shape[-1] == 0:
        raise InvalidArgumentError(
            f"audio must have channels, got shape {audio.shape} [Op:EncodeWav]", op="EncodeWav"
        )
    return TensorSpec(audio.shape[:-2] if rank is not None else None, dtypes.string)


EncodeWav = Primitive(
    "EncodeWav",
    "audio: float32, sample_rate: int32",
    impl=_encode_impl,
    shape=_encode_shape,
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
    check_first=True,
)
