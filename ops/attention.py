"""Dot-product attention as one operation.

Every (batch, head) is computed on its own, while its scores are in the cache: the product of
queries and keys, the softmax, the product with the values.  The weights (the softmax's results)
are kept for the gradient.  Heads run as compiled schedules (`native_schedule`), one per batch
element, which several threads take.  Where no kernel can be had, the same runs as NumPy calls.

16-bit floats are multiplied as they are and added up in float32, and so is the softmax; a GPU
has a form of its own for them (`cuda.attention`), which keeps less than the weights.

Source: Vaswani et al., "Attention is all you need" (2017).
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from . import dtypes, native_schedule, recycling, workers
from .array_basics import cast, sum_to, zeros_like
from .array_broadcast import repeat
from .array_gather import where
from .array_module import array_module
from .blas import matrix_product
from .comparison import greater_equal, logical_and
from .convert import constant, to_tensor
from .einsums import einsum
from .errors import InvalidArgumentError
from .graph.fused import Program
from .graph.loops import Step
from .native_schedule import Call, product
from .primitive import Primitive
from .reductions import reduce_sum
from .sequences import range as steps_of
from .softmax_ops import softmax
from .tape import GradientTape
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["attention", "dot_product_attention"]

_F4 = dtypes.float32
_ONE_OPERATION = (_F4, dtypes.float16, dtypes.bfloat16)
_MASKED = -0.7 * float(np.finfo(np.float32).max)  # far below any score, and no infinity


def dot_product_attention(
    query: Any,
    key: Any,
    value: Any,
    bias: Any = None,
    mask: Any = None,
    scale: float | None = None,
    is_causal: bool = False,
    flash_attention: bool | None = None,
    attn_logits_soft_cap: float | None = None,
) -> Tensor:
    """``softmax(query @ key.T * scale + bias) @ value`` for every batch element and head,
    ``[batch, queries, heads, value size]``.

    Args:
        query: ``[batch, queries, heads, size]``.
        key: ``[batch, keys, heads, size]``; fewer heads serve several of the query's each.
        value: ``[batch, keys, heads, value size]``.
        bias: added to the scores, broadcast to ``[batch, heads, queries, keys]``.
        mask: bool, likewise; keys where it is False are left out.
        scale: ``1 / sqrt(size)`` if None.
        is_causal: whether a query sees no key behind its own place.
        flash_attention: accepted for Keras's sake; the weights are never larger than the cache.
        attn_logits_soft_cap: accepted for Keras's sake, and must be None.

    Raises:
        ValueError: inputs of another rank than 4.
    """
    query, key, value = (to_tensor(t, None) for t in (query, key, value))
    if not query.shape.rank == key.shape.rank == value.shape.rank == 4:
        raise ValueError(
            "`dot_product_attention` only supports 4D inputs. Received: "
            f"query.shape={query.shape}, key.shape={key.shape}, value.shape={value.shape}."
        )
    if attn_logits_soft_cap is not None:
        raise NotImplementedError("`attn_logits_soft_cap` is not supported; leave it None.")
    heads, key_heads = query.shape[2], key.shape[2]
    if None not in (heads, key_heads) and heads != key_heads:
        key, value = (repeat(t, heads // key_heads, axis=2) for t in (key, value))
    if scale is None:
        scale = 1 / math.sqrt(key.shape[-1])
    if mask is not None:
        mask = to_tensor(mask, None)
        mask = cast(mask, dtypes.bool)
    if bias is not None:
        bias = to_tensor(bias, None)
    if query.dtype in _ONE_OPERATION and (bias is None or _half(query, bias)):
        return attention(query, key, value, mask, scale, causal=is_causal, bias=bias)[0]
    if is_causal:
        seen = causal_mask(query, key)
        mask = seen if mask is None else logical_and(mask, seen)
    return _composed(query, key, value, bias, mask, scale)


def _half(query: Tensor, bias: Tensor) -> bool:
    """Whether both are the same 16-bit floats: a bias of float32 keeps its bits."""
    return query.dtype is bias.dtype is not _F4


def causal_mask(query: Any, key: Any) -> Tensor:
    """bool ``[queries, keys]``: no key behind the query's own place."""
    from .array_shape import shape

    rows, columns = (
        steps_of(shape(t)[1] if t.shape[1] is None else t.shape[1]) for t in (query, key)
    )
    return greater_equal(rows[:, None], columns[None, :])


def _composed(query: Any, key: Any, value: Any, bias: Any, mask: Any, scale: float) -> Tensor:
    """The same by smaller operations, with softmax in float32 at least."""
    wide = _F4 if query.dtype.size < 4 else query.dtype
    scores = cast(einsum("btnh,bsnh->bnts", query, key), wide) * constant(scale, dtype=wide)
    if bias is not None:
        scores = scores + cast(bias, wide)
    if mask is not None:
        low = constant(_MASKED, dtype=wide)
        scores = where(mask, scores, low)
    weights = cast(softmax(scores), query.dtype)
    return einsum("bnts,bsnh->btnh", weights, value)


def attention(
    query: Any,
    key: Any,
    value: Any,
    mask: Any = None,
    scale: float = 1.0,
    *,
    causal: bool = False,
    bias: Any = None,
) -> tuple[Tensor, Tensor]:
    """The results ``[batch, queries, heads, value size]``, and what the gradient needs: the
    weights ``[batch, heads, queries, keys]``, or a vector that only a GPU's gradient knows.

    All are float32, float16 or bfloat16.

    Args:
        query: ``[batch, queries, heads, size]``.
        key: ``[batch, keys, heads, size]``.
        value: ``[batch, keys, heads, value size]``.
        mask: bool, broadcast to ``[batch, heads, queries, keys]``; keys where it is False are
            left out.
        scale: factor of the scores.
        causal: whether a query sees no key behind its own place.
        bias: added to the scores, likewise, of the others' dtype.
    """
    inputs = [to_tensor(t, None) for t in (query, key, value)]
    for extra in (mask, bias):
        if extra is not None:
            whole: Any = cast(extra, inputs[0].dtype)
            while whole.shape.rank < 4:
                whole = whole[None]
            inputs.append(whole)
    biased = bias is not None
    out, weights = Attention(inputs, scale=float(scale), causal=bool(causal), biased=biased)
    return out, weights


# -- programs ---------------------------------------------------------------------------------


@functools.cache
def _softmax(masked: bool) -> Program:
    """Scores (written over), their factor, and a mask's row: weights."""
    scaled = Step("map", (0, 1), _F4, "a * b")
    if masked:
        low = (("low", _MASKED),)
        scaled = Step("map", (2, 0, 1), _F4, "where(a > 0, b * c, low)", numbers=low)
    n = 3 if masked else 2
    steps = [
        scaled,
        Step("reduce", (n,), _F4, "max", "last", True),
        Step("map", (n, n + 1), _F4, "exp(a - b)"),
        Step("reduce", (n + 2,), _F4, "sum", "last", True),
        Step("map", (n + 3,), _F4, "1 / a"),
        Step("map", (n + 2, n + 4), _F4, "a * b"),
    ]
    return _program("Attention", n, steps, {0: 0})


@functools.cache
def _softmax_gradient(masked: bool) -> Program:
    """Gradients of weights (written over), weights, the scores' factor, and a mask's row: those
    of the products of queries and keys."""
    n = 4 if masked else 3
    last = Step("map", (0, 1, n + 1, 2), _F4, "b * (a - c) * d")
    if masked:  # a row without any key has weights, but none that depend on its scores
        last = Step("map", (0, 1, n + 1, 2, 3), _F4, "where(e > 0, b * (a - c) * d, 0)")
    steps = [
        Step("map", (0, 1), _F4, "a * b"),
        Step("reduce", (n,), _F4, "sum", "last", True),
        last,
    ]
    return _program("AttentionGrad", n, steps, {0: 0})


def _program(name: str, inputs: int, steps: list[Step], reuse: dict[int, int]) -> Program:
    last = inputs + len(steps) - 1
    return Program(
        [_F4] * inputs, [False] * inputs, [], [], steps, [last], name, reuse=reuse, least=1
    )


def _run_heads(
    calls: Callable[[list[Any], list[Any], list[Any]], list[Call]],
    inputs: Sequence[np.ndarray],
    results: Sequence[np.ndarray],
) -> None:
    """Run calls for each batch element and head, on several threads.

    A head's rows lie apart in memory, by powers of two as a rule, which caches like least.  So
    a batch element's heads are copied, read and written by the calls one behind the other, and
    the results copied to where they belong.

    Args:
        calls: gives the calls of the first batch element's first head, for arrays ``[heads,
            rows, size]`` of all inputs and of all results, and a list for what must stay alive.
        inputs, results: ``[batch, rows, heads, size]``.
    """
    batch = inputs[0].shape[0]

    def work(first: int, last: int) -> None:
        alive: list[Any] = []
        read, written = (
            [np.empty((t.shape[2], t.shape[1], t.shape[3]), np.float32) for t in of]
            for of in (inputs, results)
        )
        schedule = native_schedule.Schedule(calls(read, written, alive))
        for b in range(first, last):
            for own, t in zip(read, inputs, strict=True):
                np.copyto(own, t[b].transpose(1, 0, 2))
            schedule.run(inputs[0].shape[2], b)
            for own, t in zip(written, results, strict=True):
                np.copyto(t[b].transpose(1, 0, 2), own)

    parts = min(workers.count(), batch)
    cuts = [batch * i // parts for i in range(parts + 1)]
    workers.spread([functools.partial(work, *c) for c in itertools.pairwise(cuts)])


def _kernel(
    program: Program,
    arrays: Sequence[Any],
    moves: Sequence[int],
    shifts: Sequence[int],
    alive: list[Any],
) -> Call:
    """A call of `program`, which writes over its first array; `moves`: bytes from head to head,
    `shifts`: from batch element to batch element, per array."""
    bound = program.bound(tuple(arrays), [arrays[0]], alive)
    assert bound is not None, "the kernel does not take these arrays"
    address, table = bound
    growth, further = [0] * len(table), [0] * len(table)
    for i, (move, shift) in enumerate(
        zip((*moves, moves[0]), (*shifts, shifts[0]), strict=True)
    ):
        growth[4 + 2 * i], further[4 + 2 * i] = move, shift
    return Call(address, table, growth, further)


def _compiled(*arrays: Any) -> bool:
    return (
        all(
            type(a) is np.ndarray and a.dtype == np.float32 and a.size and a.strides[-1] == 4
            for a in arrays
        )
        and native_schedule.available()
    )


def _heads_first(x: Any) -> Any:
    """``[batch, rows, heads, size]`` as ``[batch, heads, rows, size]``."""
    return x.transpose((0, 2, 1, 3))


def _seen(xp: Any, rows: int, columns: int) -> Any:
    """bool [rows, columns]: whether a query sees a key, if none behind its own place."""
    return xp.arange(rows)[:, None] >= xp.arange(columns)


@functools.lru_cache(4)
def _seen_on_host(rows: int, columns: int) -> np.ndarray:
    return _seen(np, rows, columns).astype(np.float32)[None, None]


def _masks(xp: Any, mask: Sequence[Any], causal: bool, rows: int, columns: int) -> list[Any]:
    """One mask [batch or 1, heads or 1, rows or 1, columns or 1], or none."""
    if not causal:
        return list(mask)
    if xp is np:
        seen = _seen_on_host(rows, columns)
        return [np.asarray(m, np.float32) * seen for m in mask] or [seen]
    seen = _seen(xp, rows, columns)
    return [(m > 0) & seen for m in mask] or [seen[None, None]]


# -- forward ----------------------------------------------------------------------------------


def _wide(*arrays: Any) -> list[Any]:
    """16-bit floats as float32."""
    return [a.astype(np.float32) if a.dtype.itemsize == 2 else a for a in arrays]


def parts_of(rest: Sequence[Any], biased: bool) -> tuple[list[Any], list[Any]]:
    """The mask, or none, and the bias, or none, of the inputs behind the others."""
    cut = len(rest) - biased
    return list(rest[:cut]), list(rest[cut:])


def _weights(q: Any, k: Any, mask: Sequence[Any], scale: float, bias: Sequence[Any]) -> Any:
    """The softmax's results ``[batch, heads, queries, keys]`` by array calls; of 16-bit floats
    in float32."""
    xp = array_module(q)
    q, k = _wide(q, k)
    scores = matrix_product(_heads_first(q), _heads_first(k).swapaxes(2, 3))
    scores = scores * q.dtype.type(scale)
    for b in _wide(*bias):
        scores = scores + b
    if mask:
        scores = xp.where(mask[0] > 0, scores, q.dtype.type(_MASKED))
    scores = scores - scores.max(-1, keepdims=True, initial=-xp.inf)
    xp.exp(scores, out=scores)
    return scores / scores.sum(-1, keepdims=True)


def _impl(
    q: Any, k: Any, v: Any, *rest: Any, scale: float, causal: bool = False, biased: bool = False
) -> Any:
    xp = array_module(q)
    batch, rows, heads, _ = q.shape
    columns, size = k.shape[1], v.shape[3]
    mask, bias = parts_of(rest, biased)
    mask = _masks(xp, mask, causal, rows, columns)
    if bias or not _compiled(q, k, v):
        kind = q.dtype
        weights = _weights(q, k, mask, scale, bias).astype(kind, copy=False)
        made = _heads_first(matrix_product(_wide(weights)[0], _heads_first(_wide(v)[0])))
        return xp.ascontiguousarray(made.astype(kind, copy=False)), weights
    out = recycling.empty((batch, rows, heads, size), np.dtype(np.float32))
    weights = recycling.empty((batch, heads, rows, columns), np.dtype(np.float32))
    factor = np.full(1, scale, np.float32)
    full = [_full_rows(m, rows, columns) for m in mask]
    program = _softmax(bool(mask))
    p, (far, step) = weights[0, 0], weights.strides[:2]

    def calls(read: list[Any], written: list[Any], alive: list[Any]) -> list[Call]:
        arrays, moves, shifts = [p, factor], [step, 0], [far, 0]
        _add_masks(full, arrays, moves, shifts)
        (a, c, d), (o,) = ([t[0] for t in of] for of in (read, written))
        of_a, of_c, of_d, of_o = (t.strides[0] for t in (*read, *written))
        return [
            product(a, c, p, (of_a, of_c, step), transpose_b=True, shift=(0, 0, far)),
            _kernel(program, arrays, moves, shifts, alive),
            product(p, d, o, (step, of_d, of_o), shift=(far, 0, 0)),
        ]

    _run_heads(calls, (q, k, v), (out,))
    return out, weights


def _full_rows(mask: np.ndarray, rows: int, columns: int) -> np.ndarray:
    """A mask as float32 [batch or 1, heads or 1, rows or 1, columns]."""
    shape = (*mask.shape[:2], mask.shape[2] if mask.shape[2] == 1 else rows, columns)
    return np.ascontiguousarray(np.broadcast_to(mask, shape), np.float32)


def _add_masks(
    masks: list[Any], arrays: list[Any], moves: list[int], shifts: list[int]
) -> None:
    for m in masks:
        arrays.append(m[0, 0])
        moves.append(m.strides[1] if m.shape[1] > 1 else 0)
        shifts.append(m.strides[0] if m.shape[0] > 1 else 0)


def _shape(
    q: Any, k: Any, v: Any, *rest: Any, scale: float, causal: bool = False, biased: bool = False
) -> Any:
    for name, tensor in (("query", q), ("key", k), ("value", v)):
        if tensor.shape.rank != 4:
            raise InvalidArgumentError(
                f"Attention's {name} must be [batch, rows, heads, size], got {tensor.shape} "
                "[Op:Attention]",
                op="Attention",
            )
    batch, rows, heads, size = q.shape.dims
    columns = k.shape[1]
    for name, tensor, dims in (
        ("key", k, (batch, None, heads, size)),
        ("value", v, (batch, columns, heads, None)),
    ):
        if not tensor.shape.is_compatible_with(dims):
            raise InvalidArgumentError(
                f"Attention's {name} must have the shape {list(dims)} to go with queries "
                f"{q.shape}, got {tensor.shape} [Op:Attention]",
                op="Attention",
            )
    mask, bias = parts_of(rest, biased)
    for name, t in [*(("mask", m) for m in mask), *(("bias", b) for b in bias)]:
        wanted = (batch, heads, rows, columns)
        for have, want in zip(t.shape.dims, wanted, strict=True):
            if have not in (None, 1) and want is not None and have != want:
                raise InvalidArgumentError(
                    f"Attention's {name} must broadcast to {list(wanted)}, got {t.shape} "
                    "[Op:Attention]",
                    op="Attention",
                )
    if batch is None:
        batch = k.shape[0] if k.shape[0] is not None else v.shape[0]
    return (
        TensorSpec((batch, rows, heads, v.shape[3]), q.dtype),
        TensorSpec((batch, heads, rows, columns), q.dtype),
    )


# -- backward ---------------------------------------------------------------------------------


def _vjp(op: Any, g_out: Any, g_weights: Any) -> Any:
    q, k, v, *rest = op.inputs
    out, weights = op.outputs
    if g_weights is not None:
        raise LookupError("the gradient of Attention's weights is not defined")
    if g_out is None:
        g_out = zeros_like(out)
    slope = bool(op.attrs.get("biased")) and (op.needs is None or op.needs[-1])
    found = AttentionGrad([q, k, v, out, weights, g_out, *rest], **op.attrs, slope=slope)
    of_rest = [None for _ in rest]
    if slope:
        of_rest[-1] = found[3]
    return (*found[:3], *of_rest)


def _grad_impl(
    q: Any, k: Any, v: Any, out: Any, weights: Any, g: Any, *rest: Any, scale: float,
    causal: bool = False, biased: bool = False, slope: bool = False,
) -> Any:  # fmt: skip
    xp = array_module(q)
    rows, columns = q.shape[1], k.shape[1]
    mask, bias = parts_of(rest, biased)
    mask = _masks(xp, mask, causal, rows, columns)
    if weights.ndim == 1:  # what a GPU kept, which has no form for this way back
        weights = _weights(q, k, mask, scale, bias).astype(q.dtype, copy=False)
    if bias or not _compiled(q, k, v, weights, g):
        kind = q.dtype
        q, k, v, weights, g = _wide(q, k, v, weights, g)
        dy = _heads_first(g)
        dv = matrix_product(weights.swapaxes(2, 3), dy)
        dp = matrix_product(dy, _heads_first(v).swapaxes(2, 3))
        total = (dp * weights).sum(-1, keepdims=True)
        ds = weights * (dp - total)
        if mask:
            ds = xp.where(mask[0] > 0, ds, q.dtype.type(0))
        of_bias = [summed_to(ds, bias[0].shape).astype(kind)] if slope else []
        ds = ds * q.dtype.type(scale)
        dq = matrix_product(ds, _heads_first(k))
        dk = matrix_product(ds.swapaxes(2, 3), _heads_first(q))
        found = (_heads_first(t).astype(kind, copy=False) for t in (dq, dk, dv))
        return (*(xp.ascontiguousarray(t) for t in found), *of_bias)
    dq, dk, dv = (recycling.empty(t.shape, np.dtype(np.float32)) for t in (q, k, v))
    factor = np.full(1, scale, np.float32)
    full = [_full_rows(m, rows, columns) for m in mask]
    program = _softmax_gradient(bool(mask))
    weights = np.ascontiguousarray(weights)

    p, (far, step) = weights[0, 0], weights.strides[:2]

    def calls(read: list[Any], written: list[Any], alive: list[Any]) -> list[Call]:
        scores = np.empty((rows, columns), np.float32)  # one head's, in the cache
        alive.append(scores)
        (a, c, d, y), (da, dc, dd) = ([t[0] for t in of] for of in (read, written))
        of_a, of_c, of_d, of_y = (t.strides[0] for t in read)
        of_da, of_dc, of_dd = (t.strides[0] for t in written)
        arrays, moves, shifts = [scores, p, factor], [0, step, 0], [0, far, 0]
        _add_masks(full, arrays, moves, shifts)
        return [
            product(p, y, dd, (step, of_y, of_dd), transpose_a=True, shift=(far, 0, 0)),
            product(y, d, scores, (of_y, of_d, 0), transpose_b=True),
            _kernel(program, arrays, moves, shifts, alive),
            product(scores, c, da, (0, of_c, of_da)),
            product(scores, a, dc, (0, of_a, of_dc), transpose_a=True),
        ]

    _run_heads(calls, (q, k, v, g), (dq, dk, dv))
    return dq, dk, dv


def summed_to(array: Any, shape: Sequence[int]) -> Any:
    """The sums over the axes along which an array of `shape` was broadcast."""
    axes = tuple(i for i, (n, m) in enumerate(zip(array.shape, shape, strict=True)) if n != m)
    return array.sum(axes, keepdims=True) if axes else array


def _grad_shape(
    q: Any, k: Any, v: Any, *rest: Any, slope: bool = False, **_: Any
) -> tuple[TensorSpec, ...]:
    made = (q, k, v, rest[-1]) if slope else (q, k, v)
    return tuple(TensorSpec(t.shape, t.dtype) for t in made)


def _grad_vjp(op: Any, *slopes: Any) -> Any:
    """Gradients of q, k, v and g: the derivative of the formula written in ops (second order is
    rare).  `out` and the weights count as functions of q, k and v."""
    q, k, v, _, _, g, *rest = op.inputs
    attrs = dict(op.attrs)
    mask, bias = parts_of(rest, attrs.pop("biased", False))
    with GradientTape() as tape:
        tape.watch([q, k, v, g, *bias])
        found = _gradients_in_ops(q, k, v, g, mask, bias, **attrs)
    dq, dk, dv, dg, *of_bias = tape.gradient(
        found, [q, k, v, g, *bias], output_gradients=list(slopes)
    )
    return (dq, dk, dv, None, None, dg, *[None for _ in mask], *of_bias)


def _gradients_in_ops(
    q: Any, k: Any, v: Any, g: Any, mask: Sequence[Any], bias: Sequence[Any], scale: float,
    causal: bool = False, slope: bool = False,
) -> list[Any]:  # fmt: skip
    kind, (q, k, v, g) = q.dtype, (cast(t, _F4) for t in (q, k, v, g))
    scores = einsum("btnh,bsnh->bnts", q, k) * scale
    for b in bias:
        scores = scores + cast(b, _F4)
    shown = [greater_equal(m, cast(0.5, m.dtype)) for m in mask]
    if causal:
        shown = [logical_and(m, causal_mask(q, k)) for m in shown] or [causal_mask(q, k)]
    for m in shown:
        scores = where(m, scores, constant(_MASKED))
    weights = softmax(scores)
    dp = einsum("btnh,bsnh->bnts", g, v)
    ds = weights * (dp - reduce_sum(dp * weights, -1, True))
    for m in shown:
        ds = where(m, ds, constant(0.0))
    found = [
        einsum("bnts,bsnh->btnh", ds * scale, k),
        einsum("bnts,btnh->bsnh", ds * scale, q),
        einsum("bnts,btnh->bsnh", weights, g),
    ]
    if slope:
        found.append(sum_to(ds, cast(bias[0], _F4)))
    return [cast(t, kind) for t in found]


Attention = Primitive(
    "_Attention",
    "inputs: N * T",
    impl=_impl,
    shape=_shape,
    vjp=_vjp,
    partial_grads=True,
    check_first=True,  # the kernels believe the sizes
)
AttentionGrad = Primitive(
    "_AttentionGrad", "inputs: N * T", impl=_grad_impl, shape=_grad_shape, vjp=_grad_vjp
)
