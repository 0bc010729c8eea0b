"""What `fit` takes as data, as one thing: something that gives the batches of an epoch.

An adapter's batches are ``(x,)``, ``(x, y)`` or ``(x, y, sample_weight)`` of tensors.  Arrays
are in `array_adapter.py`.
"""

from __future__ import annotations

import warnings
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from ...ops.tensor import Tensor

__all__ = [
    "DataAdapter",
    "EpochIterator",
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

    def epoch(self) -> Iterator[Any]:
        """The dataset, iterated anew."""
        iterator = iter(self._dataset)
        return iterator if self._weigh is None else map(self._weigh, iterator)


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
        batches = map(to_tensors, iter(self._iterable))
        return batches if self._weigh is None else map(self._weigh, batches)


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
        if hasattr(self._sequence, "on_epoch_begin"):
            self._sequence.on_epoch_begin()
        count = self.num_batches
        order: Any = range(count) if count is not None else iter(int, 1)
        if self._shuffle and count is not None:
            from ..utils.rng import numpy_generator

            order = numpy_generator().permutation(count)
        for position, index in enumerate(order):
            at = int(index) if count is not None else position
            batch = to_tensors(self._sequence[at])
            yield batch if self._weigh is None else self._weigh(batch)

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


def make_adapter(
    x: Any,
    y: Any = None,
    sample_weight: Any = None,
    batch_size: int | None = None,
    shuffle: Any = False,
    class_weight: Any = None,
) -> DataAdapter:
    """The adapter for what `fit`, `evaluate` or `predict` was given.

    Raises:
        ValueError: targets, weights or a batch size were given with data that brings its own,
            or the data's kind is unknown.
    """
    from .array_adapter import ArrayAdapter, is_array_data

    if isinstance(x, DataAdapter):
        return x
    if is_dataset(x):
        _no_extras("Dataset", y=y, sample_weight=sample_weight, batch_size=batch_size)
        return DatasetAdapter(x, class_weight)
    if is_array_data(x):
        return ArrayAdapter(
            x, y, sample_weight, 32 if batch_size is None else batch_size, shuffle, class_weight
        )
    kind = type(x).__name__
    if (hasattr(x, "__getitem__") and hasattr(x, "__len__")) or hasattr(x, "num_batches"):
        _no_extras(kind, y=y, sample_weight=sample_weight, batch_size=batch_size)
        return SequenceAdapter(x, bool(shuffle), class_weight)
    if hasattr(x, "__next__") or hasattr(x, "__iter__"):
        _no_extras(kind, y=y, sample_weight=sample_weight, batch_size=batch_size)
        return GeneratorAdapter(x, class_weight)
    raise ValueError(
        f"Unrecognized data type: x={x!r} (of type {type(x)}). Pass arrays, a Dataset, a "
        "generator of batches, or a Sequence."
    )


def _no_extras(kind: str, **extras: Any) -> None:
    for name, value in extras.items():
        if value is not None:
            what = "targets" if name == "y" else name
            raise ValueError(
                f"`{name}` must not be passed when `x` is a {kind}: its batches bring "
                f"the {what}. "
                f"Received: {name} of type {type(value).__name__}"
            )


class EpochIterator:
    """Epoch after epoch of an adapter's batches, `steps` each if that is set.

    With `steps`, an epoch goes on where the last one stopped, as Keras has it.
    """

    def __init__(self, adapter: DataAdapter, steps: int | None = None):
        if steps is not None and steps <= 0:
            raise ValueError(f"steps_per_epoch must be positive or None, got {steps}")
        self.adapter = adapter
        self.steps = steps
        self._open: Iterator[Any] | None = None

    @property
    def num_batches(self) -> int | None:
        """Steps per epoch, if known."""
        return self.steps if self.steps is not None else self.adapter.num_batches

    def peek(self) -> Any:
        """The next batch, which the next epoch will still deliver."""
        iterator = self._open or self.adapter.epoch()
        try:
            first = next(iterator)
        except StopIteration:
            raise ValueError(
                "The data gave no batch at all; check that it is not empty and that a "
                "generator "
                "is not exhausted."
            ) from None
        self._open = _chain(first, iterator)
        return first

    def __iter__(self) -> Iterator[Any]:
        iterator = self._open or self.adapter.epoch()
        self._open = None
        if self.steps is None:
            yield from iterator
            self.adapter.on_epoch_end()
            return
        for taken in range(self.steps):
            batch = next(iterator, _END)
            if batch is _END:
                self.adapter.on_epoch_end()
                iterator = self.adapter.epoch() if _repeats(self.adapter) else iter(())
                batch = next(iterator, _END)
                if batch is _END or not _repeats(self.adapter):
                    warnings.warn(
                        "Your input ran out of data; interrupting training. Make sure "
                        "that your "
                        "dataset or generator can generate at least `steps_per_epoch * epochs` "
                        f"batches. It ended after {taken} of {self.steps} steps. You may "
                        "need to "
                        "use the `.repeat()` function when building your dataset.",
                        stacklevel=2,
                    )
                    return
            yield batch
        self._open = iterator


_END = object()


def _repeats(adapter: DataAdapter) -> bool:
    """Arrays start over by themselves when `steps` asks for more than they hold."""
    return getattr(adapter, "repeats", False)


def _chain(first: Any, rest: Iterator[Any]) -> Iterator[Any]:
    yield first
    yield from rest
