"""Random draws: the same numbers for the same seed as Keras on TensorFlow.

A `seed` is an int (every call gives the same numbers), a `SeedGenerator` (each call goes on) or
None, which draws from a generator that all calls share.
"""

from __future__ import annotations

from typing import Any

from ..ops import api as hr
from ..ops.random_sampling import stateless_binomial, stateless_categorical, stateless_gamma
from . import settings
from .promotion import standardize_dtype
from .seed_generator import SeedGenerator

__all__ = [
    "beta",
    "binomial",
    "categorical",
    "dropout",
    "gamma",
    "normal",
    "randint",
    "shuffle",
    "truncated_normal",
    "uniform",
]

_LARGEST = 2**31 - 2
_shared: list[SeedGenerator] = []


def draw_seed(seed: Any) -> Any:
    """Two int64 numbers for one draw.

    Raises:
        ValueError: `seed` is no int, generator or None.
    """
    if seed is None:
        if not _shared:
            _shared.append(SeedGenerator())
        seed = _shared[0]
    if isinstance(seed, SeedGenerator):
        return hr.floormod(seed.next(), _LARGEST)
    if not isinstance(seed, int) or isinstance(seed, bool):
        raise ValueError(
            "Argument `seed` must be either an integer or an instance of `SeedGenerator`. "
            f"Received: seed={seed} (of type {type(seed)})"
        )
    return hr.constant([seed % 2**32 % _LARGEST, 0], dtype="int64")


def normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Numbers of the normal distribution."""
    dtype = dtype or settings.floatx()
    return hr.stateless_normal(shape, draw_seed(seed), mean=mean, stddev=stddev, dtype=dtype)


def truncated_normal(
    shape: Any, mean: Any = 0.0, stddev: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Numbers of the normal distribution not further than two deviations from the mean."""
    return hr.stateless_truncated_normal(
        shape, draw_seed(seed), mean=mean, stddev=stddev, dtype=dtype or settings.floatx()
    )


def uniform(
    shape: Any, minval: Any = 0.0, maxval: Any = 1.0, dtype: Any = None, seed: Any = None
) -> Any:
    """Numbers spread evenly over ``[minval, maxval)``.

    Raises:
        ValueError: `dtype` is no floating type; see `randint`.
    """
    dtype = standardize_dtype(dtype)
    if not dtype.startswith(("float", "bfloat")):
        raise ValueError(
            "`keras.random.uniform` requires a floating point dtype. Received: dtype="
            f"{dtype}. Use `randint` for integers."
        )
    low, high = hr.cast(minval, dtype), hr.cast(maxval, dtype)
    return hr.stateless_uniform(shape, draw_seed(seed), minval=low, maxval=high, dtype=dtype)


def randint(
    shape: Any, minval: Any, maxval: Any, dtype: Any = "int32", seed: Any = None
) -> Any:
    """Integers spread evenly over ``[minval, maxval)``.

    Raises:
        ValueError: `dtype` is no integer type.
    """
    dtype = standardize_dtype(dtype)
    if not dtype.startswith(("int", "uint")):
        raise ValueError(
            "`keras.random.randint` requires an integer dtype. Received: dtype="
            f"{dtype}. Use `uniform` for floats."
        )
    wide = dtype if dtype in ("int32", "int64") else "int64"
    drawn = hr.stateless_uniform(
        shape, draw_seed(seed), minval=minval, maxval=maxval, dtype=wide
    )
    return hr.cast(drawn, dtype)


def categorical(logits: Any, num_samples: int, dtype: Any = "int32", seed: Any = None) -> Any:
    """Classes ``[batch, num_samples]`` by the probabilities of `logits` ``[batch, classes]``.

    Raises:
        ValueError: `logits` have not two axes.
    """
    logits = hr.convert_to_tensor(logits)
    if len(logits.shape) != 2:
        raise ValueError(
            "`logits` should be a 2-D tensor with shape [batch_size, num_classes]. Received: "
            f"logits={logits}"
        )
    return hr.cast(stateless_categorical(logits, num_samples, seed=draw_seed(seed)), dtype)


def dropout(inputs: Any, rate: float, noise_shape: Any = None, seed: Any = None) -> Any:
    """`inputs` with a share `rate` of 0, the others scaled up.

    Args:
        inputs: floats.
        rate: in [0, 1].
        noise_shape: of what is drawn; 1 along axes that drop together, None as the input.
        seed: see the module.

    Raises:
        ValueError: `rate` is outside.
    """
    if not 0 <= rate <= 1:
        raise ValueError(f"`rate` must be a number in [0, 1]. Received: rate={rate}")
    inputs = hr.convert_to_tensor(inputs)
    if rate == 1:
        return hr.zeros_like(inputs)
    if rate == 0:
        return inputs
    shape: Any = hr.shape(inputs)
    if noise_shape is not None:
        shape = [shape[i] if n is None else n for i, n in enumerate(noise_shape)]
    kept = hr.stateless_uniform(shape, draw_seed(seed), dtype=inputs.dtype) >= rate
    scaled = inputs * hr.cast(1.0 / (1.0 - rate), inputs.dtype)
    return hr.where(kept, scaled, hr.zeros_like(inputs))


def shuffle(x: Any, axis: int = 0, seed: Any = None) -> Any:
    """`x` with its slices along `axis` in another order."""
    x = hr.convert_to_tensor(x)
    order = hr.argsort(hr.stateless_uniform([hr.shape(x)[axis]], draw_seed(seed)))
    return hr.gather(x, order, axis=axis)


def _wide(dtype: str) -> str:
    return "float32" if dtype == "bfloat16" else dtype


def gamma(shape: Any, alpha: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the gamma distribution with shape `alpha` and rate 1."""
    dtype = standardize_dtype(dtype)
    drawn = stateless_gamma(shape, draw_seed(seed), alpha=alpha, dtype=_wide(dtype))
    return hr.cast(drawn, dtype)


def binomial(
    shape: Any, counts: Any, probabilities: Any, dtype: Any = None, seed: Any = None
) -> Any:
    """How many of `counts` trials succeed with `probabilities`."""
    dtype = standardize_dtype(dtype)
    drawn = stateless_binomial(
        shape, draw_seed(seed), counts, probabilities, output_dtype=_wide(dtype)
    )
    return hr.cast(drawn, dtype)


def beta(shape: Any, alpha: Any, beta: Any, dtype: Any = None, seed: Any = None) -> Any:
    """Numbers of the beta distribution: shares of two gamma draws."""
    dtype = standardize_dtype(dtype)
    first = draw_seed(seed)
    draws = []
    for which, parameter in ((first, alpha), (first + 12, beta)):
        spread = hr.broadcast_to(hr.cast(parameter, _wide(dtype)), shape)
        drawn = stateless_gamma(shape, which, alpha=spread, dtype=_wide(dtype))
        draws.append(hr.cast(drawn, dtype))
    return draws[0] / (draws[0] + draws[1])
