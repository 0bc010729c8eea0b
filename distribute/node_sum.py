"""Sums over processes, made in shared memory by those that run on one machine.

An array goes through windows of shared memory in pieces.  Of each piece every process of a
machine adds up one part, and the others read it from there: bytes cross memory once each way,
where messages copy them several times.  Between machines, processes of the same place exchange
their parts by MPI, so that each machine's traffic is shared out among all of its processes.
"""

from __future__ import annotations

import atexit
import itertools
from typing import Any

import numpy as np

__all__ = ["NodeSum"]

PIECE_BYTES = 1 << 20


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

    def sum(self, source: np.ndarray, out: np.ndarray, wide: Any = None) -> None:
        """Put the sum of all processes' `source` into `out`, the same bits for all.

        Args:
            source: contiguous, of one size on all processes.
            out: contiguous, of its size and dtype; may be `source` itself.
            wide: the dtype to add in; its own if None.  On one machine only.
        """
        kind = source.dtype
        source, out = source.reshape(-1), out.reshape(-1)
        slots = [slot.view(kind) for slot in self._slots]
        step = self._piece_bytes // kind.itemsize
        for start in range(0, source.size, step):
            stop = min(start + step, source.size)
            self._turn = 1 - self._turn
            window = [slot[self._turn, : stop - start] for slot in slots]
            self._piece(source[start:stop], out[start:stop], window, wide)

    def _piece(self, source: Any, out: Any, window: list[Any], wide: Any) -> None:
        ends = [source.size * place // self._size for place in range(self._size + 1)]
        parts = [slice(a, b) for a, b in itertools.pairwise(ends)]
        own = window[self._rank]
        for place, part in enumerate(parts):
            if place != self._rank:
                own[part] = source[part]
        self._meet()
        mine = parts[self._rank]
        total = out[mine] if wide is None else np.empty(mine.stop - mine.start, wide)
        first, *others = (w[mine] for place, w in enumerate(window) if place != self._rank)
        # Its own comes first: `total` may be the same memory.
        np.add(source[mine], first, out=total, dtype=total.dtype)
        for array in others:
            np.add(total, array, out=total, dtype=total.dtype)
        if self._across is not None:
            self._across.Allreduce(self._mpi.IN_PLACE, total, self._mpi.SUM)
        own[mine] = total
        if wide is not None:
            out[mine] = own[mine]
        self._meet()
        for place, part in enumerate(parts):
            if place != self._rank:
                out[part] = window[place][part]

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
