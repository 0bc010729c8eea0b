"""ApplyUpdate: the primitive that makes an update of `updates.UPDATES`, in place.

An optimizer's update is a row of that table.  Where its kernel is ready and the arrays fit, it
runs over variable and slots in one pass; everywhere else (small or strided arrays, bfloat16,
GPUs, no compiler) the same texts are evaluated with the array module.
"""

from __future__ import annotations

from typing import Any

from ...ops.array_text import evaluate
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


def _impl(*inputs: Any, variables: Any, name: str, constants: tuple[float, ...]) -> Any:
    *tensors, grad = inputs
    arrays = [v.owned() for v in variables]
    kind = grad.dtype.type
    numbers = [*tensors, *(kind(c) for c in constants)]
    if update(name, (*arrays, grad), *numbers):
        return DONE
    lines = UPDATES[name][2]
    values = evaluate([(text, refs) for _, text, refs in lines], [*arrays, grad, *numbers])
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
