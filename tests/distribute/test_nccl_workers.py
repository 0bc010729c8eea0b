"""Workers on GPUs: each process's choice of one, and NCCL between them, whose meetings their
hosts' communicator sees to.  Here the workers are threads, on CuPy's double and NCCL's."""

import sys
import types
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.distribute import nccl
from headrace.distribute.communicator import ThreadCommunicator
from headrace.distribute.cross_device_ops import SharedMemoryAllReduce
from headrace.distribute.meeting import Meeting
from headrace.distribute.multi_worker import MultiWorkerMirroredStrategy, extended_over
from headrace.distribute.options import CommunicationImplementation, CommunicationOptions
from headrace.distribute.replica_threads import ReplicaThreads
from headrace.distribute.strategy import Strategy
from headrace.distribute.worker_gpus import choose_gpu, worker_place
from headrace.ops.devices import HOST

sys.path.insert(0, str(Path(__file__).parent))
from nccl_double import doubled_gpus

pytestmark = pytest.mark.timeout(60)


class Hosts(ThreadCommunicator):
    """What MPI is between processes."""

    def __init__(self, meeting, rank):
        super().__init__(meeting, rank, SharedMemoryAllReduce())

    def gather_objects(self, value, what):
        return self._meeting.meet(self.rank, what, value, lambda given: [given] * self.size)

    def sum_counts(self, counts, what):
        told = self.gather_objects(counts, what)
        return [sum(column) for column in zip(*told, strict=True)]


class Workers(MultiWorkerMirroredStrategy):
    def __init__(self, hosts, options):
        self._resolver, self._size = None, hosts.size
        Strategy.__init__(self, extended_over(self, hosts, options))


def workers(work, count=2, **options):
    """What `work(strategy, rank)` gives in each of `count` workers."""
    meeting = Meeting(count, 20)
    given = CommunicationOptions(**options)

    def run(rank):
        return lambda: work(Workers(Hosts(meeting, rank), given), rank)

    return ReplicaThreads(meeting).run([run(rank) for rank in range(count)], in_turn=False)


RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 6)).astype("float32")
Y = (X @ RNG.normal(size=(6, 2))).astype("float32")


def train(strategy, rank=0, count=1):
    """30 steps on this worker's rows; the weights and losses."""
    with strategy.scope():
        rng = np.random.default_rng(5 + rank)  # the first worker's values are all workers'
        w = hr.Variable(rng.normal(size=(6, 2)).astype("float32"))
        b = hr.Variable(rng.normal(size=2).astype("float32"))
        optimizer = hr.keras.optimizers.Adam(0.05)

    def step(x, y):
        with hr.GradientTape() as tape:
            loss = hr.reduce_sum(hr.square(hr.matmul(x, w) + b - y)) / 40.0
        grads = tape.gradient(loss, [w, b])
        optimizer.apply_gradients(zip(grads, [w, b], strict=True))
        return loss

    @hr.function
    def distributed(x, y):
        return strategy.reduce("SUM", strategy.run(step, args=(x, y)), axis=None)

    part = slice(rank * 25, rank * 25 + 25) if count > 1 else slice(None)  # 25 and 15 rows
    losses = [float(distributed(X[part], Y[part])) for _ in range(30)]
    return w.numpy(), b.numpy(), losses, w.device


@pytest.mark.parametrize(
    "options", [{}, {"bytes_of_first_pack": 1}], ids=["one", "two buckets"]
)
def test_workers_on_gpus_train_as_one_process_does(options):
    alone = train(hr.distribute.OneDeviceStrategy("cpu:0"))
    with doubled_gpus(2) as world:
        found = workers(lambda strategy, rank: train(strategy, rank, 2), **options)
        for i in range(3):
            np.testing.assert_allclose(found[0][i], alone[i], rtol=2e-4, atol=1e-5)
            np.testing.assert_array_equal(found[0][i], found[1][i])
        assert [f[3][-5:] for f in found] == ["GPU:0", "GPU:1"]
        assert sum(name == "allReduce" for name, *_ in world.calls) == 60 * (1 + len(options))


def test_what_a_worker_exchanges():
    def work(strategy, rank):
        assert strategy.extended.worker_devices[0].endswith(f"task:{rank}/device:GPU:{rank}")

        def step():
            replica = hr.distribute.get_replica_context()
            x = hr.constant(np.arange(2.0 + rank, dtype="float32"))
            return replica.all_gather(x, 0), replica.all_reduce("MEAN", hr.ones([2]) * rank)

        joined, mean = strategy.run(step)
        assert joined.device.endswith(f"GPU:{rank}")
        total = strategy.reduce("SUM", hr.constant(rank + 1.0), axis=None)
        both = strategy.gather(hr.constant([rank]), axis=0)
        return (
            joined.numpy().tolist(),
            mean.numpy().tolist(),
            float(total),
            both.numpy().tolist(),
        )

    with doubled_gpus(2):
        assert workers(work) == [([0, 1, 0, 1, 2], [0.5, 0.5], 3.0, [0, 1])] * 2


def test_a_workers_rows_are_copied_to_its_gpu_ahead():
    def work(strategy, rank):
        data = hr.data.Dataset.from_tensor_slices(X).batch(8)
        part = strategy.experimental_distribute_dataset(data)
        found = [(batch.device[-5:], batch.numpy()) for batch in part.own_batches()]
        doubled = [batch.numpy() for batch in part.own_batches(lambda batch: batch * 2.0)]
        return found, doubled

    with doubled_gpus(2):
        for rank, (found, doubled) in enumerate(workers(work)):
            assert [name for name, _ in found] == [f"GPU:{rank}"] * 5
            for i, (_, rows) in enumerate(found):
                own = X[8 * i + 4 * rank : 8 * i + 4 * rank + 4]
                np.testing.assert_array_equal(rows, own)
                np.testing.assert_array_equal(doubled[i], own * 2)


def test_workers_that_differ_are_an_error_before_anything_is_queued():
    def work(strategy, rank):
        x = hr.ones([2 + rank])
        return strategy.run(lambda: hr.distribute.get_replica_context().all_reduce("SUM", x))

    with doubled_gpus(2) as world:
        with pytest.raises(hr.errors.InvalidArgumentError, match=r"same shapes.*\[2\].*\[3\]"):
            workers(work)
        assert world.calls == []


class TestTheChoice:
    """Of a GPU for every worker, or of CPUs for all."""

    def told(self, work=lambda strategy, rank: strategy.extended.home, **options):
        return workers(work, **options)

    def test_each_takes_the_gpu_of_its_number_on_its_machine(self):
        here, there = ("a", None), ("b", None)
        seen = [(here, 2), (there, 2), (here, 2), (there, 2), (here, 2)]
        assert [choose_gpu(seen, r) for r in range(5)] == [0, 0, 1, 1, None]
        own = [(("a", str(i)), 1) for i in range(3)]  # the launcher dealt them out
        assert [choose_gpu(own, r) for r in range(3)] == [0, 0, 0]

    def test_ring_computes_on_cpus(self):
        with doubled_gpus(2):
            found = self.told(implementation=CommunicationImplementation.RING)
        assert found == [HOST, HOST]

    def test_too_few_gpus(self):
        with doubled_gpus(1):
            with pytest.raises(
                hr.errors.FailedPreconditionError, match=r"rank\(s\) \[1\] have"
            ):
                self.told(implementation="NCCL")
            with pytest.warns(
                UserWarning, match=r"compute on CPUs.*rank\(s\) \[1\] have no GPU"
            ):
                assert self.told() == [HOST, HOST]

    def test_no_nccl(self):
        with doubled_gpus(2, nccl=False):
            with pytest.raises(hr.errors.FailedPreconditionError, match="nvidia-nccl-cu13"):
                self.told(implementation="nccl")

    def test_without_gpus_nothing_changes(self):
        class Alone:
            rank, size = 0, 1

            def gather_objects(self, value, what):
                return [value]

        if not hr.config.list_physical_devices("GPU"):
            assert worker_place(Alone(), "AUTO") in ((None, False), (HOST, False))
            with pytest.raises(hr.errors.FailedPreconditionError, match="no GPU of their own"):
                worker_place(Alone(), "NCCL")
        with pytest.raises(ValueError, match="implementation must be one of AUTO, RING, NCCL"):
            worker_place(Alone(), "GLOO")

    def test_a_worker_alone_takes_its_gpu(self):
        with doubled_gpus(2, nccl=False):
            assert workers(lambda strategy, rank: strategy.extended.home, 1) == [0]


def test_cupys_module_of_nccl_is_imported_where_it_was_not(monkeypatch):
    """CuPy 14 does not import it by itself."""
    found = types.ModuleType("cupy.cuda.nccl")
    found.available = True
    for name in ("cupy", "cupy.cuda"):
        monkeypatch.setitem(sys.modules, name, types.ModuleType(name))
    monkeypatch.setitem(sys.modules, "cupy.cuda.nccl", found)
    module = types.SimpleNamespace(cuda=types.SimpleNamespace())
    backend = types.SimpleNamespace(native=True, module=module)
    monkeypatch.setattr(nccl, "devices", types.SimpleNamespace(backend=backend, why_none=""))
    assert nccl.load_nccl("a test") == (backend, found)
    found.available = False
    with pytest.raises(ImportError, match="a test needs NCCL, which CuPy does not find; pip"):
        nccl.load_nccl("a test")
