"""Cluster resolvers: which processes make up a cluster, and which of them this one is.

Under MPI, `mpiexec` has started the processes and knows them; a resolver then only says which
task each rank is (`multi_worker`).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from typing import Any

__all__ = [
    "ClusterResolver",
    "ClusterSpec",
    "MpiClusterResolver",
    "SimpleClusterResolver",
    "TFConfigClusterResolver",
]


class ClusterSpec:
    """Jobs of a cluster, each a list of tasks' addresses.

    Args:
        cluster: addresses by job, as a list or by task number; or another `ClusterSpec`.

    >>> spec = ClusterSpec({"worker": ["a:1", "b:1"], "chief": ["c:1"]})
    >>> spec.jobs, spec.num_tasks("worker"), spec.task_address("worker", 1)
    (['chief', 'worker'], 2, 'b:1')
    """

    def __init__(self, cluster: Any):
        if isinstance(cluster, ClusterSpec):
            cluster = cluster._tasks
        if not isinstance(cluster, Mapping):
            raise TypeError(
                f"cluster must be a dictionary from jobs to lists of addresses, got {cluster!r}"
            )
        self._tasks: dict[str, dict[int, str]] = {}
        for job, tasks in cluster.items():
            if isinstance(tasks, Mapping):
                self._tasks[job] = {int(i): str(a) for i, a in tasks.items()}
            elif isinstance(tasks, Sequence) and not isinstance(tasks, str):
                self._tasks[job] = dict(enumerate(map(str, tasks)))
            else:
                raise TypeError(
                    f"the tasks of job {job!r} must be a list of addresses or a dictionary "
                    f"from task numbers to addresses, got {tasks!r}"
                )

    @property
    def jobs(self) -> list[str]:
        """The jobs' names, sorted."""
        return sorted(self._tasks)

    def num_tasks(self, job_name: str) -> int:
        """Number of tasks of a job.

        Raises:
            ValueError: there is no such job.
        """
        return len(self._of(job_name))

    def task_indices(self, job_name: str) -> list[int]:
        """Numbers of the tasks of a job, sorted."""
        return sorted(self._of(job_name))

    def task_address(self, job_name: str, task_index: int) -> str:
        """Address of a task.

        Raises:
            ValueError: there is no such job or task.
        """
        tasks = self._of(job_name)
        if task_index not in tasks:
            raise ValueError(f"No task with index {task_index!r} in job {job_name!r}")
        return tasks[task_index]

    def job_tasks(self, job_name: str) -> list[str]:
        """Addresses of a job's tasks, in order."""
        tasks = self._of(job_name)
        return [tasks[i] for i in sorted(tasks)]

    def as_dict(self) -> dict[str, Any]:
        """Addresses by job: lists where the tasks are numbered without gaps."""
        return {
            job: self.job_tasks(job) if sorted(t) == list(range(len(t))) else dict(t)
            for job, t in self._tasks.items()
        }

    def _of(self, job_name: str) -> dict[int, str]:
        if job_name not in self._tasks:
            raise ValueError(f"No such job in cluster: {job_name!r}; it has {self.jobs}")
        return self._tasks[job_name]

    def __bool__(self) -> bool:
        return bool(self._tasks)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ClusterSpec) and self._tasks == other._tasks

    def __hash__(self) -> int:
        return hash(json.dumps(self.as_dict(), sort_keys=True))

    def __repr__(self) -> str:
        return f"ClusterSpec({self.as_dict()!r})"


class ClusterResolver:
    """Base class: says what the cluster is; subclasses set the attributes.

    Attributes:
        task_type: this process's job, such as ``"worker"``, or None.
        task_id: its number there, or None.
        environment: accepted for compatibility.
    """

    task_type: str | None = None
    task_id: int | None = None
    environment: str = ""
    rpc_layer: str | None = None
    _strategy: Any = None  # the one that connected the tasks

    def cluster_spec(self) -> ClusterSpec:
        """The cluster."""
        raise NotImplementedError

    def master(
        self,
        task_type: str | None = None,
        task_id: int | None = None,
        rpc_layer: str | None = None,
    ) -> str:
        """The address of a task; empty if none is named."""
        if task_type is None or task_id is None:
            return ""
        address = self.cluster_spec().task_address(task_type, task_id)
        layer = rpc_layer or self.rpc_layer
        return f"{layer}://{address}" if layer else address

    def num_accelerators(self, *args: Any, **kwargs: Any) -> dict[str, int]:
        """Numbers of accelerators of a worker, by kind; none here."""
        return {}


class SimpleClusterResolver(ClusterResolver):
    """A cluster that is told.

    Args:
        cluster_spec: the cluster.
        master: address that `master()` gives.
        task_type: this process's job.
        task_id: this process's number in it.
        environment: kept.
        num_accelerators: numbers of accelerators of a worker, by kind.
        rpc_layer: prefix of addresses.
    """

    def __init__(
        self,
        cluster_spec: Any,
        master: str = "",
        task_type: str | None = None,
        task_id: int | None = None,
        environment: str = "",
        num_accelerators: Mapping[str, int] | None = None,
        rpc_layer: str | None = None,
    ):
        if not isinstance(cluster_spec, ClusterSpec):
            raise TypeError(
                f"cluster_spec must be a ClusterSpec, got {cluster_spec!r}; "
                "write ClusterSpec({'worker': [...]})"
            )
        self._spec = cluster_spec
        self._master = master
        self.task_type = task_type
        self.task_id = task_id
        self.environment = environment
        self._accelerators = dict(num_accelerators or {})
        self.rpc_layer = rpc_layer

    def cluster_spec(self) -> ClusterSpec:
        """The cluster."""
        return self._spec

    def master(
        self,
        task_type: str | None = None,
        task_id: int | None = None,
        rpc_layer: str | None = None,
    ) -> str:
        """See `ClusterResolver.master`; the one told, if no task is named."""
        return super().master(task_type, task_id, rpc_layer) or self._master

    def num_accelerators(self, *args: Any, **kwargs: Any) -> dict[str, int]:
        """What was told."""
        return dict(self._accelerators)


class TFConfigClusterResolver(ClusterResolver):
    """The cluster that the environment variable TF_CONFIG describes, a JSON text such as
    ``{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}``.

    Args:
        task_type: in place of TF_CONFIG's.
        task_id: in place of TF_CONFIG's.
        rpc_layer: prefix of addresses.
        environment: in place of TF_CONFIG's.

    Raises:
        ValueError: TF_CONFIG is no such text.
    """

    def __init__(
        self,
        task_type: str | None = None,
        task_id: int | None = None,
        rpc_layer: str | None = None,
        environment: str | None = None,
    ):
        config = _tf_config()
        task = config.get("task", {})
        self._spec = ClusterSpec(config.get("cluster", {}))
        self.task_type = task_type if task_type is not None else task.get("type")
        found = task_id if task_id is not None else task.get("index")
        self.task_id = None if found is None else int(found)
        self.rpc_layer = rpc_layer or config.get("rpc_layer")
        self.environment = environment or config.get("environment", "")

    def cluster_spec(self) -> ClusterSpec:
        """The cluster."""
        return self._spec

    def master(
        self,
        task_type: str | None = None,
        task_id: int | None = None,
        rpc_layer: str | None = None,
    ) -> str:
        """See `ClusterResolver.master`; this task's own by default."""
        if not self._spec:
            return ""
        kind = self.task_type if task_type is None else task_type
        number = self.task_id if task_id is None else task_id
        return super().master(kind, number, rpc_layer)


def _tf_config() -> dict[str, Any]:
    text = os.environ.get("TF_CONFIG", "{}")
    try:
        found = json.loads(text)
    except json.JSONDecodeError as error:
        raise ValueError(f"TF_CONFIG must be a JSON object, got {text!r}: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"TF_CONFIG must be a JSON object, got {text!r}")
    return found


class MpiClusterResolver(ClusterResolver):
    """The processes that `mpiexec` started: a worker each, by rank.

    Args:
        hosts: the host of every rank.
        rank: this process's.
    """

    def __init__(self, hosts: Sequence[str], rank: int):
        self._spec = ClusterSpec({"worker": [f"{host}:{i}" for i, host in enumerate(hosts)]})
        self.task_type = "worker"
        self.task_id = rank

    def cluster_spec(self) -> ClusterSpec:
        """The cluster."""
        return self._spec
