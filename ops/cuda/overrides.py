"""Registers the array forms for GPUs in front of the generic ones, per primitive.

Imported when a GPU is first found.  Each form takes the calls it has a kernel for and returns
NotImplemented for all others, which then go through the primitive's own `impl` with CuPy.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import random_ops
from ..array_gather import GatherV2, _GatherGrad
from ..attention import Attention, AttentionGrad
from ..conv_primitives import Conv2D, ConvolutionBiasActivation, windows_of
from ..devices import devices
from ..einsums import Einsum
from ..graph.fused import Fused
from ..grouped_cast import GroupedCast
from ..linalg_ops import BatchMatMulV2, MatMul
from ..nn_losses import SoftmaxCrossEntropyWithLogits, SparseSoftmaxCrossEntropyWithLogits
from ..norm_ops import (
    FusedBatchNormGradV3,
    FusedBatchNormV3,
    _BatchNorm,
    _BatchNormGrad,
    moving_averages,
)
from ..pool_primitives import _windows
from ..primitive import Primitive, get_primitive
from ..random_generator import StatefulRandom
from ..recurrent import GRU, LSTM, GRUGrad, LSTMGrad
from ..windows import channels_first, from_channels_last, to_channels_last
from . import (
    attention,
    casts,
    convolution,
    cross_entropy,
    device,
    einsum,
    embedding,
    epilogues,
    gemm,
    loops,
    norms,
    pooling,
    random,
    recurrent,
)

__all__ = ["FORMS"]

#: The forms registered here, by their primitives' names.
FORMS: dict[str, Callable[..., Any]] = {}


def _for_gpus(primitive: Primitive | str) -> Callable[[Any], Any]:
    """A decorator: the form for arrays that CUDA kernels can read."""
    found = get_primitive(primitive) if isinstance(primitive, str) else primitive

    def register(form: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(form)
        def checked(*arrays: Any, **attrs: Any) -> Any:
            backend = devices.backend
            if not device.in_use() and (backend is None or not backend.native):
                return NotImplemented  # what stands for a GPU in tests has no kernels
            return form(*arrays, **attrs)

        found.override("gpu")(checked)
        FORMS[found.name] = form
        return form

    return register


# -- chains, products -------------------------------------------------------------------------


@_for_gpus(Fused)
def _fused(*arrays: Any, program: Any, specs: Any) -> Any:
    found = loops.run(program, arrays)
    return NotImplemented if found is None else found


@_for_gpus(GroupedCast)
def _casts(*arrays: Any, DstT: Any) -> Any:
    return casts.cast_all(arrays, DstT)


@_for_gpus(MatMul)
def _matmul(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return gemm.matmul(a, b, transpose_a, transpose_b)


@_for_gpus(BatchMatMulV2)
def _batch_matmul(x: Any, y: Any, *, adj_x: bool, adj_y: bool) -> Any:
    return gemm.matmul(x, y, adj_x, adj_y)


@_for_gpus(Einsum)
def _einsum(*arrays: Any, equation: str) -> Any:
    return einsum.einsum(*arrays, equation=equation)


# -- attention --------------------------------------------------------------------------------

_for_gpus(Attention)(attention.forward)
_for_gpus(AttentionGrad)(attention.backward)


# -- convolution, pooling, normalization ------------------------------------------------------


def _convolutions(forward: str, by_input: str, by_filter: str, depthwise: bool = False) -> None:
    def grouped(w: Any) -> Any:
        """[*kernel, channels, times] as filters of one channel each."""
        return w.reshape((*w.shape[:-2], 1, -1)) if depthwise else w

    def filters(shape: tuple[int, ...]) -> tuple[int, ...]:
        return (*shape[:-2], 1, shape[-2] * shape[-1]) if depthwise else shape

    @_for_gpus(forward)
    def run(x: Any, w: Any, **attrs: Any) -> Any:
        data_format = attrs["data_format"]
        x = to_channels_last(x, data_format)
        at = windows_of(forward, x.shape, w.shape[:-2], attrs)
        out = convolution.forward(x, grouped(w), at)
        return out if out is NotImplemented else from_channels_last(out, data_format)

    @_for_gpus(by_input)
    def back(sizes: Any, w: Any, g: Any, **attrs: Any) -> Any:
        data_format = attrs["data_format"]
        shape = _last(tuple(int(n) for n in sizes), data_format)
        g = to_channels_last(g, data_format)
        at = windows_of(by_input, shape, w.shape[:-2], attrs)
        if tuple(g.shape[1:-1]) != at.out or g.shape[0] != shape[0]:
            return NotImplemented  # which raises the error
        out = convolution.grad_input(shape, grouped(w), g, at)
        return out if out is NotImplemented else from_channels_last(out, data_format)

    @_for_gpus(by_filter)
    def weigh(x: Any, sizes: Any, g: Any, **attrs: Any) -> Any:
        data_format = attrs["data_format"]
        shape = tuple(int(n) for n in sizes)
        x, g = to_channels_last(x, data_format), to_channels_last(g, data_format)
        at = windows_of(by_filter, x.shape, shape[:-2], attrs)
        out = convolution.grad_filter(x, filters(shape), g, at)
        return out if out is NotImplemented else out.reshape(shape)


_convolutions("Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter")
_convolutions("Conv3D", "Conv3DBackpropInputV2", "Conv3DBackpropFilterV2")
_convolutions(
    "DepthwiseConv2dNative",
    "DepthwiseConv2dNativeBackpropInput",
    "DepthwiseConv2dNativeBackpropFilter",
    depthwise=True,
)


@_for_gpus(ConvolutionBiasActivation)
def _with_bias(x: Any, w: Any, bias: Any, *, relu: bool, **attrs: Any) -> Any:
    if channels_first(attrs["data_format"]):
        return NotImplemented
    return epilogues.add_bias(Conv2D.form("gpu")(x, w, **attrs), bias, relu)


def _last(shape: tuple[int, ...], data_format: str) -> tuple[int, ...]:
    return (shape[0], *shape[2:], shape[1]) if channels_first(data_format) else shape


def _pools(op: str, call: Callable[..., Any]) -> None:
    @_for_gpus(op)
    def run(*arrays: Any, **attrs: Any) -> Any:
        data_format = attrs["data_format"]
        data = [to_channels_last(a, data_format) for a in arrays]
        out = call(*data, _windows(op, data[0].shape, attrs))
        return out if out is NotImplemented else from_channels_last(out, data_format)


_POOLS: dict[str, Callable[..., Any]] = {
    "MaxPool": pooling.maximum,
    "MaxPool3D": pooling.maximum,
    "MaxPoolGrad": pooling.maximum_grad,
    "MaxPool3DGrad": pooling.maximum_grad,
    "AvgPool": pooling.average,
    "AvgPool3D": pooling.average,
}
for _op, _call in _POOLS.items():
    _pools(_op, _call)


def _average_grads(op: str) -> None:
    @_for_gpus(op)
    def run(sizes: Any, g: Any, **attrs: Any) -> Any:
        data_format = attrs["data_format"]
        shape = _last(tuple(int(n) for n in sizes), data_format)
        g = to_channels_last(g, data_format)
        out = pooling.average_grad(shape, g, _windows(op, shape, attrs))
        return out if out is NotImplemented else from_channels_last(out, data_format)


_average_grads("AvgPoolGrad")
_average_grads("AvgPool3DGrad")


@_for_gpus(_BatchNorm)
def _batch_norm(x: Any, scale: Any, offset: Any, *, epsilon: float) -> Any:
    return norms.batch_norm(x, scale, offset, epsilon)


@_for_gpus(_BatchNormGrad)
def _batch_norm_grad(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, *, epsilon: float
) -> Any:
    return norms.batch_norm_grad(g, x, scale, mean, variance, epsilon)


@_for_gpus(FusedBatchNormV3)
def _fused_batch_norm(
    x: Any, scale: Any, offset: Any, mean: Any, variance: Any, *, epsilon: float,
    exponential_avg_factor: float, data_format: str, is_training: bool,
) -> Any:  # fmt: skip
    if not is_training:
        return NotImplemented
    x = to_channels_last(x, data_format)
    found = norms.batch_norm(x, scale, offset, epsilon)
    if found is NotImplemented:
        return found
    y, m, v = found
    moved = moving_averages(mean, variance, m, v, x.size // scale.size, exponential_avg_factor)
    return from_channels_last(y, data_format), *moved, m, v, scale[:0]


@_for_gpus(FusedBatchNormGradV3)
def _fused_batch_norm_grad(
    g: Any, x: Any, scale: Any, mean: Any, variance: Any, reserve: Any, *, epsilon: float,
    data_format: str, is_training: bool,
) -> Any:  # fmt: skip
    if not is_training:
        return NotImplemented
    g, x = (to_channels_last(a, data_format) for a in (g, x))
    found = norms.batch_norm_grad(g, x, scale, mean, variance, epsilon)
    if found is NotImplemented:
        return found
    dx, dscale, doffset = found
    return from_channels_last(dx, data_format), dscale, doffset, scale[:0], scale[:0]


# -- losses, embeddings -----------------------------------------------------------------------

_for_gpus(SoftmaxCrossEntropyWithLogits)(cross_entropy.dense)
_for_gpus(SparseSoftmaxCrossEntropyWithLogits)(cross_entropy.sparse)


@_for_gpus(GatherV2)
def _gather(params: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    if axis != 0 or batch_dims:
        return NotImplemented
    return embedding.gather(params, indices)


@_for_gpus(_GatherGrad)
def _gather_grad(g: Any, params: Any, indices: Any, *, axis: int, batch_dims: int) -> Any:
    xp = device.current().xp
    dims, batch = params.shape, math.prod(params.shape[:batch_dims])
    middle, rest = math.prod(dims[batch_dims:axis]), math.prod(dims[axis + 1 :])
    count = math.prod(indices.shape[batch_dims:])
    start = xp.arange(batch * middle).reshape((batch, middle, 1)) * dims[axis]
    rows = (start + indices.reshape((batch, 1, count))).reshape(-1)
    out = xp.zeros((batch * middle * dims[axis], rest), g.dtype)
    done = embedding.add_rows(out, rows, g.reshape((rows.size, rest)))
    return done if done is NotImplemented else out.reshape(dims)


# -- random numbers ---------------------------------------------------------------------------


def _draws(stateful: str, stateless: str, kind: str) -> None:
    @_for_gpus(stateful)
    def run(shape: Any, *, dtype: Any, seed: int, seed2: int) -> Any:
        if not random.makes(kind, dtype):
            return NotImplemented
        dims = random_ops._dims(shape)
        n = math.prod(dims)
        stream = (kind, dtype.name, seed, seed2)
        place = random.take(stream, seed, seed2, n * random_ops._RESERVED)
        out = random.draw(kind, n, dtype, *place)
        return out.reshape(dims)

    @_for_gpus(stateless)
    def from_seed(shape: Any, seed: Any, *, dtype: Any) -> Any:
        dims = random_ops._dims(shape)
        out = random.draw_seeded(kind, math.prod(dims), dtype, seed)
        return out if out is NotImplemented else out.reshape(dims)


_draws("RandomUniform", "StatelessRandomUniform", "uniform")
_draws("RandomStandardNormal", "StatelessRandomNormal", "normal")
_draws("TruncatedNormal", "StatelessTruncatedNormal", "truncated")
_draws("_RandomBits", "_StatelessBits", "bits")


@_for_gpus(StatefulRandom)
def _of_generator(shape: Any, *, variable: Any, kind: str, dtype: Any) -> Any:
    state = variable._value
    if not _on_gpu(state):
        return NotImplemented
    dims = random_ops._dims(shape)
    out, moved = random.draw_state(kind, math.prod(dims), dtype, state)
    if out is NotImplemented:
        return out
    variable._set(moved)
    return out.reshape(dims)


# -- LSTM and GRU -----------------------------------------------------------------------------


@_for_gpus(LSTM)
def _lstm(x: Any, kernel: Any, inner: Any, bias: Any, h: Any, c: Any, *mask: Any) -> Any:
    if not _on_gpu(x):
        return NotImplemented
    found = recurrent.forward("LSTM", x, kernel, inner, bias, h, c, *mask)
    if found is NotImplemented:
        return found
    y, last, memory, reserve = found
    return y, last, memory, reserve, reserve[:0]


@_for_gpus(LSTMGrad)
def _lstm_grad(*arrays: Any, for_inputs: bool) -> Any:
    x, kernel, inner, bias, h, c, *mask = arrays[:-6]
    y, reserve, _, g_out, g_last, g_memory = arrays[-6:]
    if not _is_reserve(reserve):
        return NotImplemented
    weights = (kernel, inner, bias)
    return recurrent.backward(
        "LSTM", x, weights, h, c, y, reserve, g_out, g_last, g_memory, *mask
    )


@_for_gpus(GRU)
def _gru(x: Any, kernel: Any, inner: Any, bias: Any, h: Any, *mask: Any) -> Any:
    if not _on_gpu(x):
        return NotImplemented
    found = recurrent.forward("GRU", x, kernel, inner, bias, h, None, *mask)
    if found is NotImplemented:
        return found
    y, last, _, reserve = found
    return y, last, reserve, reserve[:0]


@_for_gpus(GRUGrad)
def _gru_grad(*arrays: Any, for_inputs: bool) -> Any:
    x, kernel, inner, bias, h, *mask = arrays[:-5]
    y, reserve, _, g_out, g_last = arrays[-5:]
    if not _is_reserve(reserve):
        return NotImplemented
    weights = (kernel, inner, bias)
    return recurrent.backward(
        "GRU", x, weights, h, None, y, reserve, g_out, g_last, None, *mask
    )[:-1]


def _is_reserve(array: Any) -> bool:
    """Whether the kept gates are cuDNN's own."""
    return array.ndim == 1


def _on_gpu(array: Any) -> bool:
    return not isinstance(array, np.ndarray)
