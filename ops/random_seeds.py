"""Seeds made of seeds, and orders made of them: split, fold_in, index_shuffle."""

from __future__ import annotations

import enum
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import ones_like, shape
from .array_gather import gather
from .array_join import concat, stack
from .array_sort import argsort
from .batch_loop import looped
from .convert import to_tensor
from .errors import InvalidArgumentError
from .primitive import Primitive
from .random_ops import _StatelessBits, _vector
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "Algorithm", "fold_in", "index_shuffle", "random_index_shuffle", "split",
    "stateless_shuffle",
]  # fmt: skip


class Algorithm(enum.Enum):
    """Methods of making random words; here all stand for Philox."""

    PHILOX = 1
    THREEFRY = 2
    AUTO_SELECT = 3


def split(seed: Any, num: int = 2, alg: Any = "auto_select") -> Tensor:
    """`num` seeds from one: [num, 2], of the dtype of `seed` (int32 or int64).

    >>> split([1, 2], 3).shape
    TensorShape([3, 2])
    """
    s = to_tensor(seed, None)
    return _StatelessBits(_vector([num, 2]), s, dtype=s.dtype)


def fold_in(seed: Any, data: Any, alg: Any = "auto_select") -> Tensor:
    """A new seed [2] from a seed and a number, of the number's dtype."""
    d = to_tensor(data, None)
    return stack([_StatelessBits(_vector([]), seed, dtype=d.dtype), d])


def stateless_shuffle(
    value: Any, seed: Any, alg: Any = "auto_select", name: str | None = None
) -> Tensor:
    """`value` with its rows in an order that depends on `seed` alone (not TensorFlow's order
    for the seed)."""
    x = to_tensor(value, None)
    keys = _StatelessBits(shape(x)[:1], seed, dtype=dtypes.uint64)
    return gather(x, argsort(keys, stable=True))


def index_shuffle(index: Any, seed: Any, max_index: Any) -> Tensor:
    """The place of `index` in a pseudorandom order of 0 ... max_index.

    Args:
        index: an integer or a vector, each within [0, max_index].
        seed: two integers, or [n, 2].
        max_index: a number or vector of `index`'s dtype.
    """
    s = to_tensor(seed, None)
    # The operation takes three words; TensorFlow puts this one in front of the user's two.
    first = ones_like(s[..., :1]) * 498247692
    return random_index_shuffle(index, concat([first, s], -1), max_index)


def random_index_shuffle(
    index: Any, seed: Any, max_index: Any, rounds: int = 4, name: str | None = None
) -> Tensor:
    """The place of `index` in the order of 0 ... max_index that three seed words make.

    A block cipher (Simon: Beaulieu and others, 2013, of few rounds) permutes the numbers of
    enough bits, and is applied until the result is in range.

    Args:
        index, max_index: integers of one dtype, numbers or vectors.
        seed: [3] or [n, 3].
        rounds: even, at least 4.
    """
    i = to_tensor(index, None)
    return RandomIndexShuffle(i, seed, to_tensor(max_index, i.dtype), rounds=int(rounds))


def _order(index: int, words: list[int], max_index: int, rounds: int) -> int:
    if max_index == 0:
        return 0
    bits = int(np.ceil(np.log2(max_index)))
    w = min(max(bits + bits % 2, 16), 64) // 2
    mask = (1 << w) - 1

    def left(x: int, r: int) -> int:
        return ((x << r) | (x >> (w - r))) & mask

    def mixed(x: int) -> int:
        return (left(x, 1) & left(x, 8)) ^ left(x, 2)

    keys = [k & mask for k in words]
    constant, z = 0xFFFFFFFC & mask, 0x7369F885192C0EF5 & mask
    for i in range(3, rounds):
        last = keys[i - 1]
        keys.append(constant ^ (z & 1) ^ keys[i - 3] ^ left(last, w - 3) ^ left(last, w - 4))
        z >>= 1
    while True:
        a, b = index >> w & mask, index & mask
        for first, second in zip(keys[::2], keys[1::2], strict=False):
            a ^= mixed(b) ^ first
            b ^= mixed(a) ^ second
        index = (a << w) | b
        if index <= max_index:
            return index


def _shuffle_impl(index: Any, seed: Any, max_index: Any, *, rounds: int) -> Any:
    if seed.shape[-1:] != (3,) or rounds < 4 or rounds % 2:
        raise InvalidArgumentError(
            f"seed must be [3] or [n, 3] and rounds even and at least 4, got {seed.shape} and "
            f"{rounds} [Op:RandomIndexShuffle]",
            op="RandomIndexShuffle",
        )
    if (index > max_index).any() or (index < 0).any():
        raise InvalidArgumentError(
            "index must be within [0, max_index] [Op:RandomIndexShuffle]",
            op="RandomIndexShuffle",
        )
    shape = np.broadcast_shapes(index.shape, seed.shape[:-1], max_index.shape)
    out = np.empty(shape, index.dtype)
    where = np.broadcast_to(index, shape), np.broadcast_to(max_index, shape)
    words = np.broadcast_to(seed, (*shape, 3))
    for at in np.ndindex(shape):
        key = [int(k) & 0xFFFFFFFF for k in words[at]]
        out[at] = _order(int(where[0][at]), key, int(where[1][at]), rounds)
    return out


def _shuffle_shape(index: Any, seed: Any, max_index: Any, *, rounds: int) -> TensorSpec:
    ranks = (index.shape.rank, seed.shape.rank, max_index.shape.rank)
    if ranks == (0, 1, 0):
        return TensorSpec([], index.dtype)
    if None in ranks:
        return TensorSpec(None, index.dtype)
    sizes = [
        s[0]
        for s, r in zip((index.shape, seed.shape, max_index.shape), (1, 2, 1), strict=True)
        if s.rank == r
    ]
    return TensorSpec([next((n for n in sizes if n is not None), None)], index.dtype)


RandomIndexShuffle = Primitive(
    "RandomIndexShuffle",
    "index: T, seed: Tseed, max_index: T",
    impl=_shuffle_impl,
    shape=_shuffle_shape,
    batch=looped,
    types={"T": (dtypes.int32, dtypes.int64, dtypes.uint32, dtypes.uint64)},
    defaults={"rounds": 4},
)
