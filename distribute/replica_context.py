"""What a function given to `Strategy.run` sees: which replica it is, how to meet the others."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from ..ops import nest
from ..ops.context import current
from ..ops.convert import to_tensor
from ..ops.errors import UntraceableError
from ..ops.indexed_slices import IndexedSlices
from . import collective_ops
from .context import entered
from .reduce_op import ReduceOp
from .values import regroup, select

if TYPE_CHECKING:
    from .communicator import Communicator
    from .strategy import Strategy

__all__ = ["CollectiveReplicaContext", "ReplicaContext", "ValueContext"]


class ValueContext:
    """For which replica a function given to
    `Strategy.experimental_distribute_values_from_function` makes a value.

    Attributes:
        replica_id_in_sync_group: number of the replica, from 0.
        num_replicas_in_sync: number of all replicas.
    """

    def __init__(self, replica_id_in_sync_group: int = 0, num_replicas_in_sync: int = 1):
        self.replica_id_in_sync_group = replica_id_in_sync_group
        self.num_replicas_in_sync = num_replicas_in_sync


class ReplicaContext:
    """One replica of a strategy, as `hr.distribute.get_replica_context()` returns it.

    Attributes:
        strategy: the strategy this replica belongs to.
    """

    def __init__(self, strategy: Strategy, replica_id_in_sync_group: int) -> None:
        self.strategy = strategy
        self._id = replica_id_in_sync_group

    @property
    def replica_id_in_sync_group(self) -> Any:
        """Number of this replica, from 0; in a function traced for several replicas at once a
        tensor."""
        return self._id

    @property
    def num_replicas_in_sync(self) -> int:
        """Number of replicas whose gradients are combined in a step."""
        return self.strategy.num_replicas_in_sync

    @property
    def devices(self) -> tuple[str, ...]:
        """The device this replica runs on, as a tuple of one name."""
        return (self.strategy.extended.worker_devices[self._id],)

    def merge_call(
        self,
        merge_fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of `merge_fn(strategy, *args, **kwargs)` on the cross-replica side."""
        with entered(self.strategy):
            return merge_fn(self.strategy, *args, **(kwargs or {}))

    def all_reduce(self, reduce_op: ReduceOp | str, value: Any, options: Any = None) -> Any:
        """`value` combined over all replicas, for every replica to go on with.

        Args:
            reduce_op: SUM or MEAN.
            value: a tensor or nested tensors, alike on all replicas; gradients flow through.
            options: `CommunicationOptions`, without effect here.
        """
        ReduceOp.of(reduce_op)
        return value

    def all_gather(self, value: Any, axis: int, options: Any = None) -> Any:
        """`value` of all replicas joined along `axis`, for every replica to go on with.

        Args:
            value: a tensor or nested tensors; replicas' may differ in the size of `axis`.
            axis: along which they are joined.
            options: `CommunicationOptions`, without effect here.
        """
        return nest.map_structure(to_tensor_or_same, value)

    def __enter__(self) -> None:
        self._block = entered(self.strategy, self)
        self._block.__enter__()

    def __exit__(self, *error: Any) -> None:
        self._block.__exit__(*error)

    def __repr__(self) -> str:
        return f"ReplicaContext({self.strategy!r}, replica {self._id})"


def to_tensor_or_same(value: Any) -> Any:
    """A tensor of `value`, which may be one."""
    return to_tensor(value, None)


class CollectiveReplicaContext(ReplicaContext):
    """A replica of several.

    Args:
        strategy: the strategy.
        replica_id_in_sync_group: number among all replicas.
        local_index: number among the replicas of this process.
        communicator: its means to meet the others.
        place: where it computes: a GPU's number, `ops.devices.HOST`, or None where there is no
            GPU.

    Attributes:
        rows: this replica's part of the batch that is being worked on and the whole, where the
            strategy knows them without asking the others, else None.
    """

    def __init__(
        self,
        strategy: Strategy,
        replica_id_in_sync_group: int,
        local_index: int,
        communicator: Communicator,
        place: int | None = None,
    ):
        super().__init__(strategy, replica_id_in_sync_group)
        self.local_index = local_index
        self.communicator = communicator
        self.rows: tuple[int, int] | None = None
        self.place = place

    @property
    def trace_key(self) -> Any:
        """What a trace made for this replica holds for: all of the strategy's, unless they
        differ in what they compute."""
        shared = not self.strategy.extended.sharded_optimizer
        return (self.strategy, None if shared else self._id)

    @property
    def rank(self) -> int:
        """Number of this replica, an integer also while tracing."""
        return self._id

    @property
    def replica_id_in_sync_group(self) -> Any:
        """Number of this replica, from 0; while its step is traced a tensor."""
        return self._id if current.trace is None else collective_ops.replica_id()

    @property
    def devices(self) -> tuple[str, ...]:
        """The device this replica runs on, as a tuple of one name."""
        return (self.strategy.extended.worker_devices[self.local_index],)

    def check_variable(self, variable: Any) -> None:
        """Refuse to change a variable that is not this strategy's.

        Raises:
            ValueError: it was made outside of its scope.
        """
        if getattr(variable, "_strategy", None) is not self.strategy:
            raise ValueError(
                f"Variable '{variable.name}' was created outside of the scope of "
                f"{self.strategy!r}, whose replicas cannot keep it in step; create it inside "
                "`with strategy.scope():`"
            )

    def merge_call(
        self,
        merge_fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        """The result of `merge_fn(strategy, *args, **kwargs)`, called once on the cross-replica
        side with the replicas' arguments as distributed values."""
        if current.trace is not None:
            raise UntraceableError("merge_call runs Python code between the replicas' steps")
        given = (tuple(args), dict(kwargs or {}))
        return self.strategy.extended.merge(self, merge_fn, given)

    def all_reduce(self, reduce_op: ReduceOp | str, value: Any, options: Any = None) -> Any:
        """See `ReplicaContext.all_reduce`."""
        how = ReduceOp.of(reduce_op)
        leaves, tree = nest.flatten_with_spec(value)
        out: list[Any] = list(leaves)
        by_dtype: dict[Any, list[int]] = {}
        for i, leaf in enumerate(leaves):
            if isinstance(leaf, IndexedSlices):
                values = leaf.values
                if how is ReduceOp.MEAN:
                    values = values / float(self.num_replicas_in_sync)
                out[i] = IndexedSlices(
                    collective_ops.all_gather(values, 0),
                    collective_ops.all_gather(leaf.indices, 0),
                    leaf.dense_shape,
                )
                continue
            out[i] = to_tensor(leaf, None)
            by_dtype.setdefault(out[i].dtype, []).append(i)
        for places in by_dtype.values():
            reduced = collective_ops.all_reduce([out[i] for i in places], how)
            for i, one in zip(places, reduced, strict=True):
                out[i] = one
        return nest.pack_sequence_as(tree, out)

    def all_gather(self, value: Any, axis: int, options: Any = None) -> Any:
        """See `ReplicaContext.all_gather`."""
        return nest.map_structure(
            lambda leaf: collective_ops.all_gather(to_tensor(leaf, None), axis), value
        )

    def broadcast(self, value: Any) -> Any:
        """The tensor of replica 0."""
        return collective_ops.broadcast(value)

    def batch_share(self, count: Any) -> Any:
        """See `collective_ops.batch_share`."""
        return collective_ops.batch_share(count)

    def seed_offset(self) -> Any:
        """What makes this replica's random numbers others than the other replicas', int64."""
        from ..ops import api as hr

        return hr.cast(collective_ops.replica_id(), hr.int64) * hr.constant(1 << 32, hr.int64)


def merged(
    strategy: Any, merge_fn: Callable[..., Any], given: Sequence[Any], count: int
) -> list[Any]:
    """What `merge_fn` returns for the replicas' arguments put together, for each of them."""
    args, kwargs = regroup(given)
    replica, current.replica = current.replica, None
    try:
        with entered(strategy):
            result = merge_fn(strategy, *args, **kwargs)
    finally:
        current.replica = replica
    return [select(result, i) for i in range(count)]
