"""The loop over time steps of recurrent layers: a cell's step, masks, outputs and states.

Steps whose number is known run as a Python loop, which a trace unrolls; many steps, or an
unknown number, run as a `while_loop`.  Both give the same numbers.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...ops import api as hr, nest

__all__ = ["run_steps", "zeros"]

_UNROLLED = 64  # steps that a trace unrolls: beyond, tracing takes longer than it saves

Step = Callable[[Any, Any], tuple[Any, Any]]


def zeros(batch: Any, size: Any, dtype: Any) -> Any:
    """Zeros of shape ``[batch, *size]``; `batch` may be a tensor."""
    shape = (size,) if isinstance(size, int) else tuple(size)
    if isinstance(batch, int):
        return hr.zeros((batch, *shape), dtype)
    return hr.ensure_shape(hr.zeros([batch, *shape], dtype), (None, *shape))


def run_steps(
    step: Step,
    sequences: Any,
    states: Any,
    *,
    mask: Any = None,
    go_backwards: bool = False,
    unroll: bool = False,
    zero_output_for_mask: bool = False,
    all_outputs: bool = True,
) -> tuple[Any, Any, Any]:
    """The last output ``[batch, ...]``, all outputs ``[batch, steps, ...]`` (only the last one,
    ``[batch, 1, ...]``, without `all_outputs`), and the states behind the last step.

    Args:
        step: takes the inputs of a step, ``[batch, ...]``, and the states; returns its output
            and the new states.
        sequences: ``[batch, steps, ...]``.
        states: nested tensors ``[batch, ...]``.
        mask: bool ``[batch, steps]``; where it is False, a step repeats the output before it
            (zeros at first) and leaves the states as they were.
        go_backwards: whether the last step comes first, in the results too.
        unroll: whether to unroll however many steps there are.
        zero_output_for_mask: whether masked steps give zeros instead of the output before.
        all_outputs: whether every step's output is wanted.
    """
    if mask is not None:
        mask = hr.cast(mask, hr.bool)
        if len(mask.shape) == 3:
            mask = hr.squeeze(mask, -1)
    if go_backwards:
        sequences = hr.reverse(sequences, [1])
        mask = None if mask is None else hr.reverse(mask, [1])
    count = sequences.shape[1]
    if count == 0:
        raise ValueError(
            "A recurrent layer needs sequences of at least one step, got inputs of shape "
            f"{tuple(sequences.shape)}"
        )
    options = (zero_output_for_mask, all_outputs)
    if count is not None and (unroll or count <= _UNROLLED or hr.executing_eagerly()):
        return _unrolled(step, sequences, states, mask, *options)
    return _looped(step, sequences, states, mask, *options)


def _unrolled(
    step: Step, sequences: Any, states: Any, mask: Any, zero: bool, every: bool
) -> tuple[Any, Any, Any]:
    masks = None if mask is None else hr.unstack(mask, axis=1)
    outputs: list[Any] = []
    output = None
    for t, inputs in enumerate(hr.unstack(sequences, axis=1)):
        made, new_states = step(inputs, states)
        if masks is None:
            output, states = made, new_states
        else:
            other = hr.zeros_like(made) if zero or output is None else output
            output = _chosen(masks[t], made, other)
            states = _kept(masks[t], new_states, states)
        if every:
            outputs.append(output)
    return output, hr.stack(outputs if every else [output], axis=1), states


def _looped(
    step: Step, sequences: Any, states: Any, mask: Any, zero: bool, every: bool
) -> tuple[Any, Any, Any]:
    count = hr.shape(sequences)[1]
    inputs = hr.TensorArray(sequences.dtype, size=count).unstack(_time_first(sequences))
    masks = None
    if mask is not None:
        masks = hr.TensorArray(hr.bool, size=count).unstack(hr.transpose(mask, [1, 0]))
    # Its value is not used, only what it looks like.
    like, _ = step(sequences[:, 0], states)
    sizes = tuple(like.shape[1:])
    if None in sizes:
        first = hr.zeros_like(like)
    else:
        first = zeros(hr.shape(sequences)[0], sizes, like.dtype)
    flat, structure = nest.flatten_with_spec(states)
    results = hr.TensorArray(like.dtype, size=count if every else 0)

    def body(t: Any, output: Any, results: Any, *before: Any) -> Any:
        old = nest.pack_sequence_as(structure, list(before))
        made, new = step(inputs.read(t), old)
        if masks is not None:
            now = masks.read(t)
            made = _chosen(now, made, hr.zeros_like(made) if zero else output)
            new = _kept(now, new, old)
        if every:
            results = results.write(t, made)
        return (t + 1, made, results, *nest.flatten(new))

    _, output, results, *flat = hr.while_loop(
        lambda t, *rest: t < count, body, (hr.constant(0), first, results, *flat)
    )
    if every:
        outputs = _time_first(results.stack())
    else:
        outputs = hr.expand_dims(output, 1)
    return output, outputs, nest.pack_sequence_as(structure, flat)


def _time_first(x: Any) -> Any:
    """The first two axes swapped."""
    return hr.transpose(x, [1, 0, *range(2, len(x.shape))])


def _chosen(mask: Any, new: Any, old: Any) -> Any:
    """`new` in the rows where `mask`, ``[batch]``, holds, else `old`."""
    for _ in range(len(new.shape) - 1):
        mask = hr.expand_dims(mask, -1)
    return hr.where(mask, new, old)


def _kept(mask: Any, new: Any, old: Any) -> Any:
    flat, structure = nest.flatten_with_spec(old)
    pairs = zip(nest.flatten(new), flat, strict=True)
    return nest.pack_sequence_as(structure, [_chosen(mask, n, o) for n, o in pairs])
