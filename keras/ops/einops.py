"""`rearrange`: axes split, moved and joined by a pattern such as ``"b (h w) c -> b h w c"``."""

from __future__ import annotations

import math
import re
from typing import Any

from ...ops import api as hr
from ..engine.operation import Operation
from ..engine.registry import OPERATIONS
from .op import is_symbolic
from .values import as_tensor, static

__all__ = ["rearrange"]


def _groups(side: str) -> list[list[str]]:
    """Names of the axes, those in brackets together."""
    found = re.findall(r"\(([^)]*)\)|(\w+)", side)
    return [group.split() if not name else [name] for group, name in found]


def rearrange(tensor: Any, pattern: str, **axes_lengths: int) -> Any:
    """`tensor` with its axes split, moved and joined.

    Args:
        tensor: a tensor.
        pattern: names of its axes and of the result's; names in brackets are one axis.
        **axes_lengths: sizes of names in brackets; one of each bracket may be left out.

    Raises:
        ValueError: the two sides do not have the same names, or a size is missing.

    >>> import numpy as np
    >>> rearrange(np.zeros((2, 6)), "b (h w) -> h b w", h=3).shape
    TensorShape([3, 2, 2])
    """
    if is_symbolic((tensor,)):
        return Rearrange()(tensor, pattern, **axes_lengths)
    x = as_tensor(tensor)
    left, arrow, right = pattern.partition("->")
    given, wanted = _groups(left), _groups(right)
    names = [n for group in given for n in group]
    goal = [n for group in wanted for n in group]
    if not arrow or sorted(names) != sorted(goal) or len(given) != len(x.shape):
        raise ValueError(
            f"The pattern {pattern!r} must name the {len(x.shape)} axes of the tensor on the "
            "left, and the same names on the right."
        )
    sizes: dict[str, Any] = dict(axes_lengths)
    for axis, group in enumerate(given):
        missing = [n for n in group if n not in sizes]
        if len(missing) > 1:
            raise ValueError(f"Give the sizes of all but one of {group} in {pattern!r}.")
        if missing:
            known = math.prod(sizes[n] for n in group if n in sizes)
            sizes[missing[0]] = static(x, axis) // known
    x = hr.reshape(x, [sizes[n] for n in names])
    x = hr.transpose(x, [names.index(n) for n in goal])
    return hr.reshape(x, [math.prod(sizes[n] for n in group) for group in wanted])


class Rearrange(Operation):
    """`rearrange` in a functional model."""

    keras_module = "keras.src.ops.einops"

    def call(self, tensor: Any, pattern: str, **axes_lengths: int) -> Any:
        """The rearranged tensor."""
        return rearrange(tensor, pattern, **axes_lengths)


OPERATIONS["ops.einops", "Rearrange"] = Rearrange
