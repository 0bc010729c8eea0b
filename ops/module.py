"""Module: an object that knows the variables and modules it holds, however deeply nested."""

from __future__ import annotations

import functools
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from .scopes import get_current_name_scope, name_scope
from .variable import Variable

__all__ = ["Module"]

_VALID = re.compile(r"[A-Za-z_]\w*\Z")


class Module:
    """Base class of things with variables: layers, models, parts of a training loop.

    Args:
        name: a Python identifier; the class's name in snake case by default.

    Raises:
        ValueError: `name` is no identifier.

    >>> class Dense(Module):
    ...     def __init__(self, units):
    ...         super().__init__()
    ...         self.w = Variable([[1.0] * units] * 2, name="w")
    ...         self.b = Variable([0.0] * units, name="b")
    >>> [v.name for v in Dense(3).variables]
    ['b:0', 'w:0']
    """

    def __init__(self, name: str | None = None):
        if name is None:
            name = _snake(type(self).__name__)
        if not _VALID.match(name):
            raise ValueError(
                f"{name!r} is not a valid module name. Module names must be valid Python "
                "identifiers (e.g. a valid class name)."
            )
        self._name = name
        scope = get_current_name_scope()
        self._scope_name = f"{scope}/{name}" if scope else name

    def __setattr__(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)
        waiting = self.__dict__.get("_waiting_restores")
        if waiting is not None:  # a checkpoint has values for parts to come
            waiting.noticed(name, value)

    @property
    def name(self) -> str:
        """The module's own name."""
        return self._name

    @property
    def name_scope(self) -> name_scope:
        """A scope for what the module makes; see `with_name_scope`."""
        return name_scope(f"{self._scope_name}/")

    @property
    def variables(self) -> tuple[Variable, ...]:
        """Variables of this module and of all modules in it, each once: its attributes by
        name, then those of its modules."""
        return tuple(self._flatten(lambda x: isinstance(x, Variable)))

    @property
    def trainable_variables(self) -> tuple[Variable, ...]:
        """The variables that gradient tapes watch by themselves."""
        return tuple(v for v in self.variables if v.trainable)

    @property
    def non_trainable_variables(self) -> tuple[Variable, ...]:
        """The other variables."""
        return tuple(v for v in self.variables if not v.trainable)

    @property
    def submodules(self) -> tuple[Module, ...]:
        """All modules in this one, itself left out."""
        return tuple(self._flatten(lambda x: isinstance(x, Module)))

    @classmethod
    def with_name_scope(cls, method: Callable[..., Any]) -> Callable[..., Any]:
        """A decorator for methods that make variables: they get the module's name as prefix."""

        @functools.wraps(method)
        def scoped_method(self: Module, *args: Any, **kwargs: Any) -> Any:
            with self.name_scope:
                return method(self, *args, **kwargs)

        return scoped_method

    def _flatten(self, wanted: Callable[[Any], bool]) -> Iterator[Any]:
        """What is `wanted` of this module's attributes, then of its modules', breadth first."""
        seen = {id(self)}
        level: list[Module] = [self]
        while level:
            below: list[Module] = []
            for module in level:
                for name in sorted(vars(module)):
                    if name.startswith("_self_"):
                        continue
                    for leaf in _leaves(vars(module)[name]):
                        if id(leaf) in seen:
                            continue
                        seen.add(id(leaf))
                        if wanted(leaf):
                            yield leaf
                        if isinstance(leaf, Module):
                            below.append(leaf)
            level = below


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, (Variable, Module)):
        yield value
    elif isinstance(value, Mapping):
        for key in value:
            yield from _leaves(value[key])
    elif isinstance(value, (list, tuple)):
        for item in value:
            yield from _leaves(item)
    elif hasattr(value, "trainable_variables") and hasattr(value, "variables"):
        for variable in value.variables:  # a Keras layer or model
            yield (
                getattr(variable, "value", variable)
                if not isinstance(variable, Variable)
                else variable
            )


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name).lower()
