"""Event files: what TensorBoard reads.

A file is a sequence of TFRecords, each an `Event` message of
`tensorboard.compat.proto`; the first says which version of the layout the file has.  Events
wait in the writer until more than `max_queue` of them are there or `flush_millis` have passed,
which a timer watches.  A remote file appears when its writer is closed.  Several threads may
use one writer.
"""

from __future__ import annotations

import itertools
import os
import socket
import threading
import time
import weakref
from collections.abc import Iterator
from typing import Any

from ..ops.errors import FailedPreconditionError
from .file_errors import file_error
from .filesystems import is_remote, join, local_path
from .tfrecord_writer import TFRecordWriter

__all__ = ["EventFileWriter", "read_events"]

_VERSION = "brain.Event:2"
_numbers = itertools.count()


class EventFileWriter:
    """Appends events to a new file in `logdir`.

    Args:
        logdir: folder or URL, made if it is not there.
        max_queue: events that may wait; 10 by default.
        flush_millis: milliseconds that an event may wait; 120 000 by default.
        filename_suffix: end of the file's name; ".v2" by default.

    Raises:
        PermissionDeniedError: the folder or file may not be written.
    """

    def __init__(
        self,
        logdir: str | os.PathLike[str],
        max_queue: int | None = None,
        flush_millis: int | None = None,
        filename_suffix: str | None = None,
    ):
        from tensorboard.compat.proto.event_pb2 import Event

        self.logdir = os.fsdecode(os.fspath(logdir))
        self._max_queue = 10 if max_queue is None else max_queue
        self._wait_s = (120_000 if flush_millis is None else flush_millis) / 1000
        suffix = ".v2" if filename_suffix is None else filename_suffix
        now = time.time()
        name = (
            f"events.out.tfevents.{int(now):010d}.{socket.gethostname()}.{os.getpid()}."
            f"{next(_numbers)}{suffix}"
        )
        _make_folder(self.logdir)
        self.path = join(self.logdir, name)
        self._lock = threading.Lock()
        self._waiting = 0
        self._timer: threading.Timer | None = None
        self._file: TFRecordWriter | None = TFRecordWriter(self.path)
        # What waits is written when the program ends or forgets the writer, too.
        self._finalizer = weakref.finalize(self, self._file.close)
        first = Event(wall_time=now, file_version=_VERSION)
        if "source_metadata" in Event.DESCRIPTOR.fields_by_name:
            first.source_metadata.writer = "headrace"
        self._file.write(first.SerializeToString())
        self._file.flush()

    def add(self, event: Any) -> None:
        """Append an `Event`; its wall time is set unless it has one.

        Raises:
            FailedPreconditionError: the writer is closed.
        """
        if not event.wall_time:
            event.wall_time = time.time()
        record = event.SerializeToString()
        with self._lock:
            if self._file is None:
                raise FailedPreconditionError(
                    f"The event file writer of {self.logdir!r} is closed: make a new one"
                )
            self._file.write(record)
            self._waiting += 1
            if self._waiting > self._max_queue:
                self._flush()
            elif self._timer is None:
                self._timer = threading.Timer(self._wait_s, _flush_late, (weakref.ref(self),))
                self._timer.daemon = True
                self._timer.start()

    def flush(self) -> None:
        """Hand everything added so far to the file system; harmless when closed."""
        with self._lock:
            self._flush()

    def close(self) -> None:
        """Finish the file; harmless when repeated."""
        with self._lock:
            self._file = None
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._finalizer()

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._file is None

    def _flush(self) -> None:
        self._waiting = 0
        if self._file is not None:
            self._file.flush()


def _flush_late(reference: Any) -> None:
    writer = reference()
    if writer is not None:
        with writer._lock:
            writer._timer = None
            writer._flush()


def _make_folder(path: str) -> None:
    if is_remote(path):
        return  # object stores have no folders
    try:
        os.makedirs(local_path(path), exist_ok=True)
    except OSError as error:
        raise file_error(error, path) from None


def read_events(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The `Event` messages of one file, in order.

    Raises:
        DataLossError: a record is damaged.
    """
    from tensorboard.compat.proto.event_pb2 import Event

    from .tfrecord import tf_record_iterator

    for record in tf_record_iterator(path):
        yield Event.FromString(record)
