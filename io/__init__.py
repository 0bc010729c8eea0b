"""Bytes to arrays and back: record files, Example messages, text lines.

The face of the room: the names listed in `headrace.io.api`, loaded when the first of them is
used, so that importing one module of the room (a writer, say) loads nothing else.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .api import *  # noqa: F403


def __getattr__(name: str) -> Any:
    if name == "gfile":  # a module that is a public name itself
        return importlib.import_module(".gfile", __name__)
    if name.startswith("_") or importlib.util.find_spec(f".{name}", __name__):
        # A module of the room not imported yet: the import system goes on from here.
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    api = importlib.import_module(".api", __name__)
    if name not in api.__all__:
        raise AttributeError(
            f"module {__name__!r} has no attribute {name!r}; dir({__name__}) lists its names"
        )
    value = getattr(api, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(importlib.import_module(".api", __name__).__all__)
