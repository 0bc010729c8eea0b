"""Every example in the package's docstrings gives what it says."""

import doctest
import importlib
from pathlib import Path

import pytest

import headrace as hr

ROOT = Path(hr.__file__).parent
ROOMS = ("ops", "io", "data", "distribute", "keras", "face")


def with_examples():
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            if ">>> " in path.read_text():
                parts = path.relative_to(ROOT).with_suffix("").parts
                yield ".".join(part for part in parts if part != "__init__")


@pytest.mark.parametrize("name", list(with_examples()))
def test_examples_of(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(f"headrace.{name}")
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, tried = doctest.testmod(module, optionflags=flags)
    assert tried
    assert failed == 0
