"""Machines without a GPU: nothing is loaded or printed, errors say what is missing; the table
of primitives that do not run on a GPU."""

import subprocess
import sys

import pytest

import headrace as hr
from headrace.ops import device_backend, device_rules, placement
from headrace.ops.primitive import REGISTRY

PROGRAM = """
import sys
import headrace as hr
assert "cupy" not in sys.modules
with hr.device("cpu:0"):
    x = hr.constant([1.0, 2.0])
with hr.device("gpu:0"):
    y = x + 1
assert y.numpy().tolist() == [2.0, 3.0] and y.device.endswith("CPU:0")
assert hr.config.list_physical_devices("GPU") == []
assert not hr.test.is_gpu_available() and hr.test.gpu_device_name() == ""
hr.config.set_soft_device_placement(False)
for ask in (lambda: hr.device("gpu:0").__enter__(), lambda: x.gpu()):
    try:
        ask()
    except hr.errors.InvalidArgumentError as error:
        assert WHY in str(error), error
    else:
        raise AssertionError("no error")
"""
FAKES = {
    "no driver": ("class ndarray: pass\nclass cuda: is_available = staticmethod(lambda: False)",
                  "finds no GPU"),
    "broken": ("raise ImportError('libcudart.so.13 is missing')", "libcudart.so.13 is missing"),
}  # fmt: skip


@pytest.mark.processes
@pytest.mark.parametrize("fake", [*FAKES, "not installed"])
def test_it_runs_on_the_cpu_and_says_why(tmp_path, fake):
    text, why = FAKES.get(fake, ("", "headrace[cuda13]"))
    if text:
        (tmp_path / "cupy.py").write_text(text)
    elif device_backend.installed():
        pytest.skip("CuPy is installed here")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); WHY = {why!r}\n{PROGRAM}"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd="/", capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_table_names_primitives_that_there_are():
    hr.data, hr.io, hr.keras, hr.distribute, hr.image, hr.signal, hr.linalg, hr.lookup, hr.sets
    hr.raw_ops.AddV2
    for table in (device_rules.HERE, device_rules.MADE, device_rules.HOST):
        assert all(table)  # a reason each
    known = set(REGISTRY)
    named = {n for t in (device_rules.HERE, device_rules.MADE, device_rules.HOST)
             for names in t.values() for n in names.split()}  # fmt: skip
    wrong = {n for n in named - known if not hasattr(hr.raw_ops, n)}
    assert not wrong
    assert set(device_rules.HOST_INPUTS) <= known


def test_most_primitives_run_on_the_device():
    kinds = [device_rules.rule_of(name).kind for name in REGISTRY]
    assert kinds.count("device") > len(kinds) / 2
    rule = device_rules.rule_of("Reshape")
    assert rule.host_inputs(["tensor", "shape"]) == {1}
    assert placement._plan(REGISTRY["Reshape"]).host == {1}
