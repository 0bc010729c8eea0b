"""CUDA source of a fused chain: one kernel for inputs of given classes (see `graph.loops`).

Where no step needs the whole of a row, threads go through packs of elements (``elements``).
Otherwise a team of threads, part of a warp or a block, goes through a row in the passes of
`LoopNest`; what later passes need stays in registers (``held`` packs per thread) or, in rows
too long for that, is computed again.  Thread and column belong together, so that sums over the
rows are added up by threads, too: every team writes its own, and a second kernel adds them in
a fixed order.  Results never depend on which block came first.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from ..dtypes import DType
from ..graph.loops import LoopNest, Step, start_of
from .prelude import PRELUDE, register_type, storage_type
from .scalar_text import Value, cast, expression, literal

__all__ = ["BLOCK", "Shape", "loop_source", "shape_for"]

BLOCK = 256
_HELD_VALUES = 96  # registers of a thread for what is kept
_OPERATIONS = {"sum": "Sum", "mean": "Sum", "max": "Max", "min": "Min"}


class Shape(NamedTuple):
    """How a kernel walks.

    Attributes:
        pack: elements per load; divides the columns (the elements, where all is flat).
        team: threads per row; 0 where threads go through elements.
        held: packs of a row that a thread keeps in registers; 0: none.
        wide: whether places take 64 bits.
    """

    pack: int
    team: int
    held: int
    wide: bool

    @property
    def block(self) -> int:
        """Threads per block: one team, or teams within warps."""
        return self.team if self.team > 32 else BLOCK


def shape_for(nest: LoopNest, inputs: int, cols: int, count: int, pack: int) -> Shape:
    """How to walk rows of `cols` columns, `count` elements in all."""
    wide = count >= 1 << 31
    if not any(c in "R" for c in nest.classes) and not _reduces_rows(nest, inputs):
        return Shape(pack, 0, 0, wide)
    packs = max(-(-cols // pack), 1)
    if packs <= 128:
        team = min(32, 1 << (packs - 1).bit_length())
    else:
        team = min(1024, max(128, 1 << (-(-packs // 4) - 1).bit_length()))
    held = -(-packs // team)
    values = (
        len(nest.kept)
        + sum(c in "fR" for c in nest.classes[:inputs])
        + sum(c == "R" for c in nest.classes)
    )
    if held > 4 or held * pack * values > _HELD_VALUES:
        return Shape(pack, 512 if packs > 512 else team, 0, wide)
    return Shape(pack, team, held, wide)


def _reduces_rows(nest: LoopNest, inputs: int) -> bool:
    """Whether a number per row depends on all of the row."""
    return any(level for level in nest.levels[inputs:])


class _Writer:
    def __init__(
        self,
        inputs: Sequence[DType],
        steps: Sequence[Step],
        outputs: Sequence[int],
        nest: LoopNest,
        reuse: Mapping[int, int],
        shape: Shape,
    ):
        self.inputs, self.steps, self.outputs = inputs, steps, outputs
        self.nest, self.reuse, self.shape = nest, reuse, shape
        self.place = {r: i for i, r in enumerate(outputs)}
        self.lines: list[str] = []
        self.values: dict[int, Value] = {}  # what the lines written now can read
        self.packs: set[int] = set()  # inputs that are loaded in the pack under way
        self.pack = shape.pack
        n = len(inputs)
        self.reduces = [(n + i, s) for i, s in enumerate(steps) if s.kind == "reduce"]

    # -- values ---------------------------------------------------------------------------

    def dtype(self, ref: int) -> DType:
        n = len(self.inputs)
        return self.inputs[ref] if ref < n else self.steps[ref - n].dtype

    def put(self, line: str) -> None:
        self.lines.append(line)

    def name(self, value: Value, ref: int, prefix: str = "x") -> Value:
        """`value` in a variable."""
        text, dtype = value
        self.put(f"const {register_type(dtype)} {prefix}{ref} = {text};")
        return f"{prefix}{ref}", dtype

    def compute(self, ref: int) -> Value:
        """The value of a step that is no reduction."""
        step = self.steps[ref - len(self.inputs)]
        operands = [self.operand(r) for r in step.refs]
        if step.kind == "map":
            return expression(step.what, operands, dict(step.numbers))
        if step.kind == "cast":
            return cast(operands[0], step.dtype)
        text, dtype = operands[0]
        if step.kind == "spread" and step.what == "mean":
            count = "cols" if step.over == "last" else "count"
            text = f"({text} / ({register_type(dtype)}){count})"
        return text, dtype

    def operand(self, ref: int) -> Value:
        """A value for element `e` of the pack under way."""
        found = self.values.get(ref)
        if found is None:
            dtype = self.dtype(ref)
            if ref in self.held:
                found = f"h{ref}[h][e]", dtype
            elif ref < len(self.inputs):
                found = self.name((f"widen(p{ref}_pack.at[e])", dtype), ref)
            else:
                found = self.name(self.compute(ref), ref)
            self.values[ref] = found
        return found

    def needs(self, refs: Sequence[int], seen: set[int]) -> set[int]:
        """Inputs per column that computing `refs` loads."""
        n = len(self.inputs)
        found = set()
        for ref in refs:
            if ref in seen or ref in self.values:
                continue
            seen.add(ref)
            if ref in self.held_now:
                continue
            if ref < n:
                if self.nest.classes[ref] in "fr":
                    found.add(ref)
            elif self.steps[ref - n].kind != "reduce":
                found |= self.needs(self.steps[ref - n].refs, seen)
        return found

    def steps_of(self, classes: str, level: int) -> list[int]:
        n = len(self.inputs)
        return [
            n + i
            for i, s in enumerate(self.steps)
            if self.nest.classes[n + i] in classes
            and self.nest.levels[n + i] == level
            and s.kind != "reduce"
        ]

    def reductions_of(self, level: int) -> list[tuple[int, Step]]:
        """Reductions that a pass feeds."""
        classes, levels = self.nest.classes, self.nest.levels
        return [(r, s) for r, s in self.reduces if levels[r] - (classes[r] in "ck") == level]

    # -- the parts ------------------------------------------------------------------------

    def scalars(self) -> None:
        for i, letter in enumerate(self.nest.classes[: len(self.inputs)]):
            if letter == "s":
                self.values[i] = self.name((f"widen(p{i}[0])", self.inputs[i]), i)
        for ref in self.steps_of("s", 0):
            self.values[ref] = self.name(self.compute(ref), ref)

    def sums(self, letters: str) -> None:
        """Accumulators of sums over all rows."""
        for ref, step in self.reduces:
            letter = self.nest.classes[ref]
            if letter not in letters:
                continue
            kind = register_type(step.dtype)
            start = literal(start_of(step.what, step.dtype), step.dtype)
            if letter == "S":
                self.put(f"{kind} a{ref} = {start};")
            elif self.shape.held:
                self.put(f"{kind} a{ref}[{self.shape.held}][{self.pack}];")
                self.put("#pragma unroll")
                self.put(f"for (int i = 0; i < {self.shape.held * self.pack}; i++) "
                         f"(&a{ref}[0][0])[i] = {start};")  # fmt: skip

    def columns(self, level: int, store: str) -> None:
        """Numbers per row that are known before a pass; `store`: who writes them."""
        for ref, _ in self.reduces:
            if self.nest.classes[ref] in "ck" and self.nest.levels[ref] == level:
                self.store_column(ref, store)
        for ref in self.steps_of("ck", level):
            self.values[ref] = self.name(self.compute(ref), ref)
            self.store_column(ref, store)

    def store_column(self, ref: int, store: str) -> None:
        if ref in self.place:
            value, dtype = self.values[ref]
            target = f"o{self.place[ref]}[row]"
            self.put(f"if ({store}) {target} = narrow<{storage_type(dtype)}>({value});")

    def load(self, refs: set[int], full: str, column: str) -> None:
        for ref in sorted(refs):
            at = full if self.nest.classes[ref] == "f" else column
            self.put(f"const auto p{ref}_pack = load_pack<{self.pack}>(p{ref} + {at});")

    def body(self, level: int, full: str, column: str) -> None:
        """The columns of a pack: everything that a pass computes of them."""
        places = self.steps_of("f", level)
        feeds = self.reductions_of(level)
        stored = [r for r in places if r in self.place]
        self.held_now = {r for r in self.held if self.first.get(r, level) < level}
        keep_inputs = [r for r in self.held if r < len(self.inputs) and self.first[r] == level]
        wanted = [*keep_inputs, *stored, *(r for r in places if r in self.held)]
        wanted += [s.refs[0] for _, s in feeds]
        # What is written over is read first.
        wanted += [s for p, s in self.reuse.items() if self.outputs[p] in stored]
        self.load(self.needs(wanted, set()), full, column)
        for ref in stored:
            kind = storage_type(self.dtype(ref))
            self.put(f"Pack<{kind}, {self.pack}> o{self.place[ref]}_pack;")
        before = dict(self.values)
        self.put("#pragma unroll")
        self.put(f"for (int e = 0; e < {self.pack}; e++) {{")
        for ref in keep_inputs:
            self.put(f"h{ref}[h][e] = widen(p{ref}_pack.at[e]);")
            self.values[ref] = f"h{ref}[h][e]", self.dtype(ref)
        for ref in places:
            if ref in self.held:
                self.put(f"h{ref}[h][e] = {self.compute(ref)[0]};")
                self.values[ref] = f"h{ref}[h][e]", self.dtype(ref)
            elif ref in self.place:
                self.operand(ref)
            if ref in self.place:
                kind = storage_type(self.dtype(ref))
                value = self.operand(ref)[0]
                self.put(f"o{self.place[ref]}_pack.at[e] = narrow<{kind}>({value});")
        for ref, step in feeds:
            value, _ = self.operand(step.refs[0])
            how = f"{_OPERATIONS[step.what]}::of<{register_type(step.dtype)}>"
            letter = self.nest.classes[ref]
            target = f"a{ref}"
            if letter == "R":
                target += "[h][e]" if self.shape.held else f"_row[{column} + e]"
            self.put(f"{target} = {how}({target}, {value});")
        self.put("}")
        self.values = before
        for ref in stored:
            over = self.reuse.get(self.place[ref])
            base = f"o{self.place[ref]}" if over is None else f"p{over}"
            self.put(f"store_pack<{self.pack}>({base} + {full}, o{self.place[ref]}_pack);")

    def finish_totals(self) -> None:
        """Every block's part of sums over everything."""
        for ref, step in self.reduces:
            if self.nest.classes[ref] == "S":
                kind, how = register_type(step.dtype), _OPERATIONS[step.what]
                self.put(f"__shared__ {kind} room{ref}[32];")
                self.put(f"a{ref} = block_all<{how}>(a{ref}, room{ref});")
                self.put(f"if (threadIdx.x == 0) s{self.place[ref]}[blockIdx.x] = a{ref};")

    # -- the two forms --------------------------------------------------------------------

    def elements(self) -> None:
        nest, n = self.nest, len(self.inputs)
        self.held: set[int] = set()
        self.first: dict[int, int] = {}
        self.scalars()
        self.sums("S")
        by_rows = not nest.flat
        step = "(place)gridDim.x * blockDim.x"
        self.put("const place first = (place)blockIdx.x * blockDim.x + threadIdx.x;")
        self.put(f"for (place i = first; i < count / {self.pack}; i += {step}) {{")
        self.put(f"const place at = i * {self.pack};")
        before = dict(self.values)
        if by_rows:
            self.put("const place row = at / cols, col = at - row * cols;")
            for i, letter in enumerate(nest.classes[:n]):
                if letter in "ck":
                    self.values[i] = self.name((f"widen(p{i}[row])", self.inputs[i]), i)
            self.columns(0, "col == 0")
        self.body(0, "at", "col")
        self.values = before
        self.put("}")
        if not by_rows and self.pack > 1:  # what is left behind the last pack
            left = f"count - count % {self.pack} + first"
            self.put(f"if (first < count % {self.pack}) {{")
            self.put(f"const place at = {left};")
            self.pack = 1
            self.body(0, "at", "at")
            self.pack = self.shape.pack
            self.put("}")
        self.finish_totals()

    def rows(self) -> None:
        nest, shape, n = self.nest, self.shape, len(self.inputs)
        team, teams = shape.team, shape.block // shape.team
        self.find_held()
        self.scalars()
        self.put(f"const int t = threadIdx.x % {team};")
        self.put(f"const place team = (place)blockIdx.x * {teams} + threadIdx.x / {team};")
        self.put(f"const place teams = (place)gridDim.x * {teams};")
        self.sums("SR")
        for ref, step in self.reduces:
            if nest.classes[ref] == "R" and not shape.held:
                start = literal(start_of(step.what, step.dtype), step.dtype)
                self.put(f"auto* a{ref}_row = s{self.place[ref]} + (i64)team * cols;")
                # Whoever adds to a column begins it.
                self.put(f"for (place col = (place)t * {self.pack}; col < cols; "
                         f"col += {team * self.pack})")  # fmt: skip
                self.put(
                    f"for (int e = 0; e < {self.pack}; e++) a{ref}_row[col + e] = {start};"
                )
        if team > 32:
            for kind in sorted({register_type(s.dtype) for r, s in self.reduces
                                if nest.classes[r] in "ck"}):  # fmt: skip
                self.put(f"__shared__ {kind} room_{kind.replace(' ', '_')}[32];")
        if team < 32:
            # All teams of a warp take part in its shuffles, also behind the last row.
            own = f"(threadIdx.x % 32) / {team}"
            self.put(f"for (place top = team - {own}; top < rows; top += teams) {{")
            self.put(f"const place row = top + {own};")
            self.put("const bool live = row < rows;")
        else:
            self.put("for (place row = team; row < rows; row += teams) {")
            self.put("const bool live = true;")
        before = dict(self.values)
        for i, letter in enumerate(nest.classes[:n]):
            if letter in "ck":
                self.values[i] = self.name((f"widen(p{i}[live ? row : 0])", self.inputs[i]), i)
        for ref in sorted(self.held):
            kind = register_type(self.dtype(ref))
            self.put(f"{kind} h{ref}[{shape.held}][{self.pack}];")
        for level in range(nest.passes):
            self.columns(level, "live && t == 0")
            self.pass_(level)
        self.columns(nest.passes, "live && t == 0")
        self.values = before
        self.put("}")
        self.finish_columns()
        self.finish_totals()

    def find_held(self) -> None:
        """Values that stay in registers from the pass that has them first to later ones."""
        nest, n = self.nest, len(self.inputs)
        self.first = {}
        last: dict[int, int] = {}

        def used(ref: int, level: int) -> None:
            if nest.classes[ref] not in "fr":
                return
            if ref >= n and nest.classes[ref] == "f":
                at = nest.levels[ref]
                self.first.setdefault(ref, at)
                last[ref] = max(last.get(ref, at), level)
                return
            if ref < n:
                self.first[ref] = min(self.first.get(ref, level), level)
                last[ref] = max(last.get(ref, level), level)
            else:
                for r in self.steps[ref - n].refs:
                    used(r, level)

        for i, step in enumerate(self.steps):
            ref = n + i
            if step.kind == "reduce":
                used(step.refs[0], nest.levels[ref] - (nest.classes[ref] in "ck"))
            elif nest.classes[ref] == "f":
                for r in step.refs:
                    used(r, nest.levels[ref])
        self.held = set()
        if self.shape.held:
            self.held = {r for r, at in last.items() if at > self.first[r]}

    def pass_(self, level: int) -> None:
        shape, nest = self.shape, self.nest
        per_row = [(r, s) for r, s in self.reductions_of(level) if nest.classes[r] in "ck"]
        for ref, step in per_row:
            start = literal(start_of(step.what, step.dtype), step.dtype)
            self.put(f"{register_type(step.dtype)} a{ref} = {start};")
        if self.steps_of("f", level) or self.reductions_of(level):
            if shape.held:
                self.put("#pragma unroll")
                self.put(f"for (int h = 0; h < {shape.held}; h++) {{")
                self.put(f"const place col = ((place)h * {shape.team} + t) * {self.pack};")
                self.put("if (live && col < cols) {")
            else:
                self.put(f"if (live) for (place col = (place)t * {self.pack}; col < cols; "
                         f"col += {shape.team * self.pack}) {{ {{")  # fmt: skip
            self.put("const place at = row * cols + col;")
            self.body(level, "at", "col")
            self.put("} }")
        for ref, step in per_row:
            kind, how = register_type(step.dtype), _OPERATIONS[step.what]
            if shape.team > 32:
                room = f"room_{kind.replace(' ', '_')}"
                self.put(f"a{ref} = block_all<{how}>(a{ref}, {room});")
            else:
                self.put(f"a{ref} = team_all<{how}, {shape.team}>(a{ref});")
            value = f"a{ref}"
            if step.what == "mean":
                value = f"({value} / ({kind})cols)"
            self.values[ref] = self.name((value, step.dtype), ref)

    def finish_columns(self) -> None:
        """Every team's part of sums over the rows."""
        shape = self.shape
        found = [r for r, _ in self.reduces if self.nest.classes[r] == "R"]
        if not found or not shape.held:
            return
        self.put("#pragma unroll")
        self.put(f"for (int h = 0; h < {shape.held}; h++) {{")
        self.put(f"const place col = ((place)h * {shape.team} + t) * {self.pack};")
        self.put("if (col < cols) {")
        for ref in found:
            row = f"s{self.place[ref]}[(i64)team * cols + col + e]"
            self.put(f"for (int e = 0; e < {self.pack}; e++) {row} = a{ref}[h][e];")
        self.put("} }")

    # -- the whole ------------------------------------------------------------------------

    def text(self, name: str) -> str:
        (self.rows if self.shape.team else self.elements)()
        written = set(self.reuse.values())
        params = []
        for i, dtype in enumerate(self.inputs):
            word = "" if i in written else "const "
            restrict = "" if i in written else " __restrict__"
            params.append(f"{word}{storage_type(dtype)}*{restrict} p{i}")
        for place, ref in enumerate(self.outputs):
            if place in self.reuse:
                continue
            if self.nest.classes[ref] in "RS":
                params.append(f"{register_type(self.dtype(ref))}* __restrict__ s{place}")
            else:
                params.append(f"{storage_type(self.dtype(ref))}* __restrict__ o{place}")
        params += ["const place rows", "const place cols", "const place count"]
        kind = "i64" if self.shape.wide else "int"
        lines, depth = [], 1
        for line in self.lines:
            depth -= line.startswith("}")
            pad = "" if line.startswith("#") else "    " * depth
            lines.append(pad + line)
            depth += line.count("{") - line.count("}") + line.startswith("}")
        head = f'extern "C" __global__ void __launch_bounds__({self.shape.block}) {name}('
        return "\n".join(
            [PRELUDE, _TEAM, f"typedef {kind} place;", f"{head}{', '.join(params)}) {{",
             *lines, "}", *self.totals(name), ""]
        )  # fmt: skip

    def totals(self, name: str) -> list[str]:
        """The kernels that add up parts."""
        found = []
        for place, ref in enumerate(self.outputs):
            if self.nest.classes[ref] in "RS":
                step = self.steps[ref - len(self.inputs)]
                found.append(
                    _TOTAL % {
                        "name": f"{name}_total{place}", "wide": register_type(step.dtype),
                        "how": _OPERATIONS[step.what], "out": storage_type(step.dtype),
                        "start": literal(start_of(step.what, step.dtype), step.dtype),
                        "mean": int(step.what == "mean"),
                    }
                )  # fmt: skip
        return found


_TEAM = r"""
// The reduction over a team of a warp's threads, in all of them.
template <class Op, int TEAM, class T> __device__ __forceinline__ T team_all(T v) {
    #pragma unroll
    for (int o = TEAM / 2; o; o >>= 1) v = Op::of(v, from_lane(v, o));
    return v;
}
"""
# 32 columns per block, 8 threads for each; `cols` is 1 for a sum over everything.
_TOTAL = r"""
extern "C" __global__ void __launch_bounds__(256) %(name)s(
        const %(wide)s* __restrict__ parts, %(out)s* __restrict__ out,
        const i64 count, const i64 cols, const i64 divisor) {
    __shared__ %(wide)s room[8][33];
    const i64 col = (i64)blockIdx.x * 32 + threadIdx.x %% 32;
    const int lane = threadIdx.x / 32;
    %(wide)s sum = %(start)s;
    if (col < cols)
        for (i64 i = lane; i < count; i += 8)
            sum = %(how)s::of<%(wide)s>(sum, parts[i * cols + col]);
    room[lane][threadIdx.x %% 32] = sum;
    __syncthreads();
    if (lane == 0 && col < cols) {
        for (int i = 1; i < 8; i++) sum = %(how)s::of<%(wide)s>(sum, room[i][threadIdx.x]);
        if (%(mean)d) sum = sum / (%(wide)s)divisor;
        out[col] = narrow<%(out)s>(sum);
    }
}
"""


def loop_source(
    name: str,
    inputs: Sequence[DType],
    steps: Sequence[Step],
    outputs: Sequence[int],
    nest: LoopNest,
    reuse: Mapping[int, int],
    shape: Shape,
) -> str:
    """The source of the kernel `name`, and of ``<name>_total<place>`` for results that are sums
    over rows: these add up ``parts`` [count, cols].

    Its parameters are the inputs; then the outputs in order but those in `reuse` (which are
    written over inputs, both by their places), parts for sums; rows, columns, elements.
    """
    assert not reuse or nest.passes == 1, "what is written over is read again"
    return _Writer(inputs, steps, outputs, nest, reuse, shape).text(name)
