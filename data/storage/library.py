"""Library: a folder of element files that are replaced all at once.

::

    path/metadata.json          names the current run; replaced at once, last of all
    path/run-<id>/00000000.elements     one file per shard
    path/writer.lock            held while somebody writes
    path/failure.json           why a writer in the background gave up

Whatever metadata.json does not name is what a crash left, or the run before: the next writer
removes it, as far as nobody can be writing it (see `storage`).  The run just replaced stays
until then, for those who still read it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import secrets
from typing import Any

import numpy as np

from ...io.filesystems import join
from ...ops.errors import DataLossError, InvalidArgumentError, OpError
from ..block import Block
from ..structure import Structure
from .element_file import ElementWriter
from .locate import storage_of
from .spec_json import spec_from_json, spec_to_json
from .storage import Lock

__all__ = ["Library", "Run", "RunWriter"]

VERSION = 1


@dataclasses.dataclass(frozen=True)
class Run:
    """A complete set of files.

    Attributes:
        name: of its folder.
        spec: nested spec of the elements.
        compression: a codec's name.
        shards: (path, number of elements) of each file, by shard number.
    """

    name: str
    spec: Any
    compression: str
    shards: tuple[tuple[str, int], ...]

    @property
    def num_rows(self) -> int:
        """Number of elements in all files."""
        return sum(rows for _, rows in self.shards)


class Library:
    """A folder of element files."""

    def __init__(self, path: str):
        self.path = path
        self._storage = storage_of(path)
        self._metadata = join(path, "metadata.json")
        self._failure = join(path, "failure.json")

    def latest(self) -> Run | None:
        """The complete run that is there, if any.

        Raises:
            DataLossError: the metadata are damaged.
            InvalidArgumentError: they are of another format version.
        """
        try:
            found = self._storage.read_json(self._metadata)
            if found is None:
                return None
            version = found["version"]
            if version != VERSION:
                raise InvalidArgumentError(
                    f"{self._metadata}; it has format version {version}, this Headrace reads "
                    f"version {VERSION}: save the elements again"
                )
            run = found["run"]
            shards = tuple((join(self.path, run, name), rows) for name, rows in found["shards"])
            spec = spec_from_json(found["spec"])
            return Run(run, spec, found["compression"], shards)
        except OpError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataLossError(
                f"{self._metadata}; the file is damaged: {error}; delete the folder and write "
                "the elements again"
            ) from None

    def note_failure(self, text: str | None) -> None:
        """Tell those who wait for a run that there will be none, and why; None takes that
        back."""
        if text is None:
            self._storage.remove(self._failure)
        else:
            self._storage.write_json(self._failure, {"version": VERSION, "error": text})

    def failure(self) -> str | None:
        """What `note_failure` said last."""
        try:
            found = self._storage.read_json(self._failure)
        except ValueError:
            return None
        return None if found is None else str(found["error"])

    def writer(
        self, structure: Structure, compression: str, resume: Any = None
    ) -> RunWriter | None:
        """A writer of a new run, or None if somebody else is writing.

        Raises:
            OpError: the folder cannot be written to.
        """
        spec_to_json(structure.spec)
        lock = self._storage.lock(join(self.path, "writer.lock"))
        if not lock.acquire():
            return None
        try:
            self.note_failure(None)
            current = self.latest()
            keep = {current.name if current else "", resume["run"] if resume else ""}
            with contextlib.suppress(OpError):  # who may write need not be allowed to delete
                self._clean(keep)
            return RunWriter(self.path, lock, structure, compression, resume)
        except BaseException:
            lock.release()
            raise

    def _clean(self, keep: set[str]) -> None:
        """Remove what earlier writers left, but for the runs to keep."""
        for name in self._storage.abandoned(self.path):
            if name.startswith("run-") and name not in keep:
                self._storage.remove_folder(join(self.path, name))
            elif name.startswith("metadata.json.tmp-"):
                self._storage.remove(join(self.path, name))


class RunWriter:
    """Writes one run; made by `Library.writer`."""

    def __init__(
        self, path: str, lock: Lock, structure: Structure, compression: str, resume: Any
    ):
        self.path = path
        self._storage = storage_of(path)
        self._lock = lock
        self._structure = structure
        self._compression = compression
        self._published = self._shared = False
        self._files: dict[int, ElementWriter] = {}
        self.run = resume["run"] if resume else f"run-{secrets.token_hex(8)}"
        self._folder = join(path, self.run)
        for number, saved in (resume["files"] if resume else {}).items():
            self._files[int(number)] = self._open(int(number), saved)

    def _open(self, number: int, resume: Any = None) -> ElementWriter:
        path = join(self._folder, _shard_name(number))
        return ElementWriter(path, self._structure, self._compression, resume=resume)

    def write(self, block: Block, shards: np.ndarray | None = None) -> None:
        """Append rows, each to the file of its shard number (0 without numbers)."""
        if shards is None:
            parts = [(0, block)]
        else:
            numbers = np.unique(shards).tolist()
            parts = [(n, block.mask(shards == n)) for n in numbers]
        for number, part in parts:
            if number not in self._files:
                self._files[number] = self._open(number)
            self._files[number].write(part)

    def shared_folder(self) -> str:
        """The folder in which others, whoever they are, write the run's files, which
        `commit_shared` then names; instead of `write`."""
        self._shared = True
        return self._folder

    def commit_shared(self, shards: list[tuple[str, int]]) -> None:
        """Let the run take the place of the one before: files that are there, by name, with
        the number of their elements."""
        try:
            self._publish([list(s) for s in shards])
        finally:
            self.abort()

    def checkpoint(self) -> dict[str, Any]:
        """Flush everything; what a later writer needs to go on from here (`resume`)."""
        files = {str(n): f.checkpoint() for n, f in self._files.items()}
        return {"run": self.run, "files": files}

    def commit(self) -> None:
        """Let the run take the place of the one before."""
        try:
            for file in self._files.values():
                file.commit()
            self._publish(
                [[_shard_name(n), f.num_rows] for n, f in sorted(self._files.items())]
            )
        finally:
            self.abort()

    def _publish(self, shards: list[list[Any]]) -> None:
        metadata = {
            "version": VERSION, "run": self.run, "compression": self._compression,
            "shards": shards, "spec": spec_to_json(self._structure.spec),
        }  # fmt: skip
        # From here on the run stays: a failure or an interrupt may come when it is named.
        self._published = True
        self._storage.write_json(join(self.path, "metadata.json"), metadata)

    def abort(self, keep: bool = False) -> None:
        """Stop and delete what was written (`keep` leaves it, for `resume`); harmless when
        repeated, or after `commit`."""
        keep = keep or self._published
        for file in self._files.values():
            file.abort(keep=True)
        if not keep and (self._files or self._shared):
            with contextlib.suppress(OpError):  # nobody reads it
                self._storage.remove_folder(self._folder)
        self._files = {}
        self._lock.release()


def _shard_name(number: int) -> str:
    return f"{number:08d}.elements"
