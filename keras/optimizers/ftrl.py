"""Ftrl: "follow the regularized leader", for large sparse linear models
(McMahan et al. 2013).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .. import initializers
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["Ftrl"]


class Ftrl(Optimizer):
    """Weights that minimise the sum of past gradients and regularisation, many exactly 0.

    Args:
        learning_rate: see `Optimizer`.
        learning_rate_power: at most 0; how rates fall as squared gradients add up (0: not).
        initial_accumulator_value: where the sums of squared gradients start.
        l1_regularization_strength: at least 0; makes weights exactly 0.
        l2_regularization_strength: at least 0; steadies the weights.
        l2_shrinkage_regularization_strength: at least 0; an L2 penalty on the weights.
        beta: of the paper.
        **others: see `Optimizer`.

    Raises:
        ValueError: an argument is out of its range.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        learning_rate_power: float = -0.5,
        initial_accumulator_value: float = 0.1,
        l1_regularization_strength: float = 0.0,
        l2_regularization_strength: float = 0.0,
        l2_shrinkage_regularization_strength: float = 0.0,
        beta: float = 0.0,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        if learning_rate_power > 0.0:
            raise ValueError(
                "`learning_rate_power` needs to be negative or zero. Received: "
                f"learning_rate_power={learning_rate_power}."
            )
        for name, value in {
            "initial_accumulator_value": initial_accumulator_value,
            "l1_regularization_strength": l1_regularization_strength,
            "l2_regularization_strength": l2_regularization_strength,
            "l2_shrinkage_regularization_strength": l2_shrinkage_regularization_strength,
        }.items():
            if value < 0.0:
                raise ValueError(
                    f"`{name}` needs to be positive or zero. Received: {name}={value}."
                )
        self.learning_rate_power = learning_rate_power
        self.initial_accumulator_value = initial_accumulator_value
        self.l1_regularization_strength = l1_regularization_strength
        self.l2_regularization_strength = l2_regularization_strength
        self.l2_shrinkage_regularization_strength = l2_shrinkage_regularization_strength
        self.beta = beta

    def build(self, variables: Iterable[Any]) -> None:
        """Create the sums of squared gradients and the linear parts."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._squares, self._linears = self.add_optimizer_variables(
            variables,
            ["accumulator", "linear"],
            [initializers.Constant(self.initial_accumulator_value), "zeros"],
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        i = self._get_variable_index(variable)
        rate = self._rate(learning_rate, dtype)
        l2 = self._once(
            ("ftrl l2", dtype),
            lambda: 2.0 * self.l2_regularization_strength + self.beta / rate,
        )
        gradient = hr.cast(gradient, dtype)
        shrinkage, l1 = (
            self.l2_shrinkage_regularization_strength,
            self.l1_regularization_strength,
        )
        if self.learning_rate_power == -0.5:
            apply_update(
                "ftrl",
                (variable, self._squares[i], self._linears[i]),
                gradient,
                (rate, l2),
                (2.0 * shrinkage, l1, -l1),
            )
            return
        value, before = variable.read_value(), self._squares[i].read_value()
        squares = before + hr.square(gradient)
        power = hr.constant(-self.learning_rate_power, dtype=dtype)
        scale = hr.pow(squares, power)
        change = (scale - hr.pow(before, power)) / rate
        linear = self._linears[i] + (gradient + 2.0 * shrinkage * value - change * value)
        self.assign(self._squares[i], squares)
        self.assign(self._linears[i], linear)
        self.assign(
            variable, (hr.clip_by_value(linear, -l1, l1) - linear) / (scale / rate + l2)
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "learning_rate_power": self.learning_rate_power,
            "initial_accumulator_value": self.initial_accumulator_value,
            "l1_regularization_strength": self.l1_regularization_strength,
            "l2_regularization_strength": self.l2_regularization_strength,
            "l2_shrinkage_regularization_strength": self.l2_shrinkage_regularization_strength,
            "beta": self.beta,
        }
