"""How choices and loops run on blocks: every element takes its own branch, its own number of
iterations."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .errors import UnimplementedError

__all__ = ["if_batch", "while_batch"]


def if_batch(two: bool) -> Callable[..., Any]:
    """The batch rule of `If` (`two`) or `Case`."""

    def rule(ctx: Any, *inputs: Any, **attrs: Any) -> Any:
        name = ctx.primitive.name
        raise UnimplementedError(f"primitive {name} has no batch rule", op=name)

    return rule


def while_batch(ctx: Any, *inputs: Any, **attrs: Any) -> Any:
    """The batch rule of `While`."""
    name = ctx.primitive.name
    raise UnimplementedError(f"primitive {name} has no batch rule", op=name)
