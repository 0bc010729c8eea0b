"""Callback: the base of all callbacks."""

from __future__ import annotations

from typing import Any

__all__ = ["Callback", "known_logs", "reads_logs_late"]


def reads_logs_late(hook: Any) -> Any:
    """Mark a batch hook that takes the function computing the logs instead of the logs."""
    hook._reads_logs_late = True
    return hook


def known_logs(logs: Any) -> dict[str, Any]:
    """What a hook so marked was given, as logs: a subclass may pass a dictionary on."""
    return logs() if callable(logs) else logs or {}


class Callback:
    """Override the hooks you need.

    Attributes:
        model: the model at work.
        params: ``verbose``, ``epochs`` and ``steps`` of the loop.

    ``logs`` maps metric names to numbers.  Batch hooks cost something for every batch, metric
    values included: leave them alone where an epoch hook will do.
    """

    def __init__(self) -> None:
        self.params: dict[str, Any] = {}
        self._model: Any = None
        self.validation_data: Any = None

    @property
    def model(self) -> Any:
        """The model at work."""
        return getattr(self, "_model", None)

    def set_params(self, params: dict[str, Any]) -> None:
        """Take the loop's parameters."""
        self.params = params

    def set_model(self, model: Any) -> None:
        """Take the model."""
        self._model = model

    def on_batch_begin(self, batch: int, logs: Any = None) -> None:
        """An alias of `on_train_batch_begin`."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """An alias of `on_train_batch_end`."""

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Before an epoch of `fit`."""

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """After an epoch of `fit`, its validation included."""

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a training batch."""
        self.on_batch_begin(batch, logs=logs)

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a training batch."""
        self.on_batch_end(batch, logs=logs)

    def on_test_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of an evaluation."""

    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of an evaluation."""

    def on_predict_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Before a batch of `predict`."""

    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """After a batch of `predict`."""

    def on_train_begin(self, logs: Any = None) -> None:
        """At the start of `fit`."""

    def on_train_end(self, logs: Any = None) -> None:
        """At the end of `fit`."""

    def on_test_begin(self, logs: Any = None) -> None:
        """At the start of an evaluation."""

    def on_test_end(self, logs: Any = None) -> None:
        """At the end of an evaluation."""

    def on_predict_begin(self, logs: Any = None) -> None:
        """At the start of `predict`."""

    def on_predict_end(self, logs: Any = None) -> None:
        """At the end of `predict`."""
