"""LU decompositions and what is made of them: lu, lu_solve, lu_reconstruct, lu_matrix_inverse.

``input[p] = L @ U``; L, whose diagonal is ones, and U are packed into one matrix.  TensorFlow
has no gradient for `lu`; here it has one.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import sum_to
from .array_module import array_module
from .convert import to_tensor
from .decompositions import (
    MATRIX_TYPES,
    adjoint,
    all_stacked,
    check_square,
    not_invertible,
    triangular_solve,
)
from .decompositions_diagonals import EyeLike, Triangle
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .linalg_ops import matmul
from .primitive import Primitive
from .shape_rules import broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["lu", "lu_matrix_inverse", "lu_reconstruct", "lu_solve"]


def lu(input: Any, output_idx_type: Any = dtypes.int32, name: str | None = None) -> Any:
    """LU decompositions with partial pivoting: (lower_upper [..., n, n], p [..., n]).

    ``input[p] = L @ U``, where L has a unit diagonal and both are packed into one matrix.

    Raises:
        InvalidArgumentError: a matrix cannot be inverted.
    """
    return Lu(input, output_idx_type=as_dtype(output_idx_type))


def _lu_impl(x: Any, *, output_idx_type: Any) -> Any:
    from scipy.linalg.lapack import get_lapack_funcs

    n = x.shape[-1]
    flat = x.reshape((-1, n, n))
    out = np.empty_like(flat)
    order = np.empty((len(flat), n), output_idx_type.np_dtype)
    if n:
        (factor,) = get_lapack_funcs(("getrf",), (flat,))
        for i, matrix in enumerate(flat):
            out[i], swaps, info = factor(matrix)
            if info:
                raise not_invertible("Lu")
            rows = list(range(n))
            for j, k in enumerate(swaps.tolist()):
                rows[j], rows[k] = rows[k], rows[j]
            order[i] = rows
    return out.reshape(x.shape), order.reshape(x.shape[:-1])


def _lu_shape(x: Any, *, output_idx_type: Any) -> tuple[TensorSpec, TensorSpec]:
    check_square(x, "Lu")
    lead = x.shape[:-1] if x.shape.rank is not None else None
    return TensorSpec(x.shape, x.dtype), TensorSpec(lead, output_idx_type)


def _lu_vjp(op: Any, g: Any, _: Any) -> Any:
    packed, order = op.outputs
    left = matmul(UnitLower(packed), Triangle(g, lower=True, diagonal=0.0), adjoint_a=True)
    right = matmul(
        Triangle(g, lower=False, diagonal=1.0),
        Triangle(packed, lower=False, diagonal=1.0),
        adjoint_b=True,
    )
    middle = Triangle(left, lower=True, diagonal=0.0)
    middle = middle + Triangle(right, lower=False, diagonal=1.0)
    # L^-H middle U^-H, its rows put back.
    half = triangular_solve(UnitLower(packed), middle, adjoint=True)
    found = adjoint(triangular_solve(packed, adjoint(half), lower=False))
    return (PermuteRows(found, order, inverse=True),)


def _unit_impl(x: Any) -> Any:
    out = array_module(x).tril(x, -1)
    i = np.arange(x.shape[-1])
    out[..., i, i] = 1
    return out


UnitLower = Primitive(
    "_UnitLower",
    "x: T",
    impl=_unit_impl,
    shape=lambda x: TensorSpec(x.shape, x.dtype),
    vjp=lambda op, g: (Triangle(g, lower=True, diagonal=0.0),),
    batch=batch_rules.unary,
)


def _permute_impl(x: Any, order: Any, *, inverse: bool) -> Any:
    lead = np.broadcast_shapes(x.shape[:-2], order.shape[:-1])
    x = np.broadcast_to(x, (*lead, *x.shape[-2:]))
    order = np.broadcast_to(order, (*lead, order.shape[-1]))
    if inverse:
        order = np.argsort(order, -1)
    return np.take_along_axis(x, order[..., None], -2)


# Rows x[order] of each matrix, or put back where they were; stacks broadcast.
PermuteRows = Primitive(
    "_PermuteRows",
    "x: T, order: I",
    impl=_permute_impl,
    shape=lambda x, order, *, inverse: TensorSpec(
        broadcast(x.shape[:-2], order.shape[:-1], "_PermuteRows").concatenate(x.shape[-2:])
        if x.shape.rank is not None and order.shape.rank is not None
        else None,
        x.dtype,
    ),
    vjp=lambda op, g: (
        sum_to(PermuteRows(g, op.inputs[1], inverse=not op.attrs["inverse"]), op.inputs[0]),
        None,
    ),
    batch=all_stacked,
)


Lu = Primitive(
    "Lu",
    "input: T",
    impl=_lu_impl,
    shape=_lu_shape,
    vjp=_lu_vjp,
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"output_idx_type": dtypes.int32},
)


def _checked(lower_upper: Any, perm: Any, validate_args: bool) -> tuple[Any, Any]:
    packed, order = to_tensor(lower_upper, None), to_tensor(perm, None)
    if packed.shape.rank is not None and packed.shape.rank < 2:
        raise ValueError(f"lower_upper must have at least 2 axes, got {packed.shape.rank}")
    if validate_args:
        check_square(packed, "lu")
        if not packed.shape[-1:].is_compatible_with(order.shape[-1:]):
            raise InvalidArgumentError(
                f"perm must have an entry for each row of lower_upper, got {order.shape} "
                f"beside {packed.shape}"
            )
    return packed, order


def lu_reconstruct(
    lower_upper: Any, perm: Any, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """The matrices [..., n, n] that `lu` decomposed into `lower_upper` and `perm`."""
    packed, order = _checked(lower_upper, perm, validate_args)
    product = matmul(UnitLower(packed), Triangle(packed, lower=False, diagonal=1.0))
    return PermuteRows(product, order, inverse=True)


def lu_solve(
    lower_upper: Any, perm: Any, rhs: Any, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """X with A X = rhs, [..., n, k], where `lower_upper` and `perm` are `lu` of A."""
    packed, order = _checked(lower_upper, perm, validate_args)
    rows = PermuteRows(to_tensor(rhs, packed.dtype), order, inverse=False)
    return triangular_solve(packed, triangular_solve(UnitLower(packed), rows), lower=False)


def lu_matrix_inverse(
    lower_upper: Any, perm: Any, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """Inverses of the matrices that `lu` decomposed into `lower_upper` and `perm`."""
    packed = to_tensor(lower_upper, None)
    return lu_solve(packed, perm, EyeLike(packed, columns=False), validate_args)
