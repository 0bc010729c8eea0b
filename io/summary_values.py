"""Arrays as the messages that TensorBoard's tabs read.

The layouts are those of its plugins: a scalar is a float32 tensor; a histogram is [k, 3] rows
(left, right, count); images are strings [width, height, png, ...]; audio is [clips, 2] rows
(wav, label).  The metadata names the plugin.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops import api as hr
from ..ops.dtypes import as_dtype
from ..ops.errors import InvalidArgumentError
from ..ops.image_dtypes import convert_image_dtype
from ..ops.image_encode import encode_png
from ..ops.signal_wav import encode_wav
from ..ops.string_array import StringArray

__all__ = [
    "audio_strings",
    "histogram_rows",
    "image_strings",
    "metadata_of",
    "summary_event",
    "tensor_message",
]

_STRING = 7  # DT_STRING


def tensor_message(array: Any) -> Any:
    """A NumPy array, or a list of bytes for a vector of strings, as a `TensorProto`."""
    from tensorboard.compat.proto.tensor_pb2 import TensorProto

    strings = None
    if isinstance(array, StringArray):
        array = np.asarray(array.tolist(), dtype=object)
    if isinstance(array, list):
        strings, shape = array, (len(array),)
    else:
        array = np.asarray(array)
        shape = array.shape
        if array.dtype.kind in "OSU":
            strings = [s.encode() if isinstance(s, str) else bytes(s) for s in array.ravel()]
    message = TensorProto(dtype=_STRING)
    for size in shape:
        message.tensor_shape.dim.add(size=size)
    if strings is not None:
        message.string_val.extend(strings)
    else:
        message.dtype = as_dtype(array.dtype).as_datatype_enum
        message.tensor_content = np.ascontiguousarray(array).tobytes()
    return message


def metadata_of(plugin: str, description: str | None, display_name: str | None = None) -> Any:
    """The `SummaryMetadata` of a plugin: scalars, histograms, images, audio, text."""
    import importlib

    module = {"scalars": "scalar", "histograms": "histogram", "images": "image"}
    home = importlib.import_module(f"tensorboard.plugins.{module.get(plugin, plugin)}.metadata")
    more = {"encoding": home.Encoding.Value("WAV")} if plugin == "audio" else {}
    return home.create_summary_metadata(
        display_name=display_name, description=description, **more
    )


def summary_event(tag: str, tensor: Any, step: int, metadata: Any) -> Any:
    """An `Event` with one summary value."""
    from tensorboard.compat.proto.event_pb2 import Event

    event = Event(step=step)
    value = event.summary.value.add(tag=tag)
    value.tensor.CopyFrom(tensor_message(tensor))
    if metadata is not None:
        value.metadata.CopyFrom(metadata)
    return event


def histogram_rows(data: np.ndarray, buckets: int) -> np.ndarray:
    """``(left, right, count)`` of `buckets` ranges of equal width over all of `data`.

    Returns:
        float64 [buckets, 3].  Values that are all the same are counted in the last bucket.
    """
    values = np.asarray(data, np.float64).ravel()
    rows = np.zeros((buckets, 3))
    if not values.size or not buckets:
        return rows
    low, high = values.min(), values.max()
    if not high > low:
        rows[:, :2] = low
        rows[-1, 2] = values.size
        return rows
    at = np.floor((values - low) / ((high - low) / buckets))
    at = np.clip(np.nan_to_num(at), 0, buckets - 1).astype(np.int64)
    edges = np.linspace(low, high, buckets + 1)
    rows[:, 0], rows[:, 1] = edges[:-1], edges[1:]
    rows[:, 2] = np.bincount(at, minlength=buckets)
    return rows


def image_strings(data: np.ndarray, max_outputs: int) -> list[bytes]:
    """``[width, height, png, png, ...]`` of images [k, height, width, channels].

    Floats are in [0, 1]; other values are cut to it.

    Raises:
        InvalidArgumentError: `data` is not of rank 4.
    """
    if data.ndim != 4:
        raise InvalidArgumentError(
            "data must be images [k, height, width, channels], got the shape "
            f"{data.shape}: add axes with hr.reshape or hr.newaxis"
        )
    data = data[:max_outputs]
    if data.dtype != np.uint8:
        data = convert_image_dtype(hr.constant(data), "uint8", saturate=True).numpy()
    sizes = [str(n).encode() for n in (data.shape[2], data.shape[1])]
    return [*sizes, *(encode_png(image).numpy() for image in data)]


def audio_strings(data: np.ndarray, sample_rate: int, max_outputs: int) -> np.ndarray:
    """Rows ``(wav, label)`` of clips [k, samples, channels] in [-1, 1].

    Raises:
        InvalidArgumentError: `data` is not of rank 3.
    """
    if data.ndim != 3:
        raise InvalidArgumentError(
            f"data must be clips [k, samples, channels], got the shape {data.shape}"
        )
    clips = data[:max_outputs].astype(np.float32)
    rows = np.empty((len(clips), 2), object)
    for i, clip in enumerate(clips):
        rows[i] = encode_wav(hr.constant(clip), sample_rate).numpy(), b""
    return rows
