"""Seeds for layers that draw at random: a counter in a variable.

A `SeedGenerator` hands out ``[seed, 0]``, ``[seed, 1]``, ...; a draw is a pure function of such
a pair, so a restored counter continues the stream.
"""

from __future__ import annotations

import random as python_random
from typing import Any

from ..ops import api as hr
from ..ops.context import init_scope

__all__ = ["SeedGenerator"]


class SeedGenerator:
    """A stream of seeds for stateless draws.

    Args:
        seed: Python int; None draws one from Python's `random`.
        name: of the state variable.
    """

    def __init__(self, seed: int | None = None, name: str | None = None, **kwargs: Any):
        if seed is None:
            seed = python_random.randint(1, int(1e9))
        if not isinstance(seed, int):
            raise ValueError(f"Argument `seed` must be an integer. Received: seed={seed}")
        if seed < 0:
            raise ValueError(f"Argument `seed` must be positive. Received: seed={seed}")
        self._initial_seed = seed
        self.name = name or "seed_generator"
        with init_scope():
            self.state = hr.Variable(
                hr.constant([seed % 2**32, 0], dtype=hr.uint32),
                trainable=False,
                name=f"{self.name}/seed_generator_state",
            )

    def next(self, ordered: bool = True) -> Any:
        """The next seed, int64 ``[2]``; the counter moves on by one."""
        seed = hr.cast(self.state.read_value(), hr.int64)
        self.state.assign(hr.cast(seed + hr.constant([0, 1], dtype=hr.int64), hr.uint32))
        return seed

    def get_config(self) -> dict[str, Any]:
        """The seed."""
        return {"seed": self._initial_seed}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> SeedGenerator:
        """The generator that `config` describes."""
        return cls(**config)
