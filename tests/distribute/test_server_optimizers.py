"""Optimizers under `ParameterServerStrategy`: with one worker, which runs one function after
the other, every option gives what it gives without a strategy."""

import numpy as np
import pytest

import headrace as hr

pytestmark = [pytest.mark.processes, pytest.mark.timeout(300)]
partitioners = hr.distribute.experimental.partitioners
optimizers, constraints = hr.keras.optimizers, hr.keras.constraints


def started(parts, servers):
    strategy = hr.distribute.ParameterServerStrategy(
        variable_partitioner=parts and partitioners.FixedShardsPartitioner(parts),
        num_workers=1, num_servers=servers)  # fmt: skip
    return strategy, hr.distribute.coordinator.ClusterCoordinator(strategy)


@pytest.fixture(scope="module")
def cut(local_ray):
    """Variables in three shards on two servers."""
    strategy, coordinator = started(3, 2)
    yield strategy, coordinator
    strategy.close()


@pytest.fixture(scope="module")
def whole(local_ray):
    """One server, which has all variables whole."""
    strategy, coordinator = started(None, 1)
    yield strategy, coordinator
    strategy.close()


RNG = np.random.default_rng(0)
START = [RNG.normal(size=s).astype("f4") for s in ((20, 4), (4, 3), (3,))]
# Few rows of the table at a time: some shards have none.
BATCHES = [
    (RNG.integers(0, 20, 2), RNG.normal(size=(2, 3)).astype("f4")) for _ in range(7)
]  # fmt: skip


def trained(make, strategy=None, coordinator=None, own=(None, None, None), finish=False):
    """The weights after all batches, by a strategy's worker or here."""

    def made():
        pairs = zip(START, own, strict=True)
        return [hr.Variable(v, constraint=c, name=f"v{i}") for i, (v, c) in enumerate(pairs)]

    if strategy is None:
        variables = made()
        optimizer = make(variables)
    else:
        with strategy.scope():
            variables = made()
            optimizer = make(variables)

    def step(ids, y):
        table, kernel, bias = variables
        with hr.GradientTape() as tape:
            out = hr.matmul(hr.gather(table, ids), kernel) + bias
            loss = hr.reduce_mean((out - y) ** 2)
            scaled = optimizer.scale_loss(loss)
        grads = tape.gradient(scaled, variables)
        optimizer.apply_gradients(zip(grads, variables, strict=True))

    for batch in BATCHES:
        if coordinator is None:
            step(*batch)
        else:
            coordinator.schedule(step, batch)
    if coordinator is not None:
        coordinator.join()
    if finish:
        optimizer.finalize_variable_values(variables)
    steps = int(optimizer.iterations)
    return [v.numpy() for v in variables], steps


def same(make, strategy, coordinator, **options):
    expected, steps = trained(make, **options)
    found, counted = trained(make, strategy, coordinator, **options)
    assert counted == steps
    for a, b in zip(found, expected, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-5, atol=2e-6)
    assert any(np.abs(a - v).max() > 1e-3 for a, v in zip(expected, START, strict=True))


BY_ELEMENT = {
    "SGD": {"momentum": 0.9, "nesterov": True}, "Adam": {"amsgrad": True}, "AdamW": {},
    "Adamax": {}, "Nadam": {}, "Adagrad": {}, "Adadelta": {}, "RMSprop": {"centered": True},
    "Ftrl": {}, "Lion": {}, "ScheduleFreeAdamW": {},
}  # fmt: skip
BY_VARIABLE = {"Lamb": {}, "Adafactor": {}, "Muon": {}}


@pytest.mark.parametrize("name", BY_ELEMENT)
def test_every_optimizer_on_shards(cut, name):
    make = getattr(optimizers, name)
    same(lambda _: make(learning_rate=0.1, **BY_ELEMENT[name]), *cut)


@pytest.mark.parametrize("name", [*BY_ELEMENT, *BY_VARIABLE])
def test_every_optimizer_on_whole_variables(whole, name):
    own = {**BY_ELEMENT, **BY_VARIABLE}[name]
    same(lambda _: getattr(optimizers, name)(learning_rate=0.1, **own), *whole)


def test_all_optimizers_are_here():
    listed = {*BY_ELEMENT, *BY_VARIABLE, "LossScaleOptimizer", "MultiOptimizer", "Optimizer"}
    found = {n for n, v in vars(optimizers).items()
             if isinstance(v, type) and issubclass(v, optimizers.Optimizer)}  # fmt: skip
    assert found <= listed


OPTIONS = {
    "clipnorm": {"clipnorm": 0.05},
    "clipvalue": {"clipvalue": 0.01},
    "global_clipnorm": {"global_clipnorm": 0.05},
    "weight decay": {"weight_decay": 0.2},
    "averages": {"use_ema": True, "ema_momentum": 0.7},
    "averages that overwrite": {
        "use_ema": True, "ema_momentum": 0.7, "ema_overwrite_frequency": 3},
    "accumulation": {"gradient_accumulation_steps": 3},
    "accumulation, clipvalue": {"gradient_accumulation_steps": 2, "clipvalue": 0.01},
    "loss scale": {"loss_scale_factor": 128.0},
    "loss scale, clipnorm": {"loss_scale_factor": 128.0, "clipnorm": 0.05},
    "all": {"clipvalue": 0.02, "weight_decay": 0.1, "use_ema": True, "loss_scale_factor": 4.0,
            "gradient_accumulation_steps": 2},
}  # fmt: skip


@pytest.mark.parametrize("name", ["SGD", "Adam"])
@pytest.mark.parametrize("case", OPTIONS)
def test_options_on_shards(cut, case, name):
    make = getattr(optimizers, name)
    finish = OPTIONS[case].get("use_ema", False)
    same(lambda _: make(learning_rate=0.1, **OPTIONS[case]), *cut, finish=finish)


@pytest.mark.parametrize("clip", ["clipnorm", "global_clipnorm"])
def test_norms_of_accumulated_gradients(cut, whole, clip):
    options = {"gradient_accumulation_steps": 3, clip: 0.05}
    same(lambda _: optimizers.SGD(0.1, **options), *whole)
    with pytest.raises(ValueError, match=f"^{clip}=0.05 with gradient_accumulation_steps"):
        trained(lambda _: optimizers.SGD(0.1, **options), *cut)


def test_schedules_and_functions_as_learning_rates(cut):
    schedule = optimizers.schedules.ExponentialDecay(0.3, 2, 0.5)
    same(lambda _: optimizers.Adam(schedule), *cut)
    same(lambda _: optimizers.SGD(lambda: 0.2), *cut)


def test_variables_are_spared_weight_decay(cut):
    def make(variables):
        optimizer = optimizers.SGD(0.1, weight_decay=0.5)
        optimizer.exclude_from_weight_decay([variables[0]], var_names=["v2"])
        return optimizer

    same(make, *cut)


def test_constraints(cut, whole):
    along_rows = [constraints.NonNeg(), constraints.MaxNorm(0.5, axis=1), None]
    same(lambda _: optimizers.SGD(0.1), *cut, own=along_rows)
    own = [constraints.UnitNorm(), lambda x: hr.clip_by_value(x, -0.5, 0.5), None]
    same(lambda _: optimizers.SGD(0.1), *whole, own=own)
    for constraint in own[:2]:
        with cut[0].scope(), pytest.raises(ValueError, match=r"constraint.*first axis"):
            hr.Variable(START[0], constraint=constraint)


def test_a_server_that_died_knows_constraints_and_averages(local_ray, tmp_path):
    import os
    import signal

    strategy = hr.distribute.ParameterServerStrategy(
        num_workers=1, num_servers=1, checkpoint_dir=str(tmp_path), checkpoint_every=1
    )
    coordinator = hr.distribute.coordinator.ClusterCoordinator(strategy)
    with strategy.scope():
        v = hr.Variable([1.0, 2.0], constraint=constraints.NonNeg())
        optimizer = optimizers.SGD(0.6, use_ema=True, ema_momentum=0.5)

    def step():
        optimizer.apply_gradients([(hr.constant([1.0, 1.0]), v)])

    coordinator.schedule(step)
    coordinator.join()
    server = strategy.extended.store.servers[0]
    os.kill(local_ray.get(server.pid.remote()), signal.SIGKILL)
    coordinator.schedule(step)
    coordinator.join()
    np.testing.assert_allclose(v.numpy(), [0.0, 0.8], atol=1e-6)
    optimizer.finalize_variable_values([v])  # before the constraint: 0.4, -0.2
    np.testing.assert_allclose(v.numpy(), [0.1, 1.1], atol=1e-6)
    strategy.close()


def test_what_keeps_state_of_its_own_is_refused(whole):
    with pytest.raises(ValueError, match=r"LossScaleOptimizer.*loss_scale_factor"):
        trained(lambda _: optimizers.LossScaleOptimizer(optimizers.SGD(0.1)), *whole)


def test_fit_ends_with_the_averages(cut):
    x = RNG.normal(size=(64, 4)).astype("f4")
    y = x.sum(1, keepdims=True)
    weights = []
    for strategy in (cut[0], None):
        with strategy.scope() if strategy else hr.distribute.get_strategy().scope():
            model = hr.keras.Sequential([hr.keras.Input((4,)), hr.keras.layers.Dense(1)])
            model.set_weights([np.ones((4, 1), "f4"), np.zeros(1, "f4")])
            optimizer = optimizers.SGD(0.05, use_ema=True, ema_momentum=0.8, weight_decay=0.1)
            model.compile(optimizer, "mse")
        model.fit(x, y, batch_size=16, epochs=2, shuffle=False, verbose=0)
        weights.append(model.get_weights())
    for a, b in zip(*weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-4, atol=1e-5)
