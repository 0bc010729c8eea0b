"""ProgbarLogger: the progress bar of `fit`, `evaluate` and `predict`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..utils.progbar import Progbar, print_line
from .callback import Callback, known_logs, reads_logs_late

__all__ = ["ProgbarLogger"]


class ProgbarLogger(Callback):
    """Shows progress, ETA and metrics of each epoch."""

    def __init__(self) -> None:
        super().__init__()
        self._progbar: Progbar | None = None
        self._in_fit = False
        self._seen = 0

    def _start(self, target: int | None) -> None:
        self._progbar = Progbar(target, verbose=self.params.get("verbose", 1))
        self._seen = 0

    def _tick(self, batch: int, logs: Callable[[], dict[str, Any]]) -> None:
        self._seen = seen = batch + 1
        bar = self._progbar
        if bar is not None and bar.is_due(seen):
            bar.update(seen, list(known_logs(logs).items()), finalize=False)

    def _finish(self, logs: Any) -> None:
        bar = self._progbar
        if bar is not None:
            if bar.target is None or self._seen < bar.target:
                bar.target = self._seen  # the data's true length, or a stop before it
            bar.update(self._seen, list((logs or {}).items()), finalize=True)
            self._progbar = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Leave the bar to training: validation shows none of its own."""
        self._in_fit = True

    def on_train_end(self, logs: Any = None) -> None:
        """Let evaluations show bars again."""
        self._in_fit = False

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Print the epoch's number and start its bar."""
        if self.params.get("verbose") and self.params.get("epochs", 1) > 1:
            print_line(f"Epoch {epoch + 1}/{self.params['epochs']}")
        self._start(self.params.get("steps"))

    @reads_logs_late
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar."""
        self._tick(batch, logs)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Draw the bar for the last time, with all metrics."""
        self._finish(logs)

    def on_test_begin(self, logs: Any = None) -> None:
        """Start a bar, outside `fit`."""
        if not self._in_fit:
            self._start(self.params.get("steps"))

    @reads_logs_late
    def on_test_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar, outside `fit`."""
        if not self._in_fit:
            self._tick(batch, logs)

    def on_test_end(self, logs: Any = None) -> None:
        """Draw the bar for the last time, outside `fit`."""
        if not self._in_fit:
            self._finish(logs)

    def on_predict_begin(self, logs: Any = None) -> None:
        """Start a bar."""
        self._start(self.params.get("steps"))

    @reads_logs_late
    def on_predict_batch_end(self, batch: int, logs: Any = None) -> None:
        """Move the bar."""
        self._tick(batch, dict)

    def on_predict_end(self, logs: Any = None) -> None:
        """Draw the bar for the last time."""
        self._finish(None)
