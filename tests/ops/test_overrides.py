"""Overrides: array forms in front of a primitive's generic one, by the kind of arrays."""

import numpy as np
import pytest

from headrace.ops import api as hr
from headrace.ops.primitive import REGISTRY, Primitive
from headrace.ops.tensor_spec import TensorSpec


@pytest.fixture
def doubled():
    """A primitive of this test alone."""
    made = Primitive(
        "TestDoubled",
        "x: T",
        impl=lambda x: x * 2,
        shape=lambda x: TensorSpec(x.shape, x.dtype),
    )
    yield made
    del REGISTRY["TestDoubled"]


def test_an_override_stands_in_front_of_impl(doubled):
    @doubled.override("cpu")
    def only_vectors(x):
        return x + x + 100 if x.ndim == 1 else NotImplemented

    assert doubled(hr.constant([1.0])).numpy().tolist() == [102.0]
    assert doubled(hr.constant(1.0)).numpy() == 2.0
    assert doubled.form("gpu") is doubled.impl
    assert doubled.kernel({})(np.array([1.0])).tolist() == [102.0]


def test_the_last_override_comes_first(doubled):
    doubled.override("gpu")(lambda x: x + 1)
    doubled.override("gpu")(lambda x: x + 2 if x.ndim else NotImplemented)
    form = doubled.form("gpu")
    assert form(np.array([1.0])).tolist() == [3.0]
    assert form(np.array(1.0)) == 2.0
    assert doubled.host is doubled.impl


def test_other_kinds_there_are_none(doubled):
    with pytest.raises(AssertionError, match="cpu or gpu"):
        doubled.override("tpu")
