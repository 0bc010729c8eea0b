"""`hr.experimental.dlpack`: tensors shared with other libraries."""

from ..ops.dlpack import from_dlpack, to_dlpack

__all__ = ["from_dlpack", "to_dlpack"]
