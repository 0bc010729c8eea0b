"""A resize that writes its columns in reverse gives the flipped image, to the bit."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.graph import Graph
from headrace.ops.graph.passes.flipped_resizes import flipped_resizes
from headrace.ops.image_weights import METHODS


def traced(fn, *specs):
    function = hr.function(fn)
    return function.get_concrete_function(*specs).graph


def types(graph):
    return [node.type for node in graph.nodes]


IMAGE = hr.TensorSpec([None, None, 3], "uint8")
FLAG = hr.TensorSpec([], "bool")


def flip_if(image, flag):
    from headrace.ops.image_flips import FlipIf

    return FlipIf(image, flag, axis=-2)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", ["uint8", "float32"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_bits(method, dtype, channels):
    graph = Graph("resize and flip")
    from headrace.ops.context import tracing

    with tracing(graph):
        image = graph.placeholder(hr.TensorSpec([None, None, channels], dtype))
        flag = graph.placeholder(FLAG)
        graph.outputs = [flip_if(hr.image.resize(image, [12, 9], method), flag)]
    both = flipped_resizes(graph)
    assert "_ResizeFlipIf" in types(both)
    rng = np.random.default_rng(0)
    for height, width in ((12, 9), (17, 30), (5, 7), (1, 1)):
        pixels = rng.integers(0, 256, (height, width, channels)).astype(dtype)
        for flag in (False, True):
            plain, fused = (
                g.replay([hr.constant(pixels), hr.constant(flag)])[0].numpy()
                for g in (graph, both)
            )
            np.testing.assert_array_equal(fused, plain)
            (compiled,) = graph.compile()(pixels, np.array(flag))
            np.testing.assert_array_equal(compiled, plain)


@pytest.mark.parametrize(
    "fn",
    [
        lambda image, flag: (lambda resized: (resized, flip_if(resized, flag)))(
            hr.image.resize(image, [8, 8])
        ),
        lambda image, flag: hr.image.resize(hr.image.flip_left_right(image), [8, 8]),
        lambda image, flag: hr.image.flip_up_down(hr.image.resize(image, [8, 8])),
        lambda image, flag: hr.image.flip_left_right(hr.cast(image, "float32")),
    ],
    ids=["both_are_used", "the_flip_is_first", "rows", "no_resize"],
)
def test_what_stays_as_it_is(fn):
    graph = traced(fn, IMAGE, FLAG)
    assert "_ResizeFlipIf" not in types(flipped_resizes(graph))


def test_a_flag_per_image_stays_as_it_is():
    images = hr.TensorSpec([4, None, None, 3], "uint8")
    graph = traced(
        lambda x: hr.image.random_flip_left_right(hr.image.resize(x, [8, 8])), images
    )
    assert "_FlipIf" in types(flipped_resizes(graph))
