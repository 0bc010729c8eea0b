"""Constraints: projections applied to a weight after each update."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..backend import epsilon

__all__ = ["Constraint", "MaxNorm", "MinMaxNorm", "NonNeg", "UnitNorm"]


class Constraint:
    """Base class: ``constraint(weight)`` returns the projected weight."""

    def __call__(self, w: Any) -> Any:
        """The weight `w`, projected."""
        raise NotImplementedError(f"{self} does not implement __call__()")

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Constraint:
        """The constraint that `config` describes."""
        return cls(**config)


def _norms(w: Any, axis: Any) -> Any:
    return hr.sqrt(hr.reduce_sum(hr.square(w), axis=axis, keepdims=True))


class MaxNorm(Constraint):
    """Vectors along `axis` no longer than `max_value`."""

    def __init__(self, max_value: float = 2, axis: Any = 0):
        self.max_value = max_value
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """`w` with its vectors shortened where they are too long."""
        w = hr.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        desired = hr.clip_by_value(norms, 0.0, float(self.max_value))
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """Largest norm and axis."""
        return {"max_value": self.max_value, "axis": self.axis}


class NonNeg(Constraint):
    """Values of at least 0."""

    def __call__(self, w: Any) -> Any:
        """`w` with negative values set to 0."""
        w = hr.convert_to_tensor(w)
        return hr.maximum(w, hr.zeros_like(w))


class UnitNorm(Constraint):
    """Vectors along `axis` of length 1."""

    def __init__(self, axis: Any = 0):
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """`w` with its vectors scaled to length 1."""
        w = hr.convert_to_tensor(w)
        return w / (epsilon() + _norms(w, self.axis))

    def get_config(self) -> dict[str, Any]:
        """The axis."""
        return {"axis": self.axis}


class MinMaxNorm(Constraint):
    """Vectors along `axis` of a length between two bounds, approached at `rate`."""

    def __init__(
        self, min_value: float = 0.0, max_value: float = 1.0, rate: float = 1.0, axis: Any = 0
    ):
        self.min_value = min_value
        self.max_value = max_value
        self.rate = rate
        self.axis = axis

    def __call__(self, w: Any) -> Any:
        """`w` with its vectors scaled towards the bounds."""
        w = hr.convert_to_tensor(w)
        norms = _norms(w, self.axis)
        clipped = hr.clip_by_value(norms, float(self.min_value), float(self.max_value))
        desired = self.rate * clipped + (1 - self.rate) * norms
        return w * (desired / (epsilon() + norms))

    def get_config(self) -> dict[str, Any]:
        """Both bounds, rate and axis."""
        return {
            "min_value": self.min_value,
            "max_value": self.max_value,
            "rate": self.rate,
            "axis": self.axis,
        }
