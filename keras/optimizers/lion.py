"""Lion: steps of one size, along the sign of a moving average (Chen et al. 2023)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["Lion"]


class Lion(Optimizer):
    """Steps of the learning rate's size, in the direction of the sign of a mean gradient.

    Args:
        learning_rate: see `Optimizer`; some 3 to 10 times smaller than Adam's.
        beta_1: share of the moment in the step's direction; the rest is the gradient's.
        beta_2: share of the moment kept at each step.
        **others: see `Optimizer`.

    Raises:
        ValueError: `beta_1` is not in (0, 1].
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.99,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        if beta_1 <= 0 or beta_1 > 1:
            raise ValueError(
                "Argument `beta_1` must be in the (0, 1] range. Otherwise, the optimizer "
                f"degenerates to SignSGD. Received: beta_1={beta_1}."
            )
        self.beta_1 = beta_1
        self.beta_2 = beta_2

    def build(self, variables: Iterable[Any]) -> None:
        """Create the moments."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums = self.add_optimizer_variables(variables, "momentum")

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        apply_update(
            "lion",
            (variable, self._momentums[self._get_variable_index(variable)]),
            hr.cast(gradient, dtype),
            (self._rate(learning_rate, dtype),),
            (self.beta_1, 1 - self.beta_1, self.beta_2, 1 - self.beta_2),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "beta_1": self.beta_1, "beta_2": self.beta_2}
