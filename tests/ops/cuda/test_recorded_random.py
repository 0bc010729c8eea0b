"""Random numbers on devices: kernels give the CPU's, and replayed draws go on where calls one
by one would, whatever is drawn in between."""

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st
from ptx_device import PtxDevice
from recording_double import recorder_of_cupy, replaying

import headrace as hr
from headrace.ops import philox, random_ops
from headrace.ops.cuda import device, nvrtc, random, replay

needs_nvrtc = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
KEY, COUNTER = 0x1234567887654321, (3, 9)
WORDS = st.integers(0, 2**64 - 1)
KINDS = [("uniform", "float32"), ("uniform", "float64"), ("normal", "float16"),
         ("truncated", "float32"), ("truncated", "float64"), ("bits", "uint32"),
         ("bits", "int64")]  # fmt: skip


@pytest.fixture(scope="module")
def gpu():
    with device.use(PtxDevice()) as found:
        yield found


def same(got, want, kind):
    assert got.dtype == want.dtype
    close = {2: 2e-3, 4: 2e-6, 8: 1e-14}[want.dtype.itemsize]
    if kind in ("normal", "truncated"):
        np.testing.assert_allclose(got.astype("f8"), want.astype("f8"), rtol=close, atol=close)
    else:
        np.testing.assert_array_equal(got, want)


# -- kernels ----------------------------------------------------------------------------------


@needs_nvrtc
@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("n", [1, 1001])
def test_the_first_counter_may_stand_on_the_device(gpu, kind, name, n):
    dtype = hr.as_dtype(name)
    for start in (0, 12345, 3 << 44):
        want = random_ops.draw(kind, n, dtype, KEY, COUNTER, start)
        same(random.draw(kind, n, dtype, KEY, COUNTER, start), want, kind)
        there = np.array([start], np.uint64)
        same(random.draw(kind, n, dtype, KEY, COUNTER, there), want, kind)


@needs_nvrtc
@pytest.mark.parametrize(("kind", "name"), KINDS)
@pytest.mark.parametrize("seeds", ["int32", "int64"])
def test_seeds_are_read_on_the_device(gpu, kind, name, seeds):
    dtype = hr.as_dtype(name)
    for pair in ((0, 0), (7, -9), (2**31 - 1, -(2**31))):
        key, counter = philox.key_and_counter(pair)
        want = random_ops.draw(kind, 101, dtype, key, counter)
        same(random.draw_seeded(kind, 101, dtype, np.array(pair, seeds)), want, kind)


@needs_nvrtc
@settings(max_examples=10)
@given(st.tuples(WORDS, WORDS, WORDS), st.sampled_from(KINDS), st.integers(1, 50))
def test_a_generators_state_moves_as_on_the_cpu(gpu, words, kind, n):
    kind, dtype = kind[0], hr.as_dtype(kind[1])
    generator = hr.random.Generator.from_state(np.array(words, np.uint64).view(np.int64))
    state = generator.state.numpy()
    if dtype.is_floating:
        call = {"uniform": generator.uniform, "normal": generator.normal,
                "truncated": generator.truncated_normal}[kind]  # fmt: skip
    else:
        call = generator.uniform_full_int
    want = call([n], dtype=dtype).numpy()
    got, moved = random.draw_state(kind, n, dtype, state)
    same(got, want, kind)
    np.testing.assert_array_equal(moved, generator.state.numpy())


@needs_nvrtc
@given(st.lists(WORDS, max_size=20))
@settings(max_examples=10)
def test_numbers_of_the_host_come_with_a_launch(gpu, words):
    to = np.full(32, 7, np.uint64)
    random.write(to, np.array(words, np.uint64))
    assert to.tolist() == words + [7] * (32 - len(words))


@needs_nvrtc
def test_they_compile_for_every_architecture():
    for arch in nvrtc.ARCHITECTURES:
        nvrtc.compile_source(random.state_source(), arch, "state")
        nvrtc.compile_source(random.source("truncated", hr.float16), arch, "truncated")


# -- replay -----------------------------------------------------------------------------------

DRAWS = {
    "uniform": lambda n, g, s: hr.random.uniform([n]),
    "uniform float64": lambda n, g, s: hr.random.uniform([n], -2, 3, dtype="float64"),
    "integers": lambda n, g, s: hr.random.uniform([n], -5, 9, dtype="int32"),
    "integers of seed": lambda n, g, s: hr.random.uniform([n], 0, 9, dtype="int64", seed=3),
    "normal": lambda n, g, s: hr.random.normal([n], seed=5),
    "the same normal": lambda n, g, s: hr.random.normal([n + 1], seed=5),
    "truncated normal": lambda n, g, s: hr.random.truncated_normal([n]),
    "dropout": lambda n, g, s: hr.nn.dropout(hr.ones([n]), 0.5),
    "generator": lambda n, g, s: g.normal([n]),
    "generator's integers": lambda n, g, s: g.uniform([n], 0, 100, dtype="int32"),
    "keras": lambda n, g, s: hr.keras.random.uniform([n], seed=s),
    "keras normal": lambda n, g, s: hr.keras.random.normal([n], seed=s),
    "stateless": lambda n, g, s: hr.random.stateless_uniform([n], [n, 3]),
}
NAMES = st.lists(st.sampled_from(sorted(DRAWS)), min_size=1, max_size=5)


def numbers(names, calls, between, seed):
    """What a compiled function that draws gives, call by call, and what is drawn between."""
    hr.random.set_seed(seed)
    generator = hr.random.Generator.from_seed(seed)
    seeds = hr.keras.random.SeedGenerator(seed)

    @hr.function
    def draws(x):
        return [DRAWS[name](4 + i, generator, seeds) for i, name in enumerate(names)]

    found = []
    for k in range(calls):
        found += [a.numpy() for a in draws(hr.constant(0.0))]
        if k % 2:
            found += [DRAWS[name](3, generator, seeds).numpy() for name in between]
        if k == calls - 2:
            hr.random.set_seed(seed)  # every stream begins anew
    return found


@settings(max_examples=12, deadline=None)
@given(NAMES, st.lists(st.sampled_from(sorted(DRAWS)), max_size=2), st.integers(0, 99))
def test_replays_draw_what_calls_draw(names, between, seed):
    calls = replay.WARM_CALLS + 4
    want = numbers(names, calls, between, seed)
    with replaying() as made:
        got = numbers(names, calls, between, seed)
        told = [m.told() for m in made]
    assert told == ["replayed as a CUDA graph, 4 calls so far"]
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("recorder", [None, recorder_of_cupy], ids=["the double's", "CuPy's"])
def test_many_draws_have_places_of_their_own(recorder):
    want = numbers(["uniform", "normal"] * 40, 5, [], 3)
    with replaying(recorder=recorder) as made:
        got = numbers(["uniform", "normal"] * 40, 5, [], 3)
    assert "3 calls" in made[0].told()
    for a, b in zip(got, want, strict=True):
        np.testing.assert_array_equal(a, b)
