"""Weights as checkpoints of objects, as tf.keras 2 writes them to a path without ending."""

from __future__ import annotations

import os
import re
from typing import Any

from ...ops.errors import AlreadyExistsError

__all__ = ["is_checkpoint_path", "load_checkpoint_weights", "save_checkpoint_weights"]

_ENDING = re.compile(r"ckpt\Z|ckpt-\d+\Z|\d")  # "cp.ckpt", "cp.ckpt-3", "loss-0.25"


def is_checkpoint_path(path: str) -> bool:
    """Whether a path is a checkpoint's: without ending, or with ``.ckpt`` or a number."""
    name = os.path.basename(path)
    start, _, ending = name.rpartition(".")
    return bool(name) and (not start or bool(_ENDING.match(ending)))


def save_checkpoint_weights(model: Any, path: str, overwrite: bool) -> None:
    """Write a model's weights, and its optimizer's state, to the checkpoint `path`.

    Raises:
        AlreadyExistsError: it exists and `overwrite` is False.
    """
    from ...io.bundle.writer import bundle_exists  # brings protobuf
    from ...io.checkpoint.state import update_checkpoint_state

    if not overwrite and bundle_exists(path):
        raise AlreadyExistsError(
            f"{path} exists already; pass overwrite=True to replace it, or another filepath"
        )
    _checkpoint(model).write(path)
    if model.distribute_strategy.extended.is_chief:
        update_checkpoint_state(os.path.dirname(path), path, [path])


def load_checkpoint_weights(model: Any, path: str) -> None:
    """Read a model's weights, and its optimizer's state if there is one, from a checkpoint.

    Raises:
        NotFoundError: there is none.
        DataLossError: it is damaged.
        ValueError: it has nothing for this model, or a value of another shape.
    """
    status = _checkpoint(model).read(path).expect_partial()
    try:
        status.assert_nontrivial_match()
    except AssertionError as error:
        raise ValueError(f"{path} does not fit the model '{model.name}': {error}") from None


def _checkpoint(model: Any) -> Any:
    from ...io.checkpoint.checkpoint import Checkpoint  # brings protobuf

    optimizer = getattr(model, "optimizer", None)
    return Checkpoint(model) if optimizer is None else Checkpoint(model, optimizer=optimizer)
