"""Grouping: further methods of `Dataset`: other ways to batch, windows, running states."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..ops import dtypes, nest
from ..ops.errors import InvalidArgumentError
from .dataset_base import DatasetSpec
from .dataset_transforms import Transformations, positive
from .functions import check_predicate
from .node import user_line
from .stage import add_origin
from .transforms.batch import BatchNode, RaggedBatchNode
from .transforms.ignore_errors import IgnoreErrorsNode
from .transforms.padded_batch import PaddedBatchNode, padding_fills, padding_shapes
from .transforms.scan import ScanNode, state_function
from .transforms.take_while import TakeWhileNode
from .transforms.unbatch import UnbatchNode
from .transforms.unique import UniqueNode
from .transforms.window import WindowNode
from .values import Components, from_raw

if TYPE_CHECKING:
    from .dataset import Dataset

__all__ = ["Grouping"]


class Grouping(Transformations):
    """Datasets made of a dataset, continued; and `reduce`."""

    def padded_batch(
        self,
        batch_size: Any,
        padded_shapes: Any = None,
        padding_values: Any = None,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Batches of elements padded at their ends to a common shape.

        Args:
            batch_size: elements a batch.
            padded_shapes: nested shapes to pad to; None (or -1) in a shape, and by default
                everywhere, means the longest element of the batch.
            padding_values: nested scalars to pad with; 0 and empty strings by default.
            drop_remainder: whether to drop a last batch of fewer elements.
            name: of the transformation.

        Raises:
            DataLossError: (while iterating) an element is larger than its padded shape.

        >>> import headrace as hr
        >>> rows = hr.data.Dataset.range(1, 4).map(lambda x: hr.fill([x], x))
        >>> next(rows.padded_batch(3).as_numpy_iterator())
        array([[1, 0, 0],
               [2, 2, 0],
               [3, 3, 3]])
        """
        spec = self.element_spec
        return self._derive(
            PaddedBatchNode, self._node, positive("batch_size", batch_size),
            bool(drop_remainder), shapes=padding_shapes(padded_shapes, spec),
            fills=padding_fills(padding_values, spec), name=name,
        )  # fmt: skip

    def ragged_batch(
        self,
        batch_size: Any,
        drop_remainder: bool = False,
        row_splits_dtype: Any = dtypes.int64,
        name: str | None = None,
    ) -> Dataset:
        """Batches of elements of varying shape, as ragged tensors.

        Args:
            batch_size: elements a batch.
            drop_remainder: whether to drop a last batch of fewer elements.
            row_splits_dtype: int64 or int32.
            name: of the transformation.

        >>> import headrace as hr
        >>> rows = hr.data.Dataset.range(3).map(hr.range)
        >>> next(iter(rows.ragged_batch(3)))
        <hr.RaggedTensor [[], [0], [0, 1]]>
        """
        dataset = self._derive(
            RaggedBatchNode, self._node, positive("batch_size", batch_size),
            bool(drop_remainder), splits_dtype=dtypes.as_dtype(row_splits_dtype), name=name,
        )  # fmt: skip
        dataset.element_spec  # noqa: B018  raises here, not at the first element
        return dataset

    def rebatch(
        self, batch_size: Any, drop_remainder: bool = False, name: str | None = None
    ) -> Dataset:
        """Batches of another size, made of the rows of this dataset's batches.

        Raises:
            ValueError: the elements are scalars.
        """
        size = positive("batch_size", batch_size)
        for spec in nest.flatten(self.element_spec):
            if getattr(spec, "shape", None) is not None and spec.shape.rank == 0:
                raise ValueError(
                    "Invalid `batch_sizes`. Expected dataset with rank of >= 1 but found a "
                    "dataset with scalar elements. Fix the issue by adding the `batch` "
                    "transformation to the dataset."
                )
        rows = self._derive(UnbatchNode, self._node, name=name)
        return rows._derive(BatchNode, rows._node, size, bool(drop_remainder), name=name)

    def window(
        self,
        size: Any,
        shift: Any = None,
        stride: Any = 1,
        drop_remainder: bool = False,
        name: str | None = None,
    ) -> Dataset:
        """Windows of `size` elements, each a dataset.

        Args:
            size: elements of a window.
            shift: elements from one window's first to the next one's; `size` by default.
            stride: elements from one element of a window to the next.
            drop_remainder: whether to drop last windows of fewer elements.
            name: of the transformation.

        >>> import headrace as hr
        >>> for window in hr.data.Dataset.range(5).window(2):
        ...     print([int(x) for x in window])
        [0, 1]
        [2, 3]
        [4]
        """
        count = positive("size", size)
        step = count if shift is None else positive("shift", shift)
        return self._derive(
            WindowNode, self._node, count, step, positive("stride", stride),
            bool(drop_remainder), self._plain, DatasetSpec, name=name,
        )  # fmt: skip

    def ignore_errors(self, log_warning: bool = False, name: str | None = None) -> Dataset:
        """The elements that can be made; those whose making fails are passed over.

        >>> import headrace as hr
        >>> rows = hr.data.Dataset.range(4).map(lambda x: 6 // (x - 1)).ignore_errors()
        >>> list(rows.as_numpy_iterator())
        [np.int64(-6), np.int64(6), np.int64(3)]
        """
        return self._derive(IgnoreErrorsNode, self._node, bool(log_warning), name=name)

    def take_while(self, predicate: Callable[..., Any], name: str | None = None) -> Dataset:
        """The elements up to the first for which `predicate` is false.

        Raises:
            ValueError: `predicate` does not return a scalar bool.
        """
        function = self._function(predicate, "take_while")
        check_predicate(function)
        return self._derive(TakeWhileNode, self._node, function, name=name)

    def unique(self, name: str | None = None) -> Dataset:
        """Every distinct element once, in the order of first occurrences.

        Raises:
            InvalidArgumentError: an element has several components.
            TypeError: it is no integer or string.
        """
        leaves = nest.flatten(self.element_spec)
        if len(leaves) != 1:
            raise InvalidArgumentError(
                f"`unique` takes elements of one component, got {self.element_spec!r}"
            )
        if leaves[0].dtype.name not in ("int32", "int64", "string"):
            raise TypeError(
                "`hr.data.Dataset.unique` only supports datasets with a single component of "
                f"type hr.int32, hr.int64 or hr.string, got {leaves[0].dtype!r}"
            )
        return self._derive(UniqueNode, self._node, name=name)

    def scan(
        self, initial_state: Any, scan_func: Callable[..., Any], name: str | None = None
    ) -> Dataset:
        """The outputs of ``state, output = scan_func(state, element)`` over the elements.

        Raises:
            TypeError: the new state differs from the initial one in structure or dtype.

        >>> import headrace as hr
        >>> zero = hr.constant(0, "int64")
        >>> sums = hr.data.Dataset.range(4).scan(zero, lambda s, x: (s + x, s + x))
        >>> list(sums.as_numpy_iterator())
        [np.int64(0), np.int64(1), np.int64(3), np.int64(6)]
        """
        initial = Components(initial_state, "initial_state")
        function = state_function(
            scan_func, initial, self.element_spec, what="scan", line=user_line()
        )
        return self._derive(ScanNode, self._node, initial, function, name=name)

    def reduce(
        self, initial_state: Any, reduce_func: Callable[..., Any], name: str | None = None
    ) -> Any:
        """The last state of ``state = reduce_func(state, element)`` over the elements.

        Raises:
            TypeError: the new state differs from the initial one in structure or dtype.

        >>> import headrace as hr
        >>> total = hr.data.Dataset.range(5).reduce(hr.constant(0, "int64"), lambda s, x: s + x)
        >>> int(total)
        10
        """
        initial = Components(initial_state, "initial_state")
        function = state_function(
            reduce_func, initial, self.element_spec, what="reduce", line=user_line()
        )
        state: list[Any] = list(initial.values)
        index = 0
        with self.raw_iterator() as iterator:
            while (block := iterator.next_block(4096)) is not None:
                for row in block.rows():
                    try:
                        state = function.run_row([*state, *row], index)
                    except Exception as error:
                        raise add_origin(error, self._node) from error.__cause__
                    index += 1
        return nest.pack_sequence_as(initial.spec, [from_raw(v) for v in state])
