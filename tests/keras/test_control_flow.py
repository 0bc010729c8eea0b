"""Python's control flow in layers and steps of users: the compiled step runs it as a graph."""

import warnings

import numpy as np

import headrace as hr


class Doubling(hr.keras.layers.Layer):
    """Doubles its outputs while their mean is positive and small."""

    def build(self, shape):
        self.w = self.add_weight(shape=(shape[-1], 1))
        self.built = True

    def call(self, x):
        y = x @ self.w
        n = hr.constant(0)
        while hr.reduce_mean(y) > 0 and n < 2:
            y = y * 2.0
            n += 1
        if hr.reduce_sum(y) < 0:
            y = -y
        return y


class Model(hr.keras.Model):
    def __init__(self):
        super().__init__()
        self.layer = Doubling()

    def call(self, x):
        return self.layer(x)

    def train_step(self, data):
        x, y = data
        with hr.GradientTape() as tape:
            loss = hr.reduce_mean(hr.abs(self(x, training=True) - y))
        if loss > 0.01:
            gradients = tape.gradient(loss, self.trainable_weights)
            self.optimizer.apply_gradients(zip(gradients, self.trainable_weights, strict=True))
        return {"loss": loss}


def test_a_compiled_step_with_control_flow_equals_the_eager_one():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(64, 4)).astype("f"), rng.normal(size=(64, 1)).astype("f")
    weights = []
    for eager in (False, True):
        model = Model()
        model.compile("sgd", "mse", run_eagerly=eager)
        model(x[:2])
        model.layer.w.assign(np.array([[0.3], [-0.2], [0.5], [0.1]], np.float32))
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            model.fit(x, y, batch_size=24, epochs=2, shuffle=False, verbose=0)
        weights.append(model.layer.w.numpy())
    np.testing.assert_allclose(*weights, rtol=1e-4)
    assert not np.allclose(weights[0].ravel(), [0.3, -0.2, 0.5, 0.1])
