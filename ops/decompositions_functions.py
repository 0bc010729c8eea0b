"""Functions of matrices, pseudo-inverses, least squares and norms made of factorisations.

The gradients of `expm`, `logm` and `sqrtm` rest on one fact (Higham, "Functions of matrices",
theorem 3.6): of the block matrix ``[[A, E], [0, A]]`` an analytic function has in its upper
right block the function's derivative at A in the direction E.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import cast, shape, zeros_like
from .array_join import concat, split
from .array_module import array_module
from .array_shape import expand_dims, squeeze, transpose
from .batch_loop import looped
from .convert import to_tensor
from .decompositions import (
    MATRIX_TYPES,
    adjoint,
    cholesky,
    cholesky_solve,
    square,
)
from .decompositions_diagonals import EyeLike, matrix_rank_of
from .decompositions_eigen import svd
from .elementwise import abs, conj, sqrt
from .errors import InvalidArgumentError
from .linalg_ops import matmul
from .math_ops import pow
from .primitive import Primitive
from .reductions import reduce_max, reduce_sum
from .shape_rules import COMPLEX
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "expm", "logm", "lstsq", "matrix_rank", "matrix_square_root", "norm", "normalize", "pinv",
    "sqrtm",
]  # fmt: skip


# -- analytic functions -----------------------------------------------------------------------


def expm(input: Any, name: str | None = None) -> Tensor:
    """The matrix exponentials of square matrices [..., n, n]."""
    return MatrixExponential(input)


def logm(input: Any, name: str | None = None) -> Tensor:
    """The principal matrix logarithms of complex square matrices [..., n, n].

    TensorFlow has no gradient for it; here it has one.
    """
    return MatrixLogarithm(input)


def sqrtm(input: Any, name: str | None = None) -> Tensor:
    """The matrix square roots of square matrices [..., n, n]; NaN where a real matrix has no
    real one."""
    return MatrixSquareRoot(input)


matrix_square_root = sqrtm


def _derivative(op: Any, g: Any) -> Any:
    a = adjoint(op.inputs[0])
    upper, lower = concat([a, g], -1), concat([zeros_like(a), a], -1)
    found = op.primitive(concat([upper, lower], -2))
    return (split(split(found, 2, axis=-1)[1], 2, axis=-2)[0],)


def _expm_impl(x: Any) -> Any:
    from scipy.linalg import expm as function

    return function(x).astype(x.dtype, copy=False) if x.size else x.copy()


def _one_by_one(name: str) -> Callable[..., Any]:
    """SciPy's function `name` of each matrix."""

    def impl(x: Any) -> Any:
        import scipy.linalg

        function = getattr(scipy.linalg, name)
        n = x.shape[-1]
        out = np.empty((x.size // (n * n) if n else 0, n, n), x.dtype)
        for i, matrix in enumerate(x.reshape((-1, n, n)) if n else ()):
            # Some versions of SciPy compute in single precision what they get so.
            wide = np.complex128 if x.dtype.kind == "c" else np.float64
            found = function(matrix.astype(wide))
            if x.dtype.kind != "c" and np.iscomplexobj(found):
                real = np.abs(found.imag).max() <= 1e-9 * max(np.abs(found).max(), 1e-300)
                found = found.real if real else np.full_like(found.real, np.nan)
            out[i] = found
        return out.reshape(x.shape)

    return impl


def _analytic(name: str, impl: Callable[..., Any], types: Any = MATRIX_TYPES) -> Primitive:
    return Primitive(
        name,
        "input: T",
        impl=impl,
        shape=square(name),
        vjp=_derivative,
        batch=batch_rules.unary,
        types=types,
        check_first=True,
    )


MatrixExponential = _analytic("MatrixExponential", _expm_impl)
MatrixLogarithm = _analytic("MatrixLogarithm", _one_by_one("logm"), {"T": COMPLEX})
MatrixSquareRoot = _analytic("MatrixSquareRoot", _one_by_one("sqrtm"))


# -- rank and pseudo-inverse ------------------------------------------------------------------


def _matrix(a: Any, validate_args: bool) -> Tensor:
    a = to_tensor(a, None)
    if not (a.dtype.is_floating or a.dtype.is_complex):
        raise TypeError(f"Input `a` must have `float`-like `dtype` (saw {a.dtype.name}).")
    if a.shape.rank is not None and a.shape.rank < 2:
        raise ValueError(f"Input `a` must have at least 2 dimensions (saw: {a.shape.rank}).")
    return a


def matrix_rank(
    a: Any, tol: Any = None, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """How many singular values of matrices [..., m, n] exceed `tol`, int32 [...].

    Args:
        a: floats or complex numbers.
        tol: by default machine epsilon * max(m, n) * the largest singular value.
        validate_args: accepted; the rank is always checked.

    Raises:
        TypeError: `a` holds neither floats nor complex numbers.
        ValueError: it has fewer than two axes.
    """
    a = _matrix(a, validate_args)
    s = svd(a, compute_uv=False)
    if tol is None:
        largest = cast(reduce_max(shape(a)[-2:]), s.dtype)
        tol = float(np.finfo(s.dtype.np_dtype).eps) * largest * reduce_max(s, -1, True)
    return reduce_sum(cast(s > to_tensor(tol, s.dtype), dtypes.int32), axis=-1)


def pinv(
    a: Any, rcond: Any = None, validate_args: bool = False, name: str | None = None
) -> Tensor:
    """The Moore-Penrose pseudo-inverses [..., n, m] of matrices [..., m, n].

    Args:
        a: floats or complex numbers.
        rcond: singular values not above `rcond` times the largest are taken for 0; [...] or a
            number, by default 10 * max(m, n) * machine epsilon.
        validate_args: accepted; the rank is always checked.

    Raises:
        TypeError: `a` holds neither floats nor complex numbers.
        ValueError: it has fewer than two axes.
    """
    a = _matrix(a, validate_args)
    if rcond is None:
        eps = float(np.finfo(a.dtype.np_dtype).eps)
        rcond = 10.0 * cast(reduce_max(shape(a)[-2:]), a.dtype.real_dtype) * eps
    return _Pinv(a, to_tensor(rcond, a.dtype.real_dtype))


def _pinv_impl(a: Any, rcond: Any) -> Any:
    xp = array_module(a)
    if not a.size:
        return xp.empty((*a.shape[:-2], a.shape[-1], a.shape[-2]), a.dtype)
    return xp.linalg.pinv(a, rcond).astype(a.dtype, copy=False)


def _pinv_vjp(op: Any, g: Any) -> Any:
    # Golub and Pereyra, "The differentiation of pseudo-inverses", 1973.
    a, p = op.inputs[0], op.outputs[0]
    left = EyeLike(a, columns=False) - matmul(a, p)
    right = EyeLike(a, columns=True) - matmul(p, a)
    main = matmul(p, matmul(g, p, adjoint_b=True), adjoint_a=True)
    rows = matmul(left, matmul(g, matmul(p, p, adjoint_b=True), adjoint_a=True))
    columns = matmul(matmul(p, p, adjoint_a=True), matmul(g, right, adjoint_a=True))
    return rows + columns - main, None


def _swapped(x: Any) -> Any:
    if x.shape.rank is None:
        return None
    return x.shape[:-2].concatenate([x.shape[-1], x.shape[-2]])


def _pinv_batch(ctx: Any, a: Any, rcond: Any) -> Any:
    if ctx.batched[1] or not ctx.batched[0]:
        return looped(ctx, a, rcond)
    return ctx.primitive(a, rcond)


_Pinv = Primitive(
    "_Pinv",
    "a: T, rcond: R",
    impl=_pinv_impl,
    shape=lambda a, rcond: TensorSpec(_swapped(a), a.dtype),
    vjp=_pinv_vjp,
    batch=_pinv_batch,
    types=MATRIX_TYPES,
)


# -- least squares ----------------------------------------------------------------------------


def lstsq(
    matrix: Any, rhs: Any, l2_regularizer: Any = 0.0, fast: bool = True, name: str | None = None
) -> Tensor:
    """X [..., n, k] that minimises |matrix @ X - rhs|^2 + l2_regularizer * |X|^2.

    Args:
        matrix: [..., m, n].
        rhs: [..., m, k].
        l2_regularizer: a number; not used unless `fast`.
        fast: solve the normal equations by Cholesky's method; otherwise the solution of the
            smallest norm is found by singular values, also for matrices that lack rank.

    Raises:
        InvalidArgumentError: the shapes do not fit, or the normal equations are singular.
    """
    return MatrixSolveLs(
        matrix, rhs, to_tensor(l2_regularizer, dtypes.float64), fast=bool(fast)
    )


def _ls_impl(a: Any, b: Any, l2: Any, *, fast: bool) -> Any:
    xp = array_module(a)
    m, n = a.shape[-2:]
    if not fast:
        return xp.linalg.pinv(a, max(m, n) * np.finfo(a.dtype).eps).astype(a.dtype) @ b
    flipped = a.conj().swapaxes(-1, -2)
    gram = a @ flipped if m < n else flipped @ a
    gram = gram + gram.real.dtype.type(float(l2)) * xp.eye(min(m, n), dtype=a.dtype)
    try:
        xp.linalg.cholesky(gram)
        if m < n:
            return flipped @ xp.linalg.solve(gram, b)
        return xp.linalg.solve(gram, flipped @ b)
    except np.linalg.LinAlgError:
        raise InvalidArgumentError(
            "Input matrix was rank deficient or ill-conditioned. Try setting fast=False or "
            "provide a larger l2_regularizer > 0. [Op:MatrixSolveLs]",
            op="MatrixSolveLs",
        ) from None


def _ls_shape(a: Any, b: Any, l2: Any, *, fast: bool) -> TensorSpec:
    ranks = (matrix_rank_of(a, "MatrixSolveLs"), matrix_rank_of(b, "MatrixSolveLs"))
    if None in ranks:
        return TensorSpec(None, a.dtype)
    if ranks[0] != ranks[1] or not a.shape[:-1].is_compatible_with(b.shape[:-1]):
        raise InvalidArgumentError(
            f"Input matrix and rhs are incompatible: {a.shape} and {b.shape} "
            "[Op:MatrixSolveLs]",
            op="MatrixSolveLs",
        )
    lead = a.shape[:-2].merge_with(b.shape[:-2])
    return TensorSpec(lead.concatenate([a.shape[-1], b.shape[-1]]), a.dtype)


def _ls_vjp(op: Any, g: Any) -> Any:
    a, b, l2 = op.inputs
    x = op.outputs[0]
    if not op.attrs["fast"]:
        p = pinv(a)
        for_a, _ = _pinv_vjp(_PinvCall((a, None), (p,)), matmul(g, b, adjoint_b=True))
        return for_a, matmul(p, g, adjoint_a=True), None
    m, n = a.shape.dims[-2:]
    l2 = cast(l2, a.dtype)
    if m is None or n is None or m >= n:
        gram = matmul(a, a, adjoint_a=True) + l2 * EyeLike(a, columns=True)
        z = cholesky_solve(cholesky(gram), g)
        az = matmul(a, z)
        rest = matmul(b - matmul(a, x), z, adjoint_b=True)
        return rest - matmul(az, x, adjoint_b=True), az, None
    gram = matmul(a, a, adjoint_b=True) + l2 * EyeLike(a, columns=False)
    factor = cholesky(gram)
    w, t = cholesky_solve(factor, b), cholesky_solve(factor, matmul(a, g))
    rest = matmul(w, g - matmul(a, t, adjoint_a=True), adjoint_b=True)
    return rest - matmul(t, x, adjoint_b=True), t, None


class _PinvCall:
    """What `_pinv_vjp` reads of a call."""

    def __init__(self, inputs: Any, outputs: Any):
        self.inputs, self.outputs = inputs, outputs


def _ls_batch(ctx: Any, a: Any, b: Any, l2: Any, **attrs: Any) -> Any:
    if ctx.batched != (True, True, False) and list(ctx.batched) != [True, True, False]:
        return looped(ctx, a, b, l2, **attrs)
    return ctx.primitive.call_flat((a, b, l2), attrs)


MatrixSolveLs = Primitive(
    "MatrixSolveLs",
    "matrix: T, rhs: T, l2_regularizer: float64",
    impl=_ls_impl,
    shape=_ls_shape,
    vjp=_ls_vjp,
    batch=_ls_batch,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"fast": True},
)


# -- norms ------------------------------------------------------------------------------------


def norm(
    tensor: Any,
    ord: Any = "euclidean",
    axis: Any = None,
    keepdims: Any = None,
    name: str | None = None,
) -> Tensor:
    """The norm of vectors or matrices.

    Args:
        tensor: floats or complex numbers.
        ord: ``"euclidean"``, ``"fro"`` (the same of a matrix), ``1``, ``2``, ``np.inf`` or any
            positive number.
        axis: an int for vectors, a pair for matrices, None for all elements as one vector.
        keepdims: keep the axes with size 1.
        name: ignored.

    Raises:
        ValueError: `ord` or `axis` is not supported.
    """
    keepdims = bool(keepdims)
    x = to_tensor(tensor, None)
    matrix = isinstance(axis, (tuple, list, np.ndarray))
    if matrix:
        axis = tuple(int(a) for a in axis)
        if len(axis) != 2 or axis[0] == axis[1]:
            raise ValueError(
                f"'axis' must be None, an integer, or a tuple of 2 unique integers, got {axis}"
            )
        if ord not in ("euclidean", "fro", 1, 2, np.inf):
            raise ValueError(
                "'ord' must be a supported matrix norm in "
                f"['euclidean', 'fro', 1, 2, np.inf], got {ord}"
            )
    elif ord not in ("euclidean", 1, 2, np.inf) and (isinstance(ord, str) or ord <= 0):
        raise ValueError(f"'ord' must be a supported vector norm, got {ord}")
    if ord in ("euclidean", "fro") or (ord == 2 and not matrix):
        squares = x * conj(x) if x.dtype.is_complex else x * x  # complex norms, as TensorFlow
        return sqrt(reduce_sum(squares, axis, keepdims))
    size = abs(x)
    if not matrix:
        if ord == np.inf:
            return reduce_max(size, axis, keepdims)
        if ord == 1:
            return reduce_sum(size, axis, keepdims)
        return pow(reduce_sum(pow(size, ord), axis, keepdims), 1.0 / ord)
    rank = x.shape.rank
    if rank is None:
        raise ValueError("norm: matrix norms need a tensor of known rank")
    rows, columns = (a % rank for a in axis)
    if ord == 2:
        others = [a for a in range(rank) if a not in (rows, columns)]
        found = reduce_max(svd(transpose(x, [*others, rows, columns]), compute_uv=False), -1)
        if keepdims:
            for a in sorted((rows, columns)):
                found = expand_dims(found, a)
        return found
    first, second = (rows, columns) if ord == 1 else (columns, rows)
    found = reduce_max(reduce_sum(size, first, True), second, True)
    return found if keepdims else squeeze(found, axis=[rows, columns])


def normalize(
    tensor: Any, ord: Any = "euclidean", axis: Any = None, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """`tensor` over its norm, and the norm with its axes kept; see `norm`."""
    x = to_tensor(tensor, None)
    size = cast(norm(x, ord, axis, keepdims=True), x.dtype)
    return x / size, size
