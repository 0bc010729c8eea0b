"""Adamax: Adam with the largest gradient in place of the second moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from .optimizer import Optimizer

__all__ = ["Adamax"]


class Adamax(Optimizer):
    """Adam in the infinity norm (section 7 of Kingma & Ba 2014).

    Args:
        learning_rate: see `Optimizer`.
        beta_1: share of the first moment kept at each step.
        beta_2: share of the norm kept at each step.
        epsilon: added to the norm.
        **others: see `Optimizer`.
    """

    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
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
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon

    def build(self, variables: Iterable[Any]) -> None:
        """Create the moments and norms."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        rate = hr.cast(learning_rate, dtype)
        gradient = hr.cast(gradient, dtype)
        step = hr.cast(self.iterations + 1, dtype)
        power = hr.pow(hr.constant(self.beta_1, dtype=dtype), step)
        i = self._get_variable_index(variable)
        m = self._m[i].read_value()
        m = m + (gradient - m) * (1 - self.beta_1)
        self.assign(self._m[i], m)
        u = hr.maximum(self.beta_2 * self._u[i].read_value(), hr.abs(gradient))
        self.assign(self._u[i], u)
        self.assign_sub(variable, rate * m / ((1.0 - power) * (u + self.epsilon)))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
