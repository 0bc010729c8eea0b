"""Variables of strategies: a copy per replica, kept in step by what is assigned.

A copy is an array in `_copies`; which one code sees depends on the replica its thread runs as
(`current.replica`).  On the cross-replica side assignment writes all copies.  Copies that are
equal share one array until one of them is written (`Variable.owned`), or until a replica on
another device reads its own, which is then brought there.
"""

from __future__ import annotations

from typing import Any

from ..ops.array_module import array_module, beside
from ..ops.context import current
from ..ops.convert import to_tensor
from ..ops.tensor import Tensor
from ..ops.variable import Variable
from ..ops.variable_kinds import VariableAggregation, VariableSynchronization
from .context import get_strategy
from .cross_device_ops import moved, place_of

__all__ = ["DistributedVariable", "MirroredVariable", "SyncOnReadVariable", "variable_class"]


class DistributedVariable(Variable):
    """A variable made in a strategy's scope; arguments are `Variable`'s."""

    def __init__(self, *args: Any, **kwargs: Any):
        self._strategy = get_strategy()
        self._copies: list[Any] = []
        self._aggregation = VariableAggregation.of(kwargs.get("aggregation"))
        super().__init__(*args, **kwargs)
        self.aggregation = self._aggregation
        self._agree()

    def _agree(self) -> None:
        """Begin with the same value in all processes."""
        self._copies = self._strategy.extended.agree_on(self._copies)

    @property
    def distribute_strategy(self) -> Any:
        """The strategy whose scope it was made in."""
        return self._strategy

    @property
    def values(self) -> tuple[Any, ...]:
        """The copies of this process's replicas, as tensors, each on its replica's device."""
        places = self._strategy.extended.places
        return tuple(Tensor.of(self._copy_at(i, p)) for i, p in enumerate(places))

    def _copy_at(self, index: int, place: int | None) -> Any:
        """A replica's copy, brought to the device that the replica is on."""
        copy = self._copies[index]
        if place is not None and place_of(copy) != place:
            copy = self._copies[index] = moved(copy, place)
        return copy

    # -- the raw array, which `Variable` reads and writes ---------------------------------

    @property
    def _value(self) -> Any:
        replica = current.replica
        if replica is None:
            return self._copies[0]
        return self._copy_at(replica.local_index, replica.place)

    @_value.setter
    def _value(self, raw: Any) -> None:
        replica = current.replica
        if replica is None or not self._copies:
            extended = self._strategy.extended
            self._copies = [_at_home(extended, raw)] * extended.local_replicas
        else:
            self._copies[replica.local_index] = raw

    def owned(self) -> Any:
        """See `Variable.owned`; on the cross-replica side the array is the value of all."""
        if current.replica is None:
            value = self._value
            with beside(value):
                value = value.copy()
            self._value = value
            return value
        return super().owned()

    # -- writing in a replica ---------------------------------------------------------------

    def _combined(self, value: Any) -> Any:
        """What all replicas assign, from what this one gave."""
        replica = current.replica
        if replica is None or current.in_step:
            return value
        kind = self._aggregation
        if kind is VariableAggregation.NONE:
            raise ValueError(
                f"You must specify an aggregation method to update variable '{self.name}' in "
                "Replica Context. You can do so by passing an explicit value for argument "
                "`aggregation` to hr.Variable(..), e.g. "
                "`hr.Variable(..., aggregation=hr.VariableAggregation.SUM)`; one of "
                "SUM, MEAN, ONLY_FIRST_REPLICA"
            )
        tensor = to_tensor(value, self._dtype)
        if kind is VariableAggregation.ONLY_FIRST_REPLICA:
            return replica.broadcast(tensor)
        return replica.all_reduce(kind.name, tensor)

    def assign(
        self, value: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Replace the value: in a replica, by what the replicas' values combine to."""
        return super().assign(self._combined(value))

    def assign_add(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Add `delta`: in a replica, what the replicas' deltas combine to."""
        delta = to_tensor(self._combined(delta), self._dtype)
        return super().assign(self.read_value() + delta)

    def assign_sub(
        self, delta: Any, use_locking: bool = False, name: Any = None, read_value: bool = True
    ) -> Any:
        """Subtract `delta`: in a replica, what the replicas' deltas combine to."""
        delta = to_tensor(self._combined(delta), self._dtype)
        return super().assign(self.read_value() - delta)


class MirroredVariable(DistributedVariable):
    """A variable whose copies are equal: what one replica assigns, all do."""


class OwnedVariable(MirroredVariable):
    """A slot of sharded optimizer state: one array, which only the replica that updates its
    weight reads and writes."""

    @property
    def values(self) -> tuple[Any, ...]:
        """The one there is, as a tensor."""
        return (Tensor.of(self._copies[0]),)

    @property
    def _value(self) -> Any:
        replica = current.replica
        return self._copy_at(0, None if replica is None else replica.place)

    @_value.setter
    def _value(self, raw: Any) -> None:
        self._copies = [raw]


class SyncOnReadVariable(DistributedVariable):
    """A variable whose copies are each replica's own; read outside of the replicas it is what
    they combine to.  Metrics count in such variables."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **{**kwargs, "trainable": False})

    def _agree(self) -> None:
        if self._aggregation is not VariableAggregation.SUM:  # else each has a part of it
            super()._agree()

    def _combined(self, value: Any) -> Any:
        return value

    @property
    def _value(self) -> Any:
        replica = current.replica
        if replica is not None:
            return self._copy_at(replica.local_index, replica.place)
        return self._strategy.extended.read_combined(self._copies, self._aggregation)

    @_value.setter
    def _value(self, raw: Any) -> None:
        replica = current.replica
        if replica is not None and self._copies:
            self._copies[replica.local_index] = raw
            return
        extended = self._strategy.extended
        raw = _at_home(extended, raw)
        count = extended.local_replicas
        self._copies = [raw] * count
        if self._aggregation is VariableAggregation.SUM:
            # The sum of the copies is the value assigned, also of integers.
            first = extended.has_first_replica
            with beside(raw):
                zero = array_module(raw).zeros_like(raw)
            self._copies = [raw if first else zero] + [zero] * (count - 1)


def _at_home(extended: Any, raw: Any) -> Any:
    """What the cross-replica side assigns, on the first replica's device."""
    return raw if extended.home is None else moved(raw, extended.home)


def variable_class(synchronization: Any, aggregation: Any, trainable: Any) -> type:
    """The class of a variable made in a scope with these arguments.

    Raises:
        ValueError: `synchronization` is none of the names, or NONE; a variable that is combined
            on reading is trainable.
    """
    if synchronization is None:
        return MirroredVariable
    name = getattr(synchronization, "name", None) or str(synchronization).upper()
    if name not in VariableSynchronization.__members__:
        raise ValueError(
            f"Invalid variable synchronization mode: {synchronization}; must be one of "
            f"{', '.join(VariableSynchronization.__members__)}"
        )
    if name == "NONE":
        raise ValueError(
            "`NONE` variable synchronization mode is not supported with a strategy of several "
            "replicas. Please change the `synchronization` for the variable."
        )
    if name != "ON_READ":
        return MirroredVariable
    if trainable:
        raise ValueError(
            "Synchronization value can be set to VariableSynchronization.ON_READ only for "
            "non-trainable variables. You have specified trainable=True and "
            "synchronization=VariableSynchronization.ON_READ."
        )
    return SyncOnReadVariable
