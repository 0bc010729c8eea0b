"""The worker: an actor that runs the functions a coordinator schedules, one after the other.

Functions run eagerly: what they read, look up and push are calls to servers.  Datasets and
iterators of a worker's own (`create_per_worker_dataset`) are made when they are first used, and
anew when the worker was started anew.
"""

from __future__ import annotations

import os
import pickle
from collections import OrderedDict
from typing import Any

from ...ops import nest
from ...ops.errors import OutOfRangeError
from ...ops.tensor import Tensor
from ..data_service.shipping import pack_error
from ..ray_cluster import NAMESPACE, ray_module
from .server_variable import here
from .store import Store

__all__ = ["PerWorkerReference", "WorkerActor"]

_KEPT_FUNCTIONS = 64


class PerWorkerReference:
    """What stands in arguments for a value that each worker has its own of.

    Args:
        key: unique.
        packed: a packed function that makes it, or a packed dataset.
        iterates: whether it is an iterator over that dataset.
    """

    def __init__(self, key: str, packed: bytes, iterates: bool):
        self.key = key
        self.packed = packed
        self.iterates = iterates

    def __reduce__(self) -> tuple[Any, ...]:
        return _own_value, (self.key, self.packed, self.iterates)


_own: dict[str, Any] = {}


def _own_value(key: str, packed: bytes, iterates: bool) -> Any:
    """This worker's own value."""
    if key not in _own:
        made = pickle.loads(packed)
        dataset = made if hasattr(made, "element_spec") or not callable(made) else made()
        _own[key] = iter(dataset) if iterates else dataset
    return _own[key]


class WorkerActor:
    """Runs in a process of its own, one call at a time."""

    def __init__(self, servers: list[str], index: int):
        from ...ops.function import run_functions_eagerly

        ray = ray_module("ParameterServerStrategy")
        here.worker_index = index
        here.store = Store([ray.get_actor(name, namespace=NAMESPACE) for name in servers])
        run_functions_eagerly(True)
        self._functions: OrderedDict[bytes, Any] = OrderedDict()

    def pid(self) -> int:
        """The process's number."""
        return os.getpid()

    def run(self, packed_function: bytes, packed_args: bytes) -> tuple[bool, Any]:
        """Whether the function ran, and its result with tensors as arrays, or its error."""
        try:
            function = self._functions.pop(packed_function, None)
            if function is None:
                function = pickle.loads(packed_function)
            self._functions[packed_function] = function
            while len(self._functions) > _KEPT_FUNCTIONS:
                self._functions.popitem(last=False)
            args, kwargs = pickle.loads(packed_args)
            here.begin()
            try:
                result = function(*args, **kwargs)
            except StopIteration:
                raise OutOfRangeError("End of sequence") from None
            return True, nest.map_structure(_plain, result)
        except Exception as error:
            return False, pack_error(error)


def _plain(value: Any) -> Any:
    return value.numpy() if isinstance(value, Tensor) else value
