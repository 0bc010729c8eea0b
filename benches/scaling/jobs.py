"""The jobs that are measured: steps of a 1024-1024-1024 MLP, and the control without
communication.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

import headrace as hr
from headrace import keras
from headrace.distribute.communicator import Communicator
from headrace.ops import workers

SIZE, BATCH = 1024, 256


class Silent(Communicator):
    """Communicates nothing: each replica goes on with what it has.  For the control."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size
        self._begun: dict[int, Any] = {}
        self._number = 0

    def start(self, arrays: Any, mean: bool, compress: bool, own: Any = ()) -> int:
        """Keep the arrays."""
        self._number += 1
        self._begun[self._number] = list(arrays)
        return self._number

    def finish(self, number: int) -> list[Any]:
        """What was given."""
        return self._begun.pop(number)

    def all_gather(self, array: Any, axis: int) -> Any:
        """The array."""
        return array

    def broadcast(self, arrays: Any) -> list[Any]:
        """The arrays."""
        return list(arrays)

    def meet(self, what: str) -> None:
        """Return at once."""

    def gather_objects(self, value: Any, what: str) -> list[Any]:
        """As if all had the same."""
        return [value] * self.size

    def sum_counts(self, counts: Sequence[int], what: str) -> list[int]:
        """As if all had the same."""
        return [int(n) * self.size for n in counts]


def make_model() -> Any:
    """The MLP, compiled; in a strategy's scope, for its replicas."""
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [keras.Input((SIZE,)), keras.layers.Dense(SIZE, "relu"), keras.layers.Dense(SIZE)]
    )
    model.compile(keras.optimizers.SGD(1e-4), "mse")
    return model


def batch(replicas: int) -> tuple[Any, Any]:
    """A global batch of 256 rows for each of `replicas`."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(BATCH * replicas, SIZE)).astype("float32")
    return hr.constant(x), hr.constant(x)


def stepper(strategy: Any, replicas: int) -> Callable[[], None]:
    """A function that makes one step, warmed up."""
    with strategy.scope():
        model = make_model()
        data = batch(replicas)
        step = model.make_train_function()
    model._build_optimizer()

    def run() -> None:
        with model._strategy_scope():
            step(data)

    for _ in range(5):
        run()
    return run


def seconds_per_step(run: Callable[[], None], least_s: float = 1.0) -> float:
    """The median time of a step, over steps that together take `least_s`."""
    times: list[float] = []
    began = time.perf_counter()
    while time.perf_counter() - began < least_s or len(times) < 5:
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return float(np.median(times))


def alternately(
    jobs: dict[str, Callable[[], float]], rounds: int, control: str, tolerance: float = 0.1
) -> Iterator[dict[str, float]]:
    """The jobs' figures, round by round; rounds in which the control was disturbed (slower than
    its best by more than `tolerance`) are left out.

    Args:
        jobs: functions that give seconds per step.
        rounds: how often each runs.
        control: the job that nothing but the machine can disturb.
        tolerance: see above.
    """
    found = [{name: job() for name, job in jobs.items()} for _ in range(rounds)]
    best = min(each[control] for each in found)
    yield from (each for each in found if each[control] <= best * (1 + tolerance))


def on_one_core(run: Callable[[], float]) -> float:
    """`run` with matrix products on the calling thread only."""
    with workers.sharing(1 << 20):
        return run()
