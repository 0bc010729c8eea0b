"""Large arrays are used again exactly when nothing shares their memory."""

import threading

import numpy as np

import headrace as hr
from headrace.ops import recycling
from headrace.ops.recycling import Shelf

SHAPE = (512, 128)


def address(array):
    return array.__array_interface__["data"][0]


def test_an_array_nobody_holds_is_used_again():
    shelf = Shelf()
    first = address(shelf.empty(SHAPE, np.float32))
    assert all(address(shelf.empty(SHAPE, np.float32)) == first for _ in range(5))


def test_arrays_views_and_tensors_keep_theirs():
    shelf = Shelf()
    for holder in (lambda a: a, lambda a: a[3:4, ::2], memoryview, hr.Tensor.of,
                   lambda a: hr.Tensor.of(a)[1]):  # fmt: skip
        array = shelf.empty(SHAPE, np.float32)
        array[:] = 7
        held = holder(array)
        del array
        others = [shelf.empty(SHAPE, np.float32) for _ in range(6)]
        for other in others:
            other[:] = 0
        assert (np.asarray(held) == 7).all()
        assert len({address(o) for o in others}) == 6


def test_other_shapes_and_dtypes_get_their_own():
    shelf = Shelf()
    shelf.empty(SHAPE, np.float32)
    assert shelf.empty(SHAPE, np.int32).dtype == np.int32
    assert shelf.empty((128, 512), np.float32).shape == (128, 512)


def test_a_shelf_keeps_no_more_than_its_places():
    shelf = Shelf(places=2)
    for k in range(1, 8):
        shelf.empty((100_000 << k,), np.uint8)
    assert len(shelf._buffers) == 2


def test_small_arrays_are_the_allocators():
    shelf = Shelf()
    shelf.empty((10,), np.float32)
    assert not shelf._buffers
    assert recycling.empty((3, 4), np.uint8).shape == (3, 4)


def test_threads_never_get_the_same_array():
    shelf, wrong = Shelf(places=4), []

    def work(k):
        for _ in range(300):
            array = shelf.empty((256, 256), np.int32)
            array[:] = k
            if (array != k).any():
                wrong.append(k)

    threads = [threading.Thread(target=work, args=(k,)) for k in range(4)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    assert not wrong
