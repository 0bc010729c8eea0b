"""Scalar expressions of elementwise primitives as LLVM IR.

A primitive's ``elementwise`` text is a Python expression in its inputs a, b, c ... and its
numeric attributes; here it is read with `ast` and written as typed IR.  No fast-math: the
result has the bits NumPy gives, but for the functions of `scalar_math` (`is_exact` tells).
"""

from __future__ import annotations

import ast
import functools
import struct
from typing import Any

from .. import dtypes
from ..dtypes import DType
from . import scalar_math

__all__ = [
    "Emitter", "Unsupported", "can_cast", "is_exact", "literal", "storage_type", "supports",
]  # fmt: skip

_TYPES = {
    "float32": "float",
    "float64": "double",
    "int8": "i8",
    "int16": "i16",
    "int32": "i32",
    "int64": "i64",
    "uint8": "i8",
    "uint16": "i16",
    "uint32": "i32",
    "uint64": "i64",
    "bool": "i1",
}
_COMPARE = {"Lt": "lt", "LtE": "le", "Gt": "gt", "GtE": "ge", "Eq": "eq", "NotEq": "ne"}


class Unsupported(Exception):
    """The expression or dtype has no IR form; the call stays a NumPy call."""


def register_type(dtype: DType) -> str:
    """LLVM type of a value in a register."""
    try:
        return _TYPES[dtype.name]
    except KeyError:
        raise Unsupported(dtype.name) from None


def storage_type(dtype: DType) -> str:
    """LLVM type of an element in memory; booleans are bytes."""
    return "i8" if dtype.is_bool else register_type(dtype)


@functools.cache
def _parsed(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


class Emitter:
    """Collects IR lines; values are ``(register or literal, DType)`` pairs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._n = 0
        self.intrinsics: set[str] = set()

    def new(self, code: str) -> str:
        """Append ``%v = code`` and return its register."""
        self._n += 1
        name = f"%v{self._n}"
        self.lines.append(f"    {name} = {code}")
        return name

    def expression(
        self,
        text: str,
        inputs: list[tuple[str, DType]],
        numbers: dict[str, float] | None = None,
    ) -> tuple[str, DType]:
        """The value of an ``elementwise`` text on the given inputs; `numbers` are constants
        it names."""
        names: dict[str, Any] = {chr(ord("a") + i): v for i, v in enumerate(inputs)}
        for name, value in (numbers or {}).items():
            names[name] = ast.Constant(value)
        return self._visit(_parsed(text), names, inputs[0][1])

    def cast(self, value: tuple[str, DType], to: DType) -> tuple[str, DType]:
        """`value` converted as NumPy's astype does."""
        register, have = value
        if have is to:
            return value
        if not can_cast(have, to):
            raise Unsupported(f"{have.name} to {to.name}")
        a, b = register_type(have), register_type(to)
        if to.is_floating:
            if have.is_floating:
                op = "fpext" if to.size > have.size else "fptrunc"
            else:
                op = "uitofp" if have.is_unsigned or have.is_bool else "sitofp"
        elif a == b:
            return register, to
        elif have.is_bool or have.is_unsigned:
            op = "trunc" if not have.is_bool and to.size < have.size else "zext"
        else:
            op = "trunc" if to.size < have.size else "sext"
        return self.new(f"{op} {a} {register} to {b}"), to

    def _visit(self, node: ast.expr, names: dict[str, Any], dtype: DType) -> tuple[str, DType]:
        if isinstance(node, ast.Name):
            if node.id not in names:
                raise Unsupported(node.id)
            found = names[node.id]
            return found if type(found) is tuple else self._visit(found, names, dtype)
        if isinstance(node, ast.Constant) and isinstance(node.value, (int, float)):
            return literal(node.value, dtype), dtype
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            if isinstance(node.operand, ast.Constant):
                return literal(-node.operand.value, dtype), dtype  # type: ignore[operator]
            v, t = self._visit(node.operand, names, dtype)
            kind = register_type(t)
            return self.new(f"fneg {kind} {v}" if t.is_floating else f"sub {kind} 0, {v}"), t
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, (ast.Not, ast.Invert)):
            v, t = self._visit(node.operand, names, dtype)
            if t.is_floating or isinstance(node.op, ast.Not) is not t.is_bool:
                raise Unsupported("not")
            return self.new(f"xor {register_type(t)} {v}, {'true' if t.is_bool else '-1'}"), t
        if isinstance(node, ast.BoolOp) and len(node.values) == 2:
            a, b, t = self._pair(node.values[0], node.values[1], names, dtype)
            if not t.is_bool:
                raise Unsupported("and, or")
            return self.new(f"{type(node.op).__name__.lower()} i1 {a}, {b}"), t
        if isinstance(node, ast.BinOp):
            return self._binary(node, names, dtype)
        if isinstance(node, ast.Compare) and len(node.ops) == 1:
            return self._compare(node, names, dtype)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
            return self._call(node, names, dtype)
        raise Unsupported(ast.dump(node))

    def _pair(
        self, left: ast.expr, right: ast.expr, names: Any, dtype: DType
    ) -> tuple[str, str, DType]:
        # A literal takes the type of what stands beside it.
        if _is_literal(left, names):
            b, t = self._visit(right, names, dtype)
            a, _ = self._visit(left, names, t)
        else:
            a, t = self._visit(left, names, dtype)
            b, u = self._visit(right, names, t)
            if t is not u:
                raise Unsupported(f"{t.name} with {u.name}")
        return a, b, t

    def _binary(self, node: ast.BinOp, names: Any, dtype: DType) -> tuple[str, DType]:
        a, b, t = self._pair(node.left, node.right, names, dtype)
        op = type(node.op).__name__
        if t.is_bool:
            raise Unsupported("arithmetic on bool")
        table = (
            {"Add": "fadd", "Sub": "fsub", "Mult": "fmul", "Div": "fdiv"}
            if t.is_floating
            else {"Add": "add", "Sub": "sub", "Mult": "mul", "BitAnd": "and", "BitOr": "or",
                  "BitXor": "xor"}
        )  # fmt: skip
        if op not in table:
            raise Unsupported(op)
        return self.new(f"{table[op]} {register_type(t)} {a}, {b}"), t

    def _compare(self, node: ast.Compare, names: Any, dtype: DType) -> tuple[str, DType]:
        a, b, t = self._pair(node.left, node.comparators[0], names, dtype)
        word = _COMPARE.get(type(node.ops[0]).__name__)
        if word is None:
            raise Unsupported("comparison")
        if t.is_floating:
            code = f"fcmp {'une' if word == 'ne' else 'o' + word} {register_type(t)} {a}, {b}"
        else:
            sign = "" if word in ("eq", "ne") else ("u" if t.is_unsigned or t.is_bool else "s")
            code = f"icmp {sign}{word} {register_type(t)} {a}, {b}"
        return self.new(code), dtypes.bool

    def _call(self, node: ast.Call, names: Any, dtype: DType) -> tuple[str, DType]:
        name = node.func.id  # type: ignore[attr-defined]
        if name == "where" and len(node.args) == 3:
            c, ct = self._visit(node.args[0], names, dtype)
            a, b, t = self._pair(node.args[1], node.args[2], names, dtype)
            if not ct.is_bool:
                raise Unsupported("condition")
            kind = register_type(t)
            return self.new(f"select i1 {c}, {kind} {a}, {kind} {b}"), t
        if name in ("min", "max") and len(node.args) == 2:
            a, b, t = self._pair(node.args[0], node.args[1], names, dtype)
            kind = register_type(t)
            if t.is_floating:
                # NumPy's maximum hands on NaN; of equal zeros it returns the first.
                test = "ogt" if name == "max" else "olt"
                better = self.new(f"fcmp {test} {kind} {a}, {b}")
                nan = self.new(f"fcmp uno {kind} {a}, {a}")
                equal = self.new(f"fcmp oeq {kind} {a}, {b}")
                first = self.new(f"or i1 {better}, {nan}")
                first = self.new(f"or i1 {first}, {equal}")
                return self.new(f"select i1 {first}, {kind} {a}, {kind} {b}"), t
            sign = "u" if t.is_unsigned or t.is_bool else "s"
            better = self.new(f"icmp {sign}{'gt' if name == 'max' else 'lt'} {kind} {a}, {b}")
            return self.new(f"select i1 {better}, {kind} {a}, {kind} {b}"), t
        if len(node.args) != 1:
            raise Unsupported(name)
        v, t = self._visit(node.args[0], names, dtype)
        if not t.is_floating:
            raise Unsupported(name)
        if name in ("sqrt", "abs", "floor", "ceil", "rint"):
            return self.intrinsic("fabs" if name == "abs" else name, t, v), t
        kind = register_type(t)
        if name in ("isinf", "isfinite"):
            size = self.intrinsic("fabs", t, v)
            test = "oeq" if name == "isinf" else "one"
            return self.new(f"fcmp {test} {kind} {size}, 0x7FF0000000000000"), dtypes.bool
        if name in scalar_math.FUNCTIONS and kind == "float":
            return scalar_math.FUNCTIONS[name](self, v), t
        raise Unsupported(name)

    def intrinsic(self, name: str, dtype: DType, *values: str) -> str:
        """A call of ``llvm.<name>`` on floats or integers of one dtype."""
        kind = register_type(dtype)
        short = {"float": "f32", "double": "f64"}.get(kind, kind)
        self.intrinsics.add(
            f"declare {kind} @llvm.{name}.{short}({', '.join([kind] * len(values))})"
        )
        args = ", ".join(f"{kind} {v}" for v in values)
        return self.new(f"call {kind} @llvm.{name}.{short}({args})")


def _is_literal(node: ast.expr, names: dict[str, Any]) -> bool:
    if isinstance(node, ast.UnaryOp):
        node = node.operand
    if isinstance(node, ast.Name):
        return isinstance(names.get(node.id), ast.Constant)
    return isinstance(node, ast.Constant)


@functools.cache
def is_exact(text: str) -> bool:
    """Whether the compiled expression has the bits NumPy gives."""
    return not any(
        isinstance(n, ast.Name) and n.id in scalar_math.FUNCTIONS
        for n in ast.walk(_parsed(text))
    )


def can_cast(have: DType, to: DType) -> bool:
    """Whether a cast has the same result in IR as in NumPy for every value."""
    if have.name not in _TYPES or to.name not in _TYPES or to.is_bool:
        return False
    return to.is_floating or not have.is_floating


def literal(value: Any, dtype: DType) -> str:
    """A number as LLVM writes it."""
    if dtype.is_floating:
        # LLVM writes both float widths as the bits of a double that is exact in the type.
        as_double = (
            struct.unpack("f", struct.pack("f", value))[0] if dtype.size == 4 else float(value)
        )
        return "0x" + struct.pack(">d", as_double).hex().upper()
    if dtype.is_bool:
        return "true" if value else "false"
    if value != int(value):
        raise Unsupported(f"literal {value} of {dtype.name}")
    return str(int(value))


def supports(
    text: str,
    inputs: tuple[DType, ...],
    output: DType,
    numbers: dict[str, float] | None = None,
) -> bool:
    """Whether the expression has an IR form on inputs of these dtypes, with that result."""
    return _supports(text, inputs, output, tuple((numbers or {}).items()))


@functools.cache
def _supports(text: str, inputs: tuple[DType, ...], output: DType, numbers: Any) -> bool:
    try:
        values = [("%x", d) for d in inputs if register_type(d)]
        return Emitter().expression(text, values, dict(numbers))[1] is output
    except Unsupported:
        return False
