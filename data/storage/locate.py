"""Which storage serves a path: the machine's disks or an object store."""

from __future__ import annotations

import os
from typing import Any

from ...io.filesystems import is_remote, local_path
from .storage import Storage

__all__ = ["check_path", "storage_of"]


def storage_of(path: str) -> Storage:
    """The storage that serves `path`.

    Raises:
        InvalidArgumentError: no file system is known for its scheme.
    """
    if is_remote(path):
        from .remote_storage import RemoteStorage

        return RemoteStorage(path)
    from .local_storage import LOCAL

    return LOCAL


def check_path(what: str, path: Any) -> str:
    """`path`, a path, URL or scalar string tensor, as a string; ``file://`` URLs as paths.

    Raises:
        TypeError: it is none of these.
    """
    path = getattr(path, "_value", path)
    if hasattr(path, "numpy"):
        path = path.numpy()
    path = path.item() if hasattr(path, "item") else path
    try:
        text = os.fsdecode(os.fspath(path))
    except TypeError:
        raise TypeError(f"`{what}` must be a path or URL, got {path!r}") from None
    return local_path(text)
