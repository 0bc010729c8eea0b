"""More of hr.data.experimental: older spellings, access by number, devices, padding."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from ..ops import nest
from ..ops.errors import InvalidArgumentError, OutOfRangeError
from ..ops.string_array import StringArray
from .dataset import Dataset
from .device_dataset import gpu_of
from .node import Node
from .optional import Optional
from .transforms.interleave import InterleaveNode
from .transforms.on_device import OnDeviceNode
from .transforms.shuffle import ShuffleNode
from .values import as_int, from_raw

__all__ = [
    "at",
    "bucket_by_sequence_length",
    "copy_to_device",
    "dense_to_sparse_batch",
    "get_next_as_optional",
    "group_by_window",
    "load",
    "pad_to_cardinality",
    "parallel_interleave",
    "prefetch_to_device",
    "rejection_resample",
    "save",
    "snapshot",
]

Apply = Callable[[Any], Any]


def at(dataset: Any, index: Any) -> Any:
    """Element number `index` of a dataset.

    Passing over elements costs nothing where the engine can count them (values in memory,
    `range`, `batch`, `skip`, ...); behind other transformations they are made and dropped.
    A reshuffling `shuffle` gives the order of its first iteration.

    Raises:
        OutOfRangeError: there is no such element.

    >>> import headrace as hr
    >>> int(hr.data.experimental.at(hr.data.Dataset.range(10, 20), 3))
    13
    """
    number = as_int("index", index)
    if number >= 0:
        still = Dataset(_without_reshuffling(dataset._node), dataset._own_options)
        with iter(still.skip(number)) as iterator:
            for element in iterator:
                return element
    raise OutOfRangeError(f"Index out of range [0, {dataset._node.cardinality}): {number}")


def _without_reshuffling(node: Node) -> Node:
    node = node.with_inputs(*map(_without_reshuffling, node.inputs)) if node.inputs else node
    if isinstance(node, ShuffleNode):
        return dataclasses.replace(node, reshuffle_each_iteration=False)
    return node


def get_next_as_optional(iterator: Any) -> Optional:
    """``iterator.get_next_as_optional()``."""
    return iterator.get_next_as_optional()


def group_by_window(
    key_func: Any, reduce_func: Any, window_size: Any = None, window_size_func: Any = None
) -> Apply:
    """For `Dataset.apply`: `Dataset.group_by_window`."""
    return lambda dataset: dataset.group_by_window(
        key_func, reduce_func, window_size, window_size_func
    )


def bucket_by_sequence_length(
    element_length_func: Any,
    bucket_boundaries: Any,
    bucket_batch_sizes: Any,
    padded_shapes: Any = None,
    padding_values: Any = None,
    pad_to_bucket_boundary: bool = False,
    no_padding: bool = False,
    drop_remainder: bool = False,
) -> Apply:
    """For `Dataset.apply`: `Dataset.bucket_by_sequence_length`."""
    return lambda dataset: dataset.bucket_by_sequence_length(
        element_length_func, bucket_boundaries, bucket_batch_sizes, padded_shapes,
        padding_values, pad_to_bucket_boundary, no_padding, drop_remainder,
    )  # fmt: skip


def dense_to_sparse_batch(batch_size: Any, row_shape: Any) -> Apply:
    """For `Dataset.apply`: `Dataset.sparse_batch`."""
    return lambda dataset: dataset.sparse_batch(batch_size, row_shape)


def rejection_resample(
    class_func: Any, target_dist: Any, initial_dist: Any = None, seed: Any = None
) -> Apply:
    """For `Dataset.apply`: `Dataset.rejection_resample`."""
    return lambda dataset: dataset.rejection_resample(
        class_func, target_dist, initial_dist, seed
    )


def parallel_interleave(
    map_func: Any,
    cycle_length: Any,
    block_length: Any = 1,
    sloppy: bool | None = False,
    buffer_output_elements: Any = None,
    prefetch_input_elements: Any = None,
) -> Apply:
    """For `Dataset.apply`: `Dataset.interleave` with `cycle_length` parallel calls."""

    def transform(dataset: Any) -> Any:
        function = dataset._dataset_function(map_func, "interleave")
        length = as_int("cycle_length", cycle_length)
        if length < 1:
            raise InvalidArgumentError(f"`cycle_length` must be > 0, got {length}")
        return dataset._derive(
            InterleaveNode, dataset._node, function, length,
            as_int("block_length", block_length), length, not sloppy,
        )  # fmt: skip

    return transform


def snapshot(
    path: Any,
    compression: Any = "AUTO",
    reader_func: Any = None,
    shard_func: Any = None,
) -> Apply:
    """For `Dataset.apply`: `Dataset.snapshot`."""
    return lambda dataset: dataset.snapshot(path, compression, reader_func, shard_func)


def save(
    dataset: Any, path: Any, compression: Any = None, shard_func: Any = None,
    checkpoint_args: Any = None,
) -> None:  # fmt: skip
    """`Dataset.save`."""
    dataset.save(path, compression, shard_func, checkpoint_args)


def load(
    path: Any, element_spec: Any = None, compression: Any = None, reader_func: Any = None
) -> Dataset:
    """`Dataset.load`."""
    return Dataset.load(path, element_spec, compression, reader_func)


def pad_to_cardinality(cardinality: Any, mask_key: str = "valid") -> Apply:
    """For `Dataset.apply`: dicts continued by dicts of zeros up to `cardinality` elements; the
    entry `mask_key` says which are real.

    Raises:
        ValueError: the elements are no dicts, or their number is unknown or greater.

    >>> import headrace as hr
    >>> padded = hr.data.experimental.pad_to_cardinality(3)
    >>> ds = hr.data.Dataset.from_tensor_slices({"a": [1, 2]}).apply(padded)
    >>> [(int(x["a"]), bool(x["valid"])) for x in ds]
    [(1, True), (2, True), (0, False)]
    """
    goal = as_int("cardinality", cardinality)

    def transform(dataset: Any) -> Any:
        number = dataset._node.cardinality
        if number < 0:
            raise ValueError(
                "The dataset passed into `pad_to_cardinality` must have a known cardinality, "
                f"but has cardinality {number}; see assert_cardinality"
            )
        if number > goal:
            raise ValueError(
                "The dataset passed into `pad_to_cardinality` must have a cardinality less "
                f"than the target cardinality ({goal}), but has cardinality {number}"
            )
        if not isinstance(dataset.element_spec, Mapping):
            raise ValueError(
                "`pad_to_cardinality` requires its input dataset to be a dictionary."
            )
        filler = nest.map_structure(_zeros, dataset.element_spec)
        marked = dataset.map(lambda row: {**row, mask_key: True})
        padding = Dataset.from_tensors({**filler, mask_key: False}).repeat(goal - number)
        return marked.concatenate(padding)

    return transform


def _zeros(spec: Any) -> Any:
    if not spec.shape.is_fully_defined():
        raise ValueError(
            f"`pad_to_cardinality` needs components of known shape, got {spec!r}; pad first"
        )
    shape = spec.shape.as_list()
    if spec.dtype.name == "string":
        return from_raw(StringArray.empty(tuple(shape)))
    return from_raw(np.zeros(shape, spec.dtype.np_dtype))


def copy_to_device(target_device: str, source_device: str = "/cpu:0") -> Apply:
    """For `Dataset.apply`: the elements on a device; only CPUs, where nothing is to be done.

    Raises:
        InvalidArgumentError: the device is no CPU.
    """
    _cpu("target_device", target_device)
    _cpu("source_device", source_device)
    return lambda dataset: dataset


def prefetch_to_device(device: str, buffer_size: Any = None) -> Apply:
    """For `Dataset.apply`, as the last transformation: the elements made ahead and copied to a
    device while it works on earlier ones.

    Copies go through a ring of pinned memory on a stream of their own.  On a CPU it is
    `Dataset.prefetch`.

    Args:
        device: such as "/gpu:0".
        buffer_size: elements on the device at once, besides the one that is used; 2 if None.

    Raises:
        InvalidArgumentError: there is no such device.
    """
    place = gpu_of("device", device)
    if place is None:
        return lambda dataset: dataset.prefetch(buffer_size)
    ahead = 2 if buffer_size is None else int(buffer_size)
    if ahead < 1:
        raise ValueError(f"buffer_size must be positive, got {ahead}")

    def apply(dataset: Dataset) -> Dataset:
        node = dataset._node
        if isinstance(node, OnDeviceNode) and node.device == place:  # map(..., device=...)
            more = dataclasses.replace(node, slots=ahead + 1)
            return Dataset(more, dataset._own_options)
        ready = dataset.prefetch(-1)
        return ready._derive(OnDeviceNode, input=ready._node, device=place, slots=ahead + 1)

    return apply


def _cpu(what: str, device: str) -> None:
    kind = str(device).lower().rstrip("/").split("/")[-1].removeprefix("device:")
    if kind.split(":")[0] != "cpu":
        raise InvalidArgumentError(
            f"{what} must be a CPU, e.g. '/cpu:0', got {device!r}: datasets stay in main "
            "memory and the training loop copies batches to devices"
        )
