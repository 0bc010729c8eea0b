"""A graph run call by call, each result looked at: what `enable_check_numerics` asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..numerics import checks
from ..quiet import quietly
from .failures import located
from .graph import Const, Graph, Node, Placeholder

__all__ = ["run_checked"]


def run_checked(
    graph: Graph,
    arrays: tuple[Any, ...],
    kernel_of: Callable[[Node], Callable[..., Any]],
) -> list[Any]:
    """The raw results of `graph`, not optimised, for raw inputs.

    Args:
        graph, arrays: what is run.
        kernel_of: a node's array function.

    Raises:
        InvalidArgumentError: a call's result holds an infinity or NaN; the message names the
            operation, its node and the user's line.
    """
    values: dict[int, Any] = {id(t): a for t, a in zip(graph.inputs, arrays, strict=True)}
    for node in graph.nodes:
        if node.primitive is Placeholder:
            continue
        if node.primitive is Const:
            values[id(node.outputs[0])] = node.attrs["value"]
            continue
        inputs = tuple(values[id(t)] for t in node.inputs)
        try:
            # What changes state may run user code, with the caller's floating-point settings.
            kernel = kernel_of(node)
            made = kernel(*inputs) if node.primitive.stateful else quietly(kernel, *inputs)
        except Exception as error:
            found = located(error, node.origin, inputs)
            if found is error:
                raise
            raise found from error
        outputs = made if type(made) is tuple else (made,)
        checks(node.type, inputs, outputs, node.place, node.name)
        values.update((id(t), v) for t, v in zip(node.outputs, outputs, strict=True))
    return [values[id(t)] for t in graph.outputs]
