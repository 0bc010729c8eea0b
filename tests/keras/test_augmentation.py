"""Augmentation layers: Keras's images for the same seed, pipelines by the block, boxes."""

import numpy as np
import pytest

import headrace as hr
from headrace import keras
from headrace.keras import layers
from headrace.ops.image_crop_at import crop_at
from headrace.ops.image_projective import projective_transform

X = np.random.default_rng(0).uniform(0, 255, (4, 9, 7, 3)).astype("float32")

CASES = {
    "flip": ("RandomFlip", {}),
    "flip across": ("RandomFlip", {"mode": "horizontal"}),
    "turn": ("RandomRotation", {"factor": 0.3}),
    "turn, wrap": (
        "RandomRotation",
        {"factor": 0.3, "fill_mode": "wrap", "interpolation": "nearest"},
    ),
    "turn, constant": (
        "RandomRotation",
        {"factor": (0.1, 0.3), "fill_mode": "constant", "fill_value": 3.0},
    ),
    "turn, nearest": ("RandomRotation", {"factor": 0.4, "fill_mode": "nearest"}),
    "turn, channels first": (
        "RandomRotation",
        {"factor": 0.4, "data_format": "channels_first"},
    ),
    "zoom": ("RandomZoom", {"height_factor": 0.5}),
    "zoom both": ("RandomZoom", {"height_factor": 0.5, "width_factor": (-0.3, 0.9)}),
    "move": ("RandomTranslation", {"height_factor": 0.5, "width_factor": 0.4}),
    "shear": ("RandomShear", {"x_factor": 0.5, "y_factor": 0.2}),
    "perspective": ("RandomPerspective", {"scale": 0.3}),
    "crop": ("RandomCrop", {"height": 5, "width": 4}),
    "crop more": ("RandomCrop", {"height": 12, "width": 4}),
    "contrast": ("RandomContrast", {"factor": 0.5}),
    "brightness": ("RandomBrightness", {"factor": 0.5}),
    "saturation": ("RandomSaturation", {"factor": 0.9}),
    "hue": ("RandomHue", {"factor": 0.7}),
    "degeneration": ("RandomColorDegeneration", {"factor": 0.7}),
    "jitter": (
        "RandomColorJitter",
        {"brightness_factor": 0.3, "contrast_factor": 0.3, "saturation_factor": 0.5,
         "hue_factor": 0.5},
    ),
    "grayscale": ("RandomGrayscale", {}),
    "invert": ("RandomInvert", {"factor": 0.7}),
    "posterization": ("RandomPosterization", {"factor": 4}),
    "solarization": ("Solarization", {"addition_factor": 0.3, "threshold_factor": 0.4}),
    "sharpness": ("RandomSharpness", {"factor": 0.9}),
    "blur": ("RandomGaussianBlur", {}),
    "elastic": ("RandomElasticTransform", {}),
    "elastic, some": (
        "RandomElasticTransform",
        {"factor": 0.7, "scale": (0.3, 0.9), "interpolation": "nearest", "fill_mode": "wrap"},
    ),
    "erasing": ("RandomErasing", {}),
    "erasing, filled": ("RandomErasing", {"fill_value": 7}),
    "mix up": ("MixUp", {}),
    "cut mix": ("CutMix", {}),
    "policy": ("RandAugment", {}),
}  # fmt: skip

FIXED = {
    "auto contrast": ("AutoContrast", {}),
    "equalization": ("Equalization", {}),
    "resize": ("Resizing", {"height": 5, "width": 11}),
    "resize, cropped": ("Resizing", {"height": 5, "width": 11, "crop_to_aspect_ratio": True}),
    "resize, padded": (
        "Resizing",
        {"height": 5, "width": 11, "pad_to_aspect_ratio": True, "fill_value": 2.0},
    ),
    "resize, nearest": ("Resizing", {"height": 5, "width": 3, "interpolation": "nearest"}),
    "resize, antialias": ("Resizing", {"height": 4, "width": 3, "antialias": True}),
    "middle": ("CenterCrop", {"height": 4, "width": 4}),
    "middle of small": ("CenterCrop", {"height": 12, "width": 5}),
}


@pytest.fixture
def peers(tf):
    return pytest.importorskip("keras").layers


def made(family, case, seed=7):
    name, kwargs = {**CASES, **FIXED}[case]
    return getattr(family, name)(**kwargs, **({"seed": seed} if case in CASES else {}))


def images(layer):
    return X.transpose(0, 3, 1, 2) if layer.data_format == "channels_first" else X


def config(layer):
    found = {k: v for k, v in layer.get_config().items() if k not in ("name", "dtype", "seed")}
    return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items()}


@pytest.mark.peers
@pytest.mark.parametrize("case", [*CASES, *FIXED])
def test_the_same_seed_gives_keras_images(peers, case):
    ours, peer = made(layers, case), made(peers, case)
    x = images(ours)
    for given in (x, x[0], x):
        if given.ndim == 3 and case in ("mix up", "cut mix"):
            continue
        got, want = (np.asarray(layer(given, training=True)) for layer in (ours, peer))
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got, want, rtol=1e-4, atol=5e-3)
    still = [np.asarray(layer(x, training=False)) for layer in (ours, peer)]
    np.testing.assert_allclose(*still, rtol=1e-4, atol=1e-3)
    assert config(ours) == config(peer)
    again = type(ours).from_config(ours.get_config())
    assert config(again) == config(ours)
    assert tuple(ours.compute_output_shape(x.shape)) == np.asarray(ours(x)).shape


@pytest.mark.peers
def test_labels_are_mixed_as_in_keras(peers):
    for name in ("MixUp", "CutMix"):
        data = {"images": X, "labels": np.eye(4, dtype="float32")}
        ours, peer = getattr(layers, name)(seed=3), getattr(peers, name)(seed=3)
        got, want = ours(dict(data)), peer(dict(data))
        for key in data:
            np.testing.assert_allclose(got[key], want[key], rtol=1e-5, atol=1e-4)


@pytest.mark.peers
@pytest.mark.parametrize("method", ["NEAREST", "BILINEAR"])
@pytest.mark.parametrize("mode", ["CONSTANT", "NEAREST", "REFLECT", "WRAP"])
def test_projective_transforms_are_tensorflows(tf, method, mode):
    rng = np.random.default_rng(5)
    maps = np.array([1, 0, 0, 0, 1, 0, 0, 0]) + rng.normal(size=(4, 8)) * [
        0.5, 0.5, 9, 0.5, 0.5, 9, 0.01, 0.01]  # fmt: skip
    maps = maps.astype("float32")
    for kind in ("float32", "uint8", "float64", "int32"):
        x = X.astype(kind)
        for chosen in (maps, maps[:1]):
            got = projective_transform(x, chosen, 9.0, method, mode, [6, 8])
            want = tf.raw_ops.ImageProjectiveTransformV3(
                images=x, transforms=chosen, output_shape=[6, 8], fill_value=9.0,
                interpolation=method, fill_mode=mode)  # fmt: skip
            off = np.abs(np.asarray(got, "float64") - np.asarray(want, "float64"))
            # Coordinates that fall on a pixel's edge may be rounded to either side.
            assert np.mean(off > (1.01 if "int" in kind else 0.05)) < 0.02


PIPED = [c for c in (*CASES, *FIXED) if c not in ("mix up", "cut mix", "turn, channels first")]


@pytest.mark.parametrize("case", PIPED)
def test_in_a_pipeline_a_block_is_a_loop(case):
    layer = made(layers, case)
    mapped = hr.data.Dataset.from_tensor_slices(X).map(layer)
    assert "by the block" in str(mapped.explain())
    rows = np.stack([np.asarray(x) for x in mapped])
    options = hr.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    loop = np.stack([np.asarray(x) for x in mapped.with_options(options)])
    np.testing.assert_array_equal(rows, loop)
    again = hr.data.Dataset.from_tensor_slices(X).map(made(layers, case))
    np.testing.assert_array_equal(rows, np.stack([np.asarray(x) for x in again]))


def test_elements_of_a_pipeline_have_streams_of_their_own():
    same = np.repeat(X[:1], 8, 0)
    mapped = hr.data.Dataset.from_tensor_slices(same).map(layers.RandomBrightness(0.5, seed=1))
    assert len({np.asarray(x).tobytes() for x in mapped}) == 8
    both = hr.data.Dataset.from_tensor_slices(same).map(
        lambda x: (layers.Dropout(0.5, seed=2)(x, training=True),)
    )
    assert len({np.asarray(x).tobytes() for (x,) in both}) == 8


def test_layers_run_traced_as_eagerly():
    for case in ("turn", "contrast", "crop", "erasing", "policy"):
        eager, traced = made(layers, case), made(layers, case)
        run = hr.function(lambda x, layer=traced: layer(x, training=True))
        for _ in range(2):
            np.testing.assert_allclose(run(X), eager(X, training=True), rtol=1e-5, atol=1e-3)


def test_a_model_takes_its_augmentation_along(tmp_path):
    model = keras.Sequential(
        [
            keras.Input((9, 7, 3)),
            layers.RandomFlip(seed=1),
            layers.Pipeline([layers.Rescaling(1 / 255), layers.CenterCrop(4, 4)]),
            layers.GlobalAveragePooling2D(),
        ]
    )
    model.save(tmp_path / "m.keras")
    again = keras.models.load_model(tmp_path / "m.keras")
    still = model(X, training=False)
    np.testing.assert_allclose(again(X, training=False), still, rtol=1e-6)
    np.testing.assert_allclose(model.predict(X, verbose=0), still, rtol=1e-6)
    np.testing.assert_allclose(still, X[:, 2:6, 1:5].mean((1, 2)) / 255, rtol=1e-5)


@pytest.mark.parametrize("case", ["flip", "zoom", "move", "middle", "resize", "crop"])
def test_boxes_follow_their_image(case):
    """A bright rectangle and its box end up at the same place."""
    x = np.zeros((1, 40, 40, 1), "float32")
    x[0, 15:25, 12:22] = 255
    name, kwargs = {**CASES, **FIXED}[case]
    kwargs = {k: v for k, v in kwargs.items() if k not in ("height", "width")}
    size = {"height": 30, "width": 30} if case in ("middle", "resize", "crop") else {}
    seeded = {"seed": 3} if case in CASES else {}
    fill = {"fill_mode": "constant"} if case in ("zoom", "move") else {}
    layer = getattr(layers, name)(
        **kwargs, **size, **seeded, **fill, bounding_box_format="xywh"
    )
    boxes = {
        "boxes": np.array([[[12, 15, 10, 10]]], "float32"),
        "labels": np.array([[3]], "int32"),
    }
    out = layer({"images": x, "bounding_boxes": boxes}, training=True)
    left, top, wide, high = np.asarray(out["bounding_boxes"]["boxes"])[0, 0]
    rows, columns = np.nonzero(np.asarray(out["images"])[0, :, :, 0] > 127)
    np.testing.assert_allclose(
        [left, top, left + wide, top + high],
        [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1],
        atol=1.6,
    )


def test_boxes_are_cut_and_padded():
    data = {
        "images": X,
        "bounding_boxes": {"boxes": np.ones((4, 2, 4), "float32"), "labels": np.ones((4, 2))},
    }
    for count in (1, 5):
        layer = layers.MaxNumBoundingBoxes(count, bounding_box_format="xyxy")
        found = layer(dict(data))["bounding_boxes"]
        assert found["boxes"].shape == (4, count, 4)
        assert np.asarray(found["labels"])[0].tolist() == ([1] * 2 + [-1] * 3)[:count]


def test_pieces_have_gradients():
    x = hr.constant(X)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.reduce_sum(crop_at(x, 2, 1, 3, 4))
    want = np.zeros_like(X)
    want[:, 2:5, 1:5] = 1
    np.testing.assert_array_equal(tape.gradient(y, x), want)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: layers.RandomFlip("sideways"), "mode"),
        (lambda: layers.RandomRotation(3.0), "factor"),
        (lambda: layers.RandomZoom(-1.0), "height_factor"),
        (lambda: layers.RandomTranslation(0.1, 2.0), "width_factor"),
        (lambda: layers.RandomContrast(-0.5), "factor"),
        (lambda: layers.RandomBrightness(0.1, value_range=3), "value_range"),
        (lambda: layers.RandomGrayscale(2.0), "between 0 and 1"),
        (lambda: layers.RandomPosterization(0), "factor"),
        (lambda: layers.RandomGaussianBlur(kernel_size=2), "odd"),
        (lambda: layers.RandomErasing(fill_value=(1, 2)), "fill_value"),
        (lambda: layers.Resizing(3, 3, interpolation="what"), "interpolation"),
        (lambda: layers.RandomFlip()(np.ones((2, 2))), "rank 3"),
        (lambda: crop_at(X, 7, 0, 4, 4), "leaves"),
    ],
)  # fmt: skip
def test_bad_arguments_are_told(make, message):
    with pytest.raises(ValueError, match=message):
        make()
    with pytest.raises(NotImplementedError, match="fill_mode"):
        layers.RandomRotation(0.1, fill_mode="what")
