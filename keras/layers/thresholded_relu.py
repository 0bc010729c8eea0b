"""ThresholdedReLU, a layer of Keras 2."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.layer import Layer

__all__ = ["ThresholdedReLU"]


class ThresholdedReLU(Layer):
    """The inputs above a threshold, 0 elsewhere.

    Args:
        theta: the threshold, at least 0.
        **kwargs: see `Layer`.
    """

    def __init__(self, theta: float = 1.0, **kwargs: Any):
        super().__init__(**kwargs)
        if theta is None or theta < 0:
            raise ValueError(
                f"The theta value of a Thresholded ReLU layer should be >=0. Received: {theta}"
            )
        self.supports_masking = True
        self.theta = float(theta)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs, those up to `theta` set to 0."""
        return inputs * hr.cast(inputs > hr.cast(self.theta, inputs.dtype), inputs.dtype)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The input's shape."""
        return input_shape

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "theta": self.theta}
