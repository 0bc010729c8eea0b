"""cache(filename), save, load, snapshot: elements in files, whatever happens to the process."""

import os
import random
import signal
import subprocess
import sys
import textwrap
import time
from collections import deque

import pytest

import headrace as hr
from headrace.data import Dataset


def numbers(dataset):
    return [int(x) for x in dataset]


def counted(n=10):
    """A dataset and the list of the elements its Python function has been called with."""
    calls = []

    def call(x):
        calls.append(int(x))
        return x * 2

    return Dataset.range(n).map(call), calls


# -- cache(filename) --------------------------------------------------------------------------


def test_cache_reads_its_input_once(tmp_path):
    dataset, calls = counted()
    cached = dataset.cache(str(tmp_path / "c"))
    before = len(calls)
    assert numbers(cached) == numbers(cached) == list(range(0, 20, 2))
    assert len(calls) - before == 10
    assert os.listdir(tmp_path) == ["c.elements"]


def test_cache_serves_a_dataset_of_another_process(tmp_path):
    numbers(Dataset.range(5).cache(str(tmp_path / "c")))
    dataset, calls = counted(5)
    cached = dataset.cache(str(tmp_path / "c"))  # calls once, to learn the spec
    calls.clear()
    assert numbers(cached) == [0, 1, 2, 3, 4]
    assert not calls


def test_cache_makes_its_folder(tmp_path):
    assert numbers(Dataset.range(3).cache(tmp_path / "deep" / "er" / "c")) == [0, 1, 2]


def test_a_dataset_that_is_only_looked_at_makes_no_folder(tmp_path):
    cached = Dataset.range(3).cache(tmp_path / "deep" / "c").snapshot(tmp_path / "s")
    assert "cache" in cached.explain()
    iter(cached).close()
    assert os.listdir(tmp_path) == []


def test_cache_left_early_leaves_nothing(tmp_path):
    cached = Dataset.range(10).cache(str(tmp_path / "c"))
    with iter(cached) as iterator:
        next(iterator)
    assert os.listdir(tmp_path) == []
    assert numbers(cached) == list(range(10))


def test_cache_behind_take_and_repeat_warns(tmp_path):
    with pytest.warns(UserWarning, match="did not fully read"):
        numbers(Dataset.range(5000).cache(str(tmp_path / "c")).take(2).repeat(2))


def test_cache_refuses_a_second_writer(tmp_path):
    cached = Dataset.range(10_000).cache(str(tmp_path / "c"))
    with iter(cached) as first:
        next(first)
        with pytest.raises(
            hr.errors.AlreadyExistsError, match=r"c\.lockfile.*another iterator"
        ):
            numbers(cached)
        assert [int(x) for x in first] == list(range(1, 10_000))
    assert numbers(cached) == list(range(10_000))


def test_cache_of_other_elements_is_refused(tmp_path):
    numbers(Dataset.range(5).cache(str(tmp_path / "c")))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"c\.elements.*delete it"):
        list(Dataset.range(5).map(lambda x: (x, x)).cache(str(tmp_path / "c")))


def test_cache_damaged_is_a_clear_error(tmp_path):
    cached = Dataset.range(50).cache(str(tmp_path / "c"))
    numbers(cached)
    path = tmp_path / "c.elements"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(hr.errors.DataLossError, match=r"c\.elements; the file is damaged"):
        numbers(cached)


def test_cache_of_failing_elements_is_not_kept(tmp_path):
    failing = Dataset.range(6).map(lambda x: 6 // (x - 2)).cache(str(tmp_path / "c"))
    assert numbers(failing.ignore_errors()) == [-3, -6, 6, 3, 2]
    assert os.listdir(tmp_path) == []


def test_cache_state_of_another_shuffle_is_not_played_from_the_file(tmp_path):
    def fresh(seed):
        return iter(Dataset.range(50).shuffle(20, seed=seed).cache(str(tmp_path / "c")))

    with fresh(1) as iterator:
        [next(iterator) for _ in range(10)]
        state = iterator.state()
        expected = [int(next(iterator)) for _ in range(10)]
    with fresh(2) as iterator:
        list(iterator)
    with fresh(2) as iterator:
        iterator.restore(state)
        assert [int(next(iterator)) for _ in range(10)] == expected


def test_cache_continues_to_record_after_restore(tmp_path):
    def fresh(name):
        return iter(Dataset.range(50).cache(str(tmp_path / name)))

    with fresh("a") as iterator:
        [next(iterator) for _ in range(20)]
        state = iterator.state()
    with fresh("b") as iterator:
        iterator.restore(state)
        assert [int(x) for x in iterator] == list(range(20, 50))
    assert numbers(Dataset.range(3).cache(str(tmp_path / "b"))) == list(range(50))


def test_cache_refuses_datasets_and_what_is_no_path(tmp_path):
    with pytest.raises(TypeError, match="cannot be written to files"):
        Dataset.range(5).window(2).cache(str(tmp_path / "c"))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"^nosuch://x/c\.elements; no f"):
        list(Dataset.range(5).cache("nosuch://x/c"))
    with pytest.raises(TypeError, match="`filename` must be a path"):
        Dataset.range(5).cache(3)


# -- save and load ----------------------------------------------------------------------------


def test_load_gives_what_was_saved(tmp_path):
    dataset = Dataset.range(10).map(lambda x: {"a": x, "b": hr.fill([x % 3], "w")})
    dataset.save(str(tmp_path / "s"))
    loaded = Dataset.load(str(tmp_path / "s"))
    assert loaded.element_spec == dataset.element_spec
    assert int(loaded.cardinality()) == 10
    for a, b in zip(dataset, loaded, strict=True):
        assert a["a"] == b["a"] and a["b"].numpy().tolist() == b["b"].numpy().tolist()


@pytest.mark.parametrize("compression", [None, "GZIP", "ZLIB", "SNAPPY", "ZSTD", "LZ4"])
def test_load_checks_the_compression_it_is_told(tmp_path, compression):
    Dataset.range(10).save(tmp_path, compression)
    assert numbers(Dataset.load(tmp_path, compression=compression)) == list(range(10))
    other = "GZIP" if compression != "GZIP" else "ZLIB"
    with pytest.raises(hr.errors.InvalidArgumentError, match="were saved with"):
        Dataset.load(tmp_path, compression=other)
    with pytest.raises(hr.errors.InvalidArgumentError, match="must be None, 'AUTO', 'GZIP'"):
        Dataset.range(1).save(tmp_path, "RAR")


def test_load_checks_the_spec_it_is_told(tmp_path):
    Dataset.range(3).save(tmp_path)
    Dataset.load(tmp_path, hr.TensorSpec([], hr.int64))
    with pytest.raises(ValueError, match="element_spec is"):
        Dataset.load(tmp_path, hr.TensorSpec([], hr.int32))


def test_shards_and_reader(tmp_path):
    Dataset.range(10).save(tmp_path, shard_func=lambda x: x % 3)
    loaded = Dataset.load(tmp_path)
    assert sorted(numbers(loaded)) == list(range(10)) and int(loaded.cardinality()) == 10
    joined = Dataset.load(tmp_path, reader_func=lambda files: files.flat_map(lambda x: x))
    assert numbers(joined) == [0, 3, 6, 9, 1, 4, 7, 2, 5, 8]
    with pytest.raises(TypeError, match="reader_func"):
        Dataset.load(tmp_path, reader_func=lambda files: 3)


@pytest.mark.parametrize(("shard", "kind", "text"), [
    (lambda x: hr.cast(x, hr.float32), TypeError, "shard_func"),
    (lambda x: [x, x], TypeError, "shard_func"),
    (lambda x: -x - 1, hr.errors.InvalidArgumentError, "not negative"),
])  # fmt: skip
def test_bad_shard_functions(tmp_path, shard, kind, text):
    with pytest.raises(kind, match=text):
        Dataset.range(4).save(tmp_path / "s", shard_func=shard)
    assert not (tmp_path / "s" / "metadata.json").exists()


def test_load_of_nothing(tmp_path):
    with pytest.raises(hr.errors.NotFoundError, match="no saved dataset"):
        Dataset.load(tmp_path / "nowhere")


def test_saving_again_replaces_at_once(tmp_path):
    Dataset.range(3).save(tmp_path)
    old = Dataset.load(tmp_path)
    Dataset.range(5).save(tmp_path)
    assert numbers(old) == [0, 1, 2], "who still reads the old files is not disturbed"
    assert numbers(Dataset.load(tmp_path)) == [0, 1, 2, 3, 4]
    for _ in range(5):
        Dataset.range(5).save(tmp_path)
    assert len(os.listdir(tmp_path)) == 3, "metadata, this run and the one before"


def test_a_failed_save_keeps_the_old_elements(tmp_path):
    Dataset.range(3).save(tmp_path)
    with pytest.raises(hr.errors.InvalidArgumentError):
        Dataset.range(3).map(lambda x: 6 // (x - 2)).save(tmp_path)
    assert numbers(Dataset.load(tmp_path)) == [0, 1, 2]


@pytest.mark.parametrize("text", ["", "{", "[]", '{"version": 1}', '{"version": 1, "run": 3}'])
def test_damaged_metadata(tmp_path, text):
    (tmp_path / "metadata.json").write_text(text)
    with pytest.raises(hr.errors.DataLossError, match=r"metadata\.json; the file is damaged"):
        Dataset.load(tmp_path)


def test_metadata_of_another_version(tmp_path):
    (tmp_path / "metadata.json").write_text('{"version": 7}')
    with pytest.raises(hr.errors.InvalidArgumentError, match="format version 7"):
        Dataset.load(tmp_path)


def test_an_empty_dataset_is_saved(tmp_path):
    Dataset.range(0).save(tmp_path)
    loaded = Dataset.load(tmp_path)
    assert numbers(loaded) == [] and loaded.element_spec == hr.TensorSpec([], hr.int64)


def test_an_interrupted_save_goes_on(tmp_path):
    calls, stop = deque(), deque([57])  # a list's contents would count as part of the plan

    def call(x):
        calls.append(int(x))
        if int(x) == stop[0]:
            raise KeyboardInterrupt
        return x

    args = {"directory": str(tmp_path / "states"), "checkpoint_interval": 10}
    dataset = Dataset.range(100).map(call)
    calls.clear()
    with pytest.raises(KeyboardInterrupt):
        dataset.save(tmp_path / "s", shard_func=lambda x: x % 2, checkpoint_args=args)
    with pytest.raises(hr.errors.NotFoundError):
        Dataset.load(tmp_path / "s")
    stop[0] = -1
    calls.clear()
    dataset.save(tmp_path / "s", shard_func=lambda x: x % 2, checkpoint_args=args)
    assert 40 <= min(calls) <= 57
    assert sorted(numbers(Dataset.load(tmp_path / "s"))) == list(range(100))
    assert os.listdir(tmp_path / "states") == []


def test_checkpoint_args_are_checked(tmp_path):
    for args in ({"checkpoint": 1, "directory": "x"}, {"directory": "x", "what": 1}, {"a": 1}):
        with pytest.raises(ValueError, match="checkpoint_args"):
            Dataset.range(3).save(tmp_path, checkpoint_args=args)
    counter = hr.Variable(0, dtype=hr.int64)
    Dataset.range(30).save(
        tmp_path / "s", checkpoint_args={"directory": tmp_path / "c", "step_counter": counter}
    )
    assert int(counter) == 30


# -- snapshot ---------------------------------------------------------------------------------


def test_snapshot_is_written_once_and_read_after(tmp_path):
    calls = deque()  # a list's contents would count as part of the plan

    def call(x):
        calls.append(int(x))
        return x * 2

    def dataset():
        return Dataset.range(10).map(call).snapshot(str(tmp_path))

    assert numbers(dataset().repeat(2)) == 2 * list(range(0, 20, 2))
    made = len(calls)
    assert numbers(dataset()) == list(range(0, 20, 2))
    assert len(calls) - made <= 1, "only to learn the spec, if at all"
    assert len(os.listdir(tmp_path)) == 1


def test_snapshots_of_other_plans_are_others(tmp_path):
    for factor in (2, 3):
        dataset = Dataset.range(4).map(lambda x, f=factor: x * f).snapshot(str(tmp_path))
        assert numbers(dataset) == [0, factor, 2 * factor, 3 * factor]
    assert len(os.listdir(tmp_path)) == 2


def test_snapshot_keeps_the_order_of_an_unseeded_shuffle(tmp_path):
    def order():
        return numbers(Dataset.range(100).shuffle(100).snapshot(str(tmp_path)))

    assert order() == order() != list(range(100))


def test_snapshot_left_early_is_written_by_the_next(tmp_path):
    dataset = Dataset.range(10_000).snapshot(str(tmp_path))
    with iter(dataset) as iterator:
        next(iterator)
    assert numbers(dataset) == numbers(dataset) == list(range(10_000))


def test_two_iterators_at_once(tmp_path):
    dataset = Dataset.range(10_000).snapshot(str(tmp_path))
    with iter(dataset) as first:
        next(first)
        assert numbers(dataset) == list(range(10_000)), "the second only makes the elements"
        assert [int(x) for x in first] == list(range(1, 10_000))
    assert numbers(dataset) == list(range(10_000))


def test_snapshot_functions(tmp_path):
    dataset = Dataset.range(9).snapshot(
        str(tmp_path), reader_func=lambda files: files.flat_map(lambda x: x),
        shard_func=lambda x: x % 2,
    )  # fmt: skip
    assert numbers(dataset) == list(range(9))
    assert numbers(dataset) == [0, 2, 4, 6, 8, 1, 3, 5, 7]


def test_snapshot_removed_while_a_state_waits(tmp_path):
    import shutil

    dataset = Dataset.range(9).snapshot(str(tmp_path / "s"))
    numbers(dataset)
    with iter(dataset) as iterator:
        next(iterator)
        state = iterator.state()
    shutil.rmtree(tmp_path / "s")
    with iter(dataset) as iterator, pytest.raises(hr.errors.NotFoundError, match="not there"):
        iterator.restore(state)


# -- crashes ----------------------------------------------------------------------------------

JOBS = {
    "cache": "for x in DATASET.cache(folder): pass",
    "snapshot": "for x in DATASET.snapshot(folder): pass",
    "save": "DATASET.save(folder, shard_func=lambda x, y: x[0] % 3)",
}
FINDS = {
    "cache": lambda dataset, folder: dataset.cache(folder),
    "snapshot": lambda dataset, folder: dataset.snapshot(folder),
    "save": lambda dataset, folder: Dataset.load(
        folder, reader_func=lambda files: files.flat_map(lambda x: x)),
}  # fmt: skip
SCRIPT = """
import sys
import headrace as hr
DATASET = hr.data.Dataset.range(400).map(lambda x: (hr.fill([2000], x), hr.fill([3], "s")))
for turn in range(100):
    folder = f"{sys.argv[1]}/{turn % 4}"
    print("begin", flush=True)
    JOB
"""


def test_killed_between_the_file_and_the_lock(tmp_path):
    """The lock file of a writer that died after its file was complete goes, too."""
    dataset = Dataset.range(9).cache(str(tmp_path / "c"))
    numbers(dataset)
    (tmp_path / "c.lockfile").write_text("pid 1\n")
    assert numbers(dataset) == list(range(9))
    assert os.listdir(tmp_path) == ["c.elements"]


def test_killed_while_saving_again(tmp_path):
    """What a killed `save` left beside complete elements goes with the next one."""
    Dataset.range(3).save(tmp_path)
    (tmp_path / "run-killed").mkdir()
    (tmp_path / "run-killed" / "00000000.elements.partial").write_bytes(b"HREL")
    (tmp_path / "metadata.json.tmp-1").write_text("{")
    (tmp_path / "writer.lock").write_text("pid 1\n")
    assert numbers(Dataset.load(tmp_path)) == [0, 1, 2]
    Dataset.range(4).save(tmp_path)
    assert numbers(Dataset.load(tmp_path)) == [0, 1, 2, 3]
    left = [n for n in os.listdir(tmp_path) if not n.startswith("run-")]
    assert left == ["metadata.json"]
    assert not (tmp_path / "run-killed").exists()


def test_an_interrupt_while_the_metadata_appear_leaves_whole_elements(tmp_path, monkeypatch):
    from headrace.data.storage import durable

    Dataset.range(3).save(tmp_path)
    rename = os.replace
    for before in (True, False):

        def interrupted(old, new, before=before):
            if not new.endswith("metadata.json"):
                return rename(old, new)
            if not before:
                rename(old, new)
            raise KeyboardInterrupt

        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(durable.os, "replace", interrupted)
            Dataset.range(5).save(tmp_path)
        assert numbers(Dataset.load(tmp_path)) == list(range(3 if before else 5))


@pytest.mark.parametrize("job", JOBS)
def test_killed_at_random_moments(tmp_path, job):
    """After every kill -9, what is there is whole, and the next process works."""
    chance = random.Random(7)
    for round_ in range(4):
        folder = tmp_path / str(round_)
        folder.mkdir()
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.replace("JOB", JOBS[job]), str(folder)],
            stdout=subprocess.PIPE, cwd=tmp_path,
        )  # fmt: skip
        assert child.stdout.readline() == b"begin\n"
        time.sleep(chance.uniform(0, 0.2))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        dataset = Dataset.range(400).map(lambda x: (hr.fill([2000], x), hr.fill([3], "s")))
        for turn in range(4):
            path = folder / str(turn)
            if job == "save" and not (path / "metadata.json").exists():
                dataset.save(path)
            found = FINDS[job](dataset, str(path))
            for _ in range(2):
                rows = sorted(int(x[0]) for x, _ in found)
                assert rows == list(range(400))
        assert not [n for n in os.listdir(folder) if n.endswith((".partial", "lockfile"))]


def test_file_size_limit_is_a_clear_error(tmp_path):
    script = f"""
    import resource, signal
    import headrace as hr
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    dataset = hr.data.Dataset.range(400).map(lambda x: hr.fill([2000], x))
    for job in (lambda: list(dataset.cache({str(tmp_path / "c")!r})),
                lambda: dataset.save({str(tmp_path / "s")!r}),
                lambda: list(dataset.snapshot({str(tmp_path / "n")!r}))):
        try:
            job()
        except hr.errors.ResourceExhaustedError as error:
            assert "elements" in str(error), error
            print("ok")
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)], capture_output=True, cwd=tmp_path,
    )  # fmt: skip
    assert done.stdout.split() == [b"ok"] * 3, done.stderr.decode()
    left = [f for _, _, files in os.walk(tmp_path) for f in files]
    assert not [f for f in left if "elements" in f], left


# -- parity -----------------------------------------------------------------------------------


def JOIN(files):
    return files.flat_map(lambda one: one)


@pytest.mark.peers
def test_parity_of_save_and_load(tmp_path):
    tf = pytest.importorskip("tensorflow")
    runs = []
    for m, folder in ((hr, tmp_path / "h"), (tf, tmp_path / "t")):
        D = m.data.Dataset
        D.range(10).save(str(folder / "a"))
        D.range(10).save(str(folder / "b"), shard_func=lambda x: x % 2)
        plain = D.load(str(folder / "a"))
        joined = D.load(str(folder / "b"), reader_func=JOIN)
        cached = D.range(6).cache(str(folder / "c")).repeat(2)
        snap = D.range(7).snapshot(str(folder / "d")).repeat(2)
        runs.append([
            [[int(x) for x in d] for d in (plain, joined, cached, snap)],
            [int(d.cardinality()) for d in (plain, cached, snap)],
            str(plain.element_spec.dtype.name),
        ])  # fmt: skip
    assert runs[0] == runs[1]


@pytest.mark.peers
def test_parity_of_errors(tmp_path):
    tf = pytest.importorskip("tensorflow")
    for m, kind in ((hr, hr.errors.NotFoundError), (tf, tf.errors.NotFoundError)):
        with pytest.raises(kind):
            m.data.Dataset.load(str(tmp_path / "none"))
    for m, kind in ((hr, hr.errors.AlreadyExistsError), (tf, tf.errors.AlreadyExistsError)):
        cached = m.data.Dataset.range(10_000).cache(str(tmp_path / m.__name__))
        first, second = iter(cached), iter(cached)
        next(first)
        with pytest.raises(kind):
            next(second)
