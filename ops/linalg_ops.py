"""Products of matrices, and what is made of them: matmul, matvec, traces, diagonals.

`MatMul` takes matrices, `BatchMatMulV2` stacks of them, which broadcast.  Transposes are flags
that reach BLAS as views; nothing is copied for them, in the gradients neither.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import reshape, shape, sum_to
from .array_join import concat, stack
from .array_module import array_module
from .array_shape import expand_dims, squeeze, transpose
from .blas import gemm
from .convert import to_tensor
from .elementwise import conj
from .errors import InvalidArgumentError, UnimplementedError
from .primitive import Primitive
from .reductions import reduce_prod, reduce_sum
from .shape_rules import NUMERIC, broadcast
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = [
    "cross", "diag", "diag_part", "matmul", "matrix_transpose", "matvec",
    "tensor_diag", "tensor_diag_part", "trace",
]  # fmt: skip


# -- matmul -----------------------------------------------------------------------------------


def matmul(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    transpose_b: bool = False,
    adjoint_a: bool = False,
    adjoint_b: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    output_type: Any = None,
    name: str | None = None,
) -> Tensor:
    """The matrix product a @ b; leading axes are stacks of matrices, which broadcast.

    Args:
        a: [..., n, k], or [..., k, n] with `transpose_a` or `adjoint_a`.
        b: [..., k, m], or [..., m, k] with `transpose_b` or `adjoint_b`.
        transpose_a, transpose_b: swap the last two axes first.
        adjoint_a, adjoint_b: swap and conjugate them first.
        a_is_sparse, b_is_sparse: hints, ignored.
        output_type: not supported but for the inputs' own dtype.
        name: ignored.

    Raises:
        ValueError: `transpose` and `adjoint` together.
        InvalidArgumentError: the sizes do not fit, or an input is no matrix.
    """
    if transpose_a and adjoint_a:
        raise ValueError(
            "Only one of `transpose_a` and `adjoint_a` can be True. Received "
            f"`transpose_a`={transpose_a}, `adjoint_a`={adjoint_a}."
        )
    if transpose_b and adjoint_b:
        raise ValueError(
            "Only one of `transpose_b` and `adjoint_b` can be True. Received "
            f"`transpose_b`={transpose_b}, `adjoint_b`={adjoint_b}."
        )
    if not isinstance(a, Tensor):
        a = to_tensor(a, b.dtype if isinstance(b, Tensor) and not hasattr(a, "dtype") else None)
    if not isinstance(b, Tensor):
        b = to_tensor(b, None if hasattr(b, "dtype") else a.dtype)
    if output_type is not None and dtypes.as_dtype(output_type) is not a.dtype:
        raise UnimplementedError(
            f"output_type must be the inputs' dtype {a.dtype.name}, got {output_type}"
        )
    if adjoint_a:
        a, transpose_a = conj(a), True
    if adjoint_b:
        b, transpose_b = conj(b), True
    if a.ndim == 2 and b.ndim == 2:
        return MatMul(a, b, transpose_a=bool(transpose_a), transpose_b=bool(transpose_b))
    return BatchMatMulV2(a, b, adj_x=bool(transpose_a), adj_y=bool(transpose_b))


def _gemm(xp: Any, x: Any, y: Any) -> Any:
    """x @ y; 16-bit floats go through float32, which BLAS knows."""
    if x.dtype.itemsize == 2 and x.dtype.kind not in "iu" and xp is np:
        return _gemm(np, x.astype(np.float32), y.astype(np.float32)).astype(x.dtype)
    if xp is np and x.ndim == 2 and y.ndim == 2 and x.dtype.kind == "f":
        return gemm(x, y)
    return xp.matmul(x, y)


def _matmul_impl(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return _gemm(array_module(a), a.T if transpose_a else a, b.T if transpose_b else b)


def _matmul_shape(a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> TensorSpec:
    for i, t in enumerate((a, b)):
        if t.shape.rank not in (2, None):
            raise InvalidArgumentError(
                f"In[{i}] is not a matrix. Instead it has shape {t.shape} [Op:MatMul]",
                op="MatMul",
            )
    n, k = _sizes(a.shape, transpose_a)
    other, m = _sizes(b.shape, transpose_b)
    if k is not None and other is not None and k != other:
        raise InvalidArgumentError(
            f"Matrix size-incompatible: In[0]: {_shown(a)}, In[1]: {_shown(b)} [Op:MatMul]",
            op="MatMul",
        )
    return TensorSpec([n, m], a.dtype)


def _sizes(shape: TensorShape, transposed: bool) -> tuple[int | None, int | None]:
    if shape.rank is None:
        return None, None
    n, k = shape.dims[-2:]
    return (k, n) if transposed else (n, k)


def _shown(t: Any) -> str:
    return (
        str(t.shape.dims and [d if d is not None else "?" for d in t.shape.dims])
        .replace(" ", "")
        .replace("'", "")
    )


def _matmul_vjp(op: Any, g: Any) -> Any:
    a, b = op.inputs
    if a.dtype.is_complex:
        a, b = conj(a), conj(b)

    def mm(x: Any, y: Any, tx: bool, ty: bool) -> Any:
        return MatMul(x, y, transpose_a=tx, transpose_b=ty)

    return _four_cases(mm, a, b, g, op.attrs["transpose_a"], op.attrs["transpose_b"], op.needs)


def _four_cases(mm: Any, a: Any, b: Any, g: Any, ta: bool, tb: bool, needs: Any) -> Any:
    """Gradients of a @ b, each one product with flags; None where it is not asked for."""
    for_a, for_b = needs or (True, True)
    ga = gb = None
    if for_a:
        ga = mm(b, g, tb, True) if ta else mm(g, b, False, not tb)
    if for_b:
        gb = mm(g, a, True, ta) if tb else mm(a, g, not ta, False)
    return ga, gb


def _matmul_batch(ctx: Any, a: Any, b: Any, *, transpose_a: bool, transpose_b: bool) -> Any:
    return BatchMatMulV2(a, b, adj_x=transpose_a, adj_y=transpose_b)


MatMul = Primitive(
    "MatMul",
    "a: T, b: T",
    impl=_matmul_impl,
    shape=_matmul_shape,
    vjp=_matmul_vjp,
    batch=_matmul_batch,
    types={"T": NUMERIC},
)


def _batch_matmul_impl(x: Any, y: Any, *, adj_x: bool, adj_y: bool) -> Any:
    """Stacks of products; a stack times one matrix is one larger product.

    ``adj`` means transposed here: conjugation is an operation of its own.
    """
    xp = array_module(x)
    if x.ndim < 2 or y.ndim < 2:
        raise ValueError("In[0] and In[1] must have at least 2 axes")
    x = x.swapaxes(-1, -2) if adj_x else x
    y = y.swapaxes(-1, -2) if adj_y else y
    if y.ndim == 2 and x.ndim > 2:
        if x.shape[-1] != y.shape[0]:
            raise ValueError("sizes do not fit")
        flat = _gemm(
            xp,
            x.reshape((-1, x.shape[-1])) if x.size else x.reshape((_rows(x), x.shape[-1])),
            y,
        )
        return flat.reshape((*x.shape[:-1], y.shape[-1]))
    if x.ndim == 2 and y.ndim > 2 and y.shape[-1] == 1 and y.size:
        # One matrix times many vectors.
        if x.shape[-1] != y.shape[-2]:
            raise ValueError("sizes do not fit")
        flat = _gemm(xp, y.reshape((-1, y.shape[-2])), x.T)
        return flat.reshape((*y.shape[:-2], x.shape[0], 1))
    return _gemm(xp, x, y)


def _rows(x: Any) -> int:
    return int(np.prod(x.shape[:-1], dtype=np.int64))


def _batch_matmul_shape(x: Any, y: Any, *, adj_x: bool, adj_y: bool) -> TensorSpec:
    for i, t in enumerate((x, y)):
        if t.shape.rank is not None and t.shape.rank < 2:
            raise InvalidArgumentError(
                f"In[{i}] ndims must be >= 2: {t.shape.rank} [Op:BatchMatMulV2]",
                op="BatchMatMulV2",
            )
    if x.shape.rank is None or y.shape.rank is None:
        return TensorSpec(None, x.dtype)
    n, k = _sizes(x.shape, adj_x)
    other, m = _sizes(y.shape, adj_y)
    if k is not None and other is not None and k != other:
        raise InvalidArgumentError(
            f"Matrix size-incompatible: In[0]: {_shown(x)}, "
            f"In[1]: {_shown(y)} [Op:BatchMatMulV2]",
            op="BatchMatMulV2",
        )
    return TensorSpec(
        broadcast(x.shape[:-2], y.shape[:-2], "BatchMatMulV2").concatenate([n, m]), x.dtype
    )


def _batch_matmul_vjp(op: Any, g: Any) -> Any:
    x, y = op.inputs
    tx, ty = op.attrs["adj_x"], op.attrs["adj_y"]
    for_x, for_y = op.needs or (True, True)
    cx, cy = (conj(x), conj(y)) if x.dtype.is_complex else (x, y)
    k = y.shape[-1] if ty else y.shape[-2]
    if y.ndim == 2 and not tx and k is not None and g.shape[-1] is not None:
        # Weights shared by a stack: their gradient is one large product, not a sum of many.
        gx = BatchMatMulV2(g, cy, adj_x=False, adj_y=not ty) if for_x else None
        if not for_y:
            return gx, None
        rows, grows = reshape(cx, [-1, k]), reshape(g, [-1, g.shape[-1]])
        pair = (grows, rows) if ty else (rows, grows)
        return gx, MatMul(*pair, transpose_a=True, transpose_b=False)

    def mm(p: Any, q: Any, tp: bool, tq: bool) -> Any:
        return BatchMatMulV2(p, q, adj_x=tp, adj_y=tq)

    gx, gy = _four_cases(mm, cx, cy, g, tx, ty, op.needs)
    return None if gx is None else sum_to(gx, x), None if gy is None else sum_to(gy, y)


BatchMatMulV2 = Primitive(
    "BatchMatMulV2",
    "x: T, y: T",
    impl=_batch_matmul_impl,
    shape=_batch_matmul_shape,
    vjp=_batch_matmul_vjp,
    batch=batch_rules.elementwise,
    types={"T": NUMERIC},
)


def matvec(
    a: Any,
    b: Any,
    transpose_a: bool = False,
    adjoint_a: bool = False,
    a_is_sparse: bool = False,
    b_is_sparse: bool = False,
    name: str | None = None,
) -> Tensor:
    """The product of matrices a, [..., n, k], and vectors b, [..., k]: [..., n]."""
    product = matmul(a, expand_dims(b, -1), transpose_a=transpose_a, adjoint_a=adjoint_a)
    return squeeze(product, axis=-1)


def matrix_transpose(a: Any, name: str = "matrix_transpose", conjugate: bool = False) -> Tensor:
    """`a` with its last two axes swapped.

    Raises:
        ValueError: it has fewer than two.
    """
    a = to_tensor(a, None)
    rank = a.shape.rank
    if rank is None or rank < 2:
        raise ValueError(
            "Argument `a` should be a (batch) matrix with rank >= 2. "
            f"Received `a` = {a} with shape: {a.shape}"
        )
    swapped = transpose(a, [*range(rank - 2), rank - 1, rank - 2])
    return conj(swapped) if conjugate else swapped


# -- diagonals --------------------------------------------------------------------------------


def diag_part(input: Any, name: str | None = None, k: int = 0) -> Tensor:
    """The diagonal `k` of each innermost matrix: [..., n, m] to [..., length]."""
    return MatrixDiagPart(input, k=int(k))


def diag(diagonal: Any, name: str | None = None, k: int = 0) -> Tensor:
    """Square matrices with `diagonal` on their diagonal `k` and zeros elsewhere.

    >>> diag([1, 2]).numpy()
    array([[1, 0],
           [0, 2]], dtype=int32)
    """
    return MatrixDiag(diagonal, k=int(k))


def _diag_part_shape(x: Any, *, k: int) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    if x.shape.rank < 2:
        raise InvalidArgumentError(
            f"input must be at least 2-dim, got shape {x.shape} [Op:MatrixDiagPartV3]"
        )
    n, m = x.shape.dims[-2:]
    length = None if n is None or m is None else min(n + min(k, 0), m - max(k, 0))
    if length is not None and length < 0:
        raise InvalidArgumentError(
            f"diagonal {k} is outside a matrix of shape {x.shape} [Op:MatrixDiagPartV3]"
        )
    return TensorSpec(x.shape[:-2].concatenate([length]), x.dtype)


def _diag_part_vjp(op: Any, g: Any) -> Any:
    return (_DiagLike(g, op.inputs[0], **op.attrs),)


MatrixDiagPart = Primitive(
    "MatrixDiagPart",
    "input: T",
    impl=lambda x, *, k: array_module(x).diagonal(x, k, -2, -1).copy(),
    shape=_diag_part_shape,
    vjp=_diag_part_vjp,
    batch=batch_rules.unary,
    check_first=True,
)


def _put_diagonal(d: Any, shape: tuple[int, ...], k: int) -> Any:
    out = array_module(d).zeros(shape, d.dtype)
    rows = np.arange(d.shape[-1]) + max(-k, 0)
    out[..., rows, rows + k] = d
    return out


_DiagLike = Primitive(
    "_DiagLike",
    "d: T, like: T",
    impl=lambda d, like, *, k: _put_diagonal(d, like.shape, k),
    shape=lambda d, like, *, k: TensorSpec(like.shape, d.dtype),
    vjp=lambda op, g: (MatrixDiagPart(g, **op.attrs), None),
    batch=lambda ctx, *xs, k: ctx.primitive(*batch_rules.all_batched(ctx, xs), k=k),
)


def _diag_impl(d: Any, *, k: int) -> Any:
    n = d.shape[-1] + (k if k >= 0 else -k)
    return _put_diagonal(d, (*d.shape[:-1], n, n), k)


def _diag_shape(d: Any, *, k: int) -> TensorSpec:
    if d.shape.rank == 0:
        raise InvalidArgumentError(
            "diagonal must be at least 1-dim, received shape: [] [Op:MatrixDiagV3]"
        )
    if d.shape.rank is None:
        return TensorSpec(None, d.dtype)
    n = d.shape[-1]
    n = None if n is None else n + (k if k >= 0 else -k)
    return TensorSpec(d.shape[:-1].concatenate([n, n]), d.dtype)


MatrixDiag = Primitive(
    "MatrixDiag",
    "diagonal: T",
    impl=_diag_impl,
    shape=_diag_shape,
    batch=batch_rules.unary,
    check_first=True,
    vjp=lambda op, g: (MatrixDiagPart(g, **op.attrs),),
)


def tensor_diag(diagonal: Any, name: str | None = None) -> Tensor:
    """The tensor of shape ``diagonal.shape * 2`` with `diagonal` on its diagonal."""
    d = to_tensor(diagonal, None)
    dims = shape(d)
    return reshape(diag(reshape(d, [-1])), concat([dims, dims], 0))


def tensor_diag_part(input: Any, name: str | None = None) -> Tensor:
    """The diagonal of a tensor whose shape is some shape twice."""
    x = to_tensor(input, None)
    half = x.shape.rank // 2
    dims = shape(x)[:half]
    size = reduce_prod(dims)
    return reshape(diag_part(reshape(x, stack([size, size]))), dims)


def trace(x: Any, name: str | None = None) -> Tensor:
    """The sum of the main diagonal of each innermost matrix."""
    return reduce_sum(diag_part(x), axis=-1)


# -- cross products ----------------------------------------------------------------------------


def cross(a: Any, b: Any, name: str | None = None) -> Tensor:
    """Cross products of 3-vectors along the last axis."""
    return Cross(a, b)


def _cross_shape(a: Any, b: Any) -> TensorSpec:
    if a.shape.rank == 0 or (a.shape.rank and a.shape[-1] not in (3, None)):
        raise InvalidArgumentError(
            f"Cross-products are only defined for 3-element vectors, got {a.shape} [Op:Cross]"
        )
    if not a.shape.is_compatible_with(b.shape):
        raise InvalidArgumentError(
            f"Both inputs must be of same shape: {a.shape} vs. {b.shape} [Op:Cross]"
        )
    return TensorSpec(a.shape.merge_with(b.shape), a.dtype)


Cross = Primitive(
    "Cross",
    "a: T, b: T",
    impl=lambda a, b: array_module(a).cross(a, b),
    shape=_cross_shape,
    vjp=lambda op, g: (Cross(op.inputs[1], g), Cross(g, op.inputs[0])),
    check_first=True,
    batch=lambda ctx, *xs: ctx.primitive(*batch_rules.all_batched(ctx, xs)),
)
