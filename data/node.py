"""Node: one transformation in a dataset's plan.

Nodes are frozen dataclasses; they do no I/O and know how to make the stage that runs them.
Rewrite rules build new plans with `with_inputs` and `dataclasses.replace`.
"""

from __future__ import annotations

import dataclasses
import re
from functools import cached_property
from typing import Any, ClassVar

from ..ops.user_line import user_line
from .failures import Failures
from .stage import Context, Stage
from .structure import Structure

__all__ = ["INFINITE", "UNKNOWN", "Node", "UnaryNode", "user_line"]

INFINITE = -1
"""Cardinality of a dataset without end."""

UNKNOWN = -2
"""Cardinality of a dataset whose length is not known before it is read."""


@dataclasses.dataclass(frozen=True, eq=False, kw_only=True)
class Node:
    """Base of all transformations; compared by identity.

    Attributes:
        name: the user's ``name=`` argument.
        source: "file:line" of the user's call that made it, "" if unknown.
        columnwise: whether component c of its elements comes from component c of its input's
            alone, and which elements there are depends on none of them.
        random_access: whether its stage hands out any of the elements (`gather`).
        own_failures: what can go wrong in it, whatever function it is given.
        unsaveable: why the position in it cannot be saved, or None if it can.
    """

    columnwise: ClassVar[bool] = False
    random_access: ClassVar[bool] = False
    own_failures: ClassVar[Failures] = Failures.ON_VALUES
    unsaveable: ClassVar[str | None] = None

    name: str | None = None
    source: str = ""

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The nodes it pulls from."""
        return ()

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that pulls from other nodes."""
        assert not inputs
        return self

    @cached_property
    def element_spec(self) -> Any:
        """The nested specs of the elements; may need to run a user function once."""
        return self._element_spec()

    def _element_spec(self) -> Any:
        raise NotImplementedError

    @cached_property
    def structure(self) -> Structure:
        """`element_spec`, compiled for packing."""
        return Structure(self.element_spec)

    @cached_property
    def cardinality(self) -> int:
        """Number of elements, `INFINITE` or `UNKNOWN`."""
        return self._cardinality()

    def _cardinality(self) -> int:
        return UNKNOWN

    # -- what rules ask -------------------------------------------------------------------

    @property
    def one_to_one(self) -> bool:
        """Whether element i is made of element i of every input, for all i alike."""
        return False

    @property
    def failures(self) -> Failures:
        """What can go wrong in it, its inputs aside."""
        return self.own_failures

    def sliced(self, part: slice) -> tuple[Node, slice | None] | None:
        """A source that reads less for the elements `part`, and what is then still to be cut
        from its elements (None: nothing); or None if there is none that reads less."""
        return None

    # -- running --------------------------------------------------------------------------

    def make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        """The stage that runs this node on `inputs`, the stages of its input nodes."""
        return self._make_stage(inputs, context)

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        raise NotImplementedError

    @cached_property
    def label(self) -> str:
        """The transformation in errors and `explain`, e.g. ``batch`` or ``batch:mine``."""
        kind = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(self).__name__.removesuffix("Node"))
        return f"{kind.lower()}:{self.name}" if self.name else kind.lower()

    def remarks(self) -> list[str]:
        """Lines that `explain` adds about it, behind the plan."""
        return []

    def describe(self) -> str:
        """One line for `explain`: the label and the arguments that matter."""
        inputs = {id(n) for n in self.inputs}
        shown = []
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.name in ("name", "source") or not field.repr or id(value) in inputs:
                continue
            if isinstance(value, (int, float, str, bool)) or value is None:
                shown.append(f"{field.name}={value!r}")
        return f"{self.label}({', '.join(shown)})"


@dataclasses.dataclass(frozen=True, eq=False)
class UnaryNode(Node):
    """Base of transformations of one dataset; by default elements and number stay the same."""

    input: Node

    @property
    def inputs(self) -> tuple[Node, ...]:
        """The node it pulls from."""
        return (self.input,)

    def with_inputs(self, *inputs: Node) -> Node:
        """A copy that pulls from another node."""
        (only,) = inputs
        return self if only is self.input else dataclasses.replace(self, input=only)

    def _element_spec(self) -> Any:
        return self.input.element_spec

    def _cardinality(self) -> int:
        return self.input.cardinality
