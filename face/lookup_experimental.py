"""`hr.lookup.experimental`: tables that change."""

from ..ops.lookup_mutable import DenseHashTable, MutableHashTable

__all__ = ["DenseHashTable", "MutableHashTable"]
