"""ParameterServerStrategy: variables on servers, functions scheduled on workers."""

from __future__ import annotations

import contextlib
import secrets
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator
from typing import Any

from ...ops.context import current
from ...ops.tensor_shape import TensorShape
from ..context import entered
from ..one_device import OneReplica
from ..ray_cluster import NAMESPACE, connect
from ..strategy import Strategy
from .partitioners import dims_of, shard_bounds
from .server import ServerActor
from .server_variable import ServerVariable
from .store import Layout, Store
from .worker import WorkerActor

__all__ = ["ParameterServerStrategy"]

_RESTARTS = 20


class _Extended(OneReplica):
    """A replica is whatever worker runs the function; the coordinator is none.

    Attributes:
        store: the servers.
    """

    def __init__(self, strategy: Strategy, store: Store, partitioner: Any):
        super().__init__(strategy, "/device:CPU:0")
        self.store = store
        self._partitioner = partitioner
        self._made = 0

    def variable_class(self, kwargs: Any) -> type:
        return ServerVariable

    def variable_created_in_scope(self, v: Any) -> bool:
        return isinstance(v, ServerVariable)

    def lay_out(self, name: str, shape: Any, dtype: Any) -> Layout:
        """Where a new variable is to lie.

        Raises:
            ValueError: the partitioner cuts another axis than the first, or none of it fits.
        """
        number, self._made = self._made, self._made + 1
        dims = dims_of(shape)
        parts = 1
        if self._partitioner is not None and dims and dtype.name != "string":
            counts = list(self._partitioner(shape=TensorShape(shape), dtype=dtype))
            if len(counts) != len(dims) or any(c < 1 for c in counts):
                raise ValueError(
                    f"variable_partitioner must give the number of parts along each of the "
                    f"{len(dims)} axes, got {counts} for shape {dims}"
                )
            if any(c != 1 for c in counts[1:]):
                raise ValueError(
                    f"variable_partitioner must cut the first axis only, got {counts}"
                )
            parts = min(counts[0], max(1, dims[0]))
        bounds = shard_bounds(dims[0], parts) if dims else [0, 1]
        many = len(self.store.servers)
        servers = tuple((number + k) % many for k in range(parts))
        return Layout(f"{number}:{name}", tuple(bounds), servers)


class ParameterServerStrategy(Strategy):
    """Asynchronous training: variables lie on servers, workers pull and push.

    Variables made in the scope are laid down on servers, cut into shards by the partitioner.
    `hr.distribute.coordinator.ClusterCoordinator` runs functions on workers; ``model.fit`` does
    so by itself.  Servers and workers are Ray actors; dead ones are started anew, servers from
    their latest checkpoints.

    Args:
        cluster_resolver: says by its cluster's jobs "worker" and "ps" how many there are.
        variable_partitioner: one of `hr.distribute.experimental.partitioners`, or a function
            of shape and dtype that gives the number of parts along each axis.
        num_workers, num_servers: how many, in place of a resolver.
        server_memory_bytes: what a server may hold of variables.
        checkpoint_dir: where servers keep their checkpoints; by default a folder that goes
            with the strategy.  All machines must reach it.
        checkpoint_every: pushes between two checkpoints of a server; 0 for those of
            `save_servers` only.
        max_staleness: updates by others, at most, between a function's start and its end; None
            for any number.

    Raises:
        ModuleNotFoundError: Ray is not installed.
        ValueError: a number is not positive.
    """

    def __init__(
        self,
        cluster_resolver: Any = None,
        variable_partitioner: Callable[..., Any] | None = None,
        *,
        num_workers: int | None = None,
        num_servers: int | None = None,
        server_memory_bytes: int | None = None,
        checkpoint_dir: str | None = None,
        checkpoint_every: int = 100,
        max_staleness: int | None = None,
    ):
        if cluster_resolver is not None:
            spec = cluster_resolver.cluster_spec()
            num_workers = num_workers or len(spec.as_dict().get("worker", ()))
            num_servers = num_servers or len(spec.as_dict().get("ps", ()))
        workers, servers = (1 if n is None else n for n in (num_workers, num_servers))
        if workers < 1 or servers < 1:
            raise ValueError(
                "ParameterServerStrategy needs at least one worker and one parameter server, "
                f"got {workers} and {servers}"
            )
        if max_staleness is not None and max_staleness < 0:
            raise ValueError(f"max_staleness must not be negative, got {max_staleness}")
        ray = connect("ParameterServerStrategy", start=True)
        folder = checkpoint_dir or tempfile.mkdtemp(prefix="headrace-servers-")
        server = ray.remote(num_cpus=0, max_restarts=_RESTARTS)(ServerActor)
        worker = ray.remote(num_cpus=0, max_restarts=-1)(WorkerActor)
        names = [f"server-{i}-{secrets.token_hex(8)}" for i in range(servers)]
        handles = [
            server.options(name=name, namespace=NAMESPACE).remote(
                folder, i, server_memory_bytes, checkpoint_every
            )
            for i, name in enumerate(names)
        ]
        store = Store(handles)
        self._cluster_resolver = cluster_resolver
        self._max_staleness = max_staleness
        self.workers = [worker.remote(names, i) for i in range(workers)]
        ray.get([h.pid.remote() for h in [*handles, *self.workers]])
        self._finalizer = weakref.finalize(
            self, _end, ray, [*handles, *self.workers], None if checkpoint_dir else folder
        )
        self.store = store
        super().__init__(_Extended(self, store, variable_partitioner))

    @property
    def cluster_resolver(self) -> Any:
        """The resolver it was made with."""
        return self._cluster_resolver

    @property
    def max_staleness(self) -> int | None:
        """See the arguments."""
        return self._max_staleness

    @contextlib.contextmanager
    def scope(self) -> Iterator[Strategy]:
        """A context in which variables are laid down on the servers."""
        with entered(self):
            current.variables = self  # `entered` puts back what was there
            yield self

    def save_servers(self) -> None:
        """Have all servers write their checkpoints now."""
        self.store.save()

    def close(self) -> None:
        """Stop servers and workers; the variables are gone."""
        self._finalizer()

    def __reduce__(self) -> tuple[Any, ...]:
        return _strategy_of_worker, ()


def _end(ray: Any, actors: list[Any], folder: str | None) -> None:
    if ray.is_initialized():
        for actor in actors:
            ray.kill(actor)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


_of_worker: Strategy | None = None


def _strategy_of_worker() -> Strategy:
    """What the strategy is in a worker: the one replica that runs there."""
    global _of_worker
    if _of_worker is None:
        from ..one_device import OneDeviceStrategy

        _of_worker = OneDeviceStrategy("/device:CPU:0")
    return _of_worker
