"""get_file: a file from an address, kept in a folder of its own."""

from __future__ import annotations

import hashlib
import os
import shutil
import tarfile
import urllib.parse
import urllib.request
import zipfile
from typing import Any

from ...ops.errors import DataLossError

__all__ = ["get_file"]


def get_file(
    fname: str | None = None,
    origin: str | None = None,
    cache_subdir: str = "datasets",
    hash_algorithm: str = "auto",
    file_hash: str | None = None,
    extract: bool = False,
    archive_format: str = "auto",
    cache_dir: Any = None,
    force_download: bool = False,
) -> str:
    """Path of the file that `origin` names, fetched if it is not there yet.

    Args:
        fname: name to keep it under; that in `origin` if None.
        origin: an address: ``https:``, ``http:`` or ``file:``.
        cache_subdir: folder below `cache_dir`.
        hash_algorithm: ``"sha256"``, ``"md5"``, or ``"auto"``, which the hash's length tells.
        file_hash: hexadecimal hash that the file must have.
        extract: unpack it as an archive; the path is then that of the unpacked folder.
        archive_format: ``"auto"``, ``"tar"``, ``"zip"`` or None.
        cache_dir: folder to keep files in; ``~/.keras`` if None.
        force_download: fetch it even if it is there.

    Raises:
        ValueError: there is no `origin`, or no name in it.
        DataLossError: the file does not have the hash.
    """
    if origin is None:
        raise ValueError('Please specify the "origin" argument (URL of the file to download).')
    address = urllib.parse.urlsplit(origin)
    if address.scheme not in ("https", "http", "file"):
        raise ValueError(f"origin must be an https, http or file address, got {origin!r}")
    name = fname or os.path.basename(address.path)
    if not name:
        raise ValueError(f"Can't parse the file name from the origin provided: '{origin}'.")
    folder = os.path.join(os.path.expanduser(cache_dir or "~/.keras"), cache_subdir)
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    known = os.path.exists(path) and not force_download
    if not known or (file_hash is not None and not _has_hash(path, file_hash, hash_algorithm)):
        _fetch(origin, path, file_hash, hash_algorithm)
    if not extract:
        return path
    target = os.path.join(folder, f"{name}_extracted")
    if not os.path.isdir(target) or not known:
        _extract(path, target, archive_format)
    return target


def _fetch(origin: str, path: str, file_hash: str | None, algorithm: str) -> None:
    part = f"{path}.part{os.getpid()}"
    try:
        with urllib.request.urlopen(origin) as source, open(part, "wb") as target:
            shutil.copyfileobj(source, target)
        if file_hash is not None and not _has_hash(part, file_hash, algorithm):
            raise DataLossError(
                f"the file from {origin} does not have the {algorithm} hash {file_hash}: it is "
                "incomplete or another one"
            )
        os.replace(part, path)
    finally:
        if os.path.exists(part):
            os.remove(part)


def _has_hash(path: str, expected: str, algorithm: str) -> bool:
    if algorithm == "auto":
        algorithm = "sha256" if len(expected) == 64 else "md5"
    with open(path, "rb") as file:
        return hashlib.file_digest(file, algorithm).hexdigest() == expected.lower()


def _extract(path: str, target: str, archive_format: str) -> None:
    if archive_format in ("auto", "tar") and tarfile.is_tarfile(path):
        with tarfile.open(path) as archive:
            archive.extractall(target, filter="data")  # which lets no name lead out of it
    elif archive_format in ("auto", "zip") and zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as zipped:
            for name in zipped.namelist():
                if os.path.isabs(name) or ".." in name.replace("\\", "/").split("/"):
                    raise DataLossError(f"{path} holds a file of the name {name!r}")
            zipped.extractall(target)
    else:
        raise ValueError(f"{path} is no archive that archive_format={archive_format!r} allows")
