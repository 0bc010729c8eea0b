"""The own kernels: what their PTX computes is what the CPU's forms compute."""

import numpy as np
import pytest
from ptx_device import PtxDevice

import headrace as hr
from headrace.keras.optimizers.updates import UPDATES
from headrace.ops import dtypes, pool_plain
from headrace.ops.array_text import evaluate
from headrace.ops.cuda import (
    cross_entropy,
    device,
    embedding,
    nvrtc,
    pooling,
    random as cuda_random,
    updates,
)
from headrace.ops.primitive import get_primitive
from headrace.ops.random_ops import draw
from headrace.ops.windows import Windows

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
RNG = np.random.default_rng


@pytest.fixture
def gpu():
    with device.use(PtxDevice()) as found:
        yield found


# -- pooling ----------------------------------------------------------------------------------

WINDOWS = {
    "2x2": ((6, 8), (2, 2), (2, 2), (1, 1), "VALID"),
    "3x3 overlapping, padded": ((7, 6), (3, 3), (2, 2), (1, 1), "SAME"),
    "gaps between": ((5, 5), (2, 2), (3, 3), (1, 1), "VALID"),
    "dilated": ((9, 7), (2, 3), (1, 1), (2, 2), "VALID"),
    "line": ((13,), (4,), (3,), (1,), "SAME"),
    "volume": ((4, 5, 3), (2, 2, 2), (2, 1, 2), (1, 1, 1), "SAME"),
}


@pytest.mark.parametrize(
    ("window", "name"),
    [*((w, "float32") for w in WINDOWS), ("2x2", "float64"), ("2x2", "float16"),
     ("3x3 overlapping, padded", "bfloat16")],
)  # fmt: skip
def test_pooling(gpu, window, name):
    at = Windows(*WINDOWS[window])
    kind = hr.as_dtype(name).np_dtype
    # Few different numbers, so that maxima are there twice.
    x = RNG(0).integers(-4, 5, (3, *at.size, 5)).astype(kind)
    g = RNG(1).integers(-9, 9, (3, *at.out, 5)).astype(kind)
    wide = x.astype("f8")
    y = pool_plain.maximum(wide, at)
    np.testing.assert_array_equal(pooling.maximum(x, at), y.astype(kind))
    np.testing.assert_array_equal(
        pooling.maximum_grad(x, y.astype(kind), g, at),
        pool_plain.maximum_grad(wide, y, g.astype("f8"), at).astype(kind),
    )
    close = dict(rtol=1e-2 if kind.itemsize == 2 else 1e-6, atol=1e-2)
    for got, want in (
        (pooling.average(x, at), pool_plain.average(wide, at)),
        (
            pooling.average_grad(x.shape, g, at),
            pool_plain.average_grad(x.shape, g.astype("f8"), at),
        ),
    ):
        assert got.dtype == kind
        np.testing.assert_allclose(got.astype("f8"), want, **close)


def test_pooling_of_integers_and_of_nan(gpu):
    at = Windows((4, 4), (2, 2), (2, 2), (1, 1), "VALID")
    for kind in ("int8", "uint8", "int32", "int64"):
        x = RNG(0).integers(np.iinfo(kind).min, np.iinfo(kind).max, (2, 4, 4, 3), kind)
        np.testing.assert_array_equal(pooling.maximum(x, at), pool_plain.maximum(x, at))
    x = np.arange(48, dtype="f4").reshape(1, 4, 4, 3)
    x[0, 1, 1, 1] = np.nan
    x[0, 2:, :2, 0] = -np.inf
    np.testing.assert_array_equal(pooling.maximum(x, at), pool_plain.maximum(x, at))


# -- embeddings -------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [np.int32, np.int64])
@pytest.mark.parametrize("width", [1, 6, 64])
def test_gather(gpu, kind, width):
    table = RNG(0).normal(size=(50, width)).astype("f4")
    indices = RNG(1).integers(0, 50, (7, 9)).astype(kind)
    np.testing.assert_array_equal(embedding.gather(table, indices), table[indices])


def test_gather_beside_the_table_gives_zeros(gpu):
    table = np.ones((3, 4), "f4")
    got = embedding.gather(table, np.array([-1, 2, 3, 1 << 30]))
    assert got.sum(1).tolist() == [0, 4, 0, 0]


@pytest.mark.parametrize("name", ["float32", "float64", "bfloat16"])
@pytest.mark.parametrize("runs", ["scattered", "a few", "one", "one of many"])
def test_add_rows(gpu, monkeypatch, name, runs):
    monkeypatch.setattr(embedding, "_CUT", 16)
    embedding.source.cache_clear()
    kind = hr.as_dtype(name).np_dtype
    rng = RNG(3)
    for count in (1, 16, 17, 333):
        indices = {
            "scattered": lambda n=count: rng.integers(0, 40, n),
            "a few": lambda n=count: rng.integers(0, 3, n),
            "one": lambda n=count: np.full(n, 7),
            "one of many": lambda n=count: np.where(
                rng.random(n) < 0.7, 5, rng.integers(-2, 45, n)),
        }[runs]()  # fmt: skip
        table = rng.integers(-3, 3, (40, 3)).astype(kind)
        values = rng.integers(-3, 3, (count, 3)).astype(kind)
        want = table.astype("f8")
        inside = (indices >= 0) & (indices < 40)
        np.add.at(want, indices[inside], values[inside].astype("f8"))
        assert embedding.add_rows(table, indices, values) is table
        close = dict(rtol=1e-2) if kind.itemsize == 2 else dict(rtol=0)
        np.testing.assert_allclose(table.astype("f8"), want, **close)
    embedding.source.cache_clear()


# -- random numbers ---------------------------------------------------------------------------


@pytest.mark.parametrize("start", [0, 5, (1 << 64) - 2, (1 << 66) + 3])
@pytest.mark.parametrize(
    ("kind", "dtype"),
    [("uniform", "float32"), ("uniform", "float64"), ("uniform", "float16"),
     ("uniform", "bfloat16"), ("normal", "float32"), ("normal", "float64"),
     ("normal", "float16"), ("bits", "uint32"), ("bits", "int32"), ("bits", "uint64"),
     ("bits", "int64")],
)  # fmt: skip
def test_random_numbers_are_those_of_the_cpu(gpu, kind, dtype, start):
    dtype = hr.as_dtype(dtype)
    for n in (1, 1001):
        args = (kind, n, dtype, 0x1234567887654321, (3, 9), start)
        got, want = cuda_random.draw(*args), draw(*args)
        assert got.dtype == want.dtype
        if kind == "normal":
            close = {2: 2e-3, 4: 2e-6, 8: 1e-14}[dtype.size]
            np.testing.assert_allclose(got, want, rtol=close, atol=close)
        else:
            np.testing.assert_array_equal(got, want)


# -- cross-entropy ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("classes", "name"),
    [(1, "float32"), (10, "float64"), (100, "float16"), (700, "float32"), (9000, "float16"),
     (17000, "float32")],
)  # fmt: skip
def test_sparse_cross_entropy(gpu, classes, name):
    kind = hr.as_dtype(name).np_dtype
    x = (3 * RNG(0).normal(size=(1, 3, classes))).astype(kind)
    labels = RNG(1).integers(0, classes, (1, 3)).astype(np.int32)
    loss, grad = cross_entropy.sparse(x, labels)
    assert loss.dtype == grad.dtype == kind
    wide = x.astype("f8")
    z = wide - wide.max(-1, keepdims=True)
    p = np.exp(z) / np.exp(z).sum(-1, keepdims=True)
    hot = np.arange(classes) == labels[..., None]
    close = dict(rtol=1e-2, atol=1e-2) if kind.itemsize == 2 else dict(rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(loss, -np.log(p[hot].reshape(1, 3)), **close)
    np.testing.assert_allclose(grad, p - hot, **close)


def test_labels_that_are_no_class_give_nan_there_alone(gpu):
    x = RNG(0).normal(size=(4, 5)).astype("f4")
    loss, grad = cross_entropy.sparse(x, np.array([0, -1, 5, 2]))
    assert np.isnan(loss).tolist() == [False, True, True, False]
    assert np.isnan(grad).all(1).tolist() == np.isnan(grad).any(1).tolist()
    assert np.isnan(grad).any(1).tolist() == [False, True, True, False]


def test_dense_cross_entropy(gpu):
    x, y = (RNG(i).normal(size=(2, 9, 33)).astype("f4") for i in range(2))
    loss, grad = cross_entropy.dense(x, np.abs(y))
    raw = get_primitive("SoftmaxCrossEntropyWithLogits")
    want, slope = (t.numpy() for t in raw(hr.constant(x), hr.constant(np.abs(y))))
    np.testing.assert_allclose(loss, want, rtol=1e-5)
    np.testing.assert_allclose(grad, slope, rtol=1e-5, atol=1e-6)


# -- updates ----------------------------------------------------------------------------------

SIZES = (1, 3, 256, 4096, 4097, 10001)


@pytest.mark.parametrize("name", UPDATES)
def test_updates_of_many_variables_are_one_launch(gpu, name):
    arrays, scalars, lines = UPDATES[name]
    rng = RNG(0)
    groups = [
        [np.abs(rng.normal(size=n).astype("f4")) + 0.1 for _ in range(arrays)] for n in SIZES
    ]
    groups[2] = [np.append(a, a[:1])[1:] for a in groups[2]]  # not aligned to 16 bytes
    numbers = [0.1 + 0.05 * i for i in range(scalars)]
    given = [np.array(n, "f4") if i % 2 else n for i, n in enumerate(numbers)]
    want = []
    for group in groups:
        typed = [np.float32(n) for n in numbers]
        with np.errstate(invalid="ignore"):
            values = evaluate([(text, refs) for _, text, refs in lines], [*group, *typed])
        made = [a.copy() for a in group]
        for (place, _, _), value in zip(lines, values[-len(lines) :], strict=True):
            if place is not None:
                made[place] = value
        want.append(made)
    assert updates.apply(lines, groups, given)
    assert [n for n, _, _ in gpu.launches] == ["update"]
    for group, expected in zip(groups, want, strict=True):
        for a, b in zip(group, expected, strict=True):
            np.testing.assert_allclose(a, b, rtol=2e-4, atol=1e-5)


@pytest.mark.parametrize("name", ["float64", "float16", "bfloat16"])
def test_updates_in_other_dtypes(gpu, name):
    kind = hr.as_dtype(name).np_dtype
    arrays, _, lines = UPDATES["momentum"]
    groups = [[RNG(i).normal(size=77).astype(kind) for i in range(arrays)]]
    var, accum, grad = (a.astype("f8") for a in groups[0])
    assert updates.apply(lines, groups, [0.25, 0.5])
    velocity = accum * 0.5 - grad * 0.25
    close = dict(rtol=2e-2, atol=2e-2) if kind.itemsize == 2 else dict(rtol=1e-12)
    np.testing.assert_allclose(groups[0][1].astype("f8"), velocity, **close)
    np.testing.assert_allclose(groups[0][0].astype("f8"), var + velocity, **close)


# -- all of them ------------------------------------------------------------------------------

F4, F2, B2, I4, I8 = (
    hr.as_dtype(n) for n in ("float32", "float16", "bfloat16", "int32", "int64")
)
SOURCES = {
    **{f"pooling {n} {d.name}":
       lambda n=n, d=d: pooling.source(n, d, (1, 3, 3), (1, 2, 2), (1, 1, 1))
       for n, d in (("maximum", I8), ("maximum_grad", B2), ("average", F2),
                    ("average_grad", F4))},
    **{f"embedding {d.name}": lambda d=d: embedding.source(d, I4, 4) for d in (F4, B2)},
    **{f"random {k} {d.name}": lambda k=k, d=d: cuda_random.source(k, d)
       for k, d in (("uniform", F4), ("normal", F2), ("normal", dtypes.float64), ("bits", I8))},
    **{f"cross-entropy {n}": lambda n=n: cross_entropy.source(B2, I8, n)[0]
       for n in (10, 5000, 100000)},
    **{f"update {n}": lambda u=UPDATES[n]: updates.source(F4, u[0], "v" * u[1], tuple(u[2]))
       for n in ("adam", "ftrl")},
}  # fmt: skip


@pytest.mark.parametrize("name", SOURCES)
def test_every_source_compiles_for_every_architecture(name):
    for arch in nvrtc.ARCHITECTURES:
        nvrtc.compile_source(SOURCES[name](), arch, name)
