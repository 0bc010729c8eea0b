"""Jobs of several MPI processes for tests: scripts run by `mpiexec`, bounded in time."""

import functools
import os
import shutil
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

HEADER = """
import json, os, sys, time
import numpy as np
import headrace as hr
from headrace import keras
"""


PROBE = "from mpi4py import MPI; assert MPI.COMM_WORLD.allreduce(1) == 2"


def needs_mpi():
    """Skip where MPI is not installed, or where the machine forbids what it needs."""
    pytest.importorskip("mpi4py")
    if launcher() is None:
        pytest.skip("no mpiexec")
    why_not = _why_not()
    if why_not is not None:
        pytest.skip(f"MPI does not start on this machine: {why_not}")


@functools.cache
def _why_not(limit_s=60):
    command = [launcher(), "-n", "2", sys.executable, "-c", PROBE]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            errors = process.communicate(timeout=limit_s)[1]
        except subprocess.TimeoutExpired:
            process.terminate()
            return f"no answer within {limit_s} s"
    return errors.strip()[-300:] or "it failed" if process.returncode else None


def launcher():
    """The path of mpiexec: the one beside this Python, of the mpich wheel."""
    beside = Path(sys.executable).with_name("mpiexec")
    return str(beside) if beside.exists() else shutil.which("mpiexec")


def run_job(folder, count, script, *arguments, limit_s=140, env=None):
    """What a script printed, run by `count` processes.

    Returns:
        code: exit status; out, err: texts; seconds: how long it took.
    """
    path = Path(folder) / f"job_{time.monotonic_ns()}.py"
    path.write_text(HEADER + textwrap.dedent(script))
    began = time.monotonic()
    process = subprocess.Popen(
        [launcher(), "-n", str(count), sys.executable, str(path), *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        cwd=folder,
    )
    try:
        out, err = process.communicate(timeout=limit_s)
    except subprocess.TimeoutExpired:
        process.terminate()  # mpiexec ends its processes
        out, err = process.communicate(timeout=20)
        pytest.fail(f"the job hung for {limit_s} s\n{out}\n{err}")
    seconds = time.monotonic() - began
    return SimpleNamespace(code=process.returncode, out=out, err=err, seconds=seconds)
