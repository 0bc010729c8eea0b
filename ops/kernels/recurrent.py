"""LSTM and GRU over whole sequences by compiled kernels, in float32; None where there is none.

They take units in whole vectors, and weights that stay in the second cache with what belongs to
them: larger ones are better served by products over all steps.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from . import calls, memory
from .build import kernel, vector_width
from .recurrent_code import DEEP, PARAMETERS, height_of

__all__ = ["gru", "gru_grad", "lstm", "lstm_grad"]

_WEIGHT_BYTES = 4 << 20
_GATES = 4


def lstm(
    x: Any, kernel_: Any, recurrent: Any, bias: Any, h: Any, c: Any, found: tuple[Any, Any, Any]
) -> bool:
    """Write gates, memory and outputs, [batch, steps, ...] with a step's rows together, into
    `found`; whether that was done."""
    run = kernel("lstm_forward")
    if run is None or not _covers(x, kernel_, recurrent, bias, h, c):
        return False
    gates, cells, out = found
    width = vector_width()
    batch, steps, features = x.shape
    units = h.shape[1]
    inner = features + units + 1
    rows = np.concatenate([kernel_, recurrent, bias[None]])
    # [inner, gate, panel, W] to [panel, inner, gate, W]
    blocks = rows.reshape((inner, _GATES, units // width, width)).transpose((2, 0, 1, 3))
    weights = memory.empty(blocks.shape)
    weights[...] = blocks
    x, h, c = _plain(x), np.ascontiguousarray(h), np.ascontiguousarray(c)
    line = _line(inner)
    parameters = calls.parameters(
        PARAMETERS, **_of_inputs(x, features, units, inner, line), w=weights, h0=h, c0=c,
        gates=gates, memory=cells, out=out, step_rows=batch, steps=steps,
    )  # fmt: skip
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(2 * _padded(last - first) * line))

    calls.spread(
        part,
        calls.cuts(batch, height_of(vector_width()), steps * batch * inner * _GATES * units, 1),
    )
    return True


def lstm_grad(
    x: Any, kernel_: Any, recurrent: Any, h: Any, c: Any, kept: tuple[Any, Any, Any],
    g: Any, dh: Any, dc: Any, of_sums: Any,
) -> Any:  # fmt: skip
    """Gradients of kernel, recurrent kernel and bias, or None.

    Args:
        x, kernel_, recurrent, h, c: what `lstm` was given.
        kept: the outputs, gates and memory that it wrote.
        g: the gradient of the outputs, [batch, steps, units].
        dh, dc: the gradients of the last state, which become those of the first.
        of_sums: if given, gets the gradients of the gates' sums, laid out like the gates.
    """
    run = kernel("lstm_backward")
    if run is None or not _covers(x, kernel_, recurrent, h, c, dh, dc, g):
        return None
    out, gates, cells = kept
    batch, steps, features = x.shape
    units = h.shape[1]
    inner = features + units + 1
    packed = _turned(recurrent)
    x, g, h, c = _plain(x), _plain(g), np.ascontiguousarray(h), np.ascontiguousarray(c)
    line, z_line = _line(inner), 4 * _GATES * units + 64
    parameters = calls.parameters(
        PARAMETERS, **_of_inputs(x, features, units, inner, line), w=packed, h0=h, c0=c,
        gates=gates, memory=cells, out=out, step_rows=batch, steps=steps, g=g,
        g_row=g.strides[0], g_step=g.strides[1], dh=dh, dc=dc,
        of_sums=0 if of_sums is None else of_sums, z_line=z_line, total_line=z_line,
    )  # fmt: skip
    where = memory.address(parameters)
    cuts = calls.cuts(
        batch, height_of(vector_width()), 2 * steps * batch * inner * _GATES * units, 1
    )
    totals = [memory.zeros((_whole(inner), z_line // 4)) for _ in cuts]

    def part(first: int, last: int, total: np.ndarray) -> None:
        size = _padded(last - first) * (z_line + line)
        run(where, first, last, memory.scratch(size), memory.address(total))

    calls.spread(part, [(*cut, total) for cut, total in zip(cuts, totals, strict=True)])
    total = totals[0]
    for more in totals[1:]:
        total += more
    whole = total[:, : _GATES * units]
    return (
        whole[:features].copy(), whole[features : features + units].copy(),
        whole[features + units].copy(),
    )  # fmt: skip


def gru(
    x: Any, kernel_: Any, recurrent: Any, bias: Any, h: Any, found: tuple[Any, Any, Any]
) -> bool:
    """Write gates, the candidate's sums with the state, and outputs into `found`, laid out as
    `lstm` has it; whether that was done."""
    run = kernel("gru_forward")
    if run is None or not _covers(x, kernel_, recurrent, bias, h):
        return False
    gates, behind, out = found
    width = vector_width()
    batch, steps, features = x.shape
    units = h.shape[1]
    rows = np.concatenate([kernel_, bias[:1], recurrent, bias[1:]])
    blocks = rows.reshape((len(rows), 3, units // width, width)).transpose((2, 0, 1, 3))
    weights = memory.empty(blocks.shape)
    weights[...] = blocks
    x, h = _plain(x), np.ascontiguousarray(h)
    state_at = _whole(features + 1)
    line = _line(state_at + units + 1)
    parameters = calls.parameters(
        PARAMETERS, **_of_inputs(x, features, units, 0, line), w=weights, h0=h, gates=gates,
        memory=behind, out=out, step_rows=batch, steps=steps, state_at=state_at,
    )  # fmt: skip
    where = memory.address(parameters)

    def part(first: int, last: int) -> None:
        run(where, first, last, memory.scratch(2 * _padded(last - first) * line))

    calls.spread(
        part, calls.cuts(batch, height_of(vector_width()), steps * batch * rows.size, 1)
    )
    return True


def gru_grad(
    x: Any, kernel_: Any, recurrent: Any, h: Any, kept: tuple[Any, Any, Any], g: Any, dh: Any,
    of_sums: Any,
) -> Any:  # fmt: skip
    """Gradients of kernel, recurrent kernel and biases [2, 3 units], or None.

    Args:
        x, kernel_, recurrent, h: what `gru` was given.
        kept: the outputs, gates and sums that it wrote.
        g: the gradient of the outputs, [batch, steps, units].
        dh: the gradient of the last state, which becomes that of the first.
        of_sums: if given, gets the gradients of the sums with the inputs.
    """
    run = kernel("gru_backward")
    if run is None or not _covers(x, kernel_, recurrent, h, dh, g):
        return None
    out, gates, behind = kept
    batch, steps, features = x.shape
    units = h.shape[1]
    packed = _turned(recurrent)
    x, g, h = _plain(x), _plain(g), np.ascontiguousarray(h)
    state_at = _whole(features + 1)
    inner = state_at + units + 1
    line, z_line = _line(inner), 16 * units + 64
    parameters = calls.parameters(
        PARAMETERS, **_of_inputs(x, features, units, 0, line), w=packed, h0=h, gates=gates,
        memory=behind, out=out, step_rows=batch, steps=steps, g=g, g_row=g.strides[0],
        g_step=g.strides[1], dh=dh, of_sums=0 if of_sums is None else of_sums, z_line=z_line,
        total_line=z_line, state_at=state_at,
    )  # fmt: skip
    where = memory.address(parameters)
    cuts = calls.cuts(batch, height_of(vector_width()), 8 * steps * batch * inner * units, 1)
    totals = [memory.zeros((_whole(inner), z_line // 4)) for _ in cuts]

    def part(first: int, last: int, total: np.ndarray) -> None:
        size = _padded(last - first) * (z_line + line)
        run(where, first, last, memory.scratch(size), memory.address(total))

    calls.spread(part, [(*cut, total) for cut, total in zip(cuts, totals, strict=True)])
    total = totals[0]
    for more in totals[1:]:
        total += more
    of_inputs = np.concatenate([total[:, : 2 * units], total[:, 3 * units : 4 * units]], 1)
    of_state = total[state_at:, : 3 * units]
    return (
        of_inputs[:features].copy(), of_state[:units].copy(),
        np.stack([of_inputs[features], of_state[units]]),
    )  # fmt: skip


def _turned(recurrent: np.ndarray) -> np.ndarray:
    """The transpose in panels of four vectors, filled up with zeros."""
    wide = 4 * vector_width()
    units, deep = recurrent.shape
    packed = memory.zeros((-(-units // wide), deep, wide))
    for i, panel in enumerate(packed):
        columns = recurrent[i * wide : (i + 1) * wide].T
        panel[:, : columns.shape[1]] = columns
    return packed


def _whole(rows: int) -> int:
    """So many rows of the weights' gradients in whole blocks."""
    return -(-rows // DEEP) * DEEP


def _of_inputs(x: Any, features: int, units: int, inner: int, line: int) -> dict[str, Any]:
    return {
        "x": x, "x_row": x.strides[0], "x_step": x.strides[1], "features": features,
        "units": units, "inner": inner, "line": line,
    }  # fmt: skip


def _padded(rows: int) -> int:
    return -(-rows // height_of(vector_width())) * height_of(vector_width())


def _line(inner: int) -> int:
    """Bytes from one row of a left operand to the next: whole blocks of the gradient, and the
    rows of a block in different sets of the cache."""
    size = -(-inner // 16) * 64
    return size + 64 if size % 128 == 0 else size


def _plain(array: np.ndarray) -> np.ndarray:
    """An array whose rows' numbers lie together."""
    return array if array.strides[-1] == 4 else np.ascontiguousarray(array)


def _covers(x: Any, kernel_: Any, recurrent: Any, *more: Any) -> bool:
    units = recurrent.shape[0]
    return (
        all(
            type(a) is np.ndarray and a.dtype == np.float32 and a.size
            for a in (x, kernel_, recurrent, *more)
        )
        and units % vector_width() == 0
        and (x.shape[2] + units) * recurrent.shape[1] * 4 <= _WEIGHT_BYTES
    )
