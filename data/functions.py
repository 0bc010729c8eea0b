"""UserFunction: a function a user gave to `map`, `filter`, `flat_map`, made to run on blocks.

The function is called once, when the transformation is made, on symbolic tensors that have the
specs of the input's elements.  What it did is a graph; with a leading block axis added to the
inputs (`batch_graph`) it runs on whole columns.  There are three ways to run:

* **block**: the batched graph, once per block; `vectorized()` gives this form, which a rule
  asks for;
* **graph**: the traced graph, once per element; the form a function is made in, and what a
  vectorised one falls back to where a block's rows differ in shape;
* **eager**: the Python function itself, once per element, in order, on eager tensors; used
  where it could not be traced.

`why_not` says why a function cannot run by the block.  A traced function is pure as far as the
engine is concerned: it may run ahead, and Python side effects happened when it was traced.  An
eager function runs exactly once per element asked for.

Errors never lose good rows: `run_block` gives the rows before the first bad one *and* the
error, which names the element; the stage delivers first and raises then.

A UserFunction is immutable after construction but for caches and two notes that only ever go
one way (the specs learnt from the first result of an eager function; that block runs failed
where single elements do not), so any number of threads may run it at a time.
"""

from __future__ import annotations

import copy
import secrets
import sys
from collections.abc import Callable, Sequence
from functools import cached_property
from typing import Any

import numpy as np

from ..ops.autograph.retrace import retraced
from ..ops.context import ElementDraws, placing
from ..ops.devices import HOST, at
from ..ops.errors import InvalidArgumentError, UnimplementedError, UntraceableError
from ..ops.graph import Graph
from ..ops.graph.trace import TracedFunction
from ..ops.placement import to_host
from ..ops.random_ops import FreshSeed
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.tensor_spec import TensorSpec
from .block import Block
from .caught import Caught
from .failures import Failures, graph_failures
from .nested_trace import trace_function
from .results import (
    ELEMENT_BITS,
    check_result,
    columns_of,
    component_inputs,
    flatten_result,
    pack_components,
    raised_at,
    relaxed_spec,
    to_argument,
    user_error,
)
from .runners import column_runner, first_row
from .stacked_columns import stacked
from .structure import Structure

__all__ = ["UserFunction", "check_predicate"]

_MOST_BYTES = 32 << 20


class UserFunction:
    """A user's function for elements of `input_spec`.

    Args:
        fn: the function; a tuple element is given as several arguments, as in tf.data.
        input_spec: nested specs of the elements.
        what: the transformation, for messages: "map", "filter"...
        line: the user's line, "file:line".
        traceable: False for functions that must run eagerly (they return datasets, say).

    Attributes:
        output_spec: nested specs of the results; None while that is unknown, which only an
            eager function's is, until it has run once (`learn`).
        why_not: why it does not run by the block, or None if it does.
        traced: the traced form, or None.

    Raises:
        Exception: what the function raises on symbolic tensors (a bug of the user's, as in
            tf.data), unless it only needs values; that makes it an eager function.
    """

    def __init__(self, fn: Callable[..., Any], input_spec: Any, *, what: str = "map",
                 line: str = "", traceable: bool = True,
                 traced: TracedFunction | None = None):  # fmt: skip
        self.fn = fn
        self.what = what
        self.line = line
        self.name = getattr(fn, "__name__", type(fn).__name__)
        self.input = Structure(input_spec)
        self.output_spec: Any = None
        self.why_not: str | None = None
        self.traced = traced
        self._unpacks = type(input_spec) is tuple
        self._output: Structure | None = None
        self._call_row: Callable[[list[Any], int], list[Any]] | None = None
        self._call_block: Callable[..., list[Any]] | None = None
        self._on_blocks: UserFunction | None = None
        self._one_by_one = False
        if traced is None and traceable:
            self._trace()
        elif traced is None:
            self.why_not = "it runs eagerly"
        if self.traced is not None:
            self._learn(self.traced.output_structure)

    # -- making ---------------------------------------------------------------------------

    def _trace(self) -> None:
        args = self.input.spec if self._unpacks else (self.input.spec,)
        try:
            self.traced = retraced(
                lambda fn: trace_function(_returning_tuples(fn), args, self.name), self.fn
            )
        except Exception as error:
            cause = _find(error, UntraceableError)
            if cause is None:
                note = f"[{self.what}{f', {self.line}' if self.line else ''}]"
                error.add_note(f"raised while {self.name!r} was traced {note}")
                raise
            self.why_not = f"{cause}{raised_at(cause, short=True)}"
            del cause  # or it and this frame would keep each other alive

    def vectorized(self) -> UserFunction:
        """This function in the form that runs on blocks, or itself with `why_not` set."""
        if self.traced is None or self._call_block is not None or self.why_not is not None:
            return self
        if self._on_blocks is not None:
            return self._on_blocks  # of an earlier iterator: the same pass over the graph
        graph = self.traced.graph
        if graph.is_stateful:
            self.why_not = "it changes state outside, so it runs once per element, in order"
            return self
        try:
            run = column_runner(graph, self.output.leaves)
        except UnimplementedError as error:
            self.why_not = str(error)
            return self
        on_blocks = copy.copy(self)
        on_blocks._call_block = run
        self._on_blocks = on_blocks
        return on_blocks

    def retraced(self, traced: TracedFunction, input_spec: Any) -> UserFunction:
        """This function as another graph, for elements of `input_spec`."""
        other = UserFunction(self.fn, input_spec, what=self.what, line=self.line, traced=traced)
        other.name = self.name
        return other

    def _row_runner(self, graph: Graph) -> Callable[[list[Any], int], list[Any]]:
        """`run(arrays, element_index)`: the values of the result for one element."""
        leaves = self.output.leaves
        if any(node.primitive.random for node in graph.nodes):
            # Only the block form gives each element its own stream: blocks of one element.
            try:
                run_block = column_runner(graph, leaves)
            except UnimplementedError:
                pass
            else:
                return lambda arrays, index: [
                    first_row(c) for c in run_block([a[None] for a in arrays], 1, index)
                ]
        run = graph.compile()

        def call(arrays: list[Any], index: int) -> list[Any]:
            with ElementDraws(index):
                return pack_components(run(*arrays), leaves)

        return call

    def _learn(self, structure: Any) -> None:
        self._output = Structure(structure)
        self.output_spec = structure

    @property
    def output(self) -> Structure:
        """`output_spec`, compiled; known for traced functions and after `learn`."""
        assert self._output is not None, "the function has not run yet"
        return self._output

    @property
    def mode(self) -> str:
        """How it runs: "block", "graph" or "eager"."""
        if self.traced is None:
            return "eager"
        return "block" if self._call_block is not None else "graph"

    @property
    def runs_rows(self) -> bool:
        """Whether its block form runs a part row by row (see `row_part`)."""
        return hasattr(self._call_block, "by_rows")

    @property
    def is_stateful(self) -> bool:
        """Whether it may change something outside: it then runs in order, never ahead."""
        return self.traced is None or self.traced.graph.is_stateful

    @property
    def is_random(self) -> bool:
        """Whether results depend on the number of the element among those it gets."""
        graph = self.traced.graph if self.traced is not None else None
        return graph is None or any(node.primitive.random for node in graph.nodes)

    def first_index(self) -> int:
        """The number of the first element of a new pass, for random draws: elements draw by
        their numbers, and where nobody chose a seed, every pass has numbers of its own."""
        graph = self.traced.graph if self.traced is not None else None
        if graph is None or not any(
            type(v) is FreshSeed
            for node in graph.nodes
            if node.primitive.random
            for v in node.attrs.values()
        ):
            return 0
        return secrets.randbits(22) << ELEMENT_BITS

    @property
    def failures(self) -> Failures:
        """What can make it fail."""
        if self.is_stateful:
            return Failures.ON_VALUES
        assert self.traced is not None
        return graph_failures(self.traced.graph)

    def learn(self, row: Sequence[Any], index: int = 0) -> None:
        """Run an eager function on one element (flat raw values) to learn `output_spec`."""
        if self._output is None:
            self._run_row(row, index)

    # -- running on one element -----------------------------------------------------------

    def call(self, row: Sequence[Any]) -> Any:
        """The Python function's own result for one element given as flat raw values.

        Errors are the user's, unchanged.
        """
        element = self.input.pack([to_argument(v) for v in row])
        if placing.on:  # datasets run on the host
            with at(HOST):
                return self._called(*element) if self._unpacks else self._called(element)
        return self._called(*element) if self._unpacks else self._called(element)

    def _called(self, *args: Any) -> Any:
        """The Python function's result."""
        return _returning_tuples(self.fn)(*args)

    def run_row(self, row: Sequence[Any], index: int = 0) -> list[Any]:
        """Flat raw values of the result for one element given as flat raw values.

        Raises:
            OpError: the function failed; the text names the element.
        """
        try:
            return self._run_row(row, index)
        except Exception as error:
            raise user_error(error, self.name, index) from error

    def _run_row(self, row: Sequence[Any], index: int) -> list[Any]:
        if self.traced is not None:
            if self._call_row is None:
                self._call_row = self._row_runner(self.traced.graph)
            return self._call_row(component_inputs(row, self.input.leaves), index)
        with ElementDraws(index):
            result = self.call(row)
        if type(result) is Tensor and self._output is not None and self._output.is_single:
            # The common case, without a tree.
            raw, spec = to_host(result._value), self.output_spec
            if type(spec) is TensorSpec and len(raw.shape) == spec.shape.rank:
                if result.dtype is spec.dtype:
                    return [raw]
        values, structure = flatten_result(result)
        if self._output is None:
            self._learn(relaxed_spec(structure))
        else:
            check_result(values, structure, self.output_spec, self.name)
        return values

    # -- running on blocks ----------------------------------------------------------------

    def run_block(self, block: Block, first_index: int = 0) -> tuple[Block, Caught | None]:
        """The results for the rows of `block`, up to the first that fails.

        Args:
            block: elements; an eager function is called once for each, in order.
            first_index: position of the first row among all elements this function gets.

        Returns:
            The results and None; or those before the first failing row, and the error.
        """
        if self._call_block is not None and not self._one_by_one:
            arrays = self._dense(block)
            if arrays is not None:
                return self._run_pieces(arrays, block.num_rows, first_index)
        return self._run_rows(block.rows(), first_index)

    def run_mask(self, block: Block, first_index: int = 0) -> tuple[np.ndarray, Caught | None]:
        """A predicate's results as a bool vector, up to the first row that fails.

        Raises:
            Exception: never for a row; see `run_block`.
        """
        out, error = self.run_block(block, first_index)
        if out.num_rows == 0:
            return np.zeros(0, bool), error
        values = np.asarray(out.columns[0])
        if values.dtype != bool or values.ndim != 1 or len(out.columns) != 1:
            wrong = InvalidArgumentError(predicate_text(out.structure.spec))
            return np.zeros(0, bool), Caught(wrong)
        return values, error

    def _dense(self, block: Block) -> list[Any] | None:
        """The block's columns as inputs of the batched graph, if they all are arrays."""
        columns = []
        for column, spec in zip(block.columns, self.input.leaves, strict=True):
            if spec is None:
                continue
            if not isinstance(column, (np.ndarray, StringArray)):
                return None
            columns.append(column)
        return columns

    def _run_pieces(self, arrays: list[Any], n: int, first: int) -> tuple[Block, Caught | None]:
        """Run on a block in pieces small enough for what is stored between operations."""
        step = self._most_rows
        if n <= step:
            return self._run_dense(arrays, n, first)
        done: list[Block] = []
        for k in range(0, n, step):
            part = [a[k : k + step] for a in arrays]
            out, error = self._run_dense(part, min(step, n - k), first + k)
            done.append(out)
            if error is not None:
                return Block.concat(done), error
        return Block.concat(done), None

    @cached_property
    def _most_rows(self) -> int:
        """Rows of a block such that no intermediate result takes more than `_MOST_BYTES`."""
        assert self.traced is not None
        if self.runs_rows:
            return sys.maxsize  # what is large in there exists for one row at a time
        row_bytes = 1
        for node in self.traced.graph.nodes:
            for tensor in node.outputs:
                size = tensor.shape.num_elements() or 1
                row_bytes = max(row_bytes, size * (tensor.dtype.size or 16))
        return max(1, _MOST_BYTES // row_bytes)

    def _run_dense(self, arrays: list[Any], n: int, first: int) -> tuple[Block, Caught | None]:
        """Run on a block; where that fails, on its halves, down to the row that fails."""
        try:
            columns = stacked(self._call_block(arrays, n, first))
            return Block(columns, n, self.output), None
        except Exception:
            if n == 1:
                leaves = self.input.leaves
                values = map(first_row, arrays)
                row = [None if s is None else next(values) for s in leaves]
                return self._run_rows([row], first)
        half = n // 2
        left, error = self._run_dense([a[:half] for a in arrays], half, first)
        if error is not None:
            return left, error
        right, error = self._run_dense([a[half:] for a in arrays], n - half, first + half)
        if error is None:
            # Every part works alone: rows of this function cannot share a block.
            self._one_by_one = True
            self.why_not = "its results cannot be held in one block"
        return Block.concat([left, right]), error

    def _run_rows(
        self, rows: Sequence[Sequence[Any]], first: int
    ) -> tuple[Block, Caught | None]:
        done: list[list[Any]] = []
        failed: Caught | None = None
        for k, row in enumerate(rows):
            try:
                done.append(self._run_row(row, first + k))
            except Exception as error:
                failed = Caught(user_error(error, self.name, first + k))
                break
        if self._output is None:
            assert failed is not None or not rows
            return Block([], 0, Structure(())), failed
        return Block(columns_of(done, self.output.leaves), len(done), self.output), failed


def _returning_tuples(fn: Callable[..., Any]) -> Callable[..., Any]:
    """`fn` with a list it returns as a tuple, as in tf.data (lists inside of the result are
    tensors)."""

    def call(*args: Any) -> Any:
        result = fn(*args)
        return tuple(result) if type(result) is list else result

    return call


def predicate_text(spec: Any) -> str:
    """TensorFlow's message for a predicate that does not return a scalar bool."""
    return (
        f"Invalid `predicate`. `predicate` must return a `hr.bool` scalar tensor, but its "
        f"return type is {spec}."
    )


def check_predicate(function: UserFunction) -> None:
    """Raise ValueError unless a traced predicate returns a scalar bool."""
    spec = function.output_spec
    if spec is None:
        return
    if not (isinstance(spec, TensorSpec) and spec.dtype.is_bool
            and spec.shape.is_compatible_with([])):  # fmt: skip
        raise ValueError(predicate_text(spec))


def _find(error: BaseException | None, kind: type) -> Any:
    """The first exception of `kind` among an error and its causes."""
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        if isinstance(error, kind):
            return error
        seen.add(id(error))
        error = error.__cause__ or error.__context__
    return None
