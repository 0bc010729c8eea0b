"""Optimizers against Keras over 20 steps: options, schedules, slots, sparse gradients; eager =
traced = compiled; configs; states.
"""

import gc
import inspect
import weakref

import numpy as np
import pytest

import headrace as hr
from headrace.keras import optimizers
from headrace.keras.optimizers import apply_ops, apply_update, schedules, updates
from headrace.ops.graph import llvm

rng = np.random.default_rng(11)
SHAPES = [(5, 3), (3,), (2, 2, 2)]
STARTS = [rng.normal(size=s).astype("float32") for s in SHAPES]
STEPS = 20
GRADS = [[rng.normal(size=s).astype("float32") for s in SHAPES] for _ in range(STEPS)]

KINDS = [
    ("SGD", {}),
    ("SGD", {"momentum": 0.9}),
    ("SGD", {"momentum": 0.9, "nesterov": True}),
    ("Adam", {}),
    ("Adam", {"amsgrad": True, "beta_1": 0.8, "beta_2": 0.95, "epsilon": 1e-4}),
    ("AdamW", {"weight_decay": 0.1}),
    ("RMSprop", {}),
    ("RMSprop", {"momentum": 0.5, "centered": True}),
    ("Adagrad", {}),
    ("Adadelta", {"learning_rate": 1.0}),
    ("Adamax", {}),
    ("Nadam", {}),
    ("RMSprop", {"momentum": 0.5}),
    ("RMSprop", {"centered": True}),
    ("Lion", {"beta_1": 0.8, "beta_2": 0.9}),
    ("Lamb", {}),
    ("Adafactor", {}),
    ("Adafactor", {"clip_threshold": 0.3, "beta_2_decay": -0.5, "epsilon_2": 0.5}),
    ("Ftrl", {}),
    (
        "Ftrl",
        {
            "l1_regularization_strength": 0.02,
            "l2_regularization_strength": 0.03,
            "l2_shrinkage_regularization_strength": 0.04,
            "beta": 0.1,
        },
    ),
    ("Ftrl", {"learning_rate_power": -0.3, "l1_regularization_strength": 0.01}),
    ("Muon", {}),
    ("Muon", {"nesterov": False, "rms_rate": None, "adam_lr_ratio": 0.5, "ns_steps": 3}),
    ("ScheduleFreeAdamW", {}),
    ("ScheduleFreeAdamW", {"warmup_steps": 5, "beta_1": 0.8}),
]
OPTIONS = [
    {},
    {"clipnorm": 0.7},
    {"clipvalue": 0.3},
    {"global_clipnorm": 1.1},
    {"weight_decay": 0.05},
    {"use_ema": True, "ema_momentum": 0.8},
    {"use_ema": True, "ema_momentum": 0.8, "ema_overwrite_frequency": 3},
    {"gradient_accumulation_steps": 3},
    {"gradient_accumulation_steps": 2, "use_ema": True, "clipnorm": 0.5},
    {"loss_scale_factor": 8.0},
]
KIND_IDS = [f"{n}-{'-'.join(kw) or 'plain'}" for n, kw in KINDS]
OPTION_IDS = ["-".join(o) or "plain" for o in OPTIONS]
FEW = (0, 3, 6, 7, 8)
# What options do is the base class's affair: the first kinds go through all of them.
GRID = [
    (kind, option)
    for i, kind in enumerate(KINDS)
    for j, option in enumerate(OPTIONS)
    if i < 8 or j in (0, 8) or (kind[0] == "Muon" and j == 4)
]
GRID_IDS = [f"{KIND_IDS[KINDS.index(k)]}-{'-'.join(o) or 'plain'}" for k, o in GRID]


def arguments(kind, option):
    return {"learning_rate": 0.05, **kind[1], **option}


def run(optimizer, variables, tensor, steps=STEPS):
    for grads in GRADS[:steps]:
        pairs = zip([tensor(g) for g in grads], variables, strict=True)
        optimizer.apply_gradients(pairs)


def ours(make, steps=STEPS, traced=False):
    variables = [hr.Variable(s) for s in STARTS]
    optimizer = make()
    if not traced:
        run(optimizer, variables, hr.constant, steps)
        return optimizer, variables
    optimizer.build(variables)

    @hr.function
    def step(grads):
        optimizer.apply(grads, variables)
        return optimizer.iterations + 0

    for grads in GRADS[:steps]:
        step([hr.constant(g) for g in grads])
    return optimizer, variables


def theirs(tf, make):
    variables = [tf.keras.Variable(s) for s in STARTS]
    optimizer = make(tf.keras.optimizers)
    run(optimizer, variables, tf.constant)
    return optimizer, variables


def assert_same_state(mine, expected, rtol=2e-5, atol=2e-6):
    (optimizer, variables), (peer, peer_variables) = mine, expected
    for a, b in zip(variables, peer_variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol)
    assert len(optimizer.variables) == len(peer.variables)
    for a, b in zip(optimizer.variables, peer.variables, strict=True):
        assert tuple(a.shape) == tuple(b.shape)
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=rtol, atol=atol)


@pytest.mark.parametrize(("kind", "option"), GRID, ids=GRID_IDS)
def test_twenty_steps_are_keras(tf, kind, option):
    """Weights and every slot, in Keras's order."""
    kwargs = arguments(kind, option)
    mine = ours(lambda: getattr(optimizers, kind[0])(**kwargs))
    expected = theirs(tf, lambda family: getattr(family, kind[0])(**kwargs))
    assert_same_state(mine, expected)


@pytest.mark.parametrize("option", [OPTIONS[i] for i in FEW], ids=[OPTION_IDS[i] for i in FEW])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_traced_equals_eager(kind, option):
    kwargs = arguments(kind, option)
    make = lambda: getattr(optimizers, kind[0])(**kwargs)  # noqa: E731
    assert_same_state(ours(make, 7, traced=True), ours(make, 7), rtol=1e-5, atol=1e-6)


SCHEDULES = [
    ("ExponentialDecay", (0.1, 5, 0.5), {}),
    ("ExponentialDecay", (0.1, 5, 0.5), {"staircase": True}),
    ("InverseTimeDecay", (0.1, 4, 0.5), {}),
    ("InverseTimeDecay", (0.1, 4, 0.5), {"staircase": True}),
    ("PiecewiseConstantDecay", ([3, 8, 12], [0.1, 0.05, 0.01, 0.2]), {}),
    ("PolynomialDecay", (0.1, 8), {"power": 2.0}),
    ("PolynomialDecay", (0.1, 8), {"cycle": True, "end_learning_rate": 0.01}),
    ("CosineDecay", (0.1, 12), {"alpha": 0.1}),
    ("CosineDecay", (0.01, 10), {"warmup_target": 0.1, "warmup_steps": 5}),
    ("CosineDecay", (0.01, 10), {"warmup_target": 0.1}),
    ("CosineDecayRestarts", (0.1, 3), {}),
    ("CosineDecayRestarts", (0.1, 4), {"t_mul": 1.0, "m_mul": 0.8, "alpha": 0.05}),
]
SCHEDULE_IDS = [f"{n}-{'-'.join(kw) or 'plain'}" for n, _, kw in SCHEDULES]


@pytest.mark.parametrize("case", SCHEDULES, ids=SCHEDULE_IDS)
def test_schedule_is_keras(tf, case):
    name, args, kwargs = case
    mine = getattr(schedules, name)(*args, **kwargs)
    expected = getattr(tf.keras.optimizers.schedules, name)(*args, **kwargs)
    traced = hr.function(lambda step: mine(step))
    # The end of a restart is decided by the last bit of a logarithm; steps in between are not.
    for step in range(30):
        if name == "CosineDecayRestarts" and kwargs == {} and step in (3, 9, 21):
            continue
        want = float(expected(step))
        assert float(mine(step)) == pytest.approx(want, rel=1e-4, abs=1e-7), step
        now = hr.constant(step, dtype="int64")
        assert float(traced(now)) == pytest.approx(want, rel=1e-4, abs=1e-7), step
    assert mine.get_config() == expected.get_config()
    again = schedules.deserialize(schedules.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()


@pytest.mark.parametrize("case", SCHEDULES[:7], ids=SCHEDULE_IDS[:7])
def test_optimizer_with_schedule_is_keras(tf, case):
    name, args, kwargs = case
    mine = ours(lambda: optimizers.Adam(getattr(schedules, name)(*args, **kwargs)))
    expected = theirs(
        tf,
        lambda family: family.Adam(getattr(family.schedules, name)(*args, **kwargs)),
    )
    assert_same_state(mine, expected)
    config = mine[0].get_config()
    again = optimizers.Adam.from_config(config)
    assert again.get_config() == config


def test_schedule_arguments_are_checked():
    for make in (
        lambda: schedules.ExponentialDecay(0.1, 0, 0.5),
        lambda: schedules.InverseTimeDecay(0.1, -1, 0.5),
        lambda: schedules.PolynomialDecay(0.1, 0),
        lambda: schedules.CosineDecay(0.1, 0),
        lambda: schedules.CosineDecayRestarts(0.1, 0),
    ):
        with pytest.raises(ValueError, match="must be > 0"):
            make()
    with pytest.raises(ValueError, match="1 less"):
        schedules.PiecewiseConstantDecay([1], [0.1])


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_sparse_gradient_equals_the_dense_one(kind):
    """Rows named twice add up; rows not named behave as with a gradient of zero."""
    table = rng.normal(size=(7, 3)).astype("float32")
    indices = np.array([1, 4, 1, 6], "int64")
    rows = rng.normal(size=(4, 3)).astype("float32")
    dense = np.zeros_like(table)
    np.add.at(dense, indices, rows)
    found = []
    for sparse in (True, False):
        variable = hr.Variable(table)
        optimizer = getattr(optimizers, kind[0])(**arguments(kind, {}))
        for _ in range(5):
            grad = hr.constant(dense)
            if sparse:
                grad = hr.IndexedSlices(
                    hr.constant(rows), hr.constant(indices), hr.constant([7, 3])
                )
            optimizer.apply([grad], [variable])
        found.append([variable.numpy(), *(v.numpy() for v in optimizer.variables)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_config_is_keras_and_round_trips(tf, kind):
    kwargs = arguments(kind, {"clipnorm": 0.5, "name": "chosen"})
    mine = getattr(optimizers, kind[0])(**kwargs)
    assert mine.get_config() == getattr(tf.keras.optimizers, kind[0])(**kwargs).get_config()
    again = optimizers.deserialize(optimizers.serialize(mine))
    assert type(again) is type(mine) and again.get_config() == mine.get_config()
    assert optimizers.serialize(mine)["module"] == "keras.optimizers"


def test_signatures_are_keras(tf):
    """Names, order and defaults of the arguments of every optimizer, schedule and function."""
    for family, peers in (
        (optimizers, tf.keras.optimizers),
        (schedules, tf.keras.optimizers.schedules),
    ):
        names = [
            n
            for n in dir(peers)
            if n[0] != "_" and n not in ("Optimizer", "legacy", "schedules")
        ]
        for name in names:
            mine, expected = (
                [
                    (p.name, p.default)
                    for p in inspect.signature(getattr(f, name)).parameters.values()
                    if p.kind is not p.VAR_KEYWORD
                ]
                for f in (family, peers)
            )
            assert mine == expected, name


def test_shared_arguments_are_taken_by_position_too():
    by_position = optimizers.AdamW(0.1, 0.2, 0.8, 0.9, 1e-3, True, 0.5, None, None, True)
    config = by_position.get_config()
    assert (config["weight_decay"], config["clipnorm"], config["use_ema"]) == (0.2, 0.5, True)
    assert optimizers.SGD(0.1, 0.5, True, 0.25).weight_decay == 0.25
    with pytest.raises(TypeError, match="multiple values for argument 'weight_decay'"):
        optimizers.SGD(0.1, 0.5, True, 0.25, weight_decay=0.5)
    with pytest.raises(TypeError, match="at most 14 positional"):
        optimizers.SGD(0.1, 0.5, True, *[None] * 11)


def test_sign_of_a_gradient_that_is_not_a_number():
    variable = hr.Variable([1.0, 1.0, 1.0])
    optimizers.Lion(0.5).apply([hr.constant([float("nan"), 0.0, -2.0])], [variable])
    np.testing.assert_array_equal(variable.numpy(), [float("nan"), 1.0, 1.5])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16", "float64"])
@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_other_dtypes_follow_float32(kind, dtype):
    """Scalars and slots have the variable's dtype; three steps agree as far as it resolves."""
    found = []
    for d in ("float32", dtype):
        variables = [hr.Variable(hr.cast(s, d)) for s in STARTS]
        # Moments that bfloat16 can correct: it takes 0.999 for 1.
        taken = inspect.signature(getattr(optimizers, kind[0])).parameters
        kwargs = {"epsilon": 1e-3, "beta_2": 0.875, "adam_beta_2": 0.875}
        kwargs = {k: v for k, v in kwargs.items() if k in taken}
        optimizer = getattr(optimizers, kind[0])(**arguments(kind, kwargs))
        for grads in GRADS[:3]:
            optimizer.apply([hr.cast(g, d) for g in grads], variables)
        assert all(v.dtype == d for v in variables)
        found.append([hr.cast(v, "float64").numpy() for v in variables])
    size = {"bfloat16": 0.05, "float16": 0.01, "float64": 1e-4}[dtype]
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=size, atol=size)


def test_variable_names_and_types():
    variable = hr.Variable(np.zeros((2, 3), "float32"), name="dense/kernel")
    optimizer = optimizers.Adam(name="adam")
    optimizer.build([variable])
    names = [v.name.split(":")[0] for v in optimizer.variables]
    assert names == [
        "adam/iteration",
        "adam/learning_rate",
        "adam/dense_kernel_momentum",
        "adam/dense_kernel_velocity",
    ]
    assert optimizer.iterations.dtype == "int64"
    assert optimizer.learning_rate.dtype == "float32"


def test_state_moves_through_a_store():
    """Saved after 5 steps and loaded into a fresh optimizer, the rest is the same."""
    make = lambda: optimizers.Adam(0.05)  # noqa: E731
    whole = ours(make, 8)
    first, variables = ours(make, 5)
    store = {}
    first.save_own_variables(store)
    second = make()
    second.build(variables)
    second.load_own_variables({k: np.asarray(v) for k, v in store.items()})
    for grads in GRADS[5:8]:
        second.apply([hr.constant(g) for g in grads])
    assert_same_state((second, variables), whole, rtol=0, atol=0)
    with pytest.warns(UserWarning, match="Skipping"):
        second.load_own_variables({"0": np.zeros(())})
    second.set_weights([np.asarray(v.numpy()) for v in first.variables])
    assert_same_state((second, []), (first, []), rtol=0, atol=0)
    with pytest.raises(ValueError, match="not yet been built"):
        make().set_weights([])
    with pytest.raises(ValueError, match="shape"):
        second.set_weights([np.zeros((3,))])


def test_learning_rate_can_be_set():
    optimizer = optimizers.SGD(0.5)
    optimizer.learning_rate = 0.25
    assert float(optimizer.learning_rate) == 0.25
    optimizer.learning_rate = schedules.ExponentialDecay(0.1, 10, 0.5)
    assert float(optimizer.learning_rate) == pytest.approx(0.1)
    assert len(optimizer.variables) == 1
    with pytest.raises(TypeError, match="not settable"):
        optimizer.learning_rate = 0.3
    assert float(optimizers.SGD(lambda: 0.125).learning_rate) == 0.125


def test_ema_takes_over_at_the_end():
    optimizer, variables = ours(lambda: optimizers.SGD(0.1, use_ema=True, ema_momentum=0.5))
    averages = [v.numpy() for v in optimizer._averages]
    optimizer.finalize_variable_values(variables)
    for v, a in zip(variables, averages, strict=True):
        np.testing.assert_array_equal(v.numpy(), a)
    with pytest.raises(ValueError, match="length"):
        optimizer.finalize_variable_values(variables[:1])


def test_weight_decay_spares_excluded_variables():
    kernel, bias = hr.Variable([1.0], name="kernel"), hr.Variable([1.0], name="bias")
    other = hr.Variable([1.0], name="other")
    optimizer = optimizers.SGD(0.1, weight_decay=0.5)
    optimizer.exclude_from_weight_decay(var_list=[other], var_names=["bias"])
    zero = hr.constant([0.0])
    optimizer.apply([zero, zero, zero], [kernel, bias, other])
    assert [float(v.numpy()[0]) for v in (kernel, bias, other)] == pytest.approx([0.95, 1, 1])
    with pytest.raises(ValueError, match="before the optimizer is built"):
        optimizer.exclude_from_weight_decay(var_list=[kernel])


def test_constraint_is_applied_after_the_step():
    variable = hr.Variable([0.1, 2.0], constraint=lambda w: hr.maximum(w, 0.0))
    optimizers.SGD(1.0).apply([hr.constant([1.0, 1.0])], [variable])
    np.testing.assert_allclose(variable.numpy(), [0.0, 1.0])


def test_minimize_goes_down():
    variable = hr.Variable(4.0)
    optimizer = optimizers.SGD(0.1)
    for _ in range(40):
        optimizer.minimize(lambda: hr.square(variable - 1.0), [variable])
    assert float(variable.numpy()) == pytest.approx(1.0, abs=1e-3)
    assert int(optimizer.iterations.numpy()) == 40
    with pytest.raises(ValueError, match="tape"):
        optimizer.minimize(hr.constant(1.0), [variable])


def test_loss_is_scaled_and_unscaled():
    optimizer = optimizers.SGD(1.0, loss_scale_factor=4.0)
    variable = hr.Variable(3.0)
    with hr.GradientTape() as tape:
        loss = optimizer.scale_loss(hr.square(variable))
    assert float(loss) == 36
    optimizer.apply([tape.gradient(loss, variable)], [variable])
    assert float(variable.numpy()) == pytest.approx(-3.0)


def test_subclass_needs_only_update_step():
    class Sign(optimizers.Optimizer):
        def update_step(self, gradient, variable, learning_rate):
            self.assign_sub(
                variable, hr.sign(gradient) * hr.cast(learning_rate, variable.dtype)
            )

    variable = hr.Variable([1.0, 1.0])
    Sign(learning_rate=0.5).apply([hr.constant([3.0, -0.1])], [variable])
    np.testing.assert_allclose(variable.numpy(), [0.5, 1.5])


def test_variables_without_gradient():
    a, b = hr.Variable(1.0, name="a"), hr.Variable(1.0, name="b")
    optimizer = optimizers.SGD(1.0)
    with pytest.warns(UserWarning, match=r"\['b'\]"):
        optimizer.apply([hr.constant(1.0), None], [a, b])
    assert float(a.numpy()) == 0 and float(b.numpy()) == 1
    with pytest.raises(ValueError, match="No gradients"):
        optimizer.apply([None, None], [a, b])
    with pytest.raises(ValueError, match="Unknown variable"):
        optimizer.apply([hr.constant(1.0)], [hr.Variable(1.0)])
    with pytest.raises(ValueError, match="one-to-on"):
        optimizer.apply([hr.constant(1.0)])
    with pytest.raises(ValueError, match="built"):
        optimizers.SGD().apply([hr.constant(1.0)])
    with pytest.raises(ValueError, match="shape"):
        optimizer.apply([hr.constant([1.0, 2.0]), hr.constant(0.0)], [a, b])


BAD = {
    "two clips": {"clipnorm": 1.0, "clipvalue": 1.0},
    "integer rate": {"learning_rate": 1},
    "unknown": {"lr": 0.1},
    "accumulation": {"gradient_accumulation_steps": 1},
    "ema": {"use_ema": True, "ema_momentum": 1.5},
    "ema frequency": {"use_ema": True, "ema_overwrite_frequency": 0.5},
    "momentum": {"momentum": 1.5},
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_refused(case):
    with pytest.raises(ValueError):
        optimizers.SGD(**BAD[case])


def test_get():
    optimizer = optimizers.Adam()
    assert optimizers.get(optimizer) is optimizer
    assert optimizers.get(None) is None
    for name in ("adam", "Adam", "ADAM"):
        assert type(optimizers.get(name)) is optimizers.Adam
    assert type(optimizers.get("rmsprop")) is optimizers.RMSprop
    for bad in ("no_such_optimizer", 3):
        with pytest.raises(ValueError):
            optimizers.get(bad)
    with pytest.warns(UserWarning, match="decay"):
        optimizers.SGD(decay=0.1)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_compiled_form_equals_numpy_form(kind, monkeypatch):
    kwargs = arguments(kind, {})
    make = lambda: getattr(optimizers, kind[0])(**kwargs)  # noqa: E731
    ours(make)
    llvm.wait()
    fast = ours(make)
    for module in (apply_ops, apply_update):
        monkeypatch.setattr(module, "update", lambda *a: False)
    assert_same_state(fast, ours(make), rtol=0, atol=0)


@pytest.mark.parametrize("kind", KINDS, ids=KIND_IDS)
def test_update_never_writes_into_a_tensor_in_use(kind):
    variable = hr.Variable(np.ones(4, "float32"))
    before = variable.read_value()
    view = hr.convert_to_tensor(variable)
    optimizer = getattr(optimizers, kind[0])(**arguments(kind, {}))
    for _ in range(3):
        optimizer.apply([hr.constant(np.ones(4, "float32"))], [variable])
        np.testing.assert_array_equal(before.numpy(), 1)
        np.testing.assert_array_equal(view.numpy(), 1)
    assert variable.numpy()[0] < 1


CALLS = {
    "abs": np.abs, "max": np.maximum, "min": np.minimum, "sqrt": np.sqrt, "where": np.where,
}  # fmt: skip


@pytest.mark.parametrize("size", [1, 37, 400_000])
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", updates.UPDATES)
def test_compiled_update_equals_its_text(name, dtype, size):
    """The texts are Python expressions: evaluated by NumPy, they give the kernel's bits."""
    arrays, scalars, lines = updates.UPDATES[name]
    fast = [rng.uniform(0.1, 1, size).astype(dtype) for _ in range(arrays)]
    numbers = [np.asarray(x, dtype) for x in (0.01, 0.1, 0.001, 1e-7, 0.5, 0.9, 0.2)[:scalars]]
    values = [a.copy() for a in fast] + numbers
    updates.update(name, tuple(a.copy() for a in fast), *numbers)
    llvm.wait()
    assert updates.update(name, tuple(fast), *numbers)
    for source, text, refs in lines:
        names = {chr(ord("a") + i): values[r] for i, r in enumerate(refs)}
        values.append(eval(text, CALLS, names))
        assert values[-1].dtype == dtype
        if source is not None:
            np.testing.assert_array_equal(fast[source], values[-1])


def test_updates_refuse_what_the_kernels_do_not_take():
    x = np.ones((4, 6), "f4")
    llvm.wait()
    assert not updates.update("sgd", (x[:, ::2], x[:, ::2]), 0.5)
    assert not updates.update("sgd", (x, x.astype("f8")), 0.5)
    assert not updates.update("sgd", (x.astype("f2"), x.astype("f2")), 0.5)
    np.testing.assert_array_equal(x, 1)


def test_a_read_before_the_update_keeps_its_value_in_a_trace():
    variable = hr.Variable(np.ones(5, "float32"))
    optimizer = optimizers.Adam(0.5)
    optimizer.build([variable])

    @hr.function
    def step(grad):
        before = variable.read_value()
        optimizer.apply([grad], [variable])
        return before, variable.read_value()

    for _ in range(3):
        was = variable.numpy()
        before, after = step(hr.constant(np.ones(5, "float32")))
        np.testing.assert_array_equal(before, was)
        np.testing.assert_array_equal(after, variable.numpy())
        assert np.all(np.asarray(after) < was)


@pytest.mark.parametrize("name", ["SGD", "Adagrad"])
@pytest.mark.parametrize("indices", [[], [2], [4, 0, 2]], ids=str)
def test_rows_that_are_not_named_stay(name, indices):
    variable = hr.Variable(np.ones((5, 2), "float32"))
    slices = hr.IndexedSlices(
        hr.ones([len(indices), 2]), hr.constant(indices, dtype="int32"), hr.constant([5, 2])
    )
    getattr(optimizers, name)(0.5).apply([slices], [variable])
    changed = np.flatnonzero((variable.numpy() != 1).any(-1))
    assert changed.tolist() == sorted(indices)


def test_sparse_rows_must_fit():
    variable = hr.Variable(np.ones((5, 2), "float32"))
    slices = hr.IndexedSlices(hr.ones([1, 3]), hr.constant([1]), hr.constant([5, 3]))
    with pytest.raises(ValueError, match="rows of shape"):
        optimizers.SGD(0.5).apply([slices], [variable])


@pytest.mark.parametrize("row", [7, -1])
def test_rows_out_of_range_are_refused(row):
    variable = hr.Variable(np.ones((5, 2), "float32"))
    slices = hr.IndexedSlices(hr.ones([1, 2]), hr.constant([row]), hr.constant([5, 2]))
    with pytest.raises(ValueError, match=rf"in \[0, 5\), got {row}"):
        optimizers.SGD(0.5).apply([slices], [variable])


def test_without_a_compiler_the_numpy_form_goes_on(monkeypatch):
    monkeypatch.setenv("HEADRACE_JIT", "0")
    variable = hr.Variable([1.0])
    optimizers.SGD(0.5).apply([hr.constant([1.0])], [variable])
    assert float(variable.numpy()[0]) == 0.5
    assert not updates.update("sgd", (np.ones(3, "f4"), np.ones(3, "f4")), 0.5)


HYPERPARAMETERS = {
    "momentum": (optimizers.SGD, {"momentum": 0.9}, 0.5),
    "nesterov": (optimizers.SGD, {"momentum": 0.9}, True),
    "beta_1": (optimizers.Adam, {}, 0.5),
    "epsilon": (optimizers.RMSprop, {}, 0.1),
    "weight_decay": (optimizers.Adam, {}, 0.2),
    "clipnorm": (optimizers.SGD, {"clipnorm": 5.0}, 0.1),
    "learning_rate": (optimizers.Nadam, {}, 0.5),
    "schedule": (optimizers.SGD, {}, schedules.ExponentialDecay(0.5, 1, 0.5)),
}


@pytest.mark.parametrize("inside", ["alone", "scaled", "several"])
@pytest.mark.parametrize("name", HYPERPARAMETERS)
def test_hyperparameters_may_change_while_training(name, inside):
    """A callback sets one after three batches: the same as in eager mode, from then on."""
    keras = hr.keras
    make, kwargs, value = HYPERPARAMETERS[name]
    x = rng.normal(size=(24, 3)).astype("float32")
    found = []
    for eager in (True, False):
        optimizer = make(0.05, **kwargs)
        model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
        model.set_weights([np.ones((3, 2)), np.zeros(2)])
        outer = optimizer
        if inside == "scaled":
            outer = optimizers.LossScaleOptimizer(optimizer)
        elif inside == "several":
            outer = optimizers.MultiOptimizer(lambda variable, inner=optimizer: inner)
        model.compile(outer, "mse", run_eagerly=eager)

        def change(batch, logs, optimizer=optimizer):
            if batch == 2:
                setattr(optimizer, "learning_rate" if name == "schedule" else name, value)

        hooks = [keras.callbacks.LambdaCallback(on_train_batch_end=change)]
        model.fit(x, x[:, :2], batch_size=4, verbose=0, shuffle=False, callbacks=hooks)
        found.append(model.get_weights())
        if not eager:
            assert model.train_function.traces == 1
            optimizer.epsilon = getattr(optimizer, "epsilon", None)
            assert model.train_function.traces == 1, "the same value is no change"
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.set_weights([np.ones((3, 2)), np.zeros(2)])
    model.compile(make(0.05, **kwargs), "mse")
    model.fit(x, x[:, :2], batch_size=4, verbose=0, shuffle=False)
    assert np.abs(model.get_weights()[0] - found[0][0]).max() > 1e-4


def test_a_watching_optimizer_can_be_copied():
    """Copies know of no traces, and traces are not kept alive."""
    keras = hr.keras
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    model.compile("adam", "mse")
    model.train_on_batch(np.ones((2, 3), "float32"), np.ones((2, 2), "float32"))
    optimizer, step = model.optimizer, weakref.ref(model.train_function)
    again = optimizers.deserialize(optimizers.serialize(optimizer))
    again.beta_1 = 0.5
    assert step().traces == 1
    optimizer.beta_1 = 0.5
    assert step().traces == 0
    model.compile("adam", "mse")
    gc.collect()
    assert step() is None
    optimizer.beta_1 = 0.9
