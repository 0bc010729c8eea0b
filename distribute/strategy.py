"""The base of all strategies: `tf.distribute.Strategy`'s interface.

A `Strategy` is what users call; its `extended` is what a kind of strategy implements.  Values
on the cross-replica side have one component per replica; with one replica they are the plain
values themselves.
"""

from __future__ import annotations

import abc
import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ops import api as hr, nest
from ..ops.context import RunsReplicas, current
from ..ops.devices import pinned
from ..ops.errors import InvalidArgumentError
from .context import entered, get_replica_context, has_strategy
from .reduce_op import ReduceOp
from .replica_context import ValueContext
from .values import DistributedValues, regroup


@dataclass(frozen=True)
class InputContext:
    """What a dataset function is told about the input pipeline it builds.

    Attributes:
        num_input_pipelines: number of pipelines that share the data.
        input_pipeline_id: number of this one, from 0.
        num_replicas_in_sync: number of replicas a global batch is divided among.
    """

    num_input_pipelines: int = 1
    input_pipeline_id: int = 0
    num_replicas_in_sync: int = 1

    def get_per_replica_batch_size(self, global_batch_size: int) -> int:
        """The rows of a global batch that one replica gets.

        Raises:
            ValueError: the global batch does not divide evenly.
        """
        if global_batch_size % self.num_replicas_in_sync:
            raise ValueError(
                f"global_batch_size must be divisible by the {self.num_replicas_in_sync} "
                f"replicas in sync, got {global_batch_size}"
            )
        return global_batch_size // self.num_replicas_in_sync


class StrategyExtended(abc.ABC):
    """The part of a strategy that kinds of strategies implement and library code calls."""

    @property
    @abc.abstractmethod
    def worker_devices(self) -> tuple[str, ...]:
        """Names of the devices that replicas run on, one per replica."""

    #: Where calls on the cross-replica side run that nothing else decides about: a GPU's
    #: number, `ops.devices.HOST`, or None for the default.
    home: int | None = None
    #: The same of each of this process's replicas.
    places: tuple[int | None, ...] = (None,)
    #: Number of the strategy's replicas in this process, and whether the first of all is one.
    local_replicas = 1
    has_first_replica = True
    #: Whether each replica keeps the optimizer's slots of a part of the weights.
    sharded_optimizer = False

    @property
    def parameter_devices(self) -> tuple[str, ...]:
        """Names of the devices that variables live on."""
        return self.worker_devices

    @abc.abstractmethod
    def call_for_each_replica(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The results of `fn` called once per replica, each with its part of the arguments."""

    def all_reduce(self, reduce_op: ReduceOp | str, value: Any) -> Any:
        """`value` of the calling replica combined with the others'."""
        replica = current.replica
        if replica is None:  # a strategy of one replica
            ReduceOp.of(reduce_op)
            return value
        return replica.all_reduce(reduce_op, value)

    @abc.abstractmethod
    def reduce_to(self, reduce_op: ReduceOp | str, value: Any, destinations: Any = None) -> Any:
        """The components of `value` combined into one value."""

    @abc.abstractmethod
    def local_results(self, value: Any) -> tuple[Any, ...]:
        """The components of `value` that live on this machine."""

    @abc.abstractmethod
    def variable_created_in_scope(self, v: Any) -> bool:
        """True where variable `v` was made under this strategy."""

    #: Number of this process's first replica.
    first_local_replica = 0

    #: Whether replicas are in several processes.
    several_workers = False

    @property
    def is_chief(self) -> bool:
        """Whether this process is the one that writes files."""
        return True

    @contextlib.contextmanager
    def reading_own(self) -> Iterator[None]:
        """In the block, variables combined on reading may be read by one process alone."""
        yield

    def agree_on(self, copies: Any) -> Any:
        """The copies of a new variable, as all processes are to have them."""
        return copies

    def read_combined(self, copies: Sequence[Any], aggregation: Any) -> Any:
        """One array of replicas' own copies of a variable."""
        return copies[0]

    def merge(self, replica: Any, merge_fn: Callable[..., Any], given: tuple[Any, Any]) -> Any:
        """See `ReplicaContext.merge_call`."""
        raise NotImplementedError(f"{type(self).__name__} has one replica, which merges itself")

    def gather_to(self, value: Any, axis: int) -> Any:
        """The components of `value` joined along `axis`."""
        parts = [hr.convert_to_tensor(part) for part in self.local_results(value)]
        for part in parts:
            if part.shape.rank == 0:
                raise InvalidArgumentError(
                    f"gather needs components with an axis {axis} to join along, got a scalar; "
                    "use reduce, or experimental_local_results"
                )
        return parts[0] if len(parts) == 1 else hr.concat(parts, axis)

    def distribute_dataset(self, dataset: Any, options: Any) -> Any:
        """See `Strategy.experimental_distribute_dataset`."""
        return dataset

    def distribute_dataset_fn(self, dataset_fn: Callable[..., Any], options: Any) -> Any:
        """See `Strategy.distribute_datasets_from_function`."""
        return dataset_fn(InputContext())

    def variable_class(self, kwargs: Mapping[str, Any]) -> type:
        """The class of a variable made in the scope with these arguments."""
        return hr.Variable

    def batch_reduce_to(
        self, reduce_op: ReduceOp | str, value_destination_pairs: Any, options: Any = None
    ) -> list[Any]:
        """`reduce_to` of each ``(value, destinations)`` pair."""
        return [self.reduce_to(reduce_op, v, where) for v, where in value_destination_pairs]

    def broadcast_to(self, tensor: Any, destinations: Any) -> Any:
        """`tensor` for every replica."""
        return tensor

    def read_var(self, v: Any) -> Any:
        """The value of variable `v` on the cross-replica side."""
        return v.read_value()

    def value_container(self, value: Any) -> Any:
        """The distributed value that `value` is a component of; itself here."""
        return value

    @contextlib.contextmanager
    def colocate_vars_with(self, colocate_with_variable: Any) -> Iterator[None]:
        """A context in which variables are made where the given one lies: everywhere."""
        yield

    @property
    def experimental_require_static_shapes(self) -> bool:
        """False: batches may differ in size."""
        return False

    def update(
        self,
        var: Any,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        group: bool = True,
    ) -> Any:
        """The result of `fn(var, *args, **kwargs)` run where `var` lives.

        With `group=False` it comes as `local_results` gives it.
        """
        result = fn(var, *args, **(kwargs or {}))
        return result if group else self.local_results(result)


class Strategy:
    """Says where a training step runs; `run` runs it, `reduce` combines what it returned.

    Args:
        extended: the implementation behind this interface.

    >>> import headrace as hr
    >>> strategy = hr.distribute.OneDeviceStrategy("/cpu:0")
    >>> with strategy.scope():
    ...     v = hr.Variable(2.0)
    >>> strategy.run(lambda x: x * v, args=(hr.constant(3.0),)).numpy().item()
    6.0
    """

    def __init__(self, extended: StrategyExtended) -> None:
        self._extended = extended

    @property
    def extended(self) -> StrategyExtended:
        """The lower-level interface, for library code."""
        return self._extended

    @property
    def num_replicas_in_sync(self) -> int:
        """Number of replicas whose gradients are combined in a step."""
        return len(self._extended.worker_devices)

    @property
    def cluster_resolver(self) -> Any:
        """The resolver of the cluster this strategy runs on, or None on one machine."""
        return None

    @contextlib.contextmanager
    def scope(self) -> Iterator[Strategy]:
        """A context in which variables are made, and models compiled, under this strategy.

        Raises:
            RuntimeError: another strategy's scope is open, or a replica of one is running.
        """
        with entered(self), pinned(self._extended.home):
            yield self

    def run(
        self,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        options: Any = None,
    ) -> Any:
        """The results of `fn` on every replica, each called with its part of `args`, `kwargs`.

        Args:
            fn: the function of one replica's step.
            args: its positional arguments, a sequence.
            kwargs: its keyword arguments.
            options: accepted for compatibility; has no effect.

        Raises:
            TypeError: `args` is not a sequence or `kwargs` not a mapping.
            RuntimeError: called from inside a replica.
        """
        if not isinstance(args, list | tuple):
            raise TypeError(
                f"args must be a list or tuple of positional arguments, got {args!r}; "
                f"for one argument write args=(x,)"
            )
        if kwargs is not None and not isinstance(kwargs, Mapping):
            raise TypeError(f"kwargs must be a mapping from names to values, got {kwargs!r}")
        self._require_cross_replica("run")
        self._leave_trace()
        with entered(self):
            return self._extended.call_for_each_replica(fn, args, kwargs or {})

    def reduce(self, reduce_op: ReduceOp | str, value: Any, axis: Any) -> Any:
        """`value` combined over the replicas and, where `axis` is given, along that axis too.

        Args:
            reduce_op: `ReduceOp.SUM`, `ReduceOp.MEAN` or their names.
            value: a structure of values as `run` returns them.
            axis: None, or the axes of each component to reduce as well; 0 sums over a batch.

        Raises:
            ValueError: `reduce_op` names no reduction.
            RuntimeError: called from inside a replica.

        >>> import headrace as hr
        >>> strategy = hr.distribute.OneDeviceStrategy("/cpu:0")
        >>> strategy.reduce("MEAN", hr.constant([1.0, 3.0]), axis=0).numpy().item()
        2.0
        """
        self._require_cross_replica("reduce")
        self._leave_trace()
        how = ReduceOp.of(reduce_op)
        if axis is None:
            return self._extended.reduce_to(how, value)
        return nest.map_structure(lambda leaf: self._reduce_along(how, leaf, axis), value)

    def _reduce_along(self, how: ReduceOp, value: Any, axis: Any) -> Any:
        """All elements along `axis` of all components combined: of components that differ in
        size, every element counts the same."""
        parts = value.values if isinstance(value, DistributedValues) else (value,)
        tensors = [hr.convert_to_tensor(part) for part in parts]
        sums = [hr.reduce_sum(t, axis=axis) for t in tensors]
        total = self._extended.reduce_to(ReduceOp.SUM, regroup(sums))
        if how is ReduceOp.SUM:
            return total
        axes = axis if isinstance(axis, (list, tuple)) else (axis,)
        counts = []
        for t in tensors:
            size = 1
            for a in axes:
                size *= t.shape[a]
            counts.append(hr.constant(size, hr.int64))
        count = self._extended.reduce_to(ReduceOp.SUM, regroup(counts))
        return total / hr.cast(count, total.dtype)

    def gather(self, value: Any, axis: int) -> Any:
        """The components of `value`, or of each value of a structure, joined along `axis`.

        Raises:
            RuntimeError: called from inside a replica.
        """
        self._require_cross_replica("gather")
        self._leave_trace()
        return nest.map_structure(lambda leaf: self._extended.gather_to(leaf, axis), value)

    def experimental_local_results(self, value: Any) -> tuple[Any, ...]:
        """The components of `value` that live on this machine, as a tuple."""
        return self._extended.local_results(value)

    def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
        """`dataset`, of global batches, dealt out to the replicas batch by batch.

        Args:
            dataset: a batched `Dataset`.
            options: `InputOptions`.
        """
        return self._extended.distribute_dataset(dataset, options)

    def distribute_datasets_from_function(
        self, dataset_fn: Callable[[InputContext], Any], options: Any = None
    ) -> Any:
        """The dataset `dataset_fn(input_context)` builds, of per-replica batches, each given to
        one replica.

        Args:
            dataset_fn: takes an `InputContext`, returns a batched `Dataset`.
            options: `InputOptions`.
        """
        return self._extended.distribute_dataset_fn(dataset_fn, options)

    def experimental_distribute_values_from_function(
        self, value_fn: Callable[[ValueContext], Any]
    ) -> Any:
        """The values that ``value_fn(ValueContext(...))`` gives for every replica of this
        process, as one distributed value."""
        first = self._extended.first_local_replica
        count = self.num_replicas_in_sync
        return regroup(
            [value_fn(ValueContext(first + i, count))
             for i in range(self._extended.local_replicas)]
        )  # fmt: skip

    def update_config_proto(self, config_proto: Any) -> Any:
        """`config_proto`, unchanged; for compatibility."""
        return config_proto

    def _leave_trace(self) -> None:
        """A function traced around steps of several replicas runs as Python instead."""
        if current.trace is not None and self.num_replicas_in_sync > 1:
            raise RunsReplicas(
                f"{type(self).__name__} runs its replicas' steps from Python; this cannot be "
                "part of another graph, such as a function mapped over a dataset"
            )

    def _require_cross_replica(self, method: str) -> None:
        if has_strategy() and get_replica_context() is not None:
            raise RuntimeError(
                f"Strategy.{method} must be called outside of the function given to "
                f"Strategy.run; inside it, use hr.distribute.get_replica_context()"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._extended.worker_devices)})"
