"""`keras.preprocessing.sequence`: sequences of one length."""

from ..utils.padding import pad_sequences

__all__ = ["pad_sequences"]
