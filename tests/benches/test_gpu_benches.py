"""The benches of a GPU: without one they say so; their own logic, on small sizes and with what
stands for the device; the run of all of them."""

import json
import subprocess
import sys
import types
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.ops.cuda import device, nvrtc

_TESTS = Path(__file__).parent.parent
sys.path[:0] = [str(_TESTS.parent / "benches"), str(_TESTS / "ops" / "cuda")]

import gpu_all  # noqa: E402
import gpu_device  # noqa: E402
import gpu_fused_chains  # noqa: E402
import gpu_train_steps  # noqa: E402
from gpu_networks import NETWORKS  # noqa: E402

PARTS = [p for p in gpu_all.BENCHES if Path(p.arguments[0]).exists()]


@pytest.mark.processes
@pytest.mark.skipif(bool(hr.config.list_physical_devices("GPU")), reason="there is a GPU")
@pytest.mark.parametrize("part", PARTS, ids=lambda p: p.name)
def test_without_a_device_they_refuse(part):
    script = Path(part.arguments[0]).name
    done = subprocess.run(
        [sys.executable, *part.arguments], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 2, done.stderr
    assert done.stderr.startswith(f"{script} needs a GPU: CuPy ")


# -- what they share --------------------------------------------------------------------------


class Clock:
    """A device on which every call takes 2 ms."""

    now = 0.0

    @classmethod
    def cupy(cls):
        class Event:
            def record(self):
                self.at = cls.now

            def synchronize(self):
                cls.now += 0.0

        def copyto(to, source):
            cls.now += 2e-3

        numpy = types.SimpleNamespace(
            random=np.random, empty_like=np.empty_like, copyto=copyto,
            cuda=types.SimpleNamespace(
                Event=Event, get_elapsed_time=lambda a, b: 1e3 * (b.at - a.at)
            ),
        )  # fmt: skip
        return numpy


def test_ceilings():
    cupy = Clock.cupy()
    assert gpu_device.copy_bandwidth(cupy, 8000) == pytest.approx(2 * 8000 / 2e-3)

    class Torch:
        bfloat16 = "bfloat16"

        @staticmethod
        def randn(*size, device, dtype):
            assert (device, dtype) == ("cuda", "bfloat16")
            return np.zeros(size)

        empty_like = staticmethod(np.empty_like)

        @staticmethod
        def mm(a, b, out):
            Clock.now += 4e-3

    assert gpu_device.bf16_peak(cupy, Torch, 16) == pytest.approx(2 * 16**3 / 4e-3)


def test_rows_are_written(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv(gpu_device.FOLDER, str(tmp_path / "in" / "there"))
    monkeypatch.setattr(sys, "argv", ["/somewhere/gpu_x.py", "--job", "a"])
    row = gpu_device.measured("a", "times torch", 2.5, 2.0, batch=3)
    machine = {"device": "A GPU", "driver": 13}
    path = gpu_device.write("x", [row], machine)
    assert json.loads(path.read_text()) == {
        "machine": machine, "command": "python gpu_x.py --job a", "rows": [row]
    }  # fmt: skip
    assert path == tmp_path / "in" / "there" / "gpu_x.json"
    assert "value 2.5, goal 2, met True, batch 3" in capsys.readouterr().out


# -- steps ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlp", "cnn", "lstm"])
def test_a_step_lowers_the_loss(name):
    network = NETWORKS[name]
    x, y = gpu_train_steps.batch_of(network, 8)
    assert x.dtype == np.float32 and y.max() < network.classes
    before = hr.keras.mixed_precision.global_policy()
    try:
        steps, told = gpu_train_steps.prepared(
            {"headrace": lambda: gpu_train_steps.headrace_step(network, x, y)}, 6
        )
    finally:
        hr.keras.mixed_precision.set_global_policy(before)
    first, last = told["headrace losses"]
    assert last < first
    assert "calls traced" in steps["headrace"].told()
    assert gpu_train_steps._replayed(steps["headrace"]) is None  # there is no GPU


def test_a_side_that_fails_is_told_and_the_others_are_timed():
    losses = iter([3.0, 2.0, float("nan")])

    def no_torch():
        raise ImportError("no torch")

    steps, told = gpu_train_steps.prepared(
        {"headrace": lambda: lambda: 1.0, "torch": no_torch,
         "torch.compile": lambda: lambda: next(losses)}, 3,
    )  # fmt: skip
    assert list(steps) == ["headrace"]
    assert told["torch failed"] == "ImportError: no torch"
    assert "nan" in told["torch.compile failed"]
    found = gpu_train_steps.in_turns(steps, lambda: None, 3, 2)
    assert list(map(len, found.values())) == [3]


def test_ratios_are_taken_by_round():
    network = NETWORKS["products"]
    found = {"headrace": [10.0, 8.0, 6.0], "torch": [5.0, 8.0, 2.0]}
    peak = network.operations * 4 * 8.0 / 0.5
    rows = gpu_train_steps.rows_for("products", network, 4, found, {"told": "so"}, peak)
    assert [r["value"] for r in rows] == pytest.approx([2.0, 0.5])
    assert rows[0]["range"] == [1.0, 3.0] and rows[0]["told"] == "so"
    assert rows[0]["headrace examples/s"] == 32.0
    assert rows[1]["goal"] == 0.7 and rows[1]["met"] is False
    (alone,) = gpu_train_steps.rows_for("mlp", NETWORKS["mlp"], 4, {"torch": [1.0]}, {})
    assert "failed" in alone


def test_networks_have_the_sizes_of_their_peers():
    def trained(name):
        model = NETWORKS[name].keras(hr.keras)
        return sum(int(np.prod(v.shape)) for v in model.trainable_variables)

    # ResNet-50 as torchvision has it, with biases of no convolution.
    assert trained("resnet50") == 25_557_032
    # 12 x (attention, two dense layers, two norms) and the classes.
    layer = 4 * (768 * 768 + 768) + 2 * 768 * 3072 + 3072 + 768 + 4 * 768
    assert trained("transformer") == 12 * layer + 768 * 1000 + 1000


def test_every_goal_of_a_step_stands_there():
    assert {n: net.aims for n, net in NETWORKS.items()} == {
        "mlp": (2.0, 1.0), "cnn": (2.0, 1.0), "lstm": (2.0, 1.0), "products": (None, None),
        "resnet50": (None, 0.9), "transformer": (None, 0.9),
    }  # fmt: skip
    assert NETWORKS["products"].share == 0.7 and gpu_fused_chains.AIM == 0.85
    assert NETWORKS["resnet50"].batch == 256 and NETWORKS["resnet50"].bf16
    assert NETWORKS["transformer"].shape == (512, 768) and NETWORKS["transformer"].bf16


# -- chains -----------------------------------------------------------------------------------


@pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
@pytest.mark.parametrize("name", gpu_fused_chains.chains(hr))
def test_a_chain_is_one_kernel_that_is_right(name):
    from ptx_device import PtxDevice

    fn, letters = gpu_fused_chains.chains(hr)[name]
    rng = np.random.default_rng(0)
    arrays = [rng.standard_normal((6, 16) if c == "x" else (16,), np.float32) for c in letters]
    program, given = gpu_fused_chains.fused(hr, np, fn, arrays)
    with device.use(PtxDevice()):
        out, error = gpu_fused_chains.check(np, program, given)
    want = fn(*map(hr.constant, arrays)).numpy()
    np.testing.assert_allclose(out[0], want, rtol=1e-4, atol=1e-4)
    assert error < gpu_fused_chains.TOLERANCE


def test_chains_have_their_peers():
    torch = types.SimpleNamespace(nn=types.SimpleNamespace(functional=None))
    assert set(gpu_fused_chains.torch_chains(torch)) == set(gpu_fused_chains.chains(hr))


# -- all of them ------------------------------------------------------------------------------

WRITES = """
import os, json, pathlib
import headrace
folder = pathlib.Path(os.environ["HEADRACE_BENCH_RESULTS"])
folder.mkdir(exist_ok=True)
row = {"job": "a", "measure": "share", "value": 0.75, "goal": 0.7, "met": True}
content = {"machine": {"device": "A GPU", "driver": 1, "versions": {"x": "2"}},
           "command": "python gpu_a.py", "rows": [row, {"job": "b", "failed": "why | not"}]}
(folder / "gpu_a.json").write_text(json.dumps(content))
(folder / "gpu_a.trace.json").write_text("[]")
print("done")
"""


@pytest.mark.processes
def test_a_part_that_fails_or_hangs_does_not_stop_the_others(tmp_path):
    child = "import os, time; os.fork(); time.sleep(600)"
    parts = [
        gpu_all.Part("breaks", ("-c", "raise ValueError('this')"), 60),
        gpu_all.Part("hangs", ("-c", child), 1),
        gpu_all.Part("skips", ("-c", "print('3 skipped')"), 60, says=" passed"),
        gpu_all.Part("writes", ("-c", WRITES), 60, says="done"),
    ]
    found = gpu_all.run(parts, tmp_path, 500)
    states = {name: p["status"] for name, p in found["parts"].items()}
    assert states == {"breaks": 1, "hangs": None, "skips": 5, "writes": 0}
    assert found["parts"]["breaks"]["last"] == "ValueError: this"
    log = (tmp_path / "log.txt").read_text()
    assert "==== hangs" in log and log.rstrip().endswith("done")
    assert json.loads((tmp_path / "results.json").read_text()) == found
    table = (tmp_path / "table.md").read_text()
    assert "| a | share | 0.75 | 0.7 | yes |" in table
    assert "| b | | failed: why / not | | |" in table and "A GPU, driver 1; x 2" in table
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "gpu_a.trace.json", "log.txt", "results.json", "table.md"
    ]  # fmt: skip
    # The figures come home.
    home = tmp_path / "home"
    home.mkdir()
    assert gpu_all.take(tmp_path / "results.json", home) == ["gpu_a"]
    assert gpu_all.table(gpu_all.known(home)) == table


def test_what_there_is_no_time_for_is_not_begun(tmp_path):
    part = gpu_all.Part("late", ("-c", "raise SystemExit(3)"), 60)
    found = gpu_all.run([part], tmp_path, 1)
    assert found["parts"]["late"] == {"status": None, "seconds": 0, "last": "no time was left"}


def test_the_device_suite_is_asked_for():
    suite, kernels, sanitizer = gpu_all.tests(4)
    at = suite.arguments.index("-m")
    assert suite.arguments[at + 1] == "gpu" and "tests/gpu" in suite.arguments
    (left_out,) = set(sanitizer.arguments) & set(suite.arguments[at:]) - {"-m", "gpu"}
    assert (gpu_all.ROOT / left_out).exists()
    assert dict(kernels.environment) == {"HEADRACE_KERNELS_ON_GPU": "1"}
    assert "-n" in suite.arguments and "-n" not in gpu_all.tests(1)[0].arguments


def test_without_figures_the_table_says_so(capsys):
    assert gpu_all.table({}) == "No figure of a GPU exists yet.\n"
    assert gpu_all.main(["--table"]) == 0
    assert capsys.readouterr().out == gpu_all.table(gpu_all.known())
