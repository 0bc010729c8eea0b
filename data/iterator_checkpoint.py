"""Iterators' states as values of checkpoints.

TensorFlow's iterator states are its engine's own and cannot be read, nor can it read these; so
they have another name.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ..ops.errors import DataLossError, UnimplementedError
from ..ops.string_array import StringArray
from .storage.spec_json import dump_state, load_state

__all__ = ["ITERATOR_STATE", "iterator_text", "refuse_foreign_state", "state_of_text"]

ITERATOR_STATE = "HEADRACE_ITERATOR"


def iterator_text(state: Any) -> StringArray:
    """A state as a scalar string."""
    return StringArray.from_values(np.array(dump_state(state).encode(), object))


def state_of_text(value: Any, where: str) -> Any:
    """The state that `iterator_text` made a string of.

    Raises:
        DataLossError: it is none.
    """
    try:
        state = load_state(value.item().decode())
        if not isinstance(state, dict):
            raise ValueError(f"got {type(state).__name__}")
    except (ValueError, AttributeError, KeyError, TypeError) as error:
        raise DataLossError(f"{where}: the iterator's state is damaged: {error}") from None
    return state


def refuse_foreign_state(stored: set[str], where: str) -> None:
    """Refuse a state of TensorFlow's.

    Raises:
        UnimplementedError: there is one.
    """
    if "ITERATOR" in stored:
        raise UnimplementedError(
            f"{where}: the state of the iterator is that of TensorFlow's engine, which cannot "
            "be read here; leave the iterator out of the Checkpoint, and skip() to where it was"
        )
