"""What a function given to `Strategy.run` sees: which replica it is, how to meet the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .context import entered

if TYPE_CHECKING:
    from .strategy import ReduceOp, Strategy


class ReplicaContext:
    """One replica of a strategy, as `hr.distribute.get_replica_context()` returns it.

    Attributes:
        strategy: the strategy this replica belongs to.
        replica_id_in_sync_group: number of this replica, from 0.
    """

    def __init__(self, strategy: Strategy, replica_id_in_sync_group: int) -> None:
        self.strategy = strategy
        self.replica_id_in_sync_group = replica_id_in_sync_group

    @property
    def num_replicas_in_sync(self) -> int:
        """Number of replicas whose gradients are combined in a step."""
        return self.strategy.num_replicas_in_sync

    @property
    def devices(self) -> tuple[str, ...]:
        """The device this replica runs on, as a tuple of one name."""
        return (self.strategy.extended.worker_devices[self.replica_id_in_sync_group],)

    def merge_call(
        self,
        merge_fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of `merge_fn(strategy, *args, **kwargs)` on the cross-replica side."""
        with entered(self.strategy):
            return merge_fn(self.strategy, *args, **(kwargs or {}))

    def all_reduce(self, reduce_op: ReduceOp | str, value: Any) -> Any:
        """`value` combined over all replicas, for every replica to go on with."""
        return self.strategy.extended.all_reduce(reduce_op, value)

    def __repr__(self) -> str:
        return f"ReplicaContext({self.strategy!r}, replica {self.replica_id_in_sync_group})"
