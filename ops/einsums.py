"""Einstein sums and tensordot, of any number of operands.

Sums of two operands become one (batched) BLAS product on transposed views: labels are sorted
into those of both operands and the result (the stack), those summed over, and the free ones of
each side.  What does not fit that form (ellipses that broadcast, labels that repeat within an
operand) goes to NumPy's own einsum.
"""

from __future__ import annotations

import functools
import math
import string
from typing import Any

import numpy as np

from .array_basics import sum_to, zeros
from .array_module import array_module
from .array_shape import expand_dims
from .blas import gemm, matrix_product
from .convert import to_tensor
from .elementwise import conj_of
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import NUMERIC, broadcast
from .static_args import static_int, static_ints
from .tensor import Tensor
from .tensor_shape import TensorShape
from .tensor_spec import TensorSpec

__all__ = ["einsum", "pair_plan", "tensordot"]


def einsum(equation: str, *inputs: Any, **kwargs: Any) -> Tensor:
    """The Einstein sum of `inputs`: labels of axes that `equation` leaves out are summed over.

    Args:
        equation: such as ``"bij,bjk->bik"``; without ``->`` the labels that occur once, in
            alphabetical order; ``...`` stands for further axes, which broadcast.
        *inputs: the operands.
        **kwargs: ``optimize`` and ``name``, ignored.

    Raises:
        ValueError: the equation does not fit the operands.

    >>> einsum("ij,j->i", [[1, 2], [3, 4]], [1, 1]).numpy()
    array([3, 7], dtype=int32)
    """
    for key in kwargs:
        if key not in ("name", "optimize"):
            raise TypeError(f"Invalid keyword arguments for this function: {key}.")
    if len(inputs) == 1 and isinstance(inputs[0], (list, tuple)):
        inputs = tuple(inputs[0])
    return Einsum(list(inputs), equation=_explicit(equation, len(inputs)))


@functools.lru_cache(512)
def _explicit(equation: str, count: int) -> str:
    """The equation without spaces and with its output."""
    text = equation.replace(" ", "")
    left, arrow, right = text.partition("->")
    parts = left.split(",")
    if len(parts) != count:
        raise ValueError(
            f'Got {count} arguments for equation "{equation}", expecting {len(parts)}'
        )
    for part in (*parts, right):
        rest = part.replace("...", "", 1)
        if not all(c in string.ascii_letters for c in rest):
            raise ValueError(f"Invalid einsum equation: {equation!r}: labels must be letters")
    if not arrow:
        labels = left.replace("...", "").replace(",", "")
        right = ("..." if "..." in left else "") + "".join(
            sorted(c for c in set(labels) if labels.count(c) == 1)
        )
    unknown = set(right.replace(".", "")) - set(left)
    if unknown:
        raise InvalidArgumentError(
            f"Output label {sorted(unknown)[0]!r} of {equation!r} is in no operand"
        )
    return f"{left}->{right}"


# -- running ----------------------------------------------------------------------------------


@functools.lru_cache(512)
def pair_plan(equation: str) -> Any:
    """How to run a sum of two operands as a product: None if it does not have that form.

    Whether the operands are swapped, so that the product's rows are in front in the result,
    too, and nothing has to be transposed; how many labels are stacked, how many are rows, how
    many are summed over; the orders of axes of both operands and of the result.
    """
    left, right = equation.split("->")
    if "." in equation:
        return None
    a, b = left.split(",")
    if len(set(a)) < len(a) or len(set(b)) < len(b) or len(set(right)) < len(right):
        return None
    if any(c not in b and c not in right for c in a) or any(
        c not in a and c not in right for c in b
    ):
        return None  # a label summed over in one operand only
    stack = [c for c in right if c in a and c in b]
    own = [c for c in right if c not in stack]
    swapped = bool(own) and own[0] in b and own[-1] in a
    if swapped:
        a, b = b, a
    inner = [c for c in a if c in b and c not in right]
    rows = [c for c in right if c in a and c not in b]
    columns = [c for c in right if c in b and c not in a]
    perm_a = tuple(a.index(c) for c in (*stack, *rows, *inner))
    perm_b = tuple(b.index(c) for c in (*stack, *inner, *columns))
    made = [*stack, *rows, *columns]
    perm_out = tuple(made.index(c) for c in right)
    return swapped, len(stack), len(rows), len(inner), perm_a, perm_b, perm_out


def as_product(equation: str, x: Any, y: Any) -> Any:
    """A sum of two operands as one product: both as stacks of matrices, views where that can
    be, then the shape of the result and the order of its axes; None if it is no product."""
    plan = pair_plan(equation)
    left = equation.split("->")[0].split(",")
    if plan is None or x.ndim != len(left[0]) or y.ndim != len(left[1]):
        return None
    swapped, stack, rows, inner, perm_a, perm_b, perm_out = plan
    if swapped:
        x, y = y, x
    x, y = x.transpose(perm_a), y.transpose(perm_b)
    s, m, k = x.shape[:stack], x.shape[stack : stack + rows], x.shape[stack + rows :]
    n = y.shape[stack + inner :]
    if y.shape[: stack + inner] != s + k:
        return None  # an axis of one that is repeated, or an error
    x = x.reshape((*s, math.prod(m), math.prod(k)))
    y = y.reshape((*s, math.prod(k), math.prod(n)))
    return x, y, (*s, *m, *n), perm_out


def _pair(equation: str, x: Any, y: Any) -> Any:
    found = None if x.dtype.kind in "iu" else as_product(equation, x, y)
    if found is None:
        return None  # NumPy finds the words, or broadcasts
    x, y, shape, order = found
    out = gemm(x, y) if x.ndim == 2 and _plain(x) and _plain(y) else matrix_product(x, y)
    return out.reshape(shape).transpose(order)


def _plain(x: Any) -> bool:
    return type(x) is np.ndarray and x.dtype in (np.float32, np.float64)


def _einsum_impl(*arrays: Any, equation: str) -> Any:
    xp = array_module(*arrays)
    dtype = arrays[0].dtype
    small = dtype.itemsize == 2 and dtype.kind not in "iu"
    if small:
        arrays = tuple(a.astype(np.float32) for a in arrays)
    out = None
    if len(arrays) == 2:
        out = _pair(equation, *arrays)
    if out is None:
        out = xp.einsum(equation, *arrays, optimize=len(arrays) > 2)
    return out.astype(dtype) if small else xp.asarray(out)


# -- shapes -----------------------------------------------------------------------------------


def _sizes(equation: str, tensors: Any) -> tuple[dict[str, int | None], TensorShape]:
    """Sizes of the labels, and the broadcast shape of the ellipses."""
    left, _ = equation.split("->")
    known: dict[str, int | None] = {}
    dots = TensorShape([])
    for labels, t in zip(left.split(","), tensors, strict=True):
        if t.shape.rank is None:
            dots = TensorShape(None) if "." in labels else dots
            continue
        dims = t.shape.dims
        plain = labels.replace("...", "")
        if len(plain) > len(dims) or ("." not in labels and len(plain) < len(dims)):
            raise InvalidArgumentError(
                f"Expected input of rank {len(plain)} for labels {labels!r} "
                f"of einsum {equation!r}, got shape {t.shape}"
            )
        before, _, behind = labels.partition("...")
        pairs = list(zip(before, dims, strict=False))
        if behind:
            pairs += list(zip(behind, dims[len(dims) - len(behind) :], strict=True))
        if "." in labels and dots.rank is not None:
            dots = broadcast(
                dots, TensorShape(dims[len(before) : len(dims) - len(behind)]), "Einsum"
            )
        for c, d in pairs:
            have = known.get(c)
            if have is None:
                known[c] = d
            elif d is not None and d != have:
                if have == 1:
                    known[c] = d
                elif d != 1:
                    raise InvalidArgumentError(
                        f"Expected dimension {have} at label {c!r} of einsum "
                        f"{equation!r}, got {d} in shape {t.shape}"
                    )
    return known, dots


def _einsum_shape(*tensors: Any, equation: str) -> TensorSpec:
    known, dots = _sizes(equation, tensors)
    right = equation.split("->")[1]
    before, has, behind = right.partition("...")
    out = TensorShape([known.get(c) for c in before])
    if has:
        out = out.concatenate(dots).concatenate([known.get(c) for c in behind])
    return TensorSpec(out, tensors[0].dtype)


# -- gradient and batching --------------------------------------------------------------------


def _without_dots(equation: str, tensors: Any, out: Any) -> str:
    """The equation with letters in place of ellipses."""
    if "." not in equation:
        return equation
    free = [c for c in string.ascii_letters if c not in equation]
    left, right = equation.split("->")
    parts = []
    for labels, t in zip((*left.split(","), right), (*tensors, out), strict=True):
        count = t.shape.rank - len(labels.replace("...", ""))
        letters = free[:16][16 - count :] if count else []
        parts.append(labels.replace("...", "".join(letters)))
    return f"{','.join(parts[:-1])}->{parts[-1]}"


def _einsum_vjp(op: Any, g: Any) -> Any:
    equation = _without_dots(op.attrs["equation"], op.inputs, op.outputs[0])
    left, right = equation.split("->")
    parts = left.split(",")
    found = []
    for i, (labels, x) in enumerate(zip(parts, op.inputs, strict=True)):
        others = [
            (p, conj_of(t))
            for j, (p, t) in enumerate(zip(parts, op.inputs, strict=True))
            if j != i
        ]
        terms = [(right, g), *others]
        # A label that repeats is a diagonal: give its places letters of their own, and tie them
        # together with identity matrices.
        used = set(equation)
        own = ""
        for c in labels:
            if c in own:
                fresh = next(f for f in string.ascii_letters if f not in used)
                used.add(fresh)
                size = x.shape[len(own)]
                terms.append((c + fresh, Tensor.of(np.eye(size, dtype=x.dtype.np_dtype))))
                c = fresh
            own += c
        there = "".join(p for p, _ in terms)
        reached = "".join(c for c in own if c in there)
        got = Einsum(
            [t for _, t in terms], equation=f"{','.join(p for p, _ in terms)}->{reached}"
        )
        for axis, c in enumerate(own):
            if c not in there:  # summed over in this operand alone: the gradient is repeated
                got = expand_dims(got, axis)
        found.append(_fit(got, x))
    return tuple(found)


def _fit(g: Any, x: Any) -> Tensor:
    """`g`, whose axes may be repeated or still to be repeated, in the shape of `x`."""
    if g.shape.is_fully_defined() and x.shape.is_fully_defined():
        if g.shape == x.shape:
            return g
        wide = any(a != b and b == 1 for a, b in zip(g.shape, x.shape, strict=True))
        if wide:
            g = sum_to(g, reshape_like_ones(g, x))
    return g + x * 0 if g.shape != x.shape else g


def reshape_like_ones(g: Any, x: Any) -> Tensor:
    """A tensor with size 1 where only `x` has size 1, else the size of `g`."""
    return zeros([1 if b == 1 else a for a, b in zip(g.shape, x.shape, strict=True)], g.dtype)


def _einsum_batch(ctx: Any, *tensors: Any, equation: str) -> Any:
    left, right = equation.split("->")
    label = next(c for c in string.ascii_letters if c not in equation)
    parts = [label + p if b else p for p, b in zip(left.split(","), ctx.batched, strict=True)]
    return Einsum(list(tensors), equation=f"{','.join(parts)}->{label}{right}")


Einsum = Primitive(
    "Einsum",
    "inputs: N * T",
    impl=_einsum_impl,
    shape=_einsum_shape,
    vjp=_einsum_vjp,
    batch=_einsum_batch,
    types={"T": NUMERIC},
    check_first=True,
)


# -- tensordot --------------------------------------------------------------------------------


def tensordot(a: Any, b: Any, axes: Any, name: str | None = None) -> Tensor:
    """The sum of products over some axes of `a` and as many of `b`.

    Args:
        a, b: tensors of one dtype.
        axes: a number n for the last n axes of `a` and the first n of `b`, or a pair of axes or
            lists of axes.
        name: ignored.

    Raises:
        ValueError: `axes` does not fit.

    >>> tensordot([[1.0, 2.0]], [[3.0], [4.0]], 1).numpy()
    array([[11.]], dtype=float32)
    """
    a = a if isinstance(a, Tensor) else to_tensor(a, None)
    b = b if isinstance(b, Tensor) else to_tensor(b, a.dtype)
    if a.shape.rank is None or b.shape.rank is None:
        raise ValueError("tensordot needs inputs of known rank")
    of_a, of_b = _dot_axes(a.shape.rank, b.shape.rank, axes)
    letters = string.ascii_letters
    la = list(letters[: a.shape.rank])
    lb = list(letters[a.shape.rank : a.shape.rank + b.shape.rank])
    for i, j in zip(of_a, of_b, strict=True):
        if None not in (a.shape[i], b.shape[j]) and a.shape[i] != b.shape[j]:
            raise InvalidArgumentError(
                f"Matrix size-incompatible: axis {i} of shape {a.shape} "
                f"and axis {j} of shape {b.shape} (tensordot)"
            )
        lb[j] = la[i]
    out = [c for i, c in enumerate(la) if i not in of_a] + [
        c for j, c in enumerate(lb) if j not in of_b
    ]
    return Einsum([a, b], equation=f"{''.join(la)},{''.join(lb)}->{''.join(out)}")


def _dot_axes(rank_a: int, rank_b: int, axes: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    if isinstance(axes, (int, np.integer)):
        n = int(axes)
        if n < 0:
            raise ValueError(f"`axes` must be at least 0. Received: {n}.")
        if n > min(rank_a, rank_b):
            raise ValueError(
                "`axes` must not be larger than the number of "
                f"dimensions of tensor a. Received {n}."
            )
        return tuple(range(rank_a - n, rank_a)), tuple(range(n))
    if len(axes) != 2:
        raise ValueError(f"`axes` must be an integer or have length 2. Received {axes}.")
    pair = []
    for item, rank in zip(axes, (rank_a, rank_b), strict=True):
        items = (
            (static_int(item, "tensordot", "axes"),)
            if np.ndim(item) == 0
            else static_ints(item, "tensordot", "axes")
        )
        pair.append(tuple(i + rank if i < 0 else i for i in items))
    if len(pair[0]) != len(pair[1]):
        raise ValueError(
            "Different number of contraction axes `a` and "
            f"`b`, {len(pair[0])} != {len(pair[1])}."
        )
    return pair[0], pair[1]
