"""Convolutions: dense, grouped, depthwise, transposed, in one to three space axes."""

import dataclasses

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

import headrace
from headrace import errors
from headrace.ops import api as hr

RNG = np.random.default_rng(3)


def draw(*shape):
    return RNG.uniform(-1, 1, shape)


X, W = draw(2, 5, 4, 2), draw(3, 2, 2, 3)
LINE, LINE_W = draw(2, 6, 2), draw(3, 2, 3)
CUBE, CUBE_W = draw(1, 3, 4, 3, 2), draw(2, 2, 3, 2, 2)
DEEP = draw(3, 2, 2, 2)
LOOSE = 1e-4
# TensorFlow's CPU kernels for these lack second gradients or other dtypes.
FLOAT = ("float32",)
NO_FIRST = {"peer": {"grad": False}}
BOTH = ("float32", "float64")


def nn(name, *args, fn, tag, kinds=FLOAT, **more):
    return Case(
        f"{name}-{tag}",
        lambda *xs: fn(getattr(headrace.nn, name), *xs),
        args,
        lambda tf: lambda *xs: fn(getattr(tf.nn, name), *xs),
        kinds=kinds,
        tolerance=more.pop("tolerance", None),
        **more,
    )


def geometry(name, args, strides=1, padding="VALID", tag="", **more):
    """A case of a forward convolution with `(strides, padding, **more)`."""
    options = {k: more.pop(k) for k in ("dilations", "data_format") if k in more}
    return nn(
        name,
        *args,
        fn=lambda f, x, w: f(x, w, strides, padding, **options),
        tag=tag or f"{strides}-{padding}",
        **more,
    )


CASES = [
    geometry("conv2d", (X, W), kinds=BOTH),
    geometry("conv2d", (X, W), 1, "SAME"),
    geometry("conv2d", (X, W), 2, "SAME"),
    geometry("conv2d", (X, W), [1, 2, 1, 1], "VALID", tag="rows"),
    geometry("conv2d", (X, W), 1, [[0, 0], [1, 2], [0, 1], [0, 0]], tag="explicit"),
    geometry("conv2d", (X, W), 1, "SAME", tag="dilated", dilations=2, notes=NO_FIRST),
    geometry("conv2d", (X, draw(1, 1, 2, 3)), 1, "VALID", tag="1x1"),
    geometry("conv2d", (X, draw(1, 1, 2, 3)), 2, "SAME", tag="1x1-strided"),
    geometry("conv2d", (draw(1, 4, 3, 4), draw(2, 2, 2, 4)), 1, "SAME", tag="groups",
             notes=NO_FIRST),
    geometry("conv1d", (LINE, LINE_W)),
    geometry("conv1d", (LINE, LINE_W), 2, "SAME"),
    geometry("conv1d", (LINE, LINE_W), 1, "VALID", tag="dilated", dilations=2, notes=NO_FIRST),
    geometry("conv3d", (CUBE, CUBE_W), [1] * 5, tag="1"),
    geometry("conv3d", (CUBE, CUBE_W), [1, 2, 1, 1, 1], "SAME", tag="strided"),
    geometry("convolution", (X, W), None, "SAME", data_format="NHWC"),
    geometry("depthwise_conv2d", (X, DEEP), [1, 1, 1, 1], "SAME"),
    geometry("depthwise_conv2d", (X, DEEP), [1, 2, 2, 1], "VALID"),
    geometry("depthwise_conv2d", (X, DEEP), [1, 1, 1, 1], "VALID", dilations=[2, 1],
             tag="dilated"),
    nn("separable_conv2d", X, DEEP, draw(1, 1, 4, 3), tag="same",
       fn=lambda f, x, d, p: f(x, d, p, [1, 1, 1, 1], "SAME")),
    nn("atrous_conv2d", X, draw(2, 2, 2, 3), tag="2",
       fn=lambda f, x, w: f(x, w, 2, "SAME")),
    nn("conv2d_transpose", draw(2, 3, 2, 3), draw(3, 3, 2, 3), tag="same",
       fn=lambda f, x, w: f(x, w, [2, 6, 4, 2], 2)),
    nn("conv2d_transpose", draw(2, 3, 2, 3), draw(3, 3, 2, 3), tag="valid",
       fn=lambda f, x, w: f(x, w, [2, 7, 5, 2], 2, "VALID")),
    nn("conv1d_transpose", draw(2, 3, 3), draw(3, 2, 3), tag="same",
       fn=lambda f, x, w: f(x, w, [2, 6, 2], 2)),
    nn("conv3d_transpose", draw(1, 2, 2, 2, 3), draw(2, 2, 2, 2, 3), tag="same",
       fn=lambda f, x, w: f(x, w, [1, 4, 4, 4, 2], 2)),
]  # fmt: skip


@each(CASES)
def test_laws(case):
    check_laws(case)


@pytest.mark.peers
@peers_of(CASES)
def test_tensorflow(tf, case, kind):
    case = dataclasses.replace(case, **case.notes.get("peer", {}))
    check_against_tensorflow(tf, case, kind)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
def test_half_floats_go_through_float32(kind):
    x, w = (hr.cast(hr.constant(a, "float32"), kind) for a in (X, W))
    got = hr.conv2d(x, w, 1, "SAME")
    want = hr.conv2d(hr.cast(x, "float32"), hr.cast(w, "float32"), 1, "SAME")
    assert got.dtype.name == kind
    np.testing.assert_array_equal(hr.cast(want, kind).numpy(), got.numpy())


@pytest.mark.parametrize("call", [hr.conv2d, hr.depthwise_conv2d])
def test_channels_first_is_a_transpose(call):
    w = W if call is hr.conv2d else DEEP
    want = call(X, w, 1, "SAME")
    got = call(X.transpose(0, 3, 1, 2), w, 1, "SAME", data_format="NCHW")
    np.testing.assert_allclose(got.numpy().transpose(0, 2, 3, 1), want)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: hr.conv2d(X, draw(3, 3, 3, 4), 1, "VALID"), "input depth must be evenly"),
        (lambda: hr.conv2d(X[:, :1], draw(3, 3, 2, 4), 1, "VALID"), "would be negative: -1"),
        (lambda: hr.conv2d(X[0], W, 1, "VALID"), "input must be 4-dimensional"),
        (lambda: hr.conv2d(X, W[0], 1, "VALID"), "filter must be 4-dimensional"),
        (lambda: hr.conv2d(X, W, 0, "VALID"), "Stride must be > 0, but got 0"),
        (lambda: hr.conv2d(X, W, 1, "FOO"), '"SAME", "VALID", "EXPLICIT"'),
        (lambda: hr.conv2d_transpose(X, draw(3, 3, 1, 2), [2, 99, 8, 1], 2), "Size of out_ba"),
        (lambda: hr.conv2d(X, draw(3, 3, 1, 3), 1, "VALID"), "number of groups"),
    ],
)
def test_errors(call, words):
    with pytest.raises(errors.InvalidArgumentError, match=words):
        call()


def test_strides_of_a_wrong_length():
    with pytest.raises(ValueError, match="strides should be of length 1, 2 or 4"):
        hr.conv2d(X, W, [1, 1, 1], "VALID")


def test_empty_batches():
    assert hr.conv2d(np.zeros((0, 5, 4, 2)), W, 1, "SAME").shape == (0, 5, 4, 3)
    with hr.GradientTape() as tape:
        x, w = hr.constant(np.zeros((0, 5, 4, 2))), hr.constant(W)
        tape.watch([x, w])
        y = hr.conv2d(x, w, 1, "SAME")
    dx, dw = tape.gradient(y, [x, w])
    assert dx.shape == x.shape and not dw.numpy().any()


def test_raw_names():
    raw = headrace.raw_ops
    x, w = hr.constant(X), hr.constant(W)
    y = raw.Conv2D(input=x, filter=w, strides=[1, 1, 1, 1], padding="SAME")
    g = raw.Conv2DBackpropFilter(
        input=x, filter_sizes=W.shape, out_backprop=y, strides=[1, 1, 1, 1], padding="SAME"
    )
    assert y.shape == (2, 5, 4, 3) and g.shape == W.shape


def test_gradients_in_a_trace_have_the_shapes_that_are_known():
    def fn(x, w):
        with hr.GradientTape() as tape:
            tape.watch([x, w])
            loss = hr.reduce_sum(hr.square(hr.conv2d(x, w, 1, "SAME")))
        return tape.gradient(loss, [x, w])

    specs = (
        hr.TensorSpec([None, 5, None, 2], "float32"),
        hr.TensorSpec([3, 3, 2, 4], "float32"),
    )
    graph = hr.function(fn, input_signature=specs).get_concrete_function().graph
    shapes = {n.type: n.outputs[0].shape.as_list() for n in graph.nodes if n.outputs}
    assert shapes["Conv2DBackpropInput"] == [None, 5, None, 2]
    assert shapes["Conv2DBackpropFilter"] == [3, 3, 2, 4]
