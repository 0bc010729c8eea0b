"""JPEGs decoded on a GPU, by nvImageCodec: bytes on the host to pixels on the device.

Only inside of `decoding_on`, for the thread that entered it.  What nvImageCodec does not take
(CMYK, damaged files) is left to the CPU's decoder, so that errors are that one's, too.  nvJPEG
has its own inverse transform: pixels may differ from the CPU's by a few levels.

Facts about the Python interface are of nvidia-nvimgcodec 0.9.
"""

from __future__ import annotations

import importlib
import importlib.util
import threading
from typing import Any

import numpy as np

from .devices import HOST, devices

__all__ = ["decode", "decoding", "decoding_on", "why_none"]

_MODULE = "nvidia.nvimgcodec"


class _Decoding(threading.local):
    """Attributes:
    place: the number of the GPU that decodes; None for the CPU.
    """

    place: int | None = None


decoding = _Decoding()


class decoding_on:
    """A context manager that has JPEGs decoded on a GPU.

    Args:
        place: its number; None or `HOST` for the CPU.
    """

    __slots__ = ("_before", "_place")

    def __init__(self, place: int | None):
        self._place = None if place == HOST else place

    def __enter__(self) -> None:
        self._before, decoding.place = decoding.place, self._place

    def __exit__(self, *error: Any) -> None:
        decoding.place = self._before


def why_none() -> str:
    """What is missing; empty where JPEGs can be decoded on GPUs."""
    try:
        if importlib.util.find_spec(_MODULE) is not None:
            return ""
    except ModuleNotFoundError:  # there is nothing of NVIDIA's
        pass
    return "nvImageCodec is not installed: pip install 'headrace[cuda13]'"


_decoders: dict[tuple[int, bool], tuple[Any, Any]] = {}
_lock = threading.Lock()


def _decoder(place: int, smooth: bool) -> tuple[Any, Any]:
    """The module, and a decoder of a GPU."""
    found = _decoders.get((place, smooth))
    if found is None:
        codec = importlib.import_module(_MODULE)
        options = f":fancy_upsampling={int(smooth)}"
        made = codec.Decoder(device_id=place, options=options)
        found = _decoders[place, smooth] = codec, made
    return found


def decode(data: np.ndarray, *, channels: int = 0, fancy_upscaling: bool = True) -> Any:
    """The pixels on the GPU of `decoding`, uint8 [height, width, channels]; None where the CPU
    has to decode.

    Args:
        data: uint8 [size], the file.
        channels: 0 for the file's own number, 1 for grey, 3 for RGB.
        fancy_upscaling: interpolate chroma smoothly.
    """
    place, backend = decoding.place, devices.backend
    if place is None or backend is None or channels not in (0, 1, 3):
        return None
    with _lock:
        try:
            codec, decoder = _decoder(place, fancy_upscaling)
            stream = codec.CodeStream(np.ascontiguousarray(data))
            own = stream.num_channels
        except (ImportError, RuntimeError, ValueError):
            return None
        if own not in (1, 3):
            return None
        wanted = channels or own
        params = codec.DecodeParams(
            apply_exif_orientation=False,  # as TensorFlow
            color_spec=codec.GRAY if wanted == 1 else codec.SRGB,
        )
        with backend.on(place):
            queue = backend.module.cuda.get_current_stream().ptr
            image = decoder.decode(stream, params=params, cuda_stream=queue)
            if image is None:
                return None
            pixels = backend.module.from_dlpack(image)
    return pixels.reshape(pixels.shape[0], pixels.shape[1], wanted)
