"""shuffle: the buffer's guarantees, exactness of the vectorised exchange, seeds, rows."""

import numpy as np
from hypothesis import given, settings, strategies as st

import headrace as hr
from headrace.data import Dataset, shuffle_draws
from headrace.data.shuffle_draws import Draws, exchange, exchange_plain
from headrace.ops.graph import llvm


def literal_shuffle(n, buffer_size, seeds):
    """tf.data's algorithm, element by element, with the same draws."""
    draws = Draws(seeds, 0, buffer_size)
    buffer, out = list(range(min(buffer_size, n))), []
    for step, element in enumerate(range(buffer_size, n)):
        slot = int(draws.slots(step, 1)[0])
        out.append(buffer[slot])
        buffer[slot] = element
    return out + [buffer[i] for i in draws.last_order(len(buffer))]


@given(n=st.integers(0, 3000), buffer_size=st.integers(1, 2000), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_equals_the_algorithm_done_literally(n, buffer_size, seed):
    dataset = Dataset.range(n).shuffle(buffer_size, seed=seed)
    expected = literal_shuffle(n, buffer_size, dataset._node.seeds)
    assert list(dataset.as_numpy_iterator()) == expected
    stored = Dataset.range(n).batch(7).unbatch().shuffle(buffer_size, seed=seed)
    assert list(stored.as_numpy_iterator()) == expected


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_plain_exchange_equals_the_loop(data):
    size = data.draw(st.integers(1, 12))
    wide = data.draw(st.booleans())
    slots = np.array(data.draw(st.lists(st.integers(0, size - 1), max_size=40)), np.uint16)
    incoming = np.arange(10_000, 10_000 + len(slots))
    length = 8192 if wide else size  # other algorithms for many slots and for few
    a, b = np.arange(length), np.arange(length)
    leaving = np.empty(len(slots), np.int64)
    for t, slot in enumerate(slots):
        leaving[t], b[slot] = b[slot], incoming[t]
    assert exchange_plain(slots, a, incoming).tolist() == leaving.tolist()
    assert a.tolist() == b.tolist()


def test_compiled_exchange_equals_the_plain_one(monkeypatch):
    llvm.request("exchange", shuffle_draws._LOOP, shuffle_draws._take_code)
    llvm.wait()
    assert shuffle_draws._compiled is not None
    try:
        rng = np.random.default_rng(0)
        slots = rng.integers(0, 50, 1000).astype(np.uint16)
        a, b = np.arange(50), np.arange(50)
        incoming = np.arange(50, 1050)
        plain = exchange_plain(slots, b, incoming)
        assert exchange(slots, a, incoming).tolist() == plain.tolist()
        assert a.tolist() == b.tolist()
    finally:
        monkeypatch.setattr(shuffle_draws, "_compiled", None)


def test_every_order_of_a_full_buffer_is_equally_likely():
    counts = {}
    dataset = Dataset.range(3).shuffle(3, seed=1)
    for order in dataset.repeat(6000).batch(3).as_numpy_iterator():
        counts[tuple(order.tolist())] = counts.get(tuple(order.tolist()), 0) + 1
    assert len(counts) == 6
    # 1000 expected each, standard deviation 29.
    assert all(abs(c - 1000) < 150 for c in counts.values())


def test_same_seed_same_order_in_every_program():
    a = list(Dataset.range(100).shuffle(30, seed=4).as_numpy_iterator())
    b = list(Dataset.range(100).shuffle(30, seed=4).as_numpy_iterator())
    c = list(Dataset.range(100).shuffle(30, seed=5).as_numpy_iterator())
    assert a == b != c


def test_global_seed_determines_the_order():
    orders = []
    for _ in range(2):
        hr.random.set_seed(7)
        orders.append(list(Dataset.range(100).shuffle(30).as_numpy_iterator()))
    assert orders[0] == orders[1]


def test_without_seed_orders_differ():
    a, b = (list(Dataset.range(100).shuffle(30).as_numpy_iterator()) for _ in range(2))
    assert a != b


def test_unknown_buffer_size_takes_everything():
    dataset = Dataset.range(50).shuffle(hr.data.UNKNOWN_CARDINALITY, seed=1)
    out = list(dataset.as_numpy_iterator())
    assert sorted(out) == list(range(50)) != out


def shuffled_pairs(dataset, buffer_size=17):
    return sorted(dataset.shuffle(buffer_size, seed=3).as_numpy_iterator(), key=lambda e: e[0])


def test_rows_of_all_kinds_survive():
    def generate():
        for i in range(200):
            yield i, [i] * (i % 5), f"{i}" * (i % 40), [[f"w{i}"] * (i % 3)], [i, -i]

    spec = (
        hr.TensorSpec([], hr.int64), hr.TensorSpec([None], hr.int32),
        hr.TensorSpec([], hr.string), hr.TensorSpec([1, None], hr.string),
        hr.TensorSpec([2], hr.float32),
    )  # fmt: skip
    dataset = Dataset.from_generator(generate, output_signature=spec)
    expected = list(dataset.as_numpy_iterator())
    for a, b in zip(shuffled_pairs(dataset), expected, strict=True):
        assert all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))


def test_long_strings_survive_moves_of_the_arena():
    texts = [f"{i:04d}" + "x" * (i * 37 % 3000) for i in range(600)]
    dataset = Dataset.from_tensor_slices(texts).map(lambda t: (hr.strings.substr(t, 0, 4), t))
    out = shuffled_pairs(dataset, 50)
    assert [t.decode() for _, t in out] == texts


def test_kind_of_column_may_change_while_shuffling():
    small = Dataset.from_tensors((0, [1, 2])).repeat(40)
    mixed = small.concatenate(Dataset.from_tensors((1, [1, 2, 3])).repeat(40))
    out = list(mixed.shuffle(20, seed=1).as_numpy_iterator())
    assert sorted(len(row) - 2 for _, row in out) == [0] * 40 + [1] * 40
    assert all(len(row) == 2 + kind for kind, row in out)
