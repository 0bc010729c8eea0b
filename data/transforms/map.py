"""map: a function of every element.

The function has been traced into a `UserFunction` when the node was made; blocks go through it
as they come.  `parallel_map` (same file of the executor's side) is what the rules make of it.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from ...io.parse_plain import ParseError
from ...io.tfrecord import RecordChunk
from ...ops.string_array import StringArray
from ..block import Block
from ..caught import Caught
from ..failures import Failures
from ..functions import UserFunction
from ..node import UnaryNode
from ..stage import Context, Stage, State

__all__ = ["MapNode", "MapStage", "locate", "located"]

_PYTHON_ROWS = 64  # between two looks at whether the iterator was closed


@dataclasses.dataclass(frozen=True, eq=False)
class MapNode(UnaryNode):
    """`function` of every element.

    Attributes:
        function: the user's function.
        num_parallel_calls: None for one after the other, -1 for the engine's choice.
        deterministic: whether the order is kept; None leaves it to the options.
    """

    function: UserFunction = dataclasses.field(repr=False)
    num_parallel_calls: int | None = None
    deterministic: bool | None = None

    @property
    def one_to_one(self) -> bool:
        """Unless the function does more than compute."""
        return not self.function.is_stateful

    @property
    def failures(self) -> Failures:
        """The function's."""
        return self.function.failures

    def _element_spec(self) -> Any:
        if self.function.output_spec is None:
            learn_from_first(self.function, self.input)
        return self.function.output_spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return MapStage(self, inputs, context)


def learn_from_first(function: UserFunction, source: Any) -> None:
    """Run an untraceable function on the first element to learn what it returns.

    Raises:
        ValueError: there is no first element.
    """
    from ..iterator import RawIterator

    with RawIterator(source) as iterator:
        block = iterator.next_block(1)
    if block is None:
        raise ValueError(
            f"The element_spec of {function.name!r}'s results is unknown: it could not be "
            f"traced ({function.why_not}), and the dataset has no element to run it on."
        )
    function.learn(block.row(0))


class MapStage(Stage):
    """Rows behind a failing one are held back until the error has been raised."""

    node: MapNode

    def __init__(self, node: MapNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.function = node.function
        self.pure = self.pure and not self.function.is_stateful
        self._index = self.function.first_index()
        self._rest: Block | None = None

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        held = self._rest
        self._rest = None
        before = None
        if held is None:
            if not self.pure:
                max_rows = min(max_rows, need_rows, _PYTHON_ROWS)
            before = self._state()
            block = self.input.next_block(max_rows, need_rows)
            if block is None:
                return None
        elif held.num_rows > max_rows:
            block, self._rest = held[:max_rows], held[max_rows:]
        else:
            block = held
        result, error = self.function.run_block(block, self._index)
        self._index += result.num_rows
        if error is None:
            if self._rest is None:
                self._release()
            return result
        self._index += 1
        done = result.num_rows
        rest = block[done + 1 :]
        if self._rest is not None:
            rest = Block.concat([rest, self._rest])
        self._rest = rest if rest.num_rows else None
        if before is not None:
            self._hold(before)
        locate(error, block, done)
        if not done:
            if self._rest is None:
                self._release()
            raise error.take()
        self._raise_later(error, release=self._rest is None)
        return result

    def _state(self) -> State:
        return {"input": self.input.state(), "index": self._index}

    def _restore(self, state: State) -> None:
        self._rest = None
        self.input.restore(state["input"])
        self._index = state["index"]

    def _restart(self) -> None:
        self._rest = None
        self._index = self.function.first_index()


def locate(caught: Caught, block: Block, row: int) -> None:
    """Add to the error the file, record and offset of the row that it is about, if known.

    If rows are batches, it is the element of the batch that the error names."""
    error: Any = caught.error
    for column in block.columns:
        if not isinstance(column, StringArray):
            continue
        inside = _element_of(error) if column.ndim == 2 else ()
        where = None
        if isinstance(column, RecordChunk) and column.ndim == 1 + len(inside):
            where = column.describe(row, *inside)
        if where is None and inside:
            where = f"string {inside[0]} of the batch"
        if where is not None:
            _add(error, where)
            return


def located(error: Any, values: Sequence[Any]) -> Any:
    """`error` with the file, record and offset that it is about, if one of the flat raw values
    of the element knows."""
    for value in values:
        if isinstance(value, RecordChunk):
            inside = _element_of(error) if value.ndim == 1 else ()
            where = value.describe(*inside) if value.ndim == len(inside) else None
            if where is not None and hasattr(error, "message"):
                _add(error, where)
                break
    return error


def _add(error: Any, where: str) -> None:
    error.message = f"{error.message} [{where}]"
    error.args = (error.message, *error.args[1:])


def _element_of(error: BaseException | None) -> tuple[int, ...]:
    """The place in a batch of the element that could not be parsed, if the error knows it."""
    found: tuple[int, ...] = ()
    while error is not None:  # the first cause is the parser's own
        if isinstance(error, ParseError):
            found = (error.element_index,)
        error = error.__cause__
    return found
