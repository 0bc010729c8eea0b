"""`hr.random`: random values, stateful under a global seed and stateless under given ones."""

from ..ops.api import (
    Generator,
    create_rng_state,
    get_global_generator,
    random_normal as normal,
    random_shuffle as shuffle,
    random_truncated_normal as truncated_normal,
    random_uniform as uniform,
    set_global_generator,
    set_seed,
    stateless_normal,
    stateless_truncated_normal,
    stateless_uniform,
)
from ..ops.candidate_sampling import (
    all_candidate_sampler,
    fixed_unigram_candidate_sampler,
    learned_unigram_candidate_sampler,
    log_uniform_candidate_sampler,
    uniform_candidate_sampler,
)

__all__ = [
    "Generator",
    "all_candidate_sampler",
    "create_rng_state",
    "fixed_unigram_candidate_sampler",
    "get_global_generator",
    "learned_unigram_candidate_sampler",
    "log_uniform_candidate_sampler",
    "normal",
    "set_global_generator",
    "set_seed",
    "shuffle",
    "stateless_normal",
    "stateless_truncated_normal",
    "stateless_uniform",
    "truncated_normal",
    "uniform",
    "uniform_candidate_sampler",
]
