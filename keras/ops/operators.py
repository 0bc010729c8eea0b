"""Python's operators on placeholders: ``x + 1``, ``x[:, 0]``, ``-x`` in functional models.

Each is the operation of `keras.ops` that Keras has for it.  Importing the module attaches them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..engine.keras_tensor import KerasTensor
from . import numpy as ops

_BINARY = {
    "add": ops.add,
    "sub": ops.subtract,
    "mul": ops.multiply,
    "truediv": ops.true_divide,
    "floordiv": ops.floor_divide,
    "mod": ops.mod,
    "pow": ops.power,
    "matmul": ops.matmul,
    "and": ops.logical_and,
    "or": ops.logical_or,
    "xor": ops.logical_xor,
}
_OTHERS = {
    "lt": ops.less,
    "le": ops.less_equal,
    "gt": ops.greater,
    "ge": ops.greater_equal,
    "ne": ops.not_equal,
    "neg": ops.negative,
    "abs": ops.absolute,
    "invert": ops.logical_not,
    "getitem": ops.get_item,
}


def _method(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, *others: function(self, *others)


def _reflected(function: Callable[..., Any]) -> Callable[..., Any]:
    return lambda self, other: function(other, self)


def _rounded(self: Any, ndigits: int | None = None) -> Any:
    return ops.round(self, decimals=ndigits or 0)


def _attach() -> None:
    for name, function in (_BINARY | _OTHERS).items():
        setattr(KerasTensor, f"__{name}__", _method(function))
    for name, function in _BINARY.items():
        setattr(KerasTensor, f"__r{name}__", _reflected(function))
    KerasTensor.__round__ = _rounded  # type: ignore[attr-defined]


_attach()
