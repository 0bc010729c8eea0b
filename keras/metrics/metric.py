"""Metric: the base class. State in variables, updated batch by batch, read by `result`.

`update_state` and `result` run eagerly and inside traced train and test steps.
"""

from __future__ import annotations

from typing import Any

from ...io.trackable import attribute_children
from ...ops import api as hr
from ...ops.context import init_scope
from .. import dtype_policies, initializers
from ..backend import floatx
from ..utils.naming import auto_name

__all__ = ["Metric"]


class Metric:
    """Base class: create state with `add_variable`, override `update_state` and `result`.

    Args:
        dtype: a dtype or policy of the result; default `floatx()`.
        name: default: the class's name in snake case.
    """

    def __init__(self, dtype: Any = None, name: str | None = None):
        self.name = name or auto_name(type(self).__name__)
        self._dtype = dtype_policies.get(dtype or floatx()).compute_dtype
        self._variables: list[Any] = []
        self._metrics: list[Metric] = []

    def __setattr__(self, name: str, value: Any) -> None:
        tracked = self.__dict__.get("_metrics")
        if tracked is None:
            if name not in ("name", "_dtype", "_variables", "_metrics", "_direction"):
                _check_initialized(self)
        elif isinstance(value, Metric):
            tracked.append(value)
        elif isinstance(value, hr.Variable) and all(v is not value for v in self._variables):
            self._variables.append(value)
        elif isinstance(value, list | tuple):
            tracked.extend(m for m in value if isinstance(m, Metric))
        object.__setattr__(self, name, value)
        waiting = self.__dict__.get("_waiting_restores")
        if waiting is not None:
            waiting.noticed(name, value)

    def _checkpoint_children(self) -> Any:
        return attribute_children(self, ("_metrics",))

    def _checkpoint_values(self) -> dict[str, Any]:
        return {}

    @property
    def dtype(self) -> str:
        """Name of the dtype of the result."""
        return self._dtype

    @property
    def variables(self) -> list[Any]:
        """The state, that of contained metrics included."""
        own = list(self._variables)
        for metric in self._metrics:
            own.extend(metric.variables)
        return own

    @property
    def weights(self) -> list[Any]:
        """The state, by Keras 2's name."""
        return self.variables

    def add_variable(
        self,
        shape: Any,
        initializer: Any,
        dtype: Any = None,
        aggregation: Any = "sum",
        name: str | None = None,
    ) -> Any:
        """A new state variable.

        Args:
            shape: of the variable.
            initializer: initializer or its name; zeros for None.
            dtype: default `floatx()`.
            aggregation: how replicas' values combine: ``"sum"`` or ``"mean"``.
            name: of the variable.
        """
        _check_initialized(self)
        dtype = dtype or floatx()
        shape = (shape,) if isinstance(shape, int) else tuple(shape or ())
        with init_scope():
            value = initializers.get(initializer or "zeros")(shape, dtype=dtype)
            variable = hr.Variable(
                value,
                trainable=False,
                dtype=dtype,
                name=f"{self.name}/{name or 'variable'}",
                synchronization="on_read",
                aggregation=aggregation,
            )
        self._variables.append(variable)
        return variable

    def add_weight(
        self, shape: Any = (), initializer: Any = None, dtype: Any = None, name: Any = None
    ) -> Any:
        """A new state variable, by Keras 2's name."""
        if isinstance(shape, str):  # Keras 2's order: add_weight(name, shape, ...)
            shape, name = (() if name is None else name), shape
        return self.add_variable(shape=shape, initializer=initializer, dtype=dtype, name=name)

    def reset_state(self) -> None:
        """Set all state to zero."""
        for v in self.variables:
            v.assign(hr.zeros(v.shape, dtype=v.dtype))

    def update_state(self, *args: Any, **kwargs: Any) -> Any:
        """Take in one batch."""
        raise NotImplementedError

    def result(self) -> Any:
        """The metric of all batches since the last reset."""
        raise NotImplementedError

    def merge_state(self, metrics: Any) -> None:
        """Add the state of `metrics`, of the same class and arguments, to this one's."""
        for other in metrics:
            theirs = other.variables
            if len(theirs) != len(self.variables):
                raise ValueError(
                    f"Metric {other} is not compatible with {self}: it has {len(theirs)} "
                    f"variables instead of {len(self.variables)}."
                )
            for mine, its in zip(self.variables, theirs, strict=True):
                mine.assign_add(its.read_value())

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Take in one batch and return the result so far."""
        self.update_state(*args, **kwargs)
        return self.result()

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {"name": self.name, "dtype": self._dtype}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Metric:
        """The metric that `config` describes."""
        return cls(**config)

    def __repr__(self) -> str:
        return f"<{type(self).__name__} name={self.__dict__.get('name')}>"


def _check_initialized(metric: Metric) -> None:
    if "_metrics" not in metric.__dict__:
        raise RuntimeError(
            "You forgot to call `super().__init__()` in the `__init__()` method. Go add it!"
        )
