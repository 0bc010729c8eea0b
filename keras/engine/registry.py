"""The registry of custom classes and functions that saved configs may name."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

__all__ = [
    "OPERATIONS",
    "CustomObjectScope",
    "custom_object_scope",
    "get_custom_objects",
    "get_registered_name",
    "get_registered_object",
    "register_keras_serializable",
]

# ``(module, class name)`` as Keras has them -> our class: the steps that `keras.ops` makes.
OPERATIONS: dict[tuple[str, str], Any] = {}

_objects: dict[str, Any] = {}
_names: dict[Any, str] = {}


class _Scopes(threading.local):
    def __init__(self) -> None:
        self.stack: list[dict[str, Any]] = []


_scopes = _Scopes()


class CustomObjectScope:
    """A ``with`` block in which configs may name the given objects.

    Args:
        custom_objects: name -> class or function.
    """

    def __init__(self, custom_objects: dict[str, Any] | None):
        self.custom_objects = dict(custom_objects or {})

    def __enter__(self) -> CustomObjectScope:
        _scopes.stack.append(self.custom_objects)
        return self

    def __exit__(self, *exc: object) -> None:
        _scopes.stack.pop()


custom_object_scope = CustomObjectScope


def get_custom_objects() -> dict[str, Any]:
    """The global dictionary of custom objects; changing it registers them."""
    return _objects


def register_keras_serializable(
    package: str = "Custom", name: str | None = None
) -> Callable[[Any], Any]:
    """A decorator that registers a class or function as ``package>name``.

    Raises:
        ValueError: the decorated class has no `get_config`.
    """

    def decorate(target: Any) -> Any:
        if isinstance(target, type) and not hasattr(target, "get_config"):
            raise ValueError(
                "Cannot register a class that does not have a get_config() method: "
                f"{target.__name__}"
            )
        registered = f"{package}>{name or target.__name__}"
        _objects[registered] = target
        _names[target] = registered
        return target

    return decorate


def get_registered_name(obj: Any) -> str:
    """The name `obj` was registered under, else its own ``__name__``."""
    return _names.get(obj, getattr(obj, "__name__", str(obj)))


def get_registered_object(
    name: str | None,
    custom_objects: dict[str, Any] | None = None,
    module_objects: dict[str, Any] | None = None,
) -> Any:
    """The object registered under `name`, or None.

    Looked for in the open `CustomObjectScope`s, the global registry, `custom_objects`, and
    `module_objects`, in this order.
    """
    if name is None:
        return None
    for known in (*reversed(_scopes.stack), _objects, custom_objects, module_objects):
        if known and name in known:
            return known[name]
    return None
