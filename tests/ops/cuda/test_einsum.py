"""Einstein sums as products: the product that is asked for gives the sum, and operands are only
looked at from another side."""

import numpy as np
import pytest

from headrace.ops.cuda import einsum, gemm

RNG = np.random.default_rng


@pytest.fixture
def products(monkeypatch):
    """cuBLASLt by NumPy; the operands it was given."""
    seen = []

    def matmul(a, b):
        seen.append((a, b))
        return np.matmul(a, b)

    monkeypatch.setattr(gemm, "matmul", matmul)
    return seen


SIZES = dict(zip("abcdefghijk", (2, 3, 4, 5, 6, 7, 2, 3, 4, 5, 6), strict=True))
LAYERS = [
    "abc,cd->abd",  # a dense layer on sequences
    "abd,cd->abc",  # the gradient of its input
    "abc,abd->cd",  # of its weights
    "abc,cde->abde",  # attention's projections
    "abde,cde->abc",
    "abde,dec->abc",
    "abc,abde->cde",
    "abde,abc->cde",
    "abde,abc->dec",
]
OTHERS = ["ab,bc->ac", "ab,bc->ca", "abc,acd->abd", "abcd,abde->abce", "aebf,agbf->abeg",
          "abeg,agbf->aebf", "a,a->", "a,b->ab", "abc,c->ab"]  # fmt: skip


def operands(equation):
    rng = RNG(0)
    left = equation.split("->")[0].split(",")
    return [rng.normal(size=[SIZES[c] for c in labels]).astype("f4") for labels in left]


@pytest.mark.parametrize("equation", LAYERS + OTHERS)
def test_the_product_is_the_sum(products, equation):
    x, y = operands(equation)
    got = einsum.einsum(x, y, equation=equation)
    np.testing.assert_allclose(got, np.einsum(equation, x, y), rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("equation", LAYERS)
def test_operands_of_layers_are_not_copied(products, equation):
    x, y = operands(equation)
    einsum.einsum(x, y, equation=equation)
    ((a, b),) = products
    for made in (a, b):
        assert np.shares_memory(made, x) or np.shares_memory(made, y)
        assert gemm.layout_of(made) is not None


@pytest.mark.parametrize("equation", ["ab,ab,ab->a", "aa,ab->b", "abc,de->ad", "...b,bc->...c"])
def test_others_are_left_to_the_generic_form(products, equation):
    arrays = [np.ones([2] * max(len(part.replace("...", "ab")), 1), "f4")
              for part in equation.split("->")[0].split(",")]  # fmt: skip
    assert einsum.einsum(*arrays, equation=equation) is NotImplemented
    assert not products
