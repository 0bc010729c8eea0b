"""ApplyUpdate: the primitive that makes an update of `updates.UPDATES`, in place.

An optimizer's update is a row of that table.  Where its kernel is ready and the arrays fit, it
runs over variable and slots in one pass; everywhere else (small or strided arrays, bfloat16,
GPUs, no compiler) the same texts are evaluated with the array module.
"""

from __future__ import annotations

import functools
from types import CodeType
from typing import Any

from ...ops.array_module import array_module
from ...ops.primitive import Primitive
from .apply_ops import DONE, dense_shape
from .updates import UPDATES, update

__all__ = ["ApplyUpdate", "apply_update"]


def apply_update(
    name: str,
    variables: tuple[Any, ...],
    gradient: Any,
    tensors: tuple[Any, ...] = (),
    constants: tuple[float, ...] = (),
) -> None:
    """Update variables.

    Args:
        name: of the row of `updates.UPDATES`.
        variables: the one being trained, then its slots.
        gradient: dense, of the dtype of the variables.
        tensors: scalars of that dtype that change from step to step.
        constants: numbers that do not; after `tensors` in the row's numbering.
    """
    ApplyUpdate([*tensors, gradient], variables=variables, name=name, constants=constants)


@functools.cache
def _compiled(text: str) -> CodeType:
    return compile(text, "<update>", "eval")


@functools.cache
def _functions(xp: Any) -> dict[str, Any]:
    """What the texts may call, by the array module `xp`."""
    return {
        "abs": xp.abs, "max": xp.maximum, "min": xp.minimum, "sqrt": xp.sqrt,
        "where": xp.where, "__builtins__": {},
    }  # fmt: skip


def _impl(*inputs: Any, variables: Any, name: str, constants: tuple[float, ...]) -> Any:
    *tensors, grad = inputs
    arrays = [v.owned() for v in variables]
    kind = grad.dtype.type
    numbers = [*tensors, *(kind(c) for c in constants)]
    if update(name, (*arrays, grad), *numbers):
        return DONE
    functions = _functions(array_module(grad))
    lines = UPDATES[name][2]
    values = [*arrays, grad, *numbers]
    for _, text, refs in lines:
        letters = {chr(ord("a") + i): values[r] for i, r in enumerate(refs)}
        values.append(eval(_compiled(text), functions, letters))
    # Only now: a later line may read what an earlier one's result is written over.
    for (place, _, _), value in zip(lines, values[-len(lines) :], strict=True):
        if place is not None:
            arrays[place][...] = value
    return DONE


ApplyUpdate = Primitive(
    "_ApplyUpdate",
    "inputs: N * T",
    impl=_impl,
    shape=dense_shape,
    stateful=True,
    check_first=True,
)
