"""The comparison harness: its table, its digests, and one job run by Headrace alone."""

import importlib
import importlib.util
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr

VERSUS = Path(hr.__file__).parent / "benches" / "versus"


def load(name, monkeypatch):
    """A module of the harness, which runs as a script with its folder on the path."""
    monkeypatch.syspath_prepend(str(VERSUS))
    spec = importlib.util.spec_from_file_location(f"versus_{name}", VERSUS / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, spec.name, module)
    spec.loader.exec_module(module)
    return module


def result(**changes):
    machine = {"cores": 2, "cpu": "a CPU", "python": "3.11", "versions": {"headrace": "0.1.0"}}
    return {
        "title": "`a job`",
        "target": 40,
        "rates": {"headrace": 2.5e6, "tensorflow": 31_250.0},
        "ratio": {"median": 80.0, "min": 4.06, "max": 1234.0},
        "rounds": [{}] * 5,
        "machine": machine,
    } | changes


def test_a_row_holds_rates_ratio_range_and_aim(monkeypatch):
    table = load("table", monkeypatch)
    row = table.render([result()]).splitlines()[2]
    assert row == "| `a job` | 2.5M | 31.2k | 80x (4.1x to 1,234x) | 40x |"


def test_the_table_goes_between_its_marks_and_again(monkeypatch, tmp_path):
    table = load("table", monkeypatch)
    readme = tmp_path / "README.md"
    readme.write_text(f"before\n{table.BEGIN}\nold\n{table.END}\nafter\n")
    for content in ("first", "second"):
        table.insert(readme, content)
        assert readme.read_text() == f"before\n{table.BEGIN}\n{content}\n{table.END}\nafter\n"
    readme.write_text("no marks")
    with pytest.raises(ValueError, match="must hold the marks"):
        table.insert(readme, "x")


def test_the_readme_has_the_marks(monkeypatch):
    table = load("table", monkeypatch)
    text = (Path(hr.__file__).parent / "README.md").read_text()
    assert text.count(table.BEGIN) == text.count(table.END) == 1


def test_ratios_are_taken_round_by_round(monkeypatch):
    duel = load("duel", monkeypatch)
    rounds = [{"headrace": 10.0, "tensorflow": 5.0}, {"headrace": 30.0, "tensorflow": 10.0}]
    assert duel.summary(rounds) == {
        "rates": {"headrace": 20.0, "tensorflow": 7.5},
        "ratio": {"median": 2.5, "min": 2.0, "max": 3.0},
    }
    assert "ratio" not in duel.summary([{"headrace": 1.0}])


def test_digests_see_order_dtype_and_shape_but_rows_only_themselves(monkeypatch):
    digest = load("jobs", monkeypatch).digest
    a, b = np.arange(6).reshape(3, 2), np.arange(3.0)
    batches = [(a, b)]
    turned = [(a[::-1], b[::-1])]
    split = [(a[:1], b[:1]), (a[1:], b[1:])]
    assert digest(batches, "batches") == digest(batches, "batches")
    for other in (turned, split, [(a.astype("int32"), b)], [(a.reshape(2, 3), b)]):
        assert digest(batches, "batches") != digest(other, "batches")
    assert digest(batches, "rows") == digest(turned, "rows") == digest(split, "rows")
    assert digest(batches, "rows") != digest([(a + 1, b)], "rows")


@pytest.mark.processes
def test_a_job_runs_on_one_side(tmp_path):
    command = [sys.executable, str(VERSUS), "--only", "headrace", "--job", "range-map"]
    command += ["--rounds", "1", "--seconds", "0.01", "--data", str(tmp_path)]
    done = subprocess.run(command, cwd="/", capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "range-map" in done.stdout and "records/s" in done.stdout


@pytest.fixture
def few(monkeypatch, tmp_path):
    """The modules of jobs and pipelines over files of 400 records each, and their folder."""
    monkeypatch.syspath_prepend(str(VERSUS))
    before = set(sys.modules)
    records = importlib.import_module("records")
    monkeypatch.setattr(records, "RECORDS", 400)
    records.write(hr, tmp_path)
    yield importlib.import_module("jobs"), importlib.import_module("pipelines"), tmp_path
    for name in set(sys.modules) - before:
        if str(VERSUS) in str(getattr(sys.modules[name], "__file__", None)):
            del sys.modules[name]


@pytest.mark.parametrize(
    ("written", "best"),
    [
        ("images_as_written", "images_best"),
        ("images_shuffled", "images_shuffled_best"),
        ("numbers_as_written", "numbers_best"),
        ("numbers_as_written_1024", "numbers_best_1024"),
    ],
)
def test_both_formulations_give_the_same_rows(few, written, best):
    jobs, pipelines, folder = few
    digests = {
        jobs.digest(getattr(pipelines, name)(hr, folder).as_numpy_iterator(), "rows")
        for name in (written, best)
    }
    assert len(digests) == 1


def test_the_features_used_are_those_of_the_full_parse(few):
    _, pipelines, folder = few
    full = list(pipelines.features_full(hr, folder).as_numpy_iterator())
    used = list(pipelines.features_used(hr, folder).as_numpy_iterator())
    assert [set(batch) for batch in used] == [{"i3", "i17", "price"}] * len(full)
    for a, b in zip(used, full, strict=True):
        for key in a:
            np.testing.assert_array_equal(a[key], b[key])


@pytest.mark.peers
@pytest.mark.parametrize("batched", [False, True])
def test_grain_makes_the_same_batches(few, batched):
    pytest.importorskip("grain")
    jobs, pipelines, folder = few
    grain_peer = importlib.import_module("grain_peer")
    ours = jobs.digest(pipelines.images_as_written(hr, folder).as_numpy_iterator(), "batches")
    theirs = grain_peer.pipeline(folder, workers=0, threads=2, batched=batched)
    assert jobs.digest(theirs, "batches") == ours
