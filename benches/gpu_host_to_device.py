"""The ring of pinned slots against a plain pinned copy: ``python gpu_host_to_device.py``.

Also whether copies run beside work: a step of about a copy's length is queued per element, and
the time of both together is compared with the longer one alone.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
from gpu_device import cupy_or_exit, describe, event_seconds, measured, write

AIM = 0.9


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mib", type=int, nargs="*", default=[1, 16, 147])
    parser.add_argument("--elements", type=int, default=60)
    options = parser.parse_args()
    cupy = cupy_or_exit()
    from headrace.data.device_copies import CupyCopies
    from headrace.data.device_ring import DeviceRing

    rows = []
    for mib in options.mib:
        size = mib << 20
        host = np.random.default_rng(0).integers(0, 255, size, np.uint8)
        copies = CupyCopies(cupy.cuda.Device().id)
        pinned, to = copies.pinned(size), cupy.empty(size, np.uint8)
        pinned[:] = host
        plain = size / event_seconds(cupy, lambda p=pinned, t=to: t.set(p))
        work = cupy.random.random((4096, 4096), np.float32)

        def step(work: object = work) -> None:
            cupy.matmul(work, work)

        alone = event_seconds(cupy, step)
        repeat = max(int(size / plain / alone), 1)

        def run(busy: bool, host: np.ndarray = host, repeat: int = repeat) -> float:
            elements = iter([host] * (options.elements + 5))
            ring = DeviceRing(elements, CupyCopies(cupy.cuda.Device().id), 3)
            for i, element in enumerate(ring):
                if i == 5:
                    cupy.cuda.Device().synchronize()
                    began = time.perf_counter()
                for _ in range(repeat if busy else 0):
                    step()
                del element
            cupy.cuda.Device().synchronize()
            return (time.perf_counter() - began) / options.elements

        idle, busy = run(False), run(True)
        longer = max(idle, repeat * alone)
        rows.append(
            measured(
                f"host to device, {mib} MiB", "share of pinned bandwidth", size / idle / plain,
                AIM, pinned_gb_s=plain / 1e9, ring_gb_s=size / idle / 1e9, copy_ms=1e3 * idle,
                work_ms=1e3 * repeat * alone, both_ms=1e3 * busy,
                both_over_longer=busy / longer,
            )
        )  # fmt: skip
    write("host_to_device", rows, describe(cupy))


if __name__ == "__main__":
    main()
