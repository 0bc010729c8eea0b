"""SqlDataset: rows of a SQL query with tf.data's interface."""

from __future__ import annotations

from typing import Any

from ..ops import dtypes, nest
from ..ops.errors import InvalidArgumentError
from .dataset import Dataset
from .node import user_line
from .transforms.sql import SqlNode
from .values import Components

__all__ = ["SqlDataset"]

_DRIVERS = ("sqlite", "postgresql")
_TYPES = (dtypes.string, dtypes.int8, dtypes.int16, dtypes.int32, dtypes.int64, dtypes.uint8,
          dtypes.uint16, dtypes.bool, dtypes.float64)  # fmt: skip


class SqlDataset(Dataset):
    """The rows of a SQL query as tuples of scalars.

    Args:
        driver_name: ``"sqlite"`` or ``"postgresql"`` (TensorFlow's knows the first only); for
            other databases see `Dataset.from_sql`.
        data_source_name: path of the database file, or ``postgresql://...``.
        query: SQL; with ORDER BY where the order matters.
        output_types: dtypes of the columns: string, (u)int8, (u)int16, int32, int64, bool or
            float64.  NULL is 0, False or empty.

    Raises:
        InvalidArgumentError: the driver or a dtype is another, or (while iterating) the query
            fails or has another number of columns.
        UnavailableError: (while iterating) the driver is not installed or the server does not
            answer.
    """

    def __init__(self, driver_name: Any, data_source_name: Any, query: Any, output_types: Any):
        driver, path, sql = map(_text, (driver_name, data_source_name, query))
        if driver not in _DRIVERS:
            raise InvalidArgumentError(
                f"The database type, {driver}, is not supported by SqlDataset; the types are "
                f"{', '.join(map(repr, _DRIVERS))} (other databases: Dataset.from_sql)"
            )
        kinds = tuple(dtypes.as_dtype(t) for t in nest.flatten(output_types))
        for k, kind in enumerate(kinds):
            if kind not in _TYPES:
                raise InvalidArgumentError(
                    f"output_types[{k}] must be one of {', '.join(t.name for t in _TYPES)}, "
                    f"got {kind.name}"
                )
        super().__init__(SqlNode(driver, path, sql, kinds, source=user_line()))


def _text(value: Any) -> str:
    (raw,) = Components(value).values
    return raw.item().decode()
