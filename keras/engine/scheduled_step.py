"""ScheduledStep: a model's training step under a `ParameterServerStrategy`: each batch is sent
to the next idle worker, which computes gradients and pushes them to the servers.

Metrics are variables on servers that all workers add to; `finish` waits for the batches that
are on their way, so that an epoch's values are those of all its batches.
"""

from __future__ import annotations

from typing import Any

from ...distribute.coordinator import ClusterCoordinator

__all__ = ["ScheduledStep"]


class _TrainStep:
    """What a worker runs."""

    def __init__(self, model: Any):
        self._model = model

    def __call__(self, batch: Any) -> None:
        self._model.train_step(batch)


class ScheduledStep:
    """``train_step`` of `model`, by the workers of its strategy.

    Attributes:
        traces, graph, eager: as of a `StepFunction`: workers run steps as plain Python.
    """

    traces = 0
    graph = None
    eager = True

    def __init__(self, model: Any, strategy: Any):
        self._model = model
        self._strategy = strategy
        self._start()

    def _start(self) -> None:
        self._coordinator = ClusterCoordinator(self._strategy)
        self._step = _TrainStep(self._model)

    def forget(self) -> None:
        """Have workers take the model as it is now."""
        self.finish()
        self._start()

    def __call__(self, batch: Any) -> None:
        """Schedule the step; waits while many batches are on their way.

        Raises:
            Exception: what an earlier step has raised.
        """
        self._coordinator.schedule(self._step, (batch,))

    def finish(self) -> None:
        """Wait for all steps scheduled.

        Raises:
            Exception: what one of them has raised.
        """
        self._coordinator.join()

    def __reduce__(self) -> tuple[Any, ...]:
        return _nothing, ()  # workers have no use for it


def _nothing() -> None:
    return None
