"""compute-sanitizer on the own kernels: no access outside of arrays, no race in shared memory.

It comes with the CUDA toolkit, and as the wheel ``nvidia-cuda-sanitizer-api``.  The kernels'
tests run under it in a process of their own, on the GPU, every array in an allocation of
exactly its size (``HEADRACE_KERNELS_ON_GPU=exact``).
"""

import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

import headrace as hr
from headrace.ops import device_backend
from headrace.ops.cuda.nvrtc import wheel_folders

ROOT = Path(hr.__file__).resolve().parent
FAILED = 99
LIMIT_S = 400
CHECKS = {
    # All kernels but those of random programs, of which there is no end.
    "memcheck": ("tests/ops/cuda/test_kernels.py", "tests/ops/cuda/test_loops.py",
                 "-k", "not test_random_programs and not compile"),
    # Where threads share memory: reductions.
    "racecheck": ("tests/ops/cuda/test_kernels.py", "tests/ops/cuda/test_loops.py",
                  "-k", "cross_entropy or softmax or sums or layer"),
}  # fmt: skip


def sanitizer():
    """The path of compute-sanitizer, or None."""
    parts = ("cu13/bin", "cuda_sanitizer_api/bin")  # of the wheels for CUDA 13 and 12
    folders = [folder / part for folder in wheel_folders() for part in parts]
    folders.append(Path("/usr/local/cuda/bin"))
    places = os.pathsep.join([os.environ.get("PATH", ""), *map(str, folders)])
    return shutil.which("compute-sanitizer", path=places)


def check(executable, tool, arguments, limit_s=LIMIT_S):
    """Run pytest under the sanitizer.

    Raises:
        AssertionError: it found something, or a test failed, or none ran.
    """
    code = "import sys, pytest; sys.path.pop(0); sys.exit(pytest.main(sys.argv[1:]))"
    done = subprocess.run(
        [executable, "--tool", tool, "--error-exitcode", str(FAILED), "--print-limit", "20",
         sys.executable, "-c", code, "-q", "-x", "-W", "default", "-p", "no:cacheprovider",
         "--timeout", str(limit_s), *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=limit_s + 30, check=False,
        env={**os.environ, "HEADRACE_KERNELS_ON_GPU": "exact"},
    )  # fmt: skip
    text = done.stdout[-6000:] + done.stderr[-2000:]
    assert done.returncode != FAILED, f"{tool} found errors:\n{text}"
    assert done.returncode == 0, text
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed and int(passed[1]) >= 10, f"too few tests ran:\n{text}"


@pytest.mark.gpu
@pytest.mark.processes
@pytest.mark.timeout(LIMIT_S + 60)
@pytest.mark.parametrize("tool", CHECKS)
def test_the_own_kernels_are_clean(tool):
    backend, why_none = device_backend.load()
    if backend is None:
        pytest.skip(f"there is no GPU: {why_none}")
    executable = sanitizer()
    if executable is None:
        pytest.skip(
            "compute-sanitizer is not installed (pip install nvidia-cuda-sanitizer-api)"
        )
    check(executable, tool, CHECKS[tool])


# -- what is told, without a GPU --------------------------------------------------------------


def fake(folder, text):
    """An executable in the place of compute-sanitizer."""
    path = folder / "compute-sanitizer"
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return str(path)


@pytest.mark.processes
def test_what_it_finds_fails(tmp_path):
    check(fake(tmp_path, "echo '12 passed in 1s'"), "memcheck", [])
    for text, why in (
        ("echo '12 passed'; echo 'ERROR SUMMARY: 3 errors'; exit 99", "memcheck found errors"),
        ("echo '1 failed, 11 passed'; exit 1", "1 failed"),
        ("echo 'no tests ran'", "too few"),
    ):
        with pytest.raises(AssertionError, match=why):
            check(fake(tmp_path, text), "memcheck", [])


@pytest.mark.processes
def test_the_tests_it_runs_are_there(tmp_path):
    # What is behind the sanitizer's own arguments, which are six.
    counts = 'shift 6; "$@" --collect-only > out || exit 3; grep -c :: out | sed "s/$/ passed/"'
    check(fake(tmp_path, f"cd {ROOT}; {counts.replace('out', str(tmp_path / 'out'))}"),
          "racecheck", CHECKS["racecheck"])  # fmt: skip
