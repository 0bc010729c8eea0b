"""Kernels on and off, for tests that hold for both forms; helper modules of this folder."""

import sys
from pathlib import Path

import pytest

from headrace.io import jit

# Under --import-mode=importlib test modules cannot import their neighbours otherwise.
pytest.register_assert_rewrite("io_parity")
sys.path.append(str(Path(__file__).parent))


@pytest.fixture(scope="session")
def compiled():
    """Waits until the kernels can be used."""
    assert jit.ensure_compiled()


@pytest.fixture(params=["kernel", "plain"])
def form(request, monkeypatch, compiled):
    """Runs the test with the compiled kernels, and again with the plain forms."""
    if request.param == "plain":
        monkeypatch.setattr(jit, "kernel", lambda name: None)
    return request.param
