"""`hr.strings`: operations on string tensors."""

from ..ops.api import (
    as_string,
    regex_full_match,
    regex_replace,
    string_join as join,
    string_length as length,
    string_lower as lower,
    string_split as split,
    string_strip as strip,
    string_to_number as to_number,
    string_upper as upper,
    substr,
)

__all__ = [
    "as_string",
    "join",
    "length",
    "lower",
    "regex_full_match",
    "regex_replace",
    "split",
    "strip",
    "substr",
    "to_number",
    "upper",
]
