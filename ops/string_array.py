"""StringArray: an n-dimensional array of byte strings in Arrow's spirit.

The bytes of all elements live in one `uint8` buffer; element k is ``data[starts[k]:ends[k]]``.
Starts and ends are kept apart (Arrow's own layout has ``ends[k] == starts[k+1]``), so that the
payloads of a TFRecord file, which have headers between them, are a view of the file's chunk
and slicing, reordering and broadcasting never touch the bytes.  Immutable by convention.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np

from . import string_compare

__all__ = ["StringArray"]

_OBJECT = np.dtype(object)
_EMPTY = np.empty(0, np.uint8)


class StringArray:
    """Byte strings of one n-dimensional array.

    Attributes:
        data: `uint8` buffer of shape [size_bytes]; may hold bytes no element uses.
        starts: int64 array of the array's shape: first byte of each element.
        ends: int64 array of the array's shape: one past the last byte of each.
    """

    __slots__ = ("data", "ends", "starts")
    dtype = _OBJECT
    __array_priority__ = 1000

    def __init__(self, data: np.ndarray, starts: np.ndarray, ends: np.ndarray):
        self.data = data
        self.starts = starts
        self.ends = ends

    # -- construction ---------------------------------------------------------------------

    @classmethod
    def from_values(cls, values: Any) -> StringArray:
        """From nested Python lists or a NumPy array of `bytes`/`str` (UTF-8)."""
        array = values if isinstance(values, np.ndarray) else _object_array(values)
        flat = [_to_bytes(v) for v in array.ravel().tolist()]
        ends = np.cumsum(np.fromiter(map(len, flat), np.int64, len(flat)), dtype=np.int64)
        starts = np.empty_like(ends)
        starts[:1] = 0
        starts[1:] = ends[:-1]
        data = np.frombuffer(b"".join(flat), np.uint8) if flat else _EMPTY
        return cls(data, starts.reshape(array.shape), ends.reshape(array.shape))

    @classmethod
    def from_offsets(cls, data: np.ndarray, offsets: np.ndarray) -> StringArray:
        """A vector of len(offsets) - 1 strings from Arrow's layout."""
        offsets = np.asarray(offsets, np.int64)
        return cls(data, offsets[:-1], offsets[1:])

    @classmethod
    def from_arrow(cls, array: Any) -> StringArray:
        """A vector from a pyarrow string or binary array (nulls become empty), zero-copy for
        the bytes."""
        import pyarrow as pa

        if isinstance(array, pa.ChunkedArray):
            array = array.combine_chunks()
            if isinstance(array, pa.ChunkedArray):
                array = (
                    pa.concat_arrays(array.chunks)
                    if array.num_chunks
                    else pa.array([], pa.binary())
                )
        kind = array.type
        if pa.types.is_dictionary(kind):
            array = array.dictionary_decode()
            kind = array.type
        if not (
            pa.types.is_large_binary(kind)
            or pa.types.is_large_string(kind)
            or pa.types.is_binary(kind)
            or pa.types.is_string(kind)
        ):
            array = array.cast(pa.large_binary())
            kind = array.type
        width = (
            np.int64
            if pa.types.is_large_binary(kind) or pa.types.is_large_string(kind)
            else np.int32
        )
        _, offsets, data = array.buffers()
        n = len(array)
        if n == 0 or offsets is None:
            return cls(_EMPTY, np.zeros(n, np.int64), np.zeros(n, np.int64))
        off = np.frombuffer(offsets, width)[array.offset : array.offset + n + 1].astype(
            np.int64
        )
        buf = np.frombuffer(data, np.uint8) if data is not None else _EMPTY
        return cls(buf, off[:-1], off[1:])

    @classmethod
    def empty(cls, shape: Any) -> StringArray:
        """An array of empty strings."""
        return cls(_EMPTY, np.zeros(shape, np.int64), np.zeros(shape, np.int64))

    @classmethod
    def concatenate(cls, arrays: Iterable[StringArray], axis: int = 0) -> StringArray:
        """Arrays joined along an existing axis."""
        arrays = list(arrays)
        return cls._join(arrays, np.concatenate, axis)

    @classmethod
    def stack(cls, arrays: Iterable[StringArray], axis: int = 0) -> StringArray:
        """Arrays joined along a new axis."""
        return cls._join(list(arrays), np.stack, axis)

    @classmethod
    def _join(cls, arrays: list[StringArray], join: Any, axis: int) -> StringArray:
        first = arrays[0].data
        if all(a.data is first for a in arrays):
            return cls(
                first,
                join([a.starts for a in arrays], axis),
                join([a.ends for a in arrays], axis),
            )
        # Small arrays may each hold a whole file chunk alive: copy only the stretch in use.
        parts = [a.trimmed() for a in arrays]
        base = np.cumsum([0] + [p.data.size for p in parts])
        return cls(
            np.concatenate([p.data for p in parts]),
            join([p.starts + b for p, b in zip(parts, base, strict=False)], axis),
            join([p.ends + b for p, b in zip(parts, base, strict=False)], axis),
        )

    # -- array protocol -------------------------------------------------------------------

    @property
    def shape(self) -> tuple[int, ...]:
        """Sizes of the axes."""
        return self.starts.shape

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return self.starts.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return self.starts.size

    @property
    def lengths(self) -> np.ndarray:
        """int64 lengths in bytes, of the array's shape."""
        return self.ends - self.starts

    @property
    def size_bytes(self) -> int:
        """Bytes of all elements together."""
        return int(self.lengths.sum())

    @property
    def nbytes(self) -> int:
        """Memory held: payload in use plus offsets."""
        return self.size_bytes + self.starts.nbytes + self.ends.nbytes

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, key: Any) -> StringArray:
        return StringArray(self.data, np.asarray(self.starts[key]), np.asarray(self.ends[key]))

    def __iter__(self) -> Iterator[StringArray]:
        return (self[i] for i in range(len(self)))

    def reshape(self, *shape: Any) -> StringArray:
        """The elements in another shape."""
        return self.map_offsets(lambda a: a.reshape(*shape))

    def transpose(self, *axes: Any) -> StringArray:
        """The axes in another order."""
        return self.map_offsets(lambda a: a.transpose(*axes))

    def ravel(self) -> StringArray:
        """The elements as a vector."""
        return self.map_offsets(np.ravel)

    def map_offsets(self, fn: Any) -> StringArray:
        """Apply an array rearrangement (reshape, take, broadcast, tile...) to the offsets."""
        return StringArray(self.data, fn(self.starts), fn(self.ends))

    def item(self) -> bytes:
        """The only element, as `bytes`."""
        return self.data[self.starts.item() : self.ends.item()].tobytes()

    def tolist(self) -> Any:
        """Nested lists of `bytes`."""
        return self.numpy().tolist() if self.ndim else self.item()

    def numpy(self) -> np.ndarray:
        """An object array of `bytes`."""
        out = np.empty(self.size, object)
        if self.size:
            starts, ends = self.starts.ravel(), self.ends.ravel()
            low = int(starts.min())
            high = max(int(ends.max()), low)
            if high - low > 4 * self.size_bytes + 4096:
                small = self.compact()
                return small.numpy()
            raw = self.data[low:high].tobytes()
            out[:] = [
                raw[s:e]
                for s, e in zip((starts - low).tolist(), (ends - low).tolist(), strict=True)
            ]
        return out.reshape(self.shape)

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        array = self.numpy()
        return array if dtype is None else array.astype(dtype)

    def trimmed(self) -> StringArray:
        """The same strings over the stretch of the buffer they lie in (a view), or, where that
        is mostly unused, over a compact copy."""
        if self.data.size <= 4096 or not self.size:
            return self
        low, high = int(self.starts.min()), int(self.ends.max())
        if self.data.size - (high - low) > self.data.size // 8:
            if high - low > 2 * self.size_bytes + 4096:
                return self.compact()
            return StringArray(self.data[low:high], self.starts - low, self.ends - low)
        return self

    def compact(self) -> StringArray:
        """The same strings over a buffer that holds exactly their bytes, in order."""
        starts, lengths = self.starts.ravel(), self.lengths.ravel()
        ends = np.cumsum(lengths, dtype=np.int64)
        new_starts = ends - lengths
        total = int(ends[-1]) if len(ends) else 0
        if total == 0:
            data = _EMPTY
        elif len(starts) < 64 or total > 64 * len(starts):
            data = self._gathered(starts, lengths, new_starts, total)
        else:
            where = np.repeat(starts - new_starts, lengths)
            where += np.arange(total)
            data = self.data[where]
        shape = self.shape
        return StringArray(data, new_starts.reshape(shape), ends.reshape(shape))

    def _gathered(
        self, starts: np.ndarray, lengths: np.ndarray, new_starts: np.ndarray, total: int
    ) -> np.ndarray:
        """The bytes of long strings, one after the other."""
        sizes = np.unique(lengths)
        if len(sizes) * 64 > len(starts):
            raw = memoryview(self.data)  # type: ignore[arg-type]
            spans = zip(starts.tolist(), self.ends.ravel().tolist(), strict=True)
            return np.frombuffer(b"".join([raw[s:e] for s, e in spans]), np.uint8)
        # Few different lengths, as records of one kind have: NumPy copies equal rows at once.
        data = np.empty(total, np.uint8)
        for size in sizes[sizes > 0].tolist():
            which = np.flatnonzero(lengths == size)
            _windows(data, size)[new_starts[which]] = _windows(self.data, size)[starts[which]]
        return data

    def to_arrow(self) -> Any:
        """The flattened elements as pyarrow `large_binary` (zero-copy if contiguous)."""
        import pyarrow as pa

        flat = self.ravel()
        starts, ends = flat.starts, flat.ends
        if len(starts) and not np.array_equal(starts[1:], ends[:-1]):
            flat = flat.compact()
            starts, ends = flat.starts, flat.ends
        # Some of Arrow's kernels (ascii_lower) misread arrays whose first offset is not 0.
        first = int(starts[0]) if len(starts) else 0
        offsets = np.empty(len(starts) + 1, np.int64)
        np.subtract(starts, first, out=offsets[:-1])
        offsets[-1] = ends[-1] - first if len(ends) else 0
        buffers = [
            None,
            pa.py_buffer(offsets),
            pa.py_buffer(np.ascontiguousarray(flat.data[first:])),
        ]
        return pa.Array.from_buffers(pa.large_binary(), len(starts), buffers)

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        """NumPy's add (joining) and comparisons; no other function takes strings."""
        if method != "__call__" or kwargs or len(inputs) != 2:
            return NotImplemented
        if not all(isinstance(x, StringArray) for x in inputs):
            return NotImplemented
        a, b = inputs
        if ufunc is np.add:
            return StringArray(*string_compare.joined(a, b))
        if ufunc is np.equal:
            return string_compare.equal(a, b)
        if ufunc is np.not_equal:
            return ~string_compare.equal(a, b)
        if ufunc in (np.less, np.less_equal, np.greater, np.greater_equal):
            return string_compare.ordered(ufunc, a, b)
        return NotImplemented

    def __repr__(self) -> str:
        return f"StringArray({self.numpy()!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        small = self.compact()
        return StringArray, (small.data, small.starts, small.ends)


def _object_array(values: Any) -> np.ndarray:
    """Nested lists of bytes/str as an object array that keeps trailing NULs."""
    if isinstance(values, (bytes, str)):
        out = np.empty((), object)
        out[()] = values
        return out
    if isinstance(values, StringArray):
        return values.numpy()
    shape = []
    level: Any = values
    while isinstance(level, (list, tuple)):
        shape.append(len(level))
        level = level[0] if level else None
    flat: list[Any] = []

    def walk(item: Any, depth: int) -> None:
        if depth == len(shape):
            if isinstance(item, (list, tuple)):
                raise ValueError("Can't convert non-rectangular Python sequence to Tensor.")
            flat.append(item)
            return
        if not isinstance(item, (list, tuple)) or len(item) != shape[depth]:
            raise ValueError("Can't convert non-rectangular Python sequence to Tensor.")
        for sub in item:
            walk(sub, depth + 1)

    walk(values, 0)
    out = np.empty(len(flat), object)
    out[:] = flat
    return out.reshape(shape)


def _to_bytes(value: Any) -> bytes:
    if type(value) is bytes:
        return value
    if isinstance(value, str):
        return value.encode("utf-8")
    if isinstance(value, (bytes, bytearray, memoryview, np.bytes_)):
        return bytes(value)
    raise TypeError(
        f"Expected bytes or str for a string tensor, got {type(value).__name__}: {value!r}"
    )


def _windows(data: np.ndarray, size: int) -> np.ndarray:
    """All stretches of `size` bytes, as overlapping rows of one view."""
    step = data.strides[0]
    return np.lib.stride_tricks.as_strided(data, (data.size - size + 1, size), (step, step))
