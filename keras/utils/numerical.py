"""Arrays made ready for models: one-hot classes, unit norms."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["normalize", "to_categorical"]


def to_categorical(x: Any, num_classes: int | None = None) -> np.ndarray:
    """One-hot rows of the class numbers `x`: float64 ``[..., num_classes]``.

    Args:
        x: integers from 0 to ``num_classes - 1``; a last axis of size 1 is dropped.
        num_classes: number of classes; the greatest number plus 1 if None.

    >>> to_categorical([0, 2], 3).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0]]

    Raises:
        ValueError: a class number is negative or too great.
    """
    labels = np.asarray(x, dtype="int64")
    if labels.ndim > 1 and labels.shape[-1] == 1:
        labels = labels[..., 0]
    if num_classes is None:
        num_classes = int(labels.max()) + 1 if labels.size else 0
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise ValueError(
            f"x must hold class numbers from 0 to {num_classes - 1}, got numbers from "
            f"{labels.min()} to {labels.max()}"
        )
    return np.eye(num_classes)[labels]


def normalize(x: Any, axis: int = -1, order: int = 2) -> np.ndarray:
    """`x` divided by its norms along `axis`; zero vectors stay zero.

    Args:
        x: an array.
        axis: along which the norms are taken.
        order: the norm's order, e.g. 2 for Euclidean.
    """
    norms = np.atleast_1d(np.linalg.norm(x, order, axis))
    norms[norms == 0] = 1
    return x / np.expand_dims(norms, axis)
