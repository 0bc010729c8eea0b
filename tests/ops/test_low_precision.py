"""bfloat16 and float16: every op works in both, near what float32 gives, traced as eagerly."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph.fused import MIN_SIZE

KINDS = {"bfloat16": 2.0**-7, "float16": 2.0**-10}
ROWS = MIN_SIZE // 32

UNARY = (
    "abs acos acosh asin asinh atan atanh ceil cos cosh digamma erf erfc erfinv exp expm1 "
    "floor lgamma log log1p log_sigmoid negative reciprocal rint round rsqrt sigmoid sign sin "
    "sinh softplus sqrt square tan tanh"
).split()
ACTIVATIONS = "elu gelu leaky_relu relu relu6 selu silu softsign".split()
TESTS = "is_nan is_inf is_finite".split()
BINARY = (
    "add subtract multiply divide maximum minimum floordiv floormod truncatemod pow atan2 "
    "squared_difference divide_no_nan multiply_no_nan xdivy xlogy xlog1py"
).split()
COMPARISONS = "equal not_equal less less_equal greater greater_equal".split()
REDUCTIONS = (
    "reduce_sum reduce_mean reduce_max reduce_min reduce_prod reduce_std reduce_variance "
    "reduce_logsumexp reduce_euclidean_norm"
).split()
SCANS = "cumsum cumprod cumulative_logsumexp".split()


def of(name):
    """A function of `hr.math`, else of `hr`, else of `hr.nn`."""
    for home in (hr.math, hr, hr.nn):
        if hasattr(home, name):
            return getattr(home, name)
    raise AttributeError(name)


def samples(count, low=0.05, high=0.95):
    rng = np.random.default_rng(7)
    return [rng.uniform(low, high, (ROWS, 32)).astype(np.float32) for _ in range(count)]


def _reduce(name):
    return lambda x: (of(name)(x), of(name)(x, 0), of(name)(x, -1, keepdims=True))


def _sorted(x):
    return hr.sort(x), hr.argsort(x), hr.math.top_k(x, 3)[0]


# Name: function, number of arguments, error allowed in units of the dtype's precision.
CALLS = {
    **{name: (of(name), 1, 4) for name in UNARY + ACTIVATIONS + TESTS},
    "acosh": (lambda x: hr.acosh(x + 1.0), 1, 8),
    "acos": (hr.acos, 1, 8),
    **{name: (of(name), 2, 4) for name in BINARY + COMPARISONS},
    **{name: (_reduce(name), 1, 16) for name in REDUCTIONS},
    **{name: (of(name), 1, 64) for name in SCANS},
    "matmul": (lambda a, b: hr.matmul(a, b, transpose_b=True), 2, 4),
    "batched matmul": (
        lambda a, b: hr.matmul(hr.reshape(a, [4, -1, 32]), hr.reshape(b, [4, 32, -1])), 2, 4,
    ),
    "einsum": (lambda a, b: hr.einsum("ij,ij->i", a, b), 2, 4),
    "tensordot": (lambda a, b: hr.tensordot(a, b, [[1], [1]]), 2, 4),
    "softmax": (lambda x: (hr.nn.softmax(x), hr.nn.log_softmax(x)), 1, 8),
    "softmax_cross_entropy": (
        lambda a, b: hr.nn.softmax_cross_entropy_with_logits(labels=hr.nn.softmax(a), logits=b),
        2, 16,
    ),
    "sparse_softmax_cross_entropy": (
        lambda a: hr.nn.sparse_softmax_cross_entropy_with_logits(
            labels=hr.range(ROWS, dtype="int32") % 32, logits=a
        ),
        1, 16,
    ),
    "sigmoid_cross_entropy": (
        lambda a, b: hr.nn.sigmoid_cross_entropy_with_logits(labels=a, logits=b), 2, 8,
    ),
    "bias_add": (lambda a, b: hr.nn.bias_add(a, b[0]), 2, 4),
    "l2_loss": (hr.nn.l2_loss, 1, 8),
    "moments": (lambda x: hr.nn.moments(x, [0]), 1, 16),
    "l2_normalize": (lambda x: hr.math.l2_normalize(x, -1), 1, 8),
    "where": (lambda a, b: hr.where(a > 0.5, a, b), 2, 1),
    "clip_by_value": (lambda x: hr.clip_by_value(x, 0.25, 0.75), 1, 2),
    "cast": (lambda x: hr.cast(hr.cast(x, "float32") * 2.0, x.dtype), 1, 2),
    "concat, stack, split": (
        lambda a, b: (hr.concat([a, b], 1), hr.stack([a, b]), *hr.split(a, 2)), 2, 1,
    ),
    "gather": (lambda x: hr.gather(x, [1, 0, 2]), 1, 1),
    "one_hot": (lambda x: hr.one_hot([1, 2], 3, dtype=x.dtype) + x[0, 0], 1, 2),
    "pad, tile, reverse": (
        lambda x: (hr.pad(x, [[1, 1], [0, 2]]), hr.tile(x, [1, 2]), hr.reverse(x, [1])), 1, 1,
    ),
    "sort": (_sorted, 1, 1),
    "argmax": (lambda x: (hr.argmax(x, 1), hr.argmin(x, 0)), 1, 1),
    "segment_sum": (
        lambda x: hr.math.unsorted_segment_sum(x, hr.range(ROWS) % 4, 4), 1, 16,
    ),
    "scatter": (lambda x: hr.tensor_scatter_nd_add(x, [[0], [0]], x[:2]), 1, 4),
    "conv2d": (
        lambda x: hr.nn.conv2d(hr.reshape(x, [2, -1, 32, 1]), hr.ones([3, 3, 1, 2], x.dtype), 1,
                               "SAME"),
        1, 8,
    ),
    "max_pool2d": (
        lambda x: hr.nn.max_pool2d(hr.reshape(x, [2, -1, 32, 1]), 2, 2, "SAME"), 1, 1,
    ),
    "avg_pool2d": (
        lambda x: hr.nn.avg_pool2d(hr.reshape(x, [2, -1, 32, 1]), 2, 2, "SAME"), 1, 4,
    ),
    "chain": (lambda a, b: hr.reduce_sum(hr.tanh(a * b + 1.0) * hr.exp(-a), -1), 2, 32),
    "layer norm": (
        lambda a: (a - hr.reduce_mean(a, -1, keepdims=True))
        * hr.math.rsqrt(hr.math.reduce_variance(a, -1, keepdims=True) + 1e-3),
        1, 64,
    ),
}  # fmt: skip
NOT_LIKE_FLOAT32 = {"argmax", "sort", "round", "rint", "ceil", "floor", "sign", "floordiv",
                    "floormod", "truncatemod", "where", *COMPARISONS}  # fmt: skip
# TensorFlow has no polygamma, which is the gradient of digamma, in 16 bits.
NO_GRADIENT = {*TESTS, *COMPARISONS, "argmax", "one_hot", "digamma"}


def arrays_of(name, kind):
    _, count, _ = CALLS[name]
    return [hr.cast(hr.constant(a), kind) for a in samples(count)]


def results(found):
    return list(found) if isinstance(found, (tuple, list)) else [found]


def wide(tensor):
    return np.asarray(hr.cast(tensor, "float64"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", CALLS)
def test_near_float32_and_traced_as_eager(name, kind):
    fn, _, units = CALLS[name]
    arrays = arrays_of(name, kind)
    got = results(fn(*arrays))
    want = results(fn(*[hr.cast(a, "float32") for a in arrays]))
    traced = results(hr.function(fn)(*arrays))
    for g, w, t in zip(got, want, traced, strict=True):
        assert g.shape == w.shape == t.shape and g.dtype is t.dtype
        assert g.dtype.name == (kind if w.dtype is hr.float32 else w.dtype.name)
        if name not in NOT_LIKE_FLOAT32:
            error = units * KINDS[kind]
            np.testing.assert_allclose(wide(g), wide(w), rtol=error, atol=error)
        # A fused chain keeps float32 between its calls, where call by call each is rounded.
        error = (units if g.dtype.is_floating else 0) * KINDS[kind]
        np.testing.assert_allclose(wide(t), wide(g), rtol=error, atol=error)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", [n for n in CALLS if n not in NO_GRADIENT])
def test_gradients_are_in_the_dtype_and_finite(name, kind):
    fn = CALLS[name][0]

    def gradients(*arrays):
        with hr.GradientTape() as tape:
            tape.watch(list(arrays))
            floats = [r for r in results(fn(*arrays)) if r.dtype.is_floating]
            total = hr.add_n([hr.reduce_mean(hr.cast(r, "float32")) for r in floats])
        return tape.gradient(total, list(arrays), unconnected_gradients="zero")

    arrays = arrays_of(name, kind)
    eager = gradients(*arrays)
    traced = hr.function(gradients)(*arrays)
    for e, t, a in zip(eager, traced, arrays, strict=True):
        assert e.dtype is t.dtype is a.dtype and e.shape == t.shape == a.shape
        assert np.isfinite(wide(e)).all()
        error = 64 * KINDS[kind]
        np.testing.assert_allclose(wide(t), wide(e), rtol=error, atol=error / ROWS)


@pytest.mark.parametrize("kind", KINDS)
def test_values_at_the_ends_are_the_same_traced(kind):
    ends = np.array([np.inf, -np.inf, np.nan, 0.0, -0.0, 1e-7, -1e-7, 6e4, 1.0], np.float32)
    x = hr.cast(hr.constant(np.tile(ends, MIN_SIZE)), kind)

    def chain(x):
        return hr.maximum(x * 2.0, -x), hr.abs(x) + 1.0, hr.where(x > 0.0, x, -x)

    for e, t in zip(chain(x), hr.function(chain)(x), strict=True):
        np.testing.assert_array_equal(wide(t), wide(e))


@pytest.mark.peers
@pytest.mark.parametrize("kind", KINDS)
def test_values_are_tensorflows(kind):
    tf = pytest.importorskip("tensorflow")
    wrong = []
    for name in (*UNARY, *ACTIVATIONS, *TESTS, *BINARY, *COMPARISONS, *REDUCTIONS, *SCANS):
        peer = next((getattr(h, name) for h in (tf.math, tf, tf.nn) if hasattr(h, name)), None)
        assert peer is not None, name
        arrays = arrays_of(name, kind)
        try:
            want = peer(*[tf.cast(tf.constant(np.asarray(hr.cast(a, "float32"))), kind)
                          for a in arrays])  # fmt: skip
        except (tf.errors.OpError, TypeError):
            continue  # TensorFlow has no kernel for it
        got = of(name)(*arrays)
        if got.dtype.name != want.dtype.name:
            wrong.append((name, got.dtype.name, want.dtype.name))
            continue
        error = CALLS[name][2] * KINDS[kind]
        a, b = wide(got), tf.cast(want, tf.float64).numpy()
        if not np.allclose(a, b, rtol=error, atol=error, equal_nan=True):
            wrong.append((name, float(np.nanmax(np.abs(a - b)))))
    assert not wrong
