"""JPEGs decoded on the GPU by functions that run there, on a fake of nvImageCodec's interface
(0.9) where there is no GPU: the pixels it gives differ from the CPU's in their last bit."""

import importlib.util
import io
import sys
import types

import numpy as np
import pytest
from late_copies import Late
from PIL import Image

import headrace as hr
from headrace.data import Dataset, device_dataset
from headrace.ops import image_jpeg, image_nvimgcodec

GPU = "/job:localhost/replica:0/task:0/device:GPU:0"
GRAY, SRGB = object(), object()


class CodeStream:
    """Of bytes in a NumPy array."""

    def __init__(self, array):
        assert isinstance(array, np.ndarray) and array.dtype == np.uint8
        assert array.flags.c_contiguous
        self.data = array.tobytes()
        try:
            mode = Image.open(io.BytesIO(self.data)).mode
        except OSError:
            raise RuntimeError("Unsupported file format") from None
        self.num_channels = {"L": 1, "RGB": 3, "CMYK": 4}[mode]


class Decoded:
    """An image on a device."""

    def __init__(self, pixels, device):
        self._pixels, self._device = pixels, device

    def __dlpack__(self, stream=None, **more):
        return self._pixels.__dlpack__()

    def __dlpack_device__(self):
        return (2, self._device)


class Decoder:
    """Attributes:
    made: those there are.
    calls: how many images were decoded.
    """

    made = []

    def __init__(self, *, device_id, options=""):
        assert device_id >= 0
        self.device, self.options, self.calls = device_id, options, 0
        Decoder.made.append(self)

    def decode(self, src, *, params, cuda_stream=0):
        assert isinstance(cuda_stream, int)
        self.calls += 1
        channels = 1 if params.color_spec is GRAY else 3
        try:
            pixels = image_jpeg.decode(np.frombuffer(src.data, np.uint8), channels=channels)
        except hr.errors.InvalidArgumentError:
            return None  # truncated
        return Decoded(pixels ^ 1, self.device)


@pytest.fixture
def codec(gpus, monkeypatch):
    """nvImageCodec, or the fake of it: its decoders."""
    monkeypatch.setattr(image_nvimgcodec, "_decoders", {})
    if gpus.real:
        if image_nvimgcodec.why_none():
            pytest.skip(image_nvimgcodec.why_none())
        return None
    monkeypatch.setattr(device_dataset, "CupyCopies", Late)
    monkeypatch.setattr(Late, "waits", True)
    fake = types.ModuleType("fake_nvimgcodec")
    fake.__spec__ = importlib.util.spec_from_loader("fake_nvimgcodec", None)
    fake.CodeStream, fake.Decoder, fake.GRAY, fake.SRGB = CodeStream, Decoder, GRAY, SRGB
    fake.DecodeParams = lambda *, apply_exif_orientation, color_spec: types.SimpleNamespace(
        color_spec=color_spec, apply_exif_orientation=apply_exif_orientation
    )
    monkeypatch.setitem(sys.modules, "fake_nvimgcodec", fake)
    monkeypatch.setattr(image_nvimgcodec, "_MODULE", "fake_nvimgcodec")
    monkeypatch.setattr(Decoder, "made", [])
    return Decoder


def files(*sizes, mode="RGB"):
    rng = np.random.default_rng(2)
    found = []
    for height, width in sizes or [(8, 8), (16, 24), (9, 7)]:
        small = rng.integers(0, 256, (2, 2, 3), dtype=np.uint8)
        image = Image.fromarray(small).resize((width, height), Image.BILINEAR).convert(mode)
        out = io.BytesIO()
        image.save(out, "JPEG", quality=95)
        found.append(out.getvalue())
    return found


def on(dataset):
    options = hr.data.Options()
    options.experimental_optimization.device_decode = True
    return dataset.with_options(options)


def decoded(contents):
    return hr.io.decode_jpeg(contents)


def text(dataset):
    return " ".join(dataset.explain().split())


def near(found, wanted, real):
    assert len(found) == len(wanted)
    for a, b in zip(found, wanted, strict=True):
        assert a.device == GPU and a.dtype is hr.uint8 and a.shape == b.shape
        if real:
            assert np.abs(a.numpy().astype(int) - b.astype(int)).mean() < 3
        else:
            np.testing.assert_array_equal(a.numpy() ^ 1, b)


@pytest.mark.parametrize("mode", ["RGB", "L"])
@pytest.mark.parametrize("channels", [0, 1, 3])
def test_images_are_decoded_on_the_gpu(gpus, codec, mode, channels):
    def fn(contents):
        return hr.io.decode_jpeg(contents, channels)

    data = Dataset.from_tensor_slices(files(mode=mode))
    want = list(data.map(fn).as_numpy_iterator())
    dataset = on(data.map(fn, device="gpu:0"))
    assert "+ 'fn' decodes JPEGs on the GPU, with nvImageCodec" in text(dataset)
    near(list(dataset), want, gpus.real)
    if codec is not None:
        assert [(d.device, d.calls, d.options) for d in codec.made] == [
            (0, 3, ":fancy_upsampling=1")
        ]
    host = list(dataset.as_numpy_iterator())  # on the CPU
    for a, b in zip(host, want, strict=True):
        np.testing.assert_array_equal(a, b)


def test_what_follows_runs_on_the_gpu_too(gpus, codec):
    def fn(contents, label):
        image = hr.image.resize(hr.io.decode_jpeg(contents, 3), [6, 5])
        return hr.clip_by_value(image / 255, 0, 1), label

    data = Dataset.from_tensor_slices((files(), [1, 2, 3]))
    want = list(data.map(fn).as_numpy_iterator())
    for (x, y), (a, b) in zip(on(data.map(fn, device="gpu:0")), want, strict=True):
        assert x.device == GPU and int(y) == b
        np.testing.assert_allclose(x.numpy(), a, atol=0.05)


def test_a_batch_of_files_is_decoded_row_by_row(gpus, codec):
    def rows(batch):
        def one(contents):
            return hr.image.resize(hr.io.decode_jpeg(contents, 3), [4, 4])

        return hr.map_fn(one, batch, fn_output_signature=hr.TensorSpec([4, 4, 3], "float32"))

    data = Dataset.from_tensor_slices(files()).batch(3)
    (want,) = data.map(rows).as_numpy_iterator()
    dataset = on(data.map(rows, device="gpu:0"))
    assert "decodes JPEGs on the GPU" in text(dataset)
    (found,) = dataset
    assert found.device == GPU
    np.testing.assert_allclose(found.numpy(), want, atol=8)
    assert codec is None or codec.made[0].calls == 3


def test_it_is_off_unless_it_is_switched_on(gpus, codec):
    data = Dataset.from_tensor_slices(files())
    dataset = data.map(decoded, device="gpu:0")
    assert "device_decode off: not switched on" in text(dataset)
    for found, want in zip(dataset, data.map(decoded).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(found.numpy(), want)
    assert codec is None or codec.made == []


def test_the_cpu_decodes_where_nvimagecodec_does_not(gpus, codec):
    data = Dataset.from_tensor_slices([*files(mode="CMYK"), *files((8, 8))])
    want = list(data.map(decoded).as_numpy_iterator())
    found = list(on(data.map(decoded, device="gpu:0")))
    for a, b in zip(found[:3], want, strict=False):
        np.testing.assert_array_equal(a.numpy(), b)
    near(found[3:], want[3:], gpus.real)


@pytest.mark.parametrize(
    "how", [{"ratio": 2}, {"dct_method": "INTEGER_ACCURATE"}, {"try_recover_truncated": True}]
)
def test_what_only_the_cpu_decoder_has(gpus, codec, how):
    def fn(contents):
        return hr.io.decode_jpeg(contents, **how)

    data = Dataset.from_tensor_slices(files())
    dataset = on(data.map(fn, device="gpu:0"))
    assert "'fn' decodes with a `ratio`, `dct_method` or" in text(dataset)
    for found, want in zip(dataset, data.map(fn).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(found.numpy(), want)


def test_the_plan_says_what_is_missing(gpus, codec, monkeypatch):
    monkeypatch.setattr(image_nvimgcodec, "_MODULE", "nowhere.nvimgcodec")
    data = Dataset.from_tensor_slices(files())
    dataset = on(data.map(decoded, device="gpu:0"))
    said = text(dataset)
    assert "the CPU decodes: nvImageCodec is not installed: pip install" in said
    for found, want in zip(dataset, data.map(decoded).as_numpy_iterator(), strict=True):
        np.testing.assert_array_equal(found.numpy(), want)


def test_errors_name_the_record_as_on_the_cpu(gpus, codec, tmp_path):
    path = str(tmp_path / "images")
    good = files((16, 16), (16, 16))
    with hr.io.TFRecordWriter(path) as writer:
        for record in (good[0], good[1][:-200], b"no image", good[1]):
            writer.write(record)

    def outcomes(dataset):
        found, iterator = [], iter(dataset)
        for _ in range(4):
            try:
                found.append(tuple(next(iterator).shape))
            except hr.errors.InvalidArgumentError as error:
                found.append(error.message.split(" [stage")[0] + error.message[-200:])
        return found

    data = hr.data.TFRecordDataset(path)
    there, here = outcomes(on(data.map(decoded, device="gpu:0"))), outcomes(data.map(decoded))
    assert there[0] == here[0] == there[3] == here[3] == (16, 16, 3)
    for k in (1, 2):
        assert f"record {k} at byte offset" in there[k] and path in there[k]
        assert f"(element {k} of decoded)" in there[k]
        assert there[k].split(" (element")[0] == here[k].split(" (element")[0]
