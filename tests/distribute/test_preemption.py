"""PreemptionCheckpointHandler: told to end, all workers save after the same step and exit; the
restarted job equals the unbroken one."""

import gc
import importlib.util
import json
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace import train
from headrace.distribute import cluster_resolver as resolvers
from headrace.distribute.experimental import PreemptionCheckpointHandler, TerminationConfig

# Test files are no package: this one's helpers are loaded by their path.
_spec = importlib.util.spec_from_file_location(
    "headrace_mpi_jobs", Path(__file__).with_name("mpi_jobs.py")
)
jobs = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(jobs)

pytestmark = pytest.mark.timeout(500)


@pytest.fixture
def run_job(tmp_path):
    jobs.needs_mpi()
    return lambda job, count, *args: jobs.run_job(
        tmp_path, count, TRAINING, *args, env={"JOB": job}
    )


@pytest.fixture(autouse=True)
def sigterm():
    """Leaves the process's handler as it was."""
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


TRAINING = """
    import signal
    from headrace.distribute.experimental import PreemptionCheckpointHandler, TerminationConfig
    folder, at, who, grace = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4])
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    me = strategy.extended.first_local_replica
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(120, 4)).astype("f"), rng.normal(size=(120, 1)).astype("f")
    keras.utils.set_random_seed(1)
    with strategy.scope():
        model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(8, "tanh"),
                                  keras.layers.Dense(1)])
        optimizer = keras.optimizers.Adam(0.01)
        loss_sum = keras.metrics.Mean()
        noise = hr.random.Generator.from_seed(3)
    whole = hr.data.Dataset.from_tensor_slices((X, Y)).shuffle(50, seed=2).repeat(3).batch(10)
    iterator = iter(strategy.experimental_distribute_dataset(whole))
    checkpoint = hr.train.Checkpoint(model=model, optimizer=optimizer, iterator=iterator,
                                     loss=loss_sum, noise=noise)
    config = TerminationConfig(grace_period=grace)
    handler = PreemptionCheckpointHandler(strategy.cluster_resolver, checkpoint, folder, config)

    def step(batch):
        x, y = batch
        with hr.GradientTape() as tape:
            errors = hr.square(model(x) - y)
            loss = hr.nn.compute_average_loss(errors, global_batch_size=10)
        grads = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(grads, model.trainable_variables))
        loss_sum.update_state(errors)

    run = hr.function(lambda batch: strategy.run(step, args=(batch,)))
    began = time.time()
    for number in range(handler.total_run_calls, 36):
        if number == at and me == who:
            os.kill(os.getpid(), signal.SIGTERM)
        if grace and at:
            time.sleep(0.1)
        handler.run(lambda: run(next(iterator)))
        with open(f"{folder}.{os.environ['JOB']}.{me}", "a") as file:
            file.write(f"{number} ")
    if me == 0 or who < 0:
        summary = [w.astype("float64").ravel().tolist() for w in model.get_weights()]
    total = float(loss_sum.result())
    if me == 0:
        print(json.dumps({"weights": summary, "loss": total,
                          "noise": float(noise.normal([]))}))
"""


def last(found):
    return json.loads([line for line in found.out.splitlines() if line.startswith("{")][-1])


def steps(folder, job, rank):
    return [int(n) for n in Path(f"{folder}.{job}.{rank}").read_text().split()]


@pytest.mark.processes
def test_a_worker_told_to_end_has_all_save_after_the_same_step(run_job, tmp_path):
    unbroken = run_job("whole", 2, tmp_path / "a", 0, -1, 0)
    assert unbroken.code == 0, unbroken.err
    assert not (tmp_path / "a").exists()
    told = run_job("told", 2, tmp_path / "b", 17, 1, 0)
    assert told.code == 42, told.err
    assert (
        steps(tmp_path / "b", "told", 0) == steps(tmp_path / "b", "told", 1) == list(range(17))
    )
    assert "told to end: saved after 17 steps; it exits" in told.err
    assert sorted(os.listdir(tmp_path / "b")) == [
        "checkpoint", "ckpt-1.data-00000-of-00001", "ckpt-1.index",
    ]  # fmt: skip
    runs = train.load_variable(tmp_path / "b", "checkpointed_runs/.ATTRIBUTES/VARIABLE_VALUE")
    assert runs == 17
    wanted = last(unbroken)
    again = run_job("again", 2, tmp_path / "b", 0, -1, 0)
    assert again.code == 0, again.err
    assert (
        steps(tmp_path / "b", "again", 0)
        == steps(tmp_path / "b", "again", 1)
        == list(range(17, 36))
    )
    found = last(again)
    for a, b in zip(wanted["weights"], found["weights"], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-7)
    assert found["noise"] == wanted["noise"]
    np.testing.assert_allclose(found["loss"], wanted["loss"], rtol=1e-5)


@pytest.mark.processes
def test_it_goes_on_with_another_number_of_workers(run_job, tmp_path):
    unbroken = run_job("whole", 1, tmp_path / "a", 0, -1, 0)
    told = run_job("told", 2, tmp_path / "b", 17, 0, 0)
    again = run_job("again", 3, tmp_path / "b", 0, -1, 0)
    assert (unbroken.code, told.code, again.code) == (0, 42, 0), (told.err, again.err)
    for a, b in zip(last(unbroken)["weights"], last(again)["weights"], strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


@pytest.mark.processes
def test_the_grace_period_is_used(run_job, tmp_path):
    told = run_job("told", 2, tmp_path / "b", 5, 1, 1.5)
    assert told.code == 42, told.err
    assert "saved after 5 steps; it goes on for the grace period" in told.err
    assert steps(tmp_path / "b", "told", 0) == steps(tmp_path / "b", "told", 1)
    done = len(steps(tmp_path / "b", "told", 0))
    assert 5 < done < 36
    assert f"saved after {done} steps; it exits" in told.err


# -- one process ------------------------------------------------------------------------------


class Ended(Exception):
    pass


def end():
    raise Ended


def handler_of(folder, **config):
    v = hr.Variable(0.0)
    config = TerminationConfig(exit_fn=config.pop("exit_fn", end), **config)
    return v, PreemptionCheckpointHandler(None, train.Checkpoint(v=v), folder, config)


def test_in_one_process(tmp_path):
    v, handler = handler_of(tmp_path)
    assert handler.total_run_calls == 0
    with handler.watch_preemption_scope():
        for _ in range(3):
            assert handler.run(lambda x: v.assign_add(x) and "result", 1.0) == "result"
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(Ended):
            handler.run(v.assign_add, 1.0)
    assert float(v) == 3.0
    fresh, again = handler_of(tmp_path)
    assert float(fresh) == 3.0 and again.total_run_calls == 3


def test_exits_with_a_code_that_asks_for_a_restart(tmp_path):
    _, handler = handler_of(tmp_path, exit_fn=None)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(SystemExit) as caught:
        handler.save_checkpoint_if_preempted()
    assert caught.value.code == 42
    assert train.latest_checkpoint(tmp_path) is not None


def test_a_watcher_of_ones_own(tmp_path):
    asked = []

    def watcher():
        asked.append(1)
        return True

    before = signal.getsignal(signal.SIGTERM)
    _, handler = handler_of(
        tmp_path, termination_watcher_fn=lambda: bool(asked.append(1)) or True
    )
    assert signal.getsignal(signal.SIGTERM) is before
    until = time.monotonic() + 60
    with pytest.raises(Ended):
        while time.monotonic() < until:
            handler.run(time.sleep, 0.05)
    assert asked == [1]


def test_what_saves_can_be_chosen(tmp_path):
    called = []
    _, handler = handler_of(tmp_path, save_fn=lambda *a, **k: called.append((a, k)))
    handler.save_checkpoint_if_preempted(7, options=None)
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Ended):
        handler.save_checkpoint_if_preempted(8, options=None)
    assert called == [((8,), {"options": None})]
    assert train.latest_checkpoint(tmp_path) is None


def test_a_manager_is_used_as_it_is(tmp_path):
    v = hr.Variable(1.0)
    manager = train.CheckpointManager(train.Checkpoint(v=v), tmp_path, max_to_keep=3)
    manager.save()
    handler = PreemptionCheckpointHandler(None, manager, None, TerminationConfig(exit_fn=end))
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(Ended):
        handler.run(v.assign, 2.0)
    assert [os.path.basename(p) for p in manager.checkpoints] == ["ckpt-1", "ckpt-2"]


def test_the_handler_before_is_back_when_ours_is_gone(tmp_path):
    heard = []
    signal.signal(signal.SIGTERM, lambda *a: heard.append(1))
    _, handler = handler_of(tmp_path)
    del handler
    gc.collect()
    os.kill(os.getpid(), signal.SIGTERM)
    assert heard == [1]


def test_wrong_arguments(tmp_path):
    checkpoint = train.Checkpoint(v=hr.Variable(1.0))
    with pytest.raises(hr.errors.InvalidArgumentError, match="checkpoint_dir must be passed"):
        PreemptionCheckpointHandler(None, checkpoint)
    spec = resolvers.ClusterSpec({"worker": ["a:1"], "ps": ["b:1"]})
    with pytest.raises(NotImplementedError, match="ParameterServerStrategy"):
        PreemptionCheckpointHandler(resolvers.SimpleClusterResolver(spec), checkpoint, tmp_path)
    spec = resolvers.ClusterSpec({"worker": ["a:1", "b:1"]})
    with pytest.raises(
        hr.errors.InvalidArgumentError, match=r"pass strategy\.cluster_resolver"
    ):
        PreemptionCheckpointHandler(resolvers.SimpleClusterResolver(spec), checkpoint, tmp_path)
