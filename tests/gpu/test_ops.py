"""Every op on a device gives what it gives on the CPU: values, gradients, traced."""

import sys
from pathlib import Path

import numpy as np
import pytest
from device_checks import all_cases, compare, outcome, traced_outcome

import headrace as hr

sys.path.insert(0, str(Path(__file__).parent))
import more_cases

CASES = all_cases() + [("more", case) for case in more_cases.CASES]
MODULES = sorted({module for module, _ in CASES})


@pytest.fixture(scope="module")
def wanted(gpus):
    """What the CPU gives."""
    with hr.device("cpu:0"):
        return {(module, case.id): outcome(case) for module, case in CASES}


def failures(module, check):
    found = []
    for own, case in CASES:
        if own == module:
            try:
                check(case)
            except Exception as error:
                found.append(f"{case.id}: {type(error).__name__}: {error}")
    return "\n".join(found)


@pytest.mark.parametrize("placed", ["by-default", "on-the-last-gpu"])
@pytest.mark.parametrize("module", MODULES)
def test_values_and_gradients_are_the_cpus(gpus, wanted, module, placed):
    scope = f"gpu:{gpus.count - 1}" if placed == "on-the-last-gpu" else None

    def check(case):
        with hr.device(scope):
            compare(case, wanted[module, case.id], outcome(case), gpus.tolerances)

    assert not failures(module, check)


@pytest.mark.parametrize("module", MODULES)
def test_traced_ops_give_the_same(gpus, wanted, module):
    def check(case):
        compare(case, wanted[module, case.id][:1], (traced_outcome(case),), gpus.tolerances)

    assert not failures(module, check)


@pytest.mark.parametrize("module", MODULES)
def test_float32_is_the_cpus_within_the_tolerance(gpus, module):
    def check(case):
        if any(np.asarray(a).dtype == np.float64 for a in case.args):
            with hr.device("cpu:0"):
                want = outcome(case, "float32")
            compare(case, want, outcome(case, "float32"), gpus.tolerances)

    assert not failures(module, check)
