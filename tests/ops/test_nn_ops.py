"""Activations, cross-entropies, normalization, dropout, top-k, embeddings, clipping."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

from headrace import errors
from headrace.ops import api as hr

RNG = np.random.default_rng(5)
X = np.array([[-2.3, -0.7, 0.4, 3.1], [1.2, 0.9, -3.6, 6.7]])
PROBABILITIES = np.array([[0.1, 0.2, 0.3, 0.4], [0.7, 0.1, 0.1, 0.1]])
LABELS = np.array([3, 1], np.int64)
BINARY = np.array([[0.0, 1.0, 1.0, 0.0], [1.0, 0.3, 0.0, 1.0]])
IMAGE = RNG.uniform(-1, 1, (2, 2, 3, 4))
ALL = ("float32", "float64", "float16", "bfloat16")
WIDE = ("float32", "float64")
# TensorFlow rounds the constants of some functions to float32, in float64 too.
NARROW = ("float32", "float16", "bfloat16")

# The mean is taken as constant in the variance: second derivatives are not those of the value.
STOPPED = {"second_law": False}


def nn(name, *args, fn=None, kinds=ALL, tag="", **more):
    call = fn or (lambda f, *xs: f(*xs))
    return Case(
        f"{name}{tag}",
        lambda *xs: call(getattr(hr, name), *xs),
        args,
        lambda tf: lambda *xs: call(getattr(tf.nn, name), *xs),
        kinds=kinds,
        **more,
    )


CASES = [
    nn("relu", X),
    nn("relu6", X),
    nn("leaky_relu", X, kinds=NARROW),
    nn("leaky_relu", X, fn=lambda f, x: f(x, alpha=1.7), tag="-steep", kinds=NARROW),
    nn("elu", X),
    nn("selu", X),
    nn("gelu", X, kinds=NARROW),
    nn("gelu", X, fn=lambda f, x: f(x, approximate=True), tag="-tanh", kinds=NARROW),
    nn("silu", X, kinds=WIDE),
    nn("silu", X, fn=lambda f, x: f(x, 1.3), tag="-beta", kinds=("float32",)),
    nn("softplus", X),
    nn("softsign", X, second=False, notes={"second_law": True}),
    nn("crelu", X, batch=True),
    nn("softmax", X),
    nn("softmax", X, fn=lambda f, x: f(x, axis=0), tag="-0"),
    nn("softmax", IMAGE, fn=lambda f, x: f(x, axis=1), tag="-1", kinds=WIDE),
    nn("log_softmax", X),
    nn("log_softmax", X, fn=lambda f, x: f(x, axis=0), tag="-0"),
    nn(
        "softmax_cross_entropy_with_logits",
        X,
        fn=lambda f, x: f(labels=PROBABILITIES, logits=x),
        kinds=ALL[:1],
    ),
    nn(
        "softmax_cross_entropy_with_logits",
        X.T,
        fn=lambda f, x: f(labels=PROBABILITIES.T, logits=x, axis=0),
        tag="-0",
    ),
    # The backward pass takes labels to add up to 1, so derivatives along labels keep to that.
    # TensorFlow leaves their second derivative out, and has none where they broadcast.
    Case(
        "softmax_cross_entropy-labels",
        lambda p, x: hr.softmax_cross_entropy_with_logits(hr.softmax(p), x),
        (BINARY, X),
    ),
    Case(
        "softmax_cross_entropy-row",
        lambda p, x: hr.softmax_cross_entropy_with_logits(hr.softmax(p), x),
        (BINARY[0], X),
    ),
    nn(
        "sparse_softmax_cross_entropy_with_logits",
        X,
        fn=lambda f, x: f(labels=LABELS, logits=x),
    ),
    nn(
        "sparse_softmax_cross_entropy_with_logits",
        LABELS,
        X,
        fn=lambda f, y, x: f(labels=y, logits=x),
        tag="-labels",
    ),
    nn(
        "sparse_softmax_cross_entropy_with_logits",
        IMAGE,
        tag="-image",
        fn=lambda f, x: f(labels=np.array([[[0, 1, 3], [2, 2, 1]]] * 2, np.int32), logits=x),
    ),
    nn(
        "sigmoid_cross_entropy_with_logits",
        BINARY,
        X,
        fn=lambda f, z, x: f(labels=z, logits=x),
        kinds=WIDE,
    ),
    nn(
        "weighted_cross_entropy_with_logits",
        BINARY,
        X,
        fn=lambda f, z, x: f(labels=z, logits=x, pos_weight=2.0),
        kinds=WIDE,
    ),
    nn("log_poisson_loss", np.array([0.2, 1.7, 3.0]), np.array([0.1, 0.9, -1.0]), kinds=WIDE),
    nn(
        "log_poisson_loss",
        np.array([0.2, 1.7, 3.0]),
        np.array([0.1, 0.9, -1.0]),
        kinds=WIDE,
        tag="-full",
        fn=lambda f, z, c: f(z, c, compute_full_loss=True),
    ),
    nn("l2_loss", X),
    nn("l2_normalize", X, fn=lambda f, x: f(x, axis=1), kinds=WIDE),
    nn("l2_normalize", X, fn=lambda f, x: f(x, axis=[0, 1]), kinds=WIDE, tag="-all"),
    nn("bias_add", X, np.array([0.1, -0.2, 0.3, 1.4])),
    nn("bias_add", IMAGE, np.array([0.1, -0.2, 0.3, 1.4]), tag="-NHWC"),
    nn(
        "bias_add",
        IMAGE,
        np.array([0.1, -0.2]),
        fn=lambda f, x, b: f(x, b, data_format="NCHW"),
        tag="-NCHW",
    ),
    nn("moments", IMAGE, fn=lambda f, x: f(x, [0, 1, 2]), notes=STOPPED),
    nn("moments", IMAGE, fn=lambda f, x: f(x, [1], keepdims=True), tag="-keep", notes=STOPPED),
    nn(
        "batch_normalization",
        IMAGE,
        np.array([0.1, -0.2, 0.3, 1.4]),
        np.array([1.1, 0.2, 0.3, 1.4]),
        np.array([0.0, 0.2, 0.3, -1.4]),
        np.array([1.0, 0.7, 2.3, 1.1]),
        fn=lambda f, *xs: f(*xs, 1e-3),
        kinds=WIDE,
    ),
    nn("zero_fraction", np.array([0.0, 1.0, 0.0, 2.0]), grad=False),
    nn("top_k", X, fn=lambda f, x: tuple(f(x, k=2)), kinds=WIDE),
    nn(
        "top_k",
        np.array([3, 1, 3, 2, 3], np.int32),
        fn=lambda f, x: tuple(f(x, k=4)),
        tag="-ties",
    ),
    nn(
        "in_top_k",
        np.array([0, 2, 5], np.int64),
        np.array([[0.1, 0.2, 0.9], [0.5, 0.5, 0.5], [1.0, 0.0, 2.0]], "f"),
        fn=lambda f, t, p: f(t, p, k=2),
        grad=False,
        kinds=("float32",),
    ),
    Case(
        "clip_by_value",
        lambda x: hr.clip_by_value(x, -0.5, 1.0),
        (X,),
        lambda tf: lambda x: tf.clip_by_value(x, -0.5, 1.0),
        kinds=ALL,
    ),
    Case(
        "clip_by_norm",
        lambda x: hr.clip_by_norm(x, 2.0),
        (X,),
        lambda tf: lambda x: tf.clip_by_norm(x, 2.0),
    ),
    Case(
        "clip_by_norm-axes",
        lambda x: hr.clip_by_norm(x, 2.0, axes=[1]),
        (X,),
        lambda tf: lambda x: tf.clip_by_norm(x, 2.0, axes=[1]),
    ),
    Case(
        "clip_by_global_norm",
        lambda x, y: hr.clip_by_global_norm([x, y], 1.5)[0],
        (X, BINARY),
        lambda tf: lambda x, y: tf.clip_by_global_norm([x, y], 1.5)[0],
    ),
    Case(
        "global_norm",
        lambda x, y: hr.global_norm([x, None, y]),
        (X, BINARY),
        lambda tf: lambda x, y: tf.linalg.global_norm([x, None, y]),
    ),
    Case("log_sigmoid", hr.log_sigmoid, (X,), lambda tf: tf.math.log_sigmoid),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


ACTIVATIONS = [
    "relu",
    "relu6",
    "leaky_relu",
    "elu",
    "selu",
    "gelu",
    "silu",
    "softplus",
    "softsign",
    "softmax",
    "log_softmax",
]


@pytest.mark.peers
@pytest.mark.parametrize("name", ACTIVATIONS)
def test_extreme_values_match_tensorflow(tf, name):
    x = np.array([[0.0, -0.0, 1.0, -1.0, 88.0, -88.0, 105.0, -105.0, 1e30, -1e30]], np.float32)
    np.testing.assert_allclose(
        getattr(hr, name)(hr.constant(x)).numpy(),
        getattr(tf.nn, name)(x).numpy(),
        rtol=3e-6,
        atol=1e-30,
    )


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_empty_strided_and_scalar_inputs(name):
    fn = getattr(hr, name)
    assert fn(hr.zeros([0, 3])).shape.as_list() == [0, 3]
    assert fn(hr.zeros([3, 0])).shape.as_list() == [3, 0]
    x = RNG.uniform(-1, 1, (4, 6)).astype(np.float32)
    np.testing.assert_allclose(
        fn(hr.Tensor.of(x.T)).numpy(),
        fn(hr.constant(np.ascontiguousarray(x.T))).numpy(),
        rtol=1e-6,
    )
    if "softmax" not in name:
        assert fn(hr.constant(0.5)).shape.as_list() == []


def test_impls_do_not_change_their_inputs():
    """In-place passes work on arrays made inside, never on the caller's."""
    for case in CASES:
        arrays = [np.asarray(a) for a in case.args]
        before = [a.copy() for a in arrays]
        tensors = [hr.Tensor.of(a) for a in arrays]
        with hr.GradientTape() as tape:
            tape.watch(tensors)
            out = case.fn(*tensors)
            outs = [
                o
                for o in (out if isinstance(out, (tuple, list)) else [out])
                if o.dtype.is_floating
            ]
        kept = [o.numpy() for o in outs]
        if outs and case.grad:
            tape.gradient(outs, tensors)
        for a, b in zip(arrays, before, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=case.id)
        for o, k in zip(outs, kept, strict=True):
            np.testing.assert_array_equal(o.numpy(), k, err_msg=case.id)


def test_softmax_errors():
    with pytest.raises(errors.InvalidArgumentError, match=r">= 1 dimension|range"):
        hr.softmax(hr.constant(1.0))
    with pytest.raises(errors.InvalidArgumentError, match=r"range \[-2, 2\)"):
        hr.softmax(hr.ones([2, 2]), axis=2)
    with pytest.raises(errors.InvalidArgumentError, match="allowed values"):
        hr.softmax(hr.constant([1, 2]))


def test_cross_entropy_errors():
    logits = hr.ones([2, 3])
    with pytest.raises(
        errors.InvalidArgumentError,
        match=r"label value of 3 which is outside the valid "
        r"range of \[0, 3\).  Label values: 0 3",
    ):
        hr.sparse_softmax_cross_entropy_with_logits(labels=[0, 3], logits=logits)
    with pytest.raises(errors.InvalidArgumentError, match="-1"):
        hr.sparse_softmax_cross_entropy_with_logits(labels=[0, -1], logits=logits)
    with pytest.raises(ValueError, match="rank"):
        hr.sparse_softmax_cross_entropy_with_logits(labels=[[0, 1]], logits=logits)
    with pytest.raises(ValueError, match="except for the last dimension"):
        hr.sparse_softmax_cross_entropy_with_logits(labels=[0, 1, 1], logits=logits)
    with pytest.raises(ValueError, match="scalar"):
        hr.sparse_softmax_cross_entropy_with_logits(labels=0, logits=1.0)
    with pytest.raises(errors.InvalidArgumentError, match="broadcastable"):
        hr.softmax_cross_entropy_with_logits(labels=hr.ones([2, 4]), logits=logits)
    with pytest.raises(ValueError, match="same shape"):
        hr.sigmoid_cross_entropy_with_logits(labels=hr.ones([2]), logits=hr.ones([3]))


def test_cross_entropies_of_no_examples():
    assert hr.sparse_softmax_cross_entropy_with_logits(
        labels=hr.zeros([0], hr.int32), logits=hr.zeros([0, 3])
    ).shape.as_list() == [0]
    assert hr.softmax_cross_entropy_with_logits(
        labels=hr.zeros([0, 3]), logits=hr.zeros([0, 3])
    ).shape.as_list() == [0]


@pytest.mark.parametrize("classes", [1, 3, 32, 33, 100])
def test_rows_of_every_length_and_layout(classes):
    """Short rows are reduced by columns, transposed views keep their layout: same result."""
    x = RNG.normal(size=(40, classes)) * 3
    e = np.exp(x - x.max(1, keepdims=True))
    p = e / e.sum(1, keepdims=True)
    labels = RNG.integers(0, classes, 40)
    for view in (x, np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2]):
        t = hr.Tensor.of(view)
        np.testing.assert_allclose(hr.softmax(t).numpy(), p, rtol=1e-12)
        np.testing.assert_allclose(hr.log_softmax(t).numpy(), np.log(p), rtol=1e-10, atol=1e-12)
        with hr.GradientTape() as tape:
            tape.watch(t)
            loss = hr.sparse_softmax_cross_entropy_with_logits(labels, t)
        np.testing.assert_allclose(
            loss.numpy(), -np.log(p[np.arange(40), labels]), rtol=1e-10, atol=1e-12
        )
        np.testing.assert_allclose(
            tape.gradient(loss, t).numpy(), p - np.eye(classes)[labels], rtol=1e-9, atol=1e-12
        )


def test_bias_add_errors():
    with pytest.raises(errors.InvalidArgumentError, match="at least 2D"):
        hr.bias_add(hr.ones([3]), hr.ones([3]))
    with pytest.raises(errors.InvalidArgumentError, match="as many biases"):
        hr.bias_add(hr.ones([2, 3]), hr.ones([4]))
    with pytest.raises(errors.InvalidArgumentError, match="1D"):
        hr.bias_add(hr.ones([2, 3]), hr.ones([1, 3]))
    with pytest.raises(ValueError, match="data_format"):
        hr.bias_add(hr.ones([2, 3]), hr.ones([3]), data_format="HWCN")


def test_dropout():
    hr.set_seed(7)
    x = hr.ones([200, 100])
    y = hr.dropout(x, 0.25).numpy()
    assert set(np.unique(y)) == {np.float32(0), np.float32(1 / 0.75)}
    assert abs((y == 0).mean() - 0.25) < 0.02
    z = hr.dropout(x, 0.5, noise_shape=[200, 1]).numpy()
    assert ((z == 0).all(axis=1) | (z == 2).all(axis=1)).all()
    assert hr.dropout(x, 0).numpy().min() == 1
    with hr.GradientTape() as tape:
        tape.watch(x)
        out = hr.dropout(x, 0.5)
    np.testing.assert_array_equal(tape.gradient(out, x).numpy(), out.numpy())
    for bad in (1, 1.0, -0.1):
        with pytest.raises(ValueError, match="rate"):
            hr.dropout(x, bad)
    with pytest.raises(ValueError, match="floating"):
        hr.dropout(hr.constant([1, 2]), 0.5)


def test_top_k_errors_and_names():
    found = hr.top_k([1.0, 3.0, 2.0], k=2)
    assert found.values.numpy().tolist() == [3, 2] and found.indices.numpy().tolist() == [1, 2]
    assert found.indices.dtype is hr.int32
    with pytest.raises(errors.InvalidArgumentError, match="at least k columns"):
        hr.top_k([1.0], k=2)
    with pytest.raises(errors.InvalidArgumentError, match=">= 1-D"):
        hr.top_k(1.0)


def test_in_top_k_of_numbers_that_are_not_finite(tf):
    predictions = np.array(
        [[0.1, np.inf, 0.9], [np.nan, 0.5, 0.5], [1.0, 0.0, 2.0]], np.float32
    )
    for targets in ([1, 1, 2], [0, 0, 0], [2, 1, -1]):
        for k in (1, 2, 3):
            same(
                hr.in_top_k(targets, predictions, k).numpy(),
                tf.math.in_top_k(targets, predictions, k).numpy(),
            )


def test_embedding_lookup():
    table = hr.Variable(np.arange(12.0, dtype=np.float32).reshape(4, 3))
    with hr.GradientTape() as tape:
        rows = hr.embedding_lookup(table, [[0, 2], [2, 3]])
    assert rows.shape.as_list() == [2, 2, 3]
    grad = tape.gradient(rows, table)
    assert isinstance(grad, hr.IndexedSlices)
    dense = hr.convert_to_tensor(grad).numpy()
    assert dense[:, 0].tolist() == [1, 0, 2, 1]
    clipped = hr.embedding_lookup(table, [3], max_norm=1.0).numpy()
    assert np.linalg.norm(clipped) == pytest.approx(1, rel=1e-6)
    with pytest.raises(ValueError, match="one table"):
        hr.embedding_lookup([table, table], [0])


def test_clipping_of_slices_none_and_what_is_not_finite():
    slices = hr.IndexedSlices(hr.constant([[3.0, 4.0]]), hr.constant([1]), hr.constant([3, 2]))
    (a, none, b), norm = hr.clip_by_global_norm([slices, None, hr.constant([12.0])], 6.5)
    assert norm.numpy() == 13 and none is None
    np.testing.assert_allclose(a.values.numpy(), [[1.5, 2.0]], rtol=1e-6)
    np.testing.assert_allclose(b.numpy(), [6.0], rtol=1e-6)
    (c,), norm = hr.clip_by_global_norm([hr.constant([np.inf, 1.0])], 1.0)
    assert np.isinf(norm.numpy()) and np.isnan(c.numpy()).all()
    assert hr.clip_by_value(slices, 0.0, 3.5).values.numpy().tolist() == [[3.0, 3.5]]
    np.testing.assert_allclose(
        hr.clip_by_norm(slices, 1.0).values.numpy(), [[0.6, 0.8]], rtol=1e-6
    )
    with pytest.raises(errors.InvalidArgumentError, match="bounds"):
        hr.clip_by_value(hr.ones([2]), hr.zeros([3, 2]), 1.0)
    with pytest.raises(TypeError, match="sequence"):
        hr.global_norm(hr.ones([2]))


def test_clip_by_norm_of_zeros_has_a_gradient():
    x = hr.zeros([3])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.clip_by_norm(x, 1.0)
    assert tape.gradient(y, x).numpy().tolist() == [1, 1, 1]
