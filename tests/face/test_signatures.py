"""Public functions take TensorFlow's parameters, in its order, with its defaults."""

import inspect

import pytest

import headrace as hr

# Parameters of TensorFlow's that serve its own machinery.
THEIRS = {"layout", "bad_indices_policy", "grad_a", "grad_b", "kwargs"}
# Functions that differ, each with its reason.
DIFFERENT = {
    "print": "named parameters where TensorFlow takes any keywords",
    "meshgrid": "named parameters where TensorFlow takes any keywords",
    "as_dtype": "the name of a positional parameter",
    "linalg.diag": "no padding or alignment of several diagonals yet",
    "linalg.diag_part": "no padding or alignment of several diagonals yet",
    "shape": "the default is spelled out, not None",
    "size": "the default is spelled out, not None",
    "nn.weighted_cross_entropy_with_logits": "TensorFlow's defaults of None are errors",
    "sparse.split": "TensorFlow's defaults of None are errors",
    "random.create_rng_state": "the algorithm has a default",
}
NAMESPACES = (
    "",
    "bitwise",
    "image",
    "linalg",
    "math",
    "nn",
    "ragged",
    "random",
    "sparse",
    "strings",
    "io",
)


def functions(library, namespace):
    """Name -> function of a namespace."""
    module = getattr(library, namespace) if namespace else library
    found = {name: getattr(module, name) for name in dir(module) if not name.startswith("_")}
    return {name: value for name, value in found.items() if inspect.isfunction(value)}


def parameters(function):
    """Names with their defaults; a default *name*, which only labels graphs, is left out."""
    return [
        (
            each.name,
            None if each.name == "name" else getattr(each.default, "name", each.default),
        )
        for each in inspect.signature(function).parameters.values()
        if each.name not in THEIRS
    ]


@pytest.mark.parametrize("namespace", NAMESPACES)
def test_parameters_are_tensorflows(tf, namespace):
    ours, theirs = functions(hr, namespace), functions(tf, namespace)
    shared = [
        name
        for name in ours.keys() & theirs.keys()
        if f"{namespace}.{name}".lstrip(".") not in DIFFERENT
    ]
    assert shared
    assert {name: parameters(ours[name]) for name in shared} == {
        name: parameters(theirs[name]) for name in shared
    }


@pytest.mark.parametrize("namespace", ["bitwise", "linalg", "math", "nn"])
def test_a_namespace_lists_every_operation_that_exists(tf, namespace):
    """An operation added to the room is not forgotten in TensorFlow's home for it."""
    ours, theirs = functions(hr, namespace), functions(tf, namespace)
    assert (theirs.keys() & functions(hr, "").keys()) - ours.keys() == set()
