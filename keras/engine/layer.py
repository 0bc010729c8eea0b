"""Layer: weights, configuration and a `call`, with everything Keras does around it.

The class is made in three floors: state (`layer_state.py`), the call protocol
(`layer_call.py`), and here the constructor, the methods to override and the configuration.
The machinery's own state lives in `LayerState`, out of the way of the walk that finds variables
and sublayers among the attributes (`tracking.py`).
"""

from __future__ import annotations

import functools
from typing import Any

from ...ops import nest
from ...ops.context import init_scope
from .. import dtype_policies
from ..utils.naming import auto_name
from .call_signature import signature_of
from .context import current
from .layer_call import CallableLayer, default, is_default
from .layer_state import LayerState
from .serialization import deserialize_keras_object, serialize_keras_object
from .symbolic import infer_specs, map_shapes, placeholders_of_shapes

__all__ = ["Layer"]


class Layer(CallableLayer):
    """The base of all layers: subclass it, create weights in `build`, compute in `call`.

    Args:
        activity_regularizer: regularizer of the outputs, an instance or a name.
        trainable: whether the weights are to be trained.
        dtype: a dtype name or a `DTypePolicy`.
        autocast: whether floating inputs are cast to the compute dtype.
        name: a name; made from the class's name if None.
        **kwargs: ``input_shape`` (without batch), ``batch_input_shape``, ``batch_size`` or
            ``input_dim``, as in Keras 2.

    >>> class Scale(Layer):
    ...     def build(self, input_shape):
    ...         self.factor = self.add_weight(shape=(), initializer="ones", name="factor")
    ...     def call(self, inputs):
    ...         return inputs * self.factor
    """

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """An object that already has its `LayerState`, with the constructor's arguments."""
        self = object.__new__(cls)
        object.__setattr__(self, "_engine", LayerState(args, kwargs))
        return self

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            setattr(cls, "build", _around_build(cls.__dict__["build"]))  # noqa: B010

    def __init__(
        self,
        *,
        activity_regularizer: Any = None,
        trainable: bool = True,
        dtype: Any = None,
        autocast: bool = True,
        name: str | None = None,
        **kwargs: Any,
    ):
        engine = self._engine
        engine.initialized = True
        engine.input_shape = _input_shape_argument(kwargs)
        if kwargs:
            raise ValueError(
                f"Unrecognized keyword arguments passed to {type(self).__name__}: {kwargs}"
            )
        if name is not None and not isinstance(name, str):
            raise ValueError(f"Argument `name` must be a string. Received: name={name!r}")
        if name is not None and "/" in name:
            raise ValueError(
                f"Argument `name` must be a string and cannot contain character `/`. "
                f"Received: name={name!r} (of type {type(name)})"
            )
        self.name = name or auto_name(type(self).__name__)
        self.dtype_policy = dtype_policies.get(dtype)
        self.autocast = autocast
        self.activity_regularizer = _regularizer(activity_regularizer)
        self._trainable = bool(trainable)
        self.supports_masking = not is_default(self, "compute_mask")
        self.input_spec: Any = None
        self.stateful = False
        self.built = False

    def __setattr__(self, name: str, value: Any) -> None:
        if not self._engine.initialized:
            raise RuntimeError(
                f"In layer '{type(self).__name__}', you forgot to call `super().__init__()` as "
                "the first statement in the `__init__()` method. Go add it!"
            )
        self._track(name, value)
        object.__setattr__(self, name, value)
        waiting = self.__dict__.get("_waiting_restores")
        if waiting is not None:
            waiting.noticed(name, value)

    # -- to be overridden -----------------------------------------------------------------

    @default
    def build(self, input_shape: Any) -> None:
        """Create the weights; called once, before the first `call`.

        Args:
            input_shape: shape of the first input (tuple, None for unknown sizes).
        """
        self.built = True

    def call(self, *args: Any, **kwargs: Any) -> Any:
        """The computation."""
        raise NotImplementedError(
            f"Layer {type(self).__name__} does not have a `call()` method implemented."
        )

    @default
    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the outputs; by default the inputs' mask."""
        return previous_mask

    @default
    def compute_output_shape(self, *args: Any, **kwargs: Any) -> Any:
        """The shape(s) of the outputs for given input shape(s); by default found by tracing."""
        shapes = kwargs if kwargs and not args else args[0]
        if kwargs and not args:
            inputs = {
                key.removesuffix("_shape"): placeholders_of_shapes(value, self.compute_dtype)
                for key, value in shapes.items()
            }
            outputs = self.compute_output_spec(**inputs)
        else:
            outputs = self.compute_output_spec(
                placeholders_of_shapes(shapes, self.compute_dtype)
            )
        return nest.map_structure(lambda t: t.shape, outputs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Placeholders for what `call` would return for these placeholders."""
        if not is_default(self, "compute_output_shape"):
            return self._spec_from_shapes(args, kwargs)
        return infer_specs(
            self.call, args, kwargs, f'layer "{self.name}" (of type {type(self).__name__})'
        )

    # -- functional attributes ------------------------------------------------------------

    @property
    def input(self) -> Any:
        """The placeholder(s) the layer was called on, if it was called once.

        Raises:
            AttributeError: it was never called on placeholders.
        """
        node = _single(self._engine.nodes, self, "input")
        return node.args[0] if node.args else node.inputs

    @property
    def output(self) -> Any:
        """The placeholder(s) the layer returned, if it was called once.

        Raises:
            AttributeError: it was never called on placeholders.
        """
        return _single(self._engine.nodes, self, "output").outputs

    # -- configuration --------------------------------------------------------------------

    @default
    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-ready; a subclass adds its own to the base's."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        if self.activity_regularizer is not None:
            config["activity_regularizer"] = serialize_keras_object(self.activity_regularizer)
        if self._engine.input_shape is not None:
            config["batch_input_shape"] = self._engine.input_shape
        if type(self).__init__ is not Layer.__init__ and is_default(self, "get_config"):
            config.update(self._engine.init_arguments(type(self)))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer with the configuration that `get_config` gave."""
        config = dict(config)
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            config["dtype"] = dtype_policies.deserialize(dtype)
        for key, value in config.items():
            if (
                isinstance(value, dict)
                and "class_name" in value
                and key not in _OWN_DESERIALIZERS
            ):
                config[key] = deserialize_keras_object(value)
        try:
            return cls(**config)
        except TypeError as e:
            raise TypeError(
                f"Error when deserializing class '{cls.__name__}' using config={config}.\n\n"
                f"Exception encountered: {e}"
            ) from e

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build` was called with, or None."""
        shapes = self._engine.build_shapes
        if not shapes:
            return None
        if len(shapes) == 1:
            return {"input_shape": next(iter(shapes.values()))}
        return {"shapes_dict": dict(shapes)}

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as `get_build_config` recorded."""
        if "input_shape" in config:
            self.build(_as_shapes(config["input_shape"]))
        elif "shapes_dict" in config:
            self.build(**{k: _as_shapes(v) for k, v in config["shapes_dict"].items()})

    def __repr__(self) -> str:
        state = self.__dict__
        return f"<{type(self).__name__} name={state.get('name')}, built={state.get('built')}>"


# Arguments whose own `get` functions take config dictionaries.
_OWN_DESERIALIZERS = frozenset({"config"})


def _around_build(build: Any) -> Any:
    """`build`, run eagerly even while tracing, noting its shapes and that it has run."""
    if getattr(build, "_is_wrapped_build", False):
        return build
    names = signature_of(build).names

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        around = current.inner
        if self._engine.path is None:
            self._engine.note_path(self, around)
        current.inner = self
        try:
            with init_scope():
                result = build(self, *args, **kwargs)
        finally:
            current.inner = around
        shapes = {**dict(zip(names, args, strict=False)), **kwargs}
        self._engine.build_shapes = shapes
        self.built = True
        return result

    wrapped._is_wrapped_build = True  # type: ignore[attr-defined]
    return wrapped


def _regularizer(identifier: Any) -> Any:
    if identifier is None:
        return None
    from .. import regularizers  # regularizers need serialization, which this package holds

    return regularizers.get(identifier)


def _input_shape_argument(kwargs: dict[str, Any]) -> Any:
    """Keras 2's ``input_shape`` family as one batch shape, removed from `kwargs`."""
    batch_size = kwargs.pop("batch_size", None)
    dim = kwargs.pop("input_dim", None)
    shape = kwargs.pop("input_shape", None)
    batch_shape = kwargs.pop("batch_input_shape", None) or kwargs.pop("batch_shape", None)
    if batch_shape is not None:
        return tuple(batch_shape)
    if shape is None and dim is not None:
        shape = (dim,)
    if shape is None:
        return None
    return (batch_size, *((shape,) if isinstance(shape, int) else shape))


def _as_shapes(value: Any) -> Any:
    return map_shapes(tuple, value)


def _single(nodes: list[Any], layer: Layer, what: str) -> Any:
    if len(nodes) != 1:
        problem = "has never been called" if not nodes else "has multiple inbound nodes"
        raise AttributeError(
            f"The layer {layer.name} {problem} and thus has no defined {what}."
        )
    return nodes[0]
