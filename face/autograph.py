"""hr.autograph: Python's control flow in traced functions."""

from types import SimpleNamespace as _SimpleNamespace

from ..ops.autograph.api import (
    do_not_convert as _do_not_convert,
    set_loop_options as _set_loop_options,
    set_verbosity as set_verbosity,
    to_code as to_code,
    to_graph as to_graph,
    trace as trace,
)

experimental = _SimpleNamespace(
    do_not_convert=_do_not_convert, set_loop_options=_set_loop_options
)
