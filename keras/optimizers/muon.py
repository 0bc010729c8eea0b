"""Muon: momentum made orthogonal, for the matrices of hidden layers (Jordan et al. 2024)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .apply_ops import ResourceApplyAdam
from .optimizer import Optimizer
from .shared_arguments import OtherArguments, with_shared_arguments

__all__ = ["Muon"]


class Muon(Optimizer):
    """Steps along the orthogonal matrix nearest to the momentum; Adam's for all but matrices.

    Variables that are not of rank 2, embeddings, and those of `exclude_layers` (the output
    layer belongs there) are trained by Adam.

    Args:
        learning_rate: see `Optimizer`.
        adam_beta_1: Adam's `beta_1`.
        adam_beta_2: Adam's `beta_2`.
        adam_weight_decay: weight decay of variables that Adam trains, or None.
        epsilon: Adam's.
        weight_decay: weight decay of the others, or None.
        exclude_layers: regular expressions, searched in variables' paths.
        exclude_embeddings: whether Adam trains variables with "embedding" in their paths.
        muon_a, muon_b, muon_c: coefficients of the Newton-Schulz iteration.
        adam_lr_ratio: Adam's learning rate divided by `learning_rate`.
        momentum: share of the momentum kept at each step.
        ns_steps: number of Newton-Schulz iterations.
        nesterov: whether to look ahead along the momentum.
        rms_rate: root mean square of a step's entries before the learning rate, so that Adam's
            rates fit (Liu et al. 2025); None for steps of spectral norm 1.
        **others: see `Optimizer`.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        adam_beta_1: float = 0.9,
        adam_beta_2: float = 0.999,
        adam_weight_decay: float | None = 0.004,
        epsilon: float = 1e-7,
        weight_decay: float | None = 0.004,
        *,
        exclude_layers: list[str] | None = None,
        exclude_embeddings: bool = True,
        muon_a: float = 3.4445,
        muon_b: float = -4.7750,
        muon_c: float = 2.0315,
        adam_lr_ratio: float = 1,
        momentum: float = 0.95,
        ns_steps: int = 5,
        nesterov: bool = True,
        rms_rate: float | None = 0.2,
        **others: Unpack[OtherArguments],
    ):
        super().__init__(learning_rate, weight_decay=weight_decay, **others)
        self.adam_beta_1 = adam_beta_1
        self.adam_beta_2 = adam_beta_2
        self.adam_weight_decay = adam_weight_decay
        self.epsilon = epsilon
        self.exclude_layers = exclude_layers or []
        self.exclude_embeddings = exclude_embeddings
        self.muon_a = muon_a
        self.muon_b = muon_b
        self.muon_c = muon_c
        self.adam_lr_ratio = adam_lr_ratio
        self.momentum = momentum
        self.ns_steps = ns_steps
        self.nesterov = nesterov
        self.rms_rate = rms_rate

    def _by_adam(self, variable: Any) -> bool:
        if len(variable.shape) != 2:
            return True
        path = getattr(variable, "path", None) or variable.name
        if self.exclude_embeddings and "embedding" in path.lower():
            return True
        return any(re.search(word, path) for word in self.exclude_layers)

    def build(self, variables: Iterable[Any]) -> None:
        """Create the momenta, and second moments where Adam trains."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._momentums: list[Any] = []
        self._velocities: list[Any] = []
        for variable in variables:
            self._momentums.append(self.add_variable_from_reference(variable, "momentum"))
            second = None
            if self._by_adam(variable):
                second = self.add_variable_from_reference(variable, "velocity")
            self._velocities.append(second)

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        gradient = hr.cast(gradient, dtype)
        i = self._get_variable_index(variable)
        moment, velocity = self._momentums[i], self._velocities[i]
        if velocity is not None:
            scalars = self._once(
                ("muon", dtype), lambda: self._adam_scalars(dtype, learning_rate)
            )
            ResourceApplyAdam(
                *scalars,
                gradient,
                variables=(variable, moment, velocity),
                beta1=self.adam_beta_1,
                beta2=self.adam_beta_2,
                epsilon=self.epsilon,
            )
            return
        new = gradient + self.momentum * moment.read_value()
        self.assign(moment, new)
        step = self._orthogonal(gradient + self.momentum * new if self.nesterov else new)
        if self.rms_rate is not None:
            step = step * (max(variable.shape) ** 0.5 * self.rms_rate)
        self.assign_sub(variable, self._rate(learning_rate, dtype) * step)

    def _adam_scalars(self, dtype: Any, learning_rate: Any) -> tuple[Any, Any, Any]:
        step = hr.cast(self.iterations + 1, dtype)
        return (
            hr.pow(hr.constant(self.adam_beta_1, dtype=dtype), step),
            hr.pow(hr.constant(self.adam_beta_2, dtype=dtype), step),
            hr.cast(learning_rate, dtype) * float(self.adam_lr_ratio),
        )

    def _orthogonal(self, x: Any) -> Any:
        """Nearly U V of the singular value decomposition U S V of `x`, by a quintic iteration.

        The coefficients give up exact convergence for a steep start: singular values end
        between some 0.7 and 1.2.
        """
        tall = x.shape[0] > x.shape[1]
        if tall:
            x = hr.transpose(x)
        x = x / (hr.sqrt(hr.reduce_sum(hr.square(x))) + 1e-7)
        for _ in range(self.ns_steps):
            square = hr.matmul(x, x, transpose_b=True)
            change = self.muon_b * square + self.muon_c * hr.matmul(square, square)
            x = self.muon_a * x + hr.matmul(change, x)
        return hr.transpose(x) if tall else x

    def _decay_of(self, variable: Any) -> float | None:
        return self.adam_weight_decay if self._by_adam(variable) else self.weight_decay

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "adam_beta_1": self.adam_beta_1,
            "adam_beta_2": self.adam_beta_2,
            "epsilon": self.epsilon,
            "exclude_layers": self.exclude_layers,
            "muon_a": self.muon_a,
            "muon_b": self.muon_b,
            "muon_c": self.muon_c,
            "adam_lr_ratio": self.adam_lr_ratio,
            "momentum": self.momentum,
            "ns_steps": self.ns_steps,
            "nesterov": self.nesterov,
            "exclude_embeddings": self.exclude_embeddings,
            "adam_weight_decay": self.adam_weight_decay,
            "rms_rate": self.rms_rate,
        }
