"""Banded systems: tridiagonal_matmul, tridiagonal_solve, banded_triangular_solve.

Diagonals come in TensorFlow's forms: "compact" [..., 3, m] (superdiagonal, diagonal,
subdiagonal, each at the place of its row), "sequence" (three tensors) or "matrix".
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import shape, sum_to
from .array_join import concat, stack
from .array_module import array_module
from .array_shape import expand_dims, squeeze
from .convert import to_tensor
from .decompositions import MATRIX_TYPES, all_stacked
from .decompositions_diagonals import diag_part, matrix_rank_of
from .elementwise import conj
from .errors import InvalidArgumentError
from .linalg_ops import matmul, matrix_transpose
from .primitive import Primitive
from .reductions import reduce_sum
from .shape_rules import broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["banded_triangular_solve", "tridiagonal_matmul", "tridiagonal_solve"]


def _shift_impl(x: Any, *, by: int) -> Any:
    out = array_module(x).zeros_like(x)
    if by > 0:
        out[..., by:, :] = x[..., :-by, :]
    else:
        out[..., :by, :] = x[..., -by:, :]
    return out


# Rows of matrices moved down (up where negative), zeros moved in.
_ShiftRows = Primitive(
    "_ShiftRows",
    "x: T",
    impl=_shift_impl,
    shape=lambda x, *, by: TensorSpec(x.shape, x.dtype),
    vjp=lambda op, g: (_ShiftRows(g, by=-op.attrs["by"]),),
    batch=batch_rules.unary,
)


# -- the forms of diagonals -------------------------------------------------------------------


def _three(diagonals: Any, form: str) -> tuple[Any, Any, Any]:
    """Superdiagonal, diagonal and subdiagonal, each [..., m]."""
    if form == "compact":
        d = to_tensor(diagonals, None)
        if d.shape.rank is not None and d.shape.rank < 2:
            raise ValueError(f"Expected diagonals to have at least 2 axes, got {d.shape}")
        if d.shape.rank and d.shape[-2] not in (3, None):
            raise ValueError(f"Expected 3 diagonals, got {d.shape[-2]}")
        return d[..., 0, :], d[..., 1, :], d[..., 2, :]
    if form == "sequence":
        if not isinstance(diagonals, (tuple, list)) or len(diagonals) != 3:
            raise ValueError("Expected diagonals to be a sequence of length 3.")
        above, main, below = (to_tensor(d, None) for d in diagonals)
        m = main.shape[-1]
        lengths = above.shape[-1], below.shape[-1]
        if m is None or None in lengths:
            raise ValueError("tridiagonal: the diagonals of a sequence need a known length")
        for what, length in zip(("superdiagonal", "subdiagonal"), lengths, strict=True):
            if length not in (m, m - 1):
                raise ValueError(f"Expected {what} to be of length {m} or {m - 1}.")
        if lengths[0] == m - 1:
            above = concat([above, main[..., :1] * 0], -1)
        if lengths[1] == m - 1:
            below = concat([main[..., :1] * 0, below], -1)
        return above, main, below
    if form == "matrix":
        d = to_tensor(diagonals, None)
        m, n = d.shape.dims[-2:]
        if m is not None and n is not None and m != n:
            raise ValueError(f"Expected last two dimensions of diagonals to be same, got {d}")
        bands = diag_part(d, k=(-1, 1), align="LEFT_RIGHT")
        return bands[..., 0, :], bands[..., 1, :], bands[..., 2, :]
    raise ValueError(
        f"`diagonals_format` must be one of 'compact', 'sequence', 'matrix'. Received: {form!r}"
    )


# -- product ----------------------------------------------------------------------------------


def tridiagonal_matmul(
    diagonals: Any, rhs: Any, diagonals_format: str = "compact", name: str | None = None
) -> Tensor:
    """Products of tridiagonal matrices [..., m, m] and matrices `rhs` [..., m, n].

    Args:
        diagonals: in one of the forms of the module's text; the places outside of the matrix
            (the superdiagonal's last, the subdiagonal's first) are not read.
        rhs: [..., m, n].
        diagonals_format: ``"compact"``, ``"sequence"`` or ``"matrix"``.

    Raises:
        ValueError: the form is unknown, or `diagonals` is not of it.
    """
    above, main, below = (expand_dims(d, -2) for d in _three(diagonals, diagonals_format))
    return TridiagonalMatMul(above, main, below, rhs)


def _product_impl(above: Any, main: Any, below: Any, x: Any) -> Any:
    rows = [d.swapaxes(-1, -2) for d in (above, main, below)]
    out = rows[1] * x
    out[..., :-1, :] += rows[0][..., :-1, :] * x[..., 1:, :]
    out[..., 1:, :] += rows[2][..., 1:, :] * x[..., :-1, :]
    return out


def _product_shape(above: Any, main: Any, below: Any, x: Any) -> TensorSpec:
    name = "TridiagonalMatMul"
    if matrix_rank_of(x, name) is None or main.shape.rank is None:
        return TensorSpec(None, x.dtype)
    for d in (above, main, below):
        matrix_rank_of(d, name)
        if d.shape.rank and d.shape[-2] not in (1, None):
            raise InvalidArgumentError(
                f"diagonals must have shape [..., 1, m], got {d.shape} [Op:{name}]", op=name
            )
        if not d.shape[-1:].is_compatible_with(x.shape[-2:-1]):
            raise InvalidArgumentError(
                f"diagonals of shape {d.shape} do not fit rhs of shape {x.shape} [Op:{name}]",
                op=name,
            )
    lead = broadcast(main.shape[:-2], x.shape[:-2], name)
    return TensorSpec(lead.concatenate(x.shape[-2:]), x.dtype)


def _product_vjp(op: Any, g: Any) -> Any:
    above, main, below, x = op.inputs
    columns = [conj(matrix_transpose(d)) for d in (above, main, below)]
    for_x = (
        columns[1] * g + _ShiftRows(columns[0] * g, by=1) + _ShiftRows(columns[2] * g, by=-1)
    )
    flat = conj(x)
    sides = (_ShiftRows(flat, by=-1), flat, _ShiftRows(flat, by=1))
    found = [
        sum_to(expand_dims(reduce_sum(g * side, axis=-1), -2), d)
        for side, d in zip(sides, (above, main, below), strict=True)
    ]
    return (*found, sum_to(for_x, x))


TridiagonalMatMul = Primitive(
    "TridiagonalMatMul",
    "superdiag: T, maindiag: T, subdiag: T, rhs: T",
    impl=_product_impl,
    shape=_product_shape,
    vjp=_product_vjp,
    batch=batch_rules.elementwise,
    types=MATRIX_TYPES,
    check_first=True,
)


# -- solution ---------------------------------------------------------------------------------


def tridiagonal_solve(
    diagonals: Any,
    rhs: Any,
    diagonals_format: str = "compact",
    transpose_rhs: bool = False,
    conjugate_rhs: bool = False,
    name: str | None = None,
    partial_pivoting: bool = True,
    perturb_singular: bool = False,
) -> Tensor:
    """Solutions of tridiagonal systems, [..., m] or [..., m, k]; NaN where one is singular.

    Args:
        diagonals: in one of the forms of the module's text.
        rhs: [..., m, k], or [..., m] with as many stacked axes as the systems have.
        diagonals_format: ``"compact"``, ``"sequence"`` or ``"matrix"``.
        transpose_rhs: `rhs` is [..., k, m].
        conjugate_rhs: `rhs` is conjugated first.
        partial_pivoting: accepted; rows are always exchanged where that is more exact.
        perturb_singular: pivots of 0 are replaced by tiny ones; needs `partial_pivoting`.

    Raises:
        ValueError: the form is unknown, `diagonals` is not of it, or the flags contradict.
    """
    if perturb_singular and not partial_pivoting:
        raise ValueError("partial_pivoting must be True if perturb_singular is True.")
    bands = stack(list(_three(diagonals, diagonals_format)), axis=-2)
    b = to_tensor(rhs, bands.dtype)
    vector = (
        b.shape.rank is not None
        and bands.shape.rank is not None
        and b.shape.rank == bands.shape.rank - 1
    )
    if conjugate_rhs:
        b = conj(b)
    if vector:
        b = expand_dims(b, -1)
    elif transpose_rhs:
        b = matrix_transpose(b)
    x = TridiagonalSolve(
        bands,
        b,
        partial_pivoting=bool(partial_pivoting),
        perturb_singular=bool(perturb_singular),
    )
    return squeeze(x, axis=-1) if vector else x


def _solve_impl(d: Any, b: Any, *, partial_pivoting: bool, perturb_singular: bool) -> Any:
    from scipy.linalg.lapack import get_lapack_funcs

    m, k = b.shape[-2:]
    if not b.size:
        return b.copy()
    (solver,) = get_lapack_funcs(("gtsv",), (d, b))
    out = np.empty((b.size // (m * k), m, k), b.dtype)
    pairs = zip(d.reshape((-1, 3, m)), b.reshape((-1, m, k)), strict=True)
    for i, ((above, main, below), right) in enumerate(pairs):
        if m == 1:
            with np.errstate(all="ignore"):
                out[i] = right / main
            continue
        *_, x, info = solver(below[1:], main, above[:-1], right)
        if info and perturb_singular:
            tiny = np.finfo(b.dtype).eps * max(
                np.abs(row).max() for row in (above, main, below)
            )
            *_, x, info = solver(below[1:], main + b.dtype.type(tiny), above[:-1], right)
        out[i] = np.nan if info else x
    return out.reshape(b.shape)


def _solve_shape(d: Any, b: Any, **_: Any) -> TensorSpec:
    name = "TridiagonalSolve"
    if matrix_rank_of(d, name) is None or matrix_rank_of(b, name) is None:
        return TensorSpec(b.shape, b.dtype)
    if (
        d.shape[-2] not in (3, None)
        or d.shape.rank != b.shape.rank
        or not d.shape[:-2].is_compatible_with(b.shape[:-2])
        or not d.shape[-1:].is_compatible_with(b.shape[-2:-1])
    ):
        raise InvalidArgumentError(
            f"diagonals must be [..., 3, m] and rhs [..., m, k], got {d.shape} and {b.shape} "
            f"[Op:{name}]",
            op=name,
        )
    return TensorSpec(b.shape, b.dtype)


def _solve_vjp(op: Any, g: Any) -> Any:
    d, _ = op.inputs
    above, main, below = (expand_dims(conj(d[..., i, :]), -1) for i in range(3))
    flipped = (_ShiftRows(below, by=-1), main, _ShiftRows(above, by=1))
    turned = stack([squeeze(row, axis=-1) for row in flipped], axis=-2)
    for_rhs = TridiagonalSolve(turned, g, **op.attrs)
    x = conj(op.outputs[0])
    sides = (_ShiftRows(x, by=-1), x, _ShiftRows(x, by=1))
    return -stack([reduce_sum(for_rhs * side, axis=-1) for side in sides], axis=-2), for_rhs


TridiagonalSolve = Primitive(
    "TridiagonalSolve",
    "diagonals: T, rhs: T",
    impl=_solve_impl,
    shape=_solve_shape,
    vjp=_solve_vjp,
    batch=all_stacked,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"partial_pivoting": True, "perturb_singular": False},
)


# -- banded triangles -------------------------------------------------------------------------


def banded_triangular_solve(
    bands: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Tensor:
    """X with A X = rhs for triangular matrices A given by k diagonals; stacks broadcast.

    Args:
        bands: [..., k, m], each entry at the place of its row: the diagonal and then the
            subdiagonals if `lower`, else the highest superdiagonal first and the diagonal last.
        rhs: [..., m, n], or [..., m] with as many stacked axes as `bands` has.
        lower: which triangle the bands are of.
        adjoint: solve with A's adjoint.

    Raises:
        InvalidArgumentError: the shapes do not fit, or a diagonal holds a 0.
    """
    a = to_tensor(bands, None)
    b = to_tensor(rhs, a.dtype)
    flags = {"lower": bool(lower), "adjoint": bool(adjoint)}
    if (
        b.shape.rank is not None
        and a.shape.rank is not None
        and b.shape.rank == a.shape.rank - 1
    ):
        return squeeze(BandedTriangularSolve(a, expand_dims(b, -1), **flags), axis=-1)
    return BandedTriangularSolve(a, b, **flags)


def _banded_impl(a: Any, b: Any, *, lower: bool, adjoint: bool) -> Any:
    xp = array_module(a)
    k, m = a.shape[-2:]
    if not a[..., 0 if lower else -1, :].all():
        raise InvalidArgumentError(
            "Input matrix is not invertible. [Op:BandedTriangularSolve]",
            op="BandedTriangularSolve",
        )
    # rows[d][i] is the entry d places beside the diagonal in row i.
    rows = (
        [a[..., d, :] for d in range(k)] if lower else [a[..., k - 1 - d, :] for d in range(k)]
    )
    if adjoint:
        moved = [rows[0].conj()]
        for d in range(1, k):
            row = xp.zeros_like(rows[d])
            if lower:
                row[..., : max(m - d, 0)] = rows[d][..., d:].conj()
            else:
                row[..., d:] = rows[d][..., : max(m - d, 0)].conj()
            moved.append(row)
        rows, lower = moved, not lower
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = xp.empty((*lead, *b.shape[-2:]), a.dtype)
    x[...] = b
    for i in range(m) if lower else range(m - 1, -1, -1):
        for d in range(1, k):
            j = i - d if lower else i + d
            if 0 <= j < m:
                x[..., i, :] -= rows[d][..., i, None] * x[..., j, :]
        x[..., i, :] /= rows[0][..., i, None]
    return x


def _banded_shape(a: Any, b: Any, *, lower: bool, adjoint: bool) -> TensorSpec:
    name = "BandedTriangularSolve"
    if matrix_rank_of(a, name) is None or matrix_rank_of(b, name) is None:
        return TensorSpec(None, b.dtype)
    if not a.shape[-1:].is_compatible_with(b.shape[-2:-1]):
        raise InvalidArgumentError(
            f"bands of shape {a.shape} do not fit rhs of shape {b.shape} [Op:{name}]", op=name
        )
    if a.shape[-2] == 0:
        raise InvalidArgumentError(f"bands must hold a diagonal, got none [Op:{name}]", op=name)
    lead = broadcast(a.shape[:-2], b.shape[:-2], name)
    return TensorSpec(lead.concatenate(b.shape[-2:]), b.dtype)


def _banded_vjp(op: Any, g: Any) -> Any:
    a, b = op.inputs
    lower, flag = op.attrs["lower"], op.attrs["adjoint"]
    for_rhs = BandedTriangularSolve(a, g, lower=lower, adjoint=not flag)
    pair = (op.outputs[0], for_rhs) if flag else (for_rhs, op.outputs[0])
    others = shape(a)[-2] - 1
    k = stack([-others, others * 0] if lower else [others * 0, others])
    for_a = diag_part(-matmul(*pair, adjoint_b=True), k=k, align="LEFT_RIGHT")
    if a.shape[-2] == 1:
        for_a = expand_dims(for_a, -2)
    return sum_to(for_a, a), sum_to(for_rhs, b)


BandedTriangularSolve = Primitive(
    "BandedTriangularSolve",
    "matrix: T, rhs: T",
    impl=_banded_impl,
    shape=_banded_shape,
    vjp=_banded_vjp,
    batch=batch_rules.elementwise,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"lower": True, "adjoint": False},
)
