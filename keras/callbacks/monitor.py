"""MonitorCallback: the base of callbacks that watch one metric."""

from __future__ import annotations

import math
import warnings
from typing import Any

from .callback import Callback

__all__ = ["MonitorCallback"]

_RISING = ("acc", "accuracy", "auc", "precision", "recall", "fmeasure", "f1", "f1_score")


class MonitorCallback(Callback):
    """Watches whether a metric improves.

    Args:
        monitor: name of the metric in the logs.
        mode: ``"min"``, ``"max"``, or ``"auto"``: by the metric's name.
        initial_value_threshold: best value to start from.
        min_delta: least change that counts as improvement.
    """

    def __init__(
        self,
        monitor: str = "val_loss",
        mode: str = "auto",
        initial_value_threshold: float | None = None,
        min_delta: float = 0.0,
    ):
        super().__init__()
        if mode not in ("auto", "min", "max"):
            warnings.warn(
                f"{type(self).__name__} mode '{mode}' is unknown, fallback to auto mode.",
                stacklevel=3,
            )
            mode = "auto"
        self.monitor = monitor
        self.mode = mode
        self.best = initial_value_threshold
        self.min_delta = abs(min_delta)

    @property
    def rising(self) -> bool:
        """Whether greater is better."""
        if self.mode != "auto":
            return self.mode == "max"
        name = self.monitor.removeprefix("val_")
        for metric in getattr(self.model, "metrics", ()):
            direction = getattr(metric, "_direction", None)
            if metric.name == name and direction is not None:
                return direction == "up"
        return any(name == word or name.endswith(f"_{word}") for word in _RISING)

    def value(self, logs: Any) -> float | None:
        """The metric's value in `logs`; None, with a warning, if it is not there."""
        logs = logs or {}
        found = logs.get(self.monitor)
        if found is None:
            warnings.warn(
                f"{type(self).__name__} conditioned on metric `{self.monitor}` which is not "
                f"available. Available metrics are: {','.join(logs)}",
                stacklevel=3,
            )
        return found

    def improves(self, value: float, reference: float | None) -> bool:
        """Whether `value` is better than `reference` by at least `min_delta`."""
        if reference is None:
            return not math.isnan(value)
        if self.rising:
            return value - self.min_delta > reference
        return value + self.min_delta < reference
