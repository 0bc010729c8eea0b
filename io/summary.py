"""Summaries: values over time for TensorBoard.

Each function makes one `Event` for the default writer (`summary_state.py`).  In a traced
function it is an effect of the graph: the writer is the one of the time of tracing, while a
`Variable` or tensor as step, and a tensor as condition, are read whenever the graph runs.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ..ops import api as hr
from ..ops.context import current as tracing
from ..ops.convert import to_tensor
from ..ops.python_ops import numpy_function
from ..ops.scopes import get_current_name_scope, name_scope
from .summary_graph import graph_def
from .summary_state import current, should_record_summaries
from .summary_values import (
    audio_strings,
    histogram_rows,
    image_strings,
    metadata_of,
    summary_event,
)

__all__ = [
    "audio",
    "flush",
    "graph",
    "histogram",
    "image",
    "scalar",
    "summary_scope",
    "text",
    "write",
    "write_raw_pb",
]


def scalar(name: str, data: Any, step: Any = None, description: str | None = None) -> Any:
    """Write a number; whether it was written, a bool tensor.

    Args:
        name: the tag, after the name scope.
        data: a number or scalar tensor; written as float32.
        step: an integer; the default step by default.
        description: Markdown for the dashboard.

    Raises:
        ValueError: there is no step, or `data` is no scalar.
    """

    def value(array: np.ndarray) -> Any:
        if array.ndim:
            raise ValueError(f"scalar {name!r} needs one number, got the shape {array.shape}")
        return array.astype(np.float32)

    return _record(name, data, step, value, lambda: metadata_of("scalars", description))


def histogram(
    name: str,
    data: Any,
    step: Any = None,
    buckets: int | None = None,
    description: str | None = None,
) -> Any:
    """Write how the values of `data` are spread; whether it was written, a bool tensor.

    Args:
        name: the tag, after the name scope.
        data: numbers of any shape.
        step: an integer; the default step by default.
        buckets: how many ranges; 30 by default.
        description: Markdown for the dashboard.
    """
    count = 30 if buckets is None else int(buckets)
    return _record(
        name, data, step, lambda array: histogram_rows(array, count),
        lambda: metadata_of("histograms", description),
    )  # fmt: skip


def image(
    name: str,
    data: Any,
    step: Any = None,
    max_outputs: int = 3,
    description: str | None = None,
) -> Any:
    """Write images; whether they were written, a bool tensor.

    Args:
        name: the tag, after the name scope.
        data: [k, height, width, channels], 1 to 4 channels; uint8, or floats in [0, 1].
        step: an integer; the default step by default.
        max_outputs: at most so many of the `k` are written.
        description: Markdown for the dashboard.

    Raises:
        InvalidArgumentError: `data` is not of rank 4.
    """
    return _record(
        name, data, step, lambda array: image_strings(array, max_outputs),
        lambda: metadata_of("images", description),
    )  # fmt: skip


def audio(
    name: str,
    data: Any,
    sample_rate: int,
    step: Any = None,
    max_outputs: int = 3,
    encoding: str | None = None,
    description: str | None = None,
) -> Any:
    """Write sounds; whether they were written, a bool tensor.

    Args:
        name: the tag, after the name scope.
        data: [k, samples, channels], floats in [-1, 1].
        sample_rate: samples per second.
        step: an integer; the default step by default.
        max_outputs: at most so many of the `k` are written.
        encoding: None or ``"wav"``.
        description: Markdown for the dashboard.

    Raises:
        ValueError: another encoding.
        InvalidArgumentError: `data` is not of rank 3.
    """
    if encoding not in (None, "wav"):
        raise ValueError(f"Unknown encoding: {encoding!r}; it must be 'wav' or None")
    return _record(
        name, data, step, lambda array: audio_strings(array, sample_rate, max_outputs),
        lambda: metadata_of("audio", description),
    )  # fmt: skip


def text(name: str, data: Any, step: Any = None, description: str | None = None) -> Any:
    """Write text, shown as Markdown; whether it was written, a bool tensor.

    Args:
        name: the tag, after the name scope.
        data: a string, or strings of any shape (up to rank 2 shown as a table).
        step: an integer; the default step by default.
        description: Markdown for the dashboard.
    """
    return _record(
        name, hr.convert_to_tensor(data, "string"), step, lambda array: array,
        lambda: metadata_of("text", description),
    )  # fmt: skip


def write(
    tag: str, tensor: Any, step: Any = None, metadata: Any = None, name: Any = None
) -> Any:
    """Write a tensor as it is; whether it was written, a bool tensor.

    Args:
        tag: the whole tag; name scopes play no part.
        tensor: any tensor, or a function that gives one if it is to be written.
        step: an integer; the default step by default.
        metadata: a `SummaryMetadata` message, or its bytes; which plugin reads the value.
        name: ignored.

    Raises:
        ValueError: there is no step.
    """
    if isinstance(metadata, bytes):
        from tensorboard.compat.proto.summary_pb2 import SummaryMetadata

        metadata = SummaryMetadata.FromString(metadata)
    if callable(tensor):
        if current.writer is None or should_record_summaries() is False:
            return hr.constant(False)
        tensor = tensor()
    return _write(tag, tensor, step, lambda array: array, lambda: metadata)


def write_raw_pb(tensor: Any, step: Any = None, name: Any = None) -> Any:
    """Write a serialized `Summary` message as it is; whether it was written, a bool tensor."""

    def record(writer: Any, array: Any, number: int) -> None:
        from tensorboard.compat.proto.event_pb2 import Event

        event = Event(step=number)
        event.summary.MergeFromString(array if isinstance(array, bytes) else array.item())
        writer.add(event)

    return _effect(tensor, step, record)


def graph(graph_data: Any) -> Any:
    """Write a graph for TensorBoard's graph tab; whether it was written, a bool tensor.

    Args:
        graph_data: a traced graph, what `Function.get_concrete_function` gives, a `GraphDef`
            message or its bytes.

    Raises:
        TypeError: it is something else.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    if tracing.trace is not None:
        raise RuntimeError("hr.summary.graph() cannot be invoked inside a traced function")
    if current.writer is None or not bool(should_record_summaries()):
        return hr.constant(False)
    data = graph_data
    if not isinstance(data, bytes):
        message = data if hasattr(data, "SerializeToString") else None
        if message is None:
            found = getattr(data, "graph", data)
            if not hasattr(found, "nodes"):
                raise TypeError(
                    "graph_data must be a traced graph, a concrete function or a GraphDef "
                    f"message, got {type(data).__name__}"
                )
            message = graph_def(found)
        data = message.SerializeToString()
    current.writer.add(Event(graph_def=data))
    return hr.constant(True)


def flush(writer: Any = None, name: Any = None) -> None:
    """Flush `writer`, or the default writer."""
    writer = current.writer if writer is None else writer
    if writer is not None:
        writer.flush()


@contextlib.contextmanager
def summary_scope(
    name: str, default_name: str = "summary", values: Any = None
) -> Iterator[tuple[str, str]]:
    """The tag for a summary called `name`, and the name scope of its block."""
    tag = _tag(name or default_name)
    with name_scope(name or default_name) as scope:
        yield tag, scope


# -- writing -----------------------------------------------------------------------------------


def _tag(name: str) -> str:
    scope = get_current_name_scope()
    return f"{scope}/{name}" if scope else name


def _record(name: str, data: Any, step: Any, value: Any, metadata: Callable[[], Any]) -> Any:
    return _write(_tag(name), data, step, value, metadata)


def _write(tag: str, data: Any, step: Any, value: Any, metadata: Callable[[], Any]) -> Any:
    def record(writer: Any, array: Any, number: int) -> None:
        writer.add(summary_event(tag, value(array), number, metadata()))

    return _effect(data, step, record)


def _effect(data: Any, step: Any, record: Callable[[Any, Any, int], None]) -> Any:
    """Run `record(writer, array, step)` if summaries are recorded: now, or with the graph."""
    writer = current.writer
    if writer is None:
        return hr.constant(False)
    step = current.step if step is None else step
    if step is None:
        raise ValueError(
            "No step set. Please specify one either through the `step` argument or through "
            "hr.summary.experimental.set_step()"
        )
    condition = should_record_summaries()
    if tracing.trace is None:
        if not bool(condition):
            return hr.constant(False)
        record(writer, _array(data), int(step))
        return hr.constant(True)

    def run(array: Any, number: Any, wanted: Any) -> Any:
        # A trace outlives its writer: training again has another one.
        target = current.writer if writer.closed else writer
        if target is None or target.closed or not bool(wanted):
            return np.False_
        record(target, _array(array), int(number))
        return np.True_

    return numpy_function(
        run, [to_tensor(data, None), to_tensor(step, None), condition], "bool"
    )


def _array(data: Any) -> Any:
    if isinstance(data, (bytes, str)):
        return np.asarray(data.encode() if isinstance(data, str) else data, dtype=object)
    if hasattr(data, "numpy"):
        data = data.numpy()
    if isinstance(data, bytes):
        return np.asarray(data, dtype=object)
    return np.asarray(data)
