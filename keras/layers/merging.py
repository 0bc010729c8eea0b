"""Layers that join several inputs: Add, Subtract, Multiply, Average, Maximum, Minimum,
Concatenate, Dot; and their function forms.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr
from ..engine.keras_tensor import KerasTensor
from ..engine.layer import Layer
from ..engine.masks import get_mask, set_mask
from ..promotion import result_type

__all__ = [
    "Add",
    "Average",
    "Concatenate",
    "Dot",
    "Maximum",
    "Minimum",
    "Multiply",
    "Subtract",
    "add",
    "average",
    "concatenate",
    "dot",
    "maximum",
    "minimum",
    "multiply",
    "subtract",
]


class Merge(Layer):
    """Base of the elementwise ones: ranks are made equal, then `_merge` is called."""

    def __init__(self, **kwargs: Any):
        super().__init__(**kwargs)
        self.supports_masking = True

    def _merge(self, inputs: list[Any]) -> Any:
        raise NotImplementedError

    def build(self, input_shape: Any) -> None:
        """Check the input shapes."""
        if not input_shape or not isinstance(input_shape[0], tuple | list):
            raise ValueError(
                "A merge layer should be called on a list of inputs. Received: "
                f"input_shape={input_shape} (not a list of shapes)"
            )
        self.compute_output_shape(input_shape)
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs merged."""
        if not isinstance(inputs, list | tuple):
            raise ValueError(
                f"A merge layer should be called on a list of inputs. Received: "
                f"inputs={inputs} (not a list of tensors)"
            )
        rank = max(len(x.shape) for x in inputs)
        same = []
        for x in inputs:
            for _ in range(rank - len(x.shape)):
                x = hr.expand_dims(x, axis=1)
            same.append(x)
        return self._merge(_of_one_dtype(same))

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The shape the inputs broadcast to.

        Raises:
            ValueError: they do not.
        """
        shapes = [tuple(s) for s in input_shape]
        batches = {s[0] for s in shapes if s} - {None}
        if len(batches) > 1:
            raise ValueError(
                "Cannot merge tensors with different batch sizes. Received tensors with shapes "
                f"{input_shape}"
            )
        merged = shapes[0][1:]
        for shape in shapes[1:]:
            merged = _broadcast(merged, shape[1:])
        return (batches.pop() if batches else None, *merged)

    def compute_output_spec(self, inputs: Any, **kwargs: Any) -> KerasTensor:
        """A placeholder of the output's shape, in the compute dtype."""
        shape = self.compute_output_shape([x.shape for x in inputs])
        return KerasTensor(shape, self.compute_dtype)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """True where any input's mask is; None if an input has none."""
        if mask is None or any(m is None for m in mask):
            return None
        merged = mask[0]
        for m in mask[1:]:
            merged = hr.logical_or(merged, m)
        return merged


def _of_one_dtype(inputs: Any) -> list[Any]:
    """The inputs, cast to what Keras has of several dtypes: one-hot integers beside floats."""
    names = [x.dtype.name for x in inputs]
    if len(set(names)) == 1:
        return list(inputs)
    wanted = result_type(*names)
    return [hr.cast(x, wanted) for x in inputs]


def _broadcast(a: tuple[Any, ...], b: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(a) < len(b):
        a, b = b, a
    if not b:
        return a
    out = list(a[: -len(b)])
    for i, j in zip(a[-len(b) :], b, strict=True):
        if i is None or j is None:
            out.append(None)
        elif i == 1 or j == 1 or i == j:
            out.append(j if i == 1 else i)
        else:
            raise ValueError(f"Inputs have incompatible shapes. Received shapes {a} and {b}")
    return tuple(out)


def _fold(function: Callable[[Any, Any], Any], inputs: list[Any]) -> Any:
    out = inputs[0]
    for x in inputs[1:]:
        out = function(out, x)
    return out


class Add(Merge):
    """The sum of the inputs."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _fold(hr.add, inputs)


class Average(Merge):
    """The mean of the inputs."""

    def _merge(self, inputs: list[Any]) -> Any:
        return _fold(hr.add, inputs) / len(inputs)


class Subtract(Merge):
    """The first input minus the second."""

    def _merge(self, inputs: list[Any]) -> Any:
        if len(inputs) != 2:
            raise ValueError(
                f"A `Subtract` layer should be called on exactly 2 inputs. Received: "
                f"inputs={inputs}"
            )
        return hr.subtract(inputs[0], inputs[1])


def _full_masks(inputs: list[Any]) -> list[Any]:
    """The inputs' masks, spread over their last axis; None where there is none."""
    masks = [get_mask(x) for x in inputs]
    return [
        None if m is None else hr.logical_and(hr.expand_dims(m, -1), hr.ones_like(x, hr.bool))
        for x, m in zip(inputs, masks, strict=True)
    ]


class Multiply(Merge):
    """The product of the inputs; masked elements count as 1, and give 0 if masked in all."""

    def _merge(self, inputs: list[Any]) -> Any:
        masks = _full_masks(inputs)
        parts = [
            x if m is None else hr.where(m, x, hr.ones_like(x))
            for x, m in zip(inputs, masks, strict=True)
        ]
        out = _fold(hr.multiply, parts)
        if all(m is not None for m in masks):
            known = _fold(hr.logical_or, masks)
            out = hr.where(known, out, hr.zeros_like(out))
            set_mask(out, hr.reduce_any(known, axis=-1))
        return out


class _Extreme(Merge):
    """Largest or smallest of the inputs that are not masked."""

    _function: Callable[[Any, Any], Any]

    def _merge(self, inputs: list[Any]) -> Any:
        masks = _full_masks(inputs)
        out, known = inputs[0], masks[0]
        for x, mask in zip(inputs[1:], masks[1:], strict=True):
            # A masked element takes the other's value, so that it does not decide.
            x = x if mask is None else hr.where(mask, x, out)
            out = out if known is None else hr.where(known, out, x)
            known = None if mask is None or known is None else hr.logical_or(known, mask)
            out = type(self)._function(out, x)
        if known is not None:
            set_mask(out, hr.reduce_any(known, axis=-1))
        return out


class Maximum(_Extreme):
    """The largest of the inputs, element by element."""

    _function = staticmethod(hr.maximum)


class Minimum(_Extreme):
    """The smallest of the inputs, element by element."""

    _function = staticmethod(hr.minimum)


class Concatenate(Merge):
    """The inputs one after the other along `axis`.

    Args:
        axis: axis to join along.
        **kwargs: see `Layer`.

    >>> Concatenate()([hr.zeros([2, 3]), hr.zeros([2, 1])]).shape
    TensorShape([2, 4])
    """

    def __init__(self, axis: int = -1, **kwargs: Any):
        super().__init__(**kwargs)
        self.axis = axis

    def build(self, input_shape: Any) -> None:
        """Check the input shapes."""
        if not input_shape or not isinstance(input_shape[0], tuple | list):
            raise ValueError(
                "A `Concatenate` layer should be called on a list of at least 1 input. "
                f"Received: input_shape={input_shape}"
            )
        rest = []
        for shape in input_shape:
            sizes = list(shape)
            del sizes[self.axis]
            rest.append(sizes)
        fits = len({len(r) for r in rest}) == 1 and all(
            len({d for d in column if d is not None}) <= 1 for column in zip(*rest, strict=True)
        )
        if not fits:
            raise ValueError(
                "A `Concatenate` layer requires inputs with matching shapes except for the "
                f"concatenation axis. Received: input_shape={input_shape}"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The inputs joined."""
        if not isinstance(inputs, list | tuple):
            raise ValueError(
                f"A merge layer should be called on a list of inputs. Received: "
                f"inputs={inputs} (not a list of tensors)"
            )
        return hr.concat(_of_one_dtype(inputs), axis=self.axis)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """The first shape, its `axis` replaced by the sum."""
        if not isinstance(input_shape[0], tuple | list):
            raise ValueError(
                "A `Concatenate` layer should be called on a list of inputs. Received: "
                f"input_shape={input_shape}"
            )
        out = list(input_shape[0])
        sizes = [tuple(s)[self.axis] for s in input_shape]
        out[self.axis] = None if None in sizes else sum(sizes)
        return tuple(out)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """The masks joined; inputs without one count as all valid."""
        if mask is None or all(m is None for m in mask):
            return None
        spread = []
        for x, m in zip(inputs, mask, strict=True):
            valid = hr.ones_like(x, dtype=hr.bool)
            if m is not None:
                m = hr.expand_dims(m, -1) if len(m.shape) < len(x.shape) else m
                valid = hr.logical_and(m, valid)
            spread.append(valid)
        return hr.reduce_any(hr.concat(spread, axis=self.axis), axis=-1)

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axis": self.axis}


class Dot(Merge):
    """Products of two inputs summed along an axis of each, sample by sample.

    Args:
        axes: axis of both inputs, or one for each.
        normalize: whether to scale to length 1 along the axes first (cosine similarity).
        **kwargs: see `Layer`.
    """

    def __init__(self, axes: Any, normalize: bool = False, **kwargs: Any):
        super().__init__(**kwargs)
        if not isinstance(axes, int):
            if not isinstance(axes, list | tuple):
                raise TypeError(
                    "Invalid type for argument `axes`: it should be a list or an int. "
                    f"Received: axes={axes}"
                )
            if len(axes) != 2:
                raise ValueError(
                    "Invalid format for argument `axes`: it should contain two elements. "
                    f"Received: axes={axes}"
                )
            if not all(isinstance(a, int) for a in axes):
                raise ValueError(
                    "Invalid format for argument `axes`: list elements should be integers. "
                    f"Received: axes={axes}"
                )
        self.axes = axes
        self.normalize = normalize

    def _both(self, rank1: int, rank2: int) -> tuple[int, int]:
        a, b = (self.axes, self.axes) if isinstance(self.axes, int) else self.axes
        return a % rank1, b % rank2

    def build(self, input_shape: Any) -> None:
        """Check the input shapes."""
        if len(input_shape) != 2 or not isinstance(input_shape[0], tuple | list):
            raise ValueError(
                "A `Dot` layer should be called on a list of 2 inputs. Received: "
                f"input_shape={input_shape}"
            )
        shape1, shape2 = input_shape
        a, b = self._both(len(shape1), len(shape2))
        if shape1[a] != shape2[b]:
            raise ValueError(
                f"Incompatible input shapes: axis values {shape1[a]} (at axis {a}) != "
                f"{shape2[b]} (at axis {b}). Full input shapes: {shape1}, {shape2}"
            )
        self.built = True

    def call(self, inputs: Any) -> Any:
        """The products, ``[batch, rest of the first, rest of the second]``."""
        x, y = inputs
        a, b = self._both(len(x.shape), len(y.shape))
        if self.normalize:
            x, y = _unit(x, a), _unit(y, b)
        letters = iter("cdefghijklmnopqrstuvwxyz")
        left = [next(letters) for _ in x.shape]
        right = [next(letters) for _ in y.shape]
        left[0] = right[0] = "b"
        left[a] = right[b] = "a"
        rest = [c for c in left[1:] + right[1:] if c != "a"]
        out = hr.einsum(f"{''.join(left)},{''.join(right)}->b{''.join(rest)}", x, y)
        return out if rest else hr.expand_dims(out, 1)

    def compute_output_shape(self, input_shape: Any) -> tuple[int | None, ...]:
        """``(batch, rest of the first, rest of the second)``, at least two sizes."""
        if len(input_shape) != 2:
            raise ValueError(
                "A `Dot` layer should be called on a list of 2 inputs. Received: "
                f"input_shape={input_shape}"
            )
        shape1, shape2 = (list(s) for s in input_shape)
        a, b = self._both(len(shape1), len(shape2))
        del shape1[a], shape2[b]
        out = (*shape1, *shape2[1:])
        return out if len(out) > 1 else (*out, 1)

    def compute_mask(self, inputs: Any, mask: Any = None) -> Any:
        """None: the axes a mask spoke of are gone."""
        return None

    def get_config(self) -> dict[str, Any]:
        """The constructor's arguments."""
        return {**super().get_config(), "axes": self.axes, "normalize": self.normalize}


def _unit(x: Any, axis: int) -> Any:
    norm2 = hr.reduce_sum(hr.square(x), axis=axis, keepdims=True)
    return x * hr.rsqrt(hr.maximum(norm2, hr.constant(1e-12, dtype=x.dtype)))


def add(inputs: Any, **kwargs: Any) -> Any:
    """The sum of `inputs`."""
    return Add(**kwargs)(inputs)


def average(inputs: Any, **kwargs: Any) -> Any:
    """The mean of `inputs`."""
    return Average(**kwargs)(inputs)


def subtract(inputs: Any, **kwargs: Any) -> Any:
    """The first of `inputs` minus the second."""
    return Subtract(**kwargs)(inputs)


def multiply(inputs: Any, **kwargs: Any) -> Any:
    """The product of `inputs`."""
    return Multiply(**kwargs)(inputs)


def maximum(inputs: Any, **kwargs: Any) -> Any:
    """The largest of `inputs`, element by element."""
    return Maximum(**kwargs)(inputs)


def minimum(inputs: Any, **kwargs: Any) -> Any:
    """The smallest of `inputs`, element by element."""
    return Minimum(**kwargs)(inputs)


def concatenate(inputs: Any, axis: int = -1, **kwargs: Any) -> Any:
    """`inputs` joined along `axis`."""
    return Concatenate(axis=axis, **kwargs)(inputs)


def dot(inputs: Any, axes: Any = -1, **kwargs: Any) -> Any:
    """Products of the two `inputs` summed along `axes`."""
    return Dot(axes=axes, **kwargs)(inputs)
