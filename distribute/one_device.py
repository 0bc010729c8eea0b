"""Strategies of one replica: the explicit `OneDeviceStrategy` and the default in force
everywhere else.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from ..ops.devices import pinned
from .context import entered, set_default
from .devices import canonical_device, place_named
from .reduce_op import ReduceOp
from .replica_context import ReplicaContext
from .strategy import Strategy, StrategyExtended


class OneReplica(StrategyExtended):
    """One replica: every value is its own only component.

    Args:
        strategy: of which this is the inside.
        device: its device's name.
        home: where that computes (`place_named`); None for the default.
    """

    def __init__(self, strategy: Strategy, device: str, home: int | None = None) -> None:
        self._devices = (device,)
        self.home = home
        self.replica = ReplicaContext(strategy, replica_id_in_sync_group=0)

    @property
    def worker_devices(self) -> tuple[str, ...]:
        """See `StrategyExtended.worker_devices`."""
        return self._devices

    def call_for_each_replica(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """See `StrategyExtended.call_for_each_replica`."""
        with entered(self.replica.strategy, self.replica), pinned(self.home):
            return fn(*args, **kwargs)

    def reduce_to(self, reduce_op: ReduceOp | str, value: Any, destinations: Any = None) -> Any:
        """See `StrategyExtended.reduce_to`."""
        ReduceOp.of(reduce_op)
        return value

    def local_results(self, value: Any) -> tuple[Any, ...]:
        """See `StrategyExtended.local_results`."""
        return (value,)

    def variable_created_in_scope(self, v: Any) -> bool:
        """See `StrategyExtended.variable_created_in_scope`."""
        return True  # one replica never wraps variables, so any will do


class OneDeviceStrategy(Strategy):
    """A strategy that runs everything on one device.

    Scripts written for several devices run under it unchanged, which makes it the strategy to
    develop and debug with.

    Args:
        device: the device's name, such as "/cpu:0", "/gpu:0" or "/device:CPU:0".

    Raises:
        ValueError: `device` is not a device name.
        InvalidArgumentError: there is no such GPU.
    """

    def __init__(self, device: str) -> None:
        name = canonical_device(device)
        super().__init__(OneReplica(self, name, place_named(name)))


class _DefaultStrategy(Strategy):
    """The strategy in force where no scope is open: one replica, on the default device."""

    def __init__(self) -> None:
        extended = OneReplica(self, "/device:CPU:0")
        super().__init__(extended)
        set_default(self, extended.replica)
        self._replica = extended.replica

    @contextlib.contextmanager
    def scope(self) -> Iterator[Strategy]:
        # Its scope is where code is anyway: on the replica's side.
        with entered(self, self._replica):
            yield self


_DefaultStrategy()
