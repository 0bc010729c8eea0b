"""Samples of gamma, Poisson, binomial and categorical distributions, and of truncated normals.

The numbers are TensorFlow's for the same seeds: the methods are the published ones that its
kernels use, drawing from one stream per sample in the same order.  Truncated normals with
parameters have the right distribution but other numbers.  Array forms are pure functions of
key, counter and parameters; `random_sampling` declares the operations.

* gamma: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000;
* Poisson: Knuth's product of uniforms below a rate of 10, above it Hoermann, "The transformed
  rejection method for generating Poisson random variables", 1993;
* binomial: sums of geometric variables below 10 expected successes, above it Hoermann, "The
  generation of binomial random variates", 1993.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .philox import blocks, uniform_floats
from .random_streams import Streams, normal_buffer, uniform_buffer

__all__ = ["binomials", "categories", "gammas", "poissons", "truncated_normals"]

Counter = tuple[int, int]
_RESERVED = 256


def _spread(parameters: np.ndarray, per: int) -> np.ndarray:
    """Each parameter `per` times: outputs are numbered parameter by parameter."""
    return np.repeat(np.asarray(parameters).reshape(-1), per)


def _ordered(samples: np.ndarray, per: int, shape: tuple[int, ...]) -> np.ndarray:
    """Samples numbered parameter by parameter as [samples, parameters], in `shape`."""
    return np.ascontiguousarray(samples.reshape(-1, per).T).reshape(shape)


def gammas(alpha: np.ndarray, shape: tuple[int, ...], key: int, counter: Counter) -> np.ndarray:
    """Gamma variables of rate 1, of `shape`, which ends with alpha's; in alpha's dtype."""
    total = int(np.prod(shape, dtype=np.int64))
    if not total:
        return np.empty(shape, alpha.dtype)
    per = total // max(alpha.size, 1)
    a = _spread(alpha, per).astype(np.float64)
    index = np.arange(total, dtype=np.uint64) * np.uint64(_RESERVED)
    streams = Streams(key, counter, index)
    normal, uniform = normal_buffer(streams, total), uniform_buffer(streams, total)
    out = np.empty(total)
    exponential = np.flatnonzero(a == 1)
    if len(exponential):
        out[exponential] = -np.log1p(-uniform.take(exponential))
    small = a < 1
    d = a + np.where(small, 2.0 / 3, -1.0 / 3)
    c = 1.0 / 3 / np.sqrt(d)
    todo = np.flatnonzero(a != 1)
    while len(todo):
        x = normal.take(todo)
        v = 1 + c[todo] * x
        ok = v > 0
        who, x, v = todo[ok], x[ok], v[ok] ** 3
        u = uniform.take(who)
        accept = (u < 1 - 0.0331 * (x * x) * (x * x)) | (
            np.log(u) < 0.5 * x * x + d[who] * (1 - v + np.log(v))
        )
        done = who[accept]
        found = d[done] * v[accept]
        less = small[done]
        if less.any():
            found[less] *= uniform.take(done[less]) ** (1 / a[done[less]])
        out[done] = found
        todo = np.setdiff1d(todo, done, assume_unique=True)
    return _ordered(out, per, shape).astype(alpha.dtype)


def poissons(
    rate: np.ndarray, shape: tuple[int, ...], key: int, counter: Counter
) -> np.ndarray:
    """Poisson variables as doubles, of `shape`, which ends with rate's."""
    total = int(np.prod(shape, dtype=np.int64))
    if not total:
        return np.empty(shape)
    per = total // max(rate.size, 1)
    r = _spread(rate, per).astype(np.float64)
    streams = Streams(key, counter, np.arange(total, dtype=np.uint64) * np.uint64(_RESERVED))
    uniform = uniform_buffer(streams, total)
    out = np.full(total, np.nan)
    out[np.isinf(r) & (r > 0)] = np.inf
    todo = np.flatnonzero((r < 10) & (r >= 0))
    limit, product, count = np.exp(-r), np.ones(total), np.zeros(total)
    while len(todo):
        product[todo] *= uniform.take(todo)
        done = product[todo] <= limit[todo]
        out[todo[done]] = count[todo[done]]
        todo = todo[~done]
        count[todo] += 1
    todo = np.flatnonzero(np.isfinite(r) & (r >= 10))
    _transformed_rejection(todo, r, uniform, out)
    return _ordered(out, per, shape)


def _transformed_rejection(todo: Any, r: Any, uniform: Any, out: Any) -> None:
    from scipy.special import gammaln

    log_r = np.log(r)
    b = 0.931 + 2.53 * np.sqrt(r)
    a = -0.059 + 0.02483 * b
    inverse_alpha = 1.1239 + 1.1328 / (b - 3.4)
    while len(todo):
        u = uniform.take(todo) - 0.5
        v = uniform.take(todo)
        aw, bw, rw = a[todo], b[todo], r[todo]
        us = 0.5 - np.abs(u)
        k = np.floor((2 * aw / us + bw) * u + rw + 0.43)
        quick = (us >= 0.07) & (v <= 0.9277 - 3.6224 / (bw - 2))
        possible = ~((k < 0) | ((us < 0.013) & (v > us)))
        s = np.log(v * inverse_alpha[todo] / (aw / (us * us) + bw))
        accept = quick | (
            possible & (s <= -rw + k * log_r[todo] - gammaln(np.maximum(k, 0) + 1))
        )
        out[todo[accept]] = k[accept]
        todo = todo[~accept]


def binomials(
    counts: np.ndarray, probs: np.ndarray, shape: tuple[int, ...], key: int, counter: Counter
) -> np.ndarray:
    """Binomial variables as doubles, of `shape`, which ends with the parameters' broadcast
    one."""
    both = np.broadcast_shapes(counts.shape, probs.shape)
    total = int(np.prod(shape, dtype=np.int64))
    if not total:
        return np.empty(shape)
    per = total // max(int(np.prod(both, dtype=np.int64)), 1)
    n_given = _spread(np.broadcast_to(counts, both), per)
    p_given = _spread(np.broadcast_to(probs, both), per)
    flip = p_given > 0.5
    q = np.where(flip, 1 - p_given, p_given).astype(p_given.dtype)
    n, p = n_given.astype(np.float64), q.astype(np.float64)
    out = np.full(total, np.nan)
    index = np.arange(total, dtype=np.uint64)
    nothing = (n <= 0) | (p_given <= 0)
    everything = ~nothing & (p_given >= 1)
    out[nothing], out[everything] = 0, n[everything]
    rest = ~(nothing | everything | np.isnan(p_given))
    many = n_given * q >= 10
    for chosen, skip, method in ((many, _RESERVED, _btrs), (~many, 42, _inversion)):
        todo = np.flatnonzero(rest & chosen)
        uniform = uniform_buffer(Streams(key, counter, index * np.uint64(skip)), total)
        method(todo, n, p, uniform, out)
        turned = todo[flip[todo]]
        out[turned] = n[turned] - out[turned]
    return _ordered(out, per, shape)


def _inversion(todo: Any, n: Any, p: Any, uniform: Any, out: Any) -> None:
    total, count = np.zeros(len(n)), np.zeros(len(n))
    while len(todo):
        u = uniform.take(todo)
        total[todo] += np.ceil(np.log(u) / np.log1p(-p[todo]))
        done = total[todo] > n[todo]
        out[todo[done]] = count[todo[done]]
        todo = todo[~done]
        count[todo] += 1


def _tail(k: Any) -> Any:
    """log k! less Stirling's main terms."""
    from scipy.special import gammaln

    exact = gammaln(k + 1) - ((k + 0.5) * np.log(k + 1) - (k + 1) + 0.5 * np.log(2 * np.pi))
    square = (k + 1) * (k + 1)
    series = (1.0 / 12 - (1.0 / 360 - 1.0 / 1260 / square) / square) / (k + 1)
    return np.where(k <= 9, exact, series)


def _btrs(todo: Any, n: Any, p: Any, uniform: Any, out: Any) -> None:
    spread = np.sqrt(n * p * (1 - p))
    b = 1.15 + 2.53 * spread
    a = -0.0873 + 0.0248 * b + 0.01 * p
    c = n * p + 0.5
    box, ratio = 0.92 - 4.2 / b, p / (1 - p)
    alpha, m = (2.83 + 5.1 / b) * spread, np.floor((n + 1) * p)
    while len(todo):
        u = uniform.take(todo) - 0.5
        v = uniform.take(todo)
        us = 0.5 - np.abs(u)
        aw, bw, nw, mw, rw = a[todo], b[todo], n[todo], m[todo], ratio[todo]
        k = np.floor((2 * aw / us + bw) * u + c[todo])
        quick = (us >= 0.07) & (v <= box[todo])
        possible = (k >= 0) & (k <= nw)
        j = np.clip(k, 0, nw)
        s = np.log(v * alpha[todo] / (aw / (us * us) + bw))
        bound = (
            (mw + 0.5) * np.log((mw + 1) / (rw * (nw - mw + 1)))
            + (nw + 1) * np.log((nw - mw + 1) / (nw - j + 1))
            + (j + 0.5) * np.log(rw * (nw - j + 1) / (j + 1))
            + _tail(mw)
            + _tail(nw - mw)
            - _tail(j)
            - _tail(nw - j)
        )
        accept = quick | (possible & (s <= bound))
        out[todo[accept]] = k[accept]
        todo = todo[~accept]


def categories(logits: np.ndarray, samples: int, key: int, counter: Counter) -> np.ndarray:
    """Classes drawn by unnormalised log-probabilities [batch, classes]: int64 [batch, samples].

    One stream serves the rows one after the other, as where TensorFlow runs on one thread.
    """
    rows = len(logits)
    n = rows * samples
    words = blocks(key, counter, 0, -(-2 * n // 4)).reshape(-1)[: 2 * n]
    u = uniform_floats(words, np.dtype(np.float64)).reshape(rows, samples)
    wide = logits.astype(np.float64)
    finite = np.isfinite(wide)
    largest = np.max(np.where(finite, wide, -np.inf), 1, keepdims=True, initial=-np.inf)
    weights = np.where(finite, np.exp(wide - np.where(np.isfinite(largest), largest, 0)), 0)
    sums = np.cumsum(weights, 1)
    out = np.empty((rows, samples), np.int64)
    for i in range(rows):
        out[i] = np.searchsorted(sums[i], u[i] * sums[i, -1], "right")
    return out


def truncated_normals(
    shape: tuple[int, ...], parameters: Any, key: int, counter: Counter
) -> np.ndarray:
    """Normal variables within bounds, by inverting the distribution function.

    Args:
        parameters: means, stddevs, minvals and maxvals, which broadcast to `shape`.
    """
    from scipy.special import log_ndtr, ndtri_exp

    mean, stddev, low, high = (
        np.broadcast_to(np.asarray(v, np.float64), shape) for v in parameters
    )
    n = int(np.prod(shape, dtype=np.int64))
    words = blocks(key, counter, 0, -(-2 * n // 4)).reshape(-1)[: 2 * n]
    u = uniform_floats(words, np.dtype(np.float64)).reshape(shape)
    a, b = (low - mean) / stddev, (high - mean) / stddev
    # In the upper half the mirrored problem is solved, where logarithms keep their digits.
    mirrored = a > 0
    a, b = np.where(mirrored, -b, a), np.where(mirrored, -a, b)
    la, lb = log_ndtr(a), log_ndtr(b)
    mixed = lb + np.log(u + (1 - u) * np.exp(la - lb))
    z = np.clip(ndtri_exp(np.minimum(mixed, 0)), a, b)
    return np.clip(np.where(mirrored, -z, z) * stddev + mean, low, high)
