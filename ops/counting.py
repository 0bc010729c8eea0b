"""Counting values: bincount, histograms, confusion matrices."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import dtypes
from .array_basics import cast, size as size_of, zeros
from .array_gather import where
from .array_module import array_module
from .array_shape import squeeze
from .atomic_updates import update_at
from .batch_loop import looped
from .comparison import greater
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError, UnimplementedError
from .graph.graph import constant_value
from .math_ops import maximum, minimum
from .primitive import Primitive
from .reductions import reduce_max
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "bincount", "confusion_matrix", "histogram_fixed_width", "histogram_fixed_width_bins",
]  # fmt: skip


# -- bincount ---------------------------------------------------------------------------------


def bincount(
    arr: Any,
    weights: Any = None,
    minlength: Any = None,
    maxlength: Any = None,
    dtype: Any = dtypes.int32,
    name: str | None = None,
    axis: int | None = None,
    binary_output: bool = False,
) -> Tensor:
    """How often each whole number from 0 on occurs in `arr`.

    Args:
        arr: integers >= 0; one or two axes where `axis` is given.
        weights: added up instead of ones, of `arr`'s shape.
        minlength, maxlength: least and greatest length of the result; values beyond are left
            out.
        dtype: dtype of the counts; with `weights` theirs.
        axis: None or 0 for all elements together, -1 for one row of counts per row.
        binary_output: 1 or 0, whether a number occurs.

    Raises:
        InvalidArgumentError: a value is negative, or the shapes do not fit.
        ValueError: `axis` is not supported, or weights with `binary_output`.
    """
    if hasattr(arr, "_components"):
        raise UnimplementedError("bincount takes dense tensors; convert arr with to_dense")
    x = to_tensor(arr, None)
    if not x.dtype.is_integer:
        x = cast(x, dtypes.int32)
    if axis not in (None, 0, -1):
        raise ValueError(
            f"Unsupported value for argument axis={axis}. Only 0 and -1 supported."
        )
    if binary_output and weights is not None:
        raise ValueError("Arguments `binary_output` and `weights` are mutually exclusive.")
    if axis == -1 and x.shape.rank not in (1, 2, None):
        raise ValueError(f"bincount: arr must have one or two axes with axis=-1, got {x.shape}")
    filled = greater(size_of(x), 0)
    largest = where(filled, reduce_max(x) + 1, zeros([], x.dtype))
    if minlength is not None:
        largest = maximum(to_tensor(minlength, x.dtype), largest)
    if maxlength is not None:
        largest = minimum(to_tensor(maxlength, x.dtype), largest)
    if weights is None:
        weights = Tensor.of(np.empty(0, as_dtype(dtype).np_dtype))
    return DenseBincount(
        x,
        largest,
        to_tensor(weights, None),
        binary_output=bool(binary_output),
        rows=axis == -1,
    )


def _bincount_impl(
    x: Any, size: Any, weights: Any, *, binary_output: bool, rows: bool = True
) -> Any:
    n = int(size)
    if n < 0:
        raise InvalidArgumentError(f"size ({n}) must be non-negative [Op:DenseBincount]")
    if x.size and x.min() < 0:
        raise InvalidArgumentError("Input arr must be non-negative! [Op:DenseBincount]")
    if weights.size and weights.shape != x.shape:
        raise InvalidArgumentError(
            f"`weights` must be the same shape as `arr` or a length-0 tensor, got "
            f"{list(weights.shape)} beside {list(x.shape)} [Op:DenseBincount]"
        )
    flat = x if rows and x.ndim == 2 else x.reshape(1, -1)
    xp = array_module(x)
    index = xp.arange(len(flat), dtype=np.int64)[:, None] * n + flat
    keep = flat < n
    out = xp.zeros(len(flat) * n, weights.dtype)
    if binary_output:
        out[index[keep]] = 1
    elif weights.size:
        update_at("add", out, index[keep], weights.reshape(flat.shape)[keep])
    else:
        out[:] = xp.bincount(index[keep], minlength=len(out))[: len(out)]
    return out.reshape((len(flat), n)) if rows and x.ndim == 2 else out


def _bincount_shape(
    x: Any, size: Any, weights: Any, *, binary_output: bool, rows: bool = True
) -> TensorSpec:
    known = constant_value(size)
    n = None if known is None else max(int(known), 0)
    if x.shape.rank is None and rows:
        return TensorSpec(None, weights.dtype)
    lead = [x.shape[0]] if rows and x.shape.rank == 2 else []
    return TensorSpec([*lead, n], weights.dtype)


DenseBincount = Primitive(
    "DenseBincount",
    "input: Tidx, size: Tidx, weights: T",
    impl=_bincount_impl,
    shape=_bincount_shape,
    batch=looped,
    types={"Tidx": (dtypes.int32, dtypes.int64)},
    defaults={"binary_output": False, "rows": True},
)
Bincount = Primitive(
    "Bincount",
    "arr: int32, size: int32, weights: T",
    impl=lambda x, size, weights: _bincount_impl(
        x, size, weights, binary_output=False, rows=False
    ),
    shape=lambda x, size, weights: _bincount_shape(
        x, size, weights, binary_output=False, rows=False
    ),
    batch=looped,
)


# -- histograms -------------------------------------------------------------------------------


def histogram_fixed_width_bins(
    values: Any, value_range: Any, nbins: Any = 100, dtype: Any = dtypes.int32, name: Any = None
) -> Tensor:
    """The bin of each value: `nbins` of equal width over `value_range`, values outside of it in
    the first and the last.

    Args:
        values: numbers.
        value_range: [low, high], of the same dtype.
        nbins: how many bins.
        dtype: accepted; the result is int32, as in TensorFlow.

    Raises:
        InvalidArgumentError: nbins is not above 0, or low not below high.
    """
    x = to_tensor(values, None)
    pair = to_tensor(value_range, x.dtype)
    count = to_tensor(nbins, dtypes.int32)
    return _Bins(x, pair, count)


def _check_bins(low: Any, high: Any, n: int) -> None:
    if n <= 0:
        raise InvalidArgumentError(f"nbins should be a positive number, but got '{n}'")
    if not low < high:
        raise InvalidArgumentError(
            f"value_range should satisfy value_range[0] < value_range[1], but got "
            f"'[{low}, {high}]'"
        )


def _bins_impl(x: Any, pair: Any, nbins: Any) -> Any:
    low, high, n = pair[0], pair[1], int(nbins)
    _check_bins(low, high, n)
    wide = np.float64 if x.dtype.itemsize == 8 or x.dtype.kind in "iu" else np.float32
    scaled = (x - low).astype(wide) / (high - low).astype(wide)
    return np.clip(np.floor(n * scaled), 0, n - 1).astype(np.int32)


_Bins = Primitive(
    "_Bins",
    "values: T, value_range: T, nbins: int32",
    impl=_bins_impl,
    shape=lambda x, pair, n: TensorSpec(x.shape, dtypes.int32),
    batch=looped,
    types={"T": (dtypes.int32, dtypes.int64, dtypes.float32, dtypes.float64)},
)


def histogram_fixed_width(
    values: Any, value_range: Any, nbins: Any = 100, dtype: Any = dtypes.int32, name: Any = None
) -> Tensor:
    """How many values are in each bin of `histogram_fixed_width_bins`, [nbins]."""
    x = to_tensor(values, None)
    pair = to_tensor(value_range, x.dtype)
    return HistogramFixedWidth(x, pair, to_tensor(nbins, dtypes.int32), dtype=as_dtype(dtype))


def _histogram_impl(x: Any, pair: Any, nbins: Any, *, dtype: DType) -> Any:
    n = int(nbins)
    _check_bins(pair[0], pair[1], n)
    # As the kernel does: steps are computed first.
    step = (float(pair[1]) - float(pair[0])) / n
    with np.errstate(invalid="ignore"):
        inside = np.clip(np.maximum(x, pair[0]).astype(np.float64) - pair[0], 0, step * n)
        bins = np.minimum((inside / step).astype(np.int64), n - 1).reshape(-1)
    return np.bincount(bins, minlength=n).astype(dtype.np_dtype)


def _histogram_shape(x: Any, pair: Any, nbins: Any, *, dtype: DType) -> TensorSpec:
    known = constant_value(nbins)
    return TensorSpec([None if known is None else max(int(known), 0)], dtype)


HistogramFixedWidth = Primitive(
    "HistogramFixedWidth",
    "values: T, value_range: T, nbins: int32",
    impl=_histogram_impl,
    shape=_histogram_shape,
    batch=looped,
    types={"T": (dtypes.int32, dtypes.int64, dtypes.float32, dtypes.float64)},
    defaults={"dtype": dtypes.int32},
)


# -- confusion --------------------------------------------------------------------------------


def confusion_matrix(
    labels: Any,
    predictions: Any,
    num_classes: Any = None,
    weights: Any = None,
    dtype: Any = dtypes.int32,
    name: str | None = None,
) -> Tensor:
    """How often each class (row) was predicted as each (column): [classes, classes].

    Args:
        labels, predictions: classes from 0 on, [n]; an additional axis of size 1 at the end of
            one of them is left out.
        num_classes: by default the largest class + 1.
        weights: [n], added up instead of ones.
        dtype: dtype of the result.

    Raises:
        InvalidArgumentError: a class is negative or not below `num_classes`.
    """
    a, b = (cast(to_tensor(t, None), dtypes.int64) for t in (labels, predictions))
    if a.shape.rank is not None and b.shape.rank is not None:
        if a.shape.rank == b.shape.rank + 1:
            a = squeeze(a, axis=[-1])
        elif b.shape.rank == a.shape.rank + 1:
            b = squeeze(b, axis=[-1])
    if num_classes is None:
        n = maximum(reduce_max(a), reduce_max(b)) + 1
    else:
        n = cast(to_tensor(num_classes, None), dtypes.int64)
    dtype = as_dtype(dtype)
    if weights is None:
        w = Tensor.of(np.ones((), dtype.np_dtype))
    else:
        w = cast(to_tensor(weights, None), dtype)
    return _Confusion(a, b, n, w)


def _confusion_impl(a: Any, b: Any, n: Any, w: Any) -> Any:
    if a.shape != b.shape:
        raise InvalidArgumentError(
            f"confusion_matrix: labels and predictions must have one shape, got {a.shape} "
            f"and {b.shape}"
        )
    for what, x in (("labels", a), ("predictions", b)):
        if x.size and x.min() < 0:
            raise InvalidArgumentError(f"`{what}` contains negative values")
        if x.size and int(x.max()) >= int(n):
            raise InvalidArgumentError(f"`{what}` out of bound: {x.max()} >= {int(n)}")
    out = array_module(a).zeros((int(n), int(n)), w.dtype)
    update_at("add", out, (a, b), w)
    return out


def _confusion_shape(a: Any, b: Any, n: Any, w: Any) -> TensorSpec:
    known = constant_value(n)
    size = None if known is None else int(known)
    return TensorSpec([size, size], w.dtype)


_Confusion = Primitive(
    "_Confusion",
    "labels: int64, predictions: int64, num_classes: int64, weights: T",
    impl=_confusion_impl,
    shape=_confusion_shape,
    batch=looped,
)
