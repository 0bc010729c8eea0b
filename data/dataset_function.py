"""DatasetFunction: a user's function that gives a dataset for an element."""

from __future__ import annotations

import copy
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from ..ops import nest
from ..ops.composite import composite_specs
from ..ops.context import current, tracing
from ..ops.errors import UntraceableError
from ..ops.graph import Graph
from .composition import selection
from .functions import UserFunction
from .nested_trace import InnerGraph
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
        symbolic: what it gave then, or None.
        graph: which those tensors are of.
        leaves: the flat specs of elements; of a dataset, its node in `symbolic`.
        made_by: a `Template`, where that came instead of the user's function.

    Raises:
        TypeError: it does not return a dataset.
    """

    def __init__(self, fn: Callable[..., Any], input_spec: Any, *, what: str, line: str = ""):
        self._function = UserFunction(fn, input_spec, what=what, line=line, traceable=False)
        self._what = what
        self.why_not: str | None = None
        self.symbolic: Node | None = None
        self.made_by: Any = None
        self.leaves: list[Any] = []
        self._captured: Sequence[Any] = ()
        self._first: Node | None = None
        self._kept: tuple[bool, ...] | None = None
        self.graph = Graph(what) if current.trace is None else InnerGraph(what)
        self.graph.exact = True
        args = input_spec if type(input_spec) is tuple else (input_spec,)
        try:
            with tracing(self.graph):
                values = composite_specs(args, self.graph.placeholder)
                result = fn(*nest.map_structure(self._symbolic_argument, values))
        except UntraceableError as error:
            self.why_not = str(error)
        else:
            self.symbolic = self._node_of(result)
            specs = self._function.input.leaves
            self.leaves = [
                spec if leaf is None else leaf
                for spec, leaf in zip(specs, self.leaves, strict=True)
            ]

    def _symbolic_argument(self, value: Any) -> Any:
        """A dataset in place of its spec; other values as they are."""
        make = getattr(value, "symbolic", None)
        made = value if make is None else make()
        self.leaves.append(None if make is None else made._node)
        return made

    @classmethod
    def of_template(
        cls, template: Any, input_spec: Any, *, what: str, line: str, name: str
    ) -> DatasetFunction:
        """The function that does what a `Template` says."""
        made = cls.__new__(cls)

        def absent(*args: Any) -> Any:
            raise AssertionError(f"{name} runs as a template here")

        made._function = UserFunction(absent, input_spec, what=what, line=line, traceable=False)
        made._function.name = name
        made._what, made.made_by = what, template
        made.why_not = made.symbolic = made._first = made._kept = None
        made.leaves, made.graph, made._captured = [], Graph(what), ()
        return made

    def filled(self, captured: Sequence[Any], base: int) -> DatasetFunction:
        """This function with the values of what its template takes from the functions around.

        Args:
            captured: raw values.
            base: what seeds that nobody chose are drawn from.
        """
        from .dataset_template import template_of

        made_by = copy.copy(template_of(self))
        made_by.base = base
        other = copy.copy(self)
        other.made_by, other._captured = made_by, captured
        return other

    @property
    def is_traceable(self) -> bool:
        """Whether it gave a dataset for symbolic tensors."""
        return self.symbolic is not None or self.made_by is not None

    @property
    def reads_files(self) -> bool:
        """Whether the datasets, as far as is known, read files."""
        from .rules.common import walk

        if self.made_by is not None:
            return bool(self.made_by.reads_files)
        known = self.symbolic or self._first
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
        if self.made_by is not None:
            return self.made_by.element_spec
        if self.symbolic is not None and self._first is None:
            try:
                return self.symbolic.element_spec
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
            if self.made_by is not None:
                node = self.made_by.plan(row, index, self._captured)
            else:
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
