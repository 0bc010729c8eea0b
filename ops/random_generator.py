"""random.Generator: a stream of random numbers with its own state, a variable."""

from __future__ import annotations

import secrets
from typing import Any

import numpy as np

from . import dtypes
from .convert import to_tensor
from .dtypes import as_dtype
from .errors import InvalidArgumentError
from .primitive import Primitive
from .random_ops import (
    _dims,
    _in_range,
    _random_shape,
    _scaled_uniform,
    _unsigned,
    _vector,
    draw,
)
from .tensor import Tensor
from .variable import Variable

__all__ = ["Generator", "create_rng_state", "get_global_generator", "set_global_generator"]

_MASK64 = (1 << 64) - 1
_PHILOX = 1


class Generator:
    """A random number generator with state: two counter words and a key.

    Make one with `from_seed`, `from_state`, `from_key_counter` or
    `from_non_deterministic_state`.  Its numbers are TensorFlow's for the same state.

    >>> Generator.from_seed(1).normal([2]).shape
    TensorShape([2])
    """

    def __init__(self, copy_from: Generator | None = None, state: Any = None, alg: Any = None):
        value = (
            copy_from.state.numpy() if copy_from is not None else np.asarray(state, np.int64)
        )
        if value.shape != (3,):
            raise InvalidArgumentError(
                "a Philox state has 3 elements (counter low, counter high, key), got "
                f"shape {value.shape}"
            )
        self._state = Variable(value, trainable=False, name="StateVar", dtype=dtypes.int64)

    @classmethod
    def from_seed(cls, seed: int, alg: Any = None) -> Generator:
        """A generator whose counter starts at `seed`."""
        return cls(state=create_rng_state(seed))

    @classmethod
    def from_state(cls, state: Any, alg: Any = None) -> Generator:
        """A generator that goes on from a saved `state`, int64 [3]."""
        return cls(state=np.asarray(state))

    @classmethod
    def from_key_counter(cls, key: int, counter: Any, alg: Any = None) -> Generator:
        """A generator from its parts: a key, and a counter of two words."""
        low, high = np.asarray(counter).tolist()
        return cls(state=[_signed(low), _signed(high), _signed(key)])

    @classmethod
    def from_non_deterministic_state(cls, alg: Any = None) -> Generator:
        """A generator seeded by the operating system."""
        return cls(state=[_signed(secrets.randbits(64)) for _ in range(3)])

    @property
    def state(self) -> Variable:
        """int64 [3]: counter low, counter high, key."""
        return self._state

    @property
    def key(self) -> Tensor:
        """The key, an int64 scalar."""
        return self._state.read_value()[2]

    @property
    def algorithm(self) -> int:
        """1: Philox."""
        return _PHILOX

    def reset(self, state: Any) -> None:
        """Go on from `state`."""
        self._state.assign(np.asarray(state, np.int64))

    def reset_from_seed(self, seed: int) -> None:
        """Start anew from `seed`."""
        self._state.assign(np.array(create_rng_state(seed), np.int64))

    def reset_from_key_counter(self, key: int, counter: Any) -> None:
        """Start anew from a key and a counter of two words."""
        low, high = np.asarray(counter).tolist()
        self._state.assign(np.array([_signed(low), _signed(high), _signed(key)], np.int64))

    def skip(self, delta: int) -> None:
        """Advance as if `delta` numbers had been drawn."""
        reserve(self._state, int(delta))

    def normal(
        self,
        shape: Any,
        mean: Any = 0.0,
        stddev: Any = 1.0,
        dtype: Any = dtypes.float32,
        name: Any = None,
    ) -> Tensor:
        """Normal numbers."""
        dtype = as_dtype(dtype)
        unit = StatefulRandom(_vector(shape), variable=self._state, kind="normal", dtype=dtype)
        return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)

    def truncated_normal(
        self,
        shape: Any,
        mean: Any = 0.0,
        stddev: Any = 1.0,
        dtype: Any = dtypes.float32,
        name: Any = None,
    ) -> Tensor:
        """Normal numbers within two standard deviations."""
        dtype = as_dtype(dtype)
        unit = StatefulRandom(
            _vector(shape), variable=self._state, kind="truncated", dtype=dtype
        )
        return unit * to_tensor(stddev, dtype) + to_tensor(mean, dtype)

    def uniform(
        self,
        shape: Any,
        minval: Any = 0,
        maxval: Any = None,
        dtype: Any = dtypes.float32,
        name: Any = None,
    ) -> Tensor:
        """Uniform numbers in [minval, maxval)."""
        dtype = as_dtype(dtype)
        if dtype.is_integer:
            bits = StatefulRandom(
                _vector(shape), variable=self._state, kind="bits", dtype=_unsigned(dtype)
            )
            return _in_range(bits, minval, maxval, dtype)
        unit = StatefulRandom(_vector(shape), variable=self._state, kind="uniform", dtype=dtype)
        return _scaled_uniform(unit, minval, 1 if maxval is None else maxval, dtype)

    def uniform_full_int(
        self, shape: Any, dtype: Any = dtypes.uint64, name: Any = None
    ) -> Tensor:
        """Integers over the dtype's whole range."""
        return StatefulRandom(
            _vector(shape), variable=self._state, kind="bits", dtype=as_dtype(dtype)
        )

    def make_seeds(self, count: int = 1) -> Tensor:
        """int64 [2, count]: seeds for stateless operations."""
        return self.uniform_full_int([2, count], dtypes.int64)

    def split(self, count: int = 1) -> list[Generator]:
        """`count` generators with independent streams."""
        keys = self.uniform_full_int([count], dtypes.int64).numpy().tolist()
        return [Generator(state=[0, 0, k]) for k in keys]

    def __repr__(self) -> str:
        return f"<Generator state={self._state.numpy().tolist()}>"


def create_rng_state(seed: int, alg: Any = None) -> list[int]:
    """The state a generator has that is made from `seed`."""
    return [_signed(int(seed)), 0, 0]


def _signed(word: int) -> int:
    word = int(word) & _MASK64
    return word - (1 << 64) if word >> 63 else word


def reserve(state: Variable, n: int) -> tuple[int, tuple[int, int]]:
    """Take the counters for `n` numbers from the state; returns key and first counter."""
    low, high, key = (int(v) & _MASK64 for v in state._value.tolist())
    after = ((high << 64) | low) + n * 256
    state._set(np.array([_signed(after), _signed(after >> 64), _signed(key)], np.int64))
    return key, (low, high)


def _stateful_impl(shape: Any, *, variable: Variable, kind: str, dtype: Any) -> np.ndarray:
    dims = _dims(shape)
    n = int(np.prod(dims, dtype=np.int64))
    key, counter = reserve(variable, n)
    return draw(kind, n, dtype, key, counter).reshape(dims)


StatefulRandom = Primitive(
    "_StatefulRandom",
    "shape: Tshape",
    impl=_stateful_impl,
    shape=lambda shape, *, variable, kind, dtype: _random_shape(shape, dtype=dtype),
    vjp=lambda op, g: (None,),
    stateful=True,
)

_global: Generator | None = None


def get_global_generator() -> Generator:
    """The process's own generator, made at the first call."""
    global _global
    if _global is None:
        _global = Generator.from_non_deterministic_state()
    return _global


def set_global_generator(generator: Generator) -> None:
    """Replace the process's own generator."""
    global _global
    _global = generator
