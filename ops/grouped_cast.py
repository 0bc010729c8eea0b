"""GroupedCast: many tensors cast at once, for GPUs, where every call is a launch.

A pass (`graph.passes.grouped_casts`) makes it of the casts of weights and of their gradients;
it has no gradient of its own.
"""

from __future__ import annotations

from typing import Any

from .dtypes import DType
from .primitive import Primitive
from .tensor_spec import TensorSpec

__all__ = ["GroupedCast"]


def _impl(*arrays: Any, DstT: DType) -> tuple[Any, ...]:
    return tuple([a.astype(DstT.np_dtype) for a in arrays])


GroupedCast = Primitive(
    "_GroupedCast",
    "inputs: N * T",
    impl=_impl,
    shape=lambda *tensors, DstT: tuple([TensorSpec(t.shape, DstT) for t in tensors]),
)
