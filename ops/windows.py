"""Windows that slide over the space axes of a batch: convolutions' and poolings' geometry.

`Windows` turns the attributes of an operation (sizes, strides, dilations, padding) and an
input shape into numbers: output sizes, padding before and after, and for each tap (a position
inside the window) the slice of the padded input it meets.  Everything here works for one, two
and three space axes; data has its channels last, and `to_channels_last` brings it there.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

from .array_module import array_module
from .errors import InvalidArgumentError

__all__ = ["Windows", "channels_first", "space_of", "spread_ints", "to_channels_last"]


class Windows:
    """The windows over one padded space.

    Attributes:
        size: of the input, per space axis.
        kernel, strides, dilations: per space axis.
        before, after: padding, per space axis.
        out: output size, per space axis.
    """

    __slots__ = ("after", "before", "dilations", "kernel", "out", "size", "strides")

    def __init__(
        self,
        size: tuple[int, ...],
        kernel: tuple[int, ...],
        strides: tuple[int, ...],
        dilations: tuple[int, ...],
        padding: str,
        explicit: tuple[tuple[int, int], ...] = (),
        op: str = "",
    ):
        self.size, self.kernel = tuple(size), tuple(kernel)
        self.strides, self.dilations = tuple(strides), tuple(dilations)
        before, after, out = [], [], []
        for i, n in enumerate(size):
            extent = (kernel[i] - 1) * dilations[i] + 1
            low, high = explicit[i] if padding == "EXPLICIT" else (0, 0)
            found = output_size(n, extent, strides[i], padding, low + high, op)
            assert found is not None
            if padding == "SAME":
                total = max((found - 1) * strides[i] + extent - n, 0)
                low, high = total // 2, total - total // 2
            before.append(low)
            after.append(high)
            out.append(found)
        self.before, self.after, self.out = tuple(before), tuple(after), tuple(out)

    @property
    def padded(self) -> bool:
        """Whether there is any padding."""
        return any(self.before) or any(self.after)

    @property
    def plain(self) -> bool:
        """Whether every window is one element, in its place."""
        return (
            not self.padded
            and all(k == 1 for k in self.kernel)
            and all(s == 1 for s in self.strides)
        )

    def pad(self, x: Any, value: Any = 0) -> Any:
        """[n, *size, channels] with its padding of `value`; `x` itself without any."""
        if not self.padded:
            return x
        out = array_module(x).full(self.padded_shape(x.shape), value, x.dtype)
        out[self.inside()] = x
        return out

    def padded_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """`shape` with the padding."""
        sizes = zip(self.before, self.size, self.after, strict=True)
        return (shape[0], *(b + n + a for b, n, a in sizes), *shape[len(self.size) + 1 :])

    def inside(self) -> tuple[slice, ...]:
        """Where the input stands in the padded array."""
        sizes = zip(self.before, self.size, strict=True)
        return (slice(None), *(slice(b, b + n) for b, n in sizes))

    def taps(self) -> Iterator[tuple[tuple[int, ...], tuple[slice, ...]]]:
        """Positions inside the window, row by row, each with the slice of the padded input that
        it meets as the window moves: [n, *out, ...]."""
        for tap in itertools.product(*(range(k) for k in self.kernel)):
            yield tap, (slice(None), *map(self._slice, tap, range(len(tap))))

    def _slice(self, k: int, axis: int) -> slice:
        start = k * self.dilations[axis]
        return slice(
            start,
            start + (self.out[axis] - 1) * self.strides[axis] + 1 if self.out[axis] else start,
            self.strides[axis],
        )

    def view(self, padded: Any) -> Any:
        """All windows as a view [n, *out, *kernel, ...] of the padded array."""
        r = len(self.size)
        strides = padded.strides
        space = strides[1 : r + 1]
        return array_module(padded).lib.stride_tricks.as_strided(
            padded,
            (padded.shape[0], *self.out, *self.kernel, *padded.shape[r + 1 :]),
            (
                strides[0],
                *(a * b for a, b in zip(space, self.strides, strict=True)),
                *(a * b for a, b in zip(space, self.dilations, strict=True)),
                *strides[r + 1 :],
            ),
        )


def output_size(
    n: int | None,
    extent: int | None,
    stride: int,
    padding: str,
    explicit: int = 0,
    op: str = "",
) -> int | None:
    """How many windows of `extent` fit; None where a size is unknown.

    Raises:
        InvalidArgumentError: the window is larger than the (padded) input.
    """
    if n is None or extent is None:
        return None
    if padding == "SAME":
        return -(-n // stride)
    found = (n + explicit - extent + stride) // stride
    if n + explicit - extent + stride < 0:
        raise InvalidArgumentError(
            f"Computed output size would be negative: {found} [input_size: {n}, "
            f"effective_filter_size: {extent}, stride: {stride}] [Op:{op}]",
            op=op or None,
        )
    return found


# -- attributes -------------------------------------------------------------------------------


def channels_first(data_format: str) -> bool:
    """Whether a format such as ``"NCHW"`` has its channels behind the batch."""
    return data_format.startswith("NC")


def space_of(values: Any, data_format: str) -> tuple[Any, ...]:
    """The entries for space axes of a list with one entry per axis."""
    return tuple(values[2:]) if channels_first(data_format) else tuple(values[1:-1])


def spread_ints(value: Any, rank: int, data_format: str, what: str) -> tuple[int, ...]:
    """One entry per axis from a number, an entry per space axis, or one per axis.

    Raises:
        ValueError: there are more or fewer, or one is not positive.
    """
    if value is None:
        value = 1
    items = [int(v) for v in value] if hasattr(value, "__iter__") else [int(value)]
    if len(items) == 1:
        items = items * rank
    if len(items) == rank:
        items = [1, 1, *items] if channels_first(data_format) else [1, *items, 1]
    if len(items) != rank + 2:
        raise ValueError(
            f"{what} should be of length 1, {rank} or {rank + 2} but was {len(items)}"
        )
    return tuple(items)


def to_channels_last(x: Any, data_format: str) -> Any:
    """A raw [n, channels, ...] array as a view [n, ..., channels]."""
    return array_module(x).moveaxis(x, 1, -1) if channels_first(data_format) else x


def from_channels_last(x: Any, data_format: str) -> Any:
    """The reverse of `to_channels_last`, as an array of its own."""
    if not channels_first(data_format):
        return x
    xp = array_module(x)
    return xp.ascontiguousarray(xp.moveaxis(x, -1, 1))
