"""DatasetBase: what datasets do apart from being transformed: iteration, specs, options.

A dataset is a plan node plus options.  It is immutable; the plan that runs (rules applied) is
made once, when it is first iterated.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar, TypeVar

import numpy as np

from ..ops import nest
from ..ops.errors import FailedPreconditionError, InvalidArgumentError
from ..ops.tensor import Tensor
from ..ops.tensor_shape import TensorShape, as_shape
from ..ops.tensor_spec import TypeSpec
from .device_dataset import DeviceIterator, iterator_on_device
from .device_feeding import Feeding
from .explain import fed_text, report_text
from .fingerprint import fingerprint
from .iterator import Iterator, NumpyIterator, RawIterator
from .node import INFINITE, UNKNOWN, Node, user_line
from .options import Options, merge_options
from .rules import PlanReport, optimize
from .stats import PipelineStats, Run
from .transforms.symbolic import SymbolicNode

__all__ = ["DatasetBase", "DatasetSpec"]

IteratorT = TypeVar("IteratorT", bound=RawIterator)


class DatasetBase:
    """A plan and its options."""

    _plain: ClassVar[type]
    """The class of derived datasets: `Dataset`, set where that is defined."""

    _node: Node
    _own_options: Options
    _latest: Run | None = None
    _fed: Feeding | None = None

    def __init__(self, node: Node, options: Options | None = None):
        if not isinstance(node, Node):
            raise TypeError(
                "Dataset is not made directly; use Dataset.from_tensor_slices, Dataset.range, "
                f"TFRecordDataset, ... (got {type(node).__name__})"
            )
        self._node = node
        self._own_options = options if options is not None else Options()

    def _derive(self, make: Callable[..., Node], *args: Any, **kwargs: Any) -> Any:
        """A dataset of this one's options around ``make(*args, source=..., **kwargs)``."""
        return self._plain(make(*args, source=user_line(), **kwargs), self._own_options)

    # -- what it is -----------------------------------------------------------------------

    @property
    def element_spec(self) -> Any:
        """The nested `TypeSpec`s of an element.

        >>> import headrace as hr
        >>> hr.data.Dataset.range(3).batch(2).element_spec
        TensorSpec(shape=(None,), dtype=hr.int64, name=None)
        """
        return self._node.element_spec

    @property
    def _type_spec(self) -> DatasetSpec:
        return DatasetSpec(self.element_spec)

    def cardinality(self) -> Tensor:
        """The number of elements as an int64 scalar, or `INFINITE_CARDINALITY` (-1), or
        `UNKNOWN_CARDINALITY` (-2)."""
        return Tensor.of(np.array(self._node.cardinality, np.int64))

    def __len__(self) -> int:
        """The number of elements.

        Raises:
            TypeError: it is infinite or unknown.
        """
        n = self._node.cardinality
        if n == INFINITE:
            raise TypeError("The dataset is infinite.")
        if n == UNKNOWN:
            raise TypeError("The dataset length is unknown.")
        return n

    def __bool__(self) -> bool:
        return True

    def options(self) -> Options:
        """The options in force, as a copy that refuses changes."""
        return merge_options(self._own_options).freeze()

    def with_options(self, options: Options, name: str | None = None) -> Any:
        """This dataset with `options` set, over those it has.

        Raises:
            TypeError: `options` is not an `Options`.
        """
        if not isinstance(options, Options):
            raise TypeError(f"options must be hr.data.Options, got {type(options).__name__}")
        return self._plain(self._node, merge_options(self._own_options, options))

    # -- running --------------------------------------------------------------------------

    @cached_property
    def _report(self) -> PlanReport:
        return optimize(self._node, self._own_options)[1]

    def __iter__(self) -> Iterator:
        plan = self._report.after
        found = iterator_on_device(plan, self._own_options)
        return self._started(found or Iterator(plan, self._own_options))

    def as_numpy_iterator(self) -> NumpyIterator:
        """An iterator over the elements as NumPy arrays and scalars (read-only), ``bytes`` for
        strings.

        >>> import headrace as hr
        >>> list(hr.data.Dataset.range(3).as_numpy_iterator())
        [np.int64(0), np.int64(1), np.int64(2)]
        """
        return self._started(NumpyIterator(self._report.after, self._own_options))

    def raw_iterator(self) -> RawIterator:
        """An iterator over the elements as raw arrays (NumPy arrays, `StringArray`s), without
        any wrapping; for consumers like ``fit`` that wrap, move or count them anyway."""
        plan = self._report.after
        found = iterator_on_device(plan, self._own_options, raw=True)
        return self._started(found or RawIterator(plan, self._own_options))

    def feeding_iterator(self, change: Callable[[Any], Any] | None = None) -> Any:
        """An iterator over the elements for a model, and how to send them to its GPU; None
        where the dataset does that itself, or does not want it.

        Args:
            change: see `Feeding`.
        """
        if not Feeding.possible(self._node, self._own_options):
            return None
        if self._fed is None or self._fed.change is not change:
            self._fed = Feeding(self._node, self._own_options, change)
        iterator: DeviceIterator = self._started(self._fed.iterator())
        return iterator, self._fed

    def _started(self, iterator: IteratorT) -> IteratorT:
        self._latest = iterator.run
        return iterator

    def stats(self) -> PipelineStats:
        """Counters per stage of the latest iteration over this dataset (a running one, too): a
        printable table that names the bottleneck and what would relieve it.

        Raises:
            FailedPreconditionError: nothing has iterated over it yet.

        >>> import headrace as hr
        >>> dataset = hr.data.Dataset.range(3)
        >>> _ = list(dataset)
        >>> dataset.stats().rows[0].elements
        3
        """
        if self._latest is None:
            raise FailedPreconditionError(
                "stats() tells about the latest iteration over this dataset, and there was "
                "none; iterate over it first"
            )
        return self._latest.stats()

    def explain(self) -> str:
        """The plan as written and as it runs, with what each rewrite rule did or why not; after
        an iteration also the threads and buffers it chose, and after `fit` on a GPU how it was
        sent there.

        >>> import headrace as hr
        >>> print(hr.data.Dataset.range(3).take(-1).explain().splitlines()[0])
        As written:
        """
        choices = () if self._latest is None else self._latest.stats().choices
        text = report_text(self._report, choices)
        fed = self._fed
        return text if fed is None or not fed.sent else f"{text}\n\n{fed_text(fed.report)}"

    def fingerprint(self) -> Tensor:
        """A uint64 scalar that is the same for datasets made in the same way, also in other
        processes: equal fingerprints mean equal elements as long as files do not change.

        >>> import headrace as hr
        >>> a, b = (hr.data.Dataset.range(3).map(lambda x: x + 1) for _ in range(2))
        >>> bool(a.fingerprint() == b.fingerprint())
        True
        """
        return Tensor.of(np.array(fingerprint(self._node), np.uint64))

    def get_single_element(self, name: str | None = None) -> Any:
        """The only element.

        Raises:
            InvalidArgumentError: there is none, or more than one.
        """
        with iter(self) as iterator:
            for element in iterator:
                for _ in iterator:
                    raise InvalidArgumentError("Dataset had more than one element.")
                return element
        raise InvalidArgumentError("Dataset was empty.")

    def __repr__(self) -> str:
        kind = type(self._node).__name__.removesuffix("Node")
        name = type(self).__name__ if type(self) is not self._plain else f"_{kind}Dataset"
        try:
            spec = repr(self.element_spec)
        except Exception as error:  # a function that cannot be traced and fails when run
            spec = f"<unknown: {error}>"
        return f"<{name} element_spec={spec}>"


class DatasetSpec(TypeSpec):
    """The spec of a dataset as a component of another dataset's elements.

    Args:
        element_spec: nested specs of its elements.
        dataset_shape: shape of a tensor of datasets; scalar for all that Headrace makes.
    """

    __slots__ = ("element_spec", "shape")

    def __init__(self, element_spec: Any, dataset_shape: Any = ()):
        self.element_spec = element_spec
        self.shape: TensorShape = as_shape(dataset_shape)

    @property
    def value_type(self) -> type:
        """`Dataset`."""
        return DatasetBase._plain

    def symbolic(self) -> Any:
        """A dataset of these elements that is not there yet, for functions being traced."""
        return DatasetBase._plain(SymbolicNode(self.element_spec))

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` is a dataset or spec of compatible elements."""
        other = getattr(value, "element_spec", None)
        if other is None or nest.structure_of(other) != nest.structure_of(self.element_spec):
            return False
        pairs = zip(nest.flatten(self.element_spec), nest.flatten(other), strict=True)
        return all(a.is_compatible_with(b) for a, b in pairs)

    def most_specific_common_supertype(self, others: Any) -> DatasetSpec | None:
        """This spec if all others are equal to it, else None."""
        return self if all(other == self for other in others) else None

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, DatasetSpec)
            and self.element_spec == other.element_spec
            and self.shape == other.shape
        )

    def __hash__(self) -> int:
        return hash((DatasetSpec, tuple(nest.flatten(self.element_spec))))

    def __repr__(self) -> str:
        return f"DatasetSpec({self.element_spec!r}, {self.shape!r})"
