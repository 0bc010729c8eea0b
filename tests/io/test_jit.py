"""Kernels in the background: never waited for, cached on disk, off on request."""

import math
import os
import subprocess
import sys

import numpy as np
import pytest

from headrace.io import jit

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


CHECK = """
import sys
import numpy as np
from headrace.io import jit
from headrace.io.crc32c import crc32c
from headrace.io.tfrecord import plain_scan
assert jit.ensure_compiled()
assert crc32c(b"123456789") == 0xE3069283
print(any(name in sys.modules for name in ("numba", "llvmlite")))
"""


@pytest.mark.processes
@pytest.mark.slow
def test_cold_then_cached_without_numba_and_llvmlite(tmp_path):
    cache = tmp_path / "cache"
    assert run(RUN, HEADRACE_CACHE_DIR=str(cache)) == "True True True True"
    (folder,) = cache.iterdir()
    stamps = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert sorted(stamps) == sorted(n for names in jit._KERNELS.values() for n in names)
    assert run(CHECK, HEADRACE_CACHE_DIR=str(cache)) == "False"
    # A damaged file is not run but made again, and no other.
    damaged = folder / "crc_update"
    data = bytearray(damaged.read_bytes())
    data[-100] ^= 1
    damaged.write_bytes(data)
    assert run(CHECK, HEADRACE_CACHE_DIR=str(cache)) == "False"  # a child compiles
    assert damaged.read_bytes() != data
    after = {p.name: p.stat().st_mtime_ns for p in folder.iterdir()}
    assert [name for name in stamps if after[name] != stamps[name]] == ["crc_update"]


@pytest.mark.processes
def test_turned_off():
    assert run(RUN, HEADRACE_JIT="0") == "True True False False"


@pytest.mark.processes
def test_a_cache_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    source = "from headrace.io import jit; print(jit.ensure_compiled())"
    assert run(source, HEADRACE_CACHE_DIR=str(tmp_path / "file" / "x")) == "True"


@pytest.mark.processes
def test_a_failing_compiler_leaves_the_plain_forms(tmp_path):
    (tmp_path / "file").write_text("")  # no cache folder, hence no child that could compile
    source = """
from headrace.io import jit
jit._object_code = lambda *a: 1 / 0
from headrace.io.crc32c import crc32c
assert crc32c(b"123456789") == 0xE3069283
try:
    jit.ensure_compiled()
except RuntimeError as error:
    print(error)
assert crc32c(b"123456789") == 0xE3069283
"""
    cache = str(tmp_path / "file" / "x")
    assert "compiled: ZeroDivisionError" in run(source, HEADRACE_CACHE_DIR=cache)


def test_kernels_use_nothing_of_numbas_runtime():
    def calls_out(n):
        return int(math.gamma(n))

    with pytest.raises(RuntimeError, match="kernel calls_out needs the symbol"):
        jit._object_code(calls_out, 1)


def test_functions_of_other_rooms_are_numba_dispatchers(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path))
    for _ in range(2):
        total = jit.compile_function(add_up, "float64(float64[::1])", "int64(int64[::1])")
        assert total(np.arange(4.0)) == 6.0
        assert total(np.arange(4)) == 6
    assert len(list(tmp_path.rglob("*.nbc"))) == 2


def add_up(x):
    total = x[0]
    for i in range(1, len(x)):
        total += x[i]
    return total


@pytest.mark.processes
def test_reading_and_parsing_import_neither_tensorflow_nor_tensorboard():
    source = """
import sys
from headrace.io.api import parse_example, TFRecordWriter
heavy = ("tensorflow", "tensorboard", "numba", "pyarrow", "isal")
print([m for m in heavy if m in sys.modules])
"""
    assert run(source) == "[]"


def test_constants_written_twice_agree():
    """Modules that must not import numba repeat the kernels' layout."""
    from headrace.io import parse_kernel, parse_raw, parse_sequence, record_kernel, tfrecord

    for name in ("KEY", "KEY_SIZE", "KIND", "WANT", "DEFAULT", "OUT_A", "OUT_B", "OUT_C",
                 "FIELDS", "PREDICTED", "HINT_BYTES"):  # fmt: skip
        assert getattr(parse_raw, f"_{name}") == getattr(parse_kernel, name)
    assert (parse_sequence._OUT_A, parse_sequence._OUT_B) == (
        parse_kernel.OUT_A,
        parse_kernel.OUT_B,
    )
    for name in ("COMPLETE", "PARTIAL", "BAD_LENGTH_CRC", "BAD_DATA_CRC"):
        assert getattr(tfrecord, name) == getattr(record_kernel, name)
