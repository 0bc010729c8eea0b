"""Memory laws, each in a process of its own: buffers hold rows once, epochs do not add up,
iterators that are dropped leave nothing."""

import subprocess
import sys
import textwrap

import pytest

PRELUDE = """
import gc, os, resource, threading, time
import headrace as hr
from headrace.data import Dataset

def now_mb():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / 1e6

def peak_mb():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3

def rows(count):
    return Dataset.range(count).map(lambda x: hr.fill([256], hr.cast(x, hr.float32)))

def run(dataset):
    for _ in dataset:
        pass

run(Dataset.range(100_000).shuffle(10))  # what is loaded once: the compiler, thread stacks
run(rows(100).shuffle(10).cache().batch(3))
time.sleep(0.5)
"""


def measured(script):
    code = PRELUDE + textwrap.dedent(script)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return [float(x) for x in done.stdout.split()]


pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux"), reason="reads /proc/self/statm"
)


def test_shuffle_holds_rows_once():
    """10,000 rows of 1 KB: 10 MB, and the blocks on their way, which are bounded."""
    small, large = measured("""
        before = peak_mb()
        run(rows(60_000).shuffle(10))
        small = peak_mb()
        run(rows(60_000).shuffle(10_000))
        print(small - before, peak_mb() - small)
    """)
    assert small < 60, "blocks on their way"
    # How many blocks were on their way at once differs; see below for the buffer alone.
    assert small + large < 80, "and the buffer"


@pytest.mark.parametrize(
    "kind,row_bytes,most", [("numbers", 1024, 1.2), ("even", 1000, 1.2), ("uneven", 1030, 1.6)]
)
def test_a_larger_shuffle_takes_its_rows_once(kind, row_bytes, most):
    """30,000 more rows of about 1 KB: their bytes, 24 for each row's place, and no copies."""
    (grown,) = measured(f"""
        import tempfile
        import numpy as np
        if "{kind}" == "numbers":
            dataset = rows(60_000)
        else:
            path = os.path.join(tempfile.mkdtemp(), "records")
            sizes = np.random.default_rng(1).integers(20, 2040, 60_000)
            with hr.io.TFRecordWriter(path) as writer:
                for size in sizes:
                    writer.write(bytes(int(size) if "{kind}" == "uneven" else 1000))
            dataset = hr.data.TFRecordDataset(path)
        options = hr.data.Options()
        options.autotune.ram_budget = 8 << 20  # for the blocks on their way
        run(dataset.shuffle(5_000).with_options(options))
        before = peak_mb()
        run(dataset.shuffle(35_000).with_options(options))
        print(peak_mb() - before)
    """)
    assert grown < most * 30_000 * row_bytes / 1e6 + 12


def test_a_ram_budget_keeps_blocks_small():
    (grown,) = measured("""
        options = hr.data.Options()
        options.autotune.ram_budget = 4 << 20
        before = peak_mb()
        run(rows(60_000).with_options(options))
        print(peak_mb() - before)
    """)
    assert grown < 20


@pytest.mark.parametrize("cached", ["cache()", "cache(os.path.join(folder, 'c'))"])
def test_epochs_do_not_add_up(cached):
    (grown,) = measured(f"""
        import tempfile
        folder = tempfile.mkdtemp()
        dataset = rows(5000).{cached}.shuffle(1000).map(lambda x: x + 1.0).batch(32).prefetch(2)
        run(dataset)
        run(dataset)
        before = now_mb()
        for _ in range(50):
            run(dataset)
        gc.collect()
        print(now_mb() - before)
        import shutil
        shutil.rmtree(folder)
    """)
    assert grown < 50


def test_repeat_does_not_add_up():
    (grown,) = measured("""
        dataset = rows(5000).cache().shuffle(1000).repeat(50).batch(32)
        iterator = iter(dataset)
        for _ in range(400):
            next(iterator)
        before = now_mb()
        for _ in iterator:
            pass
        print(now_mb() - before)
    """)
    assert grown < 50


def test_ten_thousand_iterators_leave_nothing():
    threads, files, grown = measured("""
        import tempfile
        path = os.path.join(tempfile.mkdtemp(), "c")
        run(Dataset.range(50).cache(path))
        dataset = (Dataset.range(50).cache(path).map(lambda x: x + 1, num_parallel_calls=2)
                   .shuffle(7).interleave(lambda x: Dataset.range(x % 3 + 1), cycle_length=2)
                   .batch(4).prefetch(2))
        def cycle(n):
            for _ in range(n):
                with iter(dataset) as iterator:
                    next(iterator)
            gc.collect()
        cycle(300)
        time.sleep(0.3)
        threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
        before = now_mb()
        cycle(10_000)
        time.sleep(0.3)
        print(threading.active_count() - threads, len(os.listdir("/proc/self/fd")) - files,
              now_mb() - before)
    """)
    assert threads <= 0 and files <= 0
    assert grown < 20
