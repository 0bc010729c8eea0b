"""What converted functions call: Python's control flow, on tensors where it meets them.

Each operator looks at the value it depends on.  A Python value, or a tensor whose value is
known, gives Python's own behaviour; a symbolic tensor gives a node of the graph.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .. import nest
from ..errors import UntraceableError
from ..tensor import SymbolicTensor
from .branching import Undefined, if_tensor, undefined
from .builtins import builtin
from .context import state
from .looping import for_tensor, tensor_items, while_tensor
from .values import known

__all__ = [
    "and_",
    "assert_stmt",
    "before_raise",
    "builtin",
    "call",
    "compare",
    "for_stmt",
    "get",
    "if_exp",
    "if_stmt",
    "not_",
    "or_",
    "undefined",
    "while_stmt",
]


def call(fn: Any) -> Any:
    """What is called in place of `fn`."""
    from .convert import convert_callee

    return convert_callee(fn)


def get(read: Callable[[], Any], name: str) -> Any:
    """A name's value, or `Undefined`."""
    try:
        return read()
    except (NameError, AttributeError):
        return Undefined(name)


def if_stmt(
    test: Any,
    body: Callable[[], None],
    orelse: Callable[[], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    results: int,
) -> None:
    """``if test: body else: orelse``; the first `results` names are read afterwards."""
    test = known(test)
    if isinstance(test, SymbolicTensor):
        if_tensor(test, body, orelse, get_state, set_state, names, results)
    elif test:
        body()
    else:
        orelse()


def while_stmt(
    test: Callable[[], Any],
    body: Callable[[], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    options: Callable[[], Any] | None,
) -> None:
    """``while test(): body()``."""
    from .looping import probe

    while True:
        first = probe(test, get_state, set_state)
        if isinstance(first, SymbolicTensor):
            while_tensor(test, body, get_state, set_state, names, options)
            return
        if not first:
            return
        body()


def for_stmt(
    items: Any,
    go_on: Callable[[], Any] | None,
    body: Callable[[Any], None],
    get_state: Callable[[], tuple[Any, ...]],
    set_state: Callable[[Any], None],
    names: tuple[str, ...],
    options: Callable[[], Any] | None,
) -> None:
    """``for item in items: body(item)`` as long as `go_on()`."""
    found = tensor_items(items)
    if found is not None:
        for_tensor(found, go_on, body, get_state, set_state, names, options)
        return
    for item in items:
        if go_on is not None:
            more = known(go_on())
            if isinstance(more, SymbolicTensor):  # left under a condition on tensors
                one = lambda item=item: body(item)  # noqa: E731
                if_stmt(more, one, _nothing, get_state, set_state, names, len(names))
                continue
            if not more:
                break
        body(item)


def _nothing() -> None:
    pass


def and_(*parts: Callable[[], Any]) -> Any:
    """``a and b and ...``."""
    first = known(parts[0]())
    if len(parts) == 1:
        return first
    if isinstance(first, SymbolicTensor):
        from ..control_flow import cond

        return cond(_bool(first, "and"), lambda: and_(*parts[1:]), lambda: first)
    return and_(*parts[1:]) if first else first


def or_(*parts: Callable[[], Any]) -> Any:
    """``a or b or ...``."""
    first = known(parts[0]())
    if len(parts) == 1:
        return first
    if isinstance(first, SymbolicTensor):
        from ..control_flow import cond

        return cond(_bool(first, "or"), lambda: first, lambda: or_(*parts[1:]))
    return first if first else or_(*parts[1:])


def _bool(tensor: Any, what: str) -> Any:
    if not tensor.dtype.is_bool:
        raise TypeError(
            f"`{what}` needs bool tensors in a traced function, got dtype {tensor.dtype.name}. "
            "Compare with a number, or use hr.cast(x, hr.bool)."
        )
    return tensor


def not_(value: Any) -> Any:
    """``not value``."""
    value = known(value)
    if isinstance(value, SymbolicTensor):
        from ..comparison import logical_not

        return logical_not(_bool(value, "not"))
    return not value


def if_exp(test: Any, body: Callable[[], Any], orelse: Callable[[], Any]) -> Any:
    """``body() if test else orelse()``."""
    test = known(test)
    if isinstance(test, SymbolicTensor):
        from ..control_flow import cond

        return cond(test, body, orelse)
    return body() if test else orelse()


def compare(left: Any, *rest: Callable[..., Any]) -> Any:
    """``a < b < c``: pairs of a comparison and the next operand, each evaluated once."""
    right = rest[1]()
    first = known(rest[0](left, right))
    if len(rest) == 2:
        return first
    return and_(lambda: first, lambda: compare(right, *rest[2:]))


def assert_stmt(test: Any, text: Callable[[], Any]) -> None:
    """``assert test, text()``; on tensors an `Assert`."""
    test = known(test)
    if isinstance(test, SymbolicTensor):
        from ..debugging_ops import Assert

        Assert(test, nest.flatten(text()))
        return
    if not test:
        raise AssertionError(text()) if text() != "" else AssertionError


def before_raise(line: int) -> None:
    """Runs before a ``raise``: under a condition on tensors it is not known whether to."""
    if state.branches:
        raise UntraceableError(
            f"`raise` at line {line} stands under a condition on tensors, of which the values "
            "are not known while the function is traced"
        )
