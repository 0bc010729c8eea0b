"""Greyscale morphology: dilation and erosion with a structuring function per channel.

``out[b, y, x, c] = max over i, j of (in[b, y*s + i*r, x*s + j*r, c] + filter[i, j, c])``.  The
padding never wins.  Forward and backward walk over the filter's taps, each of which is one
operation on all windows; the gradient goes to the first tap that gives the maximum.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_loop
from .array_module import array_module
from .array_sort import reverse
from .convert import to_tensor
from .dtypes import as_dtype
from .elementwise import negative
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .windows import Windows, output_size, spread_ints

__all__ = ["dilation2d", "erosion2d"]


def dilation2d(
    input: Any,
    filters: Any,
    strides: Any,
    padding: str,
    data_format: str,
    dilations: Any,
    name: str | None = None,
) -> Tensor:
    """The greatest sum of input and filter in each window: [batch, rows, columns, channels].

    Args:
        input: real numbers [batch, height, width, channels].
        filters: [height, width, channels].
        strides: [1, rows, columns, 1] between windows.
        padding: ``"SAME"`` or ``"VALID"``.
        data_format: ``"NHWC"``.
        dilations: [1, rows, columns, 1] between a window's elements.
        name: ignored.

    Raises:
        ValueError: another data format.
        InvalidArgumentError: shapes, strides or dilations do not fit.
    """
    if data_format != "NHWC":
        raise ValueError(
            f"Data formats other than NHWC are not yet supported. Received: {data_format}"
        )
    return Dilation2D(
        input,
        filters,
        strides=spread_ints(strides, 2, "NHWC", "strides"),
        rates=spread_ints(dilations, 2, "NHWC", "dilations"),
        padding=padding,
    )


def erosion2d(
    value: Any,
    filters: Any,
    strides: Any,
    padding: str,
    data_format: str,
    dilations: Any,
    name: str | None = None,
) -> Tensor:
    """The least difference of value and (turned) filter in each window: the dilation of the
    negative, negated; see `dilation2d`."""
    turned = reverse(to_tensor(filters, None), [0, 1])
    out = dilation2d(
        negative(to_tensor(value, None)), turned, strides, padding, data_format, dilations
    )
    return negative(out)


def _windows(x: Any, f: Any, strides: Any, rates: Any, padding: str) -> Windows:
    return Windows(
        x.shape[1:3], f.shape[:2], strides[1:3], rates[1:3], padding, op="Dilation2D"
    )


def _walk(x: Any, f: Any, attrs: dict[str, Any]) -> tuple[Any, Any, Windows]:
    """The maxima, the number of the tap that gives each, and the windows."""
    xp = array_module(x)
    at = _windows(x, f, **attrs)
    small = x.dtype.itemsize == 2 and x.dtype.kind not in "iu"
    wide = x.astype(np.float32) if small else x
    lowest = -np.inf if wide.dtype.kind == "f" else as_dtype(wide.dtype).min
    padded = at.pad(wide, lowest)
    inside = at.pad(xp.ones(x.shape[:3] + (1,), bool), False) if at.padded else None
    best = xp.full((len(x), *at.out, x.shape[3]), lowest, wide.dtype)
    taps = xp.full(best.shape, -1, np.int32)
    for k, ((i, j), where) in enumerate(at.taps()):
        found = padded[where] + f[i, j].astype(wide.dtype)
        better = found > best
        if inside is not None:
            better &= inside[where]
        best = xp.where(better, found, best)
        taps[better] = k
    return best.astype(x.dtype), taps, at


def _shape(x: Any, f: Any, *, strides: Any, rates: Any, padding: str) -> TensorSpec:
    op = "Dilation2D"
    if x.shape.rank not in (4, None) or f.shape.rank not in (3, None):
        raise InvalidArgumentError(
            f"input must be 4-dimensional and filter 3-dimensional, got shapes {x.shape} and "
            f"{f.shape} [Op:{op}]",
            op=op,
        )
    for what, v in (("strides", strides), ("rates", rates)):
        if len(v) != 4 or v[0] != 1 or v[3] != 1 or min(v) < 1:
            raise InvalidArgumentError(
                f"{what} must be [1, rows, columns, 1] of positive numbers, got {list(v)} "
                f"[Op:{op}]",
                op=op,
            )
    if padding not in ("SAME", "VALID"):
        raise InvalidArgumentError(f"padding must be SAME or VALID, got {padding!r}", op=op)
    if x.shape.rank is None or f.shape.rank is None:
        return TensorSpec([None] * 4, x.dtype)
    if None not in (x.shape[3], f.shape[2]) and x.shape[3] != f.shape[2]:
        raise InvalidArgumentError(
            f"input and filter must have the same depth: {x.shape[3]} vs {f.shape[2]} "
            f"[Op:{op}]",
            op=op,
        )
    space = [
        output_size(n, None if k is None else (k - 1) * r + 1, s, padding, 0, op)
        for n, k, s, r in zip(
            x.shape.dims[1:3], f.shape.dims[:2], strides[1:3], rates[1:3], strict=True
        )
    ]
    return TensorSpec([x.shape[0], *space, x.shape[3]], x.dtype)


def _vjp(op: Any, g: Any) -> Any:
    x, f = op.inputs
    return (
        Dilation2DBackpropInput(x, f, g, **op.attrs),
        Dilation2DBackpropFilter(x, f, g, **op.attrs),
    )


_REAL = FLOATS + INTEGERS
Dilation2D = Primitive(
    "Dilation2D",
    "input: T, filter: T",
    impl=lambda x, f, **attrs: _walk(x, f, attrs)[0],
    shape=_shape,
    vjp=_vjp,
    batch=batch_loop.folded(0),
    types={"T": _REAL},
    check_first=True,
    defaults={"strides": (), "rates": ()},
)


# -- gradients: sums to the winning taps, and what is read from them --------------------------


def _to_input(x: Any, f: Any, g: Any, **attrs: Any) -> Any:
    _, taps, at = _walk(x, f, attrs)
    xp = array_module(x)
    out = xp.zeros(at.padded_shape(x.shape), g.dtype)
    for k, (_, where) in enumerate(at.taps()):
        out[where] += xp.where(taps == k, g, g.dtype.type(0))
    return xp.ascontiguousarray(out[at.inside()]) if at.padded else out


def _to_filter(x: Any, f: Any, g: Any, **attrs: Any) -> Any:
    _, taps, at = _walk(x, f, attrs)
    xp = array_module(x)
    out = xp.zeros(f.shape, g.dtype)
    for k, ((i, j), _) in enumerate(at.taps()):
        out[i, j] = xp.where(taps == k, g, g.dtype.type(0)).sum((0, 1, 2), dtype=g.dtype)
    return out


def _from_input(x: Any, f: Any, gg: Any, **attrs: Any) -> Any:
    _, taps, at = _walk(x, f, attrs)
    xp = array_module(x)
    padded, out = at.pad(gg), xp.zeros(taps.shape, gg.dtype)
    for k, (_, where) in enumerate(at.taps()):
        out = xp.where(taps == k, padded[where], out)
    return out


def _from_filter(x: Any, f: Any, gg: Any, **attrs: Any) -> Any:
    _, taps, at = _walk(x, f, attrs)
    xp = array_module(x)
    out = xp.zeros(taps.shape, gg.dtype)
    for k, ((i, j), _) in enumerate(at.taps()):
        out = xp.where(taps == k, gg[i, j], out)
    return out


def _backward(name: str, impl: Any, like: int, reverse_name: str, data: tuple[int, ...]) -> Any:
    """A sum of gradients to winning taps; its own derivative reads from them."""
    reading = Primitive(
        f"_{reverse_name}",
        "input: T, filter: T, grad: T",
        impl=_from_input if like == 0 else _from_filter,
        shape=lambda x, f, gg, **attrs: _shape(x, f, **attrs),
        vjp=lambda op, g: (None, None, primitive(*op.inputs[:2], g, **op.attrs)),
        batch=batch_loop.folded(0, 2) if like == 0 else batch_loop.looped,
    )
    primitive = Primitive(
        name,
        "input: T, filter: T, out_backprop: T",
        impl=impl,
        shape=lambda x, f, g, **_: TensorSpec((x, f)[like].shape, g.dtype),
        vjp=lambda op, gg: (None, None, reading(*op.inputs[:2], gg, **op.attrs)),
        batch=batch_loop.folded(*data) if data else batch_loop.looped,
        types={"T": _REAL},
        defaults={"strides": (), "rates": ()},
    )
    return primitive


Dilation2DBackpropInput = _backward(
    "Dilation2DBackpropInput", _to_input, 0, "Dilation2DPickInput", (0, 2)
)
Dilation2DBackpropFilter = _backward(
    "Dilation2DBackpropFilter", _to_filter, 1, "Dilation2DPickFilter", ()
)
