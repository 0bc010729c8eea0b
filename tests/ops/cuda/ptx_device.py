"""A device whose kernels run as PTX on the CPU, on NumPy arrays, every access checked."""

import functools

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
