"""SpectralNormalization: a layer whose kernel is kept at a largest singular value of 1."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from .. import initializers
from ..engine.input_spec import InputSpec
from .wrapper import Wrapper

__all__ = ["SpectralNormalization"]


class SpectralNormalization(Wrapper):
    """Divides a layer's kernel by its largest singular value before each training step.

    Miyato et al., 2018: power iteration, one step of which is made per call.

    Args:
        layer: with a `kernel` or `embeddings`.
        power_iterations: steps per call.
        **kwargs: see `Layer`.
    """

    def __init__(self, layer: Any, power_iterations: int = 1, **kwargs: Any):
        super().__init__(layer, **kwargs)
        if power_iterations <= 0:
            raise ValueError(
                "`power_iterations` should be greater than zero. Received: "
                f"`power_iterations={power_iterations}`"
            )
        self.power_iterations = power_iterations

    def build(self, input_shape: Any = None) -> None:
        """Build the layer, and the vector that the iteration starts from."""
        super().build(input_shape)
        self.input_spec = InputSpec(min_ndim=1, axes={-1: input_shape[-1]})
        kernel = self.kernel = self._kernel()
        self.vector_u = self.add_weight(
            shape=(1, kernel.shape[-1]),
            initializer=initializers.TruncatedNormal(stddev=0.02),
            trainable=False,
            name="vector_u",
            dtype=kernel.dtype,
        )

    def _kernel(self) -> Any:
        for name in ("kernel", "embeddings"):
            if hasattr(self.layer, name):
                return getattr(self.layer, name)
        raise ValueError(
            f"{type(self.layer).__name__} object has no attribute 'kernel' nor 'embeddings'"
        )

    def call(self, inputs: Any, training: Any = False) -> Any:
        """The layer's output; in training, after its kernel was divided."""
        if training:
            kernel = self._kernel()
            u, normal = self.normalized_weights()
            nothing = hr.reduce_all(hr.equal(kernel.read_value(), 0))
            self.vector_u.assign(hr.where(nothing, self.vector_u.read_value(), u))
            kernel.assign(hr.where(nothing, kernel.read_value(), normal))
        return hr.cast(self.layer(inputs), inputs.dtype)

    def normalized_weights(self) -> tuple[Any, Any]:
        """The iteration's vector after the call's steps, and the divided kernel."""
        kernel = self._kernel().read_value()
        weights = hr.reshape(kernel, [-1, kernel.shape[-1]])
        u = v = self.vector_u.read_value()
        for _ in range(self.power_iterations):
            v = hr.l2_normalize(hr.matmul(u, weights, transpose_b=True))
            u = hr.l2_normalize(hr.matmul(v, weights))
        u, v = hr.stop_gradient(u), hr.stop_gradient(v)
        sigma = hr.matmul(hr.matmul(v, weights), u, transpose_b=True)
        return u, hr.reshape(weights / sigma, kernel.shape)

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The layer's."""
        return self.layer.compute_output_shape(input_shape)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "power_iterations": self.power_iterations}
