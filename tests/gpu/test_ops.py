"""Every op on a device gives what it gives on the CPU: values, gradients to second order,
traced.  Every primitive that runs on devices is called by a case, or its reason is told."""

import importlib
import sys
from pathlib import Path

import numpy as np
import pytest
from device_checks import all_cases, compare, doubled, outcome, second_outcome, traced_outcome

import headrace as hr
from headrace.ops.array_module import is_on_device
from headrace.ops.context import placing
from headrace.ops.device_rules import rule_of
from headrace.ops.primitive import REGISTRY

sys.path.insert(0, str(Path(__file__).parent))
import more_cases
import raw_cases

CASES = all_cases()
CASES += [("more", case) for case in more_cases.CASES]
CASES += [("raw", case) for case in raw_cases.CASES]
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
def test_second_gradients_are_the_cpus(gpus, module):
    # Sums of sums, one more power of the arguments: ten times the tolerance of first ones.
    wide = {name: 10 * t for name, t in gpus.tolerances.items()}

    def check(case):
        with hr.device("cpu:0"):
            want = second_outcome(case)
        compare(case, ([], [], want), ([], [], second_outcome(case)), wide)

    assert not failures(module, check)


@pytest.mark.parametrize("module", MODULES)
def test_float32_is_the_cpus_within_the_tolerance(gpus, module):
    def check(case):
        if any(np.asarray(a).dtype == np.float64 for a in case.args):
            with hr.device("cpu:0"):
                want = outcome(case, "float32")
            compare(case, want, outcome(case, "float32"), gpus.tolerances)

    assert not failures(module, check)


def on_devices():
    """Primitives whose array form takes a device's arrays, by the table of rules."""
    # All rooms have to be asked for something, or their primitives are not declared.
    hr.data, hr.io, hr.keras, hr.distribute, hr.image, hr.signal, hr.linalg, hr.lookup, hr.sets
    hr.raw_ops.AddV2
    importlib.import_module("headrace.distribute.collective_ops")
    # Other tests of the process may have declared primitives of their own.
    own = {n for n, p in REGISTRY.items() if p.shape.__module__.startswith("headrace.")}
    return {name for name in own if rule_of(name).kind == "device"}


def test_every_primitive_with_a_form_for_devices_has_a_case(monkeypatch):
    called = set()
    place = placing.run

    def noted(primitive, arrays, attrs, *more):
        out = place(primitive, arrays, attrs, *more)
        results = out if isinstance(out, tuple) else (out,)
        if any(is_on_device(r) for r in (*arrays, *results)):
            called.add(primitive.name)
        return out

    monkeypatch.setattr(placing, "run", noted)
    own = {name for names in raw_cases.NO_CASE.values() for name in names.split()}
    with doubled(), hr.device("gpu:0"):
        for _, case in CASES:
            outcome(case)
            traced_outcome(case)
        for _, case in CASES:
            if own | called >= on_devices():
                break
            second_outcome(case)
    wanted = on_devices()
    assert len(wanted) > 370
    # A new primitive needs a case (`raw_cases`), or stands in `NO_CASE` with a reason.
    assert sorted(wanted - called - own) == []
    assert sorted(own & called) == [], "named as having no case, and called by one"
    assert sorted(own - wanted) == [], "named without being a primitive for devices"
