"""`hr.profiler.experimental`: profiles of what runs between `start` and `stop`."""

from ..io.profiler import Profile, ProfilerOptions, Trace, start, stop

__all__ = ["Profile", "ProfilerOptions", "Trace", "start", "stop"]
