"""The arguments that all optimizers share, written once.

An optimizer's constructor names its own arguments and takes the others as ``**others``::

    @with_shared_arguments
    def __init__(self, learning_rate=0.01, **others: Unpack[SharedArguments]): ...

Type checkers know them from the `TypedDict`; the decorator gives the constructor their full
signature at run time and, as in Keras, takes them by position too.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any, TypedDict, TypeVar

from .optimizer import Optimizer

__all__ = ["OtherArguments", "SharedArguments", "with_shared_arguments"]

_F = TypeVar("_F", bound=Callable[..., None])


class OtherArguments(TypedDict, total=False):
    """Shared arguments but `weight_decay`, which some optimizers name; see `Optimizer`."""

    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    name: str | None


class SharedArguments(OtherArguments, total=False):
    """What all optimizers take beside `learning_rate`; see `Optimizer`."""

    weight_decay: float | None


_SHARED = [
    p
    for p in inspect.signature(Optimizer.__init__).parameters.values()
    if p.name in SharedArguments.__annotations__ or p.name in OtherArguments.__annotations__
]
_ANYTHING = inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)


def with_shared_arguments(init: _F) -> _F:
    """`init` with the shared arguments between its own positional and keyword-only ones."""
    own = list(inspect.signature(init).parameters.values())
    first = [p for p in own if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
    named = {p.name for p in own}
    late = [
        p.replace(kind=inspect.Parameter.POSITIONAL_OR_KEYWORD)
        for p in own
        if p.kind is inspect.Parameter.KEYWORD_ONLY
    ]
    later = [*(p for p in _SHARED if p.name not in named), *late]
    count = len(first)

    @functools.wraps(init)
    def complete(*args: Any, **kwargs: Any) -> None:
        if len(args) > count:
            if len(args) > count + len(later):
                raise TypeError(
                    f"{init.__qualname__}() takes at most {count + len(later)} positional "
                    f"arguments, got {len(args)}"
                )
            for parameter, value in zip(later, args[count:], strict=False):
                if parameter.name in kwargs:
                    raise TypeError(
                        f"{init.__qualname__}() got multiple values for argument "
                        f"'{parameter.name}'"
                    )
                kwargs[parameter.name] = value
            args = args[:count]
        init(*args, **kwargs)

    complete.__signature__ = inspect.Signature([*first, *later, _ANYTHING])  # type: ignore[attr-defined]
    return complete  # type: ignore[return-value]
