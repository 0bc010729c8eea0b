"""Batch normalization in training: by cuDNN's graphs, or as fused chains of our own.

| `x` | GPUs | by |
|---|---|---|
| float16, bfloat16, channels a multiple of 8 | from sm_80 on | cuDNN |
| float32, float64, other numbers of channels | all | fused chains |
| float16, bfloat16 | sm_75 | fused chains |

cuDNN 9.28 has engines for float32, too (channels a multiple of 4), but the chains read and
write no more than they do.  For normalization by given statistics (inference) it has no engine
by itself on any GPU: that is a factor and an offset per channel, in the chain it stands in.

The chains are one pass for the statistics and one for the results.  Sums over the rows are of
differences from the first row, so that a large mean does not swallow the variance.  Layer
normalization needs nothing here: where a graph has it, it is one fused chain, whose rows stay
in registers.
"""

from __future__ import annotations

import functools
from typing import Any, NamedTuple

import numpy as np

from ..determinism import is_deterministic
from ..dtypes import DType, as_dtype, float32
from ..graph.fused import Program
from ..graph.loops import Step
from . import loops
from .device import current
from .frontend import DTYPES, Built, Described, channels_last, find, frontend, run

__all__ = ["BatchNormPlan", "batch_norm", "batch_norm_grad", "describe"]


class BatchNormPlan(NamedTuple):
    """What decides about a graph.

    Attributes:
        way: "forward" or "backward".
        dtype: of the input, a name.
        batch, channels, space: sizes.
        epsilon: added to the variance; 0 backward, where the inverse is given.
        steady: only engines that give the same result every time.
    """

    way: str
    dtype: str
    batch: int
    channels: int
    space: tuple[int, ...]
    epsilon: float
    steady: bool


def describe(plan: BatchNormPlan, cudnn: Any, handle: Any = None) -> Described:
    """A plan's graph, not yet built.

    Its tensors are, forward: x, scale, offset, the results, means and inverse deviations;
    backward: gradients of the results, x, scale, means and inverse deviations, gradients of x,
    scale and offset.
    """
    kind, wide = getattr(cudnn.data_type, DTYPES[plan.dtype]), cudnn.data_type.FLOAT
    graph = cudnn.pygraph(
        io_data_type=kind,
        intermediate_data_type=wide,
        compute_data_type=wide,
        **({} if handle is None else {"handle": handle}),
    )
    ones = (1,) * len(plan.space)
    whole = channels_last(plan.batch, plan.channels, plan.space)
    vector = channels_last(1, plan.channels, ones)

    def rows(name: str) -> Any:
        return graph.tensor(name=name, data_type=kind, **whole)

    def channel(name: str) -> Any:
        return graph.tensor(name=name, data_type=wide, **vector)

    numbers = []
    if plan.way == "forward":
        read = [rows("x"), channel("scale"), channel("offset")]
        epsilon = graph.tensor(
            name="epsilon", data_type=wide, is_pass_by_value=True, **channels_last(1, 1, ones)
        )
        numbers = [(epsilon, np.full(1, plan.epsilon, np.float32))]
        made = graph.batchnorm(
            input=read[0], scale=read[1], bias=read[2], in_running_mean=None,
            in_running_var=None, epsilon=epsilon, momentum=None,
        )[:3]  # fmt: skip
    else:
        read = [rows("g"), rows("x"), channel("scale"), channel("mean"), channel("inverse")]
        made = graph.batchnorm_backward(
            grad=read[0], input=read[1], scale=read[2], mean=read[3], inv_variance=read[4]
        )
    for tensor, data_type, layout in zip(
        made, (kind, wide, wide), (whole, vector, vector), strict=True
    ):
        tensor.set_output(True).set_data_type(data_type)
        tensor.set_dim(layout["dim"]).set_stride(layout["stride"])
    return Described(graph, [*read, *made], numbers)


def _graph(way: str, x: Any, epsilon: float) -> Built | None:
    """cuDNN's graph for an input, if the table above gives it that input."""
    channels = x.shape[-1]
    if x.dtype.itemsize != 2 or channels % 8 or frontend() is None:
        return None
    batch, space = x.shape[0], tuple(x.shape[1:-1])
    if len(space) not in (2, 3):
        batch, space = x.size // channels, (1, 1)
    name = x.dtype.name
    plan = BatchNormPlan(way, name, batch, channels, space, epsilon, is_deterministic())
    return find(plan, describe)


def _program(inputs: list[DType], steps: list[Step], outputs: list[int], name: str) -> Program:
    return Program(inputs, [False] * len(inputs), [], [], steps, outputs, name, least=1)


def _total(ref: int, dtype: DType) -> Step:
    return Step("reduce", (ref,), dtype, "sum", "lead", False)


def _wide(dtype: DType) -> DType:
    return float32 if dtype.size == 2 else dtype


@functools.cache
def _sums(dtype: DType) -> Program:
    """x, first row -> sums of the differences and of their squares."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("map", (2, 1), wide, "a - b"),
        Step("map", (3,), wide, "a * a"),
        _total(3, wide),
        _total(4, wide),
    ]
    return _program([dtype, wide], steps, [5, 6], "BatchNormSums")


@functools.cache
def _scaled(dtype: DType) -> Program:
    """x, factor, offset -> x * factor + offset."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("map", (3, 1, 2), wide, "a * b + c"),
        Step("cast", (4,), dtype),
    ]
    return _program([dtype, wide, wide], steps, [5], "BatchNorm")


@functools.cache
def _grad_sums(dtype: DType) -> Program:
    """g, x, mean -> sums of g and of g * (x - mean)."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("cast", (1,), wide),
        Step("map", (3, 4, 2), wide, "a * (b - c)"),
        _total(3, wide),
        _total(5, wide),
    ]
    return _program([dtype, dtype, wide], steps, [6, 7], "BatchNormGradSums")


@functools.cache
def _grad(dtype: DType) -> Program:
    """g, x, and per column: factors of g and x, and what is added."""
    wide = _wide(dtype)
    steps = [
        Step("cast", (0,), wide),
        Step("cast", (1,), wide),
        Step("map", (5, 2, 6, 3, 4), wide, "a * b + c * d + e"),
        Step("cast", (7,), dtype),
    ]
    return _program([dtype, dtype, wide, wide, wide], steps, [8], "BatchNormGrad")


def _takes(x: Any) -> bool:
    dtype = as_dtype(x.dtype)
    return dtype.is_floating and x.ndim > 1 and x.size > 0 and x.shape[-1] > 1


def batch_norm(x: Any, scale: Any, offset: Any, epsilon: float) -> Any:
    """The results, of the dtype of `x`, and means and variances of its channels, of that of
    `scale`; NotImplemented for what no kernel takes.

    Args:
        x: [..., channels].
        scale, offset: [channels], float32 for 16-bit `x`.
        epsilon: added to the variance.
    """
    if not _takes(x) or as_dtype(scale.dtype) is not _wide(as_dtype(x.dtype)):
        return NotImplemented
    xp, dtype, wide = current().xp, as_dtype(x.dtype), scale.dtype
    graph = _graph("forward", x, float(epsilon))
    if graph is not None:
        arrays = [xp.ascontiguousarray(a) for a in (x, scale, offset)]
        y = xp.empty(x.shape, x.dtype)
        mean, inverse = (xp.empty(scale.shape, wide) for _ in range(2))
        run(graph, (*arrays, y, mean, inverse))
        variance = wide.type(1) / (inverse * inverse) - wide.type(epsilon)
        return y, mean, xp.maximum(variance, wide.type(0))
    rows = x.reshape((-1, x.shape[-1]))
    shift = rows[0].astype(wide)
    found = loops.run(_sums(dtype), (rows, shift))
    if found is None:
        return NotImplemented
    count = wide.type(rows.shape[0])
    mean = found[0] / count
    variance = xp.maximum(found[1] / count - mean * mean, wide.type(0))
    mean = mean + shift
    factor = scale / xp.sqrt(variance + wide.type(epsilon))
    done = loops.run(_scaled(dtype), (rows, factor, offset - mean * factor))
    assert done is not None
    return done[0].reshape(x.shape), mean, variance


def batch_norm_grad(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, epsilon: float
) -> Any:
    """Gradients of x, scale and offset, from that of the results; NotImplemented for what no
    kernel takes."""
    if not _takes(x) or as_dtype(scale.dtype) is not _wide(as_dtype(x.dtype)):
        return NotImplemented
    xp, dtype, wide = current().xp, as_dtype(x.dtype), scale.dtype
    graph = _graph("backward", x, 0.0)
    if graph is not None:
        inverse = wide.type(1) / xp.sqrt(variance + wide.type(epsilon))
        arrays = [xp.ascontiguousarray(a) for a in (g, x, scale, mean, inverse)]
        made = [xp.empty(a.shape, a.dtype) for a in (x, scale, scale)]
        run(graph, (*arrays, *made))
        return tuple(made)
    rows, slopes = (a.reshape((-1, x.shape[-1])) for a in (x, g))
    found = loops.run(_grad_sums(dtype), (slopes, rows, mean))
    if found is None:
        return NotImplemented
    count = wide.type(rows.shape[0])
    inverse = wide.type(1) / xp.sqrt(variance + wide.type(epsilon))
    doffset, dscale = found[0], found[1] * inverse
    factor = scale * inverse
    # dx = factor * (g - doffset / n - (x - mean) * dscale * inverse / n)
    of_x = -factor * inverse * dscale / count
    added = -factor * doffset / count - of_x * mean
    done = loops.run(_grad(dtype), (slopes, rows, factor, of_x, added))
    assert done is not None
    return done[0].reshape(x.shape), dscale, doffset
