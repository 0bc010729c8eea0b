"""Adam (Kingma & Ba 2014), its AMSGrad form, and AdamW (Loshchilov & Hutter 2019)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_ops import ResourceApplyAdam, ResourceApplyAdamWithAmsgrad
from .optimizer import Optimizer
from .shared_arguments import OtherArguments, SharedArguments, with_shared_arguments

__all__ = ["Adam", "AdamW"]


class Adam(Optimizer):
    """Steps scaled by running estimates of the gradient's first and second moments.

    Args:
        learning_rate: see `Optimizer`.
        beta_1: share of the first moment kept at each step.
        beta_2: share of the second moment kept at each step.
        epsilon: added to the root of the second moment ("epsilon hat" of the paper).
        amsgrad: whether to divide by the largest second moment so far.
        **others: see `Optimizer`.

    >>> weight = hr.Variable(1.0)
    >>> _ = Adam(0.1).apply_gradients([(hr.constant(2.0), weight)])
    >>> round(float(weight), 4)
    0.9
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.amsgrad = amsgrad

    def build(self, variables: Iterable[Any]) -> None:
        """Create the moments."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        if self.amsgrad:
            self._velocity_hats = self.add_optimizer_variables(variables, "velocity_hat")

    def _scalars(self, dtype: Any, learning_rate: Any) -> tuple[Any, Any, Any]:
        step = hr.cast(self.iterations + 1, dtype)
        return (
            hr.pow(hr.constant(self.beta_1, dtype=dtype), step),
            hr.pow(hr.constant(self.beta_2, dtype=dtype), step),
            hr.cast(learning_rate, dtype),
        )

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        scalars = self._once(("adam", dtype), lambda: self._scalars(dtype, learning_rate))
        i = self._get_variable_index(variable)
        slots: tuple[Any, ...] = (variable, self._momentums[i], self._velocities[i])
        if self.amsgrad:
            slots = (*slots, self._velocity_hats[i])
        apply = ResourceApplyAdamWithAmsgrad if self.amsgrad else ResourceApplyAdam
        apply(
            *scalars,
            hr.cast(gradient, dtype),
            variables=slots,
            beta1=self.beta_1,
            beta2=self.beta_2,
            epsilon=self.epsilon,
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "amsgrad": self.amsgrad,
        }


class AdamW(Adam):
    """Adam with weight decay that does not pass through the moments.

    Args:
        learning_rate: see `Optimizer`.
        weight_decay: share of each weight (times the learning rate) taken off at each step.
        beta_1: see `Adam`.
        beta_2: see `Adam`.
        epsilon: see `Adam`.
        amsgrad: see `Adam`.
        **others: see `Optimizer`.

    Raises:
        ValueError: `weight_decay` is None.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        weight_decay: float = 0.004,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-7,
        amsgrad: bool = False,
        **others: Unpack[OtherArguments],
    ):
        if weight_decay is None:
            raise ValueError(
                "Argument `weight_decay` must be a float. Received: weight_decay=None"
            )
        super().__init__(
            learning_rate, beta_1, beta_2, epsilon, amsgrad, weight_decay=weight_decay, **others
        )
