"""Samples of gamma, Poisson, binomial and categorical distributions, and of truncated normals.

The numbers are TensorFlow's for the same seeds: the methods are the published ones that its
kernels use, drawing from the same streams in the same order.  (Where a kernel spreads rows of
classes or truncated normals over threads its numbers depend on that; these are one thread's.)
Array forms are pure functions of key, counter and parameters; `random_sampling` declares the
operations.

* gamma: Marsaglia and Tsang, "A simple method for generating gamma variables", 2000;
* Poisson: Knuth's product of uniforms below a rate of 10, above it Hoermann, "The transformed
  rejection method for generating Poisson random variables", 1993;
* binomial: sums of geometric variables below 10 expected successes, above it Hoermann, "The
  generation of binomial random variates", 1993.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from .philox import blocks, normals, uniform_floats
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
    parameters: Any, shape: tuple[int, ...], key: int, counter: Counter
) -> np.ndarray:
    """Normal variables within bounds, of `shape`, which ends with the parameters' one.

    One stream serves the parameter sets one after the other, each from a new group of words on,
    as where TensorFlow runs on one thread.

    Args:
        parameters: means, stddevs, minvals and maxvals of one dtype, which broadcast.
    """
    both = np.broadcast_shapes(*(p.shape for p in parameters))
    dtype = parameters[0].dtype
    total = int(np.prod(shape, dtype=np.int64))
    if not total:
        return np.empty(shape, dtype)
    per = total // max(int(np.prod(both, dtype=np.int64)), 1)
    columns = [np.broadcast_to(p, both).reshape(-1) for p in parameters]
    out = np.empty((len(columns[0]), per), dtype)
    at = 0
    for row, (mean, stddev, low, high) in zip(out, zip(*columns, strict=True), strict=True):
        # A bound on one side becomes the lower one; bounds on one side of the mean positive.
        if (np.isinf(low) and low < 0) or high < mean:
            low, high, stddev = high, low, -stddev
        a, b = (low - mean) / stddev, (high - mean) / stddev
        proposal = _proposal(a, b, dtype)
        done = 0
        while done < per:
            count = per - done + 4
            steps, found, accepted = proposal(key, counter, at, count)
            places = np.flatnonzero(accepted.reshape(-1))[: per - done]
            row[done : done + len(places)] = found.reshape(-1)[places]
            done += len(places)
            used = count if done < per else places[-1] // found.shape[1] + 1
            at += int(used) * steps
        row[:] = row * stddev + mean
    return _ordered(out.reshape(-1), per, shape)


def _proposal(a: Any, b: Any, dtype: np.dtype) -> Any:
    """For a normal variable within [a, b] a function that draws candidates: words' groups per
    step, candidates [steps, n], which are accepted.  Robert, "Simulation of truncated normal
    variables", 1995; normal candidates where the bounds lie on both sides, far on one."""

    def groups(key: int, counter: Counter, at: int, count: int) -> np.ndarray:
        return blocks(key, counter, at, count).reshape(-1)

    def by_normals(key: int, counter: Counter, at: int, count: int) -> Any:
        z = normals(groups(key, counter, at, count), dtype).reshape(count, -1)
        return 1, z, (z >= a) & (z <= b)

    def by_uniforms(key: int, counter: Counter, at: int, count: int) -> Any:
        u = uniform_floats(groups(key, counter, at, 2 * count), dtype).reshape(count, 2, -1)
        z = u[:, 0] * (b - a) + a
        lead = dtype.type(0) if a < 0 else a * a
        return 2, z, u[:, 1] <= np.exp((lead - z * z) / dtype.type(2))

    root = np.sqrt(a * a + dtype.type(4))
    rate = (a + root) / dtype.type(2)

    def by_exponentials(key: int, counter: Counter, at: int, count: int) -> Any:
        u = uniform_floats(groups(key, counter, at, count), dtype).reshape(count, -1, 2)
        z = -np.log(u[..., 0]) / rate + a
        x = rate - z if a < rate else a - rate
        return 1, z, (u[..., 1] <= np.exp(-x * x / dtype.type(2))) & (z < b)

    if (a < -1.3 and b >= 0) or (b > 1.3 and a <= 0):
        return by_normals
    cutoff = 2 * np.exp(0.5 + a * (a - root) / 4) / (a + root)
    return by_uniforms if b - a < cutoff else by_exponentials
