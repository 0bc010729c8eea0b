"""The primitives of convolution: forward, input gradient, filter gradient, in two and three
space axes, dense and depthwise.

Attributes are TensorFlow's (one entry per axis of the data, in the order of `data_format`).
The array forms are those of `conv_plain`; on a CPU and in float32 those of
`kernels.convolution` take over where they are compiled already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_loop, conv_plain, dtypes
from .array_basics import shape as shape_of
from .array_module import array_module, is_on_device
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .kernels import convolution as compiled
from .nn_activations import ReluGrad
from .nn_ops import BiasAddGrad
from .primitive import Primitive
from .shape_rules import FLOATS
from .tensor import is_symbolic
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec
from .windows import (
    Windows,
    channels_first,
    from_channels_last,
    output_size,
    space_of,
    to_channels_last,
)

__all__ = ["Conv2D", "Conv2DBackpropFilter", "Conv2DBackpropInput", "Conv3D",
           "Conv3DBackpropFilterV2", "Conv3DBackpropInputV2", "ConvolutionBiasActivation",
           "DepthwiseConv2dNative", "DepthwiseConv2dNativeBackpropFilter",
           "DepthwiseConv2dNativeBackpropInput"]  # fmt: skip


def windows_of(
    op: str, shape: tuple[int, ...], kernel: tuple[int, ...], attrs: dict[str, Any]
) -> Windows:
    """The geometry of a call on channels-last data of `shape`."""
    data_format = attrs["data_format"]
    pads = attrs.get("explicit_paddings") or ()
    pairs = tuple(zip(pads[::2], pads[1::2], strict=True))
    return Windows(
        shape[1:-1],
        kernel,
        space_of(attrs["strides"], data_format),
        space_of(attrs["dilations"], data_format),
        attrs["padding"],
        space_of(pairs, data_format) if pairs else (),
        op,
    )


def _wide(*arrays: Any) -> tuple[Any, ...]:
    """16-bit floats as float32."""
    if arrays[0].dtype.itemsize != 2:
        return arrays
    return tuple(a.astype(np.float32) for a in arrays)


# -- shape rules ------------------------------------------------------------------------------


def _check(op: str, x: TensorShape, w: TensorShape, rank: int, attrs: dict[str, Any]) -> None:
    for what, shape in (("input", x), ("filter", w)):
        if shape.rank not in (None, rank + 2):
            raise InvalidArgumentError(
                f"{what} must be {rank + 2}-dimensional: {shape} [Op:{op}]", op=op
            )
    if attrs["padding"] not in ("SAME", "VALID", "EXPLICIT"):
        raise InvalidArgumentError(
            f"Value for attr 'padding' of \"{attrs['padding']}\" is not in the list of allowed "
            f'values: "SAME", "VALID", "EXPLICIT" [Op:{op}]',
            op=op,
        )
    for what in ("strides", "dilations"):
        values = attrs[what]
        if len(values) != rank + 2:
            raise InvalidArgumentError(
                f"{what} must have {rank + 2} entries, got {list(values)} [Op:{op}]", op=op
            )
        if min(values) < 1:
            raise InvalidArgumentError(
                f"{what.capitalize()[:-1]} must be > 0, but got {min(values)} [Op:{op}]", op=op
            )
        batch, channel = values[0], values[1 if channels_first(attrs["data_format"]) else -1]
        if batch != 1 or channel != 1:
            raise InvalidArgumentError(
                f"Current implementation does not support {what} in the batch and depth "
                f"dimensions, got {list(values)} [Op:{op}]",
                op=op,
            )


def _output_space(
    op: str, x: TensorShape, w: TensorShape, rank: int, attrs: dict[str, Any]
) -> list[int | None]:
    """Sizes of the output's space axes."""
    data_format = attrs["data_format"]
    space = [None] * rank if x.rank is None else space_of(x.dims, data_format)
    kernel = [None] * rank if w.rank is None else w.dims[:rank]
    strides = space_of(attrs["strides"], data_format)
    dilations = space_of(attrs["dilations"], data_format)
    pads = attrs.get("explicit_paddings") or ()
    sums = [a + b for a, b in zip(pads[::2], pads[1::2], strict=True)]
    extra = space_of(tuple(sums), data_format) if sums else (0,) * rank
    return [
        output_size(
            n,
            None if k is None else (k - 1) * d + 1,
            s,
            attrs["padding"],
            e if attrs["padding"] == "EXPLICIT" else 0,
            op,
        )
        for n, k, s, d, e in zip(space, kernel, strides, dilations, extra, strict=True)
    ]


def _arranged(
    batch: int | None, space: list[int | None], channels: int | None, data_format: str
) -> list[int | None]:
    if channels_first(data_format):
        return [batch, channels, *space]
    return [batch, *space, channels]


def _forward_shape(op: str, rank: int, depthwise: bool = False) -> Callable[..., TensorSpec]:
    def rule(x: Any, w: Any, *rest: Any, **attrs: Any) -> TensorSpec:
        _check(op, x.shape, w.shape, rank, attrs)
        first = channels_first(attrs["data_format"])
        batch = None if x.shape.rank is None else x.shape[0]
        depth = None if x.shape.rank is None else x.shape[1 if first else -1]
        per_group, filters = (None, None) if w.shape.rank is None else w.shape.dims[-2:]
        if depth is not None and per_group is not None:
            if depthwise and depth != per_group:
                raise InvalidArgumentError(
                    f"input and filter must have the same depth: {depth} vs {per_group} "
                    f"[Op:{op}]",
                    op=op,
                )
            if per_group == 0 or depth % per_group:
                raise InvalidArgumentError(
                    f"input depth must be evenly divisible by filter depth: {depth} vs "
                    f"{per_group} [Op:{op}]",
                    op=op,
                )
            if not depthwise and filters is not None and filters % max(depth // per_group, 1):
                raise InvalidArgumentError(
                    f"output depth must be evenly divisible by number of groups: {filters} vs "
                    f"{depth // per_group} [Op:{op}]",
                    op=op,
                )
        if depthwise:
            filters = None if None in (per_group, filters) else per_group * filters
        space = _output_space(op, x.shape, w.shape, rank, attrs)
        return TensorSpec(_arranged(batch, space, filters, attrs["data_format"]), x.dtype)

    return rule


def _shape_in(sizes: Any) -> TensorShape:
    """The shape that `sizes` holds, as far as a trace knows it."""
    known = constant_value(sizes)
    if known is not None:
        return TensorShape([int(n) for n in known])
    if is_symbolic(sizes) and sizes.node.type == "Shape":
        return sizes.node.inputs[0].shape
    return TensorShape(None)


def _sized_shape(op: str, rank: int, sizes_at: int) -> Callable[..., TensorSpec]:
    """The rule of a gradient whose shape is the value of input `sizes_at`."""

    def rule(*tensors: Any, **attrs: Any) -> TensorSpec:
        sizes, other, g = tensors[sizes_at], tensors[1 - sizes_at], tensors[2]
        for what, t in (("input", other), ("out_backprop", g)):
            if t.shape.rank not in (None, rank + 2):
                raise InvalidArgumentError(
                    f"{what} must be {rank + 2}-dimensional: {t.shape} [Op:{op}]", op=op
                )
        shape = _shape_in(sizes)
        if shape.rank is None:
            return TensorSpec([None] * (rank + 2), g.dtype)
        if shape.rank != rank + 2:
            raise InvalidArgumentError(
                f"{('input', 'filter')[sizes_at]}_sizes must have {rank + 2} elements, got "
                f"{shape} [Op:{op}]",
                op=op,
            )
        x, w = (shape, other.shape) if sizes_at == 0 else (other.shape, shape)
        _check(op, x, w, rank, attrs)
        expected = TensorShape(_output_space(op, x, w, rank, attrs))
        if g.shape.rank is not None:
            found = TensorShape(list(space_of(g.shape.dims, attrs["data_format"])))
            if not found.is_compatible_with(expected):
                raise InvalidArgumentError(
                    f"Size of out_backprop doesn't match computed: actual = {found}, computed "
                    f"= {expected} [Op:{op}]",
                    op=op,
                )
        return TensorSpec(shape, g.dtype)

    return rule


# -- array forms ------------------------------------------------------------------------------


def _forward(op: str, depthwise: bool = False) -> Callable[..., Any]:
    plain = conv_plain.forward_depthwise if depthwise else conv_plain.forward

    def impl(x: Any, w: Any, **attrs: Any) -> Any:
        data_format, dtype = attrs["data_format"], x.dtype
        x, w = _wide(to_channels_last(x, data_format), w)
        at = windows_of(op, x.shape, w.shape[:-2], attrs)
        out = None if depthwise else compiled.forward(x, w, at)
        if out is None:
            out = plain(x, w, at)
        return from_channels_last(out.astype(dtype, copy=False), data_format)

    return impl


def _grad_input(op: str, depthwise: bool = False) -> Callable[..., Any]:
    plain = conv_plain.grad_input_depthwise if depthwise else conv_plain.grad_input

    def impl(sizes: Any, w: Any, g: Any, **attrs: Any) -> Any:
        data_format, dtype = attrs["data_format"], g.dtype
        shape = tuple(int(n) for n in sizes)
        if channels_first(data_format):
            shape = (shape[0], *shape[2:], shape[1])
        w, g = _wide(w, to_channels_last(g, data_format))
        at = windows_of(op, shape, w.shape[:-2], attrs)
        if tuple(g.shape[1:-1]) != at.out or g.shape[0] != shape[0]:
            raise InvalidArgumentError(
                f"out_backprop {list(g.shape)} does not fit input_sizes {list(shape)}: its "
                f"space must be {list(at.out)} [Op:{op}]",
                op=op,
            )
        out = None if depthwise else compiled.grad_input(shape, w, g, at)
        if out is None:
            out = plain(shape, w, g, at)
        return from_channels_last(out.astype(dtype, copy=False), data_format)

    return impl


def _grad_filter(op: str, depthwise: bool = False) -> Callable[..., Any]:
    plain = conv_plain.grad_filter_depthwise if depthwise else conv_plain.grad_filter

    def impl(x: Any, sizes: Any, g: Any, **attrs: Any) -> Any:
        data_format, dtype = attrs["data_format"], g.dtype
        shape = tuple(int(n) for n in sizes)
        x, g = _wide(to_channels_last(x, data_format), to_channels_last(g, data_format))
        at = windows_of(op, x.shape, shape[:-2], attrs)
        out = None if depthwise else compiled.grad_filter(x, shape, g, at)
        if out is None:
            out = plain(x, shape, g, at)
        return out.astype(dtype, copy=False)

    return impl


# -- bindings ---------------------------------------------------------------------------------


def shaped_like(out: Any, like: Any) -> Any:
    """`out`, known to have the shape of `like`."""
    if is_symbolic(out):
        out.set_shape(like.shape)
    return out


def _family(
    names: tuple[str, str, str], rank: int, depthwise: bool = False
) -> tuple[Primitive, Primitive, Primitive]:
    forward, by_input, by_filter = names
    defaults = {"data_format": "NHWC" if rank == 2 else "NDHWC", "dilations": (1,) * (rank + 2)}
    more: dict[str, Any] = {"explicit_paddings": ()} if rank == 2 else {}

    def needed(op: Any) -> tuple[bool, ...]:
        return op.needs or (True,) * len(op.inputs)

    def forward_vjp(op: Any, g: Any) -> Any:
        x, w = op.inputs
        dx, dw = needed(op)
        return (
            shaped_like(BackpropInput(shape_of(x), w, g, **op.attrs), x) if dx else None,
            shaped_like(BackpropFilter(x, shape_of(w), g, **op.attrs), w) if dw else None,
        )

    def input_vjp(op: Any, gg: Any) -> Any:
        _, w, g = op.inputs
        _, dw, dg = needed(op)
        return (
            None,
            shaped_like(BackpropFilter(gg, shape_of(w), g, **op.attrs), w) if dw else None,
            shaped_like(Forward(gg, w, **op.attrs), g) if dg else None,
        )

    def filter_vjp(op: Any, gg: Any) -> Any:
        x, _, g = op.inputs
        dx, _, dg = needed(op)
        return (
            shaped_like(BackpropInput(shape_of(x), gg, g, **op.attrs), x) if dx else None,
            None,
            shaped_like(Forward(x, gg, **op.attrs), g) if dg else None,
        )

    Forward = Primitive(
        forward,
        "input: T, filter: T",
        impl=_forward(forward, depthwise),
        shape=_forward_shape(forward, rank, depthwise),
        vjp=forward_vjp,
        batch=batch_loop.folded(0),
        types={"T": FLOATS},
        check_first=True,
        defaults=defaults | more,
    )
    BackpropInput = Primitive(
        by_input,
        "input_sizes: Tshape, filter: T, out_backprop: T",
        impl=_grad_input(by_input, depthwise),
        shape=_sized_shape(by_input, rank, 0),
        vjp=input_vjp,
        batch=batch_loop.looped,
        types={"T": FLOATS, "Tshape": (dtypes.int32, dtypes.int64)},
        check_first=True,
        defaults=defaults | more,
    )
    BackpropFilter = Primitive(
        by_filter,
        "input: T, filter_sizes: Tshape, out_backprop: T",
        impl=_grad_filter(by_filter, depthwise),
        shape=_sized_shape(by_filter, rank, 1),
        vjp=filter_vjp,
        batch=batch_loop.looped,
        types={"T": FLOATS, "Tshape": (dtypes.int32, dtypes.int64)},
        check_first=True,
        defaults=defaults | more,
    )
    return Forward, BackpropInput, BackpropFilter


Conv2D, Conv2DBackpropInput, Conv2DBackpropFilter = _family(
    ("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter"), 2
)
Conv3D, Conv3DBackpropInputV2, Conv3DBackpropFilterV2 = _family(
    ("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2"), 3
)
(
    DepthwiseConv2dNative,
    DepthwiseConv2dNativeBackpropInput,
    DepthwiseConv2dNativeBackpropFilter,
) = _family(
    (
        "DepthwiseConv2dNative",
        "DepthwiseConv2dNativeBackpropInput",
        "DepthwiseConv2dNativeBackpropFilter",
    ),
    2,
    depthwise=True,
)


# -- convolution, bias and relu in one --------------------------------------------------------


def _fused_impl(x: Any, w: Any, bias: Any, *, relu: bool, **attrs: Any) -> Any:
    xp = array_module(x)
    if type(x) is np.ndarray and x.dtype == np.float32:
        at = windows_of("Conv2D", x.shape, w.shape[:-2], attrs)
        out = compiled.forward(x, w, at, bias, relu)
        if out is not None:
            return out
    out = Conv2D.form("gpu" if is_on_device(x) else "cpu")(x, w, **attrs)
    xp.add(out, bias, out=out)
    return xp.maximum(out, out.dtype.type(0), out=out) if relu else out


def _fused_vjp(op: Any, g: Any) -> Any:
    x, w, _ = op.inputs
    attrs = dict(op.attrs)
    if attrs.pop("relu"):
        g = ReluGrad(g, op.outputs[0])
    dx, dw, db = op.needs or (True,) * 3
    return (
        shaped_like(Conv2DBackpropInput(shape_of(x), w, g, **attrs), x) if dx else None,
        shaped_like(Conv2DBackpropFilter(x, shape_of(w), g, **attrs), w) if dw else None,
        BiasAddGrad(g, data_format="NHWC") if db else None,
    )


def _fused_shape(x: Any, w: Any, bias: Any, *, relu: bool, **attrs: Any) -> TensorSpec:
    return _forward_shape("Conv2D", 2)(x, w, **attrs)


ConvolutionBiasActivation = Primitive(
    "_ConvolutionBiasActivation",
    "input: T, filter: T, bias: T",
    impl=_fused_impl,
    shape=_fused_shape,
    vjp=_fused_vjp,
    batch=batch_loop.folded(0),
    types={"T": FLOATS},
    check_first=True,
)
