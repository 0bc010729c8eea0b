"""The base of all strategies: `tf.distribute.Strategy`'s interface.

A `Strategy` is what users call; its `extended` is what a kind of strategy implements.  Values
on the cross-replica side have one component per replica; with one replica they are the plain
values themselves.
"""

from __future__ import annotations

import abc
import contextlib
import enum
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..ops import api as hr, nest
from .context import entered, get_replica_context, has_strategy


class ReduceOp(enum.Enum):
    """How values of several replicas become one."""

    SUM = "SUM"
    MEAN = "MEAN"

    @classmethod
    def of(cls, value: ReduceOp | str) -> ReduceOp:
        """The member for a member or for its name in any case.

        Raises:
            ValueError: `value` names none.
        """
        if isinstance(value, cls):
            return value
        try:
            return cls(str(value).upper())
        except ValueError:
            raise ValueError(
                f"reduce_op must be 'SUM', 'MEAN' or a ReduceOp, got {value!r}"
            ) from None


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

    @property
    def parameter_devices(self) -> tuple[str, ...]:
        """Names of the devices that variables live on."""
        return self.worker_devices

    @abc.abstractmethod
    def call_for_each_replica(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """The results of `fn` called once per replica, each with its part of the arguments."""

    @abc.abstractmethod
    def all_reduce(self, reduce_op: ReduceOp | str, value: Any) -> Any:
        """`value` of the calling replica combined with the others'."""

    @abc.abstractmethod
    def reduce_to(self, reduce_op: ReduceOp | str, value: Any, destinations: Any = None) -> Any:
        """The components of `value` combined into one value."""

    @abc.abstractmethod
    def local_results(self, value: Any) -> tuple[Any, ...]:
        """The components of `value` that live on this machine."""

    @abc.abstractmethod
    def variable_created_in_scope(self, v: Any) -> bool:
        """True where variable `v` was made under this strategy."""

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
        with entered(self):
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
        how = ReduceOp.of(reduce_op)
        if axis is not None:
            along = hr.reduce_sum if how is ReduceOp.SUM else hr.reduce_mean
            value = nest.map_structure(lambda each: along(each, axis=axis), value)
        return self._extended.reduce_to(how, value)

    def gather(self, value: Any, axis: int) -> Any:
        """The components of `value` joined along `axis`."""
        self._require_cross_replica("gather")
        parts = self._extended.local_results(value)
        return parts[0] if len(parts) == 1 else hr.concat(parts, axis)

    def experimental_local_results(self, value: Any) -> tuple[Any, ...]:
        """The components of `value` that live on this machine, as a tuple."""
        return self._extended.local_results(value)

    def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
        """`dataset` dealt out to the replicas, batch by batch."""
        if self.num_replicas_in_sync != 1:
            raise NotImplementedError(f"{type(self).__name__} must say how it deals out data")
        return dataset

    def distribute_datasets_from_function(
        self, dataset_fn: Callable[[InputContext], Any], options: Any = None
    ) -> Any:
        """The dataset `dataset_fn(input_context)` builds, with per-replica batches."""
        return dataset_fn(InputContext(num_replicas_in_sync=self.num_replicas_in_sync))

    def _require_cross_replica(self, method: str) -> None:
        if has_strategy() and get_replica_context() is not None:
            raise RuntimeError(
                f"Strategy.{method} must be called outside of the function given to "
                f"Strategy.run; inside it, use hr.distribute.get_replica_context()"
            )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._extended.worker_devices)})"
