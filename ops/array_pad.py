"""pad: a border of constants or mirrored elements around a tensor."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import batch_rules
from .array_basics import UnbatchableShape
from .array_module import array_module, brought
from .atomic_updates import update_at
from .convert import to_tensor
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .primitive import Primitive
from .static_args import shape_input
from .string_array import StringArray
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = ["pad"]


def pad(
    tensor: Any,
    paddings: Any,
    mode: str = "CONSTANT",
    constant_values: Any = 0,
    name: str | None = None,
) -> Tensor:
    """`tensor` with ``paddings[i] = [before, after]`` elements added along axis i.

    Args:
        tensor: tensor.
        paddings: integers [rank, 2].
        mode: ``"CONSTANT"``; ``"REFLECT"`` mirrors without repeating the edge,
            ``"SYMMETRIC"`` with it.
        constant_values: scalar that fills a constant border.
        name: ignored.

    Raises:
        ValueError: unknown `mode`.
        InvalidArgumentError: `paddings` does not fit.
    """
    kind = mode.upper()
    if kind == "CONSTANT":
        if type(constant_values) is int and constant_values == 0:
            constant_values = _zero_of(tensor)
        return PadV2(tensor, shape_input(paddings), constant_values, batch_dims=0)
    if kind not in ("REFLECT", "SYMMETRIC"):
        raise ValueError(f"Unknown padding mode: {mode}; choose CONSTANT, REFLECT or SYMMETRIC")
    return MirrorPad(tensor, shape_input(paddings), mode=kind, batch_dims=0)


def _zero_of(tensor: Any) -> Any:
    dtype = getattr(tensor, "dtype", None)
    if isinstance(tensor, Tensor):
        return "" if dtype.name == "string" else Tensor.of(np.zeros((), dtype.np_dtype))
    if isinstance(dtype, np.dtype) and dtype.kind in "biufc":
        return np.zeros((), dtype)
    return _zero_of(to_tensor(tensor, None))


def _check_paddings(x: Any, paddings: Any, batch_dims: int, op: str) -> Any:
    """The paddings as a nested list if they are known; raises if they do not fit `x`."""
    known = constant_value(paddings) if isinstance(paddings, Tensor) else paddings
    if known is None:
        return None
    rank = None if x.shape.rank is None else x.shape.rank - batch_dims
    if known.ndim != 2 or known.shape[1] != 2:
        if known.size == 0 and rank == 0:
            return []
        raise InvalidArgumentError(
            f"paddings must be a matrix with 2 columns: {list(known.shape)} [Op:{op}]", op=op
        )
    if rank is not None and known.shape[0] != rank:
        raise InvalidArgumentError(
            "The first dimension of paddings must be the rank of inputs: "
            f"[{known.shape[0]},2], "
            f"{x.shape} [Op:{op}]",
            op=op,
        )
    pairs = known.tolist()
    if any(n < 0 for pair in pairs for n in pair):
        raise InvalidArgumentError(f"Paddings must be non-negative: {pairs} [Op:{op}]", op=op)
    return pairs


def _padded(x: Any, paddings: Any, batch_dims: int, op: str) -> TensorSpec:
    pairs = _check_paddings(x, paddings, batch_dims, op)
    dims = x.shape.dims
    if pairs is None:
        own = (
            None if dims is None else (*dims[:batch_dims], *(None,) * (len(dims) - batch_dims))
        )
        return TensorSpec(own, x.dtype)
    if dims is None:
        return TensorSpec([None] * (batch_dims + len(pairs)), x.dtype)
    own = tuple(
        None if d is None else d + a + b
        for d, (a, b) in zip(dims[batch_dims:], pairs, strict=True)
    )
    return TensorSpec((*dims[:batch_dims], *own), x.dtype)


# -- constant ---------------------------------------------------------------------------------


def _inner(dims: tuple[int, ...], pairs: Any, batch_dims: int) -> tuple[slice, ...]:
    return (
        *(slice(None),) * batch_dims,
        *(slice(a, a + d) for d, (a, _) in zip(dims[batch_dims:], pairs, strict=True)),
    )


def _pad_impl(x: Any, paddings: Any, value: Any, *, batch_dims: int = 0) -> Any:
    pairs = paddings.tolist()
    if (
        len(pairs) != len(x.shape) - batch_dims
        or any(n < 0 for pair in pairs for n in pair)
        or value.ndim
    ):
        raise ValueError(f"Pad: wrong paddings {pairs} for an input of shape {x.shape}")
    dims = (
        *x.shape[:batch_dims],
        *(d + a + b for d, (a, b) in zip(x.shape[batch_dims:], pairs, strict=True)),
    )
    key = _inner(x.shape, pairs, batch_dims)
    if isinstance(x, StringArray):
        data = np.concatenate([x.data, value.data])
        starts = np.full(dims, value.starts.item() + x.data.size)
        ends = np.full(dims, value.ends.item() + x.data.size)
        starts[key], ends[key] = x.starts, x.ends
        return StringArray(data, starts, ends)
    out = array_module(x).full(dims, value, x.dtype)
    out[key] = x
    return out


def _pad_shape(x: Any, paddings: Any, value: Any, *, batch_dims: int = 0) -> TensorSpec:
    if value.shape.rank not in (0, None):
        raise InvalidArgumentError(
            f"constant_values must be a scalar, got shape {value.shape} [Op:PadV2]", op="PadV2"
        )
    return _padded(x, paddings, batch_dims, "PadV2")


def _pad_vjp(op: Any, g: Any) -> Any:
    x, paddings, _ = op.inputs
    return _Unpad(g, x, paddings, **op.attrs), None, None


def _pad_batch(ctx: Any, x: Any, paddings: Any, value: Any, *, batch_dims: int = 0) -> Any:
    if ctx.batched[1] or ctx.batched[2]:
        raise UnbatchableShape("PadV2")
    return PadV2(x, paddings, value, batch_dims=batch_dims + 1)


PadV2 = Primitive(
    "PadV2",
    "input: T, paddings: Tpaddings, constant_values: T",
    impl=_pad_impl,
    shape=_pad_shape,
    vjp=_pad_vjp,
    batch=_pad_batch,
)


def _unpad_impl(g: Any, x: Any, paddings: Any, *, batch_dims: int = 0) -> Any:
    return g[_inner(x.shape, paddings.tolist(), batch_dims)]


def _unpad_vjp(op: Any, gg: Any) -> Any:
    zero = Tensor.of(np.zeros((), gg.dtype.np_dtype))
    return PadV2(gg, op.inputs[2], zero, **op.attrs), None, None


def _unpad_batch(ctx: Any, g: Any, x: Any, paddings: Any, **attrs: Any) -> Any:
    if ctx.batched[2]:
        raise UnbatchableShape(ctx.primitive.name)
    ctx.batched = ctx.batched[:2]
    g, x = batch_rules.all_batched(ctx, (g, x))
    return ctx.primitive(
        g, x, paddings, **{**attrs, "batch_dims": attrs.get("batch_dims", 0) + 1}
    )


_Unpad = Primitive(
    "_Unpad", "g: T, input: T, paddings: Tpaddings", impl=_unpad_impl,
    shape=lambda g, x, paddings, *, batch_dims=0: TensorSpec(x.shape, g.dtype), vjp=_unpad_vjp,
    batch=_unpad_batch,
)  # fmt: skip


# -- mirrored ---------------------------------------------------------------------------------


def _sources(n: int, before: int, after: int, mode: str) -> np.ndarray:
    """For each place of a padded axis, the place of the axis it shows."""
    edge = 1 if mode == "REFLECT" else 0
    inner = np.arange(n)
    left = inner[edge : before + edge][::-1]
    right = inner[::-1][edge : after + edge]
    return np.concatenate([left, inner, right])


def _mirror_impl(x: Any, paddings: Any, *, mode: str, batch_dims: int = 0) -> Any:
    pairs = paddings.tolist()
    edge = 1 if mode == "REFLECT" else 0
    own = x.shape[batch_dims:]
    if len(pairs) != len(own):
        raise ValueError(f"MirrorPad: wrong paddings {pairs} for an input of shape {x.shape}")
    out = x
    for i, (n, (a, b)) in enumerate(zip(own, pairs, strict=True)):
        if a < 0 or max(a, b) > n - edge:
            raise InvalidArgumentError(
                "paddings must be no greater than "
                f"{'the dimension size' if not edge else 'one less than the size'}"
                f": {a}, {b} greater than {n - edge} [Op:MirrorPad]",
                op="MirrorPad",
            )
        if a or b:
            at, axis = array_module(x).asarray(_sources(n, a, b, mode)), i + batch_dims
            if isinstance(out, StringArray):
                out = out.map_offsets(lambda o, at=at, axis=axis: o.take(at, axis))
            else:
                out = out.take(at, axis)
    return out


MirrorPad = Primitive(
    "MirrorPad",
    "input: T, paddings: Tpaddings",
    impl=_mirror_impl,
    shape=lambda x, paddings, *, mode, batch_dims=0: _padded(
        x, paddings, batch_dims, "MirrorPad"
    ),
    vjp=lambda op, g: (MirrorPadGrad(g, *op.inputs, **op.attrs), None),
    batch=lambda ctx, x, paddings, *, mode, batch_dims=0: _mirror_batch(
        ctx, x, paddings, mode, batch_dims
    ),
)


def _mirror_batch(ctx: Any, x: Any, paddings: Any, mode: str, batch_dims: int) -> Any:
    if ctx.batched[1]:
        raise UnbatchableShape("MirrorPad")
    return MirrorPad(x, paddings, mode=mode, batch_dims=batch_dims + 1)


def _mirror_grad_impl(g: Any, x: Any, paddings: Any, *, mode: str, batch_dims: int = 0) -> Any:
    for i, (a, b) in enumerate(paddings.tolist()):
        if not (a or b):
            continue
        axis = i + batch_dims
        n = x.shape[axis]
        xp = array_module(g)
        rows = xp.moveaxis(g, axis, 0)
        out = xp.zeros((n, *rows.shape[1:]), g.dtype)
        update_at("add", out, brought(_sources(n, a, b, mode), g), rows)
        g = xp.moveaxis(out, 0, axis)
    return g


MirrorPadGrad = Primitive(
    "MirrorPadGrad",
    "g: T, input: T, paddings: Tpaddings",
    impl=_mirror_grad_impl,
    shape=lambda g, x, paddings, *, mode, batch_dims=0: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (MirrorPad(gg, op.inputs[2], **op.attrs), None, None),
    batch=_unpad_batch,
)
