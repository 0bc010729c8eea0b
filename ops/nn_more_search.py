"""approx_max_k, approx_min_k and isotonic_regression."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast
from .array_module import array_module
from .array_shape import transpose
from .convert import to_tensor
from .dtypes import DType
from .elementwise import negative
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS, axis_of
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["approx_max_k", "approx_min_k", "isotonic_regression"]


# -- the largest or smallest elements ---------------------------------------------------------


def _top_impl(x: Any, *, k: int, reduction_dimension: int, is_max_k: bool, **_: Any) -> Any:
    xp = array_module(x)
    keys = np.flip(x, reduction_dimension) if is_max_k else x
    order = xp.argsort(keys, axis=reduction_dimension, kind="stable")
    if is_max_k:  # the reversed row read backwards keeps equal elements in order
        order = x.shape[reduction_dimension] - 1 - np.flip(order, reduction_dimension)
    order = xp.take(order, np.arange(k), axis=reduction_dimension)
    return xp.take_along_axis(x, order, axis=reduction_dimension), order.astype(np.int32)


def _top_shape(
    x: Any, *, k: int, reduction_dimension: int, aggregate_to_topk: bool = True, **_: Any
) -> Any:
    name = "ApproxTopK"
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype), TensorSpec(None, dtypes.int32)
    axis = axis_of(reduction_dimension, x.shape.rank, name, "reduction_dimension")
    n = x.shape[axis]
    if n is not None and n < k:
        raise InvalidArgumentError(
            f"input must have at least k={k} elements along axis {axis}, got shape {x.shape} "
            f"[Op:{name}]",
            op=name,
        )
    dims = x.shape.as_list()
    dims[axis] = k
    return TensorSpec(dims, x.dtype), TensorSpec(dims, dtypes.int32)


def _scatter_impl(g: Any, order: Any, like: Any, *, axis: int) -> Any:
    out = array_module(g).zeros(like.shape, g.dtype)
    np.put_along_axis(out, order.astype(np.int64), g, axis=axis)
    return out


_ApproxScatter = Primitive(
    "_ApproxScatter",
    "g: T, order: Ti, like: T",
    impl=_scatter_impl,
    shape=lambda g, order, like, *, axis: TensorSpec(like.shape, g.dtype),
    vjp=lambda op, gg: (_ApproxTake(gg, op.inputs[1], **op.attrs), None, None),
)
_ApproxTake = Primitive(
    "_ApproxTake",
    "x: T, order: Ti",
    impl=lambda x, order, *, axis: np.take_along_axis(x, order.astype(np.int64), axis),
    shape=lambda x, order, *, axis: TensorSpec(order.shape, x.dtype),
    vjp=lambda op, g: (_ApproxScatter(g, op.inputs[1], op.inputs[0], **op.attrs), None),
)

ApproxTopK = Primitive(
    "ApproxTopK",
    "input: T",
    impl=_top_impl,
    shape=_top_shape,
    vjp=lambda op, g, _: (
        _ApproxScatter(g, op.outputs[1], op.inputs[0], axis=op.attrs["reduction_dimension"]),
    ),
    batch=batch_rules.shift_axis("reduction_dimension"),
    types={"T": FLOATS},
    check_first=True,
    defaults={
        "reduction_dimension": -1, "recall_target": 0.95, "is_max_k": True,
        "reduction_input_size_override": -1, "aggregate_to_topk": True,
    },
)  # fmt: skip


def _approx(x: Any, k: Any, axis: int, largest: bool, **attrs: Any) -> tuple[Tensor, Tensor]:
    x = to_tensor(x, None)
    return ApproxTopK(
        x,
        k=static_int(k, "ApproxTopK", "k"),
        reduction_dimension=int(axis),
        is_max_k=largest,
        **attrs,
    )


def approx_max_k(
    operand: Any, k: int, reduction_dimension: int = -1, recall_target: float = 0.95,
    reduction_input_size_override: int = -1, aggregate_to_topk: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The `k` largest elements along `reduction_dimension`, largest first, and their int32
    indices.  On this device the result is exact, whatever `recall_target` allows."""
    return _approx(
        operand, k, reduction_dimension, True, recall_target=recall_target,
        reduction_input_size_override=reduction_input_size_override,
        aggregate_to_topk=aggregate_to_topk,
    )  # fmt: skip


def approx_min_k(
    operand: Any, k: int, reduction_dimension: int = -1, recall_target: float = 0.95,
    reduction_input_size_override: int = -1, aggregate_to_topk: bool = True,
    name: str | None = None,
) -> tuple[Tensor, Tensor]:  # fmt: skip
    """The `k` smallest elements; see `approx_max_k`."""
    return _approx(
        operand, k, reduction_dimension, False, recall_target=recall_target,
        reduction_input_size_override=reduction_input_size_override,
        aggregate_to_topk=aggregate_to_topk,
    )  # fmt: skip


# -- isotonic regression ----------------------------------------------------------------------


def _pools(row: list[float]) -> tuple[list[float], list[int]]:
    """Pool adjacent violators: means and sizes of the nearest falling sequence's blocks."""
    sums: list[float] = []
    sizes: list[int] = []
    for value in row:
        total, size = value, 1
        # A block above the one before it joins that one.
        while sums and total * sizes[-1] > sums[-1] * size:
            total += sums.pop()
            size += sizes.pop()
        sums.append(total)
        sizes.append(size)
    return [s / n for s, n in zip(sums, sizes, strict=True)], sizes


def _isotonic_impl(x: Any, *, output_dtype: DType) -> Any:
    flat = x.reshape((-1, x.shape[-1]))
    out = np.empty(flat.shape, np.float64)
    blocks = np.empty(flat.shape, np.int32)
    for k, row in enumerate(flat.astype(np.float64).tolist()):
        means, sizes = _pools(row)
        out[k] = np.repeat(means, sizes)
        blocks[k] = np.repeat(np.arange(len(sizes)), sizes)
    return out.reshape(x.shape).astype(output_dtype.np_dtype), blocks.reshape(x.shape)


def _isotonic_vjp(op: Any, g: Any, _: Any) -> Any:
    """The mean of the gradient over each block, for each of its elements."""
    return (cast(_BlockMeans(g, op.outputs[1]), op.inputs[0].dtype),)


def _block_means_impl(g: Any, blocks: Any) -> Any:
    flat, ids = g.reshape(-1).astype(np.float64), blocks.reshape((-1, blocks.shape[-1]))
    ids = (ids.astype(np.int64) + np.arange(len(ids))[:, None] * ids.shape[1]).reshape(-1)
    counts = np.maximum(np.bincount(ids), 1)
    return (np.bincount(ids, flat) / counts)[ids].reshape(g.shape).astype(g.dtype)


_BlockMeans = Primitive(
    "_BlockMeans",
    "g: T, blocks: int32",
    impl=_block_means_impl,
    shape=lambda g, blocks: TensorSpec(g.shape, g.dtype),
    # Averaging over blocks is its own transpose.
    vjp=lambda op, gg: (_BlockMeans(gg, op.inputs[1]), None),
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
)

IsotonicRegression = Primitive(
    "IsotonicRegression",
    "input: T",
    impl=_isotonic_impl,
    shape=lambda x, *, output_dtype: (
        TensorSpec(x.shape, output_dtype),
        TensorSpec(x.shape, dtypes.int32),
    ),
    vjp=_isotonic_vjp,
    batch=batch_rules.unary,
    types={"T": FLOATS + INTEGERS},
    defaults={"output_dtype": dtypes.float32},
)

_OUT = {dtypes.int8: dtypes.float32, dtypes.int16: dtypes.float32}


def isotonic_regression(
    inputs: Any, decreasing: bool = True, axis: int = -1
) -> tuple[Tensor, Tensor]:
    """The nearest (least squares) sequences that never rise, or never fall if not `decreasing`.

    Args:
        inputs: numbers; int8 and int16 give float32, other integers float64.
        decreasing: the direction.
        axis: along which each problem lies.

    Returns:
        The solutions, of the shape of `inputs`, and int32 numbers of the blocks of equal value.

    >>> isotonic_regression([[3.0, 1.0, 2.0]])[0].numpy()
    array([[3. , 1.5, 1.5]], dtype=float32)
    """
    x = to_tensor(inputs, None)
    rank = x.shape.rank
    kept = x.dtype if x.dtype in (*FLOATS[:3],) else _OUT.get(x.dtype, dtypes.float64)
    axis = axis_of(int(axis), rank, "IsotonicRegression")
    order = [i for i in range(rank) if i != axis] + [axis]
    back = [order.index(i) for i in range(rank)]
    moved = x if axis == rank - 1 else transpose(x, order)
    out, blocks = IsotonicRegression(
        moved if decreasing else negative(moved), output_dtype=kept
    )
    if not decreasing:
        out = negative(out)
    if axis != rank - 1:
        out, blocks = transpose(out, back), transpose(blocks, back)
    return out, blocks
