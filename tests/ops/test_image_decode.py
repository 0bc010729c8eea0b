"""Decoders and encoders: their pixels are TensorFlow's, their errors say what is wrong."""

import image_files as files
import numpy as np
import pytest
from PIL import Image

import headrace as hr
from headrace.ops.errors import InvalidArgumentError, UnimplementedError

RNG = np.random.default_rng(0)
FRAMES = [files.picture(20, 24, 3, k) for k in range(3)]
CMYK = files.saved(Image.fromarray(files.picture(40, 50, 4), "CMYK"), "JPEG")
ADOBE_CMYK = CMYK[:2] + b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0" + CMYK[2:]


def same_pixels(tf, name, data, **arguments):
    """One image decoded by both sides, bit for bit."""
    want = getattr(tf.io, name)(data, **arguments).numpy()
    got = getattr(hr.io, name)(data, **arguments).numpy()
    assert (got.shape, got.dtype) == (want.shape, want.dtype)
    np.testing.assert_array_equal(got, want)


class TestJpeg:
    @pytest.mark.parametrize("size", [(64, 64), (37, 53), (1, 1), (225, 301)])
    @pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0"])
    @pytest.mark.parametrize("progressive", [False, True])
    def test_pixels_are_tensorflows(self, tf, size, subsampling, progressive):
        data = files.jpeg(*size, subsampling=subsampling, progressive=progressive)
        for fancy in (True, False):
            for method in ("", "INTEGER_FAST", "INTEGER_ACCURATE"):
                same_pixels(tf, "decode_jpeg", data, fancy_upscaling=fancy, dct_method=method)
        same_pixels(tf, "decode_jpeg", data, channels=1)

    @pytest.mark.parametrize("ratio", [2, 4, 8])
    def test_smaller(self, tf, ratio):
        for size in ((64, 64), (37, 53), (225, 301)):
            same_pixels(tf, "decode_jpeg", files.jpeg(*size), ratio=ratio)

    @pytest.mark.parametrize("channels", [0, 1, 3])
    def test_grey(self, tf, channels):
        same_pixels(tf, "decode_jpeg", files.jpeg(37, 53, 1), channels=channels)

    @pytest.mark.parametrize("data", [CMYK, ADOBE_CMYK], ids=["plain", "adobe"])
    def test_inks(self, tf, data):
        same_pixels(tf, "decode_jpeg", data)
        with pytest.raises(InvalidArgumentError, match="one channel"):
            hr.io.decode_jpeg(data, channels=1)

    def test_damage_inside_is_borne_as_tensorflow_does(self, tf):
        data = files.jpeg(64, 64)
        middle = len(data) // 2
        same_pixels(tf, "decode_jpeg", data[:middle] + b"\0" * 40 + data[middle + 40 :])
        same_pixels(tf, "decode_jpeg", data + b"behind the end")

    @pytest.mark.parametrize("kept", [0.5, 0.9, -2, 100, 25])
    def test_a_file_that_ends_early_is_an_error(self, kept):
        data = files.jpeg(64, 64)
        cut = data[: int(kept * len(data)) if isinstance(kept, float) else kept]
        with pytest.raises(InvalidArgumentError, match=r"Invalid JPEG data.*\[Op:DecodeJpeg\]"):
            hr.io.decode_jpeg(cut)

    def test_what_is_there_of_a_truncated_file_can_be_had(self):
        data = files.jpeg(64, 64, subsampling="4:4:4")
        whole = hr.io.decode_jpeg(data).numpy()
        part = hr.io.decode_jpeg(data[: len(data) // 2], try_recover_truncated=True).numpy()
        assert part.shape == whole.shape
        np.testing.assert_array_equal(part[:16], whole[:16])
        assert (part[-8:] == 128).all()
        with pytest.raises(UnimplementedError, match="try_recover_truncated=True"):
            hr.io.decode_jpeg(data[: len(data) // 2], acceptable_fraction=0.3)

    @pytest.mark.parametrize(
        ("arguments", "text"),
        [
            ({"channels": 4}, "JPEG does not support 4 channels"),
            ({"channels": 2}, "`channels` must be 0, 1, 3 or 4 but got 2"),
            ({"ratio": 3}, "ratio must be 1, 2, 4, or 8, got 3"),
            ({"dct_method": "x"}, "dct_method must be one of"),
        ],
    )
    def test_wrong_arguments(self, tf, arguments, text):
        data = files.jpeg(8, 8)
        with pytest.raises(InvalidArgumentError, match=text):
            hr.io.decode_jpeg(data, **arguments)
        with pytest.raises(tf.errors.InvalidArgumentError):
            tf.io.decode_jpeg(data, **arguments)

    def test_a_window(self, tf):
        data = files.jpeg(37, 53, subsampling="4:4:4")
        whole = hr.io.decode_jpeg(data).numpy()
        for y, x, height, width in ((0, 0, 10, 10), (3, 5, 20, 31), (16, 16, 21, 37)):
            got = hr.io.decode_and_crop_jpeg(data, [y, x, height, width]).numpy()
            np.testing.assert_array_equal(got, whole[y : y + height, x : x + width])
            near = tf.io.decode_and_crop_jpeg(files.jpeg(37, 53), [y, x, height, width])
            ours = hr.io.decode_and_crop_jpeg(files.jpeg(37, 53), [y, x, height, width])
            # Chroma at the edges is smoothed with what lies outside; see the docstring.
            assert np.abs(ours.numpy().astype(int) - near.numpy()).max() < 16
            assert (ours.numpy() == near.numpy()).mean() > 0.9
        for window in ([5, 5, 40, 10], [-1, 0, 5, 5], [0, 0, 0, 5]):
            with pytest.raises(InvalidArgumentError, match="does not lie in an image of 37x53"):
                hr.io.decode_and_crop_jpeg(data, window)

    def test_header_alone(self, tf):
        for data in (files.jpeg(37, 53), files.jpeg(5, 6, 1), CMYK):
            for dtype in ("int32", "int64"):
                same_pixels(tf, "extract_jpeg_shape", data, output_type=dtype)
        with pytest.raises(InvalidArgumentError, match="Invalid JPEG data, size 3"):
            hr.io.extract_jpeg_shape(b"abc")
        assert hr.io.is_jpeg(files.jpeg(8, 8)).numpy()
        assert not hr.io.is_jpeg(b"GIF89a").numpy()


class TestPng:
    @pytest.mark.parametrize(("kind", "count"), [(0, 1), (2, 3), (4, 2), (6, 4)])
    @pytest.mark.parametrize("depth", [8, 16])
    @pytest.mark.parametrize("interlaced", [False, True])
    def test_all_kinds_channels_and_dtypes(self, tf, kind, count, depth, interlaced):
        samples = RNG.integers(0, 1 << depth, (13, 11, count))
        samples[5] = samples[5, :, :1]  # greys, which libpng's weights leave alone
        data = files.png(samples, kind, depth, interlaced=interlaced)
        for channels in (0, 1, 3, 4):
            for dtype in ("uint8", "uint16"):
                same_pixels(tf, "decode_png", data, channels=channels, dtype=dtype)

    @pytest.mark.parametrize("channels", [0, 1, 3, 4])
    @pytest.mark.parametrize("depth", [1, 2, 4, 8])
    @pytest.mark.parametrize(
        "clear", [b"", b"\0\x64", b"\xff\0"], ids=["solid", "two alphas", "one clear"]
    )
    def test_palettes(self, tf, channels, depth, clear):
        colours = RNG.integers(0, 256, (1 << depth, 3)).astype(np.uint8).tobytes()
        extra = [(b"PLTE", colours)] + ([(b"tRNS", clear)] if clear else [])
        samples = RNG.integers(0, 1 << depth, (13, 11, 1))
        same_pixels(tf, "decode_png", files.png(samples, 3, depth, extra), channels=channels)

    @pytest.mark.parametrize("channels", [0, 1, 3, 4])
    @pytest.mark.parametrize(("kind", "count", "depth"), [
        (0, 1, 1), (0, 1, 2), (0, 1, 4), (0, 1, 8), (0, 1, 16), (2, 3, 8), (2, 3, 16),
    ])  # fmt: skip
    def test_one_colour_clear(self, tf, channels, kind, count, depth):
        samples = RNG.integers(0, 2, (13, 11, count))
        for extra in ([], [(b"tRNS", b"\0\1" * count)]):
            data = files.png(samples, kind, depth, extra)
            same_pixels(tf, "decode_png", data, channels=channels)

    @pytest.mark.parametrize("kept", [30, 0.5, -3, -12])
    def test_a_file_that_ends_early_is_an_error(self, kept):
        data = files.png(RNG.integers(0, 256, (33, 31, 3)), 2)
        cut = data[: int(kept * len(data)) if isinstance(kept, float) else kept]
        with pytest.raises(InvalidArgumentError, match=r"Invalid PNG.*\[Op:DecodePng\]"):
            hr.io.decode_png(cut)

    @pytest.mark.parametrize("depth", [8, 16])
    def test_a_damaged_byte_is_an_error(self, depth):
        data = files.png(RNG.integers(0, 256, (33, 31, 3)), 2, depth)
        with pytest.raises(InvalidArgumentError, match="Invalid PNG data, size"):
            hr.io.decode_png(data[:100] + bytes([data[100] ^ 255]) + data[101:])

    def test_dtype(self):
        with pytest.raises(InvalidArgumentError, match="must be uint8, uint16 but got: int32"):
            hr.io.decode_png(b"", dtype="int32")


class TestBmp:
    @pytest.mark.parametrize("bits", [8, 24, 32])
    @pytest.mark.parametrize("top_down", [False, True])
    @pytest.mark.parametrize("channels", [0, 3, 4])
    def test_pixels_are_tensorflows(self, tf, bits, top_down, channels):
        same_pixels(tf, "decode_bmp", files.bmp(7, 5, bits, top_down), channels=channels)

    @pytest.mark.parametrize(
        ("data", "text"),
        [
            (files.bmp(7, 5)[:20], "at least 32 bytes"),
            (files.bmp(7, 5)[:-1], "they differ by -1"),
            (files.bmp(7, 5, 16), "must be 1, 3 or 4, was 2"),
            (files.jpeg(8, 8), "Trying to decode JPEG format using DecodeBmp op"),
        ],
    )
    def test_errors_are_tensorflows(self, tf, data, text):
        with pytest.raises(InvalidArgumentError, match=text):
            hr.io.decode_bmp(data)
        with pytest.raises(tf.errors.InvalidArgumentError, match=text):
            tf.io.decode_bmp(data)


class TestGif:
    @pytest.mark.parametrize("disposal", [0, 1, 2, 3])
    def test_frames_are_tensorflows(self, tf, disposal):
        frames = [FRAMES[0].copy() for _ in range(3)]
        frames[1][5:9, 3:8] = 0  # Pillow writes only what changed
        frames[2][15:, 3:8] = 255
        same_pixels(tf, "decode_gif", files.gif(frames, disposal=disposal))
        same_pixels(tf, "decode_gif", files.gif(frames, disposal=disposal, transparency=3))

    def test_one_frame_is_a_picture(self, tf):
        same_pixels(tf, "decode_png", files.gif(FRAMES[:1]))
        with pytest.raises(InvalidArgumentError, match="Got 3 frames"):
            hr.io.decode_jpeg(files.gif(FRAMES))

    def test_complete_frames_of_a_truncated_file(self, tf):
        data = files.gif(FRAMES)
        same_pixels(tf, "decode_gif", data[: len(data) // 2])
        same_pixels(tf, "decode_gif", data[:-1])
        with pytest.raises(InvalidArgumentError, match="ends before the first image does"):
            hr.io.decode_gif(data[:200])


class TestWebp:
    @pytest.mark.parametrize("lossless", [False, True])
    @pytest.mark.parametrize("channels", [3, 4])
    def test_pixels_are_tensorflows(self, tf, lossless, channels):
        data = files.saved(files.picture(20, 24, channels), "WEBP", lossless=lossless)
        same_pixels(tf, "decode_webp", data)
        same_pixels(tf, "decode_image", data, expand_animations=False)
        with pytest.raises(InvalidArgumentError, match="channels requested does not match"):
            hr.io.decode_webp(data, channels=7 - channels)

    def test_animation(self, tf):
        images = [Image.fromarray(files.picture(20, 24, 4, k)) for k in range(3)]
        data = files.saved(images[0], "WEBP", save_all=True, append_images=images[1:])
        for expand in (True, False):
            same_pixels(tf, "decode_image", data, expand_animations=expand)

    def test_damage(self):
        data = files.saved(files.picture(20, 24), "WEBP")
        with pytest.raises(InvalidArgumentError, match="Failed to decode WebP"):
            hr.io.decode_webp(data[:60])


class TestImage:
    @pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64", "int32"])
    @pytest.mark.parametrize("data", [
        files.jpeg(9, 8), files.png(RNG.integers(0, 65536, (5, 4, 3)), 2, 16),
        files.gif(FRAMES), files.bmp(7, 5),
    ], ids=["jpeg", "png", "gif", "bmp"])  # fmt: skip
    def test_any_format_in_any_dtype(self, tf, data, dtype):
        for expand in (True, False):
            same_pixels(tf, "decode_image", data, dtype=dtype, expand_animations=expand)

    @pytest.mark.parametrize("data", [b"", b"hello", b"RIFF1234WAVE"])
    def test_other_formats(self, data):
        with pytest.raises(InvalidArgumentError, match=r"Input is empty|Unknown image file"):
            hr.io.decode_image(data)

    def test_contents_must_be_scalar(self):
        with pytest.raises(InvalidArgumentError, match="`contents` must be scalar"):
            hr.io.decode_jpeg([files.jpeg(8, 8)])


class TestEncode:
    @pytest.mark.parametrize("arguments", [
        {}, {"quality": 50}, {"quality": 0}, {"quality": 100}, {"progressive": True},
        {"optimize_size": True}, {"chroma_downsampling": False}, {"xmp_metadata": "<x/>"},
        {"density_unit": "cm", "x_density": 100, "y_density": 20},
    ], ids=str)  # fmt: skip
    def test_a_jpegs_bytes_are_tensorflows(self, tf, arguments):
        for channels in (1, 3):
            image = files.picture(37, 53, channels)
            ours, theirs = (lib.io.encode_jpeg(image, **arguments).numpy() for lib in (hr, tf))
            assert ours == theirs

    @pytest.mark.parametrize("channels", [1, 2, 3, 4])
    @pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
    def test_a_png_decodes_to_what_it_was(self, channels, dtype):
        image = RNG.integers(0, np.iinfo(dtype).max + 1, (21, 22, channels)).astype(dtype)
        back = hr.io.decode_png(hr.io.encode_png(image), channels=0, dtype=dtype)
        np.testing.assert_array_equal(back.numpy(), image)

    def test_pngs_of_a_batch(self):
        images = np.stack([files.picture(5, 6, 3, k) for k in range(4)]).reshape(2, 2, 5, 6, 3)
        strings = hr.io.encode_png(images).numpy()
        assert strings.shape == (2, 2)
        np.testing.assert_array_equal(hr.io.decode_png(strings[1, 0]).numpy(), images[1, 0])

    def test_errors(self):
        image = files.picture(5, 6)
        for wrong, text in (
            (lambda: hr.io.encode_jpeg(image, quality=101), "quality must be in"),
            (
                lambda: hr.io.encode_jpeg(image, format="grayscale"),
                "must have 1 channels, got 3",
            ),
            (lambda: hr.io.encode_jpeg(image[..., :2]), "1 or 3 channels, got 2"),
            (lambda: hr.io.encode_jpeg(image[0]), "must be 3-dimensional"),
            (lambda: hr.io.encode_png(image, compression=10), "compression should be in"),
            (lambda: hr.io.encode_png(np.zeros((2, 2, 5), np.uint8)), "1, 2, 3 or 4 channels"),
        ):
            with pytest.raises(InvalidArgumentError, match=text):
                wrong()
