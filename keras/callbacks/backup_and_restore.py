"""BackupAndRestore: training that goes on where it was interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from typing import Any

from ...ops.errors import OpError
from ..saving.atomic import replacing
from ..saving.behind import finish
from .callback import Callback, reads_logs_late

__all__ = ["BackupAndRestore"]


class BackupAndRestore(Callback):
    """Backs up weights and optimizer state; the same `fit`, run again, goes on from there.

    A run that starts finds the backup of one that did not end, loads it and starts with the
    epoch after the last one backed up.  Files appear whole or not at all.

    Args:
        backup_dir: folder of the backup; of this callback alone.
        save_freq: ``"epoch"``, or a number of batches.  Backed up within an epoch, training
            goes on with those weights and repeats the epoch, unless `skip_seen`.
        double_checkpoint: whether to keep the backup before the last too, for when the last
            cannot be read.
        delete_checkpoint: whether to delete the backup when training ends.
        skip_seen: whether training that was backed up within an epoch goes on with the batch
            after the last one that counted; shuffles then need seeds.  None: under strategies
            of several workers.  Headrace only.

    Raises:
        ValueError: no `backup_dir`, or another kind of `save_freq`.
    """

    def __init__(
        self,
        backup_dir: Any,
        save_freq: Any = "epoch",
        double_checkpoint: bool = False,
        delete_checkpoint: bool = True,
        skip_seen: bool | None = None,
    ):
        super().__init__()
        if not backup_dir:
            raise ValueError("Empty `backup_dir` argument passed")
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Invalid value for argument `save_freq`. Received: save_freq={save_freq}. "
                "Expected either 'epoch' or an integer value."
            )
        self.backup_dir = os.fspath(backup_dir)
        self.save_freq = save_freq
        self.double_checkpoint = double_checkpoint
        self.delete_checkpoint = delete_checkpoint
        self.skip_seen = skip_seen
        self._weights = os.path.join(self.backup_dir, "latest.weights.h5")
        self._metadata = os.path.join(self.backup_dir, "training_metadata.json")
        self._epoch = 0
        self._batch = 0
        self._batches = 0
        self._done = 0  # batches of the epoch that the weights have seen

    def on_train_begin(self, logs: Any = None) -> None:
        """Load a backup, if there is one.

        Raises:
            ValueError: the model has no weights yet.
        """
        if not self.model.built:
            raise ValueError(
                "To use the BackupAndRestore callback, your model must be built before you "
                f"call `fit()`. Model {self.model} is unbuilt. You can build it beforehand by "
                "calling it on a batch of data."
            )
        self._epoch = self._batch = self._batches = self._done = 0
        try:
            self._load()
        except (OSError, OpError, ValueError):
            if not os.path.exists(_previous(self._weights)):
                raise
            for path in (self._weights, self._metadata):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(path)
                if os.path.exists(_previous(path)):
                    shutil.copy(_previous(path), path)
            self._load()

    def _load(self) -> None:
        if not os.path.exists(self._weights):
            return
        optimizer = self.model.optimizer
        if optimizer is not None and not optimizer.built:
            optimizer.build(self.model.trainable_weights)
        self.model.load_weights(self._weights)
        if os.path.exists(self._metadata):
            with open(self._metadata, encoding="utf-8") as file:
                found = json.load(file)
            self._epoch = found["epoch"]
            self.model._initial_epoch = self._epoch
            skips = self.skip_seen
            if skips is None:
                skips = self.model.distribute_strategy.extended.several_workers
            if skips:
                self.model._initial_batch = found.get("batches_done", 0)

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Back up, if the epoch is the unit."""
        self._epoch = epoch + 1
        self._batch = 0
        self._done = 0
        if self.save_freq == "epoch":
            self._save()

    @reads_logs_late
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Back up, if the number of batches is reached."""
        if self.save_freq == "epoch":
            return
        self._batch = batch
        self._done = batch + 1
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save()

    def _save(self) -> None:
        # What the backup says is done must be: checkpoints of the epoch are complete first.
        finish()
        os.makedirs(self.backup_dir, exist_ok=True)
        if self.double_checkpoint:
            for path in (self._weights, self._metadata):
                if os.path.exists(path):
                    with replacing(_previous(path)) as temporary:
                        shutil.copy(path, temporary)
        self.model.save_weights(self._weights, overwrite=True)
        with (
            replacing(self._metadata) as temporary,
            open(temporary, "w", encoding="utf-8") as file,
        ):
            state = {"epoch": self._epoch, "batch": self._batch, "batches_done": self._done}
            json.dump(state, file)

    def on_train_end(self, logs: Any = None) -> None:
        """Delete the backup, if asked."""
        if not self.delete_checkpoint:
            return
        for path in (self._weights, self._metadata):
            for file in (path, _previous(path)):
                with contextlib.suppress(FileNotFoundError):
                    os.remove(file)
        with contextlib.suppress(OSError):  # not there, or somebody else's files in it
            os.rmdir(self.backup_dir)


def _previous(path: str) -> str:
    return f"{path}.bkp"
