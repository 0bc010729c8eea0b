"""Loops: what a fused chain computes, as steps over rows and columns, and the passes they take.

All values of a chain live in one space of rows and columns: the last axis is the columns, all
others together the rows.  A value has a class,

* ``f`` full: a number per row and column;
* ``r`` row: a number per column, the same in all rows (a bias);
* ``c`` column: a number per row, of shape [..., 1]; ``k`` the same of shape [...];
* ``s`` scalar;
* ``R``, ``S``: a sum over all rows (and columns), complete only behind the last row.

A reduction along the columns needs all of its row before the next step can use it, so a row is
gone through in passes: a step runs in the first pass that has what it reads.  What later passes
need again is kept.  This module knows nothing of the machine: `loop_code` writes LLVM IR.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from ..dtypes import DType

__all__ = ["LoopNest", "Step", "joined", "loop_nest", "start_of"]


class Step(NamedTuple):
    """One value of a chain.

    Attributes:
        kind: ``map`` (an elementwise text), ``cast``, ``reduce`` (`what`: sum, mean, max, min;
            `over`: last, lead, all), ``spread`` (a reduction's result over what was reduced;
            `what` mean divides by the count), ``keep`` and ``drop`` (a last axis of size 1).
        refs: inputs of the chain (r < number of inputs), or earlier steps.
        dtype: of the result.
        what, over: see `kind`.
        keepdims: whether a reduction's result keeps the reduced axes with size 1.
        numbers: constants that the text names, as (name, value).
    """

    kind: str
    refs: tuple[int, ...]
    dtype: DType
    what: str = ""
    over: str = ""
    keepdims: bool = False
    numbers: tuple[tuple[str, float], ...] = ()


class LoopNest(NamedTuple):
    """Steps on inputs of certain classes.

    Attributes:
        classes: of every input and step.
        levels: the pass in which each is computed; a ``c`` is there before its pass begins.
        passes: how many times a row is gone through.
        kept: full steps that later passes read.
    """

    classes: tuple[str, ...]
    levels: tuple[int, ...]
    passes: int
    kept: frozenset[int]

    @property
    def flat(self) -> bool:
        """Whether rows and columns can be one loop."""
        return not any(c in "rckR" for c in self.classes)


def loop_nest(letters: str, steps: Sequence[Step]) -> LoopNest | None:
    """The passes for inputs of the classes `letters`; None if the steps do not fit together."""
    classes = list(letters)
    levels = [0] * len(letters)
    for step in steps:
        found = _class_of(step, [classes[r] for r in step.refs])
        if found is None:
            return None
        level = max((levels[r] for r in step.refs), default=0)
        if step.kind == "reduce" and found in "ck":
            level += 1
        classes.append(found)
        levels.append(level)
    kept = set()
    passes = 1
    for i, step in enumerate(steps):
        at = levels[len(letters) + i]
        if step.kind == "reduce":
            at = at - 1 if classes[len(letters) + i] in "ck" else at
        elif classes[len(letters) + i] != "f":
            continue
        passes = max(passes, at + 1)
        for r in step.refs:
            if r >= len(letters) and classes[r] == "f" and levels[r] < at:
                kept.add(r)
    return LoopNest(tuple(classes), tuple(levels), passes, frozenset(kept))


def _class_of(step: Step, of: list[str]) -> str | None:
    if any(c in "RS" for c in of):
        return None
    first = of[0]
    if step.kind == "reduce":
        if first != "f":
            return None
        if step.over == "last":
            return "c" if step.keepdims else "k"
        return "R" if step.over == "lead" else "S"
    if step.kind == "spread":
        return "f" if first in ("ck" if step.over == "last" else "s") else None
    if step.kind == "keep":
        return "c" if first == "k" else None
    if step.kind == "drop":
        return "k" if first == "c" else None
    return joined(of)


def joined(classes: Sequence[str | None]) -> str | None:
    """The class of what is computed elementwise from values of these classes; None if they do
    not fit together."""
    if any(c is None or c in "RS" for c in classes):
        return None
    if "k" in classes:
        return "k" if all(c in ("k", "s") for c in classes) else None
    if "f" in classes or ("r" in classes and "c" in classes):
        return "f"
    return "r" if "r" in classes else "c" if "c" in classes else "s"


def start_of(what: str, dtype: DType) -> float:
    """What a reduction begins with."""
    if what in ("sum", "mean"):
        return 0
    if dtype.is_floating:
        return -math.inf if what == "max" else math.inf
    return dtype.min if what == "max" else dtype.max
