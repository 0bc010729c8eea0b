"""Lamb: Adam's steps scaled to the size of each weight, for very large batches
(You et al. 2019).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["Lamb"]


class Lamb(Optimizer):
    """Adam whose step for each variable is as long as the variable times the learning rate.

    Args:
        learning_rate: see `Optimizer`.
        beta_1: share of the first moment kept at each step.
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
        """Create the moments."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )

    def _corrections(self, dtype: Any) -> tuple[Any, Any]:
        step = hr.cast(self.iterations + 1, dtype)
        first, second = (
            1.0 - hr.pow(hr.constant(beta, dtype=dtype), step)
            for beta in (self.beta_1, self.beta_2)
        )
        return first, second

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        gradient = hr.cast(gradient, dtype)
        first, second = self._once(("lamb", dtype), lambda: self._corrections(dtype))
        i = self._get_variable_index(variable)
        m, v = self._momentums[i].read_value(), self._velocities[i].read_value()
        m = m + (gradient - m) * (1 - self.beta_1)
        v = v + (hr.square(gradient) - v) * (1 - self.beta_2)
        self.assign(self._momentums[i], m)
        self.assign(self._velocities[i], v)
        step = (m / first) / (hr.sqrt(v / second) + self.epsilon)
        weight = hr.sqrt(hr.reduce_sum(hr.square(variable.read_value())))
        length = hr.sqrt(hr.reduce_sum(hr.square(step)))
        both = hr.logical_and(weight > 0.0, length > 0.0)
        ratio = hr.where(both, weight / length, hr.ones_like(weight))
        self.assign_sub(variable, ratio * self._rate(learning_rate, dtype) * step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
