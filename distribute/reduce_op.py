"""ReduceOp: how values of several replicas become one."""

from __future__ import annotations

import enum

__all__ = ["ReduceOp"]


class ReduceOp(enum.Enum):
    """How values of several replicas become one."""

    SUM = "SUM"
    MEAN = "MEAN"

    @classmethod
    def of(cls, value: ReduceOp | str) -> ReduceOp:
        """The member for a member or for its name in any case.

        Raises:
            ValueError: `value` names none.
        """
        if isinstance(value, cls):
            return value
        try:
            return cls(str(value).upper())
        except ValueError:
            raise ValueError(
                f"reduce_op must be 'SUM', 'MEAN' or a ReduceOp, got {value!r}"
            ) from None
