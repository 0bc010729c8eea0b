"""Checkpoints of Keras's objects: ours come back, and TensorFlow's Keras and we read each
other's."""

import os

import numpy as np
import pytest

import headrace as hr
from headrace import keras, train

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


def functional(library, layers=None):
    layers = library.layers
    library.utils.set_random_seed(1)
    inputs = library.Input((3,))
    x = layers.Dense(4, "relu")(inputs)
    x = layers.Dropout(0.5)(x)
    x = layers.BatchNormalization()(x)
    inner = library.Sequential([library.Input((4,)), layers.Dense(2)])
    model = library.Model(inputs, inner(x))
    model.compile(library.optimizers.Adam(0.01), "mse", metrics=["mae"])
    return model


def sequential(library):
    library.utils.set_random_seed(1)
    layers = library.layers
    recurrent = layers.Bidirectional(layers.LSTM(2))
    model = library.Sequential(
        [library.Input((5,)), layers.Reshape((5, 1)), recurrent, layers.Dense(2)]
    )
    model.compile(library.optimizers.SGD(0.01, momentum=0.9), "mse")
    return model


def subclassed(library):
    class Net(library.Model):
        def __init__(self):
            super().__init__()
            self.first = library.layers.Dense(4)
            self.norm = library.layers.LayerNormalization()
            self.last = library.layers.Dense(2)
            self.scale = self.add_weight(shape=(), initializer="ones", name="scale")

        def call(self, x):
            return self.last(self.norm(self.first(x))) * self.scale

    library.utils.set_random_seed(1)
    model = Net()
    model.compile(library.optimizers.RMSprop(0.01), "mse")
    return model


MODELS = {
    "functional": (functional, 3),
    "sequential": (sequential, 5),
    "subclassed": (subclassed, 3),
}


def data(width):
    rng = np.random.default_rng(0)
    return rng.normal(size=(16, width)).astype("f"), rng.normal(size=(16, 2)).astype("f")


def trained(library, name):
    make, width = MODELS[name]
    model = make(library)
    model.fit(*data(width), batch_size=8, epochs=2, verbose=0)
    return model


def state(model):
    found = [*model.weights, *model.optimizer.variables]
    return [
        np.asarray(v)
        for v in found
        if "seed_generator" not in (getattr(v, "path", "") or v.name)
    ]


def assert_same_state(a, b):
    for x, y in zip(state(a), state(b), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.parametrize("name", MODELS)
def test_training_goes_on_as_if_it_had_not_stopped(name, tmp_path):
    make, width = MODELS[name]
    model = trained(keras, name)
    path = train.Checkpoint(model=model, optimizer=model.optimizer).save(tmp_path / "c")
    model.fit(*data(width), batch_size=8, epochs=1, verbose=0, shuffle=False)
    fresh = make(keras)
    checkpoint = train.Checkpoint(model=fresh, optimizer=fresh.optimizer)
    status = checkpoint.restore(path)  # slots, and some weights, are made later
    fresh.fit(*data(width), batch_size=8, epochs=1, verbose=0, shuffle=False)
    status.assert_consumed()
    assert_same_state(fresh, model)


def test_names(tmp_path):
    model = functional(keras)
    path = train.Checkpoint(model=model).write(tmp_path / "c")
    names = {n.removesuffix(VALUE) for n, _ in train.list_variables(path)}
    assert {"model/_operations/1/_kernel", "model/_operations/1/bias",
            "model/_operations/3/moving_mean",
            "model/_operations/4/_functional/_operations/1/_kernel"} <= names  # fmt: skip
    assert not any("optimizer" in n for n in names)


def test_metrics_and_seeds_come_back(tmp_path):
    metric, dropout = keras.metrics.Mean(), keras.layers.Dropout(0.5, seed=4)
    metric.update_state([1.0, 5.0])
    for _ in range(3):
        dropout(np.ones((4, 4), "f"), training=True)
    path = train.Checkpoint(m=metric, d=dropout).write(tmp_path / "c")
    wanted = dropout(np.ones((4, 4), "f"), training=True).numpy()
    other, again = keras.metrics.Mean(), keras.layers.Dropout(0.5, seed=5)
    train.Checkpoint(m=other, d=again).read(path).assert_consumed()
    assert float(other.result()) == 3.0
    assert np.array_equal(again(np.ones((4, 4), "f"), training=True).numpy(), wanted)


def test_a_normalization_takes_its_restored_moments_into_use(tmp_path):
    one = keras.layers.Normalization()
    one.adapt(np.array([[1.0], [3.0]], "f"))
    path = train.Checkpoint(n=one).write(tmp_path / "c")
    other = keras.layers.Normalization()
    other.build((None, 1))
    train.Checkpoint(n=other).read(path).assert_consumed()
    assert np.array_equal(other([[5.0]]).numpy(), one([[5.0]]).numpy())


def test_layers_in_containers_and_layers_made_later(tmp_path):
    class Net(keras.Model):
        def __init__(self):
            super().__init__()
            self.blocks = [keras.layers.Dense(2), keras.layers.Dense(2)]
            self.heads = {"a": keras.layers.Dense(1), "b": (keras.layers.Dense(1),)}

        def call(self, x):
            for block in self.blocks:
                x = block(x)
            return self.heads["a"](x) + self.heads["b"][0](x)

    x = np.ones((2, 3), "f")
    one, other = Net(), Net()
    wanted = one(x).numpy()
    path = train.Checkpoint(one).write(tmp_path / "c")
    status = train.Checkpoint(other).read(path)
    assert np.array_equal(other(x).numpy(), wanted)
    status.assert_consumed()


def test_weights_that_are_no_attributes(tmp_path):
    class Odd(keras.layers.Layer):
        def build(self, shape):
            for i in range(2):
                self.add_weight(shape=(2,), name=f"w{i}", initializer="random_normal")

        def call(self, x):
            return x * self.weights[0] + self.weights[1]

    x = np.ones((1, 2), "f")
    one, other = Odd(), Odd()
    wanted = one(x).numpy()
    other(x)
    train.Checkpoint(l=other).read(
        train.Checkpoint(l=one).write(tmp_path / "c")
    ).assert_consumed()
    assert np.array_equal(other(x).numpy(), wanted)


@pytest.mark.parametrize("name", MODELS)
def test_keras_2_names_are_understood(name, tmp_path):
    """As tf.keras 2 saved `Checkpoint(model=...)`: numbered layers, plain weight names."""
    model = trained(keras, name)

    class Old(hr.Module):
        pass

    def old(layer):
        out = Old()
        graph = getattr(layer, "_graph", None)
        if graph is not None:
            weighted = [each for each in graph.layers if each.weights]
            for i, each in enumerate(weighted):
                setattr(out, f"layer_with_weights-{i}", old(each))
            for i, each in enumerate(graph.layers):
                if each not in weighted:
                    setattr(out, f"layer-{i}", old(each))
            return out
        for key, value in vars(layer).items():
            if isinstance(value, hr.Variable):
                setattr(out, key, value)
            elif isinstance(value, keras.layers.Layer):
                setattr(out, key, old(value))
        return out

    path = train.Checkpoint(model=old(model)).write(tmp_path / "c")
    make, width = MODELS[name]
    fresh = make(keras)
    fresh(np.zeros((1, width), "f"))
    train.Checkpoint(model=fresh).read(path).expect_partial().assert_existing_objects_matched()
    for a, b in zip(model.weights, fresh.weights, strict=True):
        if "seed" not in a.name:
            assert np.array_equal(a.numpy(), b.numpy())


# -- TensorFlow --------------------------------------------------------------------------------


@pytest.mark.peers
@pytest.mark.parametrize("name", MODELS)
def test_tensorflow_and_we_read_each_others_models(name, tmp_path):
    tf = pytest.importorskip("tensorflow")
    import keras as peer

    theirs, ours = trained(peer, name), trained(keras, name)
    path = tf.train.Checkpoint(model=theirs, optimizer=theirs.optimizer).save(
        str(tmp_path / "t")
    )
    mine = train.Checkpoint(model=ours, optimizer=ours.optimizer)
    mine.restore(path).assert_consumed()
    assert_same_state(theirs, ours)
    ours.fit(*data(MODELS[name][1]), batch_size=8, epochs=1, verbose=0)
    back = mine.save(tmp_path / "h")
    tf.train.Checkpoint(model=theirs, optimizer=theirs.optimizer).restore(
        back
    ).assert_consumed()
    assert_same_state(theirs, ours)
    names = [{n for n, _ in train.list_variables(p)} for p in (path, back)]
    assert {n for n in names[1] if ".HEADRACE" not in n} == names[0]


LAYERS = [
    ("Dense(3)", (2, 4)), ("Conv1D(3, 2)", (2, 5, 4)), ("Conv2D(3, 2)", (2, 5, 5, 4)),
    ("SeparableConv2D(3, 2)", (2, 5, 5, 4)), ("DepthwiseConv2D(2)", (2, 5, 5, 4)),
    ("Conv2DTranspose(3, 2)", (2, 5, 5, 4)), ("Embedding(7, 3)", (2, 4)),
    ("EinsumDense('ab,bc->ac', output_shape=3, bias_axes='c')", (2, 4)),
    ("BatchNormalization()", (2, 4)), ("LayerNormalization()", (2, 4)),
    ("GroupNormalization(2)", (2, 4)), ("RMSNormalization()", (2, 4)), ("PReLU()", (2, 4)),
    ("GRU(3)", (2, 5, 4)), ("SimpleRNN(3)", (2, 5, 4)), ("Bidirectional(L.LSTM(3))", (2, 5, 4)),
    ("TimeDistributed(L.Dense(3))", (2, 5, 4)), ("ConvLSTM1D(3, 2)", (2, 3, 5, 2)),
    ("SpectralNormalization(L.Dense(3))", (2, 4)), ("Normalization()", (2, 4)),
    ("Dropout(0.5)", (2, 4)), ("MultiHeadAttention(2, 3)", None),
    ("GroupQueryAttention(2, 2, 1)", None),
]  # fmt: skip


@pytest.mark.peers
def test_every_layers_weights_have_kerass_names(tmp_path):
    tf = pytest.importorskip("tensorflow")
    import keras as peer

    for source, shape in LAYERS:

        def make(library, source=source, shape=shape):
            layer = eval(f"L.{source}", {"L": library.layers})
            if shape is None:
                layer(np.ones((2, 3, 4), "f"), np.ones((2, 3, 4), "f"))
            else:
                layer.build(shape)
            return layer

        theirs, ours, again = make(peer), make(keras), make(peer)
        path = tf.train.Checkpoint(layer=theirs).write(str(tmp_path / "t"))
        train.Checkpoint(layer=ours).read(path).assert_consumed()
        path = train.Checkpoint(layer=ours).write(tmp_path / "h")
        tf.train.Checkpoint(layer=again).read(path).assert_consumed()
        for a, b in zip(theirs.weights, again.weights, strict=True):
            if "seed" not in a.path:
                assert np.array_equal(np.asarray(a), np.asarray(b)), source


OPTIMIZERS = [
    ("Adadelta", {}), ("Adafactor", {}), ("Adagrad", {}), ("Adam", {"amsgrad": True}),
    ("AdamW", {}), ("Adamax", {}), ("Ftrl", {}), ("Lamb", {}), ("Lion", {}), ("Muon", {}),
    ("Nadam", {}), ("RMSprop", {"centered": True, "momentum": 0.9}), ("SGD", {"momentum": 0.9}),
]  # fmt: skip
MORE = {"use_ema": True, "gradient_accumulation_steps": 2}


@pytest.mark.peers
def test_every_optimizers_slots_have_kerass_names(tmp_path):
    tf = pytest.importorskip("tensorflow")
    import keras as peer

    for name, kwargs in [*OPTIMIZERS, ("Adam", MORE), ("Adagrad", MORE), ("Ftrl", MORE)]:

        def make(library, variable, name=name, kwargs=kwargs):
            optimizer = getattr(library.optimizers, name)(**kwargs)
            optimizer.build([variable(np.ones((3, 2), "f")), variable(np.ones(2, "f"))])
            return optimizer

        theirs, again = make(peer, peer.Variable), make(peer, peer.Variable)
        ours = make(keras, hr.Variable)
        for i, v in enumerate(theirs.variables):
            v.assign(np.full(v.shape, i + 1))
        path = tf.train.Checkpoint(o=theirs).write(str(tmp_path / "t"))
        train.Checkpoint(o=ours).read(path).assert_consumed()
        path = train.Checkpoint(o=ours).write(tmp_path / "h")
        tf.train.Checkpoint(o=again).read(path).assert_consumed()
        for a, b in zip(theirs.variables, again.variables, strict=True):
            assert np.array_equal(np.asarray(a), np.asarray(b)), name
        for a, b in zip(theirs.variables, ours.variables, strict=True):
            assert np.array_equal(np.asarray(a), np.asarray(b)), name


# -- save_weights ------------------------------------------------------------------------------


class TestWeightsFiles:
    """As in tf.keras 2, a path without ending is a checkpoint's."""

    def test_come_back(self, tmp_path):
        model = trained(keras, "functional")
        prefix = str(tmp_path / "weights" / "w")
        model.save_weights(prefix)
        assert sorted(os.listdir(tmp_path / "weights")) == [
            "checkpoint", "w.data-00000-of-00001", "w.index",
        ]  # fmt: skip
        assert train.latest_checkpoint(tmp_path / "weights") == prefix
        fresh = functional(keras)
        fresh.load_weights(prefix)  # the optimizer's are read when they are made
        fresh.optimizer.build(fresh.trainable_variables)
        assert_same_state(fresh, model)

    def test_wrong_paths(self, tmp_path):
        model = functional(keras)
        with pytest.raises(hr.errors.NotFoundError, match="Failed to find any matching files"):
            model.load_weights(tmp_path / "none")
        for wrong in ("w.keras", "w.pt", "w.npz"):
            with pytest.raises(ValueError, match=r"must end in `\.weights\.h5`"):
                model.save_weights(tmp_path / wrong)
        model.save_weights(tmp_path / "w")
        with pytest.raises(hr.errors.AlreadyExistsError, match="overwrite"):
            model.save_weights(tmp_path / "w", overwrite=False)
        with pytest.raises(ValueError, match="by_name"):
            model.load_weights(tmp_path / "w", by_name=True)
