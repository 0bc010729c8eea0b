"""Attention layers and the operation beneath them, against Keras and against smaller parts."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import layers
from headrace.keras.engine.masks import get_mask, set_mask
from headrace.ops import attention as ops_attention, native_schedule

rng = np.random.default_rng(8)


def floats(*shape):
    return rng.normal(size=shape).astype("float32")


QUERY, VALUE, KEY = floats(3, 4, 6), floats(3, 5, 6), floats(3, 5, 6)
GRID = floats(2, 3, 4, 6)
QUERY_MASK = np.array([[1, 1, 1, 0], [1, 0, 1, 1], [1, 1, 1, 1]], bool)
VALUE_MASK = np.array([[1, 1, 0, 0, 0], [1, 1, 1, 1, 0], [0, 1, 0, 1, 1]], bool)
PAIRS = rng.random((3, 4, 5)) > 0.3
PAIRS[..., 0] = True


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").layers


def heads(**kwargs):
    return "MultiHeadAttention", {"num_heads": 2, "key_dim": 3, **kwargs}


def grouped(**kwargs):
    sizes = {"head_dim": 3, "num_query_heads": 4, "num_key_value_heads": 2}
    return "GroupQueryAttention", {**sizes, **kwargs}


SELF, CROSS, ALL = [QUERY, QUERY], [QUERY, VALUE], [QUERY, VALUE, KEY]
CASES = {
    "plain": (*heads(), SELF, {}),
    "cross": (*heads(value_dim=4, use_bias=False), ALL, {}),
    "causal": (*heads(), SELF, {"use_causal_mask": True}),
    "causal scores": (
        *heads(), SELF, {"use_causal_mask": True, "return_attention_scores": True},
    ),
    "mask": (*heads(), CROSS, {"attention_mask": PAIRS}),
    "masks": (*heads(), ALL, {
        "query_mask": None, "value_mask": VALUE_MASK, "attention_mask": PAIRS,
    }),
    "dropout": (*heads(dropout=0.5), CROSS, {"attention_mask": PAIRS}),
    "scores": (*heads(output_shape=5), CROSS, {"return_attention_scores": True}),
    "axes": (*heads(attention_axes=(2,)), [GRID, GRID], {}),
    "two axes": (*heads(attention_axes=(1, 2), output_shape=(2, 3)), [GRID, GRID], {}),
    "window": (*heads(sliding_window=2), SELF, {"use_causal_mask": True}),
    "gate": (*heads(use_gate=True), SELF, {}),
    "penalties": (*heads(kernel_regularizer="l2", bias_constraint="non_neg"), SELF, {}),
    "grouped": (*grouped(), ALL, {}),
    "grouped causal": (*grouped(use_bias=False), SELF, {"use_causal_mask": True}),
    "grouped scores": (
        *grouped(num_key_value_heads=1, use_gate=True), CROSS,
        {"attention_mask": PAIRS, "return_attention_scores": True},
    ),
    "grouped window": (*grouped(sliding_window=3, dropout=0.2), SELF, {}),
    "dot": ("Attention", {}, [CROSS], {}),
    "dot three": ("Attention", {"use_scale": True}, [ALL], {"return_attention_scores": True}),
    "dot causal": ("Attention", {}, [SELF], {"use_causal_mask": True}),
    "dot masks": ("Attention", {"dropout": 0.3}, [CROSS], {
        "mask": [QUERY_MASK, VALUE_MASK], "use_causal_mask": True,
        "return_attention_scores": True,
    }),
    "concat": ("Attention", {"score_mode": "concat", "use_scale": True}, [CROSS], {}),
    "concat bare": ("Attention", {"score_mode": "concat"}, [ALL], {}),
    "additive": ("AdditiveAttention", {}, [ALL], {"return_attention_scores": True}),
    "additive bare": ("AdditiveAttention", {"use_scale": False}, [CROSS], {
        "mask": [None, VALUE_MASK],
    }),
    "einsum": ("EinsumDense", {
        "equation": "abc,cde->abde", "output_shape": (None, 2, 3), "bias_axes": "de",
    }, [QUERY], {}),
    "einsum dots": ("EinsumDense", {
        "equation": "...x,xy->...y", "output_shape": 4, "bias_axes": "y", "activation": "tanh",
    }, [GRID], {}),
    "einsum right": ("EinsumDense", {
        "equation": "ab...,bc->ac...", "output_shape": 4, "bias_axes": "c",
    }, [GRID], {}),
}  # fmt: skip


def built(case, family, name="chosen"):
    kind, kwargs, args, _ = CASES[case]
    layer = getattr(family, kind)(**kwargs, name=name)
    layer(*args)
    found = np.random.default_rng(3)
    layer.set_weights([found.normal(size=w.shape).astype("float32") for w in layer.weights])
    return layer


def as_list(value):
    return list(value) if isinstance(value, (list, tuple)) else [value]


def as_json(config):
    """A config as a file has it: without tuples."""
    if isinstance(config, dict):
        return {key: as_json(value) for key, value in config.items()}
    return [as_json(c) for c in config] if isinstance(config, (list, tuple)) else config


def flattened(args):
    return [leaf for arg in args for leaf in as_list(arg)]


def constants(args, constant):
    return [[constant(a) for a in arg] if isinstance(arg, list) else constant(arg)
            for arg in args]  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_outputs_and_gradients_are_keras(tf, peers, case):
    ours, peer = built(case, layers), built(case, peers)
    _, _, args, call = CASES[case]
    mine, its = constants(args, hr.constant), constants(args, tf.constant)
    flat, peer_flat = flattened(mine), flattened(its)
    with hr.GradientTape() as tape:
        tape.watch(flat)
        outs = as_list(ours(*mine, **call))
        value = hr.reduce_sum(outs[0] ** 3)
    with tf.GradientTape() as peer_tape:
        peer_tape.watch(peer_flat)
        expected = as_list(peer(*its, **call))
        peer_value = tf.reduce_sum(expected[0] ** 3)
    assert len(outs) == len(expected)
    for a, b in zip(outs, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=2e-5)
    found = tape.gradient(value, [*flat, *ours.trainable_variables])
    wanted = peer_tape.gradient(
        peer_value, [*peer_flat, *[v.value for v in peer.trainable_variables]]
    )
    scale = max(float(np.abs(b).max()) for b in wanted)
    for a, b in zip(found, wanted, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5 * scale)
    np.testing.assert_allclose(
        sum(ours.losses, 0.0), np.asarray(sum(peer.losses, 0.0)), rtol=1e-5
    )


@pytest.mark.parametrize("case", CASES)
def test_config_and_shapes_are_keras(peers, case):
    kind, kwargs, args, call = CASES[case]
    kwargs = {**kwargs, "name": "chosen"}
    ours, peer = getattr(layers, kind)(**kwargs), getattr(peers, kind)(**kwargs)
    config, expected = ours.get_config(), peer.get_config()
    assert set(config) == set(expected)
    for key in config:
        if "regularizer" in key and config[key] is not None:
            config[key]["config"] = pytest.approx(config[key]["config"])
        assert config[key] == expected[key], key
    described = keras.utils.serialize_keras_object(ours)
    theirs = pytest.importorskip("keras").saving.serialize_keras_object(peer)
    assert described["class_name"] == theirs["class_name"]
    again = keras.utils.deserialize_keras_object(described)
    assert type(again) is type(ours)
    assert as_json(again.get_config()) == as_json(ours.get_config())
    assert as_json(peers.deserialize(described).get_config()) == as_json(expected)
    shapes = []
    flags = {k: v for k, v in call.items() if isinstance(v, bool)}
    for family, layer in ((layers, ours), (peers, peer)):
        inputs = constants(args, lambda a, f=family: f.Input(a.shape[1:]))
        outs = as_list(layer(*inputs, **flags))
        shapes.append([tuple(o.shape) for o in outs])
        shapes[-1] += [
            (w.name.split("/")[-1].split(":")[0], tuple(w.shape)) for w in layer.weights
        ]
    # Keras knows less of sizes that an equation takes from the inputs, and its shape of scores
    # is right for one length only.
    if kind != "EinsumDense" and "scores" not in case and case != "dot three":
        assert shapes[0] == shapes[1]
    real = [tuple(o.shape)[1:] for o in as_list(ours(*constants(args, hr.constant), **flags))]
    assert [s[1:] for s in shapes[0][: len(real)]] == real


@pytest.mark.parametrize("case", CASES)
def test_traced_with_unknown_sizes_equals_eager(case):
    layer = built(case, layers)
    _, _, args, call = CASES[case]
    flat = flattened(args)
    nested = isinstance(args[0], list)

    def run(*tensors):
        with hr.GradientTape() as tape:
            tape.watch(tensors)
            outs = as_list(layer(list(tensors) if nested else tensors[0], **call) if nested
                           else layer(*tensors, **call))  # fmt: skip
            value = hr.reduce_sum(outs[0] ** 2)
        return [*outs, *tape.gradient(value, list(tensors))]

    specs = [hr.TensorSpec([None] * (a.ndim - 1) + [a.shape[-1]]) for a in flat]
    if "right" in case:
        specs = [hr.TensorSpec([None, *flat[0].shape[1:]])]
    traced = hr.function(run, input_signature=specs)
    tensors = [hr.constant(a) for a in flat]
    for a, b in zip(traced(*tensors), run(*tensors), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)


def test_masks_that_come_with_tensors_are_keras(tf, peers):
    ours, peer = built("cross", layers), built("cross", peers)
    mine = [hr.constant(a) for a in ALL]
    its = [tf.constant(a) for a in ALL]
    for k, mask in enumerate((QUERY_MASK, VALUE_MASK, VALUE_MASK)):
        set_mask(mine[k], hr.constant(mask))
        its[k]._keras_mask = tf.constant(mask)
    out = ours(*mine)
    np.testing.assert_allclose(out, peer(*its), rtol=1e-4, atol=2e-5)
    np.testing.assert_array_equal(get_mask(out), QUERY_MASK)
    out, scores = ours(*mine, return_attention_scores=True)
    np.testing.assert_array_equal(get_mask(out), QUERY_MASK)
    assert scores.shape == (3, 2, 4, 5)


def test_masks_of_lists():
    mine = [hr.constant(a) for a in CROSS]
    set_mask(mine[0], hr.constant(QUERY_MASK))
    set_mask(mine[1], hr.constant(VALUE_MASK))
    out = layers.Attention()(mine)
    np.testing.assert_array_equal(get_mask(out), QUERY_MASK)
    expected = layers.Attention()(CROSS, mask=[QUERY_MASK, VALUE_MASK])
    np.testing.assert_allclose(out, expected)
    np.testing.assert_array_equal(np.asarray(out)[~QUERY_MASK], 0)


@pytest.mark.parametrize("kind", ["MultiHeadAttention", "Attention"])
def test_dropout_acts_in_training_only(kind):
    make = {
        "MultiHeadAttention": lambda rate: layers.MultiHeadAttention(
            2, 3, dropout=rate, seed=1
        ),
        "Attention": lambda rate: layers.Attention(dropout=rate, seed=1),
    }[kind]

    def run(layer, **kwargs):
        inputs = (CROSS,) if kind == "Attention" else CROSS
        return np.asarray(layer(*inputs, **kwargs))

    dropping, plain = make(0.5), make(0.0)
    run(dropping), run(plain)
    plain.set_weights(dropping.get_weights())
    np.testing.assert_allclose(run(dropping), run(plain), rtol=1e-5, atol=1e-6)
    first, second = run(dropping, training=True), run(dropping, training=True)
    assert (first != second).any() and (first != run(plain)).any()


@pytest.mark.parametrize(
    "make",
    [
        lambda: layers.MultiHeadAttention(2, 4, dtype="mixed_bfloat16"),
        lambda: layers.GroupQueryAttention(4, 2, 1, dtype="float64"),
    ],
    ids=["bfloat16", "float64"],
)
def test_dtypes(make):
    layer = make()
    full = type(layer).from_config({**layer.get_config(), "dtype": "float32"})
    full(QUERY, QUERY)
    out = layer(QUERY, QUERY)
    layer.set_weights(full.get_weights())
    out = layer(QUERY, QUERY)
    assert out.dtype.name == layer.compute_dtype
    np.testing.assert_allclose(hr.cast(out, "float32"), full(QUERY, QUERY), rtol=0.1, atol=0.05)


# -- the operation ----------------------------------------------------------------------------


def masks(batch, rows, columns, heads):
    return {
        "none": None,
        "all": rng.random((batch, heads, rows, columns)) > 0.4,
        "rows": rng.random((1, 1, 1, columns)) > 0.4,
        "heads": rng.random((1, heads, 1, columns)) > 0.4,
        "samples": rng.random((batch, 1, rows, columns)) > 0.4,
        "blind": rng.random((batch, 1, rows, 1)) > 0.5,
        "flat": np.tri(rows, columns, dtype=bool),
    }


@pytest.mark.parametrize("kernel", [True, False], ids=["kernel", "arrays"])
@pytest.mark.parametrize(
    "sizes", [(2, 5, 7, 3, 4, 6), (1, 1, 3, 1, 2, 1), (3, 8, 8, 2, 16, 16), (2, 3, 1, 2, 5, 3)]
)
def test_the_operation_equals_its_parts(sizes, kernel, monkeypatch):
    if not kernel:
        monkeypatch.setattr(native_schedule, "available", lambda: False)
    batch, rows, columns, count, size, wide = sizes
    q, k, v = (
        hr.constant(floats(*s))
        for s in ((batch, rows, count, size), (batch, columns, count, size),
                  (batch, columns, count, wide))
    )  # fmt: skip
    for name, mask in masks(batch, rows, columns, count).items():
        found = []
        for run in (
            ops_attention.dot_product_attention,
            lambda *a, mask: ops_attention._composed(*a, None, mask, size**-0.5),
        ):
            with hr.GradientTape() as tape:
                tape.watch([q, k, v])
                out = run(q, k, v, mask=None if mask is None else hr.constant(mask))
                value = hr.reduce_sum(out**3)
            found.append([out, *tape.gradient(value, [q, k, v])])
        for a, b in zip(*found, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5, err_msg=name)


@pytest.mark.parametrize("is_causal", [False, True])
@pytest.mark.parametrize("given", ["plain", "mask", "bias", "few heads", "scale", "half"])
def test_dot_product_attention_is_keras(tf, given, is_causal):
    real = pytest.importorskip("keras")
    q, k, v = floats(2, 4, 4, 3), floats(2, 5, 4, 3), floats(2, 5, 4, 2)
    kwargs = {}
    if given == "mask":
        kwargs["mask"] = rng.random((2, 1, 4, 5)) > 0.3
    if given == "bias":
        kwargs["bias"] = floats(1, 4, 4, 5)
    if given == "few heads":
        k, v = k[:, :, :2], v[:, :, :2]
    if given == "scale":
        kwargs["scale"] = 0.7
    if given == "half":
        q, k, v = (a.astype("float16") for a in (q, k, v))
    ours = ops_attention.dot_product_attention(q, k, v, is_causal=is_causal, **kwargs)
    theirs = real.ops.dot_product_attention(q, k, v, is_causal=is_causal, **kwargs)
    tolerance = 2e-3 if given == "half" else 1e-5
    np.testing.assert_allclose(ours, theirs, rtol=tolerance, atol=tolerance)


def test_extreme_scores():
    """Large scores neither overflow nor mix; NaN stays in its row."""
    q = hr.constant([[[[1e4]], [[-1e4]], [[np.nan]]]], hr.float32)
    k = hr.constant([[[[1e4]], [[-1e4]]]], hr.float32)
    v = hr.constant([[[[1.0]], [[2.0]]]], hr.float32)
    out = np.asarray(ops_attention.dot_product_attention(q, k, v, scale=1.0)).ravel()
    np.testing.assert_array_equal(out, [1.0, 2.0, np.nan])


def test_shape_errors_name_both():
    q, k = hr.zeros((2, 3, 2, 4)), hr.zeros((2, 3, 2, 5))
    with pytest.raises(
        hr.errors.InvalidArgumentError, match=r"\[2, None, 2, 4\].*\(2, 3, 2, 5"
    ):
        ops_attention.dot_product_attention(q, k, k, scale=1.0)
    with pytest.raises(ValueError, match="only supports 4D"):
        ops_attention.dot_product_attention(q[0], q[0], q[0])
    with pytest.raises(hr.errors.InvalidArgumentError, match="mask must broadcast"):
        ops_attention.dot_product_attention(q, q, q, mask=np.ones((3, 5), bool))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.MultiHeadAttention(0, 3), "num_heads=0"),
        (lambda: layers.MultiHeadAttention(2, 3, value_dim=-1), "value_dim=-1"),
        (lambda: layers.MultiHeadAttention(2, 3, sliding_window=0), "sliding_window=0"),
        (lambda: layers.MultiHeadAttention(2, 3, attention_axes="b"), "attention_axes=b"),
        (lambda: layers.MultiHeadAttention(2, 3)(QUERY, VALUE, KEY[:, :2]), "must be equal"),
        (lambda: layers.GroupQueryAttention(3, 4, 3), "divisible"),
        (lambda: layers.Attention()(QUERY), "list of inputs"),
        (lambda: layers.Attention()([QUERY]), "length 2 or 3"),
        (lambda: layers.Attention()(CROSS, mask=QUERY_MASK), "mask must be a list"),
        (lambda: layers.Attention(score_mode="cosine"), "score_mode=cosine"),
        (lambda: layers.EinsumDense("ab->b", 3)(QUERY), "Invalid einsum equation"),
        (lambda: layers.EinsumDense("ab,bc->ac", 3)(QUERY), "inputs of 2 axes"),
        (lambda: layers.EinsumDense("abc,cd->abe", (4, 3))(QUERY), "no corresponding dim"),
        (lambda: layers.EinsumDense("abc,cd->abd", 3)(QUERY), "has 3 axes, 2 sizes"),
    ],
)
def test_errors(make, message):
    with pytest.raises(ValueError, match=message):
        make()


# -- training and files against Keras ---------------------------------------------------------


def transformer(k):
    """Two blocks, one of each kind of heads."""
    words = k.layers.Input((6,), dtype="int32")
    x = k.layers.Embedding(12, 8, mask_zero=True)(words)
    for attend in (
        k.layers.MultiHeadAttention(2, 4),
        k.layers.GroupQueryAttention(4, 2, 1),
    ):
        made = attend(x, x, use_causal_mask=True)
        x = k.layers.LayerNormalization()(k.layers.Add()([x, made]))
        made = k.layers.Dense(16, activation="gelu")(x)
        x = k.layers.LayerNormalization()(k.layers.Add()([x, k.layers.Dense(8)(made)]))
    seen = k.layers.Attention()([x, x])
    out = k.layers.Dense(1)(k.layers.GlobalAveragePooling1D()(seen))
    return k.Model(words, out)


WORDS = rng.integers(1, 12, (24, 6))
TARGETS = (WORDS.sum(1, keepdims=True) / 30).astype("float32")


def started(k):
    model = transformer(k)
    found = np.random.default_rng(9)
    model.set_weights([found.normal(size=w.shape).astype("float32") / 3 for w in model.weights])
    return model


@pytest.mark.peers
def test_twenty_steps_are_keras(tf):
    results = []
    for k in (keras, pytest.importorskip("keras")):
        model = started(k)
        model.compile(k.optimizers.SGD(0.02, momentum=0.5), "mse")
        history = model.fit(WORDS, TARGETS, batch_size=6, epochs=5, shuffle=False, verbose=0)
        results.append((history.history["loss"], model.get_weights()))
    (losses, ours), (peer_losses, theirs) = results
    np.testing.assert_allclose(losses, peer_losses, rtol=1e-3)
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-3, atol=5e-4)


@pytest.mark.peers
@pytest.mark.parametrize("direction", ["ours to Keras", "Keras to ours"])
def test_files_go_both_ways(tf, tmp_path, direction):
    real = pytest.importorskip("keras")
    writer, reader = (keras, real) if direction == "ours to Keras" else (real, keras)
    first = started(writer)
    expected = first.predict(WORDS, verbose=0)
    first.save(str(tmp_path / "m.keras"))
    first.save_weights(str(tmp_path / "m.weights.h5"))
    whole = reader.models.load_model(str(tmp_path / "m.keras"))
    np.testing.assert_allclose(whole.predict(WORDS, verbose=0), expected, rtol=1e-4, atol=1e-5)
    other = transformer(reader)
    other.load_weights(str(tmp_path / "m.weights.h5"))
    np.testing.assert_allclose(other.predict(WORDS, verbose=0), expected, rtol=1e-4, atol=1e-5)
