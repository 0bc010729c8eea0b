"""Diagonals and triangles of stacks of matrices: band_part, diag, diag_part, set_diag.

Several diagonals at once are one tensor [..., diagonals, longest], the highest diagonal first;
`align` says on which side shorter ones are padded ("RIGHT_LEFT": superdiagonals stand to the
right, subdiagonals to the left).  One table of positions (`_slots`) serves all directions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules, dtypes
from .array_basics import zeros_like
from .array_module import array_module
from .batch_loop import looped
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["band_part", "diag", "diag_part", "set_diag"]

_ALIGNMENTS = ("LEFT_RIGHT", "RIGHT_LEFT", "LEFT_LEFT", "RIGHT_RIGHT")


# -- triangles --------------------------------------------------------------------------------


def band_part(input: Any, num_lower: Any, num_upper: Any, name: str | None = None) -> Tensor:
    """Matrices [..., n, m] with zeros outside of a band around the main diagonal.

    Args:
        input: any dtype of numbers.
        num_lower, num_upper: subdiagonals and superdiagonals to keep; negative keeps all.

    Raises:
        InvalidArgumentError: `input` is no matrix, or a number is larger than the matrix.
    """
    lower = to_tensor(num_lower, None)
    return MatrixBandPart(input, lower, to_tensor(num_upper, lower.dtype))


def _band_impl(x: Any, num_lower: Any, num_upper: Any) -> Any:
    lower, upper = int(num_lower), int(num_upper)
    n, m = x.shape[-2:]
    for what, value, size in (("num_lower", lower, n), ("num_upper", upper, m)):
        if value > size:
            raise InvalidArgumentError(
                f"{what} must be negative or less or equal to number of "
                f"{'rows' if size == n else 'columns'} ({size}) got: {value} "
                "[Op:MatrixBandPart]"
            )
    xp = array_module(x)
    distance = xp.arange(n)[:, None] - xp.arange(m)[None, :]
    keep = (distance <= lower if lower >= 0 else True) & (
        -distance <= upper if upper >= 0 else True
    )
    return xp.where(keep, x, x.dtype.type(0))


def _band_shape(x: Any, num_lower: Any, num_upper: Any) -> TensorSpec:
    matrix_rank_of(x, "MatrixBandPart")
    return TensorSpec(x.shape, x.dtype)


def _first_batched(ctx: Any, x: Any, *rest: Any, **attrs: Any) -> Any:
    """The block axis is one more stacked axis of the first input, where only that has it."""
    if any(ctx.batched[1:]):
        return looped(ctx, x, *rest, **attrs)
    return ctx.primitive.call_flat((x, *rest), attrs)


MatrixBandPart = Primitive(
    "MatrixBandPart",
    "input: T, num_lower: Tindex, num_upper: Tindex",
    impl=_band_impl,
    shape=_band_shape,
    vjp=lambda op, g: (MatrixBandPart(g, *op.inputs[1:]), None, None),
    batch=_first_batched,
    types={"Tindex": (dtypes.int32, dtypes.int64)},
    check_first=True,
)


def matrix_rank_of(x: Any, name: str, at_least: int = 2) -> int | None:
    """The rank of a stack of matrices, None where it is not known.

    Raises:
        InvalidArgumentError: it is below `at_least`.
    """
    rank = x.shape.rank
    if rank is not None and rank < at_least:
        raise InvalidArgumentError(
            f"input must be at least {at_least}-dim, received shape: "
            f"{x.shape.as_list()} [Op:{name}]",
            op=name,
        )
    return rank


def _triangle_impl(x: Any, *, lower: bool, diagonal: float) -> Any:
    xp = array_module(x)
    out = xp.tril(x, -1) if lower else xp.triu(x, 1)
    if diagonal:
        i = np.arange(min(x.shape[-2:]))
        out[..., i, i] = x[..., i, i] * x.dtype.type(diagonal)
    return out


# One triangle, its diagonal times a number: what the gradients of factorisations are made of.
Triangle = Primitive(
    "_Triangle",
    "x: T",
    impl=_triangle_impl,
    shape=lambda x, **_: TensorSpec(x.shape, x.dtype),
    vjp=lambda op, g: (Triangle(g, **op.attrs),),
    batch=batch_rules.unary,
)


def _eye_impl(x: Any, *, columns: bool) -> Any:
    xp = array_module(x)
    n = x.shape[-1] if columns else x.shape[-2]
    return xp.broadcast_to(xp.eye(n, dtype=x.dtype), (*x.shape[:-2], n, n))


def _eye_shape(x: Any, *, columns: bool) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    n = x.shape[-1] if columns else x.shape[-2]
    return TensorSpec(x.shape[:-2].concatenate([n, n]), x.dtype)


# Identity matrices as large as the rows (or columns) of x, stacked as x is.
EyeLike = Primitive(
    "_EyeLike",
    "x: T",
    impl=_eye_impl,
    shape=_eye_shape,
    vjp=lambda op, g: (None,),
    batch=batch_rules.unary,
)


# -- positions --------------------------------------------------------------------------------


def _range_of(k: Any) -> tuple[int, int]:
    found = np.asarray(k).reshape(-1).tolist()
    if len(found) not in (1, 2):
        raise InvalidArgumentError(
            f"diag_index must be a scalar or received 1 or 2 elements, got {len(found)}"
        )
    return found[0], found[-1]


def _longest(rows: int, cols: int, low: int, high: int) -> int:
    return min(rows + min(high, 0), cols - max(low, 0))


def _slots(rows: int, cols: int, low: int, high: int, align: str, longest: int) -> Any:
    """Index arrays (diagonal, place, row, column) of all elements of the diagonals."""
    parts: list[list[np.ndarray]] = []
    above, below = align.split("_")
    for d in range(high, low - 1, -1):
        n = min(rows + min(d, 0), cols - max(d, 0))
        left = (d >= 0 and above == "LEFT") or (d <= 0 and below == "LEFT")
        i = np.arange(n)
        start = 0 if left else longest - n
        parts.append([np.full(n, high - d), i + start, i + max(-d, 0), i + max(d, 0)])
    return tuple(np.concatenate(column) for column in zip(*parts, strict=True))


def _check_range(low: int, high: int, rows: int, cols: int, name: str) -> None:
    if low > high:
        raise InvalidArgumentError(
            f"lower_diag_index must not be larger than upper_diag_index: {low} > {high} "
            f"[Op:{name}]",
            op=name,
        )
    for what, d in (("lower", low), ("upper", high)):
        if not (-rows < d < cols or d == 0):
            raise InvalidArgumentError(
                f"{what}_diag_index is out of bound: {d} must be between {-rows} and {cols} "
                f"[Op:{name}]",
                op=name,
            )


def _check_align(align: str) -> str:
    if align not in _ALIGNMENTS:
        raise InvalidArgumentError(
            f"Value for attr 'align' of {align!r} is not in the list of allowed values: "
            f"{', '.join(_ALIGNMENTS)}"
        )
    return align


def _pair(k: Any) -> Any:
    if isinstance(k, (int, np.integer)):
        return np.int32(k)
    return np.asarray(k, np.int32) if isinstance(k, (list, tuple, range)) else k


# -- diag_part --------------------------------------------------------------------------------


def diag_part(
    input: Any,
    name: str = "diag_part",
    k: Any = 0,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """Diagonals of matrices [..., n, m]: [..., length], or [..., diagonals, longest].

    Args:
        input: any dtype.
        k: the diagonal, or the lowest and the highest one.
        padding_value: what fills the places beside shorter diagonals.
        align: where shorter diagonals stand; see the module's text.

    Raises:
        InvalidArgumentError: a diagonal is outside of the matrix.
    """
    x = to_tensor(input, None)
    return MatrixDiagPartV3(
        x, _pair(k), to_tensor(padding_value, x.dtype), align=_check_align(align)
    )


def _part_impl(x: Any, k: Any, padding: Any, *, align: str) -> Any:
    xp = array_module(x)
    low, high = _range_of(k)
    rows, cols = x.shape[-2:]
    _check_range(low, high, rows, cols, "MatrixDiagPartV3")
    longest = _longest(rows, cols, low, high)
    out = xp.empty((*x.shape[:-2], high - low + 1, longest), x.dtype)
    out[...] = padding
    d, p, r, c = _slots(rows, cols, low, high, align, longest)
    out[..., d, p] = x[..., r, c]
    return out[..., 0, :] if low == high else out


def _part_shape(x: Any, k: Any, padding: Any, *, align: str) -> TensorSpec:
    name = "MatrixDiagPartV3"
    if matrix_rank_of(x, name) is None:
        return TensorSpec(None, x.dtype)
    known = constant_value(k)
    if known is None:
        return TensorSpec(None, x.dtype)
    low, high = _range_of(known)
    rows, cols = x.shape.dims[-2:]
    longest = None
    if rows is not None and cols is not None:
        _check_range(low, high, rows, cols, name)
        longest = _longest(rows, cols, low, high)
    tail = [longest] if low == high else [high - low + 1, longest]
    return TensorSpec(x.shape[:-2].concatenate(tail), x.dtype)


def _part_vjp(op: Any, g: Any) -> Any:
    x, k, _ = op.inputs
    return MatrixSetDiagV3(zeros_like(x), g, k, align=op.attrs["align"]), None, None


MatrixDiagPartV3 = Primitive(
    "MatrixDiagPartV3",
    "input: T, k: int32, padding_value: T",
    impl=_part_impl,
    shape=_part_shape,
    vjp=_part_vjp,
    batch=_first_batched,
    check_first=True,
    defaults={"align": "RIGHT_LEFT"},
)


# -- set_diag ---------------------------------------------------------------------------------


def set_diag(
    input: Any, diagonal: Any, name: str = "set_diag", k: Any = 0, align: str = "RIGHT_LEFT"
) -> Tensor:
    """Matrices [..., n, m] with `diagonal` in the place of diagonals.

    Args:
        input: any dtype.
        diagonal: [..., length], or [..., diagonals, longest] where `k` is a pair.
        k: the diagonal, or the lowest and the highest one.
        align: where shorter diagonals stand in `diagonal`.

    Raises:
        InvalidArgumentError: the shapes do not fit.
    """
    x = to_tensor(input, None)
    return MatrixSetDiagV3(x, to_tensor(diagonal, x.dtype), _pair(k), align=_check_align(align))


def _set_impl(x: Any, diagonal: Any, k: Any, *, align: str) -> Any:
    low, high = _range_of(k)
    rows, cols = x.shape[-2:]
    _check_range(low, high, rows, cols, "MatrixSetDiagV3")
    longest = _longest(rows, cols, low, high)
    if low == high:
        diagonal = diagonal[..., None, :]
    if diagonal.shape != (*x.shape[:-2], high - low + 1, longest):
        wanted = (*x.shape[:-2], *((high - low + 1,) if low != high else ()), longest)
        raise InvalidArgumentError(
            "input and diagonal shapes do not fit: diagonal must have shape "
            f"{list(wanted)} beside an input of shape {list(x.shape)}, got one of "
            f"{diagonal.ndim - (low == high)} axes [Op:MatrixSetDiagV3]"
        )
    d, p, r, c = _slots(rows, cols, low, high, align, longest)
    out = x.copy()
    out[..., r, c] = diagonal[..., d, p]
    return out


def _set_shape(x: Any, diagonal: Any, k: Any, *, align: str) -> TensorSpec:
    matrix_rank_of(x, "MatrixSetDiagV3")
    return TensorSpec(x.shape, x.dtype)


def _set_vjp(op: Any, g: Any) -> Any:
    _, diagonal, k = op.inputs
    align = op.attrs["align"]
    zero = to_tensor(0, g.dtype)
    return (
        MatrixSetDiagV3(g, zeros_like(diagonal), k, align=align),
        MatrixDiagPartV3(g, k, zero, align=align),
        None,
    )


def _set_batch(ctx: Any, x: Any, diagonal: Any, k: Any, **attrs: Any) -> Any:
    if ctx.batched[2]:
        return looped(ctx, x, diagonal, k, **attrs)
    both = _BothBatched(ctx.batched[:2])
    return ctx.primitive.call_flat((*batch_rules.all_batched(both, (x, diagonal)), k), attrs)


class _BothBatched:
    """The part of a batch context that `all_batched` reads, for some of the inputs."""

    def __init__(self, batched: Any):
        self.batched = batched


MatrixSetDiagV3 = Primitive(
    "MatrixSetDiagV3",
    "input: T, diagonal: T, k: int32",
    impl=_set_impl,
    shape=_set_shape,
    vjp=_set_vjp,
    batch=_set_batch,
    check_first=True,
    defaults={"align": "RIGHT_LEFT"},
)


# -- diag -------------------------------------------------------------------------------------


def diag(
    diagonal: Any,
    name: str = "diag",
    k: Any = 0,
    num_rows: Any = -1,
    num_cols: Any = -1,
    padding_value: Any = 0,
    align: str = "RIGHT_LEFT",
) -> Tensor:
    """Matrices with `diagonal` on their diagonals and `padding_value` elsewhere.

    Args:
        diagonal: [..., length], or [..., diagonals, longest] where `k` is a pair.
        k: the diagonal, or the lowest and the highest one.
        num_rows, num_cols: the matrices' size; -1 takes the smallest (both: a square).
        padding_value: of `diagonal`'s dtype.
        align: where shorter diagonals stand in `diagonal`.

    Raises:
        InvalidArgumentError: the shapes do not fit.

    >>> diag([1, 2]).numpy()
    array([[1, 0],
           [0, 2]], dtype=int32)
    """
    d = to_tensor(diagonal, None)
    return MatrixDiagV3(
        d, _pair(k), num_rows, num_cols, to_tensor(padding_value, d.dtype),
        align=_check_align(align),
    )  # fmt: skip


def _size(low: int, high: int, longest: int, rows: int, cols: int) -> tuple[int, int]:
    """Rows and columns of the matrices, given what the caller asked for."""
    least_rows, least_cols = longest - min(high, 0), longest + max(low, 0)
    if rows == -1 and cols == -1:
        rows = cols = max(least_rows, least_cols)
    rows, cols = (least_rows if rows == -1 else rows), (least_cols if cols == -1 else cols)
    for what, have, least in (("rows", rows, least_rows), ("columns", cols, least_cols)):
        if have < least:
            raise InvalidArgumentError(
                f"The number of {what} is too small: {have} < {least} [Op:MatrixDiagV3]"
            )
    if rows != least_rows and cols != least_cols:
        raise InvalidArgumentError(
            f"The number of rows or columns is not consistent with the specified k and "
            f"diagonals: one must be {least_rows} rows or {least_cols} columns, got "
            f"{rows}, {cols} [Op:MatrixDiagV3]"
        )
    return rows, cols


def _diag_impl(
    d: Any, k: Any, num_rows: Any, num_cols: Any, padding: Any, *, align: str
) -> Any:
    low, high = _range_of(k)
    if low == high:
        d = d[..., None, :]
    longest = d.shape[-1]
    if d.shape[-2] != high - low + 1:
        raise InvalidArgumentError(
            f"The number of diagonals provided in the input does not match the k range: "
            f"{d.shape[-2]} beside {high - low + 1} [Op:MatrixDiagV3]"
        )
    rows, cols = _size(low, high, longest, int(num_rows), int(num_cols))
    out = array_module(d).empty((*d.shape[:-2], rows, cols), d.dtype)
    out[...] = padding
    i, p, r, c = _slots(rows, cols, low, high, align, longest)
    out[..., r, c] = d[..., i, p]
    return out


def _diag_shape(
    d: Any, k: Any, num_rows: Any, num_cols: Any, padding: Any, *, align: str
) -> TensorSpec:
    if d.shape.rank == 0:
        raise InvalidArgumentError(
            "diagonal must be at least 1-dim, received shape: [] [Op:MatrixDiagV3]"
        )
    known = [constant_value(t) for t in (k, num_rows, num_cols)]
    if d.shape.rank is None or known[0] is None:
        return TensorSpec(None, d.dtype)
    low, high = _range_of(known[0])
    if low != high:
        matrix_rank_of(d, "MatrixDiagV3")
    lead = d.shape[: -1 if low == high else -2]
    if d.shape[-1] is None or known[1] is None or known[2] is None:
        return TensorSpec(lead.concatenate([None, None]), d.dtype)
    size = _size(low, high, d.shape[-1], int(known[1]), int(known[2]))
    return TensorSpec(lead.concatenate(list(size)), d.dtype)


def _diag_vjp(op: Any, g: Any) -> Any:
    k = op.inputs[1]
    zero = to_tensor(0, g.dtype)
    return MatrixDiagPartV3(g, k, zero, align=op.attrs["align"]), None, None, None, None


MatrixDiagV3 = Primitive(
    "MatrixDiagV3",
    "diagonal: T, k: int32, num_rows: int32, num_cols: int32, padding_value: T",
    impl=_diag_impl,
    shape=_diag_shape,
    vjp=_diag_vjp,
    batch=_first_batched,
    check_first=True,
    defaults={"align": "RIGHT_LEFT"},
)
