"""Names of the activations: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

from typing import Any

from ..lookup import Lookup
from . import functions

__all__ = ["deserialize", "get", "serialize"]

_lookup = Lookup(
    "activation function",
    None,
    [getattr(functions, name) for name in functions.__all__],
    {"hard_swish": functions.hard_silu, "swish": functions.silu},
)
deserialize = _lookup.deserialize


def serialize(activation: Any) -> Any:
    """The name or config dictionary that `deserialize` turns back into `activation`."""
    return _lookup.serialize_function(activation)


def get(identifier: Any) -> Any:
    """The function meant by a name, a config, a class or a callable; `linear` for None.

    Raises:
        ValueError: the name is unknown or the type is not one of those.
    """
    return functions.linear if identifier is None else _lookup.get(identifier)
