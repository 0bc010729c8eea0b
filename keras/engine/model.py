"""Model: a layer with training, saving and a summary.

A model is given by subclassing (layers in ``__init__``, computation in ``call``), by
placeholders (``Model(inputs, outputs)``: then it holds a `FunctionGraph` and runs that), or as
a `Sequential`.
"""

from __future__ import annotations

import json
from typing import Any, ClassVar

from ...ops import nest
from ..saving.model_file import save_model
from ..saving.weights_file import load_weights, save_weights
from . import masks
from .call_signature import shapes_of, tensor_arguments
from .function_graph import FunctionGraph
from .functional_config import graph_config, graph_from_config
from .keras_tensor import KerasTensor
from .layer import Layer
from .registry import CustomObjectScope
from .serialization import deserialize_keras_object, serialize_keras_object
from .summary import print_summary
from .symbolic import infer_specs, map_shapes, placeholders_of_shapes
from .trainer import Trainer

__all__ = ["Model", "model_from_config", "model_from_json"]


class Model(Trainer, Layer):
    """A layer that can be compiled, fitted, evaluated and saved.

    Args:
        inputs: placeholder(s) to start from (functional models).
        outputs: placeholder(s) to compute (functional models).
        name: the model's name.
        **kwargs: further arguments of `Layer`.

    >>> from headrace import keras
    >>> inputs = keras.Input((4,))
    >>> model = keras.Model(inputs, keras.layers.Dense(2)(inputs))
    >>> model.output_shape
    (None, 2)
    """

    _functional_class: ClassVar[Any] = None

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        """A `Functional` where placeholders are given to `Model` itself."""
        if cls is Model and _is_functional(args, kwargs):
            cls = cls._functional_class
        return Layer.__new__(cls, *args, **kwargs)

    def __init__(self, *args: Any, **kwargs: Any):
        functional = _is_functional(args, kwargs)
        if functional:
            names = ("inputs", "outputs", "name", "trainable")
            kwargs = {**dict(zip(names, args, strict=False)), **kwargs}
            args = ()
        inputs, outputs = kwargs.pop("inputs", None), kwargs.pop("outputs", None)
        Layer.__init__(self, *args, **kwargs)
        Trainer.__init__(self)
        self._graph: FunctionGraph | None = None
        if functional:
            self._set_graph(FunctionGraph(inputs, outputs, self.name))

    def _set_graph(self, graph: FunctionGraph) -> None:
        self._graph = graph
        self.input_spec = graph.input_specs()
        self.supports_masking = True
        self.built = True

    # -- computation ----------------------------------------------------------------------

    def call(self, inputs: Any, training: Any = None, mask: Any = None) -> Any:
        """The outputs; subclasses override it."""
        if self._graph is None:
            raise NotImplementedError(
                f"Model {type(self).__name__} does not have a `call()` method implemented."
            )
        if mask is not None:
            masks.set_masks(inputs, mask)
        return self._graph.run(inputs)

    def compute_output_spec(self, *args: Any, **kwargs: Any) -> Any:
        """Placeholders for what `call` would return for these placeholders."""
        if self._graph is None or type(self).call is not Model.call:
            return super().compute_output_spec(*args, **kwargs)
        inputs = args[0] if args else kwargs["inputs"]
        same = [
            isinstance(given, KerasTensor) and given.shape[1:] == wanted.shape[1:]
            for given, wanted in zip(
                self._graph.standardize(inputs), self._graph.flat_inputs, strict=False
            )
        ]
        if all(same):
            batch = nest.flatten(inputs)[0].shape[0]
            return nest.map_structure(
                lambda t: KerasTensor((batch, *t.shape[1:]), t.dtype), self._graph.outputs
            )
        return infer_specs(self.call, args, kwargs, f'model "{self.name}"')

    def compute_mask(self, inputs: Any, previous_mask: Any = None) -> Any:
        """The outputs' masks; a graph's layers set them while it runs."""
        return None if self._graph is not None else previous_mask

    def _mask_specs(self, inputs: Any, previous_mask: Any) -> Any:
        if self._graph is None:
            return super()._mask_specs(inputs, previous_mask)
        masks_of = [t.mask for t in self._graph.flat_outputs]
        if all(m is None for m in masks_of):
            return None
        fresh = [None if m is None else KerasTensor(m.shape, m.dtype) for m in masks_of]
        return nest.pack_sequence_as(self._graph.outputs, fresh)

    def build(self, input_shape: Any = None) -> None:
        """Create the weights for inputs of this batch shape (or nested shapes).

        Raises:
            ValueError: the model cannot be traced on such inputs.
        """
        if self.built or input_shape is None:
            self.built = True
            return
        placeholders = placeholders_of_shapes(input_shape, self.compute_dtype)
        infer_specs(self.call, (placeholders,), {}, f'model "{self.name}"')

    def _build_on(self, arguments: dict[str, Any]) -> None:
        """A subclassed model needs no build step: its layers build themselves when called."""
        if type(self).build is Model.build and self._graph is None:
            shapes = {n: shapes_of(v) for n, v in tensor_arguments(arguments).items()}
            self._engine.build_shapes = {"input_shape": next(iter(shapes.values()), None)}
            self.built = True
            return
        super()._build_on(arguments)

    # -- structure ------------------------------------------------------------------------

    @property
    def layers(self) -> list[Any]:
        """The layers held directly."""
        return self._sublayers()

    def _sublayers(self) -> list[Any]:
        if self._graph is None:
            return super()._sublayers()
        graph = [layer for layer in self._graph.layers if isinstance(layer, Layer)]
        known = {id(layer) for layer in graph}
        return [*graph, *(s for s in super()._sublayers() if id(s) not in known)]

    @property
    def inputs(self) -> list[KerasTensor] | None:
        """The input placeholders of a functional model, flat; else None."""
        return None if self._graph is None else self._graph.flat_inputs

    @property
    def outputs(self) -> list[KerasTensor] | None:
        """The output placeholders of a functional model, flat; else None."""
        return None if self._graph is None else self._graph.flat_outputs

    @property
    def input(self) -> Any:
        """The input placeholders of a functional model, nested."""
        return self._graph.inputs if self._graph is not None else super().input

    @property
    def output(self) -> Any:
        """The output placeholders of a functional model, nested."""
        return self._graph.outputs if self._graph is not None else super().output

    @property
    def input_shape(self) -> Any:
        """Shape(s) of the inputs of a functional model."""
        return nest.map_structure(lambda t: t.shape, self.input)

    @property
    def output_shape(self) -> Any:
        """Shape(s) of the outputs of a functional model."""
        return nest.map_structure(lambda t: t.shape, self.output)

    @property
    def input_names(self) -> list[str]:
        """Names of the inputs of a functional model."""
        return [t._keras_history[0].name for t in self.inputs or ()]

    @property
    def output_names(self) -> list[str] | None:
        """Names of the outputs of a functional model, else None."""
        return None if self._graph is None else self._graph.output_names()

    def get_layer(self, name: str | None = None, index: int | None = None) -> Any:
        """The layer with this name, or at this position of `layers`.

        Raises:
            ValueError: there is none, or both or neither argument is given.
        """
        if (name is None) == (index is None):
            raise ValueError(
                f"Provide either a layer name or a layer index. Received: index={index}, "
                f"name={name}"
            )
        if index is not None:
            if index >= len(self.layers):
                raise ValueError(
                    f"Was asked to retrieve layer at index {index} but model only has "
                    f"{len(self.layers)} layers."
                )
            return self.layers[index]
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise ValueError(
            f"No such layer: {name}. Existing layers are: "
            f"{[layer.name for layer in self.layers]}."
        )

    def summary(
        self,
        line_length: int | None = None,
        positions: Any = None,
        print_fn: Any = None,
        expand_nested: bool = False,
        show_trainable: bool = False,
        layer_range: Any = None,
    ) -> None:
        """Print the table of layers, output shapes and parameter counts."""
        print_summary(self, line_length, print_fn, expand_nested, show_trainable, layer_range)

    # -- saving ---------------------------------------------------------------------------

    def save_weights(self, filepath: Any, overwrite: bool = True) -> None:
        """Write the weights (and the optimizer's state) to a ``.weights.h5`` file; to a path
        without ending, or with ``.ckpt``, as a checkpoint."""
        save_weights(self, filepath, overwrite=overwrite)

    def load_weights(self, filepath: Any, skip_mismatch: bool = False, **kwargs: Any) -> None:
        """Read weights that `save_weights` (Keras 3's, or tf.keras 2's) wrote."""
        load_weights(self, filepath, skip_mismatch=skip_mismatch, **kwargs)

    def save(self, filepath: Any, overwrite: bool = True, **kwargs: Any) -> None:
        """Write the whole model to a ``.keras`` file."""
        save_model(self, filepath, overwrite=overwrite, **kwargs)

    def to_json(self, **kwargs: Any) -> str:
        """The architecture as JSON text; keyword arguments go to `json.dumps`."""
        return json.dumps(serialize_keras_object(self), **kwargs)

    # -- configuration --------------------------------------------------------------------

    def get_config(self) -> dict[str, Any]:
        """The architecture, JSON-ready."""
        if self._graph is None or type(self).__init__ is not Model.__init__:
            return Layer.get_config(self)
        config = {"name": self.name, "trainable": self._trainable}
        return {**config, **graph_config(self._graph)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """A new model with this architecture."""
        if "input_layers" in config and "layers" in config:
            with CustomObjectScope(custom_objects):
                inputs, outputs = graph_from_config(config, custom_objects)
            model = cls(inputs, outputs, name=config.get("name"))
            if not config.get("trainable", True):
                model.trainable = False
            return model
        return super().from_config(config)

    def get_build_config(self) -> dict[str, Any] | None:
        """What `build` was called with, or None."""
        if self._graph is not None:
            return {"input_shape": None}
        return super().get_build_config()

    def build_from_config(self, config: dict[str, Any]) -> None:
        """Build as `get_build_config` recorded."""
        shape = config.get("input_shape")
        if shape is not None and not self.built:
            self.build(map_shapes(tuple, shape))


def _is_functional(args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether constructor arguments are placeholders: ``(inputs, outputs, ...)``."""
    if "inputs" in kwargs and "outputs" in kwargs:
        return True
    if args and "outputs" in kwargs:
        return True
    return len(args) >= 2


def model_from_config(config: dict[str, Any], custom_objects: Any = None) -> Any:
    """The model that a serialized config describes."""
    return deserialize_keras_object(config, custom_objects=custom_objects)


def model_from_json(json_string: str, custom_objects: Any = None) -> Any:
    """The model that `Model.to_json` described."""
    return model_from_config(json.loads(json_string), custom_objects)
