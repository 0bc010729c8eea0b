"""Determinism: runs that are equal bit for bit, whatever was compiled when.

Results depend on no thread count and no timing anyway, with one exception: kernels that are
compiled in the background may round otherwise than what stands in for them until then.  In
deterministic mode a call waits for its kernel, and random numbers need a seed.
"""

from __future__ import annotations

__all__ = ["enable_op_determinism", "is_deterministic", "require_seed"]

_on = False


def enable_op_determinism() -> None:
    """Make two runs of a program equal bit for bit, for the rest of the process.

    The kernels of convolutions, poolings and normalisations are compiled at once where the disk
    cache does not hold them, some seconds; fused kernels at their first use.

    From then on random operations raise unless a seed is set: `hr.random.set_seed`, or
    `hr.keras.utils.set_random_seed`, which sets Python's and NumPy's, too.
    """
    global _on
    from .graph import llvm
    from .kernels import build  # what compiles is loaded only where it is asked for

    _on = True
    if llvm.enabled():
        build.ensure_compiled()


def is_deterministic() -> bool:
    """Whether `enable_op_determinism` was called."""
    return _on


def require_seed() -> None:
    """Refuse a random operation that has no seed.

    Raises:
        RuntimeError: the mode is on.
    """
    if _on:
        raise RuntimeError(
            "Random ops require a seed to be set when determinism is enabled. Please set a "
            "seed before running the op, e.g. by calling hr.random.set_seed(1)."
        )
