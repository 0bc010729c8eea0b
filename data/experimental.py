"""hr.data.experimental: transformations in the form that `Dataset.apply` takes.

Most of them are older spellings of methods of `Dataset`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops import dtypes, nest
from ..ops.tensor import Tensor
from .columns import column_from_rows
from .csv_datasets import CsvDataset, make_csv_dataset
from .dataset import Dataset
from .dataset_transforms import AUTOTUNE
from .experimental_apply import (
    at,
    bucket_by_sequence_length,
    copy_to_device,
    dense_to_sparse_batch,
    get_next_as_optional,
    group_by_window,
    load,
    pad_to_cardinality,
    parallel_interleave,
    prefetch_to_device,
    rejection_resample,
    save,
    snapshot,
)
from .lookup_tables import (
    DatasetInitializer,
    index_table_from_dataset,
    table_from_dataset,
)
from .node import INFINITE as INFINITE_CARDINALITY, UNKNOWN as UNKNOWN_CARDINALITY, user_line
from .optional import Optional
from .options import (
    AutoShardPolicy,
    AutotuneAlgorithm,
    AutotuneOptions,
    DistributeOptions,
    ExternalStatePolicy,
    OptimizationOptions,
    ServiceOptions,
    ThreadingOptions,
)
from .parsed_datasets import (
    TFRecordWriter,
    make_batched_features_dataset,
    parse_example_dataset,
)
from .reducing import Reducer, group_by_reducer
from .sql_datasets import SqlDataset
from .transforms.assert_cardinality import AssertCardinalityNode
from .transforms.shard import SHARD_HINT
from .upper import upper
from .values import Components, as_int, from_raw

if TYPE_CHECKING:
    distributed_save: Any
    service: Any

__all__ = [
    "AUTOTUNE",
    "INFINITE_CARDINALITY",
    "SHARD_HINT",
    "UNKNOWN_CARDINALITY",
    "AutoShardPolicy",
    "AutotuneAlgorithm",
    "AutotuneOptions",
    "Counter",
    "CsvDataset",
    "DatasetInitializer",
    "DistributeOptions",
    "ExternalStatePolicy",
    "OptimizationOptions",
    "Optional",
    "RandomDataset",
    "Reducer",
    "ServiceOptions",
    "SqlDataset",
    "TFRecordWriter",
    "ThreadingOptions",
    "assert_cardinality",
    "at",
    "bucket_by_sequence_length",
    "cardinality",
    "choose_from_datasets",
    "copy_to_device",
    "dense_to_ragged_batch",
    "dense_to_sparse_batch",
    "distributed_save",
    "enumerate_dataset",
    "from_list",
    "get_next_as_optional",
    "get_single_element",
    "get_structure",
    "group_by_reducer",
    "group_by_window",
    "ignore_errors",
    "index_table_from_dataset",
    "load",
    "make_batched_features_dataset",
    "make_csv_dataset",
    "map_and_batch",
    "pad_to_cardinality",
    "parallel_interleave",
    "parse_example_dataset",
    "prefetch_to_device",
    "rejection_resample",
    "sample_from_datasets",
    "save",
    "scan",
    "service",
    "shuffle_and_repeat",
    "snapshot",
    "table_from_dataset",
    "take_while",
    "unbatch",
    "unique",
]

Apply = Callable[[Any], Any]


def assert_cardinality(expected_cardinality: Any) -> Apply:
    """For `Dataset.apply`: the same elements, their number known to be `expected_cardinality`.

    Raises:
        FailedPreconditionError: (while iterating) there are fewer or more.
    """
    expected = as_int("expected_cardinality", expected_cardinality)
    source = user_line()

    def transform(dataset: Any) -> Any:
        return Dataset(
            AssertCardinalityNode(dataset._node, expected, source=source), dataset._own_options
        )

    return transform


def cardinality(dataset: Any) -> Tensor:
    """``dataset.cardinality()``."""
    return dataset.cardinality()


def choose_from_datasets(
    datasets: Any, choice_dataset: Any, stop_on_empty_dataset: bool = False
) -> Dataset:
    """`Dataset.choose_from_datasets`, which by default goes on when a dataset has ended."""
    return Dataset.choose_from_datasets(datasets, choice_dataset, stop_on_empty_dataset)


def sample_from_datasets(
    datasets: Any, weights: Any = None, seed: Any = None, stop_on_empty_dataset: bool = False
) -> Dataset:
    """`Dataset.sample_from_datasets`."""
    return Dataset.sample_from_datasets(datasets, weights, seed, stop_on_empty_dataset)


def Counter(start: Any = 0, step: Any = 1, dtype: Any = dtypes.int64) -> Dataset:
    """`Dataset.counter`."""
    return Dataset.counter(start, step, dtype)


def RandomDataset(seed: Any = None) -> Dataset:
    """`Dataset.random`."""
    return Dataset.random(seed)


def from_list(elements: list[Any], name: str | None = None) -> Dataset:
    """A dataset of the elements of a list, each a nested structure of the same kind.

    Raises:
        ValueError: the list is empty.

    >>> [int(x) for x in from_list([1, 2, 3])]
    [1, 2, 3]
    """
    if not elements:
        raise ValueError("Invalid `elements`. `elements` should not be empty.")
    parts = [Components(e, "elements") for e in elements]
    if all(part.spec == parts[0].spec for part in parts):
        rows = zip(*(part.values for part in parts), strict=True)
        leaves = [from_raw(column_from_rows(list(values))) for values in rows]
        structure = nest.pack_sequence_as(parts[0].spec, leaves)
        return Dataset.from_tensor_slices(structure, name=name)
    joined: Any = Dataset.from_tensors(elements[0], name=name)
    for element in elements[1:]:
        joined = joined.concatenate(Dataset.from_tensors(element, name=name))
    return joined


def get_single_element(dataset: Any) -> Any:
    """``dataset.get_single_element()``."""
    return dataset.get_single_element()


def get_structure(dataset_or_iterator: Any) -> Any:
    """``dataset_or_iterator.element_spec``."""
    return dataset_or_iterator.element_spec


def dense_to_ragged_batch(
    batch_size: Any, drop_remainder: bool = False, row_splits_dtype: Any = dtypes.int64
) -> Apply:
    """For `Dataset.apply`: `Dataset.ragged_batch`."""
    return lambda dataset: dataset.ragged_batch(batch_size, drop_remainder, row_splits_dtype)


def enumerate_dataset(start: Any = 0) -> Apply:
    """For `Dataset.apply`: `Dataset.enumerate`."""
    return lambda dataset: dataset.enumerate(start)


def ignore_errors(log_warning: bool = False) -> Apply:
    """For `Dataset.apply`: `Dataset.ignore_errors`."""
    return lambda dataset: dataset.ignore_errors(log_warning)


def map_and_batch(
    map_func: Callable[..., Any],
    batch_size: Any,
    num_parallel_batches: Any = None,
    drop_remainder: bool = False,
    num_parallel_calls: Any = None,
) -> Apply:
    """For `Dataset.apply`: ``map(map_func).batch(batch_size)``, which is as fast."""
    parallel = num_parallel_batches if num_parallel_calls is None else num_parallel_calls
    return lambda dataset: dataset.map(map_func, parallel).batch(batch_size, drop_remainder)


def scan(initial_state: Any, scan_func: Callable[..., Any]) -> Apply:
    """For `Dataset.apply`: `Dataset.scan`."""
    return lambda dataset: dataset.scan(initial_state, scan_func)


def shuffle_and_repeat(buffer_size: Any, count: Any = None, seed: Any = None) -> Apply:
    """For `Dataset.apply`: ``shuffle(buffer_size, seed).repeat(count)``."""
    return lambda dataset: dataset.shuffle(buffer_size, seed).repeat(count)


def take_while(predicate: Callable[..., Any]) -> Apply:
    """For `Dataset.apply`: `Dataset.take_while`."""
    return lambda dataset: dataset.take_while(predicate)


def unbatch() -> Apply:
    """For `Dataset.apply`: `Dataset.unbatch`."""
    return lambda dataset: dataset.unbatch()


def unique() -> Apply:
    """For `Dataset.apply`: `Dataset.unique`."""
    return lambda dataset: dataset.unique()


def __getattr__(name: str) -> Any:
    if name == "service":
        return upper("data.experimental.service")
    if name == "distributed_save":
        return upper("data.experimental.service").distributed_save
    raise AttributeError(f"hr.data.experimental has no attribute {name!r}", name=name)


def __dir__() -> list[str]:
    return sorted({*globals(), "distributed_save", "service"})
