"""Adafactor: Adam's second moment of a matrix kept as its row and column means
(Shazeer & Stern 2018).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Unpack

from ...ops import api as hr
from .optimizer import Optimizer
from .shared_arguments import SharedArguments, with_shared_arguments

__all__ = ["Adafactor"]


class Adafactor(Optimizer):
    """Steps scaled by the size of each variable, with second moments of low rank.

    Args:
        learning_rate: see `Optimizer`; the largest relative step.
        beta_2_decay: power of the step number that the share of new gradients follows.
        epsilon_1: added to squared gradients.
        epsilon_2: smallest size of a variable that its steps are relative to.
        clip_threshold: largest root mean square of a step before the learning rate.
        relative_step: kept in the config only: rates fall with the root of the step number
            either way, as Keras's do.
        **others: see `Optimizer`.
    """

    @with_shared_arguments
    def __init__(
        self,
        learning_rate: Any = 0.001,
        beta_2_decay: float = -0.8,
        epsilon_1: float = 1e-30,
        epsilon_2: float = 1e-3,
        clip_threshold: float = 1.0,
        relative_step: bool = True,
        **others: Unpack[SharedArguments],
    ):
        super().__init__(learning_rate, **others)
        self.beta_2_decay = beta_2_decay
        self.epsilon_1 = epsilon_1
        self.epsilon_2 = epsilon_2
        self.clip_threshold = clip_threshold
        self.relative_step = relative_step

    def build(self, variables: Iterable[Any]) -> None:
        """Create the second moments, and the means of rows and columns of matrices."""
        if self.built:
            return
        variables = list(variables)
        super().build(variables)
        self._rows: list[Any] = []
        self._columns: list[Any] = []
        self._velocities: list[Any] = []
        for variable in variables:
            shape = tuple(variable.shape)
            name, dtype = variable.name.split(":")[0], variable.dtype
            if len(shape) >= 2:
                rows = self.add_variable(shape[:-1], dtype=dtype, name=name)
                columns = self.add_variable(shape[:-2] + shape[-1:], dtype=dtype, name=name)
            else:  # Unused, but Keras has and saves them.
                rows = self._scalar(0, hr.int32, name)
                columns = self._scalar(0, hr.int32, name)
            self._rows.append(rows)
            self._columns.append(columns)
            self._velocities.append(self.add_variable_from_reference(variable, "velocity"))

    def _scalars(self, learning_rate: Any, dtype: Any) -> tuple[Any, Any]:
        """``(largest relative step, share of the moments kept)``."""
        step = hr.cast(self.iterations + 1, dtype)
        rate = hr.minimum(hr.cast(learning_rate, dtype), 1.0 / hr.sqrt(step))
        return rate, 1.0 - hr.pow(step, hr.constant(self.beta_2_decay, dtype=dtype))

    def update_step(self, gradient: Any, variable: Any, learning_rate: Any) -> None:
        """One step of one variable."""
        dtype = variable.dtype
        gradient = hr.cast(gradient, dtype)
        rate, kept = self._once(
            ("adafactor", dtype), lambda: self._scalars(learning_rate, dtype)
        )
        i = self._get_variable_index(variable)
        squares = hr.square(gradient) + hr.constant(self.epsilon_1, dtype=dtype)
        new = 1.0 - kept
        velocity = self._velocities[i]
        if len(variable.shape) < 2:
            spread = kept * velocity + new * squares
        else:
            rows = kept * self._rows[i] + new * hr.reduce_mean(squares, axis=-1)
            columns = kept * self._columns[i] + new * hr.reduce_mean(squares, axis=-2)
            self.assign(self._rows[i], rows)
            self.assign(self._columns[i], columns)
            share = rows / hr.reduce_mean(rows, axis=-1, keepdims=True)
            spread = hr.expand_dims(share, -1) * hr.expand_dims(columns, -2)
        self.assign(velocity, spread)
        step = gradient / hr.sqrt(spread)
        step = step / hr.maximum(_size(step) / self.clip_threshold, hr.ones([], dtype=dtype))
        floor = hr.constant(self.epsilon_2, dtype=dtype)
        size = hr.maximum(_size(variable.read_value()), floor)
        self.assign_sub(variable, size * rate * step)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "beta_2_decay": self.beta_2_decay,
            "epsilon_1": self.epsilon_1,
            "epsilon_2": self.epsilon_2,
            "clip_threshold": self.clip_threshold,
            "relative_step": self.relative_step,
        }


def _size(x: Any) -> Any:
    """The root mean square of `x`."""
    return hr.sqrt(hr.reduce_mean(hr.square(x)))
