"""TerminateOnNaN: end training when the loss is no number."""

from __future__ import annotations

import math
from typing import Any

from ..utils.progbar import print_line
from .callback import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stops `fit` as soon as the loss is NaN or infinite.

    Args:
        raise_error: raise a RuntimeError rather than end `fit` as usual, so that no callback's
            `on_train_end` runs (and, for one, a backup stays).
    """

    def __init__(self, raise_error: bool = False):
        super().__init__()
        self.raise_error = raise_error

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            if self.raise_error:
                raise RuntimeError(
                    f"NaN or Inf loss encountered at batch {batch}. Loss value: {loss}. "
                    "Terminating training immediately."
                )
            print_line(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
