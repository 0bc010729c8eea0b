"""One time step of LSTM and GRU, forward and backward, as fused programs.

Every program reads and writes matrices [batch, units], which may be slices of larger arrays.
Gates lie beside each other in the order of Keras's weights.  With a mask, [batch, 1], a step
leaves the state of the rows where it is 0 as it was.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence

from . import dtypes
from .graph.fused import Program
from .graph.loops import Step

__all__ = ["gru_back", "gru_step", "lstm_back", "lstm_step"]

_F4 = dtypes.float32
_SIGMOID = "1 / (1 + exp(-a))"


class _Text:
    """A program under construction: inputs by name, then lines ``name = text(names)``."""

    def __init__(self, *inputs: str):
        self.places = {name: i for i, name in enumerate(inputs)}
        self.inputs = len(inputs)
        self.steps: list[Step] = []

    def line(self, name: str, text: str, *reads: str) -> None:
        refs = tuple(self.places[r] for r in reads)
        self.steps.append(Step("map", refs, _F4, text))
        self.places[name] = self.inputs + len(self.steps) - 1

    def program(
        self, name: str, outputs: Sequence[str], reuse: dict[str, str] | None = None
    ) -> Program:
        return Program(
            [_F4] * self.inputs, [False] * self.inputs, [], [], self.steps,
            [self.places[o] for o in outputs], name,
            reuse={list(outputs).index(o): self.places[i] for o, i in (reuse or {}).items()},
            least=1,
        )  # fmt: skip


@functools.cache
def lstm_step(masked: bool) -> Program:
    """Gates and state of a step.

    Inputs: xi, xf, xg, xo (products with the inputs), hi, hf, hg, ho (with the state), bi, bf,
    bg, bo (biases), c (the state's memory), and with a mask m and h.  Results: i, f, g, o
    (written over xi, xf, xg, xo), the new c, the new h.
    """
    gates = "ifgo"
    extra = ["m", "h"] if masked else []
    t = _Text(*(f"{part}{k}" for part in "xhb" for k in gates), "c", *extra)
    for k in gates:
        t.line(f"z{k}", "a + b + c", f"x{k}", f"h{k}", f"b{k}")
        t.line(k, "tanh(a)" if k == "g" else _SIGMOID, f"z{k}")
    t.line("new_c", "a * b + c * d", "f", "c", "i", "g")
    t.line("tanh", "tanh(a)", "new_c")
    t.line("new_h", "a * b", "o", "tanh")
    if masked:
        t.line("kept_c", "where(a > 0, b, c)", "m", "new_c", "c")
        t.line("kept_h", "where(a > 0, b, c)", "m", "new_h", "h")
    state = ["kept_c", "kept_h"] if masked else ["new_c", "new_h"]
    return t.program("LSTM", [*gates, *state], {k: f"x{k}" for k in gates})


@functools.cache
def lstm_back(masked: bool) -> Program:
    """Gradients of a step.

    Inputs: dy (of the output), dh (through the next state), dc (of the new memory), i, f, g, o,
    c, before (the memory before), and with a mask m.  Results: zi, zf, zg, zo (of the gates'
    sums), the memory's before (written over dc), and with a mask what goes straight to the
    state before (written over dh).
    """
    t = _Text("dy", "dh", "dc", *"ifgo", "c", "before", *(["m"] if masked else []))
    t.line("all", "a + b", "dy", "dh")
    t.line("h", "where(a > 0, b, 0)", "m", "all") if masked else None
    h = "h" if masked else "all"
    t.line("new_c", "where(a > 0, b, 0)", "m", "dc") if masked else None
    mine = "new_c" if masked else "dc"
    t.line("tanh", "tanh(a)", "c")
    t.line("do", "a * b * c * (1 - c)", h, "tanh", "o")
    t.line("memory", "a + b * c * (1 - d * d)", mine, h, "o", "tanh")
    t.line("di", "a * b * c * (1 - c)", "memory", "g", "i")
    t.line("df", "a * b * c * (1 - c)", "memory", "before", "f")
    t.line("dg", "a * b * (1 - c * c)", "memory", "i", "g")
    t.line("old", "a * b", "memory", "f")
    outputs = ["di", "df", "dg", "do", "old"]
    reuse = {"old": "dc"}
    if masked:
        t.line("kept", "where(a > 0, b, c)", "m", "old", "dc")
        t.line("pass", "where(a > 0, 0, b)", "m", "all")
        outputs[-1] = "kept"
        outputs.append("pass")
        reuse = {"kept": "dc", "pass": "dh"}
    return t.program("LSTMGrad", outputs, reuse)


@functools.cache
def gru_step(masked: bool) -> Program:
    """Gates and state of a step.

    Inputs: xz, xr, xg (products with the inputs), hz, hr, hg (with the state), bz, br, bg and
    sz, sr, sg (their biases), h (the state), and with a mask m.  Results: z, r, g (written over
    xz, xr, xg), the state's part of g, the new h.
    """
    gates = "zrg"
    t = _Text(
        *(f"{part}{k}" for part in "xhbs" for k in gates), "h", *(["m"] if masked else [])
    )
    for k in "zr":
        t.line(f"sum{k}", "a + b + (c + d)", f"x{k}", f"b{k}", f"h{k}", f"s{k}")
        t.line(k, _SIGMOID, f"sum{k}")
    t.line("inner", "a + b", "hg", "sg")
    t.line("sumg", "a + b + c * d", "xg", "bg", "r", "inner")
    t.line("g", "tanh(a)", "sumg")
    t.line("new", "a * b + (1 - a) * c", "z", "h", "g")
    if masked:
        t.line("kept", "where(a > 0, b, c)", "m", "new", "h")
    return t.program(
        "GRU", [*gates, "inner", "kept" if masked else "new"], {k: f"x{k}" for k in gates}
    )


@functools.cache
def gru_back(masked: bool) -> Program:
    """Gradients of a step.

    Inputs: dy (of the output), dh (through the next state), z, r, g, inner, before (the state
    before), and with a mask m.  Results: az, ar, ag (of the sums with the inputs), sz, sr, ig
    (of those with the state), and what goes straight to the state before (written over dh).
    """
    t = _Text("dy", "dh", "z", "r", "g", "inner", "before", *(["m"] if masked else []))
    t.line("all", "a + b", "dy", "dh")
    t.line("h", "where(a > 0, b, 0)", "m", "all") if masked else None
    h = "h" if masked else "all"
    t.line("ag", "a * (1 - b) * (1 - c * c)", h, "z", "g")
    t.line("az", "a * (b - c) * d * (1 - d)", h, "before", "g", "z")
    t.line("ar", "a * b * c * (1 - c)", "ag", "inner", "r")
    t.line("ig", "a * b", "ag", "r")
    t.line("old", "a * b", h, "z")
    if masked:
        t.line("straight", "where(a > 0, b, c)", "m", "old", "all")
    last = "straight" if masked else "old"
    t.line("sz", "a", "az")  # both products have these two
    t.line("sr", "a", "ar")
    outputs = ["az", "ar", "ag", "sz", "sr", "ig", last]
    return t.program("GRUGrad", outputs, {last: "dh"})
