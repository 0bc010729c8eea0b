"""Convolutions in one, two and three space axes, their transposes, depthwise and separable.

Data is [batch, *space, channels] (or [batch, channels, *space] with a `data_format` such as
``"NCHW"``), filters are [*kernel, channels, filters]; channels of the data may be a multiple of
the filter's, which then works on groups.
"""

from __future__ import annotations

from typing import Any

from .array_join import concat
from .array_shape import expand_dims, squeeze
from .conv_primitives import (
    Conv2D,
    Conv2DBackpropInput,
    Conv3D,
    Conv3DBackpropInputV2,
    DepthwiseConv2dNative,
    DepthwiseConv2dNativeBackpropFilter,
    DepthwiseConv2dNativeBackpropInput,
)
from .convert import to_tensor
from .tensor import Tensor
from .windows import channels_first, spread_ints

__all__ = [
    "atrous_conv2d", "atrous_conv2d_transpose", "conv1d", "conv1d_transpose", "conv2d",
    "conv2d_transpose", "conv3d", "conv3d_transpose", "conv_transpose", "convolution",
    "depthwise_conv2d", "depthwise_conv2d_backprop_filter", "depthwise_conv2d_backprop_input",
    "separable_conv2d",
]  # fmt: skip

_FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def padding_of(padding: Any, rank: int, op: str = "padding") -> tuple[str, tuple[int, ...]]:
    """`padding` and `explicit_paddings` as attributes.

    Raises:
        ValueError: it is neither a known name nor one pair per axis.
    """
    if isinstance(padding, str):
        return padding.upper(), ()
    pairs = [tuple(int(n) for n in pair) for pair in padding]
    if len(pairs) != rank + 2 or any(len(pair) != 2 for pair in pairs):
        raise ValueError(
            f"explicit padding must be a list of {rank + 2} pairs, one for each axis, got "
            f"{padding!r}"
        )
    return "EXPLICIT", tuple(n for pair in pairs for n in pair)


def _attrs(
    rank: int, strides: Any, padding: Any, data_format: str | None, dilations: Any
) -> dict[str, Any]:
    data_format = data_format or _FORMATS[rank]
    attrs: dict[str, Any] = {
        "strides": spread_ints(strides, rank, data_format, "strides"),
        "dilations": spread_ints(dilations, rank, data_format, "dilations"),
        "data_format": data_format,
    }
    attrs["padding"], pads = padding_of(padding, rank)
    if rank == 2:
        attrs["explicit_paddings"] = pads
    elif pads:
        raise ValueError("explicit padding is for two space axes only")
    return attrs


def conv2d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The 2-D convolution (cross-correlation) of `input` with `filters`.

    Args:
        input: floats [batch, height, width, channels].
        filters: [height, width, channels, filters]; channels may divide the input's.
        strides: one number, one per space axis, or one per axis.
        padding: ``"SAME"``, ``"VALID"``, or a pair per axis of how much to pad with zeros.
        data_format: ``"NHWC"`` or ``"NCHW"``.
        dilations: steps between a window's elements, given like `strides`.
        name: ignored.

    Raises:
        InvalidArgumentError: shapes do not fit.

    >>> rows = [[[[1.0], [2.0]], [[3.0], [4.0]]]]
    >>> conv2d(rows, [[[[1.0]], [[1.0]]]], 1, "VALID").numpy().ravel()
    array([3., 7.], dtype=float32)
    """
    return Conv2D(input, filters, **_attrs(2, strides, padding, data_format, dilations))


def conv3d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The 3-D convolution of [batch, depth, height, width, channels] with filters [depth,
    height, width, channels, filters]; see `conv2d`."""
    return Conv3D(input, filters, **_attrs(3, strides, padding, data_format, dilations))


def conv1d(
    input: Any,
    filters: Any,
    stride: Any,
    padding: Any,
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The 1-D convolution of [batch, width, channels] with [width, channels, filters]; see
    `conv2d`."""
    x, w, axis, attrs = _lifted(input, filters, stride, padding, data_format, dilations)
    return squeeze(Conv2D(x, w, **attrs), [axis])


def _lifted(
    x: Any, w: Any, stride: Any, padding: Any, data_format: str | None, dilations: Any
) -> tuple[Any, Any, int, dict[str, Any]]:
    """A 1-D call as a 2-D one with a height of 1, and the axis of that height."""
    data_format = data_format or "NWC"
    first = channels_first(data_format)
    axis = 2 if first else 1
    strides = spread_ints(stride, 1, data_format, "strides")
    steps = spread_ints(dilations, 1, data_format, "dilations")
    if not isinstance(padding, str):
        pairs = list(padding)
        padding = [*pairs[:axis], (0, 0), *pairs[axis:]]
    attrs = _attrs(
        2,
        (*strides[:axis], 1, *strides[axis:]),
        padding,
        "NCHW" if first else "NHWC",
        (*steps[:axis], 1, *steps[axis:]),
    )
    return expand_dims(to_tensor(x, None), axis), expand_dims(w, 0), axis, attrs


def convolution(
    input: Any,
    filters: Any,
    strides: Any = None,
    padding: Any = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The convolution of data with 1 to 3 space axes; see `conv2d`.

    Raises:
        ValueError: the number of space axes is not 1, 2 or 3.
    """
    filters = to_tensor(filters, None)
    call = {3: conv1d, 4: conv2d, 5: conv3d}.get(filters.shape.rank)
    if call is None:
        raise ValueError(
            f"`num_spatial_dims` must be 1, 2, or 3. Received filters of shape {filters.shape}."
        )
    rank = filters.shape.rank - 2
    return call(
        input, filters, 1 if strides is None else strides, padding,
        data_format or _FORMATS[rank], dilations,
    )  # fmt: skip


def atrous_conv2d(
    value: Any, filters: Any, rate: int, padding: Any, name: str | None = None
) -> Tensor:
    """`conv2d` with `rate` as dilation of both axes."""
    return conv2d(value, filters, 1, padding, dilations=rate)


# -- transposes -------------------------------------------------------------------------------


def conv2d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of `conv2d`: what it gives as gradient of its input.

    Args:
        input: [batch, height, width, channels].
        filters: [height, width, filters, channels], so transposed too.
        output_shape: shape of the result, since several shapes convolve to input's.
        strides: of the convolution that this transposes.
        padding: of the same.
        data_format: ``"NHWC"`` or ``"NCHW"``.
        dilations: of the same.
        name: ignored.

    Raises:
        InvalidArgumentError: a convolution of `output_shape` does not give input's shape.
    """
    attrs = _attrs(2, strides, padding, data_format, dilations)
    return Conv2DBackpropInput(output_shape, filters, input, **attrs)


def conv3d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NDHWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of `conv3d`; see `conv2d_transpose`."""
    attrs = _attrs(3, strides, padding, data_format, dilations)
    return Conv3DBackpropInputV2(output_shape, filters, input, **attrs)


def conv1d_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str = "NWC",
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of `conv1d`; see `conv2d_transpose`."""
    x, w, axis, attrs = _lifted(input, filters, strides, padding, data_format, dilations)
    if isinstance(output_shape, (list, tuple)):
        sizes: Any = [*output_shape[:axis], 1, *output_shape[axis:]]
    else:
        sizes = to_tensor(output_shape, None)
        sizes = concat([sizes[:axis], to_tensor([1], sizes.dtype), sizes[axis:]], 0)
    return squeeze(Conv2DBackpropInput(sizes, w, x, **attrs), [axis])


def conv_transpose(
    input: Any,
    filters: Any,
    output_shape: Any,
    strides: Any,
    padding: Any = "SAME",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """The transpose of `convolution` with 1 to 3 space axes; see `conv2d_transpose`."""
    filters = to_tensor(filters, None)
    calls: dict[Any, Any] = {3: conv1d_transpose, 4: conv2d_transpose, 5: conv3d_transpose}
    call = calls.get(filters.shape.rank)
    if call is None:
        raise ValueError(
            f"filters must have 3, 4 or 5 axes, got shape {filters.shape}: output_shape must "
            "have as many"
        )
    return call(
        input, filters, output_shape, strides, padding,
        data_format or _FORMATS[filters.shape.rank - 2], dilations,
    )  # fmt: skip


def atrous_conv2d_transpose(
    value: Any,
    filters: Any,
    output_shape: Any,
    rate: int,
    padding: Any,
    name: str | None = None,
) -> Tensor:
    """The transpose of `atrous_conv2d`."""
    return conv2d_transpose(value, filters, output_shape, 1, padding, dilations=rate)


# -- depthwise --------------------------------------------------------------------------------


def depthwise_conv2d(
    input: Any,
    filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Each channel convolved with filters of its own: [batch, height, width, channels *
    multiplier].

    Args:
        input: [batch, height, width, channels].
        filter: [height, width, channels, multiplier].
        strides: one per axis.
        padding: see `conv2d`.
        data_format: ``"NHWC"`` or ``"NCHW"``.
        dilations: one per space axis.
        name: ignored.
    """
    attrs = _attrs(2, strides, padding, data_format, dilations)
    return DepthwiseConv2dNative(input, filter, **attrs)


def depthwise_conv2d_backprop_input(
    input_sizes: Any,
    filter: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `depthwise_conv2d` for its input."""
    attrs = _attrs(2, strides, padding, data_format, dilations)
    return DepthwiseConv2dNativeBackpropInput(input_sizes, filter, out_backprop, **attrs)


def depthwise_conv2d_backprop_filter(
    input: Any,
    filter_sizes: Any,
    out_backprop: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    dilations: Any = [1, 1, 1, 1],  # noqa: B006
    name: str | None = None,
) -> Tensor:
    """The gradient of `depthwise_conv2d` for its filter."""
    attrs = _attrs(2, strides, padding, data_format, dilations)
    return DepthwiseConv2dNativeBackpropFilter(input, filter_sizes, out_backprop, **attrs)


def separable_conv2d(
    input: Any,
    depthwise_filter: Any,
    pointwise_filter: Any,
    strides: Any,
    padding: Any,
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """`depthwise_conv2d`, then a 1x1 convolution that mixes the channels.

    Args:
        input: [batch, height, width, channels].
        depthwise_filter: [height, width, channels, multiplier].
        pointwise_filter: [1, 1, channels * multiplier, filters].
        strides: of the depthwise step.
        padding: of the depthwise step.
        data_format: ``"NHWC"`` or ``"NCHW"``.
        dilations: of the depthwise step.
        name: ignored.
    """
    data_format = data_format or "NHWC"
    deep = depthwise_conv2d(input, depthwise_filter, strides, padding, data_format, dilations)
    return conv2d(deep, pointwise_filter, 1, "VALID", data_format)
