"""Adadelta: Adagrad over a moving window (Zeiler 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Steps scaled by the ratio of the running sizes of past steps and gradients.

    Args:
        learning_rate: see `Optimizer`; the paper's form is 1.0.
        rho: share of the running means kept at each step.
        epsilon: added to the means before the roots are taken.
        **others: see `Optimizer`.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.95,
        epsilon: float = 1e-7,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
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
        dtype = variable.dtype
        i = self._get_variable_index(variable)
        apply_update(
            "adadelta",
            (variable, self._accumulated_grads[i], self._accumulated_delta_vars[i]),
            hr.cast(gradient, dtype),
            (self._rate(learning_rate, dtype),),
            (self.rho, 1 - self.rho, self.epsilon),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "epsilon": self.epsilon,
        }
