"""ZeRO stage 1 (Rajbhandari et al. 2020): the optimizer's slots are shared out among the
replicas; each updates the weights whose slots it has, and gives the result to the others.

Whole weights are shared out, largest first to the replica that has least: every optimizer then
works unchanged, those that need a weight's norm too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .collective_ops import ShareOwned

__all__ = ["assign_owners", "share_owned"]


def assign_owners(sizes: Sequence[int], replicas: int) -> list[int]:
    """The replica that updates each weight, given their sizes.

    >>> assign_owners([4, 1, 3, 2], 2)
    [0, 0, 1, 1]
    """
    held = [0] * replicas
    owners = [0] * len(sizes)
    for i in sorted(range(len(sizes)), key=lambda i: (-sizes[i], i)):
        owner = min(range(replicas), key=lambda r: (held[r], r))
        owners[i] = owner
        held[owner] += sizes[i]
    return owners


def share_owned(variables: Sequence[Any], owners: Sequence[int]) -> None:
    """Give all replicas the owners' copies of `variables`."""
    ShareOwned(variables=tuple(variables), owners=tuple(owners))
