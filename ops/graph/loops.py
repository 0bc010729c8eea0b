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

from collections.abc import Sequence
from typing import Any, NamedTuple

from ..dtypes import DType

__all__ = ["LoopNest", "Step", "loop_nest"]


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
    if "k" in of:
        return "k" if all(c in "ks" for c in of) else None
    if "f" in of or ("r" in of and "c" in of):
        return "f"
    return "r" if "r" in of else "c" if "c" in of else "s"


def describe(steps: Sequence[Step], inputs: int) -> list[Any]:
    """The steps as text, a line each."""
    return [
        f"%{inputs + i} = {s.kind} {s.what} {s.over} {', '.join(f'%{r}' for r in s.refs)}"
        for i, s in enumerate(steps)
    ]
