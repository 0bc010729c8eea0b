"""Python's operators on placeholders: ``x + 1``, ``x[:, 0]``, ``-x`` in functional models.

Each becomes a small operation in the graph, under the name and module that Keras 3 gives it, so
that the model's config means the same there.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from ...ops import nest
from ..utils.naming import auto_name
from .keras_tensor import KerasTensor, any_symbolic
from .layer_state import LayerState
from .symbolic import infer_specs, record_call

__all__ = ["Operation"]


class Operation:
    """A function without state in a functional model.

    Args:
        name: its name in the model.
    """

    built = True

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


def _operation(name: str, function: Callable[..., Any]) -> type[Operation]:
    def call(self: Any, *args: Any) -> Any:
        return function(*args)

    body = {"call": call, "__doc__": f"`{function.__name__}` in a functional model."}
    found = type(name, (Operation,), {**body, "__module__": __name__})
    globals()[name] = found
    return found


_BINARY = {
    "add": "Add",
    "sub": "Subtract",
    "mul": "Multiply",
    "truediv": "TrueDivide",
    "floordiv": "FloorDivide",
    "mod": "Mod",
    "pow": "Power",
    "matmul": "Matmul",
}
_COMPARISONS = {"lt": "Less", "le": "LessEqual", "gt": "Greater", "ge": "GreaterEqual"}
_UNARY = {"neg": "Negative", "abs": "Absolute"}


def _attach() -> None:
    """Give `KerasTensor` its operators."""
    for method, name in (_BINARY | _COMPARISONS | _UNARY).items():
        made = _operation(name, getattr(operator, method))
        setattr(KerasTensor, f"__{method}__", _method(made))
        if method in _BINARY:
            setattr(KerasTensor, f"__r{method}__", _reflected(made))
    KerasTensor.__getitem__ = _method(_operation("GetItem", _get_item))  # type: ignore


def _get_item(x: Any, key: Any) -> Any:
    """``x[key]``; a key that was a tuple comes out of a config as a list."""
    return x[tuple(key) if isinstance(key, list) else key]


def _method(made: type[Operation]) -> Callable[..., Any]:
    def method(self: Any, *others: Any) -> Any:
        return made()(self, *others)

    return method


def _reflected(made: type[Operation]) -> Callable[..., Any]:
    def method(self: Any, other: Any) -> Any:
        return made()(other, self)

    return method


_attach()
