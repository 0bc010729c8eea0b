"""cache(filename), save, load, snapshot in object stores: a real S3 server on loopback."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace.data import Dataset
from headrace.data.storage import remote_storage
from headrace.data.storage.library import Library
from headrace.data.storage.locate import storage_of
from headrace.io import read_ahead, remote_base
from headrace.io.filesystems import join

pytest.importorskip("moto", reason="needs the extra `test`")
sys.path.append(str(Path(__file__).parents[1] / "io"))
from s3_server import Proxy, running_server

pytestmark = [pytest.mark.processes, pytest.mark.timeout(120)]
NAMES = {
    "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_REGION": "us-east-1", "AWS_EC2_METADATA_DISABLED": "true",
}  # fmt: skip


@pytest.fixture(scope="module")
def server():
    with running_server() as server, pytest.MonkeyPatch.context() as patch:
        for name, value in NAMES.items():
            patch.setenv(name, value)
        patch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        patch.delenv("AWS_PROFILE", raising=False)
        patch.delenv("AWS_SESSION_TOKEN", raising=False)
        server.call("PUT", "bucket")
        yield server


@pytest.fixture(autouse=True)
def fast(monkeypatch):
    monkeypatch.setattr(read_ahead, "_FIRST_PAUSE_S", 0.01)
    monkeypatch.setattr(remote_storage, "PART_BYTES", 100_000)


@pytest.fixture
def folder(request, server):
    """A folder that no other test uses."""
    return f"s3://bucket/{request.node.name.replace('[', '-').replace(']', '')}"


@pytest.fixture(params=["s3", "memory", "local", "file"])
def place(request, server, tmp_path):
    """A folder in each kind of store."""
    name = f"{request.node.name.partition('[')[0]}"
    return {
        "s3": f"s3://bucket/{name}",
        "memory": f"memory://{name}-{time.monotonic_ns()}",
        "local": f"local://{tmp_path}/deep/er",
        "file": f"file://{tmp_path}/deep/er",
    }[request.param]


def numbers(dataset):
    return [int(x) for x in dataset]


def big(n=200):
    """Elements of 8 kB, by which a file has many parts."""
    return Dataset.range(n).map(lambda x: hr.fill([1000], x))


def firsts(dataset):
    out = []
    for x in dataset.as_numpy_iterator():
        assert np.array_equal(x, np.full(1000, x[0]))
        out.append(int(x[0]))
    return out


def files_below(url):
    """The names of all objects below a URL."""
    return sorted(name for name, _ in storage_of(url).walk(url))


def as_another_process(monkeypatch):
    """Locks hold among one process's iterators: play another process."""
    monkeypatch.setattr(remote_storage._ProcessLock, "_held", set())


# -- everywhere the same ----------------------------------------------------------------------


def test_saved_and_loaded(place):
    big().save(place, "ZSTD", shard_func=lambda x: x[0] % 3)
    loaded = Dataset.load(place, compression="ZSTD")
    assert loaded.element_spec == big().element_spec and int(loaded.cardinality()) == 200
    assert sorted(firsts(loaded)) == list(range(200))
    Dataset.range(5).save(place)
    assert numbers(Dataset.load(place)) == [0, 1, 2, 3, 4]
    with pytest.raises(hr.errors.NotFoundError, match="no saved dataset"):
        Dataset.load(join(place, "nowhere"))


def test_snapshots(place):
    def dataset():
        return Dataset.range(300).map(lambda x: x * 2).snapshot(place)

    def shuffled():
        return numbers(Dataset.range(100).shuffle(100).snapshot(place))

    assert numbers(dataset().repeat(2)) == 2 * list(range(0, 600, 2))
    assert shuffled() == shuffled() != list(range(100))


def test_caches(place):
    filename = join(place, "c")
    cached = big().cache(filename)
    with iter(cached) as iterator:
        next(iterator)
    assert firsts(cached.repeat(2)) == 2 * list(range(200))
    assert firsts(big().map(lambda x: x * 0 - 1).cache(filename)) == list(range(200))
    with pytest.raises(hr.errors.InvalidArgumentError, match=r"c\.elements; the cache file"):
        list(Dataset.range(3).cache(filename))


def test_a_second_writer_is_refused(place):
    cached = Dataset.range(10_000).cache(join(place, "c"))
    with iter(cached) as first:
        next(first)
        with pytest.raises(hr.errors.AlreadyExistsError, match=r"c\.lockfile.*another iter"):
            numbers(cached)
        assert [int(x) for x in first] == list(range(1, 10_000))
    assert numbers(cached) == list(range(10_000))


def test_an_interrupted_save_goes_on(place):
    calls, stop = [], [137]

    def elements():
        for i in range(200):
            calls.append(i)
            if i == stop[0]:
                raise KeyboardInterrupt
            yield np.full(1000, i)

    def dataset():
        return Dataset.from_generator(
            elements, output_signature=hr.TensorSpec([1000], hr.int64)
        )

    args = {"directory": join(place, "states"), "checkpoint_interval": 20}
    saved = dataset()
    with pytest.raises(KeyboardInterrupt):
        saved.save(join(place, "s"), checkpoint_args=args)
    with pytest.raises(hr.errors.NotFoundError):
        Dataset.load(join(place, "s"))
    stop[0] = -1
    saved.save(join(place, "s"), checkpoint_args=args)
    assert firsts(Dataset.load(join(place, "s"))) == list(range(200))


# -- parts ------------------------------------------------------------------------------------


@pytest.mark.parametrize("taken", [0, 1, 13, 130, 199, 200])
def test_checkpoint_law(folder, taken):
    big().save(folder, "LZ4")
    dataset = Dataset.load(folder)
    iterator = dataset.as_numpy_iterator()
    for i in range(taken):
        assert int(next(iterator)[0]) == i
    state = iterator.state()
    fresh = dataset.as_numpy_iterator()
    fresh.restore(state)
    assert [int(x[0]) for x in fresh] == list(range(taken, 200))


def test_readers_of_replaced_elements_are_not_disturbed(folder):
    big().save(folder)
    old = Dataset.load(folder)
    with iter(old) as iterator:
        next(iterator)
        Dataset.range(5).save(folder)
        assert [int(x[0]) for x in iterator] == list(range(1, 200))
    assert firsts(old) == list(range(200))
    assert numbers(Dataset.load(folder)) == [0, 1, 2, 3, 4]


def test_what_was_abandoned_goes_after_a_day_and_not_before(folder, monkeypatch):
    Dataset.range(3).save(folder)
    remote_storage.RemoteStorage(folder).put(f"{folder}/run-dead/0.elements", b"x").result()
    Dataset.range(4).save(folder)
    assert "run-dead/0.elements" in files_below(folder)
    monkeypatch.setattr(remote_storage, "ABANDONED_S", -60.0)
    Dataset.range(5).save(folder)
    left = {name.partition("/")[0] for name in files_below(folder)}
    assert "run-dead" not in left
    assert len(left) == 3, "metadata, this run and the one before"
    assert numbers(Dataset.load(folder)) == [0, 1, 2, 3, 4]


def test_parts_of_abandoned_caches_go(folder, monkeypatch):
    filename = f"{folder}/c"
    dead = f"{filename}.elements.parts/dead/00000000"
    storage_of(folder).put(dead, b"x").result()
    monkeypatch.setattr(remote_storage, "ABANDONED_S", -60.0)
    assert numbers(Dataset.range(3).cache(filename)) == [0, 1, 2]
    assert len(files_below(folder)) == 2, "the manifest and a part"
    assert numbers(Dataset.range(3).cache(filename)) == [0, 1, 2]


def test_what_was_left_early_is_removed(folder):
    for dataset in (big().cache(f"{folder}/c"), big().snapshot(folder)):
        with iter(dataset) as iterator:
            for _ in range(150):
                next(iterator)
    failing = Dataset.range(200).map(lambda x: hr.fill([1000], 6 // (x - 150)))
    with pytest.raises(hr.errors.InvalidArgumentError):
        failing.save(folder)
    assert files_below(folder) == []


def test_a_missing_or_damaged_part_is_a_clear_error(server, folder):
    big().save(folder)
    (part,) = [n for n in files_below(folder) if n.endswith("/00000003")]
    path = f"bucket/{folder.rpartition('/')[2]}/{part}"
    data = bytearray(server.get(path))
    data[50_000] ^= 1
    server.put(path, bytes(data))
    with pytest.raises(hr.errors.DataLossError, match="checksum is wrong"):
        list(Dataset.load(folder))
    server.call("DELETE", path)
    with pytest.raises(hr.errors.DataLossError, match="00000003 is missing"):
        list(Dataset.load(folder))
    server.put(f"bucket/{folder.rpartition('/')[2]}/metadata.json", b"{")
    with pytest.raises(hr.errors.DataLossError, match=r"metadata\.json; the file is damaged"):
        Dataset.load(folder)


def test_parts_removed_while_a_save_goes_on_are_noticed(folder):
    writer = Library(folder).writer(big()._node.structure, "")
    with big().raw_iterator() as iterator:
        while (block := iterator.next_block(50)) is not None:
            writer.write(block)
    writer.checkpoint()
    for name in files_below(folder):
        if name.endswith("/00000001"):
            storage_of(folder)._system.remove(f"{folder}/{name}")
    with pytest.raises(hr.errors.AbortedError, match="00000001 of what was written"):
        writer.commit()
    assert Library(folder).latest() is None


def test_manifests_that_change_while_they_are_read(folder, monkeypatch):
    """The size may be of the version before: half a manifest is read again."""
    Dataset.range(3).save(folder)
    whole = remote_base.RemoteFileSystem.read
    left = [3]

    def torn(self, path):
        data = whole(self, path)
        left[0] -= 1
        return data if left[0] < 0 else data[: len(data) - 1 - left[0] * 7]

    monkeypatch.setattr(remote_base.RemoteFileSystem, "read", torn)
    assert Library(folder).latest().num_rows == 3
    assert left[0] == -1


@pytest.mark.parametrize("seed", range(4))
def test_of_two_savers_the_last_wins_and_never_a_mix(folder, monkeypatch, seed):
    chance = random.Random(seed)
    sources = [big(120), big(90)]
    savers = []
    for source in sources:
        as_another_process(monkeypatch)
        writer = Library(folder).writer(source._node.structure, "")
        savers.append((writer, source.raw_iterator()))
    going, last = [0, 1], None
    while going:
        who = chance.choice(going)
        writer, iterator = savers[who]
        block = iterator.next_block(chance.randint(1, 40))
        if block is None:
            writer.commit()
            iterator.close()
            going.remove(who)
            last = who
        else:
            writer.write(block, np.arange(block.num_rows) % 2)
        if last is not None:
            found = sorted(firsts(Dataset.load(folder)))
            assert found == list(range([120, 90][last]))


# -- networks ---------------------------------------------------------------------------------

JOBS = {
    "save": lambda path: (big().save(path), Dataset.load(path))[1],
    "snapshot": lambda path: big().snapshot(path).repeat(2).skip(200),
    "cache": lambda path: big().cache(join(path, "c")).repeat(2).skip(200),
}


@pytest.mark.parametrize("job", JOBS)
@pytest.mark.parametrize("trouble", [
    {"after": 30_000, "cuts": 4},
    {"after": 30_000, "cuts": 4, "asking": True},
    {"after": 0, "cuts": 3, "asking": True},
    {"slow": 7},
], ids=["answers cut", "questions cut", "questions cut at once", "throttled"])  # fmt: skip
def test_over_a_bad_network(server, folder, job, trouble):
    with Proxy(server.port, **trouble) as proxy:
        url = f"{folder.replace(' ', '-')}?endpoint_override={proxy.endpoint}"
        assert firsts(JOBS[job](url)) == list(range(200))
        assert proxy.cut + proxy.slowed == max(trouble.get("cuts", 0), trouble.get("slow", 0))


def test_a_store_that_stays_away(server, folder, monkeypatch):
    monkeypatch.setattr(read_ahead, "ATTEMPTS", 2)
    Dataset.range(3).save(folder)
    with Proxy(server.port, 30_000, 10_000, asking=True) as proxy:
        url = f"{folder}?endpoint_override={proxy.endpoint}"
        with pytest.raises(hr.errors.UnavailableError, match=r"parts/.*2 attempts"):
            big().save(url)
    assert numbers(Dataset.load(folder)) == [0, 1, 2]
    assert firsts(JOBS["save"](folder)) == list(range(200))


def test_the_reply_about_the_manifest_is_lost(folder, monkeypatch):
    """What is new may be in place though the save failed: then it is whole."""
    Dataset.range(3).save(folder)
    put = remote_base.RemoteFileSystem.put

    def lost(self, path, data):
        put(self, path, data)
        if path.endswith("metadata.json"):
            raise hr.errors.UnavailableError(f"{path}; connection reset")

    with monkeypatch.context() as patch, pytest.raises(hr.errors.UnavailableError):
        patch.setattr(remote_base.RemoteFileSystem, "put", lost)
        big().save(folder)
    assert firsts(Dataset.load(folder)) == list(range(200))


# -- crashes ----------------------------------------------------------------------------------

SCRIPT = """
import sys
import headrace as hr
from headrace.data.storage import remote_storage
remote_storage.PART_BYTES = 400_000
DATASET = hr.data.Dataset.range(200).map(lambda x: hr.fill([1000], x))
for turn in range(100):
    folder = f"{sys.argv[1]}/{turn % 2}"
    print("begin", flush=True)
    JOB
"""
WRITES = {
    "cache": "for x in DATASET.cache(folder): pass",
    "snapshot": "for x in DATASET.snapshot(folder): pass",
    "save": "DATASET.save(folder, shard_func=lambda x: x[0] % 2)",
}
READS = {
    "cache": lambda folder: big().cache(folder),
    "snapshot": lambda folder: big().snapshot(folder),
    "save": Dataset.load,
}


@pytest.mark.parametrize("job", WRITES)
def test_killed_at_random_moments(tmp_path, folder, job):
    """After every kill -9, what is there is whole, and the next process works."""
    chance = random.Random(11)
    for round_ in range(3):
        child = subprocess.Popen(
            [sys.executable, "-c", SCRIPT.replace("JOB", WRITES[job]), f"{folder}/{round_}"],
            stdout=subprocess.PIPE, cwd=tmp_path, env=dict(os.environ),
        )  # fmt: skip
        assert child.stdout.readline() == b"begin\n"
        time.sleep(chance.uniform(0, 0.4))
        child.send_signal(signal.SIGKILL)
        child.wait()
        child.stdout.close()
        for turn in range(2):
            path = f"{folder}/{round_}/{turn}"
            if job == "save" and Library(path).latest() is None:
                big().save(path)
            assert sorted(firsts(READS[job](path))) == list(range(200))


def test_what_the_folder_of_a_save_holds(server, folder):
    big(20).save(folder)
    name = folder.rpartition("/")[2]
    metadata = json.loads(server.get(f"bucket/{name}/metadata.json"))
    run = metadata["run"]
    file = json.loads(server.get(f"bucket/{name}/{run}/00000000.elements"))
    parts = f"{run}/00000000.elements{file['parts']}"
    assert len(file["sizes"]) == 2 and file["sizes"][0] == 100_000
    assert files_below(folder) == sorted(
        ["metadata.json", f"{run}/00000000.elements", f"{parts}/00000000", f"{parts}/00000001"]
    )
