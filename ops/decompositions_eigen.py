"""Spectral factorisations: eig, eigh, svd, qr.

Vectors are those of LAPACK: TensorFlow's may differ by a factor of absolute value 1 each (a
sign, for real matrices), and its eigenvalues of general matrices may come in another order.
The gradients are those of functions that do not depend on these choices; where values coincide
the terms that would be infinite are left out.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import cast, ones_like
from .array_gather import boolean_mask
from .array_join import concat
from .array_module import array_module
from .array_shape import expand_dims
from .comparison import logical_and
from .convert import to_tensor
from .decompositions import MATRIX_TYPES, adjoint, check_square, solve, triangular_solve
from .decompositions_diagonals import Triangle, matrix_rank_of
from .division import divide_no_nan
from .dtypes import as_dtype
from .elementwise import conj, imag, real
from .errors import UnimplementedError
from .linalg_ops import diag, diag_part, matmul
from .math_ops import complex
from .primitive import Primitive
from .static_args import static_ints
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["eig", "eigh", "eigh_tridiagonal", "eigvals", "eigvalsh", "qr", "svd"]


def _columns(x: Any, factors: Any) -> Any:
    """Each column of matrices times its factor, [..., n, m] and [..., m]."""
    return x * cast(expand_dims(factors, -2), x.dtype)


def _gaps(values: Any) -> Any:
    """1 / (values[j] - values[i]), 0 where that is infinite: [..., n] to [..., n, n]."""
    gaps = expand_dims(values, -2) - expand_dims(values, -1)
    return divide_no_nan(ones_like(gaps), gaps)


def _vector_of(x: Any) -> Any:
    return x.shape[:-1] if x.shape.rank is not None else None


# -- symmetric --------------------------------------------------------------------------------


def eigh(tensor: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """Eigenvalues [..., n], ascending, and eigenvectors (columns of [..., n, n]).

    Args:
        tensor: symmetric or Hermitian matrices; the upper triangle is not read.
    """
    return SelfAdjointEigV2(tensor, compute_v=True)


def eigvalsh(tensor: Any, name: str | None = None) -> Tensor:
    """Eigenvalues of symmetric or Hermitian matrices, [..., n], ascending."""
    return SelfAdjointEigV2(tensor, compute_v=False)[0]


def _eigh_impl(x: Any, *, compute_v: bool) -> Any:
    xp = array_module(x)
    if not compute_v:
        return xp.linalg.eigvalsh(x).astype(x.dtype), xp.empty(0, x.dtype)
    values, vectors = xp.linalg.eigh(x)
    return values.astype(x.dtype), vectors


def _eigh_shape(x: Any, *, compute_v: bool) -> tuple[TensorSpec, TensorSpec]:
    check_square(x, "SelfAdjointEigV2")
    return (
        TensorSpec(_vector_of(x), x.dtype),
        TensorSpec(x.shape if compute_v else [0], x.dtype),
    )


def _eigh_vjp(op: Any, g_values: Any, g_vectors: Any) -> Any:
    if op.attrs["compute_v"]:
        values, vectors = op.outputs
        turned = matmul(vectors, g_vectors, adjoint_a=True)
        middle = diag(g_values) + conj(_gaps(values)) * turned
    else:
        _, vectors = eigh(op.inputs[0])
        middle = diag(g_values)
    found = matmul(vectors, matmul(middle, vectors, adjoint_b=True))
    # Only the lower triangle is read, so all of the gradient is there.
    return (Triangle(found + adjoint(found), lower=True, diagonal=0.5),)


def _several(ctx: Any, x: Any, **attrs: Any) -> Any:
    """Stacks of matrices; an output left out (of size 0) is repeated for the block."""
    out = ctx.primitive.call_flat((x,), attrs)
    flag = attrs.get("compute_v", attrs.get("compute_uv", True))
    return out if flag else (out[0], *(_EmptyRows(o, x) for o in out[1:]))


_EmptyRows = Primitive(
    "_EmptyRows",
    "x: T, like: L",
    impl=lambda x, like: array_module(x).broadcast_to(x, (like.shape[0], *x.shape)),
    shape=lambda x, like: TensorSpec(like.shape[:1].concatenate(x.shape), x.dtype),
)


SelfAdjointEigV2 = Primitive(
    "SelfAdjointEigV2",
    "input: T",
    impl=_eigh_impl,
    shape=_eigh_shape,
    vjp=_eigh_vjp,
    batch=_several,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"compute_v": True},
)


def eigh_tridiagonal(
    alpha: Any,
    beta: Any,
    eigvals_only: bool = True,
    select: str = "a",
    select_range: Any = None,
    tol: Any = None,
    name: str | None = None,
) -> Any:
    """Eigenvalues of a Hermitian tridiagonal matrix, ascending; with vectors if asked for.

    Args:
        alpha: [n], the diagonal; of complex numbers the real part.
        beta: [n - 1], the first superdiagonal.
        eigvals_only: without vectors.
        select: ``"a"`` for all eigenvalues, ``"v"`` for those in the interval (low, high] and
            ``"i"`` for those with indices low to high (inclusive) of `select_range`.
        select_range: a pair; ignored for ``"a"``.
        tol: accepted; the values are as exact as LAPACK's.

    Raises:
        ValueError: `select` or `select_range` is not valid.
    """
    a, b = to_tensor(alpha, None), to_tensor(beta, None)
    if select not in ("a", "v", "i"):
        raise ValueError("'select must have a value in {'a', 'i', 'v'}.")
    # Only the lower triangle of the matrix is read.
    main = diag(cast(real(a), b.dtype))
    matrix = main + diag(conj(b), k=-1)
    if eigvals_only:
        found: Any = (eigvalsh(matrix),)
    else:
        found = eigh(matrix)
    values = real(found[0])
    vectors = found[1] if not eigvals_only else None
    if select == "i":
        low, high = static_ints(select_range, "eigh_tridiagonal", "select_range")
        if low > high or low < 0:
            raise ValueError(f"Got empty index range in select_range: ({low}, {high})")
        n = a.shape[0]
        if n is not None and high >= n:
            raise ValueError(f"select_range must be within [0, {n}), got ({low}, {high})")
        values = values[low : high + 1]
        vectors = None if vectors is None else vectors[:, low : high + 1]
    elif select == "v":
        pair = to_tensor(select_range, values.dtype)
        low, high = pair[0], pair[1]
        keep = logical_and(values > low, values <= high)
        values = boolean_mask(values, keep)
        vectors = None if vectors is None else boolean_mask(vectors, keep, axis=1)
    return values if vectors is None else (values, vectors)


# -- general ----------------------------------------------------------------------------------


def eig(tensor: Any, name: str | None = None) -> tuple[Tensor, Tensor]:
    """Complex eigenvalues [..., n], in no order, and eigenvectors (columns of [..., n, n]).

    Args:
        tensor: any square matrices [..., n, n].
    """
    x = to_tensor(tensor, None)
    return Eig(x, compute_v=True, Tout=_complex_of(x))


def eigvals(tensor: Any, name: str | None = None) -> Tensor:
    """Complex eigenvalues of any square matrices, [..., n], in no order."""
    x = to_tensor(tensor, None)
    return Eig(x, compute_v=False, Tout=_complex_of(x))[0]


def _complex_of(x: Any) -> Any:
    if x.dtype.is_complex:
        return x.dtype
    return as_dtype("complex64" if x.dtype.size <= 4 else "complex128")


def _eig_impl(x: Any, *, compute_v: bool, Tout: Any) -> Any:
    xp = array_module(x)
    dtype = Tout.np_dtype
    if not compute_v:
        return xp.linalg.eigvals(x).astype(dtype), xp.empty(0, dtype)
    values, vectors = xp.linalg.eig(x)
    return values.astype(dtype), vectors.astype(dtype)


def _eig_shape(x: Any, *, compute_v: bool, Tout: Any) -> tuple[TensorSpec, TensorSpec]:
    check_square(x, "Eig")
    return TensorSpec(_vector_of(x), Tout), TensorSpec(x.shape if compute_v else [0], Tout)


def _eig_vjp(op: Any, g_values: Any, g_vectors: Any) -> Any:
    # Boeddeker et al., "On the computation of complex-valued gradients", 2017, (4.77); vectors
    # of length 1.
    (a,) = op.inputs
    middle = diag(g_values)
    if op.attrs["compute_v"]:
        values, vectors = op.outputs
        turned = matmul(vectors, g_vectors, adjoint_a=True)
        lengths = diag(cast(real(diag_part(turned)), turned.dtype))
        inner = matmul(matmul(vectors, vectors, adjoint_a=True), lengths)
        middle = middle + conj(_gaps(values)) * (turned - inner)
    else:
        _, vectors = eig(a)
    flipped = adjoint(vectors)
    found = solve(flipped, matmul(middle, flipped))
    return (found if a.dtype.is_complex else cast(real(found), a.dtype),)


Eig = Primitive(
    "Eig",
    "input: T",
    impl=_eig_impl,
    shape=_eig_shape,
    vjp=_eig_vjp,
    batch=_several,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"compute_v": True, "Tout": as_dtype("complex128")},
)


# -- singular values --------------------------------------------------------------------------


def svd(
    tensor: Any, full_matrices: bool = False, compute_uv: bool = True, name: str | None = None
) -> Any:
    """Singular values s [..., p], descending, and vectors u [..., m, p], v [..., n, p], with
    p = min(m, n): ``tensor = u @ diag(s) @ adjoint(v)``.

    Args:
        tensor: [..., m, n].
        full_matrices: u is [..., m, m] and v [..., n, n].
        compute_uv: otherwise only s comes back.
    """
    s, u, v = Svd(tensor, compute_uv=bool(compute_uv), full_matrices=bool(full_matrices))
    return (s, u, v) if compute_uv else s


def _svd_impl(x: Any, *, compute_uv: bool, full_matrices: bool) -> Any:
    xp = array_module(x)
    real_dtype = np.empty(0, x.dtype).real.dtype
    if not compute_uv:
        s = xp.linalg.svd(x, compute_uv=False)
        return s.astype(real_dtype), xp.empty(0, x.dtype), xp.empty(0, x.dtype)
    u, s, vh = xp.linalg.svd(x, full_matrices=full_matrices)
    return s.astype(real_dtype), u, vh.conj().swapaxes(-1, -2).copy()


def _svd_shape(x: Any, *, compute_uv: bool, full_matrices: bool) -> tuple[TensorSpec, ...]:
    dtype, values = x.dtype, x.dtype.real_dtype
    if matrix_rank_of(x, "Svd") is None:
        none = None if compute_uv else [0]
        return TensorSpec(None, values), TensorSpec(none, dtype), TensorSpec(none, dtype)
    m, n = x.shape.dims[-2:]
    lead = x.shape[:-2]
    p = None if m is None or n is None else min(m, n)
    if p is None and 0 in (m, n):
        p = 0
    s = TensorSpec(lead.concatenate([p]), values)
    if not compute_uv:
        return s, TensorSpec([0], dtype), TensorSpec([0], dtype)
    wide = (m, n) if full_matrices else (p, p)
    return (
        s,
        TensorSpec(lead.concatenate([m, wide[0]]), dtype),
        TensorSpec(lead.concatenate([n, wide[1]]), dtype),
    )


def _svd_vjp(op: Any, g_s: Any, g_u: Any, g_v: Any) -> Any:
    # Townsend, "Differentiating the singular value decomposition", 2016; the last term of
    # complex matrices: Wan and Zhang, "Automatic differentiation for complex valued SVD", 2019.
    (a,) = op.inputs
    if not op.attrs["compute_uv"]:
        _, u, v = svd(a)
        return (matmul(_columns(u, g_s), v, adjoint_b=True),)
    s, u, v = op.outputs
    m, n = a.shape.dims[-2:]
    extra = None
    if op.attrs["full_matrices"] and m != n:
        if m is None or n is None or (m - n) not in (1, -1):
            raise UnimplementedError(
                "Svd: there is a gradient with full_matrices=True only where the numbers of "
                f"rows and columns differ by at most 1, got a matrix of shape {a.shape}"
            )
        p = min(m, n)
        if m > n:
            last, g_last, u, g_u = u[..., p:], g_u[..., p:], u[..., :p], g_u[..., :p]
            inner = _columns(matmul(g_last, u, adjoint_a=True), _inverse(s))
            extra = matmul(last, matmul(inner, v, adjoint_b=True))
        else:
            last, g_last, v, g_v = v[..., p:], g_v[..., p:], v[..., :p], g_v[..., :p]
            inner = matmul(v, g_last, adjoint_a=True)
            extra = matmul(_columns(u, _inverse(s)), matmul(inner, last, adjoint_b=True))
    gaps = cast(_gaps(s * s), a.dtype)
    u_turned, v_turned = (matmul(x, g, adjoint_a=True) for x, g in ((u, g_u), (v, g_v)))
    from_u, from_v = gaps * u_turned, gaps * v_turned
    middle = diag(cast(g_s, a.dtype)) + _columns(from_u + adjoint(from_u), s)
    middle = middle + adjoint(_columns(from_v + adjoint(from_v), s))
    if a.dtype.is_complex:
        twist = imag(diag_part(v_turned)) * _inverse(s)
        middle = middle - diag(complex(twist * 0, twist))
    found = matmul(u, matmul(middle, v, adjoint_b=True))
    if m is None or m != n:
        from_rows = _columns(g_u - matmul(u, u_turned), _inverse(s))
        found = found + matmul(from_rows, v, adjoint_b=True)
        from_columns = _columns(g_v - matmul(v, v_turned), _inverse(s))
        found = found + matmul(u, from_columns, adjoint_b=True)
    return (found if extra is None else found - extra,)


def _inverse(s: Any) -> Any:
    return divide_no_nan(ones_like(s), s)


Svd = Primitive(
    "Svd",
    "input: T",
    impl=_svd_impl,
    shape=_svd_shape,
    vjp=_svd_vjp,
    batch=_several,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"compute_uv": True, "full_matrices": False},
)


# -- QR ---------------------------------------------------------------------------------------


def qr(input: Any, full_matrices: bool = False, name: str | None = None) -> Any:
    """Orthonormal q [..., m, p] and upper triangular r [..., p, n], p = min(m, n).

    Args:
        input: [..., m, n].
        full_matrices: q is [..., m, m] and r [..., m, n].
    """
    return Qr(input, full_matrices=bool(full_matrices))


def _qr_impl(x: Any, *, full_matrices: bool) -> Any:
    q, r = array_module(x).linalg.qr(x, "complete" if full_matrices else "reduced")
    return q.copy(), r.copy()


def _qr_shape(x: Any, *, full_matrices: bool) -> tuple[TensorSpec, TensorSpec]:
    if matrix_rank_of(x, "Qr") is None:
        return TensorSpec(None, x.dtype), TensorSpec(None, x.dtype)
    m, n = x.shape.dims[-2:]
    p = m if full_matrices else None if m is None or n is None else min(m, n)
    lead = x.shape[:-2]
    return (
        TensorSpec(lead.concatenate([m, p]), x.dtype),
        TensorSpec(lead.concatenate([p, n]), x.dtype),
    )


def _qr_vjp(op: Any, g_q: Any, g_r: Any) -> Any:
    (a,) = op.inputs
    q, r = op.outputs
    m, n = a.shape.dims[-2:]
    if m is None or n is None or (m > n and op.attrs["full_matrices"]):
        raise UnimplementedError(
            "Qr: the gradient needs a known number of rows and columns, and with "
            f"full_matrices=True no more rows than columns, got shape {a.shape}"
        )
    if m >= n:
        return (_tall_qr(q, r, g_q, g_r),)
    # The first m columns are a square case; the others are q times columns of r.
    rest, g_rest = a[..., m:], g_r[..., m:]
    g_q = g_q + matmul(rest, g_rest, adjoint_b=True)
    first = _tall_qr(q, r[..., :m], g_q, g_r[..., :m])
    return (concat([first, matmul(q, g_rest)], -1),)


def _tall_qr(q: Any, r: Any, g_q: Any, g_r: Any) -> Any:
    # Roberts and Roberts, "QR and LQ decomposition matrix backpropagation algorithms", 2020.
    turned = matmul(q, g_q, adjoint_a=True)
    scaled = matmul(r, g_r, adjoint_b=True)
    skew = (turned - adjoint(turned)) + (scaled - adjoint(scaled))
    low = Triangle(skew, lower=True, diagonal=1.0)
    found = matmul(q, g_r + _over(low, r)) + _over(g_q - matmul(q, turned), r)
    if q.dtype.is_complex:
        phase = imag(diag_part(scaled - adjoint(turned)))
        found = found + _over(matmul(q, diag(complex(phase * 0, -phase))), r)
    return found


def _over(x: Any, r: Any) -> Any:
    """x @ inverse(adjoint(r)) of upper triangular r."""
    return adjoint(triangular_solve(r, adjoint(x), lower=False))


Qr = Primitive(
    "Qr",
    "input: T",
    impl=_qr_impl,
    shape=_qr_shape,
    vjp=_qr_vjp,
    batch=batch_rules.unary,
    types=MATRIX_TYPES,
    check_first=True,
    defaults={"full_matrices": False},
)
