"""Initializers: distribution, seeds, configs as Keras writes them."""

import numpy as np
import pytest

import headrace as hr
from headrace.keras import initializers

CASES = [
    ("Zeros", {}),
    ("Ones", {}),
    ("Constant", {"value": 3.5}),
    ("RandomNormal", {"mean": 1.0, "stddev": 0.5, "seed": 4}),
    ("RandomUniform", {"minval": -1.0, "maxval": 2.0, "seed": 4}),
    ("TruncatedNormal", {"stddev": 2.0, "seed": 4}),
    ("GlorotUniform", {"seed": 4}),
    ("GlorotNormal", {}),
    ("HeNormal", {"seed": 4}),
    ("HeUniform", {"seed": 4}),
    ("LecunNormal", {"seed": 4}),
    ("LecunUniform", {"seed": 4}),
    ("VarianceScaling", {"scale": 2.0, "mode": "fan_out", "distribution": "uniform"}),
    ("Orthogonal", {"gain": 2.0, "seed": 4}),
]
IDS = [n for n, _ in CASES]


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
def test_config_is_keras_and_round_trips(tf, name, kwargs):
    ours = getattr(initializers, name)(**kwargs)
    assert ours.get_config() == getattr(tf.keras.initializers, name)(**kwargs).get_config()
    described = initializers.serialize(ours)
    assert described == tf.keras.initializers.serialize(
        getattr(tf.keras.initializers, name)(**kwargs)
    )
    again = initializers.deserialize(described)
    assert type(again) is type(ours) and again.get_config() == ours.get_config()


@pytest.mark.parametrize(("name", "kwargs"), CASES, ids=IDS)
@pytest.mark.parametrize("shape", [(300, 200), (3, 3, 40, 60)], ids=str)
def test_moments_are_keras(tf, name, kwargs, shape):
    """Mean, spread and range agree with Keras's values of the same distribution."""
    mine = np.asarray(getattr(initializers, name)(**kwargs)(shape))
    expected = getattr(tf.keras.initializers, name)(**kwargs)(shape).numpy()
    assert mine.dtype == np.float32 and mine.shape == shape
    scale = float(expected.std())
    assert mine.mean() == pytest.approx(expected.mean(), abs=0.05 * scale + 1e-6)
    assert mine.std() == pytest.approx(expected.std(), rel=0.03, abs=1e-6)
    if (
        "Normal" not in name
        or "Truncated" in name
        or name.startswith(("Glorot", "He", "Lecun"))
    ):
        assert np.abs(mine).max() == pytest.approx(np.abs(expected).max(), rel=0.05) or (
            name == "Orthogonal"
        )


@pytest.mark.parametrize(
    "name", [n for n, _ in CASES if n not in ("Zeros", "Ones", "Constant")]
)
def test_a_seed_repeats_and_no_seed_differs(name):
    cls = getattr(initializers, name)
    seeded = cls(seed=1)
    first = np.asarray(seeded((20, 30)))
    np.testing.assert_array_equal(first, seeded((20, 30)))
    np.testing.assert_array_equal(first, cls(seed=1)((20, 30)))
    np.testing.assert_array_equal(first, seeded.clone()((20, 30)))
    assert np.any(first != np.asarray(cls(seed=2)((20, 30))))
    assert np.any(np.asarray(cls()((20, 30))) != np.asarray(cls()((20, 30))))


@pytest.mark.parametrize("shape", [(30, 20), (20, 30), (2, 3, 4)], ids=str)
def test_orthogonal_is(shape):
    q = np.asarray(initializers.Orthogonal(gain=3.0, seed=1)(shape, dtype="float64"))
    q = q.reshape(-1, shape[-1])
    product = q @ q.T if q.shape[0] < q.shape[1] else q.T @ q
    np.testing.assert_allclose(product, 9 * np.eye(len(product)), atol=1e-10)


def test_identity_and_dtype():
    np.testing.assert_array_equal(initializers.Identity(2.0)((2, 3)), 2 * np.eye(2, 3))
    assert initializers.Ones()((2,), dtype="int32").dtype == "int32"
    assert initializers.RandomNormal()((2,), dtype="float16").dtype == "float16"
    np.testing.assert_array_equal(
        initializers.Constant(np.array([1.0, 2.0]))((3, 2)), [[1, 2]] * 3
    )


def test_axes_of_fans():
    sizes = (4, 8, 16)
    values = np.asarray(
        initializers.HeUniform(seed=1, input_axes=[0, 2], output_axes=[1])(sizes)
    )
    assert np.abs(values).max() == pytest.approx(np.sqrt(3 * 2 / 64), rel=0.05)


NAMES = ["zeros", "ones", "glorot_uniform", "he_normal", "uniform", "normal", "random_normal",
         "truncated_normal", "orthogonal", "identity", "lecun_uniform", "HeUniform",
         "variance_scaling", "IdentityInitializer", "zero", "one", "stft",
         "STFTInitializer"]  # fmt: skip


@pytest.mark.parametrize("name", NAMES)
def test_get_is_keras(tf, name):
    ours = initializers.get(name)
    try:
        expected = tf.keras.initializers.get(name)
    except ValueError:
        pytest.skip("Keras 2's name")
    assert type(ours).__name__ == type(expected).__name__


def test_get_passes_on_or_refuses():
    made = initializers.Ones()
    assert initializers.get(made) is made and initializers.get(None) is None
    assert isinstance(initializers.get(initializers.Zeros), initializers.Zeros)
    assert float(initializers.get(2.0)(())) == 2.0
    for bad in ("no_such", object()):
        with pytest.raises(ValueError):
            initializers.get(bad)


STFTS = [
    {},
    {"side": "imag"},
    {"scaling": "spectrum", "periodic": True},
    {"scaling": None, "window": "hamming"},
    {"window": None},
    {"window": [0.5, 1.0, 2.0, 1.5, 1.0, 0.25], "side": "imag"},
]


@pytest.mark.parametrize("kwargs", STFTS, ids=str)
def test_stft_is_keras(tf, kwargs):
    ours, theirs = initializers.STFT(**kwargs), tf.keras.initializers.STFT(**kwargs)
    np.testing.assert_allclose(ours((6, 1, 9)), theirs((6, 1, 9)), rtol=1e-4, atol=2e-6)
    assert ours.get_config() == theirs.get_config()
    again = initializers.deserialize(initializers.serialize(ours))
    np.testing.assert_array_equal(again((6, 1, 9)), ours((6, 1, 9)))


BAD = {
    "side": lambda: initializers.STFT("left"),
    "window": lambda: initializers.STFT(window="no_such_window"),
    "scaling": lambda: initializers.STFT(scaling="power"),
    "window's length": lambda: initializers.STFT(window=[1.0, 2.0])((3, 1, 4)),
    "seed": lambda: initializers.RandomNormal(seed="a"),
    "scale": lambda: initializers.VarianceScaling(scale=0.0),
    "mode": lambda: initializers.VarianceScaling(mode="fan"),
    "distribution": lambda: initializers.VarianceScaling(distribution="gamma"),
    "rank": lambda: initializers.Identity()((2, 2, 2)),
    "vector": lambda: initializers.Orthogonal()((4,)),
    "integer": lambda: initializers.GlorotUniform()((4, 4), dtype="int32"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    with pytest.raises(ValueError):
        BAD[case]()


def test_values_are_made_while_tracing():
    """A layer may be built inside a traced function: its weights are values all the same."""
    made = []

    @hr.function
    def traced(x):
        made.append(initializers.HeNormal(seed=1)((3, 3)))
        return x

    traced(hr.constant(1.0))
    np.testing.assert_array_equal(made[0], initializers.HeNormal(seed=1)((3, 3)))
