"""What a layer's `call` accepts: its argument names, `training`, and the mask arguments."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any

from ...ops import nest
from .keras_tensor import KerasTensor

__all__ = ["CallSignature", "is_tensor_like", "signature_of"]


class CallSignature:
    """The parameters of a `call` or `build` method, without ``self``.

    Attributes:
        names: positional parameters, in order.
        has_training: whether ``training`` may be passed.
        training_default: its default value.
        has_mask: whether ``mask`` may be passed.
        accepts_any: whether there is a ``**kwargs``.
    """

    __slots__ = (
        "accepts_any",
        "all_names",
        "has_mask",
        "has_training",
        "names",
        "training_default",
    )

    def __init__(self, function: Callable[..., Any]):
        parameters = list(inspect.signature(function).parameters.values())
        if parameters and parameters[0].name == "self":
            parameters = parameters[1:]
        positional = (
            inspect.Parameter.POSITIONAL_ONLY,
            inspect.Parameter.POSITIONAL_OR_KEYWORD,
        )
        self.names = tuple(p.name for p in parameters if p.kind in positional)
        self.all_names = frozenset(
            p.name
            for p in parameters
            if p.kind not in (inspect.Parameter.VAR_KEYWORD, inspect.Parameter.VAR_POSITIONAL)
        )
        self.accepts_any = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
        self.has_training = "training" in self.all_names
        self.has_mask = "mask" in self.all_names
        default = next((p.default for p in parameters if p.name == "training"), None)
        self.training_default = None if default is inspect.Parameter.empty else default

    def bind(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> dict[str, Any]:
        """Arguments by name; superfluous positional ones are left to Python's own error."""
        return {**dict(zip(self.names, args, strict=False)), **kwargs}


@functools.lru_cache(maxsize=4096)
def signature_of(function: Callable[..., Any]) -> CallSignature:
    """The `CallSignature` of an unbound method or function."""
    return CallSignature(function)


def is_tensor_like(value: Any) -> bool:
    """Whether `value` has a shape and a dtype: a tensor, array, variable or placeholder."""
    return isinstance(value, KerasTensor) or (
        hasattr(value, "shape") and hasattr(value, "dtype")
    )


def tensor_arguments(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that hold tensors, alone or nested, in order; masks are none of them."""
    return {
        name: value
        for name, value in arguments.items()
        if not name.endswith("mask") and _holds_tensors(value)
    }


def _holds_tensors(value: Any) -> bool:
    if is_tensor_like(value):
        return True
    return nest.is_nested(value) and any(is_tensor_like(v) for v in nest.flatten(value))


def shapes_of(value: Any) -> Any:
    """The shapes in `value`, as tuples, in its structure."""
    if is_tensor_like(value):
        shape = value.shape
        return None if getattr(shape, "rank", 0) is None else tuple(shape)
    if isinstance(value, dict):
        return {key: shapes_of(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [shapes_of(item) for item in value]
    return None
