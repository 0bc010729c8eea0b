"""Operations that move elements between space axes and the batch or the channels:
space_to_depth, space_to_batch, their reverses, and patches of images.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from . import batch_loop
from .array_module import array_module
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .shape_rules import BOOL, NUMERIC
from .static_args import static_ints
from .tensor import Tensor
from .tensor_spec import TensorSpec
from .windows import Windows, channels_first, output_size, space_of

__all__ = [
    "batch_to_space", "depth_to_space", "extract_patches", "space_to_batch",
    "space_to_batch_nd", "space_to_depth",
]  # fmt: skip

_ANY = NUMERIC + BOOL


# -- blocks of space as channels --------------------------------------------------------------


def space_to_depth(
    input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None
) -> Tensor:
    """Blocks of `block_size` x `block_size` pixels as channels: [batch, height / block, width /
    block, block * block * channels].

    Raises:
        InvalidArgumentError: height or width is no multiple of the block.
    """
    return SpaceToDepth(input, block_size=int(block_size), data_format=data_format)


def depth_to_space(
    input: Any, block_size: int, data_format: str = "NHWC", name: str | None = None
) -> Tensor:
    """The reverse of `space_to_depth`."""
    return DepthToSpace(input, block_size=int(block_size), data_format=data_format)


def _to_depth_impl(x: Any, *, block_size: int, data_format: str) -> Any:
    b = block_size
    if channels_first(data_format):
        n, c, h, w = x.shape
        parts = x.reshape((n, c, h // b, b, w // b, b)).transpose(0, 3, 5, 1, 2, 4)
        return parts.reshape((n, b * b * c, h // b, w // b))
    n, h, w, c = x.shape
    parts = x.reshape((n, h // b, b, w // b, b, c)).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape((n, h // b, w // b, b * b * c))


def _to_space_impl(x: Any, *, block_size: int, data_format: str) -> Any:
    b = block_size
    if channels_first(data_format):
        n, c, h, w = x.shape
        parts = x.reshape((n, b, b, c // (b * b), h, w)).transpose(0, 3, 4, 1, 5, 2)
        return parts.reshape((n, c // (b * b), h * b, w * b))
    n, h, w, c = x.shape
    parts = x.reshape((n, h, w, b, b, c // (b * b))).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape((n, h * b, w * b, c // (b * b)))


def _depth_shape(name: str, to_depth: bool) -> Any:
    def rule(x: Any, *, block_size: int, data_format: str) -> TensorSpec:
        if block_size < 2:
            raise InvalidArgumentError(
                f"Block size should be > 1, but was: {block_size} [Op:{name}]", op=name
            )
        if x.shape.rank not in (4, None):
            raise InvalidArgumentError(
                f"Input rank should be 4, got shape {x.shape} [Op:{name}]", op=name
            )
        if x.shape.rank is None:
            return TensorSpec([None] * 4, x.dtype)
        first = channels_first(data_format)
        n = x.shape[0]
        c = x.shape[1 if first else 3]
        space = space_of(x.shape.dims, data_format)
        b = block_size
        if to_depth:
            for d in space:
                if d is not None and d % b:
                    raise InvalidArgumentError(
                        f"Image width {space[1]} and height {space[0]} should be divisible by "
                        f"block_size: {b} [Op:{name}]",
                        op=name,
                    )
            space = tuple(None if d is None else d // b for d in space)
            c = None if c is None else c * b * b
        else:
            if c is not None and c % (b * b):
                raise InvalidArgumentError(
                    f"Input depth dimension {c} should be divisible by: {b * b} [Op:{name}]",
                    op=name,
                )
            space = tuple(None if d is None else d * b for d in space)
            c = None if c is None else c // (b * b)
        return TensorSpec([n, c, *space] if first else [n, *space, c], x.dtype)

    return rule


SpaceToDepth = Primitive(
    "SpaceToDepth",
    "input: T",
    impl=_to_depth_impl,
    shape=_depth_shape("SpaceToDepth", True),
    vjp=lambda op, g: (DepthToSpace(g, **op.attrs),),
    batch=batch_loop.folded(0),
    check_first=True,
    defaults={"data_format": "NHWC"},
)
DepthToSpace = Primitive(
    "DepthToSpace",
    "input: T",
    impl=_to_space_impl,
    shape=_depth_shape("DepthToSpace", False),
    vjp=lambda op, g: (SpaceToDepth(g, **op.attrs),),
    batch=batch_loop.folded(0),
    check_first=True,
    defaults={"data_format": "NHWC"},
)


# -- blocks of space as batch -----------------------------------------------------------------


def space_to_batch(
    input: Any, block_shape: Any, paddings: Any, name: str | None = None
) -> Tensor:
    """Space axes, padded with zeros, cut so that the elements at each place of a block are a
    batch of their own: [batch * prod(block_shape), *space / block_shape, ...].

    Args:
        input: [batch, *space, ...].
        block_shape: a size per space axis, or one number for two axes.
        paddings: [axes, 2], before and after each axis.
        name: ignored.

    Raises:
        InvalidArgumentError: a padded axis is no multiple of its block.
    """
    sizes, pads = _blocks(block_shape, paddings, "SpaceToBatchND", "paddings")
    return _SpaceToBatch(input, block_shape=sizes, paddings=pads)


space_to_batch_nd = space_to_batch


def batch_to_space(input: Any, block_shape: Any, crops: Any, name: str | None = None) -> Tensor:
    """The reverse of `space_to_batch`; `crops` is what its paddings were."""
    sizes, cuts = _blocks(block_shape, crops, "BatchToSpaceND", "crops")
    return _BatchToSpace(input, block_shape=sizes, crops=cuts)


def _blocks(block_shape: Any, pairs: Any, op: str, what: str) -> tuple[Any, Any]:
    if isinstance(block_shape, int):
        block_shape = [block_shape, block_shape]
    sizes = static_ints(block_shape, op, "block_shape")
    flat = np.asarray(pairs.numpy() if isinstance(pairs, Tensor) else pairs, np.int64)
    found = tuple((int(a), int(b)) for a, b in flat.reshape(-1, 2))
    if len(found) != len(sizes):
        raise InvalidArgumentError(
            f"{what} should have shape [{len(sizes)}, 2] instead of {list(flat.shape)} "
            f"[Op:{op}]",
            op=op,
        )
    if any(b < 1 for b in sizes):
        raise InvalidArgumentError(
            f"All values in block_shape must be positive, got {list(sizes)} [Op:{op}]", op=op
        )
    return sizes, found


def _to_batch_impl(x: Any, *, block_shape: Any, paddings: Any) -> Any:
    m = len(block_shape)
    xp = array_module(x)
    rest = x.shape[m + 1 :]
    x = xp.pad(x, [(0, 0), *paddings] + [(0, 0)] * len(rest))
    cut = [d for n, b in zip(x.shape[1 : m + 1], block_shape, strict=True) for d in (n // b, b)]
    parts = x.reshape((x.shape[0], *cut, *rest))
    order = (*range(2, 2 * m + 1, 2), 0, *range(1, 2 * m + 1, 2))
    parts = parts.transpose(*order, *range(2 * m + 1, parts.ndim))
    return parts.reshape((x.shape[0] * math.prod(block_shape), *cut[::2], *rest))


def _to_batch_shape(x: Any, *, block_shape: Any, paddings: Any) -> TensorSpec:
    m = len(block_shape)
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    if x.shape.rank < m + 1:
        raise InvalidArgumentError(
            f"input rank should be >= {m + 1} instead of {x.shape.rank} [Op:SpaceToBatchND]",
            op="SpaceToBatchND",
        )
    batch = None if x.shape[0] is None else x.shape[0] * math.prod(block_shape)
    space: list[int | None] = []
    for n, b, (low, high) in zip(x.shape.dims[1 : m + 1], block_shape, paddings, strict=True):
        if n is not None and (n + low + high) % b:
            raise InvalidArgumentError(
                f"padded_shape={n + low + high} is not divisible by block_shape={b} "
                "[Op:SpaceToBatchND]",
                op="SpaceToBatchND",
            )
        space.append(None if n is None else (n + low + high) // b)
    return TensorSpec([batch, *space, *x.shape.dims[m + 1 :]], x.dtype)


def _from_batch_impl(x: Any, *, block_shape: Any, crops: Any) -> Any:
    m = len(block_shape)
    blocks = math.prod(block_shape)
    space, rest = x.shape[1 : m + 1], x.shape[m + 1 :]
    n = x.shape[0] // blocks
    parts = x.reshape((*block_shape, n, *space, *rest))
    order = [m]
    for i in range(m):
        order += [m + 1 + i, i]
    parts = parts.transpose(*order, *range(2 * m + 1, parts.ndim))
    full = [s * b for s, b in zip(space, block_shape, strict=True)]
    parts = parts.reshape((n, *full, *rest))
    cut = tuple(slice(a, f - b) for f, (a, b) in zip(full, crops, strict=True))
    return array_module(x).ascontiguousarray(parts[(slice(None), *cut)])


def _from_batch_shape(x: Any, *, block_shape: Any, crops: Any) -> TensorSpec:
    m = len(block_shape)
    if x.shape.rank is None:
        return TensorSpec(None, x.dtype)
    blocks = math.prod(block_shape)
    op = "BatchToSpaceND"
    if x.shape.rank < m + 1:
        raise InvalidArgumentError(
            f"input rank should be >= {m + 1} instead of {x.shape.rank} [Op:{op}]", op=op
        )
    if x.shape[0] is not None and x.shape[0] % blocks:
        raise InvalidArgumentError(
            f"Input batch dimension ({x.shape[0]}) is not divisible by product of block sizes "
            f"({blocks}) [Op:{op}]",
            op=op,
        )
    space: list[int | None] = []
    for n, b, (low, high) in zip(x.shape.dims[1 : m + 1], block_shape, crops, strict=True):
        if n is not None and n * b < low + high:
            raise InvalidArgumentError(
                f"cropped_shape={n * b - low - high} must be non-negative [Op:{op}]", op=op
            )
        space.append(None if n is None else n * b - low - high)
    batch = None if x.shape[0] is None else x.shape[0] // blocks
    return TensorSpec([batch, *space, *x.shape.dims[m + 1 :]], x.dtype)


_SpaceToBatch = Primitive(
    "_SpaceToBatchStatic",
    "input: T",
    impl=_to_batch_impl,
    shape=_to_batch_shape,
    vjp=lambda op, g: (
        _BatchToSpace(g, block_shape=op.attrs["block_shape"], crops=op.attrs["paddings"]),
    ),
    batch=batch_loop.looped,
    types={"T": _ANY},
    check_first=True,
)
_BatchToSpace = Primitive(
    "_BatchToSpaceStatic",
    "input: T",
    impl=_from_batch_impl,
    shape=_from_batch_shape,
    vjp=lambda op, g: (
        _SpaceToBatch(g, block_shape=op.attrs["block_shape"], paddings=op.attrs["crops"]),
    ),
    batch=batch_loop.looped,
    types={"T": _ANY},
    check_first=True,
)


# -- patches ----------------------------------------------------------------------------------


def extract_patches(
    images: Any, sizes: Any, strides: Any, rates: Any, padding: str, name: str | None = None
) -> Tensor:
    """All patches of images, flattened: [batch, rows, columns, height * width * channels].

    Args:
        images: [batch, height, width, channels].
        sizes: [1, height, width, 1] of a patch.
        strides: [1, rows, columns, 1] between patches.
        rates: [1, rows, columns, 1] between a patch's elements.
        padding: ``"VALID"`` or ``"SAME"`` (with zeros).
        name: ignored.
    """
    return ExtractImagePatches(
        to_tensor(images, None),
        ksizes=static_ints(sizes, "ExtractImagePatches", "sizes"),
        strides=static_ints(strides, "ExtractImagePatches", "strides"),
        rates=static_ints(rates, "ExtractImagePatches", "rates"),
        padding=padding,
    )


def _patch_windows(shape: Any, attrs: dict[str, Any]) -> Windows:
    return Windows(
        shape[1:3],
        attrs["ksizes"][1:3],
        attrs["strides"][1:3],
        attrs["rates"][1:3],
        attrs["padding"],
        op="ExtractImagePatches",
    )


def _patches_impl(x: Any, **attrs: Any) -> Any:
    at = _patch_windows(x.shape, attrs)
    return at.view(at.pad(x)).reshape((x.shape[0], *at.out, -1))


def _patches_shape(x: Any, **attrs: Any) -> TensorSpec:
    op = "ExtractImagePatches"
    if x.shape.rank not in (4, None):
        raise InvalidArgumentError(f"input must be 4-dimensional{x.shape} [Op:{op}]", op=op)
    for what in ("ksizes", "strides", "rates"):
        v = attrs[what]
        if len(v) != 4 or v[0] != 1 or v[3] != 1 or min(v) < 1:
            raise InvalidArgumentError(
                f"{what} must be [1, rows, columns, 1] of positive numbers, got {list(v)} "
                f"[Op:{op}]",
                op=op,
            )
    if x.shape.rank is None:
        return TensorSpec([None] * 4, x.dtype)
    space = [
        output_size(n, (k - 1) * r + 1, s, attrs["padding"], 0, op)
        for n, k, s, r in zip(
            x.shape.dims[1:3],
            attrs["ksizes"][1:3],
            attrs["strides"][1:3],
            attrs["rates"][1:3],
            strict=True,
        )
    ]
    c = x.shape[3]
    depth = None if c is None else c * math.prod(attrs["ksizes"])
    return TensorSpec([x.shape[0], *space, depth], x.dtype)


ExtractImagePatches = Primitive(
    "ExtractImagePatches",
    "images: T",
    impl=_patches_impl,
    shape=_patches_shape,
    vjp=lambda op, g: (_PatchesGrad(op.inputs[0], g, **op.attrs),),
    batch=batch_loop.folded(0),
    types={"T": _ANY},
    check_first=True,
)


def _patches_grad_impl(x: Any, g: Any, **attrs: Any) -> Any:
    at = _patch_windows(x.shape, attrs)
    out = array_module(x).zeros(at.padded_shape(x.shape), g.dtype)
    g = g.reshape((*g.shape[:3], *at.kernel, x.shape[3]))
    for (i, j), where in at.taps():
        out[where] += g[:, :, :, i, j]
    return out[at.inside()] if at.padded else out


_PatchesGrad = Primitive(
    "_ExtractImagePatchesGrad",
    "images: T, grad: T",
    impl=_patches_grad_impl,
    shape=lambda x, g, **_: TensorSpec(x.shape, g.dtype),
    vjp=lambda op, gg: (None, ExtractImagePatches(gg, **op.attrs)),
    batch=batch_loop.folded(0, 1),
)
