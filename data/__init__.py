"""hr.data: tf.data's interface on a vectorised, columnar engine.

A `Dataset` is a plan of `node`s; `rules` rewrite it; `stage`s run it on `block`s of elements in
columns.
"""

from . import experimental
from .arrow_datasets import ArrowFileDataset, JsonLinesDataset, ParquetDataset
from .dataset import Dataset, FixedLengthRecordDataset, TextLineDataset, TFRecordDataset
from .dataset_base import DatasetSpec
from .dataset_transforms import AUTOTUNE
from .iterator import Iterator, IteratorSpec, NumpyIterator
from .node import INFINITE as INFINITE_CARDINALITY, UNKNOWN as UNKNOWN_CARDINALITY
from .options import Options, ThreadingOptions

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "UNKNOWN_CARDINALITY",
    "ArrowFileDataset",
    "Dataset",
    "DatasetSpec",
    "FixedLengthRecordDataset",
    "Iterator",
    "IteratorSpec",
    "JsonLinesDataset",
    "NumpyIterator",
    "Options",
    "ParquetDataset",
    "TFRecordDataset",
    "TextLineDataset",
    "ThreadingOptions",
    "experimental",
]
