"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator

from ...distribute.context import get_strategy
from ...ops.errors import AlreadyExistsError

__all__ = ["replacing"]


@contextlib.contextmanager
def replacing(path: str, overwrite: bool = True) -> Iterator[str]:
    """The name of a temporary file, which takes `path`'s place when the block ends.

    Of several workers only the chief writes: the others' files are dropped.

    Raises:
        AlreadyExistsError: the file exists and `overwrite` is False.
    """
    if not overwrite and os.path.exists(path):
        raise AlreadyExistsError(
            f"{path} exists already; pass overwrite=True to replace it, or another filepath"
        )
    if not get_strategy().extended.is_chief:
        with tempfile.TemporaryDirectory(prefix="headrace-") as scratch:
            yield os.path.join(scratch, os.path.basename(path))
        return
    folder, name = os.path.split(os.path.abspath(path))
    handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
    os.close(handle)
    try:
        yield temporary
        with open(temporary, mode="rb") as file:
            os.fsync(file.fileno())
        # mkstemp makes private files: give the new one the rights a plain open() would give.
        mask = os.umask(0)
        os.umask(mask)
        os.chmod(temporary, 0o666 & ~mask)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise
