"""Every public name of ``hr.io``, flat."""

from __future__ import annotations

from ..ops.decode_ops import decode_raw
from .parse_config import (
    FixedLenFeature,
    FixedLenSequenceFeature,
    RaggedFeature,
    SparseFeature,
    VarLenFeature,
)
from .parse_ops import parse_example, parse_single_example
from .parse_sequence import parse_sequence_example, parse_single_sequence_example
from .tfrecord import tf_record_iterator
from .tfrecord_writer import TFRecordCompressionType, TFRecordOptions, TFRecordWriter

__all__ = [
    "FixedLenFeature",
    "FixedLenSequenceFeature",
    "RaggedFeature",
    "SparseFeature",
    "TFRecordCompressionType",
    "TFRecordOptions",
    "TFRecordWriter",
    "VarLenFeature",
    "decode_raw",
    "parse_example",
    "parse_sequence_example",
    "parse_single_example",
    "parse_single_sequence_example",
    "tf_record_iterator",
]
