"""Iterator: one run over a dataset; NumpyIterator: the same with NumPy values.

The iterator holds one block and hands out its elements; `state()` tells exactly how many were
taken.  Blocks grow from a few rows to what fills half a megabyte, so the first element comes at
once and later ones cost a list step each.

A dropped or closed iterator stops its threads.  One thread at a time may use it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from operator import length_hint
from types import TracebackType
from typing import Any

import numpy as np

from ..ops.errors import (
    FailedPreconditionError,
    InvalidArgumentError,
    UnimplementedError,
)
from ..ops.sparse_tensor import SparseTensor
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TypeSpec
from .block import Block
from .columns import ListColumn
from .iterator_checkpoint import (
    ITERATOR_STATE,
    iterator_text,
    refuse_foreign_state,
    state_of_text,
)
from .node import Node
from .optional import GetsNext
from .stacked_columns import StackedColumns
from .stage import Context, Stage, State, build_stage
from .stats import PipelineStats, Run
from .structure import Structure

__all__ = [
    "FORMAT_VERSION",
    "Iterator",
    "IteratorSpec",
    "NumpyIterator",
    "RawIterator",
    "packed",
    "raw_rows",
]

FORMAT_VERSION = 1
_FIRST_ROWS, _MOST_ROWS, _MOST_BYTES = 16, 1 << 10, 1 << 19


class RawIterator:
    """Elements as nested structures of raw arrays (NumPy arrays and `StringArray`s).

    Args:
        plan: the node to run, rules applied.
        options: merged `Options`.

    Attributes:
        run: its counters, which outlive it.
    """

    def __init__(self, plan: Node, options: Any = None):
        self._plan = plan
        self._context = Context(options)
        self._stage: Stage = build_stage(plan, self._context)
        self._rows: Any = iter(())
        self._taken_from = 0
        self._before: State = {}
        self._ask = _FIRST_ROWS
        self._closed = False
        self._unsaveable = _why_unsaveable(plan)
        self.run = Run(self._stage)

    # -- elements -------------------------------------------------------------------------

    def __iter__(self) -> RawIterator:
        return self

    def __next__(self) -> Any:
        for element in self._rows:
            return element
        return self._advance()

    def next_block(self, max_rows: int) -> Block | None:
        """The next 1 to `max_rows` elements in columns, or None at the end.

        For consumers that work on blocks; not to be mixed with `__next__` inside a block.
        """
        self._check_open()
        assert not length_hint(self._rows)
        return self._stage.next_block(max_rows, max_rows)

    def _advance(self) -> Any:
        self._check_open()
        try:
            return self._first_of_next_block()
        except Exception:
            raise
        except BaseException:  # Ctrl-C inside a stage may have left it between two states
            self.close()
            raise

    def _first_of_next_block(self) -> Any:
        stage = self._stage
        before = stage.state()
        block = stage.next_block(self._ask)
        if block is None:
            raise StopIteration
        n = block.num_rows
        if n >= self._ask and self._ask < _MOST_ROWS:
            if block.nbytes < _MOST_BYTES // 2:
                self._ask *= 4
        rows = self._elements(block)
        self._before = before
        self._taken_from = n
        self._rows = iter(rows)
        return next(self._rows)

    def _elements(self, block: Block) -> list[Any]:
        return packed(block, raw_rows)

    # -- state ----------------------------------------------------------------------------

    def state(self) -> State:
        """Where the iterator is: a small dictionary of plain values (JSON except for bytes).

        Saved before any element and restored into a fresh iterator of an equal dataset, it
        gives exactly the elements that would have come.

        >>> import headrace as hr
        >>> iterator = iter(hr.data.Dataset.range(5))
        >>> _ = next(iterator), next(iterator)
        >>> fresh = iter(hr.data.Dataset.range(5))
        >>> fresh.restore(iterator.state())
        >>> int(next(fresh))
        2

        Raises:
            UnimplementedError: a stage's position cannot be saved; the text says why.
        """
        self._check_open()
        if self._unsaveable is not None:
            raise UnimplementedError(self._unsaveable)
        left = length_hint(self._rows)
        state = {"version": FORMAT_VERSION, "plan": _outline(self._plan)}
        if left:
            return {**state, "stage": self._before, "skip": self._taken_from - left}
        return {**state, "stage": self._stage.state(), "skip": 0}

    def restore(self, state: State) -> None:
        """Go to a position that `state()` told.

        Raises:
            InvalidArgumentError: the state is of another format version or another pipeline.
        """
        self._check_open()
        version = state.get("version")
        if version != FORMAT_VERSION:
            raise InvalidArgumentError(
                f"iterator state has format version {version!r}, but this Headrace reads "
                f"version {FORMAT_VERSION}; save it again with the same release"
            )
        outline = _outline(self._plan)
        if state["plan"] != outline:
            raise InvalidArgumentError(
                f"iterator state belongs to the pipeline {state['plan']}, but the dataset is "
                f"{outline}; build the same dataset to restore it"
            )
        self._rows = iter(())
        self._stage.restore(state["stage"])
        if state["skip"]:
            self._stage.skip_rows(state["skip"])

    # -- checkpoints of objects -----------------------------------------------------------

    def _checkpoint_children(self) -> tuple[()]:
        return ()

    def _checkpoint_values(self) -> dict[str, Any]:
        return {ITERATOR_STATE: lambda: iterator_text(self.state())}

    def _restore_checkpoint(self, values: dict[str, Any], where: str) -> None:
        self.restore(state_of_text(values[ITERATOR_STATE], where))

    def _refuse_checkpoint(self, stored: set[str], where: str) -> None:
        refuse_foreign_state(stored, where)

    # -- life -----------------------------------------------------------------------------

    @property
    def element_spec(self) -> Any:
        """The nested specs of the elements."""
        return self._plan.element_spec

    def stats(self) -> PipelineStats:
        """Counters per stage: a printable `PipelineStats` that names the bottleneck."""
        return self.run.stats()

    def close(self) -> None:
        """Stop threads and free files; the iterator cannot be used after it."""
        if not self._closed:
            self._closed = True
            self._rows = iter(())
            self.run.finish()
            self._context.stopping.set()
            self._stage.close()

    def _check_open(self) -> None:
        if self._closed:
            raise FailedPreconditionError(
                "the iterator was closed; make a new one with iter(dataset)"
            )

    def __enter__(self) -> RawIterator:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        if not getattr(self, "_closed", True):
            self.close()


class Iterator(RawIterator, GetsNext):
    """Elements as nested structures of tensors; made by ``iter(dataset)``.

    >>> import headrace as hr
    >>> [int(x) for x in hr.data.Dataset.range(3)]
    [0, 1, 2]
    """

    def _elements(self, block: Block) -> list[Any]:
        return packed(block, _tensor_rows, Tensor.of_all)

    @property
    def _type_spec(self) -> IteratorSpec:
        return IteratorSpec(self.element_spec)


class IteratorSpec(TypeSpec):
    """The spec of an iterator over elements of the given nested spec."""

    __slots__ = ("element_spec",)

    def __init__(self, element_spec: Any):
        self.element_spec = element_spec

    @property
    def value_type(self) -> type:
        """`Iterator`."""
        return Iterator

    def is_compatible_with(self, value: Any) -> bool:
        """Whether `value` is an iterator (or spec) of the same elements."""
        return getattr(value, "element_spec", None) == self.element_spec

    def __eq__(self, other: object) -> bool:
        return isinstance(other, IteratorSpec) and self.element_spec == other.element_spec

    def __hash__(self) -> int:
        return hash((IteratorSpec, repr(self.element_spec)))

    def __repr__(self) -> str:
        return f"IteratorSpec({self.element_spec!r})"


class NumpyIterator(RawIterator):
    """Elements as nested structures of NumPy arrays and scalars; read-only, as in tf.data."""

    def _elements(self, block: Block) -> list[Any]:
        return packed(block, _numpy_rows)

    next = RawIterator.__next__


def packed(
    block: Block,
    rows_of: Callable[[Any], list[Any]],
    arrays_as: Callable[[list[np.ndarray]], list[Any]] | None = None,
) -> list[Any]:
    """The elements: `rows_of` gives a column's rows, `arrays_as` does so for arrays of several
    columns, which without it are handed out as they are, read-only."""
    structure: Structure = block.structure
    columns = block.columns
    if structure.is_single:
        return rows_of(columns[0])
    if not len(columns):
        return [structure.pack(()) for _ in range(block.num_rows)]
    rows: Iterable[tuple[Any, ...]]
    if type(columns) is StackedColumns and columns.rows_are_arrays:
        rows = columns.rows(rows_of, arrays_as)
    else:
        rows = zip(*map(rows_of, columns), strict=True)
    pack: Callable[[Any], Any] = structure.pack
    return list(rows) if pack is tuple else [pack(row) for row in rows]


def raw_rows(column: Any) -> list[Any]:
    """A column's rows as raw values; arrays are views that cannot be written to."""
    if isinstance(column, np.ndarray):
        column = _read_only(column)
        if column.ndim > 1:
            return list(column)
        return [column[i, ...] for i in range(len(column))]
    if isinstance(column, ListColumn):
        return column.items
    return [column[i] for i in range(len(column))]


def _tensor_rows(column: Any) -> list[Any]:
    of = Tensor.of
    if isinstance(column, np.ndarray):
        if column.ndim > 1:
            return Tensor.of_all(column)
        return [of(column[i, ...]) for i in range(len(column))]
    return [
        of(row) if isinstance(row, (np.ndarray, StringArray)) else row
        for row in raw_rows(column)
    ]


def _numpy_rows(column: Any) -> list[Any]:
    if isinstance(column, np.ndarray):
        return list(_read_only(column))
    if isinstance(column, StringArray):
        return list(column.numpy())
    return [
        row.numpy() if isinstance(row, StringArray) else _as_numpy(row)
        for row in raw_rows(column)
    ]


def _as_numpy(row: Any) -> Any:
    if isinstance(row, (np.ndarray, np.generic)):
        return row
    if isinstance(row, SparseTensor):
        return _dense(row)
    if hasattr(row, "as_numpy_iterator"):
        raise TypeError(
            "as_numpy_iterator() is not supported for datasets that produce datasets; iterate "
            "over the dataset itself, or turn its windows into batches with flat_map"
        )
    return row.numpy() if hasattr(row, "numpy") else row


def _dense(row: SparseTensor) -> np.ndarray:
    """A sparse tensor as the dense array tf.data gives for it."""
    values = row.values.numpy()
    shape = tuple(row.dense_shape.numpy().tolist())
    if values.dtype == object:
        out = np.full(shape, b"", object)
    else:
        out = np.zeros(shape, values.dtype)
    out[tuple(row.indices.numpy().T)] = values
    return out


def _read_only(column: np.ndarray) -> np.ndarray:
    column = column.view()
    column.setflags(write=False)
    return column


def _why_unsaveable(plan: Node) -> str | None:
    found = (_why_unsaveable(n) for n in plan.inputs)
    return plan.unsaveable or next((why for why in found if why), None)


def _outline(plan: Node) -> str:
    """The pipeline's shape, to recognise states of others: "batch(shuffle(range))"."""
    inner = ", ".join(_outline(n) for n in plan.inputs)
    return f"{plan.label}({inner})" if inner else plan.label
