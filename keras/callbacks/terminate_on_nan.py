"""TerminateOnNaN: end training when the loss is no number."""

from __future__ import annotations

import math
from typing import Any

from ..utils.progbar import print_line
from .callback import Callback

__all__ = ["TerminateOnNaN"]


class TerminateOnNaN(Callback):
    """Stops `fit` as soon as the loss is NaN or infinite."""

    def on_batch_end(self, batch: int, logs: Any = None) -> None:
        """Look at the loss."""
        loss = (logs or {}).get("loss")
        if loss is not None and not math.isfinite(loss):
            print_line(f"Batch {batch}: Invalid loss, terminating training")
            self.model.stop_training = True
