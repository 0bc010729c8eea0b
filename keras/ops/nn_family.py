"""Activations, convolutions, pools, normalisations, losses: what Keras keeps in ``ops.nn``."""

from __future__ import annotations

import math
from typing import Any

from ...ops import api as hr, attention
from ...ops.ctc import ctc_loss as _ctc_loss
from ...ops.ctc_decode import ctc_beam_search_decoder, ctc_greedy_decoder
from ...ops.sparse_ops import from_dense, to_dense
from .. import activations, backend
from ..losses import crossentropy
from ..promotion import result_type, standardize_dtype
from .linalg_family import norm
from .op import operations
from .values import as_tensor, axes_of, dtype_name, floating, promoted, static

op = operations("nn")


def _activation(name: str, class_name: str | None = None) -> Any:
    function = getattr(activations, name)

    def compute(x: Any) -> Any:
        return function(floating(x)[0])

    compute.__name__ = compute.__qualname__ = name
    compute.__doc__ = f"`keras.activations.{name}`."
    return op(class_name)(compute)


hard_sigmoid = _activation("hard_sigmoid")
hard_silu = _activation("hard_silu")
hard_tanh = _activation("hard_tanh")
log_sigmoid = _activation("log_sigmoid")
relu6 = _activation("relu6")
selu = _activation("selu")
sigmoid = _activation("sigmoid")
silu = _activation("silu")
softplus = _activation("softplus")
softsign = _activation("softsign")
sparse_plus = _activation("sparse_plus")
sparse_sigmoid = _activation("sparse_sigmoid")
tanh_shrink = _activation("tanh_shrink")


@op()
def relu(x: Any) -> Any:
    """``max(x, 0)``."""
    return hr.relu(as_tensor(x))


def swish(x: Any) -> Any:
    """``x * sigmoid(x)``."""
    return silu(x)


def hard_swish(x: Any) -> Any:
    """``x * hard_sigmoid(x)``."""
    return hard_silu(x)


@op()
def leaky_relu(x: Any, negative_slope: float = 0.2) -> Any:
    """`x` where positive, ``negative_slope * x`` elsewhere."""
    return activations.leaky_relu(floating(x)[0], negative_slope)


@op()
def elu(x: Any, alpha: float = 1.0) -> Any:
    """`x` where positive, ``alpha * (exp(x) - 1)`` elsewhere."""
    return activations.elu(floating(x)[0], alpha)


@op()
def celu(x: Any, alpha: float = 1.0) -> Any:
    """`elu` that is smooth for every `alpha`."""
    return activations.celu(floating(x)[0], alpha)


@op()
def gelu(x: Any, approximate: bool = True) -> Any:
    """`x` times the share of a normal distribution below it."""
    return activations.gelu(floating(x)[0], approximate)


@op()
def glu(x: Any, axis: int = -1) -> Any:
    """The first half of `axis` times the sigmoid of the second."""
    return activations.glu(floating(x)[0], axis)


@op()
def hard_shrink(x: Any, threshold: float = 0.5) -> Any:
    """0 within `threshold` of 0, else `x`."""
    return activations.hard_shrink(floating(x)[0], threshold)


@op()
def soft_shrink(x: Any, threshold: float = 0.5) -> Any:
    """0 within `threshold` of 0, else `x` moved towards 0 by it."""
    return activations.soft_shrink(floating(x)[0], threshold)


@op()
def squareplus(x: Any, b: Any = 4) -> Any:
    """``(x + sqrt(x ** 2 + b)) / 2``."""
    return activations.squareplus(floating(x)[0], b)


@op()
def threshold(x: Any, threshold: float, default_value: float) -> Any:
    """`x` above `threshold`, else `default_value`."""
    return activations.threshold(floating(x)[0], threshold, default_value)


def _along_all(function: Any, x: Any, axis: Any) -> Any:
    """`function` along `axis`, or along all axes together."""
    (x,) = floating(x)
    if axis is None:
        return hr.reshape(function(hr.reshape(x, [-1]), -1), hr.shape(x))
    return function(x, axis)


@op()
def softmax(x: Any, axis: Any = -1) -> Any:
    """``exp(x) / sum(exp(x))`` along `axis`: one, several, or all (None)."""
    if isinstance(axis, (tuple, list)):
        (x,) = floating(x)
        axes = axes_of(tuple(axis), len(x.shape))
        e = hr.exp(x - hr.reduce_max(x, axis=axes, keepdims=True))
        return e / hr.reduce_sum(e, axis=axes, keepdims=True)
    return _along_all(activations.softmax, x, axis)


@op()
def log_softmax(x: Any, axis: Any = -1) -> Any:
    """The logarithm of `softmax`."""
    if isinstance(axis, (tuple, list)):
        (x,) = floating(x)
        axes = axes_of(tuple(axis), len(x.shape))
        return x - hr.reduce_logsumexp(x, axis=axes, keepdims=True)
    return _along_all(activations.log_softmax, x, axis)


@op()
def sparsemax(x: Any, axis: int = -1) -> Any:
    """The nearest point to `x` whose parts along `axis` are not negative and sum to 1."""
    return activations.sparsemax(floating(x)[0], axis)


# -- windows over space axes ------------------------------------------------------------------


def _first(data_format: str | None) -> bool:
    """Whether channels come first.

    Raises:
        ValueError: an unknown format.
    """
    found = data_format or backend.image_data_format()
    if found not in ("channels_first", "channels_last"):
        raise ValueError(
            "data_format must be 'channels_first' or 'channels_last'. Received: data_format="
            f"{data_format}"
        )
    return found == "channels_first"


def to_last(x: Any, first: bool) -> Any:
    """Channels behind the space axes."""
    rank = len(x.shape)
    return hr.transpose(x, [0, *range(2, rank), 1]) if first else x


def from_last(x: Any, first: bool) -> Any:
    """The inverse of `to_last`."""
    rank = len(x.shape)
    return hr.transpose(x, [0, rank - 1, *range(1, rank - 1)]) if first else x


def _pool(function: Any, x: Any, size: Any, strides: Any, padding: str, format: Any) -> Any:
    x = as_tensor(x)
    first = _first(format)
    x = to_last(x, first)
    rank = len(x.shape) - 2
    size = (size,) * rank if isinstance(size, int) else tuple(size)
    strides = size if strides is None else strides
    strides = (strides,) * rank if isinstance(strides, int) else tuple(strides)
    return from_last(function(x, size, strides, padding.upper()), first)


@op()
def max_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid",
    data_format: Any = None,
) -> Any:  # fmt: skip
    """The largest of every window of `pool_size`."""
    return _pool(hr.max_pool, inputs, pool_size, strides, padding, data_format)


@op()
def average_pool(
    inputs: Any, pool_size: Any, strides: Any = None, padding: str = "valid",
    data_format: Any = None,
) -> Any:  # fmt: skip
    """The mean of every window of `pool_size`."""
    return _pool(hr.avg_pool, inputs, pool_size, strides, padding, data_format)


def _adaptive(kind: str, x: Any, output_size: Any, data_format: Any) -> Any:
    from .. import layers  # the layers are built on these operations, these two on the layers

    x = as_tensor(x)
    layer = getattr(layers, f"Adaptive{kind}Pooling{len(x.shape) - 2}D")
    return layer(output_size, data_format=data_format, dtype=dtype_name(x)).call(x)


@op()
def adaptive_average_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The means of `output_size` windows of nearly equal size."""
    return _adaptive("Average", inputs, output_size, data_format)


@op()
def adaptive_max_pool(inputs: Any, output_size: Any, data_format: Any = None) -> Any:
    """The largest of each of `output_size` windows of nearly equal size."""
    return _adaptive("Max", inputs, output_size, data_format)


def _per_axis(value: Any, rank: int) -> list[int]:
    return [value] * rank if isinstance(value, int) else list(value)


@op(tensors=2)
def conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid",
    data_format: Any = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """The convolution of 1 to 3 space axes with ``[*window, channels, filters]``."""
    inputs, kernel = promoted(inputs, kernel)
    first = _first(data_format)
    rank = len(inputs.shape) - 2
    outputs = hr.convolution(
        to_last(inputs, first),
        kernel,
        _per_axis(strides, rank),
        padding.upper(),
        dilations=_per_axis(dilation_rate, rank),
    )
    return from_last(outputs, first)


def _flat_image(x: Any) -> Any:
    """``[batch, steps, channels]`` as an image of one row."""
    return hr.expand_dims(x, 1)


def _depthwise(x: Any, kernel: Any, strides: Any, padding: str, dilation: Any) -> Any:
    """Depthwise convolution of one or two space axes, channels last."""
    rank = len(x.shape) - 2
    strides, dilation = _per_axis(strides, rank), _per_axis(dilation, rank)
    if rank == 1:
        # A row is as good as a square image: its one axis has the other's stride, too.
        strides, dilation = strides * 2, [1, *dilation]
        x, kernel = _flat_image(x), hr.expand_dims(kernel, 0)
    apart = max(strides) > 1 and max(dilation) > 1
    steps = [1, 1] if apart else strides
    if apart and padding.upper() == "SAME":
        x, padding = _padded_same(x, kernel, strides, dilation), "VALID"
    out = hr.depthwise_conv2d(x, kernel, [1, *steps, 1], padding.upper(), dilations=dilation)
    if apart:
        out = out[:, :: strides[0] if rank == 2 else 1, :: strides[1]]
    return hr.squeeze(out, 1) if rank == 1 else out


def _padded_same(x: Any, kernel: Any, strides: list[int], dilation: list[int]) -> Any:
    pads = [[0, 0]]
    for axis in (0, 1):
        size, stride = static(x, axis + 1), strides[axis]
        window = (int(kernel.shape[axis]) - 1) * dilation[axis] + 1
        total = hr.maximum((-(-size // stride) - 1) * stride + window - size, 0)
        pads.append([total // 2, total - total // 2])
    return hr.pad(x, [*pads, [0, 0]])


@op(tensors=2)
def depthwise_conv(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid",
    data_format: Any = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """Each channel convolved by its own ``[*window, channels, multiplier]``."""
    inputs, kernel = promoted(inputs, kernel)
    first = _first(data_format)
    out = _depthwise(to_last(inputs, first), kernel, strides, padding, dilation_rate)
    return from_last(out, first)


@op(tensors=3)
def separable_conv(
    inputs: Any, depthwise_kernel: Any, pointwise_kernel: Any, strides: Any = 1,
    padding: str = "valid", data_format: Any = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """`depthwise_conv`, then a convolution with windows of 1."""
    inputs, depthwise_kernel, pointwise_kernel = promoted(
        inputs, depthwise_kernel, pointwise_kernel
    )
    first = _first(data_format)
    out = _depthwise(to_last(inputs, first), depthwise_kernel, strides, padding, dilation_rate)
    return from_last(hr.convolution(out, pointwise_kernel, padding="VALID"), first)


@op(tensors=2)
def conv_transpose(
    inputs: Any, kernel: Any, strides: Any = 1, padding: str = "valid",
    output_padding: Any = None, data_format: Any = None, dilation_rate: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `conv`, with ``[*window, filters, channels]``."""
    from ..layers.convolution_transpose import transposed_size

    inputs, kernel = promoted(inputs, kernel)
    first = _first(data_format)
    x = to_last(inputs, first)
    rank = len(x.shape) - 2
    steps, gaps = _per_axis(strides, rank), _per_axis(dilation_rate, rank)
    extra = [None] * rank if output_padding is None else _per_axis(output_padding, rank)
    sizes = [
        transposed_size(static(x, a + 1), int(kernel.shape[a]), steps[a], padding.lower(),
                        extra[a], gaps[a])
        for a in range(rank)
    ]  # fmt: skip
    shape = [static(x, 0), *sizes, int(kernel.shape[-2])]
    known = all(isinstance(n, int) for n in shape)
    out = hr.conv_transpose(
        x, kernel, shape if known else hr.stack(shape), steps, padding.upper(), dilations=gaps
    )
    return from_last(out, first)


# -- encodings, losses ------------------------------------------------------------------------


@op("OneHot")
def one_hot(
    x: Any, num_classes: int, axis: int = -1, dtype: Any = None, sparse: bool = False
) -> Any:
    """A new axis with 1 at the place that `x` says; all 0 for places outside."""
    x = as_tensor(x, "int64")
    found = hr.one_hot(x, num_classes, axis=axis, dtype=dtype or backend.floatx())
    return from_dense(found) if sparse else found


@op("MultiHot")
def _multi_hot(inputs: Any, num_classes: int, axis: int, dtype: Any, sparse: bool) -> Any:
    x = as_tensor(inputs)
    reduced = 1 if len(x.shape) > 1 else 0
    found = hr.reduce_max(
        hr.one_hot(hr.cast(x, "int64"), num_classes, axis=axis, dtype=dtype), axis=reduced
    )
    return from_dense(found) if sparse else found


def multi_hot(
    inputs: Any, num_classes: int | None = None, axis: int = -1, dtype: Any = None,
    sparse: bool = False, **kwargs: Any,
) -> Any:  # fmt: skip
    """1 at all the places that a row of `inputs` says.

    Raises:
        ValueError: `num_classes` is not given.
    """
    num_classes = kwargs.pop("num_tokens", None) if num_classes is None else num_classes
    if num_classes is None:
        raise ValueError("Argument `num_classes` must be specified.")
    return _multi_hot(inputs, num_classes, axis, standardize_dtype(dtype), sparse)


@op("BinaryCrossentropy", tensors=2)
def binary_crossentropy(target: Any, output: Any, from_logits: bool = False) -> Any:
    """Elementwise binary cross-entropy."""
    target, output = as_tensor(target), as_tensor(output)
    crossentropy.check_same_shape(target, output)
    target = hr.cast(target, output.dtype)
    return crossentropy.elementwise_binary(target, output, from_logits)


@op("CategoricalCrossentropy", tensors=2)
def categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Cross-entropy of distributions along `axis`."""
    output = as_tensor(output)
    target = hr.cast(as_tensor(target), output.dtype)
    crossentropy.check_same_shape(target, output)
    return crossentropy.categorical_crossentropy(target, output, from_logits, axis=axis)


@op("SparseCategoricalCrossentropy", tensors=2)
def sparse_categorical_crossentropy(
    target: Any, output: Any, from_logits: bool = False, axis: int = -1
) -> Any:
    """Cross-entropy of classes given by number."""
    output = as_tensor(output)
    if axis not in (-1, len(output.shape) - 1):
        raise ValueError(f"Only axis=-1 is currently supported. Received: axis={axis}")
    return crossentropy.sparse_categorical_crossentropy(as_tensor(target), output, from_logits)


@op("CTCLoss", tensors=4)
def ctc_loss(
    target: Any, output: Any, target_length: Any, output_length: Any, mask_index: int = 0
) -> Any:
    """The negative log probability of each sequence of labels, ``[batch]``."""
    output = as_tensor(output)
    dtype = result_type(dtype_name(output), "float32")
    loss = _ctc_loss(
        as_tensor(target, "int32"),
        hr.cast(output, "float32"),
        as_tensor(target_length, "int32"),
        as_tensor(output_length, "int32"),
        logits_time_major=False,
        blank_index=mask_index,
    )
    return hr.cast(loss, dtype)


@op("CTCDecode", tensors=2)
def ctc_decode(
    inputs: Any, sequence_lengths: Any, strategy: str = "greedy", beam_width: int = 100,
    top_paths: int = 1, merge_repeated: bool = True, mask_index: int = 0,
) -> Any:  # fmt: skip
    """The most probable labels ``[paths, batch, time]``, -1 behind them, and their scores.

    Args:
        inputs: logits ``[batch, time, classes]``.
        sequence_lengths: int32 ``[batch]``.
        strategy: ``"greedy"`` or ``"beam_search"``.
        beam_width, top_paths: of the beam search.
        merge_repeated: whether a class repeated in time is one label (greedy).
        mask_index: the class of blanks.

    Raises:
        ValueError: another `strategy`.
    """
    x = as_tensor(inputs)
    x = hr.cast(x, result_type(dtype_name(x), "float32"))
    samples, steps, classes = (static(x, a) for a in range(3))
    by_time = hr.transpose(x, [1, 0, 2])
    lengths = as_tensor(sequence_lengths, "int32")
    blank = mask_index % int(classes) if mask_index is not None else None
    if strategy == "greedy":
        found, scores = ctc_greedy_decoder(
            by_time, lengths, merge_repeated=merge_repeated, blank_index=mask_index
        )
    elif strategy == "beam_search":
        if blank is not None:  # the search takes the last class for blank
            parts = (by_time[..., :blank], by_time[..., blank + 1 :],
                     by_time[..., blank : blank + 1])  # fmt: skip
            by_time = hr.concat(parts, axis=-1)
        found, scores = ctc_beam_search_decoder(
            by_time, lengths, beam_width=beam_width, top_paths=top_paths
        )
    else:
        raise ValueError(
            f"Invalid strategy {strategy}. Supported values are 'greedy' and 'beam_search'."
        )
    dense = []
    for path in found:
        values = hr.SparseTensor(path.indices, path.values, [samples, steps])
        dense.append(to_dense(values, default_value=-1))
    labels = hr.cast(hr.stack(dense, axis=0), "int32")
    if strategy == "beam_search" and blank is not None:
        labels = hr.where(labels >= blank, labels + 1, labels)
    return labels, scores


# -- statistics and normalisations ------------------------------------------------------------


@op()
def moments(x: Any, axes: Any, keepdims: bool = False, synchronized: bool = False) -> Any:
    """Mean and variance along `axes`; halves are summed in float32."""
    x = as_tensor(x)
    dtype = dtype_name(x)
    if dtype in ("float16", "bfloat16"):
        found = hr.moments(hr.cast(x, "float32"), axes, keepdims=keepdims)
        return tuple(hr.saturate_cast(v, dtype) for v in found)
    return tuple(hr.moments(x, axes, keepdims=keepdims))


@op("BatchNorm", tensors=3, later=("offset", "scale"))
def batch_normalization(
    x: Any, mean: Any, variance: Any, axis: int, offset: Any = None, scale: Any = None,
    epsilon: float = 1e-3,
) -> Any:  # fmt: skip
    """`x` less `mean`, by the root of `variance`, times `scale` plus `offset`."""
    x = as_tensor(x)
    shape = [1] * len(x.shape)
    shape[axis] = -1

    def spread(values: Any) -> Any:
        return None if values is None else hr.reshape(as_tensor(values, dtype_name(x)), shape)

    return hr.batch_normalization(
        x, spread(mean), spread(variance), spread(offset), spread(scale), epsilon
    )


@op()
def normalize(x: Any, axis: Any = -1, order: int = 2, epsilon: Any = None) -> Any:
    """`x` by its norm of this order along `axis`.

    Raises:
        ValueError: `order` is no positive integer.
    """
    if not isinstance(order, int) or order < 1:
        raise ValueError(f"Argument `order` must be an int >= 1. Received: order={order}")
    x = as_tensor(x)
    if not len(x.shape):
        x = hr.expand_dims(x, 0)
    epsilon = backend.epsilon() if epsilon is None else epsilon
    if order == 2:
        total = hr.reduce_sum(hr.square(x), axis=axis, keepdims=True)
        return x * hr.minimum(hr.rsqrt(total), hr.cast(1.0 / epsilon, x.dtype))
    size = norm(x, ord=order, axis=axis, keepdims=True)
    return x / hr.maximum(size, hr.cast(epsilon, x.dtype))


@op("RMSNorm", named=("scale",))
def rms_normalization(x: Any, scale: Any = None, axis: Any = -1, epsilon: Any = None) -> Any:
    """`x` by the root of its mean square along `axis`, times `scale`."""
    x = as_tensor(x)
    dtype = dtype_name(x)
    wide = hr.cast(x, result_type(dtype, "float32"))
    if not len(wide.shape):
        wide = hr.expand_dims(wide, 0)
    epsilon = backend.epsilon() if epsilon is None else epsilon
    mean = hr.reduce_mean(hr.square(wide), axis=axis, keepdims=True)
    out = wide * hr.rsqrt(mean + hr.cast(epsilon, wide.dtype))
    if scale is not None:
        out = out * as_tensor(scale, dtype_name(wide))
    return hr.cast(out, dtype)


@op("LayerNorm", later=("gamma", "beta"))
def _layer_norm(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None,
    rms_scaling: bool = False,
) -> Any:  # fmt: skip
    x = as_tensor(x)
    dtype = dtype_name(x)
    wide = hr.cast(x, result_type(dtype, "float32"))
    axes = sorted(axes_of(axis, len(wide.shape)))
    shape = [wide.shape[a] if a in axes else 1 for a in range(len(wide.shape))]
    epsilon = hr.cast(backend.epsilon() if epsilon is None else epsilon, wide.dtype)

    def spread(values: Any) -> Any:
        values = as_tensor(values, dtype_name(wide))
        return hr.reshape(values, shape) if len(values.shape) != len(shape) else values

    mean, variance = hr.moments(wide, axes, keepdims=True)
    factor = hr.rsqrt(variance + epsilon)
    if gamma is not None:
        factor = factor * spread(gamma)
    if rms_scaling:
        return hr.cast(wide * factor, dtype)
    out = wide * factor - mean * factor
    return hr.cast(out if beta is None else out + spread(beta), dtype)


def layer_normalization(
    x: Any, gamma: Any = None, beta: Any = None, axis: Any = -1, epsilon: Any = None,
    **kwargs: Any,
) -> Any:  # fmt: skip
    """`x` normalised along `axis` to mean `beta` and deviation `gamma`."""
    rms_scaling = kwargs.pop("rms_scaling", False)
    return _layer_norm(x, gamma, beta, axis=axis, epsilon=epsilon, rms_scaling=rms_scaling)


@op(tensors=2)
def polar(abs_: Any, angle: Any) -> Any:
    """Complex numbers of these sizes and angles."""
    size, angle = floating(abs_, angle)
    return hr.complex(size * hr.cos(angle), size * hr.sin(angle))


@op("PSNR", tensors=2)
def psnr(x1: Any, x2: Any, max_val: Any) -> Any:
    """The peak signal-to-noise ratio of two tensors in decibels, a scalar.

    Raises:
        ValueError: the shapes differ.
    """
    x1, x2 = as_tensor(x1), as_tensor(x2)
    if tuple(x1.shape) != tuple(x2.shape):
        raise ValueError(
            f"Input shapes {x1.shape} and {x2.shape} must match for PSNR calculation."
        )
    error = hr.reduce_mean(hr.square(x1 - x2))
    peak = hr.cast(max_val, x2.dtype)
    return (20 * hr.log(peak) - 10 * hr.log(error)) / math.log(10)


@op("DotProductAttention", tensors=3, named=("bias", "mask", "scale"))
def dot_product_attention(
    query: Any, key: Any, value: Any, bias: Any = None, mask: Any = None, scale: Any = None,
    is_causal: bool = False, flash_attention: Any = None, attn_logits_soft_cap: Any = None,
) -> Any:  # fmt: skip
    """Attention of ``[batch, time, heads, features]`` to keys and values of another time.

    Args:
        query, key, value: tensors of four axes; fewer heads of keys and values are shared.
        bias: added to the logits ``[batch, heads, queries, keys]``.
        mask: bool, where a query attends to a key.
        scale: of the logits; by default 1 by the root of the number of features.
        is_causal: only to keys before and at the query.
        flash_attention: not True: there is no such kernel on a CPU.
        attn_logits_soft_cap: accepted, as in Keras on TensorFlow.

    Raises:
        ValueError: other shapes, or flash attention.
    """
    if flash_attention:
        raise ValueError("Flash attention is not supported; leave flash_attention None.")
    query, key, value = promoted(query, key, value)
    if len(query.shape) != 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: query.shape="
            f"{query.shape}, key.shape={key.shape}, value.shape={value.shape}."
        )
    if scale is None or isinstance(scale, int | float):
        return attention.dot_product_attention(query, key, value, bias, mask, scale, is_causal)
    heads, shared = query.shape[2], key.shape[2]
    if heads is not None and shared is not None and heads > shared > 1:
        key = hr.repeat(key, heads // shared, axis=2)
        value = hr.repeat(value, heads // shared, axis=2)
    wide = result_type(dtype_name(query), "float32")
    logits = hr.cast(hr.einsum("btnh,bsnh->bnts", query, key), wide)
    if scale is None:
        scale = hr.rsqrt(hr.cast(static(key, 3), wide))
    logits = logits * hr.cast(as_tensor(scale), wide)
    if bias is not None:
        logits = logits + as_tensor(bias, wide)
    allowed = None if mask is None else as_tensor(mask, "bool")
    if is_causal:
        rows, columns = hr.range(hr.shape(logits)[2]), hr.range(hr.shape(logits)[3])
        causal = hr.expand_dims(rows, 1) >= hr.expand_dims(columns, 0)
        allowed = causal if allowed is None else hr.logical_and(allowed, causal)
    if allowed is not None:
        low = hr.constant(-0.7 * 3.38953e38, wide)
        logits = hr.where(allowed, logits, low)
    shares = hr.cast(hr.softmax(logits, axis=-1), key.dtype)
    return hr.einsum("bnts,bsnh->btnh", shares, value)


# -- blocks of images -------------------------------------------------------------------------


def _two(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else tuple(value)  # type: ignore


@op()
def unfold(
    x: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0, stride: Any = 1
) -> Any:
    """Windows of images ``[batch, channels, height, width]`` as columns ``[batch, elements of
    a window, windows]``."""
    x = as_tensor(x)
    (high, wide), gap, pad, step = map(_two, (kernel_size, dilation, padding, stride))
    channels = int(x.shape[1])
    x = hr.pad(x, [[0, 0], [0, 0], [pad[0], pad[0]], [pad[1], pad[1]]])
    patches = hr.extract_patches(
        hr.transpose(x, [0, 2, 3, 1]), [1, high, wide, 1], [1, *step, 1], [1, *gap, 1], "VALID"
    )
    rows, columns = static(patches, 1), static(patches, 2)
    patches = hr.reshape(patches, [-1, rows * columns, high * wide, channels])
    return hr.reshape(
        hr.transpose(patches, [0, 3, 2, 1]), [-1, channels * high * wide, rows * columns]
    )


@op()
def fold(
    x: Any, output_size: Any, kernel_size: Any, dilation: Any = 1, padding: Any = 0,
    stride: Any = 1,
) -> Any:  # fmt: skip
    """The transpose of `unfold`: windows added up where they belong in the images."""
    x = as_tensor(x)
    size, (high, wide) = _two(output_size), _two(kernel_size)
    gap, pad, step = map(_two, (dilation, padding, stride))
    channels = int(x.shape[1]) // (high * wide)
    whole = [size[a] + 2 * pad[a] for a in (0, 1)]
    counts = [
        (whole[a] - gap[a] * (n - 1) - 1) // step[a] + 1 for a, n in enumerate((high, wide))
    ]
    x = hr.reshape(x, [-1, channels, high, wide, *counts])
    places = [
        [hr.range(counts[a]) * step[a] + i * gap[a] for i in range(n)]
        for a, n in enumerate((high, wide))
    ]
    rows, columns = (hr.stack(p) for p in places)  # [window, count]
    at = (
        hr.reshape(rows, [high, 1, counts[0], 1]) * whole[1]
        + hr.reshape(columns, [1, wide, 1, counts[1]])
    )  # fmt: skip
    count = high * wide * counts[0] * counts[1]
    flat = hr.reshape(hr.transpose(x, [2, 3, 4, 5, 0, 1]), [count, static(x, 0) * channels])
    sums = hr.unsorted_segment_sum(flat, hr.reshape(at, [-1]), whole[0] * whole[1])
    image = hr.reshape(hr.transpose(sums, [1, 0]), [-1, channels, *whole])
    return image[:, :, pad[0] : whole[0] - pad[0], pad[1] : whole[1] - pad[1]]


def _blocks(function: Any, x: Any, block_size: int, data_format: str) -> Any:
    x = as_tensor(x)
    first = _first(data_format)
    return from_last(function(to_last(x, first), block_size), first)


@op()
def depth_to_space(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Channels spread over blocks of pixels."""
    return _blocks(hr.depth_to_space, x, block_size, data_format)


@op()
def space_to_depth(x: Any, block_size: int, data_format: str = "channels_last") -> Any:
    """Blocks of pixels put into channels."""
    return _blocks(hr.space_to_depth, x, block_size, data_format)


__all__ = [
    "adaptive_average_pool", "adaptive_max_pool", "average_pool", "batch_normalization",
    "binary_crossentropy", "categorical_crossentropy", "celu", "conv", "conv_transpose",
    "ctc_decode", "ctc_loss", "depth_to_space", "depthwise_conv", "dot_product_attention",
    "elu", "fold", "gelu", "glu", "hard_shrink", "hard_sigmoid", "hard_silu", "hard_swish",
    "hard_tanh", "layer_normalization", "leaky_relu", "log_sigmoid", "log_softmax", "max_pool",
    "moments", "multi_hot", "normalize", "one_hot", "polar", "psnr", "relu", "relu6",
    "rms_normalization", "selu", "separable_conv", "sigmoid", "silu", "soft_shrink", "softmax",
    "softplus", "softsign", "space_to_depth", "sparse_categorical_crossentropy", "sparse_plus",
    "sparse_sigmoid", "sparsemax", "squareplus", "swish", "tanh_shrink", "threshold", "unfold",
]  # fmt: skip
