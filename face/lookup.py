"""`hr.lookup`: tables from keys to values."""

from ..io import lookup_kernels as _lookup_kernels  # noqa: F401  (announces the kernels)
from ..io.lookup_files import TextFileIndex, TextFileInitializer
from ..ops.lookup_initializers import KeyValueTensorInitializer
from ..ops.lookup_static import StaticHashTable, StaticVocabularyTable
from . import lookup_experimental as experimental

__all__ = [
    "KeyValueTensorInitializer",
    "StaticHashTable",
    "StaticVocabularyTable",
    "TextFileIndex",
    "TextFileInitializer",
    "experimental",
]
