"""ScheduleFreeAdamW: AdamW that averages its weights in place of a schedule
(Defazio et al. 2024).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from ...ops.context import init_scope
from .apply_update import apply_update
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["ScheduleFreeAdamW"]


class ScheduleFreeAdamW(Optimizer):
    """Adam's steps on hidden weights z; the weights trained lie between z and z's running mean.

    The mean before a step is recovered from the weights and the *new* z, as Keras does it on
    TensorFlow; in the paper it is the old one.

    Args:
        learning_rate: see `Optimizer`; larger than for AdamW with a schedule.
        beta_1: share of the mean in the weights trained.
        beta_2: share of the second moment kept at each step.
        epsilon: added to the root of the second moment.
        warmup_steps: steps over which the rate rises from 0.
        **others: see `Optimizer`.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.0025,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        warmup_steps: int = 0,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.warmup_steps = warmup_steps

    def build(self, variables: Iterable[Any]) -> None:
        """Create z, equal to the variables, and the second moments."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums, self._velocities = self.add_optimizer_variables(
            variables, ["momentum", "velocity"]
        )
        with init_scope():
            for hidden, variable in zip(self._momentums, variables, strict=True):
                hidden.assign(variable.read_value())

    def _scalars(self, learning_rate: Any, dtype: Any) -> tuple[Any, ...]:
        """Rate, correction of the second moment, share of the new z in the mean."""
        step = hr.cast(self.iterations + 1, dtype)
        rate = hr.cast(learning_rate, dtype)
        if self.warmup_steps > 0:
            rate = rate * hr.minimum(step / float(self.warmup_steps), hr.ones([], dtype=dtype))
        power = hr.pow(hr.constant(self.beta_2, dtype=dtype), step)
        return rate, 1.0 - power, 1.0 / step

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        i = self._get_variable_index(variable)
        apply_update(
            "schedule_free",
            (variable, self._momentums[i], self._velocities[i]),
            hr.cast(gradient, dtype),
            self._once(("free", dtype), lambda: self._scalars(learning_rate, dtype)),
            (1 - self.beta_2, self.epsilon, self.beta_1, 1 - self.beta_1),
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_1": self.beta_1,
            "beta_2": self.beta_2,
            "epsilon": self.epsilon,
            "warmup_steps": self.warmup_steps,
        }
