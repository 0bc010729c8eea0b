"""`hr.summary`: values over time, for TensorBoard."""

from ..io.summary import audio, flush, graph, histogram, image, scalar, text, write
from ..io.summary_state import (
    SummaryWriter,
    create_file_writer,
    create_noop_writer,
    record_if,
    should_record_summaries,
)
from ..io.summary_trace import trace_export, trace_off, trace_on
from . import summary_experimental as experimental

__all__ = [
    "SummaryWriter",
    "audio",
    "create_file_writer",
    "create_noop_writer",
    "experimental",
    "flush",
    "graph",
    "histogram",
    "image",
    "record_if",
    "scalar",
    "should_record_summaries",
    "text",
    "trace_export",
    "trace_off",
    "trace_on",
    "write",
]
