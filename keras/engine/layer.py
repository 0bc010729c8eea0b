"""Layer: weights, configuration and a `call`, with everything Keras does around it.

`Layer.__call__` converts and casts inputs, finds the training flag and the masks, builds the
layer on its first inputs, checks the input spec, calls, and collects losses and masks.  Called
on placeholders (`KerasTensor`) it records a node of a functional model instead.

Variables and sublayers are found by walking attributes (`tracking.py`).  The machinery's own
state lives in `_LayerState`, out of the walk's way.  The state part of the interface (weights,
their values) is in `layer_state.py`.
"""

from __future__ import annotations

import functools
import inspect
import warnings
from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops import nest
from ...ops.context import init_scope
from ...ops.errors import UntraceableError
from ...ops.tensor import Tensor
from .. import dtype_policies
from ..utils.naming import auto_name
from . import masks
from .call_signature import shapes_of, signature_of, tensor_arguments
from .context import current
from .input_spec import assert_input_compatibility
from .keras_tensor import KerasTensor
from .layer_state import LayerState, StatefulLayer
from .symbolic import infer_specs, map_shapes, placeholders_of_shapes, record_call

__all__ = ["Layer"]


class Layer(StatefulLayer):
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
        self = object.__new__(cls)
        object.__setattr__(self, "_engine", LayerState(args, kwargs))
        return self

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        if "build" in cls.__dict__:
            cls.build = _around_build(cls.__dict__["build"])

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
        self.supports_masking = False
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

    # -- dtypes ---------------------------------------------------------------------------

    @property
    def dtype(self) -> str:
        """Alias of `variable_dtype`."""
        return self.dtype_policy.variable_dtype

    @property
    def variable_dtype(self) -> str:
        """Name of the dtype of the weights."""
        return self.dtype_policy.variable_dtype

    @property
    def compute_dtype(self) -> str:
        """Name of the dtype of the computation."""
        return self.dtype_policy.compute_dtype

    # -- to be overridden -----------------------------------------------------------------

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

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The mask of the outputs; by default the inputs' mask."""
        return previous_mask

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
            outputs = self.compute_output_spec(placeholders_of_shapes(shapes, self.compute_dtype))
        return nest.map_structure(lambda t: t.shape, outputs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Placeholders for what `call` would return for these placeholders."""
        if not _is_default(self, "compute_output_shape"):
            return self._spec_from_shapes(args, kwargs)
        return infer_specs(
            self.call, args, kwargs, f'layer "{self.name}" (of type {type(self).__name__})'
        )

    def _spec_from_shapes(self, args: Any, kwargs: Any) -> Any:
        arguments = signature_of(type(self).call).bind(args, kwargs)
        shapes = {n: shapes_of(v) for n, v in tensor_arguments(arguments).items()}
        found = self.compute_output_shape(
            **_shape_arguments(type(self).compute_output_shape, shapes)
        )
        return map_shapes(lambda shape: KerasTensor(shape, self.compute_dtype), found)

    # -- calling --------------------------------------------------------------------------

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """The outputs for these inputs (or placeholders, given placeholders)."""
        engine = self._engine
        if not engine.initialized:
            self.name = ""  # raises the error that names the remedy
        signature = signature_of(type(self).call)
        args, kwargs, symbolic = self._converted(args, kwargs)
        if symbolic:
            return self._symbolic_call(signature, args, kwargs)

        entry, outer = current.entry, current.training
        training = self._resolve_training(signature, args, kwargs, outer)
        previous_mask = None
        if masks.any_mask():
            previous_mask = self._fill_masks(signature, args, kwargs)
        if entry is None:
            current.entry = self
            self._clear_losses()
        current.training = training
        try:
            if self.input_spec is not None and args:
                assert_input_compatibility(self.input_spec, args[0], self.name)
            if not self.built:
                self._build_on(signature.bind(args, kwargs))
                if self.input_spec is not None and args:
                    assert_input_compatibility(self.input_spec, args[0], self.name)
            outputs = self.call(*args, **kwargs)
        except Exception as error:
            _explain(error, self, signature, args, kwargs)
            raise
        finally:
            current.entry, current.training = entry, outer
        if self.activity_regularizer is not None:
            for output in nest.flatten(outputs):
                self.add_loss(self.activity_regularizer(output))
        if previous_mask is not None or not _is_default(self, "compute_mask"):
            self._mask_outputs(args, kwargs, outputs, previous_mask)
        return outputs

    def _converted(self, args: Any, kwargs: Any) -> tuple[Any, Any, bool]:
        """Arguments with arrays as tensors and floats cast; and whether any is symbolic."""
        dtype = self.compute_dtype if self.autocast else None
        symbolic = False

        def convert(leaf: Any) -> Any:
            nonlocal symbolic
            if isinstance(leaf, Tensor):
                have = leaf.dtype
                if dtype is not None and have.is_floating and have.name != dtype:
                    mask = masks.get_mask(leaf)
                    leaf = hr.cast(leaf, dtype)
                    masks.set_mask(leaf, mask)
            elif isinstance(leaf, KerasTensor):
                symbolic = True
            elif isinstance(leaf, (np.ndarray, np.generic)):
                if dtype is not None and leaf.dtype.kind == "f" and leaf.dtype.name != dtype:
                    leaf = hr.cast(hr.convert_to_tensor(leaf), dtype)
                else:
                    leaf = hr.convert_to_tensor(leaf)
            return leaf

        if args and isinstance(args[0], list) and _is_plain_numbers(args[0]):
            args = (np.asarray(hr.convert_to_tensor(args[0])), *args[1:])
        new_args = tuple(
            convert(a) if not isinstance(a, (list, tuple, dict)) else _map(convert, a) for a in args
        )
        if kwargs:
            kwargs = {
                k: convert(v) if not isinstance(v, (list, tuple, dict)) else _map(convert, v)
                for k, v in kwargs.items()
            }
        return new_args, kwargs, symbolic

    def _resolve_training(self, signature: Any, args: Any, kwargs: Any, outer: Any) -> Any:
        """Explicit flag, else the surrounding call's, else the default of `call`."""
        given = kwargs.get("training")
        if given is None and signature.has_training:
            index = signature.names.index("training") if "training" in signature.names else 99
            if index < len(args):
                return args[index] if args[index] is not None else outer
        training = given if given is not None else outer
        if signature.has_training:
            if training is None:
                training = signature.training_default
            kwargs["training"] = training
        elif "training" in kwargs and not signature.accepts_any:
            del kwargs["training"]
        return training

    def _fill_masks(self, signature: Any, args: Any, kwargs: Any) -> Any:
        """Put the masks that came with tensors into the mask arguments; the first one's mask."""
        tensors = tensor_arguments(signature.bind(args, kwargs))
        first = None
        for position, (name, value) in enumerate(tensors.items()):
            mask = masks.get_masks(value)
            if position == 0:
                first = mask
            if mask is None:
                continue
            key = "mask" if position == 0 and signature.has_mask else f"{name}_mask"
            if key in signature.all_names and kwargs.get(key) is None:
                index = signature.names.index(key) if key in signature.names else len(args)
                if index >= len(args):
                    kwargs[key] = mask
        if first is None and tensors and kwargs.get("mask") is not None:
            first = kwargs["mask"]
        return first

    def _mask_outputs(self, args: Any, kwargs: Any, outputs: Any, previous_mask: Any) -> None:
        if self.supports_masking:
            flat = nest.flatten(outputs)
            if not any(masks.get_mask(t) is not None for t in flat):
                inputs = args[0] if args else next(iter(kwargs.values()), None)
                masks.set_masks(outputs, self.compute_mask(inputs, previous_mask))
        elif previous_mask is not None:
            warnings.warn(
                f"Layer '{self.name}' (of type {type(self).__name__}) was passed an input with a "
                "mask attached to it. However, this layer does not support masking and will "
                "therefore destroy the mask information. Downstream layers will not see the "
                "mask.",
                stacklevel=3,
            )

    def _symbolic_call(self, signature: Any, args: Any, kwargs: Any) -> Any:
        entry, outer = current.entry, current.training
        recorded = dict(kwargs)
        if not signature.has_training and not signature.accepts_any:
            kwargs.pop("training", None)
        if self.input_spec is not None and args:
            assert_input_compatibility(self.input_spec, args[0], self.name)
        current.entry = entry or self
        current.training = kwargs.get("training", outer)
        try:
            if not self.built:
                self._build_on(signature.bind(args, kwargs))
                if self.input_spec is not None and args:
                    assert_input_compatibility(self.input_spec, args[0], self.name)
            outputs = self.compute_output_spec(*args, **kwargs)
        except Exception as error:
            _explain(error, self, signature, args, kwargs)
            raise
        finally:
            current.entry, current.training = entry, outer
        if entry is None:
            self._clear_losses()
        return record_call(self, args, recorded, outputs)

    def _build_on(self, arguments: dict[str, Any]) -> None:
        """Build for the shapes of these arguments."""
        shapes = {name: shapes_of(value) for name, value in tensor_arguments(arguments).items()}
        if _is_default(self, "build") or not shapes:
            self.built = True
            return
        self.build(**_shape_arguments(type(self).build, shapes))

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

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, JSON-ready; a subclass adds its own to the base's."""
        config: dict[str, Any] = {
            "name": self.name,
            "trainable": self._trainable,
            "dtype": dtype_policies.serialize(self.dtype_policy),
        }
        if self.activity_regularizer is not None:
            from .serialization import serialize_keras_object

            config["activity_regularizer"] = serialize_keras_object(self.activity_regularizer)
        if self._engine.input_shape is not None:
            config["batch_input_shape"] = self._engine.input_shape
        if not _is_default(self, "__init__") and _is_default(self, "get_config"):
            config.update(self._engine.init_arguments(type(self)))
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        """A new layer with the configuration that `get_config` gave."""
        from .serialization import deserialize_keras_object

        config = dict(config)
        dtype = config.get("dtype")
        if isinstance(dtype, dict):
            config["dtype"] = dtype_policies.deserialize(dtype)
        for key, value in config.items():
            if isinstance(value, dict) and "class_name" in value and key not in _OWN_DESERIALIZERS:
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
        return f"<{type(self).__name__} name={self.name}, built={self.built}>"


# Arguments whose own `get` functions take config dictionaries.
_OWN_DESERIALIZERS = frozenset({"config"})


def _around_build(build: Any) -> Any:
    """`build`, run eagerly even while tracing, noting its shapes and that it has run."""
    if getattr(build, "_is_wrapped_build", False):
        return build
    names = signature_of(build).names

    @functools.wraps(build)
    def wrapped(self: Any, *args: Any, **kwargs: Any) -> Any:
        with init_scope():
            result = build(self, *args, **kwargs)
        shapes = {**dict(zip(names, args, strict=False)), **kwargs}
        self._engine.build_shapes = shapes
        self.built = True
        return result

    wrapped._is_wrapped_build = True  # type: ignore[attr-defined]
    return wrapped


@functools.lru_cache(maxsize=8192)
def _same(cls: type, method: str) -> bool:
    return getattr(cls, method) is getattr(Layer, method)


def _is_default(layer: Layer, method: str) -> bool:
    """Whether the layer's class has not overridden `method`."""
    return _same(type(layer), method)


def _shape_arguments(function: Any, shapes: dict[str, Any]) -> dict[str, Any]:
    """The shapes as keyword arguments of `build` or `compute_output_shape`.

    A function with one parameter gets the first input's shape; several are matched by name:
    ``query_shape`` is the shape of the argument ``query``.
    """
    signature = signature_of(function)
    if len(signature.names) == 1 and not signature.accepts_any:
        return {signature.names[0]: next(iter(shapes.values()))}
    matched = {
        f"{name}_shape": shape
        for name, shape in shapes.items()
        if f"{name}_shape" in signature.all_names or signature.accepts_any
    }
    if signature.names and signature.names[0] not in matched:
        matched[signature.names[0]] = next(iter(shapes.values()))
    return matched


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


def _is_plain_numbers(value: list[Any]) -> bool:
    while isinstance(value, list) and value:
        value = value[0]
    return isinstance(value, (bool, int, float, str, bytes))


def _as_shapes(value: Any) -> Any:
    return map_shapes(tuple, value)


def _map(function: Any, structure: Any) -> Any:
    from .symbolic import map_leaves

    return map_leaves(function, structure)


def _single(nodes: list[Any], layer: Layer, what: str) -> Any:
    if len(nodes) != 1:
        problem = "has never been called" if not nodes else "has multiple inbound nodes"
        raise AttributeError(
            f"The layer {layer.name} {problem} and thus has no defined {what}."
        )
    return nodes[0]


def _explain(error: Exception, layer: Layer, signature: Any, args: Any, kwargs: Any) -> None:
    """Note on the error which layer raised it and what it received; once, innermost."""
    if isinstance(error, UntraceableError) or getattr(error, "_layer_noted", False):
        return
    try:
        error._layer_noted = True  # type: ignore[attr-defined]
    except AttributeError:
        return
    lines = [
        f"  • {name}={_described(value)}" for name, value in signature.bind(args, kwargs).items()
    ]
    cls = type(layer).__name__
    error.add_note(
        f"Exception encountered when calling {cls}.call() of layer "
        f'"{layer.name}".\n\nArguments received by {cls}.call():\n' + "\n".join(lines)
    )


def _described(value: Any) -> str:
    if isinstance(value, (Tensor, KerasTensor)):
        dtype = getattr(value.dtype, "name", value.dtype)
        return f"{type(value).__name__}(shape={value.shape}, dtype={dtype})"
    if isinstance(value, (list, tuple)):
        return f"[{', '.join(_described(v) for v in value)}]"
    if isinstance(value, dict):
        return f"{{{', '.join(f'{k!r}: {_described(v)}' for k, v in value.items())}}}"
    return inspect.cleandoc(repr(value))[:200]
