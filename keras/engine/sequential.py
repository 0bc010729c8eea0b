"""Sequential: a stack of layers, built on the first input or from an `Input`."""

from __future__ import annotations

from typing import Any

from . import masks
from .call_signature import is_tensor_like, shapes_of
from .context import current
from .function_graph import FunctionGraph
from .input_layer import Input, InputLayer
from .keras_tensor import KerasTensor
from .layer import Layer
from .model import Model
from .registry import CustomObjectScope
from .serialization import deserialize_keras_object, serialize_keras_object
from .symbolic import infer_specs, is_shape

__all__ = ["Sequential"]


class Sequential(Model):
    """Layers that feed each other in turn.

    Args:
        layers: the layers, optionally led by an `Input`.
        trainable: whether they are trained.
        name: the model's name.

    >>> from headrace import keras
    >>> model = Sequential([keras.layers.Dense(8, activation="relu"), keras.layers.Dense(1)])
    >>> len(model.layers), model.built
    (2, False)
    """

    def __init__(self, layers: Any = None, trainable: bool = True, name: str | None = None):
        super().__init__(trainable=trainable, name=name)
        self._stack: list[Any] = []
        self._input_layer: Any = None
        self._given_input_dtype: str | None = None
        self.supports_masking = True
        for layer in layers or ():
            self.add(layer, rebuild=False)
        self._try_build()

    def add(self, layer: Any, rebuild: bool = True) -> None:
        """Put `layer` on top.

        Raises:
            ValueError: it is no layer, its name is taken, or an `Input` comes late.
        """
        if isinstance(layer, KerasTensor):
            layer = layer._keras_history[0]
        if not isinstance(layer, Layer):
            if not callable(layer):
                raise ValueError(
                    "Only instances of `keras.Layer` can be added to a Sequential model. "
                    f"Received: {layer} (of type {type(layer)})"
                )
            from ..layers import Lambda  # layers are built on this package

            layer = Lambda(layer)
        if isinstance(layer, InputLayer):
            if self._stack or self._input_layer is not None:
                raise ValueError(
                    f"Sequential model '{self.name}' has already been configured to use input "
                    "shape "
                    f"{self._input_layer.batch_shape if self._input_layer else None}. You "
                    "cannot add a different Input layer to it."
                )
            self._input_layer = layer
        else:
            if any(layer.name == other.name for other in self._stack):
                raise ValueError(
                    "All layers added to a Sequential model should have unique names. Name "
                    f"'{layer.name}' is already the name of a layer in this model. Update the "
                    "`name` argument to pass a unique name."
                )
            shape = layer._engine.input_shape
            if not self._stack and self._input_layer is None and shape is not None:
                self._input_layer = InputLayer(batch_shape=shape)
            self._stack.append(layer)
        self._forget()
        if rebuild:
            self._try_build()

    def pop(self, rebuild: bool = True) -> Any:
        """Remove and return the top layer."""
        if not self._stack:
            raise TypeError("There are no layers in the model.")
        layer = self._stack.pop()
        self._forget()
        if rebuild:
            self._try_build()
        return layer

    def _forget(self) -> None:
        self._graph = None
        self.input_spec = None
        self.built = False
        self._reset_functions()

    def _try_build(self) -> None:
        """Build as soon as the input's shape is known."""
        if self._input_layer is None or not self._stack:
            return
        inputs = x = self._input_layer.output
        around = current.inner
        if self._engine.path is None:
            self._engine.note_path(self, around)
        current.inner = self
        try:
            for layer in self._stack:
                x = layer(x)
        finally:
            current.inner = around
        self._set_graph(FunctionGraph(inputs, x, self.name))
        self.input_spec = None  # sizes other than the first input's are the layers' affair

    def build(self, input_shape: Any = None) -> None:
        """Create the weights for inputs of this batch shape."""
        if self._graph is not None or input_shape is None:
            return
        if not is_shape(input_shape):
            raise ValueError(
                f"Sequential model '{self.name}' can only be built on one input shape. "
                f"Received: input_shape={input_shape}"
            )
        if not self._stack:
            raise ValueError(
                f"Sequential model {self.name} cannot be built because it has no layers. Call "
                "`model.add(layer)`."
            )
        self._input_layer = Input(
            batch_shape=tuple(input_shape), dtype=self._given_input_dtype or self.compute_dtype
        )._keras_history[0]
        try:
            self._try_build()
        except NotImplementedError:  # a layer's shapes cannot be found: run without a graph
            self._input_layer = None

    def _build_on(self, arguments: dict[str, Any]) -> None:
        """Build for the shape and, so that ids stay integers, the dtype of the first input."""
        inputs = arguments.get("inputs")
        if inputs is not None and is_tensor_like(inputs):
            self._given_input_dtype = getattr(inputs.dtype, "name", inputs.dtype)
            shape = shapes_of(inputs)
            self.build((None, *shape[1:]) if shape else shape)
        self.built = True

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The top layer's output."""
        if mask is not None:
            masks.set_masks(inputs, mask)
        if self._graph is not None:
            return self._graph.run(inputs)
        x = inputs
        for layer in self._stack:
            x = layer(x)
        return x

    def compute_output_spec(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """A placeholder for what `call` would return."""
        if self._graph is not None and inputs.shape[1:] == self._graph.flat_inputs[0].shape[1:]:
            out = self._graph.flat_outputs[0]
            return KerasTensor((inputs.shape[0], *out.shape[1:]), out.dtype)
        return infer_specs(self.call, (inputs,), {}, f'model "{self.name}"')

    @property
    def layers(self) -> list[Any]:
        """The layers, without the input layer."""
        return list(self._stack)

    def _sublayers(self) -> list[Any]:
        return list(self._stack)

    def get_config(self) -> dict[str, Any]:
        """The layers' configs."""
        layers = [self._input_layer] if self._input_layer is not None else []
        config = Layer.get_config(self) if type(self).__init__ is Sequential.__init__ else {}
        config = {k: v for k, v in config.items() if k in ("name", "trainable", "dtype")}
        config["name"] = self.name
        config["layers"] = [serialize_keras_object(layer) for layer in [*layers, *self._stack]]
        if self._graph is not None:
            config["build_input_shape"] = self._graph.flat_inputs[0].shape
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A new model with these layers."""
        if "layers" not in config:
            return super().from_config(config)
        model = cls(name=config.get("name"))
        with CustomObjectScope(custom_objects):
            for described in config["layers"]:
                model.add(deserialize_keras_object(described), rebuild=False)
        shape = config.get("build_input_shape")
        if model._input_layer is None and shape is not None and model._stack:
            model.build(tuple(shape))
        model._try_build()
        if not config.get("trainable", True):
            model.trainable = False
        return model

    def get_build_config(self) -> dict[str, Any] | None:
        """The input shape, or None before the model is built."""
        if self._graph is None:
            return None
        return {"input_shape": self._graph.flat_inputs[0].shape}
