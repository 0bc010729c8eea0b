"""The file ``checkpoint`` of a folder, which names its checkpoints; TensorFlow's, in text."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator, Sequence
from typing import Any

from google.protobuf import text_format

from ...ops.errors import OpError
from .. import gfile
from ..bundle.whole_file import written_whole
from ..bundle.writer import bundle_exists
from ..checkpoint_messages import CheckpointState

__all__ = [
    "checkpoints_iterator",
    "get_checkpoint_state",
    "latest_checkpoint",
    "update_checkpoint_state",
]

_log = logging.getLogger("headrace")


def _state_path(folder: Any, latest_filename: str | None) -> str:
    return os.path.join(os.fsdecode(os.fspath(folder)), latest_filename or "checkpoint")


def update_checkpoint_state(
    folder: str,
    latest: str,
    paths: Sequence[str],
    timestamps: Sequence[float] | None = None,
    last_preserved_timestamp: float | None = None,
    latest_filename: str | None = None,
) -> None:
    """Write the file.

    Args:
        folder: where it lies.
        latest: the latest checkpoint's path.
        paths: of all checkpoints, oldest first.
        timestamps: when they were written, seconds since the epoch.
        last_preserved_timestamp: when the last one was written that is kept for good.
        latest_filename: the file's name; ``"checkpoint"`` for None.

    Raises:
        RuntimeError: the checkpoint has the file's own name.
    """

    def relative(path: str) -> str:
        inside = os.path.dirname(path) == folder
        return os.path.basename(path) if inside else path

    state = CheckpointState(
        model_checkpoint_path=relative(latest),
        all_model_checkpoint_paths=[relative(p) for p in paths],
        all_model_checkpoint_timestamps=timestamps or [],
    )
    if last_preserved_timestamp is not None:
        state.last_preserved_timestamp = last_preserved_timestamp
    path = _state_path(folder, latest_filename)
    if path == latest:
        raise RuntimeError(
            f"Save path '{latest}' conflicts with path used for checkpoint state. Please use a "
            "different save path."
        )
    with written_whole(path) as file:
        file.write(text_format.MessageToString(state).encode())


def get_checkpoint_state(checkpoint_dir: Any, latest_filename: str | None = None) -> Any:
    """What the file ``checkpoint`` of a folder says, a `CheckpointState`; None where there is
    none that can be read.

    Args:
        checkpoint_dir: the folder.
        latest_filename: the file's name; ``"checkpoint"`` for None.

    Raises:
        ValueError: the file does not name the latest checkpoint.
    """
    folder = os.fsdecode(os.fspath(checkpoint_dir))
    path = _state_path(folder, latest_filename)
    state = CheckpointState()
    try:
        if not gfile.exists(path):
            return None
        with gfile.GFile(path, "rb") as file:
            text_format.Merge(file.read(), state, allow_unknown_field=True)
    except (OpError, text_format.ParseError, UnicodeDecodeError) as error:
        _log.warning("%s: %s", type(error).__name__, error)
        _log.warning("%s: Checkpoint ignored", path)
        return None
    if not state.model_checkpoint_path:
        raise ValueError(f"Invalid checkpoint state loaded from {folder}")
    state.model_checkpoint_path = os.path.join(folder, state.model_checkpoint_path)
    whole = [os.path.join(folder, p) for p in state.all_model_checkpoint_paths]
    state.all_model_checkpoint_paths[:] = whole
    return state


def latest_checkpoint(checkpoint_dir: Any, latest_filename: str | None = None) -> str | None:
    """The path of a folder's latest checkpoint, or None.

    Args:
        checkpoint_dir: the folder.
        latest_filename: the name of the file that says it; ``"checkpoint"`` for None.
    """
    state = get_checkpoint_state(checkpoint_dir, latest_filename)
    if state is None:
        return None
    path: str = state.model_checkpoint_path
    if bundle_exists(path):
        return path
    _log.error("Couldn't match files for checkpoint %s", path)
    return None


def checkpoints_iterator(
    checkpoint_dir: Any,
    min_interval_secs: float = 0,
    timeout: float | None = None,
    timeout_fn: Any = None,
) -> Iterator[str]:
    """The paths of a folder's latest checkpoints, one after the other as they appear.

    Args:
        checkpoint_dir: the folder.
        min_interval_secs: least seconds between two.
        timeout: seconds to wait for a new one; None waits for ever.
        timeout_fn: asked when they are over: True ends the iterator, False waits again.  By
            default it ends.
    """
    before = None
    while True:
        path = _wait_for_new(checkpoint_dir, before, timeout)
        if path is None:
            if timeout_fn is None or timeout_fn():
                return
            continue
        began = time.time()
        before = path
        yield path
        left = began + min_interval_secs - time.time()
        if left > 0:
            time.sleep(left)


def _wait_for_new(folder: Any, before: str | None, timeout: float | None) -> str | None:
    pause = 1.0
    end = None if timeout is None else time.time() + timeout
    while True:
        path = latest_checkpoint(folder)
        if path is not None and path != before:
            return path
        left = pause if end is None else min(pause, end - time.time())
        if left <= 0:
            return None
        time.sleep(left)
