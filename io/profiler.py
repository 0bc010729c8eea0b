"""The profiler: one profile at a time, from `start` to `stop`, written for TensorBoard.

While it runs, operations, steps of `fit` and the stages of datasets are timed
(`ops/profiling.py`); `Trace` adds spans of the user's own.
"""

from __future__ import annotations

import os
import threading
from typing import Any, NamedTuple

from ..ops.errors import AlreadyExistsError, UnavailableError
from ..ops.profiling import now_ns, profiling
from .profile_files import write_profile

__all__ = ["Profile", "ProfilerOptions", "Trace", "start", "start_at", "stop"]


class ProfilerOptions(NamedTuple):
    """What a profile records.

    Attributes:
        host_tracer_level: 0 records nothing but `Trace`s and steps; 1 and more all operations.
        python_tracer_level: accepted; Python's own calls are not recorded.
        device_tracer_level: accepted.
        delay_ms: accepted.
    """

    host_tracer_level: int = 2
    python_tracer_level: int = 0
    device_tracer_level: int = 1
    delay_ms: int | None = None


_lock = threading.Lock()
_logdir: str | None = None


def start(logdir: Any, options: ProfilerOptions | None = None) -> None:
    """Begin a profile, which `stop` writes to `logdir`.

    Args:
        logdir: TensorBoard's folder; the profile is put under ``plugins/profile``.
        options: what is recorded.

    Raises:
        AlreadyExistsError: a profile is under way.
    """
    start_at(logdir, options, 0)


def start_at(logdir: Any, options: ProfilerOptions | None, first_step: int) -> None:
    """Like `start`; the first step of a training is number `first_step`."""
    global _logdir
    with _lock:
        if _logdir is not None:
            raise AlreadyExistsError(
                "Another profiler is running: one profile at a time; stop it first with "
                "hr.profiler.experimental.stop()"
            )
        _logdir = os.fspath(logdir)
        profiling.begin(first_step, operations=options is None or options.host_tracer_level > 0)


def stop(save: bool = True) -> None:
    """End the profile, and write it unless `save` is False.

    Raises:
        UnavailableError: no profile is under way.
    """
    global _logdir
    with _lock:
        if _logdir is None:
            raise UnavailableError(
                "Cannot export profiling results. No profiler is running: begin one with "
                "hr.profiler.experimental.start(logdir)"
            )
        logdir, _logdir = _logdir, None
        spans, threads = profiling.end()
    if save:
        write_profile(logdir, spans, threads)


class Profile:
    """A profile of the block.

    >>> import tempfile, headrace as hr
    >>> with hr.profiler.experimental.Profile(tempfile.mkdtemp()):
    ...     _ = hr.add(1, 2)

    Args:
        logdir: as for `start`.
        options: as for `start`.
    """

    def __init__(self, logdir: Any, options: ProfilerOptions | None = None):
        self._logdir = logdir
        self._options = options

    def __enter__(self) -> None:
        start(self._logdir, self._options)

    def __exit__(self, *error: Any) -> None:
        stop()


class Trace:
    """A span of the block in the profile under way; nothing without one.

    Args:
        name: what it is called; ``"train"`` with a `step_num` is a step of a training.
        **kwargs: numbers and texts shown with it; ``step_num=n, _r=1`` make it a step.
    """

    def __init__(self, name: str, **kwargs: Any):
        self._name = name
        self._stats = kwargs
        self._began = 0

    def __enter__(self) -> Trace:
        self._began = now_ns() if profiling.running else 0
        return self

    def set_metadata(self, **kwargs: Any) -> None:
        """Show these with the span, too."""
        self._stats.update(kwargs)

    def __exit__(self, *error: Any) -> None:
        if self._began and profiling.running:
            profiling.add(self._name, self._began, **self._stats)
