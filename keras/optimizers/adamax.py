"""Adamax: Adam with the largest gradient in place of the second moment."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

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
        """Create the moments and norms."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._m, self._u = self.add_optimizer_variables(variables, ["momentum", "norm"])

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        i = self._get_variable_index(variable)
        rate = self._once(("adamax", dtype), lambda: self._corrected(learning_rate, dtype))
        apply_update(
            "adamax",
            (variable, self._m[i], self._u[i]),
            hr.cast(gradient, dtype),
            (rate,),
            (1 - self.beta_1, self.beta_2, self.epsilon),
        )

    def _corrected(self, learning_rate: Any, dtype: Any) -> Any:
        power = hr.pow(
            hr.constant(self.beta_1, dtype=dtype), hr.cast(self.iterations + 1, dtype)
        )
        return hr.cast(learning_rate, dtype) / (1.0 - power)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
        }
