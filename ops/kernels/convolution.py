"""Convolution by compiled kernels."""

from __future__ import annotations

from typing import Any

from ..windows import Windows

__all__ = ["forward", "grad_filter", "grad_input"]


def forward(x: Any, w: Any, at: Windows, bias: Any = None, relu: bool = False) -> Any:
    """The convolution, or None."""
    return None


def grad_input(shape: tuple[int, ...], w: Any, g: Any, at: Windows) -> Any:
    """The input gradient, or None."""
    return None


def grad_filter(x: Any, shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """The filter gradient, or None."""
    return None
