"""`hr.random.experimental`: seeds, orders and generators under TensorFlow's older names."""

from ..ops.random_generator import (
    Generator,
    create_rng_state,
    get_global_generator,
    set_global_generator,
)
from ..ops.random_seeds import (
    Algorithm,
    fold_in as stateless_fold_in,
    index_shuffle,
    split as stateless_split,
    stateless_shuffle,
)

__all__ = [
    "Algorithm",
    "Generator",
    "create_rng_state",
    "get_global_generator",
    "index_shuffle",
    "set_global_generator",
    "stateless_fold_in",
    "stateless_shuffle",
    "stateless_split",
]
