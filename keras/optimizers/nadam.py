"""Nadam: Adam with Nesterov's look-ahead (Dozat 2016)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from ..backend import floatx
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

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

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
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
        i = self._get_variable_index(variable)
        scalars = self._once(("nadam", dtype), lambda: self._scalars(learning_rate, dtype))
        apply_update(
            "nadam",
            (variable, self._momentums[i], self._velocities[i]),
            hr.cast(gradient, dtype),
            scalars,
            (1 - self.beta_1, 1 - self.beta_2, self.epsilon),
        )

    def _scalars(self, learning_rate: Any, dtype: Any) -> tuple[Any, ...]:
        """Rate, shares of moment and gradient in the step, correction of the second moment."""
        step = self.iterations + 1
        u, u_next = self._factor(step, dtype), self._factor(step + 1, dtype)
        product = hr.cast(self._u_product, dtype)
        power = hr.pow(hr.constant(self.beta_2, dtype=dtype), hr.cast(step, dtype))
        return (
            hr.cast(learning_rate, dtype),
            u_next / (1.0 - product * u_next),
            (1.0 - u) / (1.0 - product),
            1.0 - power,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
