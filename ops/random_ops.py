"""Random numbers: seeded streams, stateless draws, shuffles.

Three forms, all Philox underneath:

* stateless: a pure function of ``seed=[a, b]``, with TensorFlow's own numbers;
* stateful: ``uniform``, ``normal`` ...; each (global seed, op seed, kind) is one stream that
  continues from call to call, as TensorFlow's kernels do;
* in a function mapped over a dataset, every element gets its own stream, keyed by the seed and
  the element's position: the batch rule of the stateful form.
"""

from __future__ import annotations

import random
import secrets
import threading
from typing import Any

import numpy as np

from . import dtypes
from .array_basics import UnbatchableShape
from .array_module import array_module
from .context import current
from .convert import to_tensor
from .determinism import require_seed
from .dtypes import DType, as_dtype
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .philox import blocks, key_and_counter, normals, philox, uniform_floats
from .primitive import Primitive
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "FreshSeed",
    "get_seed",
    "random_normal",
    "random_shuffle",
    "random_truncated_normal",
    "random_uniform",
    "set_seed",
    "stateless_normal",
    "stateless_truncated_normal",
    "stateless_uniform",
]

_MASK64 = (1 << 64) - 1
_RESERVED = 256  # counters a call may use per number, as in TensorFlow's kernels


# -- raw draws --------------------------------------------------------------------------------


def _words_per(kind: str, dtype: DType) -> int:
    """uint32 words used for one number."""
    return 2 if dtype.size == 8 else 1


def draw(
    kind: str, n: int, dtype: DType, key: int, counter: tuple[int, int], start: int = 0
) -> np.ndarray:
    """`n` numbers of the stream (key, counter), from group `start` on.

    Args:
        kind: ``"uniform"``, ``"normal"``, ``"truncated"`` or ``"bits"`` (full-range integers).
    """
    if kind == "truncated":
        return _truncated(n, dtype, key, counter, start)
    words = n * _words_per(kind, dtype)
    return _convert(kind, blocks(key, counter, start, -(-words // 4)).reshape(-1), dtype)[:n]


def _convert(kind: str, words: np.ndarray, dtype: DType) -> np.ndarray:
    if kind == "uniform":
        return uniform_floats(words, dtype.np_dtype)
    if kind == "normal":
        return normals(words, dtype.np_dtype)
    if dtype.size == 8:
        pairs = words.reshape(-1, 2).astype(np.uint64)
        return (pairs[:, 0] | (pairs[:, 1] << np.uint64(32))).view(dtype.np_dtype)
    return words.view(dtype.np_dtype)


def _truncated(
    n: int, dtype: DType, key: int, counter: tuple[int, int], start: int
) -> np.ndarray:
    """Normals outside of two standard deviations are drawn again.  Each group of outputs (four,
    two for float64) has its own part of the stream to draw from."""
    per_group = 2 if dtype.size == 8 else 4
    groups = -(-n // per_group)
    stride = per_group * _RESERVED // 4
    low, high = counter
    base = ((high << 64) | low) + start
    out = np.empty((groups, per_group), dtype.np_dtype)
    todo = np.arange(groups)
    tries = 4 * per_group
    while len(todo):
        firsts = (
            [base + int(g) * stride for g in todo] if base + groups * stride > _MASK64 else None
        )
        if firsts is None:
            counters = np.uint64(base) + todo.astype(np.uint64) * np.uint64(stride)
            c = counters[:, None] + np.arange(
                tries // 4 * (2 if dtype.size == 8 else 1), dtype=np.uint64
            )
            hi = np.zeros_like(c)
        else:
            steps = range(tries // 4 * (2 if dtype.size == 8 else 1))
            wide = [[f + s for s in steps] for f in firsts]
            c = np.array([[w & _MASK64 for w in row] for row in wide], np.uint64)
            hi = np.array([[(w >> 64) & _MASK64 for w in row] for row in wide], np.uint64)
        m = np.uint64(0xFFFFFFFF)
        s = np.uint64(32)
        words = philox(c & m, c >> s, hi & m, hi >> s, (key & 0xFFFFFFFF, key >> 32))
        z = normals(words.reshape(-1), dtype.np_dtype).reshape(len(todo), -1)
        good = np.abs(z.astype(np.float64)) < 2.0
        enough = good.sum(1) >= per_group
        order = np.argsort(~good, axis=1, kind="stable")[:, :per_group]
        picked = np.take_along_axis(z, order, 1)
        out[todo[enough]] = picked[enough]
        todo = todo[~enough]
        tries *= 4
    return out.reshape(-1)[:n]


# -- seeds and streams ------------------------------------------------------------------------


class _Seeds:
    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.set(None)

    def set(self, seed: int | None) -> None:
        self.seed = seed
        self.op_seeds = random.Random(seed)
        self.used: dict[Any, int] = {}

    def reserve(self, stream: Any, n: int) -> int:
        """Take `n` counters of a stream; returns the first.  Each replica of a strategy has a
        part of the stream to itself."""
        replica = current.replica
        if replica is not None:
            return self._reserve((stream, replica.rank), n) + (replica.rank << 44)
        return self._reserve(stream, n)

    def _reserve(self, stream: Any, n: int) -> int:
        with self.lock:
            start = self.used.get(stream, 0)
            self.used[stream] = start + n
            return start


_seeds = _Seeds()
_DEFAULT_GRAPH_SEED = 87654321


def set_seed(seed: int) -> None:
    """Set the global seed; all stateful streams start anew."""
    _seeds.set(int(seed))


def global_seed() -> int | None:
    """The global seed, or None."""
    return _seeds.seed


class FreshSeed(int):
    """A seed nobody chose: a pipeline whose function draws with it draws anew in every pass."""


def get_seed(op_seed: int | None) -> tuple[int, int]:
    """The two seeds of a stateful operation, from the global seed and the operation's own.

    Without either, the pair is drawn from the operating system.

    Raises:
        RuntimeError: there is none, and `enable_op_determinism` asks for one.
    """
    if _seeds.seed is None:
        if op_seed is None:
            require_seed()
            return FreshSeed(secrets.randbits(31)), FreshSeed(secrets.randbits(31))
        return _DEFAULT_GRAPH_SEED, int(op_seed)
    if op_seed is None:
        trace = current.trace
        op_seed = trace.place() if trace is not None else _seeds.op_seeds.randint(0, 2**31 - 1)
    pair = _seeds.seed % (1 << 63), int(op_seed) % (1 << 63)
    return (0, 2**31 - 1) if pair == (0, 0) else pair


# -- the stateful primitives ------------------------------------------------------------------


def _dims(shape: Any) -> tuple[int, ...]:
    return tuple(int(d) for d in shape.reshape(-1).tolist())


def _random_shape(shape: Any, **attrs: Any) -> TensorSpec:
    dims = constant_value(shape)
    dtype = attrs["dtype"]
    if dims is not None:
        return TensorSpec(_dims(dims), dtype)
    return TensorSpec(
        [None] * shape.shape[0]
        if shape.shape.rank == 1 and shape.shape[0] is not None
        else None,
        dtype,
    )


def _declare_stateful(name: str, kind: str) -> Primitive:
    def impl(shape: Any, *, dtype: DType, seed: int, seed2: int) -> np.ndarray:
        dims = _dims(shape)
        n = int(np.prod(dims, dtype=np.int64))
        place = take((kind, dtype.name, seed, seed2), seed, seed2, n * _RESERVED)
        return draw(kind, n, dtype, *place).reshape(dims)

    def block(shape: Any, index: Any, *, dtype: DType, seed: int, seed2: int) -> np.ndarray:
        return draw_per_element(kind, _dims(shape), dtype, seed, seed2, index)

    block_primitive = Primitive(
        f"_{name}Block",
        "shape: Tshape, index: int64",
        impl=block,
        shape=lambda shape, index, *, dtype, seed, seed2: TensorSpec(
            index.shape.concatenate(_random_shape(shape, dtype=dtype).shape), dtype
        ),
        vjp=lambda op, g: (None, None),
    )

    def batch(ctx: Any, shape: Any, **attrs: Any) -> Any:
        if ctx.batched[0]:
            raise UnbatchableShape(name)
        return block_primitive(shape, ctx.element_index(), **attrs)

    return Primitive(
        name,
        "shape: Tshape",
        impl=impl,
        shape=_random_shape,
        vjp=lambda op, g: (None,),
        batch=batch,
        stateful=True,
        random=True,
    )


def reserve(stream: Any, n: int) -> int:
    """Take the next `n` counters of a stream, by what distinguishes it; returns the first."""
    return _seeds.reserve(stream, n)


def take(stream: Any, seed: int, seed2: int, n: int) -> tuple[int, tuple[int, int], int]:
    """Take the next `n` counters of a stream with two seeds.

    Inside of a dataset's function each element has a stream of its own, the one it has where
    the function runs on blocks.

    Returns:
        Key, counter and start for `draw`.
    """
    element = current.element
    if element is None:
        return seed & _MASK64, (0, seed2 & _MASK64), _seeds.reserve(stream, n)
    key, (_, high) = key_and_counter((seed, seed2))
    return key, (0, high ^ element.index), element.reserve(stream, n)


def draw_stream(
    kind: str, n: int, dtype: DType, name: str, seed: int, seed2: int
) -> np.ndarray:
    """The next `n` numbers of the stream of an operation `name` with these seeds."""
    place = take((name, dtype.name, seed, seed2), seed, seed2, n * _RESERVED)
    return draw(kind, n, dtype, *place)


def draw_per_element(
    kind: str, dims: tuple[int, ...], dtype: DType, seed: int, seed2: int, index: Any
) -> np.ndarray:
    """[n, *dims]: element k's numbers come from the stream keyed by the seeds and index[k]."""
    n = int(np.prod(dims, dtype=np.int64))
    key, (_, high) = key_and_counter((seed, seed2))
    if kind == "truncated":
        rows = [_truncated(n, dtype, key, (0, high ^ int(i)), 0) for i in index.tolist()]
        return (
            np.stack(rows).reshape((len(index), *dims))
            if rows
            else np.empty((0, *dims), dtype.np_dtype)
        )
    groups = -(-n * _words_per(kind, dtype) // 4)
    c = np.arange(groups, dtype=np.uint64)[None, :]
    h = (index.astype(np.uint64) ^ np.uint64(high))[:, None]
    m, s = np.uint64(0xFFFFFFFF), np.uint64(32)
    words = philox(c & m, c >> s, h & m, h >> s, (key & 0xFFFFFFFF, key >> 32))
    flat = _convert(kind, words.reshape(-1), dtype).reshape(len(index), -1)
    return np.ascontiguousarray(flat[:, :n]).reshape((len(index), *dims))


RandomUniform = _declare_stateful("RandomUniform", "uniform")
RandomStandardNormal = _declare_stateful("RandomStandardNormal", "normal")
TruncatedNormal = _declare_stateful("TruncatedNormal", "truncated")
_RandomBits = _declare_stateful("_RandomBits", "bits")


def random_uniform(
    shape: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Uniform numbers in [minval, maxval).

    Args:
        shape: shape of the result.
        minval, maxval: bounds; integers need a `maxval`, floats default to 1.
        dtype: float or int32/int64.
        seed: op seed; see `set_seed`.

    Raises:
        ValueError: an integer dtype without `maxval`.
    """
    dtype = as_dtype(dtype)
    seed1, seed2 = get_seed(seed)
    if dtype.is_integer:
        bits = _RandomBits(_vector(shape), dtype=_unsigned(dtype), seed=seed1, seed2=seed2)
        return _in_range(bits, minval, maxval, dtype)
    unit = RandomUniform(_vector(shape), dtype=dtype, seed=seed1, seed2=seed2)
    return _scaled_uniform(unit, minval, 1 if maxval is None else maxval, dtype)


def random_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normal numbers of the given mean and standard deviation."""
    dtype = as_dtype(dtype)
    seed1, seed2 = get_seed(seed)
    unit = RandomStandardNormal(_vector(shape), dtype=dtype, seed=seed1, seed2=seed2)
    return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)


def random_truncated_normal(
    shape: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Normal numbers, those further than two standard deviations from the mean drawn again."""
    dtype = as_dtype(dtype)
    seed1, seed2 = get_seed(seed)
    unit = TruncatedNormal(_vector(shape), dtype=dtype, seed=seed1, seed2=seed2)
    return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)


def random_shuffle(value: Any, seed: int | None = None, name: str | None = None) -> Tensor:
    """`value` with its rows in random order."""
    x = to_tensor(value, None)
    seed1, seed2 = get_seed(seed)
    return RandomShuffle(x, seed=seed1, seed2=seed2)


def _shuffle_impl(x: Any, *, seed: int, seed2: int) -> Any:
    n = x.shape[0] if x.ndim else 1
    place = take(("shuffle", seed, seed2), seed, seed2, n * _RESERVED)
    order = np.argsort(draw("bits", n, dtypes.uint64, *place), kind="stable")
    return x[order] if x.ndim else x


def _shuffle_block(x: Any, index: Any, *, batched: bool, seed: int, seed2: int) -> Any:
    rows = x if batched else np.broadcast_to(x, (len(index), *x.shape))
    if rows.ndim < 2:
        return rows
    keys = draw_per_element("bits", rows.shape[1:2], dtypes.uint64, seed, seed2, index)
    order = np.argsort(keys, axis=1, kind="stable")
    return rows[np.arange(len(index))[:, None], order]


_RandomShuffleBlock = Primitive(
    "_RandomShuffleBlock",
    "value: T, index: int64",
    impl=_shuffle_block,
    shape=lambda x, index, *, batched, **_: TensorSpec(
        index.shape.concatenate(x.shape[1:] if batched else x.shape), x.dtype
    ),
)


def _shuffle_batch(ctx: Any, x: Any, **attrs: Any) -> Any:
    if x.dtype == dtypes.string:
        raise UnbatchableShape("RandomShuffle")
    index = ctx.element_index()
    return _RandomShuffleBlock(x, index, batched=bool(ctx.batched[0]), **attrs)


RandomShuffle = Primitive(
    "RandomShuffle",
    "value: T",
    impl=_shuffle_impl,
    shape=lambda x, **attrs: TensorSpec(x.shape, x.dtype),
    batch=_shuffle_batch,
    stateful=True,
    random=True,
)


def _vector(shape: Any) -> Any:
    if isinstance(shape, Tensor):
        return shape
    if isinstance(shape, int):
        shape = [shape]
    if all(isinstance(d, int) for d in shape):
        return np.array(list(shape), np.int32)
    return to_tensor(list(shape), None)


def _unsigned(dtype: DType) -> DType:
    return dtypes.uint64 if dtype.size == 8 else dtypes.uint32


def _scaled_uniform(unit: Tensor, minval: Any, maxval: Any, dtype: DType) -> Tensor:
    if type(minval) in (int, float) and type(maxval) in (int, float):
        if minval == 0 and maxval == 1:
            return unit
        low = to_tensor(float(minval), dtype)
        return unit * (to_tensor(float(maxval), dtype) - low) + low
    low = to_tensor(minval, dtype)
    return unit * (to_tensor(maxval, dtype) - low) + low


def _in_range(bits: Tensor, minval: Any, maxval: Any, dtype: DType) -> Tensor:
    if maxval is None:
        raise ValueError("Must specify maxval for integer dtype")
    return _RandomInRange(bits, to_tensor(minval, dtype), to_tensor(maxval, dtype))


def _range_impl(bits: Any, low: Any, high: Any) -> Any:
    # The bounds lie on the host, also where the bits are on a device.
    if (np.asarray(low) >= np.asarray(high)).any():
        raise InvalidArgumentError(
            f"Need minval < maxval, got {low} >= {high} [Op:RandomUniformInt]",
            op="RandomUniformInt",
        )
    wide, xp = bits.dtype, array_module(bits)
    start, span = low.astype(wide), high.astype(wide) - low.astype(wide)
    if xp is not np:
        start, span = (xp.asarray(n) if n.ndim else n[()] for n in (start, span))
    return (bits % span + start).astype(low.dtype)


_RandomInRange = Primitive(
    "_RandomInRange",
    "bits: B, low: T, high: T",
    impl=_range_impl,
    shape=lambda bits, low, high: TensorSpec(bits.shape, low.dtype),
    vjp=lambda op, g: (None, None, None),
    batch=lambda ctx, bits, low, high: _RandomInRange(bits, low, high),
)


# -- stateless --------------------------------------------------------------------------------


def _declare_stateless(name: str, kind: str) -> Primitive:
    def impl(shape: Any, seed: Any, *, dtype: DType) -> np.ndarray:
        dims = _dims(shape)
        key, counter = key_and_counter(tuple(seed.tolist()))
        return draw(kind, int(np.prod(dims, dtype=np.int64)), dtype, key, counter).reshape(dims)

    def rows(shape: Any, seed: Any, *, dtype: DType) -> np.ndarray:
        dims = _dims(shape)
        out = [impl(shape, s, dtype=dtype) for s in seed]
        return np.stack(out) if out else np.empty((0, *dims), dtype.np_dtype)

    per_row = Primitive(
        f"_{name}Rows",
        "shape: Tshape, seed: Tseed",
        impl=rows,
        shape=lambda shape, seed, *, dtype: TensorSpec(
            seed.shape[:1].concatenate(_random_shape(shape, dtype=dtype).shape), dtype
        ),
    )

    def batch(ctx: Any, shape: Any, seed: Any, **attrs: Any) -> Any:
        if ctx.batched[0]:
            raise UnbatchableShape(name)
        return per_row(shape, seed, **attrs)

    return Primitive(
        name,
        "shape: Tshape, seed: Tseed",
        impl=impl,
        shape=lambda shape, seed, *, dtype: _random_shape(shape, dtype=dtype),
        vjp=lambda op, g: (None, None),
        batch=batch,
    )


StatelessRandomUniform = _declare_stateless("StatelessRandomUniform", "uniform")
StatelessRandomNormal = _declare_stateless("StatelessRandomNormal", "normal")
StatelessTruncatedNormal = _declare_stateless("StatelessTruncatedNormal", "truncated")
_StatelessBits = _declare_stateless("_StatelessBits", "bits")


def stateless_uniform(
    shape: Any,
    seed: Any,
    minval: Any = 0,
    maxval: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: str = "auto_select",
) -> Tensor:
    """Uniform numbers in [minval, maxval) that depend on `seed` (two integers) alone."""
    dtype = as_dtype(dtype)
    if dtype.is_integer:
        bits = _StatelessBits(_vector(shape), seed, dtype=_unsigned(dtype))
        return _in_range(bits, minval, maxval, dtype)
    unit = StatelessRandomUniform(_vector(shape), seed, dtype=dtype)
    return _scaled_uniform(unit, minval, 1 if maxval is None else maxval, dtype)


def stateless_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: str = "auto_select",
) -> Tensor:
    """Normal numbers that depend on `seed` (two integers) alone."""
    dtype = as_dtype(dtype)
    unit = StatelessRandomNormal(_vector(shape), seed, dtype=dtype)
    return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)


def stateless_truncated_normal(
    shape: Any,
    seed: Any,
    mean: Any = 0.0,
    stddev: Any = 1.0,
    dtype: Any = dtypes.float32,
    name: str | None = None,
    alg: str = "auto_select",
) -> Tensor:
    """Truncated normal numbers that depend on `seed` (two integers) alone."""
    dtype = as_dtype(dtype)
    unit = StatelessTruncatedNormal(_vector(shape), seed, dtype=dtype)
    return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)
