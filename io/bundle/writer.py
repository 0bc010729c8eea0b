"""Tensor bundles, TensorFlow's checkpoint files: writing.

The values come first, the index last: what has no index is no checkpoint, and the index appears
in one step.  Values that take the place of others are written to a file of another name, which
the new index names, so that until then the old index has its own.
"""

from __future__ import annotations

import contextlib
import os
import struct
from collections.abc import Mapping
from typing import Any

import numpy as np

from ...ops.dtypes import as_dtype, string
from ...ops.errors import OpError
from ...ops.string_array import StringArray
from .. import gfile
from ..checkpoint_messages import BundleEntry, BundleHeader
from ..crc32c import crc32c, mask
from .reader import HEADER_KEY, data_path, index_path
from .sorted_table import varint, write_table
from .whole_file import written_whole

__all__ = ["bundle_exists", "delete_bundle", "write_bundle"]

_SHARED_DATA = (0, 1), (1, 2)  # the first data file of one, or the second of two


def write_bundle(prefix: str, tensors: Mapping[str, Any]) -> None:
    """Write tensors to ``prefix.index`` and ``prefix.data-00000-of-00001``.

    Args:
        prefix: path or URL; its folder must exist.
        tensors: by name: arrays, `StringArray`s, or functions that give one.

    Raises:
        OpError: of the kind that fits what the file system reports.
    """
    old = _data_files(prefix)
    shard, shards = _SHARED_DATA[data_path(prefix, *_SHARED_DATA[0]) in old]
    path = data_path(prefix, shard, shards)
    entries = []
    with written_whole(path) as file:
        at = 0
        for name in sorted(tensors, key=lambda n: n.encode("utf-8", "surrogateescape")):
            value = tensors[name]
            value = value() if callable(value) else value
            entry = BundleEntry(shard_id=shard, offset=at)
            entry.shape.SetInParent()
            for n in value.shape:
                entry.shape.dim.add(size=n)
            if value.dtype.kind in "SU":
                value = StringArray.from_values(value)
            if isinstance(value, StringArray):
                entry.dtype = string.as_datatype_enum
                entry.size, entry.crc32c = _write_strings(file, value)
            else:
                entry.dtype = as_dtype(value.dtype).as_datatype_enum
                entry.size, entry.crc32c = _write_array(file, value)
            at += entry.size
            entries.append((name.encode("utf-8", "surrogateescape"), entry))
    header = BundleHeader(num_shards=shards)
    header.version.producer = 1
    items = [(HEADER_KEY, header.SerializeToString())]
    items += [(key, entry.SerializeToString()) for key, entry in entries]
    with written_whole(index_path(prefix)) as file:
        file.write(write_table(items))
    for other in old - {path}:
        with contextlib.suppress(OpError):
            gfile.remove(other)


def _write_array(file: Any, value: Any) -> tuple[int, int]:
    array = np.ascontiguousarray(value).reshape(value.shape)
    if array.dtype.byteorder == ">":
        array = array.astype(array.dtype.newbyteorder("<"))
    data = array.reshape(-1).view(np.uint8)
    if data.size:
        file.write(data.data)
    return data.size, mask(crc32c(data))


def _write_strings(file: Any, value: StringArray) -> tuple[int, int]:
    values = value.numpy().reshape(-1).tolist() if value.ndim else [value.item()]
    lengths = np.array([len(v) for v in values], np.uint64)
    head = b"".join(varint(len(v)) for v in values)
    small = lengths if (lengths >> np.uint64(32)).any() else lengths.astype("<u4")
    crc = crc32c(small) if values else 0
    stored = struct.pack("<I", mask(crc))
    crc = crc32c(stored, crc)
    payload = b"".join(values)
    if payload:
        crc = crc32c(payload, crc)
    file.write(head + stored)
    file.write(payload)
    return len(head) + len(stored) + len(payload), mask(crc)


def _data_files(prefix: str) -> set[str]:
    """The data files there are under this prefix."""
    folder = os.path.dirname(prefix)
    name = os.path.basename(prefix)
    try:
        found = gfile.listdir(folder or ".")
    except OpError:
        return set()
    return {
        os.path.join(folder, f)
        for f in found
        if f.startswith(f"{name}.data-") and len(f) == len(name) + len(".data-00000-of-00001")
    }


def delete_bundle(prefix: str) -> None:
    """Delete a bundle's files, its index first; one that is not there is no error."""
    for path in (index_path(prefix), *sorted(_data_files(prefix))):
        with contextlib.suppress(FileNotFoundError):
            gfile.remove(path)


def bundle_exists(prefix: str) -> bool:
    """Whether there is a bundle of this prefix."""
    return gfile.exists(index_path(prefix))
