"""Adagrad: steps that shrink as gradients add up (Duchi et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from .. import initializers
from .apply_ops import ResourceSparseApplyAdagradV2
from .optimizer import Optimizer

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Steps divided by the root of the sum of all squared gradients so far.

    Args:
        learning_rate: see `Optimizer`.
        initial_accumulator_value: where the sums start.
        epsilon: added to the sum before the root is taken.
        **others: see `Optimizer`.
    """

    _sparse_rows = True

    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
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
        self.initial_accumulator_value = initial_accumulator_value
        self.epsilon = epsilon

    def build(self, variables: Iterable[Any]) -> None:
        """Create the sums."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._accumulators_of_squares = self.add_optimizer_variables(
            variables, "accumulator", initializers.Constant(self.initial_accumulator_value)
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        rate = hr.cast(learning_rate, dtype)
        accumulator = self._accumulators_of_squares[self._get_variable_index(variable)]
        if isinstance(gradient, hr.IndexedSlices):
            ResourceSparseApplyAdagradV2(
                rate,
                hr.cast(gradient.values, dtype),
                gradient.indices,
                variables=(variable, accumulator),
                epsilon=self.epsilon,
            )
            return
        gradient = hr.cast(gradient, dtype)
        total = accumulator.read_value() + hr.square(gradient)
        self.assign(accumulator, total)
        self.assign_sub(variable, rate * gradient / hr.sqrt(total + self.epsilon))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
