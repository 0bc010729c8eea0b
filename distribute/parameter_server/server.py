"""The server: an actor that keeps shards of variables and applies updates to them.

It does one thing after the other, so every pull sees whole updates.  An optimizer's state for a
shard lives here, too: workers push gradients, and the server's own copy of the optimizer
updates the shards it has.  Rows are numbered within the shard.

What it has is written to its folder every so many pushes, and when it is told to; started anew
after it died, it goes on from there.
"""

from __future__ import annotations

import contextlib
import os
import pickle
from typing import Any, NamedTuple

import numpy as np

from ...ops.errors import NotFoundError, ResourceExhaustedError

__all__ = ["Gradient", "OptimizerOrder", "ServerActor"]


class Gradient(NamedTuple):
    """Of one shard: of all its rows, or of those at `rows`."""

    key: str
    values: np.ndarray
    rows: np.ndarray | None


class OptimizerOrder(NamedTuple):
    """Which optimizer is to apply gradients.

    Attributes:
        name: the same for the same optimizer.
        kind, config: to make it, once.
        keys: all shards of this server that it updates.
        spared: those without weight decay.
        learning_rate: now.
    """

    name: str
    kind: type
    config: dict[str, Any]
    keys: tuple[str, ...]
    spared: tuple[str, ...]
    learning_rate: float


class ServerActor:
    """Runs in a process of its own, one call at a time."""

    def __init__(self, folder: str, index: int, most_bytes: int | None, every: int):
        from ...ops import api  # noqa: F401  what optimizers compute with

        self._path = os.path.join(folder, f"server-{index}.state")
        self._index = index
        self._most_bytes = most_bytes
        self._every = every
        self._pushes = 0
        self._variables: dict[str, Any] = {}
        self._versions: dict[str, int] = {}
        self._constraints: dict[str, bytes] = {}
        self._optimizers: dict[str, tuple[OptimizerOrder, Any]] = {}
        if os.path.exists(self._path):
            self._restore()

    def pid(self) -> int:
        """The process's number."""
        return os.getpid()

    # -- variables ------------------------------------------------------------------------

    def create(self, key: str, value: np.ndarray, constraint: bytes | None) -> None:
        """A new shard, or a new value for one; with a pickled constraint.

        Raises:
            ResourceExhaustedError: it is more than the server may hold.
        """
        held = self.size_bytes()
        if self._most_bytes is not None and held + value.nbytes > self._most_bytes:
            raise ResourceExhaustedError(
                f"parameter server {self._index} holds {held:,} bytes and may hold "
                f"{self._most_bytes:,}: {key} of {value.nbytes:,} bytes does not fit; cut it "
                "into more shards (variable_partitioner), or use more servers"
            )
        self._constraints.pop(key, None)
        if constraint is not None:
            self._constraints[key] = constraint
        self._variables[key] = self._made(key, np.array(value))
        self._versions[key] = self._versions.get(key, 0) + 1

    def _made(self, key: str, value: np.ndarray) -> Any:
        from ...ops.variable import Variable

        packed = self._constraints.get(key)
        return Variable(value, name=key, constraint=packed and pickle.loads(packed))

    def size_bytes(self) -> int:
        """What the shards take."""
        return sum(v._value.nbytes for v in self._variables.values())

    def _variable(self, key: str) -> Any:
        try:
            return self._variables[key]
        except KeyError:
            raise NotFoundError(
                f"parameter server {self._index} has no {key}: it died before its first "
                "checkpoint; make the variables anew, or restore them from a checkpoint"
            ) from None

    def pull(self, asked: list[tuple[str, np.ndarray | None, int]]) -> list[Any]:
        """(version, value) of each (key, rows or None for all, version known); the value is
        None where that version is still the one."""
        found = []
        for key, rows, known in asked:
            value = self._variable(key)._value
            version = self._versions[key]
            if rows is not None:
                found.append((version, value[rows]))
            else:
                # A copy: later updates are made in place, while this is being sent.
                found.append((version, None if version == known else value.copy()))
        return found

    def assign(self, key: str, value: np.ndarray, add: bool) -> None:
        """Replace a shard's value, or add to it."""
        variable = self._variable(key)
        variable.assign(variable._value + value if add else np.array(value))
        self._versions[key] += 1

    # -- updates --------------------------------------------------------------------------

    def push(self, order: OptimizerOrder, gradients: list[Gradient]) -> None:
        """Have an optimizer apply gradients to their shards.

        Without any it is a step all the same, so that optimizers count alike on all servers.
        """
        from ...ops.indexed_slices import IndexedSlices
        from ...ops.tensor import Tensor

        optimizer = self._optimizer(order)
        optimizer.learning_rate = order.learning_rate
        grads: list[Any] = []
        for gradient in gradients:
            values: Any = Tensor.of(np.array(gradient.values))
            if gradient.rows is not None:
                shape = Tensor.of(np.array(self._variable(gradient.key).shape.as_list()))
                values = IndexedSlices(values, Tensor.of(np.array(gradient.rows)), shape)
            grads.append(values)
        if grads:
            optimizer.apply(grads, [self._variable(g.key) for g in gradients])
        else:
            optimizer._apply_summed([], [])
        for key in order.keys if optimizer.use_ema else [g.key for g in gradients]:
            self._versions[key] += 1
        self._pushes += 1
        if self._every and self._pushes % self._every == 0:
            self.save()

    def _optimizer(self, order: OptimizerOrder) -> Any:
        if order.name not in self._optimizers:
            optimizer: Any = order.kind.from_config(order.config)  # type: ignore[attr-defined]
            if order.spared:
                optimizer.exclude_from_weight_decay([self._variable(k) for k in order.spared])
            optimizer.build([self._variable(key) for key in order.keys])
            self._optimizers[order.name] = order, optimizer
        return self._optimizers[order.name][1]

    def take_averages(self, order: OptimizerOrder) -> None:
        """Replace the shards of an optimizer by their moving averages."""
        optimizer = self._optimizer(order)
        optimizer.finalize_variable_values([self._variable(key) for key in order.keys])
        for key in order.keys:
            self._versions[key] += 1

    # -- checkpoints ----------------------------------------------------------------------

    def save(self) -> None:
        """Write everything to the server's folder; the file is replaced at once."""
        state = {
            "variables": {k: v._value for k, v in self._variables.items()},
            "versions": self._versions,
            "constraints": self._constraints,
            "pushes": self._pushes,
            "optimizers": [
                (order, [v.numpy() for v in optimizer.variables])
                for order, optimizer in self._optimizers.values()
            ],
        }
        os.makedirs(os.path.dirname(self._path), exist_ok=True)
        temporary = f"{self._path}.tmp-{os.getpid()}"
        try:
            opened: Any = open(temporary, "wb")
            with opened as file:
                pickle.dump(state, file, protocol=5)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, self._path)
        finally:
            with contextlib.suppress(OSError):
                os.remove(temporary)

    def _restore(self) -> None:
        opened: Any = open(self._path, "rb")
        with opened as file:
            state = pickle.load(file)
        self._constraints = state["constraints"]
        self._variables = {k: self._made(k, v) for k, v in state["variables"].items()}
        # Numbers nobody has seen: what was pulled of lost updates must not count as known.
        self._versions = {k: v + (1 << 32) for k, v in state["versions"].items()}
        self._pushes = state["pushes"]
        for order, values in state["optimizers"]:
            for variable, value in zip(self._optimizer(order).variables, values, strict=True):
                variable.assign(value)
