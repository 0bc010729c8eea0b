"""pad_sequences: lists of different lengths as one array."""

from __future__ import annotations

from typing import Any

import numpy as np

__all__ = ["pad_sequences"]


def pad_sequences(
    sequences: Any,
    maxlen: int | None = None,
    dtype: Any = "int32",
    padding: str = "pre",
    truncating: str = "pre",
    value: Any = 0.0,
) -> np.ndarray:
    """The sequences as rows ``[number, maxlen, ...]``.

    Args:
        sequences: lists or arrays, each ``[length, ...]``.
        maxlen: length of the rows; that of the longest sequence if None.
        dtype: of the array; ``object`` for strings.
        padding: ``"pre"`` or ``"post"``: where short ones are padded.
        truncating: ``"pre"`` or ``"post"``: where long ones lose elements.
        value: of the padding.

    Raises:
        ValueError: a sequence has no length, or its elements another shape than the others'.

    >>> pad_sequences([[1], [2, 3]]).tolist()
    [[0, 1], [2, 3]]
    """
    for name, given in (("padding", padding), ("truncating", truncating)):
        if given not in ("pre", "post"):
            raise ValueError(f"{name} must be 'pre' or 'post', got {given!r}")
    if not hasattr(sequences, "__len__"):
        raise ValueError("`sequences` must be iterable.")
    arrays = []
    for sequence in sequences:
        if not hasattr(sequence, "__len__"):
            raise ValueError(
                f"`sequences` must be a list of iterables. Found non-iterable: {sequence}"
            )
        arrays.append(sequence)
    lengths = [len(a) for a in arrays]
    size = maxlen if maxlen is not None else max(lengths, default=0)
    first = next((a for a in arrays if len(a)), ())
    shape = np.asarray(first).shape[1:]
    kind = np.dtype(dtype)
    if isinstance(value, str) and kind.kind != "O" and not np.issubdtype(kind, np.str_):
        raise ValueError(
            f"`dtype` {dtype} is not compatible with `value`'s type: {type(value)}\nYou should "
            "set `dtype=object` for variable length strings."
        )
    out = np.full((len(arrays), size, *shape), value, dtype=dtype)
    for row, sequence in zip(out, arrays, strict=True):
        if not len(sequence) or not size:
            continue
        kept = np.asarray(sequence[-size:] if truncating == "pre" else sequence[:size], dtype)
        if kept.shape[1:] != shape:
            raise ValueError(
                f"Shape of sample {kept.shape[1:]} of sequence is different from expected "
                f"shape {shape}"
            )
        if padding == "post":
            row[: len(kept)] = kept
        else:
            row[size - len(kept) :] = kept
    return out
