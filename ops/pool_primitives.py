"""The primitives of pooling: maximum and average over windows, their gradients, and the
positions of maxima.

The array forms are those of `pool_plain`; on a CPU and in float32 those of `kernels.pooling`
take over where they are compiled already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_loop, dtypes, pool_plain
from .array_basics import shape as shape_of
from .array_module import array_module
from .conv_primitives import shaped_like
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .kernels import pooling as compiled
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS
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

__all__ = ["AvgPool", "AvgPool3D", "MaxPool", "MaxPool3D", "MaxPoolWithArgmax"]

_ORDERED = FLOATS + INTEGERS


def _windows(op: str, shape: tuple[int, ...], attrs: dict[str, Any]) -> Windows:
    data_format = attrs.get("data_format", "NHWC")
    pads = attrs.get("explicit_paddings") or ()
    pairs = tuple(zip(pads[::2], pads[1::2], strict=True))
    return Windows(
        shape[1:-1],
        space_of(attrs["ksize"], data_format),
        space_of(attrs["strides"], data_format),
        _gaps(attrs, len(shape)),
        attrs["padding"],
        space_of(pairs, data_format) if pairs else (),
        op,
    )


def _gaps(attrs: dict[str, Any], rank: int) -> tuple[int, ...]:
    """Dilations of the space axes; TensorFlow's own primitives have none."""
    found = attrs.get("dilations")
    return (1,) * (rank - 2) if found is None else space_of(found, attrs["data_format"])


def _output_shape(op: str, x: TensorShape, rank: int, attrs: dict[str, Any]) -> TensorShape:
    data_format = attrs.get("data_format", "NHWC")
    if x.rank not in (None, rank + 2):
        raise InvalidArgumentError(
            f"tensor_in must be {rank + 2}-dimensional, got shape {x} [Op:{op}]", op=op
        )
    if attrs["padding"] not in ("SAME", "VALID", "EXPLICIT"):
        raise InvalidArgumentError(
            f"Value for attr 'padding' of \"{attrs['padding']}\" is not in the list of allowed "
            f'values: "SAME", "VALID", "EXPLICIT" [Op:{op}]',
            op=op,
        )
    first = channels_first(data_format)
    for what in ("ksize", "strides"):
        values = attrs[what]
        if len(values) != rank + 2:
            raise InvalidArgumentError(
                f"Sliding window {what} field must specify {rank + 2} dimensions, got "
                f"{list(values)} [Op:{op}]",
                op=op,
            )
        if min(values) < 1:
            raise InvalidArgumentError(
                f"Sliding window {what} must be positive, got {list(values)} [Op:{op}]", op=op
            )
        if values[0] != 1 or values[1 if first else -1] != 1:
            raise InvalidArgumentError(
                f"Pooling is not yet supported on the batch or depth dimension, got {what} "
                f"{list(values)} [Op:{op}]",
                op=op,
            )
    if x.rank is None:
        return TensorShape([None] * (rank + 2))
    pads = attrs.get("explicit_paddings") or ()
    sums = tuple(a + b for a, b in zip(pads[::2], pads[1::2], strict=True))
    space = [
        output_size(n, (k - 1) * d + 1, s, attrs["padding"], e, op)
        for n, k, s, d, e in zip(
            space_of(x.dims, data_format),
            space_of(attrs["ksize"], data_format),
            space_of(attrs["strides"], data_format),
            _gaps(attrs, rank + 2),
            space_of(sums, data_format) if sums else (0,) * rank,
            strict=True,
        )
    ]
    channels = x[1 if first else -1]
    return TensorShape([x[0], channels, *space] if first else [x[0], *space, channels])


def _forward_shape(op: str, rank: int) -> Callable[..., TensorSpec]:
    def rule(x: Any, **attrs: Any) -> TensorSpec:
        return TensorSpec(_output_shape(op, x.shape, rank, attrs), x.dtype)

    return rule


def _wide(*arrays: Any) -> tuple[Any, ...]:
    """16-bit floats as float32."""
    small = arrays[0].dtype.itemsize == 2 and arrays[0].dtype.kind not in "iu"
    return tuple(a.astype(np.float32) for a in arrays) if small else arrays


def _on_channels_last(
    op: str, call: Callable[..., Any], fast: Callable[..., Any] | None = None
) -> Callable[..., Any]:
    """An array form for data in any format from one for channels last: ``call(*data, at)``."""

    def impl(*arrays: Any, **attrs: Any) -> Any:
        data_format, dtype = attrs["data_format"], arrays[-1].dtype
        data = _wide(*(to_channels_last(a, data_format) for a in arrays))
        at = _windows(op, data[0].shape, attrs)
        out = None if fast is None else fast(*data, at)
        if out is None:
            out = call(*data, at)
        return from_channels_last(out.astype(dtype, copy=False), data_format)

    return impl


# -- maximum ----------------------------------------------------------------------------------


def _max_family(names: tuple[str, str, str], rank: int) -> tuple[Primitive, ...]:
    pool, grad, pick = names
    defaults: dict[str, Any] = {"data_format": "NHWC" if rank == 2 else "NDHWC"}
    if rank == 2:
        defaults["explicit_paddings"] = ()

    def pool_vjp(op: Any, g: Any) -> Any:
        return (Grad(op.inputs[0], op.outputs[0], g, **op.attrs),)

    def grad_vjp(op: Any, gg: Any) -> Any:
        x, y, _ = op.inputs
        return None, None, Pick(x, y, gg, **op.attrs)

    def pick_vjp(op: Any, ggg: Any) -> Any:
        x, y, _ = op.inputs
        return None, None, Grad(x, y, ggg, **op.attrs)

    Pool = Primitive(
        pool,
        "input: T",
        impl=_on_channels_last(pool, pool_plain.maximum, compiled.maximum),
        shape=_forward_shape(pool, rank),
        vjp=pool_vjp,
        batch=batch_loop.folded(0),
        types={"T": _ORDERED},
        check_first=True,
        defaults=defaults,
    )
    Grad = Primitive(
        grad,
        "orig_input: T, orig_output: T, grad: T",
        impl=_on_channels_last(grad, pool_plain.maximum_grad, compiled.maximum_grad),
        shape=lambda x, y, g, **_: TensorSpec(x.shape, g.dtype),
        vjp=grad_vjp,
        batch=batch_loop.folded(0, 1, 2),
        types={"T": _ORDERED},
        defaults=defaults,
    )
    Pick = Primitive(
        pick,
        "orig_input: T, orig_output: T, grad: T",
        impl=_on_channels_last(pick, pool_plain.maximum_pick),
        shape=lambda x, y, g, **_: TensorSpec(y.shape, g.dtype),
        vjp=pick_vjp,
        batch=batch_loop.folded(0, 1, 2),
        types={"T": _ORDERED},
        defaults=defaults,
    )
    return Pool, Grad, Pick


MaxPool, MaxPoolGrad, MaxPoolGradGrad = _max_family(
    ("MaxPool", "MaxPoolGrad", "MaxPoolGradGrad"), 2
)
MaxPool3D, MaxPool3DGrad, MaxPool3DGradGrad = _max_family(
    ("MaxPool3D", "MaxPool3DGrad", "MaxPool3DGradGrad"), 3
)


def _argmax_impl(x: Any, **attrs: Any) -> Any:
    xp = array_module(x)
    (wide,) = _wide(x)
    at = _windows("MaxPoolWithArgmax", x.shape, attrs)
    best = pool_plain.maximum_position(wide, at)
    tall, broad, channels = x.shape[1:]
    rows = best // at.kernel[1] + xp.arange(at.out[0])[:, None, None] * at.strides[0]
    columns = best % at.kernel[1] + xp.arange(at.out[1])[:, None] * at.strides[1]
    index = ((rows - at.before[0]) * broad + columns - at.before[1]) * channels
    index += xp.arange(channels)
    if attrs["include_batch_in_index"]:
        index += xp.arange(x.shape[0])[:, None, None, None] * (tall * broad * channels)
    out = pool_plain.maximum(wide, at).astype(x.dtype, copy=False)
    return out, index.astype(attrs["Targmax"].np_dtype)


def _argmax_shape(x: Any, **attrs: Any) -> Any:
    shape = _output_shape("MaxPoolWithArgmax", x.shape, 2, attrs)
    return TensorSpec(shape, x.dtype), TensorSpec(shape, attrs["Targmax"])


def _argmax_vjp(op: Any, g: Any, _: Any) -> Any:
    attrs = {k: op.attrs[k] for k in ("ksize", "strides", "padding")}
    attrs |= {"data_format": "NHWC", "explicit_paddings": ()}
    return (MaxPoolGrad(op.inputs[0], op.outputs[0], g, **attrs),)


MaxPoolWithArgmax = Primitive(
    "MaxPoolWithArgmax",
    "input: T",
    impl=_argmax_impl,
    shape=_argmax_shape,
    vjp=_argmax_vjp,
    batch=batch_loop.looped,  # the index counts inside an element
    types={"T": _ORDERED},
    check_first=True,
    defaults={"Targmax": dtypes.int64, "include_batch_in_index": False},
)


# -- average ----------------------------------------------------------------------------------


def _avg_family(names: tuple[str, str], rank: int) -> tuple[Primitive, ...]:
    pool, grad = names
    defaults: dict[str, Any] = {"data_format": "NHWC" if rank == 2 else "NDHWC"}

    def pool_vjp(op: Any, g: Any) -> Any:
        x = op.inputs[0]
        return (shaped_like(Grad(shape_of(x), g, **op.attrs), x),)

    def grad_impl(sizes: Any, g: Any, **attrs: Any) -> Any:
        data_format, dtype = attrs["data_format"], g.dtype
        shape = tuple(int(n) for n in sizes)
        if channels_first(data_format):
            shape = (shape[0], *shape[2:], shape[1])
        (g,) = _wide(to_channels_last(g, data_format))
        out = pool_plain.average_grad(shape, g, _windows(grad, shape, attrs))
        return from_channels_last(out.astype(dtype, copy=False), data_format)

    def grad_shape(sizes: Any, g: Any, **attrs: Any) -> TensorSpec:
        known = constant_value(sizes)
        if known is None:
            return TensorSpec([None] * (rank + 2), g.dtype)
        return TensorSpec([int(n) for n in known], g.dtype)

    Pool = Primitive(
        pool,
        "value: T",
        impl=_on_channels_last(pool, pool_plain.average),
        shape=_forward_shape(pool, rank),
        vjp=pool_vjp,
        batch=batch_loop.folded(0),
        types={"T": FLOATS},
        check_first=True,
        defaults=defaults,
    )
    Grad = Primitive(
        grad,
        "orig_input_shape: Tshape, grad: T",
        impl=grad_impl,
        shape=grad_shape,
        vjp=lambda op, gg: (None, Pool(gg, **op.attrs)),
        batch=batch_loop.looped,
        types={"T": FLOATS, "Tshape": (dtypes.int32, dtypes.int64)},
        defaults=defaults,
    )
    return Pool, Grad


AvgPool, AvgPoolGrad = _avg_family(("AvgPool", "AvgPoolGrad"), 2)
AvgPool3D, AvgPool3DGrad = _avg_family(("AvgPool3D", "AvgPool3DGrad"), 3)
