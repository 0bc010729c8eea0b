"""`hr.types`: types for annotations."""

from . import types_experimental as experimental

__all__ = ["experimental"]
