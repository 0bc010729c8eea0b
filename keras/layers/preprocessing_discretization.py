"""Discretization: real numbers as the numbers of the bins they fall into."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ops import api as hr
from ...ops.bucketize import Bucketize
from ...ops.ragged_tensor import RaggedTensor
from ...ops.sparse_tensor import SparseTensor
from ...ops.tensor import Tensor
from ..engine.keras_tensor import KerasTensor
from .preprocessing_base import DataLayer, as_tensor, batches, check_choice, encode

__all__ = ["Discretization"]

_WIDENED = {"float16": "float32", "bfloat16": "float32", "bool": "int32"}


class Discretization(DataLayer):
    """Numbers as bin numbers: bin k holds those from boundary ``k - 1`` to below boundary k.

    Args:
        bin_boundaries: ascending numbers; given, or found by `adapt`.
        num_bins: how many bins `adapt` is to find, of about equally many values.
        epsilon: error of the quantiles that `adapt` finds, a share in (0, 1].
        output_mode: ``"int"``, ``"one_hot"``, ``"multi_hot"`` or ``"count"``.
        sparse: give a `SparseTensor`.
        dtype, name: see `Layer`.

    >>> Discretization(bin_boundaries=[0.0, 1.0])([-1.0, 0.0, 5.0]).numpy()
    array([0, 1, 2], dtype=int32)
    """

    def __init__(
        self,
        bin_boundaries: Any = None,
        num_bins: int | None = None,
        epsilon: float = 0.01,
        output_mode: str = "int",
        sparse: bool = False,
        dtype: Any = None,
        name: str | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        if sparse and output_mode == "int":
            raise ValueError(
                "`sparse=True` may only be used if `output_mode` is `'one_hot'`, "
                f"`'multi_hot'`, or `'count'`. Received: sparse={sparse} and "
                f"output_mode={output_mode}"
            )
        check_choice(
            output_mode,
            ("int", "one_hot", "multi_hot", "count"),
            type(self).__name__,
            "output_mode",
        )
        if num_bins is not None and num_bins < 0:
            raise ValueError(
                "`num_bins` must be greater than or equal to 0. Received: "
                f"`num_bins={num_bins}`"
            )
        if num_bins is not None and bin_boundaries is not None:
            raise ValueError(
                "Both `num_bins` and `bin_boundaries` should not be set. Received: "
                f"`num_bins={num_bins}` and `bin_boundaries={bin_boundaries}`"
            )
        if num_bins is None and bin_boundaries is None:
            raise ValueError("You need to set either `num_bins` or `bin_boundaries`.")
        self.bin_boundaries = bin_boundaries
        self.num_bins = num_bins
        self.epsilon = epsilon
        self.output_mode = output_mode
        self.sparse = sparse
        self.reset_state()

    @property
    def output_dtype(self) -> str:
        """Name of the dtype of the outputs."""
        return "int32" if self.output_mode == "int" else self.compute_dtype

    def adapt(self, data: Any, steps: int | None = None) -> None:
        """Find boundaries that part the numbers of `data` into about equally many.

        Args:
            data: an array, a Dataset, or an iterable of batches.
            steps: how many batches to look at.
        """
        if self.num_bins is None:
            raise ValueError(
                "Cannot adapt a Discretization layer that has been initialized with "
                "`bin_boundaries`, use `num_bins` instead."
            )
        self.reset_state()
        for batch in batches(data, steps, whole_lists=False):
            self.update_state(batch)
        self.finalize_state()

    def update_state(self, data: Any) -> None:
        """Take in one batch."""
        values = np.asarray(data.numpy() if isinstance(data, Tensor) else data, np.float32)
        self._summary = _merged(_summary(values, self.epsilon), self._summary, self.epsilon)

    def finalize_state(self) -> None:
        """Turn what was taken in into boundaries."""
        if self.num_bins is not None:
            found = _compressed(self._summary, 1.0 / self.num_bins)[0, :-1]
            self.bin_boundaries = found.tolist()

    def reset_state(self) -> None:
        """Forget what was taken in."""
        self._summary = np.zeros((2, 0), np.float32)

    def call(self, inputs: Any) -> Any:
        """The bins of the inputs."""
        if self.bin_boundaries is None:
            raise ValueError(
                "You need to either pass the `bin_boundaries` argument at construction time or "
                "call `adapt(dataset)` before you can start using the `Discretization` layer."
            )
        x = as_tensor(inputs)
        if isinstance(x, RaggedTensor):
            ids = x.with_flat_values(self._bins(x.flat_values))
        elif isinstance(x, SparseTensor):
            ids = SparseTensor(x.indices, self._bins(x.values), x.dense_shape)
        else:
            ids = self._bins(x)
        depth = len(self.bin_boundaries) + 1
        return encode(ids, self.output_mode, depth, self.output_dtype, self.sparse)

    def _bins(self, x: Any) -> Any:
        if x.dtype.name in _WIDENED:
            x = hr.cast(x, _WIDENED[x.dtype.name])
        return Bucketize(x, boundaries=tuple(float(b) for b in self.bin_boundaries))

    def compute_output_shape(self, input_shape: Any) -> Any:
        """The shape of the outputs."""
        shape = tuple(input_shape)
        if self.output_mode == "int":
            return shape
        bounds = self.bin_boundaries
        depth = len(bounds) + 1 if bounds is not None else self.num_bins
        if self.output_mode == "one_hot":
            column = len(shape) > 1 and shape[-1] == 1
            return (*(shape[:-1] if column else shape), depth)
        return (shape[0], *shape[2:], depth) if len(shape) >= 2 else (depth,)

    def compute_output_spec(self, inputs: Any) -> Any:
        """A placeholder for the outputs."""
        return KerasTensor(self.compute_output_shape(inputs.shape), self.output_dtype)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments, with the boundaries that `adapt` found."""
        return {
            "bin_boundaries": self.bin_boundaries,
            "num_bins": self.num_bins,
            "epsilon": self.epsilon,
            "output_mode": self.output_mode,
            "sparse": self.sparse,
            "name": self.name,
            "dtype": self.dtype,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """The layer that `config` describes."""
        config = dict(config)
        found = config.get("bin_boundaries")
        if found is None or config.get("num_bins") is None:
            return cls(**config)
        del config["bin_boundaries"]
        layer = cls(**config)
        layer.bin_boundaries = found
        return layer


def _summary(values: np.ndarray, epsilon: float) -> np.ndarray:
    """[2, n]: about ``1 / epsilon`` quantiles of `values`, and how many values each "
    "stands for."""
    values = np.sort(values.reshape(-1))
    step = max(values.size * epsilon, 1)
    found = values[int(step - 1) :: int(step)]
    return np.stack([found, np.full_like(found, step)])


def _merged(one: np.ndarray, other: np.ndarray, epsilon: float) -> np.ndarray:
    both = np.concatenate([one, other], axis=1)
    return _compressed(both[:, np.argsort(both[0])], epsilon)


def _compressed(summary: np.ndarray, epsilon: float) -> np.ndarray:
    """The summary as quantiles `epsilon` apart, if it has more than those."""
    if summary.shape[1] * epsilon < 1:
        return summary
    percents = epsilon + np.arange(0.0, 1.0, epsilon)
    weights = summary[1].cumsum()
    shares = weights / weights[-1]
    values = np.interp(percents, shares, summary[0])
    weights = np.interp(percents, shares, weights)
    weights = np.diff(weights, prepend=0)
    return np.stack([values, weights]).astype(np.float32)
