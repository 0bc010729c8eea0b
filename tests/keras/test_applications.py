"""keras.applications: layers, weights, outputs and preprocessing are Keras's."""

import inspect
import json

import numpy as np
import pytest

import headrace as hr
from headrace import keras

RNG = np.random.default_rng(11)
MODELS = [
    ("ResNet50", {"input_shape": (32, 32, 3), "classes": 7}),
    ("MobileNetV2", {"input_shape": (32, 48, 3), "classes": 7, "alpha": 0.35}),
    ("EfficientNetB0", {"input_shape": (32, 33, 3), "pooling": "avg", "include_top": False}),
    ("VGG16", {"input_shape": (32, 32, 3), "include_top": False}),
]


@pytest.fixture(scope="module")
def real(tf):
    return pytest.importorskip("keras")


@pytest.mark.peers
@pytest.mark.parametrize(("name", "kwargs"), MODELS, ids=lambda v: v if type(v) is str else "")
def test_from_the_same_file_of_weights_outputs_are_keras(real, name, kwargs, tmp_path):
    real.utils.clear_session()
    keras.backend.clear_session()
    theirs = getattr(real.applications, name)(weights=None, **kwargs)
    for weight in theirs.weights:  # not all ones and zeros
        if "moving" in weight.name or weight.name in ("gamma", "beta", "bias"):
            noise = RNG.uniform(-0.1, 0.1, weight.shape).astype("f")
            weight.assign(np.asarray(weight) + noise)
    path = str(tmp_path / "w.weights.h5")
    theirs.save_weights(path)
    ours = getattr(keras.applications, name)(weights=path, **kwargs)
    assert ours.name == theirs.name
    assert ours.count_params() == theirs.count_params()
    assert [layer.name for layer in ours.layers] == [layer.name for layer in theirs.layers]
    for mine, other in zip(ours.get_weights(), theirs.get_weights(), strict=True):
        np.testing.assert_array_equal(mine, other)
    x = RNG.uniform(0, 255, (2, *kwargs["input_shape"])).astype("f")
    x = getattr(real.applications, theirs_module(name)).preprocess_input(x)
    want = np.asarray(theirs(x))
    scale = np.abs(want).max()
    np.testing.assert_allclose(np.asarray(ours(x)) / scale, want / scale, atol=2e-5)
    assert ours.output_shape == theirs.output_shape


@pytest.mark.peers
def test_architectures_go_both_ways(real):
    kwargs = {"input_shape": (32, 32, 3), "classes": 5, "weights": None, "alpha": 0.35}
    ours, theirs = (f.applications.MobileNetV2(**kwargs) for f in (keras, real))
    read = real.models.model_from_json(ours.to_json())
    again = keras.models.model_from_json(theirs.to_json())
    assert read.count_params() == again.count_params() == ours.count_params()


def theirs_module(name):
    names = {"ResNet50": "resnet50", "MobileNetV2": "mobilenet_v2", "VGG16": "vgg16"}
    return names.get(name, "efficientnet")


@pytest.mark.peers
def test_signatures_are_keras(real):
    for name in keras.applications.__all__:
        mine, theirs = (getattr(f.applications, name) for f in (keras, real))
        if not callable(theirs):
            continue
        a, b = (
            [(p.name, p.default) for p in inspect.signature(f).parameters.values()
             if p.name != "weights"]  # "imagenet" there, None here: nothing is fetched
            for f in (mine, theirs)
        )  # fmt: skip
        assert a == b, name


@pytest.mark.peers
@pytest.mark.parametrize("mode", ["caffe", "tf", "torch"])
@pytest.mark.parametrize("first", [False, True], ids=["last", "first"])
@pytest.mark.parametrize("tensor", [False, True], ids=["array", "tensor"])
def test_preprocessing_is_keras(real, mode, first, tensor):
    x = RNG.uniform(0, 255, (2, 3, 4, 3)).astype("f")
    data_format = None
    if first:
        x, data_format = np.moveaxis(x, -1, 1).copy(), "channels_first"
    ours, theirs = (f.applications.imagenet_utils.preprocess_input for f in (keras, real))
    if tensor:
        got = ours(hr.constant(x), data_format, mode)
        want = theirs(real.ops.convert_to_tensor(x), data_format, mode)
    else:
        got, want = ours(x.copy(), data_format, mode), theirs(x.copy(), data_format, mode)
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-5, atol=2e-4)
    whole = RNG.integers(0, 255, x.shape).astype("uint8")
    np.testing.assert_allclose(
        ours(whole, data_format, mode), theirs(whole, data_format, mode), rtol=1e-5, atol=2e-4
    )


def test_predictions_are_decoded_from_a_file(tmp_path):
    index = {str(i): [f"n{i}", f"class {i}"] for i in range(1000)}
    path = tmp_path / "index.json"
    path.write_text(json.dumps(index))
    preds = np.zeros((1, 1000), "f")
    preds[0, [3, 999]] = 0.2, 0.8
    decode = keras.applications.resnet50.decode_predictions
    found = decode(preds, top=2, class_index=str(path))
    assert [(i, name) for i, name, _ in found[0]] == [("n999", "class 999"), ("n3", "class 3")]
    with pytest.raises(ValueError, match="class names"):
        decode(preds, class_index=str(tmp_path / "none.json"))
    with pytest.raises(ValueError, match="1000"):
        decode(preds[:, :10])


def test_a_model_starts_from_a_placeholder_and_trains():
    image = keras.Input((32, 32, 1))
    base = keras.applications.MobileNetV2(
        input_tensor=keras.layers.Concatenate()([image] * 3), include_top=False, alpha=0.35,
        pooling="max",
    )  # fmt: skip
    assert base.inputs[0] is image
    model = keras.Sequential([base, keras.layers.Dense(2)])
    model.compile("sgd", "mse")
    x, y = RNG.normal(size=(4, 32, 32, 1)).astype("f"), np.zeros((4, 2), "f")
    assert np.isfinite(model.fit(x, y, epochs=1, verbose=0).history["loss"][0])


@pytest.mark.parametrize(
    ("kwargs", "words"),
    [
        ({"weights": "imagenet"}, "not fetched"),
        ({"weights": "/nowhere.weights.h5"}, "path to the weights file"),
        ({"input_shape": (16, 16, 3)}, "at least 32x32"),
        ({"input_shape": (None, None, 3)}, "static"),
        ({"input_shape": (32, 32)}, "three"),
        ({"pooling": "mean", "include_top": False}, "pooling"),
    ],
)
def test_bad_arguments_are_told(kwargs, words):
    with pytest.raises(ValueError, match=words):
        keras.applications.MobileNetV2(**kwargs)
