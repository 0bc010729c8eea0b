"""`hr.types.experimental`: what converts to a tensor, and what `hr.function` gives."""

from collections.abc import Callable as _Callable
from typing import Any, Union

import numpy as _np

from ..ops.function import ConcreteFunction
from ..ops.tensor import Tensor as _Tensor
from ..ops.variable import Variable as _Variable

Callable = _Callable[..., Any]
GenericFunction = PolymorphicFunction = Callable
TensorLike = Union[  # noqa: UP007  (a value, also at run time)
    _Tensor, _Variable, _np.ndarray, _np.generic, bool, int, float, complex, str, bytes, list,
    tuple,
]  # fmt: skip

__all__ = [
    "Callable",
    "ConcreteFunction",
    "GenericFunction",
    "PolymorphicFunction",
    "TensorLike",
]
