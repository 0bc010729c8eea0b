"""Matrix products, einsum, tensordot, diagonals, norms."""

import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of, same

from headrace import errors
from headrace.ops import api as hr

RNG = np.random.default_rng(11)
ALL = ("float32", "float64", "float16", "bfloat16")
WIDE = ("float32", "float64")


def rand(*shape):
    return RNG.uniform(-1.5, 1.5, shape)


def product(a, b, tag="", kinds=WIDE, **flags):
    return Case(
        f"matmul-{tag or a.shape}",
        lambda x, y: hr.matmul(x, y, **flags),
        (a, b),
        lambda tf: lambda x, y: tf.matmul(x, y, **flags),
        kinds=kinds,
    )


def summed(equation, *shapes, **more):
    return Case(
        f"einsum-{equation}",
        lambda *xs: hr.einsum(equation, *xs),
        tuple(rand(*s) for s in shapes),
        lambda tf: lambda *xs: tf.einsum(equation, *xs),
        **more,
    )


def dotted(axes, a, b):
    return Case(
        f"tensordot-{axes}",
        lambda x, y: hr.tensordot(x, y, axes),
        (rand(*a), rand(*b)),
        lambda tf: lambda x, y: tf.tensordot(x, y, axes),
    )


def one(name, dotted, fn, x, **more):
    def peer(tf):
        found = tf
        for part in dotted.split("."):
            found = getattr(found, part)
        return lambda t: fn(found, t)

    return Case(
        name, lambda t: fn(getattr(hr, dotted.rsplit(".", 1)[1]), t), (x,), peer, **more
    )


CASES = [
    product(rand(2, 3), rand(3, 4), "2d", kinds=ALL),
    product(rand(3, 2), rand(3, 4), "ta", transpose_a=True),
    product(rand(2, 3), rand(4, 3), "tb", transpose_b=True),
    product(rand(3, 2), rand(4, 3), "ta-tb", transpose_a=True, transpose_b=True),
    product(rand(3, 2), rand(4, 3), "adjoint", adjoint_a=True, adjoint_b=True),
    product(rand(2, 2, 3), rand(2, 3, 4), "stack", kinds=ALL),
    product(rand(2, 3, 2), rand(2, 4, 3), "stack-ta-tb", transpose_a=True, transpose_b=True),
    product(rand(2, 2, 3), rand(2, 4, 3), "stack-tb", transpose_b=True),
    product(rand(2, 2, 3), rand(3, 4), "stack-matrix"),
    product(rand(2, 2, 3), rand(4, 3), "stack-matrix-tb", transpose_b=True),
    product(rand(2, 3, 2), rand(3, 4), "stack-matrix-ta", transpose_a=True),
    product(rand(2, 3), rand(2, 3, 4), "matrix-stack"),
    product(rand(2, 1, 2, 3), rand(3, 3, 2), "broadcast"),
    Case(
        "matmul-int",
        hr.matmul,
        (
            np.arange(6, dtype=np.int32).reshape(2, 3),
            np.arange(12, dtype=np.int32).reshape(3, 4),
        ),
        lambda tf: tf.matmul,
    ),
    Case("matvec", hr.matvec, (rand(2, 3), rand(3)), lambda tf: tf.linalg.matvec),
    Case("matvec-stack", hr.matvec, (rand(2, 2, 3), rand(2, 3)), lambda tf: tf.linalg.matvec),
    Case(
        "matvec-ta",
        lambda a, b: hr.matvec(a, b, transpose_a=True),
        (rand(3, 2), rand(3)),
        lambda tf: lambda a, b: tf.linalg.matvec(a, b, transpose_a=True),
    ),
    summed("ij,jk->ik", (2, 3), (3, 4), kinds=ALL),
    summed("ij,jk", (2, 3), (3, 4)),
    summed("ij->ji", (2, 3)),
    summed("ij->i", (2, 3)),
    summed("ij->", (2, 3)),
    summed("ii->i", (3, 3)),
    summed("ii->", (3, 3)),
    summed("bij,bjk->bik", (2, 2, 3), (2, 3, 2)),
    summed("bhid,bhjd->bhij", (2, 2, 2, 3), (2, 2, 3, 3)),
    summed("i,j->ij", (2,), (3,)),
    summed("i,i->", (3,), (3,)),
    summed("ij,ij->j", (2, 3), (2, 3)),
    summed("ijk,k->ji", (2, 2, 3), (3,)),
    summed("ab,cb,cd->ad", (2, 3), (2, 3), (2, 2)),
    summed("...ij,jk->...ik", (2, 2, 3), (3, 2)),
    summed("...ij,...jk->...ik", (2, 2, 3), (1, 3, 2)),
    summed("...i->...", (2, 3)),
    summed("ij,k->ik", (2, 3), (2,)),
    dotted(1, (2, 3), (3, 4)),
    dotted(2, (2, 2, 3), (2, 3, 2)),
    dotted(0, (2,), (3,)),
    dotted([[1], [0]], (2, 3), (3, 4)),
    dotted([[0, 2], [1, 0]], (2, 3, 2), (2, 2, 3)),
    dotted([-1, -1], (2, 3), (4, 3)),
    one("diag", "linalg.diag", lambda f, t: f(t), rand(2, 3)),
    one("diag-k", "linalg.diag", lambda f, t: f(t, k=1), rand(3)),
    one("diag_part", "linalg.diag_part", lambda f, t: f(t), rand(2, 3, 2)),
    one("tensor_diag", "linalg.tensor_diag", lambda f, t: f(t), rand(3)),
    one(
        "tensor_diag_part",
        "linalg.tensor_diag_part",
        lambda f, t: f(t),
        rand(2, 2, 2, 2),
        batch=False,
    ),
    one("trace", "linalg.trace", lambda f, t: f(t), rand(2, 3, 3)),
    one("norm", "linalg.norm", lambda f, t: f(t), rand(2, 3)),
    one("norm-axis", "linalg.norm", lambda f, t: f(t, axis=1, keepdims=True), rand(2, 3)),
    one("norm-1", "linalg.norm", lambda f, t: f(t, ord=1, axis=-1), rand(2, 3)),
    one("norm-inf", "linalg.norm", lambda f, t: f(t, ord=np.inf, axis=0), rand(2, 3)),
    one("norm-3", "linalg.norm", lambda f, t: f(t, ord=3, axis=0), rand(2, 3)),
    one("norm-matrix-1", "linalg.norm", lambda f, t: f(t, ord=1, axis=[-2, -1]), rand(2, 3, 2)),
    one("norm-fro", "linalg.norm", lambda f, t: f(t, ord="fro", axis=[-2, -1]), rand(2, 3, 2)),
    one(
        "norm-matrix-inf",
        "linalg.norm",
        lambda f, t: f(t, ord=np.inf, axis=(0, 1), keepdims=True),
        rand(2, 3),
    ),
    Case("cross", hr.cross, (rand(2, 3), rand(2, 3)), lambda tf: tf.linalg.cross),
]


@each(CASES)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_matches_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


@pytest.mark.parametrize(
    "a, b",
    [
        ((0, 3), (3, 4)),
        ((2, 0), (0, 4)),
        ((2, 3), (3, 0)),
        ((2, 0, 3), (3, 4)),
        ((0, 2, 3), (3, 4)),
        ((2, 3), (0, 3, 1)),
        ((2, 2, 0), (0, 4)),
    ],
)
def test_empty_products(a, b):
    got = hr.matmul(hr.ones(a), hr.ones(b)).numpy()
    same(got, np.matmul(np.ones(a, np.float32), np.ones(b, np.float32)))
    if len(a) == len(b) == 2:
        same(hr.einsum("ij,jk->ik", hr.ones(a), hr.ones(b)).numpy(), got)


def test_matmul_errors():
    with pytest.raises(
        errors.InvalidArgumentError,
        match=r"Matrix size-incompatible: In\[0\]: \[2,3\], In\[1\]: \[2,3\]",
    ):
        hr.matmul(hr.ones([2, 3]), hr.ones([2, 3]))
    with pytest.raises(errors.InvalidArgumentError, match="size-incompatible"):
        hr.matmul(hr.ones([2, 2, 3]), hr.ones([2, 3]))
    with pytest.raises(errors.InvalidArgumentError, match="Incompatible shapes"):
        hr.matmul(hr.ones([2, 2, 3]), hr.ones([3, 3, 2]))
    with pytest.raises(errors.InvalidArgumentError, match="ndims"):
        hr.matmul(hr.ones([3]), hr.ones([3, 2]))
    with pytest.raises(errors.InvalidArgumentError, match="float"):
        hr.matmul(hr.ones([2, 2]), hr.ones([2, 2], hr.int32))
    with pytest.raises(ValueError, match="Only one"):
        hr.matmul(hr.ones([2, 2]), hr.ones([2, 2]), transpose_a=True, adjoint_a=True)


def test_matmul_of_complex_numbers_matches_tensorflow(tf):
    a, b = (
        (rand(2, 3) + 1j * rand(2, 3)).astype("c8"),
        (rand(2, 3) + 1j * rand(2, 3)).astype("c8"),
    )
    same(hr.matmul(a, b, adjoint_b=True).numpy(), tf.matmul(a, b, adjoint_b=True).numpy())
    x, y = hr.constant(a), tf.constant(a)
    with hr.GradientTape() as t1, tf.GradientTape() as t2:
        t1.watch(x)
        t2.watch(y)
        p, q = hr.matmul(x, b, transpose_b=True), tf.matmul(y, b, transpose_b=True)
    same(t1.gradient(p, x).numpy(), t2.gradient(q, y).numpy(), 1e-4)


def test_shared_weights_get_one_product():
    """A stack times one matrix, and its gradient, is one GEMM: no stack of weight gradients."""
    from headrace.ops.graph.trace import trace

    def grads(x, w):
        with hr.GradientTape() as tape:
            tape.watch(w)
            y = hr.matmul(x, w)
        return tape.gradient(y, w)

    graph = trace(grads, (hr.TensorSpec([None, 7, 3]), hr.TensorSpec([3, 5])), name="g").graph
    assert [n.type for n in graph.nodes].count("MatMul") == 1
    assert not [n for n in graph.nodes if n.outputs[0].shape.as_list() == [None, 3, 5]]


@pytest.mark.parametrize("flags", [{}, {"transpose_a": True}, {"transpose_b": True}])
def test_a_gradient_nobody_asks_for_is_not_computed(flags):
    from headrace.ops.graph.trace import trace

    for which in (0, 1):

        def grads(x, w, which=which):
            with hr.GradientTape() as tape:
                tape.watch((x, w)[which])
                y = hr.matmul(x, w, **flags)
            return tape.gradient(y, (x, w)[which])

        graph = trace(grads, (hr.TensorSpec([3, 3]), hr.TensorSpec([3, 3])), name="g").graph
        assert [n.type for n in graph.nodes].count("MatMul") == 2


def test_a_batched_vector_product_is_one_matrix_product():
    from headrace.ops.graph.batching import batch_graph
    from headrace.ops.graph.trace import trace

    w = hr.constant(rand(4, 3))
    graph = trace(lambda v: hr.matvec(w, v), (hr.TensorSpec([3], hr.float64),), name="mv").graph
    block = rand(1000, 3)
    (got,) = batch_graph(graph).graph.compile()(block)
    same(got, block @ w.numpy().T)


def test_einsum_errors():
    with pytest.raises(ValueError, match="Got 1 arguments"):
        hr.einsum("ij,jk->ik", hr.ones([2, 2]))
    with pytest.raises(errors.InvalidArgumentError, match="Expected dimension"):
        hr.einsum("ij,jk->ik", hr.ones([2, 3]), hr.ones([4, 2]))
    with pytest.raises(errors.InvalidArgumentError, match="rank"):
        hr.einsum("ij->i", hr.ones([2]))
    with pytest.raises(ValueError, match="letters"):
        hr.einsum("i1->i", hr.ones([2, 2]))
    with pytest.raises(ValueError, match="in no operand"):
        hr.einsum("i->ik", hr.ones([2]))
    with pytest.raises(TypeError, match="keyword"):
        hr.einsum("i->i", hr.ones([2]), colour=3)


def test_tensordot_errors():
    with pytest.raises(errors.InvalidArgumentError, match="size-incompatible"):
        hr.tensordot(hr.ones([2, 3]), hr.ones([2, 3]), 1)
    with pytest.raises(ValueError, match="at least 0"):
        hr.tensordot(hr.ones([2]), hr.ones([2]), -1)
    with pytest.raises(ValueError, match="larger than"):
        hr.tensordot(hr.ones([2]), hr.ones([2]), 2)
    with pytest.raises(ValueError, match="contraction axes"):
        hr.tensordot(hr.ones([2, 2]), hr.ones([2, 2]), [[0, 1], [0]])


def test_norm_and_diagonal_errors():
    with pytest.raises(ValueError, match="ord"):
        hr.norm(hr.ones([2]), ord="nuclear")
    with pytest.raises(ValueError, match="axis"):
        hr.norm(hr.ones([2, 2, 2]), axis=[0, 1, 2])
    with pytest.raises(errors.InvalidArgumentError, match="at least 2"):
        hr.diag_part(hr.ones([2]))
    with pytest.raises(errors.InvalidArgumentError, match="3-element"):
        hr.cross(hr.ones([2]), hr.ones([2]))
    with pytest.raises(ValueError, match="rank >= 2"):
        hr.matrix_transpose(hr.ones([2]))


def test_matrix_transpose():
    x = rand(2, 3, 4)
    same(hr.matrix_transpose(x).numpy(), x.swapaxes(-1, -2))
    z = np.array([[1 + 2j, 3]])
    same(hr.matrix_transpose(z, conjugate=True).numpy(), z.conj().T)
