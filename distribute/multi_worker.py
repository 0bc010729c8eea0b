"""MultiWorkerMirroredStrategy: a replica per process, processes on one machine or many,
connected by MPI.  A replica computes on a GPU of its own, where there is one for every process,
and NCCL then reduces the gradients; else on the CPU.

`mpiexec -n 4 python train.py` starts them; the script is the same on all.  Rank 0 is the chief:
what writes files does so there only.
"""

from __future__ import annotations

import contextlib
import os
import platform
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..ops import api as hr, nest
from ..ops.context import current
from ..ops.devices import HOST, devices
from ..ops.errors import FailedPreconditionError, InvalidArgumentError
from ..ops.function import Function, functions_run_eagerly
from ..ops.placement import to_host
from ..ops.string_array import StringArray
from ..ops.variable_kinds import VariableAggregation
from .cluster_resolver import ClusterResolver, MpiClusterResolver, TFConfigClusterResolver
from .communicator import Communicator
from .compiled_steps import CompiledSteps
from .context import entered
from .cross_device_ops import moved
from .devices import brought, current_on
from .mpi import abort_on_error, load_mpi, started_by_mpiexec
from .mpi_communicator import MpiCommunicator
from .nccl import NcclLinks
from .nccl_communicator import MpiBoard, NcclCommunicator
from .options import CommunicationOptions
from .reduce_op import ReduceOp
from .replica_context import CollectiveReplicaContext, merged
from .strategy import InputContext, Strategy
from .synchronous import SynchronousExtended
from .timeline import recorded
from .values import DistributedValues, select
from .variables import DistributedVariable
from .worker_gpus import nccl_links, worker_place
from .worker_input import WorkerDataset, local_plan

__all__ = ["MultiWorkerExtended", "MultiWorkerMirroredStrategy"]


class _Reading(threading.local):
    own = False


class MultiWorkerExtended(SynchronousExtended):
    """What `MultiWorkerMirroredStrategy` does.

    Args:
        strategy: of which this is the inside.
        communicator: of all workers, for what lies on the host.
        options: how gradients are reduced.
        place: where this worker computes; see `StrategyExtended.home`.
        links: to the others' GPUs; None where MPI reduces the gradients.
    """

    several_workers = True

    def __init__(
        self,
        strategy: Strategy,
        communicator: MpiCommunicator,
        options: CommunicationOptions,
        place: int | None = None,
        links: NcclLinks | None = None,
    ):
        self._strategy = strategy
        self.communicator = communicator
        self.options = options
        self.first_local_replica = communicator.rank
        self.has_first_replica = communicator.rank == 0
        self._steps = CompiledSteps()
        self._reading = _Reading()
        self.home = place
        self.places = (place,)
        between: Communicator = communicator
        if links is not None:
            board = MpiBoard(communicator, links)
            between = NcclCommunicator(communicator, board, links, 0, options.compression)
        self._spans = None if links is None else links.spans
        self.replicas = [
            CollectiveReplicaContext(strategy, communicator.rank, 0, between, place)
        ]

    @property
    def worker_devices(self) -> tuple[str, ...]:
        """The devices of this worker."""
        on_gpu = self.home not in (None, HOST)
        name = devices.name_of(self.home) if on_gpu and self.home is not None else "CPU:0"
        kind, number = name.rsplit(":", 2)[-2:]
        task = self.communicator.rank
        return (f"/job:worker/replica:0/task:{task}/device:{kind}:{number}",)

    @property
    def is_chief(self) -> bool:
        """Whether this worker writes the files."""
        return self.has_first_replica

    # -- running ----------------------------------------------------------------------------

    def call_for_each_replica(
        self, fn: Callable[..., Any], args: Sequence[Any], kwargs: Mapping[str, Any]
    ) -> Any:
        """See `StrategyExtended.call_for_each_replica`."""
        own, named = self.brought((select(tuple(args), 0), select(dict(kwargs), 0)))
        call: Callable[..., Any] = fn
        if (
            current.compiles_steps
            and not isinstance(fn, Function)
            and not functions_run_eagerly()
        ):
            call = self._steps.of(fn)
        return self.run_replicas([lambda: call(*own, **named)])[0]

    def run_replicas(
        self,
        functions: Sequence[Callable[[], Any]],
        in_turn: bool = False,
        rows: Sequence[int] | None = None,
        total_rows: int | None = None,
    ) -> list[Any]:
        """The result of this process's replica; see `MirroredExtended.run_replicas`."""
        (replica,), (function,) = self.replicas, functions
        if rows is not None and total_rows is not None:
            replica.rows = rows[0], total_rows
        shown = (
            recorded("compute", "step", replica.rank)
            if self._spans is None
            else self._spans.span(0, "compute", "step", replica.rank)
        )
        try:
            with entered(self._strategy, replica), current_on(self.home):
                with shown:
                    return [function()]
        finally:
            replica.rows = None
            replica.communicator.settle()

    def brought(self, part: Any, replica: int = 0) -> Any:
        """The replica's arguments, on its device; without a GPU as they are."""
        return part if self.home is None else brought(part, self.home)

    def merge(
        self, replica: Any, merge_fn: Callable[..., Any], given: tuple[Any, dict[str, Any]]
    ) -> Any:
        """See `ReplicaContext.merge_call`."""
        return merged(self._strategy, merge_fn, [given], 1)[0]

    # -- combining --------------------------------------------------------------------------

    def reduce_to(self, reduce_op: ReduceOp | str, value: Any, destinations: Any = None) -> Any:
        """The workers' values combined; all of them must call it."""
        how = ReduceOp.of(reduce_op)

        def reduced(leaf: Any) -> Any:
            leaf = leaf.values[0] if isinstance(leaf, DistributedValues) else leaf
            tensor = hr.convert_to_tensor(leaf)
            mean = how is ReduceOp.MEAN
            kind = tensor.dtype
            raw = to_host(tensor._value)
            if mean and not kind.is_floating:
                raw = raw.astype(np.float64)
            (total,) = self.communicator.all_reduce([np.asarray(raw)], mean)
            return hr.constant(np.asarray(total).astype(kind.np_dtype))

        return nest.map_structure(reduced, value)

    def gather_to(self, value: Any, axis: int) -> Any:
        """The workers' values joined along `axis`; all of them must call it."""
        tensor = hr.convert_to_tensor(select(value, 0))
        if tensor.shape.rank == 0:
            raise InvalidArgumentError(
                f"gather needs values with an axis {axis} to join along, got a scalar; use "
                "reduce"
            )
        return hr.constant(self.communicator.all_gather(to_host(tensor._value), axis))

    def read_combined(self, copies: Sequence[Any], aggregation: VariableAggregation) -> Any:
        """The workers' own copies of a variable combined; all of them must read it."""
        copy = to_host(copies[0])
        if self._reading.own or not np.issubdtype(copy.dtype, np.number):
            return copy
        if aggregation in (VariableAggregation.SUM, VariableAggregation.MEAN):
            mean = aggregation is VariableAggregation.MEAN
            wide = mean and copy.dtype.itemsize < 8
            (total,) = self.communicator.all_reduce(
                [np.asarray(copy.astype(np.float64) if wide else copy)], mean
            )
            return np.asarray(total).astype(copy.dtype)
        return self.communicator.broadcast([copy])[0]

    @contextlib.contextmanager
    def reading_own(self) -> Iterator[None]:
        """In the block, variables that are combined on reading give this worker's own value:
        the others need not read at the same time."""
        before, self._reading.own = self._reading.own, True
        try:
            yield
        finally:
            self._reading.own = before

    def agree_on(self, copies: Any) -> Any:
        """The first worker's value for a new variable, which may be random."""
        if self.communicator.size == 1 or isinstance(copies[0], StringArray):
            return copies
        agreed = self.communicator.broadcast([to_host(copy) for copy in copies])
        return agreed if self.home is None else [moved(copy, self.home) for copy in agreed]

    def any_worker(self, flag: bool) -> bool:
        """Whether `flag` is set on some worker; all of them must ask."""
        return bool(self.communicator.sum_counts([int(flag)], "the end of a step")[0])

    def local_results(self, value: Any) -> tuple[Any, ...]:
        """See `StrategyExtended.local_results`."""
        if isinstance(value, (DistributedValues, DistributedVariable)):
            return tuple(value.values)
        return (value,)

    # -- input ------------------------------------------------------------------------------

    def distribute_dataset(self, dataset: Any, options: Any) -> Any:
        """See `Strategy.experimental_distribute_dataset`."""
        if self.communicator.size == 1:
            return dataset
        return WorkerDataset(local_plan(dataset, self.communicator), self._strategy)

    def distribute_dataset_fn(self, dataset_fn: Callable[..., Any], options: Any) -> Any:
        """See `Strategy.distribute_datasets_from_function`."""
        me = self.communicator
        dataset = dataset_fn(InputContext(me.size, me.rank, me.size))
        return dataset if me.size == 1 else WorkerDataset((dataset, None), self._strategy)


class MultiWorkerMirroredStrategy(Strategy):
    """A replica per worker process, with equal copies of the variables.

    Start the script with ``mpiexec -n <workers> python script.py`` (the extra ``mpi`` brings
    it).  A step takes a part of the global batch on every worker; the gradients are summed by
    MPI.  Where the environment variable TF_CONFIG describes the cluster, the tasks it names are
    the ranks.

    Args:
        cluster_resolver: says which task this process is; TF_CONFIG, or else MPI, by default.
        communication_options: `CommunicationOptions`; a worker that waits longer than
            `timeout_seconds` (300 by default) for others ends the job and names them.  With
            the implementation AUTO, workers take a GPU each where there are enough and NCCL
            reduces between them; NCCL insists on that, RING computes on CPUs.

    Raises:
        ImportError: MPI is not installed.
        FailedPreconditionError: the processes that run are not those of the cluster; or NCCL
            is asked for and a worker has no GPU.
    """

    def __init__(
        self,
        cluster_resolver: ClusterResolver | None = None,
        communication_options: CommunicationOptions | None = None,
    ):
        options = communication_options or CommunicationOptions()
        mpi = load_mpi()
        world = mpi.COMM_WORLD
        abort_on_error(world)
        if cluster_resolver is None and os.environ.get("TF_CONFIG"):
            found = TFConfigClusterResolver()
            cluster_resolver = found if found.cluster_spec() else None
        if cluster_resolver is None:
            hosts = world.allgather(platform.node())
            cluster_resolver = MpiClusterResolver(hosts, world.Get_rank())
            comm = world
        else:
            comm = _by_tasks(mpi, world, cluster_resolver)
        self._resolver = cluster_resolver
        cluster_resolver._strategy = self
        self._size = comm.Get_size()
        communicator = MpiCommunicator(mpi, comm, options)
        super().__init__(extended_over(self, communicator, options))

    @property
    def num_replicas_in_sync(self) -> int:
        """Number of workers."""
        return self._size

    @property
    def cluster_resolver(self) -> Any:
        """The resolver of the cluster."""
        return self._resolver

    def __repr__(self) -> str:
        me = self._extended.first_local_replica
        return f"MultiWorkerMirroredStrategy(worker {me} of {self._size})"


def extended_over(
    strategy: Strategy, communicator: Any, options: CommunicationOptions
) -> MultiWorkerExtended:
    """The inside of a worker's strategy; the workers agree on GPUs or CPUs.

    Args:
        strategy: of which it is the inside.
        communicator: between the workers' hosts.
        options: how gradients are reduced, and by what.
    """
    place, by_nccl = worker_place(communicator, options.implementation)
    links = nccl_links(communicator, place) if by_nccl and place is not None else None
    return MultiWorkerExtended(strategy, communicator, options, place, links)


def _by_tasks(mpi: Any, world: Any, resolver: ClusterResolver) -> Any:
    """The processes in the order of the cluster's tasks.

    Raises:
        FailedPreconditionError: a task has no process, or two.
    """
    spec = resolver.cluster_spec()
    tasks = [
        (job, i) for job in ("chief", "worker") if job in spec.jobs
        for i in spec.task_indices(job)
    ]  # fmt: skip
    if not tasks:
        raise FailedPreconditionError(
            f"the cluster has no chief and no worker: {spec}; TF_CONFIG must name the workers"
        )
    size = world.Get_size()
    if size != len(tasks):
        launch = "" if started_by_mpiexec() else "the processes are connected by MPI: "
        raise FailedPreconditionError(
            f"the cluster names {len(tasks)} workers, but {size} process(es) run; {launch}"
            f"start them with mpiexec -n {len(tasks)} python <script>, with each one's own "
            "TF_CONFIG"
        )
    mine: Any = (resolver.task_type or "worker", resolver.task_id)
    all_given = world.allgather(mine)
    missing = [f"{job} {i}" for job, i in tasks if (job, i) not in all_given]
    if missing:
        raise FailedPreconditionError(
            f"no process is task(s) {', '.join(missing)} of the cluster: the ranks say they "
            f"are {[f'{job} {i}' for job, i in all_given]}; give each process its own task in "
            "TF_CONFIG"
        )
    return world.Split(0, tasks.index(mine))
