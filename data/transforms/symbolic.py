"""A source that is only known by its spec: what a dataset function makes of a symbolic tensor.

`flat_map` and `interleave` call the user's function once with symbolic tensors to learn the
spec of the datasets that it will return; sources made then from a symbolic tensor are these
nodes.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from ...ops.errors import UntraceableError
from ..node import Node
from ..stage import Context, Stage

__all__ = ["SymbolicNode"]


@dataclasses.dataclass(frozen=True, eq=False)
class SymbolicNode(Node):
    """Elements of the given spec that nobody can ask for.

    Attributes:
        recipe: how to make the source once the tensors are there: a function, which gives a
            node or a dataset, and its arguments; None where nobody knows.
    """

    spec: Any = dataclasses.field(repr=False)
    recipe: tuple[Any, ...] | None = dataclasses.field(default=None, repr=False)

    def _element_spec(self) -> Any:
        return self.spec

    def _make_stage(self, inputs: list[Stage], context: Context) -> Stage:
        raise UntraceableError(
            "a dataset made of a symbolic tensor has no elements while the function is traced"
        )
