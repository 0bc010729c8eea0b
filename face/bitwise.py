"""`hr.bitwise`: operations on the bits of integers."""

from ..ops.api import (
    bitwise_and,
    bitwise_invert as invert,
    bitwise_or,
    bitwise_xor,
    left_shift,
    right_shift,
)

__all__ = [
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "invert",
    "left_shift",
    "right_shift",
]
