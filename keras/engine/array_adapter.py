"""Arrays as training data: shuffled and cut into batches.

Batches without shuffling are views of the arrays.  Shuffled ones are gathered by row number:
one permutation of indices per epoch, no copy of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...data.device_ring import Rows
from ...ops import nest
from ...ops.array_module import beside, is_on_device
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor, as_raw
from ..utils.rng import numpy_generator
from .compile_utils import apply_class_weight
from .data_adapter import DataAdapter

__all__ = ["ArrayAdapter", "ArrayBatches", "is_array_data", "split_validation"]


def is_array_data(x: Any) -> bool:
    """Whether `x` is an array, a tensor, or nested lists, tuples or dictionaries of them."""
    if x is None:
        return False
    leaves = nest.flatten(x)
    return bool(leaves) and all(_is_array(leaf) for leaf in leaves if leaf is not None)


def _is_array(leaf: Any) -> bool:
    return (
        isinstance(leaf, (np.ndarray, Tensor, int, float, str, bytes, np.generic))
        or getattr(leaf, "_is_headrace_value", False)
        or hasattr(leaf, "__array__")
    )


def _rows(structure: Any) -> Any:
    """`structure` with raw arrays as leaves; a list of numbers is one array."""
    if isinstance(structure, list) and structure and _is_number(structure):
        return _raw(np.asarray(structure))
    if isinstance(structure, dict):
        return {k: _rows(v) for k, v in structure.items()}
    if isinstance(structure, (list, tuple)):
        return tuple(_rows(v) for v in structure)
    return None if structure is None else _raw(structure)


def _is_number(value: Any) -> bool:
    while isinstance(value, (list, tuple)) and value:
        value = value[0]
    return isinstance(value, (bool, int, float, str, bytes, np.generic))


def _raw(leaf: Any) -> Any:
    if hasattr(leaf, "toarray"):  # a SciPy sparse matrix
        leaf = leaf.toarray()
    raw = as_raw(leaf if isinstance(leaf, (np.ndarray, Tensor)) else np.asarray(leaf))
    if getattr(raw, "dtype", None) == np.float64:
        raw = raw.astype(np.float32)
    return raw


class ArrayAdapter(DataAdapter):
    """Batches of arrays.

    Args:
        x, y, sample_weight: arrays or nested arrays, one row per sample.
        batch_size: rows per batch; the last batch may be smaller.
        shuffle: whether rows come in a new order in every epoch; ``"batch"`` shuffles whole
            batches.
        class_weight: weights by class, made into sample weights.

    Raises:
        ValueError: the arrays differ in their number of rows, or the batch size is no positive
            integer.
    """

    repeats = True

    def __init__(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        batch_size: int = 32,
        shuffle: Any = False,
        class_weight: Any = None,
    ):
        if not isinstance(batch_size, (int, np.integer)) or batch_size <= 0:
            raise ValueError(f"batch_size must be a positive integer, got {batch_size!r}")
        if class_weight:
            if sample_weight is not None:
                raise ValueError(
                    "You cannot `class_weight` and `sample_weight` at the same time."
                )
            sample_weight = apply_class_weight(y, class_weight)
        parts: tuple[Any, ...] = (_rows(x),)
        if y is not None or sample_weight is not None:
            parts += (_rows(y),)
        if sample_weight is not None:
            parts += (_rows(sample_weight),)
        self._leaves, self._tree = nest.flatten_with_spec(parts)
        self.num_samples = self._count(parts)
        self.batch_size = int(batch_size)
        self.shuffle = shuffle

    @staticmethod
    def _count(parts: tuple[Any, ...]) -> int:
        sizes = {
            name: [leaf.shape[0] if leaf.shape else None for leaf in nest.flatten(part)
                   if leaf is not None]
            for name, part in zip(("x", "y", "sample_weight"), parts, strict=False)
        }  # fmt: skip
        every: set[Any] = {size for found in sizes.values() for size in found}
        if None in every:
            raise ValueError("Every array must have at least one axis: one row per sample.")
        if len(every) != 1:
            shown = "".join(
                f"'{name}' sizes: {', '.join(map(str, found))}\n"
                for name, found in sizes.items()
            )
            raise ValueError(
                "Data cardinality is ambiguous. Make sure all arrays contain the same "
                "number of "
                f"samples.{shown}"
            )
        return next(iter(every))

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        return -(-self.num_samples // self.batch_size)

    def epoch(self) -> Iterator[Any]:
        """The batches, in a new order if shuffling."""
        n, size = self.num_samples, self.batch_size
        order: np.ndarray | None = None
        if self.shuffle == "batch":
            blocks = numpy_generator().permutation(self.num_batches)
            order = np.concatenate(
                [np.arange(b * size, min(n, (b + 1) * size)) for b in blocks]
            )
        elif self.shuffle:
            order = numpy_generator().permutation(n)
        return ArrayBatches(self._leaves, self._tree, n, size, order)


class ArrayBatches:
    """The batches of one pass over arrays.

    Args:
        leaves: the arrays, None for those left out.
        tree: what structure they have.
        rows: how many there are.
        batch_size: of a batch.
        order: their numbers in the order they come in; None for the order they have.
    """

    def __init__(
        self, leaves: list[Any], tree: Any, rows: int, batch_size: int, order: np.ndarray | None
    ):
        self._leaves, self._tree, self._order = leaves, tree, order
        self._starts = iter(range(0, rows, batch_size))
        self._rows, self._size = rows, batch_size

    def __iter__(self) -> ArrayBatches:
        return self

    def __next__(self) -> Any:
        start = next(self._starts)
        stop = start + self._size
        if self._order is None:
            parts = [None if a is None else Tensor.of(a[start:stop]) for a in self._leaves]
        else:
            rows = self._order[start:stop]
            parts = [_take(a, rows) for a in self._leaves]
        return nest.pack_sequence_as(self._tree, parts)

    @property
    def on_host(self) -> bool:
        """Whether all arrays are NumPy's, or strings."""
        return all(a is None or isinstance(a, (np.ndarray, StringArray)) for a in self._leaves)

    @property
    def batch_bytes(self) -> int:
        """Of the arrays of a whole batch."""
        total = sum(a.nbytes for a in self._leaves if isinstance(a, np.ndarray))
        return total * self._size // max(self._rows, 1)

    def raw(self) -> Iterator[Any]:
        """The batches that are left, of arrays that are views or not gathered yet."""
        for start in self._starts:
            stop = start + self._size
            rows = slice(start, stop) if self._order is None else self._order[start:stop]
            parts = [_part(a, rows) for a in self._leaves]
            yield nest.pack_sequence_as(self._tree, parts)


def _part(array: Any, rows: Any) -> Any:
    if array is None or isinstance(rows, slice) or isinstance(array, StringArray):
        return None if array is None else array[rows]
    return Rows(array, rows)


def _take(array: Any, rows: np.ndarray) -> Any:
    if array is None:
        return None
    if isinstance(array, StringArray):
        return Tensor.of(array[rows])
    if is_on_device(array):
        with beside(array):
            return Tensor.of(array[rows])
    return Tensor.of(array.take(rows, axis=0))


def split_validation(arrays: tuple[Any, ...], fraction: float) -> tuple[Any, Any]:
    """The first rows for training and the last `fraction` for validation.

    Raises:
        ValueError: the data is no arrays, or either part would be empty.
    """
    if not 0 < fraction < 1:
        raise ValueError(f"validation_split must be between 0 and 1, got {fraction}")
    if not all(a is None or is_array_data(a) for a in arrays):
        raise ValueError(
            "Argument `validation_split` is only supported for tensors or NumPy arrays. "
            f"Found incompatible type in the input: {[type(a) for a in arrays]}"
        )
    rows = tuple(_rows(a) for a in arrays)
    total = ArrayAdapter._count(rows[:1])
    at = int(total * (1.0 - fraction))
    if at == 0 or at == total:
        raise ValueError(
            f"Training data contains {total} samples, which is not sufficient to split it into "
            f"a validation and training set as specified by `validation_split={fraction}`. "
            "Either provide more data, or a different value for the `validation_split` "
            "argument."
        )

    def part(which: slice) -> Any:
        return tuple(
            nest.map_structure(lambda a: None if a is None else Tensor.of(a[which]), r)
            for r in rows
        )

    return part(slice(None, at)), part(slice(at, None))
