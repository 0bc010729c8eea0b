"""NVRTC without a GPU: machine code for every architecture, errors that show the source."""

import pytest

from headrace.ops.cuda import nvrtc
from headrace.ops.cuda.device import cubin
from headrace.ops.cuda.prelude import PRELUDE

pytestmark = pytest.mark.skipif(not nvrtc.available(), reason="needs nvidia-cuda-nvrtc")
COPY = PRELUDE + 'extern "C" __global__ void copy(const Half* x, float* y) { *y = widen(*x); }'


@pytest.mark.parametrize("arch", nvrtc.ARCHITECTURES)
def test_machine_code(arch):
    assert nvrtc.compile_source(COPY, arch)[:4] == b"\x7fELF"


def test_ptx():
    assert b".visible .entry copy(" in nvrtc.compile_source(COPY, "sm_90", ptx=True)


def test_errors_show_the_lines_of_the_source():
    source = "\n".join(["int fine;"] * 9 + ["int x = missing;"])
    with pytest.raises(nvrtc.CompileError) as caught:
        nvrtc.compile_source(source, "sm_80", "own.cu")
    text = str(caught.value)
    assert text.startswith("own.cu does not compile for sm_80:")
    assert 'identifier "missing" is undefined' in text
    assert " 9 | int fine;\n10 | int x = missing;" in text


def test_an_unknown_architecture_is_named():
    with pytest.raises(nvrtc.CompileError, match="sm_10"):
        nvrtc.compile_source(COPY, "sm_10")


def test_machine_code_is_kept_on_disk(tmp_path, monkeypatch):
    monkeypatch.setenv("HEADRACE_CACHE_DIR", str(tmp_path))
    first = cubin(COPY, "sm_90", "copy.cu")
    (path,) = (tmp_path / "cuda").iterdir()
    monkeypatch.setattr(nvrtc, "compile_source", None)
    assert cubin(COPY, "sm_90", "copy.cu") == first
    path.write_bytes(b"damaged")
    with pytest.raises(TypeError):  # it would be compiled again
        cubin(COPY, "sm_90", "copy.cu")
