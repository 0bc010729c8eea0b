"""Adagrad: steps that shrink as gradients add up (Duchi et al. 2011)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .. import initializers
from .apply_ops import ResourceSparseApplyAdagradV2
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

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

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        initial_accumulator_value: float = 0.1,
        epsilon: float = 1e-7,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
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
        rate = self._rate(learning_rate, dtype)
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
        apply_update(
            "adagrad",
            (variable, accumulator),
            hr.cast(gradient, dtype),
            (rate,),
            (self.epsilon,),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "initial_accumulator_value": self.initial_accumulator_value,
            "epsilon": self.epsilon,
        }
