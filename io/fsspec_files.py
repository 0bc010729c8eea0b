"""Remote files by fsspec: every URL it knows (``http://``, ``az://``, ``memory://``, ...)."""

from __future__ import annotations

import contextlib
import datetime
import re
from typing import Any

from ..ops.errors import InvalidArgumentError, UnimplementedError
from .file_errors import remote_error
from .read_ahead import Ranges, with_retries
from .remote_base import Guarded, RemoteFileSystem

__all__ = ["FsspecFileSystem"]

_HOST = re.compile(r"\w+://[^/]+")
# Written files of these fsspec schemes appear when they are closed.
_OBJECT_STORES = {"abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"}


class FsspecFileSystem(RemoteFileSystem):
    """A file system of fsspec's, for any URL it knows (``http://``, ``az://``, ``zip::``, ...).

    Raises:
        InvalidArgumentError: fsspec knows no such scheme.
        UnimplementedError: fsspec, or the library that it uses for the scheme, is missing.
    """

    def __init__(self, url: str):
        try:
            from fsspec.core import url_to_fs

            self.inner, _ = url_to_fs(url)
        except ImportError as error:
            text = str(error)
            if "fsspec" in text and "No module" in text:
                text = "fsspec is not installed"
            raise UnimplementedError(
                f"{url}; {text}: install headrace[remote] and fsspec's library for this store"
            ) from None
        except ValueError as error:
            raise InvalidArgumentError(
                f"{url}; no filesystem for this URL: {error}; s3, gs, hdfs, file and fsspec's "
                "schemes are known"
            ) from None
        except Exception as error:
            raise remote_error(error, url) from None
        self.appears_on_close = url.partition("://")[0] in _OBJECT_STORES

    def inner_path(self, path: str) -> str:
        """What fsspec calls the file."""
        from fsspec.core import url_to_fs

        return str(url_to_fs(path)[1])

    def open_ranges(self, path: str) -> Ranges:
        """A file of fsspec's."""
        return _FsspecRanges(self.inner, self.inner_path(path), path)

    def glob(self, pattern: str) -> list[str]:
        """The files that match, by fsspec's own rules."""
        first, chained, rest = pattern.partition("::")
        scheme = first.partition("://")[0] if "://" in first else rest.partition("://")[0]
        before = "" if "://" in first else first + chained
        after = chained + rest if "://" in first else ""
        inner = self.inner_path(pattern)
        found = with_retries(lambda: self.inner.glob(inner), pattern)
        host = pattern.removesuffix(inner)
        if _HOST.fullmatch(host):  # fsspec's paths leave out the host of a server
            return sorted(host + p for p in found)
        return sorted(
            before + (p if "://" in p else f"{scheme}://{p.lstrip('/')}" if after else
                      self.inner.unstrip_protocol(p)) + after
            for p in found
        )  # fmt: skip

    def open_output(self, path: str) -> Any:
        """A file; whether it appears at once is the store's."""
        return Guarded(lambda: self.inner.open(self.inner_path(path), "wb"), path)

    def rename(self, old: str, new: str) -> None:
        """A move."""
        before, after = self.inner_path(old), self.inner_path(new)

        def move() -> None:
            try:
                self.inner.mv(before, after)
                if not self.inner.exists(before):
                    return
            except FileNotFoundError:
                raise
            except Exception:
                if not self.inner.exists(after):
                    raise
            # Some refuse a name that is taken, HDFS without a word.
            self.inner.rm_file(after)
            self.inner.mv(before, after)

        with_retries(move, old)

    def _put(self, path: str, data: bytes) -> None:
        inner = self.inner_path(path)
        if not self.appears_on_close:  # stores have no folders
            self.inner.makedirs(self.inner._parent(inner), exist_ok=True)
        self.inner.pipe_file(inner, data)

    def walk(self, folder: str) -> list[tuple[str, float | None]]:
        """By fsspec's own listing."""
        inner = self.inner_path(folder).rstrip("/")

        def find() -> dict[str, dict[str, Any]]:
            self.inner.invalidate_cache()
            found: dict[str, dict[str, Any]] = self.inner.find(inner, detail=True)
            return found

        skip = len(inner) + 1
        return [(p[skip:], _modified_s(info)) for p, info in with_retries(find, folder).items()]

    def remove(self, path: str) -> None:
        """Delete a file if it is there."""
        self._remove(path, recursive=False)

    def remove_folder(self, path: str) -> None:
        """Delete a folder, if it is there."""
        self._remove(path, recursive=True)

    def _remove(self, path: str, recursive: bool) -> None:
        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.inner.rm(self.inner_path(path), recursive=recursive)

        with_retries(delete, path)


def _modified_s(info: dict[str, Any]) -> float | None:
    """When a file was written, from whatever fsspec's libraries call it."""
    for key in ("mtime", "LastModified", "last_modified", "updated", "created"):
        value = info.get(key)
        if isinstance(value, datetime.datetime):
            return value.timestamp()
        if isinstance(value, (int, float)):
            return float(value)
    return None


class _FsspecRanges:
    """A file of fsspec's by ranges."""

    def __init__(self, system: Any, path: str, url: str):
        self._system, self._path = system, path
        info = system.info(path)
        if info.get("type") == "directory":
            raise IsADirectoryError(21, "Is a directory")
        if info.get("size") is None:
            raise UnimplementedError(
                f"{url}; the server does not tell the file's size, so ranges of it cannot be "
                "read: copy the file to a local disk first"
            )
        self.size = int(info["size"])

    def read_at(self, offset: int, size: int) -> bytes:
        return self._system.cat_file(self._path, start=offset, end=offset + size)

    def close(self) -> None:
        """Nothing is open between reads."""
