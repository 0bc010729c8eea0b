"""The data service: every policy, shared and coordinated reads, workers that die, bad input.

A worker is killed for good or for a while in the middle of an iteration: the consumer must get
every element exactly once all the same.
"""

import os
import signal
import threading
import time

import numpy as np
import pytest

import headrace as hr
from headrace.distribute.data_service.shipping import ship

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]
service = hr.data.experimental.service
Policy = service.ShardingPolicy


@pytest.fixture(scope="module")
def cluster(local_ray):
    """A dispatcher's target and its two workers."""
    dispatcher = service.DispatchServer()
    workers = [worker(dispatcher.target, max_restarts=20) for _ in range(2)]
    yield dispatcher.target, workers
    for one in workers:
        one.stop()
    dispatcher.stop()


@pytest.fixture
def target(cluster):
    return cluster[0]


def worker(target, **config):
    return service.WorkerServer(service.WorkerConfig(target, **config))


def pid_of(server):
    """The process of a worker, once it answers."""
    import ray

    for _ in range(300):
        try:
            return ray.get(server._handle.pid.remote(), timeout=60)
        except ray.exceptions.ActorUnavailableError:
            time.sleep(0.1)
    raise AssertionError("the worker did not come back")


def kill(server):
    os.kill(pid_of(server), signal.SIGKILL)


def numbers(dataset):
    return sorted(int(x) for x in dataset.as_numpy_iterator())


def through(dataset, target, policy="distributed_epoch", **options):
    return dataset.apply(service.distribute(policy, target, **options))


# -- what comes -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "copies"), [(Policy.OFF, 2), (Policy.DYNAMIC, 1), (Policy.DATA, 1),
                           (Policy.FILE_OR_DATA, 1), ("parallel_epochs", 2)])  # fmt: skip
def test_policies(target, policy, copies):
    ds = hr.data.Dataset.range(1000).map(lambda x: 3 * x).filter(lambda x: x % 2 == 0)
    expected = sorted([3 * i for i in range(1000) if i % 2 == 0] * copies)
    assert numbers(through(ds, target, policy)) == expected


@pytest.mark.parametrize("policy", [Policy.FILE, Policy.FILE_OR_DATA, Policy.DYNAMIC])
@pytest.mark.parametrize("interleaved", [False, True])
def test_files(target, tmp_path, policy, interleaved):
    files = []
    for k in range(5):
        path = str(tmp_path / f"{k}.tfrecord")
        with hr.io.TFRecordWriter(path) as writer:
            for i in range(7):
                writer.write(b"%d" % (10 * k + i))
        files.append(path)
    if interleaved:
        names = hr.data.Dataset.from_tensor_slices(files)
        ds = names.interleave(hr.data.TFRecordDataset, cycle_length=2)
    else:
        ds = hr.data.TFRecordDataset(files)
    ds = ds.map(lambda s: hr.strings.to_number(s, hr.int64))
    assert numbers(through(ds, target, policy)) == [
        10 * k + i for k in range(5) for i in range(7)
    ]


def test_hint(target):
    hint = hr.data.experimental.SHARD_HINT
    ds = hr.data.Dataset.range(10).shard(hint, hint).map(lambda x: x + 1)
    assert numbers(through(ds, target, Policy.HINT)) == list(range(1, 11))
    with pytest.raises(hr.errors.FailedPreconditionError, match="SHARD_HINT"):
        list(ds)


@pytest.mark.parametrize("kind", ["dense", "strings", "ragged", "sparse", "nested"])
def test_elements_of_all_kinds(target, kind):
    ds = hr.data.Dataset.range(6)
    if kind == "dense":
        ds = ds.map(lambda x: hr.fill([200, 3], x)).batch(4)
    elif kind == "strings":
        ds = ds.map(hr.strings.as_string).batch(4)
    elif kind == "ragged":
        ds = ds.map(hr.range)
    elif kind == "sparse":
        ds = ds.map(lambda x: hr.sparse.from_dense(hr.stack([x, 0, x])))
    else:
        ds = ds.map(lambda x: {"a": (x, hr.strings.as_string(x)), "b": hr.cast(x, hr.bfloat16)})
    made = through(ds, target, Policy.DATA)
    assert made.element_spec == ds.element_spec

    def shown(elements):
        flat = ([np.asarray(v).tolist() for v in hr.nest.flatten(e)] for e in elements)
        return sorted(map(repr, flat))

    assert shown(made.as_numpy_iterator()) == shown(ds.as_numpy_iterator())


def test_functions_that_cannot_be_traced_are_said_and_run(target):
    def odd(x):
        return int(x) % 2 == 1

    ds = hr.data.Dataset.range(20).map(lambda x: x + 1).filter(odd)
    made = through(ds, target)
    assert numbers(made) == list(range(1, 21, 2))
    lines = made.explain().splitlines()
    assert any("map(" in line and line.endswith("as a graph") for line in lines)
    assert any("filter(odd)" in line and "as pickled Python: " in line for line in lines)


MODULE = """
import headrace as hr

FACTOR = 3


def scaled(x):
    return FACTOR * x


def parts(x):
    return hr.data.Dataset.range(x % 4).map(lambda y: (x, scaled(y)))


def lines(name):
    return hr.data.TextLineDataset(name).map(lambda line: hr.strings.join([name, line]))
"""


def test_workers_need_not_have_the_modules_of_traced_functions(target, tmp_path, monkeypatch):
    """Neither does the module travel with them: its file is gone when they run."""
    path = tmp_path / "away" / "functions_of_the_trainer.py"
    path.parent.mkdir()
    path.write_text(MODULE)
    (tmp_path / "a").write_text("1\n2\n")
    monkeypatch.syspath_prepend(str(path.parent))
    import functions_of_the_trainer as own

    numbered = hr.data.Dataset.range(30).map(own.scaled).flat_map(own.parts)
    named = hr.data.Dataset.from_tensor_slices([str(tmp_path / "a")]).interleave(own.lines)
    expected = [sorted(map(repr, ds.as_numpy_iterator())) for ds in (numbered, named)]
    made = [through(ds, target) for ds in (numbered, named)]
    path.unlink()
    assert [sorted(map(repr, ds.as_numpy_iterator())) for ds in made] == expected
    lines = made[0].explain().splitlines()
    assert sum(line.endswith("as a graph") for line in lines) == 1
    assert sum(line.endswith("as a plan of graphs") for line in lines) == 1
    data = ship(numbered._node, numbered._own_options).data
    assert b"functions_of_the_trainer" not in data.replace(b"functions_of_the_trainer.py", b"")


def _windows(n, size):
    windows = hr.data.Dataset.range(n).window(size, drop_remainder=True)
    return windows.flat_map(lambda w: w.batch(4))


LAW = {
    "map, filter": lambda n: hr.data.Dataset.range(n).map(lambda x: (x, x % 7)).filter(
        lambda x, y: y > 1),
    "batch, map": lambda n: hr.data.Dataset.range(n).batch(4).map(lambda x: hr.reduce_sum(x)),
    "flat_map": lambda n: hr.data.Dataset.range(n).flat_map(
        lambda x: hr.data.Dataset.range(x % 3).map(lambda y: x * y)),
    "interleave": lambda n: hr.data.Dataset.range(n).interleave(
        lambda x: hr.data.Dataset.from_tensors(hr.strings.as_string(x)).repeat(2), 3, 2),
    "windows": lambda n: _windows(n, 4),
    "groups": lambda n: hr.data.Dataset.range(n).group_by_window(
        lambda x: x % 3, lambda key, w: w.batch(4), window_size=4),
    "shuffle, repeat": lambda n: hr.data.Dataset.range(n).shuffle(20, seed=1).repeat(2),
    "unbatch": lambda n: hr.data.Dataset.range(n).batch(3).unbatch().enumerate(),
    "dicts": lambda n: hr.data.Dataset.from_tensor_slices(
        {"a": np.arange(n), "b": np.ones((n, 2), "f4")}).map(lambda e: e["a"] * 2),
    "Python": lambda n: hr.data.Dataset.range(n).map(lambda x: int(x) + 1),
}  # fmt: skip


@pytest.mark.parametrize("policy", [Policy.OFF, Policy.DATA, Policy.DYNAMIC])
def test_service_is_local(target, policy):
    """All shards together have a pipeline's elements, whatever it is; under DYNAMIC those that
    stages behind the source make of each worker's part, so only if they treat rows alone."""
    rows_alone = {"map, filter", "flat_map", "interleave", "dicts", "Python"}
    made = {
        name: through(make(60), target, policy)
        for name, make in LAW.items()
        if policy is not Policy.DYNAMIC or name in rows_alone
    }
    for name, dataset in made.items():
        copies = 2 if policy is Policy.OFF else 1
        expected = sorted([repr(x) for x in LAW[name](60).as_numpy_iterator()] * copies)
        assert sorted(map(repr, dataset.as_numpy_iterator())) == expected, name


def test_repetitions_share_the_splits_of_each(target):
    ds = through(hr.data.Dataset.range(50).repeat(3), target)
    assert numbers(ds) == sorted(list(range(50)) * 3)
    assert ds.cardinality().numpy() == hr.data.UNKNOWN_CARDINALITY
    endless = through(hr.data.Dataset.range(3).repeat(), target)
    assert endless.cardinality().numpy() == hr.data.INFINITE_CARDINALITY
    assert set(numbers(endless.take(200))) == {0, 1, 2}


def test_large_columns_are_copied_once_only():
    """On their way into the object store: what the pipeline made is what is pickled."""
    import pickle

    from headrace.distribute.data_service.running import RunningTask

    class Books:
        def settle(self, what, value):
            return value

    ds = hr.data.Dataset.range(64).map(lambda x: hr.fill([1 << 20], hr.cast(x, hr.uint8)))
    task = RunningTask(ds._node, ds._own_options, Books(), {})
    rows = number = 0
    while not (chunk := task.chunk(number, None)).ended:
        number += 1
        buffers = []
        inline = pickle.dumps(chunk, 5, buffer_callback=buffers.append)
        assert len(inline) < 4096 and sum(b.raw().nbytes for b in buffers) == chunk.rows << 20
        columns = [part[0][0] for part in chunk.parts]
        for buffer, column in zip(buffers, columns, strict=True):
            assert np.shares_memory(np.frombuffer(buffer, np.uint8), column)
        rows += chunk.rows
    task.close()
    assert rows == 64


def test_iterations_and_stages_behind(target):
    ds = through(hr.data.Dataset.range(10), target).batch(4).repeat(2)
    for _ in range(2):
        assert sorted(np.concatenate(list(ds.as_numpy_iterator()))) == sorted([*range(10)] * 2)


def test_unseeded_shuffles_differ_between_workers_and_shards_agree(target):
    ds = hr.data.Dataset.range(100).shuffle(100)
    assert numbers(through(ds, target, Policy.DATA)) == list(range(100))
    orders = [[int(x) for x in through(ds, target, Policy.OFF)] for _ in range(2)]
    assert orders[0] != orders[1]


def test_an_error_comes_in_its_place_and_the_rest_behind_it(target):
    ds = hr.data.Dataset.range(10).map(lambda x: 12 // (x - 5))
    made = through(ds, target, Policy.DYNAMIC)
    with pytest.raises(hr.errors.InvalidArgumentError, match="zero"):
        list(made)
    assert len(numbers(made.ignore_errors())) == 9


def test_ids(target):
    ds = hr.data.Dataset.range(7)
    first = service.register_dataset(target, ds)
    assert first.dtype == hr.int64
    assert int(service.register_dataset(target, hr.data.Dataset.range(7))) == int(first)
    assert numbers(service.from_dataset_id(Policy.DYNAMIC, target, first)) == list(range(7))
    service.register_dataset(target, ds, dataset_id="mine")
    mine = service.from_dataset_id(Policy.DYNAMIC, target, "mine", ds.element_spec)
    assert numbers(mine) == list(range(7))
    with pytest.raises(hr.errors.InvalidArgumentError, match="'mine'"):
        service.register_dataset(target, ds.map(hr.strings.as_string), dataset_id="mine")
    with pytest.raises(hr.errors.NotFoundError, match="Dataset id 77 not found"):
        service.from_dataset_id(Policy.DYNAMIC, target, 77)
    with pytest.raises(hr.errors.InvalidArgumentError, match="element_spec"):
        service.from_dataset_id(Policy.OFF, target, first, hr.TensorSpec([], hr.string))


# -- several consumers ------------------------------------------------------------------------


def test_consumers_of_one_job_divide_it(target):
    ds = hr.data.Dataset.range(3000)
    found = [[], []]

    def read(k):
        made = through(ds, target, job_name="divided", max_outstanding_requests=100)
        found[k] = numbers(made)

    threads = [threading.Thread(target=read, args=(k,)) for k in range(2)]
    for t in threads:
        t.start()
    for t in threads:
        t.join(120)
    assert sorted(found[0] + found[1]) == list(range(3000))
    assert numbers(through(ds, target, job_name="divided")) == []  # it has been read
    with pytest.raises(hr.errors.InvalidArgumentError, match="different parameters"):
        list(through(ds, target, "parallel_epochs", job_name="divided"))


def test_coordinated_reads_go_in_rounds(target):
    ds = hr.data.Dataset.range(10**9).repeat()
    readers = [
        iter(through(ds, target, Policy.OFF, job_name="rounds", consumer_index=i,
                     num_consumers=3)) for i in range(3)
    ]  # fmt: skip
    rows = np.array([[int(next(r)) for r in readers] for _ in range(300)])
    for r in readers:
        r.close()
    assert (rows[0::2] == np.arange(450).reshape(150, 3)).all()
    assert (rows[1::2] == np.arange(450).reshape(150, 3)).all()
    with pytest.raises(hr.errors.FailedPreconditionError, match="infinite cardinality"):
        through(hr.data.Dataset.range(3), target, Policy.OFF, job_name="r", consumer_index=0,
                num_consumers=1)  # fmt: skip


def test_trainers_share_what_is_cached(local_ray):
    dispatcher = service.DispatchServer()
    alone = worker(dispatcher.target)  # so that elements have one order
    target = dispatcher.target
    ds = hr.data.Dataset.range(10**9).repeat().map(lambda x: (x, hr.random.uniform([])))
    caches = [service.CrossTrainerCache(name) for name in "ab"]
    seen = []
    for cache in caches:
        made = through(ds, target, Policy.OFF, job_name="cached", cross_trainer_cache=cache)
        seen.append([(int(x), float(r)) for x, r in made.take(500).as_numpy_iterator()])
    assert seen[0] == seen[1]  # drawn once, for both
    assert [x for x, _ in seen[0]] == list(range(500))
    with pytest.raises(hr.errors.InvalidArgumentError, match="to be infinite"):
        through(hr.data.Dataset.range(3), target, Policy.OFF, job_name="c",
                cross_trainer_cache=caches[0])  # fmt: skip
    with pytest.raises(ValueError, match="non-empty trainer ID"):
        service.CrossTrainerCache("")
    alone.stop()
    dispatcher.stop()


# -- deaths -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("policy", "job_name", "copies"), [(Policy.OFF, None, 2), (Policy.DYNAMIC, "dying", 1)]
)
def test_a_worker_that_dies_costs_no_element(cluster, policy, job_name, copies):
    target, workers = cluster
    ds = hr.data.Dataset.range(6_000).shuffle(500).map(
        lambda x: (x, hr.random.uniform([])))  # fmt: skip
    made = through(ds, target, policy, job_name=job_name, max_outstanding_requests=300)
    found = []
    for k, (x, _) in enumerate(made.as_numpy_iterator()):
        found.append(int(x))
        if k == 1_000:
            kill(workers[0])
    assert sorted(found) == sorted([*range(6_000)] * copies)


def test_others_take_over_from_a_worker_that_dies_for_good(local_ray):
    dispatcher = service.DispatchServer()
    workers = [worker(dispatcher.target, max_restarts=0) for _ in range(2)]
    ds = through(hr.data.Dataset.range(6_000), dispatcher.target, Policy.DATA,
                 max_outstanding_requests=300)  # fmt: skip
    found = []
    for k, x in enumerate(ds.as_numpy_iterator()):
        found.append(int(x))
        if k == 1_000:
            kill(workers[1])
    assert sorted(found) == list(range(6_000))
    iterator = ds.as_numpy_iterator()
    next(iterator)
    kill(workers[0])
    with pytest.raises(hr.errors.UnavailableError, match="died 1 times"):
        list(iterator)
    dispatcher.stop()


def test_a_fault_tolerant_dispatcher_goes_on_where_it_was(local_ray, tmp_path):
    config = service.DispatcherConfig(work_dir=str(tmp_path), fault_tolerant_mode=True)
    dispatcher = service.DispatchServer(config)
    workers = [worker(dispatcher.target)]
    ds = through(hr.data.Dataset.range(6_000), dispatcher.target, max_outstanding_requests=64)
    found = []
    for k, x in enumerate(ds.as_numpy_iterator()):
        found.append(int(x))
        if k == 1_000:
            local_ray.kill(dispatcher._handle, no_restart=False)
    assert sorted(found) == list(range(6_000))
    for one in workers:
        one.stop()
    dispatcher.stop()


def test_workers_are_started_when_the_consumer_starves(local_ray):
    dispatcher = service.DispatchServer(service.DispatcherConfig(autoscale=(1, 2)))

    def slow(x):
        time.sleep(0.02)
        return int(x)

    ds = through(hr.data.Dataset.range(100_000).map(slow), dispatcher.target)
    end = time.monotonic() + 100
    for _ in ds:
        if dispatcher._num_workers() == 2 or time.monotonic() > end:
            break
    assert dispatcher._num_workers() == 2
    dispatcher.stop()


# -- bad input --------------------------------------------------------------------------------


def test_what_cannot_be_shipped(target):
    lock = threading.Lock()

    def held(x):
        with lock:
            return int(x)

    ds = hr.data.Dataset.range(3).map(held).batch(2)
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"map\(held\).*test_data_service"):
        through(ds, target)
    variable = hr.Variable(3)
    with pytest.raises(hr.errors.FailedPreconditionError, match="variable"):
        through(hr.data.Dataset.range(3).map(lambda x: x + hr.cast(variable, x.dtype)), target)


def test_what_cannot_be_sharded(target):
    ds = hr.data.Dataset.range(3)
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"DYNAMIC.*zip"):
        through(hr.data.Dataset.zip(ds, ds), target)
    with pytest.raises(hr.errors.InvalidArgumentError, match="reads none"):
        list(through(ds, target, Policy.FILE))
    with pytest.raises(hr.errors.InvalidArgumentError, match="at least as many files"):
        list(through(hr.data.TextLineDataset([__file__]), target, Policy.FILE))
    with pytest.raises(hr.errors.InvalidArgumentError, match="HINT"):
        list(through(ds, target, Policy.HINT))


def test_the_position_is_not_saved(target):
    iterator = iter(through(hr.data.Dataset.range(3), target))
    next(iterator)
    with pytest.raises(hr.errors.UnimplementedError, match="cannot be saved"):
        iterator.state()


def test_no_dispatcher_and_no_workers(target, monkeypatch):
    with pytest.raises(hr.errors.UnavailableError, match="no dispatcher"):
        through(hr.data.Dataset.range(3), "ray://localhost:1")
    with pytest.raises(hr.errors.UnavailableError, match="no dispatcher"):
        worker("localhost:1")
    alone = service.DispatchServer()
    monkeypatch.setattr("headrace.distribute.data_service.consumer.WORKERS_WAIT_S", 0.3)
    with pytest.raises(hr.errors.UnavailableError, match="WorkerServer"):
        list(through(hr.data.Dataset.range(3), alone.target))
    ds = through(hr.data.Dataset.range(3), alone.target)
    alone.stop()
    with pytest.raises(hr.errors.UnavailableError, match="no dispatcher"):
        list(ds)


@pytest.mark.parametrize(
    ("options", "text"),
    [
        (dict(processing_mode="often"), "processing mode should be"),
        (dict(job_name=""), "must not be empty"),
        (dict(job_name=3), "must be a string"),
        (dict(service=""), "must not be empty"),
        (dict(service="a://b://c"), "multiple '://'"),
        (dict(service=7), "must be a string"),
        (dict(compression="LZ5"), "Invalid `compression`"),
        (dict(consumer_index=1), "both `consumer_index` and `num_consumers`"),
        (dict(consumer_index=0, num_consumers=1), "`job_name` must be set"),
        (dict(consumer_index=2, num_consumers=2, job_name="j"), "consumer_index must be"),
        (dict(target_workers="FAR"), "target_workers must be"),
        (dict(max_outstanding_requests=0), "must be positive"),
    ],
)  # fmt: skip
def test_arguments(options, text):
    options = {"processing_mode": "parallel_epochs", "service": "localhost:5", **options}
    with pytest.raises(ValueError, match=text):
        service.distribute(**options)


def test_configurations():
    with pytest.raises(ValueError, match="work dir"):
        service.DispatcherConfig(fault_tolerant_mode=True)
    with pytest.raises(ValueError, match="autoscale"):
        service.DispatcherConfig(autoscale=(3, 1))
    with pytest.raises(ValueError, match="dispatcher_address"):
        service.WorkerServer(service.WorkerConfig(""))
    with pytest.raises(RuntimeError, match="start"):
        service.DispatchServer(start=False).target


def test_without_ray(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModuleNotFoundError, match=r"pip install 'headrace\[ray\]'"):
        service.DispatchServer()


@pytest.mark.peers
def test_signatures(tf):
    """Same names, parameters, order and defaults as TensorFlow's."""
    import inspect

    theirs = tf.data.experimental.service
    names = [n for n in dir(theirs) if not n.startswith("_")]
    assert set(names) <= set(dir(service))
    for name in ("distribute", "register_dataset", "from_dataset_id"):
        pairs = [
            [
                (p.name, p.default)
                for p in inspect.signature(getattr(m, name)).parameters.values()
            ]
            for m in (service, theirs)
        ]
        assert pairs[0] == pairs[1]
    for name in ("DispatcherConfig", "WorkerConfig"):
        assert getattr(service, name)._fields[: len(getattr(theirs, name)._fields)] == getattr(
            theirs, name)._fields  # fmt: skip
    assert {p.name: p.value for p in Policy} == {p.name: p.value for p in theirs.ShardingPolicy}
