"""SwapEMAWeights: evaluate and predict with the moving averages of the weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from .callback import Callback

__all__ = ["SwapEMAWeights"]


class SwapEMAWeights(Callback):
    """Puts an optimizer's moving averages (``use_ema=True``) in the weights' place and back.

    They are in place during every evaluation and prediction; training goes on with the weights
    themselves.

    Args:
        swap_on_epoch: put them in place at the end of each epoch already, so that callbacks
            after this one (a `ModelCheckpoint`) see them; after the last epoch they stay.

    Raises:
        ValueError: when it starts: the model's optimizer keeps no averages.
    """

    def __init__(self, swap_on_epoch: bool = False):
        super().__init__()
        self.swap_on_epoch = swap_on_epoch
        self._in_place = False

    def _optimizers(self) -> Iterator[Any]:
        """The optimizers that keep averages."""
        outer = self.model.optimizer
        outer = getattr(outer, "inner_optimizer", outer)
        found = [o for o in getattr(outer, "optimizers", [outer]) if o.use_ema]
        if not found:
            raise ValueError(
                "SwapEMAWeights must be used when `use_ema=True` is set on the optimizer. "
                f"Received: use_ema={getattr(outer, 'use_ema', False)}"
            )
        yield from found

    def _pairs(self) -> Iterator[tuple[Any, Any]]:
        for optimizer in self._optimizers():
            yield from zip(optimizer._trainable_variables, optimizer._averages, strict=True)

    def _swap(self, in_place: bool) -> None:
        if self._in_place is in_place:
            return
        for variable, average in self._pairs():
            value = variable.read_value()
            variable.assign(average.read_value())
            average.assign(value)
        self._in_place = in_place

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Train the weights themselves."""
        if self.swap_on_epoch:
            self._swap(False)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Put the averages in place, if asked; after the last epoch for good."""
        if not self.swap_on_epoch:
            return
        self._swap(True)
        if epoch == self.params["epochs"] - 1:
            for variable, average in self._pairs():
                average.assign(variable.read_value())

    def on_test_begin(self, logs: Any = None) -> None:
        """Put the averages in place."""
        self._swap(True)

    def on_test_end(self, logs: Any = None) -> None:
        """Take them out."""
        self._swap(False)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Put the averages in place."""
        self._swap(True)

    def on_predict_end(self, logs: Any = None) -> None:
        """Take them out."""
        self._swap(False)
