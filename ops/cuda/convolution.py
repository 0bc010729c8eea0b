"""Convolution by graphs of cuDNN's frontend (``nvidia-cudnn-frontend``), and both ways back.

A graph is built per geometry and dtype and kept.  Data goes channels last, filters as cuDNN's
tensor-core engines want them, [filters, *space, channels]; TensorFlow's padding that differs
before and after is made by copying into a larger array.  16-bit floats are summed up in
float32; float32 uses TF32 only if `hr.config` says so.  Where cuDNN or its frontend is missing,
or has no engine, the calls stay with the generic form.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

from ..determinism import is_deterministic
from ..devices import devices
from ..windows import Windows
from .device import current
from .frontend import DTYPES, Described, channels_last, find, frontend, run

__all__ = ["ConvolutionPlan", "describe", "forward", "grad_filter", "grad_input"]


class ConvolutionPlan(NamedTuple):
    """What decides about a graph.

    Attributes:
        way: "forward", "input" or "filter": what is made.
        dtype: of all arrays, a name.
        batch, channels, filters: sizes; `depth` channels belong to each filter.
        at: sizes of the input, of the output, of the window, strides, dilations, padding; each
            per space axis.
        exact: no TF32.
        steady: only engines that give the same result every time.
    """

    way: str
    dtype: str
    batch: int
    channels: int
    filters: int
    depth: int
    size: tuple[int, ...]
    out: tuple[int, ...]
    kernel: tuple[int, ...]
    strides: tuple[int, ...]
    dilations: tuple[int, ...]
    padding: tuple[int, ...]
    exact: bool
    steady: bool


def describe(plan: ConvolutionPlan, cudnn: Any, handle: Any = None) -> Described:
    """A plan's graph, not yet built; its tensors are two that are read, one written."""
    kind = getattr(cudnn.data_type, DTYPES[plan.dtype])
    graph = cudnn.pygraph(
        io_data_type=kind,
        intermediate_data_type=cudnn.data_type.FLOAT,
        compute_data_type=cudnn.data_type.FLOAT,
        **({} if handle is None else {"handle": handle}),
    )
    layouts = {
        "x": channels_last(plan.batch, plan.channels, plan.size),
        "y": channels_last(plan.batch, plan.filters, plan.out),
        "w": channels_last(plan.filters, plan.depth, plan.kernel),
    }
    made = {"forward": "y", "input": "x", "filter": "w"}[plan.way]
    tensors = [graph.tensor(name=n, data_type=kind, **layouts[n]) for n in "xwy" if n != made]
    geometry = {
        "padding": list(plan.padding),
        "stride": list(plan.strides),
        "dilation": list(plan.dilations),
    }
    if plan.way == "forward":
        out = graph.conv_fprop(image=tensors[0], weight=tensors[1], **geometry)
    elif plan.way == "input":
        out = graph.conv_dgrad(loss=tensors[1], filter=tensors[0], **geometry)
        out.set_dim(layouts[made]["dim"])
    else:
        out = graph.conv_wgrad(image=tensors[0], loss=tensors[1], **geometry)
        out.set_dim(layouts[made]["dim"])
    out.set_output(True).set_data_type(kind).set_stride(layouts[made]["stride"])
    return Described(graph, [*tensors, out])


def _run(plan: ConvolutionPlan, a: Any, b: Any, shape: tuple[int, ...]) -> Any:
    found = find(plan, describe)
    if found is None:
        return NotImplemented
    out = current().xp.empty(shape, a.dtype)
    run(found, (a, b, out))
    return out


def _takes(*arrays: Any) -> bool:
    return frontend() is not None and all(
        a.dtype.name in DTYPES and a.dtype == arrays[0].dtype and a.size for a in arrays
    )


def _plan(
    way: str, dtype: Any, batch: int, channels: int, filters: int, depth: int, at: Windows,
    padding: tuple[int, ...], size: tuple[int, ...],
) -> ConvolutionPlan:  # fmt: skip
    exact = dtype.name == "float32" and not devices.tensor_float_32
    return ConvolutionPlan(
        way, dtype.name, batch, channels, filters, depth, size, at.out, at.kernel, at.strides,
        at.dilations, padding, exact, is_deterministic(),
    )  # fmt: skip


def _padded(at: Windows) -> tuple[tuple[int, ...], tuple[int, ...], bool]:
    """Padding that cuDNN makes, the size of its input, and whether that is `at`'s own."""
    if at.before == at.after:
        return at.before, at.size, True
    sizes = zip(at.before, at.size, at.after, strict=True)
    return (0,) * len(at.size), tuple(b + n + a for b, n, a in sizes), False


def _filters_first(w: Any) -> Any:
    """[*space, depth, filters] as cuDNN's [filters, *space, depth]."""
    return current().xp.ascontiguousarray(w.transpose((w.ndim - 1, *range(w.ndim - 1))))


def forward(x: Any, w: Any, at: Windows) -> Any:
    """[batch, *out, filters] of [batch, *space, channels] and [*kernel, depth, filters];
    NotImplemented where cuDNN does not do it."""
    if not _takes(x, w):
        return NotImplemented
    padding, size, own = _padded(at)
    x = current().xp.ascontiguousarray(x if own else at.pad(x))
    depth, filters = w.shape[-2:]
    plan = _plan("forward", x.dtype, x.shape[0], x.shape[-1], filters, depth, at, padding, size)
    return _run(plan, x, _filters_first(w), (x.shape[0], *at.out, filters))


def grad_input(shape: tuple[int, ...], w: Any, g: Any, at: Windows) -> Any:
    """The gradient of an input of `shape`, from that of the output."""
    if not _takes(w, g) or not math.prod(shape):
        return NotImplemented
    padding, size, own = _padded(at)
    depth, filters = w.shape[-2:]
    plan = _plan("input", g.dtype, shape[0], shape[-1], filters, depth, at, padding, size)
    xp = current().xp
    out = _run(plan, _filters_first(w), xp.ascontiguousarray(g), (shape[0], *size, shape[-1]))
    if out is NotImplemented or own:
        return out
    return xp.ascontiguousarray(out[at.inside()])


def grad_filter(x: Any, shape: tuple[int, ...], g: Any, at: Windows) -> Any:
    """The gradient of a filter of `shape`, from that of the output."""
    if not _takes(x, g) or not math.prod(shape):
        return NotImplemented
    padding, size, own = _padded(at)
    xp = current().xp
    x = xp.ascontiguousarray(x if own else at.pad(x))
    depth, filters = shape[-2:]
    plan = _plan("filter", x.dtype, x.shape[0], x.shape[-1], filters, depth, at, padding, size)
    out = _run(plan, x, xp.ascontiguousarray(g), (filters, *shape[:-2], depth))
    if out is NotImplemented:
        return out
    return xp.ascontiguousarray(out.transpose((*range(1, out.ndim), 0)))
