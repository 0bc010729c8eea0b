"""Fingerprints of models: workers about to train different ones learn it before the start."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from typing import Any

from ..ops.errors import FailedPreconditionError

__all__ = ["check_same_model", "described"]


def described(variables: Sequence[Any]) -> list[str]:
    """A line per variable: what has to be the same on all workers."""
    return [
        f"{v.dtype.name}{list(v.shape)} {'trainable' if v.trainable else 'fixed'}"
        for v in variables
    ]


def check_same_model(lines: Sequence[str], communicator: Any) -> None:
    """Compare what all workers are about to train.

    Args:
        lines: what describes this worker's model; see `described`.
        communicator: of the workers.

    Raises:
        FailedPreconditionError: they differ; it names the ranks and the first difference.
    """
    digest = hashlib.sha256("\n".join(lines).encode()).hexdigest()
    found = communicator.gather_objects((digest, list(lines)), "the comparison of the models")
    first = found[0]
    different = [rank for rank, each in enumerate(found) if each[0] != first[0]]
    if not different:
        return
    other = found[different[0]][1]
    place = next(
        (i for i, (a, b) in enumerate(zip(first[1], other, strict=False)) if a != b),
        min(len(first[1]), len(other)),
    )

    def shown(lines: Sequence[str]) -> str:
        return repr(lines[place]) if place < len(lines) else "nothing"

    raise FailedPreconditionError(
        f"the workers are about to train different models: rank(s) {different} differ from "
        f"rank 0, first at variable {place}, which is {shown(first[1])} on rank 0 and "
        f"{shown(other)} on rank {different[0]}; run the same script on all workers"
    )
