"""Scaled-dot-product attention by graphs of cuDNN's frontend, and the way back.

| taken | by |
|---|---|
| float16 and bfloat16, sizes of heads that are multiples of 8, GPUs from sm_80 on | cuDNN |
| float32 and float64, other sizes, older GPUs, what cuDNN has no engine for | `ops.attention` |

Arrays stay [batch, rows, heads, size]; cuDNN is told so.  A mask becomes a bias of the same
shape, 0 (or the bias that is given) or so negative that its exponential is 0; `causal` is
cuDNN's own, which leaves out half of the work.  Besides the results it gives logarithms of the
softmax's sums, one float32 per query: they stand in the weights' place, as a vector, by which
the way back knows them.

A query that sees no key at all is a mean of all values in `ops.attention`, whose scores have no
gradient.  cuDNN knows no such thing: a kernel of our own writes those rows, and their sums are
set so high that they weigh nothing on the way back.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from ..attention import parts_of, summed_to
from ..determinism import is_deterministic
from ..dtypes import DType, as_dtype
from .device import Kernel, current
from .frontend import DTYPES, Described, find, frontend, run
from .prelude import PRELUDE, storage_type

__all__ = ["AttentionPlan", "backward", "describe", "forward"]

# Far below any score, and near enough that differences of two of them are finite in cuDNN's
# engines.
_HIDDEN = {"float16": -(2.0**15), "bfloat16": -(2.0**41)}
_BLIND = 1e30  # the sums of a query without a key


class AttentionPlan(NamedTuple):
    """What decides about a graph.

    Attributes:
        way: "forward" or "backward".
        dtype: of all arrays but the sums, a name.
        batch, heads, queries, keys: sizes.
        size, value_size: of a head.
        scale: of the scores.
        causal: whether a query sees no key behind its own place.
        bias: batch, heads and queries (each may be 1) of what is added to the scores, or None.
        slope: batch and heads (each may be 1) of the gradient of the bias, or None.
        steady: only engines that give the same result every time.
    """

    way: str
    dtype: str
    batch: int
    heads: int
    queries: int
    keys: int
    size: int
    value_size: int
    scale: float
    causal: bool
    bias: tuple[int, int, int] | None
    slope: tuple[int, int] | None
    steady: bool


def _laid_out(batch: int, rows: int, heads: int, size: int) -> dict[str, list[int]]:
    """cuDNN's description of [batch, rows, heads, size]: sizes in the order batch, heads, rows,
    size, and distances."""
    return {
        "dim": [batch, heads, rows, size],
        "stride": [rows * heads * size, size, heads * size, 1],
    }


def _dense(*dims: int) -> dict[str, list[int]]:
    strides, step = [], 1
    for size in reversed(dims):
        strides.append(step)
        step *= size
    return {"dim": list(dims), "stride": strides[::-1]}


def describe(plan: AttentionPlan, cudnn: Any, handle: Any = None) -> Described:
    """A plan's graph, not yet built.

    Its tensors are q, k, v, then forward perhaps the bias, the results and the sums; backward
    the results, their gradients, the sums, perhaps the bias, the gradients of q, k and v, and
    perhaps of the bias, which has all queries and keys.
    """
    kind, wide = getattr(cudnn.data_type, DTYPES[plan.dtype]), cudnn.data_type.FLOAT
    graph = cudnn.pygraph(
        io_data_type=kind,
        intermediate_data_type=wide,
        compute_data_type=wide,
        **({} if handle is None else {"handle": handle}),
    )
    b, h = plan.batch, plan.heads
    layouts = {
        "q": _laid_out(b, plan.queries, h, plan.size),
        "k": _laid_out(b, plan.keys, h, plan.size),
        "v": _laid_out(b, plan.keys, h, plan.value_size),
        "o": _laid_out(b, plan.queries, h, plan.value_size),
        "stats": _dense(b, h, plan.queries, 1),
    }

    def tensor(name: str, data_type: Any = kind) -> Any:
        layout = layouts["o" if name == "dO" else name]
        return graph.tensor(name=name, data_type=data_type, **layout)

    q, k, v = (tensor(name) for name in "qkv")
    options: dict[str, Any] = {"attn_scale": float(plan.scale)}
    bias = []
    if plan.bias is not None:
        layouts["bias"] = _dense(*plan.bias, plan.keys)
        bias = [tensor("bias")]
        options["bias"] = bias[0]
    if plan.causal:
        options["use_causal_mask"] = True
    if plan.way == "forward":
        o, stats = graph.sdpa(q=q, k=k, v=v, generate_stats=True, **options)
        _write(o, layouts["o"], kind)
        _write(stats, layouts["stats"], wide)
        return Described(graph, [q, k, v, *bias, o, stats])
    o, slope, stats = tensor("o"), tensor("dO"), tensor("stats", wide)
    of_bias = []
    if plan.slope is not None:
        layouts["dBias"] = _dense(*plan.slope, plan.queries, plan.keys)
        of_bias = [tensor("dBias")]
        options["dBias"] = of_bias[0].set_output(True)
    made = graph.sdpa_backward(
        q=q, k=k, v=v, o=o, dO=slope, stats=stats,
        use_deterministic_algorithm=plan.steady, **options,
    )  # fmt: skip
    for t, name in zip(made, "qkv", strict=True):
        _write(t, layouts[name], kind)
    return Described(graph, [q, k, v, o, slope, stats, *bias, *made, *of_bias])


def _write(tensor: Any, layout: dict[str, list[int]], data_type: Any) -> None:
    tensor.set_output(True).set_data_type(data_type)
    tensor.set_dim(layout["dim"]).set_stride(layout["stride"])


# -- queries that see no key ------------------------------------------------------------------

_BLIND_ROWS = r"""
// A block takes one batch element's head.  `sums` is [batch, heads, queries]; most often no
// query is blind, and the block ends having read its sums.
#define TAKE_HEAD \
    const i64 b = blockIdx.x / heads, h = blockIdx.x %% heads; \
    const float* own = sums + (i64)blockIdx.x * queries; \
    __shared__ int room[32]; \
    int some = 0; \
    for (int r = threadIdx.x; r < queries; r += blockDim.x) some |= own[r] >= %(blind)s; \
    if (!block_all<Max>(some, room)) return;

extern "C" __global__ void __launch_bounds__(128) write_blind_rows(
        const %(T)s* __restrict__ v, const float* __restrict__ sums, %(T)s* __restrict__ out,
        const int heads, const int queries, const int keys, const int size) {
    TAKE_HEAD
    for (int d = threadIdx.x; d < size; d += blockDim.x) {
        float sum = 0;
        for (int k = 0; k < keys; ++k) sum += widen(v[((b * keys + k) * heads + h) * size + d]);
        const %(T)s mean = narrow<%(T)s>(sum / (float)keys);
        for (int r = 0; r < queries; ++r)
            if (own[r] >= %(blind)s) out[((b * queries + r) * heads + h) * size + d] = mean;
    }
}

extern "C" __global__ void __launch_bounds__(128) add_blind_rows(
        const %(T)s* __restrict__ g, const float* __restrict__ sums, %(T)s* __restrict__ dv,
        const int heads, const int queries, const int keys, const int size) {
    TAKE_HEAD
    for (int d = threadIdx.x; d < size; d += blockDim.x) {
        float sum = 0;
        for (int r = 0; r < queries; ++r) {
            const i64 at = ((b * queries + r) * heads + h) * size + d;
            if (own[r] >= %(blind)s) sum += widen(g[at]);
        }
        sum /= (float)keys;
        for (int k = 0; k < keys; ++k) {
            const i64 at = ((b * keys + k) * heads + h) * size + d;
            dv[at] = narrow<%(T)s>(widen(dv[at]) + sum);
        }
    }
}
"""


@functools.cache
def _source(dtype: DType) -> str:
    return PRELUDE + _BLIND_ROWS % {"T": storage_type(dtype), "blind": f"{_BLIND / 2:.1e}f"}


def _blind_rows(name: str, read: Any, sums: Any, out: Any, plan: AttentionPlan) -> None:
    kernel = Kernel(_source(as_dtype(read.dtype)), name)
    sizes = [np.int32(n) for n in (plan.heads, plan.queries, plan.keys, plan.value_size)]
    current().launch(kernel, plan.batch * plan.heads, 128, [read, sums, out, *sizes])


def _bias_of(mask: Sequence[Any], bias: Sequence[Any], plan: AttentionPlan) -> Any:
    """What is added to the scores, [batch or 1, heads or 1, queries or 1, keys]; None if
    nothing is."""
    if not (mask or bias):
        return None
    xp, kind = current().xp, np.dtype(as_dtype(plan.dtype).np_dtype)
    found = bias[0] if bias else np.float32(0)
    if mask:
        found = xp.where(mask[0] > 0, found, np.float32(_HIDDEN[plan.dtype])).astype(kind)
    return xp.ascontiguousarray(xp.broadcast_to(found, (*found.shape[:3], plan.keys)))


def _blind(mask: Any, plan: AttentionPlan) -> Any:
    """Which queries see no key, bool [batch or 1, heads or 1, queries or 1]."""
    xp, seen = current().xp, mask > 0
    if plan.causal:
        seen = seen & (xp.arange(plan.queries)[:, None] >= xp.arange(plan.keys))
    return ~seen.any(-1)


# -- the calls --------------------------------------------------------------------------------


def _plan(
    way: str, q: Any, k: Any, v: Any, added: Sequence[Any], scale: float, causal: bool,
    slope: Any = None,
) -> AttentionPlan:  # fmt: skip
    batch, queries, heads, size = q.shape
    dims = np.broadcast_shapes(*(a.shape[:3] for a in added)) if added else None
    return AttentionPlan(
        way, q.dtype.name, batch, heads, queries, k.shape[1], size, v.shape[3], float(scale),
        causal, dims, slope, is_deterministic(),
    )  # fmt: skip


def _takes(q: Any, k: Any, v: Any) -> bool:
    return (
        q.dtype.name in _HIDDEN
        and frontend() is not None
        and q.dtype == k.dtype == v.dtype
        and bool(q.size and k.size and v.size)
        and q.shape[3] % 8 == v.shape[3] % 8 == 0
    )


def forward(
    q: Any, k: Any, v: Any, *rest: Any, scale: float, causal: bool = False, biased: bool = False
) -> Any:
    """The results [batch, queries, heads, value size], and a vector kept for `backward`;
    NotImplemented where cuDNN does not do it.

    Args:
        q, k, v: [batch, queries or keys, heads, size].
        rest: perhaps a mask, above 0 where a key is seen, and if `biased` what is added to the
            scores; both [batch or 1, heads or 1, queries or 1, keys or 1].
        scale: of the scores.
        causal: whether a query sees no key behind its own place.
        biased: whether there is a bias.
    """
    if not _takes(q, k, v):
        return NotImplemented
    mask, bias = parts_of(rest, biased)
    plan = _plan("forward", q, k, v, rest, scale, causal)
    found = find(plan, describe)
    if found is None:
        return NotImplemented
    xp = current().xp
    q, k, v = (xp.ascontiguousarray(t) for t in (q, k, v))
    out = xp.empty((*q.shape[:3], v.shape[3]), q.dtype)
    sums = xp.empty((plan.batch, plan.heads, plan.queries), np.float32)
    added = _bias_of(mask, bias, plan)
    run(found, (q, k, v, *([] if added is None else [added]), out, sums))
    if mask:
        sums = xp.where(_blind(mask[0], plan), np.float32(_BLIND), sums)
        _blind_rows("write_blind_rows", v, sums, out, plan)
    # In the dtype of the other results, as the graph expects it.
    return out, sums.reshape(-1).view(q.dtype)


def backward(
    q: Any, k: Any, v: Any, out: Any, kept: Any, g: Any, *rest: Any, scale: float,
    causal: bool = False, biased: bool = False, slope: bool = False,
) -> Any:  # fmt: skip
    """Gradients of q, k and v, and with `slope` of the bias; NotImplemented for what `forward`
    did not make, and where cuDNN has only the way there.

    Args:
        q, k, v, rest, scale, causal, biased: as in `forward`.
        out, kept: of `forward`.
        g: the gradient of the results.
        slope: whether the gradient of the bias is wanted.
    """
    if kept.ndim != 1:
        return NotImplemented
    mask, bias = parts_of(rest, biased)
    dims = tuple(bias[0].shape[:2]) if slope else None
    plan = _plan("backward", q, k, v, rest, scale, causal, dims)
    found = find(plan, describe)
    if found is None:  # large heads on sm_80; one query and one key
        return NotImplemented
    xp = current().xp
    q, k, v, out, g = (xp.ascontiguousarray(t) for t in (q, k, v, out, g))
    sums = kept.view(np.float32)
    made = [xp.empty(t.shape, t.dtype) for t in (q, k, v)]
    if dims is not None:
        made.append(xp.empty((*dims, plan.queries, plan.keys), q.dtype))
    added = _bias_of(mask, bias, plan)
    run(found, (q, k, v, out, g, sums, *([] if added is None else [added]), *made))
    if mask:
        _blind_rows("add_blind_rows", g, sums, made[2], plan)
    if dims is not None:
        made[3] = summed_to(made[3], bias[0].shape)
    return tuple(made)
