"""How many launches a training step queues on a GPU: counted without one (`launches`), so that
they do not grow unseen.  A CUDA graph makes a launch cheap, some microseconds less one; it does
not make it free."""

import sys
from pathlib import Path

import numpy as np
import pytest

import headrace as hr

_HERE = Path(__file__).parent
sys.path[:0] = [str(_HERE), str(_HERE.parent.parent / "benches")]

import gpu_train_steps  # noqa: E402
from gpu_networks import NETWORKS, resnet, transformer  # noqa: E402
from launches import recorded  # noqa: E402

from headrace.ops.cuda import gemm  # noqa: E402

SMALL = {
    "mlp": NETWORKS["mlp"],
    "cnn": NETWORKS["cnn"],
    "lstm": NETWORKS["lstm"],
    "transformer of 2 layers": NETWORKS["transformer"]._replace(
        keras=lambda keras: transformer(keras, 2), batch=1
    ),
    "resnet of 4 blocks": NETWORKS["resnet50"]._replace(
        keras=lambda keras: resnet(keras, (1, 1, 1, 1)), batch=1
    ),
}
# Launches of a step.  Lower them with the code.
MOST = {"mlp": 24, "cnn": 33, "lstm": 26, "transformer of 2 layers": 110,
        "resnet of 4 blocks": 356}  # fmt: skip


@pytest.fixture
def notes(monkeypatch):
    with recorded(monkeypatch) as found:
        yield found


@pytest.mark.parametrize("name", MOST)
def test_launches_of_a_step(notes, name):
    network, most = SMALL[name], MOST[name]
    batch = gpu_train_steps.batch_of(network, network.batch)
    before = hr.keras.mixed_precision.global_policy()
    try:
        step = gpu_train_steps.headrace_step(network, *batch)
        step()
        notes.clear()
        notes.reads = 0
        step()
    finally:
        hr.keras.mixed_precision.set_global_policy(before)
    counts = notes.counts()
    assert len(notes) <= most, counts
    assert notes.reads == 0, "the host waits for a value"
    # One for all variables, one for casts of weights and one for those of gradients; no product
    # or convolution in the generic form.
    assert counts["update"] == 1 and counts.get("cast_all", 0) == 2 * network.bf16
    assert not {"cupy.matmul", "cupy.einsum", "cupy.tensordot", "cupy.dot"} & set(counts)


def test_what_is_counted(notes):
    x = hr.constant(np.ones((4, 8), np.float32))
    notes.clear()
    y = hr.transpose(x)
    assert [n.what for n in notes] == []  # a view
    hr.exp(x)
    assert [n.what for n in notes] == ["cupy.exp"] and notes.size_bytes == 2 * x.numpy().nbytes
    assert notes.reads >= 1
    notes.clear()
    x @ y
    assert list(notes.counts()) == ["cublasLtMatmul"]


def test_products_of_parts_say_how_they_are_aligned(notes, monkeypatch):
    """cuBLASLt takes addresses for multiples of 256, unless it is told otherwise."""
    asked = []

    class Library:
        def call(self, function, *args):
            if function == "cublasLtMatmulPreferenceSetAttribute":
                asked.append((args[1], args[2]._obj.value))
            elif function == "cublasLtMatmulAlgoGetHeuristic":
                args[-1]._obj.value = 1

    monkeypatch.setattr(gemm, "cublaslt", Library)
    xp = gemm.current().xp
    room = xp.empty((1 << 12,), np.float32)
    start = -(room.data.ptr // 4) % 64  # elements up to a multiple of 256 bytes
    a = room[start : start + 64].reshape((8, 8))
    b = room[start + 65 : start + 129].reshape((8, 8))
    out = gemm.matmul(a, b)
    assert out.shape == (8, 8)
    # As column-major matrices they change places: b is the first.
    assert [pair for pair in asked if pair[0] in (5, 6)] == [(5, 4)]
