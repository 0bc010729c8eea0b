"""Pooling over windows in one, two and three space axes.

Data is [batch, *space, channels], or [batch, channels, *space] with a `data_format` such as
``"NCHW"``.
"""

from __future__ import annotations

from typing import Any

from . import (
    conv_pooled as _registered,  # noqa: F401  what a graph pass makes of poolings
    dtypes,
)
from .array_shape import expand_dims, squeeze
from .conv_ops import padding_of
from .convert import to_tensor
from .pool_primitives import AvgPool, AvgPool3D, MaxPool, MaxPool3D, MaxPoolWithArgmax
from .tensor import Tensor
from .windows import channels_first, spread_ints

__all__ = [
    "avg_pool", "avg_pool1d", "avg_pool2d", "avg_pool3d", "max_pool", "max_pool1d",
    "max_pool2d", "max_pool3d", "max_pool_with_argmax", "pool",
]  # fmt: skip

_FORMATS = {1: "NWC", 2: "NHWC", 3: "NDHWC"}


def _pooled(
    kind: str, x: Any, rank: int, ksize: Any, strides: Any, padding: Any, data_format: Any,
    dilations: Any = None,
) -> Tensor:  # fmt: skip
    x = to_tensor(x, None)
    data_format = data_format or _FORMATS[rank]
    sizes = spread_ints(ksize, rank, data_format, "ksize")
    steps = spread_ints(strides, rank, data_format, "strides")
    padding, pads = padding_of(padding, rank)
    if pads and (kind == "AVG" or rank != 2):
        raise ValueError("explicit padding is for max_pool over two space axes only")
    attrs = {"ksize": sizes, "strides": steps, "padding": padding, "data_format": data_format}
    if dilations is not None:
        attrs["dilations"] = spread_ints(dilations, rank, data_format, "dilations")
    if rank == 3:
        return (MaxPool3D if kind == "MAX" else AvgPool3D)(x, **attrs)
    axis = 2 if channels_first(data_format) else 1
    if rank == 1:
        for name in attrs.keys() & {"ksize", "strides", "dilations"}:
            values: Any = attrs[name]
            attrs[name] = (*values[:axis], 1, *values[axis:])
        attrs["data_format"] = "NCHW" if axis == 2 else "NHWC"
        x = expand_dims(x, axis)
    if kind == "MAX":
        out = MaxPool(x, **attrs, explicit_paddings=pads)
    else:
        out = AvgPool(x, **attrs)
    return squeeze(out, [axis]) if rank == 1 else out


def max_pool2d(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: Any,
    data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:
    """The maximum of each window of [batch, height, width, channels].

    Args:
        input: numbers.
        ksize: the window: one number, one per space axis, or one per axis.
        strides: how far it moves, given like `ksize`.
        padding: ``"SAME"``, ``"VALID"``, or a pair per axis of how much to pad.
        data_format: ``"NHWC"`` or ``"NCHW"``.
        name: ignored.

    Raises:
        InvalidArgumentError: the window does not fit.

    >>> max_pool2d([[[[1.0], [2.0]], [[3.0], [4.0]]]], 2, 2, "VALID").numpy().ravel()
    array([4.], dtype=float32)
    """
    return _pooled("MAX", input, 2, ksize, strides, padding, data_format)


def max_pool1d(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NWC",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The maximum of each window of [batch, width, channels]; see `max_pool2d`."""
    return _pooled("MAX", input, 1, ksize, strides, padding, data_format)


def max_pool3d(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The maximum of each window of [batch, depth, height, width, channels]; see
    `max_pool2d`."""
    return _pooled("MAX", input, 3, ksize, strides, padding, data_format)


def max_pool(
    input: Any, ksize: Any, strides: Any, padding: Any, data_format: str | None = None,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The maximum of each window of data with 1 to 3 space axes; see `max_pool2d`."""
    x = to_tensor(input, None)
    return _pooled("MAX", x, _space_rank(x), ksize, strides, padding, data_format)


def avg_pool2d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NHWC",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of [batch, height, width, channels], padding left out; see
    `max_pool2d`."""
    return _pooled("AVG", input, 2, ksize, strides, padding, data_format)


def avg_pool1d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NWC",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of [batch, width, channels]; see `avg_pool2d`."""
    return _pooled("AVG", input, 1, ksize, strides, padding, data_format)


def avg_pool3d(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str = "NDHWC",
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of [batch, depth, height, width, channels]; see `avg_pool2d`."""
    return _pooled("AVG", input, 3, ksize, strides, padding, data_format)


def avg_pool(
    input: Any, ksize: Any, strides: Any, padding: str, data_format: str | None = None,
    name: str | None = None,
) -> Tensor:  # fmt: skip
    """The mean of each window of data with 1 to 3 space axes; see `avg_pool2d`."""
    x = to_tensor(input, None)
    return _pooled("AVG", x, _space_rank(x), ksize, strides, padding, data_format)


def _space_rank(x: Tensor) -> int:
    if x.shape.rank not in (3, 4, 5):
        raise ValueError(
            "`input.shape.rank` must be 3, 4 or 5. Received: input.shape="
            f"{x.shape} of rank {x.shape.rank}"
        )
    return x.shape.rank - 2


def max_pool_with_argmax(
    input: Any,
    ksize: Any,
    strides: Any,
    padding: str,
    data_format: str = "NHWC",
    output_dtype: Any = dtypes.int64,
    include_batch_in_index: bool = False,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """`max_pool2d` and where each maximum stands: its index in [height, width, channels],
    flattened (with the batch in front if `include_batch_in_index`).

    Raises:
        ValueError: `data_format` is not ``"NHWC"``.
    """
    if data_format != "NHWC":
        raise ValueError(f"`data_format` values other than 'NHWC' are not supported. "
                         f"Received: data_format={data_format}")  # fmt: skip
    return MaxPoolWithArgmax(
        input,
        ksize=spread_ints(ksize, 2, "NHWC", "ksize"),
        strides=spread_ints(strides, 2, "NHWC", "strides"),
        padding=padding,
        Targmax=dtypes.as_dtype(output_dtype),
        include_batch_in_index=include_batch_in_index,
    )


def pool(
    input: Any,
    window_shape: Any,
    pooling_type: str,
    strides: Any = None,
    padding: str = "VALID",
    data_format: str | None = None,
    dilations: Any = None,
    name: str | None = None,
) -> Tensor:
    """Pooling with windows that may have gaps.

    Args:
        input: data with 1 to 3 space axes.
        window_shape: one number per space axis.
        pooling_type: ``"MAX"`` or ``"AVG"``.
        strides: one per space axis; 1 by default.
        padding: ``"SAME"`` or ``"VALID"``.
        data_format: such as ``"NHWC"``.
        dilations: steps between a window's elements; with them strides must be 1.
        name: ignored.

    Raises:
        ValueError: the type is not known, or there are both strides and dilations.
    """
    if pooling_type not in ("MAX", "AVG"):
        raise ValueError(f"pooling_type must be 'MAX' or 'AVG', got {pooling_type!r}")
    x = to_tensor(input, None)
    rank = _space_rank(x)
    steps = [1] * rank if strides is None else list(strides)
    gaps = [1] * rank if dilations is None else list(dilations)
    if all(d == 1 for d in gaps):
        return _pooled(pooling_type, x, rank, window_shape, steps, padding, data_format)
    if any(s != 1 for s in steps):
        raise ValueError("strides > 1 not supported in conjunction with dilations > 1")
    if padding == "SAME":
        raise ValueError(
            "pooling with 'SAME' padding is not implemented for `dilation_rate` > 1. Received: "
            f"padding={padding} and dilation_rate={gaps}"
        )
    return _pooled(pooling_type, x, rank, window_shape, steps, padding, data_format, gaps)
