"""Tensor bundles, TensorFlow's checkpoint files: reading.

``prefix.index`` is a sorted table of names and where their values lie; the values are in
``prefix.data-00000-of-00001``, or in several such files.  Nothing is believed before it is
checked: sizes against the files, values against their CRCs.  (Format:
tensorflow/core/util/tensor_bundle; `bundle_writer` writes.)
"""

from __future__ import annotations

import math
import struct
import sys
import threading
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError

from ...ops.dtypes import DType, as_dtype
from ...ops.errors import DataLossError, NotFoundError, UnimplementedError
from ...ops.string_array import StringArray
from .. import gfile
from ..checkpoint_messages import BundleEntry, BundleHeader
from ..crc32c import crc32c, mask
from ..file_errors import file_error
from .slices import slice_key
from .sorted_table import read_table

__all__ = ["HEADER_KEY", "BundleReader", "data_path", "index_path"]

HEADER_KEY = b""
_MAX_RANK = 254


def index_path(prefix: str) -> str:
    """The index file of a bundle."""
    return f"{prefix}.index"


def data_path(prefix: str, shard: int, shards: int) -> str:
    """A data file of a bundle."""
    return f"{prefix}.data-{shard:05d}-of-{shards:05d}"


class BundleReader:
    """The tensors of a bundle by their names; values are read when they are asked for.

    Args:
        prefix: path or URL without the ending ``.index``.

    Raises:
        NotFoundError: there is no such bundle.
        DataLossError: its index is damaged.
        UnimplementedError: a machine of the other byte order wrote it.
    """

    def __init__(self, prefix: str):
        self.prefix = prefix
        self._path = index_path(prefix)
        try:
            with gfile.GFile(self._path, "rb") as file:
                data = file.read()
        except NotFoundError:
            raise NotFoundError(
                f"Unsuccessful TensorSliceReader constructor: Failed to find any matching "
                f"files for {prefix}: there is no {self._path}"
            ) from None
        entries: dict[str, Any] = {}
        slices: dict[bytes, Any] = {}
        header = None
        for key, value in read_table(data, self._path):
            if key == HEADER_KEY:
                header = self._parsed(BundleHeader, value, "its header")
            elif key[:1] == b"\0":  # a part of a tensor that was saved in parts
                slices[key] = self._parsed(BundleEntry, value, "a slice's entry")
            else:
                name = key.decode("utf-8", "surrogateescape")
                entries[name] = self._parsed(BundleEntry, value, f"the entry of {name!r}")
        if header is None:
            raise DataLossError(f"{self._path}: the checkpoint's index has no header")
        if header.endianness != (sys.byteorder == "big"):
            raise UnimplementedError(
                f"{self._path}: the checkpoint was written by a machine of the other byte order"
            )
        self._shards = header.num_shards
        self._entries, self._slices = entries, slices
        self._files: dict[int, Any] = {}
        self._lock = threading.Lock()

    def _parsed(self, cls: Any, value: bytes, what: str) -> Any:
        message = cls()
        try:
            message.ParseFromString(value)
        except DecodeError:
            raise DataLossError(
                f"{self._path}: the checkpoint's index is damaged: {what} is no message"
            ) from None
        return message

    # -- what there is ----------------------------------------------------------------------

    def names(self) -> list[str]:
        """The names of all tensors, sorted."""
        return list(self._entries)

    def __contains__(self, name: str) -> bool:
        return name in self._entries

    def _entry(self, name: str) -> Any:
        try:
            return self._entries[name]
        except KeyError:
            raise NotFoundError(
                f"Key {name} not found in checkpoint {self.prefix}; its index is {self._path}"
            ) from None

    def shape(self, name: str) -> list[int]:
        """A tensor's shape.

        Raises:
            NotFoundError: there is no such tensor.
            DataLossError: it has no shape that a tensor can have.
        """
        return self._shape(self._entry(name), name)

    def _shape(self, entry: Any, name: str) -> list[int]:
        sizes = [d.size for d in entry.shape.dim]
        if entry.shape.unknown_rank or len(sizes) > _MAX_RANK or any(n < 0 for n in sizes):
            raise DataLossError(
                f"{self._path}: the checkpoint's index is damaged: {name!r} has the shape "
                f"{sizes[:8]}"
            )
        return sizes

    def dtype(self, name: str) -> DType:
        """A tensor's dtype.

        Raises:
            NotFoundError: there is no such tensor.
            UnimplementedError: Headrace has no such dtype.
        """
        number = self._entry(name).dtype
        try:
            return as_dtype(number)
        except TypeError:
            raise UnimplementedError(
                f"{self._path}: {name!r} is of TensorFlow's data type number {number}, which "
                "Headrace does not have"
            ) from None

    # -- values -----------------------------------------------------------------------------

    def read(self, name: str) -> Any:
        """A tensor's value: an array, or a `StringArray`.

        Raises:
            NotFoundError: there is no such tensor, or its data file is not there.
            DataLossError: the data is damaged; says the file and the tensor.
            UnimplementedError: Headrace has no such dtype.
        """
        entry = self._entry(name)
        dtype = self.dtype(name)
        if dtype.name in ("variant", "resource"):
            raise UnimplementedError(
                f"{self._path}: {name!r} is a {dtype.name}, which only TensorFlow can read"
            )
        shape = self._shape(entry, name)
        if entry.slices:
            return self._joined(entry, name, dtype, shape)
        return self._value(entry, name, dtype, shape)

    def _value(self, entry: Any, name: str, dtype: DType, shape: list[int]) -> Any:
        count = math.prod(shape)
        path, file, length = self._data_file(entry.shard_id, name)
        start, size = entry.offset, entry.size
        if start < 0 or size < 0 or start + size > length:
            raise DataLossError(
                f"{path}: the tensor {name!r} should be in bytes {start} to {start + size}, "
                f"but the file has {length}; it was cut short, or belongs to another checkpoint"
            )
        if dtype.size and size != count * dtype.size:
            raise DataLossError(
                f"{path}: the tensor {name!r} of dtype {dtype.name} and shape {shape} should "
                f"have {count * dtype.size} bytes, but the index says {size}"
            )
        if not dtype.size and count > size:  # a string's length alone takes a byte
            raise DataLossError(
                f"{path}: {count} strings of the tensor {name!r} cannot be in {size} bytes"
            )
        data = np.empty(size, np.uint8)
        try:
            with self._lock:
                file.seek(start)
                found = file.readinto(data.data) if size else 0
        except OSError as error:
            raise file_error(error, path) from None
        if (found or 0) != size:
            raise DataLossError(f"{path}: the file was cut short while {name!r} was read")
        if not dtype.size:
            return self._strings(data, entry, name, path, shape)
        self._check(mask(crc32c(data)), entry, name, path)
        return data.view(dtype.np_dtype).reshape(shape)

    def _check(self, crc: int, entry: Any, name: str, path: str) -> None:
        if crc != entry.crc32c:
            raise DataLossError(
                f"{path}: the CRC of the tensor {name!r} does not match (it is {crc:#010x}, "
                f"the index says {entry.crc32c:#010x}): the file is damaged; restore from "
                "another checkpoint"
            )

    def _strings(
        self, data: np.ndarray, entry: Any, name: str, path: str, shape: list[int]
    ) -> StringArray:
        """Strings: their lengths, a CRC of the lengths, then all their bytes."""
        count, at = math.prod(shape), 0
        lengths = np.zeros(count, np.uint64)
        values = data.tobytes()
        damaged = DataLossError(
            f"{path}: the lengths of the strings of the tensor {name!r} do not fit its bytes: "
            "the file is damaged"
        )
        for i in range(count):
            length = shift = 0
            while True:
                if at >= len(values) or shift > 63:
                    raise damaged
                byte = values[at]
                at += 1
                length |= (byte & 0x7F) << shift
                shift += 7
                if byte < 0x80:
                    break
            if length > len(values):
                raise damaged
            lengths[i] = length
        payload = at + 4
        ends = payload + np.cumsum(lengths.astype(np.int64))
        if (int(ends[-1]) if count else payload) != len(values):
            raise damaged
        # Lengths that need more than 32 bits are summed as 64.
        small = lengths.astype("<u4") if not (lengths >> np.uint64(32)).any() else lengths
        crc = crc32c(small) if count else 0
        (stored,) = struct.unpack_from("<I", values, at)
        if mask(crc) != stored:
            raise damaged
        crc = crc32c(data[at:payload], crc)
        self._check(mask(crc32c(data[payload:], crc)), entry, name, path)
        starts = ends - lengths.astype(np.int64)
        return StringArray(data, starts.reshape(shape), ends.reshape(shape))

    def _data_file(self, shard: int, name: str) -> tuple[str, Any, int]:
        if not 0 <= shard < max(self._shards, 1):
            raise DataLossError(
                f"{self._path}: the checkpoint's index is damaged: {name!r} should be in data "
                f"file {shard} of {self._shards}"
            )
        path = data_path(self.prefix, shard, self._shards)
        with self._lock:
            found = self._files.get(shard)
            if found is None:
                try:
                    file = gfile.GFile(path, "rb")
                    length = gfile.stat(path).length
                    found = path, file._open(), length
                except NotFoundError:
                    raise NotFoundError(
                        f"{path}: this data file of the checkpoint is missing, which holds "
                        f"{name!r}; all files of a checkpoint must be kept together"
                    ) from None
                self._files[shard] = found
        return found

    def _joined(self, entry: Any, name: str, dtype: DType, shape: list[int]) -> Any:
        """A tensor that was saved in parts, from its parts."""
        covered = 0
        parts = []
        for part in entry.slices:
            box = [
                (e.start, e.length if e.HasField("length") else -1) for e in part.extent
            ] or [(0, -1)] * len(shape)
            held = self._slices.get(slice_key(name, box))
            if held is None or len(box) != len(shape):
                raise DataLossError(
                    f"{self._path}: the part {box} of the tensor {name!r} is missing"
                )
            at = tuple(
                slice(a, a + (size if n < 0 else n))
                for (a, n), size in zip(box, shape, strict=True)
            )
            if any(s.start < 0 or s.stop > n for s, n in zip(at, shape, strict=True)):
                raise DataLossError(
                    f"{self._path}: the part {box} lies outside of {name!r}, of shape {shape}"
                )
            part_shape = [s.stop - s.start for s in at]
            if self._shape(held, name) != part_shape or held.dtype != entry.dtype:
                raise DataLossError(
                    f"{self._path}: the part {box} of {name!r} has another shape or dtype"
                )
            value = self._value(held, name, dtype, part_shape)
            parts.append((at, value))
            covered += math.prod(part_shape)
        if covered != math.prod(shape):
            raise DataLossError(f"{self._path}: parts of the tensor {name!r} are missing")
        if not dtype.size:
            raise UnimplementedError(f"{self._path}: {name!r} has strings saved in parts")
        whole = np.empty(shape, dtype.np_dtype)
        for at, value in parts:
            whole[at] = value
        return whole

    # -- life -------------------------------------------------------------------------------

    def close(self) -> None:
        """Close the data files; reading opens them again."""
        with self._lock:
            files, self._files = self._files, {}
        for _, file, _ in files.values():
            file.close()

    def __enter__(self) -> BundleReader:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()
