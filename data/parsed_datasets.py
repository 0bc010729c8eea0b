"""Datasets of serialised `Example`s: `make_batched_features_dataset`, `parse_example_dataset`,
and `TFRecordWriter`, which writes a dataset of records."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..io import api as io
from ..ops import dtypes
from ..ops.tensor_spec import TensorSpec
from .dataset import Dataset, TFRecordDataset
from .dataset_base import DatasetBase
from .dataset_transforms import AUTOTUNE
from .options import Options

__all__ = ["TFRecordWriter", "make_batched_features_dataset", "parse_example_dataset"]


def parse_example_dataset(
    features: Any, num_parallel_calls: Any = 1, deterministic: bool | None = None
) -> Callable[[Any], Any]:
    """For `Dataset.apply`: vectors of serialised `Example`s parsed to dicts of tensors.

    Args:
        features: as in `hr.io.parse_example`.
        num_parallel_calls: accepted; parsing runs on all threads anyway.
        deterministic: as in `Dataset.map`.

    Raises:
        ValueError: `features` is None.
        TypeError: the elements are no vectors of strings.
    """
    if features is None:
        raise ValueError("Argument `features` cannot be None.")

    def transform(dataset: Any) -> Any:
        spec = dataset.element_spec
        if not isinstance(spec, TensorSpec) or not spec.is_compatible_with(
            TensorSpec([None], dtypes.string)
        ):
            raise TypeError(
                "Input dataset should be a dataset of vectors of strings. Instead it is "
                f"`{spec!r}`; batch the records first."
            )
        return dataset.map(
            lambda records: io.parse_example(records, features), num_parallel_calls,
            deterministic,
        )  # fmt: skip

    return transform


def make_batched_features_dataset(
    file_pattern: Any,
    batch_size: Any,
    features: Any,
    reader: Any = None,
    label_key: str | None = None,
    reader_args: Any = None,
    num_epochs: int | None = None,
    shuffle: bool = True,
    shuffle_buffer_size: int = 10000,
    shuffle_seed: Any = None,
    prefetch_buffer_size: Any = None,
    reader_num_threads: Any = None,
    parser_num_threads: Any = None,
    sloppy_ordering: bool = False,
    drop_final_batch: bool = False,
) -> Dataset:
    """Batches of parsed `Example`s from files.

    Args:
        file_pattern: a glob pattern, or several.
        batch_size: records a batch.
        features: as in `hr.io.parse_example`.
        reader: gives a dataset of records for a file name; `TFRecordDataset` by default.
        label_key: a feature to give as a label: elements are then ``(features, label)``.
        reader_args: further arguments of `reader`.
        num_epochs: how often to read everything; None for without end.
        shuffle: whether to shuffle files and records.
        shuffle_buffer_size: as in `Dataset.shuffle`.
        shuffle_seed: as in `Dataset.shuffle`.
        prefetch_buffer_size: batches to prepare ahead; left to the engine by default.
        reader_num_threads: files read at a time; 1 by default.
        parser_num_threads: accepted; parsing runs on all threads anyway.
        sloppy_ordering: whether records may come in another order for speed.
        drop_final_batch: whether to drop a last batch of fewer records.

    Raises:
        ValueError: `label_key` is no feature.
    """
    if label_key is not None and label_key not in features:
        raise ValueError(
            f"The `label_key` provided ({label_key!r}) must be one of the `features` keys: "
            f"{sorted(features)}."
        )
    make = TFRecordDataset if reader is None else reader
    threads = 1 if reader_num_threads is None else reader_num_threads
    args = list(reader_args or ())
    files = Dataset.list_files(file_pattern, shuffle=shuffle, seed=shuffle_seed)
    parallel = {} if threads == 1 else {"num_parallel_calls": threads}
    cycle = None if threads == AUTOTUNE else threads
    records: Any = files.interleave(
        lambda name: make(name, *args), cycle_length=cycle, block_length=1, **parallel
    )
    if sloppy_ordering:
        options = Options()
        options.deterministic = False
        records = records.with_options(options)
    if type(records.element_spec) is tuple and len(records.element_spec) == 2:
        records = records.map(lambda _, value: value)  # readers of keys and values
    if shuffle:
        records = records.shuffle(shuffle_buffer_size, shuffle_seed)
    if num_epochs != 1:
        records = records.repeat(num_epochs)
    batches = records.batch(batch_size, drop_remainder=drop_final_batch or num_epochs is None)
    parsed = batches.apply(parse_example_dataset(features, parser_num_threads or 2))
    if label_key is not None:
        parsed = parsed.map(
            lambda row: ({k: v for k, v in row.items() if k != label_key}, row[label_key])
        )
    return parsed.prefetch(AUTOTUNE if prefetch_buffer_size is None else prefetch_buffer_size)


class TFRecordWriter:
    """Writes a dataset of records to a TFRecord file.

    Args:
        filename: the file.
        compression_type: ``""``, ``"GZIP"`` or ``"ZLIB"``.
    """

    def __init__(self, filename: Any, compression_type: str | None = None):
        self._filename = filename
        self._compression = compression_type or ""

    def write(self, dataset: Any) -> None:
        """Write every element, a scalar string, as a record.

        Raises:
            TypeError: `dataset` is no dataset, or its elements are no scalar strings.
        """
        if not isinstance(dataset, DatasetBase):
            raise TypeError(
                f"`dataset` must be a `hr.data.Dataset` object, got {type(dataset).__name__}"
            )
        if dataset.element_spec != TensorSpec([], dtypes.string):
            raise TypeError(
                "`dataset` must produce scalar `hr.string` tensors whereas it produces "
                f"{dataset.element_spec!r}"
            )
        with io.TFRecordWriter(self._filename, self._compression) as writer:
            for record in dataset.as_numpy_iterator():
                writer.write(record)
