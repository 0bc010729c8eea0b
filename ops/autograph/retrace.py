"""A function that asks for a tensor's value while it is traced is converted and traced again.

The converter is loaded then, not before.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

from ..errors import UntraceableError
from . import context

__all__ = ["raised_in_user_code", "retraced", "retraced_inside"]


def retraced(attempt: Callable[[Any], Any], fn: Any, enabled: bool = True) -> Any:
    """``attempt(fn)``; if that needs the value of a tensor, ``attempt`` on `fn` converted.

    Raises:
        UntraceableError: that does not help, or is not `enabled`; the message says why.
    """
    if not enabled or _is_converted(fn):
        return attempt(fn)
    try:
        with context.first_attempt():
            return attempt(fn)
    except UntraceableError as error:
        from .convert import convert
        from .source import ConversionError

        try:
            converted = convert(fn)
        except ConversionError as why:
            text = f"{error}{raised_in_user_code(error)} [AutoGraph cannot convert it: {why}]"
            raise UntraceableError(text) from error
        if converted is fn:
            raise
    with context.converting(True):
        return attempt(converted)


def retraced_inside(attempt: Callable[[], Any]) -> Any:
    """``attempt()``; if that needs the value of a tensor, again with the users' functions it
    calls (those passed through `for_tracing`) converted.

    Raises:
        UntraceableError: that does not help.
    """
    try:
        with context.first_attempt():
            return attempt()
    except UntraceableError:
        from . import convert  # noqa: F401 (makes the converter known)

    with context.converting(True):
        return attempt()


def _is_converted(fn: Any) -> bool:
    fn = getattr(fn, "__func__", fn)
    return "ag__" in getattr(getattr(fn, "__code__", None), "co_freevars", ())


def raised_in_user_code(error: BaseException) -> str:
    """The text ", at file:line" of the innermost frame outside this package, or ""."""
    frame, found = error.__traceback__, ""
    while frame is not None:
        code = frame.tb_frame
        if not code.f_globals.get("__name__", "").startswith("headrace."):
            found = f", at {os.path.basename(code.f_code.co_filename)}:{frame.tb_lineno}"
        frame = frame.tb_next
    return "" if found and found in str(error) else found
