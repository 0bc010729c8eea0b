"""Updates on GPUs: one launch for a variable, and in compiled steps one for all of them.

The updates are the rows of `updates.UPDATES`, which `ops.cuda.updates` writes as CUDA.  A
step's dense updates of one kind, with the same numbers, become one call of `GroupedUpdate`:
networks have hundreds of small variables, and a launch takes longer than most of their updates.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...ops import dtypes
from ...ops.array_module import array_module
from ...ops.devices import devices
from ...ops.graph.graph import Graph, Node, _variables_of, constant_value, copy_node
from ...ops.graph.passes import PLACED_PASSES
from ...ops.primitive import Primitive, get_primitive
from ...ops.tensor_spec import TensorSpec
from .apply_ops import (
    DONE,
    ResourceApplyAdam,
    ResourceApplyAdamWithAmsgrad,
    ResourceApplyGradientDescent,
    ResourceApplyKerasMomentum,
)
from .apply_update import ApplyUpdate
from .updates import UPDATES

__all__ = ["GroupedUpdate", "group_updates"]

_KINDS = (
    ResourceApplyGradientDescent, ResourceApplyKerasMomentum, ResourceApplyAdam,
    ResourceApplyAdamWithAmsgrad, ApplyUpdate,
)  # fmt: skip
_NAMES = frozenset(p.name for p in _KINDS)


def _row(kind: str, attrs: dict[str, Any], scalars: Sequence[Any]) -> tuple[str, list[Any]]:
    """The row of `UPDATES` that a call of a primitive is, and the numbers it takes."""
    if kind == ApplyUpdate.name:
        return attrs["name"], [*scalars, *attrs["constants"]]
    if kind == ResourceApplyGradientDescent.name:
        return "sgd", list(scalars)
    if kind == ResourceApplyKerasMomentum.name:
        return "nesterov" if attrs["use_nesterov"] else "momentum", list(scalars)
    beta1_power, beta2_power, lr = scalars
    xp, one = array_module(lr), lr.dtype.type(1)
    alpha = lr * xp.sqrt(one - beta2_power) / (one - beta1_power)
    name = "amsgrad" if kind == ResourceApplyAdamWithAmsgrad.name else "adam"
    return name, [alpha, 1 - attrs["beta1"], 1 - attrs["beta2"], attrs["epsilon"]]


def _apply(
    kind: str, attrs: dict[str, Any], scalars: Sequence[Any], groups: Any, grads: Sequence[Any]
) -> Any:
    """Update variables with one kernel; NotImplemented where there is none."""
    from ...ops.cuda import device, updates  # only where there is a GPU

    backend = devices.backend
    if not device.in_use() and (backend is None or not backend.native):
        return NotImplemented
    name, numbers = _row(kind, attrs, scalars)
    arrays = [
        [*[v.owned() for v in variables], device.current().xp.ascontiguousarray(grad)]
        for variables, grad in zip(groups, grads, strict=True)
    ]
    return DONE if updates.apply(UPDATES[name][2], arrays, numbers) else NotImplemented


def _single(primitive: Primitive) -> None:
    @primitive.override("gpu")
    def on_gpu(*inputs: Any, variables: Any, **attrs: Any) -> Any:
        *scalars, grad = inputs
        return _apply(primitive.name, attrs, scalars, [variables], [grad])


for _primitive in _KINDS:
    _single(_primitive)


# -- groups -----------------------------------------------------------------------------------


def _grouped_impl(*inputs: Any, kind: str, settings: Any, groups: Any, variables: Any) -> Any:
    one = get_primitive(kind)
    scalars, grads = inputs[: -len(groups)], inputs[-len(groups) :]
    form = one.form("cpu" if array_module(*grads) is np else "gpu")
    for own, grad in zip(groups, grads, strict=True):
        form(*scalars, grad, variables=own, **dict(settings))
    return DONE


GroupedUpdate = Primitive(
    "_GroupedUpdate",
    "inputs: N * T",
    impl=_grouped_impl,
    shape=lambda *tensors, **attrs: TensorSpec([], dtypes.bool),
    stateful=True,
)


@GroupedUpdate.override("gpu")
def _grouped_on_gpu(*inputs: Any, kind: str, settings: Any, groups: Any, variables: Any) -> Any:
    scalars, grads = inputs[: -len(groups)], inputs[-len(groups) :]
    return _apply(kind, dict(settings), scalars, groups, grads)


def group_updates(graph: Graph) -> Graph:
    """`graph` with the updates of its variables in as few calls as their kinds allow."""
    uses = graph.uses()
    found: dict[Any, list[int]] = {}
    for place, node in enumerate(graph.nodes):
        if node.type in _NAMES and not uses.get(id(node.outputs[0])):
            found.setdefault(_key(node), []).append(place)
    groups = [places for places in found.values() if _may_join(graph, places)]
    if not groups:
        return graph
    ends = {places[-1]: places for places in groups}
    inside = {place for places in groups for place in places}
    place_of = {id(node): place for place, node in enumerate(graph.nodes)}
    given: dict[int, tuple[Any, ...]] = {}

    def visit(new: Graph, node: Node, inputs: tuple[Any, ...]) -> Any:
        place = place_of[id(node)]
        if place not in inside:
            return copy_node(new, node, inputs)
        given[place] = inputs
        places = ends.get(place)
        if places is None:
            return None
        members = [graph.nodes[p].attrs["variables"] for p in places]
        attrs = {
            "kind": node.type,
            "settings": _settings(node),
            "groups": tuple(members),
            "variables": tuple(v for own in members for v in own),
        }
        grads = [given[p][-1] for p in places]
        return new.add(GroupedUpdate, (*inputs[:-1], *grads), attrs)

    return graph.rebuild(visit)


def _settings(node: Node) -> tuple[tuple[str, Any], ...]:
    return tuple((k, v) for k, v in node.attrs.items() if k != "variables")


def _key(node: Node) -> Any:
    scalars = tuple(_identity(t) for t in node.inputs[:-1])
    return node.type, _settings(node), scalars, node.inputs[-1].dtype.name, node.device


def _identity(tensor: Any) -> Any:
    """What is the same for tensors with the same number."""
    value = constant_value(tensor)
    return id(tensor) if value is None else (value.dtype.name, value.tobytes())


def _may_join(graph: Graph, places: list[int]) -> bool:
    """Whether the updates may wait for the last of them: nobody reads or changes their
    variables meanwhile, and each is updated once."""
    if len(places) < 2:
        return False
    variables = [id(v) for p in places for v in graph.nodes[p].attrs["variables"]]
    own = set(variables)
    if len(own) < len(variables):
        return False
    members = set(places)
    return not any(
        id(v) in own
        for place in range(places[0], places[-1])
        if place not in members
        for v in _variables_of(graph.nodes[place])
    )


PLACED_PASSES.append(group_updates)
