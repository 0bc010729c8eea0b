"""exp, tanh and the logistic function on whole vectors of a kernel being written.

The formulas are those of `graph.scalar_math`, which fused loops use: ranges reduced with fused
multiply-adds, then a polynomial; within a few units in the last place, NaN stays NaN.
"""

from __future__ import annotations

from collections.abc import Sequence

from .code import Code, Value

__all__ = ["sigmoid", "tanh"]

# exp(r) = 1 + r + r^2 Q(r) for |r| <= log(2) / 2
_EXP = (0.5, 0.16666576666119928, 0.04166655421298415, 0.008363232883682618,
        0.0013926250831497611)  # fmt: skip
# tanh(x) = x + x^3 T(x^2) for |x| <= 0.625
_TANH = (-0.33333328944134255, 0.13332769736976327, -0.05385090957851358,
         0.020997178999074752, -0.006096714165908197)  # fmt: skip
_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606820309417e-06
_MAGIC = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest whole number in the last bits


def sigmoid(code: Code, x: Value) -> Value:
    """1 / (1 + exp(-x))."""
    return code.of(1.0, code.vector) / (_exp(code, code.of(0.0, code.vector) - x) + 1.0)


def tanh(code: Code, x: Value) -> Value:
    """The hyperbolic tangent."""
    size = code.whole("fabs", x)
    square = x * x
    inner = _polynomial(code, square, _TANH)
    small = x * code.fma(square, inner, code.of(1.0, code.vector))
    below = _exp(code, size + size) + 1.0
    large = code.whole("copysign", 1.0 - code.of(2.0, code.vector) / below, x)
    return code.select(size < 0.625, small, large, code.vector)


def _exp(code: Code, x: Value) -> Value:
    """exp(x) for |x| <= 87, and the value at the nearer limit beyond."""
    v, i = code.vector, f"<{code.width} x i32>"
    x = code.select(x > 87.0, 87.0, x, v)
    x = code.select(x < -87.0, -87.0, x, v)
    shifted = code.fma(x, code.of(1.4426950408889634, v), code.of(_MAGIC, v))
    whole = shifted - _MAGIC
    r = code.fma(whole, code.of(-_LN2_HIGH, v), x)
    r = code.fma(whole, code.of(-_LN2_LOW, v), r)
    y = code.fma(r * r, _polynomial(code, r, _EXP), r) + 1.0
    # The whole number stands in the low bits; moved to the exponent's place, the rest is gone.
    bits = code.put(f"bitcast {v} {shifted.name} to {i}", i)
    high = ", ".join("i32 23" for _ in range(code.width))
    power = code.put(f"shl {i} {bits.name}, <{high}>", i)
    found = code.put(f"bitcast {v} {y.name} to {i}", i)
    found = code.put(f"add {i} {found.name}, {power.name}", i)
    y = code.put(f"bitcast {i} {found.name} to {v}", v)
    return code.select(x.unlike(x), x, y, v)


def _polynomial(code: Code, x: Value, coefficients: Sequence[float]) -> Value:
    value = code.of(coefficients[-1], code.vector)
    for c in reversed(coefficients[:-1]):
        value = code.fma(value, x, code.of(c, code.vector))
    return value
