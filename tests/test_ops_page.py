"""docs/ops.md is what docs/make_ops.py writes, and nothing is missing without a reason."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace

import pytest

import headrace as hr

DOCS = Path(hr.__file__).parent / "docs"


@pytest.fixture(scope="module")
def make_ops():
    spec = importlib.util.spec_from_file_location("make_ops", DOCS / "make_ops.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_coverage_counts_names_and_gives_reasons(make_ops):
    peer = SimpleNamespace(qint8=1, add=1, unheard_of=1, math=SimpleNamespace(add=1, _x=1))
    found = {r.namespace: r for r in make_ops.coverage(peer, hr)}
    mine = {n: w for n, w in found[""].missing.items() if not n.startswith("__")}
    assert mine == {"qint8": make_ops.QUANTISED, "unheard_of": ""}
    assert found["math"].missing == {} and found["math"].total == 1
    text = make_ops.page(list(found.values()), "9")
    assert "| `hr.math` | 1 | 1 | 100 % |" in text and "no reason given: `unheard_of`" in text


@pytest.mark.peers
def test_the_page_is_up_to_date_and_every_gap_has_a_reason(make_ops):
    tf = pytest.importorskip("tensorflow")
    reports = make_ops.coverage(tf, hr)
    without = [f"{r.namespace}.{n}" for r in reports for n, why in r.missing.items() if not why]
    assert not without
    written = make_ops.page(reports, tf.__version__)
    assert (DOCS / "ops.md").read_text() == written, "run `python docs/make_ops.py`"
