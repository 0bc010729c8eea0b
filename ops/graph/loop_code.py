"""LLVM IR of a fused chain: one kernel for inputs of given classes (see `loops`).

The kernel's one argument is a table of 64-bit numbers: first row, row behind the last, columns,
the number of elements, then per input and per output its address and the distance of its rows
in elements, and the addresses of the kept rows.  Sums carry ``reassoc``: they may be added up
in any order, so that they are vectorised.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ..dtypes import DType
from .loops import LoopNest, Step, start_of
from .scalar_code import Emitter, literal, register_type, storage_type

__all__ = ["kept_rows", "kernel_code"]

Value = tuple[str, DType]
_EXTREME = {"max": "maximum", "min": "minimum"}


class _Writer:
    def __init__(
        self,
        name: str,
        inputs: Sequence[DType],
        steps: Sequence[Step],
        outputs: Sequence[int],
        nest: LoopNest,
        reuse: Mapping[int, int],
    ):
        self.name, self.inputs, self.steps, self.outputs = name, inputs, steps, outputs
        self.nest, self.reuse = nest, reuse
        self.emit = Emitter()
        self.values: dict[int, Value] = {}  # what the lines written now can read
        self.place = {r: i for i, r in enumerate(outputs)}
        self.kept = sorted(nest.kept - set(outputs))
        self.blocks: list[str] = []
        self.index = ""  # of the columns, in the pass that is written

    # -- values ---------------------------------------------------------------------------

    def dtype(self, ref: int) -> DType:
        n = len(self.inputs)
        return self.inputs[ref] if ref < n else self.steps[ref - n].dtype

    def load(self, pointer: str, dtype: DType) -> Value:
        value = self.emit.new(f"load {storage_type(dtype)}, ptr {pointer}")
        return (self.emit.new(f"icmp ne i8 {value}, 0") if dtype.is_bool else value), dtype

    def store(self, value: Value, pointer: str) -> None:
        register, dtype = value
        if dtype.is_bool:
            register = self.emit.new(f"zext i1 {register} to i8")
        self.emit.lines.append(f"    store {storage_type(dtype)} {register}, ptr {pointer}")

    def at(self, base: str, dtype: DType, index: str) -> str:
        return self.emit.new(f"getelementptr {storage_type(dtype)}, ptr {base}, i64 {index}")

    def compute(self, ref: int) -> Value:
        """The value of a step that is no reduction, its operands being there."""
        step = self.steps[ref - len(self.inputs)]
        operands = [self.operand(r) for r in step.refs]
        if step.kind == "map":
            return self.emit.expression(step.what, operands, dict(step.numbers))
        if step.kind == "cast":
            return self.emit.cast(operands[0], step.dtype)
        value, dtype = operands[0]
        if step.kind == "spread" and step.what == "mean":
            count = "%cols" if step.over == "last" else "%count"
            kind = register_type(dtype)
            n = self.emit.new(f"sitofp i64 {count} to {kind}")
            value = self.emit.new(f"fdiv {kind} {value}, {n}")
        return value, dtype

    def operand(self, ref: int) -> Value:
        """A value in a pass: computed, kept from an earlier one, or one of a bias's."""
        if ref in self.values:
            return self.values[ref]
        n = len(self.inputs)
        kind = self.nest.classes[ref]
        if ref < n:
            pointer = f"%q{ref}" if kind == "f" else f"%p{ref}"
            found = self.load(self.at(pointer, self.inputs[ref], self.index), self.inputs[ref])
        elif kind == "r":
            found = self.compute(ref)
        else:
            assert kind == "f", (ref, kind)
            base = self.row_of(self.place[ref]) if ref in self.place else f"%k{ref}"
            found = self.load(self.at(base, self.dtype(ref), self.index), self.dtype(ref))
        self.values[ref] = found
        return found

    def row_of(self, place: int) -> str:
        """Where a full result's row goes: an input's row if it may be written over."""
        return f"%q{self.reuse[place]}" if place in self.reuse else f"%w{place}"

    # -- the parts ------------------------------------------------------------------------

    def block(self, label: str) -> None:
        self.blocks.append(f"{label}:")
        self.blocks.extend(self.emit.lines)
        self.emit.lines.clear()

    def steps_of(self, classes: str, level: int) -> list[int]:
        n = len(self.inputs)
        return [
            n + i
            for i in range(len(self.steps))
            if self.nest.classes[n + i] in classes and self.nest.levels[n + i] == level
        ]

    def reductions_of(self, level: int) -> list[tuple[int, Step]]:
        """Reductions that a pass feeds."""
        n = len(self.inputs)
        return [
            (n + i, s)
            for i, s in enumerate(self.steps)
            if s.kind == "reduce"
            and self.nest.levels[n + i] - (self.nest.classes[n + i] in "ck") == level
        ]

    def combine(self, how: str, dtype: DType, a: str, b: str) -> str:
        kind = register_type(dtype)
        if how in ("sum", "mean"):
            return self.emit.new(
                f"fadd reassoc {kind} {a}, {b}" if dtype.is_floating else f"add {kind} {a}, {b}"
            )
        if dtype.is_floating:
            return self.emit.intrinsic(_EXTREME[how], dtype, a, b)
        return self.emit.intrinsic(("u" if dtype.is_unsigned else "s") + how, dtype, a, b)

    def accumulate(self, ref: int, how: str, pointer: str, value: str) -> None:
        dtype = self.dtype(ref)
        kind = register_type(dtype)
        have = self.emit.new(f"load {kind}, ptr {pointer}")
        total = self.combine(how, dtype, have, value)
        self.emit.lines.append(f"    store {kind} {total}, ptr {pointer}")

    def entry(self) -> None:
        """Scalars, and room for sums."""
        emit, nest = self.emit, self.nest
        for i, letter in enumerate(nest.classes[: len(self.inputs)]):
            if letter == "s":
                self.values[i] = self.load(f"%p{i}", self.inputs[i])
        for ref in self.steps_of("s", 0):
            self.values[ref] = self.compute(ref)
        n = len(self.inputs)
        for i, step in enumerate(self.steps):
            if step.kind == "reduce" and nest.classes[n + i] != "R":
                kind = register_type(step.dtype)
                emit.lines.append(f"    %a{n + i} = alloca {kind}")
        emit.lines.append("    br label %row")
        self.block("entry")

    def row(self) -> None:
        emit, nest, n = self.emit, self.nest, len(self.inputs)
        whole = dict(self.values)
        emit.lines.append("    %i = phi i64 [ %i0, %entry ], [ %i.next, %row.end ]")
        for i, letter in enumerate(nest.classes[:n]):
            if letter == "f":
                kind = storage_type(self.inputs[i])
                emit.lines.append(f"    %off{i} = mul i64 %i, %rs{i}")
                emit.lines.append(f"    %q{i} = getelementptr {kind}, ptr %p{i}, i64 %off{i}")
            elif letter in "ck":
                pointer = self.at(f"%p{i}", self.inputs[i], "%i")
                self.values[i] = self.load(pointer, self.inputs[i])
        for place, ref in enumerate(self.outputs):
            if nest.classes[ref] == "f" and place not in self.reuse:
                kind = storage_type(self.dtype(ref))
                emit.lines.append(f"    %to{place} = mul i64 %i, %os{place}")
                emit.lines.append(
                    f"    %w{place} = getelementptr {kind}, ptr %o{place}, i64 %to{place}"
                )
        label = "row"
        for level in range(nest.passes):
            self.columns(level)
            for ref, step in self.reductions_of(level):
                if nest.classes[ref] != "R":
                    kind = register_type(step.dtype)
                    start = literal(start_of(step.what, step.dtype), step.dtype)
                    emit.lines.append(f"    store {kind} {start}, ptr %a{ref}")
            emit.lines.append(f"    br label %col{level}")
            self.block(label)
            rowwise = dict(self.values)
            self.pass_(level, label)
            self.values = rowwise
            label = f"col{level}.end"
            self.finish(level)
        self.columns(nest.passes)
        emit.lines.append("    br label %row.end")
        self.block(label)
        self.values = whole

    def columns(self, level: int) -> None:
        """The numbers per row that are known before a pass."""
        n = len(self.inputs)
        for ref in self.steps_of("ck", level):
            if self.steps[ref - n].kind != "reduce":
                self.values[ref] = self.compute(ref)
            if ref in self.place:
                self.store(
                    self.values[ref], self.at(f"%o{self.place[ref]}", self.dtype(ref), "%i")
                )

    def pass_(self, level: int, before: str) -> None:
        emit, nest = self.emit, self.nest
        at = self.index = f"%j{level}"
        body: list[str] = []
        keep, emit.lines = emit.lines, body
        for source in self.reuse.values():
            self.operand(source)  # before it is written over
        for ref in self.steps_of("f", level):
            if self.steps[ref - len(self.inputs)].kind == "reduce":
                continue
            self.values[ref] = self.compute(ref)
            if ref in self.place:
                self.store(
                    self.values[ref],
                    self.at(self.row_of(self.place[ref]), self.dtype(ref), self.index),
                )
            elif ref in nest.kept:
                self.store(self.values[ref], self.at(f"%k{ref}", self.dtype(ref), self.index))
        for ref, step in self.reductions_of(level):
            value, _ = self.operand(step.refs[0])
            pointer = f"%a{ref}"
            if nest.classes[ref] == "R":
                pointer = self.at(f"%o{self.place[ref]}", step.dtype, self.index)
            self.accumulate(ref, step.what, pointer, value)
        emit.lines = keep
        self.blocks.append(f"col{level}:")
        self.blocks.append(f"    {at} = phi i64 [ 0, %{before} ], [ {at}.next, %col{level} ]")
        self.blocks += body
        self.blocks += [
            f"    {at}.next = add nuw nsw i64 {at}, 1",
            f"    {at}.more = icmp slt i64 {at}.next, %cols",
            f"    br i1 {at}.more, label %col{level}, label %col{level}.end",
        ]

    def finish(self, level: int) -> None:
        """Take over the sums of a pass."""
        emit = self.emit
        for ref, step in self.reductions_of(level):
            letter = self.nest.classes[ref]
            if letter == "R":
                continue
            kind = register_type(step.dtype)
            value = emit.new(f"load {kind}, ptr %a{ref}")
            if letter == "S":
                self.accumulate(ref, step.what, f"%o{self.place[ref]}", value)
                continue
            if step.what == "mean":
                n = emit.new(f"sitofp i64 %cols to {kind}")
                value = emit.new(f"fdiv {kind} {value}, {n}")
            self.values[ref] = value, step.dtype

    def text(self) -> str:
        self.entry()
        self.row()
        params = ["i64 %i0", "i64 %i1", "i64 %cols", "i64 %count"]
        for i in range(len(self.inputs)):
            only = "" if i in self.reuse.values() else " readonly"
            params += [f"ptr noalias{only} %p{i}", f"i64 %rs{i}"]
        for i in range(len(self.outputs)):
            params += [f"ptr noalias %o{i}", f"i64 %os{i}"]
        params += [f"ptr noalias %k{r}" for r in self.kept]
        loads, arguments = [], []
        for i, param in enumerate(params):
            kind = param.split()[0]
            loads.append(f"    %t{i} = getelementptr i64, ptr %table, i64 {i}")
            loads.append(f"    %x{i} = load {kind}, ptr %t{i}")
            arguments.append(f"{kind} %x{i}")
        return "\n".join(
            [
                *sorted(self.emit.intrinsics),
                f"define internal void @{self.name}.rows({', '.join(params)}) noinline {{",
                *self.blocks,
                "row.end:",
                "    %i.next = add nuw nsw i64 %i, 1",
                "    %i.more = icmp slt i64 %i.next, %i1",
                "    br i1 %i.more, label %row, label %done",
                "done:",
                "    ret void",
                "}",
                f"define void @{self.name}(ptr %table) {{",
                *loads,
                f"    call void @{self.name}.rows({', '.join(arguments)})",
                "    ret void",
                "}",
            ]
        )


def kernel_code(
    name: str,
    inputs: Sequence[DType],
    steps: Sequence[Step],
    outputs: Sequence[int],
    nest: LoopNest,
    reuse: Mapping[int, int],
) -> str:
    """IR of a module with the kernel `name`; `reuse` says which outputs are written over which
    inputs, both by their places."""
    return _Writer(name, inputs, steps, outputs, nest, reuse).text()


def kept_rows(nest: LoopNest, outputs: Sequence[int]) -> list[int]:
    """Steps whose rows a kernel keeps outside its outputs, in the order of the table."""
    return sorted(nest.kept - set(outputs))
