"""What each process of the benches of several processes runs; rank 0 prints a JSON line.

mpiexec -n 2 python benches/scaling/worker.py step|records|bandwidth [folder]
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).parent))
import jobs

import headrace as hr
from headrace.distribute.mpi import load_mpi


def silenced(me: Any) -> Any:
    """A strategy whose replicas communicate nothing."""
    found = hr.distribute.MultiWorkerMirroredStrategy()
    (replica,) = found.extended.replicas
    replica.communicator = found.extended.communicator = jobs.Silent(me.rank, me.size)
    return found


def measured_steps(rounds: int = 5) -> dict:
    """Seconds per step alone on one core, beside the others without communication, and with."""
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    me = strategy.extended.communicator
    together = jobs.stepper(strategy, me.size)
    alone = jobs.stepper(hr.distribute.get_strategy(), 1)
    run_quiet = jobs.stepper(silenced(me), me.size)

    def in_step(run, steps=15):
        me.meet("the start of a measurement")
        began = time.perf_counter()
        for _ in range(steps):
            run()
        return (time.perf_counter() - began) / steps

    def one_at_a_time(run):
        found = 0.0
        for rank in range(me.size):
            me.meet("a turn")
            if rank == me.rank:
                found = jobs.seconds_per_step(run, 0.5)
        return found

    rows = []
    for _ in range(rounds):
        row = {
            "alone": one_at_a_time(alone),
            "control": in_step(run_quiet),
            "together": in_step(together),
        }
        rows.append({k: max(me.gather_objects(v, "figures")) for k, v in row.items()})
    return {"rows": rows}


def measured_records(folder: str, rounds: int = 3) -> dict:
    """Seconds per step of `fit` from TFRecord files, alone and together."""
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    me = strategy.extended.communicator
    files = sorted(str(p) for p in Path(folder).glob("*.tfrecord"))

    def dataset(rows):
        spec = {"x": hr.io.FixedLenFeature([jobs.SIZE], hr.float32)}
        found = hr.data.TFRecordDataset(files).repeat().batch(rows, drop_remainder=True)
        found = found.map(lambda r: hr.io.parse_example(r, spec)["x"])
        return found.map(lambda x: (x, x)).prefetch(2)

    steps = 60
    with strategy.scope():
        model = jobs.make_model()
    silent = silenced(me)
    with silent.scope():
        control = jobs.make_model()
    single = jobs.make_model()
    together, alone = dataset(jobs.BATCH * me.size), dataset(jobs.BATCH)
    rows = []
    for _ in range(rounds + 1):
        figures = {"alone": 0.0}
        for rank in range(me.size):
            me.meet("a turn")
            if rank == me.rank:
                began = time.perf_counter()
                single.fit(alone, steps_per_epoch=steps, verbose=0)
                figures["alone"] = (time.perf_counter() - began) / steps
        for name, trained in (("control", control), ("together", model)):
            me.meet("a start")
            began = time.perf_counter()
            trained.fit(together, steps_per_epoch=steps, verbose=0)
            figures[name] = (time.perf_counter() - began) / steps
        rows.append({k: max(me.gather_objects(v, "figures")) for k, v in figures.items()})
    return {"rows": rows[1:]}


def measured_bandwidth(size_bytes: int = 64 << 20, rounds: int = 7) -> dict:
    """Bytes per second of an all-reduce through the strategy and by mpi4py alone."""
    mpi = load_mpi()
    strategy = hr.distribute.MultiWorkerMirroredStrategy()
    me = strategy.extended.communicator
    array = np.ones(size_bytes // 4, np.float32)
    out = np.empty_like(array)
    bare = mpi.COMM_WORLD.Dup()
    rows = []
    for _ in range(rounds):
        times = {}
        me.meet("a start")
        began = time.perf_counter()
        bare.Allreduce(array, out, mpi.SUM)  # the array stays as it is, as with ours
        times["bare"] = time.perf_counter() - began
        me.meet("a start")
        began = time.perf_counter()
        me.all_reduce([array])
        times["strategy"] = time.perf_counter() - began
        rows.append({k: max(me.gather_objects(v, "figures")) for k, v in times.items()})
    return {"rows": rows[1:], "size_bytes": size_bytes}


if __name__ == "__main__":
    what = {
        "step": measured_steps,
        "records": measured_records,
        "bandwidth": measured_bandwidth,
    }
    found = what[sys.argv[1]](*sys.argv[2:])
    if load_mpi().COMM_WORLD.Get_rank() == 0:
        print(json.dumps(found))
