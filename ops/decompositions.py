"""Factorisations that solve: Cholesky, determinants, inverses, linear systems.

All work on stacks of matrices [..., n, n] through LAPACK (NumPy's stacked calls; SciPy, loaded
when first used, where NumPy has none).  A matrix that cannot be inverted raises
InvalidArgumentError, as in TensorFlow.  Gradients are written in operations, so that second
order follows.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import sum_to
from .array_module import array_module
from .convert import to_tensor
from .decompositions_diagonals import Triangle, matrix_rank_of
from .elementwise import conj, log, real
from .errors import InvalidArgumentError
from .linalg_ops import diag_part, matmul, matrix_transpose
from .primitive import Primitive
from .reductions import reduce_sum
from .shape_rules import broadcast
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "adjoint", "cholesky", "cholesky_solve", "det", "inv", "logdet", "slogdet", "solve",
    "triangular_solve",
]  # fmt: skip

MATRIX_TYPES = {
    "T": (dtypes.float32, dtypes.float64, dtypes.complex64, dtypes.complex128),
}


def square(name: str) -> Any:
    """The shape rule of functions from square matrices to matrices of their size."""

    def rule(x: Any, **attrs: Any) -> TensorSpec:
        check_square(x, name)
        return TensorSpec(x.shape, x.dtype)

    return rule


def check_square(x: Any, name: str) -> None:
    """Raise InvalidArgumentError unless `x` is a stack of square matrices."""
    if matrix_rank_of(x, name) is None:
        return
    n, m = x.shape.dims[-2:]
    if n is not None and m is not None and n != m:
        raise InvalidArgumentError(
            f"Input matrix must be square, got shape {x.shape.as_list()} [Op:{name}]", op=name
        )


def adjoint(matrix: Any, name: str | None = None) -> Tensor:
    """The conjugate transposes of matrices [..., n, m]: [..., m, n]."""
    return matrix_transpose(matrix, conjugate=True)


# -- Cholesky ---------------------------------------------------------------------------------


def cholesky(input: Any, name: str | None = None) -> Tensor:
    """Lower triangular L with L @ adjoint(L) = input.

    Args:
        input: [..., n, n], positive definite; the upper triangle is not read.

    Raises:
        InvalidArgumentError: a matrix is not positive definite.
    """
    return Cholesky(input)


def _cholesky_impl(x: Any) -> Any:
    xp = array_module(x)
    try:
        return xp.linalg.cholesky(x)
    except np.linalg.LinAlgError:
        raise InvalidArgumentError(
            "Cholesky decomposition was not successful. The input might not be valid. "
            "[Op:Cholesky] (a matrix is not positive definite)",
            op="Cholesky",
        ) from None


def _cholesky_vjp(op: Any, g: Any) -> Any:
    (factor,) = op.outputs
    # Symmetrised, since the gradient of a function of symmetric matrices is one; Murray,
    # "Differentiation of the Cholesky decomposition", 2016.
    middle = Triangle(matmul(factor, g, adjoint_a=True), lower=True, diagonal=0.5)
    half = triangular_solve(factor, middle, adjoint=True)
    found = adjoint(triangular_solve(factor, adjoint(half), adjoint=True))
    return ((found + adjoint(found)) * 0.5,)


Cholesky = Primitive(
    "Cholesky",
    "input: T",
    impl=_cholesky_impl,
    shape=square("Cholesky"),
    vjp=_cholesky_vjp,
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
)


def cholesky_solve(chol: Any, rhs: Any, name: str | None = None) -> Tensor:
    """X with A X = rhs, [..., n, k], where `chol` is the lower factor of A."""
    chol = to_tensor(chol, None)
    y = triangular_solve(chol, rhs, lower=True)
    return triangular_solve(chol, y, lower=True, adjoint=True)


def logdet(matrix: Any, name: str | None = None) -> Tensor:
    """The logarithms of the determinants of positive definite matrices, real [...]."""
    return 2.0 * reduce_sum(log(real(diag_part(cholesky(matrix)))), axis=-1)


# -- determinants and inverses ----------------------------------------------------------------


def det(input: Any, name: str | None = None) -> Tensor:
    """Determinants of square matrices: [..., n, n] to [...]."""
    return MatrixDeterminant(input)


def _det_shape(x: Any) -> TensorSpec:
    check_square(x, "MatrixDeterminant")
    return TensorSpec(x.shape[:-2] if x.shape.rank is not None else None, x.dtype)


def _spread(scalars: Any) -> Any:
    """[...] as [..., 1, 1]."""
    return _Spread(scalars)


_Spread = Primitive(
    "_Spread",
    "x: T",
    impl=lambda x: x[..., None, None],
    shape=lambda x: TensorSpec(
        x.shape.concatenate([1, 1]) if x.shape.rank is not None else None, x.dtype
    ),
    vjp=lambda op, g: (reduce_sum(g, axis=[-2, -1]),),
    batch=batch_rules.unary,
)


MatrixDeterminant = Primitive(
    "MatrixDeterminant",
    "input: T",
    impl=lambda x: array_module(x).asarray(array_module(x).linalg.det(x)),
    shape=_det_shape,
    vjp=lambda op, g: (
        _spread(g * conj(op.outputs[0])) * MatrixInverse(op.inputs[0], adjoint=True),
    ),
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
)


def slogdet(input: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """Signs and logarithms of the absolute values of determinants, each [...]."""
    return LogMatrixDeterminant(input)


def _slogdet_impl(x: Any) -> Any:
    xp = array_module(x)
    sign, size = xp.linalg.slogdet(x)
    return xp.asarray(sign, x.dtype), xp.asarray(size, x.dtype)


def _slogdet_shape(x: Any) -> tuple[TensorSpec, TensorSpec]:
    check_square(x, "LogMatrixDeterminant")
    found = TensorSpec(x.shape[:-2] if x.shape.rank is not None else None, x.dtype)
    return found, found


LogMatrixDeterminant = Primitive(
    "LogMatrixDeterminant",
    "input: T",
    impl=_slogdet_impl,
    shape=_slogdet_shape,
    vjp=lambda op, sign, g: (_spread(g) * MatrixInverse(op.inputs[0], adjoint=True),),
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
)


def inv(input: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """Inverses of square matrices [..., n, n], of their adjoints if `adjoint`.

    Raises:
        InvalidArgumentError: a matrix cannot be inverted.
    """
    return MatrixInverse(input, adjoint=bool(adjoint))


def not_invertible(name: str) -> InvalidArgumentError:
    """The error for a singular matrix."""
    return InvalidArgumentError(f"Input is not invertible. [Op:{name}]", op=name)


def _inverse_impl(x: Any, *, adjoint: bool) -> Any:
    try:
        out = array_module(x).linalg.inv(x)
    except np.linalg.LinAlgError:
        raise not_invertible("MatrixInverse") from None
    return out.conj().swapaxes(-1, -2) if adjoint else out


def _inverse_vjp(op: Any, g: Any) -> Any:
    out, flag = op.outputs[0], op.attrs["adjoint"]
    # Of the plain inverse -A^-H g A^-H; of the adjoint inverse B = A^-H it is -B g^H B.
    if flag:
        return (-matmul(out, matmul(g, out, adjoint_a=True)),)
    return (-matmul(out, matmul(g, out, adjoint_b=True), adjoint_a=True),)


MatrixInverse = Primitive(
    "MatrixInverse",
    "input: T",
    impl=_inverse_impl,
    shape=square("MatrixInverse"),
    vjp=_inverse_vjp,
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"adjoint": False},
)


# -- systems ----------------------------------------------------------------------------------


def solve(matrix: Any, rhs: Any, adjoint: bool = False, name: str | None = None) -> Tensor:
    """X with matrix @ X = rhs, or adjoint(matrix) @ X = rhs.

    Args:
        matrix: [..., n, n].
        rhs: [..., n, k], stacked as `matrix` is.

    Raises:
        InvalidArgumentError: a matrix cannot be inverted, or the shapes do not fit.
    """
    return MatrixSolve(matrix, rhs, adjoint=bool(adjoint))


def _check_rows(a: Any, b: Any, name: str) -> None:
    check_square(a, name)
    if matrix_rank_of(b, name) is None or a.shape.rank is None:
        return
    n, m = a.shape[-1], b.shape[-2]
    if n is not None and m is not None and n != m:
        raise InvalidArgumentError(
            f"Input matrix and rhs are incompatible: {a.shape} and {b.shape} [Op:{name}]",
            op=name,
        )


def _solve_shape(a: Any, b: Any, *, adjoint: bool) -> TensorSpec:
    _check_rows(a, b, "MatrixSolve")
    ranks = (a.shape.rank, b.shape.rank)
    if None in ranks:
        return TensorSpec(None, a.dtype)
    if ranks[0] != ranks[1] or not a.shape[:-2].is_compatible_with(b.shape[:-2]):
        raise InvalidArgumentError(
            "All input tensors must have the same outer dimensions, got shapes "
            f"{a.shape} and {b.shape} [Op:MatrixSolve]",
            op="MatrixSolve",
        )
    lead = a.shape[:-2].merge_with(b.shape[:-2])
    return TensorSpec(lead.concatenate([a.shape[-1], b.shape[-1]]), a.dtype)


def _solve_impl(a: Any, b: Any, *, adjoint: bool) -> Any:
    if not b.size:
        return b.copy()
    a = a.conj().swapaxes(-1, -2) if adjoint else a
    try:
        return array_module(a).linalg.solve(a, b)
    except np.linalg.LinAlgError:
        raise InvalidArgumentError(
            "Input matrix is not invertible. [Op:MatrixSolve]", op="MatrixSolve"
        ) from None


def _outer(op: Any, for_rhs: Any) -> Any:
    """The gradient of the matrix, given that of the right side."""
    x = op.outputs[0]
    pair = (x, for_rhs) if op.attrs["adjoint"] else (for_rhs, x)
    return -matmul(*pair, adjoint_b=True)


def _solve_vjp(op: Any, g: Any) -> Any:
    for_rhs = MatrixSolve(op.inputs[0], g, adjoint=not op.attrs["adjoint"])
    return _outer(op, for_rhs), for_rhs


def all_stacked(ctx: Any, *xs: Any, **attrs: Any) -> Any:
    """The batch rule of functions whose inputs are stacked alike."""
    return ctx.primitive.call_flat(batch_rules.all_batched(ctx, xs), attrs)


MatrixSolve = Primitive(
    "MatrixSolve",
    "matrix: T, rhs: T",
    impl=_solve_impl,
    shape=_solve_shape,
    vjp=_solve_vjp,
    batch=all_stacked,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"adjoint": False},
)


def triangular_solve(
    matrix: Any, rhs: Any, lower: bool = True, adjoint: bool = False, name: str | None = None
) -> Tensor:
    """X with matrix @ X = rhs for triangular matrices; stacks broadcast.

    Args:
        matrix: [..., n, n]; the other triangle is not read.
        rhs: [..., n, k].
        lower: which triangle holds the matrix.
        adjoint: solve with the matrix's adjoint.

    Raises:
        InvalidArgumentError: a matrix cannot be inverted, or the shapes do not fit.
    """
    return MatrixTriangularSolve(matrix, rhs, lower=bool(lower), adjoint=bool(adjoint))


def _triangular_shape(a: Any, b: Any, *, lower: bool, adjoint: bool) -> TensorSpec:
    _check_rows(a, b, "MatrixTriangularSolve")
    if a.shape.rank is None or b.shape.rank is None:
        return TensorSpec(None, a.dtype)
    lead = broadcast(a.shape[:-2], b.shape[:-2], "MatrixTriangularSolve")
    return TensorSpec(lead.concatenate([a.shape[-1], b.shape[-1]]), a.dtype)


def _triangular_impl(a: Any, b: Any, *, lower: bool, adjoint: bool) -> Any:
    xp = array_module(a)
    n = a.shape[-1]
    if not a[..., range(n), range(n)].all():
        raise InvalidArgumentError(
            "Input matrix is not invertible. [Op:MatrixTriangularSolve]",
            op="MatrixTriangularSolve",
        )
    if xp is np and a.ndim == 2 and b.ndim == 2 and n:
        from scipy.linalg import solve_triangular

        found = solve_triangular(a, b, 2 if adjoint else 0, lower, check_finite=False)
        return found.astype(a.dtype, copy=False)
    if adjoint:
        a, lower = a.conj().swapaxes(-1, -2), not lower
    # Rows one after the other, all stacked systems at once.
    lead = np.broadcast_shapes(a.shape[:-2], b.shape[:-2])
    x = xp.empty((*lead, *b.shape[-2:]), a.dtype)
    x[...] = b
    for i in range(n) if lower else range(n - 1, -1, -1):
        done = slice(0, i) if lower else slice(i + 1, n)
        x[..., i, :] -= (a[..., i : i + 1, done] @ x[..., done, :])[..., 0, :]
        x[..., i, :] /= a[..., i, i, None]
    return x


def _triangular_vjp(op: Any, g: Any) -> Any:
    a, b = op.inputs
    flags = op.attrs
    for_rhs = MatrixTriangularSolve(a, g, lower=flags["lower"], adjoint=not flags["adjoint"])
    for_a = Triangle(_outer(op, for_rhs), lower=flags["lower"], diagonal=1.0)
    return sum_to(for_a, a), sum_to(for_rhs, b)


MatrixTriangularSolve = Primitive(
    "MatrixTriangularSolve",
    "matrix: T, rhs: T",
    impl=_triangular_impl,
    shape=_triangular_shape,
    vjp=_triangular_vjp,
    batch=batch_rules.elementwise,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"lower": True, "adjoint": False},
)
