"""What strategies share whose replicas keep equal copies of the variables."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from ..ops.context import same_on_all_replicas
from .context import entered
from .strategy import Strategy, StrategyExtended
from .values import regroup, select
from .variables import variable_class

__all__ = ["SynchronousExtended"]


class SynchronousExtended(StrategyExtended):
    """Variables of replicas that train in step.

    Attributes:
        replicas: the contexts of this process's replicas.
    """

    _strategy: Strategy
    replicas: Sequence[Any]

    def variable_class(self, kwargs: Mapping[str, Any]) -> type:
        """See `StrategyExtended.variable_class`."""
        return variable_class(kwargs.get("synchronization"), None, kwargs.get("trainable"))

    def variable_created_in_scope(self, v: Any) -> bool:
        """See `StrategyExtended.variable_created_in_scope`."""
        if self._strategy.num_replicas_in_sync == 1:
            return True
        return getattr(v, "_strategy", None) is self._strategy

    def update(
        self,
        var: Any,
        fn: Callable[..., Any],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        group: bool = True,
    ) -> Any:
        """See `StrategyExtended.update`; `fn` is called for each replica's copy."""
        results = []
        for i, context in enumerate(self.replicas):
            with entered(self._strategy, context), same_on_all_replicas():
                own, named = select(tuple(args), i), select(dict(kwargs or {}), i)
                results.append(fn(var, *own, **named))
        return regroup(results) if group else tuple(results)
