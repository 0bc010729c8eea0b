"""Initializer: the base class of everything that gives a new weight its first value.

An initializer is a callable ``(shape, dtype=None, **kwargs) -> Tensor`` with a config.  Values
are made with NumPy on the host, from a counter-based generator (Philox), so that a seed gives
the same weights on every device and for every number of threads.
"""

from __future__ import annotations

import random
from typing import Any

import numpy as np

from ...ops import api as hr
from ..backend import floatx

__all__ = ["Initializer", "RandomInitializer"]


class Initializer:
    """Base class: override ``__call__`` and, if there are arguments, ``get_config``."""

    def __call__(self, shape: Any, dtype: Any = None, **kwargs: Any) -> Any:
        """A tensor of `shape` and `dtype` (default: ``floatx()``)."""
        raise NotImplementedError(
            "Initializer subclasses must implement the `__call__()` method."
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, as JSON-ready values."""
        return {}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Initializer:
        """The initializer that `config` (from `get_config`) describes."""
        return cls(**config)

    def clone(self) -> Initializer:
        """A copy; a seeded one repeats the values of the original."""
        return self.__class__.from_config(self.get_config())


class RandomInitializer(Initializer):
    """Base of the random ones: the same instance gives the same values at every call.

    Args:
        seed: Python int, or None to draw one from Python's `random` (which
            ``keras.utils.set_random_seed`` seeds).
    """

    def __init__(self, seed: int | None = None):
        if seed is not None and not isinstance(seed, int | np.integer):
            raise ValueError(
                "`seed` should be an instance of `keras.random.SeedGenerator()` or an integer. "
                f"Received: seed={seed}"
            )
        self._init_seed = None if seed is None else int(seed)
        self.seed = random.randint(1, int(1e9)) if seed is None else int(seed)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; an unset seed stays None."""
        return {"seed": self._init_seed}

    def _generator(self) -> np.random.Generator:
        return np.random.Generator(np.random.Philox(key=self.seed & 0xFFFFFFFFFFFFFFFF))


def finish(values: np.ndarray, dtype: Any) -> Any:
    """`values` as a tensor of `dtype`."""
    return hr.constant(values.astype(hr.as_dtype(dtype or floatx()).np_dtype, copy=False))


def float_dtype(dtype: Any, who: str) -> Any:
    """`dtype` (default ``floatx()``) as a DType, refused unless it holds real fractions."""
    found = hr.as_dtype(dtype or floatx())
    if not found.is_floating:
        raise ValueError(f"{who} expects a floating dtype, got dtype={found.name}")
    return found
