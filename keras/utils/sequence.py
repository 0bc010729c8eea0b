"""PyDataset and Sequence: batches by index, to be subclassed."""

from __future__ import annotations

from typing import Any

__all__ = ["PyDataset", "Sequence"]


class PyDataset:
    """A source of batches: define ``__getitem__(index)`` and ``__len__()``.

    Args:
        workers: how many fetch batches at the same time.
        use_multiprocessing: whether the workers are processes, which get a copy of the dataset
            (it must be picklable), rather than threads.
        max_queue_size: batches fetched ahead by several workers or processes.
    """

    def __init__(
        self, workers: int = 1, use_multiprocessing: bool = False, max_queue_size: int = 10
    ):
        self.workers = workers
        self.use_multiprocessing = use_multiprocessing
        self.max_queue_size = max_queue_size

    def __getitem__(self, index: int) -> Any:
        """The batch at `index`."""
        raise NotImplementedError(f"{type(self).__name__} must define __getitem__(index)")

    def __len__(self) -> int:
        """The number of batches."""
        raise NotImplementedError(f"{type(self).__name__} must define __len__()")

    def on_epoch_begin(self) -> None:
        """Called before each epoch."""

    def on_epoch_end(self) -> None:
        """Called after each epoch."""


Sequence = PyDataset
