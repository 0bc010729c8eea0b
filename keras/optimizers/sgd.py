"""SGD: gradient descent, with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_ops import (
    ResourceApplyGradientDescent,
    ResourceApplyKerasMomentum,
    ResourceSparseApplyGradientDescent,
)
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["SGD"]


class SGD(Optimizer):
    """Gradient descent.

    Without momentum ``w -= lr * g``; with it ``v = momentum * v - lr * g``, then ``w += v``, or
    ``w += momentum * v - lr * g`` with `nesterov`.

    Args:
        learning_rate: see `Optimizer`.
        momentum: in [0, 1].
        nesterov: whether to look ahead.
        **others: see `Optimizer`.

    >>> weight = hr.Variable(1.0)
    >>> _ = SGD(0.1).apply_gradients([(hr.constant(2.0), weight)])
    >>> weight.numpy()
    np.float32(0.8)
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        if not isinstance(momentum, float) or momentum < 0 or momentum > 1:
            raise ValueError("`momentum` must be a float between [0, 1].")
        self.momentum = momentum
        self.nesterov = nesterov
        self.momentums: list[Any] = []
        self._sparse_rows = momentum == 0

    def build(self, variables: Iterable[Any]) -> None:
        """Create the momenta."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        if self.momentum != 0:
            self.momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        rate = self._rate(learning_rate, dtype)
        if self.momentum:
            accumulated = self.momentums[self._get_variable_index(variable)]
            ResourceApplyKerasMomentum(
                rate,
                hr.constant(self.momentum, dtype=dtype),
                hr.cast(gradient, dtype),
                variables=(variable, accumulated),
                use_nesterov=self.nesterov,
            )
        elif isinstance(gradient, hr.IndexedSlices):
            ResourceSparseApplyGradientDescent(
                rate, hr.cast(gradient.values, dtype), gradient.indices, variables=(variable,)
            )
        else:
            ResourceApplyGradientDescent(rate, hr.cast(gradient, dtype), variables=(variable,))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "momentum": self.momentum,
            "nesterov": self.nesterov,
        }
