"""DatasetFunction: a user's function that gives a dataset for an element."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..ops import nest
from ..ops.composite import composite_specs
from ..ops.context import tracing
from ..ops.errors import UntraceableError
from ..ops.graph import Graph
from .composition import selection
from .functions import UserFunction
from .node import Node
from .results import user_error
from .structure import Structure
from .transforms.map import MapNode

__all__ = ["DatasetFunction"]

_INNER_RULES = (
    "noop_elimination", "map_fusion", "column_projection", "feature_projection",
    "map_vectorization",
)  # fmt: skip


class DatasetFunction:
    """A function from elements to datasets.

    Args:
        fn: the user's function; a tuple element is given as several arguments.
        input_spec: nested specs of the elements.
        what: the transformation, for messages.
        line: the user's line.

    Attributes:
        is_traceable: whether it was called with symbolic tensors instead of values, so that it
            has no need of being run in order.

    Raises:
        TypeError: it does not return a dataset.
    """

    def __init__(self, fn: Callable[..., Any], input_spec: Any, *, what: str, line: str = ""):
        self._function = UserFunction(fn, input_spec, what=what, line=line, traceable=False)
        self._what = what
        self.why_not: str | None = None
        self._symbolic: Node | None = None
        self._first: Node | None = None
        self._kept: tuple[bool, ...] | None = None
        graph = Graph(what)
        args = input_spec if type(input_spec) is tuple else (input_spec,)
        try:
            with tracing(graph):
                values = composite_specs(args, graph.placeholder)
                result = fn(*nest.map_structure(_symbolic_dataset, values))
        except UntraceableError as error:
            self.why_not = str(error)
        else:
            self._symbolic = self._node_of(result)

    @property
    def is_traceable(self) -> bool:
        """Whether it gave a dataset for symbolic tensors."""
        return self._symbolic is not None

    @property
    def reads_files(self) -> bool:
        """Whether the datasets, as far as is known, read files."""
        from .rules.common import walk

        known = self._symbolic or self._first
        return known is not None and any(getattr(n, "reads_files", False) for n in walk(known))

    def _node_of(self, result: Any) -> Node:
        node = getattr(result, "_node", None)
        if not isinstance(node, Node):
            raise TypeError(
                f"The `map_func` argument of `{self._what}` must return a `Dataset` object, "
                f"got {type(result).__name__}: {result!r}"
            )
        return node

    def keeping(self, kept: Sequence[bool]) -> DatasetFunction:
        """The function whose datasets give tuples of those components that are kept."""
        other = copy.copy(self)
        other._kept = tuple(kept)
        return other

    def element_spec(self, source: Node) -> Any:
        """The spec of the datasets' elements; see `_whole_spec`."""
        spec = self._whole_spec(source)
        if self._kept is None:
            return spec
        return tuple(itertools.compress(Structure(spec).leaves, self._kept))

    def _whole_spec(self, source: Node) -> Any:
        """The spec of the datasets' elements; runs the function on the first element of
        `source` where symbolic tensors did not do."""
        if self._symbolic is not None and self._first is None:
            try:
                return self._symbolic.element_spec
            except UntraceableError as error:  # a function in there has to be run to know it
                self.why_not = str(error)
        if self._first is None:
            from .iterator import RawIterator

            with RawIterator(source) as iterator:
                block = iterator.next_block(1)
            if block is None:
                raise ValueError(
                    f"The element_spec of {self._what}({self._function.name}) is unknown: the "
                    f"function could not be traced ({self.why_not}), and the dataset has no "
                    "element to run it on."
                )
            self._first = self._node_of(self._function.call(block.row(0)))
        return self._first.element_spec

    def plan(self, row: Sequence[Any], index: int, options: Any = None) -> Node:
        """The plan of the dataset for element `index` (flat raw values), rules applied.

        Raises:
            OpError: the function failed; the text names the element.
        """
        from .options import Options
        from .rules import RULES, rewrite_plan

        try:
            node = self._node_of(self._function.call(row))
        except Exception as error:
            raise user_error(error, self._function.name, index) from error
        if self._kept is not None:
            function = selection(node.element_spec, self._kept)
            node = MapNode(node, function, source=node.source)
        switches = (options or Options()).experimental_optimization
        for rule in RULES:
            if rule.name in _INNER_RULES and switches.enabled(rule.name):
                node = rewrite_plan(node, rule)
        return node


def _symbolic_dataset(value: Any) -> Any:
    """A dataset in place of its spec; other values as they are."""
    make = getattr(value, "symbolic", None)
    return value if make is None else make()
