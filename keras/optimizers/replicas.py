"""What optimizers do under a strategy of several replicas: the gradients are summed over all
replicas before they are applied; with sharded state, each replica updates a part of the
weights.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...distribute.buckets import reduce_gradients
from ...distribute.sharded_state import assign_owners, share_owned
from ...distribute.variables import OwnedVariable
from ...ops import api as hr
from ...ops.context import current

__all__ = [
    "own_part",
    "sharded",
    "share_updates",
    "slot_class",
    "sum_over_replicas",
    "summed_by_replicas",
]


def summed_by_replicas() -> bool:
    """Whether gradients given now are one replica's, to be summed with the others'."""
    return current.replica is not None and not current.in_step


def sum_over_replicas(grads: Sequence[Any], variables: Sequence[Any]) -> list[Any]:
    """The sums of the gradients of `variables` over the replicas."""
    limits = current.replica.strategy.extended.options.bucket_bytes
    return reduce_gradients(grads, limits, [v.shape for v in variables])


def sharded() -> bool:
    """Whether each replica keeps the slots of a part of the weights."""
    replica = current.replica
    return replica is not None and replica.strategy.extended.sharded_optimizer


def slot_class() -> type:
    """The class of an optimizer's slots in the scope that is open."""
    strategy = current.variables
    if strategy is not None and strategy.extended.sharded_optimizer:
        return OwnedVariable
    return hr.Variable


def _owners(all_variables: Sequence[Any]) -> dict[int, int]:
    sizes = [v.shape.num_elements() or 0 for v in all_variables]
    owners = assign_owners(sizes, current.replica.num_replicas_in_sync)
    return {id(v): owner for v, owner in zip(all_variables, owners, strict=True)}


def own_part(
    grads: Sequence[Any], variables: Sequence[Any], all_variables: Sequence[Any]
) -> tuple[list[Any], list[Any]]:
    """The gradients and variables that this replica updates, of all that are trained."""
    owners, me = _owners(all_variables), current.replica.rank
    own = [i for i, v in enumerate(variables) if owners[id(v)] == me]
    return [grads[i] for i in own], [variables[i] for i in own]


def share_updates(
    variables: Sequence[Any], own: Sequence[Any], all_variables: Sequence[Any]
) -> None:
    """Give every replica the variables that others have updated."""
    if sharded():
        owners = _owners(all_variables)
        share_owned(variables, [owners[id(v)] for v in variables])
