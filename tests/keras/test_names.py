"""The public names of Keras 3.15: all of them, but those that are listed here with a reason."""

import inspect

import numpy as np
import pytest

from headrace import keras

FAMILIES = (
    "", "activations", "applications", "backend", "callbacks", "config", "constraints",
    "dtype_policies", "initializers", "layers", "losses", "metrics", "mixed_precision",
    "models", "ops", "ops.image", "ops.linalg", "ops.nn", "ops.numpy", "optimizers",
    "optimizers.schedules", "preprocessing", "preprocessing.image", "preprocessing.sequence",
    "random", "regularizers", "saving", "tree", "utils",
)  # fmt: skip

# Family -> names that are missing, with the reason.
MISSING = {
    "": {
        "Function": "a Model without weights serves",
        "Quantizer": "no quantised training or inference",
        "quantizers": "no quantised training or inference",
        "RematScope": "a policy of JAX; `remat` wraps a function",
        "StatelessScope": "JAX's way of calling layers; a trace serves",
        "SymbolicScope": "Keras's own machinery",
        "datasets": "fetches data from the network",
        "distillation": "not yet",
        "distribution": "layouts of JAX and TPUs; `hr.distribute` has the strategies",
        "export": "SavedModel is written by `hr.saved_model`",
        "legacy": "Keras's own older modules",
        "src": "Keras's own sources",
        "visualization": "galleries need matplotlib",
        "wrappers": "for scikit-learn, another package",
    },
    "applications": dict.fromkeys(
        (
            "ConvNeXtBase ConvNeXtLarge ConvNeXtSmall ConvNeXtTiny ConvNeXtXLarge DenseNet121 "
            "DenseNet169 DenseNet201 EfficientNetV2B0 EfficientNetV2B1 EfficientNetV2B2 "
            "EfficientNetV2B3 EfficientNetV2L EfficientNetV2M EfficientNetV2S "
            "InceptionResNetV2 InceptionV3 MobileNet MobileNetV3Large MobileNetV3Small "
            "NASNetLarge NASNetMobile ResNet101V2 ResNet152V2 ResNet50V2 Xception convnext "
            "densenet efficientnet_v2 inception_resnet_v2 inception_v3 mobilenet mobilenet_v3 "
            "nasnet resnet_v2 xception"
        ).split(),
        "other architectures; Keras's configs of them can be read",
    ),
    "callbacks": {"OrbaxCheckpoint": "a wrapper of JAX's orbax"},
    "dtype_policies": dict.fromkeys(
        (
            "AWQDTypePolicy GPTQDTypePolicy Int4DTypePolicy QuantizedDTypePolicy "
            "QuantizedFloat8DTypePolicy"
        ).split(),
        "no quantised training or inference",
    ),
    "layers": dict.fromkeys(
        "FlaxLayer JaxLayer TFSMLayer TorchModuleWrapper".split(),
        "wrappers of other frameworks",
    ),
    "optimizers": {"legacy": "Keras's own older module"},
    "saving": {"KerasFileEditor": "an editor of files; `load_weights` takes partial ones"},
    "utils": {
        "bounding_boxes": "formats are converted inside the augmentation layers",
        "legacy": "Keras's own older module",
    },
}


def find(root, family):
    for part in family.split(".") if family else ():
        root = getattr(root, part)
    return root


@pytest.fixture(scope="module")
def real(tf):
    return pytest.importorskip("keras")


@pytest.mark.peers
@pytest.mark.parametrize("family", FAMILIES)
def test_every_name_is_there_or_has_its_reason(real, family):
    ours, theirs = find(keras, family), find(real, family)
    names = {n for n in dir(theirs) if n[0] != "_"}
    absent = {n for n in names if not hasattr(ours, n)}
    assert absent == set(MISSING.get(family, {})), "what is missing and what is listed differ"


# Keras alone has no default here, and puts an argument of Conv3DTranspose elsewhere.
WITH_DEFAULT = {"pool_size"}
OTHER_ORDER = {"Conv3DTranspose", "Convolution3DTranspose"}


@pytest.mark.peers
def test_layers_losses_metrics_and_optimizers_take_keras_arguments(real):
    differ = {}
    for family in ("layers", "losses", "metrics", "optimizers"):
        for name in dir(find(real, family)):
            theirs = getattr(find(real, family), name)
            if name[0] == "_" or not inspect.isclass(theirs) or name in MISSING.get(family, {}):
                continue
            wanted, given = (
                _arguments(c) for c in (theirs, getattr(find(keras, family), name))
            )
            lacking = [n for n in wanted if n not in given]
            moved = [n for n in wanted if n in given and not _same(n, wanted[n], given[n])]
            order = [n for n in given if n in wanted] != [n for n in wanted if n in given]
            if lacking or moved or (order and name not in OTHER_ORDER):
                differ[name] = (lacking, moved)
    assert differ == {}


def _same(name, wanted, given):
    """Whether two defaults mean the same: one number stands for as many as there are axes."""
    numbers = [set(text.replace("(", "").replace(")", "").replace(" ", "").split(","))
               for text in (wanted, given)]  # fmt: skip
    return numbers[0] == numbers[1] or (name in WITH_DEFAULT and "_empty" in wanted)


def _arguments(cls):
    """Name -> default; None among them where any keyword is taken."""
    found = inspect.signature(cls.__init__).parameters.values()
    names = {
        p.name: str(p.default)
        for p in found
        if p.name != "self" and p.kind not in (p.VAR_KEYWORD, p.VAR_POSITIONAL)
    }
    if any(p.kind is p.VAR_KEYWORD for p in found):
        names[None] = ""
    return names


def test_small_utilities(tmp_path):
    x = np.arange(4 * 5 * 3).reshape(4, 5, 3).astype("f")
    path = str(tmp_path / "x.png")
    keras.utils.save_img(path, x, scale=False)
    image = keras.utils.load_img(path)
    np.testing.assert_array_equal(keras.utils.img_to_array(image), x)
    small = keras.utils.load_img(path, "grayscale", target_size=(2, 2), keep_aspect_ratio=True)
    assert keras.utils.img_to_array(small).shape == (2, 2, 1)
    assert keras.preprocessing.image.smart_resize(x, (2, 2)).shape == (2, 2, 3)
    config = keras.utils.Config(a=1)
    config.b = 2
    assert (
        config.freeze().to_json() == '{"a": 1, "b": 2}' and "b" in config and len(config) == 2
    )
    with pytest.raises(ValueError, match="frozen"):
        config.c = 3
    with pytest.raises(AttributeError, match="Did you mean"):
        _ = keras.utils.Config(rate=1).ratee


@pytest.mark.peers
def test_trees_are_keras(real):
    structure = {"b": [1, (2, None)], "a": {"c": 3}}
    for name, args in (
        ("flatten", (structure,)),
        ("flatten_with_path", (structure,)),
        ("is_nested", (structure,)),
        ("is_nested", (3,)),
        ("pack_sequence_as", (structure, ["w", "x", "y", "z"])),
        ("map_structure", (lambda x: (x or 0) + 1, structure)),
        ("map_structure_up_to", ({"b": [0, 0], "a": 0}, str, structure)),
        ("traverse", (lambda x: 0 if isinstance(x, tuple) else None, structure)),
        ("traverse", (lambda x: x * 2 if isinstance(x, int) else None, structure, False)),
        ("lists_to_tuples", (structure,)),
        ("map_shape_structure", (len, {"a": (None, 2), "b": [(3,), (1, 2, 3)]})),
    ):
        ours, theirs = (getattr(f.tree, name)(*args) for f in (keras, real))
        assert ours == theirs, name
    for family in (keras, real):
        with pytest.raises(ValueError):
            family.tree.assert_same_structure([1], [1, 2])
        with pytest.raises(ValueError):
            family.tree.assert_same_paths([1], {"a": 1})
        family.tree.assert_same_paths([1, (2,)], (1, [2]))


@pytest.mark.peers
@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("normal", ((3, 4),), {"mean": 1.0, "stddev": 2.0}),
        ("truncated_normal", ((3, 4),), {}),
        ("uniform", ((3, 4),), {"minval": -1.0, "maxval": 3.0}),
        ("uniform", ((5,),), {"dtype": "float16"}),
        ("randint", ((3, 4), 0, 9), {}),
        ("randint", ((8,), -3, 3), {"dtype": "int8"}),
        ("dropout", (np.ones((3, 4), "f"), 0.5), {}),
        ("dropout", (np.ones((3, 4), "f"), 0.5), {"noise_shape": (None, 1)}),
        ("shuffle", (np.arange(6.0),), {}),
    ],
)
def test_draws_are_keras(real, name, args, kwargs):
    got, want = (getattr(f.random, name)(*args, seed=7, **kwargs) for f in (keras, real))
    assert str(got.dtype.name) == real.backend.standardize_dtype(want.dtype)
    np.testing.assert_allclose(got, np.asarray(want), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", ["gamma", "beta", "binomial", "categorical"])
def test_draws_have_their_means(name):
    draw = getattr(keras.random, name)
    args, mean = {
        "gamma": (((4000,), 2.0), 2.0),
        "beta": (((4000,), 2.0, 6.0), 0.25),
        "binomial": (((4000,), 10.0, 0.3), 3.0),
        "categorical": ((np.log([[0.25, 0.75]]).astype("f"), 4000), 0.75),
    }[name]
    assert abs(float(np.mean(draw(*args, seed=3))) - mean) < 0.15
    generator = keras.random.SeedGenerator(5)
    one, two = draw(*args, seed=generator), draw(*args, seed=generator)
    assert not np.array_equal(one, two)
    np.testing.assert_array_equal(one, draw(*args, seed=keras.random.SeedGenerator(5)))


def test_a_map_of_policies_finds_layers_by_path():
    policy = keras.dtype_policies.DTypePolicy
    found = keras.dtype_policies.DTypePolicyMap("float32", {"encoder/.*": policy("bfloat16")})
    found["decoder"] = "float16"
    assert [found[k].name for k in ("encoder/dense", "decoder", "other")] == [
        "bfloat16", "float16", "float32",
    ]  # fmt: skip
    again = keras.dtype_policies.deserialize(keras.dtype_policies.serialize(found))
    assert again["encoder/x"].name == "bfloat16" and len(again) == 2
    found["encoder/dense.*"] = "float64"
    with pytest.raises(ValueError, match="multiple"):
        found["encoder/dense"]
    with pytest.raises(ValueError, match="already"):
        found["decoder"] = "float32"


@pytest.mark.peers
def test_paths_of_layers_weights_and_slots_are_keras(real):
    def paths(k):
        k.utils.clear_session()
        L = k.layers

        class Own(k.Model):
            def __init__(self):
                super().__init__(name="own")
                self.head = L.Dense(2)
                self.body = k.Sequential([L.Dense(3)])

            def call(self, x):
                return self.head(self.body(x))

        inner = k.Sequential([k.Input((4,)), L.Dense(2)])
        outer = k.Sequential([k.Input((4,)), inner, L.BatchNormalization()])
        inputs = k.Input((3, 2))
        functional = k.Model(inputs, L.Bidirectional(L.LSTM(2))(inputs))
        own = Own()
        own(np.ones((1, 2), "f"))
        heads = L.MultiHeadAttention(2, 2)
        heads.build((1, 3, 4), (1, 3, 4))
        optimizer = k.optimizers.Adam()
        optimizer.build(inner.trainable_variables)
        found = [w.path for m in (inner, outer, functional, own, heads) for w in m.weights]
        found += [m.path for m in (inner, inner.layers[0], own, own.body.layers[0])]
        slots = [v.name.split("/")[-1].split(":")[0] for v in optimizer.variables]
        return found, slots

    assert paths(keras) == paths(real)


def test_layers_find_their_policy_in_a_map_by_path():
    policies = keras.dtype_policies.DTypePolicyMap(
        "float32", {"multi_head/query": keras.dtype_policies.DTypePolicy("mixed_bfloat16")}
    )
    layer = keras.layers.MultiHeadAttention(2, 2, dtype=policies, name="multi_head")
    layer.build((1, 3, 4), (1, 3, 4))
    by_name = {s.name: s.compute_dtype for s in layer._sublayers()}
    assert by_name["query"] == "bfloat16" and by_name["key"] == "float32"
