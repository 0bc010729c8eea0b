"""Seeds of the random transformations, by TensorFlow's rules for global and operation seeds."""

from __future__ import annotations

import os
from typing import Any

from .values import as_int

__all__ = ["resolve_seeds"]

_DEFAULT_GLOBAL_SEED = 87654321
_MASK = (1 << 63) - 1


def resolve_seeds(seed: Any) -> tuple[int, int]:
    """Two 63-bit seeds for an operation's `seed` argument.

    With an operation seed or a global one (`hr.random.set_seed`) they are determined; with
    neither they are drawn from the operating system.
    """
    op_seed = None if seed is None else as_int("seed", seed) & _MASK
    global_seed = _global_seed()
    if op_seed is not None:
        return (_DEFAULT_GLOBAL_SEED if global_seed is None else global_seed & _MASK), op_seed
    if global_seed is not None:
        return global_seed & _MASK, _next_op_seed()
    random = os.urandom(16)
    return int.from_bytes(random[:8], "little") & _MASK, int.from_bytes(random[8:], "little") & _MASK


def _global_seed() -> int | None:
    try:
        from ..ops import random_seed
    except ImportError:
        return None
    return random_seed.global_seed()


def _next_op_seed() -> int:
    from ..ops import random_seed

    return random_seed.next_op_seed()
