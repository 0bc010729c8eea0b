"""CheckpointOptions: how checkpoints are written and read."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from typing import Any

__all__ = ["CheckpointOptions"]


class CheckpointOptions:
    """How a checkpoint is written or read.

    Args:
        experimental_io_device: taken for TensorFlow's sake: this process reads and writes.
        experimental_enable_async_checkpoint: the old name of `enable_async`.
        experimental_write_callbacks: functions called after each write, in this order, with
            the checkpoint's path if they take an argument.
        enable_async: whether a thread writes the files while training goes on; values are
            copied first.  `Checkpoint.sync` waits.
        experimental_skip_slot_variables: whether slot variables of TensorFlow's older
            optimizers may be left unrestored.
        experimental_sharding_callback: not supported: there is one data file.

    Raises:
        ValueError: a callback takes more than one argument, or a sharding callback is given.
    """

    def __init__(
        self,
        experimental_io_device: str | None = None,
        experimental_enable_async_checkpoint: bool = False,
        experimental_write_callbacks: Sequence[Callable[..., Any]] | None = None,
        enable_async: bool = False,
        experimental_skip_slot_variables: bool = False,
        experimental_sharding_callback: Any = None,
    ):
        if experimental_sharding_callback is not None:
            raise ValueError(
                "experimental_sharding_callback is not supported: checkpoints have one data "
                "file; leave it None"
            )
        for callback in experimental_write_callbacks or ():
            count = len(inspect.signature(callback).parameters)
            if count > 1:
                raise ValueError(
                    "experimental_write_callbacks must take no argument, or the checkpoint's "
                    f"path; {callback!r} takes {count}"
                )
        self.experimental_io_device = experimental_io_device
        self.enable_async = experimental_enable_async_checkpoint or enable_async
        self.experimental_enable_async_checkpoint = self.enable_async
        self.experimental_write_callbacks = experimental_write_callbacks
        self.experimental_skip_slot_variables = experimental_skip_slot_variables
        self.experimental_sharding_callback = None

    def and_then(self, callback: Callable[..., Any]) -> CheckpointOptions:
        """The same options with a callback after the others."""
        result = copy.copy(self)
        result.experimental_write_callbacks = [
            *(self.experimental_write_callbacks or ()), callback,
        ]  # fmt: skip
        return result

    def call_back(self, path: str) -> None:
        """Call the callbacks."""
        for callback in self.experimental_write_callbacks or ():
            callback(*[path][: len(inspect.signature(callback).parameters)])
