"""PreemptionCheckpointHandler: training that saves and ends when its machine is taken away.

Before every step the workers say whether one of them was told to end (by SIGTERM, unless
`TerminationConfig` says otherwise).  So all save after the same step, the chief writes, and all
exit with a code that asks for a restart; the handler of the restarted program restores.
"""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import sys
import threading
import time
import weakref
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from ..ops.dtypes import int64
from ..ops.errors import InvalidArgumentError
from ..ops.variable import Variable
from .context import entered, get_strategy

if TYPE_CHECKING:
    from ..io.checkpoint.checkpoint import Checkpoint
    from ..io.checkpoint.manager import CheckpointManager

__all__ = ["RESTART_CODE", "PreemptionCheckpointHandler", "TerminationConfig"]

RESTART_CODE = 42
_log = logging.getLogger("headrace")
_POLLING_S = 1.0
# The last save begins this many steps' time before the grace period ends.
_STEPS_BEFORE_END = 6
_RUNS = "checkpointed_runs"


class TerminationConfig:
    """How a program learns that it is to end, and how it does.

    Args:
        termination_watcher_fn: asked once a second, in a thread, whether the program is to
            end.  By default SIGTERM says so.
        exit_fn: called after the checkpoint is written; by default the program exits with
            code 42.
        grace_period: seconds between the notice and the end.  If positive, a checkpoint is
            saved at once, training goes on, and another is saved shortly before the end.
        save_fn: saves, instead of `CheckpointManager.save`.
    """

    def __init__(
        self,
        termination_watcher_fn: Callable[[], bool] | None = None,
        exit_fn: Callable[[], Any] | None = None,
        grace_period: float | None = None,
        save_fn: Callable[..., Any] | None = None,
    ):
        self.termination_watcher_fn = termination_watcher_fn
        self.exit_fn = exit_fn
        self.grace_period = grace_period
        self.save_fn = save_fn


class PreemptionCheckpointHandler:
    """Saves a checkpoint and exits when a worker is about to be taken away; restores the latest
    when it is made.

    All workers make it, and call `run` for every step of training.  The number of calls is
    saved as ``checkpointed_runs``, so that a restarted loop knows where it is
    (`total_run_calls`).

    Args:
        cluster_resolver: the strategy's `cluster_resolver`; None for one process.
        checkpoint_or_checkpoint_manager: the `Checkpoint` to save and restore, or a manager.
        checkpoint_dir: the folder of checkpoints, which all workers see; needed for a
            `Checkpoint`, of which the latest is kept.
        termination_config: `TerminationConfig`.

    Raises:
        InvalidArgumentError: a `Checkpoint` is given without a folder.
        NotImplementedError: the cluster has parameter servers.
        ValueError: it is not made in the main thread, which signals need.
    """

    def __init__(
        self,
        cluster_resolver: Any,
        checkpoint_or_checkpoint_manager: Checkpoint | CheckpointManager,
        checkpoint_dir: Any = None,
        termination_config: TerminationConfig | None = None,
    ):
        from ..io.checkpoint.checkpoint import Checkpoint  # brings protobuf
        from ..io.checkpoint.manager import CheckpointManager

        given = checkpoint_or_checkpoint_manager
        if isinstance(given, Checkpoint) and not checkpoint_dir:
            raise InvalidArgumentError(
                "When a checkpoint is passed, a checkpoint_dir must be passed as well."
            )
        spec = None if cluster_resolver is None else cluster_resolver.cluster_spec()
        if spec and "ps" in spec.jobs:
            raise NotImplementedError(
                "PreemptionCheckpointHandler does not support usage with "
                "ParameterServerStrategy, whose servers save checkpoints of their own."
            )
        config = termination_config or TerminationConfig()
        self._exit_fn = config.exit_fn or _exit
        self._grace_s = config.grace_period or 0
        self._save_fn = config.save_fn
        if isinstance(given, CheckpointManager):
            self._manager = given
        else:
            folder = os.fsdecode(os.fspath(checkpoint_dir))
            self._manager = CheckpointManager(given, folder, max_to_keep=1)
        checkpoint = self._manager.checkpoint
        self._strategy = _strategy_of(cluster_resolver, checkpoint)
        extended = self._strategy.extended
        self._communicator = extended.communicator if extended.several_workers else None
        self._saved_runs = getattr(checkpoint, _RUNS, None)
        if self._saved_runs is None:
            self._saved_runs = Variable(0, trainable=False, name=_RUNS, dtype=int64)
            setattr(checkpoint, _RUNS, self._saved_runs)
        if self._communicator is not None:
            # A worker's view of the folder may be late: all restore what the chief sees.
            found = self._communicator.gather_objects(
                self._manager.latest_checkpoint, "the latest checkpoint"
            )
            self._manager._latest = found[0]
        self._manager.restore_or_initialize()
        self._runs = int(self._saved_runs)
        self._step_s = 0.0
        self._told = threading.Event()  # this worker was told to end
        self._told_at = 0.0
        self._ends_at: float | None = (
            None  # on the monotonic clock; while the grace period runs
        )
        self._stop = threading.Event()
        self._watch(config.termination_watcher_fn)

    # -- notices ----------------------------------------------------------------------------

    def _watch(self, watcher: Callable[[], bool] | None) -> None:
        self_reference = weakref.ref(self)
        if watcher is None:
            before: Any = None

            def handler(number: int, frame: Any) -> None:
                me = self_reference()
                if me is not None:
                    me._notice()
                elif callable(before):
                    before(number, frame)
                else:  # nobody is left who would end the program
                    sys.exit(128 + number)

            before = signal.signal(signal.SIGTERM, handler)
            self._before: Any = before
            self._handler: Any = handler
            return
        self._handler = None
        stop = self._stop

        def poll() -> None:
            while not stop.wait(_POLLING_S):
                me = self_reference()
                if me is None:
                    return
                if watcher():
                    me._notice()
                    return
                del me

        threading.Thread(target=poll, name="headrace-preemption", daemon=True).start()

    def _notice(self) -> None:
        if not self._told.is_set():
            self._told_at = time.monotonic()
            self._told.set()

    def _end_watch(self) -> None:
        self._stop.set()
        if self._handler is not None:
            if signal.getsignal(signal.SIGTERM) is self._handler:
                signal.signal(signal.SIGTERM, self._before or signal.SIG_DFL)
            self._handler = None

    # -- steps ------------------------------------------------------------------------------

    @property
    def total_run_calls(self) -> int:
        """How often `run` was called, calls before a restart included."""
        return self._runs

    def run(
        self, distributed_train_function: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> Any:
        """The result of a step, unless a worker was told to end: then all save and exit first.

        Args:
            distributed_train_function: trains one step.  It also takes the batch from an
                iterator that is saved: one that is taken before is lost at a restart.
            *args, **kwargs: its arguments.
        """
        self._save_if_told()
        began = time.monotonic()
        result = distributed_train_function(*args, **kwargs)
        self._runs += 1
        took = time.monotonic() - began
        self._step_s += (took - self._step_s) / min(self._runs, 100)
        return result

    def save_checkpoint_if_preempted(self, *args: Any, **kwargs: Any) -> None:
        """Save and exit if a worker was told to end; counts a step.  Instead of `run`, for
        loops that call it after every step.

        Args:
            *args, **kwargs: for `CheckpointManager.save`.
        """
        self._runs += 1
        self._save_if_told(*args, **kwargs)

    @contextlib.contextmanager
    def watch_preemption_scope(self) -> Iterator[None]:
        """A block around the training loop; TensorFlow needs it on TPUs, here `run` does it."""
        yield

    def _agreed(self) -> tuple[bool, bool]:
        """Whether a worker was told to end, and whether some worker's grace period is over."""
        told = self._told.is_set()
        over = self._ends_at is not None and time.monotonic() >= self._ends_at
        if self._communicator is None:
            return told, over
        flags = self._communicator.sum_counts(
            [int(told), int(over)], "asking whether to save and end"
        )
        return flags[0] > 0, flags[1] > 0

    def _save_if_told(self, *args: Any, **kwargs: Any) -> None:
        told, over = self._agreed()
        if not told:
            return
        waits = self._grace_s > 0
        first = self._ends_at is None
        if not (first or over):
            return
        self._save(*args, **kwargs)
        if waits and first:
            _log.warning(
                "this job is told to end: saved after %d steps; it goes on for the grace "
                "period of %g s", self._runs, self._grace_s,
            )  # fmt: skip
            since = self._told_at if self._told.is_set() else time.monotonic()
            self._ends_at = since + self._grace_s - _STEPS_BEFORE_END * self._step_s
            return
        _log.warning("this job is told to end: saved after %d steps; it exits", self._runs)
        self._end_watch()
        self._exit_fn()

    def _save(self, *args: Any, **kwargs: Any) -> None:
        assert self._saved_runs is not None
        self._saved_runs.assign(self._runs)
        scope: Any = contextlib.nullcontext()
        if self._communicator is not None and get_strategy() is not self._strategy:
            scope = entered(self._strategy)
        with scope:  # of several workers the chief alone writes
            if self._save_fn is not None:
                self._save_fn(*args, **kwargs)
            else:
                self._manager.save(*args, **kwargs)
            self._manager.sync()
        if self._communicator is not None:
            # Nobody exits before the files are there.
            self._communicator.meet("the end of saving")

    def __del__(self) -> None:
        stop = getattr(self, "_stop", None)
        if stop is not None:
            stop.set()


def _exit() -> None:
    sys.exit(RESTART_CODE)


def _strategy_of(resolver: Any, checkpoint: Checkpoint) -> Any:
    """The strategy whose workers the resolver describes.

    Raises:
        InvalidArgumentError: there are several workers, but no strategy can be found.
    """
    from ..io.checkpoint.graph import ObjectGraph  # brings protobuf

    found = getattr(resolver, "_strategy", None)
    if found is not None:
        return found
    for obj in ObjectGraph(checkpoint._start, checkpoint._children).objects:
        strategy = getattr(obj, "distribute_strategy", None)
        if isinstance(obj, Variable) and strategy is not None:
            return strategy
    spec = None if resolver is None else resolver.cluster_spec()
    several = spec and sum(spec.num_tasks(job) for job in spec.jobs) > 1
    if several and not get_strategy().extended.several_workers:
        raise InvalidArgumentError(
            f"the cluster has several workers ({spec}), but no strategy is known that connects "
            "them: pass strategy.cluster_resolver"
        )
    return get_strategy()
