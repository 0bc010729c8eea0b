"""Code: a writer of LLVM IR whose values add and multiply like Python's numbers.

A kernel is a Python function that calls a `Code`: loops are ``with code.loop(0, n) as i``,
values have operators, vectors have the machine's width.  Addresses are i64s, so that all
arguments of a kernel are of one type.  Variables are stack slots, which LLVM turns into
registers; what is written inside Python loops is unrolled.
"""

from __future__ import annotations

import contextlib
import struct
from collections.abc import Iterator
from typing import Any

__all__ = ["Code", "Value", "Variable"]


class Value:
    """A register: its name and type; operators write an instruction."""

    __slots__ = ("code", "name", "type")

    def __init__(self, code: Code, name: str, type: str):
        self.code, self.name, self.type = code, name, type

    def _with(self, other: Any, whole: str, real: str, turned: bool = False) -> Value:
        other = self.code.of(other, self.type)
        a, b = (other, self) if turned else (self, other)
        op = whole if self.type == "i64" else real
        return self.code.put(f"{op} {self.type} {a.name}, {b.name}", self.type)

    def __add__(self, other: Any) -> Value:
        return self._with(other, "add nsw", "fadd contract")

    __radd__ = __add__

    def __sub__(self, other: Any) -> Value:
        return self._with(other, "sub nsw", "fsub contract")

    def __rsub__(self, other: Any) -> Value:
        return self._with(other, "sub nsw", "fsub contract", turned=True)

    def __mul__(self, other: Any) -> Value:
        return self._with(other, "mul nsw", "fmul contract")

    __rmul__ = __mul__

    def __truediv__(self, other: Any) -> Value:
        return self._with(other, "", "fdiv contract")

    def __floordiv__(self, other: Any) -> Value:
        return self._with(other, "sdiv", "")

    def __mod__(self, other: Any) -> Value:
        return self._with(other, "srem", "")

    def _compared(self, other: Any, whole: str, real: str) -> Value:
        other = self.code.of(other, self.type)
        real_type = "float" in self.type or "double" in self.type
        op, truth = f"fcmp {real}" if real_type else f"icmp {whole}", "i1"
        if self.type.startswith("<"):
            truth = f"<{self.code.width} x i1>"
        return self.code.put(f"{op} {self.type} {self.name}, {other.name}", truth)

    def __lt__(self, other: Any) -> Value:
        return self._compared(other, "slt", "olt")

    def __ge__(self, other: Any) -> Value:
        return self._compared(other, "sge", "oge")

    def __gt__(self, other: Any) -> Value:
        return self._compared(other, "sgt", "ogt")

    def same(self, other: Any) -> Value:
        """Whether both are equal."""
        return self._compared(other, "eq", "oeq")

    def unlike(self, other: Any) -> Value:
        """Whether both differ or one is NaN; of itself: whether it is NaN."""
        return self._compared(other, "ne", "une")

    def __or__(self, other: Value) -> Value:
        return self.code.put(f"or {self.type} {self.name}, {other.name}", self.type)

    def __and__(self, other: Value) -> Value:
        return self.code.put(f"and {self.type} {self.name}, {other.name}", self.type)


class Variable:
    """A value that can be set again."""

    __slots__ = ("code", "slot", "type")

    def __init__(self, code: Code, slot: str, type: str):
        self.code, self.slot, self.type = code, slot, type

    def get(self) -> Value:
        """Its value now."""
        return self.code.put(f"load {self.type}, ptr {self.slot}", self.type)

    def set(self, value: Any) -> None:
        """Make `value` its value."""
        found = self.code.of(value, self.type)
        self.code.line(f"store {self.type} {found.name}, ptr {self.slot}")


class Code:
    """A module being written.

    Attributes:
        width: floats in a vector.
        vector: its type.
        bytes: the type of as many small whole numbers.
    """

    def __init__(self, width: int):
        self.width = width
        self.vector = f"<{width} x float>"
        self.bytes = f"<{width} x i8>"
        self._functions: list[str] = []
        self._declared: set[str] = set()
        self._lines: list[str] = []
        self._slots: list[str] = []
        self._count = 0

    # -- functions ------------------------------------------------------------------------

    @contextlib.contextmanager
    def function(self, name: str, *arguments: str, private: bool = False) -> Iterator[Any]:
        """A function of i64s that returns nothing; gives its arguments."""
        self._lines, self._slots = [], []
        values = [Value(self, f"%{a}", "i64") for a in arguments]
        yield values
        declared = ", ".join(f"i64 {v.name}" for v in values)
        kind = "define internal void" if private else "define void"
        end = " noinline nounwind {" if private else " nounwind {"
        body = "\n".join([*self._slots, "  br label %begin", "begin:", *self._lines])
        self._functions.append(f"{kind} @{name}({declared}){end}\n{body}\n  ret void\n}}\n")

    def call(self, name: str, *arguments: Any) -> None:
        """Call a function of this module."""
        given = ", ".join(f"i64 {self.of(a, 'i64').name}" for a in arguments)
        self.line(f"call void @{name}({given})")

    def text(self) -> str:
        """The whole module."""
        return "\n".join([*sorted(self._declared), "", *self._functions])

    # -- values ---------------------------------------------------------------------------

    def line(self, text: str) -> None:
        """An instruction without result."""
        self._lines.append("  " + text)

    def put(self, text: str, type: str) -> Value:
        """An instruction with a result."""
        self._count += 1
        self.line(f"%v{self._count} = {text}")
        return Value(self, f"%v{self._count}", type)

    def of(self, value: Any, type: str) -> Value:
        """`value` as a register or constant of `type`."""
        if isinstance(value, Variable):
            return value.get()
        if isinstance(value, Value):
            return self.splat(value) if value.type == "float" and type != "float" else value
        if type == "i64":
            return Value(self, str(int(value)), "i64")
        if type == self.bytes:
            return Value(self, f"<{', '.join([f'i8 {int(value)}'] * self.width)}>", type)
        # LLVM writes floats as the bits of the double that equals them.
        single = struct.unpack("f", struct.pack("f", value))[0]
        bits = f"0x{struct.unpack('<Q', struct.pack('<d', single))[0]:016X}"
        if type == "float":
            return Value(self, bits, type)
        one = ", ".join(f"float {bits}" for _ in range(self.width))
        return Value(self, f"<{one}>", type)

    def splat(self, value: Value) -> Value:
        """A vector of one number."""
        one = self.put(
            f"insertelement {self.vector} poison, float {value.name}, i64 0", self.vector
        )
        mask = f"<{self.width} x i32> zeroinitializer"
        return self.put(
            f"shufflevector {self.vector} {one.name}, {self.vector} poison, {mask}", self.vector
        )

    def variable(self, start: Any, type: str = "i64") -> Variable:
        """A variable with a first value."""
        found = Variable(self, self.slot(type), type)
        found.set(start)
        return found

    def slot(self, type: str) -> str:
        """A place on the stack."""
        self._count += 1
        self._slots.append(f"  %s{self._count} = alloca {type}, align 64")
        return f"%s{self._count}"

    def array(self, count: int) -> Value:
        """The address of `count` i64s on the stack."""
        slot = self.slot(f"[{count} x i64]")
        return self.put(f"ptrtoint ptr {slot} to i64", "i64")

    # -- memory ---------------------------------------------------------------------------

    def pointer(self, address: Any) -> str:
        """An address as a pointer."""
        return self.put(f"inttoptr i64 {self.of(address, 'i64').name} to ptr", "ptr").name

    def load(self, address: Any, type: str | None = None) -> Value:
        """What stands at an address: a vector by default."""
        type = type or self.vector
        align = self._alignment(type)
        return self.put(f"load {type}, ptr {self.pointer(address)}, align {align}", type)

    def store(self, address: Any, value: Value) -> None:
        """Put a value at an address."""
        align = self._alignment(value.type)
        pointer = self.pointer(address)
        self.line(f"store {value.type} {value.name}, ptr {pointer}, align {align}")

    def prefetch(self, address: Any, write: bool = False) -> None:
        """Begin to bring what stands at an address into the cache."""
        self._declared.add("declare void @llvm.prefetch.p0(ptr, i32, i32, i32)")
        pointer = self.pointer(address)
        self.line(f"call void @llvm.prefetch.p0(ptr {pointer}, i32 {int(write)}, i32 3, i32 1)")

    def _alignment(self, type: str) -> int:
        return 8 if type == "i64" else 1 if type == self.bytes else 4

    def parameters(self, address: Value, count: int) -> list[Value]:
        """`count` i64s that stand at `address`."""
        return [self.load(address + 8 * i, "i64") for i in range(count)]

    def select(self, condition: Value, a: Any, b: Any, type: str) -> Value:
        """`a` where the condition holds, else `b`."""
        x, y = self.of(a, type), self.of(b, type)
        return self.put(
            f"select {condition.type} {condition.name}, {type} {x.name}, {type} {y.name}", type
        )

    def opposite(self, condition: Value) -> Value:
        """Whether a condition does not hold."""
        return self.put(f"xor i1 {condition.name}, true", "i1")

    def least(self, a: Any, b: Any) -> Value:
        """The smaller of two i64s."""
        x, y = self.of(a, "i64"), self.of(b, "i64")
        return self.select(x < y, x, y, "i64")

    def fma(self, a: Value, b: Value, c: Value) -> Value:
        """a * b + c, rounded once."""
        kind = f"v{self.width}f32" if a.type == self.vector else "f32"
        t = a.type
        self._declared.add(f"declare {t} @llvm.fma.{kind}({t}, {t}, {t})")
        b, c = self.of(b, t), self.of(c, t)
        return self.put(
            f"call {t} @llvm.fma.{kind}({t} {a.name}, {t} {b.name}, {t} {c.name})", t
        )

    def lanes(self, a: Value, b: Value, places: list[int]) -> Value:
        """A vector of lanes of `a` and (from `width` on) of `b`."""
        lanes = ", ".join(f"i32 {p}" for p in places)
        mask = f"<{len(places)} x i32> <{lanes}>"
        return self.put(f"shufflevector {a.type} {a.name}, {b.type} {b.name}, {mask}", a.type)

    def whole(self, name: str, *values: Value) -> Value:
        """What LLVM's function `name` makes of vectors."""
        t = self.vector
        kind = f"llvm.{name}.v{self.width}f32"
        self._declared.add(f"declare {t} @{kind}({', '.join([t] * len(values))})")
        given = ", ".join(f"{t} {v.name}" for v in values)
        return self.put(f"call {t} @{kind}({given})", t)

    # -- control --------------------------------------------------------------------------

    @contextlib.contextmanager
    def loop(self, start: Any, stop: Any, step: Any = 1) -> Iterator[Value]:
        """``for i in range(start, stop, step)`` with a positive step."""
        self._count += 1
        k = self._count
        stop = self.of(stop, "i64")
        index = self.variable(start)
        self.line(f"br label %head{k}")
        self._lines.append(f"head{k}:")
        i = index.get()
        more = i < stop
        self.line(f"br i1 {more.name}, label %body{k}, label %end{k}")
        self._lines.append(f"body{k}:")
        yield i
        index.set(i + step)
        self.line(f"br label %head{k}")
        self._lines.append(f"end{k}:")

    @contextlib.contextmanager
    def when(self, condition: Value) -> Iterator[None]:
        """``if condition``."""
        self._count += 1
        k = self._count
        self.line(f"br i1 {condition.name}, label %then{k}, label %past{k}")
        self._lines.append(f"then{k}:")
        yield
        self.line(f"br label %past{k}")
        self._lines.append(f"past{k}:")
