"""benches/fit_overhead.py runs, and what it measures is `fit` against its own compiled step."""

import importlib.util
from pathlib import Path

import headrace as hr

PATH = Path(hr.__file__).parent / "benches" / "fit_overhead.py"


def test_every_case_runs(tmp_path):
    spec = importlib.util.spec_from_file_location("fit_overhead", PATH)
    bench = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(bench)
    cases = bench.cases(tmp_path)
    assert {aim for _, aim, _ in cases} == {60, 150}
    for _, _, given in cases:
        _, alone = bench.overhead_us(given, steps=3, rounds=1)
        assert alone > 0
