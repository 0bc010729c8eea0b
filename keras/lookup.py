"""Lookup: how ``"relu"``, a config dictionary, a class or a function becomes the object meant.

Every family (activations, initializers, losses, ...) has one `Lookup`; its `get`, `serialize`
and `deserialize` are the family's public functions of those names.
"""

from __future__ import annotations

import difflib
import inspect
from collections.abc import Iterable
from typing import Any

from .engine.serialization import deserialize_keras_object, serialize_keras_object
from .utils.naming import to_snake_case

__all__ = ["Lookup", "unknown_name"]


def unknown_name(kind: str, name: str, known: Iterable[str]) -> str:
    """What to say of a name that nothing has."""
    near = difflib.get_close_matches(name, known, 3)
    meant = f" Did you mean {' or '.join(map(repr, near))}?" if near else ""
    return (
        f"Could not interpret {kind} identifier: {name}.{meant} A class or function of your "
        "own can be passed as it is, or registered with `register_keras_serializable`."
    )


class Lookup:
    """The names of one family of objects.

    Args:
        kind: singular, for messages, e.g. ``"initializer"``.
        base: class whose instances pass through `get` unchanged, or None if any callable does.
        objects: classes and functions, found under their own names and snake-case names.
        aliases: further names.
    """

    def __init__(
        self,
        kind: str,
        base: type | None,
        objects: Iterable[Any],
        aliases: dict[str, Any] | None = None,
    ):
        self.kind = kind
        self.base = base
        self.names: dict[str, Any] = {}
        for found in objects:
            self.names[found.__name__] = found
            if inspect.isclass(found):
                self.names.setdefault(to_snake_case(found.__name__), found)
        self.names.update(aliases or {})

    def get(self, identifier: Any) -> Any:
        """The object `identifier` means: None, a name, a config, a class, or the object itself.

        Raises:
            ValueError: the name is unknown or the type is not one of those.
        """
        found = identifier
        if identifier is None:
            return None
        if isinstance(identifier, dict):
            found = self.deserialize(identifier)
        elif isinstance(identifier, str):
            try:
                found = self.deserialize(identifier)
            except ValueError:
                raise ValueError(unknown_name(self.kind, identifier, self.names)) from None
        if callable(found) or (self.base is not None and isinstance(found, self.base)):
            return found() if inspect.isclass(found) else found
        raise ValueError(f"Could not interpret {self.kind} identifier: {identifier}")

    def serialize(self, obj: Any) -> Any:
        """The config dictionary (or function name) that `deserialize` turns back into `obj`."""
        return serialize_keras_object(obj)

    def serialize_function(self, obj: Any) -> Any:
        """As `serialize`, but a function of this family is written as its bare name."""
        name = getattr(obj, "__name__", None)
        if name is not None and self.names.get(name) is obj:
            return name
        return serialize_keras_object(obj)

    def deserialize(self, config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
        """The object that `config` (a dictionary or a name) describes."""
        return deserialize_keras_object(
            config, module_objects=self.names, custom_objects=custom_objects
        )
