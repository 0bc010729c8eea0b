"""Kernels in the background: never waited for, cached on disk, off on request."""

import os
import subprocess
import sys
import time

import pytest

RUN = """
import sys, time
from headrace.io import jit
start = time.perf_counter()
first = jit.kernel("crc_update")
waited = time.perf_counter() - start
from headrace.io.crc32c import crc32c
assert crc32c(b"123456789") == 0xE3069283
on = jit.ensure_compiled()
assert crc32c(b"123456789") == 0xE3069283
print(first is None, waited < 0.2, on, jit.kernel("crc_update") is not None)
"""


def run(source, **env):
    done = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, timeout=100,
        env={**os.environ, **env},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


@pytest.mark.processes
@pytest.mark.slow
def test_cold_then_cached(tmp_path):
    cache = tmp_path / "cache"
    start = time.perf_counter()
    assert run(RUN, HEADRACE_CACHE_DIR=str(cache)) == "True True True True"
    cold = time.perf_counter() - start
    files = sorted(cache.rglob("*.nbc"))
    assert files
    start = time.perf_counter()
    assert run(RUN, HEADRACE_CACHE_DIR=str(cache)) == "True True True True"
    assert time.perf_counter() - start < cold
    assert sorted(cache.rglob("*.nbc")) == files


@pytest.mark.processes
def test_turned_off():
    assert run(RUN, HEADRACE_JIT="0") == "True True False False"


@pytest.mark.processes
def test_a_cache_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    source = "from headrace.io import jit; print(jit.ensure_compiled())"
    assert run(source, HEADRACE_CACHE_DIR=str(tmp_path / "file" / "x")) == "True"


@pytest.mark.processes
def test_a_failing_compiler_leaves_the_plain_forms():
    source = """
from headrace.io import jit
jit.compile_function = lambda *a: 1 / 0
from headrace.io.crc32c import crc32c
assert crc32c(b"123456789") == 0xE3069283
try:
    jit.ensure_compiled()
except RuntimeError as error:
    print(error)
assert crc32c(b"123456789") == 0xE3069283
"""
    assert "kernels could not be compiled: ZeroDivisionError" in run(source)


@pytest.mark.processes
def test_reading_and_parsing_import_neither_tensorflow_nor_tensorboard():
    source = """
import sys
from headrace.io.api import parse_example, TFRecordWriter
heavy = ("tensorflow", "tensorboard", "numba", "pyarrow", "isal")
print([m for m in heavy if m in sys.modules])
"""
    assert run(source) == "[]"
