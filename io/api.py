"""Every public name of ``hr.io``, flat."""

from __future__ import annotations

from ..ops.decode_ops import decode_raw
from ..ops.encode_ops import (
    decode_base64,
    decode_compressed,
    encode_base64,
)
from ..ops.image_decode import (
    decode_and_crop_jpeg,
    decode_bmp,
    decode_gif,
    decode_image,
    decode_jpeg,
    decode_png,
    decode_webp,
    extract_jpeg_shape,
    is_jpeg,
)
from ..ops.image_encode import encode_jpeg, encode_png
from . import gfile
from .csv_decode import (
    decode_csv,
)
from .decode_json import (
    decode_json_example,
)
from .file_ops import (
    match_filenames_once,
    matching_files,
    read_file,
    write_file,
    write_graph,
)
from .parse_config import (
    FixedLenFeature,
    FixedLenSequenceFeature,
    RaggedFeature,
    SparseFeature,
    VarLenFeature,
)
from .parse_ops import parse_example, parse_single_example
from .parse_sequence import parse_sequence_example, parse_single_sequence_example
from .serialization_ops import (
    deserialize_many_sparse,
    parse_tensor,
    serialize_many_sparse,
    serialize_sparse,
    serialize_tensor,
)
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
    "decode_and_crop_jpeg",
    "decode_base64",
    "decode_bmp",
    "decode_compressed",
    "decode_csv",
    "decode_gif",
    "decode_image",
    "decode_jpeg",
    "decode_json_example",
    "decode_png",
    "decode_raw",
    "decode_webp",
    "deserialize_many_sparse",
    "encode_base64",
    "encode_jpeg",
    "encode_png",
    "extract_jpeg_shape",
    "gfile",
    "is_jpeg",
    "match_filenames_once",
    "matching_files",
    "parse_example",
    "parse_sequence_example",
    "parse_single_example",
    "parse_single_sequence_example",
    "parse_tensor",
    "read_file",
    "serialize_many_sparse",
    "serialize_sparse",
    "serialize_tensor",
    "tf_record_iterator",
    "write_file",
    "write_graph",
]
