"""SGD: gradient descent, with momentum and Nesterov's look-ahead."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from .apply_ops import (
    ResourceApplyGradientDescent,
    ResourceApplyKerasMomentum,
    ResourceSparseApplyGradientDescent,
)
from .optimizer import Optimizer

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

    def __init__(
        self,
        learning_rate: Any = 0.01,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | None = None,
        clipnorm: float | None = None,
        clipvalue: float | None = None,
        global_clipnorm: float | None = None,
        use_ema: bool = False,
        ema_momentum: float = 0.99,
        ema_overwrite_frequency: int | None = None,
        loss_scale_factor: float | None = None,
        gradient_accumulation_steps: int | None = None,
        name: str | None = None,
        **kwargs: Any,
    ):
        super().__init__(
            learning_rate=learning_rate,
            weight_decay=weight_decay,
            clipnorm=clipnorm,
            clipvalue=clipvalue,
            global_clipnorm=global_clipnorm,
            use_ema=use_ema,
            ema_momentum=ema_momentum,
            ema_overwrite_frequency=ema_overwrite_frequency,
            loss_scale_factor=loss_scale_factor,
            gradient_accumulation_steps=gradient_accumulation_steps,
            name=name,
            **kwargs,
        )
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
        rate = self._once(("lr", dtype), lambda: hr.cast(learning_rate, dtype))
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
