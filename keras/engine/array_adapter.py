"""Arrays as training data: shuffled and cut into batches.

Batches without shuffling are views of the arrays.  Shuffled ones are gathered by row number:
one permutation of indices per epoch, no copy of the data.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from ...ops import nest
from ...ops.string_array import StringArray
from ...ops.tensor import Tensor, as_raw
from ..utils.rng import numpy_generator
from .compile_utils import apply_class_weight
from .data_adapter import DataAdapter

__all__ = ["ArrayAdapter", "is_array_data", "split_validation"]


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
        if not self.shuffle:
            return self._sliced(n, size)
        if self.shuffle == "batch":
            blocks = numpy_generator().permutation(self.num_batches)
            order = np.concatenate(
                [np.arange(b * size, min(n, (b + 1) * size)) for b in blocks]
            )
        else:
            order = numpy_generator().permutation(n)
        return self._gathered(order, size)

    def _sliced(self, n: int, size: int) -> Iterator[Any]:
        pack, tree = nest.pack_sequence_as, self._tree
        for start in range(0, n, size):
            end = start + size
            yield pack(
                tree,
                [None if a is None else Tensor.of(a[start:end]) for a in self._leaves],
            )

    def _gathered(self, order: np.ndarray, size: int) -> Iterator[Any]:
        pack, tree = nest.pack_sequence_as, self._tree
        for start in range(0, len(order), size):
            rows = order[start : start + size]
            yield pack(tree, [_take(a, rows) for a in self._leaves])


def _take(array: Any, rows: np.ndarray) -> Any:
    if array is None:
        return None
    if isinstance(array, StringArray):
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
