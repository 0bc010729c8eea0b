"""MultiOptimizer: several optimizers, each for some of the variables."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, MutableMapping
from typing import Any

from ...ops.context import same_on_all_replicas
from ..engine.serialization import deserialize_keras_object, serialize_keras_object
from .loss_scale import LossScaleOptimizer
from .optimizer import Optimizer

__all__ = ["MultiOptimizer", "OptimizerMap"]


class OptimizerMap(MutableMapping):
    """Which optimizer trains a variable, by the variable's path.

    A path stands for itself or, as a regular expression, for all paths that it matches whole.

    Args:
        default_optimizer: for variables that nothing matches.
        optimizer_map: path or expression -> optimizer.

    Raises:
        TypeError: an argument is of another type.

    >>> first, second = Optimizer(0.1), Optimizer(0.2)
    >>> chosen = OptimizerMap(first, {"encoder/.*": second})
    >>> chosen["encoder/dense/kernel"] is second, chosen["head/kernel"] is first
    (True, True)
    """

    def __init__(
        self, default_optimizer: Optimizer, optimizer_map: dict[str, Optimizer] | None = None
    ):
        if not isinstance(default_optimizer, Optimizer):
            raise TypeError(
                "default_optimizer must be a Keras Optimizer instance. Received: "
                f"{default_optimizer}"
            )
        if optimizer_map is not None and not isinstance(optimizer_map, dict):
            raise TypeError(f"optimizer_map must be a dictionary. Received: {optimizer_map}")
        self._default_optimizer = default_optimizer
        self._optimizer_map = optimizer_map or {}

    @property
    def default_optimizer(self) -> Optimizer:
        """For variables that nothing matches."""
        return self._default_optimizer

    def __getitem__(self, key: str) -> Optimizer:
        """The optimizer of the variable with the path `key`.

        Raises:
            ValueError: several expressions match.
        """
        if key in self._optimizer_map:
            return self._optimizer_map[key]
        matches = [pattern for pattern in self._optimizer_map if re.fullmatch(pattern, key)]
        if len(matches) > 1:
            raise ValueError(
                f"Multiple optimizers assigned to variable {key}: keys {matches} match it."
            )
        return self._optimizer_map[matches[0]] if matches else self._default_optimizer

    def __setitem__(self, key: str, optimizer: Optimizer) -> None:
        """Add an optimizer.

        Raises:
            ValueError: the key is there already or no string, or the optimizer is none, or
                wraps others.
        """
        if key in self._optimizer_map:
            raise ValueError(
                f"'{key}' already exists in the OptimizerMap with value "
                f"{self._optimizer_map[key]}. Please make sure to not use duplicated keys."
            )
        if not isinstance(key, str):
            raise ValueError(f"key must be a string. Received: {key}")
        if not isinstance(optimizer, Optimizer):
            raise ValueError(
                f"optimizer must be a Keras Optimizer instance. Received: {optimizer}"
            )
        _refuse_wrappers(optimizer, f"under key '{key}'")
        self._optimizer_map[key] = optimizer

    def __delitem__(self, key: str) -> None:
        del self._optimizer_map[key]

    def __len__(self) -> int:
        return len(self._optimizer_map)

    def __iter__(self) -> Iterator[str]:
        return iter(self._optimizer_map)

    def __call__(self, variable: Any) -> Optimizer:
        """The optimizer of `variable`."""
        return self[_path(variable)]

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "default_optimizer": serialize_keras_object(self._default_optimizer),
            "optimizer_map": serialize_keras_object(self._optimizer_map),
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> OptimizerMap:
        """The map that `config` describes."""
        found = {
            key: deserialize_keras_object(config[key], custom_objects=custom_objects)
            for key in ("default_optimizer", "optimizer_map")
        }
        return cls(**found)


class MultiOptimizer(Optimizer):
    """One optimizer made of several.

    Learning rates, clipping and all else belong to the optimizers inside.

    Args:
        optimizer_map: an `OptimizerMap`, or a function of a variable that gives its optimizer.
        loss_scale_factor: see `Optimizer`; set in all optimizers inside.
        name: see `Optimizer`.
    """

    def __init__(
        self,
        optimizer_map: Any,
        loss_scale_factor: float | None = None,
        name: str | None = None,
    ):
        self._inner: list[Optimizer] = []
        super().__init__(learning_rate=0.0, loss_scale_factor=loss_scale_factor, name=name)
        self._optimizer_map = optimizer_map
        self._place: dict[int, int] = {}
        if hasattr(optimizer_map, "values"):
            for optimizer in optimizer_map.values():
                self._take(optimizer)
        if getattr(optimizer_map, "default_optimizer", None) is not None:
            self._take(optimizer_map.default_optimizer)

    def _take(self, optimizer: Optimizer) -> int:
        """The place of `optimizer` among those inside, taken in if it is new."""
        for i, known in enumerate(self._inner):
            if known is optimizer:
                return i
        optimizer.loss_scale_factor = self.loss_scale_factor
        self._inner.append(optimizer)
        for step in self._watching():
            optimizer.retrace_on_change(step)
        return len(self._inner) - 1

    @property
    def optimizers(self) -> list[Optimizer]:
        """The optimizers inside."""
        return self._inner

    def build(self, variables: Iterable[Any]) -> None:
        """Give each variable to its optimizer, and build those.

        Raises:
            ValueError: what the map gives for a variable is no optimizer or wraps others.
        """
        if self.built:
            return
        variables = list(variables)
        theirs: dict[int, list[Any]] = {}
        for variable in variables:
            optimizer = self._optimizer_map(variable)
            if not isinstance(optimizer, Optimizer):
                raise ValueError(
                    f"Optimizer for variable {_path(variable)} is not an Optimizer instance, "
                    f"got {optimizer!r}"
                )
            _refuse_wrappers(optimizer, f"for variable {_path(variable)}")
            place = self._place[id(variable)] = self._take(optimizer)
            theirs.setdefault(place, []).append(variable)
        for place, group in theirs.items():
            self._inner[place].build(group)
        super().build(variables)

    @property
    def variables(self) -> list[Any]:
        """Its own variables, then those of the optimizers inside."""
        return [*self._variables, *(v for o in self._inner for v in o.variables)]

    @property
    def learning_rate(self) -> Any:
        """There is none: ask an optimizer inside."""
        raise AttributeError(
            "Learning rate cannot be accessed on a MultiOptimizer. Access the learning rate on "
            "the individual sub-optimizers instead."
        )

    @learning_rate.setter
    def learning_rate(self, learning_rate: Any) -> None:
        raise AttributeError(
            "Learning rate cannot be set on a MultiOptimizer. Set the learning rate on the "
            "individual sub-optimizers instead."
        )

    @property
    def loss_scale_factor(self) -> float | None:
        """See `Optimizer`; that of all optimizers inside."""
        return self._loss_scale_factor

    @loss_scale_factor.setter
    def loss_scale_factor(self, value: float | None) -> None:
        self._loss_scale_factor = value
        for optimizer in self._inner:
            optimizer.loss_scale_factor = value

    @property
    def iterations(self) -> Any:
        """Number of updates made, an int64 scalar."""
        return self._iterations

    def apply(self, grads: Iterable[Any], trainable_variables: Any = None) -> None:
        """Update each variable by its optimizer; see `Optimizer.apply`."""
        grads = list(grads)
        if not grads:
            return
        if trainable_variables is None:
            if not self.built:
                raise ValueError(
                    "When passing `grads` without `variables`, the optimizer must already be "
                    "built on a list of variables. Call `optimizer.build(trainable_variables)` "
                    "first."
                )
            variables = self._trainable_variables
        else:
            variables = list(trainable_variables)
        self.build(variables)
        if len(grads) != len(self._place):
            raise ValueError(
                f"Gradients must match trainable variables one-to-one. Received {len(grads)} "
                f"gradients and {len(self._place)} variables."
            )
        pairs: dict[int, list[tuple[Any, Any]]] = {}
        for grad, variable in zip(grads, variables, strict=True):
            pairs.setdefault(self._place[id(variable)], []).append((grad, variable))
        for place, group in pairs.items():
            self._inner[place].apply([g for g, _ in group], [v for _, v in group])
        with same_on_all_replicas():
            self._iterations.assign_add(1)

    def finalize_variable_values(self, var_list: Any) -> None:
        """See `Optimizer.finalize_variable_values`."""
        groups: dict[int, list[Any]] = {}
        for variable in var_list:
            groups.setdefault(self._place[id(variable)], []).append(variable)
        for place, group in groups.items():
            self._inner[place].finalize_variable_values(group)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "optimizer_map": serialize_keras_object(self._optimizer_map),
            "loss_scale_factor": self.loss_scale_factor,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> MultiOptimizer:
        """The optimizer that `config` describes."""
        found = deserialize_keras_object(config["optimizer_map"], custom_objects=custom_objects)
        return cls(**{**config, "optimizer_map": found})


def _path(variable: Any) -> str:
    return getattr(variable, "path", None) or variable.name.split(":")[0]


def _refuse_wrappers(optimizer: Optimizer, where: str) -> None:
    if isinstance(optimizer, LossScaleOptimizer | MultiOptimizer):
        raise ValueError(
            f"{type(optimizer).__name__} cannot be used inside a MultiOptimizer, but is {where}"
        )
