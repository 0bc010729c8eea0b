"""What tests of several processes share: a local Ray, and jobs of MPI processes."""

import contextlib
import importlib.util
import logging
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import pytest

# Test files are no package: helpers are loaded by their path.
_spec = importlib.util.spec_from_file_location(
    "headrace_mpi_jobs", Path(__file__).with_name("mpi_jobs.py")
)
jobs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jobs)


@pytest.fixture
def run_job(tmp_path):
    """Runs a script by so many MPI processes: `run(count, script, *arguments)`."""
    jobs.needs_mpi()

    def run(count, script, *arguments, **kwargs):
        return jobs.run_job(tmp_path, count, script, *arguments, **kwargs)

    return run


_PROBE = """
import ray
ray.init(num_cpus=1, include_dashboard=False, log_to_driver=False, object_store_memory=80 << 20)
assert ray.get(ray.remote(lambda: 7).remote()) == 7
ray.shutdown()
"""


def _why_not(program, limit_s=60):
    """Why `program` cannot run on this machine (some forbid what it needs), or None."""
    with subprocess.Popen(
        [sys.executable, "-c", program],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            errors = process.communicate(timeout=limit_s)[1]
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            return f"no answer within {limit_s} s"
    return errors.strip()[-300:] if process.returncode else None


@pytest.fixture(scope="session")
def local_ray():
    """The module `ray`, connected to a Ray of two cores that ends with the tests."""
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ["RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO"] = "0"
    os.environ["RAY_IGNORE_UNHANDLED_ERRORS"] = "1"  # of calls in flight when actors are killed
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        ray = pytest.importorskip("ray", reason="needs the extra `ray`")
        why_not = _why_not(_PROBE)
        if why_not is not None:
            pytest.skip(f"Ray does not start on this machine: {why_not}")
        ray.init("local", num_cpus=2, include_dashboard=False, log_to_driver=False,
                 namespace="headrace", logging_level=logging.CRITICAL,
                 object_store_memory=512 << 20)  # fmt: skip
    yield ray
    ray.shutdown()
