"""with_space_to_batch: an operation on spread-out elements by cutting space into phases."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .convert import to_tensor
from .space_ops import batch_to_space, space_to_batch
from .static_args import static_ints
from .tensor import Tensor

__all__ = ["with_space_to_batch"]


def with_space_to_batch(
    input: Any,
    dilation_rate: Any,
    padding: str,
    op: Callable[..., Any],
    filter_shape: Any = None,
    spatial_dims: Any = None,
    data_format: str | None = None,
) -> Tensor:
    """`op`, an operation over windows, dilated by `dilation_rate`.

    Args:
        input: [batch, *space, ...], of known space.
        dilation_rate: an integer per space axis.
        padding: ``"SAME"`` or ``"VALID"``.
        op: called as ``op(input, num_spatial_dims, padding)``.
        filter_shape: sizes of the window, needed for ``"SAME"``.
        spatial_dims: the space axes, from 1; the first ones by default.
        data_format: ``"N...C"`` or ``"NC..."``, which moves the default axes.

    Raises:
        ValueError: rates are not positive, axes are repeated, or a size is unknown.
    """
    x = to_tensor(input, None)
    rates = static_ints(dilation_rate, "with_space_to_batch", "dilation_rate")
    if not rates or min(rates) < 1:
        raise ValueError(f"dilation_rate must be positive, got {list(rates)}")
    first = 2 if data_format is not None and data_format.startswith("NC") else 1
    if spatial_dims is None:
        axes = list(range(first, first + len(rates)))
    else:
        axes = [int(a) for a in spatial_dims]
    if len(axes) != len(rates) or sorted(set(axes)) != axes or min(axes) < 1:
        raise ValueError(
            f"spatial_dims must be increasing positive axes, one per rate, got {axes} for "
            f"rates {list(rates)}"
        )
    count = max(axes)
    if all(r == 1 for r in rates):
        return op(x, len(rates), padding)
    padding = padding.upper()
    if padding not in ("SAME", "VALID"):
        raise ValueError(f"padding must be 'SAME' or 'VALID', got {padding!r}")
    sizes = [x.shape[a] for a in axes]
    if None in sizes:
        raise ValueError(f"with_space_to_batch needs known sizes along {axes}, got {x.shape}")
    low = [0] * len(rates)
    high = [0] * len(rates)
    if padding == "SAME":
        if filter_shape is None:
            raise ValueError("filter_shape must be given for padding 'SAME'")
        extents = static_ints(filter_shape, "with_space_to_batch", "filter_shape")
        for i, rate in enumerate(rates):
            total = (extents[i] - 1) * rate
            low[i], high[i] = total // 2, total - total // 2
    blocks = np.ones(count, np.int64)
    pads, crops = np.zeros((count, 2), np.int64), np.zeros((count, 2), np.int64)
    for a, rate, n, before, after in zip(axes, rates, sizes, low, high, strict=True):
        extra = -(n + before + after) % rate
        blocks[a - 1] = rate
        pads[a - 1] = before, after + extra
        crops[a - 1] = 0, extra
    parts = space_to_batch(x, blocks, pads)
    return batch_to_space(op(parts, len(rates), "VALID"), blocks, crops)
