"""CSVLogger: the logs of every epoch as lines of a CSV file."""

from __future__ import annotations

import csv
import os
from typing import Any

import numpy as np

from .callback import Callback

__all__ = ["CSVLogger"]


class CSVLogger(Callback):
    """Writes a line per epoch.

    Args:
        filename: the file.
        separator: what stands between fields.
        append: go on with an existing file instead of starting anew.
    """

    def __init__(self, filename: Any, separator: str = ",", append: bool = False):
        super().__init__()
        self.filename = os.fspath(filename)
        self.separator = separator
        self.append = append
        self._file: Any = None
        self._writer: Any = None
        self._keys: list[str] | None = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Open the file."""
        going_on = self.append and os.path.exists(self.filename)
        self._write_header = not (going_on and os.path.getsize(self.filename) > 0)
        self._file = open(self.filename, "a" if self.append else "w", newline="")
        self._writer = None
        self._keys = None

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Write the epoch's line."""
        logs = logs or {}
        if self._keys is None:
            self._keys = sorted(logs)
        if self._writer is None:
            names = ["epoch", *self._keys]
            self._writer = csv.DictWriter(self._file, names, delimiter=self.separator)
            if self._write_header:
                self._writer.writeheader()
        row = {name: _text(logs.get(name, "NA")) for name in self._keys}
        self._writer.writerow({"epoch": epoch, **row})
        self._file.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = self._writer = None


def _text(value: Any) -> Any:
    return str(value.tolist()) if isinstance(value, np.ndarray) else value
