"""Einstein sums of two operands as one product by cuBLASLt.

Dense layers on sequences, attention's projections and their gradients are such sums.  16-bit
floats are multiplied as they are; the generic form makes float32 of them first.  Operands are
turned and flattened as views: cuBLASLt reads matrices from either side.
"""

from __future__ import annotations

import math
from typing import Any

from ..einsums import pair_plan
from . import gemm

__all__ = ["einsum"]


def einsum(*arrays: Any, equation: str) -> Any:
    """The sum; NotImplemented for what is no product that cuBLASLt does."""
    if len(arrays) != 2:
        return NotImplemented
    x, y = arrays
    plan = pair_plan(equation)
    labels = equation.split("->")[0].split(",")
    if plan is None or (x.ndim, y.ndim) != tuple(map(len, labels)) or not (x.size and y.size):
        return NotImplemented
    swapped, stack, rows, inner, perm_x, perm_y, perm_out = plan
    if swapped:
        x, y = y, x
    x, y = x.transpose(perm_x), y.transpose(perm_y)
    s, m, k = x.shape[:stack], x.shape[stack : stack + rows], x.shape[stack + rows :]
    n = y.shape[stack + inner :]
    if y.shape[: stack + inner] != s + k:
        return NotImplemented  # an axis of one that is repeated, or an error
    together = [math.prod(s)] if s else []
    left = x.reshape((*together, math.prod(m), math.prod(k)))
    right = y.reshape((*together, math.prod(k), math.prod(n)))
    out = gemm.matmul(left, right)
    return out if out is NotImplemented else out.reshape((*s, *m, *n)).transpose(perm_out)
