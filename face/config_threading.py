"""`hr.config.threading`: how many threads computations are spread over."""

from ..ops import workers

__all__ = [
    "get_inter_op_parallelism_threads",
    "get_intra_op_parallelism_threads",
    "set_inter_op_parallelism_threads",
    "set_intra_op_parallelism_threads",
]

_inter = 0


def get_intra_op_parallelism_threads() -> int:
    """Threads that one operation is spread over; 0 means one per CPU."""
    return workers.wanted()


def set_intra_op_parallelism_threads(num_threads: int) -> None:
    """Spread one operation over `num_threads` threads; 0 means one per CPU.

    Raises:
        ValueError: a negative number.
    """
    workers.set_count(num_threads)


def get_inter_op_parallelism_threads() -> int:
    """What was last set; independent operations run one after the other."""
    return _inter


def set_inter_op_parallelism_threads(num_threads: int) -> None:
    """Accepted for compatibility: independent operations run one after the other.

    Raises:
        ValueError: a negative number.
    """
    global _inter
    if num_threads < 0:
        raise ValueError(f"number of threads must not be negative, got {num_threads}")
    _inter = num_threads
