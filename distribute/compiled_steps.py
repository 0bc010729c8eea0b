"""The functions that strategies run, traced and compiled: which earlier trace serves a function
that was defined anew, as one inside another function is at every call.
"""

from __future__ import annotations

import types
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from ..ops.function import Function

__all__ = ["CompiledSteps"]

_MOST = 64


class CompiledSteps:
    """A `Function` per function given to `Strategy.run` inside of an `hr.function`."""

    def __init__(self) -> None:
        self._known: OrderedDict[Any, tuple[Function, Any]] = OrderedDict()

    def of(self, fn: Callable[..., Any]) -> Function:
        """`fn` as a `Function`; one and the same for functions that do the same: of the same
        code, with the same objects around them."""
        key = _identity(fn)
        found = self._known.get(key)
        if found is None:
            # What the key knows by its id is kept alive with it.
            found = self._known[key] = (Function(fn), fn)
            if len(self._known) > _MOST:
                self._known.popitem(last=False)
        self._known.move_to_end(key)
        return found[0]


def _identity(fn: Any) -> Any:
    if isinstance(fn, types.MethodType):
        return ("method", id(fn.__self__), _identity(fn.__func__))
    if not isinstance(fn, types.FunctionType):
        return id(fn)
    cells = []
    for cell in fn.__closure__ or ():
        try:
            cells.append(_value(cell.cell_contents))
        except ValueError:  # not set yet
            cells.append(None)
    defaults = tuple(_value(d) for d in fn.__defaults__ or ())
    named = tuple((k, _value(v)) for k, v in (fn.__kwdefaults__ or {}).items())
    return (fn.__code__, tuple(cells), defaults, named)


def _value(value: Any) -> Any:
    if value is None or isinstance(value, (bool, int, float, str, bytes)):
        return (type(value), value)
    if isinstance(value, (types.FunctionType, types.MethodType)):
        return _identity(value)
    return ("object", id(value))
