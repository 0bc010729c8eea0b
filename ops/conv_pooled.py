"""Convolution, bias, relu and max pooling over 2 x 2 as one primitive, with its gradients.

No public function calls them: the pass `graph.passes.pooled_convolutions` puts them where a
graph has the single operations.  Beside the pooled result the forward form gives, in uint8,
which of each window's four numbers was the largest, row by row, or 4 where relu made it 0;
gradients need no more of what lies between.  The array forms are those of `kernels.pooled`;
before these are compiled, the single operations' forms run.

Attributes are those of Conv2D, in "NHWC".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes, pool_plain
from .array_module import array_module
from .conv_primitives import (
    Conv2D,
    Conv2DBackpropFilter,
    Conv2DBackpropInput,
    ConvolutionBiasActivation,
    windows_of,
)
from .kernels import pooled as compiled
from .primitive import Primitive
from .tensor_spec import TensorSpec
from .windows import Windows

__all__ = ["PooledConvolution", "PooledConvolutionFilterGrad", "PooledConvolutionInputGrad"]

_NOBODY = 4


def _forward(x: Any, w: Any, bias: Any, **attrs: Any) -> Any:
    at = windows_of("Conv2D", x.shape, w.shape[:-2], attrs)
    found = compiled.forward(x, w, bias, at)
    if found is not None:
        return found
    y = ConvolutionBiasActivation.impl(x, w, bias, relu=True, **attrs)
    windows = Windows(y.shape[1:3], (2, 2), (2, 2), (1, 1), "VALID")
    out = pool_plain.maximum(y, windows)
    index = pool_plain.maximum_position(y, windows).astype(np.uint8)
    index[~(out > 0)] = _NOBODY
    return out, index


def _spread(g: Any, index: Any, space: tuple[int, ...]) -> Any:
    """The gradient of the convolution's result, whose space has `space`."""
    out = array_module(g).zeros((g.shape[0], *space, g.shape[3]), g.dtype)
    tall, wide = g.shape[1:3]
    for k in range(_NOBODY):
        out[:, k // 2 : 2 * tall : 2, k % 2 : 2 * wide : 2] = g * (index == k)
    return out


def _filter_grad(x: Any, w: Any, g: Any, index: Any, **attrs: Any) -> Any:
    at = windows_of("Conv2D", x.shape, w.shape[:-2], attrs)
    found = compiled.grad_filter(x, w.shape, g, index, at)
    if found is not None:
        return found
    kept = (g * (index < _NOBODY)).sum((0, 1, 2))
    spread = _spread(g, index, at.out)
    return Conv2DBackpropFilter.impl(x, w.shape, spread, **attrs), kept


def _input_grad(sizes: Any, w: Any, g: Any, index: Any, **attrs: Any) -> Any:
    shape = tuple(int(n) for n in sizes)
    at = windows_of("Conv2D", shape, w.shape[:-2], attrs)
    found = compiled.grad_input(shape, w, g, index, at)
    if found is not None:
        return found
    return Conv2DBackpropInput.impl(sizes, w, _spread(g, index, at.out), **attrs)


def _forward_shape(x: Any, w: Any, bias: Any, **attrs: Any) -> tuple[TensorSpec, TensorSpec]:
    n, *space, filters = Conv2D.shape(x, w, **attrs).shape.dims
    shape = (n, *(None if size is None else size // 2 for size in space), filters)
    return TensorSpec(shape, x.dtype), TensorSpec(shape, dtypes.uint8)


def _filter_grad_shape(
    x: Any, w: Any, g: Any, index: Any, **attrs: Any
) -> tuple[TensorSpec, TensorSpec]:
    return TensorSpec(w.shape, g.dtype), TensorSpec((w.shape[3],), g.dtype)


def _input_grad_shape(sizes: Any, w: Any, g: Any, index: Any, **attrs: Any) -> TensorSpec:
    return Conv2DBackpropInput.shape(sizes, w, TensorSpec([None] * 4, g.dtype), **attrs)


PooledConvolution = Primitive(
    "_PooledConvolution",
    "input: T, filter: T, bias: T",
    impl=_forward,
    shape=_forward_shape,
)
PooledConvolutionFilterGrad = Primitive(
    "_PooledConvolutionFilterGrad",
    "input: T, filter: T, grad: T, index: I",
    impl=_filter_grad,
    shape=_filter_grad_shape,
)
PooledConvolutionInputGrad = Primitive(
    "_PooledConvolutionInputGrad",
    "sizes: Tshape, filter: T, grad: T, index: I",
    impl=_input_grad,
    shape=_input_grad_shape,
)
