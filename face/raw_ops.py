"""`hr.raw_ops`: every primitive under its TensorFlow name, called by keywords only.

A view of the registry, so a primitive declared anywhere appears here.

>>> import headrace as hr
>>> hr.raw_ops.AddV2(x=hr.constant(2), y=hr.constant(3)).numpy().item()
5
"""

from typing import Any

# Imported since they, or what they import, declare primitives.
from ..io import api as _io  # noqa: F401
from ..keras.optimizers import apply_ops as _apply_ops  # noqa: F401
from ..ops import (  # noqa: F401
    api as _api,
    bucketize as _bucketize,
    image_projective as _image_projective,
    lookup_ops as _lookup_ops,
)
from ..ops.primitive import REGISTRY as _REGISTRY
from . import (  # noqa: F401
    audio as _audio,
    image as _image,
    linalg as _linalg,
    math as _math,
    nn as _nn,
    random as _random,
    sets as _sets,
    signal as _signal,
    strings as _strings,
)


def __getattr__(name: str) -> Any:
    if name == "__all__":
        return __dir__()
    if name not in _REGISTRY:
        raise AttributeError(
            f"headrace.raw_ops has no operation {name!r}; dir(headrace.raw_ops) lists them",
            name=name,
        )
    return _REGISTRY[name].raw


def __dir__() -> list[str]:
    return sorted(name for name in _REGISTRY if not name.startswith("_"))
