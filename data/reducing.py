"""Reducer and `group_by_reducer`: elements grouped by key, each group reduced to one result."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..ops import nest
from ..ops.tensor_spec import TensorSpec
from .dataset_keyed import _integer
from .functions import UserFunction
from .node import user_line
from .transforms.group_reduce import GroupByReducerNode
from .transforms.scan import state_function

__all__ = ["Reducer", "group_by_reducer"]


class Reducer:
    """How a group is reduced.

    Args:
        init_func: gives the first state for a key.
        reduce_func: gives the next state for ``(state, element)``.
        finalize_func: gives the result for the last state (a tuple as several arguments).
    """

    def __init__(
        self,
        init_func: Callable[..., Any],
        reduce_func: Callable[..., Any],
        finalize_func: Callable[..., Any],
    ):
        self._init_func = init_func
        self._reduce_func = reduce_func
        self._finalize_func = finalize_func

    @property
    def init_func(self) -> Callable[..., Any]:
        """Gives the first state for a key."""
        return self._init_func

    @property
    def reduce_func(self) -> Callable[..., Any]:
        """Gives the next state."""
        return self._reduce_func

    @property
    def finalize_func(self) -> Callable[..., Any]:
        """Gives the result."""
        return self._finalize_func


class _SpecOnly:
    """Stands for the first state where only its spec is known."""

    def __init__(self, spec: Any):
        self.spec = spec


def group_by_reducer(key_func: Callable[..., Any], reducer: Reducer) -> Callable[[Any], Any]:
    """For `Dataset.apply`: one result per key, in the order of the keys.

    Args:
        key_func: gives an element's key, an int64 scalar.
        reducer: reduces the elements of a key.

    Raises:
        TypeError: the next state differs from the first in structure or dtype.
        ValueError: the key is no integer scalar, or a function needs values to be traced.

    >>> import headrace as hr
    >>> zero = lambda key: hr.constant(0, "int64")
    >>> sums = hr.data.experimental.Reducer(zero, lambda s, x: s + x, lambda s: s)
    >>> by_parity = hr.data.experimental.group_by_reducer(lambda x: x % 2, sums)
    >>> ds = hr.data.Dataset.range(6).apply(by_parity)
    >>> list(ds.as_numpy_iterator())
    [np.int64(6), np.int64(9)]
    """
    line = user_line()

    def transform(dataset: Any) -> Any:
        what = "group_by_reducer"
        keys = _integer(key_func, dataset.element_spec, "key_func")
        init = UserFunction(reducer.init_func, TensorSpec([], "int64"), what=what, line=line)
        _known(init, "init_func")
        first: Any = _SpecOnly(init.output_spec)
        reduce = state_function(
            reducer.reduce_func, first, dataset.element_spec, what=what, line=line
        )
        _known(reduce, "reduce_func")
        state = reduce.input.spec[0]
        finalize = UserFunction(reducer.finalize_func, state, what=what, line=line)
        _known(finalize, "finalize_func")
        assert nest.structure_of(state) == nest.structure_of(init.output_spec)
        return dataset._derive(GroupByReducerNode, dataset._node, keys, init, reduce, finalize)

    return transform


def _known(function: UserFunction, what: str) -> None:
    if function.output_spec is None:
        raise ValueError(
            f"`{what}` of the reducer cannot be traced: {function.why_not}; use operations "
            "on tensors instead"
        )
