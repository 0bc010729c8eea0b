"""Remote file systems: S3, Google Cloud Storage and HDFS by pyarrow, the others by fsspec.

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

import fnmatch
import functools
import os
import re
import urllib.parse
from typing import Any

from ..ops.errors import InvalidArgumentError, UnimplementedError
from .file_errors import remote_error
from .filesystems import FileSystem, Stream
from .read_ahead import ReadAheadStream, with_retries

__all__ = ["ArrowFileSystem", "FsspecFileSystem", "connect", "for_arrow", "split_options"]

_CONNECT_TIMEOUT_S, _REQUEST_TIMEOUT_S = 5.0, 20.0
_OPTIONS = re.compile(r"\?((?:(?:endpoint_override|region|anonymous)=[^&]*(?:&|$))+)$")
_MAGIC = re.compile(r"[*?[]")
# Written files of these fsspec schemes appear when they are closed.
_OBJECT_STORES = {"abfs", "abfss", "az", "adl", "oss", "oci", "r2", "memory"}


def connect(url: str) -> FileSystem:
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


def for_arrow(url: str) -> tuple[Any, str]:
    """A `pyarrow.fs.FileSystem` and the path in it, for pyarrow's own readers of `url`."""
    system = connect(url)
    if isinstance(system, ArrowFileSystem):
        return system.inner, system.inner_path(url)
    from pyarrow.fs import FSSpecHandler, PyFileSystem

    assert isinstance(system, FsspecFileSystem)
    return PyFileSystem(FSSpecHandler(system.inner)), system.inner_path(url)


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


class _RemoteFileSystem(FileSystem):
    """What remote file systems share."""

    def open_input(self, path: str, offset: int = 0) -> Stream:
        """A stream that reads ahead by ranges and survives dropped connections."""
        return ReadAheadStream(lambda: self._ranges(path), path, offset)

    def size(self, path: str) -> int:
        """Bytes of a file."""
        return int(with_retries(lambda: self._ranges(path), path).size)

    def _ranges(self, path: str) -> Any:
        raise NotImplementedError


class ArrowFileSystem(_RemoteFileSystem):
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

    def _ranges(self, path: str) -> Any:
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
        return _Guarded(lambda: self.inner.open_output_stream(self.inner_path(path)), path)

    def rename(self, old: str, new: str) -> None:
        """A move; atomic on HDFS, a copy in object stores."""
        with_retries(lambda: self.inner.move(self.inner_path(old), self.inner_path(new)), old)


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
        return self._file.read_at(size, offset)  # type: ignore[no-any-return]

    def close(self) -> None:
        self._file.close()


class FsspecFileSystem(_RemoteFileSystem):
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

    def _ranges(self, path: str) -> Any:
        return _FsspecRanges(self.inner, self.inner_path(path), path)

    def glob(self, pattern: str) -> list[str]:
        """The files that match, by fsspec's own rules."""
        first, chained, rest = pattern.partition("::")
        scheme = first.partition("://")[0] if "://" in first else rest.partition("://")[0]
        before = "" if "://" in first else first + chained
        after = chained + rest if "://" in first else ""
        found = with_retries(lambda: self.inner.glob(self.inner_path(pattern)), pattern)
        return sorted(
            before + (p if "://" in p else f"{scheme}://{p.lstrip('/')}" if after else
                      self.inner.unstrip_protocol(p)) + after
            for p in found
        )  # fmt: skip

    def open_output(self, path: str) -> Any:
        """A file; whether it appears at once is the store's."""
        return _Guarded(lambda: self.inner.open(self.inner_path(path), "wb"), path)

    def rename(self, old: str, new: str) -> None:
        """A move."""
        with_retries(lambda: self.inner.mv(self.inner_path(old), self.inner_path(new)), old)


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
        return self._system.cat_file(self._path, start=offset, end=offset + size)  # type: ignore[no-any-return]

    def close(self) -> None:
        """Nothing is open between reads."""


class _Guarded:
    """A file being written, whose errors name the URL."""

    def __init__(self, opened: Any, url: str):
        self._url = url
        self._file = with_retries(opened, url)

    def write(self, data: Any) -> int:
        self._call(self._file.write, data)
        return len(data)

    def flush(self) -> None:
        self._call(self._file.flush)

    def close(self) -> None:
        self._call(self._file.close)

    def _call(self, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except Exception as error:
            raise remote_error(error, self._url) from None
