"""Learning-rate schedules: functions of the step number, with a config.

A schedule is called with the optimizer's `iterations` and returns a scalar float32 tensor,
eagerly or inside a traced train step.
"""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr
from ..engine.serialization import deserialize_keras_object, serialize_keras_object

__all__ = [
    "CosineDecay",
    "CosineDecayRestarts",
    "ExponentialDecay",
    "InverseTimeDecay",
    "LearningRateSchedule",
    "PiecewiseConstantDecay",
    "PolynomialDecay",
    "deserialize",
    "serialize",
]


class LearningRateSchedule:
    """Base class: override ``__call__(step)`` and `get_config`."""

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override "
            "`__call__(self, step)`."
        )

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        raise NotImplementedError(
            f"Learning rate schedule '{type(self).__name__}' must override `get_config()` in "
            "order to be serializable."
        )

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> LearningRateSchedule:
        """The schedule that `config` describes."""
        return cls(**config)


def _positive(name: str, value: Any) -> Any:
    if value <= 0:
        raise ValueError(f"Argument `{name}` must be > 0. Received: {name}={value}")
    return value


def _float(value: Any) -> Any:
    """`value` as a tensor, a Python number as float32."""
    tensor = hr.convert_to_tensor(value)
    return tensor if tensor.dtype.is_floating else hr.cast(tensor, hr.float32)


class ExponentialDecay(LearningRateSchedule):
    """``initial * decay_rate ** (step / decay_steps)``; in steps if `staircase`.

    >>> rate = ExponentialDecay(0.5, decay_steps=10, decay_rate=0.5)
    >>> rate(10).numpy()
    np.float32(0.25)
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "ExponentialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        initial = _float(self.initial_learning_rate)
        part = hr.cast(step, initial.dtype) / hr.cast(self.decay_steps, initial.dtype)
        part = hr.floor(part) if self.staircase else part
        return initial * hr.pow(hr.cast(self.decay_rate, initial.dtype), part)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class InverseTimeDecay(LearningRateSchedule):
    """``initial / (1 + decay_rate * step / decay_steps)``; in steps if `staircase`."""

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        decay_rate: Any,
        staircase: bool = False,
        name: str = "InverseTimeDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.decay_rate = decay_rate
        self.staircase = staircase
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        initial = _float(self.initial_learning_rate)
        part = hr.cast(step, initial.dtype) / hr.cast(self.decay_steps, initial.dtype)
        part = hr.floor(part) if self.staircase else part
        return initial / (1.0 + hr.cast(self.decay_rate, initial.dtype) * part)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "decay_rate": self.decay_rate,
            "staircase": self.staircase,
            "name": self.name,
        }


class PiecewiseConstantDecay(LearningRateSchedule):
    """``values[0]`` up to and with step ``boundaries[0]``, then ``values[1]``, ...

    >>> rate = PiecewiseConstantDecay([2], [1.0, 0.5])
    >>> float(rate(2)), float(rate(3))
    (1.0, 0.5)
    """

    def __init__(self, boundaries: Any, values: Any, name: str = "PiecewiseConstant"):
        if len(boundaries) != len(values) - 1:
            raise ValueError(
                "The length of boundaries should be 1 less than the length of values. "
                f"Received: boundaries={boundaries} of length {len(boundaries)}, and "
                f"values={values} of length {len(values)}."
            )
        self.boundaries = boundaries
        self.values = values
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        step = hr.convert_to_tensor(step)
        rate = _float(self.values[0])
        for boundary, value in zip(self.boundaries, self.values[1:], strict=True):
            past = step > hr.cast(boundary, step.dtype)
            rate = hr.where(past, hr.cast(value, rate.dtype), rate)
        return rate

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"boundaries": self.boundaries, "values": self.values, "name": self.name}


class PolynomialDecay(LearningRateSchedule):
    """From `initial_learning_rate` to `end_learning_rate` along a power of what is left.

    With `cycle`, the span grows by `decay_steps` whenever its end is passed.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        end_learning_rate: float = 0.0001,
        power: float = 1.0,
        cycle: bool = False,
        name: str = "PolynomialDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.end_learning_rate = end_learning_rate
        self.power = power
        self.cycle = cycle
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        initial = _float(self.initial_learning_rate)
        dtype = initial.dtype
        end = hr.cast(self.end_learning_rate, dtype)
        step = hr.cast(step, dtype)
        span = hr.cast(self.decay_steps, dtype)
        if self.cycle:
            span = span * hr.maximum(hr.ceil(step / span), hr.cast(1.0, dtype))
        else:
            step = hr.minimum(step, span)
        left = hr.pow(1.0 - step / span, hr.cast(self.power, dtype))
        return (initial - end) * left + end

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "end_learning_rate": self.end_learning_rate,
            "power": self.power,
            "cycle": self.cycle,
            "name": self.name,
        }


class CosineDecay(LearningRateSchedule):
    """Half a cosine from `initial_learning_rate` to ``alpha`` times it (Loshchilov & Hutter).

    With `warmup_target`, first a straight line from `initial_learning_rate` to the target over
    `warmup_steps`, and the cosine starts there.
    """

    def __init__(
        self,
        initial_learning_rate: Any,
        decay_steps: Any,
        alpha: float = 0.0,
        name: str = "CosineDecay",
        warmup_target: float | None = None,
        warmup_steps: int = 0,
    ):
        self.initial_learning_rate = initial_learning_rate
        self.decay_steps = _positive("decay_steps", decay_steps)
        self.alpha = alpha
        self.name = name
        self.warmup_target = warmup_target
        self.warmup_steps = warmup_steps

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        initial = _float(self.initial_learning_rate)
        dtype = initial.dtype
        span = hr.cast(self.decay_steps, dtype)
        step = hr.cast(step, dtype)
        if self.warmup_target is None:
            return self._cosine(hr.minimum(step, span), span, initial)
        target = hr.cast(self.warmup_target, dtype)
        warm = hr.cast(self.warmup_steps, dtype)
        step = hr.minimum(step, span + warm)
        # Both branches are cheap scalars; a division by zero warm-up steps is not selected.
        rising = (target - initial) * hr.divide_no_nan(step, warm) + initial
        return hr.where(step < warm, rising, self._cosine(step - warm, span, target))

    def _cosine(self, step: Any, span: Any, start: Any) -> Any:
        wave = 0.5 * (1.0 + hr.cos(math.pi * (step / span)))
        return start * ((1 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "decay_steps": self.decay_steps,
            "alpha": self.alpha,
            "name": self.name,
            "warmup_target": self.warmup_target,
            "warmup_steps": self.warmup_steps,
        }


class CosineDecayRestarts(LearningRateSchedule):
    """Cosine decays in a row, each `t_mul` times as long and `m_mul` times as high."""

    def __init__(
        self,
        initial_learning_rate: Any,
        first_decay_steps: Any,
        t_mul: float = 2.0,
        m_mul: float = 1.0,
        alpha: float = 0.0,
        name: str = "SGDRDecay",
    ):
        self.initial_learning_rate = initial_learning_rate
        self.first_decay_steps = _positive("first_decay_steps", first_decay_steps)
        self._t_mul = t_mul
        self._m_mul = m_mul
        self.alpha = alpha
        self.name = name

    def __call__(self, step: Any) -> Any:
        """The learning rate at `step`."""
        initial = _float(self.initial_learning_rate)
        dtype = initial.dtype
        done = hr.cast(step, dtype) / hr.cast(self.first_decay_steps, dtype)
        t_mul = hr.cast(self._t_mul, dtype)
        if self._t_mul == 1.0:
            restarts = hr.floor(done)
            part = done - restarts
        else:
            # Lengths 1, t, t^2, ...: their sum after r restarts is (1 - t^r) / (1 - t).
            restarts = hr.floor(hr.log(1.0 - done * (1.0 - t_mul)) / hr.log(t_mul))
            power = hr.pow(t_mul, restarts)
            part = (done - (1.0 - power) / (1.0 - t_mul)) / power
        height = hr.pow(hr.cast(self._m_mul, dtype), restarts)
        wave = 0.5 * height * (1.0 + hr.cos(math.pi * part))
        return initial * ((1 - self.alpha) * wave + self.alpha)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "initial_learning_rate": self.initial_learning_rate,
            "first_decay_steps": self.first_decay_steps,
            "t_mul": self._t_mul,
            "m_mul": self._m_mul,
            "alpha": self.alpha,
            "name": self.name,
        }


def serialize(learning_rate_schedule: LearningRateSchedule) -> dict[str, Any]:
    """The config dictionary that `deserialize` turns back into the schedule."""
    return serialize_keras_object(learning_rate_schedule)


def deserialize(config: Any, custom_objects: dict[str, Any] | None = None) -> Any:
    """The schedule that `config` describes."""
    known = {n: globals()[n] for n in __all__ if n[0].isupper()}
    return deserialize_keras_object(config, custom_objects=custom_objects, module_objects=known)
