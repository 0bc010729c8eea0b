"""What several rules ask about a plan."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Iterator

from ...ops.graph import Node as GraphNode
from ..functions import UserFunction
from ..node import Node

__all__ = ["describe", "function_of", "python_step", "row_cost", "walk"]


def walk(node: Node) -> Iterator[Node]:
    """`node` and all nodes before it, each once, the last first."""
    seen: set[int] = set()
    stack = [node]
    while stack:
        one = stack.pop()
        if id(one) not in seen:
            seen.add(id(one))
            yield one
            stack.extend(reversed(one.inputs))


def describe(node: Node) -> str:
    """One line about a node: its function's name and the arguments that are not defaults."""
    if type(node).describe is not Node.describe:
        return node.describe()
    function = function_of(node)
    shown = [] if function is None else [function.name]
    inputs = {id(n) for n in node.inputs}
    for field in dataclasses.fields(node):
        value = getattr(node, field.name)
        if field.name in ("name", "source") or not field.repr or id(value) in inputs:
            continue
        if not isinstance(value, (int, float, str, bool)) or value == field.default:
            continue
        required = field.default is dataclasses.MISSING
        text = "AUTOTUNE" if value == -1 and field.name in _COUNTS else repr(value)
        shown.append(text if required else f"{field.name}={text}")
    return f"{node.label}({', '.join(shown)})"


_COUNTS = ("num_parallel_calls", "buffer_size", "cycle_length", "num_parallel_reads")


def function_of(node: Node) -> UserFunction | None:
    """The user's function a node applies to its elements, if it has one."""
    function = getattr(node, "function", None)
    return function if isinstance(function, UserFunction) else None


def python_step(node: Node) -> Node | None:
    """A node of the plan that runs Python code for every element, if there is one.

    Such code must not run for more elements than are asked for, so nothing may read ahead of it
    unless the user says so.
    """
    for one in walk(node):
        function = function_of(one)
        if function is not None and function.is_stateful:
            return one
        if getattr(one, "runs_python", False):
            return one
    return None


_HEAVY = 1 << 20  # what has no batched form runs row by row: images are decoded, for instance
_UNKNOWN_SIZE = 1 << 10
_FREE = ("Placeholder", "Const", "Identity")


def row_cost(nodes: Iterable[GraphNode]) -> int:
    """What operations take per element, roughly, in numbers computed."""
    total = 0
    for node in nodes:
        if node.type in _FREE:
            continue
        if node.primitive.batch is None:
            total += _HEAVY
        for tensor in node.outputs:
            size = tensor.shape.num_elements()
            total += _UNKNOWN_SIZE if size is None else size
    return total
