"""Seeds for layers that draw at random: a counter in a variable.

A `SeedGenerator` hands out ``[seed, 0]``, ``[seed, 1]``, ...; a draw is a pure function of such
a pair, so a restored counter continues the stream.

In a function mapped over a dataset there is no counter to move on: elements are made ahead,
side by side and by the block.  There each element gets seeds of its own, keyed by the
generator's seed, the element's position and the draw's place in the function, as in the
`hr.random` operations.  A seed that was chosen gives the same numbers in every pass over the
dataset; without one, and without a global seed, every pass draws anew.
"""

from __future__ import annotations

import random as python_random
import weakref
from typing import Any

from ..ops import api as hr
from ..ops.context import current, init_scope, same_on_all_replicas
from ..ops.random_ops import global_seed, random_uniform

__all__ = ["SeedGenerator"]

_LARGEST = 2**31 - 1


class SeedGenerator:
    """A stream of seeds for stateless draws.

    Args:
        seed: Python int; None draws one from Python's `random`.
        name: of the state variable.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any):
        self._fresh = seed is None and global_seed() is None
        if seed is None:
            seed = python_random.randint(1, int(1e9))
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        if seed < 0:
            raise ValueError(f"Argument `seed` must be positive. Received: seed={seed}")
        self._initial_seed = seed
        # Draws in each function of a pipeline that was traced.
        self._traced: weakref.WeakKeyDictionary[Any, int] = weakref.WeakKeyDictionary()
        self.name = name or "seed_generator"
        with init_scope():
            self.state = hr.Variable(
                hr.constant([seed % 2**32, 0], dtype=hr.uint32),
                trainable=False,
                name=f"{self.name}/seed_generator_state",
            )

    def next(self, ordered: bool = True) -> Any:
        """The next seed, int64 ``[2]``; the counter moves on by one."""
        if getattr(current.trace, "exact", False):
            return self._of_element(current.trace)
        seed = hr.cast(self.state.read_value(), hr.int64)
        with same_on_all_replicas():
            self.state.assign(hr.cast(seed + hr.constant([0, 1], dtype=hr.int64), hr.uint32))
        if current.replica is not None:  # each draws numbers of its own
            seed = seed + current.replica.seed_offset()
        return seed

    def _of_element(self, trace: Any) -> Any:
        """A seed for the element that a pipeline's function is traced for."""
        draws = self._traced.get(trace, 0)
        self._traced[trace] = draws + 1
        own = None if self._fresh else (self._initial_seed + draws * 0x9E3779B1) % _LARGEST
        pair = random_uniform([2], 0, _LARGEST, dtype=hr.int32, seed=own)
        return hr.cast(pair, hr.int64)

    # A checkpoint's value of Headrace's own: TensorFlow's checkpoints have none.

    def _checkpoint_children(self) -> Any:
        return ()

    def _checkpoint_values(self) -> dict[str, Any]:
        return {".state": lambda: self.state.numpy()}

    def _restore_checkpoint(self, values: dict[str, Any], where: str) -> None:
        with init_scope():
            self.state.assign(values[".state"])

    def get_config(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """The generator that `config` describes."""
        return cls(**config)
