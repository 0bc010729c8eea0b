"""name_scope: prefixes for the names of variables and graph nodes made inside of it."""

from __future__ import annotations

import threading
from typing import Any

__all__ = ["get_current_name_scope", "name_scope", "scoped"]


class _Scopes(threading.local):
    stack: tuple[str, ...] = ()


_scopes = _Scopes()


class name_scope:
    """A context manager that puts ``name/`` before the names of what is made in the block.

    Scopes nest; a name that ends with ``/`` is taken as the whole scope, as in TensorFlow.

    Args:
        name: the scope's name.

    Raises:
        ValueError: `name` is no string, or empty.

    >>> with name_scope("a"), name_scope("b"):
    ...     get_current_name_scope()
    'a/b'
    """

    def __init__(self, name: str):
        if not isinstance(name, str):
            raise ValueError(f"`name` for name_scope must be a string, got {name!r}")
        self._name = name
        self._before: list[tuple[str, ...]] = []

    @property
    def name(self) -> str:
        """The name it was made with."""
        return self._name

    def __enter__(self) -> str:
        self._before.append(_scopes.stack)
        if not self._name:
            _scopes.stack = ()
        elif self._name.endswith("/"):
            _scopes.stack = (self._name[:-1],)
        else:
            _scopes.stack = (*_scopes.stack, self._name)
        current = get_current_name_scope()
        return f"{current}/" if current else ""

    def __exit__(self, *error: Any) -> None:
        _scopes.stack = self._before.pop()


def get_current_name_scope() -> str:
    """The names of the scopes around, joined by ``/``; empty outside of any."""
    return "/".join(_scopes.stack)


def scoped(name: str) -> str:
    """`name` with the scopes around before it."""
    return f"{get_current_name_scope()}/{name}" if _scopes.stack else name
