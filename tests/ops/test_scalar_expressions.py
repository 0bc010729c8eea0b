"""A primitive's scalar expression, which fused kernels are made of, is its array form.

Where the compiler takes the expression, the kernel's result has the same bits as `impl`.
"""

import numpy as np
import pytest

from headrace.ops import api as hr, dtypes
from headrace.ops.graph import llvm
from headrace.ops.graph.fused import Program
from headrace.ops.graph.loops import Step
from headrace.ops.graph.scalar_code import supports
from headrace.ops.primitive import REGISTRY
from headrace.ops.quiet import quietly

NAMES = sorted(
    n
    for n, p in REGISTRY.items()
    if p.elementwise and not n.startswith("_Test") and all(a.length is None for a in p.args)
)
FLOATS = np.array(
    [
        0.0,
        -0.0,
        1.0,
        -1.0,
        0.5,
        -2.5,
        3.0,
        6.0,
        7.5,
        1e-30,
        -1e-30,
        88.0,
        -88.0,
        3e38,
        -3e38,
        np.inf,
        -np.inf,
        np.nan,
    ],
    np.float32,
)
INTS = np.array([0, 1, -1, 2, 7, -5, 31, 2**31 - 1, -(2**31)], np.int32)
BOOLS = np.array([True, False])


def arguments(primitive, base):
    """Every combination of edge values, as arrays of one shape."""
    values = [BOOLS if a.dtype is dtypes.bool else base for a in primitive.args]
    grid = np.meshgrid(*values, indexing="ij")
    return [np.ascontiguousarray(g.reshape(-1)) for g in grid]


def scope(names):
    def select(c, x, y):
        return np.where(c, x, y)

    return {
        "where": select,
        "max": np.maximum,
        "min": np.minimum,
        "abs": np.abs,
        "sqrt": np.sqrt,
        "exp": np.exp,
        "log": np.log,
        "log1p": np.log1p,
        "expm1": np.expm1,
        "tanh": np.tanh,
        "sin": np.sin,
        "cos": np.cos,
        "tan": np.tan,
        "asin": np.arcsin,
        "acos": np.arccos,
        "atan": np.arctan,
        "sinh": np.sinh,
        "cosh": np.cosh,
        "asinh": np.arcsinh,
        "acosh": np.arccosh,
        "atanh": np.arctanh,
        "floor": np.floor,
        "ceil": np.ceil,
        "rint": np.rint,
        "pow": np.power,
        "isinf": np.isinf,
        "isfinite": np.isfinite,
        "atan2": np.arctan2,
        **names,
    }


def special(name):
    import scipy.special

    return getattr(scipy.special, name)


@pytest.mark.parametrize("name", NAMES)
def test_expression_says_what_the_array_form_does(name):
    primitive = REGISTRY[name]
    text = primitive.elementwise
    if " and " in text or " or " in text or text.startswith("not "):
        text = {"LogicalAnd": "a & b", "LogicalOr": "a | b", "LogicalNot": "~a"}[name]
    attrs = {"alpha": 0.3} if "alpha" in text else {}
    group = next(a.group for a in primitive.args if a.group)
    allowed = primitive.types.get(group)
    base = (
        FLOATS
        if allowed is None or dtypes.float32 in allowed
        else BOOLS
        if dtypes.bool in allowed
        else INTS
    )
    arrays = arguments(primitive, base)
    if name in ("LeftShift", "RightShift"):
        arrays[1] = np.abs(arrays[1]) % 31
    if base is FLOATS and name in ("Where", "SelectV2"):
        arrays[0] = arrays[0] > 0
    if name == "SelectV2":
        arrays = [np.resize(BOOLS, len(FLOATS)), FLOATS, FLOATS[::-1].copy()]
    names = {chr(ord("a") + i): x for i, x in enumerate(arrays)}
    if "erf" in text:
        names.update(erf=special("erf"), erfc=special("erfc"))
    got = quietly(eval, text, scope({**names, **attrs}))
    want = quietly(primitive.impl, *arrays, **attrs)
    if base is FLOATS:
        np.testing.assert_allclose(got, want, rtol=3e-6, atol=1e-37)
    else:
        np.testing.assert_array_equal(got, want)


def signature(name, dtype):
    """Dtypes of the inputs and of the result, and attributes, where the text has a kernel."""
    primitive = REGISTRY[name]
    group = next(a.group for a in primitive.args if a.group)
    allowed = primitive.types.get(group)
    if allowed is not None and dtype not in allowed:
        return None
    if name == "SelectV2":
        inputs = (dtypes.bool, dtype, dtype)
    else:
        inputs = tuple(a.dtype or dtype for a in primitive.args)
    numbers = {"alpha": 0.3} if "alpha" in primitive.elementwise else {}
    out = primitive.shape(*[hr.TensorSpec([4], d) for d in inputs], **numbers)
    if not supports(primitive.elementwise, inputs, out.dtype, numbers):
        return None
    return inputs, out.dtype, numbers


CASES = [
    (name, dtype)
    for name in NAMES
    for dtype in (dtypes.float32, dtypes.float64, dtypes.int32, dtypes.bool)
    if signature(name, dtype) is not None
]


@pytest.mark.parametrize("name,dtype", CASES, ids=lambda x: getattr(x, "name", x))
def test_kernel_and_array_form_agree(name, dtype):
    primitive = REGISTRY[name]
    inputs, out, numbers = signature(name, dtype)
    base = BOOLS if dtype.is_bool else INTS if dtype.is_integer else FLOATS
    base = base.astype(dtype.np_dtype)
    if name == "SelectV2":
        arrays = [np.resize(BOOLS, len(base)), base, base[::-1].copy()]
    else:
        arrays = arguments(primitive, base)
    arrays = tuple(np.resize(a, 4096) for a in arrays)  # small ones are left to NumPy
    refs = tuple(range(len(inputs)))
    step = Step("map", refs, out, primitive.elementwise, "", False, tuple(numbers.items()))
    program = Program(
        inputs, [False] * len(inputs), [(primitive.kernel(numbers), refs)], [len(inputs)],
        [step], [len(inputs)], name,
    )  # fmt: skip
    (want,) = quietly(program.run_calls, arrays)
    quietly(program.run, arrays)
    llvm.wait()
    assert any(program._kernels.values())
    (got,) = program.run(arrays)
    assert got.dtype == want.dtype
    if program.exact:
        equal = (got == want) | ((got != got) & (want != want))
    else:
        equal = np.isclose(got, want, rtol=1e-6, atol=1e-37, equal_nan=True)
    assert equal.all(), (
        f"{name}: {[a[~equal] for a in arrays]} gave {got[~equal]}, NumPy {want[~equal]}"
    )


def test_most_texts_have_a_kernel():
    assert len({name for name, _ in CASES}) > 55
