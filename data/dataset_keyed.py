"""Keyed: methods of `Dataset` that group or choose elements by a key or class."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from ..ops import api as hr, nest
from ..ops.tensor import SymbolicTensor
from ..ops.tensor_shape import TensorShape, as_shape
from ..ops.tensor_spec import TensorSpec
from .dataset_base import DatasetSpec
from .dataset_files import Keeping
from .dataset_function import DatasetFunction
from .dataset_transforms import positive
from .functions import UserFunction
from .node import user_line
from .transforms.group import GroupNode
from .transforms.interleave import FlatMapNode
from .transforms.sparse_batch import SparseBatchNode
from .values import as_int

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["Keyed"]

_SMOOTHING = 10
"""Elements of every class that `rejection_resample` takes as seen, as tf.data does."""


class Keyed(Keeping):
    """Datasets continued: by key."""

    def group_by_window(
        self,
        key_func: Callable[..., Any],
        reduce_func: Callable[..., Any],
        window_size: Any = None,
        window_size_func: Callable[..., Any] | None = None,
        name: str | None = None,
    ) -> Dataset:
        """The elements of the datasets that `reduce_func` makes of windows of equal keys.

        Args:
            key_func: gives an element's key, an integer scalar.
            reduce_func: gets a key and a dataset of up to `window_size` elements of that key,
                in their order; gives a dataset.
            window_size: elements of a window; at the end there may be fewer.
            window_size_func: gives the size for a key; instead of `window_size`.
            name: of the transformation.

        Raises:
            ValueError: both or none of the sizes were given; the key is no integer scalar.
            InvalidArgumentError: a size is not positive.

        >>> import headrace as hr
        >>> by_parity = hr.data.Dataset.range(7).group_by_window(
        ...     lambda x: x % 2, lambda key, window: window.batch(3), window_size=3)
        >>> list(by_parity.as_numpy_iterator())
        [array([0, 2, 4]), array([1, 3, 5]), array([6])]
        """
        if (window_size is None) == (window_size_func is None):
            raise ValueError(
                "Either the `window_size` argument or the `window_size_func` argument must be "
                "specified."
            )
        key_spec = TensorSpec([], "int64")
        size: int | UserFunction
        if window_size_func is not None:
            size = _integer(window_size_func, key_spec, "window_size_func")
        else:
            size = positive("window_size", window_size)
        keys = _integer(key_func, self.element_spec, "key_func")
        groups = self._derive(
            GroupNode, self._node, keys, size, self._plain, DatasetSpec, name=name
        )
        function = DatasetFunction(
            reduce_func, groups.element_spec, what="group_by_window", line=user_line()
        )
        return groups._derive(FlatMapNode, groups._node, function, name=name)

    def bucket_by_sequence_length(
        self,
        element_length_func: Callable[..., Any],
        bucket_boundaries: Any,
        bucket_batch_sizes: Any,
        padded_shapes: Any = None,
        padding_values: Any = None,
        pad_to_bucket_boundary: bool = False,
        no_padding: bool = False,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Batches of elements of similar length, padded.

        Args:
            element_length_func: gives an element's length, an int32 scalar.
            bucket_boundaries: ascending lengths where a new bucket begins.
            bucket_batch_sizes: elements of a batch, for every bucket: one more than boundaries.
            padded_shapes: as in `padded_batch`.
            padding_values: as in `padded_batch`.
            pad_to_bucket_boundary: whether to pad to the bucket's greatest length instead of
                the batch's longest element.
            no_padding: whether the elements of a batch have the same shape (or are sparse).
            drop_remainder: whether to drop batches of fewer elements at the end.
            name: of the transformation.

        Raises:
            ValueError: there are not as many sizes as buckets.
            InvalidArgumentError: (while iterating) with `pad_to_bucket_boundary`, an element
                belongs to the last bucket, which has no boundary.

        >>> import headrace as hr
        >>> rows = hr.data.Dataset.range(1, 6).map(lambda x: hr.fill([x], x))
        >>> batches = rows.bucket_by_sequence_length(lambda x: hr.shape(x)[0], [3], [2, 2])
        >>> [batch.shape for batch in batches.as_numpy_iterator()]
        [(2, 2), (2, 4), (1, 5)]
        """
        boundaries, sizes = [int(b) for b in bucket_boundaries], list(bucket_batch_sizes)
        if len(sizes) != len(boundaries) + 1:
            raise ValueError(
                "Invalid `bucket_batch_sizes`. There must be one batch size more than bucket "
                f"boundaries, got len(bucket_batch_sizes)={len(sizes)} and "
                f"len(bucket_boundaries)={len(boundaries)}."
            )
        sizes = [positive("bucket_batch_sizes", s) for s in sizes]
        limits = np.array(boundaries, np.int64)

        def bucket(*element: Any) -> Any:
            length = hr.cast(element_length_func(*element), hr.int64)
            return hr.reduce_sum(hr.cast(hr.greater_equal(length, limits), hr.int64))

        def batches(bucket_id: Any, group: Any) -> Any:
            known = not isinstance(bucket_id, SymbolicTensor)
            number = int(bucket_id) if known else 0
            drop = drop_remainder and known
            if no_padding:
                return group.batch(sizes[number], drop_remainder=drop)
            longest = None
            if pad_to_bucket_boundary and known:
                if number >= len(boundaries):
                    raise ValueError(
                        "When pad_to_bucket_boundary=True, elements must have length < "
                        f"max(bucket_boundaries), which is {boundaries[-1:]}."
                    )
                longest = boundaries[number] - 1
            shapes = _filled(padded_shapes, group.element_spec, longest)
            return group.padded_batch(sizes[number], shapes, padding_values, drop)

        limit = np.array(sizes, np.int64)
        return self.group_by_window(
            bucket, batches, window_size_func=lambda key: hr.gather(limit, key), name=name
        )

    def rejection_resample(
        self,
        class_func: Callable[..., Any],
        target_dist: Any,
        initial_dist: Any = None,
        seed: Any = None,
        name: str | None = None,
    ) -> Dataset:
        """Pairs ``(class, element)`` of some elements, so that classes have the frequencies
        `target_dist`.

        An element of class c is kept with probability
        ``(target[c] / initial[c]) / max(target / initial)``.  (tf.data mixes kept elements with
        a second reading of the dataset; the frequencies are the same.)

        Args:
            class_func: gives an element's class, an integer scalar of [0, number of classes).
            target_dist: wanted frequency of each class.
            initial_dist: the frequencies in the dataset; estimated on the way by default.
            seed: of the choice.
            name: of the transformation.

        Raises:
            ValueError: the distributions differ in length.
        """
        target = np.asarray(getattr(target_dist, "_value", target_dist), np.float32)
        if initial_dist is not None:
            initial = np.asarray(getattr(initial_dist, "_value", initial_dist), np.float32)
            if initial.shape != target.shape:
                raise ValueError(
                    "`initial_dist` and `target_dist` must have one frequency per class, got "
                    f"shapes {list(initial.shape)} and {list(target.shape)}"
                )
            if (target == initial).all():
                return self.map(
                    lambda *element: (class_func(*element), _one(element)), name=name
                )
        op_seed = None if seed is None else as_int("seed", seed)

        def classified(*element: Any) -> Any:
            kind = class_func(*element)
            chance = hr.random_uniform([], seed=op_seed)
            return kind, chance, _one(element)

        pairs = self.map(classified, name=name)
        if initial_dist is None:
            start = np.full(target.shape, _SMOOTHING, np.int64)

            def seen(counts: Any, item: Any) -> Any:
                kind, chance, element = item
                counts = counts + hr.one_hot(kind, len(target), dtype=hr.int64)
                share = hr.cast(counts, hr.float32) / hr.cast(hr.reduce_sum(counts), hr.float32)
                return counts, (kind, chance, share, element)

            kept = pairs.scan(start, lambda s, *item: seen(s, _one(item))).filter(
                lambda kind, chance, share, element: chance < _acceptance(target, share, kind)
            )
            return kept.map(lambda kind, chance, share, element: (kind, element))
        return pairs.filter(
            lambda kind, chance, element: chance < _acceptance(target, initial, kind)
        ).map(lambda kind, chance, element: (kind, element))

    def sparse_batch(self, batch_size: Any, row_shape: Any, name: str | None = None) -> Dataset:
        """Batches of dense elements of varying shape, as sparse tensors.

        Args:
            batch_size: elements a batch.
            row_shape: sizes of an element's axes, at most; None (or -1) for the largest of the
                batch.
            name: of the transformation.

        Raises:
            TypeError: the elements have several components.
            DataLossError: (while iterating) an element does not fit `row_shape`.

        >>> import headrace as hr
        >>> rows = hr.data.Dataset.range(1, 3).map(lambda x: hr.fill([x], x))
        >>> batch = next(iter(rows.sparse_batch(2, [4])))
        >>> batch.indices.numpy().tolist(), batch.dense_shape.numpy().tolist()
        ([[0, 0], [1, 0], [1, 1]], [2, 4])
        """
        if not isinstance(self.element_spec, TensorSpec):
            raise TypeError(
                "`sparse_batch` requires an input dataset whose elements have a single "
                f"component, but the element spec is {self.element_spec!r}."
            )
        dims = as_shape([None if d == -1 else d for d in as_shape_list(row_shape)]).as_list()
        return self._derive(
            SparseBatchNode, self._node, positive("batch_size", batch_size), False,
            row_shape=tuple(dims), name=name,
        )  # fmt: skip


def as_shape_list(shape: Any) -> list[Any]:
    """A shape's dimensions as a list."""
    return shape.as_list() if isinstance(shape, TensorShape) else list(shape)


def _one(item: tuple[Any, ...]) -> Any:
    return item[0] if len(item) == 1 else item


def _acceptance(target: Any, initial: Any, kind: Any) -> Any:
    """The probability of keeping an element of class `kind`."""
    tiny = np.finfo(np.float32).tiny
    ratio = hr.divide(target, hr.add(initial, tiny))
    return hr.gather(ratio, kind) / hr.reduce_max(ratio)


def _integer(fn: Callable[..., Any], spec: Any, what: str) -> UserFunction:
    """`fn` as a function that gives an int64 scalar.

    Raises:
        ValueError: it gives something else.
    """
    if not callable(fn):
        raise TypeError(f"`{what}` must be callable, got {fn!r}")

    def number(*element: Any) -> Any:
        result = fn(*element)
        return hr.cast(result, hr.int64) if hasattr(result, "dtype") else hr.constant(
            result, hr.int64
        )  # fmt: skip

    number.__name__ = getattr(fn, "__name__", what)
    function = UserFunction(number, spec, what=what, line=user_line()).vectorized()
    out = function.output_spec
    if out is not None and not (isinstance(out, TensorSpec) and out.shape.rank in (0, None)):
        raise ValueError(
            f"Invalid `{what}`. `{what}` must return a single `hr.int64` scalar tensor but its "
            f"return type is {out!r}."
        )
    return function


def _filled(shapes: Any, spec: Any, longest: int | None) -> Any:
    """Padded shapes where unknown sizes are `longest`, if that is known."""
    if longest is None:
        return shapes
    if shapes is None:
        return nest.map_structure(
            lambda s: [longest if d is None else d for d in s.shape.as_list()], spec
        )
    leaves = nest.flatten(spec)
    from .transforms.padded_batch import padding_shapes

    filled = [[longest if d is None else d for d in s] for s in padding_shapes(shapes, spec)]
    assert len(filled) == len(leaves)
    if len(filled) == 1 and leaves[0] is spec:
        return filled[0]
    return nest.map_structure(lambda i: filled[i], nest.pack_sequence_as(
        spec, list(range(len(leaves)))))  # fmt: skip
