"""Datasets of arrays: windows of a time series, and a dataset split in two."""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from ...data.dataset import Dataset
from ...data.transforms.batch import BatchNode
from ...data.transforms.prefetch import PrefetchNode
from ...ops import api as hr, nest

__all__ = ["split_dataset", "timeseries_dataset_from_array"]


def timeseries_dataset_from_array(
    data: Any,
    targets: Any,
    sequence_length: int,
    sequence_stride: int = 1,
    sampling_rate: int = 1,
    batch_size: int | None = 128,
    shuffle: bool = False,
    seed: int | None = None,
    start_index: int | None = None,
    end_index: int | None = None,
) -> Any:
    """A Dataset of windows ``[batch, sequence_length, ...]`` over `data`, with their targets.

    Args:
        data: an array; axis 0 is time.
        targets: ``targets[i]`` belongs to the window that starts at i; or None.
        sequence_length: steps of a window.
        sequence_stride: steps between the starts of two windows.
        sampling_rate: steps between two of a window.
        batch_size: windows per batch; None for no batches.
        shuffle: whether windows come in random order.
        seed: for the order.
        start_index: first step to be used.
        end_index: the step behind the last to be used.

    Raises:
        ValueError: an argument does not fit the data's length.

    >>> dataset = timeseries_dataset_from_array(np.arange(6), None, sequence_length=3)
    >>> next(iter(dataset)).numpy().tolist()
    [[0, 1, 2], [1, 2, 3], [2, 3, 4], [3, 4, 5]]
    """
    length = len(data)
    _check_window(length, start_index, end_index)
    for name, value in (("sampling_rate", sampling_rate), ("sequence_stride", sequence_stride)):
        if value <= 0:
            raise ValueError(f"`{name}` must be higher than 0. Received: {name}={value}")
        if value >= length:
            raise ValueError(
                f"`{name}` must be lower than the length of the data. Received: "
                f"{name}={value}, for data of length {length}"
            )
    start, end = start_index or 0, length if end_index is None else end_index
    count = end - start - (sequence_length - 1) * sampling_rate
    if targets is not None:
        count = min(count, len(targets))
    starts = np.arange(0, count, sequence_stride, dtype=np.int64)
    if shuffle:
        seed = np.random.randint(10**6) if seed is None else seed
        np.random.RandomState(seed).shuffle(starts)
    steps = hr.constant(np.arange(sequence_length, dtype=np.int64) * sampling_rate)
    series = hr.convert_to_tensor(data[start:end])
    wanted = None if targets is None else hr.convert_to_tensor(targets[start:end])

    def window(at: Any) -> Any:
        rows = hr.gather(series, at + steps)
        return rows if wanted is None else (rows, hr.gather(wanted, at))

    dataset = Dataset.from_tensor_slices(starts).map(window)
    if shuffle:
        dataset = dataset.shuffle((batch_size or 128) * 8, seed=seed)
    return dataset if batch_size is None else dataset.batch(batch_size)


def _check_window(length: int, start: int | None, end: int | None) -> None:
    if start and not 0 <= start < length:
        raise ValueError(
            f"`start_index` must be 0 or greater and lower than the length of the data. "
            f"Received: start_index={start}, for data of length {length}"
        )
    if end is not None and not (start or 0) < end < length:
        raise ValueError(
            "`end_index` must be higher than `start_index` and lower than the length of the "
            f"data. Received: start_index={start}, end_index={end}, for data of length {length}"
        )


def split_dataset(
    dataset: Any,
    left_size: Any = None,
    right_size: Any = None,
    shuffle: bool = False,
    seed: int | None = None,
) -> tuple[Any, Any]:
    """Two Datasets, of the first and of the last elements of `dataset`, which is read once.

    Args:
        dataset: a Dataset (a batched one is taken apart and batched again), an array, or a
            list or tuple of arrays of one length.
        left_size: elements of the first, or their share as a float; the rest if None.
        right_size: elements of the second, or their share; the rest if None.
        shuffle: whether elements are put in random order first.
        seed: for the order.

    Raises:
        ValueError: sizes do not fit the number of elements, or neither is given.
        TypeError: `dataset` is something else.
    """
    if left_size is None and right_size is None:
        raise ValueError(
            "At least one of the `left_size` or `right_size` must be specified. Received: "
            "left_size=None and right_size=None"
        )
    rows, batch_size = _rows(dataset)
    if shuffle:
        random.Random(seed).shuffle(rows)
    left, right = _sizes(left_size, right_size, len(rows))
    parts = []
    for part in (rows[:left], rows[len(rows) - right :]):
        flat = [nest.flatten(row) for row in part]
        columns = [
            np.stack([np.asarray(v) for v in column]) for column in zip(*flat, strict=True)
        ]
        made = Dataset.from_tensor_slices(nest.pack_sequence_as(part[0], columns))
        parts.append(made if batch_size is None else made.batch(batch_size))
    return parts[0], parts[1]


def _rows(dataset: Any) -> tuple[list[Any], int | None]:
    """All elements, and the size of the batches they came in."""
    if isinstance(dataset, np.ndarray):
        return list(dataset), None
    if isinstance(dataset, (list, tuple)):
        lengths = {len(a) for a in dataset}
        if len(lengths) != 1:
            raise ValueError(
                f"`dataset` must hold arrays of one length, got lengths {sorted(lengths)}"
            )
        return list(zip(*dataset, strict=True)), None
    if not isinstance(dataset, Dataset):
        raise TypeError(
            "`dataset` must be a Dataset, an array, or a list/tuple of arrays. Received: "
            f"dataset={dataset} of type {type(dataset)}"
        )
    node: Any = dataset._node
    while isinstance(node, PrefetchNode):
        node = node.input
    batch_size = node.batch_size if isinstance(node, BatchNode) else None
    if batch_size is not None:
        dataset = dataset.unbatch()
    return list(dataset.as_numpy_iterator()), batch_size


def _sizes(left: Any, right: Any, total: int) -> tuple[int, int]:
    sizes: list[Any] = []
    for name, size in (("left_size", left), ("right_size", right)):
        share = isinstance(size, float)
        if size is not None and (
            not isinstance(size, (int, float)) or not 0 < size < (1 if share else total)
        ):
            raise ValueError(
                f"`{name}` should be either a positive integer smaller than {total}, or a "
                f"float within the range `[0, 1]`. Received: {name}={size}"
            )
        sizes.append(round(size * total) if share else size)
    if isinstance(left, float) and isinstance(right, float) and left + right > 1:
        raise ValueError(
            "The sum of `left_size` and `right_size` is greater than 1. It must be less "
            f"than or equal to 1. Received: {left} and {right}"
        )
    a = sizes[0] if sizes[0] is not None else total - sizes[1]
    b = sizes[1] if sizes[1] is not None else total - sizes[0]
    if a + b > total:
        raise ValueError(
            "The sum of `left_size` and `right_size` should be smaller than the "
            f"{total} elements of the dataset. Received: {a} and {b}"
        )
    if not a or not b:
        raise ValueError(
            f"With `dataset` of length={total}, `left_size`={left} and "
            f"`right_size`={right}, one of the resulting splits will be empty. Adjust any "
            "of the aforementioned parameters."
        )
    return a, b
