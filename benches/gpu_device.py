"""What the benches of a GPU share: the device, its clock, its ceilings, the files of results.

A script that finds no device says so and exits with status 2.

A row of results has a `job`, what was measured (`measure`), the figure (`value`), what the
figure should be at least (`goal`, None for figures that are only told), whether it is (`met`),
and whatever else belongs to it.
"""

from __future__ import annotations

import json
import os
import platform
import statistics
import sys
import time
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import Any

__all__ = [
    "RESULTS", "bf16_peak", "copy_bandwidth", "cupy_or_exit", "describe", "event_seconds",
    "measured", "rate", "results_folder", "write",
]  # fmt: skip

RESULTS = Path(__file__).parent / "results"
FOLDER = "HEADRACE_BENCH_RESULTS"  # environment: where results go instead
_PACKAGES = (
    "headrace", "cupy-cuda13x", "cupy-cuda12x", "torch", "triton", "nvidia-cudnn-cu13",
    "nvidia-cudnn-cu12", "nvidia-cudnn-frontend", "nvidia-cublas", "numpy",
)  # fmt: skip


def cupy_or_exit() -> Any:
    """CuPy, with a device that works."""
    try:
        import cupy
    except ImportError:
        _refuse("CuPy is not installed (extra cuda13)")
    if not cupy.cuda.is_available():
        _refuse("CuPy finds no CUDA device here")
    return cupy


def _refuse(reason: str) -> None:
    print(f"{Path(sys.argv[0]).name} needs a GPU: {reason}", file=sys.stderr)
    raise SystemExit(2)


def describe(cupy: Any) -> dict[str, Any]:
    """The device, the driver and the versions of what takes part."""
    properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
    versions = {}
    for name in _PACKAGES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        "device": properties["name"].decode(),
        "processors": properties["multiProcessorCount"],
        "memory_gib": round(properties["totalGlobalMem"] / 2**30, 1),
        "driver": cupy.cuda.runtime.driverGetVersion(),
        "runtime": cupy.cuda.runtime.runtimeGetVersion(),
        "python": platform.python_version(),
        "versions": versions,
    }


# -- time -------------------------------------------------------------------------------------


def event_seconds(cupy: Any, work: Callable[[], Any], times: int = 20) -> float:
    """Median seconds of the device's work, by events around each call."""
    for _ in range(3):
        work()
    found = []
    for _ in range(times):
        begin, end = cupy.cuda.Event(), cupy.cuda.Event()
        begin.record()
        work()
        end.record()
        end.synchronize()
        found.append(cupy.cuda.get_elapsed_time(begin, end) / 1e3)
    return statistics.median(found)


def rate(step: Callable[[], Any], wait: Callable[[], None], steps: int) -> float:
    """Steps a second: the wall's time of `steps` of them, the device's work included."""
    wait()
    began = time.perf_counter()
    for _ in range(steps):
        step()
    wait()
    return steps / (time.perf_counter() - began)


# -- ceilings ---------------------------------------------------------------------------------


def copy_bandwidth(cupy: Any, size_bytes: int = 2 << 30) -> float:
    """Bytes a second, read and written, of a large copy on the device."""
    source = cupy.random.random(size_bytes // 8)
    to = cupy.empty_like(source)
    return 2 * source.nbytes / event_seconds(cupy, lambda: cupy.copyto(to, source))


def bf16_peak(cupy: Any, torch: Any, size: int = 8192) -> float:
    """Floating-point operations a second of a large bfloat16 product by torch, on random
    numbers: products of zeros are faster than any real one."""
    a, b = (torch.randn(size, size, device="cuda", dtype=torch.bfloat16) for _ in "ab")
    out = torch.empty_like(a)
    return 2 * size**3 / event_seconds(cupy, lambda: torch.mm(a, b, out=out))


# -- results ----------------------------------------------------------------------------------


def measured(
    job: str, measure: str, value: float, goal: float | None = None, **more: Any
) -> dict[str, Any]:
    """A row of results."""
    met = None if goal is None else bool(value >= goal)
    return {"job": job, "measure": measure, "value": value, "goal": goal, "met": met, **more}


def results_folder() -> Path:
    """Where results are written."""
    return Path(os.environ.get(FOLDER) or RESULTS)


def write(name: str, rows: list[dict[str, Any]], machine: dict[str, Any]) -> Path:
    """Write ``gpu_<name>.json`` and print its rows."""
    path = results_folder() / f"gpu_{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    command = (
        f"python {' '.join(Path(a).name if i == 0 else a for i, a in enumerate(sys.argv))}"
    )
    path.write_text(
        json.dumps({"machine": machine, "command": command, "rows": rows}, indent=1) + "\n"
    )
    print(f"\n{machine['device']}, driver {machine['driver']}: {path.name}")
    for row in rows:
        print("  " + ", ".join(f"{k} {_shown(v)}" for k, v in row.items()), flush=True)
    return path


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
