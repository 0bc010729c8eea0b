"""Tensors shared with other libraries by DLPack, on the host; on devices: `tests/gpu`."""

import numpy as np
import pytest

import headrace as hr
from headrace.ops.string_array import StringArray


@pytest.mark.parametrize("dtype", ["float32", "float64", "int32", "uint8", "complex64", "bool"])
def test_memory_is_shared_both_ways(dtype):
    array = np.arange(6).reshape(2, 3).astype(dtype)
    x = hr.experimental.dlpack.from_dlpack(array)
    assert x.dtype.name == dtype
    array[0, 0] = 1
    np.testing.assert_array_equal(x.numpy(), array)
    back = np.from_dlpack(x)
    assert np.shares_memory(back, array)
    again = hr.experimental.dlpack.from_dlpack(hr.experimental.dlpack.to_dlpack(x))
    assert np.shares_memory(again._value, array)


def test_views_keep_their_strides():
    x = hr.experimental.dlpack.from_dlpack(np.arange(12.0).reshape(3, 4)[::2, 1:].T)
    np.testing.assert_array_equal(x.numpy(), np.arange(12.0).reshape(3, 4)[::2, 1:].T)
    assert hr.experimental.dlpack.from_dlpack(x) is x


def test_a_capsule_is_taken_once():
    capsule = hr.experimental.dlpack.to_dlpack(hr.constant([1.0]))
    hr.experimental.dlpack.from_dlpack(capsule)
    with pytest.raises(hr.errors.InvalidArgumentError, match="taken once"):
        hr.experimental.dlpack.from_dlpack(capsule)
    with pytest.raises(hr.errors.InvalidArgumentError, match="capsule"):
        hr.experimental.dlpack.from_dlpack("no capsule")


def test_what_is_read_only_is_copied_for_those_who_cannot_be_told():
    array = np.arange(3.0)
    array.setflags(write=False)
    x = hr.experimental.dlpack.from_dlpack(hr.Tensor(array))
    old = hr.experimental.dlpack.from_dlpack(x.__dlpack__())
    assert not np.shares_memory(old._value, array)
    assert np.shares_memory(np.from_dlpack(x), array)


def test_strings_and_traces_have_no_dlpack():
    with pytest.raises(BufferError, match="strings"):
        hr.experimental.dlpack.to_dlpack(hr.Tensor(StringArray.from_values(["a"])))

    @hr.function
    def shared(x):
        with pytest.raises(Exception, match="no value"):
            x.__dlpack__()
        return x

    shared(hr.constant(1.0))


def test_other_devices_are_refused():
    class OnRocm:
        def __dlpack_device__(self):
            return (10, 0)

    with pytest.raises(hr.errors.InvalidArgumentError, match="kind 10"):
        hr.experimental.dlpack.from_dlpack(OnRocm())


def test_an_array_on_a_gpu_needs_one():
    class OnGpu:
        __cuda_array_interface__ = {"shape": (1,)}

        def __dlpack_device__(self):
            return (2, 0)

    for take in (hr.experimental.dlpack.from_dlpack, hr.constant):
        with pytest.raises(hr.errors.InvalidArgumentError, match="GPU cannot be used"):
            take(OnGpu())
    assert not hasattr(hr.constant(1.0), "__cuda_array_interface__")


def test_torch_shares_memory_on_the_host():
    torch = pytest.importorskip("torch", reason="PyTorch is no dependency of the tests")
    theirs = torch.arange(6.0).reshape(2, 3)
    x = hr.experimental.dlpack.from_dlpack(theirs)
    theirs[0, 0] = 7
    assert x.numpy()[0, 0] == 7
    assert torch.from_dlpack(x).data_ptr() == theirs.data_ptr()
