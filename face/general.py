"""Names of `hr` itself that belong to no family: static values, the clock, the logger."""

from __future__ import annotations

import logging
import time
from typing import Any

import numpy as np

from ..ops import dtypes
from ..ops.graph.graph import constant_value
from ..ops.primitive import Primitive
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor, is_symbolic
from ..ops.tensor_spec import TensorSpec

__all__ = [
    "get_logger", "get_static_value", "is_symbolic_tensor", "newaxis", "no_gradient",
    "timestamp",
]  # fmt: skip

newaxis = None


def get_logger() -> logging.Logger:
    """The package's logger."""
    return logging.getLogger("headrace")


def get_static_value(tensor: Any, partial: bool = False) -> Any:
    """The value of a tensor as an array where it is known without running anything, else None.

    Args:
        tensor: a tensor; an eager one's value is always known.
        partial: taken for TensorFlow's sake.
    """
    if not isinstance(tensor, Tensor):
        return tensor
    found = constant_value(tensor)
    return found.numpy() if isinstance(found, StringArray) else found


def is_symbolic_tensor(tensor: Any) -> bool:
    """Whether `tensor` stands for a value of a function being traced."""
    return bool(is_symbolic(tensor))


def no_gradient(op_type: str) -> None:
    """Declare that an operation of the registry has no gradient: it is None, not an error.

    Raises:
        LookupError: there is no such operation.
    """
    from ..ops.primitive import get_primitive

    primitive = get_primitive(op_type)
    if primitive.vjp is None:
        primitive.vjp = lambda op, *grads: (None,) * len(op.inputs)


Timestamp = Primitive(
    "Timestamp",
    "",
    impl=lambda: np.array(time.time(), np.float64),
    shape=lambda: TensorSpec([], dtypes.float64),
    stateful=True,
)


def timestamp(name: str | None = None) -> Tensor:
    """Seconds since 1970, float64; in a traced function when it runs."""
    return Timestamp()
