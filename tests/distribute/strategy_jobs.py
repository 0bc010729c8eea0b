"""Programs for TensorFlow or Headrace, under a strategy of two CPU devices.  Run as a script,
they print what TensorFlow makes of them (logical devices must be there before it starts).
"""

import json
import sys

import numpy as np

RNG = np.random.default_rng(0)
X = RNG.normal(size=(44, 6)).astype("f4")
Y = (X @ RNG.normal(size=(6, 2)) + 0.1).astype("f4")
KERNELS = [RNG.normal(size=s).astype("f4") * 0.4 for s in ((6, 5), (5, 2))]


def model_of(lib):
    keras = lib.keras
    model = keras.Sequential([
        keras.Input((6,)), keras.layers.Dense(5, "tanh"), keras.layers.Dense(2)])  # fmt: skip
    first, last = KERNELS
    model.set_weights([first, np.zeros(5, "f4"), last, np.zeros(2, "f4")])
    return model


def listed(value):
    """Numbers for JSON."""
    return np.asarray(value).tolist()


# -- training ---------------------------------------------------------------------------------


def custom_loop(lib, strategy):
    """The loop of TensorFlow's tutorial; the last batch is of 4 rows, the others of 8."""
    with strategy.scope():
        model = model_of(lib)
        optimizer = lib.keras.optimizers.Adam(0.05)
        mean = lib.keras.metrics.Mean()
    dataset = lib.data.Dataset.from_tensor_slices((X, Y)).batch(8)
    dataset = strategy.experimental_distribute_dataset(dataset)

    def train_step(inputs):
        features, targets = inputs
        with lib.GradientTape() as tape:
            errors = lib.reduce_mean((model(features, training=True) - targets) ** 2, axis=-1)
            loss = lib.nn.compute_average_loss(errors, global_batch_size=8)
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply_gradients(zip(gradients, model.trainable_variables, strict=True))
        mean.update_state(errors)
        return loss

    @lib.function
    def distributed_step(inputs):
        losses = strategy.run(train_step, args=(inputs,))
        return strategy.reduce(lib.distribute.ReduceOp.SUM, losses, axis=None)

    losses = [float(distributed_step(batch)) for _ in range(2) for batch in dataset]
    return {
        "losses": losses, "mean": float(mean.result()),
        "weights": [listed(w) for w in model.get_weights()],
        "iterations": int(optimizer.iterations.numpy()),
    }  # fmt: skip


def keras_fit(lib, strategy):
    """`compile`, `fit`, `evaluate` and `predict` in a scope."""
    with strategy.scope():
        model = model_of(lib)
        model.compile(lib.keras.optimizers.SGD(0.1, momentum=0.9), "mse", metrics=["mae"])
    history = model.fit(X, Y, batch_size=12, epochs=3, shuffle=False, verbose=0,
                        validation_data=(X[:10], Y[:10]))  # fmt: skip
    return {
        "history": {k: listed(v) for k, v in history.history.items()},
        "evaluate": listed(model.evaluate(X, Y, batch_size=16, verbose=0)),
        "predict": listed(model.predict(X[:7], batch_size=4, verbose=0)),
        "weights": [listed(w) for w in model.get_weights()],
    }


def averages(lib, strategy):
    """What `fit` leaves in the weights where the optimizer keeps averages."""
    with strategy.scope():
        model = model_of(lib)
        optimizer = lib.keras.optimizers.SGD(0.1, use_ema=True, ema_momentum=0.8)
        model.compile(optimizer, "mse")
    model.fit(X[:40], Y[:40], batch_size=8, epochs=2, shuffle=False, verbose=0)
    return [listed(w) for w in model.get_weights()]


# -- values -----------------------------------------------------------------------------------


def values(lib, strategy):
    """Distributed values, reduced and gathered."""
    ops = lib.distribute.ReduceOp
    table = lib.constant(np.arange(12, dtype="f4").reshape(3, 4))

    def own():
        context = lib.distribute.get_replica_context()
        number = context.replica_id_in_sync_group
        part = table * (lib.cast(number, lib.float32) + 1.0)
        return {
            "part": part,
            "count": lib.fill([2], 1.0) * (lib.cast(number, lib.float32) + 2.0),
            "sum": context.all_reduce("SUM", part),
            "mean": context.all_reduce(ops.MEAN, {"a": part, "b": part[0]}),
            "rows": context.all_gather(part, axis=0),
            "columns": context.all_gather(part, axis=1),
            "replicas": context.num_replicas_in_sync,
        }

    def uneven():
        number = lib.distribute.get_replica_context().replica_id_in_sync_group
        return table[: number + 1]

    made = strategy.run(own)
    found = {
        "local": [listed(v) for v in strategy.experimental_local_results(made["part"])],
        "plain local": [listed(v) for v in strategy.experimental_local_results(table)],
        "replicas": [int(v) for v in strategy.experimental_local_results(made["replicas"])],
        "all": {
            key: [listed(v) for v in strategy.experimental_local_results(made[key])]
            for key in ("sum", "rows", "columns")
        },
        "mean": [listed(v) for v in strategy.experimental_local_results(made["mean"]["b"])],
        "plain mean": listed(strategy.reduce(ops.MEAN, table, axis=None)),
        "gather one": listed(strategy.gather(table, axis=0)),
        "nested": [listed(v["a"]) for v in strategy.experimental_local_results(
            {"a": made["part"], "b": 1})],
        "plain nested": len(strategy.experimental_local_results({"a": 1, "b": 2})),
        "in sync": strategy.num_replicas_in_sync,
        "uneven": listed(strategy.gather(strategy.run(uneven), axis=0)),
        "given": [listed(v) for v in strategy.experimental_local_results(
            strategy.experimental_distribute_values_from_function(
                lambda context: lib.constant(10 * context.replica_id_in_sync_group)))],
    }  # fmt: skip
    for how in ("SUM", "MEAN"):
        for axis in (None, 0, 1, -1):
            found[f"{how} {axis}"] = listed(strategy.reduce(how, made["part"], axis=axis))
        found[f"uneven {how}"] = listed(strategy.reduce(how, strategy.run(uneven), axis=0))
    for axis in (0, 1, -1):
        found[f"gather {axis}"] = listed(strategy.gather(made["part"], axis=axis))
    return found


def variables(lib, strategy):
    """Variables that replicas assign, by synchronization and aggregation."""
    found = {}
    on_read = lib.VariableSynchronization.ON_READ
    with strategy.scope():
        for kind in ("SUM", "MEAN", "ONLY_FIRST_REPLICA"):
            how = getattr(lib.VariableAggregation, kind)
            mirrored = lib.Variable(1.0, aggregation=how)
            read = lib.Variable(0.0, aggregation=how, synchronization=on_read)

            def assign(mirrored=mirrored, read=read):
                number = lib.distribute.get_replica_context().replica_id_in_sync_group
                value = lib.cast(number, lib.float32) + 2.0
                read.assign_add(value)
                mirrored.assign_add(value)
                return mirrored * 1.0, read * 1.0

            seen = strategy.run(assign)
            found[kind] = [
                [[listed(x) for x in strategy.experimental_local_results(v)] for v in seen],
                float(mirrored.numpy()), float(read.numpy()),
            ]  # fmt: skip
            read.assign(8.0)
            mirrored.assign(7.0)
            found[f"{kind}, assigned"] = [float(mirrored.numpy()), float(read.numpy())]
    return found


def datasets(lib, strategy):
    """What each replica is given."""

    def parts(dataset):
        return [[listed(x) for x in strategy.experimental_local_results(batch)]
                for batch in dataset]  # fmt: skip

    numbers = lib.data.Dataset.range(11).batch(4)
    told = []

    def make(context):
        told.append(
            [
                context.num_input_pipelines,
                context.input_pipeline_id,
                context.num_replicas_in_sync,
                context.get_per_replica_batch_size(6),
            ]
        )
        return lib.data.Dataset.range(7).batch(context.get_per_replica_batch_size(4))

    return {
        "whole": parts(strategy.experimental_distribute_dataset(numbers)),
        "dropped": parts(strategy.experimental_distribute_dataset(
            lib.data.Dataset.range(11).batch(4, drop_remainder=True))),
        "made": parts(strategy.distribute_datasets_from_function(make)),
        "told": told,
    }  # fmt: skip


# -- bad input --------------------------------------------------------------------------------


def errors(lib, strategy):
    """The kinds of what is raised: names of the classes."""
    with strategy.scope():
        plain = lib.Variable(1.0)
        read = lib.Variable(1.0, synchronization=lib.VariableSynchronization.ON_READ,
                            aggregation=lib.VariableAggregation.SUM)  # fmt: skip
    table = lib.constant(np.arange(12, dtype="f4").reshape(3, 4))
    context = lib.distribute.get_replica_context

    def fit_outside():
        model = model_of(lib)
        with strategy.scope():
            model.compile("sgd", "mse")
            model.fit(X, Y, verbose=0)

    def ragged():
        number = context().replica_id_in_sync_group
        return table[:, : number + 1]

    def other_scope():
        with strategy.scope(), lib.distribute.MirroredStrategy(["/cpu:0"]).scope():
            pass

    def batch_too_small():
        def make(context):
            return lib.data.Dataset.range(4).batch(context.get_per_replica_batch_size(3))

        strategy.distribute_datasets_from_function(make)

    cases = {
        "a model made outside": fit_outside,
        "reduce in a replica": lambda: strategy.run(
            lambda: strategy.reduce("SUM", 1.0, axis=None)),
        "reduce by a wrong name": lambda: strategy.reduce("PRODUCT", 1.0, axis=None),
        "the sum of one value": lambda: strategy.reduce("SUM", 3.0, axis=None),
        "reduce along an axis that is not there": lambda: strategy.reduce(
            "SUM", strategy.run(lambda: table), axis=5),
        "reduce scalars along an axis": lambda: strategy.reduce(
            "SUM", strategy.run(lambda: lib.constant(1.0)), axis=0),
        "gather along an axis that is not there": lambda: strategy.gather(
            strategy.run(lambda: table * 1.0), axis=3),
        "gather of unequal widths": lambda: strategy.gather(strategy.run(ragged), axis=0),
        "gather scalars": lambda: strategy.gather(
            strategy.run(lambda: lib.constant(1.0)), axis=0),
        "all_reduce of a wrong name": lambda: strategy.run(
            lambda: context().all_reduce("MAX", table)),
        "all_reduce outside of replicas": lambda: _in_scope(
            strategy, lambda: context().all_reduce("SUM", table)),
        "another strategy's scope inside": other_scope,
        "run in a replica": lambda: strategy.run(lambda: strategy.run(lambda: 1.0)),
        "assigned by replicas without aggregation": lambda: strategy.run(
            lambda: plain.assign(2.0)),
        "a sum on read set in a replica's place": lambda: strategy.run(
            lambda: read.assign(2.0)),
        "distribute no dataset": lambda: strategy.experimental_distribute_dataset([1, 2]),
        "a batch that does not divide": batch_too_small,
        "more devices than there are": lambda: lib.distribute.MirroredStrategy(
            ["/cpu:0", "/cpu:9"]) if lib.__name__ != "headrace" else _too_many(lib),
        "a device twice": lambda: lib.distribute.MirroredStrategy(["/cpu:0", "/cpu:0"]),
        "no devices": lambda: lib.distribute.MirroredStrategy([]),
        "two default strategies": lambda: lib.distribute.experimental_set_strategy(3),
        "an error in a replica": lambda: strategy.run(lambda: lib.reshape(table, [5])),
        "run what is no function": lambda: strategy.run(3),
    }  # fmt: skip
    return {name: _kinds(case) for name, case in cases.items()}


def _too_many(lib):
    lib.distribute.MirroredStrategy(["/gpu:0", "/gpu:1"])


def _in_scope(strategy, function):
    with strategy.scope():
        return function()


def _kinds(function):
    try:
        function()
    except Exception as error:
        return [kind.__name__ for kind in type(error).__mro__]
    return []


JOBS = {f.__name__: f for f in (custom_loop, keras_fit, averages, values, variables, datasets,
                               errors)}  # fmt: skip


if __name__ == "__main__":
    import tensorflow as tf

    (cpu,) = tf.config.list_physical_devices("CPU")
    tf.config.set_logical_device_configuration(
        cpu, [tf.config.LogicalDeviceConfiguration()] * 2
    )
    results = {}
    # TensorFlow's collectives are for GPUs: between logical CPUs they fail now and then.
    how = tf.distribute.ReductionToOneDevice()
    for job_name, job in JOBS.items():
        results[job_name] = job(tf, tf.distribute.MirroredStrategy(["/cpu:0", "/cpu:1"], how))
    json.dump(results, sys.stdout)
