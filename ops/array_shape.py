"""Operations that change a tensor's axes: transpose, expand_dims, squeeze, ensure_shape.

Axes and permutations are attributes.  Results are views where NumPy gives one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import (
    reshape,
    shape,
)
from .array_module import array_module
from .convert import to_tensor
from .elementwise import conj
from .errors import InvalidArgumentError, UnimplementedError
from .primitive import Primitive
from .shape_rules import axis_of
from .static_args import static_int, static_ints
from .tensor import Tensor
from .tensor_shape import TensorShape, as_shape
from .tensor_spec import TensorSpec

__all__ = [
    "ensure_shape", "expand_dims", "identity_n", "shape_n", "squeeze", "transpose",
    "unravel_index",
]  # fmt: skip


# -- transpose --------------------------------------------------------------------------------


def transpose(
    a: Any, perm: Any = None, conjugate: bool = False, name: str = "transpose"
) -> Tensor:
    """`a` with its axes in the order `perm`; reversed by default.

    Args:
        a: tensor.
        perm: a permutation of the axes.
        conjugate: conjugate complex elements too.
        name: ignored.

    >>> import headrace as hr
    >>> hr.transpose([[1, 2], [3, 4]]).numpy().tolist()
    [[1, 3], [2, 4]]
    """
    out = Transpose(a, perm=None if perm is None else static_ints(perm, "Transpose", "perm"))
    if conjugate and out.dtype.is_complex:
        return conj(out)
    return out


def _transpose_shape(x: Any, *, perm: tuple[int, ...] | None) -> TensorSpec:
    rank = x.shape.rank
    if rank is None:
        return TensorSpec(None if perm is None else [None] * len(perm), x.dtype)
    if perm is None:
        return TensorSpec(x.shape.dims[::-1], x.dtype)
    if len(perm) != rank:
        raise InvalidArgumentError(
            f"transpose expects a vector of size {rank}. But input(1) is a vector of size "
            f"{len(perm)} "
            f"[Op:Transpose]",
            op="Transpose",
        )
    order = [axis_of(p, rank, "Transpose", "perm") for p in perm]
    if sorted(order) != list(range(rank)):
        missing = next(i for i in range(rank) if i not in order)
        raise InvalidArgumentError(
            f"{missing} is missing from perm, got {list(perm)} [Op:Transpose]", op="Transpose"
        )
    return TensorSpec([x.shape.dims[p] for p in order], x.dtype)


def _transpose_impl(x: Any, *, perm: tuple[int, ...] | None) -> Any:
    return x.transpose() if perm is None else x.transpose(perm)


def _transpose_vjp(op: Any, g: Any) -> Any:
    perm = op.attrs["perm"]
    if perm is None:
        return (transpose(g),)
    rank = len(perm)
    back = [0] * rank
    for i, p in enumerate(perm):
        back[p % rank] = i
    return (Transpose(g, perm=tuple(back)),)


def _transpose_batch(ctx: Any, x: Any, *, perm: tuple[int, ...] | None) -> Any:
    rank = ctx.element_shapes[0].rank
    if perm is None:
        if rank is None:
            raise UnimplementedError("primitive Transpose: the rank is unknown", op="Transpose")
        perm = tuple(range(rank))[::-1]
    return Transpose(x, perm=(0, *(p % len(perm) + 1 for p in perm)))


Transpose = Primitive(
    "Transpose",
    "x: T",
    impl=_transpose_impl,
    shape=_transpose_shape,
    vjp=_transpose_vjp,
    batch=_transpose_batch,
    defaults={"perm": ()},
)


# -- axes of size one -------------------------------------------------------------------------


def expand_dims(input: Any, axis: Any, name: str | None = None) -> Tensor:
    """`input` with an axis of size 1 put in at `axis`.

    Raises:
        InvalidArgumentError: `axis` is not in [-rank - 1, rank].
    """
    return ExpandDims(input, axis=static_int(axis, "ExpandDims", "axis"))


def _expand_dims_impl(x: Any, *, axis: int) -> Any:
    dims = x.shape
    at = axis + len(dims) + 1 if axis < 0 else axis
    if not 0 <= at <= len(dims):
        raise _expand_error(axis, len(dims))
    return x.reshape((*dims[:at], 1, *dims[at:]))


def _expand_error(axis: int, rank: int) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"Tried to expand dim index {axis} for tensor with {rank} dimensions. axis must be in "
        f"[{-rank - 1}, {rank}] [Op:ExpandDims]", op="ExpandDims")  # fmt: skip


def _expand_dims_shape(x: Any, *, axis: int) -> TensorSpec:
    dims = x.shape.dims
    if dims is None:
        return TensorSpec(None, x.dtype)
    at = axis + len(dims) + 1 if axis < 0 else axis
    if not 0 <= at <= len(dims):
        raise _expand_error(axis, len(dims))
    return TensorSpec((*dims[:at], 1, *dims[at:]), x.dtype)


ExpandDims = Primitive(
    "ExpandDims", "input: T", impl=_expand_dims_impl, shape=_expand_dims_shape,
    vjp=lambda op, g: (reshape(g, shape(op.inputs[0])),), batch=batch_rules.shift_axis(),
    defaults={"axis": 0},
)  # fmt: skip


def squeeze(input: Any, axis: Any = None, name: str | None = None) -> Tensor:
    """`input` without its axes of size 1; only those of `axis` if given.

    Raises:
        InvalidArgumentError: an axis of `axis` has another size.
    """
    return Squeeze(input, axis=() if axis is None else static_ints(axis, "Squeeze", "axis"))


def _squeezed(dims: tuple[int | None, ...], axis: tuple[int, ...]) -> tuple[int | None, ...]:
    rank = len(dims)
    for a in axis:
        if not -rank <= a < rank:
            raise InvalidArgumentError(
                f"Tried to squeeze dim index {a} for tensor with {rank} dimensions. "
                "[Op:Squeeze]",
                op="Squeeze",
            )
    drop = {a % rank for a in axis}
    for a in drop:
        if dims[a] not in (1, None):
            raise InvalidArgumentError(
                f"Can not squeeze dim[{a}], expected a dimension of 1, got {dims[a]} "
                "[Op:Squeeze]",
                op="Squeeze",
            )
    return tuple(d for i, d in enumerate(dims) if i not in drop)


def _squeeze_impl(x: Any, *, axis: tuple[int, ...], batch_dims: int = 0) -> Any:
    if axis:
        return x.reshape(_squeezed(x.shape, axis))
    dims = x.shape[:batch_dims] + tuple(d for d in x.shape[batch_dims:] if d != 1)
    return x.reshape(dims)


def _squeeze_shape(x: Any, *, axis: tuple[int, ...], batch_dims: int = 0) -> TensorSpec:
    dims = x.shape.dims
    if dims is None or (not axis and None in dims[batch_dims:]):
        return TensorSpec(None, x.dtype)
    if axis:
        return TensorSpec(_squeezed(dims, axis), x.dtype)
    return TensorSpec(
        dims[:batch_dims] + tuple(d for d in dims[batch_dims:] if d != 1), x.dtype
    )


def _squeeze_batch(ctx: Any, x: Any, *, axis: tuple[int, ...], batch_dims: int = 0) -> Any:
    if not axis:
        return Squeeze(x, axis=(), batch_dims=batch_dims + 1)
    return Squeeze(x, axis=tuple(a + 1 if a >= 0 else a for a in axis))


Squeeze = Primitive(
    "Squeeze", "input: T", impl=_squeeze_impl, shape=_squeeze_shape,
    vjp=lambda op, g: (reshape(g, shape(op.inputs[0])),), batch=_squeeze_batch,
    defaults={"axis": ()},
)  # fmt: skip


# -- checks and lists -------------------------------------------------------------------------


def ensure_shape(x: Any, shape: Any, name: str | None = None) -> Tensor:
    """`x`, known to have `shape` from here on.

    Raises:
        InvalidArgumentError: it has not.
    """
    return EnsureShape(x, shape=as_shape(shape))


def _ensure_impl(x: Any, *, shape: TensorShape, batch_dims: int = 0) -> Any:
    if not shape.is_compatible_with(x.shape[batch_dims:]):
        raise InvalidArgumentError(
            f"Shape of tensor x {list(x.shape[batch_dims:])} is not compatible with "
            "expected shape "
            f"{shape} [Op:EnsureShape]",
            op="EnsureShape",
        )
    return x


def _ensure_shape_rule(x: Any, *, shape: TensorShape, batch_dims: int = 0) -> TensorSpec:
    own = x.shape[batch_dims:] if batch_dims else x.shape
    try:
        merged = own.merge_with(shape)
    except ValueError:
        raise InvalidArgumentError(
            f"Shape of tensor x {own} is not compatible with expected shape {shape} "
            "[Op:EnsureShape]",
            op="EnsureShape",
        ) from None
    return TensorSpec(
        x.shape[:batch_dims].concatenate(merged) if batch_dims else merged, x.dtype
    )


def _ensure_batch(ctx: Any, x: Any, *, shape: TensorShape, batch_dims: int = 0) -> Any:
    return EnsureShape(x, shape=shape, batch_dims=batch_dims + 1)


EnsureShape = Primitive(
    "EnsureShape",
    "input: T",
    impl=_ensure_impl,
    shape=_ensure_shape_rule,
    vjp=lambda op, g: (g,),
    batch=_ensure_batch,
    defaults={"shape": TensorShape(None)},
)


def shape_n(input: Any, out_type: Any = "int32", name: str | None = None) -> list[Tensor]:
    """The shapes of several tensors."""
    return [shape(x, out_type) for x in input]


def identity_n(input: Any, name: str | None = None) -> list[Tensor]:
    """The tensors of a list, each as by `identity`."""
    return [to_tensor(x, None) for x in input]


def unravel_index(indices: Any, dims: Any, name: str | None = None) -> Tensor:
    """Coordinates, [rank, ...], of flat `indices` into an array of shape `dims`."""
    return UnravelIndex(indices, dims)


def _unravel_impl(indices: Any, dims: Any) -> Any:
    sizes = tuple(dims.tolist())
    total = int(np.prod(sizes, dtype=np.int64))
    if indices.size and (int(indices.min()) < 0 or int(indices.max()) >= total):
        raise InvalidArgumentError(
            "index is out of bound as with dims [Op:UnravelIndex]", op="UnravelIndex"
        )
    xp = array_module(indices)
    found = xp.stack(xp.unravel_index(indices.reshape(-1), sizes)).astype(indices.dtype)
    return found.reshape((len(sizes), *indices.shape))


def _unravel_batch(ctx: Any, indices: Any, dims: Any) -> Any:
    if ctx.batched[1]:
        raise UnimplementedError(
            "primitive UnravelIndex: dims differ from element to element", op="UnravelIndex"
        )
    out = UnravelIndex(indices, dims)  # [rank, n, ...]
    rank = ctx.out_specs[0].shape.rank
    return Transpose(out, perm=(1, 0, *range(2, rank + 1)))


UnravelIndex = Primitive(
    "UnravelIndex",
    "indices: Tidx, dims: Tidx",
    impl=_unravel_impl,
    shape=lambda indices, dims: TensorSpec(
        dims.shape.concatenate(indices.shape), indices.dtype
    ),
    vjp=lambda op, g: (None, None),
    batch=_unravel_batch,
)
