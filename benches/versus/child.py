"""One side of a comparison: a process that imports one library and does as it is told.

`python child.py headrace DATA` reads one command a line, as JSON, and answers each with one
line.  Whatever the libraries print goes to stderr.
"""

from __future__ import annotations

import importlib
import json
import os
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

START = time.perf_counter()
WARM_S = 1.0


def peak_mib() -> float:
    """The most memory this process has held since `reset_peak`, MiB."""
    try:
        status = Path("/proc/self/status").read_text()
        return int(status.split("VmHWM:")[1].split()[0]) / 1024
    except (OSError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def reset_peak() -> None:
    """Forgets the peak of imports and set-up, where the system can."""
    try:
        Path("/proc/self/clear_refs").write_text("5")
    except OSError:
        pass


class Side:
    """The commands; each returns what JSON can hold."""

    def __init__(self, lib: Any, data: Path) -> None:
        self.lib = lib
        self.data = data
        self.runs: dict[str, Callable[[], int]] = {}

    def write_records(self) -> None:
        """Makes the files that jobs read, where they are missing."""
        import records

        records.write(self.lib, self.data)

    def _job(self, name: str) -> Any:
        import jobs

        return jobs.JOBS[name]

    def prepare(self, job: str) -> None:
        """Builds a job and runs it for `WARM_S`, so that what is timed later is warm.

        Kernels may be compiled in the background meanwhile; between runs the process stands.
        """
        self.runs[job] = self._job(job).prepare(self.lib, self.data)
        self.run(job, WARM_S)

    def run(self, job: str, seconds: float) -> float:
        """The rate of a job, run over and over for at least `seconds`."""
        units, start = 0, time.perf_counter()
        while True:
            units += self.runs[job]()
            elapsed = time.perf_counter() - start
            if elapsed >= seconds:
                return units / elapsed

    def drop(self, job: str) -> None:
        """Frees what a job holds."""
        del self.runs[job]

    def digest(self, job: str) -> str | None:
        """A hash of what the job's pipeline gives."""
        import jobs

        spec = self._job(job)
        if spec.same is None:
            return None
        return jobs.digest(spec.dataset(self.lib, self.data).as_numpy_iterator(), spec.same)

    def memory(self, job: str) -> dict[str, float]:
        """Peak MiB of one pass over the pipeline, or of a run of a job without one: in all, and
        above what imports (and the preparation of such a job) left."""
        spec = self._job(job)
        if spec.pipeline is None:
            run = spec.prepare(self.lib, self.data)
        else:
            dataset = spec.dataset(self.lib, self.data)

            def run() -> None:
                for _ in dataset:
                    pass

        reset_peak()
        before = peak_mib()
        run()
        return {"peak_mib": peak_mib(), "grown_mib": peak_mib() - before}

    def first_batch(self, job: str) -> float:
        """Seconds from the interpreter's first line of this file to the first batch in hand."""
        next(iter(self._job(job).dataset(self.lib, self.data)))
        return time.perf_counter() - START

    def version(self) -> str:
        """The library's version."""
        return self.lib.__version__


def main() -> None:
    library, data = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    side = Side(importlib.import_module(library), Path(data))
    for line in sys.stdin:
        name, arguments = json.loads(line)
        try:
            answer = {"value": getattr(side, name)(**arguments)}
        except Exception as error:
            import traceback

            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"}
        print(json.dumps(answer), file=answers)


if __name__ == "__main__":
    main()
