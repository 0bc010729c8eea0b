"""Everything that only a machine with a GPU can tell, in one run: ``python gpu_all.py``.

    python benches/gpu_all.py --tests --out FOLDER   # the device suite and every bench
    python benches/gpu_all.py --only suite mlp       # some of them
    python benches/gpu_all.py --take results.json    # made elsewhere, into benches/results
    python benches/gpu_all.py --table                # the table for docs/performance.md

Each part is a process of its own with a limit of time; one that fails or hangs is ended and
the others go on.  FOLDER holds ``results.json`` (all figures), ``log.txt`` (all output),
``table.md`` and timelines; they are written again after each part, for a run that is cut short.

The package need not be installed: the checkout is made importable as `headrace`.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from gpu_device import FOLDER, RESULTS

__all__ = ["BENCHES", "Part", "run", "run_part", "table", "take", "tests"]

BENCHES_FOLDER = Path(__file__).resolve().parent
ROOT = BENCHES_FOLDER.parent
_LEAST_S = 10  # less time left: a part is not begun
NOTHING = 5  # pytest's status where no test was run


class Part(NamedTuple):
    """Something to run.

    Attributes:
        name: for `--only` and the log.
        arguments: of Python.
        limit_s: it is ended then.
        environment: variables besides.
        says: what stands in its last line if it did anything.
    """

    name: str
    arguments: tuple[str, ...]
    limit_s: int
    environment: tuple[tuple[str, str], ...] = ()
    says: str = ""


def _bench(name: str, limit_s: int, script: str, *arguments: str) -> Part:
    return Part(name, (str(BENCHES_FOLDER / script), *arguments), limit_s)


def _steps(name: str, limit_s: int) -> Part:
    return _bench(name, limit_s, "gpu_train_steps.py", "--job", name, "--rounds", "5")


# What decides about a session's worth comes first.
BENCHES = [
    _steps("mlp", 60),
    _steps("cnn", 60),
    _steps("lstm", 60),
    _bench("fused_chains", 90, "gpu_fused_chains.py"),
    _bench("host_to_device", 45, "gpu_host_to_device.py"),
    _steps("products", 60),
    _steps("transformer", 120),
    _steps("resnet50", 150),
    _bench("input", 90, "gpu_input.py"),
    _bench("one_rank", 60, "gpu_one_rank.py"),
]


def _pytest(name: str, limit_s: int, *arguments: str, **environment: str) -> Part:
    # Warnings of other versions of NumPy and CuPy are no reason to fail there; a test of many
    # cases compiles many kernels.
    code = "import sys, pytest; sys.path.pop(0); sys.exit(pytest.main(sys.argv[1:]))"
    options = ("-q", "-rfE", "-W", "default", "--timeout", str(limit_s))
    arguments = ("-c", code, *options, "-p", "no:cacheprovider", *arguments)
    # Tests that are all skipped have told nothing.
    return Part(name, arguments, limit_s, tuple(environment.items()), " passed")


def marked() -> list[str]:
    """Where tests marked `gpu` stand: to collect all others, too, takes long, and they need
    packages that such a machine may not have."""
    found = [
        path.relative_to(ROOT).as_posix()
        for path in sorted((ROOT / "tests").rglob("test_*.py"))
        if path.parent.name != "gpu" and "mark.gpu" in path.read_text()
    ]
    return ["tests/gpu", *found]


def tests(workers: int) -> list[Part]:
    """The device suite: all tests marked `gpu`, those of the own kernels on the GPU, and these
    under compute-sanitizer."""
    several = ("-n", str(workers), "--dist", "worksteal") if workers > 1 else ()
    sanitizer = "tests/gpu/test_sanitizer.py"
    return [
        _pytest("suite", 240, *several, "-m", "gpu", "--deselect", sanitizer, *marked()),
        _pytest("kernels", 150, *several, "tests/ops/cuda", HEADRACE_KERNELS_ON_GPU="1"),
        _pytest("sanitizer", 240, *several, "-m", "gpu", sanitizer),
    ]


# -- running ----------------------------------------------------------------------------------


def importable(folder: Path) -> dict[str, str]:
    """The environment in which `headrace` is this checkout, by a link in `folder`."""
    site = folder / "site"
    site.mkdir(parents=True, exist_ok=True)
    link = site / "headrace"
    if not link.is_symlink():
        link.symlink_to(ROOT)
    paths = [str(site), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


def run_part(
    part: Part, limit_s: float, environment: dict[str, str], log: Any, cwd: Path = ROOT
) -> dict[str, Any]:
    """Run a part to its end or its limit: its status (None: it was ended; `NOTHING`: it has
    done nothing), seconds, last line.

    Args:
        part: what runs.
        limit_s: not longer than this, nor than its own limit.
        environment: of the process.
        log: a binary file that gets the output.
        cwd: where it runs.
    """
    limit_s = min(limit_s, part.limit_s)
    begun = log.tell()
    began = time.monotonic()
    process = subprocess.Popen(
        [sys.executable, *part.arguments], cwd=cwd, stdout=log, stderr=subprocess.STDOUT,
        env={**environment, **dict(part.environment)}, start_new_session=True,
    )  # fmt: skip
    try:
        status: int | None = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        _end(process)
    log.flush()
    log.seek(begun)
    lines = log.read().decode(errors="replace").strip().splitlines()
    last = lines[-1].strip() if lines else ""
    if status == 0 and part.says not in last:
        status = NOTHING
    seconds = round(time.monotonic() - began, 1)
    return {"status": status, "seconds": seconds, "last": last}


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a process and those that it started, which are a group of their own."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def told(part: dict[str, Any]) -> str:
    """A part's outcome in a word."""
    if part["status"] is None:
        return f"ended after {part['seconds']} s"
    return "ran" if part["status"] == 0 else f"failed ({part['status']})"


def run(parts: Sequence[Part], out: Path, budget_s: float) -> dict[str, Any]:
    """Run all parts, within `budget_s` seconds; what they gave, as in ``results.json``."""
    out.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    found: dict[str, Any] = {"parts": {}, "results": {}}
    with tempfile.TemporaryDirectory() as folder, open(out / "log.txt", "w+b") as log:
        made = Path(folder) / "results"
        environment = {**importable(Path(folder)), FOLDER: str(made)}
        for part in parts:
            log.seek(0, os.SEEK_END)
            log.write(f"\n==== {part.name}: {' '.join(part.arguments[-4:])}\n".encode())
            log.flush()
            left = budget_s - (time.monotonic() - begun)
            if left < _LEAST_S:
                outcome = {"status": None, "seconds": 0, "last": "no time was left"}
            else:
                outcome = run_part(part, left, environment, log)
            found["parts"][part.name] = outcome
            print(f"{part.name}: {told(outcome)}, {outcome['last'][:200]}", flush=True)
            found["results"] = known(made)
            for path in made.glob("*.trace.json"):
                shutil.copy(path, out)
            (out / "results.json").write_text(json.dumps(found, indent=1) + "\n")
            (out / "table.md").write_text(table(found["results"]))
    return found


# -- tables -----------------------------------------------------------------------------------


def table(results: dict[str, Any]) -> str:
    """The figures as a table in Markdown; one line per row that has a figure or failed."""
    if not results:
        return "No figure of a GPU exists yet.\n"
    machines = []
    lines = ["| job | measured | figure | goal | met |", "|---|---|---|---|---|"]
    for content in results.values():
        about = content["machine"]
        versions = ", ".join(f"{k} {v}" for k, v in about.get("versions", {}).items())
        text = f"{about['device']}, driver {about['driver']}; {versions}"
        if text not in machines:
            machines.append(text)
        for row in content["rows"]:
            lines.append(_line(row))
    commands = sorted({content["command"] for content in results.values()})
    notes = [f"- {m}" for m in machines] + [f"- `{c}`" for c in commands]
    return "\n".join([*lines, "", *notes, ""])


def _line(row: dict[str, Any]) -> str:
    job = str(row.get("job", row.get("mib", "")))
    if "failed" in row:
        return f"| {job} | | failed: {_plain(row['failed'])[:120]} | | |"
    if "measure" not in row:
        text = ", ".join(f"{k} {_figure(v)}" for k, v in row.items())
        return f"| {_plain(text)} | | | | |"
    goal = "" if row["goal"] is None else _figure(row["goal"])
    met = {None: "", True: "yes", False: "no"}[row["met"]]
    return f"| {_plain(job)} | {row['measure']} | {_figure(row['value'])} | {goal} | {met} |"


def _figure(value: Any) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _plain(text: Any) -> str:
    return str(text).replace("|", "/").replace("\n", " ")


def take(path: Path, folder: Path = RESULTS) -> list[str]:
    """Write the figures of a ``results.json`` as files of their own into `folder`; their
    names."""
    found = json.loads(path.read_text())["results"]
    for name, content in found.items():
        (folder / f"{name}.json").write_text(json.dumps(content, indent=1) + "\n")
    return sorted(found)


def known(folder: Path = RESULTS) -> dict[str, Any]:
    """The figures that `folder` holds."""
    paths = [p for p in sorted(folder.glob("gpu_*.json")) if not p.name.endswith(".trace.json")]
    return {path.stem: json.loads(path.read_text()) for path in paths}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run, or show, as the arguments say; 0 if every part ran to its end."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    names = [p.name for p in (*tests(1), *BENCHES)]
    parser.add_argument("--only", nargs="*", choices=names, help="of the tests and benches")
    parser.add_argument("--tests", action="store_true", help="the device suite, too")
    parser.add_argument("--workers", type=int, default=min(os.cpu_count() or 1, 8),
                        help="processes of the device suite")  # fmt: skip
    parser.add_argument("--out", type=Path, default=ROOT / "out" / "gpu")
    parser.add_argument("--budget", type=float, default=570, help="seconds for all of it")
    parser.add_argument("--take", type=Path, help="a results.json to put into benches/results")
    parser.add_argument("--table", "--readme", action="store_true", help="print the table")
    options = parser.parse_args(arguments)
    if options.take is not None:
        print("\n".join(take(options.take)))
        return 0
    if options.table:
        print(table(known()), end="")
        return 0
    # The suite says whether figures mean anything; what takes long, and tells least, is last.
    suite, *slow = tests(options.workers)
    parts = [suite, *BENCHES, *slow] if options.tests or options.only else BENCHES
    parts = [p for p in parts if options.only is None or p.name in options.only]
    found = run(parts, options.out, options.budget)
    print(f"\n{table(found['results'])}\nAll of it lies in {options.out}.")
    return int(any(p["status"] != 0 for p in found["parts"].values()))


if __name__ == "__main__":
    sys.exit(main())
