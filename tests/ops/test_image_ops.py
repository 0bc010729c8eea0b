"""hr.image: every function equals TensorFlow's, and passes the laws of the harness."""

import image_files as files
import numpy as np
import pytest
from harness import Case, check_against_tensorflow, check_laws, each, peers_of

import headrace as hr
from headrace.ops.errors import InvalidArgumentError
from headrace.ops.graph import llvm

BYTES = files.picture(37, 53)
UNIT = BYTES.astype(np.float32) / 255
BATCH = np.stack([UNIT, UNIT[::-1]])
SMALL = np.random.default_rng(3).uniform(0.1, 0.9, (6, 5, 3))
METHODS = ("bilinear", "nearest", "bicubic", "area", "lanczos3", "lanczos5", "gaussian",
           "mitchellcubic")  # fmt: skip


def call(name, *arguments, **options):
    """The function of either library's `image` namespace, of one image."""
    return {
        "fn": lambda x: getattr(hr.image, name)(x, *arguments, **options),
        "peer": lambda tf: lambda x: getattr(tf.image, name)(x, *arguments, **options),
    }


def case(name, *arguments, image=SMALL, id=None, **settings):
    return Case(id or name, args=(image,), **call(name, *arguments), **settings)


CASES = [
    case("flip_left_right"),
    case("flip_up_down"),
    case("transpose"),
    *(case("rot90", k, id=f"rot90 by {k}") for k in range(4)),
    case("central_crop", 0.5),
    case("crop_to_bounding_box", 1, 2, 4, 3),
    case("pad_to_bounding_box", 1, 2, 9, 8),
    case("resize_with_crop_or_pad", 4, 8),
    case("adjust_brightness", 0.2, grad=False),
    case("adjust_contrast", 0.5, grad=False),
    case("adjust_gamma", 2.0, 0.5, grad=False),
    case("adjust_hue", 0.2, second=False, grad=False),
    case("adjust_saturation", 0.5, second=False, grad=False),
    case("per_image_standardization", tolerance=1e-4, grad=False),
    case("rgb_to_grayscale", image=SMALL.astype(np.float32), tolerance=1e-4, grad=False),
    case("grayscale_to_rgb", image=SMALL[..., :1]),
    case("rgb_to_hsv", grad=False),
    case("hsv_to_rgb", grad=False),
    case("rgb_to_yiq"),
    case("yiq_to_rgb"),
    case("rgb_to_yuv"),
    case("yuv_to_rgb"),
    case("total_variation"),
    case("image_gradients", image=SMALL[None]),
    case("sobel_edges", image=SMALL[None]),
    case("stateless_random_flip_left_right", [3, 7]),
    case("stateless_random_flip_up_down", [11, 5]),
    case("stateless_random_crop", [4, 3, 3], [1, 2]),
    case("stateless_random_brightness", 0.2, [1, 2], grad=False),
    case("stateless_random_contrast", 0.2, 0.5, [1, 2], grad=False),
    *(
        case("resize", size, method, id=f"resize {method} {size}", grad=False, tolerance=1e-4)
        for method in METHODS
        for size in ([3, 4], [9, 7])
    ),
]
BY_LAW = [c for c in CASES if not c.id.startswith("per_image")]


@each(BY_LAW)
def test_laws(case):
    check_laws(case)


@peers_of(CASES)
def test_tensorflow(tf, case, kind):
    check_against_tensorflow(tf, case, kind)


@pytest.mark.parametrize("name", [c.id for c in CASES if not c.grad and "resize" not in c.id])
def test_gradients_of_float32_functions(name):
    """Those that compute in float32, or have kinks, by coarser differences."""
    case = next(c for c in CASES if c.id == name)
    x = hr.constant(SMALL if name != "grayscale_to_rgb" else SMALL[..., :1], hr.float32)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.reduce_sum(case.fn(x) ** 2.0)
    slope = tape.gradient(y, x).numpy()
    step = np.random.default_rng(0).choice([-1.0, 1.0], SMALL.shape).astype(np.float32) * 1e-3
    ends = [float(hr.reduce_sum(case.fn(x + s * step) ** 2.0)) for s in (1, -1)]
    assert abs((ends[0] - ends[1]) / 2 - (slope * step).sum()) < 0.05 * abs(slope * step).sum()


class TestResize:
    @pytest.mark.parametrize("method", METHODS)
    @pytest.mark.parametrize("antialias", [False, True])
    @pytest.mark.parametrize("compiled", [False, True])
    def test_pixels_are_tensorflows(self, tf, method, antialias, compiled, monkeypatch):
        if compiled:
            hr.image.resize(BYTES, [20, 30], method, antialias=antialias)
            hr.image.resize(UNIT, [20, 30], method, antialias=antialias)
            llvm.wait()
        else:
            from headrace.ops import image_resample

            monkeypatch.setattr(image_resample, "_kernel", lambda *_: None)
        images = [BYTES, UNIT * 255, BATCH, BYTES[..., :1], BYTES[:3, :2]]
        images += [BYTES.astype("int32"), UNIT.astype("float16"), UNIT.astype("float64")]
        for image in images:
            for size in ([20, 30], [80, 99], [37, 53], [1, 1], [200, 3]):
                got, want = (
                    lib.image.resize(image, size, method, antialias=antialias).numpy()
                    for lib in (hr, tf)
                )
                assert (got.shape, got.dtype) == (want.shape, want.dtype)
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=2e-4)

    @pytest.mark.parametrize("size", [[20, 50], [80, 60], [37, 53]])
    def test_proportions(self, tf, size):
        for lib_call in (
            lambda lib: lib.image.resize(UNIT, size, preserve_aspect_ratio=True),
            lambda lib: lib.image.resize_with_pad(UNIT, *size),
            lambda lib: lib.image.resize_with_pad(BATCH, *size, method="bicubic"),
        ):
            got, want = (lib_call(lib).numpy() for lib in (hr, tf))
            np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)

    @pytest.mark.parametrize("method", METHODS)
    def test_gradient_is_the_transposed(self, method):
        """Of a function of degree two, whose gradient is linear, by Euler's identity."""
        rng = np.random.default_rng(1)
        for shape, size in (((6, 5, 3), (9, 4)), ((2, 8, 7, 1), (3, 11))):
            x = hr.constant(rng.normal(size=shape), hr.float32)
            with hr.GradientTape() as outer:
                outer.watch(x)
                with hr.GradientTape() as tape:
                    tape.watch(x)
                    y = hr.image.resize(x, size, method)
                    g = rng.normal(size=y.shape).astype(np.float32)
                    total = hr.reduce_sum(y * y * g)
                slope = tape.gradient(total, x)
                twice = hr.reduce_sum(slope * slope)
            expected = 2 * np.sum(y.numpy() ** 2 * g)
            np.testing.assert_allclose(np.sum(x.numpy() * slope.numpy()), expected, rtol=1e-3)
            second = outer.gradient(twice, x).numpy()
            # slope is linear in x, so the square of its length is of degree two.
            np.testing.assert_allclose(np.sum(x.numpy() * second), 2 * float(twice), rtol=1e-3)

    def test_bilinear_gradient_is_tensorflows(self, tf):
        slopes = []
        for lib in (hr, tf):
            x = lib.constant(UNIT)
            with lib.GradientTape() as tape:
                tape.watch(x)
                y = lib.reduce_sum(lib.image.resize(x, [20, 70]) ** 2)
            slopes.append(tape.gradient(y, x).numpy())
        np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-4)

    def test_errors(self):
        for arguments, text in (
            ((BYTES, [3]), "1-D Tensor of 2 elements"),
            ((BYTES, [3, 3], "x"), "choose one of bilinear"),
            ((BYTES[0], [3, 3]), "must have either 3 or 4 dimensions"),
            ((BYTES, [0, 3]), "output dimensions must be positive, got 0, 3"),
            ((BYTES[:0], [3, 3]), "must be of non-zero size"),
        ):
            with pytest.raises(ValueError, match=text):
                hr.image.resize(*arguments)


class TestBoxes:
    @pytest.mark.parametrize("image", [BYTES, BATCH], ids=["one", "batch"])
    def test_boxes_are_tensorflows(self, tf, image):
        for name, boxes in (
            ("crop_to_bounding_box", [(1, 2, 10, 20), (0, 0, 37, 53), (30, 0, 7, 5)]),
            ("pad_to_bounding_box", [(1, 2, 50, 60), (0, 0, 37, 53)]),
            ("resize_with_crop_or_pad", [(20, 80), (36, 52), (40, 50), (37, 53)]),
            ("central_crop", [(0.5,), (0.33,), (1.0,), (0.9,)]),
        ):
            for box in boxes:
                got, want = (getattr(lib.image, name)(image, *box).numpy() for lib in (hr, tf))
                np.testing.assert_array_equal(got, want)

    @pytest.mark.parametrize(
        ("name", "box", "text"),
        [
            ("crop_to_bounding_box", (-1, 0, 5, 5), "offset_height must be >= 0, got -1"),
            ("crop_to_bounding_box", (0, 0, 0, 5), "target_height must be > 0, got 0"),
            ("crop_to_bounding_box", (30, 0, 8, 5), "height must be >= target"),
            ("pad_to_bounding_box", (30, 0, 40, 60), "height must be <= target - offset"),
            ("resize_with_crop_or_pad", (0, 3), "target_height must be > 0, got 0"),
            ("central_crop", (1.5,), r"within \(0, 1\], got 1.5"),
        ],
    )
    def test_errors(self, name, box, text):
        with pytest.raises(ValueError, match=text):
            getattr(hr.image, name)(BYTES, *box)

    def test_sizes_known_only_when_it_runs(self):
        @hr.function(input_signature=[hr.TensorSpec([None, None, 3], hr.uint8)])
        def middle(image):
            image = hr.image.resize_with_crop_or_pad(hr.image.central_crop(image, 0.5), 30, 20)
            return hr.image.resize_with_pad(image, 16, 16)

        assert middle(BYTES).shape == (16, 16, 3)
        want = hr.image.resize_with_crop_or_pad(hr.image.central_crop(BYTES, 0.5), 30, 20)
        np.testing.assert_array_equal(
            middle(BYTES).numpy(), hr.image.resize_with_pad(want, 16, 16).numpy()
        )

    def test_a_random_box_needs_room(self):
        assert hr.image.random_crop(BYTES, [10, 20, 3], seed=1).shape == (10, 20, 3)
        with pytest.raises(InvalidArgumentError, match=r"Need value.shape >= size"):
            hr.image.random_crop(BYTES, [100, 20, 3])


class TestColours:
    @pytest.mark.parametrize("dtype", ["uint8", "int8", "uint16", "int32", "float16", "float32",
                                       "float64"])  # fmt: skip
    @pytest.mark.parametrize("saturate", [False, True])
    def test_convert(self, tf, dtype, saturate):
        for image in (BYTES, UNIT, BYTES.astype(np.int32), (BYTES // 2).astype(np.int8)):
            got, want = (
                lib.image.convert_image_dtype(image, dtype, saturate).numpy()
                for lib in (hr, tf)
            )
            assert got.dtype == want.dtype
            np.testing.assert_allclose(got.astype(float), want.astype(float), rtol=1e-6)

    def test_out_of_range_is_clipped_where_asked(self):
        wild = np.array([[[-1.0, 0.5, 7.0]]], np.float32)
        got = hr.image.convert_image_dtype(wild, "uint8", saturate=True)
        assert got.numpy().tolist() == [[[0, 127, 255]]]

    @pytest.mark.parametrize("name, arguments", [
        ("adjust_brightness", (0.1,)), ("adjust_contrast", (0.5,)), ("adjust_contrast", (2.0,)),
        ("adjust_hue", (0.1,)), ("adjust_hue", (-0.3,)), ("adjust_saturation", (0.5,)),
        ("adjust_saturation", (2.0,)), ("adjust_gamma", (0.5,)), ("rgb_to_grayscale", ()),
        ("per_image_standardization", ()), ("adjust_jpeg_quality", (75,)),
    ])  # fmt: skip
    def test_bytes_and_units(self, tf, name, arguments):
        for image in (BYTES, UNIT):
            got, want = (
                getattr(lib.image, name)(image, *arguments).numpy() for lib in (hr, tf)
            )
            assert got.dtype == want.dtype
            np.testing.assert_allclose(
                got.astype(float),
                want.astype(float),
                rtol=1e-3,
                atol=1 if got.dtype == "uint8" else 1e-4,
            )

    @pytest.mark.parametrize("name, arguments", [
        ("stateless_random_flip_left_right", ()), ("stateless_random_flip_up_down", ()),
        ("stateless_random_crop", ([10, 20, 3],)), ("stateless_random_brightness", (0.2,)),
        ("stateless_random_contrast", (0.2, 0.5)), ("stateless_random_hue", (0.2,)),
        ("stateless_random_saturation", (0.2, 0.5)),
        ("stateless_random_jpeg_quality", (20, 90)),
    ])  # fmt: skip
    @pytest.mark.parametrize("seed", [[1, 2], [3, 7]])
    def test_stateless_draws_are_tensorflows(self, tf, name, arguments, seed):
        got, want = (
            getattr(lib.image, name)(UNIT, *arguments, seed=seed).numpy() for lib in (hr, tf)
        )
        np.testing.assert_allclose(got, want, atol=2e-4)

    @pytest.mark.parametrize(
        ("call", "text"),
        [
            (lambda i: hr.image.adjust_hue(i, 2.0), r"interval \[-1, 1\], got 2.0"),
            (lambda i: hr.image.adjust_gamma(i, -1.0), "non-negative real number, got -1.0"),
            (lambda i: hr.image.random_hue(i, 0.7), "max_delta must be <= 0.5, got 0.7"),
            (lambda i: hr.image.random_brightness(i, -1.0), "non-negative, got -1.0"),
            (lambda i: hr.image.random_contrast(i, 0.5, 0.2), "upper must be > lower"),
            (lambda i: hr.image.random_jpeg_quality(i, 90, 20), "must be less than"),
            (lambda i: hr.image.rgb_to_hsv(i[..., :2]), "must have 3 channels"),
            (lambda i: hr.image.grayscale_to_rgb(i), "must be grayscale"),
            (lambda i: hr.image.adjust_jpeg_quality(i, 101), "101 not in"),
        ],
    )
    def test_errors(self, call, text):
        with pytest.raises(ValueError, match=text):
            call(UNIT)


class TestRandom:
    def test_flips_are_even_and_each_image_of_a_batch_has_its_own(self):
        many = np.tile(UNIT[:2, :2], (400, 1, 1, 1))
        flipped = hr.image.random_flip_left_right(many, seed=1).numpy()
        mirrored = (flipped == many[:, :, ::-1]).all((1, 2, 3))
        assert ((flipped == many).all((1, 2, 3)) | mirrored).all()
        assert 150 < mirrored.sum() < 250

    def test_draws_differ_from_call_to_call(self):
        for name, arguments in (
            ("random_brightness", (0.5,)), ("random_contrast", (0.1, 0.9)),
            ("random_hue", (0.4,)), ("random_saturation", (0.1, 0.9)),
            ("random_crop", ([10, 10, 3],)), ("random_jpeg_quality", (5, 95)),
        ):  # fmt: skip
            function = getattr(hr.image, name)
            draws = [function(UNIT, *arguments).numpy() for _ in range(4)]
            assert any((draws[0] != d).any() for d in draws[1:]), name


class TestMeasures:
    def test_psnr_and_ssim_are_tensorflows(self, tf):
        for a, b, most in ((BYTES, BYTES[::-1], 255), (UNIT, UNIT[::-1], 1.0),
                           (BATCH, BATCH[::-1], 1.0)):  # fmt: skip
            for name in ("psnr", "ssim"):
                got, want = (getattr(lib.image, name)(a, b, most).numpy() for lib in (hr, tf))
                np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-4)
        maps = [
            lib.image.ssim(
                BATCH, BATCH[::-1], 1.0, filter_size=5, return_index_map=True
            ).numpy()
            for lib in (hr, tf)
        ]
        np.testing.assert_allclose(*maps, atol=1e-3)

    def test_images_must_fit(self):
        with pytest.raises(ValueError, match="Two images are not compatible"):
            hr.image.psnr(BYTES, BYTES[1:], 255)
        with pytest.raises(InvalidArgumentError, match="at least filter_size=11"):
            hr.image.ssim(BYTES[:5], BYTES[:5], 255)
