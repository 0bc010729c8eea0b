"""How the copies that replicas hold of a variable are kept in step: two enumerations."""

from __future__ import annotations

import enum
from typing import Any

__all__ = ["VariableAggregation", "VariableSynchronization"]


class VariableSynchronization(enum.Enum):
    """When replicas' copies of a variable are combined."""

    AUTO = 0
    NONE = 1
    ON_WRITE = 2
    ON_READ = 3


class VariableAggregation(enum.Enum):
    """How replicas' values for a variable become one."""

    NONE = 0
    SUM = 1
    MEAN = 2
    ONLY_FIRST_REPLICA = 3

    @classmethod
    def of(cls, value: Any) -> VariableAggregation:
        """The member for a member, for its name in any case, or for None.

        Raises:
            ValueError: `value` names none.
        """
        if value is None:
            return cls.NONE
        name = value.name if isinstance(value, enum.Enum) else str(value).upper()
        try:
            return cls[name]
        except KeyError:
            raise ValueError(
                f"Invalid variable aggregation mode: {value}; must be one of "
                f"{', '.join(m.name for m in cls)}"
            ) from None
