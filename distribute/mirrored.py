"""MirroredStrategy: replicas on the devices of one machine, which keep equal copies of the
variables by reducing their gradients in every step.

A device is a thread of the process; GPUs beside it are queued work by that thread.  A compiled
step runs on all of them at once; Python code runs on one after the other (see `meeting`).
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np

from ..ops import api as hr, nest, workers
from ..ops.array_module import is_on_device
from ..ops.context import current
from ..ops.devices import HOST, devices as all_devices, pinned
from ..ops.errors import UntraceableError
from ..ops.function import Function, functions_run_eagerly
from ..ops.placement import to_host
from ..ops.variable_kinds import VariableAggregation
from .communicator import Communicator, ThreadCommunicator
from .compiled_steps import CompiledSteps
from .context import entered
from .cross_device_ops import (
    CrossDeviceOps,
    NcclAllReduce,
    ReductionToOneDevice,
    SharedMemoryAllReduce,
)
from .devices import brought, canonical_devices, current_on, place_named
from .input import DistributedDataset, DistributedDatasetsFromFunction
from .meeting import Meeting
from .nccl import NcclLinks, load_nccl
from .nccl_communicator import NcclCommunicator, ThreadBoard
from .options import CommunicationOptions
from .reduce_op import ReduceOp
from .replica_context import CollectiveReplicaContext, ReplicaContext, merged
from .replica_threads import ReplicaThreads
from .strategy import InputContext, Strategy
from .synchronous import SynchronousExtended
from .timeline import recorded
from .values import DistributedValues, regroup, select
from .variables import DistributedVariable

__all__ = ["MirroredExtended", "MirroredStrategy"]


class MirroredExtended(SynchronousExtended):
    """What `MirroredStrategy` does.

    Args:
        strategy: of which this is the inside.
        devices: their names.
        cross_device_ops: how values are combined.
        options: how gradients are reduced.
        shard_optimizer: whether each replica keeps the slots of a part of the weights.
    """

    def __init__(
        self,
        strategy: Strategy,
        devices: tuple[str, ...],
        cross_device_ops: CrossDeviceOps,
        options: CommunicationOptions,
        shard_optimizer: bool,
    ):
        self._devices = devices
        self._strategy = strategy
        self.cross_device_ops = cross_device_ops
        self.options = options
        self.local_replicas = len(devices)
        self.sharded_optimizer = shard_optimizer and len(devices) > 1
        self._steps = CompiledSteps()
        overlap = options.overlap
        if overlap is None:
            overlap = workers.count() > len(devices) > 1
        self._helper = ThreadPoolExecutor(1, "headrace-reduce") if overlap else None
        self._meeting = Meeting(len(devices), options.timeout_seconds)
        self._threads = ReplicaThreads(self._meeting)
        self.places = tuple(place_named(name) for name in devices)
        self.home = self.places[0]
        self._links: NcclLinks | None = None
        if isinstance(cross_device_ops, NcclAllReduce):
            self._links = _links(cross_device_ops, devices, self.places)
        self._board = None if self._links is None else ThreadBoard(self._meeting, self._links)
        if len(devices) == 1:
            self.replicas = [ReplicaContext(strategy, 0)]
        else:
            self.replicas = [
                CollectiveReplicaContext(strategy, i, i, self._communicator(i), place)
                for i, place in enumerate(self.places)
            ]

    def _communicator(self, rank: int) -> Communicator:
        gpus = self._links is not None
        host = ThreadCommunicator(
            self._meeting,
            rank,
            SharedMemoryAllReduce() if gpus else self.cross_device_ops,
            self.options.compression,
            None if self._helper is None else self._helper.submit,
        )
        if self._links is None or self._board is None:
            return host
        return NcclCommunicator(host, self._board, self._links, rank, self.options.compression)

    @property
    def worker_devices(self) -> tuple[str, ...]:
        """See `StrategyExtended.worker_devices`."""
        return self._devices

    # -- running ----------------------------------------------------------------------------

    def call_for_each_replica(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """See `StrategyExtended.call_for_each_replica`."""
        if len(self.replicas) == 1:
            with entered(self._strategy, self.replicas[0]), pinned(self.home):
                return fn(*select(args, 0), **select(kwargs, 0))
        parts = [
            self.brought((select(args, i), select(dict(kwargs), i)), i)
            for i in range(self.local_replicas)
        ]
        bound = self._compiled(fn, parts)
        if bound is not None:
            return regroup(self.run_replicas(bound))
        calls = [_bound(fn, a, k) for a, k in parts]
        return regroup(self.run_replicas(calls, in_turn=True))

    def run_replicas(
        self,
        functions: Sequence[Callable[[], Any]],
        in_turn: bool = False,
        rows: Sequence[int] | None = None,
    ) -> list[Any]:
        """The results of one function per replica, each run as its replica.

        Args:
            functions: one per replica.
            in_turn: see `ReplicaThreads.run`.
            rows: how many rows of a batch each replica got, where that is known.
        """
        total = None if rows is None else sum(rows)

        def as_replica(context: Any, function: Callable[[], Any]) -> Callable[[], Any]:
            def run() -> Any:
                if total is not None and rows is not None:
                    context.rows = rows[context.local_index], total
                try:
                    with entered(self._strategy, context), current_on(context.place):
                        with self._shown(context.local_index):
                            return function()
                finally:
                    context.rows = None
                    context.communicator.settle()

            return run

        return self._threads.run(
            [as_replica(c, f) for c, f in zip(self.replicas, functions, strict=True)], in_turn
        )

    def _shown(self, rank: int) -> Any:
        """A block that a timeline shows as a replica's step."""
        if self._links is None:
            return recorded("compute", "step", rank)
        return self._links.spans.span(rank, "compute", "step", rank)

    def brought(self, part: Any, replica: int) -> Any:
        """A replica's arguments, on its device; without a GPU as they are."""
        place = self.places[replica]
        return part if place is None else brought(part, place)

    def _compiled(self, fn: Callable[..., Any], parts: Sequence[Any]) -> Any:
        """The compiled runs of `fn` for every replica; None where it runs as Python."""
        if functions_run_eagerly():
            return None
        if isinstance(fn, Function):
            function = fn
        elif current.compiles_steps:
            function = self._steps.of(fn)
        else:
            return None
        if function.runs_as_python:
            return None
        try:
            found = []
            for context, (args, kwargs) in zip(self.replicas, parts, strict=True):
                with entered(self._strategy, context):
                    found.append(function.bound_raw(*args, **kwargs))
            return found
        except UntraceableError as error:
            function.runs_as_python = True
            warnings.warn(
                f"the replicas' function {getattr(fn, '__name__', fn)!r} cannot be traced; it "
                f"runs as Python from now on, one replica after the other: {error}",
                stacklevel=5,
            )
            return None

    def merge(
        self, replica: Any, merge_fn: Callable[..., Any], given: tuple[Any, dict[str, Any]]
    ) -> Any:
        """See `ReplicaContext.merge_call`."""

        def combine(all_given: list[Any]) -> list[Any]:
            return merged(self._strategy, merge_fn, all_given, self.local_replicas)

        return self._meeting.meet(replica.local_index, "merge_call", given, combine)

    # -- combining --------------------------------------------------------------------------

    def reduce_to(self, reduce_op: ReduceOp | str, value: Any, destinations: Any = None) -> Any:
        """See `StrategyExtended.reduce_to`."""
        how = ReduceOp.of(reduce_op)
        return nest.map_structure(lambda leaf: self._reduced(how, leaf), value)

    def _reduced(self, how: ReduceOp, value: Any) -> Any:
        if len(self.replicas) == 1:
            return value
        if isinstance(value, DistributedVariable):
            value = DistributedValues(value.values)
        if not isinstance(value, DistributedValues):
            # One value for all replicas: their mean is itself, and their sum only of zero.
            plain = getattr(value, "shape", ()) in ((), None) or isinstance(value, (int, float))
            if how is ReduceOp.MEAN or (plain and np.all(np.asarray(value) == 0)):
                return value
            raise ValueError(
                f"A non-DistributedValues value {value} cannot be reduced with the given "
                f"reduce op {how}: it is the same on all replicas"
            )
        parts = [hr.convert_to_tensor(part) for part in value.values]
        shapes = {tuple(part.shape) for part in parts}
        if len(shapes) > 1:
            raise ValueError(
                f"components to reduce must have one shape, got {sorted(shapes)}; give an "
                "axis to reduce along as well, or use gather"
            )
        result = self.cross_device_ops.reduce(how, DistributedValues(parts), value)
        return result.values[0]

    def batch_reduce_to(
        self, reduce_op: ReduceOp | str, value_destination_pairs: Any, options: Any = None
    ) -> list[Any]:
        """See `StrategyExtended.batch_reduce_to`."""
        return [self.reduce_to(reduce_op, v, where) for v, where in value_destination_pairs]

    def read_combined(self, copies: Sequence[Any], aggregation: VariableAggregation) -> Any:
        """One array of replicas' own copies of a variable."""
        first = copies[0]
        combined = aggregation in (VariableAggregation.SUM, VariableAggregation.MEAN)
        if combined and any(map(is_on_device, copies)):
            copies = [to_host(copy) for copy in copies]
            first = copies[0]
        if aggregation is VariableAggregation.SUM:
            total = first.copy()
            for copy in copies[1:]:
                total = total + copy
            return np.asarray(total)
        if aggregation is VariableAggregation.MEAN and any(c is not first for c in copies[1:]):
            total = first.astype(np.float64) if first.dtype.itemsize < 8 else first
            for copy in copies[1:]:
                total = total + copy
            return np.asarray(total / len(copies)).astype(first.dtype)
        return first

    def local_results(self, value: Any) -> tuple[Any, ...]:
        """See `StrategyExtended.local_results`."""
        if isinstance(value, (DistributedValues, DistributedVariable)):
            return tuple(value.values)
        if nest.is_nested(value):
            return tuple(select(value, i) for i in range(self.local_replicas))
        return (value,)

    # -- input ------------------------------------------------------------------------------

    def distribute_dataset(self, dataset: Any, options: Any) -> Any:
        """See `Strategy.experimental_distribute_dataset`."""
        if len(self.replicas) == 1:
            return dataset
        return DistributedDataset(dataset, self._strategy, self.local_replicas, options)

    def distribute_dataset_fn(self, dataset_fn: Callable[..., Any], options: Any) -> Any:
        """See `Strategy.distribute_datasets_from_function`."""
        context = InputContext(1, 0, self._strategy.num_replicas_in_sync)
        dataset = dataset_fn(context)
        if len(self.replicas) == 1:
            return dataset
        return DistributedDatasetsFromFunction(
            dataset, self._strategy, self.local_replicas, options
        )


def _default_ops(devices: Sequence[str]) -> CrossDeviceOps:
    """How values of these devices are combined where nothing else is said."""
    gpus = sum("GPU" in name for name in devices)
    if not gpus or len(devices) == 1:
        return SharedMemoryAllReduce()
    # NCCL joins GPUs, of which several logical devices are one.
    joined = gpus == len(devices) and not all_devices.are_split
    return NcclAllReduce() if joined else ReductionToOneDevice()


def _links(
    ops: NcclAllReduce, devices: Sequence[str], places: Sequence[int | None]
) -> NcclLinks:
    gpus = [place for place in places if place is not None and place != HOST]
    if len(gpus) < len(places):
        raise ValueError(
            f"NcclAllReduce combines values of GPUs only, got the devices {list(devices)}; "
            "use ReductionToOneDevice or HierarchicalCopyAllReduce"
        )
    backend, nccl = load_nccl("NcclAllReduce")
    return NcclLinks(backend, nccl, gpus, lambda: ops.communicators(gpus))


def _bound(fn: Callable[..., Any], args: Any, kwargs: Any) -> Callable[[], Any]:
    return lambda: fn(*args, **kwargs)


class MirroredStrategy(Strategy):
    """Replicas on several devices of this machine, with equal copies of the variables.

    A step takes a part of the batch on every device; the gradients are summed over the
    replicas before they are applied, so that training is the same as on one device with the
    whole batch.

    Args:
        devices: the devices' names; if None all GPUs, or all CPUs where there are none.  CPU
            devices are virtual: each is a thread, so ``["cpu:0", "cpu:1"]`` takes two cores.
        cross_device_ops: how values are combined; by default NCCL between GPUs, a sum in
            shared memory between CPUs.
        communication_options: `CommunicationOptions`: buckets, compression, timeout.
            Headrace only.
        shard_optimizer: whether each replica keeps the optimizer's slots of a part of the
            weights and updates that part (ZeRO stage 1).  Headrace only.

    Raises:
        ValueError: `devices` names none, or one twice; `cross_device_ops` is not for them.
        InvalidArgumentError: there are fewer devices.
        ImportError: several GPUs, and NCCL is not installed.

    >>> import headrace as hr
    >>> strategy = MirroredStrategy(["cpu:0", "cpu:1"])
    >>> def step():
    ...     replica = hr.distribute.get_replica_context()
    ...     return replica.all_reduce("SUM", hr.constant(2.0))
    >>> strategy.experimental_local_results(strategy.run(step))[1].numpy().item()
    4.0
    """

    def __init__(
        self,
        devices: Sequence[str] | None = None,
        cross_device_ops: CrossDeviceOps | None = None,
        communication_options: CommunicationOptions | None = None,
        shard_optimizer: bool = False,
    ):
        names = canonical_devices(devices)
        if cross_device_ops is not None and not isinstance(cross_device_ops, CrossDeviceOps):
            raise ValueError(
                "cross_device_ops must be a hr.distribute.CrossDeviceOps, got "
                f"{cross_device_ops!r}"
            )
        if isinstance(cross_device_ops, SharedMemoryAllReduce) and any(
            "GPU" in name for name in names
        ):
            raise ValueError(
                f"SharedMemoryAllReduce combines values of CPUs only, got the devices "
                f"{list(names)}; leave cross_device_ops out, or use HierarchicalCopyAllReduce"
            )
        extended = MirroredExtended(
            self,
            names,
            cross_device_ops or _default_ops(names),
            communication_options or CommunicationOptions(),
            bool(shard_optimizer),
        )
        super().__init__(extended)
