"""RMSprop: steps divided by a running mean of the gradients' size (Hinton 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from .optimizer import Optimizer

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """Steps divided by the root of a running mean of squared gradients.

    Args:
        learning_rate: see `Optimizer`.
        rho: share of the mean kept at each step.
        momentum: of the steps.
        epsilon: added to the mean before the root is taken.
        centered: whether to divide by the gradients' variance rather than their size.
        **others: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
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
        self.rho = rho
        self.momentum = momentum
        self.epsilon = epsilon
        self.centered = centered

    def build(self, variables: Iterable[Any]) -> None:
        """Create the running means."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._velocities = self.add_optimizer_variables(variables, "velocity")
        if self.momentum > 0:
            self._momentums = self.add_optimizer_variables(variables, "momentum")
        if self.centered:
            self._average_gradients = self.add_optimizer_variables(
                variables, "average_gradient"
            )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        rate = hr.cast(learning_rate, variable.dtype)
        gradient = hr.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        rho = self.rho
        velocity = rho * self._velocities[i].read_value() + (1 - rho) * hr.square(gradient)
        self.assign(self._velocities[i], velocity)
        spread = velocity
        if self.centered:
            mean = rho * self._average_gradients[i].read_value() + (1 - rho) * gradient
            self.assign(self._average_gradients[i], mean)
            spread = velocity - hr.square(mean)
        step = rate * gradient / hr.sqrt(spread + self.epsilon)
        if self.momentum > 0:
            step = self.momentum * self._momentums[i].read_value() + step
            self.assign(self._momentums[i], step)
        self.assign_sub(variable, step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
