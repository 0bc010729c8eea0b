"""Masks that travel with tensors: a side table, so that tensors need no field for them.

An entry lives exactly as long as its tensor.  Placeholders, which are ours, carry theirs.
"""

from __future__ import annotations

import weakref
from typing import Any

from ...ops import nest
from .keras_tensor import KerasTensor

__all__ = ["any_mask", "get_mask", "get_masks", "set_mask", "set_masks"]

_masks: dict[int, tuple[Any, Any]] = {}


def any_mask() -> bool:
    """Whether any living tensor has a mask; the fast way out."""
    return bool(_masks)


def get_mask(tensor: Any) -> Any:
    """The mask that came with `tensor`, or None."""
    if isinstance(tensor, KerasTensor):
        return tensor.mask
    entry = _masks.get(id(tensor))
    return entry[1] if entry is not None and entry[0]() is tensor else None


def set_mask(tensor: Any, mask: Any) -> None:
    """Attach `mask` to `tensor`; None detaches."""
    if isinstance(tensor, KerasTensor):
        tensor.mask = mask
        return
    key = id(tensor)
    if mask is None:
        _masks.pop(key, None)
    else:
        _masks[key] = (weakref.ref(tensor, lambda _: _masks.pop(key, None)), mask)


def get_masks(structure: Any) -> Any:
    """The masks of all tensors in `structure`, in the same structure (None: no mask at all)."""
    flat = [get_mask(t) for t in nest.flatten(structure)]
    if all(m is None for m in flat):
        return None
    return nest.pack_sequence_as(structure, flat)


def set_masks(structure: Any, masks: Any) -> None:
    """Attach `masks` (same structure, or one mask for the first tensor) to the tensors."""
    tensors = nest.flatten(structure)
    if masks is None:
        return
    flat = [masks] if not isinstance(masks, (list, tuple, dict)) else nest.flatten(masks)
    # What layers return beside their results (states, weights) need not be told of.
    for tensor, mask in zip(tensors, flat, strict=False):
        if mask is not None:
            set_mask(tensor, mask)
