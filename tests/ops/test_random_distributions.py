"""Gamma, Poisson, binomial and categorical samples, seeds of seeds (hr.random)."""

import numpy as np
import pytest
from harness import Case, check_laws, same

import headrace as hr
from headrace import errors

SEED = [5, 7]
LOGITS = np.log(np.array([[0.1, 0.2, 0.7], [0.5, 0.4, 0.1]], np.float32))


# -- TensorFlow's numbers ---------------------------------------------------------------------

STATELESS = {
    "gamma": lambda lib, kind: lib.random.stateless_gamma(
        [50, 4], SEED, np.array([0.3, 1.0, 4.5, 60.0]), dtype=lib.as_dtype(kind)
    ),
    "gamma-rate": lambda lib, kind: lib.random.stateless_gamma(
        [20, 2, 3], SEED, [[0.5], [2.0]], beta=[1.0, 2.0, 9.0], dtype=lib.as_dtype(kind)
    ),
    "poisson": lambda lib, kind: lib.random.stateless_poisson(
        [50, 5], SEED, lib.cast([0.5, 3.0, 9.9, 12.0, 300.0], kind), lib.as_dtype(kind)
    ),
    "poisson-int": lambda lib, kind: lib.random.stateless_poisson(
        [50, 2], SEED, lib.cast([2.0, 20.0], kind)
    ),
    "binomial": lambda lib, kind: lib.random.stateless_binomial(
        [50, 5],
        SEED,
        lib.cast([10.0, 50.0, 1000.0, 3.0, 0.0], kind),
        lib.cast([0.2, 0.7, 0.4, 1.0, 0.5], kind),
        output_dtype=lib.int64,
    ),
    "categorical": lambda lib, kind: lib.random.stateless_categorical(
        lib.cast(LOGITS, kind), 33, SEED, lib.int32
    ),
}
BOUNDS = {
    "wide": (-1.0, 2.0),
    "narrow": (-0.5, 0.4),
    "tail": (3.0, 9.0),
    "left": (-np.inf, -2.0),
    "right": (0.5, np.inf),
}
STATEFUL = {
    "gamma": lambda lib, kind: lib.random.gamma([5], [0.5, 2.0], dtype=kind, seed=4),
    "poisson": lambda lib, kind: lib.random.poisson([5], [0.5, 20.0], dtype=kind, seed=4),
    "categorical": lambda lib, kind: lib.random.categorical(lib.cast(LOGITS, kind), 9, seed=4),
}


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", STATELESS)
def test_stateless_numbers(tf, name, kind):
    same(STATELESS[name](hr, kind), STATELESS[name](tf, kind), 1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("bounds", BOUNDS.values(), ids=BOUNDS)
def test_truncated_normals_and_their_gradients(tf, bounds, kind):
    found = []
    for lib in (hr, tf):
        means = lib.constant([0.0, 5.0], kind)
        parameters = [means, lib.constant(1.5, kind), *(means + b * 1.5 for b in bounds)]
        with lib.GradientTape() as tape:
            tape.watch(parameters)
            y = lib.random.stateless_parameterized_truncated_normal([9, 2], SEED, *parameters)
            total = lib.reduce_sum(y * y)
        found.append([y, *tape.gradient(total, parameters)])
    for ours, theirs in zip(*found, strict=True):
        same(ours, theirs, 2e-4 if kind == "float32" else 1e-6)


@pytest.mark.parametrize("kind", ["float32", "float64"])
@pytest.mark.parametrize("name", STATEFUL)
def test_stateful_numbers(tf, name, kind):
    found = []
    for lib in (hr, tf):
        lib.random.set_seed(3)
        one = STATEFUL[name](lib, lib.as_dtype(kind))
        found.append((one, STATEFUL[name](lib, lib.as_dtype(kind))))
    for ours, theirs in zip(*found, strict=True):
        same(ours, theirs, 1e-6)


@pytest.mark.parametrize("dtype", ["int32", "int64"])
def test_seeds(tf, dtype):
    seed = np.array([3, -9], dtype)
    same(hr.random.split(seed, 4), tf.random.split(seed, 4))
    data = np.array(11, dtype)
    same(hr.random.fold_in(seed, data), tf.random.fold_in(seed, data))


@pytest.mark.parametrize("top", [1, 5, 300, 70_000, 2**33])
def test_index_shuffle(tf, top):
    index = np.arange(min(top, 9), dtype=np.int64)
    ours, theirs = (
        lib.random.experimental.index_shuffle(index, SEED, np.int64(top)) for lib in (hr, tf)
    )
    same(ours, theirs)
    ours, theirs = (
        lib.random_index_shuffle(index, [1, 2, 3], np.int64(top), 6) for lib in (hr, tf)
    )
    same(ours, theirs)


def test_index_shuffle_permutes():
    found = hr.random.experimental.index_shuffle(np.arange(100), SEED, np.int64(99))
    assert sorted(found.numpy().tolist()) == list(range(100))


# -- the right distributions ------------------------------------------------------------------


@pytest.mark.parametrize(
    "bounds", [(-1.0, 2.0), (3.0, 3.5), (-np.inf, -4.0), (8.0, np.inf), (-0.1, 0.1)]
)
def test_truncated_normals(bounds):
    from scipy import stats

    x = hr.random.stateless_parameterized_truncated_normal(
        [4000], SEED, hr.constant(1.0, "float64"), 2.0, bounds[0] * 2 + 1, bounds[1] * 2 + 1
    ).numpy()
    z = (x - 1) / 2
    assert bounds[0] <= z.min() and z.max() <= bounds[1]
    assert stats.kstest(z, stats.truncnorm(*bounds).cdf).pvalue > 1e-3


@pytest.mark.parametrize(
    ("draw", "law"),
    [
        (lambda: hr.random.gamma([4000], 0.7, dtype=hr.float64), "gamma"),
        (lambda: hr.random.gamma([4000], 3.0, beta=2.0, dtype=hr.float64) * 2, "gamma3"),
    ],
)
def test_gamma_is_gamma(draw, law):
    from scipy import stats

    hr.random.set_seed(1)
    shape = 3.0 if law == "gamma3" else 0.7
    assert stats.kstest(draw().numpy(), stats.gamma(shape).cdf).pvalue > 1e-3


def test_stateless_shuffle():
    x = np.arange(20)
    found = hr.random.experimental.stateless_shuffle(x, SEED).numpy()
    assert sorted(found.tolist()) == x.tolist() and found.tolist() != x.tolist()
    np.testing.assert_array_equal(
        found, hr.random.experimental.stateless_shuffle(x, SEED).numpy()
    )


# -- laws -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["gamma", "poisson", "binomial", "categorical"])
def test_traced_and_batched_are_eager(name):
    """Per element too: a block of seeds gives what each seed gives."""
    calls = {
        "gamma": lambda s, p: hr.random.stateless_gamma([3, 2], s, p + 0.5),
        "poisson": lambda s, p: hr.random.stateless_poisson([3, 2], s, p * 9, hr.float32),
        "binomial": lambda s, p: hr.random.stateless_binomial([3, 2], s, p * 0 + 9, p),
        "categorical": lambda s, p: hr.random.stateless_categorical(p[None], 3, s),
    }
    parameters = np.array([0.2, 0.6], np.float32)
    check_laws(Case(name, calls[name], (np.array(SEED), parameters), grad=False))


def test_mapped_elements_have_their_own_numbers():
    def draw(x):
        return hr.random.gamma([2], [1.0, 5.0], seed=3), hr.random.poisson([2], 4.0, seed=5)

    hr.random.set_seed(8)
    rows = [
        np.concatenate([p.numpy().reshape(-1) for p in e])
        for e in hr.data.Dataset.range(6).map(draw)
    ]
    assert len({tuple(r) for r in np.round(rows, 6).tolist()}) == 6


def test_gamma_gradient(tf):
    found = []
    for lib in (hr, tf):
        alpha = lib.constant([0.5, 1.0, 8.0], lib.float64)
        with lib.GradientTape() as tape:
            tape.watch(alpha)
            y = lib.random.stateless_gamma([7, 3], SEED, alpha, dtype=lib.float64)
        found.append(tape.gradient(y, alpha))
    same(*found, 1e-6)


class TestErrors:
    def test_shapes(self):
        with pytest.raises(errors.InvalidArgumentError, match="must end with"):
            hr.random.stateless_gamma([2, 2], SEED, [1.0, 2.0, 3.0])
        with pytest.raises(errors.InvalidArgumentError, match="must end with"):
            hr.random.stateless_binomial([2], SEED, [1.0, 2.0, 3.0], 0.5)
        with pytest.raises(errors.InvalidArgumentError, match=r"seed must have shape \[2\]"):
            hr.random.stateless_poisson([2], [1, 2, 3], 1.0)

    def test_categorical(self):
        with pytest.raises(errors.InvalidArgumentError, match="matrix"):
            hr.random.categorical([0.0, 1.0], 2)
        with pytest.raises(errors.InvalidArgumentError, match="positive"):
            hr.random.categorical(np.zeros((2, 0), np.float32), 2)

    def test_bounds(self):
        with pytest.raises(errors.InvalidArgumentError, match="Invalid parameters"):
            hr.random.stateless_parameterized_truncated_normal([2], SEED, 0.0, 1.0, 2.0, 1.0)


def test_empty():
    assert hr.random.stateless_gamma([0, 2], SEED, [1.0, 2.0]).shape == (0, 2)
    assert hr.random.stateless_poisson([0], SEED, 2.0).shape == (0,)
    assert hr.random.categorical(LOGITS, 0).shape == (2, 0)


def test_names(tf):
    for name in ("random", "random.experimental"):
        theirs, ours = tf, hr
        for part in name.split("."):
            theirs, ours = getattr(theirs, part), getattr(ours, part)
        assert {n for n in dir(theirs) if not n.startswith("_")} <= set(dir(ours))
