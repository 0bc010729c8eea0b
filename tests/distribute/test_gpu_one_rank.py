"""One GPU as the only rank of NCCL: its copies, steps and reductions on a timeline; on the
doubles and, marked `gpu`, on a GPU."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest

import headrace as hr
from headrace.ops import device_backend
from headrace.ops.devices import devices

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[2] / "benches"))
from nccl_double import doubled_gpus

pytestmark = pytest.mark.timeout(100)

BENCH = Path(__file__).parents[2] / "benches" / "gpu_one_rank.py"


@pytest.fixture(params=["double", pytest.param("cuda", marks=pytest.mark.gpu)])
def one_gpu(request):
    if request.param == "double":
        with doubled_gpus(1):
            yield
        return
    backend, why_none = device_backend.load()
    if backend is None:
        pytest.skip(f"there is no GPU: {why_none}")
    before = devices.backend, devices.why_none
    devices.use(backend)
    try:
        yield
    finally:
        devices.use(*before)


@pytest.fixture
def bench():
    spec = importlib.util.spec_from_file_location("gpu_one_rank", BENCH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_a_lone_rank_reduces_its_buckets_and_shows_it(one_gpu, bench, tmp_path):
    trace = tmp_path / "trace.json"
    found = bench.measure(width=64, layers=3, rows=32, steps=4, trace=trace)
    assert found["reductions"] >= 1
    assert 0 <= found["communication_hidden"] <= 1
    events = [e for e in json.loads(trace.read_text())["traceEvents"] if e["ph"] == "X"]
    lanes = {
        lane: [e for e in events if e["cat"] == lane] for lane in hr.distribute.timeline.LANES
    }
    assert len(lanes["compute"]) == 4
    assert len(lanes["communication"]) == len(lanes["waiting"]) == 4 * found["reductions"]
    assert all(e["dur"] >= 0 for e in events)
    if lanes["copies"]:  # batches that are copied ahead
        assert len(lanes["copies"]) >= 4


def test_the_sum_of_one_rank_is_its_own_part(one_gpu, bench):
    with bench.one_rank(hr.distribute.experimental.CommunicationOptions()):
        replica = bench.current.replica
        x = hr.constant([1.0, 2.0])
        found = replica.communicator.all_reduce([x._value, (x * 2.0)._value])
        assert [hr.constant(f).numpy().tolist() for f in found] == [[1, 2], [2, 4]]


def test_overlaps(bench):
    assert bench.overlapped([(0, 4)], [(1, 2), (1.5, 2), (3, 5)]) == 0.5
    assert bench.overlapped([], [(1, 2)]) == 0
