"""Whether lambdas in files may be unpacked: the global answer where a call gives none."""

from __future__ import annotations

__all__ = ["enable_unsafe_deserialization", "unsafe_deserialization"]

_state = {"unsafe": False}


def enable_unsafe_deserialization() -> None:
    """Let files that hold lambdas be loaded; they can run arbitrary code."""
    _state["unsafe"] = True


def unsafe_deserialization() -> bool:
    """Whether `enable_unsafe_deserialization` was called."""
    return _state["unsafe"]
