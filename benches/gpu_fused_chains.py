"""Fused chains on a GPU against the bandwidth of a copy there: ``python gpu_fused_chains.py``.

A chain's share is the bytes it must move (each input read, each result written once) over the
time it takes, as a part of what a large copy moves.  Every chain is checked against the calls
one by one in float64 first, on random numbers.  torch, eager and compiled, computes the same
on the same arrays.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np
from gpu_device import copy_bandwidth, cupy_or_exit, describe, event_seconds, measured, write

AIM = 0.85
TOLERANCE = 1e-4  # norm of the difference from float64 over the norm


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


def torch_chains(torch: Any) -> dict[str, Callable[..., Any]]:
    """The same of torch."""
    functions = torch.nn.functional
    return {
        "bias, gelu": lambda x, b: functions.gelu(x + b),
        "ten elementwise": lambda x, y: (
            torch.tanh((x * y + x) * 0.5 - y) * torch.exp(-torch.abs(x)) + torch.maximum(x, y)
        ),
        "softmax": lambda x: torch.softmax(x, -1),
        "layer norm": lambda x, s, o: functions.layer_norm(x, x.shape[-1:], s, o, 1e-3),
        "sum of squares by columns": lambda x: (torch.square(x) * 2.0).sum(0),
        "sum of all": lambda x: (torch.square(x) + 1.0).sum(),
    }


def fused(
    hr: Any, xp: Any, fn: Callable[..., Any], arrays: list[Any]
) -> tuple[Any, tuple[Any, ...]]:
    """The one chain that a function becomes on a GPU, and its arrays in the chain's order:
    those given, and its constants.

    Raises:
        RuntimeError: it is not one chain of all the arrays.
    """
    from headrace.ops.graph import trace
    from headrace.ops.graph.graph import constant_value
    from headrace.ops.graph.loop_steps import for_gpus
    from headrace.ops.graph.passes import PLACED_PASSES, fuse_on_one_device, optimize
    from headrace.ops.graph.passes.fuse_loops import fuse_loops

    graph = trace(fn, tuple(hr.TensorSpec(a.shape) for a in arrays)).graph
    before = [p for p in PLACED_PASSES if p is not fuse_on_one_device]
    with for_gpus():
        made = fuse_loops(optimize(graph, before))
    found = [n for n in made.nodes if n.type == "_Fused"]
    if len(found) != 1:
        raise RuntimeError(f"{len(found)} chains instead of one")
    places = {id(t): i for i, t in enumerate(made.inputs)}
    given = tuple(
        arrays[places[id(t)]] if id(t) in places else xp.asarray(constant_value(t))
        for t in found[0].inputs
    )
    if any(all(g is not a for g in given) for a in arrays):
        raise RuntimeError("an array stands outside of the chain")
    return found[0].attrs["program"], given


def check(xp: Any, program: Any, given: tuple[Any, ...]) -> tuple[tuple[Any, ...], float]:
    """The chain's results, and how far they are from the calls' in float64.

    Raises:
        RuntimeError: it has no kernel, or they are too far.
    """
    from headrace.ops.cuda import loops

    out = loops.run(program, given)
    if out is None:
        raise RuntimeError("no kernel takes these arrays")
    want = program.run_calls(tuple(a.astype(np.float64) for a in given))
    far = max(
        float(xp.linalg.norm(g - w) / xp.linalg.norm(w)) for g, w in zip(out, want, strict=True)
    )
    if not far < TOLERANCE:
        raise RuntimeError(f"results are {far:.2g} from those of float64")
    return out, far


def torch_times(cupy: Any, torch: Any, name: str, arrays: list[Any]) -> dict[str, float]:
    """Milliseconds of torch, eager and compiled."""
    fn = torch_chains(torch)[name]
    tensors = [torch.from_dlpack(a) for a in arrays]
    found = {}
    for side, run in (("torch_ms", fn), ("torch_compile_ms", torch.compile(fn, dynamic=False))):
        try:
            found[side] = 1e3 * event_seconds(cupy, lambda run=run: run(*tensors))
        except Exception as error:  # the row stands without it
            found[f"{side}_failed"] = f"{type(error).__name__}: {error}"[:300]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, default=256, help="size of a matrix")
    parser.add_argument("--columns", type=int, nargs="*", default=[768, 4096])
    parser.add_argument("--alone", action="store_true", help="without torch")
    options = parser.parse_args()
    cupy = cupy_or_exit()
    import headrace as hr
    from headrace.ops.cuda import loops

    hr.zeros([1])  # the device's forms are registered now
    torch = None
    if not options.alone:
        try:
            import torch  # type: ignore[no-redef]
        except ImportError:
            print("torch is not installed: no peers")
    bandwidth = copy_bandwidth(cupy)
    rows = [measured("copy of 2 GiB", "GB/s read and written", bandwidth / 1e9)]
    rng = cupy.random.default_rng(0)
    for columns in options.columns:
        shape = ((options.mib << 20) // 4 // columns, columns)
        for name, (fn, letters) in chains(hr).items():
            job = f"{name}, {columns} columns"
            arrays = [
                rng.standard_normal(shape if c == "x" else (columns,), dtype=np.float32)
                for c in letters
            ]
            try:
                program, given = fused(hr, cupy, fn, arrays)
                out, error = check(cupy, program, given)
                moved = sum(a.nbytes for a in (*given, *out))
                del out
                seconds = event_seconds(cupy, lambda p=program, a=given: loops.run(p, a))
            except Exception as failure:  # the others are measured
                rows.append({"job": job, "failed": f"{type(failure).__name__}: {failure}"})
                continue
            share = moved / seconds / bandwidth
            peers = torch_times(cupy, torch, name, arrays) if torch is not None else {}
            rows.append(
                measured(job, "share of a copy's bandwidth", share, AIM, ms=1e3 * seconds,
                         error=error, **peers)
            )  # fmt: skip
        write("fused_chains", rows, describe(cupy))


if __name__ == "__main__":
    main()
