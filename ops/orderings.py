"""Order and low-discrepancy sequences: is_non_decreasing, invert_permutation, approx_max_k,
sobol_sample."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import reshape
from .array_shape import transpose
from .batch_loop import looped
from .convert import to_tensor
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .nn_ops import top_k
from .primitive import Primitive
from .reductions import reduce_all
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "approx_max_k", "approx_min_k", "approx_top_k", "invert_permutation", "is_non_decreasing",
    "is_strictly_increasing", "sobol_sample",
]  # fmt: skip


def is_non_decreasing(x: Any, name: str | None = None) -> Tensor:
    """Whether the elements of `x`, in order, never fall; a boolean scalar."""
    flat = reshape(to_tensor(x, None), [-1])
    return reduce_all(flat[1:] >= flat[:-1])


def is_strictly_increasing(x: Any, name: str | None = None) -> Tensor:
    """Whether the elements of `x`, in order, always rise; a boolean scalar."""
    flat = reshape(to_tensor(x, None), [-1])
    return reduce_all(flat[1:] > flat[:-1])


def invert_permutation(x: Any, name: str | None = None) -> Tensor:
    """The permutation that undoes `x`: ``result[x[i]] == i``.

    Args:
        x: int32 or int64 [n], each of 0 ... n - 1 once.

    Raises:
        InvalidArgumentError: it is no permutation.
    """
    return InvertPermutation(x)


def _invert_impl(x: Any) -> Any:
    n = x.shape[-1]
    if x.size and (x.min() < 0 or x.max() >= n):
        raise InvalidArgumentError(
            f"index out of bounds: a permutation of {n} holds 0 to {n - 1}, got values from "
            f"{x.min()} to {x.max()} [Op:InvertPermutation]",
            op="InvertPermutation",
        )
    out = np.full(x.shape, -1, x.dtype)
    np.put_along_axis(out, x, np.broadcast_to(np.arange(n, dtype=x.dtype), x.shape), -1)
    if (out < 0).any():
        raise InvalidArgumentError(
            "a permutation holds each index once, got one twice [Op:InvertPermutation]",
            op="InvertPermutation",
        )
    return out


def _invert_shape(x: Any) -> TensorSpec:
    if x.shape.rank == 0:
        raise InvalidArgumentError(
            "invert_permutation expects a 1D vector, got a number [Op:InvertPermutation]"
        )
    return TensorSpec(x.shape, x.dtype)


InvertPermutation = Primitive(
    "InvertPermutation",
    "x: T",
    impl=_invert_impl,
    shape=_invert_shape,
    batch=batch_rules.unary,
    types={"T": (dtypes.int32, dtypes.int64)},
    check_first=True,
)


# -- top k ------------------------------------------------------------------------------------


def approx_top_k(
    input: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    is_max_k: bool = True,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The `k` largest (unless `is_max_k`, smallest) values along an axis, and their indices.

    They are the exact ones, whatever `recall_target` allows; the arguments after it change
    nothing.
    """
    x = to_tensor(input, None)
    rank = x.shape.rank
    if rank is None:
        raise ValueError("approx_top_k needs a tensor of known rank")
    axis = static_int(reduction_dimension, "approx_top_k", "reduction_dimension")
    if not -rank <= axis < rank:
        raise InvalidArgumentError(
            f"reduction_dimension must be in [{-rank}, {rank}), got {axis} [Op:ApproxTopK]"
        )
    axis %= rank
    order = [*(i for i in range(rank) if i != axis), axis]
    back = [order.index(i) for i in range(rank)]
    moved = x if axis == rank - 1 else transpose(x, order)
    values, indices = top_k(moved if is_max_k else -moved, k)
    if not is_max_k:
        values = -values
    if axis == rank - 1:
        return values, indices
    return transpose(values, back), transpose(indices, back)


def approx_max_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The `k` largest values along an axis, and their indices; see `approx_top_k`."""
    return approx_top_k(operand, k, reduction_dimension, recall_target)


def approx_min_k(
    operand: Any,
    k: int,
    reduction_dimension: int = -1,
    recall_target: float = 0.95,
    reduction_input_size_override: int = -1,
    aggregate_to_topk: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:
    """The `k` smallest values along an axis, and their indices; see `approx_top_k`."""
    return approx_top_k(operand, k, reduction_dimension, recall_target, is_max_k=False)


# -- Sobol ------------------------------------------------------------------------------------


def sobol_sample(
    dim: Any, num_results: Any, skip: Any = 0, dtype: Any = dtypes.float32, name: Any = None
) -> Tensor:
    """Points of the Sobol sequence in the unit cube, [num_results, dim].

    Args:
        dim: 1 to 2539 (Joe and Kuo's direction numbers of 2008).
        num_results: how many points.
        skip: points of the sequence to leave out first.
        dtype: float32 or float64.

    Raises:
        InvalidArgumentError: a number is out of range.
    """
    return SobolSample(dim, num_results, skip, dtype=as_dtype(dtype))


def _sobol_impl(dim: Any, num_results: Any, skip: Any, *, dtype: DType) -> Any:
    d, n, s = int(dim), int(num_results), int(skip)
    if not 1 <= d <= 2539:
        raise InvalidArgumentError(f"dim must be in [1, 2539], got {d} [Op:SobolSample]")
    if n < 1 or s < 0:
        raise InvalidArgumentError(
            f"num_results must be at least 1 and skip at least 0, got {n} and {s} "
            "[Op:SobolSample]"
        )
    from scipy.stats import qmc

    # SciPy's sequence starts with the origin, which TensorFlow's leaves out.
    source = qmc.Sobol(d, scramble=False).fast_forward(s + 1)
    return source.random(n).astype(dtype.np_dtype)


def _sobol_shape(dim: Any, num_results: Any, skip: Any, *, dtype: DType) -> TensorSpec:
    known = [constant_value(t) for t in (num_results, dim)]
    return TensorSpec([None if v is None else int(v) for v in known], dtype)


SobolSample = Primitive(
    "SobolSample",
    "dim: int32, num_results: int32, skip: int32",
    impl=_sobol_impl,
    shape=_sobol_shape,
    batch=looped,
    defaults={"dtype": dtypes.float32},
)
