"""Arguments of the lookup layers checked, and vocabularies read from files."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.tensor import Tensor

__all__ = ["check_modes", "check_sizes", "listed", "read_vocabulary", "salt_of"]


def read_vocabulary(path: str, dtype: str) -> list[Any]:
    """The lines of a text file as tokens."""
    with open(path, encoding="utf-8") as file:
        lines = file.read().split("\n")
    while lines and lines[-1] == "":
        lines.pop()
    return lines if dtype == "string" else [int(line) for line in lines]


def listed(value: Any) -> Any:
    """Arrays and tensors as lists, for configs."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [v.decode("utf-8") if isinstance(v, bytes) else v for v in value]
    return value


def check_sizes(who: str, max_tokens: int | None, num_oov: int, pad: bool) -> None:
    """Raise ValueError unless the sizes can be those of a vocabulary."""
    if max_tokens is not None and max_tokens <= 1:
        raise ValueError(
            f"If `max_tokens` is set for `{who}`, it must be greater than 1. Received: "
            f"max_tokens={max_tokens}"
        )
    if pad and max_tokens is None:
        raise ValueError(
            "If pad_to_max_tokens is True, must set `max_tokens`. Received: "
            f"max_tokens={max_tokens}"
        )
    if num_oov < 0:
        raise ValueError(
            f"`num_oov_indices` must be greater than or equal to 0. Received: "
            f"num_oov_indices={num_oov}"
        )


def check_modes(mode: str, invert: bool, sparse: bool, idf_weights: Any) -> None:
    """Raise ValueError unless the other arguments fit the output mode."""
    if invert and mode != "int":
        raise ValueError(
            f"`output_mode` must be `'int'` when `invert` is true. Received: output_mode={mode}"
        )
    if sparse and mode == "int":
        raise ValueError(
            "`sparse` may only be true if `output_mode` is `'one_hot'`, `'multi_hot'`, "
            f"`'count'` or `'tf_idf'`. Received: sparse={sparse} and output_mode={mode}"
        )
    if idf_weights is not None and mode != "tf_idf":
        raise ValueError(
            "`idf_weights` should only be set if `output_mode` is `'tf_idf'`. Received: "
            f"idf_weights={idf_weights} and output_mode={mode}"
        )


def salt_of(salt: Any, dtype: str, oov_method: str) -> list[int] | None:
    """The salt as two integers, or None.

    Raises:
        ValueError: it is something else, or the method takes none.
    """
    if salt is None:
        return None
    if dtype != "string" and oov_method != "farmhash":
        raise ValueError(
            "`salt` can only be used when `oov_method='farmhash'`. Received: "
            f"oov_method={oov_method}"
        )
    if isinstance(salt, (tuple, list)) and len(salt) == 2:
        return list(salt)
    if isinstance(salt, int):
        return [salt, salt]
    raise ValueError(
        "The `salt` argument for `IndexLookup` can only be a tuple of 2 integers, or a single "
        f"integer. Received: salt={salt}."
    )
