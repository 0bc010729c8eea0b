"""Store: all parameter servers together, as the coordinator and the workers see them.

A variable is cut along its first axis; shard k of the n-th variable lies on server
``(n + k) % servers``.  Calls go to all servers that are concerned at once.  A server that is
being started anew is waited for.
"""

from __future__ import annotations

import time
from typing import Any, NamedTuple

import numpy as np

from ...ops.errors import UnavailableError
from ..data_service.dispatcher import unwrapped
from ..ray_cluster import ray_module
from .server import Gradient, OptimizerOrder

__all__ = ["Layout", "OptimizerTerms", "Store"]

_WAIT_S = 60.0


class Layout(NamedTuple):
    """Where a variable lies.

    Attributes:
        name: unique.
        bounds: rows at which shards begin, and the end; of one shard, of all there is.
        servers: of each shard, the server's number.
    """

    name: str
    bounds: tuple[int, ...]
    servers: tuple[int, ...]

    def key(self, shard: int) -> str:
        """The shard's name."""
        return self.name if len(self.servers) == 1 else f"{self.name}/part_{shard}"


class OptimizerTerms(NamedTuple):
    """What servers must know of an optimizer.

    Attributes:
        name: the same for the same optimizer and variables.
        kind, config: to make copies of it.
        learning_rate: now.
        layouts: all variables it trains.
        spared: names of those without weight decay.
    """

    name: str
    kind: type
    config: dict[str, Any]
    learning_rate: float
    layouts: list[Layout]
    spared: set[str]

    def orders(self) -> dict[int, OptimizerOrder]:
        """For each server that has shards, what it is told."""
        keys: dict[int, list[str]] = {}
        spared: dict[int, list[str]] = {}
        for layout in self.layouts:
            for k, server in enumerate(layout.servers):
                keys.setdefault(server, []).append(layout.key(k))
                if layout.name in self.spared:
                    spared.setdefault(server, []).append(layout.key(k))
        return {
            server: OptimizerOrder(self.name, self.kind, self.config, tuple(own),
                                   tuple(spared.get(server, ())), self.learning_rate)
            for server, own in keys.items()
        }  # fmt: skip


class Store:
    """Calls to the servers, by any thread.

    Args:
        servers: their actors' handles.
    """

    def __init__(self, servers: list[Any]):
        self.servers = servers
        self._ray = ray_module("ParameterServerStrategy")

    def call(self, calls: list[tuple[int, str, tuple[Any, ...]]]) -> list[Any]:
        """The replies to (server, method, arguments), made at once.

        Raises:
            UnavailableError: a server does not come back.
            OpError: what a server's method raised.
        """
        errors = self._ray.exceptions
        end = time.monotonic() + _WAIT_S
        replies: list[Any] = [None] * len(calls)
        left = list(range(len(calls)))
        while left:
            asked = [
                (i, getattr(self.servers[calls[i][0]], calls[i][1]).remote(*calls[i][2]))
                for i in left
            ]
            left = []
            for i, reply in asked:
                try:
                    replies[i] = self._ray.get(reply, timeout=_WAIT_S)
                except errors.RayTaskError as error:
                    raise unwrapped(error) from None
                except errors.RayError as error:
                    dead = isinstance(error, errors.ActorDiedError)
                    if dead or time.monotonic() > end:
                        first = str(error).partition("\n")[0]
                        raise UnavailableError(
                            f"parameter server {calls[i][0]} does not answer: {first}; it died "
                            "more often than it is restarted, or too fast: see its log"
                        ) from error
                    left.append(i)
            if left:
                time.sleep(0.2)
        return replies

    # -- whole variables --------------------------------------------------------------------

    def create(self, layout: Layout, value: np.ndarray, constraint: bytes | None) -> None:
        """Lay the shards of a new variable down; with a pickled constraint."""
        self.call([
            (server, "create", (layout.key(k), part, constraint))
            for k, (server, part) in enumerate(_cut(layout, value))
        ])  # fmt: skip

    def assign(self, layout: Layout, value: np.ndarray, add: bool) -> None:
        """Replace a variable's value, or add to it."""
        self.call([
            (server, "assign", (layout.key(k), part, add))
            for k, (server, part) in enumerate(_cut(layout, value))
        ])  # fmt: skip

    def pull(self, asked: list[tuple[Layout, list[int]]]) -> list[tuple[list[int], Any]]:
        """(versions of the shards, value) of each (layout, versions known); the value is None
        where all are known.  One call to each server."""
        wanted: dict[int, list[tuple[str, None, int]]] = {}
        for layout, known in asked:
            for k, server in enumerate(layout.servers):
                wanted.setdefault(server, []).append((layout.key(k), None, known[k]))
        # A shard that is known comes anew with the others if one of them has changed.
        replies = self.call([(s, "pull", (keys,)) for s, keys in wanted.items()])
        parts = {s: iter(r) for s, r in zip(wanted, replies, strict=True)}
        found: list[tuple[list[int], Any]] = []
        for layout, _known in asked:
            pieces = [next(parts[s]) for s in layout.servers]
            versions = [v for v, _ in pieces]
            if all(p is None for _, p in pieces):
                found.append((versions, None))
                continue
            stale = [k for k, (_, p) in enumerate(pieces) if p is None]
            again = self.call(
                [(layout.servers[k], "pull", ([(layout.key(k), None, -1)],)) for k in stale]
            )
            for k, ((version, part),) in zip(stale, again, strict=True):
                versions[k], pieces[k] = version, (version, part)
            arrays = [p for _, p in pieces]
            found.append((versions, arrays[0] if len(arrays) == 1 else np.concatenate(arrays)))
        return found

    # -- rows -------------------------------------------------------------------------------

    def pull_rows(self, layout: Layout, rows: np.ndarray) -> np.ndarray:
        """The rows of a variable at `rows`, in that order."""
        shards = _shards_of(layout, rows)
        used = np.unique(shards).tolist()
        local = [rows[shards == k] - layout.bounds[k] for k in used]
        replies = self.call([
            (layout.servers[k], "pull", ([(layout.key(k), own, -1)],))
            for k, own in zip(used, local, strict=True)
        ])  # fmt: skip
        first = replies[0][0][1]
        out = np.empty((len(rows), *first.shape[1:]), first.dtype)
        for k, ((_, part),) in zip(used, replies, strict=True):
            out[shards == k] = part
        return out

    def push(
        self, terms: OptimizerTerms,
        gradients: list[tuple[Layout, np.ndarray, np.ndarray | None]],
    ) -> None:  # fmt: skip
        """Have the servers' copies of an optimizer make a step: one call to each server.

        Args:
            terms: which optimizer.
            gradients: (variable, values, rows or None for all).
        """
        parts: dict[int, list[Gradient]] = {}
        for layout, values, rows in gradients:
            if rows is None:
                for k, (server, part) in enumerate(_cut(layout, values)):
                    parts.setdefault(server, []).append(Gradient(layout.key(k), part, None))
                continue
            shards = _shards_of(layout, rows)
            for k, server in enumerate(layout.servers):
                mine = shards == k  # it may have none: moments and weights decay all the same
                one = Gradient(layout.key(k), values[mine], rows[mine] - layout.bounds[k])
                parts.setdefault(server, []).append(one)
        orders = terms.orders()
        self.call([(s, "push", (order, parts.get(s, []))) for s, order in orders.items()])

    def take_averages(self, terms: OptimizerTerms) -> None:
        """Replace all variables of an optimizer by their moving averages."""
        self.call([(s, "take_averages", (order,)) for s, order in terms.orders().items()])

    def save(self) -> None:
        """Have all servers write their checkpoints."""
        self.call([(s, "save", ()) for s in range(len(self.servers))])


def _cut(layout: Layout, value: np.ndarray) -> list[tuple[int, np.ndarray]]:
    if len(layout.servers) == 1:
        return [(layout.servers[0], value)]
    bounds = layout.bounds
    return [(s, value[bounds[k] : bounds[k + 1]]) for k, s in enumerate(layout.servers)]


def _shards_of(layout: Layout, rows: np.ndarray) -> np.ndarray:
    return np.searchsorted(np.asarray(layout.bounds[1:]), rows, side="right")
