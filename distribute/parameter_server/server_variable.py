"""ServerVariable: a variable whose value lies on parameter servers.

The coordinator pulls the value whenever it is read.  A worker pulls, in one call to each
server, what a scheduled function reads, once per run of the function; of a large table, the
rows that are looked up (`hr.gather`, `Embedding`), and it pushes gradients of these rows only.
Assignments go to the servers at once; `assign_add` and `assign_sub` add up there.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops.array_gather import gather
from ...ops.context import current
from ...ops.convert import to_tensor
from ...ops.errors import InvalidArgumentError
from ...ops.indexed_slices import IndexedSlices
from ...ops.tensor import SymbolicTensor, Tensor
from ...ops.variable import Variable
from .optimizers import check_constraint, check_update, packed_constraint, prepared, terms_of
from .partitioners import dims_of
from .store import Layout, Store

__all__ = ["ServerVariable", "here"]

_LARGE_BYTES = 1 << 20


class _Here:
    """What this process knows of the servers.

    Attributes:
        store: the servers, in a worker.
        known: the variables that came with functions, by name; the same ones every time.
        fresh: names of those pulled in the run that is under way; None outside of runs, where
            every read pulls.
        used: those that runs have read whole.
        worker_index: this worker's number; None in other processes.
    """

    def __init__(self) -> None:
        self.store: Store | None = None
        self.known: dict[str, ServerVariable] = {}
        self.fresh: set[str] | None = None
        self.used: dict[str, ServerVariable] = {}
        self.worker_index: int | None = None

    def begin(self) -> None:
        """A run begins: what was pulled is out of date."""
        self.fresh = set()
        for variable in self.known.values():
            variable._rows = None

    def refresh(self, variable: ServerVariable) -> None:
        """Pull `variable`, and with it what runs usually read."""
        wanted = [variable]
        if self.fresh is not None:
            fresh = self.fresh
            self.used[variable.layout.name] = variable
            wanted += [
                v for name, v in self.used.items() if name not in fresh and v is not variable
            ]
            fresh.update(v.layout.name for v in wanted)
        found = variable.store.pull([(v.layout, v._versions) for v in wanted])
        for one, (versions, value) in zip(wanted, found, strict=True):
            if value is not None:
                one._versions, one._held = versions, value


here = _Here()


class _Rows:
    """The rows of a large table that a run has looked up, each in a slot."""

    def __init__(self, variable: ServerVariable):
        self._variable = variable
        self._slots: dict[int, int] = {}
        self.values: np.ndarray | None = None

    @property
    def ids(self) -> np.ndarray:
        """The rows' numbers, by slot."""
        return np.fromiter(self._slots, np.int64, len(self._slots))

    def look_up(self, ids: np.ndarray) -> np.ndarray:
        """The slots of `ids`; rows not seen before are pulled."""
        distinct = np.unique(ids)
        new = [i for i in distinct.tolist() if i not in self._slots]
        if new or self.values is None:
            variable = self._variable
            wanted = np.array(new or [0], np.int64)
            pulled = variable.store.pull_rows(variable.layout, wanted)[: len(new)]
            had = self.values
            self.values = pulled if had is None else np.concatenate([had, pulled])
            for i in new:
                self._slots[i] = len(self._slots)
        slots = np.array([self._slots[i] for i in distinct.tolist()], np.int64)
        return slots[np.searchsorted(distinct, ids)] if ids.size else ids


class ServerVariable(Variable):
    """A variable made in the scope of a `ParameterServerStrategy`; arguments are
    `Variable`'s."""

    layout: Layout
    store: Store
    _held: Any  # the value as it was pulled last
    _rows: _Rows | None
    _is_laid: bool
    _versions: list[int]

    def __init__(self, *args: Any, **kwargs: Any):
        strategy = current.variables
        self._held = self._rows = None
        self._is_laid = False
        super().__init__(*args, **kwargs)
        self.store = strategy.extended.store
        self.layout = strategy.extended.lay_out(self._name, self._shape, self._dtype)
        self._versions = [-1] * len(self.layout.servers)
        packed = None
        if self.constraint is not None:
            check_constraint(self)
            packed = packed_constraint(self)
        self.store.create(self.layout, self._held, packed)
        self._held = None
        self._is_laid = True

    @property
    def server_name(self) -> str:
        """What it is called in all processes."""
        return self.layout.name

    @property
    def is_large(self) -> bool:
        """Whether lookups pull rows instead of all."""
        size = int(self._shape.num_elements() or 0) * (self._dtype.size or 1)
        return len(self.layout.servers) > 1 or size > _LARGE_BYTES

    # -- the raw array, which `Variable` reads and writes ---------------------------------

    @property
    def _value(self) -> Any:
        if self._is_laid and (here.fresh is None or self.layout.name not in here.fresh):
            here.refresh(self)
        return self._held

    @_value.setter
    def _value(self, raw: Any) -> None:
        if self._is_laid:
            self._send(raw, add=False)
        else:
            self._held = raw

    def _send(self, raw: Any, add: bool) -> None:
        self.store.assign(self.layout, np.asarray(raw), add)
        self._versions = [-1] * len(self.layout.servers)
        if here.fresh is not None:
            here.fresh.discard(self.layout.name)

    def owned(self) -> Any:
        """A copy: what is written into it must be assigned."""
        raise InvalidArgumentError(
            f"variable '{self.name}' lies on parameter servers and is not updated in place; "
            "optimizers update it where it lies"
        )

    def assign_add(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Add `delta` to the value, on the servers: what several workers add, adds up."""
        if current.trace is not None:
            return super().assign_add(delta)
        self._send(to_tensor(delta, self._dtype)._value, add=True)
        return self

    def assign_sub(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Subtract `delta` from the value, on the servers."""
        if current.trace is not None:
            return super().assign_sub(delta)
        self._send((-to_tensor(delta, self._dtype))._value, add=True)
        return self

    # -- rows -------------------------------------------------------------------------------

    def _gather(self, indices: Any, axis: Any, batch_dims: Any) -> Tensor:
        """See `hr.gather`: of a large table, the rows asked for are pulled."""
        ids = to_tensor(indices, None)
        plain = not batch_dims and axis in (None, 0)
        if not (plain and self.is_large) or isinstance(ids, SymbolicTensor):
            return gather(self.read_value(), indices, axis=axis, batch_dims=batch_dims)
        numbers = np.asarray(ids._value, np.int64)
        rows = dims_of(self._shape)[0]
        if numbers.size and (numbers.min() < 0 or numbers.max() >= rows):
            wrong = numbers[(numbers < 0) | (numbers >= rows)].flat[0]
            raise InvalidArgumentError(
                f"index {wrong} of a lookup in variable '{self.name}' is not in [0, {rows})"
            )
        if self._rows is None:
            self._rows = _Rows(self)
        slots = self._rows.look_up(numbers)
        table = Tensor.of(self._rows.values)
        for tape in current.tapes:
            tape.record_read(self, table)
        return gather(table, Tensor.of(slots))

    def _gradient(self, grad: Any) -> tuple[np.ndarray, np.ndarray | None]:
        """A gradient as values and the rows they are of (None: all), each row once."""
        rows = None if self._rows is None else self._rows.ids
        if isinstance(grad, IndexedSlices):
            indices = np.asarray(grad.indices).ravel()
            values = np.asarray(grad.values)
            if rows is not None:
                indices = rows[indices]
            distinct, place = np.unique(indices, return_inverse=True)
            summed = np.zeros((len(distinct), *values.shape[1:]), values.dtype)
            np.add.at(summed, place, values)
            return summed, distinct
        values = np.asarray(to_tensor(grad, None)._value)
        if rows is not None and values.shape[0] == len(rows):
            return values, rows
        return values, None

    def push_gradients(self, optimizer: Any, grads: list[Any], variables: list[Any]) -> None:
        """Have the servers apply an optimizer's update to `variables`, this one among them.

        Raises:
            ValueError: a variable does not lie on servers; there is no gradient; the
                optimizer asks for what servers cannot do.
        """
        check_update(optimizer, grads, variables)
        given = [(v, g) for v, g in zip(variables, grads, strict=True) if g is not None]
        parts = [(v.layout, *v._gradient(g)) for v, g in given]
        values = prepared(optimizer, [values for _, values, _ in parts])
        self.store.push(
            terms_of(optimizer, variables),
            [(layout, own, rows) for (layout, _, rows), own in zip(parts, values, strict=True)],
        )
        self._forget(variables)
        optimizer._iterations.assign_add(1)

    def take_averages(self, optimizer: Any, variables: list[Any]) -> None:
        """Replace `variables` by the moving averages that the servers keep of them."""
        self.store.take_averages(terms_of(optimizer, variables))
        self._forget(variables)

    @staticmethod
    def _forget(variables: list[Any]) -> None:
        """What was pulled of `variables` is out of date."""
        for v in variables:
            v._rows = None
            if here.fresh is not None:
                here.fresh.discard(v.layout.name)

    def __reduce__(self) -> tuple[Any, ...]:
        return _known, (self.layout, self._shape, self._dtype, self._name, self._trainable)


def _known(
    layout: Layout, shape: Any, dtype: Any, name: str, trainable: bool
) -> ServerVariable:  # fmt: skip
    """The variable in a worker, always the same object."""
    if layout.name not in here.known:
        assert here.store is not None, "variables of servers travel to their workers only"
        variable: Any = object.__new__(ServerVariable)
        variable.layout, variable.store = layout, here.store
        variable._shape, variable._dtype, variable._name = shape, dtype, name
        variable._trainable = trainable
        variable.constraint = variable.synchronization = variable.aggregation = None
        variable._serial = len(here.known)
        variable._held, variable._rows, variable._is_laid = None, None, True
        variable._versions = [-1] * len(layout.servers)
        here.known[layout.name] = variable
    return here.known[layout.name]
