"""What cuDNN computes on a GPU is what the CPU gives: attention, batch normalization, LSTM and
GRU with masks, gradients included.

On the test double the same runs by the generic forms.  On a GPU the tests also look at which
form was taken.
"""

import functools

import numpy as np
import pytest

import headrace as hr
from headrace.keras import layers

CLOSE = {"float32": 1e-3, "float16": 2e-2, "bfloat16": 8e-2}
rng = np.random.default_rng


def on(place, fn, arrays):
    """Results of `fn` and gradients of its float arguments, as float32 on the host."""
    with hr.device(place):
        tensors = [hr.constant(a) for a in arrays]
        floats = [t for t in tensors if t.dtype.is_floating]
        with hr.GradientTape() as tape:
            tape.watch(floats)
            out = fn(*tensors)
            out = list(out) if isinstance(out, (list, tuple)) else [out]
            total = hr.add_n([hr.reduce_sum(hr.cast(t, "float32") ** 2) for t in out])
        found = [*out, *tape.gradient(total, floats)]
        return [np.asarray(hr.cast(t, "float32").cpu()) for t in found]


def same(got, want, close):
    for a, b in zip(got, want, strict=True):
        size = max(1.0, float(np.abs(b).max(initial=0)))
        np.testing.assert_allclose(a, b, rtol=close, atol=close * size)


def in_dtype(dtype, fn):
    """`fn` of arguments that are rounded to `dtype` first."""

    def cast(*tensors):
        return fn(*[hr.cast(t, dtype) if t.dtype.is_floating else t for t in tensors])

    return cast


def graphs(gpus, kind):
    """The plans of cuDNN's graphs of a kind that were built, and whether each was."""
    if not gpus.real:
        return None
    from headrace.ops.cuda import frontend

    return {k[1]: v is not None for k, v in frontend._graphs._known.items() if k[0] is kind}


def fresh(gpus):
    if gpus.real:
        from headrace.ops.cuda import frontend

        frontend._graphs.clear()


def since(gpus, arch):
    if gpus.real:
        from headrace.ops.cuda.device import current

        return int(current().arch[3:]) >= arch
    return False


# -- attention --------------------------------------------------------------------------------


def heads(batch=2, queries=17, keys=23, count=3, size=16, wide=8):
    shapes = [(batch, queries, count, size), (batch, keys, count, size),
              (batch, keys, count, wide)]  # fmt: skip
    return [rng(i).normal(size=s).astype("f4") for i, s in enumerate(shapes)]


MASKS = {
    "none": None,
    "every": rng(5).random((2, 3, 17, 23)) > 0.4,
    "keys": np.arange(23) < np.array([23, 9])[:, None, None, None],
    "queries": (np.arange(17) < np.array([17, 4])[:, None])[:, None, :, None],
    "nothing": np.zeros((1, 1, 1, 23), bool),
}


@pytest.mark.parametrize("causal", [False, True], ids=["all", "causal"])
@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
def test_attention(gpus, dtype, mask, causal):
    fresh(gpus)
    options = {"mask": MASKS[mask], "is_causal": causal, "scale": 0.25}
    run = in_dtype(dtype, functools.partial(hr_attention, **options))
    want = on("cpu:0", run, heads())
    same(on("gpu:0", run, heads()), want, CLOSE[dtype])
    if gpus.real:
        from headrace.ops.cuda.attention import AttentionPlan

        taken = dtype != "float32" and since(gpus, 80)
        assert set(graphs(gpus, AttentionPlan).values()) == ({True} if taken else set())


def hr_attention(q, k, v, **options):
    from headrace.ops.attention import dot_product_attention

    return dot_product_attention(q, k, v, **options)


@pytest.mark.parametrize("mask", ["none", "keys"])
@pytest.mark.parametrize("dims", [(1, 3, 17, 23), (2, 1, 1, 23)], ids=str)
def test_attention_with_a_bias(gpus, dims, mask):
    def run(q, k, v, bias):
        return hr_attention(q, k, v, bias=bias, mask=MASKS[mask], scale=0.25)

    arrays = [*heads(), rng(4).normal(size=dims).astype("f4")]
    run = in_dtype("bfloat16", run)
    same(on("gpu:0", run, arrays), on("cpu:0", run, arrays), CLOSE["bfloat16"])


@pytest.mark.parametrize(
    "sizes",
    [{"size": 12}, {"size": 256, "wide": 256}, {"queries": 1, "keys": 1}, {"queries": 1}],
)
def test_attention_of_sizes_that_cudnn_takes_in_part(gpus, sizes):
    run = in_dtype("bfloat16", functools.partial(hr_attention, scale=0.25))
    arrays = heads(**sizes)
    same(on("gpu:0", run, arrays), on("cpu:0", run, arrays), CLOSE["bfloat16"])


@pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
def test_a_layer_of_attention_learns_the_same(gpus, policy):
    x = rng(0).normal(size=(4, 12, 16)).astype("f4")
    found = []
    for place in ("cpu:0", "gpu:0"):
        hr.keras.utils.set_random_seed(1)
        with hr.device(place):
            layer = layers.MultiHeadAttention(2, 8, dtype=policy)
            inputs = hr.constant(x)
            with hr.GradientTape() as tape:
                out = layer(inputs, inputs, use_causal_mask=True)
                total = hr.reduce_sum(hr.cast(out, "float32") ** 2)
            grads = tape.gradient(total, layer.trainable_variables)
            found.append([np.asarray(hr.cast(t, "float32").cpu()) for t in (out, *grads)])
    same(found[1], found[0], CLOSE[policy.removeprefix("mixed_")])


# -- batch normalization ----------------------------------------------------------------------


@pytest.mark.parametrize("channels", [8, 64, 6])
@pytest.mark.parametrize("dtype", ["float16", "bfloat16", "float32"])
@pytest.mark.parametrize("shape", [(4, 9, 7), (40,), (2, 3, 4, 5)], ids=str)
def test_batch_normalization(gpus, shape, channels, dtype):
    fresh(gpus)
    x = (rng(0).normal(size=(*shape, channels)) * 3 + 2).astype("f4")
    vectors = [rng(i).normal(size=channels).astype("f4") for i in (1, 2)]

    def run(x, scale, offset):
        from headrace.ops.norm_ops import batch_norm_training

        return batch_norm_training(hr.cast(x, dtype), scale, offset, 1e-3)

    want = on("cpu:0", run, [x, *vectors])
    same(on("gpu:0", run, [x, *vectors]), want, CLOSE[dtype])
    if gpus.real:
        from headrace.ops.cuda.norms import BatchNormPlan

        taken = dtype != "float32" and not channels % 8 and since(gpus, 80)
        assert set(graphs(gpus, BatchNormPlan).values()) == ({True} if taken else set())


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("data_format", ["NHWC", "NCHW"])
def test_tensorflows_batch_normalization(gpus, data_format, training):
    shape = (3, 5, 6, 16) if data_format == "NHWC" else (3, 16, 5, 6)
    x = rng(0).normal(size=shape).astype("f4")
    vectors = [rng(i).random(16).astype("f4") + 0.5 for i in range(4)]

    def run(x, *vectors):
        found = hr.raw_ops.FusedBatchNormV3(
            x=hr.cast(x, "bfloat16"), scale=vectors[0], offset=vectors[1], mean=vectors[2],
            variance=vectors[3], is_training=training, data_format=data_format,
        )  # fmt: skip
        return list(found)[:3]

    with hr.device("cpu:0"):
        want = [hr.cast(t, "float32").numpy() for t in run(x, *vectors)]
    with hr.device("gpu:0"):
        got = [hr.cast(t, "float32").numpy() for t in run(x, *vectors)]
    same(got, want, CLOSE["bfloat16"])


# -- LSTM and GRU -----------------------------------------------------------------------------

STEPS = 9
SHOWN = {
    "right": np.arange(STEPS) < np.array([9, 3, 1, 5])[:, None],
    "left": np.arange(STEPS) >= np.array([0, 6, 8, 4])[:, None],
    "gaps": rng(3).random((4, STEPS)) > 0.4,
    "an empty row": np.arange(STEPS) < np.array([9, 0, 1, 5])[:, None],
}


@pytest.mark.parametrize("zeros", [False, True], ids=["repeated", "zeros"])
@pytest.mark.parametrize("mask", SHOWN)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers_with_masks(gpus, kind, mask, zeros):
    x = rng(0).normal(size=(4, STEPS, 5)).astype("f4")
    found = []
    for place in ("cpu:0", "gpu:0"):
        hr.keras.utils.set_random_seed(2)
        with hr.device(place):
            layer = getattr(layers, kind)(
                7, return_sequences=True, return_state=True, zero_output_for_mask=zeros
            )
            inputs = hr.constant(x)
            with hr.GradientTape() as tape:
                tape.watch(inputs)
                out = layer(inputs, mask=hr.constant(SHOWN[mask]))
                total = hr.add_n([hr.reduce_sum(t * t) for t in out])
            grads = tape.gradient(total, [inputs, *layer.trainable_variables])
            found.append([t.cpu().numpy() for t in (*out, *grads)])
    same(found[1], found[0], CLOSE["float32"])


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_recurrent_layers_of_16_bit_floats(gpus, kind, policy):
    x = rng(0).normal(size=(4, STEPS, 5)).astype("f4")
    found = []
    for place in ("cpu:0", "gpu:0"):
        hr.keras.utils.set_random_seed(2)
        with hr.device(place):
            layer = getattr(layers, kind)(8, return_sequences=True, dtype=policy)
            with hr.GradientTape() as tape:
                out = layer(hr.constant(x), mask=hr.constant(SHOWN["right"]))
                total = hr.reduce_sum(hr.cast(out, "float32") ** 2)
            grads = tape.gradient(total, layer.trainable_variables)
            found.append([np.asarray(hr.cast(t, "float32").cpu()) for t in (out, *grads)])
    same(found[1], found[0], CLOSE[policy.removeprefix("mixed_")])


@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_a_network_of_words_learns_the_same(gpus, kind):
    words = rng(0).integers(1, 20, (8, STEPS)) * SHOWN["right"].repeat(2, 0)
    labels = rng(1).integers(0, 2, 8)
    found = []
    for place in ("cpu:0", "gpu:0"):
        hr.keras.utils.set_random_seed(3)
        with hr.device(place):
            model = hr.keras.Sequential([
                layers.Embedding(20, 6, mask_zero=True),
                layers.Bidirectional(getattr(layers, kind)(5)),
                layers.Dense(2),
            ])  # fmt: skip
            loss = hr.keras.losses.SparseCategoricalCrossentropy(from_logits=True)
            model.compile("sgd", loss, run_eagerly=False)
            found.append([float(model.train_on_batch(words, labels)) for _ in range(3)])
    np.testing.assert_allclose(found[1], found[0], rtol=2e-3)


@pytest.mark.gpu
@pytest.mark.parametrize("gpus", ["cuda"], indirect=True)
class TestOnAGpu:
    """What only a GPU has."""

    def test_lengths_leave_nothing_behind(self, gpus, monkeypatch):
        from headrace.ops.cuda import recurrent, recurrent_masks

        made, plain = [], recurrent._new
        monkeypatch.setattr(recurrent, "_new", lambda kind: (made.append(kind), plain(kind))[1])
        with hr.device("gpu:0"):
            layer = layers.GRU(8, return_sequences=True)
            x = hr.constant(rng(0).normal(size=(4, STEPS, 5)).astype("f4"))

            def call(seed):
                shown = np.arange(STEPS) < rng(seed).integers(1, STEPS + 1, (4, 1))
                return layer(x, mask=hr.constant(shown)).numpy()

            call(0)
            assert "RNNDescriptor" in made  # cuDNN's form was taken
            made.clear()
            before = len(recurrent_masks._seen)
            free = gpus.xp.cuda.runtime.memGetInfo()[0]
            for seed in range(1000):
                call(seed)
            assert not made
            assert len(recurrent_masks._seen) <= before + 2
            assert free - gpus.xp.cuda.runtime.memGetInfo()[0] < 64 << 20

    @pytest.mark.parametrize("policy", ["float32", "mixed_bfloat16"])
    def test_replayed_steps_give_what_calls_give(self, gpus, policy):
        def step():
            hr.keras.utils.set_random_seed(4)
            with hr.device("gpu:0"):
                inputs = hr.keras.Input((8, 16))
                y = layers.MultiHeadAttention(2, 8, dtype=policy)(
                    inputs, inputs, use_causal_mask=True
                )
                y = layers.BatchNormalization(dtype=policy)(y)
                model = hr.keras.Model(inputs, layers.Dense(1, dtype=policy)(y))
                model.compile("sgd", "mse")
                x = rng(0).normal(size=(32, 8, 16)).astype("f4")
                y = rng(1).normal(size=(32, 8, 1)).astype("f4")
                return model.fit(x, y, epochs=6, batch_size=16, shuffle=False, verbose=0)

        from headrace.ops.cuda import replay

        replayed = step().history["loss"]
        warm, replay.WARM_CALLS = replay.WARM_CALLS, 1 << 30
        try:
            called = step().history["loss"]
        finally:
            replay.WARM_CALLS = warm
        np.testing.assert_allclose(replayed, called, rtol=CLOSE[policy.removeprefix("mixed_")])
