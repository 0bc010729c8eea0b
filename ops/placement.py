"""Placement: on which device a call runs, and the copies that takes.

A call runs

* where the scopes around it say (`device`),
* else where its thread is pinned (`pinned`: a strategy's replica),
* else on the GPU that holds one of its inputs,
* else, if all its inputs are on the host: there, if they are strings or all int32 (sizes,
  indices and counters, as in TensorFlow; not random numbers, whose size alone they say);
  otherwise on the first GPU.

Inputs are copied to where the call runs.  `device_rules` names the primitives that run
elsewhere.
Nothing here is reached while there is no GPU: dispatch looks at ``placing.on`` only.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from . import device_memory
from .array_module import beside, is_on_device, place_of
from .context import placing
from .device_rules import RANDOM, rule_of
from .devices import HOST, devices, pinned_place, requested
from .errors import InvalidArgumentError
from .primitive import Primitive

__all__ = ["place_of_value", "run", "to_host", "to_place"]

_INT32 = np.dtype(np.int32)


class _Plan(NamedTuple):
    """How a primitive is run, worked out once.

    Attributes:
        kind: as in `device_rules`.
        host: positions of the inputs that stay on the host.
        draws: whether it makes random numbers.
    """

    kind: str
    host: frozenset[int]
    draws: bool


def _plan(primitive: Primitive) -> _Plan:
    found = _plans.get(primitive.name)
    if found is None:
        rule = rule_of(primitive.name)
        names = [a.name for a in primitive.args]
        positions = rule.host_inputs(names)
        if any(a.length for a in primitive.args):
            positions = frozenset()  # flattened lists have no fixed places
        found = _plans[primitive.name] = _Plan(
            rule.kind, positions, rule.kind == "made" and rule.reason == RANDOM
        )
    return found


_plans: dict[str, _Plan] = {}


def run(
    primitive: Primitive,
    arrays: tuple[Any, ...],
    attrs: dict[str, Any],
    place: int | None = None,
    constants: dict[int, dict[int, Any]] | None = None,
) -> Any:
    """The raw result of a call on raw arrays, run where it belongs.

    Args:
        primitive, arrays, attrs: the call.
        place: where its own scopes sent it, where it was traced under some.
        constants: for the positions of inputs that never change: copies by place, kept here.

    Raises:
        ResourceExhaustedError: a device's memory is used up.
        InvalidArgumentError: the scopes ask for a GPU, the primitive runs on the host only, and
            soft placement is off.
    """
    backend = devices.backend
    if backend is None:
        return primitive.host(*arrays, **attrs)
    plan = _plan(primitive)
    kind = plan.kind
    if kind == "here":
        with beside(*arrays):
            return primitive.host(*arrays, **attrs)
    variable = attrs.get("variable")
    if variable is None and attrs.get("variables"):
        variable = attrs["variables"][0]
    if variable is not None and kind == "device":  # where what it changes lies
        place = place_of(variable._value) if is_on_device(variable._value) else HOST
    if place is None:
        place = requested()
    if kind == "host":
        if place is not None and place != HOST and not devices.soft_placement:
            raise InvalidArgumentError(
                f"{primitive.name} cannot run on {devices.name_of(place)}: "
                f"{rule_of(primitive.name).reason}. Call it under hr.device('cpu:0'), or allow "
                "that with hr.config.set_soft_device_placement(True).",
                op=primitive.name,
            )
        return primitive.host(*[to_host(a) for a in arrays], **attrs)
    if place is None:
        place = _chosen(backend, plan, arrays)
    elif place != HOST and not all(_fits(backend, a) for a in arrays):
        place = HOST
    if place == HOST:
        return primitive.host(*[to_host(a) for a in arrays], **attrs)
    if kind == "made" and "gpu" not in primitive.overrides:
        out = primitive.host(*[to_host(a) for a in arrays], **attrs)
        return _each(out, place)
    host = plan.host
    form = primitive.form("gpu")

    def work() -> Any:
        with backend.on(place):
            placed = [
                to_host(a)
                if i in host
                else to_place(a, place)
                if constants is None or i not in constants
                else _kept(constants[i], a, place)
                for i, a in enumerate(arrays)
            ]
            return _each(form(*placed, **attrs), place)

    return device_memory.guarded(backend, place, primitive.name, work)


def _chosen(backend: Any, plan: _Plan, arrays: tuple[Any, ...]) -> int:
    """Where a call runs that no scope decides about."""
    small = bool(arrays) and not plan.draws
    place = None
    for i, a in enumerate(arrays):
        if isinstance(a, backend.array):
            if place is None and i not in plan.host:
                place = backend.place_of(a)
        elif not _fits(backend, a):
            return HOST  # strings, lists of tensors, resources
        elif i not in plan.host and a.dtype != _INT32:
            small = False
    pin = pinned_place()
    if place is not None:
        return place if pin is None else pin
    return HOST if small else devices.default()


def _fits(backend: Any, array: Any) -> bool:
    """Whether an input can lie on a device."""
    if isinstance(array, backend.array):
        return True
    return isinstance(array, (np.ndarray, np.generic)) and backend.holds(array.dtype)


def _kept(copies: dict[int, Any], array: Any, place: int) -> Any:
    """A constant's copy at a place, made once."""
    found = copies.get(place)
    if found is None:
        found = copies[place] = to_place(array, place)
    return found


def _each(out: Any, place: int) -> Any:
    """Results where the call ran."""
    if type(out) is tuple:
        return tuple(to_place(o, place) for o in out)
    return to_place(out, place)


def to_place(array: Any, place: int) -> Any:
    """A raw array on GPU number `place`; what cannot lie there is left as it is."""
    backend = devices.backend
    assert backend is not None
    if isinstance(array, backend.array):
        return backend.move(array, place)
    if isinstance(array, np.generic):
        array = np.asarray(array)
    if type(array) is np.ndarray and backend.holds(array.dtype):
        return backend.copy_in(array, place)
    return array


def to_host(array: Any) -> Any:
    """A raw array on the host."""
    backend = devices.backend
    if backend is not None and isinstance(array, backend.array):
        return backend.copy_out(array)
    return array


def place_of_value(array: Any, place: int | None = None) -> Any:
    """A raw array on the device where a value made now goes: constants and variables.

    Args:
        array: the value.
        place: where; by default where the scopes around say, else the first GPU.

    Raises:
        ResourceExhaustedError: the device's memory is used up.
    """
    backend = devices.backend
    if backend is None:
        return array
    if place is None:
        place = requested()
    if place is None:
        if isinstance(array, backend.array) or array.dtype == _INT32:
            return array
        place = devices.default()
    if place == HOST:
        return to_host(array)
    return device_memory.guarded(backend, place, "A copy", lambda: to_place(array, place))


placing.run = run
placing.value = place_of_value
