"""CheckpointManager: a folder of checkpoints of which the latest few are kept."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable
from typing import Any

from ..bundle.writer import delete_bundle
from .checkpoint import Checkpoint
from .options import CheckpointOptions
from .state import get_checkpoint_state, update_checkpoint_state

__all__ = ["CheckpointManager"]

_log = logging.getLogger("headrace")


class CheckpointManager:
    """Writes checkpoints into a folder and deletes the oldest.

    Args:
        checkpoint: the `Checkpoint` to save and restore.
        directory: the folder, which the manager's state is kept in, too.
        max_to_keep: how many to keep; None for all.
        keep_checkpoint_every_n_hours: of those that would be deleted, one in so many hours is
            kept for good.
        checkpoint_name: the files' name before the number.
        step_counter: a variable that counts steps; needed for `checkpoint_interval`.
        checkpoint_interval: least number of steps between two checkpoints.
        init_fn: called by `restore_or_initialize` where there is no checkpoint.
        last_checkpoint_step: the step of the last checkpoint, for `checkpoint_interval`.

    Raises:
        ValueError: `max_to_keep` is not positive; an interval is given without a counter.

    >>> import tempfile, headrace as hr
    >>> step = hr.Variable(0)
    >>> manager = CheckpointManager(Checkpoint(step=step), tempfile.mkdtemp(), max_to_keep=2)
    >>> for _ in range(3):
    ...     path = manager.save()
    >>> len(manager.checkpoints), path == manager.latest_checkpoint
    (2, True)
    """

    def __init__(
        self,
        checkpoint: Checkpoint,
        directory: Any,
        max_to_keep: int | None,
        keep_checkpoint_every_n_hours: float | None = None,
        checkpoint_name: str = "ckpt",
        step_counter: Any = None,
        checkpoint_interval: int | None = None,
        init_fn: Callable[[], Any] | None = None,
        last_checkpoint_step: int | None = None,
    ):
        if max_to_keep is not None and max_to_keep <= 0:
            raise ValueError(
                f"Expected a positive integer or `None` for `max_to_keep`, got {max_to_keep}."
            )
        if checkpoint_interval is not None and step_counter is None:
            raise ValueError(
                "`step_counter` should be passed if `checkpoint_interval` is not None."
            )
        self._checkpoint = checkpoint
        self._max_to_keep = max_to_keep
        self._every_n_hours = keep_checkpoint_every_n_hours
        self._directory = os.fsdecode(os.fspath(directory))
        self._name = checkpoint_name
        self._step_counter = step_counter
        self._interval = checkpoint_interval
        self._last_step = last_checkpoint_step
        self._init_fn = init_fn
        self._kept: dict[str, float] = {}  # path -> when it was written; oldest first
        self._latest: str | None = None
        now = time.time()
        # A little earlier, for managers that are made anew soon after.
        self._last_preserved = now - 1.0
        state = get_checkpoint_state(self._directory)
        if state is not None:
            self._recover(state, now)

    def _recover(self, state: Any, now: float) -> None:
        self._latest = state.model_checkpoint_path
        self._last_preserved = state.last_preserved_timestamp
        if now < self._last_preserved:
            _log.warning(
                "time.time() returned a value %f seconds behind the last preserved checkpoint "
                "timestamp.", self._last_preserved - now,
            )  # fmt: skip
            self._last_preserved = now
        paths = list(state.all_model_checkpoint_paths)
        times = list(state.all_model_checkpoint_timestamps)
        if len(times) != len(paths):
            times = [self._last_preserved] * len(paths)
        for path, at in zip(paths, times, strict=True):
            at = min(at, now)
            if at > self._last_preserved:
                self._kept[path] = at

    # -- what there is ----------------------------------------------------------------------

    @property
    def checkpoint(self) -> Checkpoint:
        """The `Checkpoint`."""
        return self._checkpoint

    @property
    def directory(self) -> str:
        """The folder."""
        return self._directory

    @property
    def checkpoint_interval(self) -> int | None:
        """The least number of steps between two checkpoints."""
        return self._interval

    @property
    def latest_checkpoint(self) -> str | None:
        """The path of the latest checkpoint, or None."""
        return self._latest

    @property
    def checkpoints(self) -> list[str]:
        """The paths of the checkpoints that may be deleted yet, oldest first."""
        return list(self._kept)

    # -- saving -----------------------------------------------------------------------------

    def save(
        self,
        checkpoint_number: Any = None,
        check_interval: bool = True,
        options: CheckpointOptions | None = None,
    ) -> str | None:
        """Write a checkpoint and delete the oldest; its path, or None where none is due.

        Args:
            checkpoint_number: its number; the checkpoint's `save_counter` by default, which is
                counted up in any case.
            check_interval: whether to heed `checkpoint_interval`; if not, one checkpoint is
                still written at most per step.
            options: `CheckpointOptions`.

        Raises:
            OpError: as for `Checkpoint.save`.
        """
        if self._interval is not None:
            step = int(self._step_counter)
            last = self._last_step
            if last is not None and (
                step == last or (check_interval and step < last + self._interval)
            ):
                return None
            self._last_step = step
        counter = self._checkpoint.save_counter
        counter.assign_add(1)
        number = int(counter if checkpoint_number is None else checkpoint_number)
        path = os.path.join(self._directory, f"{self._name}-{number}")
        options = (options or CheckpointOptions()).and_then(self._written)
        found = self._checkpoint._write(path, options)
        if self._latest != path and not options.enable_async:
            self._latest = path  # this worker does not write
        return found

    def _written(self, path: str) -> None:
        self._kept.pop(path, None)
        self._kept[path] = time.time()
        self._latest = path
        # The new checkpoint is on record before an old one goes.
        self._record()
        self._sweep()
        self._record()

    def _sweep(self) -> None:
        if self._max_to_keep is None:
            return
        while len(self._kept) > self._max_to_keep:
            path = next(iter(self._kept))
            at = self._kept.pop(path)
            hours = self._every_n_hours
            if hours and at - hours * 3600.0 >= self._last_preserved:
                self._last_preserved = at
                continue
            delete_bundle(path)

    def _record(self) -> None:
        assert self._latest is not None
        update_checkpoint_state(
            self._directory,
            self._latest,
            list(self._kept),
            list(self._kept.values()),
            self._last_preserved,
        )

    # -- restoring --------------------------------------------------------------------------

    def restore_or_initialize(self) -> str | None:
        """Restore the latest checkpoint, or call `init_fn` where there is none; the path of
        what was restored, or None."""
        if self._latest is not None:
            self._checkpoint.restore(self._latest).expect_partial()
            if self._interval is not None:
                self._last_step = int(self._step_counter)
            return self._latest
        if self._init_fn is not None:
            self._init_fn()
        return None

    def sync(self) -> None:
        """Wait until what is being written is written."""
        self._checkpoint.sync()
