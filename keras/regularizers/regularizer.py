"""Regularizers: penalties on weights or activations, added to the loss."""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr

__all__ = ["L1", "L1L2", "L2", "OrthogonalRegularizer", "Regularizer"]


class Regularizer:
    """Base class: ``regularizer(tensor)`` returns a scalar penalty."""

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`, a scalar; none here."""
        return 0.0

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        raise NotImplementedError(f"{self} does not implement get_config()")

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Regularizer:
        """The regularizer that `config` describes."""
        return cls(**config)


def _factor(value: Any, name: str) -> float:
    """`value` as a float; 0 for None.

    Raises:
        ValueError: `value` is no finite non-negative number.
    """
    value = 0.0 if value is None else value
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value < 0:
        raise ValueError(
            f"Invalid value for argument {name}: expected a non-negative float. "
            f"Received: {name}={value}"
        )
    return float(value)


class L1L2(Regularizer):
    """``l1 * sum(|x|) + l2 * sum(x ** 2)``.

    >>> round(float(L1L2(l1=0.1, l2=0.01)(hr.constant([1.0, -2.0]))), 4)
    0.35
    """

    def __init__(self, l1: float | None = 0.0, l2: float | None = 0.0):
        self.l1 = _factor(l1, "l1")
        self.l2 = _factor(l2, "l2")

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`."""
        x = hr.convert_to_tensor(x)
        penalty = hr.zeros((), dtype=x.dtype)
        if self.l1:
            penalty = penalty + self.l1 * hr.reduce_sum(hr.abs(x))
        if self.l2:
            penalty = penalty + self.l2 * hr.reduce_sum(hr.square(x))
        return penalty

    def get_config(self) -> dict[str, Any]:
        """Both factors."""
        return {"l1": self.l1, "l2": self.l2}


class L1(Regularizer):
    """``l1 * sum(|x|)``."""

    def __init__(self, l1: float = 0.01):
        self.l1 = _factor(0.01 if l1 is None else l1, "l1")

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`."""
        return self.l1 * hr.reduce_sum(hr.abs(hr.convert_to_tensor(x)))

    def get_config(self) -> dict[str, Any]:
        """The factor."""
        return {"l1": self.l1}


class L2(Regularizer):
    """``l2 * sum(x ** 2)``."""

    def __init__(self, l2: float = 0.01):
        self.l2 = _factor(0.01 if l2 is None else l2, "l2")

    def __call__(self, x: Any) -> Any:
        """The penalty of `x`."""
        return self.l2 * hr.reduce_sum(hr.square(hr.convert_to_tensor(x)))

    def get_config(self) -> dict[str, Any]:
        """The factor."""
        return {"l2": self.l2}


class OrthogonalRegularizer(Regularizer):
    """Penalises rows (or columns) of a matrix that are not orthogonal to each other.

    Args:
        factor: of the penalty.
        mode: ``"rows"`` or ``"columns"``.
    """

    def __init__(self, factor: float = 0.01, mode: str = "rows"):
        if mode not in {"rows", "columns"}:
            raise ValueError(
                "Invalid value for argument `mode`. Expected one of "
                f'{{"rows", "columns"}}. Received: mode={mode}'
            )
        self.factor = _factor(factor, "factor")
        self.mode = mode

    def __call__(self, x: Any) -> Any:
        """The penalty of the matrix `x`."""
        x = hr.convert_to_tensor(x)
        if len(x.shape) != 2:
            raise ValueError(
                "Inputs to OrthogonalRegularizer must have rank 2. Received: "
                f"inputs.shape={tuple(x.shape)}"
            )
        rows = self.mode == "rows"
        norm2 = hr.reduce_sum(hr.square(x), axis=1 if rows else 0, keepdims=True)
        x = x * hr.rsqrt(hr.maximum(norm2, hr.constant(1e-14, dtype=x.dtype)))
        product = hr.matmul(x, x, transpose_b=rows, transpose_a=not rows)
        size = int(x.shape[0 if rows else 1])
        off_diagonal = product * (1.0 - hr.eye(size, dtype=x.dtype))
        pairs = size * (size - 1.0) / 2.0
        return self.factor * 0.5 * hr.reduce_sum(hr.abs(off_diagonal)) / pairs

    def get_config(self) -> dict[str, Any]:
        """Factor and mode."""
        return {"factor": self.factor, "mode": self.mode}
