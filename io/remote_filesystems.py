"""Remote file systems: S3, Google Cloud Storage and HDFS by pyarrow, others by `fsspec_files`.

Options follow an object's URL as a query, or come from the environment:

| store | option | environment |
|---|---|---|
| S3 | ``endpoint_override`` | ``AWS_ENDPOINT_URL_S3``, ``AWS_ENDPOINT_URL`` |
| S3 | ``region`` | ``AWS_REGION``, ``AWS_DEFAULT_REGION`` |
| S3 | ``anonymous`` | ``AWS_NO_SIGN_REQUEST`` |
| S3 | credentials: none | what the AWS SDK reads: ``AWS_ACCESS_KEY_ID``, profiles, ... |
| GCS | ``endpoint_override`` | ``STORAGE_EMULATOR_HOST`` |
| GCS | ``anonymous`` | |
| GCS | credentials: none | ``GOOGLE_APPLICATION_CREDENTIALS``, ... |

``s3://bucket/data/*.tfrecord?endpoint_override=http://127.0.0.1:9000`` is such a URL.  Clients
are made once per store and options, and shared by all threads.
"""

from __future__ import annotations

import contextlib
import fnmatch
import functools
import os
import re
import urllib.parse
from typing import Any

from .file_errors import remote_error
from .fsspec_files import FsspecFileSystem
from .read_ahead import Ranges, with_retries
from .remote_base import Guarded, RemoteFileSystem

__all__ = ["ArrowFileSystem", "connect", "split_options"]

_CONNECT_TIMEOUT_S, _REQUEST_TIMEOUT_S = 5.0, 20.0
_OPTIONS = re.compile(r"\?((?:(?:endpoint_override|region|anonymous)=[^&]*(?:&|$))+)$")
_MAGIC = re.compile(r"[*?[]")


def connect(url: str) -> RemoteFileSystem:
    """The file system that serves `url`, which has a scheme other than ``file``."""
    scheme = url.partition("://")[0]
    inner, options = split_options(url)
    store = inner.partition("://")[2].partition("/")[0]
    if scheme in ("s3", "s3a"):
        anonymous = options.get("anonymous") or _environment("AWS_NO_SIGN_REQUEST")
        region = options.get("region") or _environment("AWS_REGION", "AWS_DEFAULT_REGION")
        endpoint = options.get("endpoint_override") or _environment(
            "AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL"
        )
        # The keys are part of the identity of the client: it reads them once.
        keys = _environment("AWS_ACCESS_KEY_ID"), _environment("AWS_PROFILE")
        bucket = "" if region or endpoint else store
        return _s3(scheme, endpoint, region, _is_true(anonymous), bucket, keys)
    if scheme in ("gs", "gcs"):
        emulator = _environment("STORAGE_EMULATOR_HOST")
        endpoint = options.get("endpoint_override") or emulator
        # Emulators know no accounts; Google's own clients drop the credentials too.
        anonymous = options.get("anonymous") or ("true" if emulator else "")
        return _gcs(scheme, endpoint, _is_true(anonymous))
    if scheme in ("hdfs", "viewfs"):
        return _hdfs(scheme, store)
    return FsspecFileSystem(url)


def split_options(url: str) -> tuple[str, dict[str, str]]:
    """The URL without its options, and these.  Any other ``?`` is part of a name or pattern."""
    found = _OPTIONS.search(url)
    if found is None:
        return url, {}
    return url[: found.start()], dict(urllib.parse.parse_qsl(found.group(1)))


def _environment(*names: str) -> str:
    return next((os.environ[n] for n in names if os.environ.get(n)), "")


def _is_true(text: str) -> bool:
    return text.lower() in ("1", "true", "yes", "on")


@functools.lru_cache(maxsize=64)
def _s3(
    scheme: str, endpoint: str, region: str, anonymous: bool, bucket: str, keys: tuple[str, ...]
) -> ArrowFileSystem:
    from pyarrow import fs

    options: dict[str, Any] = {}
    if endpoint:
        kind, _, host = endpoint.rpartition("://")
        options.update(endpoint_override=host.rstrip("/"), scheme=kind or "https")
    if not region and bucket and not _MAGIC.search(bucket):
        try:
            region = fs.resolve_s3_region(bucket)
        except OSError:
            region = ""  # the SDK's default; what fails then names the bucket
    system = fs.S3FileSystem(
        anonymous=anonymous,
        region=region or None,
        connect_timeout=_CONNECT_TIMEOUT_S,
        request_timeout=_REQUEST_TIMEOUT_S,
        retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=2),
        **options,
    )
    return ArrowFileSystem(system, scheme, appears_on_close=True)


@functools.lru_cache(maxsize=64)
def _gcs(scheme: str, endpoint: str, anonymous: bool) -> ArrowFileSystem:
    from datetime import timedelta

    from pyarrow import fs

    options: dict[str, Any] = {}
    if endpoint:
        kind, _, host = endpoint.rpartition("://")
        options.update(endpoint_override=host.rstrip("/"), scheme=kind or "http")
    system = fs.GcsFileSystem(
        anonymous=anonymous, retry_time_limit=timedelta(seconds=_REQUEST_TIMEOUT_S), **options
    )
    return ArrowFileSystem(system, scheme, appears_on_close=True)


@functools.lru_cache(maxsize=64)
def _hdfs(scheme: str, store: str) -> ArrowFileSystem:
    from pyarrow import fs

    url = f"{scheme}://{store or 'default'}/"
    try:
        system = fs.HadoopFileSystem.from_uri(url)
    except (OSError, ImportError) as error:
        raise remote_error(error, url) from None
    return ArrowFileSystem(system, scheme, f"{scheme}://{store}")


class ArrowFileSystem(RemoteFileSystem):
    """A file system of pyarrow's.

    Args:
        system: a `pyarrow.fs.FileSystem`.
        scheme: of the URLs.
        prefix: what precedes the system's own paths in a URL, where they do not begin with
            the bucket.
        appears_on_close: see `FileSystem`.
    """

    def __init__(
        self, system: Any, scheme: str, prefix: str = "", appears_on_close: bool = False
    ):
        self.inner = system
        self._prefix = prefix or f"{scheme}://"
        self.appears_on_close = appears_on_close

    def inner_path(self, path: str) -> str:
        """What pyarrow calls the file."""
        return split_options(path)[0].removeprefix(self._prefix)

    def open_ranges(self, path: str) -> Ranges:
        """A file of pyarrow's."""
        return _ArrowRanges(self.inner.open_input_file(self.inner_path(path)))

    def glob(self, pattern: str) -> list[str]:
        """The files and folders that match; one listing per folder that a wildcard reaches."""
        inner = self.inner_path(pattern)
        options = pattern[len(self._prefix) + len(inner) :]
        # Arrow lists no folders of GCS but those that somebody made as empty objects.
        flat = self.inner.type_name == "gcs" and _MAGIC.search(inner.rpartition("/")[0])
        matches = self._matches_of_all if flat else self._matches
        found = with_retries(lambda: matches(inner), pattern)
        return sorted({f"{self._prefix}{p}{options}" for p in found})

    def _matches(self, inner: str) -> list[str]:
        from pyarrow.fs import FileSelector, FileType

        root = "/" if inner.startswith("/") else ""
        places = [root]
        segments = inner.strip("/").split("/")
        for number, segment in enumerate(segments):
            last = number == len(segments) - 1
            if not _MAGIC.search(segment):
                places = [p + segment + ("" if last else "/") for p in places]
                continue
            deep = segment == "**"
            fits = re.compile(fnmatch.translate("*" if deep else segment)).match
            reached = list(places) if deep and not last else []
            for place in places:
                # HDFS wants its root's slash, object stores no slash at the end.
                folder = place.rstrip("/") or root
                selector = FileSelector(folder, recursive=deep, allow_not_found=True)
                for info in self.inner.get_file_info(selector):
                    if fits(info.base_name) and (last or info.type == FileType.Directory):
                        reached.append(info.path + ("" if last else "/"))
            places = reached
        if _MAGIC.search(segments[-1]):
            return places
        infos = self.inner.get_file_info(places) if places else []
        return [i.path for i in infos if i.type != FileType.NotFound]

    def _matches_of_all(self, inner: str) -> list[str]:
        """By one listing of everything below the first wildcard."""
        from pyarrow.fs import FileSelector

        segments = inner.split("/")
        fixed = next(i for i, s in enumerate(segments) if _MAGIC.search(s))
        selector = FileSelector(
            "/".join(segments[:fixed]), recursive=True, allow_not_found=True
        )
        return [
            info.path
            for info in self.inner.get_file_info(selector)
            if _fits(info.path.split("/")[fixed:], segments[fixed:])
        ]

    def open_output(self, path: str) -> Any:
        """A file that appears when it is closed, where the store works so."""
        return Guarded(lambda: self._open_output(path), path)

    def _open_output(self, path: str) -> Any:
        # By default pyarrow compresses what is called *.gz once more.
        return self.inner.open_output_stream(self.inner_path(path), compression=None)

    def _put(self, path: str, data: bytes) -> None:
        with self._open_output(path) as file:
            file.write(data)

    def rename(self, old: str, new: str) -> None:
        """A move; a copy in object stores."""

        def move() -> None:
            if not self.appears_on_close:  # HDFS refuses a name that is taken
                self._delete(new)
            self.inner.move(self.inner_path(old), self.inner_path(new))

        with_retries(move, old)

    def walk(self, folder: str) -> list[tuple[str, float | None]]:
        """By one listing."""
        from pyarrow.fs import FileSelector, FileType

        inner = self.inner_path(folder).rstrip("/")
        selector = FileSelector(inner, recursive=True, allow_not_found=True)
        found = with_retries(lambda: self.inner.get_file_info(selector), folder)
        return [
            (info.path[len(inner) + 1 :], info.mtime_ns / 1e9 if info.mtime_ns else None)
            for info in found
            if info.type == FileType.File
        ]

    def remove(self, path: str) -> None:
        """Delete a file if it is there."""
        with_retries(lambda: self._delete(path), path)

    def _delete(self, path: str) -> None:
        with contextlib.suppress(FileNotFoundError):
            self.inner.delete_file(self.inner_path(path))

    def remove_folder(self, path: str) -> None:
        """Delete a folder, if it is there."""

        def delete() -> None:
            with contextlib.suppress(FileNotFoundError):
                self.inner.delete_dir(self.inner_path(path).rstrip("/"))

        with_retries(delete, path)


def _fits(names: list[str], segments: list[str]) -> bool:
    """Whether the folders and the file in `names` match the segments of a pattern."""
    if not names or not segments:
        return not names and not segments
    first, rest = segments[0], segments[1:]
    if first == "**":
        return not rest or any(_fits(names[i:], rest) for i in range(len(names)))
    return fnmatch.fnmatchcase(names[0], first) and _fits(names[1:], rest)


class _ArrowRanges:
    """A pyarrow file by ranges."""

    def __init__(self, file: Any):
        self._file = file
        # On GCS Arrow begins a download here, holding Python's lock until the server answers.
        self.size = int(file.size())

    def read_at(self, offset: int, size: int) -> bytes:
        return self._file.read_at(size, offset)

    def close(self) -> None:
        self._file.close()
