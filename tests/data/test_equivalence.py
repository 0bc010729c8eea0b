"""Any pipeline gives the same with all rules, with none, and restored at any place."""

import numpy as np
from hypothesis import assume, given, settings, strategies as st

import headrace as hr
from headrace.data import Dataset
from headrace.data.options import Options


def noisy(x):
    return x + hr.cast(hr.random.uniform([], 0, 10, dtype=hr.int32, seed=7), hr.int64)


def fails_for_17(x):
    return x + 100 // (x - 17)


def python_half(x):
    return x.numpy() // 2


STEPS = {
    "double": lambda d: d.map(lambda x: x * 2),
    "shift": lambda d: d.map(lambda x: x + 3, num_parallel_calls=2),
    "identity": lambda d: d.map(lambda x: x),
    "noisy": lambda d: d.map(noisy),
    "fails": lambda d: d.map(fails_for_17),
    "python": lambda d: d.map(python_half),
    "python in parallel": lambda d: d.map(python_half, num_parallel_calls=3),
    "even": lambda d: d.filter(lambda x: x % 2 == 0),
    "python filter": lambda d: d.filter(lambda x: bool(x.numpy() % 3)),
    "pairs": lambda d: d.map(lambda x: (x, x + 1)).map(lambda x, y: x * y),
    "take": lambda d: d.take(70),
    "take all": lambda d: d.take(-1),
    "skip": lambda d: d.skip(5),
    "skip none": lambda d: d.skip(0),
    "repeat": lambda d: d.repeat(2),
    "shuffle": lambda d: d.shuffle(20, seed=3, reshuffle_each_iteration=False),
    "batch and back": lambda d: d.batch(7).unbatch(),
    "batch, map, back": lambda d: d.batch(7).map(lambda x: x - 1).unbatch(),
    "prefetch": lambda d: d.prefetch(2),
    "cache": lambda d: d.cache(),
    "shard": lambda d: d.shard(2, 1),
    "zip": lambda d: Dataset.zip((d, d.map(lambda x: x * 5))).map(lambda x, y: x - y),
    "flat_map": lambda d: d.flat_map(lambda x: Dataset.range(x % 4).map(lambda y: y + x)),
    "interleave": lambda d: d.interleave(
        lambda x: Dataset.from_tensors(x).repeat(3), cycle_length=2, block_length=2
    ),
    "enumerate": lambda d: d.enumerate().map(lambda i, x: i - x),
    "ignore errors": lambda d: d.ignore_errors(),
    "window": lambda d: (
        d.window(3, shift=2, drop_remainder=True)
        .flat_map(lambda w: w.batch(3))
        .map(lambda v: hr.reduce_sum(v))
    ),
    "scan": lambda d: d.scan(hr.constant(0, hr.int64), lambda s, x: (s + x, s)),
    "take while": lambda d: d.take_while(lambda x: x < 150),
    "unique": lambda d: d.unique(),
    "endless": lambda d: d.repeat().take(90),
    "concatenate": lambda d: d.concatenate(Dataset.range(5).map(lambda x: x * 7)),
}
ENDS = {"none": lambda d: d, "batch": lambda d: d.batch(4), "prefetch": lambda d: d.prefetch(1)}


def outcomes(iterator, limit=400):
    """Elements and, in their places, what kind of error there was about which element."""
    out = []
    while len(out) < limit:
        try:
            out.append(np.asarray(next(iterator)).tolist())
        except StopIteration:
            break
        except hr.errors.OpError as error:
            out.append(type(error).__name__)
    return out


@given(
    steps=st.lists(st.sampled_from(sorted(STEPS)), min_size=1, max_size=5),
    end=st.sampled_from(sorted(ENDS)),
    place=st.integers(0, 60),
)
@settings(max_examples=60, deadline=None, derandomize=True)
def test_rules_change_nothing_and_state_is_exact(steps, end, place):
    # Behind a failed element, a fused map's random numbers are others (see map_fusion).
    assume("noisy" not in steps or "fails" not in steps)
    dataset = Dataset.range(60)
    for step in steps:
        dataset = STEPS[step](dataset)
    dataset = ENDS[end](dataset)
    plain = Options()
    plain.experimental_optimization.apply_default_optimizations = False
    with iter(dataset.with_options(plain)) as iterator:
        expected = outcomes(iterator)
    with iter(dataset) as iterator:
        assert outcomes(iterator) == expected
    with iter(dataset) as iterator:
        before = outcomes(iterator, place)
        state = iterator.state()
    with iter(dataset) as iterator:
        iterator.restore(state)
        assert before + outcomes(iterator, 400 - len(before)) == expected
