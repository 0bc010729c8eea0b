"""LSTM and GRU over whole sequences.

Without a mask, and where the weights fit the cache, they have kernels of their own
(`kernels.recurrent`).  Otherwise the products of all inputs with the weights are one product;
the steps then run as a compiled schedule (`native_schedule`): a product with the state and one
fused kernel per step, with the batch in parts on several threads.  The products for the
weights' gradients are one each, again over all steps.  Where no kernel can be had, the same
steps run as NumPy calls.

Weights are laid out as in Keras: gates i, f, g, o for LSTM; z, r, g for GRU, whose reset gate
is applied behind the product (``reset_after``), with a bias for each product.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from . import native_schedule, recycling, workers
from .array_basics import cast, zeros_like
from .array_module import array_module
from .array_text import evaluate
from .blas import gemm, matrix_product
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.fused import Program
from .kernels import recurrent as compiled
from .native_schedule import Call, product
from .primitive import Primitive
from .recurrent_steps import gru_back, gru_step, lstm_back, lstm_step
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["gru", "lstm"]


def lstm(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any, mask: Any = None
) -> tuple[Tensor, Tensor, Tensor]:
    """A long short-term memory over a batch of sequences, with sigmoid gates and tanh.

    Args:
        x: float32 [batch, steps, features].
        kernel: [features, 4 * units], gates in the order i, f, g, o.
        recurrent: [units, 4 * units].
        bias: [4 * units].
        h, c: [batch, units], the state before the first step.
        mask: bool [batch, steps]; where it is False, a step leaves the state as it was.

    Returns:
        The outputs [batch, steps, units], and the state (h, c) behind the last step.

    Source: Hochreiter and Schmidhuber, "Long short-term memory" (1997).
    """
    inputs = [to_tensor(v, None) for v in (x, kernel, recurrent, bias, h, c)]
    if mask is not None:
        inputs.append(cast(mask, inputs[0].dtype))
    out, last, memory, _, _ = LSTM(inputs)
    return out, last, memory


def gru(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, mask: Any = None
) -> tuple[Tensor, Tensor]:
    """A gated recurrent unit over a batch of sequences, with sigmoid gates and tanh.

    Args:
        x: float32 [batch, steps, features].
        kernel: [features, 3 * units], gates in the order z, r, g.
        recurrent: [units, 3 * units].
        bias: [2, 3 * units], for the product with the inputs and for that with the state.
        h: [batch, units], the state before the first step.
        mask: bool [batch, steps]; where it is False, a step leaves the state as it was.

    Returns:
        The outputs [batch, steps, units], and the state behind the last step.

    Source: Cho et al., "Learning phrase representations using RNN encoder-decoder" (2014), with
    the reset gate behind the product.
    """
    inputs = [to_tensor(v, None) for v in (x, kernel, recurrent, bias, h)]
    if mask is not None:
        inputs.append(cast(mask, inputs[0].dtype))
    out, last, _, _ = GRU(inputs)
    return out, last


# -- running the steps ------------------------------------------------------------------------


class _Product(NamedTuple):
    """A product of every step: out = a @ b (or its transpose), added to `out` with `add`."""

    a: Any
    at: int  # the first step's slice of a
    b: Any
    out: Any
    add: bool = False
    transpose: bool = False


class _Segment(NamedTuple):
    """Steps that read and write the same arrays, a slice [batch, units] of each per step.

    Arrays are [batch, steps, units], or [batch, units] and the same in every step, or rows.
    """

    program: Program
    arrays: Sequence[Any]
    out: Sequence[Any]
    first: Sequence[int]  # the first step's slice of each of them
    steps: int
    before: _Product | None = None
    after: _Product | None = None


def _sweep(segments: Sequence[_Segment], batch: int, back: bool, compiled: bool) -> None:
    """Run segments one after the other; `back`: from the last step to the first."""
    if not compiled:
        for segment in segments:
            for step in range(segment.steps):
                _one_step(segment, -step if back else step)
        return

    def work(rows: slice) -> None:
        for segment in segments:
            if segment.steps:
                native_schedule.run(_calls(segment, rows, back), segment.steps)

    parts = min(workers.count(), max(batch // 16, 1))
    cuts = [batch * i // parts for i in range(parts + 1)]
    workers.spread([functools.partial(work, slice(*c)) for c in itertools.pairwise(cuts)])


def _calls(segment: _Segment, rows: slice, back: bool) -> list[Call]:
    both = [*segment.arrays, *segment.out]
    views = [_at(a, s, rows) for a, s in zip(both, segment.first, strict=True)]
    count = len(segment.arrays)
    bound = segment.program.bound(tuple(views[:count]), views[count:])
    assert bound is not None, "the kernel does not take these arrays"
    address, table = bound
    moves = [0] * len(table)
    for i, a in enumerate(both):
        moves[4 + 2 * i] = _move(a, back)
    calls = [Call(address, table, moves)]
    for place, p in ((0, segment.before), (len(calls), segment.after)):
        if p is not None:
            growth = (_move(p.a, back), 0, _move(p.out, back))
            a, out = _at(p.a, p.at, rows), _at(p.out, 0, rows)
            calls.insert(place, product(a, p.b, out, growth, p.add, p.transpose))
    return calls


def _one_step(segment: _Segment, step: int) -> None:
    """A step by array calls, on any device."""
    every = slice(None)
    both = [*segment.arrays, *segment.out]
    views = [
        _at(a, s + step if a.ndim == 3 else 0, every)
        for a, s in zip(both, segment.first, strict=True)
    ]

    def multiply(p: _Product) -> None:
        made = matrix_product(_at(p.a, p.at + step, every), p.b.T if p.transpose else p.b)
        out = _at(p.out, step, every)
        out[...] = out + made if p.add else made

    if segment.before is not None:
        multiply(segment.before)
    program, count = segment.program, len(segment.arrays)
    values = evaluate([(s.what, s.refs) for s in program.steps], views[:count])
    for out, ref in zip(views[count:], program.outputs, strict=True):
        out[...] = values[ref]
    if segment.after is not None:
        multiply(segment.after)


def _at(array: Any, step: int, rows: slice) -> Any:
    if array.ndim == 3:
        return array[rows, step]
    return array[rows] if array.ndim == 2 else array


def _move(array: Any, back: bool) -> int:
    """Bytes from a step's slice to the next one's."""
    distance = array.strides[1] if array.ndim == 3 else 0
    return -distance if back else distance


def _gates(array: Any, count: int) -> list[Any]:
    units = array.shape[-1] // count
    return [array[..., i * units : (i + 1) * units] for i in range(count)]


def _compiled(*arrays: Any) -> bool:
    """Whether schedules take these arrays."""
    return (
        all(type(a) is np.ndarray and a.dtype == np.float32 and a.size for a in arrays)
        and native_schedule.available()
    )


def _columns(mask: Any) -> Any:
    """A mask [batch, steps] as [batch, steps, 1] whose every step lies in one piece."""
    xp = array_module(mask)
    return xp.ascontiguousarray(mask.T.astype(np.float32)).T[:, :, None]


def _empty(xp: Any, shape: tuple[int, int, int], dtype: Any) -> Any:
    """An array [batch, steps, size] in whose memory a step's rows lie together: products and
    kernels then read and write one piece."""
    batch, steps, size = shape
    if xp is np:
        return recycling.empty((steps, batch, size), dtype).transpose((1, 0, 2))
    return xp.empty((steps, batch, size), dtype).transpose((1, 0, 2))


def _flat(array: Any) -> Any:
    """[batch, steps, size] as rows, those of a step together."""
    return array.transpose((1, 0, 2)).reshape((-1, array.shape[-1]))


def _rows_whole(array: Any) -> Any:
    """`array`, copied if the numbers of its rows lie apart."""
    if array.strides[-1] == array.itemsize and all(s > 0 for s in array.strides):
        return array
    return array_module(array).ascontiguousarray(array)


def _matmul(a: Any, b: Any) -> Any:
    return gemm(a, b) if type(a) is np.ndarray else matrix_product(a, b)


def _products(x: Any, kernel: Any) -> Any:
    """All inputs with the weights, laid out as `_empty` does."""
    batch, steps, _ = x.shape
    made = _matmul(_flat(x), kernel)
    return made.reshape((steps, batch, kernel.shape[1])).transpose((1, 0, 2))


def _total(sums: Any) -> Any:
    """The sum over batch and steps; BLAS is faster at it than `sum`."""
    rows = _flat(sums)
    if not rows.size:
        return rows.sum(0)
    return matrix_product(array_module(rows).ones((1, len(rows)), rows.dtype), rows)[0]


def _weight_gradients(
    x: Any, kernel: Any, h: Any, out: Any, of_inputs: Any, of_state: Any, for_inputs: bool
) -> tuple[Any, Any, Any]:
    """Gradients of the inputs (zeros if nobody asks) and of both kernels, from those of the
    sums.

    Args:
        h: the state before the first step.
        out: the states behind all steps.
    """
    steps = x.shape[1]
    dx = _inputs_gradient(x, kernel, of_inputs if for_inputs else None)
    if not steps:
        return (
            dx,
            matrix_product(_flat(x).T, _flat(of_inputs)),
            array_module(h).zeros((h.shape[1], of_state.shape[2]), h.dtype),
        )
    state = matrix_product(h.T, of_state[:, 0])
    if steps > 1:
        state = state + _matmul(_flat(out[:, :-1]).T, _flat(of_state[:, 1:]))
    return dx, _matmul(_flat(x).T, _flat(of_inputs)), state


def _inputs_gradient(x: Any, kernel: Any, of_inputs: Any) -> Any:
    """From the gradients of the sums; zeros where these are None, as nobody asks."""
    if of_inputs is None:
        return array_module(x).broadcast_to(x.dtype.type(0), x.shape)
    batch, steps, features = x.shape
    dx = _matmul(_flat(of_inputs), kernel.T)
    return dx.reshape((steps, batch, features)).transpose((1, 0, 2))


# -- LSTM -------------------------------------------------------------------------------------


def _lstm_impl(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any, *mask: Any
) -> Any:
    xp = array_module(x)
    (batch, steps, _), units = x.shape, h.shape[1]
    out, memory = (_empty(xp, (batch, steps, units), x.dtype) for _ in "hc")
    if not mask:
        gates = _empty(xp, (batch, steps, 4 * units), x.dtype)
        if compiled.lstm(x, kernel, recurrent, bias, h, c, (gates, memory, out)):
            return out, out[:, -1].copy(), memory[:, -1].copy(), gates, memory
    gates = _products(x, kernel)
    part = xp.empty((batch, 4 * units), x.dtype)
    columns = [_columns(m) for m in mask]
    program = lstm_step(bool(mask))

    def segment(before: Any, memory_before: Any, first: int, count: int) -> _Segment:
        own = _gates(gates, 4)
        past = [before] if mask else []
        arrays = [*own, *_gates(part, 4), *_gates(bias, 4), memory_before, *columns, *past]
        at = [first] * 4 + [0] * 8 + [first - 1] + [first] * len(columns)
        at += [first - 1] * len(past) + [first] * 6
        multiply = _Product(before, first - 1, recurrent, part)
        return _Segment(program, arrays, [*own, memory, out], at, count, before=multiply)

    if steps:
        start, rest = segment(h, c, 0, 1), segment(out, memory, 1, steps - 1)
        _sweep([start, rest], batch, False, _compiled(x, kernel, h))
        return out, out[:, -1].copy(), memory[:, -1].copy(), gates, memory
    return out, h.copy(), c.copy(), gates, memory


def _lstm_shape(
    x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, c: Any, *mask: Any
) -> Any:
    batch, steps = _checked("LSTM", x, kernel, recurrent, bias, (h, c), mask, 4)
    units = recurrent.shape[0]

    def spec(*dims: Any) -> TensorSpec:
        return TensorSpec(dims, x.dtype)

    return (
        spec(batch, steps, units), spec(batch, units), spec(batch, units),
        spec(batch, steps, None if units is None else 4 * units), spec(batch, steps, units),
    )  # fmt: skip


def _lstm_vjp(op: Any, g_out: Any, g_last: Any, g_memory: Any, *residual_gradients: Any) -> Any:
    if any(g is not None for g in residual_gradients):
        raise LookupError("the gradient of LSTM's kept values is not defined")
    out, last, memory, gates, memories = op.outputs
    grads = [
        zeros_like(t) if g is None else g
        for g, t in zip((g_out, g_last, g_memory), (out, last, memory), strict=True)
    ]
    for_inputs = op.needs is None or op.needs[0]
    found = LSTMGrad([*op.inputs, out, gates, memories, *grads], for_inputs=for_inputs)
    return (*found, *[None] * len(op.inputs[6:]))


def _lstm_grad_impl(*arrays: Any, for_inputs: bool) -> Any:
    x, kernel, recurrent, _, h, c, *mask = arrays[:-6]
    out, gates, memory, g_out, g_last, g_memory = arrays[-6:]
    xp = array_module(x)
    batch, steps, _ = x.shape
    dh, dc = xp.array(g_last), xp.array(g_memory)
    if not mask:
        of_sums = _empty(xp, gates.shape, x.dtype) if for_inputs else None
        kept = (out, gates, memory)
        made = compiled.lstm_grad(x, kernel, recurrent, h, c, kept, g_out, dh, dc, of_sums)
        if made is not None:
            return _inputs_gradient(x, kernel, of_sums), *made, dh, dc
    of_sums = _empty(xp, gates.shape, x.dtype)
    g_out = _rows_whole(g_out)
    columns = [_columns(m) for m in mask]
    program = lstm_back(bool(mask))

    def segment(before: Any, first: int, count: int) -> _Segment:
        arrays = [g_out, dh, dc, *_gates(gates, 4), memory, before, *columns]
        at = [first, 0, 0, *[first] * 5, first - 1] + [first] * len(columns)
        results = [*_gates(of_sums, 4), dc, *([dh] if mask else [])]
        at += [first] * 4 + [0] * (len(results) - 4)
        multiply = _Product(of_sums, first, recurrent, dh, add=bool(mask), transpose=True)
        return _Segment(program, arrays, results, at, count, after=multiply)

    if steps:
        rest, start = segment(memory, steps - 1, steps - 1), segment(c, 0, 1)
        _sweep([rest, start], batch, True, _compiled(x, kernel, h))
    weights = _weight_gradients(x, kernel, h, out, of_sums, of_sums, for_inputs)
    return *weights, _total(of_sums), dh, dc


def _grad_shape(*tensors: Any, for_inputs: bool) -> tuple[TensorSpec, ...]:
    count = 6 if tensors[0].shape.rank == 3 and len(tensors) in (12, 13) else 5
    return tuple(TensorSpec(t.shape, t.dtype) for t in tensors[:count])


LSTM = Primitive(
    "_LSTM",
    "inputs: N * T",
    impl=_lstm_impl,
    shape=_lstm_shape,
    vjp=_lstm_vjp,
    partial_grads=True,
    check_first=True,  # the kernels believe the sizes
)
LSTMGrad = Primitive("_LSTMGrad", "inputs: N * T", impl=_lstm_grad_impl, shape=_grad_shape)


# -- GRU --------------------------------------------------------------------------------------


def _gru_impl(x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, *mask: Any) -> Any:
    xp = array_module(x)
    (batch, steps, _), units = x.shape, h.shape[1]
    out, inner = (_empty(xp, (batch, steps, units), x.dtype) for _ in "hi")
    if not mask:
        gates = _empty(xp, (batch, steps, 3 * units), x.dtype)
        if compiled.gru(x, kernel, recurrent, bias, h, (gates, inner, out)):
            return out, out[:, -1].copy(), gates, inner
    gates = _products(x, kernel)
    part = xp.empty((batch, 3 * units), x.dtype)
    columns = [_columns(m) for m in mask]
    program = gru_step(bool(mask))

    def segment(before: Any, first: int, count: int) -> _Segment:
        own = _gates(gates, 3)
        biases = [*_gates(bias[0], 3), *_gates(bias[1], 3)]
        arrays = [*own, *_gates(part, 3), *biases, before, *columns]
        at = [first] * 3 + [0] * 9 + [first - 1] + [first] * (len(columns) + 5)
        multiply = _Product(before, first - 1, recurrent, part)
        return _Segment(program, arrays, [*own, inner, out], at, count, before=multiply)

    if steps:
        start, rest = segment(h, 0, 1), segment(out, 1, steps - 1)
        _sweep([start, rest], batch, False, _compiled(x, kernel, h))
        return out, out[:, -1].copy(), gates, inner
    return out, h.copy(), gates, inner


def _gru_shape(x: Any, kernel: Any, recurrent: Any, bias: Any, h: Any, *mask: Any) -> Any:
    batch, steps = _checked("GRU", x, kernel, recurrent, bias, (h,), mask, 3)
    units = recurrent.shape[0]

    def spec(*dims: Any) -> TensorSpec:
        return TensorSpec(dims, x.dtype)

    return (
        spec(batch, steps, units), spec(batch, units),
        spec(batch, steps, None if units is None else 3 * units), spec(batch, steps, units),
    )  # fmt: skip


def _gru_vjp(op: Any, g_out: Any, g_last: Any, *residual_gradients: Any) -> Any:
    if any(g is not None for g in residual_gradients):
        raise LookupError("the gradient of GRU's kept values is not defined")
    out, last, gates, inner = op.outputs
    grads = [
        zeros_like(t) if g is None else g
        for g, t in zip((g_out, g_last), (out, last), strict=True)
    ]
    for_inputs = op.needs is None or op.needs[0]
    found = GRUGrad([*op.inputs, out, gates, inner, *grads], for_inputs=for_inputs)
    return (*found, *[None] * len(op.inputs[5:]))


def _gru_grad_impl(*arrays: Any, for_inputs: bool) -> Any:
    x, kernel, recurrent, _, h, *mask = arrays[:-5]
    out, gates, inner, g_out, g_last = arrays[-5:]
    xp = array_module(x)
    batch, steps, _ = x.shape
    dh = xp.array(g_last)
    if not mask:
        of_inputs = _empty(xp, gates.shape, x.dtype) if for_inputs else None
        kept = (out, gates, inner)
        made = compiled.gru_grad(x, kernel, recurrent, h, kept, g_out, dh, of_inputs)
        if made is not None:
            return _inputs_gradient(x, kernel, of_inputs), *made, dh
    of_inputs, of_state = (_empty(xp, gates.shape, x.dtype) for _ in "is")
    g_out = _rows_whole(g_out)
    columns = [_columns(m) for m in mask]
    program = gru_back(bool(mask))

    def segment(before: Any, first: int, count: int) -> _Segment:
        arrays = [g_out, dh, *_gates(gates, 3), inner, before, *columns]
        at = [first, 0, *[first] * 4, first - 1] + [first] * len(columns)
        return _Segment(program, arrays, results, [*at, *[first] * 6, 0], count, after=_Product(
            of_state, first, recurrent, dh, add=True, transpose=True))  # fmt: skip

    results = [*_gates(of_inputs, 3), *_gates(of_state, 3), dh]
    if steps:
        rest, start = segment(out, steps - 1, steps - 1), segment(h, 0, 1)
        _sweep([rest, start], batch, True, _compiled(x, kernel, h))
    weights = _weight_gradients(x, kernel, h, out, of_inputs, of_state, for_inputs)
    biases = xp.stack([_total(of_inputs), _total(of_state)])
    return *weights, biases, dh


GRU = Primitive(
    "_GRU",
    "inputs: N * T",
    impl=_gru_impl,
    shape=_gru_shape,
    vjp=_gru_vjp,
    partial_grads=True,
    check_first=True,  # the kernels believe the sizes
)
GRUGrad = Primitive("_GRUGrad", "inputs: N * T", impl=_gru_grad_impl, shape=_grad_shape)


def _checked(
    name: str, x: Any, kernel: Any, recurrent: Any, bias: Any, state: Any, mask: Any, gates: int
) -> tuple[int | None, int | None]:
    """Batch and steps; errors of sizes that do not fit."""
    if x.shape.rank != 3:
        raise InvalidArgumentError(
            f"{name} takes inputs [batch, steps, features], got {x.shape} [Op:{name}]", op=name
        )
    batch, steps, features = x.shape.dims
    units = recurrent.shape[0] if recurrent.shape.rank == 2 else None
    wide = None if units is None else gates * units
    wanted = [
        ("kernel", kernel, (features, wide)),
        ("recurrent kernel", recurrent, (units, wide)),
        ("bias", bias, (wide,) if name == "LSTM" else (2, wide)),
        *[("state", s, (batch, units)) for s in state],
        *[("mask", m, (batch, steps)) for m in mask],
    ]
    for what, tensor, dims in wanted:
        if not tensor.shape.is_compatible_with(dims):
            raise InvalidArgumentError(
                f"{name}'s {what} must have the shape {list(dims)}, got {tensor.shape} "
                f"[Op:{name}]",
                op=name,
            )
    return batch if batch is not None else state[0].shape[0], steps
