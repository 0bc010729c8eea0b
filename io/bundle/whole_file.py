"""Files that appear whole or not at all, at paths and URLs."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator
from typing import Any

from ..file_errors import file_error
from ..filesystems import is_remote, local_path, open_output

__all__ = ["written_whole"]


@contextlib.contextmanager
def written_whole(path: str) -> Iterator[Any]:
    """A file to `write` bytes to, which has the name `path` once the block ends.

    On disks it is written under a temporary name, synced and renamed; object stores show what
    they are sent when all is sent.  After an error there is what was there before.

    Raises:
        OpError: of the kind that fits what the file system reports.
    """
    if is_remote(path):
        file = open_output(path)
        yield file  # closing is what makes it appear: after an error it is left unclosed
        file.close()
        return
    target = local_path(path)
    folder, name = os.path.split(os.path.abspath(target))
    temporary = None
    try:
        handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
        with open(handle, "wb", buffering=1 << 20) as local:
            yield local
            local.flush()
            os.fsync(local.fileno())
        # mkstemp makes private files: the new one gets the rights that open() would give.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, target)
        _sync_folder(folder)
    except BaseException as error:
        if temporary is not None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(temporary)
        if isinstance(error, OSError):
            raise file_error(error, path) from None
        raise


def _sync_folder(folder: str) -> None:
    """Make a rename last: its folder is on the disk, too."""
    with contextlib.suppress(OSError):  # not all file systems have folders that can be synced
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
