"""Python's operators on tensors and variables.

Importing this module gives `Tensor` and `Variable` their operators; the tensor decides the
dtype, and a Python or NumPy value beside it is converted to that dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from . import array_index, comparison, division, elementwise, linalg_ops, math_ops
from .tensor import Tensor
from .variable import Variable

__all__: list[str] = []


def _binary(name: str, fn: Callable[..., Any]) -> None:
    def forward(self: Any, other: Any) -> Any:
        if getattr(other, "_handles_operators", False):
            return NotImplemented
        return fn(self, other)

    def reflected(self: Any, other: Any) -> Any:
        return fn(other, self)

    for kind in (Tensor, Variable):
        setattr(kind, f"__{name}__", forward)
        setattr(kind, f"__r{name}__", reflected)


for _name, _fn in {
    "add": math_ops.add,
    "sub": math_ops.subtract,
    "mul": math_ops.multiply,
    "truediv": division.truediv,
    "floordiv": division.floordiv,
    "mod": division.floormod,
    "pow": math_ops.pow,
    "matmul": linalg_ops.matmul,
    "and": comparison.and_,
    "or": comparison.or_,
    "xor": comparison.xor_,
}.items():
    _binary(_name, _fn)


def _method(name: str, fn: Callable[..., Any]) -> None:
    for kind in (Tensor, Variable):
        setattr(kind, name, fn)


_method("__lt__", lambda self, other: comparison.less(self, other))
_method("__le__", lambda self, other: comparison.less_equal(self, other))
_method("__gt__", lambda self, other: comparison.greater(self, other))
_method("__ge__", lambda self, other: comparison.greater_equal(self, other))
_method("__eq__", lambda self, other: comparison.equal_operator(self, other))
_method("__ne__", lambda self, other: comparison.not_equal_operator(self, other))
_method("__neg__", lambda self: elementwise.negative(self))
_method("__abs__", lambda self: elementwise.abs(self))
_method("__invert__", lambda self: comparison.invert(self))
Tensor.__getitem__ = array_index.getitem  # type: ignore[attr-defined]
