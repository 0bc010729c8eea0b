"""What the arithmetic of two tensors is made with: primitives that broadcast, and masking."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import sum_to
from .array_module import array_module
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS, NUMERIC, binary, broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["ORDERED", "Masked", "binary_primitive", "masked", "no_gradient"]

ORDERED = FLOATS + INTEGERS


def binary_primitive(
    name: str,
    impl: Callable[..., Any],
    expression: str | None,
    vjp: Callable[..., Any],
    types: tuple[Any, ...] = NUMERIC,
) -> Primitive:
    """The primitive of an elementwise function of two inputs of one dtype."""
    return Primitive(
        name,
        "x: T, y: T",
        impl=impl,
        shape=binary(name),
        vjp=vjp,
        batch=batch_rules.elementwise,
        types={"T": types},
        elementwise=expression,
    )


def no_gradient(op: Any, g: Any) -> Any:
    """The rule of a function of two inputs that has no gradient."""
    return None, None


def masked(x: Any, mask: Any) -> Tensor:
    """`x` where the bool tensor `mask` of the same shape is set, else 0."""
    return Masked(x, mask)


_BITS = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def _masked_impl(x: Any, mask: Any) -> Any:
    xp = array_module(x)
    bits = _BITS.get(x.dtype.itemsize)
    if bits is None or x.shape != mask.shape or not x.ndim or not x.flags.c_contiguous:
        return xp.where(mask, x, x.dtype.type(0))
    # The bits of x and all ones or all zeros: several times faster than a choice, which no
    # processor can foresee where the mask looks random.
    keep = mask.astype(bits)
    xp.negative(keep, out=keep)
    keep &= x.view(bits)
    return keep.view(x.dtype)


Masked = Primitive(
    "_Masked",
    "x: T, mask: bool",
    impl=_masked_impl,
    shape=lambda x, mask: TensorSpec(broadcast(x.shape, mask.shape, "_Masked"), x.dtype),
    vjp=lambda op, g: (sum_to(Masked(g, op.inputs[1]), op.inputs[0]), None),
    batch=batch_rules.elementwise,
    elementwise="where(b, a, 0)",
)
