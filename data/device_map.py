"""``Dataset.map(fn, device="gpu:0")``: functions that run on a GPU, behind the copy to it."""

from __future__ import annotations

from typing import Any

from ..ops.errors import InvalidArgumentError
from .composition import compose
from .functions import UserFunction
from .transforms.on_device import OnDeviceMapNode, OnDeviceNode

__all__ = ["device_map"]

_SLOTS = 3


def device_map(dataset: Any, function: UserFunction, gpu: int, name: str | None) -> Any:
    """`function` of every element of `dataset` on GPU number `gpu`.

    Raises:
        InvalidArgumentError: it cannot run there, or the elements lie on another GPU.
    """
    why = _why_not(function)
    if why is not None:
        raise InvalidArgumentError(
            f"map: {function.name!r} cannot run on device 'gpu:{gpu}': {why}; leave out "
            "`device`"
        )
    node = dataset._node
    if not isinstance(node, OnDeviceNode):
        node, slots, tail = dataset.prefetch(-1)._node, _SLOTS, function
    elif node.device != gpu:
        raise InvalidArgumentError(
            f"map: device 'gpu:{gpu}' was asked for, but the elements lie on gpu:{node.device}"
        )
    else:
        slots, tail = node.slots, function
        if isinstance(node, OnDeviceMapNode):
            joined = compose(node.tail, function)
            assert joined is not None  # both are traced, and only compute
            tail = joined
        node = node.input
    return dataset._derive(OnDeviceMapNode, node, gpu, slots, tail, name=name)


def _why_not(function: UserFunction) -> str | None:
    if function.traced is None:
        return f"it was not traced: {function.why_not}"
    if function.is_stateful:
        return "it changes state outside"
    if function.is_random:
        # Elements draw by their numbers in the form for blocks alone.
        why = function.vectorized().why_not
        if why is not None:
            return f"it draws random numbers, and {why}"
    return None
