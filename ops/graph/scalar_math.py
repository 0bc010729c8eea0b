"""Exponentials, logarithms and their relatives in float32, as LLVM IR without branches.

Each function takes the emitter and a register and returns a register.  Loops over them are
vectorised whole.  Ranges are reduced with fused multiply-adds and the rest is a polynomial,
fitted to the function on the reduced range (Chebyshev nodes, 40 digits).  They are within
4 units in the last place of the exact value, infinities, NaN and denormals included;
`tests/ops/test_scalar_math.py` measures it.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .scalar_code import Emitter

__all__ = ["FUNCTIONS", "number"]

# exp(r) = 1 + r + r^2 Q(r) for |r| <= log(2) / 2
_EXP = (0.5, 0.16666576666119928, 0.04166655421298415, 0.008363232883682618,
        0.0013926250831497611)  # fmt: skip
# log(1 + f) = f - f^2 / 2 + f^3 P(f) for sqrt(1/2) <= 1 + f <= sqrt(2)
_LOG = (0.33333331180030046, -0.24999996957950882, 0.200007157488921, -0.16667802319501254,
        0.1424905764569748, -0.12425687331451106, 0.1168541992348674, -0.11479733846637635,
        0.06971611471451178)  # fmt: skip
# tanh(x) = x + x^3 T(x^2) for |x| <= 0.625
_TANH = (-0.33333328944134255, 0.13332769736976327, -0.05385090957851358,
         0.020997178999074752, -0.006096714165908197)  # fmt: skip
# erf(x) = x E(x^2) for |x| <= 1, and 1 - exp(-G(x)) up to 4
_ERF = (1.1283791658483509, -0.37612626666720334, 0.11283594715160218, -0.026854212010626412,
        0.005189087423433974, -0.000801686428716587, 7.875875062685488e-05)  # fmt: skip
_ERFC = (-0.00034958211408343164, 1.1303884233078163, 0.6314834944965707, 0.11049957100171087,
         -0.026736233891883725, 0.004910779965229003, -0.0006433164709901303,
         5.493616927429621e-05, -2.5943393210241744e-06, 4.4538963877116796e-08)  # fmt: skip

_LN2_HIGH, _LN2_LOW = 0.693145751953125, 1.428606820309417e-06
_MAGIC = 12582912.0  # 1.5 * 2^23: adding it leaves the nearest whole number in the last bits
_MAGIC_BITS = 0x4B400000
_INF, _NAN = "0x7FF0000000000000", "0x7FF8000000000000"


def number(value: float) -> str:
    """A float32 as LLVM writes it: the bits of the double that equals it."""
    single = struct.unpack("f", struct.pack("f", value))[0]
    return "0x" + struct.pack(">d", single).hex().upper()


def _call(e: Emitter, name: str, *args: str) -> str:
    kinds = ", ".join(["float"] * len(args))
    e.intrinsics.add(f"declare float @llvm.{name}.f32({kinds})")
    return e.new(f"call float @llvm.{name}.f32({', '.join('float ' + a for a in args)})")


def _fma(e: Emitter, a: str, b: str, c: str) -> str:
    return _call(e, "fmuladd", a, b, c)


def _polynomial(e: Emitter, x: str, coefficients: Sequence[float]) -> str:
    value = number(coefficients[-1])
    for c in reversed(coefficients[:-1]):
        value = _fma(e, value, x, number(c))
    return value


def _where(e: Emitter, test: str, a: str, b: str) -> str:
    return e.new(f"select i1 {e.new(test)}, float {a}, float {b}")


def _clamp(e: Emitter, x: str, low: float, high: float) -> str:
    """`x` within limits; NaN stays NaN."""
    x = _where(e, f"fcmp ogt float {x}, {number(high)}", number(high), x)
    return _where(e, f"fcmp olt float {x}, {number(low)}", number(low), x)


def _reduced(e: Emitter, x: str) -> tuple[str, str, str]:
    """n (as an integer), r and r^2 Q(r) + r of x = n log(2) + r."""
    t = _fma(e, x, number(1.4426950408889634), number(_MAGIC))
    whole = e.new(f"fsub float {t}, {number(_MAGIC)}")
    r = _fma(e, whole, number(-_LN2_HIGH), x)
    r = _fma(e, whole, number(-_LN2_LOW), r)
    bits = e.new(f"bitcast float {t} to i32")
    n = e.new(f"sub i32 {bits}, {_MAGIC_BITS}")
    square = e.new(f"fmul float {r}, {r}")
    return n, r, _fma(e, square, _polynomial(e, r, _EXP), r)


def _power_of_two(e: Emitter, n: str) -> str:
    biased = e.new(f"add i32 {n}, 127")
    return e.new(f"bitcast i32 {e.new(f'shl i32 {biased}, 23')} to float")


def _exp(e: Emitter, x: str) -> str:
    n, _, p = _reduced(e, _clamp(e, x, -104.0, 89.0))
    y = e.new(f"fadd float {p}, {number(1.0)}")
    half = e.new(f"ashr i32 {n}, 1")  # 2^n may be no number where the result is one
    rest = e.new(f"sub i32 {n}, {half}")
    y = e.new(f"fmul float {y}, {_power_of_two(e, half)}")
    return e.new(f"fmul float {y}, {_power_of_two(e, rest)}")


def _expm1(e: Emitter, x: str) -> str:
    n, _, p = _reduced(e, _clamp(e, x, -30.0, 89.0))
    scale = _power_of_two(e, e.new(f"sub i32 {n}, 1"))
    y = _fma(e, scale, p, e.new(f"fsub float {scale}, {number(0.5)}"))
    y = e.new(f"fadd float {y}, {y}")
    return _where(e, f"fcmp oeq float {x}, {number(0.0)}", x, y)  # the sign of a zero


def _log(e: Emitter, x: str) -> str:
    tiny = e.new(f"fcmp olt float {x}, {number(2.0**-126)}")
    big = e.new(f"fmul float {x}, {number(2.0**23)}")
    y = e.new(f"select i1 {tiny}, float {big}, float {x}")
    less = e.new(f"select i1 {tiny}, float {number(-23.0)}, float {number(0.0)}")
    bits = e.new(f"bitcast float {y} to i32")
    above = e.new(f"sub i32 {bits}, {0x3F3504F3}")  # sqrt(1/2)
    exponent = e.new(f"ashr i32 {above}, 23")
    mantissa = e.new(f"add i32 {e.new(f'and i32 {above}, {0x7FFFFF}')}, {0x3F3504F3}")
    m = e.new(f"bitcast i32 {mantissa} to float")
    n = e.new(f"fadd float {e.new(f'sitofp i32 {exponent} to float')}, {less}")
    f = e.new(f"fsub float {m}, {number(1.0)}")
    square = e.new(f"fmul float {f}, {f}")
    cube = e.new(f"fmul float {f}, {square}")
    y = e.new(f"fmul float {cube}, {_polynomial(e, f, _LOG)}")
    y = _fma(e, n, number(_LN2_LOW), y)
    y = _fma(e, number(-0.5), square, y)
    y = e.new(f"fadd float {f}, {y}")
    y = _fma(e, n, number(_LN2_HIGH), y)
    y = _where(e, f"fcmp oeq float {x}, {_INF}", x, y)
    y = _where(e, f"fcmp oeq float {x}, {number(0.0)}", "0xFFF0000000000000", y)
    y = _where(e, f"fcmp olt float {x}, {number(0.0)}", _NAN, y)
    return _where(e, f"fcmp uno float {x}, {x}", x, y)


def _log1p(e: Emitter, x: str) -> str:
    # log(u) is wrong by the rounding of u = 1 + x; x / (u - 1) takes that back.
    u = e.new(f"fadd float {x}, {number(1.0)}")
    d = e.new(f"fsub float {u}, {number(1.0)}")
    y = e.new(f"fmul float {_log(e, u)}, {e.new(f'fdiv float {x}, {d}')}")
    y = _where(e, f"fcmp oeq float {d}, {number(0.0)}", x, y)
    return _where(e, f"fcmp oeq float {x}, {_INF}", x, y)


def _tanh(e: Emitter, x: str) -> str:
    size = _call(e, "fabs", x)
    square = e.new(f"fmul float {x}, {x}")
    near_one = _fma(e, square, _polynomial(e, square, _TANH), number(1.0))
    small = e.new(f"fmul float {x}, {near_one}")
    power = _exp(e, e.new(f"fadd float {size}, {size}"))
    below = e.new(f"fadd float {power}, {number(1.0)}")
    y = e.new(f"fsub float {number(1.0)}, {e.new(f'fdiv float {number(2.0)}, {below}')}")
    y = _call(e, "copysign", y, x)
    return _where(e, f"fcmp olt float {size}, {number(0.625)}", small, y)


def _erf(e: Emitter, x: str) -> str:
    size = _call(e, "fabs", x)
    square = e.new(f"fmul float {x}, {x}")
    small = e.new(f"fmul float {x}, {_polynomial(e, square, _ERF)}")
    at = _where(e, f"fcmp ogt float {size}, {number(4.0)}", number(4.0), size)
    power = _exp(e, e.new(f"fneg float {_polynomial(e, at, _ERFC)}"))
    y = e.new(f"fsub float {number(1.0)}, {power}")
    y = _call(e, "copysign", y, x)
    return _where(e, f"fcmp olt float {size}, {number(1.0)}", small, y)


#: By the names that ``elementwise`` texts use.
FUNCTIONS: dict[str, Callable[[Emitter, str], str]] = {
    "erf": _erf, "exp": _exp, "expm1": _expm1, "log": _log, "log1p": _log1p, "tanh": _tanh,
}  # fmt: skip
