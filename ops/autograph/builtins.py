"""Python's built-in functions on symbolic tensors, as converted functions call them.

``int(x)`` and ``float(x)`` are not among them: they ask for a value, and a function that does
so runs eagerly.
"""

from __future__ import annotations

import builtins
from collections.abc import Callable
from typing import Any

from ..array_basics import shape
from ..context import current
from ..tensor import SymbolicTensor, Tensor
from .looping import TensorItems, tensor_items

__all__ = ["builtin"]


def builtin(fn: Any) -> Callable[..., Any] | None:
    """The function that stands for a built-in one on tensors, if there is one."""
    try:
        return _TABLE.get(fn)
    except TypeError:
        return None


def _symbolic(*values: Any) -> bool:
    return any(isinstance(v, SymbolicTensor) for v in values)


def _len(x: Any) -> Any:
    if isinstance(x, SymbolicTensor):
        if x.shape.rank == 0:
            raise TypeError("Scalar tensor has no `len()`")
        if x.shape.rank is None or x.shape[0] is None:
            return shape(x)[0]
    return len(x)


def _range(*args: Any) -> Any:
    if not _symbolic(*args):
        return range(*args)
    from ..sequences import range as range_of

    start, limit, delta = (
        (0, args[0], 1) if len(args) == 1 else args if len(args) == 3 else (*args, 1)
    )
    if delta == 1 if isinstance(delta, int) else False:
        from ..math_ops import maximum

        first = start
        count = limit - start if not (isinstance(start, int) and start == 0) else limit
        return TensorItems(maximum(count, 0), lambda k: first + k if _moves(first) else k)
    numbers = range_of(start, limit, delta)
    return tensor_items(numbers) or numbers


def _moves(first: Any) -> bool:
    return not (isinstance(first, int) and first == 0)


def _enumerate(items: Any, start: Any = 0) -> Any:
    found = tensor_items(items)
    if found is None:
        return enumerate(items, start)
    return TensorItems(
        found.count, lambda k: (k + start if _moves(start) else k, found.item(k))
    )


def _zip(*many: Any, **kwargs: Any) -> Any:
    found = [tensor_items(m) for m in many]
    if not found or any(f is None for f in found):
        return zip(*many, **kwargs)  # noqa: B905 (the caller's argument)
    from ..math_ops import minimum

    count = found[0].count  # type: ignore[union-attr]
    for f in found[1:]:
        count = minimum(count, f.count)  # type: ignore[union-attr]
    return TensorItems(count, lambda k: tuple(f.item(k) for f in found))  # type: ignore[union-attr]


def _reducing(fn: Callable[..., Any], name: str) -> Callable[..., Any]:
    def reduce(x: Any, *rest: Any, **kwargs: Any) -> Any:
        if isinstance(x, SymbolicTensor) and not rest and not kwargs:
            from .. import reductions

            return getattr(reductions, name)(x, 0 if x.shape.rank else None)
        return fn(x, *rest, **kwargs)

    return reduce


def _extreme(fn: Callable[..., Any], reducing: str, pair: str) -> Callable[..., Any]:
    alone = _reducing(fn, reducing)

    def extreme(*args: Any, **kwargs: Any) -> Any:
        if len(args) == 1 or kwargs or not _symbolic(*args):
            return alone(*args, **kwargs)
        from .. import math_ops

        found = args[0]
        for other in args[1:]:
            found = getattr(math_ops, pair)(found, other)
        return found

    return extreme


def _print(*args: Any, **kwargs: Any) -> Any:
    if current.trace is not None and any(isinstance(a, Tensor) for a in args):
        from ..debugging_ops import print as print_op

        allowed = {k: v for k, v in kwargs.items() if k in ("sep", "end")}
        return print_op(*args, output_stream=kwargs.get("file"), **allowed)
    return print(*args, **kwargs)


_TABLE: dict[Any, Callable[..., Any]] = {
    builtins.len: _len,
    builtins.range: _range,
    builtins.enumerate: _enumerate,
    builtins.zip: _zip,
    builtins.any: _reducing(any, "reduce_any"),
    builtins.all: _reducing(all, "reduce_all"),
    builtins.sum: _reducing(sum, "reduce_sum"),
    builtins.max: _extreme(max, "reduce_max", "maximum"),
    builtins.min: _extreme(min, "reduce_min", "minimum"),
    builtins.print: _print,
}
