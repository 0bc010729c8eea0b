"""Signals cut into overlapping frames, and frames added up to a signal."""

from __future__ import annotations

from typing import Any

from . import batch_rules
from .array_module import array_module
from .array_shape import transpose
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .static_args import static_int
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["frame", "overlap_and_add"]


def positive_int(value: Any, op: str, what: str) -> int:
    """`value` as a Python int above 0.

    Raises:
        ValueError: it is not above 0.
        UntraceableError: it is computed by the function being traced.
    """
    found = static_int(value, op, what)
    if found <= 0:
        raise ValueError(f"{op}: {what} must be positive, got {found}")
    return found


def frame(
    signal: Any,
    frame_length: Any,
    frame_step: Any,
    pad_end: bool = False,
    pad_value: Any = 0,
    axis: int = -1,
    name: str | None = None,
) -> Tensor:
    """Overlapping frames of `signal`: [..., samples, ...] to [..., frames, length, ...].

    Args:
        signal: at least one axis.
        frame_length, frame_step: samples of a frame, and from one frame's start to the next's;
            known while tracing.
        pad_end: frames that reach over the end are filled up with `pad_value`; otherwise the
            samples that fill no frame are left out.
        axis: the samples' axis.

    Raises:
        ValueError: a length is not above 0, or `signal` is a number.

    >>> frame([1, 2, 3, 4, 5], 3, 2).numpy()
    array([[1, 2, 3],
           [3, 4, 5]], dtype=int32)
    """
    x = to_tensor(signal, None)
    length = positive_int(frame_length, "frame", "frame_length")
    step = positive_int(frame_step, "frame", "frame_step")
    rank = x.shape.rank
    if rank == 0:
        raise ValueError("Shape () must have rank at least 1")
    at = static_int(axis, "frame", "axis")
    pad = to_tensor(pad_value, x.dtype)
    last = rank is None or at in (-1, rank - 1)
    if not last:
        assert rank is not None
        if not -rank <= at < rank:
            raise ValueError(f"frame: axis must be in [{-rank}, {rank}), got {at}")
        at %= rank
        x = transpose(x, [*(i for i in range(rank) if i != at), at])
    out = _Frame(x, pad, length=length, step=step, pad_end=bool(pad_end))
    if last:
        return out
    assert rank is not None
    return transpose(out, [*range(at), rank - 1, rank, *range(at, rank - 1)])


def _count(n: int, length: int, step: int, pad_end: bool) -> int:
    return -(-n // step) if pad_end else max(0, 1 + (n - length) // step)


def _cut(x: Any, frames: int, length: int, step: int) -> Any:
    """`frames` frames of an array that is long enough, copied."""
    if not frames:
        return array_module(x).empty((*x.shape[:-1], 0, length), x.dtype)
    windows = array_module(x).lib.stride_tricks.sliding_window_view(x, length, axis=-1)
    return windows[..., : (frames - 1) * step + 1 : step, :].copy()


def _frame_impl(x: Any, pad: Any, *, length: int, step: int, pad_end: bool) -> Any:
    n = x.shape[-1]
    frames = _count(n, length, step, pad_end)
    short = length + step * (frames - 1) - n
    if frames and short > 0:
        xp = array_module(x)
        x = xp.concatenate([x, xp.full((*x.shape[:-1], short), pad, x.dtype)], -1)
    return _cut(x, frames, length, step)


def _frame_shape(x: Any, pad: Any, *, length: int, step: int, pad_end: bool) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    n = x.shape[-1]
    frames = None if n is None else _count(n, length, step, pad_end)
    return TensorSpec(x.shape[:-1].concatenate([frames, length]), x.dtype)


def _frame_batch(ctx: Any, x: Any, pad: Any, **attrs: Any) -> Any:
    if ctx.batched[1]:
        raise InvalidArgumentError("frame: pad_value must not vary from element to element")
    return ctx.primitive.call_flat((x, pad), attrs)


_Frame = Primitive(
    "_Frame",
    "x: T, pad: T",
    impl=_frame_impl,
    shape=_frame_shape,
    vjp=lambda op, g: (_Unframe(g, op.inputs[0], **op.attrs), None),
    batch=_frame_batch,
)


def _added(frames: Any, step: int) -> Any:
    """The overlapping sum of frames [..., frames, length]."""
    xp = array_module(frames)
    count, length = frames.shape[-2:]
    parts = -(-length // step)
    total = max(0, length + step * (count - 1))
    if not count:
        return xp.zeros((*frames.shape[:-2], total), frames.dtype)
    # Steps of the result are rows; part p of all frames is added p rows further down at once.
    rows = xp.zeros((*frames.shape[:-2], count + parts - 1, step), frames.dtype)
    for p in range(parts):
        part = frames[..., p * step : (p + 1) * step]
        rows[..., p : p + count, : part.shape[-1]] += part
    return rows.reshape((*frames.shape[:-2], -1))[..., :total].copy()


def _unframe_impl(g: Any, like: Any, *, length: int, step: int, pad_end: bool) -> Any:
    total = _added(g, step)
    out = array_module(g).zeros(like.shape, g.dtype)
    n = min(total.shape[-1], like.shape[-1])
    out[..., :n] = total[..., :n]
    return out


def _both(ctx: Any, *xs: Any, **attrs: Any) -> Any:
    return ctx.primitive.call_flat(batch_rules.all_batched(ctx, xs), attrs)


_Unframe = Primitive(
    "_Unframe",
    "g: T, like: L",
    impl=_unframe_impl,
    shape=lambda g, like, **_: TensorSpec(like.shape, g.dtype),
    vjp=lambda op, g: (_Frame(g, to_tensor(0, g.dtype), **op.attrs), None),
    batch=_both,
)


def overlap_and_add(signal: Any, frame_step: Any, name: str | None = None) -> Tensor:
    """The sum of overlapping frames: [..., frames, length] to [..., samples], with
    ``(frames - 1) * frame_step + length`` samples.

    Args:
        signal: at least two axes.
        frame_step: samples from one frame's start to the next's; known while tracing.

    Raises:
        ValueError: fewer axes, or `frame_step` is not above 0.
    """
    x = to_tensor(signal, None)
    if x.shape.rank is not None and x.shape.rank < 2:
        raise ValueError(f"Shape {x.shape} must have rank at least 2")
    return _OverlapAdd(x, step=positive_int(frame_step, "overlap_and_add", "frame_step"))


def _add_shape(x: Any, *, step: int) -> TensorSpec:
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    count, length = x.shape.dims[-2:]
    total = None if count is None or length is None else max(0, length + step * (count - 1))
    return TensorSpec(x.shape[:-2].concatenate([total]), x.dtype)


_OverlapAdd = Primitive(
    "_OverlapAdd",
    "x: T",
    impl=lambda x, *, step: _added(x, step),
    shape=_add_shape,
    vjp=lambda op, g: (_FrameLike(g, op.inputs[0], **op.attrs),),
    batch=batch_rules.unary,
)


# A signal in frames as many and as long as those of `like`.
_FrameLike = Primitive(
    "_FrameLike",
    "g: T, like: L",
    impl=lambda g, like, *, step: _cut(g, *like.shape[-2:], step),
    shape=lambda g, like, *, step: TensorSpec(like.shape, g.dtype),
    vjp=lambda op, g: (_OverlapAdd(g, **op.attrs), None),
    batch=_both,
)
