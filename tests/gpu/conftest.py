"""The device suite: every test runs on CuPy's test double and, marked `gpu`, on the GPUs.

    pytest tests/gpu                 # the double; on a machine with a GPU also that
    pytest tests/gpu -m gpu          # the GPU alone

Without a GPU its tests are skipped with the reason.  Tolerances on a GPU: see `Gpus`.
"""

import contextlib
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest

import headrace as hr
from headrace.ops import device_backend
from headrace.ops.devices import devices

sys.path.insert(0, str(Path(__file__).parent.parent / "ops"))


class Gpus(NamedTuple):
    """Devices under test.

    Attributes:
        xp: CuPy or its double.
        count: how many there are.
        real: whether they are GPUs.
        tolerances: of values and gradients against the CPU's by dtype, relative and absolute;
            none for the double, which gives the CPU's own numbers.  A GPU adds in another
            order and has its own exp and log, a few units in the last place; TensorFloat-32 is
            off in these tests.
    """

    xp: Any
    count: int
    real: bool
    tolerances: dict[str, float]


TOLERANCES = {
    "float64": 1e-7, "complex128": 1e-7, "float32": 2e-4, "complex64": 2e-4, "float16": 1e-2,
    "bfloat16": 4e-2,
}  # fmt: skip


@contextlib.contextmanager
def double():
    from device_checks import doubled

    with doubled() as found:
        yield Gpus(found.cupy, 2, False, {})


@contextlib.contextmanager
def cuda():
    backend, why_none = device_backend.load()
    if backend is None:
        pytest.skip(f"there is no GPU: {why_none}")
    before = devices.backend, devices.why_none
    devices.use(backend)
    hr.config.experimental.enable_tensor_float_32_execution(False)
    try:
        yield Gpus(backend.module, backend.count, True, TOLERANCES)
    finally:
        hr.config.experimental.enable_tensor_float_32_execution(True)
        devices.use(*before)


@pytest.fixture(scope="module", params=["double", pytest.param("cuda", marks=pytest.mark.gpu)])
def gpus(request):
    """The devices a test runs on."""
    with {"double": double, "cuda": cuda}[request.param]() as found:
        yield found


@pytest.fixture
def two_gpus(gpus):
    """At least two devices."""
    if gpus.count < 2:
        pytest.skip("there is one GPU only")
    return gpus
