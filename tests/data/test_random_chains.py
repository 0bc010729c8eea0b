"""200 random chains of transformations: the same elements as tf.data's, the same with rules and
without, and the checkpoint law at a random position."""

import pickle

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings, strategies as st

import headrace as hr
from headrace.data.iterator import NumpyIterator

# Each step: name, arguments, the transformation.  `m` is headrace or tensorflow.  Elements stay
# scalar int64, so that every step fits behind every other; inside, a step may be nested.
small = st.integers(1, 7)
STEPS = {
    "map": (small, lambda m, d, n: d.map(lambda x: x * n + 1)),
    "map_parallel": (small, lambda m, d, n: d.map(lambda x: x - n, num_parallel_calls=2)),
    "map_pair": (small, lambda m, d, n: d.map(lambda x: {"a": x, "b": (x + n, x * 2)}).map(
        lambda row: row["a"] + row["b"][0] - row["b"][1])),
    "map_strings": (small, lambda m, d, n: d.map(
        lambda x: (x, m.fill([n], "ab"))).map(
        lambda x, s: x + m.cast(m.reduce_sum(m.strings.length(s)), m.int64))),
    "filter": (small, lambda m, d, n: d.filter(lambda x: x % (n + 1) != 0)),
    "batch_sum": (small, lambda m, d, n: d.batch(n).map(lambda x: m.reduce_sum(x))),
    "batch_drop_unbatch": (small, lambda m, d, n: d.batch(n, drop_remainder=True).unbatch()),
    "batch_batch": (small, lambda m, d, n: d.batch(n, True).batch(2, True).map(
        lambda x: m.reduce_max(x))),
    "padded": (small, lambda m, d, n: d.map(lambda x: m.fill([m.math.floormod(x, 4)], x))
               .padded_batch(n).map(lambda x: m.reduce_sum(x))),
    "rebatch": (small, lambda m, d, n: d.batch(3).rebatch(n).unbatch()),
    "take": (st.integers(-1, 40), lambda m, d, n: d.take(n)),
    "skip": (st.integers(0, 20), lambda m, d, n: d.skip(n)),
    "repeat": (st.integers(0, 3), lambda m, d, n: d.repeat(n)),
    "repeat_endless": (st.integers(0, 60), lambda m, d, n: d.repeat().take(n)),
    "shard": (small, lambda m, d, n: d.shard(n, n // 2)),
    "enumerate": (small, lambda m, d, n: d.enumerate(n).map(lambda i, x: i * x)),
    "concatenate": (small, lambda m, d, n: d.concatenate(m.data.Dataset.range(n))),
    "zip": (st.integers(0, 60), lambda m, d, n: m.data.Dataset.zip(
        (d, m.data.Dataset.range(n))).map(lambda a, b: a + b)),
    "cache": (st.none(), lambda m, d, n: d.cache()),
    "prefetch": (small, lambda m, d, n: d.prefetch(n)),
    "window": (small, lambda m, d, n: d.window(n, shift=2, drop_remainder=False).flat_map(
        lambda w: w.batch(10)).map(lambda x: m.reduce_sum(x))),
    "flat_map": (small, lambda m, d, n: d.flat_map(
        lambda x: m.data.Dataset.range(x % n + 1).map(lambda y: x + y))),
    "interleave": (small, lambda m, d, n: d.interleave(
        lambda x: m.data.Dataset.range(x, x + 3), cycle_length=n, block_length=2)),
    "take_while": (st.integers(0, 60), lambda m, d, n: d.take_while(lambda x: x < n)),
    "scan": (small, lambda m, d, n: d.scan(np.int64(0), lambda s, x: (s + x, s - n * x))),
    "unique": (st.none(), lambda m, d, n: d.unique()),
    "ignore_errors": (st.none(), lambda m, d, n: d.map(
        lambda x: 60 // (x % 5 - 2)).ignore_errors()),
    "group_by_window": (small, lambda m, d, n: d.group_by_window(
        lambda x: x % 3, lambda k, w: w.batch(n), window_size=n).map(
        lambda x: m.reduce_sum(x))),
    "shuffle": (small, lambda m, d, n: d.shuffle(n, seed=3)),
}  # fmt: skip
REORDERING = {"shuffle"}
# What a later step makes of reordered elements depends on the order, unless it is one of these.
ORDER_FREE = {
    "map", "map_parallel", "map_pair", "map_strings", "filter", "repeat", "cache", "prefetch",
    "concatenate", "ignore_errors", "unique", "shuffle", "flat_map",
}  # fmt: skip
MOST = 150

chains = st.lists(
    st.sampled_from(sorted(STEPS)).flatmap(
        lambda name: st.tuples(st.just(name), STEPS[name][0])
    ),
    min_size=1, max_size=5,
)  # fmt: skip


def build(m, length, steps):
    dataset = m.data.Dataset.range(length)
    for name, n in steps:
        dataset = STEPS[name][1](m, dataset, n)
    return dataset


def run(iterator):
    return [int(x) for x, _ in zip(iterator, range(MOST), strict=False)]


def many(count):
    return settings(
        max_examples=count, derandomize=True, deadline=None, database=None,
        suppress_health_check=list(HealthCheck),
    )  # fmt: skip


@many(200)
@given(st.integers(0, 30), chains, st.integers(0, 1 << 16))
def test_rules_change_nothing_and_any_position_can_be_restored(length, steps, where):
    written = run(NumpyIterator(build(hr, length, steps)._node))
    with build(hr, length, steps).as_numpy_iterator() as iterator:
        elements, states = [], [pickle.dumps(iterator.state())]
        for x in iterator:
            elements.append(int(x))
            states.append(pickle.dumps(iterator.state()))
            if len(elements) == MOST:
                break
    assert elements == written
    position = where % len(states)
    assert len(states[position]) < 20_000
    with build(hr, length, steps).as_numpy_iterator() as iterator:
        iterator.restore(pickle.loads(states[position]))
        rest = run(iterator)
    assert rest[: len(elements) - position] == elements[position:]


@pytest.mark.peers
@many(200)
@given(st.integers(0, 30), chains)
def test_the_same_elements_as_tf_data(length, steps):
    tf = pytest.importorskip("tensorflow")
    shuffled = False
    for name, _ in steps:  # drop what depends on the order of a random stream
        if shuffled and name not in ORDER_FREE:
            steps = [s for s in steps if s[0] not in REORDERING]
            shuffled = False
            break
        shuffled = shuffled or name in REORDERING
    ours = run(build(hr, length, steps).as_numpy_iterator())
    theirs = run(build(tf, length, steps).as_numpy_iterator())
    if shuffled and len(ours) < MOST:
        ours, theirs = sorted(ours), sorted(theirs)
    elif shuffled:
        ours, theirs = len(ours), len(theirs)
    assert ours == theirs
