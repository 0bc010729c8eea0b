"""Pooling by a factor that is no whole number: fractional_max_pool and fractional_avg_pool.

The rows (and columns) are cut at random into cells of two neighbouring sizes (Graham,
"Fractional Max-Pooling", arXiv:1412.6071).  With a seed the cuts are TensorFlow's own: the same
Philox stream, shuffled or spread by the same rule.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import shape as shape_of
from .array_module import array_module
from .errors import InvalidArgumentError
from .philox import blocks
from .primitive import Primitive
from .random_ops import get_seed
from .shape_rules import FLOATS
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["fractional_avg_pool", "fractional_max_pool"]

_TYPES = (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.int64)


# -- cuts -------------------------------------------------------------------------------------


def _words(key: int, high: int, start: int) -> Iterator[int]:
    """The 32-bit words of the stream from group `start` on."""
    while True:
        yield from blocks(key, (0, high), start, 64).reshape(-1).tolist()
        start += 64


def _below(n: int, words: Iterator[int]) -> int:
    """A uniform integer of [0, n), by rejection."""
    if n & (n - 1) == 0:
        return next(words) & (n - 1)
    reject = (2**32 - 1) % n + 1
    while (word := next(words)) < reject:
        pass
    return word % n


def _cuts(size: int, out: int, pseudo: bool, words: Iterator[int]) -> np.ndarray:
    """out + 1 increasing places from 0 to `size`."""
    whole = size // out
    if pseudo and size % out:
        alpha = size / out
        top = min((whole + 2) / alpha - 1, (size + 1 - whole) / alpha - (out - 1))
        high, low = next(words), next(words)
        u = ((high & 0xFFFFF) << 32 | low) / 2.0**52 * top
        inner = [math.ceil(alpha * (i + u)) - 1 for i in range(1, out)]
        return np.array([0, *inner, size], np.int64)
    sizes = [whole + 1] * (size % out) + [whole] * (out - size % out)
    if not pseudo:
        for i in range(out - 1):
            j = i + _below(out - i, words)
            sizes[i], sizes[j] = sizes[j], sizes[i]
    return np.concatenate([[0], np.cumsum(sizes)]).astype(np.int64)


def _cells(cuts: Any, size: int, overlapping: bool) -> tuple[np.ndarray, np.ndarray]:
    """Places [cells, widest] of each cell, repeated at their end, and the cells' widths."""
    first = cuts[:-1]
    last = np.minimum(cuts[1:] - (0 if overlapping else 1), size - 1)
    width = last - first + 1
    span = np.arange(int(width.max()) if len(width) else 0)
    return np.minimum(first[:, None] + span, last[:, None]), width


# -- primitives -------------------------------------------------------------------------------


def _out_sizes(shape: Any, ratio: tuple[float, ...], op: str) -> list[int]:
    if len(ratio) != 4 or ratio[0] != 1 or ratio[3] != 1:
        raise InvalidArgumentError(
            f"Fractional pooling is not yet supported on the batch nor channel dimension: "
            f"pooling_ratio must be [1, rows, columns, 1], got {list(ratio)} [Op:{op}]",
            op=op,
        )
    return [math.floor(n / r) for n, r in zip(shape, ratio, strict=True)]


def _cut_both(
    x: Any, ratio: Any, pseudo_random: bool, deterministic: bool, seed: int, seed2: int, op: str
) -> tuple[np.ndarray, np.ndarray]:
    sizes = _out_sizes(x.shape, ratio, op)
    if not deterministic and not (seed or seed2):
        seed, seed2 = get_seed(None)
    mask = (1 << 64) - 1
    found, start = [], 0
    for axis in (1, 2):
        words = _words(seed & mask, seed2 & mask, start)
        found.append(_cuts(x.shape[axis], sizes[axis], pseudo_random, words))
        start += 1 if pseudo_random else -(-sizes[axis] // 4)
    return found[0], found[1]


def _windows(x: Any, rows: Any, columns: Any, overlapping: bool) -> tuple[Any, ...]:
    """[batch, rows, height, columns, width, channels] of all cells, with their places."""
    r, heights = _cells(rows, x.shape[1], overlapping)
    c, widths = _cells(columns, x.shape[2], overlapping)
    return x[:, r][:, :, :, c], r, c, heights, widths


def _max_impl(
    x: Any, *, pooling_ratio: Any, pseudo_random: bool, overlapping: bool,
    deterministic: bool, seed: int, seed2: int,
) -> Any:  # fmt: skip
    rows, columns = _cut_both(
        x, pooling_ratio, pseudo_random, deterministic, seed, seed2, "FractionalMaxPool"
    )
    return _windows(x, rows, columns, overlapping)[0].max((2, 4)), rows, columns


def _avg_impl(
    x: Any, *, pooling_ratio: Any, pseudo_random: bool, overlapping: bool,
    deterministic: bool, seed: int, seed2: int,
) -> Any:  # fmt: skip
    rows, columns = _cut_both(
        x, pooling_ratio, pseudo_random, deterministic, seed, seed2, "FractionalAvgPool"
    )
    r, heights = _cells(rows, x.shape[1], overlapping)
    c, widths = _cells(columns, x.shape[2], overlapping)
    cells = x[:, r] * _inside(heights, r, x.dtype)[None, :, :, None, None]
    cells = cells.sum(2, dtype=x.dtype)[:, :, c]
    total = (cells * _inside(widths, c, x.dtype)[None, None, :, :, None]).sum(3, dtype=x.dtype)
    area = (heights[:, None] * widths)[None, :, :, None]
    mean = total / area.astype(x.dtype) if x.dtype.kind == "f" else total // area
    return mean.astype(x.dtype), rows, columns


def _inside(widths: Any, places: Any, dtype: Any) -> np.ndarray:
    """1 where a place of a cell is not a repetition."""
    return (np.arange(places.shape[1]) < widths[:, None]).astype(dtype)


def _specs(x: Any, *, pooling_ratio: Any, **_: Any) -> Any:
    if x.shape.rank not in (4, None):
        raise InvalidArgumentError(f"value must be 4-dimensional, got shape {x.shape}")
    if min(pooling_ratio) < 1:
        raise InvalidArgumentError(
            f"pooling_ratio cannot be smaller than 1, got: {min(pooling_ratio)}"
        )
    dims = [None] * 4 if x.shape.rank is None else x.shape.as_list()
    out = [
        None if n is None else math.floor(n / r)
        for n, r in zip(dims, pooling_ratio, strict=True)
    ]
    cuts = [TensorSpec([None if n is None else n + 1], dtypes.int64) for n in out[1:3]]
    return TensorSpec(out, x.dtype), *cuts


def _max_vjp(op: Any, g: Any, *_: Any) -> Any:
    x, (out, rows, columns) = op.inputs[0], op.outputs
    return (
        FractionalMaxPoolGrad(x, out, g, rows, columns, overlapping=op.attrs["overlapping"]),
    )


def _avg_vjp(op: Any, g: Any, *_: Any) -> Any:
    x, (_, rows, columns) = op.inputs[0], op.outputs
    dims = shape_of(x, dtypes.int64)
    return (FractionalAvgPoolGrad(dims, g, rows, columns, overlapping=op.attrs["overlapping"]),)


def _declare(name: str, impl: Any, vjp: Any) -> Primitive:
    return Primitive(
        name,
        "value: T",
        impl=impl,
        shape=_specs,
        vjp=vjp,
        types={"T": _TYPES},
        stateful=True,
        random=True,
        check_first=True,
        defaults={
            "pooling_ratio": (), "pseudo_random": False, "overlapping": False,
            "deterministic": False, "seed": 0, "seed2": 0,
        },
    )  # fmt: skip


FractionalMaxPool = _declare("FractionalMaxPool", _max_impl, _max_vjp)
FractionalAvgPool = _declare("FractionalAvgPool", _avg_impl, _avg_vjp)


def _winners(x: Any, rows: Any, columns: Any, overlapping: bool) -> Any:
    """Flat places in `x` of the first maximum of each cell, of the output's shape."""
    cells, r, c, _, _ = _windows(x, rows, columns, overlapping)
    n, h, a, w, b, d = cells.shape
    flat = cells.transpose(0, 1, 3, 5, 2, 4).reshape(n, h, w, d, a * b).argmax(-1)
    y = r[np.arange(h)[:, None, None], flat // b]
    z = c[np.arange(w)[:, None], flat % b]
    batch = np.arange(n)[:, None, None, None]
    return ((batch * x.shape[1] + y) * x.shape[2] + z) * d + np.arange(d)


def _max_grad_impl(
    x: Any, out: Any, g: Any, rows: Any, columns: Any, *, overlapping: bool
) -> Any:
    found = array_module(x).zeros(x.size, g.dtype)
    np.add.at(found, _winners(x, rows, columns, overlapping).reshape(-1), g.reshape(-1))
    return found.reshape(x.shape)


FractionalMaxPoolGrad = Primitive(
    "FractionalMaxPoolGrad",
    "orig_input: T, orig_output: T, out_backprop: T, row_pooling_sequence: int64, "
    "col_pooling_sequence: int64",
    impl=_max_grad_impl,
    shape=lambda x, *_, **__: TensorSpec(x.shape, x.dtype),
    vjp=lambda op, gg: (
        None, None, _FractionalPick(op.inputs[0], gg, *op.inputs[3:], **op.attrs), None, None,
    ),
    types={"T": _TYPES},
    defaults={"overlapping": False},
)  # fmt: skip

_FractionalPick = Primitive(
    "_FractionalPick",
    "x: T, grad: T, rows: int64, columns: int64",
    impl=lambda x, gg, rows, columns, *, overlapping: gg.reshape(-1)[
        _winners(x, rows, columns, overlapping)
    ],
    shape=lambda x, gg, rows, columns, **_: TensorSpec([None] * 4, gg.dtype),
)


def _avg_grad_impl(dims: Any, g: Any, rows: Any, columns: Any, *, overlapping: bool) -> Any:
    n, height, width, depth = dims.tolist()
    r, heights = _cells(rows, height, overlapping)
    c, widths = _cells(columns, width, overlapping)
    share = g / (heights[:, None] * widths)[None, :, :, None].astype(g.dtype)
    tall = np.zeros((n, height, g.shape[2], depth), g.dtype)
    for k in range(r.shape[1]):  # a cell is a few rows high
        inside = heights > k
        np.add.at(tall, (slice(None), r[inside, k]), share[:, inside])
    out = np.zeros((n, height, width, depth), g.dtype)
    for k in range(c.shape[1]):
        inside = widths > k
        np.add.at(out, (slice(None), slice(None), c[inside, k]), tall[:, :, inside])
    return out


FractionalAvgPoolGrad = Primitive(
    "FractionalAvgPoolGrad",
    "orig_input_tensor_shape: int64, out_backprop: T, row_pooling_sequence: int64, "
    "col_pooling_sequence: int64",
    impl=_avg_grad_impl,
    shape=lambda dims, g, rows, columns, **_: TensorSpec([None] * 4, g.dtype),
    types={"T": FLOATS},
    defaults={"overlapping": False},
)


# -- public -----------------------------------------------------------------------------------


def _pooled(
    primitive: Primitive, value: Any, pooling_ratio: Any, pseudo_random: bool,
    overlapping: bool, seed: int,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    items = [float(v) for v in np.atleast_1d(np.asarray(pooling_ratio, np.float64))]
    if len(items) == 1:
        items *= 2
    ratio = (1.0, *items, 1.0) if len(items) == 2 else tuple(items)
    if any(r < 1.0 for r in ratio):
        raise ValueError(f"`pooling_ratio` should be >= 1.0. Received: {pooling_ratio}")
    seed1, seed2 = (0, 0) if seed == 0 else get_seed(seed)
    return primitive(
        value, pooling_ratio=ratio, pseudo_random=bool(pseudo_random),
        overlapping=bool(overlapping), deterministic=seed != 0, seed=seed1, seed2=seed2,
    )  # fmt: skip


def fractional_max_pool(
    value: Any, pooling_ratio: Any, pseudo_random: bool = False, overlapping: bool = False,
    seed: int = 0, name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The maxima of cells whose sizes average `pooling_ratio`, and where rows and columns are
    cut.

    Args:
        value: [batch, height, width, channels].
        pooling_ratio: at least 1: one number, one per space axis, or [1, rows, columns, 1].
        pseudo_random: cells spread evenly from a random start, instead of shuffled.
        overlapping: a cell includes the first row and column of the next one.
        seed: 0 for different cuts in each call.
        name: ignored.

    Returns:
        [batch, floor(height / ratio), floor(width / ratio), channels], and the cuts, int64.

    Raises:
        ValueError: a ratio below 1.
    """
    return _pooled(FractionalMaxPool, value, pooling_ratio, pseudo_random, overlapping, seed)


def fractional_avg_pool(
    value: Any, pooling_ratio: Any, pseudo_random: bool = False, overlapping: bool = False,
    seed: int = 0, name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """The means of cells whose sizes average `pooling_ratio`; see `fractional_max_pool`."""
    return _pooled(FractionalAvgPool, value, pooling_ratio, pseudo_random, overlapping, seed)
