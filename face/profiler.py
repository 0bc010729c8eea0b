"""`hr.profiler`: where the time goes, for TensorBoard's profile tab."""

from . import profiler_experimental as experimental

__all__ = ["experimental"]
