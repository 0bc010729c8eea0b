"""The state part of `Layer`: weights, sublayers, losses, and their values."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ...ops import api as hr, dtypes
from ...ops.context import init_scope
from ...ops.variable import Variable
from .checkpoint_parts import layer_alias, layer_children
from .context import current
from .loading import check_size
from .tracking import is_metric, is_variable, unique, walk_attributes

__all__ = ["LayerState", "StatefulLayer"]


class LayerState:
    """What the machinery keeps of a layer, apart from the user's attributes.

    Attributes:
        args, kwargs: the constructor's arguments.
        initialized: whether `Layer.__init__` has run.
        variables: variables in the order of their creation or first assignment.
        regularized: ``(variable, regularizer)`` pairs.
        losses: values given to `add_loss` during the present call.
        nodes: calls on placeholders.
        build_shapes: what `build` was called with.
        input_shape: batch shape given to the constructor, or None.
        path: names of the layers it was first called or built inside, and its own.
    """

    __slots__ = (
        "args", "build_shapes", "initialized", "input_shape", "kwargs", "losses", "nodes",
        "path", "regularized", "variables",
    )  # fmt: skip

    def __init__(self, args: tuple[Any, ...], kwargs: dict[str, Any]):
        self.args = args
        self.kwargs = kwargs
        self.initialized = False
        self.variables: list[Any] = []
        self.regularized: list[tuple[Any, Any]] = []
        self.losses: list[Any] = []
        self.nodes: list[Any] = []
        self.build_shapes: dict[str, Any] | None = None
        self.input_shape: Any = None
        self.path: str | None = None

    def note_path(self, layer: Any, around: Any) -> None:
        """Note that `layer` is first called or built inside the layer `around`, or alone."""
        outer = None if around is None or around is layer else around._engine.path
        self.path = f"{outer}/{layer.name}" if outer else layer.name

    def init_arguments(self, cls: type) -> dict[str, Any]:
        """The constructor's arguments by name.

        Raises:
            NotImplementedError: an argument has no JSON form.
        """
        from .serialization import serialize_keras_object

        try:
            bound = inspect.signature(cls.__init__).bind(None, *self.args, **self.kwargs)  # type: ignore[misc]
            named = dict(list(bound.arguments.items())[1:])
            named.update(named.pop("kwargs", {}))
            return {k: serialize_keras_object(v) for k, v in named.items()}
        except TypeError as e:
            raise NotImplementedError(
                f"Object {cls.__name__} was created by passing non-serializable argument "
                "values "
                "in `__init__()`, and therefore the object must override `get_config()` in "
                f"order to be serializable. Received: {self.args} {self.kwargs}. ({e})"
            ) from e

    def __deepcopy__(self, memo: Any) -> LayerState:
        import copy

        new = LayerState(self.args, self.kwargs)
        memo[id(self)] = new
        for slot in self.__slots__:
            if slot not in ("nodes", "losses", "args", "kwargs"):
                setattr(new, slot, copy.deepcopy(getattr(self, slot), memo))
        return new


class StatefulLayer:
    """Weights and sublayers of an object with a `LayerState`; the base of `Layer`."""

    _engine: LayerState
    name: str
    built: bool
    _trainable: bool
    dtype_policy: Any

    # -- dtypes ---------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """Alias of `variable_dtype`."""
        return self.dtype_policy.at(self._engine.path).variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Name of the dtype of the weights."""
        return self.dtype_policy.at(self._engine.path).variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Name of the dtype of the computation."""
        return self.dtype_policy.at(self._engine.path).compute_dtype

    @property
    def path(self) -> str | None:
        """Names of the layers it lies in and its own, ``"model/dense"``; None before it was
        called or built."""
        return self._engine.path

    # -- creating -------------------------------------------------------------------------

    def add_weight(self, *args: Any, **kwargs: Any) -> Any:
        """A new variable of the layer.

        Args:
            shape: its shape; scalar if None.
            initializer: initializer or name; glorot_uniform for floats, else zeros.
            dtype: its dtype; the layer's `variable_dtype` if None.
            trainable: whether gradients update it.
            autocast: accepted for Keras 3's sake.
            regularizer: added to the layer's `losses`.
            constraint: applied to it after each update.
            aggregation: how replicas' values combine that are assigned in a step: ``"mean"``
                by default, of others than floats ``"only_first_replica"``.
            synchronization: ``"on_read"`` leaves each replica its own value until it is read
                outside of the replicas.
            overwrite_with_gradient: accepted for Keras 3's sake.
            name: its name inside the layer.
            args, kwargs: the above in this order; or, if the first is a string, in Keras 2's:
                name, shape, dtype, initializer, regularizer, trainable, constraint.
        """
        if args and isinstance(args[0], str):
            kwargs.update(zip(_KERAS_2_ORDER, args, strict=False))
            args = ()
        return self._add_weight(*args, **kwargs)

    def _add_weight(
        self,
        shape: Any = None,
        initializer: Any = None,
        dtype: Any = None,
        trainable: bool | None = True,
        autocast: bool = True,
        regularizer: Any = None,
        constraint: Any = None,
        aggregation: Any = None,
        overwrite_with_gradient: bool = False,
        name: str | None = None,
        **kwargs: Any,
    ) -> Any:
        from .. import constraints, initializers, regularizers  # they need this package

        found = dtypes.as_dtype(dtype if dtype is not None else self.variable_dtype)
        if initializer is None:
            initializer = "glorot_uniform" if found.is_floating else "zeros"
        init = initializers.get(initializer)
        shape = () if shape is None else (shape,) if isinstance(shape, int) else tuple(shape)
        if any(d is None for d in shape):
            raise ValueError(
                f"Shapes used to initialize variables must be fully-defined (no `None` "
                f"dimensions). Received: shape={shape} for variable {name!r} of layer "
                f'"{self.name}"'
            )
        check_size(shape, self.name)
        with init_scope():
            value = init(shape, dtype=found) if callable(init) else init
            variable = hr.Variable(
                value,
                trainable=trainable is None or trainable,
                dtype=found,
                name=f"{self.name}/{name or 'variable'}",
                constraint=constraints.get(constraint),
                synchronization=kwargs.get("synchronization"),
                aggregation=aggregation
                or ("mean" if found.is_floating else "only_first_replica"),
            )
        if self._engine.path is None:  # a weight that the constructor makes
            around = current.inner
            prefix = around._engine.path if around is not None else None
            own = f"{prefix}/{self.name}" if prefix else self.name
        else:
            own = self._engine.path
        variable.path = f"{own}/{name or 'variable'}"
        self._engine.variables.append(variable)
        if regularizer is not None:
            self._engine.regularized.append((variable, regularizers.get(regularizer)))
        return variable

    def _track(self, name: str, value: Any) -> None:
        """Note a variable that is assigned to an attribute; forget the one it replaces."""
        known = self._engine.variables
        before = self.__dict__.get(name)
        if before is not None and before is not value and isinstance(before, Variable):
            known[:] = [v for v in known if v is not before]
        if isinstance(value, Variable) and all(v is not value for v in known):
            known.append(value)

    def __delattr__(self, name: str) -> None:
        value = self.__dict__.get(name)
        if isinstance(value, Variable):
            self._engine.variables[:] = [v for v in self._engine.variables if v is not value]
        object.__delattr__(self, name)

    # -- finding --------------------------------------------------------------------------

    def _own_variables(self) -> list[Any]:
        found = unique([*self._engine.variables, *walk_attributes(self, is_variable)])
        return [v for v in found if v.trainable] + [v for v in found if not v.trainable]

    def _sublayers(self) -> list[Any]:
        """Layers held directly, by attribute or in containers; in order of assignment."""
        return [
            layer for layer in unique(walk_attributes(self, _is_layer)) if layer is not self
        ]

    def _flatten_layers(self, recursive: bool = True, include_self: bool = True) -> list[Any]:
        found = [self] if include_self else []
        seen = {id(self)}
        pending = self._sublayers()
        while pending:
            layer = pending.pop(0)
            if id(layer) in seen:
                continue
            seen.add(id(layer))
            found.append(layer)
            if recursive:
                pending = layer._sublayers() + pending
        return found

    @property
    def weights(self) -> list[Any]:
        """All variables of the layer and its sublayers, trainable ones first in each layer."""
        found = self._own_variables()
        for layer in self._sublayers():
            found.extend(layer.weights)
        return unique(found)

    @property
    def variables(self) -> list[Any]:
        """The same as `weights`."""
        return self.weights

    @property
    def trainable_weights(self) -> list[Any]:
        """The variables that training updates; none if the layer is frozen."""
        if not self._trainable:
            return []
        found = [v for v in self._own_variables() if v.trainable]
        for layer in self._sublayers():
            found.extend(layer.trainable_weights)
        return unique(found)

    @property
    def trainable_variables(self) -> list[Any]:
        """The same as `trainable_weights`."""
        return self.trainable_weights

    @property
    def non_trainable_weights(self) -> list[Any]:
        """The variables that training leaves alone."""
        trained = {id(v) for v in self.trainable_weights}
        return [v for v in self.weights if id(v) not in trained]

    @property
    def non_trainable_variables(self) -> list[Any]:
        """The same as `non_trainable_weights`."""
        return self.non_trainable_weights

    @property
    def trainable(self) -> bool:
        """Whether the layer is trained; setting it sets all sublayers."""
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        for layer in self._flatten_layers():
            object.__setattr__(layer, "_trainable", bool(value))

    @property
    def metrics(self) -> list[Any]:
        """Metrics held by the layer and its sublayers."""
        found: list[Any] = []
        for layer in self._flatten_layers():
            found.extend(walk_attributes(layer, is_metric))
        return unique(found)

    # -- checkpoints of objects -----------------------------------------------------------

    def _checkpoint_children(self) -> Any:
        return layer_children(self)

    def _checkpoint_alias(self, name: str) -> Any:
        return layer_alias(self, name)

    def _checkpoint_values(self) -> dict[str, Any]:
        return {}

    # -- losses ---------------------------------------------------------------------------

    def add_loss(self, loss: Any) -> None:
        """Add a scalar to the model's loss; called from inside `call`."""
        for item in loss if isinstance(loss, (list, tuple)) else (loss,):
            self._engine.losses.append(item() if callable(item) else item)
        current.has_losses = True

    def _clear_losses(self) -> None:
        if not current.has_losses:
            return
        for layer in self._flatten_layers():
            layer._engine.losses.clear()

    @property
    def losses(self) -> list[Any]:
        """What `add_loss` collected in the last call, then the weights' regularisation."""
        layers = self._flatten_layers()
        found = [loss for layer in layers for loss in layer._engine.losses]
        seen: set[int] = set()
        for layer in layers:
            for variable, regularizer in layer._engine.regularized:
                if layer._trainable and variable.trainable and id(variable) not in seen:
                    seen.add(id(variable))
                    found.append(regularizer(variable))
        return found

    # -- values ---------------------------------------------------------------------------

    def get_weights(self) -> list[np.ndarray]:
        """The values of `weights`, as arrays."""
        return [np.asarray(v.numpy()) for v in self.weights]

    def set_weights(self, weights: Any) -> None:
        """Set the values of `weights` from a list of arrays.

        Raises:
            ValueError: another number of arrays, or another shape, than the layer has.
        """
        variables = self.weights
        if len(variables) != len(weights):
            raise ValueError(
                f"You called `set_weights(weights)` on layer '{self.name}' with a weight list "
                f"of length {len(weights)}, but the layer was expecting {len(variables)} "
                "weights."
            )
        for variable, value in zip(variables, weights, strict=True):
            if tuple(variable.shape) != tuple(np.shape(value)):
                raise ValueError(
                    f"Layer {self.name} weight shape {tuple(variable.shape)} is not compatible "
                    f"with provided weight shape {tuple(np.shape(value))}."
                )
        for variable, value in zip(variables, weights, strict=True):
            variable.assign(np.asarray(value).astype(variable.dtype.np_dtype, copy=False))

    def save_own_variables(self, store: Any) -> None:
        """Write the layer's own variables into a mapping, under ``"0"``, ``"1"``, ..."""
        for i, variable in enumerate(self._own_variables()):
            store[str(i)] = variable.numpy()

    def load_own_variables(self, store: Any) -> None:
        """Read the layer's own variables from a mapping that `save_own_variables` filled.

        Raises:
            ValueError: it holds another number of variables.
        """
        variables = self._own_variables()
        if len(store.keys()) != len(variables):
            raise ValueError(
                f"Layer '{self.name}' expected {len(variables)} variables, but received "
                f"{len(store.keys())} variables during loading. Expected: "
                f"{[v.name for v in variables]}"
            )
        for i, variable in enumerate(variables):
            value = np.asarray(store[str(i)])
            variable.assign(value.astype(variable.dtype.np_dtype, copy=False))

    def count_params(self) -> int:
        """Number of scalars in the weights.

        Raises:
            ValueError: the layer is not built yet.
        """
        if not self.built:
            raise ValueError(
                "You tried to call `count_params` on layer "
                f"'{self.name}', but the layer isn't built. You can build it manually via: "
                "`layer.build(input_shape)`."
            )
        return sum(int(np.prod(tuple(v.shape), dtype=np.int64)) for v in self.weights)


def _is_layer(value: Any) -> bool:
    return isinstance(value, StatefulLayer)


_KERAS_2_ORDER = (
    "name", "shape", "dtype", "initializer", "regularizer", "trainable", "constraint",
)  # fmt: skip
