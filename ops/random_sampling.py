"""Sampling operations: gamma, poisson, binomial, categorical and truncated normal variables.

`random_distributions` holds the array forms; see there which numbers are TensorFlow's.
Stateful forms continue a stream per (global seed, op seed); in a function mapped over a dataset
each element has its own, keyed by its position.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes, random_distributions as drawn
from .array_basics import cast, ones_like, shape as shape_of, sum_to
from .array_broadcast import broadcast_dynamic_shape, broadcast_to
from .array_gather import where
from .batch_loop import looped
from .convert import convert_to_tensor, to_tensor
from .dtypes import DType, as_dtype
from .elementwise import Exp
from .errors import InvalidArgumentError
from .graph.graph import constant_value
from .math_ops import maximum
from .primitive import Primitive
from .random_declaring import (
    as_counts,
    check_tail,
    declare_stateful,
    declare_stateless,
    known_shape,
)
from .random_ops import _dims, _vector, get_seed
from .shape_rules import FLOATS, broadcast
from .special_functions import Erfc
from .special_more import IgammaGradA
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "categorical", "random_gamma", "random_poisson", "stateless_binomial",
    "stateless_categorical", "stateless_gamma", "stateless_parameterized_truncated_normal",
    "stateless_poisson",
]  # fmt: skip

_REAL = (dtypes.float16, dtypes.float32, dtypes.float64)
_COUNTS = (*_REAL, dtypes.int32, dtypes.int64)


# -- gamma ------------------------------------------------------------------------------------


def _gamma_draw(dims: Any, alpha: Any, key: int, counter: Any) -> np.ndarray:
    shape = (*_dims(dims), *alpha.shape)
    if alpha.size == 0:
        raise InvalidArgumentError(
            "Input alpha should have non-zero element count, got: 0 [Op:RandomGamma]"
        )
    return drawn.gammas(alpha, shape, key, counter)


def _appended(dims: Any, x: Any, *, dtype: DType | None = None) -> TensorSpec:
    return TensorSpec(known_shape(dims).concatenate(x.shape), dtype or x.dtype)


def _in_front(dims: Any, x: Any) -> int:
    return int(np.prod(_dims(dims), dtype=np.int64)) * x.size


def _gamma_vjp(at: int) -> Callable[..., Any]:
    def vjp(op: Any, g: Any) -> Any:
        found: list[Any] = [None] * len(op.inputs)
        alpha = op.inputs[at]
        found[at] = sum_to(g * RandomGammaGrad(alpha, op.outputs[0]), alpha)
        return tuple(found)

    return vjp


RandomGamma = declare_stateful(
    "RandomGamma",
    "shape: S, alpha: T",
    _gamma_draw,
    _in_front,
    _appended,
    vjp=_gamma_vjp(1),
    types={"T": _REAL},
)


def _stateless_gamma_draw(dims: Any, alpha: Any, key: int, counter: Any) -> np.ndarray:
    shape = _dims(dims)
    check_tail(shape, alpha.shape, "StatelessRandomGammaV2")
    return drawn.gammas(alpha, shape, key, counter)


StatelessRandomGammaV2 = declare_stateless(
    "StatelessRandomGammaV2",
    "shape: S, seed: Tseed, alpha: T",
    _stateless_gamma_draw,
    lambda dims, alpha: TensorSpec(known_shape(dims), alpha.dtype),
    1,
    vjp=_gamma_vjp(2),
    types={"T": FLOATS},
)


def _gamma_grad_impl(alpha: Any, sample: Any) -> Any:
    a, x = alpha.astype(np.float64), sample.astype(np.float64)
    from scipy.special import gammaln

    density = np.exp(-x + (a - 1) * np.log(x) - gammaln(a))
    return np.asarray(-IgammaGradA.impl(a, x) / density).astype(alpha.dtype)


# How a gamma variable moves with its parameter: Figurnov, Mohamed and Mnih, "Implicit
# reparameterization gradients", 2018.
RandomGammaGrad = Primitive(
    "RandomGammaGrad",
    "alpha: T, sample: T",
    impl=_gamma_grad_impl,
    shape=lambda a, x: TensorSpec(broadcast(a.shape, x.shape, "RandomGammaGrad"), a.dtype),
    batch=looped,
    types={"T": FLOATS},
)


def _rate_and_scale(alpha: Any, beta: Any, dtype: Any) -> tuple[Any, Any, float]:
    dtype = as_dtype(dtype)
    a = to_tensor(alpha, dtype)
    b = to_tensor(1 if beta is None else beta, dtype)
    if not (a.shape.rank is not None and b.shape.rank == 0):
        a = broadcast_to(a, broadcast_dynamic_shape(shape_of(a), shape_of(b)))
    return a, b, float(dtypes_tiny(dtype))


def dtypes_tiny(dtype: DType) -> Any:
    """The smallest normal number of a float dtype."""
    import ml_dtypes

    return ml_dtypes.finfo(dtype.np_dtype).tiny


def random_gamma(
    shape: Any,
    alpha: Any,
    beta: Any = None,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Gamma variables of `shape` for each pair of parameters: shape + that of alpha / beta.

    Args:
        alpha: shape parameters; gradients flow to them.
        beta: rates, by default 1.
        dtype: a float dtype.
        seed: op seed; see `set_seed`.
    """
    a, b, tiny = _rate_and_scale(alpha, beta, dtype)
    seed1, seed2 = get_seed(seed)
    unit = RandomGamma(_vector(shape), a, seed=seed1, seed2=seed2)
    return maximum(to_tensor(tiny, a.dtype), unit / b)


def stateless_gamma(
    shape: Any,
    seed: Any,
    alpha: Any,
    beta: Any = None,
    dtype: Any = dtypes.float32,
    name: str | None = None,
) -> Tensor:
    """Gamma variables that depend on `seed` (two integers) alone, of `shape`.

    Args:
        shape: ends with the shape of alpha / beta.
        alpha: shape parameters; gradients flow to them.
        beta: rates, by default 1.
        dtype: a float dtype.

    Raises:
        InvalidArgumentError: `shape` does not end so, or `seed` has not two elements.
    """
    a, b, tiny = _rate_and_scale(alpha, beta, dtype)
    unit = StatelessRandomGammaV2(_vector(shape), seed, a)
    return maximum(to_tensor(tiny, a.dtype), unit / b)


# -- Poisson ----------------------------------------------------------------------------------


def _poisson_draw(dims: Any, rate: Any, key: int, counter: Any, *, dtype: DType) -> np.ndarray:
    shape = (*_dims(dims), *rate.shape)
    return as_counts(drawn.poissons(rate, shape, key, counter), dtype)


RandomPoissonV2 = declare_stateful(
    "RandomPoissonV2",
    "shape: S, rate: R",
    _poisson_draw,
    _in_front,
    _appended,
    vjp=lambda op, g: (None, None),
    types={"R": _COUNTS},
    defaults={"dtype": dtypes.int64},
)


def _stateless_poisson_draw(
    dims: Any, rate: Any, key: int, counter: Any, *, dtype: DType
) -> np.ndarray:
    shape = _dims(dims)
    check_tail(shape, rate.shape, "StatelessRandomPoisson")
    return as_counts(drawn.poissons(rate, shape, key, counter), dtype)


StatelessRandomPoisson = declare_stateless(
    "StatelessRandomPoisson",
    "shape: S, seed: Tseed, lam: R",
    _stateless_poisson_draw,
    lambda dims, rate, *, dtype: TensorSpec(known_shape(dims), dtype),
    1,
    vjp=lambda op, g: (None, None, None),
    types={"R": _COUNTS},
)


def random_poisson(
    shape: Any,
    lam: Any,
    dtype: Any = dtypes.float32,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Poisson variables of `shape` for each rate in `lam`: shape + lam.shape.

    Args:
        dtype: a float dtype, int32 or int64.
        seed: op seed; see `set_seed`.
    """
    seed1, seed2 = get_seed(seed)
    dtype = as_dtype(dtype)
    rate = convert_to_tensor(lam, dtype_hint=dtype if dtype.is_floating else dtypes.float32)
    return RandomPoissonV2(_vector(shape), rate, seed=seed1, seed2=seed2, dtype=dtype)


def stateless_poisson(
    shape: Any, seed: Any, lam: Any, dtype: Any = dtypes.int32, name: str | None = None
) -> Tensor:
    """Poisson variables that depend on `seed` (two integers) alone, of `shape`.

    Args:
        shape: ends with the shape of `lam`.
        lam: rates.
        dtype: a float dtype, int32 or int64.

    Raises:
        InvalidArgumentError: `shape` does not end so, or `seed` has not two elements.
    """
    rate = convert_to_tensor(lam, dtype_hint=dtypes.float32)
    return StatelessRandomPoisson(_vector(shape), seed, rate, dtype=as_dtype(dtype))


# -- binomial ---------------------------------------------------------------------------------


def _binomial_draw(
    dims: Any, counts: Any, probs: Any, key: int, counter: Any, *, dtype: DType
) -> np.ndarray:
    shape = _dims(dims)
    both = np.broadcast_shapes(counts.shape, probs.shape)
    check_tail(shape, both, "StatelessRandomBinomial")
    return as_counts(drawn.binomials(counts, probs, shape, key, counter), dtype)


StatelessRandomBinomial = declare_stateless(
    "StatelessRandomBinomial",
    "shape: S, seed: Tseed, counts: T, probs: T",
    _binomial_draw,
    lambda dims, counts, probs, *, dtype: TensorSpec(known_shape(dims), dtype),
    1,
    vjp=lambda op, g: (None, None, None, None),
    types={"T": _COUNTS},
    defaults={"dtype": dtypes.int64},
)


def stateless_binomial(
    shape: Any,
    seed: Any,
    counts: Any,
    probs: Any,
    output_dtype: Any = dtypes.int32,
    name: str | None = None,
) -> Tensor:
    """Binomial variables that depend on `seed` (two integers) alone, of `shape`.

    Args:
        shape: ends with the shape that `counts` and `probs` broadcast to.
        counts: numbers of trials.
        probs: probabilities of success.
        output_dtype: a float dtype, int32 or int64.

    Raises:
        InvalidArgumentError: `shape` does not end so, or `seed` has not two elements.
    """
    p = convert_to_tensor(probs, dtype_hint=dtypes.float32)
    n = convert_to_tensor(counts, dtype_hint=p.dtype)
    n = n if n.dtype is p.dtype else cast(n, p.dtype)
    return StatelessRandomBinomial(_vector(shape), seed, n, p, dtype=as_dtype(output_dtype))


# -- categorical ------------------------------------------------------------------------------


def _categorical_draw(
    logits: Any, samples: Any, key: int, counter: Any, *, output_dtype: DType
) -> np.ndarray:
    found = drawn.categories(logits, int(samples), key, counter)
    return found.astype(output_dtype.np_dtype)


def _categorical_rule(logits: Any, samples: Any, *, output_dtype: DType) -> TensorSpec:
    if logits.shape.rank not in (2, None):
        raise InvalidArgumentError(
            f"logits should be a matrix, got shape {logits.shape} [Op:Multinomial]",
            op="Multinomial",
        )
    if logits.shape.rank == 2 and logits.shape[1] == 0:
        raise InvalidArgumentError(
            "num_classes should be positive, got 0 [Op:Multinomial]", op="Multinomial"
        )
    known = constant_value(samples)
    if known is not None and int(known) < 0:
        raise InvalidArgumentError(
            f"num_samples should be non-negative, got {int(known)} [Op:Multinomial]",
            op="Multinomial",
        )
    rows = logits.shape[0] if logits.shape.rank else None
    return TensorSpec([rows, None if known is None else int(known)], output_dtype)


Multinomial = declare_stateful(
    "Multinomial",
    "logits: T, num_samples: int32",
    _categorical_draw,
    lambda logits, samples: len(logits) * (-(-int(samples) // 4) * 8),
    _categorical_rule,
    vjp=lambda op, g: (None, None),
    types={"T": FLOATS},
    check_first=True,
    defaults={"output_dtype": dtypes.int64},
)
StatelessMultinomial = declare_stateless(
    "StatelessMultinomial",
    "logits: T, num_samples: int32, seed: Tseed",
    _categorical_draw,
    _categorical_rule,
    2,
    vjp=lambda op, g: (None, None, None),
    types={"T": FLOATS},
    check_first=True,
    defaults={"output_dtype": dtypes.int64},
)


def categorical(
    logits: Any,
    num_samples: Any,
    dtype: Any = None,
    seed: int | None = None,
    name: str | None = None,
) -> Tensor:
    """Classes drawn by log-probabilities: [batch, classes] to [batch, num_samples].

    Args:
        logits: floats, not normalised.
        dtype: int32 or int64 (the default).
        seed: op seed; see `set_seed`.

    Raises:
        InvalidArgumentError: `logits` is no matrix, or there are no classes.
    """
    seed1, seed2 = get_seed(seed)
    out = as_dtype(dtype or dtypes.int64)
    return Multinomial(logits, num_samples, seed=seed1, seed2=seed2, output_dtype=out)


def stateless_categorical(
    logits: Any, num_samples: Any, seed: Any, dtype: Any = dtypes.int64, name: str | None = None
) -> Tensor:
    """Classes drawn as by `categorical`, but by `seed` (two integers) alone."""
    return StatelessMultinomial(logits, num_samples, seed, output_dtype=as_dtype(dtype))


# -- truncated normal -------------------------------------------------------------------------


def _truncated_draw(dims: Any, *rest: Any) -> np.ndarray:
    *parameters, key, counter = rest
    shape = _dims(dims)
    mean, stddev, low, high = parameters
    check_tail(shape, np.broadcast_shapes(*(p.shape for p in parameters)), _TRUNCATED)
    bounded = (np.isfinite(low) | np.isfinite(high)).all()
    if not ((stddev > 0).all() and (low < high).all() and bounded):
        raise InvalidArgumentError(
            "Invalid parameters: stddevs must be positive, minvals below maxvals and one of "
            f"the two finite [Op:{_TRUNCATED}]",
            op=_TRUNCATED,
        )
    return drawn.truncated_normals((mean, stddev, low, high), shape, key, counter)


_TRUNCATED = "StatelessParameterizedTruncatedNormal"


def _truncated_vjp(op: Any, g: Any) -> Any:
    # Implicit differentiation of the distribution function (Figurnov, Mohamed and Mnih, 2018);
    # as in TensorFlow mean and deviation move as if the bounds, in deviations, stayed.
    _, _, mean, stddev, low, high = op.inputs
    a, b, z = ((t - mean) / stddev for t in (low, high, op.outputs[0]))
    below, above = _mass(a, z), _mass(z, b)
    whole = below + above
    for_low = Exp((z * z - a * a) * 0.5) * above / whole
    for_high = Exp((z * z - b * b) * 0.5) * below / whole
    pairs = ((ones_like(z), mean), (z, stddev), (for_low, low), (for_high, high))
    return (None, None, *(sum_to(g * f, t) for f, t in pairs))


def _mass(a: Any, b: Any) -> Any:
    """The normal distribution's mass between a and b, on the side where it is exact."""
    root = float(np.sqrt(0.5))
    upper = where(a > 0, ones_like(a), -ones_like(a))
    return (Erfc(upper * a * root) - Erfc(upper * b * root)) * upper * 0.5


StatelessParameterizedTruncatedNormal = declare_stateless(
    _TRUNCATED,
    "shape: S, seed: Tseed, means: T, stddevs: T, minvals: T, maxvals: T",
    _truncated_draw,
    lambda dims, mean, *rest: TensorSpec(known_shape(dims), mean.dtype),
    1,
    vjp=_truncated_vjp,
    types={"T": _REAL},
)


def stateless_parameterized_truncated_normal(
    shape: Any,
    seed: Any,
    means: Any = 0.0,
    stddevs: Any = 1.0,
    minvals: Any = -2.0,
    maxvals: Any = 2.0,
    name: str | None = None,
) -> Tensor:
    """Normal variables within bounds, by `seed` (two integers) alone.

    Args:
        shape: ends with the shape that the parameters broadcast to.
        means, stddevs, minvals, maxvals: floats of one dtype; gradients flow to them.

    Raises:
        InvalidArgumentError: a deviation is not positive, bounds are not in order or both
            infinite, or `shape` does not end so.
    """
    mean = to_tensor(means, None)
    rest = [to_tensor(v, mean.dtype) for v in (stddevs, minvals, maxvals)]
    return StatelessParameterizedTruncatedNormal(_vector(shape), seed, mean, *rest)
