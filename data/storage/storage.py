"""Storage: where elements are kept, on disks and in object stores alike.

What is written has to appear whole or not at all, whatever happens to the process.  A storage
gives three things for that, and all that is kept is made of them:

- `create`: a file that is there when its writer commits it, and not before;
- `write_json`: a small file that replaces the one before it at once;
- `lock`: who writes, where the store can tell.

`local_storage` makes them of renaming and ``flock``, `remote_storage` of objects that are put
whole.  Paths are whole paths or URLs.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, Protocol

__all__ = ["Input", "Lock", "Output", "Storage"]


class Output(Protocol):
    """A file being written; used by one thread at a time."""

    path: str

    def write(self, parts: list[Any]) -> None:
        """Append the bytes of each of `parts`."""

    def tell(self) -> int:
        """How many bytes the file has."""

    def checkpoint(self) -> Any:
        """Make what is written last; a JSON value with which `Storage.create` goes on here."""

    def commit(self) -> None:
        """Let the complete file appear."""

    def abort(self, keep: bool = False) -> None:
        """Stop and delete what was written (`keep` leaves it, to go on); harmless when repeated
        or after `commit`."""


class Input(Protocol):
    """A complete file, open for reading; used by one thread at a time."""

    size: int

    def read_into(self, offset: int, view: memoryview) -> int:
        """Fill `view` with the bytes from `offset` on; how many came, fewer only at the end."""

    def close(self) -> None:
        """Close the file; harmless when repeated."""


class Lock(Protocol):
    """A right that at most one holder has."""

    path: str

    def acquire(self) -> bool:
        """Take it; False if somebody else has it."""

    def release(self) -> None:
        """Give it back; harmless when repeated."""

    def remove_stale(self) -> None:
        """Remove what a killed holder left behind."""


class Storage(ABC):
    """A kind of store.  All methods raise Headrace's errors, which name the path."""

    @abstractmethod
    def create(self, path: str, resume: Any = None) -> Output:
        """A file to write, from its beginning or from where `checkpoint` gave `resume`.

        Folders that are missing are made.
        """

    @abstractmethod
    def open_input(self, path: str) -> Input:
        """A complete file.

        Raises:
            NotFoundError: there is none.
        """

    @abstractmethod
    def write_json(self, path: str, value: Any) -> None:
        """`value` as a small file, in place of the one before; its folder is made."""

    @abstractmethod
    def read_json(self, path: str) -> Any:
        """What `write_json` wrote last, or None.

        Raises:
            ValueError: the file holds no JSON.
        """

    @abstractmethod
    def remove(self, path: str) -> None:
        """Delete a file of `create` or `write_json`, if it is there."""

    @abstractmethod
    def remove_folder(self, path: str) -> None:
        """Delete a folder with all that is in it, if it is there."""

    @abstractmethod
    def abandoned(self, folder: str) -> list[str]:
        """The names in `folder` that nobody can be writing, for a caller with its lock."""

    @abstractmethod
    def lock(self, path: str) -> Lock:
        """The lock at `path`."""
