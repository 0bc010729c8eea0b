"""DeviceSpans: what a GPU's streams did when, for a timeline, measured by events.

The host only queues a GPU's work, so its own clock says nothing about it.  A pair of events
around the work has the GPU's time; the time between the first event of all, behind which the
host has waited once, and these places the span on the host's clock.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from typing import Any

from .timeline import Timeline, current_timeline

__all__ = ["DeviceSpans"]


class DeviceSpans:
    """Measures spans on the streams of some GPUs.

    Args:
        backend: the GPUs.
        places: their numbers.
    """

    def __init__(self, backend: Any, places: Sequence[int]):
        self._backend, self._places = backend, tuple(places)
        self._bases: dict[int, tuple[Any, float]] = {}
        self._timeline: Any = None

    def begin(self, rank: int, stream: Any = None) -> Any:
        """An event with the time, behind what a stream has queued; of the calling thread's
        stream where none is given.  None while no timeline is open."""
        timeline = current_timeline()
        if timeline is None:
            return None
        self._base(timeline, rank)
        return self._mark(rank, stream)

    def end(
        self, rank: int, lane: str, name: str, replica: int, begun: Any, stream: Any = None
    ) -> None:
        """Note the span from an event that `begin` gave to what the stream has queued now; when
        it was is asked when the timeline ends."""
        timeline = current_timeline()
        if timeline is None or begun is None:
            return
        base, at = self._base(timeline, rank)
        ended = self._mark(rank, stream)

        def when() -> tuple[float, float]:
            with self._backend.on(self._places[rank]):
                ended.synchronize()
                passed = self._backend.module.cuda.get_elapsed_time  # milliseconds
                return at + passed(base, begun) * 1e-3, at + passed(base, ended) * 1e-3

        timeline.add_later(lane, name, replica, when)

    @contextlib.contextmanager
    def span(
        self, rank: int, lane: str, name: str, replica: int, stream: Any = None
    ) -> Iterator[None]:
        """What the block queues on a stream, as a span of the timeline that is open."""
        begun = self.begin(rank, stream)
        yield
        self.end(rank, lane, name, replica, begun, stream)

    def _mark(self, rank: int, stream: Any = None) -> Any:
        cuda = self._backend.module.cuda
        with self._backend.on(self._places[rank]):
            return (stream or cuda.get_current_stream()).record(cuda.Event())

    def _base(self, timeline: Timeline, rank: int) -> tuple[Any, float]:
        """An event and the host's time of it."""
        if timeline is not self._timeline:
            self._timeline, self._bases = timeline, {}
        found = self._bases.get(rank)
        if found is None:
            base = self._mark(rank)
            with self._backend.on(self._places[rank]):
                base.synchronize()
            found = self._bases[rank] = base, time.perf_counter()
        return found
