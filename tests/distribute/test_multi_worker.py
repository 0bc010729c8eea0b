"""MultiWorkerMirroredStrategy: processes train as one does; what fails, fails with a word."""

import importlib.util
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.distribute import cluster_resolver as resolvers, mpi

# Test files are no package: this one's helpers are loaded by their path.
_spec = importlib.util.spec_from_file_location(
    "headrace_mpi_jobs", Path(__file__).with_name("mpi_jobs.py")
)
jobs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jobs)

pytestmark = [pytest.mark.timeout(500), pytest.mark.processes]


@pytest.fixture
def run_job(tmp_path):
    jobs.needs_mpi()

    def run(count, script, *arguments, **kwargs):
        return jobs.run_job(tmp_path, count, script, *arguments, **kwargs)

    return run


TRAINING = """
    X = np.random.default_rng(0).normal(size=(330, 8)).astype("float32")
    Y = np.random.default_rng(1).integers(0, 3, 330)

    def make(norm=True):
        keras.utils.set_random_seed(1)
        middle = [keras.layers.BatchNormalization(synchronized=True)] if norm else []
        model = keras.Sequential([keras.Input((8,)), keras.layers.Dense(16, "relu"), *middle,
                                  keras.layers.Dense(3)])
        model.compile(keras.optimizers.Adam(0.01),
                      keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                      metrics=["accuracy"])
        return model

    def dataset():
        whole = hr.data.Dataset.from_tensor_slices((X, Y)).shuffle(100, seed=3)
        return whole.map(lambda x, y: (x * 2.0, y)).batch(32)

    def summary(model):
        return [w.astype("float64").ravel().tolist() for w in model.get_weights()]
"""

LAW = (
    TRAINING
    + """
    strategy = None
    if len(sys.argv) > 1:
        from headrace.distribute.experimental import CommunicationOptions
        strategy = hr.distribute.MultiWorkerMirroredStrategy(
            communication_options=CommunicationOptions(bytes_per_pack=256, timeout_seconds=200))
        with strategy.scope():
            model = make()
    else:
        model = make()
    found = {}
    folder = sys.argv[1] if strategy is not None else None
    # A callback of one worker that stops stops all of them.
    class Stop(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            rank = 0 if strategy is None else strategy.extended.first_local_replica
            if epoch == 5 and rank == 0:
                self.model.stop_training = True
    callbacks = [Stop()]
    if folder is not None:  # one file for all workers: the chief's
        callbacks.append(keras.callbacks.ModelCheckpoint(
            os.path.join(folder, "best.weights.h5"), save_weights_only=True,
            monitor="loss", save_best_only=True))
    history = model.fit(dataset(), epochs=9, verbose=0, callbacks=callbacks)
    found["history"] = history.history
    arrays = model.fit(X, Y, batch_size=32, epochs=2, verbose=0, validation_split=0.1)
    found["arrays"] = arrays.history
    found["evaluate"] = model.evaluate(X, Y, verbose=0)
    found["predict"] = model.predict(X[:41], verbose=0).astype("float64").tolist()
    found["weights"] = summary(model)
    if strategy is None:
        print(json.dumps(found))
    else:
        me = strategy.extended.first_local_replica
        model.save(os.path.join(sys.argv[1], "model.keras"))
        loaded = None
        if me == 0:
            loaded = keras.models.load_model(os.path.join(sys.argv[1], "model.keras"))
        # Strategy's own methods.
        def step(x):
            replica = hr.distribute.get_replica_context()
            joined = replica.all_gather(x, 0)
            half = hr.cast(x, "float16")
            return (replica.all_reduce("SUM", x), joined, replica.replica_id_in_sync_group,
                    replica.all_reduce("MEAN", half))
        x = hr.constant([float(me), 10.0])
        for around in (strategy.run, hr.function(lambda *a, **k: strategy.run(*a, **k))):
            total, joined, number, mean = around(step, args=(x,))
            assert total.numpy().tolist() == [1.0, 20.0], total
            assert joined.numpy().tolist() == [0.0, 10.0, 1.0, 10.0], joined
            assert int(number) == me and mean.dtype == hr.float16
            assert mean.numpy().tolist() == [0.5, 10.0], mean
        assert strategy.reduce("MEAN", hr.constant(me), axis=None).numpy() == 0
        assert strategy.gather(x, axis=0).shape == [4]
        with strategy.scope():
            v = hr.Variable(np.random.random(), aggregation=hr.VariableAggregation.SUM)
        same = strategy.gather(hr.reshape(v, [1]), axis=0).numpy()
        assert same[0] == same[1]
        strategy.run(lambda: v.assign(1.0))
        assert float(v) == 2.0
        from headrace.distribute.worker_input import WorkerDataset
        parts = strategy.experimental_distribute_dataset(hr.data.Dataset.range(7).batch(4))
        own = [b.numpy().tolist() for b in parts]
        assert own == [[[0, 1], [4, 5]], [[2, 3], [6]]][me], own
        from_function = strategy.distribute_datasets_from_function(
            lambda c: hr.data.Dataset.range(6).shard(c.num_input_pipelines,
                                                     c.input_pipeline_id).batch(2))
        assert [b.numpy().tolist() for b in from_function][0] == [[0, 2], [1, 3]][me]
        # Compressed gradients are nearly the same.
        if me == 0:
            print(json.dumps(found))
            assert loaded is not None and len(loaded.layers) == 3
"""
)


def test_two_processes_train_as_one_does(run_job, tmp_path):
    alone = run_job(1, LAW)
    assert alone.code == 0, alone.err
    together = run_job(2, LAW, tmp_path)
    assert together.code == 0, together.err
    wanted, found = json.loads(alone.out), json.loads(together.out)
    assert wanted["history"].keys() == found["history"].keys()
    assert {p.name for p in tmp_path.glob("*.h5")} == {"best.weights.h5"}
    assert len(found["history"]["loss"]) == 6  # all stopped when rank 0 did
    for part in ("history", "arrays"):
        for key, values in wanted[part].items():
            np.testing.assert_allclose(found[part][key], values, rtol=1e-3, atol=1e-4)
    np.testing.assert_allclose(found["evaluate"], wanted["evaluate"], rtol=1e-3)
    np.testing.assert_allclose(found["predict"], wanted["predict"], rtol=1e-2, atol=2e-3)
    for a, b in zip(wanted["weights"], found["weights"], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-2, atol=1e-3)


RESUMED = (
    TRAINING
    + """
    import signal
    folder, stop_at = sys.argv[1], int(sys.argv[2])
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    with strategy.scope():
        model = make(norm=False)
    class Note(keras.callbacks.Callback):
        first = None
        seen = 0
        def on_train_batch_begin(self, batch, logs=None):
            if self.first is None:
                self.first = batch
        def on_train_batch_end(self, batch, logs=None):
            self.seen += 1
            if self.seen == stop_at and not strategy.extended.is_chief:
                os.kill(os.getpid(), signal.SIGKILL)
    note = Note()
    backup = keras.callbacks.BackupAndRestore(folder, save_freq=4, delete_checkpoint=False)
    model.fit(dataset(), epochs=3, verbose=0, callbacks=[backup, note])
    if strategy.extended.is_chief:
        print(json.dumps({"weights": summary(model), "first": note.first}))
"""
)


def test_a_killed_run_goes_on_within_the_epoch_on_any_number_of_workers(run_job, tmp_path):
    whole = run_job(1, RESUMED, tmp_path / "whole", 0)
    assert whole.code == 0, whole.err
    killed = run_job(2, RESUMED, tmp_path / "backup", 18)
    assert killed.code != 0
    assert not list((tmp_path / "backup").glob("*.tmp"))
    shutil.copytree(tmp_path / "backup", tmp_path / "again")
    wanted = json.loads(whole.out)
    assert wanted["first"] == 0
    for count, folder in ((1, "backup"), (3, "again")):
        resumed = run_job(count, RESUMED, tmp_path / folder, 0)
        assert resumed.code == 0, resumed.err
        found = json.loads(resumed.out)
        assert found["first"] == 5  # 16 batches of 11 an epoch
        for a, b in zip(wanted["weights"], found["weights"], strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-3, atol=2e-4)


MISUSE = """
    import signal
    from headrace.distribute.experimental import CommunicationOptions
    how = sys.argv[1]
    strategy = hr.distribute.MultiWorkerMirroredStrategy(
        communication_options=CommunicationOptions(
            timeout_seconds=8.0 if how == "hang" else 120.0))
    me = strategy.extended.first_local_replica
    x = hr.ones([4])
    reduce = lambda: hr.distribute.get_replica_context().all_reduce("SUM", x)
    strategy.run(reduce)
    if me == 1:
        if how == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if how == "hang":
            time.sleep(200)
        if how == "raise":
            raise KeyError("a bug on one worker")
    if how == "model":
        with strategy.scope():
            units = 3 + me
            model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(units)])
            model.compile("sgd", "mse")
        model.fit(np.ones((4, 2), "f"), np.ones((4, units), "f"), verbose=0)
    strategy.run(reduce)
    print("never")
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("kill", ""),
        ("hang", "for rank(s) [1], which have not arrived"),
        ("raise", "a bug on one worker"),
        ("model", "the workers are about to train different models: rank(s) [1] differ"),
    ],
)
def test_a_worker_that_fails_ends_the_job_soon_and_says_why(run_job, how, said):
    found = run_job(2, MISUSE, how)
    assert found.code != 0
    assert "never" not in found.out
    assert said in found.err


STRUCK = """
    import signal, threading
    from headrace.distribute.experimental import CommunicationOptions
    how, where, size, folder = *sys.argv[1:3], int(sys.argv[3]), sys.argv[4]
    strategy = hr.distribute.MultiWorkerMirroredStrategy(
        communication_options=CommunicationOptions(timeout_seconds=15.0))
    me, last = strategy.extended.first_local_replica, strategy.num_replicas_in_sync - 1
    with strategy.scope():
        v = hr.Variable(np.zeros(200_000, np.float32))
    x = hr.ones([size])
    reduce = lambda: strategy.run(
        lambda: hr.distribute.get_replica_context().all_reduce("SUM", x))
    manager = hr.train.CheckpointManager(hr.train.Checkpoint(v=v), folder + "/backup", 3)
    reduce()
    open(f"{folder}/pid{me}", "w").write(str(os.getpid()))
    def strike():
        open(folder + "/struck", "w").write(str(time.time()))
        os.kill(os.getpid(), {"kill": signal.SIGKILL, "stop": signal.SIGSTOP}[how])
    if where == "saving" and me == 0:  # the chief, which writes
        def strike_saving():
            while manager.latest_checkpoint is None:
                time.sleep(0.01)
            time.sleep(0.3)
            strike()
        threading.Thread(target=strike_saving, daemon=True).start()
    elif where == "communication":
        def strike_inside():
            while strategy.extended.communicator._watch._inside is None:
                time.sleep(0.01)
            time.sleep(0.2)
            strike()
        if me == last:
            threading.Thread(target=strike_inside, daemon=True).start()
        while me == 0 and not os.path.exists(folder + "/struck"):
            time.sleep(0.01)  # the others wait for it
    elif where == "compute" and me == last:
        strike()
    for step in range(1_000_000):
        v.assign_add(np.ones(200_000, np.float32))
        if where == "saving":
            manager.save()
        reduce()
    print("never")
"""


def is_running(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # One that has ended and that nobody has waited for yet is not running.
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


@pytest.mark.parametrize(
    ("count", "how", "where", "size", "said"),
    [
        (2, "kill", "compute", 4, "Killed (signal 9)"),
        (3, "kill", "communication", 1_000_000, "Killed (signal 9)"),
        (2, "kill", "saving", 4, "Killed (signal 9)"),
        (3, "stop", "compute", 4, "for rank(s) [2], which have not arrived"),
        (2, "stop", "communication", 4, "for rank(s) [1], which have arrived but have stopped"),
    ],
)
def test_a_killed_or_stopped_worker_ends_the_job_soon(
    run_job, tmp_path, count, how, where, size, said
):
    found = run_job(count, STRUCK, how, where, size, tmp_path)
    took = time.time() - float((tmp_path / "struck").read_text())
    assert found.code != 0
    assert "never" not in found.out
    assert said in found.out + found.err
    assert took < (30 if how == "kill" else 45)  # those that wait do so for 15 s
    pids = [int((tmp_path / f"pid{rank}").read_text()) for rank in range(count)]
    until = time.monotonic() + 20
    while any(map(is_running, pids)) and time.monotonic() < until:
        time.sleep(0.1)
    assert not [pid for pid in pids if is_running(pid)]
    if where == "saving":  # whatever the moment was, the latest checkpoint is whole
        fresh = hr.Variable(np.zeros(200_000, np.float32))
        checkpoint = hr.train.Checkpoint(v=fresh)
        latest = hr.train.latest_checkpoint(tmp_path / "backup")
        checkpoint.restore(latest).assert_consumed()
        step = int(checkpoint.save_counter)
        assert latest.endswith(f"ckpt-{step}")
        assert (fresh.numpy() == step).all()


TASKS = """
    rank = int(os.environ["PMI_RANK"])
    how = sys.argv[1]
    index = {"reversed": 1 - rank, "twice": 0, "three": rank}[how]
    workers = ["a:1", "b:1", "c:1"] if how == "three" else ["a:1", "b:1"]
    os.environ["TF_CONFIG"] = json.dumps(
        {"cluster": {"worker": workers}, "task": {"type": "worker", "index": index}})
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    assert strategy.extended.first_local_replica == index
    assert strategy.cluster_resolver.task_id == index
"""


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("reversed", None),
        ("twice", "no process is task(s) worker 1"),
        ("three", "the cluster names 3 workers, but 2 process(es) run"),
    ],
)
def test_tf_config_says_which_task_a_rank_is(run_job, how, said):
    found = run_job(2, TASKS, how)
    if said is None:
        assert found.code == 0, found.err
    else:
        assert found.code != 0
        assert said in found.err


# -- without processes ----------------------------------------------------------------------


def test_without_mpi_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    mpi.load_mpi.cache_clear()
    try:
        with pytest.raises(ImportError, match=r"pip install 'headrace\[mpi\]'"):
            hr.distribute.MultiWorkerMirroredStrategy()
    finally:
        mpi.load_mpi.cache_clear()


class TestResolvers:
    CONFIG = {
        "cluster": {"chief": ["c:1"], "worker": ["a:1", "b:2"]},
        "task": {"type": "worker", "index": 1},
        "rpc_layer": "grpc",
    }

    def test_tf_config(self, monkeypatch):
        monkeypatch.setenv("TF_CONFIG", json.dumps(self.CONFIG))
        resolver = resolvers.TFConfigClusterResolver()
        assert (resolver.task_type, resolver.task_id) == ("worker", 1)
        assert resolver.master() == "grpc://b:2"
        assert resolver.master("chief", 0, "") == "grpc://c:1"
        assert resolver.cluster_spec().as_dict() == self.CONFIG["cluster"]
        assert resolvers.TFConfigClusterResolver("chief", 0).task_type == "chief"

    @pytest.mark.parametrize("text", ["{", "[]", "3"])
    def test_a_broken_tf_config(self, monkeypatch, text):
        monkeypatch.setenv("TF_CONFIG", text)
        with pytest.raises(ValueError, match="TF_CONFIG must be a JSON object"):
            resolvers.TFConfigClusterResolver()

    def test_simple(self):
        spec = resolvers.ClusterSpec({"worker": {0: "a", 2: "b"}})
        resolver = resolvers.SimpleClusterResolver(spec, "m", "worker", 2)
        assert resolver.master() == "m"
        assert resolver.master("worker", 2) == "b"
        assert resolver.num_accelerators() == {}
        assert spec.task_indices("worker") == [0, 2]
        with pytest.raises(ValueError, match="No task with index 1"):
            spec.task_address("worker", 1)
        with pytest.raises(ValueError, match="No such job"):
            spec.num_tasks("ps")
        with pytest.raises(TypeError, match="must be a ClusterSpec"):
            resolvers.SimpleClusterResolver({"worker": ["a"]})
        with pytest.raises(TypeError, match="dictionary"):
            resolvers.ClusterSpec(["a"])
