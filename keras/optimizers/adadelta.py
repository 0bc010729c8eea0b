"""Adadelta: Adagrad over a moving window (Zeiler 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from .optimizer import Optimizer

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps scaled by the ratio of the running sizes of past steps and gradients.

    Args:
        learning_rate: see `Optimizer`; the paper's form is 1.0.
        rho: share of the running means kept at each step.
        epsilon: added to the means before the roots are taken.
        **others: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
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
        self.epsilon = epsilon

    def build(self, variables: Iterable[Any]) -> None:
        """Create the running means."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._accumulated_grads, self._accumulated_delta_vars = self.add_optimizer_variables(
            variables, ["accumulated_grad", "accumulated_delta_var"]
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        rate = hr.cast(learning_rate, variable.dtype)
        gradient = hr.cast(gradient, variable.dtype)
        i = self._get_variable_index(variable)
        rho, epsilon = self.rho, self.epsilon
        grads = rho * self._accumulated_grads[i].read_value() + (1 - rho) * hr.square(gradient)
        self.assign(self._accumulated_grads[i], grads)
        deltas = self._accumulated_delta_vars[i].read_value()
        delta = -(hr.sqrt(deltas + epsilon) * gradient / hr.sqrt(grads + epsilon))
        self.assign(
            self._accumulated_delta_vars[i], rho * deltas + (1 - rho) * hr.square(delta)
        )
        self.assign_add(variable, rate * delta)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
