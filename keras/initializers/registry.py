"""Names of the initializers: `get`, `serialize`, `deserialize`."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..lookup import Lookup
from . import constants, random
from .initializer import Initializer

__all__ = ["deserialize", "get", "serialize"]

_lookup = Lookup(
    "initializer",
    Initializer,
    [getattr(m, name) for m in (constants, random) for name in m.__all__],
    {
        "IdentityInitializer": constants.Identity,
        "OrthogonalInitializer": random.Orthogonal,
        "STFTInitializer": constants.STFT,
        "normal": random.RandomNormal,
        "one": constants.Ones,
        "uniform": random.RandomUniform,
        "zero": constants.Zeros,
    },
)
deserialize = _lookup.deserialize


def serialize(initializer: Any) -> Any:
    """The config dictionary that `deserialize` turns back into `initializer`."""
    return _lookup.serialize(initializer)


def get(identifier: Any) -> Any:
    """The initializer meant by a name, a config, a class, an instance, a callable or an array.

    Raises:
        ValueError: the name is unknown or the type is not one of those.
    """
    if isinstance(identifier, int | float | np.ndarray) and not isinstance(identifier, bool):
        return constants.Constant(identifier)
    return _lookup.get(identifier)
