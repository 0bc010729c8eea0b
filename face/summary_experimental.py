"""`hr.summary.experimental`: the default step, scopes of tags, raw messages."""

from ..io.summary import summary_scope, write_raw_pb
from ..io.summary_state import get_step, set_step

__all__ = ["get_step", "set_step", "summary_scope", "write_raw_pb"]
