"""Means of hinge losses."""

from __future__ import annotations

from typing import Any

from ..losses.hinges import categorical_hinge, hinge, squared_hinge
from .reduction import PlainMetric

__all__ = [
    "CategoricalHinge",
    "Hinge",
    "SquaredHinge",
]


class Hinge(PlainMetric):
    """Mean of ``max(1 - y_true * y_pred, 0)``."""

    def __init__(self, name: str = "hinge", dtype: Any = None):
        super().__init__(hinge, name=name, dtype=dtype)
        self._direction = "down"


class SquaredHinge(PlainMetric):
    """Mean of ``max(1 - y_true * y_pred, 0) ** 2``."""

    def __init__(self, name: str = "squared_hinge", dtype: Any = None):
        super().__init__(squared_hinge, name=name, dtype=dtype)
        self._direction = "down"


class CategoricalHinge(PlainMetric):
    """Mean of ``max(neg - pos + 1, 0)`` of one-hot targets."""

    def __init__(self, name: str = "categorical_hinge", dtype: Any = None):
        super().__init__(categorical_hinge, name=name, dtype=dtype)
        self._direction = "down"
