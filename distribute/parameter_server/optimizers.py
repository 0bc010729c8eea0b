"""Optimizers under a `ParameterServerStrategy`: what the worker does of a step, what the
servers do, and what cannot be.

A worker has whole gradients and no weights: it divides them by the loss scale and clips them,
also by norms.  A server has shards and their slots: it accumulates, decays weights, updates,
averages and constrains.  What needs whole variables behind that can be had for variables that
are not cut: the norm of an accumulated gradient, constraints along the first axis.
"""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np

from ...ops.tensor import Tensor
from .partitioners import dims_of
from .store import OptimizerTerms

__all__ = ["check_constraint", "check_update", "packed_constraint", "prepared", "terms_of"]

_CLIPS = ("clipnorm", "global_clipnorm", "clipvalue")


def terms_of(optimizer: Any, variables: list[Any]) -> OptimizerTerms:
    """What servers must know to update `variables`."""
    rate = float(np.asarray(optimizer.learning_rate))
    config = {**optimizer.get_config(), "learning_rate": rate, "loss_scale_factor": None}
    if not optimizer.gradient_accumulation_steps:
        config.update(dict.fromkeys(_CLIPS))
    spared = {v.layout.name for v in variables if not optimizer._use_weight_decay(v)}
    name = f"{optimizer.name} of {variables[0].layout.name}"
    return OptimizerTerms(
        name, type(optimizer), config, rate, [v.layout for v in variables], spared
    )


def prepared(optimizer: Any, gradients: list[np.ndarray]) -> list[np.ndarray]:
    """Values of gradients, of rows or all, as servers take them."""
    scale = optimizer.loss_scale_factor
    grads: list[Any] = [Tensor.of(g) for g in gradients]
    if scale is not None:
        grads = [g / scale for g in grads]
    if not optimizer.gradient_accumulation_steps:  # else servers clip the mean
        grads = optimizer._clip_gradients(grads)
    return [np.asarray(g) for g in grads]


def check_update(optimizer: Any, grads: list[Any], variables: list[Any]) -> None:
    """Raise ValueError where servers cannot do what an optimizer asks for."""
    for v in variables:
        if not hasattr(v, "layout"):
            raise ValueError(
                f"variable {getattr(v, 'name', v)!r} was not created in the scope of the "
                "ParameterServerStrategy, and those it is trained with were; make all of the "
                "model's variables inside strategy.scope()"
            )
    for inside in ("inner_optimizer", "optimizers"):
        if hasattr(optimizer, inside):
            raise ValueError(
                f"{type(optimizer).__name__} keeps state of its own between the steps of all "
                "workers, which ParameterServerStrategy does not share; use the optimizer "
                "inside of it (with loss_scale_factor, or the policy mixed_bfloat16, instead "
                "of a dynamic loss scale)"
            )
    if all(g is None for g in grads):
        raise ValueError("No gradients provided for any variable.")
    if not optimizer.gradient_accumulation_steps:
        return
    servers = {s for v in variables for s in v.layout.servers}
    cut = [v.name for v in variables if len(v.layout.servers) > 1]
    if optimizer.clipnorm and cut:
        raise ValueError(
            f"clipnorm={optimizer.clipnorm} with gradient_accumulation_steps is the norm of an "
            f"accumulated gradient, which no server has whole: {cut[0]!r} is cut into shards; "
            "leave variable_partitioner out, or use clipvalue"
        )
    if optimizer.global_clipnorm and (cut or len(servers) > 1):
        raise ValueError(
            f"global_clipnorm={optimizer.global_clipnorm} with gradient_accumulation_steps is "
            "the norm of all accumulated gradients, which lie on "
            f"{len(servers)} servers; use one server without variable_partitioner, or "
            "clipvalue"
        )


def check_constraint(variable: Any) -> None:
    """Raise ValueError for a constraint that looks at more than a server has."""
    if len(variable.layout.servers) == 1:
        return
    constraint = variable.constraint
    axis = getattr(constraint, "axis", None)
    axes = set(np.atleast_1d(axis).tolist()) if axis is not None else {None}
    by_rows = type(constraint).__name__ == "NonNeg" or not axes & {
        None, 0, -len(dims_of(variable.shape))}  # fmt: skip
    if not by_rows:
        raise ValueError(
            f"the constraint {type(constraint).__name__} of variable {variable.name!r} looks "
            f"along the first axis, along which variable_partitioner cuts it into "
            f"{len(variable.layout.servers)} shards; constrain along other axes, or leave the "
            "variable whole"
        )


def packed_constraint(variable: Any) -> bytes:
    """A variable's constraint for its servers.

    Raises:
        InvalidArgumentError: it cannot leave the process.
    """
    from .packing import pack

    packed = pack(f"the constraint of variable {variable.name!r}", variable.constraint)
    pickle.loads(packed)
    return packed
