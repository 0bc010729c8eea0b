"""MPI: the processes that `mpiexec` started, and what watches over their meetings.

Collective calls block in C: a process that waits for one that never comes cannot raise an
error.  So a thread watches: after the timeout it looks up, in memory that every rank shows to
the others, how many collective calls each has reached, names those that are behind, and ends
the job.  An uncaught exception in one process ends the job, too.
"""

from __future__ import annotations

import atexit
import contextlib
import faulthandler
import functools
import os
import sys
import threading
import time
import traceback
from collections.abc import Iterator
from typing import Any

import numpy as np

__all__ = ["Watch", "abort_on_error", "load_mpi", "started_by_mpiexec"]

# What launchers set in the environment of the processes they start.
_LAUNCHERS = ("PMI_RANK", "PMI_SIZE", "OMPI_COMM_WORLD_RANK", "PMIX_RANK", "MPI_LOCALNRANKS")

_START_S = 300.0
_PASSED_ON_S = 1.0  # what the launcher has to forward a process's last words


def started_by_mpiexec() -> bool:
    """Whether an MPI launcher started this process."""
    return any(name in os.environ for name in _LAUNCHERS)


def wait_for_all_ranks_to_start_mpi() -> Any:
    """The module: its import returns when every rank has come to it."""
    from mpi4py import MPI

    return MPI


@functools.cache
def load_mpi() -> Any:
    """The module `mpi4py.MPI`; loading it connects the processes.

    MPI waits for ever where one has ended before, and runs no Python meanwhile: after five
    minutes, or ``HEADRACE_MPI_START_S`` seconds, a timer in C ends this process and prints
    where it stands.

    Raises:
        ImportError: it is not installed; says what to install.
        RuntimeError: the MPI library does not support threads.
    """
    launched = started_by_mpiexec()
    try:
        if launched:
            limit_s = float(os.environ.get("HEADRACE_MPI_START_S", _START_S))
            faulthandler.dump_traceback_later(limit_s, exit=True)
        MPI = wait_for_all_ranks_to_start_mpi()
    except (ImportError, RuntimeError) as error:
        raise ImportError(
            "MultiWorkerMirroredStrategy needs MPI, which cannot be loaded "
            f"({error}); install the extra mpi: pip install 'headrace[mpi]' (mpi4py and the "
            "mpich library and launcher)"
        ) from error
    finally:
        if launched:
            faulthandler.cancel_dump_traceback_later()
    if MPI.Query_thread() < MPI.THREAD_MULTIPLE:
        raise RuntimeError(
            "MultiWorkerMirroredStrategy needs an MPI library that supports threads "
            "(THREAD_MULTIPLE); the mpich wheel of the extra mpi does"
        )
    return MPI


def abort_on_error(comm: Any) -> None:
    """From now on an uncaught exception ends all processes of the job, after its traceback."""
    if comm.Get_size() == 1 or getattr(sys.excepthook, "_headrace", False):
        return

    def hook(kind: Any, value: Any, trace: Any) -> None:
        if issubclass(kind, KeyboardInterrupt | Exception):
            said = "".join(traceback.format_exception(kind, value, trace))
            say(f"rank {comm.Get_rank()} failed; the job ends", before=said)
        end_job(comm)

    hook._headrace = True  # type: ignore[attr-defined]
    sys.excepthook = hook


def say(text: str, before: str = "") -> None:
    """Print, behind `before`, a line that says who prints it; all of it at once."""
    sys.stderr.write(f"{before}headrace: {text}\n")
    sys.stderr.flush()


def end_job(comm: Any) -> None:
    """End all processes, once what this one said has been passed on.

    The launcher reads its processes' output from pipes and drops what is in them when the job
    is aborted.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    time.sleep(_PASSED_ON_S)
    comm.Abort(1)


class Watch:
    """Watches this rank's collective calls.

    Args:
        mpi: the module.
        comm: the communicator whose ranks meet.
        timeout_s: how long a call may wait for others.
    """

    def __init__(self, mpi: Any, comm: Any, timeout_s: float):
        self._mpi = mpi
        self._comm = comm.Dup()
        self._timeout_s = timeout_s
        # What every rank shows: the calls it has reached, and a count that its thread moves on.
        self._window = mpi.Win.Allocate(16, 8, comm=self._comm)
        self._reached = np.frombuffer(self._window, np.int64)
        self._reached[:] = 0
        self._window.Lock_all()
        self._inside: tuple[int, str, float] | None = None
        self._comm.Barrier()
        atexit.register(self._close)
        self._ended = threading.Event()
        self._thread = threading.Thread(
            target=self._run, name="headrace-mpi-watch", daemon=True
        )
        self._thread.start()

    @contextlib.contextmanager
    def meeting(self, what: str) -> Iterator[None]:
        """A collective call, made in the block."""
        number = int(self._reached[0]) + 1
        self._reached[0] = number
        self._inside = number, what, time.monotonic()
        try:
            yield
        finally:
            self._inside = None

    def _close(self) -> None:
        """Give the window back: all ranks do, when they end."""
        self._ended.set()
        self._thread.join()  # it writes into the window
        if not self._mpi.Is_finalized():
            self._window.Unlock_all()
            self._window.Free()

    def _run(self) -> None:
        pause = min(1.0, self._timeout_s / 4)
        while not self._ended.is_set():
            self._pause(pause)
            inside = self._inside
            if inside is None:
                continue
            number, what, since = inside
            if time.monotonic() - since < self._timeout_s:
                continue
            why = self._why(number, 3 * pause)
            if self._inside is not inside:
                continue
            rank = self._comm.Get_rank()
            say(
                f"rank {rank} has waited {self._timeout_s:g} s in {what} (collective call "
                f"{number}) for {why}; the job ends. "
                "CommunicationOptions(timeout_seconds=...) sets the time."
            )
            end_job(self._comm)

    def _pause(self, seconds: float) -> None:
        """Sleep, and show the others that this process runs."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0 and not self._ended.is_set():
            self._reached[1] += 1
            self._ended.wait(min(left, 0.5))

    def _why(self, number: int, pause_s: float) -> str:
        """Which ranks call `number` waits for, in words."""
        before = self._shown()
        behind = [rank for rank, (reached, _) in before.items() if reached < number]
        if behind:
            return f"rank(s) {behind}, which have not arrived"
        self._pause(pause_s)
        still = [r for r, (_, count) in self._shown().items() if count == before[r][1]]
        if still:
            return f"rank(s) {still}, which have arrived but have stopped running since"
        return "others, all of which have arrived; the connection between them does not move on"

    def _shown(self) -> dict[int, tuple[int, int]]:
        """What the other ranks show; those that do not answer have reached nothing."""
        shown = {}
        for rank in range(self._comm.Get_size()):
            if rank == self._comm.Get_rank():
                continue
            found = np.zeros(2, np.int64)
            request = self._window.Rget(found, rank)
            end = time.monotonic() + 1.0
            while not (done := request.Test()) and time.monotonic() < end:
                self._pause(0.01)
            shown[rank] = (int(found[0]), int(found[1])) if done else (-1, -1)
        return shown
