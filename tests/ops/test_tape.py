"""GradientTape: what it watches, how often it answers, and what it answers."""

import numpy as np
import pytest

import headrace as hr


def test_trainable_variables_are_watched_by_themselves():
    v, fixed = hr.Variable(3.0), hr.Variable(4.0, trainable=False)
    with hr.GradientTape() as tape:
        y = v * v + fixed * fixed
    dv, dfixed = tape.gradient(y, [v, fixed])
    assert float(dv) == 6.0 and dfixed is None
    assert tape.watched_variables() == (v,) or tape.watched_variables()[0] is v


def test_watch_accessed_variables_can_be_turned_off():
    v, w = hr.Variable(3.0), hr.Variable(2.0)
    with hr.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(v)
        y = v * w
    assert [g if g is None else float(g) for g in tape.gradient(y, [v, w])] == [2.0, None]


def test_a_tape_answers_once_unless_persistent():
    x = hr.constant(2.0)
    with hr.GradientTape() as once, hr.GradientTape(persistent=True) as often:
        once.watch(x)
        often.watch(x)
        y = x * x
    assert float(once.gradient(y, x)) == 4.0
    with pytest.raises(RuntimeError, match="non-persistent"):
        once.gradient(y, x)
    assert [float(often.gradient(y, x)) for _ in range(2)] == [4.0, 4.0]


def test_unconnected_sources():
    x, z = hr.constant(1.0), hr.constant([1.0, 2.0])
    with hr.GradientTape(persistent=True) as tape:
        tape.watch([x, z])
        y = x * 2.0
    assert tape.gradient(y, z) is None
    zero = tape.gradient(y, z, unconnected_gradients=hr.UnconnectedGradients.ZERO)
    assert zero.numpy().tolist() == [0.0, 0.0]


def test_output_gradients_and_structures():
    x = hr.constant([1.0, 2.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        ys = {"a": x * 2.0, "b": x * x}
    grads = tape.gradient(
        ys, {"x": x}, output_gradients={"a": hr.ones([2]), "b": hr.constant([1.0, 10.0])}
    )
    assert grads["x"].numpy().tolist() == [4.0, 42.0]


def test_stop_gradient_and_stop_recording():
    x = hr.constant(3.0)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = x * hr.stop_gradient(x * x)
        with tape.stop_recording():
            z = x * x
        y = y + z
    assert float(tape.gradient(y, x)) == 9.0


def test_the_gradient_of_a_gather_is_sparse_and_adds_up():
    table = hr.Variable(np.zeros((5, 2), np.float32))
    with hr.GradientTape() as tape:
        y = hr.reduce_sum(hr.gather(table, [1, 3, 1]))
    g = tape.gradient(y, table)
    assert isinstance(g, hr.IndexedSlices) and g.indices.numpy().tolist() == [1, 3, 1]
    assert hr.convert_to_tensor(g).numpy().tolist() == [[0, 0], [2, 2], [0, 0], [1, 1], [0, 0]]


def test_integer_targets_have_no_gradient():
    x = hr.constant(2.0)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.cast(x, "int32")
    assert tape.gradient(y, x) is None


def test_a_primitive_without_a_rule_says_so():
    x = hr.constant([1.0, 2.0])
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = hr.random.shuffle(x)
    with pytest.raises(LookupError, match="RandomShuffle"):
        tape.gradient(y, x)


def test_jacobian_equals_tensorflows(tf):
    value = np.array([[0.5, -1.0], [2.0, 3.0]], np.float32)

    def fn(m, x):
        return m.tanh(x) * m.reduce_sum(x)

    x = hr.constant(value)
    with hr.GradientTape() as tape:
        tape.watch(x)
        y = fn(hr, x)
    theirs = tf.constant(value)
    with tf.GradientTape() as their_tape:
        their_tape.watch(theirs)
        z = fn(tf, theirs)
    np.testing.assert_allclose(tape.jacobian(y, x), their_tape.jacobian(z, theirs), rtol=1e-5)


def test_watching_something_else_is_an_error():
    with hr.GradientTape() as tape, pytest.raises(ValueError, match=r"not hr\.Tensor"):
        tape.watch(3.0)
