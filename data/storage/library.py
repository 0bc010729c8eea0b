"""Library: a folder of element files that are replaced all at once.

::

    path/metadata.json          names the current run; appears by renaming, last of all
    path/run-<id>/00000000.elements     one file per shard
    path/writer.lock            held while somebody writes

Whatever metadata.json does not name is what a crash left, or the run before: the next writer
removes it.  (The run just replaced stays until then, for those who still read it.)
"""

from __future__ import annotations

import dataclasses
import json
import os
import secrets
import shutil
from typing import Any

import numpy as np

from ...io.files import file_error
from ...ops.errors import DataLossError, InvalidArgumentError
from ..block import Block
from ..structure import Structure
from .durable import FileLock, sync_folder, write_error, write_json
from .element_file import ElementWriter
from .spec_json import spec_from_json, spec_to_json

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

    @property
    def _metadata(self) -> str:
        return os.path.join(self.path, "metadata.json")

    def latest(self) -> Run | None:
        """The complete run that is there, if any.

        Raises:
            DataLossError: the metadata are damaged.
            InvalidArgumentError: they are of another format version.
        """
        try:
            with open(self._metadata, encoding="utf-8") as file:
                text = file.read()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise file_error(error, self._metadata) from None
        try:
            found = json.loads(text)
            version = found["version"]
            if version != VERSION:
                raise InvalidArgumentError(
                    f"{self._metadata}; it has format version {version}, this Headrace reads "
                    f"version {VERSION}: save the elements again"
                )
            folder = os.path.join(self.path, found["run"])
            shards = tuple((os.path.join(folder, name), rows) for name, rows in found["shards"])
            spec = spec_from_json(found["spec"])
            return Run(found["run"], spec, found["compression"], shards)
        except InvalidArgumentError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataLossError(
                f"{self._metadata}; the file is damaged: {error}; delete the folder and write "
                "the elements again"
            ) from None

    def writer(
        self, structure: Structure, compression: str, resume: Any = None
    ) -> RunWriter | None:
        """A writer of a new run, or None if somebody else is writing.

        Raises:
            OpError: the folder cannot be written to.
        """
        spec_to_json(structure.spec)
        try:
            os.makedirs(self.path, exist_ok=True)
        except OSError as error:
            raise write_error(error, self.path) from None
        lock = FileLock(os.path.join(self.path, "writer.lock"))
        if not lock.acquire():
            return None
        try:
            current = self.latest()
            keep = {current.name if current else "", resume["run"] if resume else ""}
            for name in os.listdir(self.path):
                if name.startswith("run-") and name not in keep:
                    shutil.rmtree(os.path.join(self.path, name), ignore_errors=True)
            return RunWriter(self.path, lock, structure, compression, resume)
        except BaseException:
            lock.release()
            raise


class RunWriter:
    """Writes one run; made by `Library.writer`."""

    def __init__(
        self, path: str, lock: FileLock, structure: Structure, compression: str, resume: Any
    ):
        self.path = path
        self._lock = lock
        self._structure = structure
        self._compression = compression
        self._committed = False
        self._files: dict[int, ElementWriter] = {}
        self.run = resume["run"] if resume else f"run-{secrets.token_hex(8)}"
        self._folder = os.path.join(path, self.run)
        try:
            os.makedirs(self._folder, exist_ok=resume is not None)
        except OSError as error:
            raise write_error(error, self._folder) from None
        for number, saved in (resume["files"] if resume else {}).items():
            self._files[int(number)] = self._open(int(number), saved)

    def _open(self, number: int, resume: Any = None) -> ElementWriter:
        path = os.path.join(self._folder, f"{number:08d}.elements")
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

    def checkpoint(self) -> dict[str, Any]:
        """Flush everything; what a later writer needs to go on from here (`resume`)."""
        files = {str(n): f.checkpoint() for n, f in self._files.items()}
        return {"run": self.run, "files": files}

    def commit(self) -> None:
        """Let the run take the place of the one before."""
        try:
            shards = []
            for number in sorted(self._files):
                file = self._files[number]
                file.commit()
                shards.append([os.path.basename(file.path), file.num_rows])
            sync_folder(self.path)
            write_json(self._metadata, {
                "version": VERSION, "run": self.run, "compression": self._compression,
                "shards": shards, "spec": spec_to_json(self._structure.spec),
            })  # fmt: skip
        except BaseException:
            self.abort()
            raise
        self._committed = True
        self._lock.release()

    @property
    def _metadata(self) -> str:
        return os.path.join(self.path, "metadata.json")

    def abort(self, keep: bool = False) -> None:
        """Stop and delete what was written (`keep` leaves it, for `resume`); harmless when
        repeated, or after `commit`."""
        if self._committed:
            return
        for file in self._files.values():
            file.abort(keep)
        if not keep:
            shutil.rmtree(self._folder, ignore_errors=True)
        self._lock.release()
