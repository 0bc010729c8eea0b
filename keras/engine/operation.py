"""Operation: a function without weights as a step of a functional model.

The functions of `keras.ops` make their own (`keras/ops/op.py`), each under the name and module
that Keras has for it, so that a model's config means the same there.
"""

from __future__ import annotations

from typing import Any, ClassVar

from ...ops import nest
from ..utils.naming import auto_name
from .keras_tensor import any_symbolic
from .layer_state import LayerState
from .registry import OPERATIONS
from .symbolic import infer_specs, record_call

__all__ = ["GetItem", "Operation"]


class Operation:
    """A function without state in a functional model.

    Args:
        name: its name in the model.
    """

    built = True
    keras_module: ClassVar[str] = "keras"  # where Keras has a class of this name

    def __init__(self, name: str | None = None):
        self.name = name or auto_name(type(self).__name__)
        self._engine = LayerState((), {})

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The value."""
        raise NotImplementedError

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The value, or a placeholder for it if an argument is one."""
        if not any_symbolic(nest.flatten((args, kwargs))):
            return self.call(*args, **kwargs)
        outputs = infer_specs(self.call, args, kwargs, f'operation "{self.name}"')
        return record_call(self, args, kwargs, outputs)

    def get_config(self) -> dict[str, Any]:
        """The name."""
        return {"name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Operation:
        """The operation that `get_config` described."""
        return cls(**config)


class GetItem(Operation):
    """``x[key]`` in a functional model."""

    keras_module = "keras.src.ops.numpy"

    def call(self, x: Any, key: Any) -> Any:
        """``x[key]``; a key that was a tuple comes out of a config as a list."""
        return x[tuple(key) if isinstance(key, list) else key]


OPERATIONS["ops.numpy", "GetItem"] = GetItem
