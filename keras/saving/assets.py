"""Assets: the files of a ``.keras`` archive that layers write themselves, such as vocabularies.

An object at ``<path>`` of the model keeps its files in ``assets/<path>/``; the layout is Keras
3's.  Layers get a folder of their own to write to or read from; names out of an archive are
checked before anything is written.
"""

from __future__ import annotations

import os
import tempfile
import zipfile
from typing import Any

from ...ops.errors import DataLossError
from .weights_file import objects_of

__all__ = ["assets_of", "check_ratio", "read_assets"]

_FOLDER = "assets"
_MOST_BYTES = 2 << 30


def assets_of(model: Any) -> list[tuple[str, bytes]]:
    """Names and contents of what the layers of `model` write with `save_assets`."""
    found = []
    for path, obj in objects_of(model):
        if not hasattr(obj, "save_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            obj.save_assets(folder)
            for name in sorted(os.listdir(folder)):
                with open(os.path.join(folder, name), "rb") as file:
                    found.append((f"{_FOLDER}{path}/{name}", file.read()))
    return found


def read_assets(model: Any, archive: zipfile.ZipFile) -> None:
    """Give each layer of `model` that has `load_assets` its files.

    Raises:
        DataLossError: the files are larger than any vocabulary (2 GiB), or their names lead
            out of the archive.
    """
    members: dict[str, list[zipfile.ZipInfo]] = {}
    for info in archive.infolist():
        folder, name = os.path.split(info.filename)
        if name and folder.split("/")[0] == _FOLDER:
            members.setdefault(folder, []).append(info)
    for path, obj in objects_of(model):
        found = members.get(f"{_FOLDER}{path}")
        if found is None or not hasattr(obj, "load_assets"):
            continue
        with tempfile.TemporaryDirectory() as folder:
            for info in found:
                _extract(archive, info, folder)
            obj.load_assets(folder)


def check_ratio(info: zipfile.ZipInfo) -> None:
    """Refuse what is small in the archive and would fill the memory.

    Raises:
        DataLossError: it is more than 1 GiB, and 200 times what is stored.
    """
    if info.file_size > max(1 << 30, 200 * info.compress_size):
        raise DataLossError(
            f"{info.filename} would be {info.file_size} bytes, packed into "
            f"{info.compress_size}: no weights can be packed so"
        )


def _extract(archive: zipfile.ZipFile, info: zipfile.ZipInfo, folder: str) -> None:
    name = os.path.basename(info.filename)
    if name in ("", ".", "..") or "\\" in name:
        raise DataLossError(f"the archive holds a file of the name {info.filename!r}")
    if info.file_size > _MOST_BYTES:
        raise DataLossError(
            f"{info.filename} would be {info.file_size} bytes; assets may be {_MOST_BYTES}"
        )
    check_ratio(info)
    with archive.open(info) as source, open(os.path.join(folder, name), "wb") as target:
        target.write(source.read(_MOST_BYTES))
