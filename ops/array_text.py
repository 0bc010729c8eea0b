"""Elementwise texts evaluated with an array module: what a kernel of them computes, call by
call, on any device."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Sequence
from types import CodeType
from typing import Any

from .array_module import array_module

__all__ = ["evaluate"]


def evaluate(lines: Iterable[tuple[str, Sequence[int]]], inputs: Sequence[Any]) -> list[Any]:
    """The inputs, and behind them a value per line.

    Args:
        lines: Python expressions in a, b, c ..., with the places of what these stand for, among
            the inputs and the lines' values.
        inputs: arrays and scalars; the first says which array module is used.
    """
    functions = _functions(array_module(inputs[0]))
    values = list(inputs)
    for text, refs in lines:
        letters = {chr(ord("a") + i): values[r] for i, r in enumerate(refs)}
        values.append(eval(_compiled(text), functions, letters))
    return values


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<elementwise>", "eval")


@functools.cache
def _functions(xp: Any) -> dict[str, Any]:
    """What the texts may call, by the array module `xp`."""
    return {
        "abs": xp.abs, "exp": xp.exp, "max": xp.maximum, "min": xp.minimum, "sqrt": xp.sqrt,
        "tanh": xp.tanh, "where": xp.where, "__builtins__": {},
    }  # fmt: skip
