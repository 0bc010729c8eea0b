"""What makes a plain function a Keras operation.

`operations("numpy")` gives a decorator for the functions that Keras keeps in its module
``ops.numpy``.  A decorated function computes when it is called with values.  Called with
placeholders it becomes a step of a functional model: an `Operation` of the class that Keras has
for it, with Keras's arguments, so that files mean the same on both sides.

An operation's tensors are its first parameters and those named with the decorator; all others
are the operation's configuration.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, ClassVar

from ..engine.keras_tensor import KerasTensor
from ..engine.operation import Operation
from ..engine.registry import OPERATIONS

__all__ = ["is_symbolic", "operations"]


def is_symbolic(values: Any) -> bool:
    """Whether a placeholder is among `values`, or in a list or dictionary of them."""
    for value in values:
        if isinstance(value, KerasTensor):
            return True
        if isinstance(value, (list, tuple)) and is_symbolic(value):
            return True
        if isinstance(value, dict) and is_symbolic(value.values()):
            return True
    return False


class FunctionOperation(Operation):
    """A decorated function as a step of a model; the options are in `options`."""

    function: ClassVar[Callable[..., Any]]
    tensors: ClassVar[tuple[str, ...]]  # in the order of the call
    parameters: ClassVar[tuple[str, ...]]  # of the constructor

    def __init__(self, *args: Any, name: str | None = None, **kwargs: Any):
        super().__init__(name)
        self.options = dict(zip(self.parameters, args, strict=False)) | kwargs
        unknown = set(self.options) - set(self.parameters)
        if unknown:
            raise TypeError(
                f"{type(self).__name__} has no argument {sorted(unknown)[0]!r}; it takes "
                f"{list(self.parameters)}"
            )

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The function's value."""
        given = dict(zip(self.tensors, args, strict=False))
        return type(self).function(**given, **kwargs, **self.options)

    def get_config(self) -> dict[str, Any]:
        """The name and the options."""
        return {**super().get_config(), **self.options}


def operations(module: str) -> Callable[..., Any]:
    """The decorator for functions of Keras's module ``ops.<module>``.

    It takes the name of Keras's class (the function's own in camel case if None), how many of
    the first parameters are tensors, the names of `later` parameters that come after those in
    a call, and of `named` tensors that a call passes by keyword.
    """

    def operation(
        class_name: str | None = None,
        tensors: int = 1,
        later: tuple[str, ...] = (),
        named: tuple[str, ...] = (),
    ) -> Callable[[Any], Any]:
        def decorate(function: Any) -> Any:
            names = list(inspect.signature(function).parameters)
            positional = (*names[:tensors], *later)
            options = tuple(n for n in names if n not in positional and n not in named)
            name = class_name or _camel(function.__name__)
            made = type(
                name,
                (FunctionOperation,),
                {
                    "__doc__": f"`{function.__name__}` in a functional model.",
                    "__module__": function.__module__,
                    "keras_module": f"keras.src.ops.{module}",
                    "function": staticmethod(function),
                    "tensors": positional,
                    "parameters": options,
                },
            )
            OPERATIONS[f"ops.{module}", name] = made
            signature = inspect.signature(function)

            @functools.wraps(function)
            def wrapper(*args: Any, **kwargs: Any) -> Any:
                if not is_symbolic(args) and not (kwargs and is_symbolic(kwargs.values())):
                    return function(*args, **kwargs)
                bound = signature.bind(*args, **kwargs)
                bound.apply_defaults()
                given = bound.arguments
                step = made(**{n: given[n] for n in options})
                return step(*(given[n] for n in positional), **{n: given[n] for n in named})

            return wrapper

        return decorate

    return operation


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
