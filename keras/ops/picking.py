"""Elements by place or condition."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from ..engine.operation import GetItem
from .op import is_symbolic, operations
from .ordering import nonzero
from .values import as_tensor, axes_of, dtype_name, promoted, static

op = operations("numpy")


def _from_zero(indices: Any, length: Any) -> Any:
    """Negative places as counted from the end."""
    indices = as_tensor(indices)
    if not indices.dtype.is_integer:
        indices = hr.cast(indices, "int32")
    if dtype_name(indices).startswith("uint"):
        return hr.cast(indices, "int64")
    return hr.where(indices < 0, indices + hr.cast(length, indices.dtype), indices)


@op(tensors=2)
def take(x: Any, indices: Any, axis: int | None = None) -> Any:
    """The elements of `x` at `indices` of `axis` (of the flattened `x` if None)."""
    x = as_tensor(x)
    if axis is None:
        x, axis = hr.reshape(x, [-1]), 0
    axis = axes_of(axis, len(x.shape))[0]
    return hr.gather(x, _from_zero(indices, static(x, axis)), axis=axis)


@op(tensors=2)
def take_along_axis(x: Any, indices: Any, axis: int | None = None) -> Any:
    """For every element of `indices` that of `x` at this place of `axis`.

    Raises:
        ValueError: the two have different numbers of axes.
    """
    x, indices = as_tensor(x), as_tensor(indices)
    if axis is None:
        if len(indices.shape) != 1:
            raise ValueError(
                f"`indices` must be 1D if axis=None. Received: indices.shape={indices.shape}"
            )
        return take_along_axis(hr.reshape(x, [-1]), indices, axis=0)
    rank = len(x.shape)
    if len(indices.shape) != rank:
        raise ValueError(
            "`x` and `indices` must have the same number of axes. Received: "
            f"x.shape={x.shape}, indices.shape={indices.shape}"
        )
    axis = axes_of(axis, rank)[0]
    indices = _from_zero(indices, static(x, axis))
    order = [*[a for a in range(rank) if a != axis], axis]
    back = [order.index(a) for a in range(rank)]
    x, indices = hr.transpose(x, order), hr.transpose(indices, order)
    lead = [
        hr.maximum(static(x, a), static(indices, a)) if x.shape[a] != indices.shape[a]
        else static(x, a) for a in range(rank - 1)
    ]  # fmt: skip
    x = hr.broadcast_to(x, [*lead, static(x, -1)])
    indices = hr.broadcast_to(indices, [*lead, static(indices, -1)])
    return hr.transpose(hr.gather(x, indices, axis=-1, batch_dims=rank - 1), back)


@op(tensors=3)
def where(condition: Any, x1: Any = None, x2: Any = None) -> Any:
    """`x1` where `condition` holds, else `x2`; without these two as `nonzero`.

    Raises:
        ValueError: only one of the two is given.
    """
    condition = as_tensor(condition, "bool")
    if x1 is None and x2 is None:
        return nonzero(condition)
    if x1 is None or x2 is None:
        raise ValueError("`x1` and `x2` either both should be `None` or both should be given.")
    return hr.where(condition, *promoted(x1, x2))


@op(tensors=3)
def select(condlist: Any, choicelist: Any, default: Any = 0) -> Any:
    """For every element the choice of the first condition that holds, else `default`.

    Raises:
        ValueError: the lists are empty or of different lengths.
    """
    if not condlist or len(condlist) != len(choicelist):
        raise ValueError(
            "condlist and choicelist must be non-empty and of one length. Received: "
            f"{len(condlist)} conditions and {len(choicelist)} choices"
        )
    *choices, found = promoted(*choicelist, default)
    for condition, choice in zip(reversed(condlist), reversed(choices), strict=True):
        found = hr.where(as_tensor(condition, "bool"), choice, found)
    return found


def get_item(x: Any, key: Any) -> Any:
    """``x[key]``."""
    return GetItem()(x, key) if is_symbolic((x,)) else as_tensor(x)[key]


@op()
def unravel_index(indices: Any, shape: Any) -> Any:
    """Places in flattened order as a tuple of places along every axis of `shape`."""
    indices = as_tensor(indices)
    total = functools.reduce(lambda a, b: a * b, shape, 1)
    rest = _from_zero(indices, total)
    found = []
    for size in reversed(tuple(shape)):
        size = hr.constant(size, rest.dtype)
        found.append(hr.floormod(rest, size))
        rest = hr.floordiv(rest, size)
    return tuple(hr.cast(f, indices.dtype) for f in reversed(found))


def vectorize(
    pyfunc: Callable[..., Any], *, excluded: Any = None, signature: str | None = None
) -> Callable[..., Any]:
    """A function that applies `pyfunc` to every element of its arguments.

    Args:
        pyfunc: function of tensors.
        excluded: places of arguments that are passed as they are.
        signature: the axes that `pyfunc` itself handles, such as ``"(n,m),(m)->(n)"``.
    """
    own = _core_ranks(signature)
    excluded = set(excluded or ())

    @functools.wraps(pyfunc)
    def vectorized(*args: Any) -> Any:
        at = [i for i in range(len(args)) if i not in excluded]
        tensors = [as_tensor(args[i]) for i in at]
        core = own or [0] * len(tensors)
        shape = functools.reduce(
            hr.broadcast_dynamic_shape,
            [hr.shape(t)[: len(t.shape) - c] for t, c in zip(tensors, core, strict=True)],
        )
        flat = []
        for t, c in zip(tensors, core, strict=True):
            inner = hr.shape(t)[len(t.shape) - c :]
            wide = hr.broadcast_to(t, hr.concat([shape, inner], axis=0))
            flat.append(hr.reshape(wide, hr.concat([[-1], inner], axis=0)))

        def call(elements: Any) -> Any:
            given = list(args)
            for i, element in zip(at, elements, strict=True):
                given[i] = element
            return pyfunc(*given)

        found = hr.vectorized_map(call, flat)
        outputs = found if isinstance(found, tuple) else (found,)
        shaped = tuple(
            hr.reshape(o, hr.concat([shape, hr.shape(o)[1:]], axis=0)) for o in outputs
        )
        return shaped if isinstance(found, tuple) else shaped[0]

    return vectorized


def _core_ranks(signature: str | None) -> list[int] | None:
    if signature is None:
        return None
    groups = signature.replace(" ", "").split("->")[0].split("),(")
    return [len([n for n in g.strip("()").split(",") if n]) for g in groups]


__all__ = [
    "get_item", "select", "take", "take_along_axis", "unravel_index", "vectorize", "where",
]  # fmt: skip
