"""`distributed_save`: the workers of a data service write a dataset to files.

The dispatcher journals what is to be saved, and a thread in its process hands each worker a
shard (every n-th element) to write; a shard whose worker died is written anew, from its first
element, by that worker started anew or by another.  The files appear all at once, when all are
whole (`Library`); nothing is lost, and nothing is there twice.  A dispatcher that died begins
with what it has not finished again.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from typing import Any

from ...data.fingerprint import fingerprint
from ...data.storage.element_file import check_codec
from ...data.storage.library import Library
from ...data.storage.locate import check_path
from ...data.storage.spec_json import spec_to_json
from ...data.structure import Structure
from ...ops.errors import AlreadyExistsError, UnavailableError
from ..ray_cluster import actor_named, ray_module
from .shipping import ship, unpack_error

__all__ = ["SaveTerms", "distributed_save", "run_save"]

_MOST_DEATHS = 20
_LOOK_S, _NO_WORKER_S, _LEAVE_S = 0.2, 60.0, 60.0


@dataclass(frozen=True)
class SaveTerms:
    """What is to be saved.

    Attributes:
        path: the folder.
        data: the shipped plan.
        fingerprint: the same for equal plans.
        spec: its elements' nested specs.
        compression: a codec's name.
        salt: what random operations that nobody seeded draw from, in all shards.
    """

    path: str
    data: bytes
    fingerprint: int
    spec: Any
    compression: str
    salt: int


def distributed_save(
    dataset: Any, path: Any, data_service_address: str, compression: Any = "AUTO"
) -> None:
    """Have the workers of a data service save `dataset`, for `Dataset.load`.

    Returns at once: ``Dataset.load(path, wait=True)`` waits for the files, and raises what
    went wrong.  Each worker there is then makes every n-th element, so the dataset must give
    the same elements in the same order whenever it runs.

    Args:
        dataset: what to save.
        path: a folder that all workers see, or a URL.
        data_service_address: the dispatcher's `target`, with or without its protocol.
        compression: "AUTO" (Snappy), None, or a codec of `Dataset.save`.

    Raises:
        ValueError: `data_service_address` is no string, or empty.
        TypeError: the elements hold datasets.
        AlreadyExistsError: a dataset is saved there, or being saved.
        InvalidArgumentError: the dispatcher is not fault tolerant; the dataset cannot be sent.
        UnavailableError: no dispatcher answers.
        ModuleNotFoundError: Ray is not installed.
    """
    from .dispatcher import Dispatcher

    if not isinstance(data_service_address, str):
        raise ValueError(
            "`data_service_address` must be a string, but is a "
            f"{type(data_service_address)} ({data_service_address})"
        )
    if not data_service_address:
        raise ValueError("`data_service_address` must not be empty")
    folder, codec = check_path("path", path), check_codec(compression)
    spec_to_json(dataset.element_spec)
    plan = dataset._node
    shipment = ship(plan, dataset._own_options)
    library = Library(folder)
    if library.latest() is not None:
        raise AlreadyExistsError(
            f"{folder}; a dataset is saved there already; choose another path or delete it"
        )
    terms = SaveTerms(folder, shipment.data, fingerprint(plan), plan.element_spec, codec,
                      secrets.randbits(31))  # fmt: skip
    dispatcher = Dispatcher(data_service_address.rpartition("://")[2])
    dispatcher.save(terms)


def run_save(address: str, terms: SaveTerms) -> None:
    """Save as the terms say, through the workers of the dispatcher at `address`; what goes
    wrong is told to those who wait for the files."""
    from .dispatcher import Dispatcher

    dispatcher = Dispatcher(address)
    library = Library(terms.path)
    try:
        writer = library.writer(Structure(terms.spec), terms.compression)
        if writer is None:
            raise AlreadyExistsError(f"{terms.path}; another process is saving a dataset there")
        try:
            writer.commit_shared(_Shards(dispatcher, terms, writer.shared_folder()).written())
        finally:
            writer.abort()
    except Exception as error:
        library.note_failure(f"{type(error).__name__}: {error}")
    dispatcher("end_save", terms)


class _Shards:
    """The shards of a save, and who writes them.

    Args:
        dispatcher: knows the workers.
        terms: what is saved.
        folder: where.
    """

    def __init__(self, dispatcher: Any, terms: SaveTerms, folder: str):
        from ..sharded_save import ShardOrder

        self._dispatcher = dispatcher
        self._ray = ray_module("the data service")
        self._terms = terms
        while not (workers := dispatcher("living")):
            time.sleep(_LOOK_S)
        self._workers: list[str] = workers
        self._orders = [
            ShardOrder(b"", i, len(workers), terms.salt, folder, "elements", terms.compression)
            for i in range(len(workers))
        ]
        self._data = self._ray.put(terms.data)  # once for all
        self._writing: dict[Any, tuple[int, str]] = {}
        self._deaths = 0

    def written(self) -> list[tuple[str, int]]:
        """(name, number of elements) of each file, once all are written."""
        self._leave(but=self._orders[0].folder)  # what a dispatcher that died had asked for
        rows = [0] * len(self._orders)
        try:
            for index, worker in enumerate(self._workers):
                self._ask(index, worker)
            while self._writing:
                for one in self._ray.wait(list(self._writing), timeout=5.0)[0]:
                    index, worker = self._writing.pop(one)
                    found = self._reply(one, index, worker)
                    if found is not None:
                        rows[index] = found
        finally:
            if self._writing:  # nobody writes any more when the folder is removed
                self._leave()
                self._ray.wait(
                    list(self._writing), num_returns=len(self._writing), timeout=_LEAVE_S
                )
        return [(order.name, n) for order, n in zip(self._orders, rows, strict=True)]

    def _ask(self, index: int, worker: str) -> None:
        """Have `worker` write a shard, or another if it is gone."""
        end = time.monotonic() + _NO_WORKER_S
        while True:
            living = self._dispatcher("living")
            first = [worker] if worker in living else []
            for name in [*first, *living[index % max(1, len(living)) :], *living]:
                handle = actor_named(self._ray, name)
                if handle is not None:
                    reply = handle.save_shard.remote(self._data, self._orders[index])
                    self._writing[reply] = index, name
                    return
            if time.monotonic() > end:
                raise UnavailableError(
                    f"no worker is left that could write {self._terms.path}; start a "
                    "WorkerServer and save again"
                )
            time.sleep(_LOOK_S)

    def _reply(self, reply: Any, index: int, worker: str) -> int | None:
        """How many elements a worker wrote; None if it died, and the shard is begun again."""
        try:
            found = self._ray.get(reply)
        except self._ray.exceptions.RayError as error:
            self._deaths += 1
            if self._deaths > _MOST_DEATHS:
                raise UnavailableError(
                    f"workers that wrote shards of {self._terms.path} died {self._deaths} "
                    "times; see their logs"
                ) from error
            if isinstance(error, self._ray.exceptions.ActorDiedError):
                self._dispatcher("lose_worker", worker, str(error).partition("\n")[0])
            self._ask(index, worker)
            return None
        if isinstance(found, bytes):
            raise unpack_error(found)
        return int(found)

    def _leave(self, but: str = "") -> None:
        for name in self._dispatcher("living"):
            handle = actor_named(self._ray, name)
            if handle is not None:
                handle.leave_shards.remote(self._terms.path, but)
