"""Prefetcher: a thread that reads ahead (see `executor`)."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from .executor import Executor, Item, Source, waited_s

__all__ = ["Prefetcher"]


class Prefetcher(Executor):
    """A thread that pulls ahead of its consumer.

    Args:
        source: what to read.
        max_items: items read ahead, at most.
        max_bytes: bytes read ahead; at least one item is, however large.
        size_bytes: bytes of an item.
        name: of the thread.
    """

    def __init__(self, source: Source, *, max_items: int, max_bytes: int = 64 << 20,
                 size_bytes: Callable[[Any], int] = lambda _: 0,
                 name: str = "headrace-prefetch"):  # fmt: skip
        super().__init__(source)
        self._max_items = max_items
        self._max_bytes = max_bytes
        self._size_bytes = size_bytes
        self._name = name
        self._bytes = 0
        self._thread: threading.Thread | None = None

    @property
    def buffered_bytes(self) -> int:
        """Bytes pulled and not yet delivered."""
        return self._bytes

    def start(self) -> None:
        """Begin reading ahead; `next` does it otherwise."""
        if self._thread is None and not self._closed:
            self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
            self._thread.start()

    def next(self) -> Item | None:
        """The next item (which may hold an error), or None at the end."""
        if self._thread is None:
            self.start()  # not where it is closed
        began = 0.0
        waited = waited_s()
        try:
            while True:
                with self._mutex:
                    self._check_open()
                    if not began and not self._exhausted:
                        self._asked(len(self._items))
                    if self._items or self._exhausted:
                        break
                    ticket = self._gate.ticket()
                began = began or time.perf_counter()
                ticket.acquire()
        finally:
            if began:
                self._waited(began, waited)
        with self._mutex:
            if not self._items:
                return None
            item = self._items.popleft()
            self._bytes -= item.size_bytes
            self.delivered += 1
            self._gate.changed()
            return item

    def set_bounds(self, max_items: int, max_bytes: int) -> None:
        """Change how many items and bytes may be read ahead."""
        with self._mutex:
            self._max_items, self._max_bytes = max_items, max_bytes
            self._gate.changed()

    @property
    def max_items(self) -> int:
        """Items read ahead, at most."""
        return self._max_items

    def _run(self) -> None:
        if not self._enter():
            return
        try:
            while self._wait_for_room():
                with self._pulling:
                    item = Item(self._source.save())
                    self._in_flight = item.state
                    try:
                        item.value = self._pull_source()
                        if item.value is not None:
                            item.size_bytes = self._size_bytes(item.value)
                    except BaseException as error:
                        item.error = error
                    with self._mutex:
                        self._in_flight = None
                        if self._closed:
                            return
                        if item.value is None and item.error is None:
                            self._exhausted = True
                            self._gate.changed()
                            return
                        self._items.append(item)
                        self._bytes += item.size_bytes
                        self._gate.changed()
        finally:
            self._leave()

    def _stopped(self) -> None:
        # Or the thread's object would be garbage of this cycle, and a Ctrl-C during its
        # collection would be lost in its weak references' callbacks.
        self._thread = None

    def _wait_for_room(self) -> bool:
        """Wait until an item may be pulled; False once closed."""
        while True:
            with self._mutex:
                if self._closed:
                    return False
                if not self._items or (
                    len(self._items) < self._max_items
                    and self._bytes < self._max_bytes
                    and self._items[-1].error is None  # the consumer decides about going on
                ):
                    return True
                ticket = self._gate.ticket()
            began = time.perf_counter()
            ticket.acquire()
            self.full_s += time.perf_counter() - began
