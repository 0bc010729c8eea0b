"""Matrix products of any two operands: packing, tiles, and the loops around them.

Both operands are packed, a block of `DEPTH` steps of the inner size at a time, so that tiles
read at constant distances, from memory that the second-level cache holds:

* left: tiles of `tile_rows` rows (and of `small_rows` behind the last whole one), each
  [depth, rows of the tile];
* right: panels of P = 2 W columns, each [depth, P], with W floats in a vector.

A tile's sums stay in registers while the inner size runs.

Source: Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008).
"""

from __future__ import annotations

from .code import Code, Value
from .products import rows_of

__all__ = ["DEPTH", "MATMUL", "scratch_bytes", "small_rows", "tile_rows", "write_matmul"]

DEPTH = 512  # of a packed block
_TILES = 8  # of the left operand packed at a time
_COLUMNS = 1024  # of the right operand packed at a time

# Parameters of `matmul_part`: c [m, n] = a [m, k] @ b [k, n], or plus what c holds if `add`.
# Rows are `_row` bytes apart; `turn_`: the operand is stored as its transpose.
MATMUL = ("a", "a_row", "b", "b_row", "c", "c_row", "m", "n", "k", "turn_a", "turn_b", "add",
          "scratch")  # fmt: skip


def tile_rows(width: int) -> int:
    """Rows of a tile."""
    return rows_of(width)


def small_rows(width: int) -> int:
    """Rows of the tiles behind the last whole one."""
    return 2 if width == 8 else 4


def scratch_bytes(width: int, n: int, k: int) -> int:
    """Memory for packed operands of products with `n` columns and the inner size `k`."""
    depth, panel = min(DEPTH, k), 2 * width
    columns = min(_COLUMNS, -(-n // panel) * panel)
    return 4 * (_right(width) + depth * columns) + 64


def _right(width: int) -> int:
    """Floats in front of the packed right operand: the left one, and a tile on its edge."""
    rows = tile_rows(width)
    return rows * 2 * width + (_TILES * rows + 2 * width) * DEPTH


def write_matmul(code: Code) -> None:
    """The functions of this module; `matmul_part(parameters)` is the one to call."""
    for rows in (tile_rows(code.width), small_rows(code.width)):
        _write_tile(code, rows)
        _write_pack_left(code, rows)
    _write_pack_right(code)
    _write_edge(code)
    _write_part(code)


def _write_tile(code: Code, rows: int) -> None:
    """``matmul_tile<rows>(left, right, out, depth, out_row, add)``."""
    line = 4 * code.width
    names = ("left", "right", "out", "depth", "out_row", "add")
    with code.function(f"matmul_tile{rows}", *names, private=True) as (
        left, right, out, depth, out_row, add,
    ):  # fmt: skip
        for r in range(rows):
            code.prefetch(out + out_row * r, write=True)
            code.prefetch(out + out_row * r + (2 * line - 4), write=True)
        sums = [[code.variable(0.0, code.vector) for _ in range(2)] for _ in range(rows)]
        with code.loop(0, depth) as t:
            b = right + t * (2 * line)
            columns = [code.load(b), code.load(b + line)]
            a = left + t * (4 * rows)
            for r in range(rows):
                factor = code.splat(code.load(a + 4 * r, "float"))
                for v in range(2):
                    sums[r][v].set(code.fma(factor, columns[v], sums[r][v].get()))
        with code.when(add.same(1)):
            for r in range(rows):
                at = out + out_row * r
                for v in range(2):
                    sums[r][v].set(sums[r][v].get() + code.load(at + v * line))
        for r in range(rows):
            at = out + out_row * r
            for v in range(2):
                code.store(at + v * line, sums[r][v].get())


def transposed(code: Code, vectors: list[Value]) -> list[Value]:
    """The columns of a square of vectors."""
    width, found = code.width, list(vectors)
    step = 1
    while step < width:
        # Lanes whose bit `step` is set change places with those of the vector `step` further.
        low = [j if not j & step else width + j - step for j in range(width)]
        high = [j + step if not j & step else width + j for j in range(width)]
        for i in range(width):
            if not i & step:
                a, b = found[i], found[i + step]
                found[i], found[i + step] = (code.lanes(a, b, lanes) for lanes in (low, high))
        step *= 2
    return found


def _write_pack_left(code: Code, rows: int) -> None:
    """``matmul_left<rows>(a, a_row, turned, have, depth, room, out)``: a tile of `have` rows;
    rows it lacks repeat the last one.  `room`: columns that may be read where it is turned."""
    width = code.width
    names = ("a", "a_row", "turned", "have", "depth", "room", "out")
    with code.function(f"matmul_left{rows}", *names, private=True) as (
        a, a_row, turned, have, depth, room, out,
    ):  # fmt: skip
        whole = code.variable(0)  # steps done by vectors
        places = [code.least(have - 1, r) for r in range(rows)]
        groups = -(-rows // width)
        with code.when(turned.same(0)):
            starts = [a + p * a_row for p in places]
            starts += [starts[-1]] * (groups * width - rows)
            last = depth - depth % width
            # What a vector holds beside the tile's rows lands where the next step's go: so
            # steps are written in order, and a few numbers behind the last are free.
            with code.loop(0, last, width) as t:
                columns = [
                    transposed(code, [code.load(s + t * 4) for s in starts[g : g + width]])
                    for g in range(0, groups * width, width)
                ]
                for j in range(width):
                    for g in range(groups):
                        code.store(out + (t + j) * (4 * rows) + g * 4 * width, columns[g][j])
            whole.set(last)
            with code.loop(last, depth) as t:
                for r in range(rows):
                    value = code.load(starts[r] + t * 4, "float")
                    code.store(out + t * (4 * rows) + 4 * r, value)
        with code.when(turned.same(1)):
            wide = code.select(room < groups * width, 0, depth, "i64")
            with code.loop(0, wide) as t:
                for g in range(groups):
                    value = code.load(a + t * a_row + g * 4 * width)
                    code.store(out + t * (4 * rows) + g * 4 * width, value)
            with code.loop(wide, depth) as t:
                for r in range(rows):
                    value = code.load(a + t * a_row + places[r] * 4, "float")
                    code.store(out + t * (4 * rows) + 4 * r, value)


def _write_pack_right(code: Code) -> None:
    """``matmul_right(b, b_row, turned, have, depth, out)``: a panel of `have` columns; columns
    it lacks repeat the last one."""
    width = code.width
    panel, line = 2 * width, 4 * width
    names = ("b", "b_row", "turned", "have", "depth", "out")
    with code.function("matmul_right", *names, private=True) as (
        b, b_row, turned, have, depth, out,
    ):  # fmt: skip
        full = have.same(panel)
        with code.when(turned.same(0)):
            done = code.select(full, depth, 0, "i64")
            with code.loop(0, done) as t:
                for v in range(2):
                    value = code.load(b + t * b_row + v * line)
                    code.store(out + t * (2 * line) + v * line, value)
            with code.loop(done, depth) as t, code.loop(0, panel) as c:
                value = code.load(b + t * b_row + code.least(have - 1, c) * 4, "float")
                code.store(out + t * (2 * line) + c * 4, value)
        with code.when(turned.same(1)):
            done = code.select(full, depth - depth % width, 0, "i64")
            with code.loop(0, done, width) as t, code.loop(0, 2) as v:
                at = b + v * width * b_row + t * 4
                rows = [code.load(at + b_row * c) for c in range(width)]
                for j, value in enumerate(transposed(code, rows)):
                    code.store(out + (t + j) * (2 * line) + v * line, value)
            with code.loop(done, depth) as t, code.loop(0, panel) as c:
                value = code.load(b + code.least(have - 1, c) * b_row + t * 4, "float")
                code.store(out + t * (2 * line) + c * 4, value)


def _write_edge(code: Code) -> None:
    """``matmul_edge(tile, out, out_row, rows, columns, add)``: the part that counts."""
    line = 8 * code.width
    names = ("tile", "out", "out_row", "rows", "columns", "add")
    with (
        code.function("matmul_edge", *names, private=True) as (
            tile, out, out_row, rows, columns, add,
        ),
        code.loop(0, rows) as r,
        code.loop(0, columns) as c,
    ):  # fmt: skip
        at = out + r * out_row + c * 4
        value = code.variable(code.load(tile + r * line + c * 4, "float"), "float")
        with code.when(add.same(1)):
            value.set(value.get() + code.load(at, "float"))
        code.store(at, value.get())


def _write_part(code: Code) -> None:
    width = code.width
    panel, most, small = 2 * width, tile_rows(width), small_rows(width)
    with code.function("matmul_part", "parameters") as (parameters,):
        given = dict(zip(MATMUL, code.parameters(parameters, len(MATMUL)), strict=True))
        a, a_row, b, b_row, c, c_row = (given[n] for n in MATMUL[:6])
        m, n, k = given["m"], given["n"], given["k"]
        turn_a, turn_b, edge = given["turn_a"], given["turn_b"], given["scratch"]
        left = edge + 4 * most * panel
        right = edge + 4 * _right(width)
        with code.loop(0, k, DEPTH) as p:
            depth = code.least(k - p, DEPTH)
            add = code.select(p.same(0), given["add"], 1, "i64")
            a_step = code.select(turn_a.same(1), a_row, 4, "i64")  # bytes from k to k + 1
            a_next = code.select(turn_a.same(1), 4, a_row, "i64")  # from row to row
            b_step = code.select(turn_b.same(1), 4, b_row, "i64")
            b_next = code.select(turn_b.same(1), b_row, 4, "i64")
            with code.loop(0, n, _COLUMNS) as first:
                columns = code.least(n - first, _COLUMNS)
                with code.loop(0, columns, panel) as j:
                    have = code.least(columns - j, panel)
                    source = b + p * b_step + (first + j) * b_next
                    code.call(
                        "matmul_right",
                        source,
                        b_row,
                        turn_b,
                        have,
                        depth,
                        right + j * depth * 4,
                    )
                with code.loop(0, m, _TILES * most) as i:
                    rows = code.least(m - i, _TILES * most)
                    whole = rows - rows % most
                    for size, start, stop in ((most, 0, whole), (small, whole, rows)):
                        with code.loop(start, stop, size) as r:
                            have = code.least(rows - r, size)
                            source = a + p * a_step + (i + r) * a_next
                            code.call(
                                f"matmul_left{size}", source, a_row, turn_a, have, depth,
                                m - i - r, left + r * depth * 4,
                            )  # fmt: skip
                    with code.loop(0, columns, panel) as j:
                        have = code.least(columns - j, panel)
                        for size, start, stop in ((most, 0, whole), (small, whole, rows)):
                            with code.loop(start, stop, size) as r:
                                there = code.least(rows - r, size)
                                tile = left + r * depth * 4
                                beside = right + j * depth * 4
                                out = c + (i + r) * c_row + (first + j) * 4
                                full = have.same(panel) & there.same(size)
                                name = f"matmul_tile{size}"
                                with code.when(full):
                                    code.call(name, tile, beside, out, depth, c_row, add)
                                with code.when(code.opposite(full)):
                                    code.call(name, tile, beside, edge, depth, 8 * width, 0)
                                    code.call("matmul_edge", edge, out, c_row, there, have, add)
