"""`hr.audio`: WAV files."""

from ..ops.signal_wav import decode_wav, encode_wav

__all__ = [
    "decode_wav",
    "encode_wav",
]
