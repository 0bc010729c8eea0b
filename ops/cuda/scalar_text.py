"""Scalar expressions of elementwise primitives as CUDA C++.

The same texts that `graph.scalar_code` writes as LLVM IR (Python expressions in a, b, c ... and
numeric attributes).  16-bit floats are computed with as float32.  Exponentials and the like are
CUDA's accurate functions, never the fast ones: they are within 2 units in the last place.
"""

from __future__ import annotations

import ast
import functools
import math
from collections.abc import Sequence
from typing import Any

from .. import dtypes
from ..dtypes import DType
from .prelude import can_hold, register_type

__all__ = ["Unsupported", "cast", "expression", "literal", "supports"]

_COMPARE = {"Lt": "<", "LtE": "<=", "Gt": ">", "GtE": ">=", "Eq": "==", "NotEq": "!="}
_FLOAT_ARITHMETIC = {"Add": "+", "Sub": "-", "Mult": "*", "Div": "/"}
_WHOLE_ARITHMETIC = {
    "Add": "+",
    "Sub": "-",
    "Mult": "*",
    "BitAnd": "&",
    "BitOr": "|",
    "BitXor": "^",
}
_FUNCTIONS = {
    "acos", "acosh", "asin", "asinh", "atan", "atanh", "ceil", "cos", "cosh", "erf", "erfc",
    "exp", "expm1", "floor", "log", "log1p", "rint", "sin", "sinh", "sqrt", "tan", "tanh",
}  # fmt: skip

Value = tuple[str, DType]


class Unsupported(Exception):
    """The expression or dtype has no CUDA form; the call stays a call of the array library."""


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def expression(
    text: str, inputs: Sequence[Value], numbers: dict[str, float] | None = None
) -> Value:
    """The C++ expression of an ``elementwise`` text on the given values, and its dtype;
    `numbers` are constants that it names."""
    names: dict[str, Any] = {chr(ord("a") + i): v for i, v in enumerate(inputs)}
    for name, value in (numbers or {}).items():
        names[name] = ast.Constant(value)
    return _visit(_parsed(text), names, inputs[0][1])


def cast(value: Value, to: DType) -> Value:
    """`value` converted as NumPy's astype does."""
    text, have = value
    if have is to:
        return value
    if not can_hold(to):
        raise Unsupported(to.name)
    if to.is_bool:
        return f"({text} != 0)", to
    if register_type(have) == register_type(to):
        return text, to  # 16-bit floats are rounded where they are stored
    return f"(({register_type(to)}){text})", to


def literal(value: Any, dtype: DType) -> str:
    """A number as C++ writes it."""
    if dtype.is_bool:
        return "true" if value else "false"
    if dtype.is_floating:
        double = register_type(dtype) == "double"
        if math.isnan(value) or math.isinf(value):
            bits = "0x7fc00000" if math.isnan(value) else "0x7f800000"
            sign = "-" if value < 0 else ""
            found = f"{sign}__int_as_float({bits})"
            return f"((double)({found}))" if double else f"({found})"
        return f"({float(value)!r}{'' if double else 'f'})"
    if value != int(value):
        raise Unsupported(f"literal {value} of {dtype.name}")
    number = int(value)
    if dtype.name == "uint64":
        return f"({number}ull)"
    if number == -(1 << 63):
        return f"({number + 1}ll - 1)"
    return f"(({register_type(dtype)}){number}ll)"


def supports(
    text: str,
    inputs: tuple[DType, ...],
    output: DType,
    numbers: dict[str, float] | None = None,
) -> bool:
    """Whether the expression has a CUDA form on inputs of these dtypes, with that result."""
    try:
        if not all(can_hold(d) for d in (*inputs, output)):
            return False
        return expression(text, [("x", d) for d in inputs], numbers)[1] is output
    except Unsupported:
        return False


def _wrapped(text: str, dtype: DType) -> Value:
    """Arithmetic in C++'s int as arithmetic of a smaller type."""
    if dtype.is_integer and dtype.size < 4:
        return f"(({register_type(dtype)})({text}))", dtype
    return f"({text})", dtype


def _visit(node: ast.expr, names: dict[str, Any], dtype: DType) -> Value:
    if isinstance(node, ast.Name):
        if node.id not in names:
            raise Unsupported(node.id)
        found = names[node.id]
        return found if type(found) is tuple else _visit(found, names, dtype)
    if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
        return literal(node.value, dtype), dtype
    if isinstance(node, ast.UnaryOp):
        return _unary(node, names, dtype)
    if isinstance(node, ast.BoolOp) and len(node.values) == 2:
        a, b, t = _pair(node.values[0], node.values[1], names, dtype)
        if not t.is_bool:
            raise Unsupported("and, or")
        return f"({a} {'&&' if isinstance(node.op, ast.And) else '||'} {b})", t
    if isinstance(node, ast.BinOp):
        a, b, t = _pair(node.left, node.right, names, dtype)
        sign = (_FLOAT_ARITHMETIC if t.is_floating else _WHOLE_ARITHMETIC).get(
            type(node.op).__name__
        )
        if sign is None or t.is_bool:
            raise Unsupported(ast.dump(node.op))
        return _wrapped(f"{a} {sign} {b}", t)
    if isinstance(node, ast.Compare) and len(node.ops) == 1:
        a, b, t = _pair(node.left, node.comparators[0], names, dtype)
        sign = _COMPARE.get(type(node.ops[0]).__name__)
        if sign is None:
            raise Unsupported("comparison")
        return f"({a} {sign} {b})", dtypes.bool
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node.args, names, dtype)
    raise Unsupported(ast.dump(node))


def _unary(node: ast.UnaryOp, names: dict[str, Any], dtype: DType) -> Value:
    if isinstance(node.op, ast.USub):
        if isinstance(node.operand, ast.Constant):
            return literal(-node.operand.value, dtype), dtype  # type: ignore[operator]
        v, t = _visit(node.operand, names, dtype)
        return _wrapped(f"-{v}", t)
    v, t = _visit(node.operand, names, dtype)
    if isinstance(node.op, (ast.Not, ast.Invert)) and not t.is_floating:
        if isinstance(node.op, ast.Not) is t.is_bool:
            return (f"(!{v})", t) if t.is_bool else _wrapped(f"~{v}", t)
    raise Unsupported("not")


def _pair(
    left: ast.expr, right: ast.expr, names: dict[str, Any], dtype: DType
) -> tuple[str, str, DType]:
    # A literal takes the type of what stands beside it.
    if _is_literal(left, names):
        b, t = _visit(right, names, dtype)
        a, _ = _visit(left, names, t)
        return a, b, t
    a, t = _visit(left, names, dtype)
    b, u = _visit(right, names, t)
    if t is not u:
        raise Unsupported(f"{t.name} with {u.name}")
    return a, b, t


def _call(name: str, args: list[ast.expr], names: dict[str, Any], dtype: DType) -> Value:
    if name == "where" and len(args) == 3:
        c, ct = _visit(args[0], names, dtype)
        a, b, t = _pair(args[1], args[2], names, dtype)
        if not ct.is_bool:
            raise Unsupported("condition")
        return f"({c} ? {a} : {b})", t
    if name in ("min", "max", "atan2") and len(args) == 2:
        a, b, t = _pair(args[0], args[1], names, dtype)
        if name == "atan2":
            if not t.is_floating:
                raise Unsupported(name)
            return f"atan2{_suffix(t)}({a}, {b})", t
        return f"{name}_of<{register_type(t)}>({a}, {b})", t
    if len(args) != 1:
        raise Unsupported(name)
    v, t = _visit(args[0], names, dtype)
    if name == "abs":
        if t.is_bool or t.is_unsigned:
            raise Unsupported(name)
        if t.is_floating:
            return f"fabs{_suffix(t)}({v})", t
        return _wrapped(f"{v} < 0 ? -{v} : {v}", t)
    if not t.is_floating:
        raise Unsupported(name)
    if name in ("isinf", "isfinite"):
        top = literal(math.inf, t)
        return f"(fabs{_suffix(t)}({v}) {'==' if name == 'isinf' else '<'} {top})", dtypes.bool
    if name in _FUNCTIONS:
        return f"{name}{_suffix(t)}({v})", t
    raise Unsupported(name)


def _suffix(dtype: DType) -> str:
    return "" if register_type(dtype) == "double" else "f"


def _is_literal(node: ast.expr, names: dict[str, Any]) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Name):
        return isinstance(names.get(node.id), ast.Constant)
    return isinstance(node, ast.Constant)
