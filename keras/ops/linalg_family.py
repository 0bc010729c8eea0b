"""Decompositions, norms, equations: what Keras keeps in ``ops.linalg``."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from ...ops import api as hr, decompositions as parts, nest
from ...ops.decompositions_eigen import eigh as _eigh, qr as _qr, svd as _svd
from ...ops.decompositions_functions import matrix_rank as _matrix_rank, pinv as _pinv
from ...ops.decompositions_lu import lu
from ...ops.forward_accumulator import ForwardAccumulator
from ...ops.orderings import invert_permutation
from .arranging import moveaxis
from .op import operations
from .values import as_tensor, axes_of, floating

op = operations("linalg")
in_numpy = operations("numpy")


def _matrices(x: Any, name: str, square: bool = True) -> Any:
    x = as_tensor(x)
    if len(x.shape) < 2:
        raise ValueError(
            f"{name} takes matrices: a tensor of two axes or more. Received: shape={x.shape}"
        )
    if square and x.shape[-1] != x.shape[-2]:
        raise ValueError(f"{name} takes square matrices. Received: shape={x.shape}")
    return x


@op()
def cholesky(x: Any, upper: bool = False) -> Any:
    """The triangular factor of symmetric positive definite matrices.

    Raises:
        InvalidArgumentError: a matrix is not positive definite.
    """
    factor = parts.cholesky(_matrices(x, "cholesky"))
    return parts.adjoint(factor) if upper else factor


@op()
def cholesky_inverse(x: Any, upper: bool = False) -> Any:
    """The inverse of the matrices whose triangular factors are `x`."""
    x = _matrices(x, "cholesky_inverse")
    one = hr.eye(hr.shape(x)[-1], dtype=x.dtype)
    inverse = parts.triangular_solve(x, one, lower=not upper)
    return hr.matmul(inverse, inverse, transpose_a=not upper, transpose_b=upper)


@op()
def det(x: Any) -> Any:
    """The determinants."""
    return parts.det(_matrices(x, "det"))


@op()
def eig(x: Any) -> Any:
    """Eigenvalues and eigenvectors, complex."""
    return tuple(hr.eig(_matrices(x, "eig")))


@op()
def eigh(x: Any) -> Any:
    """Eigenvalues, rising, and eigenvectors of symmetric matrices."""
    return tuple(_eigh(_matrices(x, "eigh")))


@op()
def inv(x: Any) -> Any:
    """The inverses."""
    return parts.inv(_matrices(x, "inv"))


@op()
def lu_factor(x: Any) -> Any:
    """The triangular factors in one matrix, and where each row has come from."""
    factors, rows = lu(_matrices(x, "lu_factor"))
    return factors, invert_permutation(rows)


@op()
def qr(x: Any, mode: str = "reduced") -> Any:
    """Orthogonal and triangular factors, ``reduced`` or ``complete``.

    Raises:
        ValueError: another `mode`.
    """
    if mode not in ("reduced", "complete"):
        raise ValueError(
            "`mode` argument value not supported. Expected one of {'reduced', 'complete'}. "
            f"Received: mode={mode}"
        )
    return tuple(_qr(_matrices(x, "qr", square=False), full_matrices=mode == "complete"))


def _columns(function: Callable[..., Any], a: Any, b: Any) -> Any:
    """`function` also for vectors `b`."""
    if len(b.shape) == len(a.shape) - 1:
        return hr.squeeze(function(a, hr.expand_dims(b, -1)), axis=-1)
    return function(a, b)


@op(tensors=2)
def solve(a: Any, b: Any) -> Any:
    """`x` with ``a @ x = b``."""
    return _columns(parts.solve, _matrices(a, "solve"), as_tensor(b))


@op(tensors=2)
def solve_triangular(a: Any, b: Any, lower: bool = False) -> Any:
    """`x` with ``a @ x = b`` for triangular `a`."""

    def compute(a: Any, b: Any) -> Any:
        return parts.triangular_solve(a, b, lower=lower)

    return _columns(compute, _matrices(a, "solve_triangular"), as_tensor(b))


@op("SVD")
def svd(x: Any, full_matrices: bool = True, compute_uv: bool = True) -> Any:
    """``(u, s, v)`` with ``u @ diag(s) @ v`` the matrices; `s` alone unless `compute_uv`."""
    x = _matrices(x, "svd", square=False)
    if not compute_uv:
        return _svd(x, full_matrices=full_matrices, compute_uv=False)
    s, u, v = _svd(x, full_matrices=full_matrices)
    return u, s, parts.adjoint(v)


@op(tensors=2)
def lstsq(a: Any, b: Any, rcond: Any = None) -> Any:
    """The shortest `x` with the least ``|a @ x - b|``.

    Args:
        a: ``[m, n]``.
        b: ``[m]`` or ``[m, k]``.
        rcond: singular values below this share of the largest count as 0.
    """
    a, b = as_tensor(a), as_tensor(b)
    if len(a.shape) != 2 or len(b.shape) not in (1, 2) or a.shape[0] != b.shape[0]:
        raise ValueError(
            f"lstsq takes [m, n] and [m] or [m, k]. Received: {a.shape} and {b.shape}"
        )
    smallest = float(np.finfo(a.dtype.np_dtype).eps)
    if rcond is None:
        rcond = smallest * max(int(n) for n in a.shape)
    elif rcond < 0:
        rcond = smallest
    s, u, v = _svd(a)
    kept = s >= rcond * s[0]
    inverse = hr.where(kept, 1 / hr.where(kept, s, hr.ones_like(s)), hr.zeros_like(s))
    columns = hr.expand_dims(b, -1) if len(b.shape) == 1 else b
    found = hr.matmul(v, hr.expand_dims(inverse, -1) * hr.matmul(u, columns, adjoint_a=True))
    return hr.reshape(found, [-1]) if len(b.shape) == 1 else found


@op()
def matrix_rank(x: Any, tol: Any = None) -> Any:
    """How many singular values exceed `tol`, int32."""
    return _matrix_rank(_matrices(x, "matrix_rank", square=False), tol=tol)


@op()
def pinv(x: Any, rcond: Any = None) -> Any:
    """The pseudo-inverses."""
    return _pinv(_matrices(x, "pinv", square=False), rcond=rcond)


@op()
def norm(x: Any, ord: Any = None, axis: Any = None, keepdims: bool = False) -> Any:
    """The norm of vectors along one axis, or of matrices along two.

    Args:
        x: a tensor.
        ord: of vectors a number or infinity; of matrices "fro", "nuc", 1, 2, -1, -2 or
            infinity.
        axis: one axis, two, or all of a vector or matrix (None).
        keepdims: keep the axes with size 1.

    Raises:
        ValueError: there is no such norm.
    """
    (x,) = floating(x)
    rank = len(x.shape)
    axes = axes_of(axis, rank)
    if len(axes) == 1 or (axis is None and ord is None):
        return _vector_norm(x, ord, axes, keepdims)
    if len(axes) != 2:
        raise ValueError(f"Invalid axis values. Received: axis={axis}")
    return _matrix_norm(x, ord, axes, keepdims)


def _vector_norm(x: Any, ord: Any, axes: list[int], keepdims: bool) -> Any:
    size = hr.abs(x)
    if ord is None or ord == 2:
        return hr.sqrt(hr.reduce_sum(hr.square(size), axis=axes, keepdims=keepdims))
    if isinstance(ord, str):
        raise ValueError(f"Invalid `ord` argument for vector norm. Received: ord={ord}")
    if ord in (float("inf"), float("-inf")):
        reduce = hr.reduce_max if ord > 0 else hr.reduce_min
        return reduce(size, axis=axes, keepdims=keepdims)
    if ord == 0:
        other = hr.cast(hr.not_equal(size, hr.zeros_like(size)), size.dtype)
        return hr.reduce_sum(other, axis=axes, keepdims=keepdims)
    power = hr.cast(ord, size.dtype)
    return hr.pow(hr.reduce_sum(hr.pow(size, power), axis=axes, keepdims=keepdims), 1 / power)


def _matrix_norm(x: Any, ord: Any, axes: list[int], keepdims: bool) -> Any:
    if ord is None or ord == "fro":
        return _vector_norm(x, None, axes, keepdims)
    if ord in ("nuc", 2, -2):
        values = _svd(moveaxis(x, tuple(axes), (-2, -1)), compute_uv=False)
        reduce = {"nuc": hr.reduce_sum, 2: hr.reduce_max, -2: hr.reduce_min}[ord]
        found = reduce(values, axis=-1)
    elif ord in (1, -1, float("inf"), float("-inf")):
        moved = hr.abs(moveaxis(x, tuple(axes), (-2, -1)))
        sums = hr.reduce_sum(moved, axis=-2 if ord in (1, -1) else -1)
        found = (hr.reduce_max if ord > 0 else hr.reduce_min)(sums, axis=-1)
    else:
        raise ValueError(f"Invalid `ord` argument for matrix norm. Received: ord={ord}")
    if keepdims:
        for a in sorted(axes):
            found = hr.expand_dims(found, a)
    return found


@in_numpy()
def slogdet(x: Any) -> Any:
    """The sign of the determinants and the logarithm of their size."""
    return tuple(parts.slogdet(_matrices(x, "slogdet")))


def jvp(
    fun: Callable[..., Any], primals: Any, tangents: Any, has_aux: bool = False
) -> tuple[Any, ...]:
    """What `fun` gives at `primals`, and how that changes in the direction of `tangents`.

    Args:
        fun: function of tensors.
        primals: where it is called.
        tangents: one for each, of the same shape.
        has_aux: `fun` returns something else beside its value, which comes back third.
    """
    at = [as_tensor(p) for p in nest.flatten(primals)]
    along = [hr.cast(as_tensor(t), p.dtype) for t, p in zip(nest.flatten(tangents), at,
                                                           strict=True)]  # fmt: skip
    with ForwardAccumulator(at, along) as accumulator:
        made = fun(*nest.pack_sequence_as(primals, at))
        value, aux = made if has_aux else (made, None)
        changes = nest.map_structure(accumulator.jvp, value)
    return (value, changes, aux) if has_aux else (value, changes)


__all__ = [
    "cholesky", "cholesky_inverse", "det", "eig", "eigh", "inv", "jvp", "lstsq", "lu_factor",
    "matrix_rank", "norm", "pinv", "qr", "slogdet", "solve", "solve_triangular", "svd",
]  # fmt: skip
