"""Headrace's strategies against TensorFlow's own, with two CPU devices: the same losses,
weights, values and kinds of errors.  TensorFlow runs `strategy_jobs.py` in its own process.
"""

import json
import os
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr

JOBS = runpy.run_path(str(Path(__file__).with_name("strategy_jobs.py")))["JOBS"]

pytestmark = [pytest.mark.peers, pytest.mark.timeout(1000)]

# Where Headrace is not TensorFlow: what TensorFlow raises, or what it does instead.
DIFFERENT = {
    "a model made outside": "AssertionError: TensorFlow gives up in its variable's class",
    "assigned by replicas without aggregation": "no error: replicas then disagree; its "
    "documentation promises the ValueError",
    "more devices than there are": "no error until something runs there",
    "a device twice": "AssertionError",
    "no devices": "no error: it takes the devices that there are",
}


@pytest.fixture(scope="module")
def theirs(tf):
    """What TensorFlow makes of each job."""
    run = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("strategy_jobs.py"))],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return json.loads(run.stdout)


def ours(name):
    strategy = hr.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"])
    return json.loads(json.dumps(JOBS[name](hr, strategy)))


def compare(found, expected, where, tolerance):
    if isinstance(expected, dict):
        assert found.keys() == expected.keys(), where
        for key in expected:
            compare(found[key], expected[key], f"{where}/{key}", tolerance)
    elif isinstance(expected, list):
        assert len(found) == len(expected), where
        for k, (a, b) in enumerate(zip(found, expected, strict=True)):
            compare(a, b, f"{where}[{k}]", tolerance)
    else:
        np.testing.assert_allclose(found, expected, rtol=tolerance, atol=tolerance,
                                   err_msg=where)  # fmt: skip


@pytest.mark.parametrize(
    ("name", "tolerance"),
    [("custom_loop", 1e-4), ("keras_fit", 1e-4), ("averages", 1e-5), ("values", 1e-6),
     ("variables", 1e-6), ("datasets", 0)],
)  # fmt: skip
def test_results_are_tensorflows(theirs, name, tolerance):
    compare(ours(name), theirs[name], name, tolerance)


def test_errors_are_of_tensorflows_kinds(theirs):
    found = ours("errors")
    assert found.keys() == theirs["errors"].keys() and found.keys() >= DIFFERENT.keys()
    different = {
        name
        for name, kinds in theirs["errors"].items()
        if (kinds[0] not in found[name] if kinds else found[name])
    }
    assert different == set(DIFFERENT)
    assert all(found[name][0] in ("ValueError", "InvalidArgumentError") for name in DIFFERENT)


def test_one_replica_is_two(theirs):
    """And both are a plain script's."""
    one = JOBS["custom_loop"](hr, hr.distribute.OneDeviceStrategy("/cpu:0"))
    compare(one["losses"], theirs["custom_loop"]["losses"], "losses", 1e-4)
