"""Arrays over memory that is lent: what CuPy's `UnownedMemory` is on a device."""

import numpy as np

__all__ = ["Exported", "Pointer", "array_over"]


class Exported:
    """What an array over the first bytes of `data`, and its views, keep alive.

    Attributes:
        data: the bytes.
        kept: whatever is to live as long.
    """

    def __init__(self, data, size, *kept):
        self.data, self.kept = data, kept
        where = np.frombuffer(data, np.uint8).__array_interface__["data"][0]
        self.__array_interface__ = {
            "shape": (size,), "typestr": "|u1", "data": (where, False), "version": 3,
        }  # fmt: skip


def array_over(data, shape, dtype, *kept):
    """An array over bytes; `kept` live as long as it or a view of it."""
    size = int(np.prod(shape)) * dtype.itemsize
    return np.asarray(Exported(data, size, *kept)).view(dtype).reshape(shape)


class Pointer:
    """An array as a device knows it: an address, which keeps nothing alive."""

    def __init__(self, array):
        self.shape, self.dtype, self.strides = array.shape, array.dtype, array.strides
        exported = array
        while not isinstance(exported, Exported):
            exported = exported.base
        self.data = exported.data
        start = exported.__array_interface__["data"][0]
        self.offset = array.__array_interface__["data"][0] - start

    def view(self):
        return np.ndarray(self.shape, self.dtype, self.data, self.offset, self.strides)
