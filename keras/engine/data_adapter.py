"""What `fit` takes as data, as one thing: something that gives the batches of an epoch.

An adapter's batches are ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` of tensors.  Arrays
are in `array_adapter.py`; choosing the adapter and walking it is `epochs.py`'s.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from ...distribute.auto_shard import begin_later_pass
from ...ops import api as hr, nest
from ...ops.tensor import Tensor
from .fetching import fetched

__all__ = [
    "ConvertedBatches",
    "DataAdapter",
    "DatasetAdapter",
    "GeneratorAdapter",
    "SequenceAdapter",
    "is_dataset",
    "pack_x_y_sample_weight",
    "unpack_x_y_sample_weight",
]


def unpack_x_y_sample_weight(data: Any) -> tuple[Any, Any, Any]:
    """``(x, y, sample_weight)`` of a batch, None for what it lacks.

    Raises:
        ValueError: the batch is a tuple of more than three.
    """
    if isinstance(data, list):
        data = tuple(data)
    if not isinstance(data, tuple):
        return data, None, None
    if len(data) > 3:
        raise ValueError(
            "Data is expected to be in format `x`, `(x,)`, `(x, y)`, or `(x, y, "
            "sample_weight)`, "
            f"found: a tuple of length {len(data)}"
        )
    return (*data, None, None, None)[:3]


def pack_x_y_sample_weight(x: Any, y: Any = None, sample_weight: Any = None) -> Any:
    """The batch tuple of these parts."""
    if y is None:
        return x if not isinstance(x, (tuple, list)) else (x,)
    return (x, y) if sample_weight is None else (x, y, sample_weight)


class DataAdapter(ABC):
    """One source of batches."""

    @property
    @abstractmethod
    def num_batches(self) -> int | None:
        """Batches per epoch; None if unknown or endless."""

    @abstractmethod
    def epoch(self) -> Iterator[Any]:
        """The batches of the next epoch."""

    def on_epoch_end(self) -> None:  # noqa: B027 - most sources have nothing to do
        """Called when an epoch's batches were consumed."""

    def begin_later_pass(self, number: int) -> None:
        """Make the next epoch the one of this number, from 0, when one has been begun."""
        for _ in range(number - 1):
            next(self.epoch(), None)


def _as_tensor(leaf: Any) -> Any:
    if leaf is None or isinstance(leaf, Tensor) or getattr(leaf, "_is_headrace_value", False):
        return leaf
    array = np.asarray(leaf)
    if array.dtype == np.float64:
        array = array.astype(np.float32)
    return hr.convert_to_tensor(array)


def to_tensors(batch: Any) -> Any:
    """`batch` with arrays and scalars as tensors; float64 becomes float32."""
    if isinstance(batch, list):
        batch = tuple(batch)
    return nest.map_structure(_as_tensor, batch)


class DatasetAdapter(DataAdapter):
    """A batched `Dataset`.

    Args:
        dataset: yields batches.
        class_weight: weights by class, applied to every batch.
    """

    def __init__(self, dataset: Any, class_weight: Any = None):
        self._dataset = dataset
        self._weigh = _class_weigher(class_weight)

    @property
    def num_batches(self) -> int | None:
        """The dataset's cardinality, if it is known and finite."""
        cardinality = self._dataset.cardinality()
        size = int(cardinality)
        return size if size >= 0 else None

    def begin_later_pass(self, number: int) -> None:
        """See `DataAdapter.begin_later_pass`."""
        node = getattr(self._dataset, "_node", None)
        if node is not None:
            begin_later_pass(node, number)

    def epoch(self) -> Iterator[Any]:
        """The dataset, iterated anew."""
        iterator = iter(self._dataset)
        return iterator if self._weigh is None else map(self._weigh, iterator)


class ConvertedBatches:
    """Batches as the user's code gives them, made tensors.

    Attributes:
        given: the user's.
    """

    def __init__(self, given: Iterator[Any], weigh: Callable[[Any], Any] | None):
        self.given = given
        self._weigh = weigh

    def __iter__(self) -> ConvertedBatches:
        return self

    def __next__(self) -> Any:
        return self.convert(next(self.given))

    def convert(self, found: Any) -> Any:
        """A batch of tensors."""
        batch = to_tensors(found)
        return batch if self._weigh is None else self._weigh(batch)


class GeneratorAdapter(DataAdapter):
    """A Python generator or another iterable of batches.

    A generator gives one pass: the next epoch goes on where the last one stopped.
    """

    def __init__(self, iterable: Any, class_weight: Any = None):
        self._iterable = iterable
        self._weigh = _class_weigher(class_weight)

    @property
    def num_batches(self) -> int | None:
        """Its length, where it has one."""
        try:
            return len(self._iterable)
        except TypeError:
            return None

    def epoch(self) -> Iterator[Any]:
        """The batches, as tensors."""
        return ConvertedBatches(iter(self._iterable), self._weigh)


class SequenceAdapter(DataAdapter):
    """A `keras.utils.Sequence` / `PyDataset`: batches by index.

    Args:
        sequence: has ``__getitem__`` and, if finite, ``__len__`` or ``num_batches``.
        shuffle: whether the batches come in a new order in every epoch.
        class_weight: weights by class, applied to every batch.
    """

    def __init__(self, sequence: Any, shuffle: bool = False, class_weight: Any = None):
        self._sequence = sequence
        self._shuffle = shuffle
        self._weigh = _class_weigher(class_weight)

    @property
    def num_batches(self) -> int | None:
        """The sequence's length."""
        if hasattr(self._sequence, "num_batches"):
            return self._sequence.num_batches
        try:
            return len(self._sequence)
        except (TypeError, NotImplementedError):
            return None

    def epoch(self) -> Iterator[Any]:
        """The batches, by index."""
        return ConvertedBatches(self._given(), self._weigh)

    def _given(self) -> Iterator[Any]:
        if hasattr(self._sequence, "on_epoch_begin"):
            self._sequence.on_epoch_begin()
        count = self.num_batches
        order: Iterable[int] = itertools.count() if count is None else range(count)
        if self._shuffle and count is not None:
            from ..utils.rng import numpy_generator

            order = map(int, numpy_generator().permutation(count))
        yield from fetched(self._sequence, order)

    def on_epoch_end(self) -> None:
        """Tell the sequence."""
        if hasattr(self._sequence, "on_epoch_end"):
            self._sequence.on_epoch_end()


def _class_weigher(class_weight: Any) -> Callable[[Any], Any] | None:
    if not class_weight:
        return None
    from .compile_utils import apply_class_weight

    def weigh(batch: Any) -> Any:
        x, y, sample_weight = unpack_x_y_sample_weight(batch)
        if sample_weight is not None:
            raise ValueError("You cannot `class_weight` and `sample_weight` at the same time.")
        return x, y, hr.convert_to_tensor(apply_class_weight(y, class_weight))

    return weigh


def is_dataset(x: Any) -> bool:
    """Whether `x` is a `Dataset` (or a distributed one)."""
    return hasattr(x, "element_spec") and hasattr(x, "__iter__")
