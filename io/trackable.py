"""What objects can be saved: their parts, and their values.

Parts are found by walking attributes when somebody saves or restores; nothing is registered.
Variables, modules, generators and containers are known here; other classes say their parts and
values themselves:

    _checkpoint_children()  pairs of a name and an object; several names may lead to one object
    _checkpoint_values()    values by attribute; a name that begins with a dot is Headrace's own
                            and is not shown to TensorFlow; "table-keys" is a part of "table"
    _restore_checkpoint()   takes such values back
    _restored_from_checkpoint()  what is derived from the parts is made anew; may be left out
    _checkpoint_alias()     the part that a checkpoint calls by an older name; may be left out
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np

from ..ops.context import current, init_scope
from ..ops.errors import InvalidArgumentError
from ..ops.module import Module
from ..ops.random_generator import Generator
from ..ops.string_array import StringArray
from ..ops.tensor import Tensor
from ..ops.variable import Variable

__all__ = [
    "VARIABLE_VALUE",
    "Child",
    "attribute_children",
    "children_of",
    "is_trackable",
    "restore_values",
    "values_of",
]

VARIABLE_VALUE = "VARIABLE_VALUE"

Child = tuple[str, Any]


def is_trackable(value: Any) -> bool:
    """Whether a checkpoint can hold `value`'s state; containers apart."""
    return isinstance(value, (Variable, Module, Generator)) or (
        hasattr(value, "_checkpoint_children") and not isinstance(value, type)
    )


def _is_container(value: Any) -> bool:
    """Whether `value` is a list, tuple or dict that holds what a checkpoint can hold."""
    if isinstance(value, (list, tuple)):
        items: Any = value
    elif isinstance(value, Mapping):
        items = value.values()
    else:
        return False
    return any(is_trackable(v) or isinstance(v, (list, tuple, Mapping)) for v in items)


def attribute_children(obj: Any, skipped: Any = ()) -> Iterator[Child]:
    """The parts among an object's attributes, in the order of their first assignment."""
    for name, value in tuple(vars(obj).items()):
        if name in skipped or name.startswith("_self_"):
            continue
        if is_trackable(value) or _is_container(value):
            yield name, value


def children_of(obj: Any) -> list[Child]:
    """An object's parts with their names.

    Raises:
        ValueError: a dictionary of parts has a key that is no text.
    """
    own = getattr(obj, "_checkpoint_children", None)
    if own is not None:
        return list(own())
    if isinstance(obj, Variable):
        return []
    if isinstance(obj, Generator):
        return [("_state_var", obj.state)]
    if isinstance(obj, (list, tuple)):
        items: Any = ((str(i), v) for i, v in enumerate(obj))
    elif isinstance(obj, Mapping):
        items = obj.items()
    else:
        items = attribute_children(obj)
    found = [(name, v) for name, v in items if is_trackable(v) or _is_container(v)]
    for name, _ in found:
        if not isinstance(name, str):
            raise ValueError(
                "a dictionary whose values are to be saved must have text for keys, got "
                f"the key {name!r} of a {type(obj).__name__}; use str(key), or leave it out of "
                "the checkpoint"
            )
    return found


def values_of(obj: Any) -> dict[str, Callable[[], Any]]:
    """Functions that give an object's own values, by attribute."""
    own = getattr(obj, "_checkpoint_values", None)
    if own is not None:
        return own()
    if isinstance(obj, Variable):
        return {VARIABLE_VALUE: lambda: _raw(obj)}
    return {}


def _raw(variable: Variable) -> Any:
    """A variable's value on the host; as long as it is held, nobody writes into it."""
    value = variable._value
    return value if isinstance(value, (np.ndarray, StringArray)) else Tensor.of(value).numpy()


def restore_values(obj: Any, values: dict[str, Any], where: str) -> None:
    """Set an object's values.

    Args:
        obj: the object.
        values: by attribute.
        where: the object's name and the checkpoint, for messages.

    Raises:
        ValueError: a value has another shape than the variable.
        InvalidArgumentError: it has another dtype.
    """
    own = getattr(obj, "_restore_checkpoint", None)
    if own is not None:
        own(values, where)
        return
    value = values[VARIABLE_VALUE]
    if not obj.shape.is_compatible_with(value.shape):
        raise ValueError(
            f"Received incompatible tensor with shape {tuple(value.shape)} when attempting to "
            f"restore variable with shape {obj.shape} and name {obj.name}: {where}"
        )
    found = Tensor.of(value)
    if found.dtype is not obj.dtype:
        raise InvalidArgumentError(
            f"{where}: expected dtype {found.dtype.name}, the checkpoint's, does not equal "
            f"original dtype {obj.dtype.name} of the variable {obj.name}"
        )
    # A variable that a replica makes in its first step is restored for all replicas.
    replica, current.replica = current.replica, None
    try:
        with init_scope():
            obj.assign(found)
    finally:
        current.replica = replica
