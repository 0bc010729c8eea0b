"""ModelCheckpoint: save the model, or its weights, while training.

The weights are copied between two steps; a thread writes the copy while training goes on
(`saving/behind.py`).  A model with a `save` of its own, and a legacy ``.h5`` file, are not put
off.
"""

from __future__ import annotations

import os
from typing import Any

from ..engine.model import Model
from ..saving.behind import Write, write_behind
from ..saving.model_file import model_writer
from ..saving.weights_file import weights_writer
from ..utils.progbar import print_line
from .callback import known_logs, reads_logs_late
from .monitor import MonitorCallback

__all__ = ["ModelCheckpoint"]


class ModelCheckpoint(MonitorCallback):
    """Saves after every epoch, or every `save_freq` batches, without holding up the training.

    A file appears complete or not at all; `load_model` and `load_weights` wait for one that is
    being written, and all are complete when `fit` returns.  An error of writing is raised at
    the next batch, or at the end.

    Args:
        filepath: where to; may hold fields such as ``{epoch:02d}`` and ``{val_loss:.2f}``.
        monitor: metric that `save_best_only` compares.
        verbose: 1 to say what happens.
        save_best_only: keep only the best; other epochs are not saved.
        save_weights_only: ``.weights.h5`` files instead of ``.keras`` files.
        mode: ``"min"``, ``"max"`` or ``"auto"``.
        save_freq: ``"epoch"``, or a number of batches.
        initial_value_threshold: best value to start from.

    Raises:
        ValueError: the file name does not end in ``.weights.h5`` or ``.keras`` as it must.
    """

    def __init__(
        self,
        filepath: Any,
        monitor: str = "val_loss",
        verbose: int = 0,
        save_best_only: bool = False,
        save_weights_only: bool = False,
        mode: str = "auto",
        save_freq: Any = "epoch",
        initial_value_threshold: float | None = None,
    ):
        super().__init__(monitor, mode, initial_value_threshold)
        self.filepath = os.fspath(filepath)
        self.verbose = verbose
        self.save_best_only = save_best_only
        self.save_weights_only = save_weights_only
        self.save_freq = save_freq
        if save_freq != "epoch" and not isinstance(save_freq, int):
            raise ValueError(
                f"Unrecognized save_freq: {save_freq}. Expected save_freq are 'epoch' or "
                "integer "
                "values"
            )
        if save_weights_only and not self.filepath.endswith(".weights.h5"):
            raise ValueError(
                "When using `save_weights_only=True` in `ModelCheckpoint`, the filepath "
                "provided "
                "must end in `.weights.h5` (Keras weights format). Received: "
                f"filepath={self.filepath}"
            )
        if not save_weights_only and not self.filepath.endswith((".keras", ".h5")):
            raise ValueError(
                "The filepath provided must end in `.keras` (Keras model format). Received: "
                f"filepath={self.filepath}"
            )
        self._epoch = 0
        self._batches = 0
        self._write: Write | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Forget what an interrupted training left."""
        self._write = None

    def on_train_end(self, logs: Any = None) -> None:
        """Wait until everything is written."""
        self._settle()

    def _settle(self) -> None:
        write, self._write = self._write, None
        if write is not None:
            write.result()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Note the epoch."""
        self._epoch = epoch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Save, if the epoch is the unit."""
        if self.save_freq == "epoch":
            self._save(epoch, None, logs)

    @reads_logs_late
    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Save, if the number of batches is reached."""
        if self._write is not None and self._write.done:
            self._settle()
        if self.save_freq == "epoch":
            return
        self._batches += 1
        if self._batches % self.save_freq == 0:
            self._save(self._epoch, batch, known_logs(logs))

    def _save(self, epoch: int, batch: int | None, logs: Any) -> None:
        logs = dict(logs or {})
        path = self._path(epoch, batch, logs)
        if self.save_best_only:
            current = self.value(logs)
            if current is None:
                return
            if not self.improves(current, self.best):
                if self.verbose > 0:
                    print_line(
                        f"\nEpoch {epoch + 1}: {self.monitor} did not improve from "
                        f"{self.best if self.best is None else format(self.best, '.5f')}"
                    )
                return
            if self.verbose > 0:
                before = "inf" if self.best is None else f"{self.best:.5f}"
                print_line(
                    f"\nEpoch {epoch + 1}: {self.monitor} improved from {before} to "
                    f"{current:.5f}, saving model to {path}"
                )
            self.best = current
        elif self.verbose > 0:
            print_line(f"\nEpoch {epoch + 1}: saving model to {path}")
        folder = os.path.dirname(path)
        if folder:
            os.makedirs(folder, exist_ok=True)
        self._settle()  # one copy of the weights at a time
        cls, writer = type(self.model), None
        if self.save_weights_only:
            if cls.save_weights is Model.save_weights:
                writer = weights_writer(self.model, path)
            else:
                self.model.save_weights(path, overwrite=True)
        elif cls.save is Model.save and path.endswith(".keras"):
            writer = model_writer(self.model, path)
        else:
            self.model.save(path, overwrite=True)
        if writer is not None:
            self._write = write_behind(path, writer)

    def _path(self, epoch: int, batch: int | None, logs: dict[str, Any]) -> str:
        fields = {"epoch": epoch + 1, **logs}
        if batch is not None:
            fields["batch"] = batch + 1
        try:
            return self.filepath.format(**fields)
        except KeyError as e:
            raise KeyError(
                f'Failed to format this callback filepath: "{self.filepath}". Reason: {e}; the '
                f"fields are {sorted(fields)}"
            ) from e
