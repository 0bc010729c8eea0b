"""Running array code with NumPy's floating-point warnings off, at almost no cost.

Infinities and NaN are values here, as in TensorFlow.  ``np.errstate`` costs a microsecond a
call, several times what a small addition takes.  NumPy keeps the setting in a context variable,
so one `contextvars.Context` per thread that has it switched off does the same through
``Context.run`` in 50 ns.
"""

from __future__ import annotations

import contextvars
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["quiet", "quietly"]


_entered: contextvars.ContextVar[bool] = contextvars.ContextVar("headrace_quiet", default=False)


class _Quiet(threading.local):
    """``quiet.run(fn, *args)`` is `Context.run`; inside `fn` it cannot be entered again."""

    def __init__(self) -> None:
        context = contextvars.copy_context()
        context.run(np.seterr, all="ignore")
        context.run(_entered.set, True)
        self.run = context.run


quiet = _Quiet()


def quietly(fn: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """``fn(*args, **kwargs)`` without floating-point warnings; `fn` may come back here."""
    if _entered.get():
        return fn(*args, **kwargs)
    return quiet.run(fn, *args, **kwargs)
