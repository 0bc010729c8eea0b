"""The adapter for what `fit` was given, and its batches epoch after epoch."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

from .. import settings
from .array_adapter import ArrayAdapter, is_array_data
from .data_adapter import (
    DataAdapter,
    DatasetAdapter,
    GeneratorAdapter,
    SequenceAdapter,
    is_dataset,
)
from .device_input import batches_of, peeked, through_ring

__all__ = ["EpochIterator", "limited", "make_adapter"]


def limited(name: str, value: int | None, most: int | None) -> int | None:
    """`value`, at most the limit that `keras.config` has; a warning says where it is less."""
    if not most or (value is not None and value <= most):
        return value
    warnings.warn(f"Limiting {name} to {most}", stacklevel=5)
    return most


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
        steps = limited("steps_per_epoch", steps, settings.max_steps_per_epoch())
        self.adapter = adapter
        self.steps = steps
        self._open: Iterator[Any] | None = None
        self._model: Any = None
        self.first = 0  # number of the first batch of the next epoch

    def feed(self, model: Any) -> EpochIterator:
        """This, with the batches of every pass (also of one that is open) where `model`'s steps
        want them."""
        self._model = model
        if self._open is not None:
            self._open = through_ring(self._open, model)
        return self

    def _pass(self) -> Iterator[Any]:
        batches = batches_of(self.adapter)
        return batches if self._model is None else through_ring(batches, self._model)

    def resume(self, epoch: int, batch: int) -> None:
        """Make the next epoch number `epoch`, from its batch `batch` on."""
        skipped = batch
        if self.steps is not None:
            skipped += epoch * self.steps
        elif epoch:
            self._open = None
            self.adapter.begin_later_pass(epoch)
        iterator = self._open or self._pass()
        for _ in range(skipped):
            next(iterator, None)
        self._open = iterator
        self.first = batch

    @property
    def num_batches(self) -> int | None:
        """Steps per epoch, if known."""
        return self.steps if self.steps is not None else self.adapter.num_batches

    def peek(self) -> Any:
        """The next batch, which the next epoch will still deliver."""
        try:
            first, self._open = peeked(self._open or self._pass())
        except StopIteration:
            raise ValueError(
                "The data gave no batch at all; check that it is not empty and that a "
                "generator is not exhausted."
            ) from None
        return first

    def __iter__(self) -> Iterator[Any]:
        iterator = self._open or self._pass()
        self._open = None
        first, self.first = self.first, 0
        if self.steps is None:
            yield from iterator
            self.adapter.on_epoch_end()
            return
        for taken in range(first, self.steps):
            batch = next(iterator, _END)
            if batch is _END:
                self.adapter.on_epoch_end()
                iterator = self._pass() if _repeats(self.adapter) else iter(())
                batch = next(iterator, _END)
                if batch is _END or not _repeats(self.adapter):
                    warnings.warn(
                        "Your input ran out of data; interrupting training. Make sure that "
                        "your dataset or generator can generate at least "
                        "`steps_per_epoch * epochs` batches. "
                        f"It ended after {taken} of {self.steps} steps. You may "
                        "need to use the `.repeat()` function when building your dataset.",
                        stacklevel=2,
                    )
                    return
            yield batch
        self._open = iterator


_END = object()


def _repeats(adapter: DataAdapter) -> bool:
    """Arrays start over by themselves when `steps` asks for more than they hold."""
    return getattr(adapter, "repeats", False)
