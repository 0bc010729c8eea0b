"""The public names of `tf.distribute` and the data service: all of them, but those that are
listed here with a reason."""

import inspect

import pytest

import headrace as hr

FAMILIES = (
    "distribute", "distribute.experimental", "distribute.experimental.coordinator",
    "distribute.experimental.partitioners", "distribute.cluster_resolver",
    "distribute.coordinator", "data.experimental.service",
)  # fmt: skip

TPU = "TPUs are no devices of Headrace"
CLOUD = "asks a cloud's service; `TF_CONFIG` says the same"
# Family -> names that are missing, with the reason.
MISSING = {
    "distribute": {
        "Server": "TensorFlow's own cluster; `mpiexec` and Ray start processes",
        "TPUStrategy": TPU,
    },
    "distribute.experimental": {
        "CentralStorageStrategy": "variables on one device; MirroredStrategy has them on all",
        "PreemptionWatcher": "of Google's cloud; PreemptionCheckpointHandler hears signals",
        "TPUStrategy": TPU,
        "rpc": "TensorFlow's own cluster; Ray calls other processes",
    },
    "distribute.cluster_resolver": {
        "GCEClusterResolver": CLOUD,
        "KubernetesClusterResolver": CLOUD,
        "KubernetesExecutableLocation": CLOUD,
        "SlurmClusterResolver": "Slurm's `srun` starts the ranks of MPI itself",
        "TPUClusterResolver": TPU,
        "UnionResolver": "clusters of several launchers; MPI has one",
    },
}

CLASSES = (
    "distribute.Strategy", "distribute.MirroredStrategy", "distribute.OneDeviceStrategy",
    "distribute.MultiWorkerMirroredStrategy", "distribute.ReplicaContext",
    "distribute.InputContext", "distribute.DistributedDataset",
    "distribute.DistributedIterator", "distribute.StrategyExtended",
    "distribute.CrossDeviceOps", "distribute.DistributedValues",
    "distribute.ReduceOp", "distribute.InputReplicationMode",
    "distribute.coordinator.ClusterCoordinator", "distribute.coordinator.PerWorkerValue",
    "distribute.coordinator.RemoteValue", "distribute.cluster_resolver.ClusterResolver",
    "distribute.experimental.CommunicationImplementation",
    "distribute.experimental.partitioners.Partitioner",
    "data.experimental.service.DispatchServer", "data.experimental.service.WorkerServer",
    "data.experimental.service.ShardingPolicy",
)  # fmt: skip

OLD = "of TensorFlow 1, and not documented"
OF_STRATEGIES = dict.fromkeys(
    (
        "colocate_vars_with configure experimental_distribute_datasets_from_function "
        "experimental_run group make_dataset_iterator make_input_fn_iterator unwrap"
    ).split(),
    OLD,
)
# Class -> members that are missing, with the reason.
MISSING_MEMBERS = {
    **{path: OF_STRATEGIES for path in CLASSES if path.endswith("Strategy")},
    "distribute.CrossDeviceOps": dict.fromkeys(
        "batch_reduce_implementation broadcast_implementation reduce_implementation".split(),
        "a subclass defines `combine`, which all three come down to",
    ),
    "distribute.ReplicaContext": {"strategy": "an attribute of every context"},
    "distribute.DistributedDataset": {"reduce": "not documented; a loop does it"},
}


def names(thing):
    return {name for name in dir(thing) if not name.startswith("_")}


def both(tf, path):
    ours, theirs = hr, tf
    for part in path.split("."):
        ours, theirs = getattr(ours, part), getattr(theirs, part)
    return ours, theirs


def is_public(thing):
    """Whether TensorFlow means a name to be used: no module it happens to import."""
    return not inspect.ismodule(thing) or thing.__name__.startswith("tensorflow._api")


@pytest.mark.peers
@pytest.mark.parametrize("family", FAMILIES)
def test_names_are_here_or_have_a_reason(tf, family):
    ours, theirs = both(tf, family)
    public = {name for name in names(theirs) if is_public(getattr(theirs, name))}
    assert len(public) > 1
    assert public - names(ours) <= set(MISSING.get(family, {}))
    assert set(MISSING.get(family, {})) <= public


@pytest.mark.peers
@pytest.mark.parametrize("path", CLASSES)
def test_members_are_here_or_have_a_reason(tf, path):
    ours, theirs = both(tf, path)
    assert names(theirs) - names(ours) <= set(MISSING_MEMBERS.get(path, {}))
    assert set(MISSING_MEMBERS.get(path, {})) <= names(theirs)
