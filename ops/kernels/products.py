"""Matrix products on packed operands: the inner loops of every convolution kernel.

With W floats in a vector, a panel is P = 2 W columns, and operands are laid out so that every
inner loop reads at constant offsets:

* left operand: [k / W, rows, W], rows a multiple of `rows_of` for `product`;
* right operand and result: [panels, k or rows, P].

A block of `rows_of` x P numbers of the result stays in registers while k runs: 14 x 2 vectors,
2 of the right operand and 1 broadcast make 31 of AVX-512's 32 registers.
"""

from __future__ import annotations

from .code import Code

__all__ = ["gradient_rows", "rows_of", "write_gradient_product", "write_product"]


def rows_of(width: int) -> int:
    """Rows of a block: as many as the machine has registers for."""
    return 14 if width == 16 else 6 if width == 8 else 12


def gradient_rows(width: int) -> int:
    """Rows of a block of `write_gradient_product`; they divide the width."""
    return 8 if width == 16 else 4


def write_product(code: Code) -> None:
    """``product(left, right, out, rows, k, panels, left_step, right_step)``: out = left @
    right.

    The steps are the distances of the operands' blocks and panels, in bytes.
    """
    width, height = code.width, rows_of(code.width)
    line = 4 * width
    with code.function(
        "product",
        "left",
        "right",
        "out",
        "rows",
        "k",
        "panels",
        "left_step",
        "right_step",
        private=True,
    ) as (left, right, out, rows, k, panels, left_step, right_step):
        with code.loop(0, panels) as panel, code.loop(0, rows, height) as row:
            sums = [[code.variable(0.0, code.vector) for _ in range(2)] for _ in range(height)]
            b_at = code.variable(right + panel * right_step)
            block_at = code.variable(left + row * line)
            with code.loop(0, k, width) as start:
                a_at = block_at.get()
                block_at.set(a_at + left_step)
                with code.loop(0, code.least(k - start, width)) as j:
                    b = b_at.get()
                    columns = [code.load(b), code.load(b + line)]
                    b_at.set(b + 2 * line)
                    a = a_at + j * 4
                    for r in range(height):
                        factor = code.splat(code.load(a + r * line, "float"))
                        for v in range(2):
                            sums[r][v].set(code.fma(factor, columns[v], sums[r][v].get()))
            target = out + ((panel * rows + row) * 2 * line)
            for r in range(height):
                for v in range(2):
                    code.store(target + (r * 2 + v) * line, sums[r][v].get())


def write_gradient_product(code: Code) -> None:
    """``gradient_product(left, right, out, rows, count, blocks, panels, left_step)``: out +=
    left.T @ right over the first `count` rows.

    left [blocks, rows, W], right [panels, rows, P], out [panels, blocks * W, P].
    """
    width, height = code.width, gradient_rows(code.width)
    line = 4 * width
    with code.function(
        "gradient_product",
        "left",
        "right",
        "out",
        "rows",
        "count",
        "blocks",
        "panels",
        "left_step",
        private=True,
    ) as (left, right, out, rows, count, blocks, panels, left_step):
        with (
            code.loop(0, panels) as panel,
            code.loop(0, blocks) as block,
            code.loop(0, width, height) as part,
        ):
            target = out + ((panel * blocks + block) * width + part) * 2 * line
            sums = [
                [code.variable(code.load(target + (r * 2 + v) * line), code.vector)
                 for v in range(2)]
                for r in range(height)
            ]  # fmt: skip
            a_at = left + block * left_step + part * 4
            b_at = right + panel * rows * 2 * line
            with code.loop(0, count) as t:
                b = b_at + t * 2 * line
                columns = [code.load(b), code.load(b + line)]
                a = a_at + t * line
                for r in range(height):
                    factor = code.splat(code.load(a + r * 4, "float"))
                    for v in range(2):
                        sums[r][v].set(code.fma(factor, columns[v], sums[r][v].get()))
            for r in range(height):
                for v in range(2):
                    code.store(target + (r * 2 + v) * line, sums[r][v].get())
