"""InputSpec: what a layer demands of its inputs, and the check with Keras's wording."""

from __future__ import annotations

from typing import Any

from ...ops import dtypes, nest

__all__ = ["InputSpec", "assert_input_compatibility"]


class InputSpec:
    """Rank, sizes and dtype that a layer's input must have.

    Args:
        dtype: expected dtype, or None for any.
        shape: expected shape, None sizes standing for any.
        ndim: expected rank.
        max_ndim: greatest allowed rank.
        min_ndim: least allowed rank.
        axes: expected size per axis, e.g. ``{-1: 64}``.
        allow_last_axis_squeeze: whether a last axis of size 1 may be missing or superfluous.
        name: key of the input in dict inputs.
        optional: whether None is accepted in the input's place.
    """

    def __init__(
        self,
        dtype: Any = None,
        shape: Any = None,
        ndim: int | None = None,
        max_ndim: int | None = None,
        min_ndim: int | None = None,
        axes: dict[int, int | None] | None = None,
        allow_last_axis_squeeze: bool = False,
        name: str | None = None,
        optional: bool = False,
    ):
        self.dtype = None if dtype is None else dtypes.as_dtype(dtype).name
        self.shape = None if shape is None else tuple(shape)
        self.ndim = len(self.shape) if self.shape is not None else ndim
        self.max_ndim = max_ndim
        self.min_ndim = min_ndim
        try:
            self.axes = {int(axis): size for axis, size in (axes or {}).items()}
        except (TypeError, ValueError, AttributeError):
            raise TypeError(
                f"Argument `axes` must be a dict with integer keys. Received: axes={axes}"
            ) from None
        highest = self.ndim if self.ndim is not None else max_ndim
        if self.axes and highest is not None and max(self.axes) >= highest:
            raise ValueError(
                f"Axis {max(self.axes)} is greater than the maximum allowed value: "
                f"{highest - 1}"
            )
        self.allow_last_axis_squeeze = allow_last_axis_squeeze
        self.name = name
        self.optional = optional

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {
            "dtype": self.dtype,
            "shape": self.shape,
            "ndim": self.ndim,
            "max_ndim": self.max_ndim,
            "min_ndim": self.min_ndim,
            "axes": self.axes,
            "optional": self.optional,
        }

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> InputSpec:
        """The spec that `get_config` described."""
        return cls(**config)

    def __repr__(self) -> str:
        fields = ("dtype", "shape", "ndim", "max_ndim", "min_ndim", "axes")
        parts = [f"{f}={getattr(self, f)}" for f in fields if getattr(self, f)]
        return f"InputSpec({', '.join(parts)})"


def assert_input_compatibility(input_spec: Any, inputs: Any, layer_name: str) -> None:
    """Raise ValueError, naming the layer, unless `inputs` meet `input_spec`.

    Raises:
        ValueError: wrong number of inputs, rank, size or dtype.
    """
    specs = nest.flatten(input_spec)
    if isinstance(inputs, dict) and all(s.name for s in specs):
        missing = [s.name for s in specs if s.name not in inputs and not s.optional]
        if missing:
            raise ValueError(
                f'Missing data for input "{missing[0]}" of layer "{layer_name}". You passed a '
                f"data dictionary with keys {list(inputs)}. Expected the following keys: "
                f"{[s.name for s in specs]}"
            )
        values = [inputs.get(s.name) for s in specs]
    else:
        values = nest.flatten(inputs)
    if len(values) != len(specs):
        raise ValueError(
            f'Layer "{layer_name}" expects {len(specs)} input(s), but it received '
            f"{len(values)} input tensors. Inputs received: {values}"
        )
    for index, (value, spec) in enumerate(zip(values, specs, strict=True)):
        if spec is None or (value is None and spec.optional):
            continue
        problem = _problem(spec, value)
        if problem:
            raise ValueError(
                f'Input {index} of layer "{layer_name}" is incompatible with the layer: '
                f"{problem}"
            )


def _problem(spec: InputSpec, value: Any) -> str | None:
    if not hasattr(value, "shape"):
        return f"expected a tensor. Received: {value!r} (of type {type(value)})"
    shape = value.shape
    if getattr(shape, "rank", 0) is None:
        return None
    shape = tuple(shape)
    ndim = len(shape)
    wanted = spec.shape
    squeezable = spec.allow_last_axis_squeeze and wanted is not None
    if (
        spec.ndim is not None
        and ndim != spec.ndim
        and not (squeezable and abs(ndim - spec.ndim) == 1)
    ):
        return f"expected ndim={spec.ndim}, found ndim={ndim}. Full shape received: {shape}"
    if spec.max_ndim is not None and ndim > spec.max_ndim:
        return f"expected max_ndim={spec.max_ndim}, found ndim={ndim}"
    if spec.min_ndim is not None and ndim < spec.min_ndim:
        return (
            f"expected min_ndim={spec.min_ndim}, found ndim={ndim}. "
            f"Full shape received: {shape}"
        )
    if spec.dtype is not None and dtypes.as_dtype(value.dtype).name != spec.dtype:
        return f"expected dtype={spec.dtype}, found dtype={dtypes.as_dtype(value.dtype).name}"
    for axis, size in spec.axes.items():
        if size is not None and -ndim <= axis < ndim and shape[axis] not in (size, None):
            return (
                f"expected axis {axis} of input shape to have value {size}, but received "
                f"input with shape {shape}"
            )
    if wanted is not None:
        found = shape
        if squeezable and ndim != len(wanted):
            longer = max(shape, wanted, key=len)
            if longer[-1] not in (1, None):
                return f"expected shape={wanted}, found shape={shape}"
            wanted, found = wanted[: min(ndim, len(wanted))], shape[: min(ndim, len(wanted))]
        for want, got in zip(wanted, found, strict=True):
            if want is not None and got is not None and want != got:
                return f"expected shape={wanted}, found shape={shape}"
    return None
