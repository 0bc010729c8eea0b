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
from ..ops.random_sampling import (
    categorical,
    random_gamma as gamma,
    random_poisson as poisson,
    stateless_binomial,
    stateless_categorical,
    stateless_gamma,
    stateless_parameterized_truncated_normal,
    stateless_poisson,
)
from ..ops.random_seeds import Algorithm, fold_in, split
from . import random_experimental as experimental

__all__ = [
    "Algorithm",
    "Generator",
    "all_candidate_sampler",
    "categorical",
    "create_rng_state",
    "experimental",
    "fixed_unigram_candidate_sampler",
    "fold_in",
    "gamma",
    "get_global_generator",
    "learned_unigram_candidate_sampler",
    "log_uniform_candidate_sampler",
    "normal",
    "poisson",
    "set_global_generator",
    "set_seed",
    "shuffle",
    "split",
    "stateless_binomial",
    "stateless_categorical",
    "stateless_gamma",
    "stateless_normal",
    "stateless_parameterized_truncated_normal",
    "stateless_poisson",
    "stateless_truncated_normal",
    "stateless_uniform",
    "truncated_normal",
    "uniform",
    "uniform_candidate_sampler",
]
