"""Seeds: one call that makes shuffling, initial weights and random ops repeatable."""

from __future__ import annotations

import random

import numpy as np

from ...ops import api as hr

__all__ = ["numpy_generator", "set_random_seed"]

_generator: list[np.random.Generator] = []


def set_random_seed(seed: int) -> None:
    """Seed Python, NumPy, Headrace's random operations and the shuffling of `fit`.

    Raises:
        ValueError: `seed` is no integer.
    """
    if not isinstance(seed, int):
        raise ValueError(f"Expected `seed` argument to be an integer. Received: seed={seed!r}")
    random.seed(seed)
    np.random.seed(seed % 2**32)
    hr.set_seed(seed)
    _generator[:] = [np.random.default_rng(seed)]


def numpy_generator() -> np.random.Generator:
    """The generator that shuffling draws from."""
    if not _generator:
        _generator.append(np.random.default_rng())
    return _generator[0]
