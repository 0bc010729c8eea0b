"""Fused chains on a GPU against the bandwidth of a copy there: ``python gpu_fused_chains.py``.

A chain's share is the bytes it must move (each input read, each result written once) over the
time it takes, as a part of what a large copy moves.  Every chain is checked against the calls
one by one in float64 first, on random numbers.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_device import copy_bandwidth, cupy_or_exit, describe, event_seconds, write

AIM = 0.85


def chains(hr: Any) -> dict[str, tuple[Callable[..., Any], str]]:
    """Name -> function and its inputs: x a matrix, r a row."""

    def layer_norm(x: Any, scale: Any, offset: Any) -> Any:
        mean, variance = hr.nn.moments(x, [-1], keepdims=True)
        return hr.nn.batch_normalization(x, mean, variance, offset, scale, 1e-3)

    return {
        "bias, gelu": (lambda x, b: hr.nn.gelu(hr.nn.bias_add(x, b)), "xr"),
        "ten elementwise": (
            lambda x, y: hr.tanh((x * y + x) * 0.5 - y) * hr.exp(-hr.abs(x)) + hr.maximum(x, y),
            "xx",
        ),
        "softmax": (hr.nn.softmax, "x"),
        "layer norm": (layer_norm, "xrr"),
        "sum of squares by columns": (lambda x: hr.reduce_sum(hr.square(x) * 2.0, 0), "x"),
        "sum of all": (lambda x: hr.reduce_sum(hr.square(x) + 1.0), "x"),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=256, help="size of a matrix")
    parser.add_argument("--columns", type=int, nargs="*", default=[768, 4096])
    options = parser.parse_args()
    cupy = cupy_or_exit()
    import headrace as hr
    from headrace.ops.cuda import loops
    from headrace.ops.graph import trace
    from headrace.ops.graph.execute import compile_graph

    bandwidth = copy_bandwidth(cupy)
    rows = []
    rng = cupy.random.default_rng(0)
    for columns in options.columns:
        shape = ((options.mib << 20) // 4 // columns, columns)
        for name, (fn, letters) in chains(hr).items():
            arrays = [
                rng.standard_normal(shape if c == "x" else (columns,), dtype=np.float32)
                for c in letters
            ]
            graph = trace(fn, tuple(hr.TensorSpec(a.shape) for a in arrays)).graph
            fused = [n for n in compile_graph(graph).graph if n.type == "_Fused"]
            if len(fused) != 1 or len(fused[0].inputs) != len(arrays):
                rows.append({"chain": name, "columns": columns, "kernels": len(fused)})
                continue
            program = fused[0].attrs["program"]
            order = [graph.inputs.index(t) if t in graph.inputs else i
                     for i, t in enumerate(fused[0].inputs)]  # fmt: skip
            given = tuple(arrays[i] for i in order)
            out = loops.run(program, given)
            want = program.run_calls(tuple(a.astype(np.float64) for a in given))
            wrong = max(
                float(cupy.linalg.norm(g - w) / cupy.linalg.norm(w))
                for g, w in zip(out, want, strict=True)
            )
            del want
            moved = sum(a.nbytes for a in (*given, *out))
            seconds = event_seconds(cupy, lambda p=program, a=given: loops.run(p, a))
            rows.append(
                {
                    "chain": name, "columns": columns, "ms": 1e3 * seconds,
                    "share_of_copy": moved / seconds / bandwidth, "aim": AIM,
                    "error": wrong,
                }
            )  # fmt: skip
    rows.append({"copy_gb_s": bandwidth / 1e9})
    write("fused_chains", rows, describe(cupy))


if __name__ == "__main__":
    main()
