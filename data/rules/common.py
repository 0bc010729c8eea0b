"""What several rules ask about a plan."""

from __future__ import annotations

from collections.abc import Iterator

from ..functions import UserFunction
from ..node import Node

__all__ = ["describe", "function_of", "python_step", "walk"]


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
    """One line about a node, its function's name included."""
    function = function_of(node)
    if function is None or function.name in node.describe():
        return node.describe()
    calls = getattr(node, "num_parallel_calls", None)
    threads = "" if calls is None else f", num_parallel_calls={'auto' if calls < 0 else calls}"
    return f"{node.label}({function.name}{threads})"


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
