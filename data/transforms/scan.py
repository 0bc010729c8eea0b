"""scan: a function of a running state and each element; and reduce, its last state."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import nest
from ...ops.string_array import StringArray
from ...ops.tensor_shape import TensorShape
from ...ops.tensor_spec import TensorSpec
from ..block import Block
from ..caught import Caught
from ..functions import UserFunction
from ..node import UnaryNode
from ..stage import Context, Stage, State
from ..values import Components
from .map import locate

__all__ = ["ScanNode", "decode_value", "encode_value", "state_function"]


@dataclasses.dataclass(frozen=True, eq=False)
class ScanNode(UnaryNode):
    """``state, output = function(state, element)`` for every element; the outputs.

    Attributes:
        initial: the first state.
        function: of ``(state, element)``.
    """

    initial: Components = dataclasses.field(repr=False)
    function: UserFunction = dataclasses.field(repr=False)

    def _element_spec(self) -> Any:
        if self.function.output_spec is None:
            self._learn()
        return self.function.output_spec[1]

    def _learn(self) -> None:
        from ..iterator import RawIterator

        with RawIterator(self.input) as iterator:
            block = iterator.next_block(1)
        if block is None:
            raise ValueError(
                "The element_spec of scan's outputs is unknown: no element to run on"
            )
        self.function.learn([*self.initial.values, *block.row(0)])

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        return _ScanStage(self, inputs, context)


class _ScanStage(Stage):
    """Runs row by row: each needs the state that the one before it left."""

    node: ScanNode
    _index: int
    _values: list[Any]

    def __init__(self, node: ScanNode, inputs: list[Stage], context: Context):
        super().__init__(node, inputs, context)
        self.pure = self.pure and not node.function.is_stateful
        self._width = len(node.initial.values)
        self._restart()

    def _next(self, max_rows: int, need_rows: int) -> Block | None:
        before = self._state()
        if not self.pure:
            max_rows = min(max_rows, need_rows)
        block = self.input.next_block(max_rows, need_rows)
        if block is None:
            return None
        rows: list[list[Any]] = []
        for i, row in enumerate(block.rows()):
            try:
                out = self.node.function.run_row([*self._values, *row], self._index)
            except Exception as error:
                locate(Caught(error), block, i)
                if block.num_rows > i + 1:
                    self.input.restore(before["input"])
                    self.input.skip_rows(i + 1)
                self._index += 1
                if not rows:
                    raise
                self._hold(before)
                self._raise_later(Caught(error), release=True)
                break
            self._index += 1
            self._values = out[: self._width]
            rows.append(out[self._width :])
        return Block.from_rows(rows, self.structure)

    def _state(self) -> State:
        return {
            "input": self.input.state(),
            "index": self._index,
            "values": [encode_value(v) for v in self._values],
        }

    def _restore(self, state: State) -> None:
        self.input.restore(state["input"])
        self._index = state["index"]
        self._values = [decode_value(v) for v in state["values"]]

    def _restart(self) -> None:
        self._index = 0
        self._values = list(self.node.initial.values)


def state_function(
    fn: Callable[..., Any], initial: Components, element_spec: Any, *, what: str, line: str
) -> UserFunction:
    """`fn` of (state, element), its state spec widened until what it returns fits it.

    Raises:
        TypeError: the new state differs in structure or dtype from the initial one.
    """
    spec = initial.spec
    while True:
        function = UserFunction(fn, (spec, element_spec), what=what, line=line)
        result = function.output_spec
        if result is None:
            return function
        new = result
        if what == "scan":
            if not isinstance(result, tuple) or len(result) != 2:
                raise TypeError(
                    "Invalid `scan_func`. `scan_func` should return a pair consisting of new "
                    f"state and the output value but its return type is {result!r}."
                )
            new = result[0]
        wider = _widened(spec, new)
        if wider == spec:
            return function
        spec = wider


def _widened(old: Any, new: Any) -> Any:
    if nest.structure_of(old) != nest.structure_of(new):
        raise TypeError(
            "The structure of the new state must match that of the initial state. Expected "
            f"{old}; got {new}."
        )

    def widen(a: Any, b: Any) -> Any:
        if getattr(a, "dtype", None) is not getattr(b, "dtype", None):
            raise TypeError(
                "The element types for the new state must match the initial state. Expected "
                f"{a.dtype!r}; got {b.dtype!r}. Convert the initial state, e.g. "
                f"hr.cast(initial_state, {b.dtype!r})."
            )
        if not isinstance(a, TensorSpec) or a.shape == b.shape:
            return a
        return TensorSpec(_common_shape(a.shape, b.shape), a.dtype)

    return nest.map_structure(widen, old, new)


def _common_shape(a: TensorShape, b: TensorShape) -> TensorShape:
    if a.rank is None or a.rank != b.rank:
        return TensorShape(None)
    pairs = zip(a.as_list(), b.as_list(), strict=True)
    return TensorShape([x if x == y else None for x, y in pairs])


def encode_value(value: Any) -> Any:
    """A raw array as plain values for iterator state."""
    if isinstance(value, StringArray):
        return {"shape": list(value.shape), "strings": value.ravel().numpy().tolist()}
    array = np.asarray(value)
    return {"dtype": array.dtype.name, "shape": list(array.shape), "bytes": array.tobytes()}


def decode_value(saved: Any) -> Any:
    """The raw array that `encode_value` took apart."""
    shape = tuple(saved["shape"])
    if "strings" in saved:
        return StringArray.from_values(saved["strings"]).reshape(shape)
    from ...ops.dtypes import as_dtype

    kind = as_dtype(saved["dtype"]).np_dtype
    return np.frombuffer(saved["bytes"], kind).reshape(shape).copy()
