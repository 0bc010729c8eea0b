"""The state part of `Optimizer`: its variables, the learning rate, saving and the config."""

from __future__ import annotations

import contextlib
import re
import warnings
import weakref
from collections.abc import Iterable
from typing import Any

from ...ops import api as hr
from ...ops.context import init_scope
from .. import initializers
from ..backend import floatx
from ..engine.checkpoint_parts import optimizer_alias, optimizer_children
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .replicas import slot_class
from .schedules import LearningRateSchedule

__all__ = ["OptimizerState"]


class OptimizerState:
    """What an optimizer keeps between steps; `Optimizer` sets the attributes."""

    name: str
    built: bool
    weight_decay: float | None
    clipnorm: float | None
    clipvalue: float | None
    global_clipnorm: float | None
    use_ema: bool
    ema_momentum: float
    ema_overwrite_frequency: int | None
    loss_scale_factor: float | None
    gradient_accumulation_steps: int | None
    _variables: list[Any]
    _iterations: Any
    _learning_rate: Any
    _indices: dict[int, int]
    _accumulators: list[Any]
    _slot_of: dict[int, int]

    # -- hyperparameters -------------------------------------------------------------------

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; steps traced with another hyperparameter are forgotten."""
        before = self.__dict__.get(name, value)
        object.__setattr__(self, name, value)
        waiting = self.__dict__.get("_waiting_restores")
        if waiting is not None:
            waiting.noticed(name, value)
        if name[0] == "_" or name == "built":
            return
        if all(isinstance(v, int | float | None) for v in (before, value)) and before != value:
            self._forget_traces()

    def retrace_on_change(self, step: Any) -> None:
        """Have ``step.forget()`` called when a hyperparameter changes.

        Args:
            step: a traced function that updates variables; not kept alive.
        """
        others = [known for known in self._watching() if known is not step]
        self._steps = [weakref.ref(known) for known in (*others, step)]
        inner = getattr(self, "inner_optimizer", None)
        for optimizer in (inner, *getattr(self, "optimizers", ())):
            if optimizer is not None:
                optimizer.retrace_on_change(step)

    def _watching(self) -> list[Any]:
        """The steps given to `retrace_on_change` that are still in use."""
        found = [reference() for reference in self.__dict__.get("_steps", ())]
        return [step for step in found if step is not None]

    def _forget_traces(self) -> None:
        for step in self._watching():
            step.forget()

    # -- checkpoints of objects -----------------------------------------------------------

    def _checkpoint_children(self) -> Any:
        return optimizer_children(self)

    def _checkpoint_alias(self, name: str) -> Any:
        return optimizer_alias(self, name)

    def _checkpoint_values(self) -> dict[str, Any]:
        return {}

    # -- variables ------------------------------------------------------------------------

    def _scalar(self, value: Any, dtype: Any, name: str) -> Any:
        with init_scope():
            variable = hr.Variable(
                value, dtype=dtype, trainable=False, name=f"{self.name}/{name}"
            )
        self._variables.append(variable)
        return variable

    @property
    def variables(self) -> list[Any]:
        """All variables, in the order of saved states."""
        return list(self._variables)

    @property
    def iterations(self) -> Any:
        """Number of updates made, an int64 scalar."""
        if self.gradient_accumulation_steps:
            return hr.floordiv(
                hr.convert_to_tensor(self._iterations),
                hr.constant(self.gradient_accumulation_steps, dtype=hr.int64),
            )
        return self._iterations

    @property
    def learning_rate(self) -> Any:
        """The learning rate now: its variable, or what the schedule gives."""
        rate = self._learning_rate
        if isinstance(rate, LearningRateSchedule):
            return rate(hr.convert_to_tensor(self._iterations))
        return rate() if callable(rate) and not isinstance(rate, hr.Variable) else rate

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        current = self._learning_rate
        if isinstance(learning_rate, LearningRateSchedule) or (
            callable(learning_rate) and not isinstance(learning_rate, hr.Variable)
        ):
            self._learning_rate = learning_rate
            self._forget_traces()
            self._variables = [v for v in self._variables if v is not current]
        elif isinstance(current, hr.Variable):
            current.assign(hr.cast(learning_rate, current.dtype))
        else:
            raise TypeError(
                "This optimizer was created with a `LearningRateSchedule` object as its "
                "`learning_rate` constructor argument, hence its learning rate is not "
                "settable. If you need the learning rate to be settable, you should "
                "instantiate the optimizer with a float `learning_rate` argument."
            )

    def build(self, variables: Iterable[Any]) -> None:
        """Create the optimizer's variables for the trainable `variables`."""
        variables = list(variables)
        if self.use_ema:
            self._averages = self.add_optimizer_variables(variables, "average")
        for i, variable in enumerate(variables):
            self._indices[id(variable)] = i
            if self.gradient_accumulation_steps:
                self._accumulators.append(
                    self.add_variable_from_reference(variable, "gradient_accumulator")
                )
        self._trainable_variables = variables
        self.built = True

    def add_variable(
        self,
        shape: Any,
        initializer: Any = "zeros",
        dtype: Any = None,
        aggregation: Any = "none",
        layout: Any = None,
        name: str | None = None,
        make: Any = hr.Variable,
    ) -> Any:
        """A new variable of the optimizer; `make` is its class."""
        with init_scope():
            value = initializers.get(initializer)(tuple(shape), dtype=dtype or floatx())
            variable = make(value, trainable=False, name=f"{self.name}/{name or 'variable'}")
        self._variables.append(variable)
        return variable

    def add_variable_from_reference(
        self, reference_variable: Any, name: str | None = None, initializer: Any = "zeros"
    ) -> Any:
        """A new variable of the shape and dtype of `reference_variable`, on its device."""
        prefix = re.sub(r"[/:]", "_", getattr(reference_variable, "path", None) or
                        reference_variable.name.split(":")[0])  # fmt: skip
        plain = type(reference_variable) is hr.Variable  # a strategy's know their own places
        with hr.device(reference_variable.device) if plain else contextlib.nullcontext():
            slot = self.add_variable(
                shape=reference_variable.shape,
                initializer=initializer,
                dtype=reference_variable.dtype,
                name=f"{prefix}_{name or 'var'}",
                make=slot_class(),
            )
        self._slot_of[id(slot)] = id(reference_variable)
        return slot

    def add_optimizer_variables(
        self, trainable_variables: Iterable[Any], name: Any, initializer: Any = "zeros"
    ) -> Any:
        """One slot per trainable variable; with a list of names, a tuple of such lists, created
        interleaved.
        """
        names = [name] if isinstance(name, str) else list(name)
        several = isinstance(initializer, list | tuple)
        starts = list(initializer) if several else [initializer] * len(names)
        if len(starts) != len(names):
            raise ValueError(
                "The number of provided names must match the number of provided initializers. "
                f"Received name='{name}', initializer='{initializer}'"
            )
        slots: tuple[list[Any], ...] = tuple([] for _ in names)
        for variable in trainable_variables:
            for made, slot_name, start in zip(slots, names, starts, strict=True):
                made.append(self.add_variable_from_reference(variable, slot_name, start))
        return slots[0] if isinstance(name, str) else slots

    def _get_variable_index(self, variable: Any) -> int:
        return self._indices[id(variable)]

    # -- saving ---------------------------------------------------------------------------

    def set_weights(self, weights: Iterable[Any]) -> None:
        """Set all variables, in the order of `variables`.

        Raises:
            ValueError: not built, or a shape does not fit.
        """
        if not self.built:
            raise ValueError(
                "You are calling `set_weights()` on an optimizer that has not yet been built. "
                "Please call `optimizer.build(trainable_variables)` to create the optimizer "
                "weights before calling `set_weights()`."
            )
        for variable, weight in zip(self.variables, weights, strict=False):
            if tuple(variable.shape) != tuple(weight.shape):
                raise ValueError(
                    f"Optimizer variable {variable.name} has shape {tuple(variable.shape)} not "
                    f"compatible with provided weight shape {tuple(weight.shape)}."
                )
            variable.assign(weight)

    def save_own_variables(self, store: Any) -> None:
        """Write the variables into a mapping, under ``"0"``, ``"1"``, ..."""
        for i, variable in enumerate(self.variables):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read the variables from a mapping that `save_own_variables` filled."""
        if len(store.keys()) != len(self.variables):
            message = (
                f"Skipping variable loading for optimizer '{self.name}', because it has "
                f"{len(self._variables)} variables whereas the saved optimizer has "
                f"{len(store.keys())} variables. "
            )
            warnings.warn(message, stacklevel=2)
            return
        for i, variable in enumerate(self.variables):
            variable.assign(hr.cast(hr.convert_to_tensor(store[str(i)][()]), variable.dtype))

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; the learning rate is the present one."""
        rate = self._learning_rate
        if isinstance(rate, hr.Variable):
            rate = float(rate.numpy())
        else:
            rate = serialize_keras_object(rate)
        return {
            "name": self.name,
            "learning_rate": rate,
            "weight_decay": self.weight_decay,
            "clipnorm": self.clipnorm,
            "global_clipnorm": self.global_clipnorm,
            "clipvalue": self.clipvalue,
            "use_ema": self.use_ema,
            "ema_momentum": self.ema_momentum,
            "ema_overwrite_frequency": self.ema_overwrite_frequency,
            "loss_scale_factor": self.loss_scale_factor,
            "gradient_accumulation_steps": self.gradient_accumulation_steps,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> Any:
        """The optimizer that `config` describes."""
        config = dict(config)
        if isinstance(config.get("learning_rate"), dict):
            config["learning_rate"] = deserialize_keras_object(
                config["learning_rate"], custom_objects=custom_objects
            )
        return cls(**config)
