"""Tensors on GPUs shared with CuPy and PyTorch, by DLPack and CUDA's array interface."""

import numpy as np
import pytest

import headrace as hr

from_dlpack, to_dlpack = hr.experimental.dlpack.from_dlpack, hr.experimental.dlpack.to_dlpack


def address(array):
    return array.__cuda_array_interface__["data"][0]


def test_device_memory_is_shared(gpus):
    for index in range(min(gpus.count, 2)):
        with gpus.xp.cuda.Device(index):
            theirs = gpus.xp.arange(3.0)
        x = from_dlpack(theirs)
        assert x.device.endswith(f"GPU:{index}")
        assert tuple(map(int, x.__dlpack_device__())) == (2, index)
        assert address(x) == address(theirs)
        assert (x + 1).numpy().tolist() == [1.0, 2.0, 3.0]


def test_a_device_array_becomes_a_tensor_of_its_own(gpus):
    theirs = gpus.xp.arange(3.0)
    x = hr.constant(theirs)
    theirs += 1
    assert x.device.endswith("GPU:0")
    assert x.numpy().tolist() == [0, 1, 2]
    assert hr.constant(theirs, hr.float32).dtype is hr.float32
    with pytest.raises(TypeError, match="Cannot convert"):
        hr.convert_to_tensor(theirs, hr.int32)
    assert hr.Tensor(theirs)._value is theirs


def test_host_tensors_have_no_cuda_interface(gpus):
    assert not hasattr(hr.constant([1.0]).cpu(), "__cuda_array_interface__")
    assert hasattr(hr.constant([1.0]), "__cuda_array_interface__")


@pytest.fixture
def torch(gpus):
    """PyTorch with CUDA."""
    if not gpus.real:
        pytest.skip("PyTorch knows CUDA's memory only")
    found = pytest.importorskip("torch", reason="PyTorch is no dependency of the tests")
    if not found.cuda.is_available():
        pytest.skip("this PyTorch has no CUDA")
    return found


@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16", "int64", "bool"])
def test_torch_shares_memory(torch, dtype):
    theirs = torch.arange(6, device="cuda").reshape(2, 3).to(getattr(torch, dtype))
    x = from_dlpack(theirs)
    assert x.dtype.name == dtype and address(x) == theirs.data_ptr()
    back = torch.from_dlpack(x)
    assert back.data_ptr() == theirs.data_ptr() and torch.equal(back, theirs)
    capsule = torch.utils.dlpack.from_dlpack(to_dlpack(x))
    assert capsule.data_ptr() == theirs.data_ptr()
    np.testing.assert_array_equal(hr.cast(x, "float32").numpy(), theirs.float().cpu().numpy())


def test_a_stream_of_torchs_is_waited_for(torch):
    """What a busy side stream will have written is what the tensor holds."""
    side = torch.cuda.Stream()
    big = torch.ones(1 << 24, device="cuda")
    torch.cuda.synchronize()
    with torch.cuda.stream(side):
        for _ in range(50):
            big = big * 1.0 + 1.0
        x = from_dlpack(big)
    assert float(hr.reduce_min(x)) == float(hr.reduce_max(x)) == 51.0


def test_work_queued_here_is_waited_for_by_torch(torch):
    x = hr.ones([1 << 24])
    for _ in range(50):
        x = x + 1.0
    side = torch.cuda.Stream()
    with torch.cuda.stream(side):
        assert float(torch.from_dlpack(x).min()) == 51.0


# -- busy streams -----------------------------------------------------------------------------


def busy():
    """A tensor whose numbers, all 51, are made for some milliseconds still."""
    x = hr.ones([1 << 24])
    for _ in range(50):
        x = x + 1.0
    return x


@pytest.fixture
def cupy(gpus):
    """CuPy, whose streams have work queued."""
    if not gpus.real:
        pytest.skip("the double's streams have always done their work")
    return gpus.xp


@pytest.mark.parametrize("way", ["from_dlpack", "asarray"])
def test_cupy_waits_on_another_stream(cupy, way):
    x = busy()
    side = cupy.cuda.Stream(non_blocking=True)
    with side:
        y = getattr(cupy, way)(x) * 1.0
        lowest = float(y.min())
    assert lowest == 51.0


def test_what_cupys_stream_makes_is_waited_for(cupy):
    side = cupy.cuda.Stream(non_blocking=True)
    with side:
        theirs = cupy.ones(1 << 24, "f4")
        for _ in range(50):
            theirs = theirs + 1
        x = from_dlpack(theirs)
        lowest = float(hr.reduce_min(x))
    assert lowest == 51.0


def test_torch_reads_the_array_interface(torch):
    x = busy()
    theirs = torch.as_tensor(x, device="cuda")
    assert theirs.data_ptr() == address(x)
    assert float(theirs.min()) == float(theirs.max()) == 51.0


def test_torch_writes_what_is_seen_here(torch):
    theirs = torch.zeros(1 << 22, device="cuda")
    x = from_dlpack(theirs)
    theirs += 3
    torch.cuda.synchronize()
    assert float(hr.reduce_min(x)) == 3.0
