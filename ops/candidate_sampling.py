"""Candidate samplers: few classes drawn for a whole batch, in place of all of them.

A sampler gives the sampled classes and how often each of them, and each true class, is
expected to appear in a sample, which `sampled_softmax_loss` and `nce_loss` correct for.
Draws continue one Philox stream per sampler and seed pair, as those of `random_ops` do.

Expected counts follow Jason Rennie's and TensorFlow's formula: with replacement p * n; without,
``1 - (1 - p) ** tries`` where `tries` is how many draws gave n different classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from . import dtypes
from .errors import InvalidArgumentError
from .primitive import Primitive
from .random_ops import draw_stream, get_seed
from .tensor import Tensor
from .tensor_spec import TensorSpec

__all__ = [
    "all_candidate_sampler", "compute_accidental_hits", "fixed_unigram_candidate_sampler",
    "learned_unigram_candidate_sampler", "log_uniform_candidate_sampler",
    "uniform_candidate_sampler",
]  # fmt: skip

_Samples = tuple[Tensor, Tensor, Tensor]


# -- distributions: uniform floats to classes, and the probability of classes -----------------


def _uniform(range_max: int, **_: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    def pick(u: Any) -> Any:
        return np.minimum((u * range_max).astype(np.int64), range_max - 1)

    return pick, lambda ids: np.full(np.shape(ids), 1.0 / range_max)


def _log_uniform(range_max: int, **_: Any) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    """P(class) = log((class + 2) / (class + 1)) / log(range_max + 1), as Zipf's law has it."""
    log_range = np.log1p(range_max)

    def pick(u: Any) -> Any:
        return (np.exp(u * log_range).astype(np.int64) - 1) % range_max

    return pick, lambda ids: np.log((ids + 2.0) / (ids + 1.0)) / log_range


def _by_weight(weights: np.ndarray) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:
    ends = np.cumsum(weights)
    p = weights / ends[-1]

    def pick(u: Any) -> Any:
        return np.minimum(np.searchsorted(ends, u * ends[-1], side="right"), len(ends) - 1)

    return pick, lambda ids: p[ids]


def _fixed(
    range_max: int, *, vocab_file: str, distortion: float, num_reserved_ids: int,
    num_shards: int, shard: int, unigrams: tuple[float, ...], **_: Any,
) -> tuple[Callable[[Any], Any], Callable[[Any], Any]]:  # fmt: skip
    if vocab_file:
        with open(vocab_file, encoding="utf-8") as lines:
            found = [float(line.rstrip("\n").split(",")[-1]) for line in lines if line.strip()]
    else:
        found = list(unigrams)
    weights = np.concatenate([np.zeros(num_reserved_ids), np.asarray(found) ** distortion])
    if len(weights) != range_max:
        raise InvalidArgumentError(
            f"range_max must be the number of reserved ids and unigrams, {len(weights)}, got "
            f"{range_max} [Op:FixedUnigramCandidateSampler]",
            op="FixedUnigramCandidateSampler",
        )
    mine = np.arange(range_max) % num_shards == shard
    if not (weights * mine).sum() > 0:
        raise InvalidArgumentError("the unigrams of this shard have no weight")
    # Probabilities are those within the shard.
    return _by_weight(weights * mine)


# -- sampling ---------------------------------------------------------------------------------


def _sample(
    name: str, pick: Any, chance: Any, true: Any, num_sampled: int, unique: bool,
    range_max: int, uniforms: Callable[[int], np.ndarray],
) -> tuple[Any, Any, Any]:  # fmt: skip
    if true.size and (int(true.min()) < 0 or int(true.max()) >= range_max):
        bad = int(true.min()) if int(true.min()) < 0 else int(true.max())
        raise InvalidArgumentError(
            f"true_classes must lie in [0, {range_max}), got {bad} [Op:{name}]", op=name
        )
    if unique:
        sampled, tries = _distinct(name, pick, num_sampled, range_max, uniforms)
    else:
        sampled, tries = pick(uniforms(num_sampled)), num_sampled
    sampled = sampled.astype(np.int64)

    def expected(ids: Any) -> Any:
        p = chance(ids)
        count = p * num_sampled if tries == num_sampled else -np.expm1(tries * np.log1p(-p))
        return count.astype(np.float32)

    return sampled, expected(true), expected(sampled)


def _distinct(
    name: str, pick: Any, n: int, range_max: int, uniforms: Callable[[int], np.ndarray]
) -> tuple[np.ndarray, int]:
    """The first `n` different classes of a stream of draws, and how many draws that took."""
    if n > range_max:
        raise InvalidArgumentError(
            f"Sampler's range is too small: {n} different classes of {range_max} [Op:{name}]",
            op=name,
        )
    drawn = np.empty(0, np.int64)
    size = max(2 * n, 16)
    for _ in range(40):
        drawn = np.concatenate([drawn, pick(uniforms(size)).astype(np.int64)])
        _, first = np.unique(drawn, return_index=True)
        if len(first) >= n:
            first = np.sort(first)[:n]
            return drawn[first], int(first[-1]) + 1 if n else 0
        size = len(drawn)
    raise InvalidArgumentError(
        f"{n} different classes of {range_max} were not found in {len(drawn)} draws: too few "
        f"classes have a weight [Op:{name}]",
        op=name,
    )


def _specs(true: Any, *, num_true: int, num_sampled: int, **_: Any) -> tuple[TensorSpec, ...]:
    if true.shape.rank not in (2, None):
        raise InvalidArgumentError(
            f"true_classes must be a matrix, got shape {true.shape} [Op:CandidateSampler]"
        )
    if true.shape.rank == 2 and true.shape[1] not in (num_true, None):
        raise InvalidArgumentError(
            f"true_classes must have num_true columns, expected: {num_true} was: "
            f"{true.shape[1]}"
        )
    if num_sampled <= 0:
        raise InvalidArgumentError(f"num_sampled must be positive, got {num_sampled}")
    rows = None if true.shape.rank is None else true.shape[0]
    return (
        TensorSpec([num_sampled], dtypes.int64),
        TensorSpec([rows, num_true], dtypes.float32),
        TensorSpec([num_sampled], dtypes.float32),
    )


def _declare(name: str, distribution: Callable[..., Any], **defaults: Any) -> Primitive:
    def impl(
        true: Any, *, num_true: int, num_sampled: int, unique: bool, range_max: int, seed: int,
        seed2: int, **attrs: Any,
    ) -> Any:  # fmt: skip
        pick, chance = distribution(range_max, **attrs)

        def uniforms(n: int) -> np.ndarray:
            return draw_stream("uniform", n, dtypes.float64, name, seed, seed2)

        return _sample(name, pick, chance, true, num_sampled, unique, range_max, uniforms)

    return Primitive(
        name,
        "true_classes: int64",
        impl=impl,
        shape=_specs,
        vjp=lambda op, *gs: (None,),
        stateful=True,
        random=True,
        check_first=True,
        defaults={"seed": 0, "seed2": 0, **defaults},
    )


# Counts of the true classes seen so far, from 1 each: one table per size and seeds.
_LEARNED: dict[tuple[int, int, int], np.ndarray] = {}


def _learned_impl(
    true: Any, *, num_true: int, num_sampled: int, unique: bool, range_max: int, seed: int,
    seed2: int,
) -> Any:  # fmt: skip
    name = "LearnedUnigramCandidateSampler"
    counts = _LEARNED.setdefault((range_max, seed, seed2), np.ones(range_max))
    pick, chance = _by_weight(counts.copy())

    def uniforms(n: int) -> np.ndarray:
        return draw_stream("uniform", n, dtypes.float64, name, seed, seed2)

    out = _sample(name, pick, chance, true, num_sampled, unique, range_max, uniforms)
    np.add.at(counts, true.reshape(-1), 1.0)
    return out


UniformCandidateSampler = _declare("UniformCandidateSampler", _uniform)
LogUniformCandidateSampler = _declare("LogUniformCandidateSampler", _log_uniform)
FixedUnigramCandidateSampler = _declare(
    "FixedUnigramCandidateSampler", _fixed, vocab_file="", distortion=1.0, num_reserved_ids=0,
    num_shards=1, shard=0, unigrams=(),
)  # fmt: skip
LearnedUnigramCandidateSampler, ThreadUnsafeUnigramCandidateSampler = (
    Primitive(
        name, "true_classes: int64", impl=_learned_impl, shape=_specs,
        vjp=lambda op, *gs: (None,), stateful=True, random=True, check_first=True,
        defaults={"seed": 0, "seed2": 0},
    )
    for name in ("LearnedUnigramCandidateSampler", "ThreadUnsafeUnigramCandidateSampler")
)  # fmt: skip


def _all_impl(true: Any, *, num_sampled: int, **_: Any) -> Any:
    ids = np.arange(num_sampled, dtype=np.int64)
    return ids, np.ones(true.shape, np.float32), np.ones(num_sampled, np.float32)


AllCandidateSampler = Primitive(
    "AllCandidateSampler",
    "true_classes: int64",
    impl=_all_impl,
    shape=_specs,
    vjp=lambda op, *gs: (None,),
    check_first=True,
    defaults={"seed": 0, "seed2": 0},
)


def _sampler(
    primitive: Primitive, true_classes: Any, num_true: int, num_sampled: int, unique: bool,
    seed: int | None, **attrs: Any,
) -> _Samples:  # fmt: skip
    seed1, seed2 = get_seed(seed)
    return primitive(
        true_classes, num_true=int(num_true), num_sampled=int(num_sampled),
        unique=bool(unique), seed=seed1, seed2=seed2, **attrs,
    )  # fmt: skip


def uniform_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int,
    seed: int | None = None, name: str | None = None,
) -> _Samples:  # fmt: skip
    """Classes of [0, range_max), all equally likely.

    Args:
        true_classes: int64 [batch, num_true].
        num_true: true classes per example.
        num_sampled: classes to draw for the batch.
        unique: whether no class may come twice.
        range_max: number of classes.
        seed: operation seed.
        name: ignored.

    Returns:
        sampled_candidates int64 [num_sampled], true_expected_count float32 [batch, num_true]
        and sampled_expected_count float32 [num_sampled].

    Raises:
        InvalidArgumentError: `unique` and fewer than num_sampled classes; a wrong shape.
    """
    return _sampler(
        UniformCandidateSampler, true_classes, num_true, num_sampled, unique, seed,
        range_max=int(range_max),
    )  # fmt: skip


def log_uniform_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int,
    seed: int | None = None, name: str | None = None,
) -> _Samples:  # fmt: skip
    """Classes with P(class) = log((class + 2) / (class + 1)) / log(range_max + 1), which suits
    classes sorted by falling frequency; see `uniform_candidate_sampler`."""
    return _sampler(
        LogUniformCandidateSampler, true_classes, num_true, num_sampled, unique, seed,
        range_max=int(range_max),
    )  # fmt: skip


def learned_unigram_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int,
    seed: int | None = None, name: str | None = None,
) -> _Samples:  # fmt: skip
    """Classes as often as they were true in earlier calls with the same seeds, plus one; see
    `uniform_candidate_sampler`."""
    return _sampler(
        LearnedUnigramCandidateSampler, true_classes, num_true, num_sampled, unique, seed,
        range_max=int(range_max),
    )  # fmt: skip


def fixed_unigram_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, range_max: int,
    vocab_file: str = "", distortion: float = 1.0, num_reserved_ids: int = 0,
    num_shards: int = 1, shard: int = 0, unigrams: Any = (), seed: int | None = None,
    name: str | None = None,
) -> _Samples:  # fmt: skip
    """Classes with probabilities in proportion to given counts to the power `distortion`; see
    `uniform_candidate_sampler`.

    Args:
        true_classes, num_true, num_sampled, unique, range_max, seed, name: as there.
        vocab_file: a CSV file whose last column holds the counts; or
        unigrams: the counts.
        distortion: 1 for the counts themselves, 0 for a uniform distribution.
        num_reserved_ids: classes put before the given ones, of probability 0.
        num_shards, shard: sample only classes that are `shard` modulo `num_shards`.
    """
    if bool(vocab_file) == bool(len(unigrams)):
        raise InvalidArgumentError(
            "Must provide either vocab_file or unigrams, but not both and not neither."
        )
    return _sampler(
        FixedUnigramCandidateSampler, true_classes, num_true, num_sampled, unique, seed,
        range_max=int(range_max), vocab_file=vocab_file, distortion=float(distortion),
        num_reserved_ids=int(num_reserved_ids), num_shards=int(num_shards), shard=int(shard),
        unigrams=tuple(float(u) for u in unigrams),
    )  # fmt: skip


def all_candidate_sampler(
    true_classes: Any, num_true: int, num_sampled: int, unique: bool, seed: int | None = None,
    name: str | None = None,
) -> _Samples:  # fmt: skip
    """All classes of [0, num_sampled), each expected once."""
    return _sampler(AllCandidateSampler, true_classes, num_true, num_sampled, unique, seed)


# -- accidental hits --------------------------------------------------------------------------


def _hits_impl(true: Any, sampled: Any, **_: Any) -> Any:
    order = np.argsort(sampled, kind="stable")
    known, flat = sampled[order], true.reshape(-1)
    # Of a class sampled twice the last place counts.
    at = np.searchsorted(known, flat, side="right") - 1
    found = np.flatnonzero((at >= 0) & (known[at] == flat)) if len(known) else np.zeros(0, int)
    rows = found // max(true.shape[1], 1)
    lowest = np.full(len(found), -np.finfo(np.float32).max, np.float32)
    return rows.astype(np.int32), order[at[found]].astype(np.int64), lowest


def _hits_shape(true: Any, sampled: Any, *, num_true: int, **_: Any) -> Any:
    if true.shape.rank not in (2, None) or sampled.shape.rank not in (1, None):
        raise InvalidArgumentError(
            f"true_classes must be a matrix and sampled_candidates a vector, got shapes "
            f"{true.shape} and {sampled.shape} [Op:ComputeAccidentalHits]",
            op="ComputeAccidentalHits",
        )
    kinds = (dtypes.int32, dtypes.int64, dtypes.float32)
    return tuple(TensorSpec([None], kind) for kind in kinds)


ComputeAccidentalHits = Primitive(
    "ComputeAccidentalHits",
    "true_classes: int64, sampled_candidates: int64",
    impl=_hits_impl,
    shape=_hits_shape,
    vjp=lambda op, *gs: (None, None),
    check_first=True,
    defaults={"seed": 0, "seed2": 0},
)


def compute_accidental_hits(
    true_classes: Any, sampled_candidates: Any, num_true: int, seed: int | None = None,
    name: str | None = None,
) -> tuple[Tensor, Tensor, Tensor]:  # fmt: skip
    """Where a sampled class is a true class of an example.

    Returns:
        indices int32 (rows of `true_classes`), ids int64 (places in `sampled_candidates`) and
        weights float32, all the lowest float: added to the logits they remove the hits.
    """
    return ComputeAccidentalHits(true_classes, sampled_candidates, num_true=int(num_true))
