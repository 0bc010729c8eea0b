"""The GPU of a worker process, and NCCL between the workers, bootstrapped over their host
communicator: rank 0 makes the id of the group, all join it.

Processes of one machine that see the same GPUs take one each, in the order of their ranks; a
launcher that shows each process a GPU of its own is as good.
"""

from __future__ import annotations

import os
import platform
import warnings
from collections.abc import Sequence
from typing import Any

from ..ops.context import placing
from ..ops.devices import HOST, devices
from ..ops.errors import FailedPreconditionError
from .nccl import NcclLinks, load_nccl
from .options import CommunicationImplementation

__all__ = ["choose_gpu", "nccl_links", "worker_place"]


def choose_gpu(seen: Sequence[tuple[Any, int]], rank: int) -> int | None:
    """The logical GPU that a rank takes; None where there are too few.

    Args:
        seen: for every rank what tells apart who sees which GPUs, and how many it sees.
        rank: whose.

    >>> [choose_gpu([("a", 2), ("b", 2), ("a", 2), ("a", 2)], rank) for rank in range(4)]
    [0, 0, 1, None]
    """
    mine, count = seen[rank]
    local = sum(other == mine for other, _ in seen[:rank])
    return local if local < count else None


def worker_place(host: Any, implementation: Any) -> tuple[int | None, bool]:
    """Where a worker computes (a GPU's number, `HOST`, or None where there are no GPUs), and
    whether the workers communicate by NCCL; all workers decide alike.

    Args:
        host: the workers' communicator; it has `gather_objects`.
        implementation: of `CommunicationOptions`: NCCL takes GPUs, AUTO where there is one for
            every worker, RING none.

    Raises:
        ValueError: another implementation.
        FailedPreconditionError: NCCL is asked for, and not every worker has a GPU or NCCL.
    """
    name = str(getattr(implementation, "name", implementation)).upper()
    if name not in CommunicationImplementation.__members__:
        raise ValueError(
            "implementation must be one of "
            f"{', '.join(CommunicationImplementation.__members__)}, got {implementation!r}"
        )
    count, why_no_nccl = 0, ""
    if name != "RING" and placing.on and devices.backend is not None:
        count = len(devices.logical("GPU"))
        try:
            load_nccl("communication between workers on GPUs")
        except ImportError as error:
            why_no_nccl = str(error)
    seen = (platform.node(), os.environ.get("CUDA_VISIBLE_DEVICES"))
    told = host.gather_objects((seen, count, why_no_nccl), "the choice of GPUs")
    gpus = [choose_gpu([t[:2] for t in told], rank) for rank in range(len(told))]
    missing = [rank for rank, gpu in enumerate(gpus) if gpu is None]
    no_nccl = [rank for rank, t in enumerate(told) if t[2]]
    needs_nccl = len(told) > 1 or name == "NCCL"
    if not missing and not (no_nccl and needs_nccl):
        mine = gpus[host.rank]
        assert mine is not None
        return devices.gpu_number(mine), needs_nccl
    if missing:
        reason = devices.why_none or f"they see {[told[r][1] for r in missing]} GPU(s)"
        why = f"rank(s) {missing} have no GPU of their own: {reason}"
    else:
        why = f"rank(s) {no_nccl} have no NCCL: {told[no_nccl[0]][2]}"
    if name == "NCCL":
        raise FailedPreconditionError(
            f"CommunicationImplementation.NCCL needs a GPU and NCCL on every worker, but {why}"
            "; start as many processes per machine as it has GPUs, or leave the implementation "
            "to AUTO, which then computes on the CPUs"
        )
    if any(t[1] for t in told) and host.rank == 0:
        warnings.warn(f"the workers compute on CPUs, for {why}", stacklevel=4)
    return (HOST if placing.on else None), False


def nccl_links(host: Any, place: int) -> NcclLinks:
    """This worker's link to the others' GPUs; all workers call it.

    Args:
        host: the workers' communicator.
        place: number of this worker's GPU.
    """
    backend, nccl = load_nccl("communication between workers on GPUs")
    made = nccl.get_unique_id() if host.rank == 0 else None
    number = host.gather_objects(made, "the id of NCCL's group")[0]

    def connect() -> list[Any]:
        with backend.on(place):
            return [nccl.NcclCommunicator(host.size, number, host.rank)]

    links = NcclLinks(backend, nccl, [place], connect)
    host.meet("the start of NCCL")
    links.open()
    return links
