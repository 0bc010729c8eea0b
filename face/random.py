"""`hr.random`: random values, stateful under a global seed and stateless under given ones."""

from ..ops.api import (
    Generator,
    create_rng_state,
    get_global_generator,
    random_normal as normal,
    random_shuffle as shuffle,
    random_truncated_normal as truncated_normal,
    random_uniform as uniform,
    set_global_generator,
    set_seed,
    stateless_normal,
    stateless_truncated_normal,
    stateless_uniform,
)

__all__ = [
    "Generator",
    "create_rng_state",
    "get_global_generator",
    "normal",
    "set_global_generator",
    "set_seed",
    "shuffle",
    "stateless_normal",
    "stateless_truncated_normal",
    "stateless_uniform",
    "truncated_normal",
    "uniform",
]
