"""Which logits a probability was made of.

``Dense(..., activation="softmax")`` followed by a cross-entropy that expects probabilities
would lose digits in ``log(softmax(x))``.  Softmax and sigmoid therefore note their input here,
and the cross-entropies go back to it, eagerly and while tracing.  A note lives as long as the
tensor it is about.
"""

from __future__ import annotations

import weakref
from typing import Any

__all__ = ["logits_of", "remember_logits"]

_notes: dict[int, tuple[weakref.ref, Any, str]] = {}


def remember_logits(output: Any, logits: Any, activation: str) -> Any:
    """`output`, noted as ``activation(logits)``."""
    key = id(output)
    _notes[key] = (weakref.ref(output, lambda _: _notes.pop(key, None)), logits, activation)
    return output


def logits_of(output: Any, activation: str) -> Any:
    """What `activation` was applied to to give `output`, or None if that is not known."""
    found = _notes.get(id(output))
    if found is None or found[0]() is not output or found[2] != activation:
        return None
    return found[1]
