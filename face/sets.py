"""`hr.sets`: sets along the last axis of tensors."""

from ..ops.set_ops import difference, intersection, size, union

__all__ = [
    "difference",
    "intersection",
    "size",
    "union",
]
