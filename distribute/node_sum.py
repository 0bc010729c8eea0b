"""Sums over processes, made in shared memory by those that run on one machine.

An array goes through windows of shared memory in pieces.  Of each piece every process of a
machine adds up one part, and the others read it from there: bytes cross memory once each way,
where messages copy them several times.  Between machines, processes of the same place exchange
their parts by MPI, so that each machine's traffic is shared out among all of its processes.
"""

from __future__ import annotations

import atexit
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

__all__ = ["NodeSum"]

PIECE_BYTES = 2 << 20


class _Span(NamedTuple):
    """What of an array is in a piece, and where in the window it stands."""

    source: Any
    out: Any
    at: int


class NodeSum:
    """Adds arrays of the processes of a communicator.

    Args:
        mpi: the module `mpi4py.MPI`.
        comm: the processes; all of them make one.
        node: those of `comm` on this machine; found out if None.
        piece_bytes: of an array, in shared memory at a time.

    Attributes:
        works: whether sums can be made like this: machines have several processes, all the same
            number of them.
        one_machine: whether all processes are on one machine.
    """

    def __init__(self, mpi: Any, comm: Any, node: Any = None, piece_bytes: int = PIECE_BYTES):
        rank = comm.Get_rank()
        self._mpi = mpi
        self._node = comm.Split_type(mpi.COMM_TYPE_SHARED, rank) if node is None else node
        self._rank, self._size = self._node.Get_rank(), self._node.Get_size()
        sizes = set(comm.allgather(self._size))
        self.one_machine = self._size == comm.Get_size()
        self.works = sizes == {self._size} and self._size > 1
        if not self.works:
            return
        self._across = None if self.one_machine else comm.Split(self._rank, rank)
        # Two pieces: one is written while a slower process still reads the one before.
        self._piece_bytes, self._turn = piece_bytes, 0
        self._window = mpi.Win.Allocate_shared(2 * piece_bytes, 1, comm=self._node)
        self._window.Lock_all()
        self._slots = []
        for other in range(self._size):
            memory, _ = self._window.Shared_query(other)
            self._slots.append(np.frombuffer(memory, np.uint8).reshape(2, piece_bytes))
        self._slots[self._rank][:] = 0  # pages are there before the first sum
        atexit.register(self._close)

    def sum(
        self, sources: Sequence[np.ndarray], outs: Sequence[np.ndarray], wide: Any = None
    ) -> None:
        """Put the sums of all processes' `sources` into `outs`, the same bits for all.

        Args:
            sources: contiguous arrays of one dtype, of the same sizes on all processes.
            outs: contiguous, of their sizes and dtype; may be the sources themselves.
            wide: the dtype to add in; their own if None.  On one machine only.
        """
        room = 0
        piece: list[_Span] = []
        for source, out in zip(sources, outs, strict=True):
            source, out = source.reshape(-1), out.reshape(-1)
            start = 0
            while start < source.size:
                if not room:
                    self._piece(piece, wide)
                    piece, room = [], self._piece_bytes // source.itemsize
                stop = min(start + room, source.size)
                at = self._piece_bytes // source.itemsize - room
                piece.append(_Span(source[start:stop], out[start:stop], at))
                room -= stop - start
                start = stop
        self._piece(piece, wide)

    def _piece(self, piece: Sequence[_Span], wide: Any) -> None:
        if not piece:
            return
        self._turn = 1 - self._turn
        kind = piece[0].source.dtype
        slots = [slot[self._turn].view(kind) for slot in self._slots]
        own = self._rank
        spans = []
        for source, out, at in piece:
            windows = [slot[at : at + source.size] for slot in slots]
            ends = [source.size * place // self._size for place in range(self._size + 1)]
            parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
            spans.append((source, out, windows, parts))
        for source, _, windows, parts in spans:
            for place, part in enumerate(parts):
                if place != own:
                    windows[own][part] = source[part]
        self._meet()
        for source, out, windows, parts in spans:
            mine = parts[own]
            total = out[mine] if wide is None else np.empty(mine.stop - mine.start, wide)
            first, *others = (w[mine] for place, w in enumerate(windows) if place != own)
            # Its own comes first: `total` may be the same memory.
            np.add(source[mine], first, out=total, dtype=total.dtype)
            for array in others:
                np.add(total, array, out=total, dtype=total.dtype)
            if self._across is not None:
                self._across.Allreduce(self._mpi.IN_PLACE, total, self._mpi.SUM)
            windows[own][mine] = total
            if wide is not None:
                out[mine] = windows[own][mine]
        self._meet()
        for _, out, windows, parts in spans:
            for place, part in enumerate(parts):
                if place != own:
                    out[part] = windows[place][part]

    def _meet(self) -> None:
        self._window.Sync()
        self._node.Barrier()
        self._window.Sync()

    def _close(self) -> None:
        """Give the window back: all processes do, when they end."""
        if not self._mpi.Is_finalized():
            self._slots = []
            self._window.Unlock_all()
            self._window.Free()
