"""Nadam: Adam with Nesterov's look-ahead (Dozat 2016)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from ..backend import floatx
from .optimizer import Optimizer

__all__ = ["Nadam"]


class Nadam(Optimizer):
    """Adam that looks ahead along the first moment.

    Args:
        learning_rate: see `Optimizer`.
        beta_1: share of the first moment kept at each step, after a warm-up.
        beta_2: share of the second moment kept at each step.
        epsilon: added to the root of the second moment.
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
        """Create the moments and the product of the warm-up factors."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        self._u_product = self._scalar(
            1.0, variables[0].dtype if variables else floatx(), "u_product"
        )

    def _update_all(self, grads: list[Any], variables: list[Any], learning_rate: Any) -> None:
        step = self.iterations + 1
        self.assign(
            self._u_product, self._u_product * self._factor(step, self._u_product.dtype)
        )
        super()._update_all(grads, variables, learning_rate)

    def _factor(self, step: Any, dtype: Any) -> Any:
        """``beta_1 * (1 - 0.96 ** step / 2)``: beta_1 after its warm-up."""
        power = hr.pow(hr.constant(0.96, dtype=dtype), hr.cast(step, dtype))
        return self.beta_1 * (1.0 - 0.5 * power)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        rate = hr.cast(learning_rate, dtype)
        gradient = hr.cast(gradient, dtype)
        step = self.iterations + 1
        u, u_next = self._factor(step, dtype), self._factor(step + 1, dtype)
        product = hr.cast(self._u_product, dtype)
        power = hr.pow(hr.constant(self.beta_2, dtype=dtype), hr.cast(step, dtype))
        i = self._get_variable_index(variable)
        m, v = self._momentums[i].read_value(), self._velocities[i].read_value()
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (hr.square(gradient) - v) * (1 - self.beta_2)
        self.assign(self._momentums[i], m)
        self.assign(self._velocities[i], v)
        ahead = u_next * m / (1.0 - product * u_next) + (1.0 - u) * gradient / (1.0 - product)
        spread = v / (1.0 - power)
        self.assign_sub(variable, ahead * rate / (hr.sqrt(spread) + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
