"""Options: names and types are tf.data's; merging keeps what was set."""

import pytest

from headrace.data import options as o


def test_unset_attributes_read_as_defaults():
    options = o.Options()
    assert options.deterministic is None
    assert options.experimental_optimization.map_fusion is None
    assert options.experimental_distribute.auto_shard_policy is o.AutoShardPolicy.AUTO
    assert options.keeps_order
    assert options.num_threads is None


def test_unknown_attribute_is_an_error_that_lists_the_known_ones():
    with pytest.raises(AttributeError, match=r"map_fusionn on OptimizationOptions.*map_fusion"):
        o.Options().experimental_optimization.map_fusionn = True


@pytest.mark.parametrize(
    ("name", "value"),
    [("deterministic", 1), ("threading", True), ("dataset_name", 3)],
)
def test_wrong_type_is_a_type_error(name, value):
    with pytest.raises(TypeError, match=name):
        setattr(o.Options(), name, value)


def test_a_bool_is_no_int():
    with pytest.raises(TypeError, match="cpu_budget"):
        o.Options().autotune.cpu_budget = True


def test_merge_is_recursive_and_later_wins():
    a, b = o.Options(), o.Options()
    a.deterministic = True
    a.experimental_optimization.map_fusion = True
    a.experimental_optimization.noop_elimination = False
    b.deterministic = False
    b.experimental_optimization.map_fusion = False
    m = a.merge(b)
    assert m.deterministic is False
    assert m.experimental_optimization.map_fusion is False
    assert m.experimental_optimization.noop_elimination is False
    # and neither argument changed
    assert a.deterministic is True and a.experimental_optimization.map_fusion is True
    assert b.experimental_optimization.noop_elimination is None


def test_reading_a_default_does_not_override_in_a_merge():
    a, b = o.Options(), o.Options()
    a.experimental_distribute.auto_shard_policy = o.AutoShardPolicy.OFF
    b.experimental_distribute.auto_shard_policy
    assert a.merge(b).experimental_distribute.auto_shard_policy is o.AutoShardPolicy.OFF


def test_merge_of_other_kinds_is_an_error():
    with pytest.raises(TypeError, match="ThreadingOptions"):
        o.Options().merge(o.ThreadingOptions())
    with pytest.raises(TypeError):
        o.merge_options(3)
    with pytest.raises(ValueError, match="none"):
        o.merge_options()


def test_equality():
    a, b = o.Options(), o.Options()
    assert a == b
    a.threading.private_threadpool_size = 2
    assert a != b
    b.threading.private_threadpool_size = 2
    assert a == b
    assert a != 3


def test_frozen_options_refuse_changes_and_say_what_to_do():
    options = o.Options()
    options.threading.private_threadpool_size = 3
    options.freeze()
    with pytest.raises(ValueError, match="with_options"):
        options.deterministic = True
    with pytest.raises(ValueError, match="with_options"):
        options.threading.private_threadpool_size = 4


def test_num_threads_order():
    options = o.Options()
    options.autotune.cpu_budget = 5
    assert options.num_threads == 5
    options.experimental_threading = o.ThreadingOptions()
    options.experimental_threading.private_threadpool_size = 4
    assert options.num_threads == 4
    options.threading.private_threadpool_size = 3
    assert options.num_threads == 3


def test_keeps_order_honours_the_old_name():
    options = o.Options()
    options.experimental_deterministic = False
    assert not options.keeps_order
    options.deterministic = True
    assert options.keeps_order


def test_enabled():
    rules = o.OptimizationOptions()
    assert rules.enabled("map_fusion")
    assert not rules.enabled("filter_parallelization", default=False)
    rules.apply_default_optimizations = False
    assert not rules.enabled("map_fusion")
    rules.map_fusion = True
    assert rules.enabled("map_fusion")


@pytest.mark.peers
@pytest.mark.parametrize(
    "path",
    ["Options", "ThreadingOptions", "experimental.OptimizationOptions",
     "experimental.AutotuneOptions", "experimental.DistributeOptions"],
)  # fmt: skip
def test_has_every_attribute_of_tf_data(path):
    tf = pytest.importorskip("tensorflow")
    theirs = tf.data
    for part in path.split("."):
        theirs = getattr(theirs, part)
    ours = getattr(o, path.split(".")[-1])
    names = {n for n in dir(theirs) if isinstance(getattr(theirs, n), property)}
    assert names <= set(ours.names())
