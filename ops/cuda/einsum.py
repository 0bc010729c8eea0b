"""Einstein sums of two operands as one product by cuBLASLt.

Dense layers on sequences, attention's projections and their gradients are such sums.  16-bit
floats are multiplied as they are; the generic form makes float32 of them first.  Operands are
turned and flattened as views: cuBLASLt reads matrices from either side.
"""

from __future__ import annotations

import math
from typing import Any

from ..einsums import as_product
from . import gemm

__all__ = ["einsum"]


def einsum(*arrays: Any, equation: str) -> Any:
    """The sum; NotImplemented for what is no product that cuBLASLt does."""
    if len(arrays) != 2 or not all(a.size for a in arrays):
        return NotImplemented
    found = as_product(equation, *arrays)
    if found is None:
        return NotImplemented
    x, y, shape, order = found
    together = [math.prod(x.shape[:-2])] if x.ndim > 2 else []  # one axis of a stack
    x, y = (a.reshape((*together, *a.shape[-2:])) for a in (x, y))
    out = gemm.matmul(x, y)
    return out if out is NotImplemented else out.reshape(shape).transpose(order)
