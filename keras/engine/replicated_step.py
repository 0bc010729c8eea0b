"""ReplicatedStep: a model's step on one global batch, run by all replicas of a strategy, each
on its rows of the batch.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ...distribute.context import entered
from ...distribute.fingerprint import check_same_model, described
from ...distribute.input import rows_of, split_rows, split_sizes
from ...distribute.values import DistributedValues, select
from ...distribute.worker_input import LocalBatch, own_rows
from ...ops import nest
from ...ops.convert import convert_to_tensor
from .step_function import StepFunction

__all__ = ["ReplicatedStep", "check_variables", "traces_needed"]


def traces_needed(strategy: Any) -> int:
    """How many traces of a step the replicas of this process need: one for all, unless they
    compute different things."""
    extended = strategy.extended
    return extended.local_replicas if extended.sharded_optimizer else 1


class ReplicatedStep:
    """A step on a global batch, by the replicas of this process.

    Args:
        strategy: whose replicas run it.
        steps: what a replica runs; one for all, or one for each.
        joined: whether the results are the rows of one batch (as predictions are); else the
            first replica's stand for all.
    """

    def __init__(self, strategy: Any, steps: Sequence[StepFunction], joined: bool):
        self._extended = strategy.extended
        self._strategy = strategy
        self._steps = steps
        self._joined = joined

    @property
    def traces(self) -> int:
        """How many traces were made."""
        return sum(step.traces for step in self._steps)

    @property
    def graph(self) -> Any:
        """The first trace's graph, if there is one."""
        return self._steps[0].graph

    @property
    def eager(self) -> bool:
        """Whether steps run as plain Python."""
        return self._steps[0].eager

    def forget(self) -> None:
        """Trace anew at the next call."""
        for step in self._steps:
            step.forget()

    def __call__(self, batch: Any) -> Any:
        """Run the step; its result, or None where only its effects are wanted."""
        if self._extended.several_workers:
            return self._of_worker(batch)
        count = self._extended.local_replicas
        if any(isinstance(leaf, DistributedValues) for leaf in nest.flatten(batch)):
            parts = [select(batch, i) for i in range(count)]
            rows = [rows_of(part) for part in parts]
        else:
            rows = split_sizes(rows_of(batch), count)
            parts = split_rows(batch, rows)
        parts = [self._extended.brought(part, i) for i, part in enumerate(parts)]
        results = self._run(parts, rows)
        if results[0] is None:
            return None
        return _joined(results) if self._joined else results[0]

    def _of_worker(self, batch: Any) -> Any:
        """The step where each replica is a process."""
        me = self._extended.communicator
        if isinstance(batch, LocalBatch):
            (part,) = batch.values
            rows, total = batch.rows, batch.total_rows
        else:  # all workers are given the same batch
            total = rows_of(batch)
            part = own_rows(me.size, me.rank)(batch)
            rows = rows_of(part)
        part = self._extended.brought(part)
        call = self._bound([part])
        run = call[0] if call is not None else _eager(self._steps[0], part)
        (result,) = self._extended.run_replicas([run], rows=[rows], total_rows=total)
        if result is None or not self._joined:
            return result
        return nest.map_structure(
            lambda leaf: convert_to_tensor(me.all_gather(np.asarray(leaf), 0)), result
        )

    def _run(self, parts: Sequence[Any], rows: Sequence[int]) -> list[Any]:
        bound = self._bound(parts)
        if bound is None:
            calls = [_eager(self._step(i), part) for i, part in enumerate(parts)]
            return self._extended.run_replicas(calls, in_turn=True, rows=rows)
        return self._extended.run_replicas(bound, rows=rows)

    def _step(self, replica: int) -> StepFunction:
        return self._steps[replica if len(self._steps) > 1 else 0]

    def _bound(self, parts: Sequence[Any]) -> list[Callable[[], Any]] | None:
        found = []
        for i, (replica, part) in enumerate(zip(self._extended.replicas, parts, strict=True)):
            with entered(self._strategy, replica):
                call = self._step(i).bound(part)
            if call is None:
                return None
            found.append(call)
        return found


def _eager(step: StepFunction, part: Any) -> Callable[[], Any]:
    return lambda: step.run_eagerly(part)


def _joined(results: Sequence[Any]) -> Any:
    def join(*parts: Any) -> Any:
        return convert_to_tensor(np.concatenate([np.asarray(p) for p in parts]))

    return nest.map_structure(join, *results)


def check_variables(model: Any) -> None:
    """Refuse a model whose replicas could not keep its variables in step.

    Raises:
        ValueError: a variable of the model, its metrics or its optimizer was made outside of
            the strategy's scope.
    """
    strategy = model.distribute_strategy
    if strategy.num_replicas_in_sync == 1:
        return
    optimizer = getattr(model, "optimizer", None)
    if strategy.extended.several_workers:
        lines = [*described(model.variables), type(optimizer).__name__]
        check_same_model(lines, strategy.extended.communicator)
    kinds = {
        "model": model.variables,
        "metrics": [v for m in model.metrics for v in m.variables],
        "optimizer": getattr(optimizer, "variables", ()),
    }
    for kind, variables in kinds.items():
        for v in variables:
            if not strategy.extended.variable_created_in_scope(v):
                raise ValueError(
                    f"Variable ({v.name}) was not created in the distribution strategy scope "
                    f"of ({strategy!r}). It is most likely because the {kind} was created "
                    "outside of the scope. Make sure that the code looks like this:\n"
                    "with strategy.scope():\n"
                    "  model = make_model()\n"
                    "  model.compile(...)"
                )
