"""Batches of a `PyDataset`, fetched ahead by its workers and delivered in order.

Threads share the dataset.  With `use_multiprocessing`, each worker process has a copy of it,
sent once, and batches come back through pipes.  At most `max_queue_size` batches are under way
or waiting.  With one worker and no processes batches are fetched when they are asked for, as in
Keras, where the order of side effects then is the order of the steps.
"""

from __future__ import annotations

import itertools
import multiprocessing
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any

__all__ = ["fetched"]


def fetched(sequence: Any, order: Iterable[int]) -> Iterator[Any]:
    """``sequence[i]`` for each `i` of `order`.

    An error of ``__getitem__`` is raised where its batch would have come.
    """
    workers = getattr(sequence, "workers", 1) or 1
    if getattr(sequence, "use_multiprocessing", False):
        # Not forked: this process has threads, whose locks a fork would copy as they are.
        context = multiprocessing.get_context("spawn")
        processes = ProcessPoolExecutor(workers, context, _receive, (sequence,))
        return _ahead(processes, _item, sequence, order)
    if workers > 1:
        threads = ThreadPoolExecutor(workers, "keras-pydataset")
        return _ahead(threads, sequence.__getitem__, sequence, order)
    return map(sequence.__getitem__, order)


def _ahead(
    pool: Executor, fetch: Callable[[int], Any], sequence: Any, order: Iterable[int]
) -> Iterator[Any]:
    limit = max(1, getattr(sequence, "max_queue_size", 10) or 10)
    indices = iter(order)
    waiting: deque[Future[Any]] = deque()
    try:
        waiting.extend(pool.submit(fetch, i) for i in itertools.islice(indices, limit))
        while waiting:
            batch = waiting.popleft().result()
            waiting.extend(pool.submit(fetch, i) for i in itertools.islice(indices, 1))
            yield batch
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


_received: Any = None


def _receive(sequence: Any) -> None:
    """Keep the dataset in a worker process."""
    global _received
    _received = sequence


def _item(index: int) -> Any:
    return _received[index]
