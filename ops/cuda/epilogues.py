"""What stands behind a convolution: bias and relu in one pass, over the result.

cuBLASLt and cuDNN could do both while they write, but their relu makes 0 of NaN, which would
hide a network that has diverged.
"""

from __future__ import annotations

import functools
from typing import Any

from ..dtypes import DType, as_dtype
from ..graph.fused import Program
from ..graph.loops import Step
from . import loops

__all__ = ["add_bias"]


@functools.cache
def _program(dtype: DType, relu: bool) -> Program:
    """x, bias -> x + bias, at least 0 with `relu`, written over x."""
    steps = [Step("map", (0, 1), dtype, "a + b")]
    if relu:
        steps.append(Step("map", (2,), dtype, "max(a, 0)"))
    name = "BiasRelu" if relu else "Bias"
    last = 1 + len(steps)
    return Program([dtype] * 2, [False] * 2, [], [], steps, [last], name, reuse={0: 0}, least=1)


def add_bias(out: Any, bias: Any, relu: bool) -> Any:
    """`out` with the bias added to every row, then `relu`; NotImplemented for what no kernel
    takes.

    Args:
        out: floats [..., n], written over.
        bias: [n], of the same dtype.
        relu: whether negative numbers become 0.
    """
    dtype = as_dtype(out.dtype)
    if not dtype.is_floating or bias.dtype != out.dtype or not out.size:
        return NotImplemented
    found = loops.run(_program(dtype, relu), (out, bias))
    return NotImplemented if found is None else found[0]
