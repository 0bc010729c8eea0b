"""GroupNormalization: normalization over groups of features, sample by sample."""

from __future__ import annotations

from typing import Any

from ...ops import api as hr
from ..engine.input_spec import InputSpec
from .normalization import _Normalization

__all__ = ["GroupNormalization"]


class GroupNormalization(_Normalization):
    """Scales groups of features of each sample to mean 0 and variance 1 (Wu & He 2018).

    Args:
        groups: number of groups, which divides the features; -1 for one per feature.
        axis: the features' axis.
        epsilon: added to the variance.
        center: whether to add a learned offset.
        scale: whether to multiply by a learned factor.
        beta_initializer: of the offset.
        gamma_initializer: of the factor.
        beta_regularizer: penalty on the offset.
        gamma_regularizer: penalty on the factor.
        beta_constraint: projection of the offset.
        gamma_constraint: projection of the factor.
        **kwargs: see `Layer`.

    >>> GroupNormalization(groups=2)(hr.ones([1, 3, 4])).shape
    TensorShape([1, 3, 4])
    """

    def __init__(
        self,
        groups: int = 32,
        axis: int = -1,
        epsilon: float = 1e-3,
        center: bool = True,
        scale: bool = True,
        beta_initializer: Any = "zeros",
        gamma_initializer: Any = "ones",
        beta_regularizer: Any = None,
        gamma_regularizer: Any = None,
        beta_constraint: Any = None,
        gamma_constraint: Any = None,
        **kwargs: Any,
    ):
        if not isinstance(groups, int) or (groups <= 0 and groups != -1):
            raise ValueError(
                "Received an invalid value for argument `groups`, expected a positive integer "
                f"(or `-1` for instance normalization). Received: groups={groups}"
            )
        super().__init__(
            axis, epsilon, center, scale, beta_initializer, gamma_initializer,
            beta_regularizer, gamma_regularizer, beta_constraint, gamma_constraint, **kwargs,
        )  # fmt: skip
        self.autocast = False
        self.groups = groups

    def build(self, input_shape: Any) -> None:
        """Create the learned weights for inputs whose number of features is known."""
        size = input_shape[self.axis]
        if size is None:
            raise ValueError(
                f"Axis {self.axis} of input tensor should have a defined dimension but the "
                f"layer received an input with shape {tuple(input_shape)}."
            )
        if self.groups == -1:
            self.groups = size
        if size < self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) cannot be more than the number of channels "
                f"({size})."
            )
        if size % self.groups:
            raise ValueError(
                f"Number of groups ({self.groups}) must be a multiple of the number of "
                f"channels ({size})."
            )
        self._add_gamma_and_beta((size,))
        self.input_spec = InputSpec(ndim=len(input_shape), axes={self.axis: size})
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs normalized."""
        x = hr.cast(inputs, hr.float32) if hr.as_dtype(inputs.dtype).size < 4 else inputs
        rank = len(x.shape)
        axis = self.axis % rank
        sizes = hr.shape(x)
        each = x.shape[axis] // self.groups
        grouped = hr.concat([sizes[:axis], [self.groups, each], sizes[axis + 1 :]], 0)
        x = hr.reshape(x, grouped)
        over = [i for i in range(1, rank + 1) if i != axis]
        mean = hr.reduce_mean(x, axis=over, keepdims=True)
        centred = x - mean
        variance = hr.reduce_mean(hr.square(centred), axis=over, keepdims=True)
        out = centred * hr.rsqrt(variance + self.epsilon)
        broadcast = [1] * axis + [self.groups, each] + [1] * (rank - axis - 1)
        if self.gamma is not None:
            out = out * hr.reshape(hr.cast(self.gamma, x.dtype), broadcast)
        if self.beta is not None:
            out = out + hr.reshape(hr.cast(self.beta, x.dtype), broadcast)
        out = hr.ensure_shape(hr.reshape(out, sizes), inputs.shape)
        return hr.cast(out, self.compute_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            **super().get_config(),
            "groups": self.groups,
            "axis": self.axis,
            "epsilon": self.epsilon,
            "center": self.center,
            "scale": self.scale,
            **self._learned_config(),
        }
