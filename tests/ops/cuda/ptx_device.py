"""A device whose kernels run as PTX on the CPU, on NumPy arrays, every access checked.

On a machine with a GPU, ``HEADRACE_KERNELS_ON_GPU=1 pytest tests/ops/cuda`` runs the same tests
there: every launch copies its arrays to the device and back.  With ``exact`` every array is an
allocation of its own, for compute-sanitizer (`tests/gpu/test_sanitizer.py`).
"""

import functools
import os

import numpy as np
import ptx_machine

from headrace.ops.cuda import device, nvrtc


@functools.lru_cache(None)
def module(source, arch):
    return ptx_machine.Module(nvrtc.compile_source(source, arch, ptx=True).decode())


class PtxDevice(device.Device):
    """Launches run at once.

    Attributes:
        launches: (kernel name, grid, block) of all so far.
        kernels: all so far.
    """

    def __init__(self, arch="sm_80", processors=2):
        self.arch, self.processors, self.xp = arch, processors, np
        self.launches, self.kernels = [], set()

    def address(self, array):
        return array.__array_interface__["data"][0]

    def constant(self, values):
        return values.copy()

    def launch(self, kernel, grid, block, args, shared=0, touched=()):
        self.kernels.add(kernel)
        self.launches.append((kernel.name, grid, block))
        given, buffers = [], []
        for a in args:
            if isinstance(a, np.generic):
                given.append(a.tobytes())
            else:
                given.append(np.uint64(self.address(a)).tobytes())
                buffers.append(_span(a))
        buffers += [_span(a) for a in touched]
        grid = (grid,) if isinstance(grid, int) else grid
        block = (block,) if isinstance(block, int) else block
        ptx_machine.launch(
            module(kernel.source, self.arch), kernel.name, grid, block, given, shared,
            sorted(set(buffers)),
        )  # fmt: skip


def _span(array):
    low, high = np.lib.array_utils.byte_bounds(array)
    return low, high - low


class GpuDevice(device.Device):
    """A GPU for tests that have NumPy arrays: they are copied there and back at each launch."""

    def __init__(self, arch=None, processors=2):
        if os.environ["HEADRACE_KERNELS_ON_GPU"] == "exact":
            import cupy

            cupy.cuda.set_allocator(None)  # no pool: every array an allocation of the driver's
        self.own = device.CupyDevice(0)
        self.arch, self.processors, self.xp = self.own.arch, processors, np
        self.launches, self.kernels = [], set()

    def address(self, array):
        return array.__array_interface__["data"][0]

    def constant(self, values):
        return values.copy()

    def launch(self, kernel, grid, block, args, shared=0, touched=()):
        import cupy

        self.kernels.add(kernel)
        self.launches.append((kernel.name, grid, block))
        rooms, moved = [], {}  # (host array, its copy); addresses there
        for a in (*touched, *(a for a in args if not isinstance(a, np.generic))):
            at = self.address(a)
            if at in moved:
                continue
            values = np.ascontiguousarray(a)
            table = bool(touched) and a.dtype == np.uint64 and not any(a is t for t in touched)
            if table:  # of addresses
                flat = [moved.get(int(v), int(v)) for v in values.reshape(-1)]
                values = np.array(flat, np.uint64)
            # As far from a multiple of 256 as on the host, so that packs are as wide; it ends
            # where the array does, so that a memory checker sees what reaches beyond it.
            room = cupy.empty(at % 256 + a.nbytes, np.uint8)[at % 256 :]
            room.set(values.reshape(-1).view(np.uint8))
            moved[at] = room.data.ptr
            rooms.append((None if table else a, room))
        given = [
            a if isinstance(a, np.generic) else np.uint64(moved[self.address(a)]) for a in args
        ]
        self.own.launch(kernel, grid, block, given, shared)
        cupy.cuda.Device(0).synchronize()
        for a, room in rooms:
            if a is not None and a.flags.writeable:
                np.copyto(a, room.get().view(a.dtype).reshape(a.shape))


if os.environ.get("HEADRACE_KERNELS_ON_GPU") in ("1", "exact"):
    PtxDevice = GpuDevice  # type: ignore[misc]
