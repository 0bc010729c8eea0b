"""extract_volume_patches, and required_space_to_batch_paddings."""

from __future__ import annotations

import math
from typing import Any

from . import batch_loop
from .array_basics import zeros_like
from .array_join import stack
from .array_module import array_module
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import FLOATS, INTEGERS
from .static_args import static_ints
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .windows import Windows, output_size

__all__ = ["extract_volume_patches", "required_space_to_batch_paddings"]

_OP = "ExtractVolumePatches"


def extract_volume_patches(
    input: Any, ksizes: Any, strides: Any, padding: str, name: str | None = None
) -> Tensor:
    """All patches of volumes, flattened: [batch, planes, rows, columns, elements of a patch].

    Args:
        input: [batch, planes, rows, columns, channels].
        ksizes: [1, planes, rows, columns, 1] of a patch.
        strides: [1, planes, rows, columns, 1] between patches.
        padding: ``"VALID"`` or ``"SAME"`` (with zeros).
        name: ignored.
    """
    return ExtractVolumePatches(
        input,
        ksizes=static_ints(ksizes, _OP, "ksizes"),
        strides=static_ints(strides, _OP, "strides"),
        padding=padding,
    )


def _windows(shape: Any, ksizes: Any, strides: Any, padding: str) -> Windows:
    ones = (1, 1, 1)
    return Windows(tuple(shape[1:4]), ksizes[1:4], strides[1:4], ones, padding, op=_OP)


def _impl(x: Any, **attrs: Any) -> Any:
    at = _windows(x.shape, **attrs)
    return at.view(at.pad(x)).reshape((x.shape[0], *at.out, -1))


def _shape(x: Any, *, ksizes: Any, strides: Any, padding: str) -> TensorSpec:
    if x.shape.rank not in (5, None):
        raise InvalidArgumentError(f"input must be 5-dimensional{x.shape} [Op:{_OP}]", op=_OP)
    for what, v in (("ksizes", ksizes), ("strides", strides)):
        if len(v) != 5 or v[0] != 1 or v[4] != 1 or min(v) < 1:
            raise InvalidArgumentError(
                f"{what} must be [1, planes, rows, columns, 1] of positive numbers, got "
                f"{list(v)} [Op:{_OP}]",
                op=_OP,
            )
    if x.shape.rank is None:
        return TensorSpec([None] * 5, x.dtype)
    space = [
        output_size(n, k, s, padding, 0, _OP)
        for n, k, s in zip(x.shape.dims[1:4], ksizes[1:4], strides[1:4], strict=True)
    ]
    c = x.shape[4]
    depth = None if c is None else c * math.prod(ksizes)
    return TensorSpec([x.shape[0], *space, depth], x.dtype)


ExtractVolumePatches = Primitive(
    _OP,
    "input: T",
    impl=_impl,
    shape=_shape,
    vjp=lambda op, g: (_PatchesGrad(op.inputs[0], g, **op.attrs),),
    batch=batch_loop.folded(0),
    types={"T": FLOATS + INTEGERS},
    check_first=True,
)


def _grad_impl(x: Any, g: Any, **attrs: Any) -> Any:
    at = _windows(x.shape, **attrs)
    out = array_module(x).zeros(at.padded_shape(x.shape), g.dtype)
    g = g.reshape((*g.shape[:4], *at.kernel, x.shape[4]))
    for (i, j, k), where in at.taps():
        out[where] += g[:, :, :, :, i, j, k]
    return out[at.inside()] if at.padded else out


_PatchesGrad = Primitive(
    "_ExtractVolumePatchesGrad",
    "input: T, grad: T",
    impl=_grad_impl,
    shape=lambda x, g, **_: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (None, ExtractVolumePatches(gg, **op.attrs)),
    batch=batch_loop.folded(0, 1),
)


# -- space_to_batch ---------------------------------------------------------------------------


def required_space_to_batch_paddings(
    input_shape: Any, block_shape: Any, base_paddings: Any = None, name: str | None = None
) -> tuple[Tensor, Tensor]:
    """Paddings for `space_to_batch`, so that the sizes are multiples of the blocks', and the
    crops that undo what was added.

    Args:
        input_shape: int32 [n].
        block_shape: int32 [n].
        base_paddings: int32 [n, 2], least paddings; by default zeros.

    Returns:
        paddings and crops, each int32 [n, 2].
    """
    sizes, blocks = to_tensor(input_shape, None), to_tensor(block_shape, None)
    zero = zeros_like(sizes)
    if base_paddings is None:
        start = end = zero
    else:
        base = to_tensor(base_paddings, sizes.dtype)
        start, end = base[:, 0], base[:, 1]
    extra = (blocks - (sizes + start + end) % blocks) % blocks
    return stack([start, end + extra], axis=1), stack([zero, extra], axis=1)
