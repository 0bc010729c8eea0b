"""Small layers: Identity, Lambda, Masking, Rescaling."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np

from ...ops import api as hr, nest
from ..engine.keras_tensor import KerasTensor
from ..engine.layer import Layer
from ..engine.masks import set_mask
from ..engine.serialization import deserialize_keras_object, serialize_keras_object

__all__ = ["Identity", "Lambda", "Masking", "Rescaling"]


class Identity(Layer):
    """Passes its input on."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs."""
        return inputs

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> Any:
        """Placeholders like the inputs."""
        return nest.map_structure(lambda x: KerasTensor(x.shape, x.dtype), inputs)


class Lambda(Layer):
    """A Python function as a layer.

    Args:
        function: called with the inputs and, if it names them, `mask` and `training`.
        output_shape: the output's shape without the batch, or a function of the input's shape;
            found by tracing if None.
        mask: the output's mask, or a function of inputs and mask.
        arguments: further keyword arguments of `function`.
        **kwargs: see `Layer`.
    """

    def __init__(
        self,
        function: Any,
        output_shape: Any = None,
        mask: Any = None,
        arguments: dict[str, Any] | None = None,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.arguments = arguments or {}
        self.function = function
        self.supports_masking = mask is not None
        self.mask = mask
        self._output_shape = output_shape
        try:
            names = inspect.signature(function).parameters
        except (TypeError, ValueError):
            names = {}
        self._extra = tuple(n for n in ("mask", "training") if n in names)

    def call(self, inputs: Any, mask: Any = None, training: Any = None) -> Any:
        """The function of the inputs."""
        given = {"mask": mask, "training": training}
        extra = {name: given[name] for name in self._extra}
        return self.function(inputs, **{**self.arguments, **extra})

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The given mask, or what the given function makes of it."""
        return self.mask(inputs, mask) if callable(self.mask) else self.mask

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The given output shape, or the one found by tracing."""
        if self._output_shape is None:
            return Layer.compute_output_shape(self, input_shape)
        if callable(self._output_shape):
            return self._output_shape(input_shape)
        batch = input_shape
        while isinstance(batch, list | tuple) and batch and isinstance(batch[0], list | tuple):
            batch = batch[0]
        return (batch[0], *tuple(self._output_shape))

    def compute_output_spec(self, inputs: Any, *args: Any, **kwargs: Any) -> Any:
        """Placeholders of the output's shape, found by tracing unless it was given."""
        if self._output_shape is None:
            return _traced_spec(self, inputs, *args, **kwargs)
        shape = self.compute_output_shape(nest.map_structure(lambda x: tuple(x.shape), inputs))
        return KerasTensor(shape, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments; Python lambdas as their byte code."""
        config = {"function": serialize_keras_object(self.function)}
        if self._output_shape is not None:
            shape = self._output_shape
            config["output_shape"] = serialize_keras_object(shape) if callable(shape) else shape
        if self.mask is not None:
            config["mask"] = serialize_keras_object(self.mask)
        config["arguments"] = serialize_keras_object(self.arguments)
        return {**super().get_config(), **config}

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: Any = None, safe_mode: bool | None = None
    ) -> Layer:
        """The layer that `config` describes.

        Raises:
            ValueError: it holds a Python lambda and `safe_mode` is not False.
        """
        config = dict(config)
        for key in ("function", "output_shape", "mask", "arguments", "dtype"):
            if isinstance(config.get(key), dict):
                config[key] = deserialize_keras_object(
                    config[key], custom_objects=custom_objects, safe_mode=safe_mode is not False
                )
        if isinstance(config.get("output_shape"), list):
            config["output_shape"] = tuple(config["output_shape"])
        return cls(**config)


def _traced_spec(layer: Layer, *args: Any, **kwargs: Any) -> Any:
    from ..engine.symbolic import infer_specs

    return infer_specs(
        layer.call, args, kwargs, f'layer "{layer.name}" (of type {type(layer).__name__})'
    )


class Masking(Layer):
    """Masks the time steps whose features all equal `mask_value`, and sets them to 0.

    Args:
        mask_value: of the steps to be skipped.
        **kwargs: see `Layer`.
    """

    def __init__(self, mask_value: Any = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        if isinstance(mask_value, dict):
            mask_value = deserialize_keras_object(mask_value)
        self.mask_value = mask_value
        self.supports_masking = True
        self.built = True

    def _valid(self, inputs: Any, keepdims: bool) -> Any:
        differs = hr.not_equal(inputs, hr.cast(self.mask_value, inputs.dtype))
        return hr.reduce_any(differs, axis=-1, keepdims=keepdims)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where any feature differs from `mask_value`."""
        return self._valid(inputs, keepdims=False)

    def call(self, inputs: Any) -> Any:
        """The inputs, masked steps set to 0."""
        valid = self._valid(inputs, keepdims=True)
        out = hr.where(valid, inputs, hr.zeros_like(inputs))
        set_mask(out, hr.squeeze(valid, axis=-1))
        return out

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "mask_value": self.mask_value}


class Rescaling(Layer):
    """``inputs * scale + offset``, in the compute dtype; integers are cast.

    Args:
        scale: number or array.
        offset: number or array.
        **kwargs: see `Layer`.

    >>> Rescaling(1 / 255)(hr.constant([[0, 255]])).numpy()
    array([[0., 1.]], dtype=float32)
    """

    def __init__(self, scale: Any, offset: Any = 0.0, **kwargs: Any):
        super().__init__(**kwargs)
        self.scale = scale
        self.offset = offset
        self.supports_masking = True
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs, scaled."""
        dtype = hr.as_dtype(self.compute_dtype)
        scale, offset = np.asarray(self.scale), np.asarray(self.offset)
        scaled = hr.cast(inputs, dtype) * hr.constant(scale.astype(dtype.np_dtype))
        return scaled + hr.constant(offset.astype(dtype.np_dtype))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The input's shape."""
        return tuple(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "scale": serialize_keras_object(self.scale),
            "offset": serialize_keras_object(self.offset),
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Layer:
        """The layer that `config` describes."""
        config = dict(config)
        for key in ("scale", "offset", "dtype"):
            config[key] = deserialize_keras_object(config[key], custom_objects=custom_objects)
        return cls(**config)
