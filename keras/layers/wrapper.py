"""Wrapper: a layer that holds another."""

from __future__ import annotations

from typing import Any

from ..engine.layer import Layer
from ..engine.serialization import deserialize_keras_object, serialize_keras_object

__all__ = ["Wrapper"]


class Wrapper(Layer):
    """The base of layers that add to what another layer does.

    Args:
        layer: the other layer.
        **kwargs: see `Layer`.
    """

    def __init__(self, layer: Any, **kwargs: Any):
        if not isinstance(layer, Layer):
            raise ValueError(
                f"Layer {layer} supplied to `{type(self).__name__}` must be an instance of "
                "`keras.layers.Layer`."
            )
        super().__init__(**kwargs)
        self.layer = layer

    def build(self, input_shape: Any = None) -> None:
        """Build the other layer."""
        if not self.layer.built:
            self.layer.build(input_shape)
        self.built = True

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "layer": serialize_keras_object(self.layer)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `config` describes."""
        config = dict(config)
        if isinstance(config.get("layer"), dict):
            config["layer"] = deserialize_keras_object(
                config["layer"], custom_objects=custom_objects
            )
        return super().from_config(config)
