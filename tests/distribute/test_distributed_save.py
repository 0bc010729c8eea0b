"""`distributed_save`: workers of a data service write files, whoever dies meanwhile."""

import os
import signal
import time

import numpy as np
import pytest

import headrace as hr

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]
service = hr.data.experimental.service
distributed_save = hr.data.experimental.distributed_save


@pytest.fixture(scope="module")
def cluster(local_ray, tmp_path_factory):
    """A fault tolerant dispatcher and two workers."""
    config = service.DispatcherConfig(
        work_dir=str(tmp_path_factory.mktemp("dispatcher")), fault_tolerant_mode=True
    )
    dispatcher = service.DispatchServer(config)
    workers = [
        service.WorkerServer(service.WorkerConfig(dispatcher.target, max_restarts=20))
        for _ in range(2)
    ]
    yield dispatcher, workers
    for worker in workers:
        worker.stop()
    dispatcher.stop()


@pytest.fixture
def target(cluster):
    return cluster[0].target


def loaded(path):
    return sorted(repr(e) for e in hr.data.Dataset.load(path, wait=True).as_numpy_iterator())


def waiting_at(flag, number=60):
    """A function that says it has come to an element, and waits there to be killed once."""

    def slow(x):
        if int(x) == number and not os.path.exists(f"{flag}.done"):
            with open(flag, "w") as file:
                file.write(str(os.getpid()))
            while not os.path.exists(f"{flag}.done"):
                time.sleep(0.02)
        return x

    return slow


def reached(flag):
    end = time.monotonic() + 100
    while not (os.path.exists(flag) and os.path.getsize(flag)):
        assert time.monotonic() < end, "no worker came to the element"
        time.sleep(0.05)
    with open(flag) as file:
        return int(file.read())


@pytest.mark.parametrize("compression", ["AUTO", None, "GZIP"])
def test_what_is_saved_is_loaded(target, tmp_path, compression):
    ds = hr.data.Dataset.range(300).flat_map(
        lambda x: hr.data.Dataset.from_tensors({"a": x, "b": hr.strings.as_string(x)})
    )
    path = str(tmp_path / "saved")
    assert distributed_save(ds, path, target.split("://")[1], compression) is None
    assert loaded(path) == sorted(map(repr, ds.as_numpy_iterator()))
    assert hr.data.Dataset.load(path).element_spec == ds.element_spec
    run = [name for name in os.listdir(path) if name.startswith("run-")]
    assert len(run) == 1 and len(os.listdir(tmp_path / "saved" / run[0])) == 2  # one a worker
    with pytest.raises(hr.errors.AlreadyExistsError, match="saved there already"):
        distributed_save(ds, path, target)


def test_shards_agree_about_draws_that_nobody_seeded(target, tmp_path):
    ds = hr.data.Dataset.range(400).shuffle(100).flat_map(
        lambda x: hr.data.Dataset.from_tensors((x, hr.random.uniform([]))))  # fmt: skip
    path = str(tmp_path / "saved")
    distributed_save(ds.filter(lambda x, r: r >= 0.5), path, target)
    saved = list(hr.data.Dataset.load(path, wait=True).as_numpy_iterator())
    assert len({int(x) for x, _ in saved}) == len(saved) > 100
    assert min(float(r) for _, r in saved) >= 0.5


def test_a_killed_worker_loses_and_repeats_nothing(target, tmp_path):
    flag, path = str(tmp_path / "flag"), str(tmp_path / "saved")
    distributed_save(hr.data.Dataset.range(100).map(waiting_at(flag)), path, target)
    with pytest.raises(hr.errors.AlreadyExistsError, match="being saved"):
        distributed_save(hr.data.Dataset.range(3), path, target)
    pid = reached(flag)
    with pytest.raises(hr.errors.NotFoundError):  # nothing before all is there
        hr.data.Dataset.load(path)
    os.kill(pid, signal.SIGKILL)
    open(f"{flag}.done", "w").close()
    assert loaded(path) == sorted(map(repr, hr.data.Dataset.range(100).as_numpy_iterator()))


def test_a_killed_dispatcher_saves_what_it_had_begun(cluster, local_ray, tmp_path):
    dispatcher, _ = cluster
    flag, path = str(tmp_path / "flag"), str(tmp_path / "saved")
    ds = hr.data.Dataset.range(100).map(waiting_at(flag))
    distributed_save(ds, path, dispatcher.target)
    reached(flag)
    local_ray.kill(dispatcher._handle, no_restart=False)
    open(f"{flag}.done", "w").close()
    assert loaded(path) == sorted(map(repr, hr.data.Dataset.range(100).as_numpy_iterator()))


def test_what_fails_is_told_to_who_waits(target, tmp_path):
    path = str(tmp_path / "saved")
    distributed_save(hr.data.Dataset.range(20).map(lambda x: 10 // (x - 7)), path, target)
    with pytest.raises(hr.errors.UnavailableError, match=r"could not be saved.*zero"):
        hr.data.Dataset.load(path, wait=True)
    assert sorted(os.listdir(path)) == ["failure.json"]
    distributed_save(hr.data.Dataset.range(5), path, target)  # and it may be tried again
    end = time.monotonic() + 60
    while "metadata.json" not in os.listdir(path) and time.monotonic() < end:
        time.sleep(0.1)
    assert loaded(path) == sorted(map(repr, np.arange(5)))  # and the failure is forgotten
    assert not [name for name in os.listdir(path) if name == "failure.json"]


def test_bad_input(local_ray, target, tmp_path):
    ds, path = hr.data.Dataset.range(3), str(tmp_path / "saved")
    with pytest.raises(ValueError, match="must be a string"):
        distributed_save(ds, path, 3)
    with pytest.raises(ValueError, match="must not be empty"):
        distributed_save(ds, path, "")
    with pytest.raises(hr.errors.InvalidArgumentError, match="compression"):
        distributed_save(ds, path, target, "LZ5")
    with pytest.raises(TypeError):
        distributed_save(ds.window(2), path, target)
    with pytest.raises(hr.errors.UnavailableError, match="no dispatcher"):
        distributed_save(ds, path, "localhost:1")
    fragile = service.DispatchServer()
    with pytest.raises(hr.errors.InvalidArgumentError, match="fault_tolerant_mode=True"):
        distributed_save(ds, path, fragile.target)
    fragile.stop()
    assert not os.path.exists(path)


@pytest.mark.peers
def test_the_signature_is_tensorflows(tf):
    import inspect

    pairs = [
        [(p.name, p.default) for p in inspect.signature(f).parameters.values()]
        for f in (distributed_save, tf.data.experimental.distributed_save)
    ]
    assert pairs[0] == pairs[1]
