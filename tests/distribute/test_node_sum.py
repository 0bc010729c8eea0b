"""Sums in shared memory equal those of MPI: all sizes, kinds and places of processes."""

import json

import pytest

pytestmark = [pytest.mark.timeout(400), pytest.mark.processes]

SUMS = """
    import ml_dtypes
    from headrace.distribute.mpi import load_mpi
    from headrace.distribute.node_sum import NodeSum

    MPI = load_mpi()
    world = MPI.COMM_WORLD
    rank, count, per_node = world.Get_rank(), world.Get_size(), int(sys.argv[1])
    node = world.Split(rank // per_node, rank) if per_node else None
    sums = NodeSum(MPI, world, node, piece_bytes=256)
    assert sums.works and sums.one_machine == (per_node in (0, count))
    rng = np.random.default_rng(3)  # the same sizes everywhere
    checked = 0
    for kind in (np.float32, np.float64, np.int32, np.int64, np.complex64):
        for size in (0, 1, 2, 63, 64, 65, 128, *rng.integers(1, 500, 5)):
            own = np.random.default_rng([rank, size]).integers(-99, 99, size).astype(kind)
            wanted = np.empty_like(own)
            world.Allreduce(own, wanted, MPI.SUM)
            before = own.copy()
            found = np.full_like(own, 7)
            sums.sum([own], [found])
            assert np.array_equal(found, wanted), (kind, size)
            assert np.array_equal(own, before)
            sums.sum([own], [own])  # in place
            assert np.array_equal(own, wanted), (kind, size)
            checked += 1
    # Several arrays at once are as one after the other.
    sizes = rng.integers(0, 200, 9)
    many = [np.full(n, rank + i, np.int64) for i, n in enumerate(sizes)]
    found = [np.zeros_like(a) for a in many]
    sums.sum(many, found)
    for i, array in enumerate(found):
        assert (array == sum(range(count)) + count * i).all(), i
    # Not only equal but the same bits for all.
    uneven = np.random.default_rng(rank).normal(size=999).astype(np.float32)
    sums.sum([uneven], [uneven])
    assert len(set(world.allgather(uneven.tobytes()))) == 1
    if sums.one_machine:  # added in float32, rounded once
        halves = np.random.default_rng(rank).normal(size=333).astype(ml_dtypes.bfloat16)
        wanted = sum(h.astype(np.float64) for h in world.allgather(halves)).astype(np.float32)
        found = np.empty_like(halves)
        sums.sum([halves], [found], np.dtype(np.float32))
        assert np.array_equal(found, wanted.astype(ml_dtypes.bfloat16))
    if rank == 0:
        print(json.dumps(checked))
"""


@pytest.mark.parametrize(
    ("processes", "per_node"), [(2, 0), (3, 3), (4, 2)], ids=["one", "three", "two-by-two"]
)
def test_sums_are_those_of_mpi(run_job, processes, per_node):
    job = run_job(processes, SUMS, per_node)
    assert job.code == 0, job.err
    assert json.loads(job.out) == 5 * 12


def test_machines_of_unequal_numbers_leave_it_to_mpi(run_job):
    job = run_job(3, """
        from headrace.distribute.mpi import load_mpi
        from headrace.distribute.node_sum import NodeSum
        MPI = load_mpi()
        world = MPI.COMM_WORLD
        node = world.Split(world.Get_rank() // 2, world.Get_rank())
        assert not NodeSum(MPI, world, node).works
    """)  # fmt: skip
    assert job.code == 0, job.err
