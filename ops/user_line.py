"""user_line: where in the user's own code a call comes from, for messages."""

from __future__ import annotations

import sys
from typing import Any

__all__ = ["Place", "shown_place", "user_line", "user_place"]

Place = tuple[str, int]  # file, line

# Packages whose functions run the user's functions, or stand between them and this package.
_INNER = frozenset({"headrace", "optree", "contextlib", "functools"})
_is_inner: dict[str, bool] = {}  # by module name


def user_place() -> Place | None:
    """File and line of the nearest caller outside this package; None without one."""
    frame: Any = sys._getframe(1)
    while frame is not None:
        name = frame.f_globals.get("__name__") or ""
        inner = _is_inner.get(name)
        if inner is None:
            inner = _is_inner[name] = name.partition(".")[0] in _INNER
        if not inner:
            return frame.f_code.co_filename, frame.f_lineno
        frame = frame.f_back
    return None


def shown_place(place: Place | None) -> str:
    """A place as ``file:line``; empty for None."""
    return "" if place is None else f"{place[0]}:{place[1]}"


def user_line() -> str:
    """The ``file:line`` of the nearest caller outside this package."""
    return shown_place(user_place())
