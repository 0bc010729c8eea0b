"""A rank that ends before MPI has started leaves nobody waiting; ranks end cleanly."""

import pytest

pytestmark = [pytest.mark.timeout(200), pytest.mark.processes]

ABSENT = """
    if os.environ["PMI_RANK"] == "1":
        raise SystemExit("no data on this machine")
    hr.distribute.MultiWorkerMirroredStrategy()
    print("never")
"""


def test_a_rank_that_never_starts_ends_the_job(run_job):
    found = run_job(2, ABSENT, env={"HEADRACE_MPI_START_S": "3"})
    assert found.code != 0
    assert "never" not in found.out
    assert "no data on this machine" in found.err
    assert "wait_for_all_ranks_to_start_mpi" in found.err


END = """
    import atexit

    first = hr.distribute.MultiWorkerMirroredStrategy()
    atexit.register(time.sleep, 1.2)  # runs when all of the second strategy is closed
    hr.distribute.MultiWorkerMirroredStrategy()
"""


def test_ranks_end_cleanly_one_strategy_after_the_other(run_job):
    found = run_job(2, END)
    assert found.code == 0, found.err
