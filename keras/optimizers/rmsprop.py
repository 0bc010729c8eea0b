"""RMSprop: steps divided by a running mean of the gradients' size (Hinton 2012)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

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

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        rho: float = 0.9,
        momentum: float = 0.0,
        epsilon: float = 1e-7,
        centered: bool = False,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
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
        dtype = variable.dtype
        i = self._get_variable_index(variable)
        name, slots = "rmsprop", [variable, self._velocities[i]]
        constants = [self.rho, 1 - self.rho, self.epsilon]
        if self.momentum > 0:
            name += "_momentum"
            slots.append(self._momentums[i])
            constants.append(self.momentum)
        if self.centered:
            name += "_centered"
            slots.append(self._average_gradients[i])
        apply_update(
            name,
            tuple(slots),
            hr.cast(gradient, dtype),
            (self._rate(learning_rate, dtype),),
            tuple(constants),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "rho": self.rho,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "centered": self.centered,
        }
