"""Values as converted functions meet them: which are tensors, which stay Python's."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..composite import Composite
from ..control_flow import _known
from ..tensor import SymbolicTensor, Tensor
from ..variable import Variable

__all__ = ["is_tensor_like", "known"]

_NUMBERS = (int, float, complex, np.generic, np.ndarray)


def known(value: Any) -> Any:
    """A condition as Python has it, or the symbolic tensor where its value is not known."""
    if isinstance(value, (Tensor, Variable)):
        value = _known(value)
        if isinstance(value, Tensor) and not isinstance(value, SymbolicTensor):
            return value
    return value


def is_tensor_like(leaf: Any) -> bool:
    """Whether a value that differs between branches or iterations can be a tensor."""
    return isinstance(leaf, (Tensor, Variable, Composite, *_NUMBERS))
