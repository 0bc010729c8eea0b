"""Checkpoint: objects come back as they were, from our files and from TensorFlow's."""

import gc
import json
import logging
import os
from pathlib import Path

import numpy as np
import pytest

import headrace as hr
from headrace import train
from headrace.io import trackable
from headrace.io.bundle import reader as tensor_bundle, writer as bundle_writer
from headrace.io.checkpoint import graph as checkpoint_graph
from headrace.io.checkpoint_messages import TrackableObjectGraph
from headrace.ops.string_array import StringArray

VALUE = "/.ATTRIBUTES/VARIABLE_VALUE"


class Linear(hr.Module):
    def __init__(self, start=0.0):
        super().__init__()
        self.w = hr.Variable([[start, 1.0]])
        self.parts = [hr.Variable(start), {"a/b.c": hr.Variable([start, 2.0])}]


class Late(hr.Module):
    """Makes its variables on the first call."""

    def __init__(self):
        super().__init__()
        self.inner = None

    def __call__(self, start=0.0):
        if self.inner is None:
            self.inner = Linear(start)
        return float(self.inner.w[0, 0])


def everything(start):
    return {
        "step": hr.Variable(int(start), dtype=hr.int64),
        "name": hr.Variable([b"a", b"bb" * int(start)]),
        "module": Linear(start),
        "pair": (hr.Variable(start), 3, [1, 2]),
        "nested": train.Checkpoint(v=hr.Variable(start)),
        "generator": hr.random.Generator.from_seed(int(start)),
    }


def flat(objects):
    graph = checkpoint_graph.ObjectGraph(objects)
    return {
        path: trackable._raw(obj)
        for path, obj in zip(graph.paths, graph.objects, strict=True)
        if isinstance(obj, hr.Variable)
    }


def equal(a, b):
    return np.array_equal(*(x.numpy() if isinstance(x, StringArray) else x for x in (a, b)))


def test_what_was_saved_comes_back(tmp_path):
    one, other = everything(2.0), everything(5.0)
    path = train.Checkpoint(**one).save(tmp_path / "ckpt")
    assert path == str(tmp_path / "ckpt-1")
    checkpoint = train.Checkpoint(**other)
    status = checkpoint.restore(path)
    status.assert_consumed().assert_existing_objects_matched().assert_nontrivial_match()
    saved, found = flat(one), flat(other)
    assert saved.keys() == found.keys()
    assert all(equal(saved[k], found[k]) for k in saved)
    assert int(checkpoint.save_counter) == 1
    assert os.path.basename(checkpoint.save(tmp_path / "ckpt")) == "ckpt-2"


def test_names_are_tensorflows(tmp_path):
    path = train.Checkpoint(**everything(1.0)).save(tmp_path / "c")
    names = [name for name, _ in train.list_variables(path)]
    assert names == [
        "_CHECKPOINTABLE_OBJECT_GRAPH",
        f"generator/_state_var{VALUE}", f"module/parts/0{VALUE}",
        f"module/parts/1/a.Sb..c{VALUE}", f"module/w{VALUE}", f"name{VALUE}",
        f"nested/v{VALUE}", f"pair/0{VALUE}", f"save_counter{VALUE}", f"step{VALUE}",
    ]  # fmt: skip
    reader = train.load_checkpoint(tmp_path)
    assert reader.get_variable_to_shape_map()[f"module/w{VALUE}"] == [1, 2]
    assert reader.get_variable_to_dtype_map()[f"step{VALUE}"] is hr.int64
    assert reader.has_tensor(f"step{VALUE}") and not reader.has_tensor("step")
    assert train.load_variable(tmp_path, f"step{VALUE}") == 1
    assert isinstance(reader.get_tensor("_CHECKPOINTABLE_OBJECT_GRAPH"), bytes)
    assert f"step{VALUE} (int64) []" in reader.debug_string().decode()
    view = train.CheckpointView(path)
    assert set(view.children(0)) == {*everything(1.0), "save_counter"}
    assert view.descendants()[0] == 0 and len(view.descendants()) >= len(names)


def test_a_root_shares_its_parts(tmp_path):
    root = Linear(3.0)
    more = hr.Variable(7.0)
    path = train.Checkpoint(root, more=more).save(tmp_path / "c")
    names = [name for name, _ in train.list_variables(path)]
    assert f"w{VALUE}" in names and f"more{VALUE}" in names
    fresh, other = Linear(0.0), hr.Variable(0.0)
    train.Checkpoint(root=fresh, more=other).restore(path).assert_consumed()
    assert float(fresh.w[0, 0]) == 3.0 and float(other) == 7.0
    train.Checkpoint(root=fresh, w=fresh.w)
    with pytest.raises(ValueError, match=r"argument w if root\.w already exists"):
        train.Checkpoint(root=fresh, w=hr.Variable(1.0))


class TestLater:
    """Variables that are made after `restore`."""

    def test_are_restored_when_they_are_made(self, tmp_path):
        model = Late()
        model(4.0)
        path = train.Checkpoint(model=model).save(tmp_path / "c")
        fresh = Late()
        checkpoint = train.Checkpoint(model=fresh)
        status = checkpoint.restore(path)
        with pytest.raises(AssertionError, match="Unresolved object in checkpoint"):
            status.assert_consumed()
        status.assert_existing_objects_matched()
        assert fresh(0.0) == 4.0
        status.assert_consumed()
        assert "_waiting_restores" not in trackable.children_of(fresh)

    def test_are_restored_in_traced_functions(self, tmp_path):
        model = Late()
        model(4.0)
        path = train.Checkpoint(model=model).write(tmp_path / "c")
        fresh = Late()
        train.Checkpoint(model=fresh).read(path)

        @hr.function
        def step(x):
            if fresh.inner is None:
                fresh.inner = Linear()
            return fresh.inner.w * x

        assert step(hr.constant(2.0)).numpy().tolist() == [[8.0, 2.0]]

    def test_what_is_added_to_a_list_is_found_when_it_is_asked_for(self, tmp_path):
        path = train.Checkpoint(vs=[hr.Variable(1.0), hr.Variable(2.0)]).write(tmp_path / "c")
        late = [hr.Variable(0.0)]
        checkpoint = train.Checkpoint(vs=late)
        status = checkpoint.read(path)
        late.append(hr.Variable(0.0))
        status.assert_consumed()
        assert [float(v) for v in late] == [1.0, 2.0]

    def test_the_last_restore_counts(self, tmp_path):
        paths = []
        for value in (1.0, 2.0):
            model = Late()
            model(value)
            paths.append(train.Checkpoint(model=model).write(tmp_path / f"c{value}"))
        fresh = Late()
        checkpoint = train.Checkpoint(model=fresh)
        for path in paths:
            checkpoint.read(path).expect_partial()
        assert fresh() == 2.0

    def test_assigning_later_is_not_undone(self, tmp_path):
        path = train.Checkpoint(a=hr.Variable(1.0), b=hr.Variable(2.0)).write(tmp_path / "c")
        checkpoint = train.Checkpoint(a=hr.Variable(0.0))
        checkpoint.read(path)
        checkpoint.a.assign(9.0)
        checkpoint.b = hr.Variable(0.0)
        assert float(checkpoint.a) == 9.0 and float(checkpoint.b) == 2.0


class TestStatus:
    def test_objects_that_the_file_lacks(self, tmp_path):
        path = train.Checkpoint(a=hr.Variable(1.0)).write(tmp_path / "c")
        status = train.Checkpoint(a=hr.Variable(0.0), b=hr.Variable(0.0)).read(path)
        with pytest.raises(AssertionError, match=r'Found 1 Python objects .*\["b: '):
            status.assert_existing_objects_matched()
        with pytest.raises(AssertionError):
            status.assert_consumed()
        status.assert_nontrivial_match()

    def test_values_that_the_program_lacks(self, tmp_path, caplog):
        path = train.Checkpoint(a=hr.Variable(1.0), b=hr.Variable(1.0)).write(tmp_path / "c")
        caplog.set_level(logging.WARNING, "headrace")
        status = train.Checkpoint(a=hr.Variable(0.0)).read(path)
        status.assert_existing_objects_matched()
        with pytest.raises(AssertionError, match=r"1 values have no object .*\['b'\]"):
            status.assert_consumed()
        del status
        gc.collect()
        assert f"1 values of the checkpoint {path}" in caplog.text
        caplog.clear()
        train.Checkpoint(a=hr.Variable(0.0)).read(path).expect_partial()
        gc.collect()
        assert path not in caplog.text

    def test_nothing_matches(self, tmp_path):
        path = train.Checkpoint(a=hr.Variable(1.0)).write(tmp_path / "c")
        status = train.Checkpoint(b=hr.Variable(0.0)).read(path).expect_partial()
        with pytest.raises(AssertionError, match="Nothing except the root object matched"):
            status.assert_nontrivial_match()
        status = train.Checkpoint().read(path).expect_partial()
        with pytest.raises(AssertionError, match="Nothing to load"):
            status.assert_nontrivial_match()

    def test_no_path(self):
        checkpoint = train.Checkpoint(a=hr.Variable(1.0))
        status = checkpoint.restore(None)
        status.initialize_or_restore()
        for name in ("assert_consumed", "assert_existing_objects_matched", "run_restore_ops"):
            with pytest.raises(AssertionError, match="No checkpoint specified"):
                getattr(status, name)()

    def test_other_shapes_and_dtypes(self, tmp_path):
        path = train.Checkpoint(a=hr.Variable([1.0, 2.0])).write(tmp_path / "c")
        with pytest.raises(ValueError, match=r"shape \(2,\) when .* with shape \(3,\)"):
            train.Checkpoint(a=hr.Variable([1.0, 2.0, 3.0])).read(path)
        with pytest.raises(hr.errors.InvalidArgumentError, match="expected dtype float32"):
            train.Checkpoint(a=hr.Variable([1, 2])).read(path)

    def test_missing_files(self, tmp_path):
        checkpoint = train.Checkpoint(a=hr.Variable(1.0))
        with pytest.raises(hr.errors.NotFoundError, match="may be missing the check"):
            checkpoint.restore(tmp_path / "none")
        with pytest.raises(hr.errors.NotFoundError, match="Failed to find any matching files"):
            checkpoint.read(tmp_path / "none")
        with pytest.raises(ValueError, match="Couldn't find 'checkpoint' file"):
            train.load_checkpoint(tmp_path)
        bundle_writer.write_bundle(str(tmp_path / "v1"), {"w": np.ones(2)})
        with pytest.raises(hr.errors.NotFoundError, match="was not saved from objects"):
            checkpoint.restore(tmp_path / "v1")
        with pytest.raises(ValueError, match="does not appear to be object-based"):
            train.CheckpointView(tmp_path / "v1")

    @pytest.mark.parametrize("value", [3, "x", None, np.ones(2), hr.constant(1.0), dict])
    def test_what_has_no_state(self, value):
        with pytest.raises(ValueError, match="expecting thing to be a trackable object"):
            train.Checkpoint(thing=value)

    def test_a_dictionary_needs_text_for_keys(self, tmp_path):
        checkpoint = train.Checkpoint(table={1: hr.Variable(1.0)})
        with pytest.raises(ValueError, match="must have text for keys, got the key 1"):
            checkpoint.save(tmp_path / "c")

    def test_no_saving_inside_a_function(self, tmp_path):
        checkpoint = train.Checkpoint(a=hr.Variable(1.0))
        traced = hr.function(lambda: checkpoint.save(tmp_path / "c") and hr.constant(1))
        with pytest.raises(NotImplementedError, match="from a function is not supported"):
            traced()


class TestGraphs:
    def test_cycles_and_shared_parts(self, tmp_path):
        def pair():
            a, b = hr.Module(), hr.Module()
            a.other, b.other = b, a
            a.v = b.v = hr.Variable(1.0)
            a.ring = [b]
            a.ring.append(a.ring)
            return a

        one, other = pair(), pair()
        one.v.assign(5.0)
        path = train.Checkpoint(one).write(tmp_path / "c")
        assert len(train.list_variables(path)) == 2
        train.Checkpoint(other).read(path).assert_consumed()
        assert float(other.other.v) == 5.0

    def test_of_one_object_that_became_two_the_first_is_restored(self, tmp_path, caplog):
        v = hr.Variable(1.0)
        path = train.Checkpoint(a=v, b=v).write(tmp_path / "c")
        caplog.set_level(logging.WARNING, "headrace")
        fresh = train.Checkpoint(a=hr.Variable(0.0), b=hr.Variable(0.0))
        status = fresh.read(path)
        assert (float(fresh.a), float(fresh.b)) == (1.0, 0.0)
        assert "Inconsistent references" in caplog.text
        with pytest.raises(AssertionError, match="Found 1 Python objects"):
            status.assert_existing_objects_matched()

    @pytest.mark.parametrize("how", ["loop", "outside", "empty", "noise", "twice"])
    def test_hostile_graphs(self, tmp_path, how):
        proto = TrackableObjectGraph()
        for i in range(3):
            proto.nodes.add().children.add(node_id=(i + 1) % 3, local_name="v")
        if how == "outside":
            proto.nodes[0].children[0].node_id = 1 << 20
        text = {"empty": b"", "noise": b"\xff" * 40}.get(how, proto.SerializeToString())
        if how == "twice":
            proto.nodes[1].attributes.add(name="VARIABLE_VALUE", checkpoint_key="gone")
            text = proto.SerializeToString()
        prefix = str(tmp_path / "c")
        key = checkpoint_graph.OBJECT_GRAPH_KEY
        bundle_writer.write_bundle(
            prefix, {key: StringArray.from_values(np.array(text, object))}
        )
        checkpoint = train.Checkpoint(v=hr.Variable(0.0))
        if how == "loop":
            checkpoint.read(prefix).expect_partial()
            return
        kind = hr.errors.NotFoundError if how == "twice" else hr.errors.DataLossError
        with pytest.raises(kind, match=r"Key gone not found|object graph is damaged"):
            checkpoint.read(prefix)


class TestIterators:
    def dataset(self):
        return hr.data.Dataset.range(50).shuffle(10, seed=3).map(lambda x: x * 2).batch(4)

    def test_go_on_where_they_were(self, tmp_path):
        one = iter(self.dataset())
        for _ in range(5):
            next(one)
        path = train.Checkpoint(it=one).save(tmp_path / "c")
        wanted = [b.numpy().tolist() for b in one]
        other = iter(self.dataset())
        train.Checkpoint(it=other).restore(path).assert_consumed()
        assert [b.numpy().tolist() for b in other] == wanted

    def test_of_another_pipeline(self, tmp_path):
        path = train.Checkpoint(it=iter(self.dataset())).write(tmp_path / "c")
        with pytest.raises(hr.errors.InvalidArgumentError, match="belongs to the pipeline"):
            train.Checkpoint(it=iter(hr.data.Dataset.range(3))).read(path)


def tables(library, filled):
    lookup = library.lookup.experimental
    found = {
        "words": lookup.MutableHashTable(library.string, library.int64, -1),
        "rows": lookup.MutableHashTable(library.int64, library.float32, [0.0, 0.0]),
        "unsaved": lookup.MutableHashTable("string", "int64", -1, checkpoint=False)
        if library is hr
        else library.Module(),
    }
    found["words"].insert(["a", "b"] if filled else ["c"], [1, 2] if filled else [3])
    if filled:
        found["rows"].insert([7], [[1.0, 2.0]])
    return found


def entries(table):
    keys, values = table.export()
    return dict(zip(keys.numpy().tolist(), values.numpy().tolist(), strict=True))


class TestTables:
    def test_come_back(self, tmp_path):
        path = train.Checkpoint(**tables(hr, True)).write(tmp_path / "c")
        other = tables(hr, False)
        other["unsaved"].insert(["x"], [1])
        train.Checkpoint(**other).read(path).assert_consumed()
        assert entries(other["words"]) == {b"a": 1, b"b": 2}
        assert entries(other["rows"]) == {7: [1.0, 2.0]}
        assert entries(other["unsaved"]) == {b"x": 1}

    def test_dense_ones(self, tmp_path):
        def make():
            return hr.lookup.experimental.DenseHashTable("int64", "float32", 0.0, -1, -2)

        one, other = make(), make()
        one.insert([5, 6], [1.0, 2.0])
        other.insert([9], [9.0])
        path = train.Checkpoint(t=one).write(tmp_path / "c")
        train.Checkpoint(t=other).read(path).assert_consumed()
        assert entries(other) == {5: 1.0, 6: 2.0}

    @pytest.mark.peers
    def test_tensorflows(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        path = tf.train.Checkpoint(**tables(tf, True)).write(str(tmp_path / "t"))
        mine = tables(hr, False)
        train.Checkpoint(**mine).read(path).assert_consumed()
        assert entries(mine["words"]) == {b"a": 1, b"b": 2}
        mine["words"].insert(["z"], [26])
        path = train.Checkpoint(**mine).write(tmp_path / "h")
        theirs = tables(tf, False)
        tf.train.Checkpoint(**theirs).read(path).assert_consumed()
        assert entries(theirs["words"]) == {b"a": 1, b"b": 2, b"z": 26}
        assert entries(theirs["rows"]) == {7: [1.0, 2.0]}


class TestManager:
    def manager(self, folder, step=None, **kwargs):
        step = hr.Variable(0) if step is None else step
        return step, train.CheckpointManager(
            train.Checkpoint(step=step), folder, **{"max_to_keep": 3, **kwargs}
        )

    def test_keeps_the_latest(self, tmp_path):
        step, manager = self.manager(tmp_path)
        assert manager.latest_checkpoint is None and manager.checkpoints == []
        for _ in range(5):
            step.assign_add(1)
            path = manager.save()
            assert path == manager.latest_checkpoint == train.latest_checkpoint(tmp_path)
        assert [os.path.basename(p) for p in manager.checkpoints] == [
            "ckpt-3",
            "ckpt-4",
            "ckpt-5",
        ]
        assert len(list(tmp_path.iterdir())) == 7
        fresh, again = self.manager(tmp_path)
        assert again.checkpoints == manager.checkpoints
        assert again.restore_or_initialize() == path
        assert int(fresh) == 5 and int(again.checkpoint.save_counter) == 5
        again.save()
        assert [os.path.basename(p) for p in again.checkpoints] == [
            "ckpt-4",
            "ckpt-5",
            "ckpt-6",
        ]
        assert os.path.basename(again.save(checkpoint_number=40)) == "ckpt-40"

    def test_intervals(self, tmp_path):
        step, manager = self.manager(tmp_path, step := hr.Variable(0), step_counter=step,
                                     checkpoint_interval=3)  # fmt: skip
        saved = []
        for i in range(8):
            step.assign(i)
            saved.append(manager.save() is not None)
        assert saved == [i % 3 == 0 for i in range(8)]
        assert manager.save(check_interval=False) is not None
        assert manager.save(check_interval=False) is None

    def test_preserves_one_in_some_hours(self, tmp_path, monkeypatch):
        clock = [1e9]
        monkeypatch.setattr("headrace.io.checkpoint.manager.time.time", lambda: clock[0])
        _, manager = self.manager(tmp_path, max_to_keep=1, keep_checkpoint_every_n_hours=2)
        for _ in range(6):
            clock[0] += 3600.0
            manager.save()
        left = {p.name for p in tmp_path.glob("*.index")}
        assert left == {"ckpt-2.index", "ckpt-4.index", "ckpt-6.index"}

    def test_starts_anew(self, tmp_path):
        called = []
        _, manager = self.manager(tmp_path, init_fn=lambda: called.append(1))
        assert manager.restore_or_initialize() is None and called == [1]

    @pytest.mark.parametrize("kwargs", [{"max_to_keep": 0}, {"checkpoint_interval": 2}])
    def test_wrong_arguments(self, tmp_path, kwargs):
        with pytest.raises(ValueError, match=r"max_to_keep|step_counter"):
            self.manager(tmp_path, **kwargs)

    def test_broken_state_files(self, tmp_path, caplog):
        (tmp_path / "checkpoint").write_text("nonsense {")
        assert train.latest_checkpoint(tmp_path) is None
        (tmp_path / "checkpoint").write_text('model_checkpoint_path: "gone-3"')
        assert train.latest_checkpoint(tmp_path) is None
        (tmp_path / "checkpoint").write_text("last_preserved_timestamp: 3")
        with pytest.raises(ValueError, match="Invalid checkpoint state"):
            train.latest_checkpoint(tmp_path)
        assert train.latest_checkpoint(tmp_path / "none") is None

    def test_checkpoints_iterator(self, tmp_path):
        _, manager = self.manager(tmp_path)
        found = []
        manager.save()
        for path in train.checkpoints_iterator(tmp_path, timeout=0.1):
            found.append(os.path.basename(path))
            if len(found) < 3:
                manager.save()
        assert found == ["ckpt-1", "ckpt-2", "ckpt-3"]


class TestOptions:
    def test_callbacks(self, tmp_path):
        called = []
        options = train.CheckpointOptions(
            experimental_write_callbacks=[called.append, lambda: called.append("end")]
        )
        path = train.Checkpoint(v=hr.Variable(1.0)).save(tmp_path / "c", options)
        assert called == [path, "end"]
        assert len(options.experimental_write_callbacks) == 2
        with pytest.raises(ValueError, match="takes 2"):
            train.CheckpointOptions(experimental_write_callbacks=[lambda a, b: None])

    def test_written_behind(self, tmp_path):
        v = hr.Variable(np.zeros(1000, np.float32))
        checkpoint = train.Checkpoint(v=v)
        options = train.CheckpointOptions(enable_async=True)
        for i in range(3):
            v.assign(np.full(1000, i, np.float32))
            path = checkpoint.save(tmp_path / "c", options)
            v.assign_add(np.full(1000, 100, np.float32))
        checkpoint.sync()
        assert train.latest_checkpoint(tmp_path) == path
        checkpoint.restore(path)
        assert v.numpy().tolist() == [2.0] * 1000

    def test_what_fails_behind_is_raised_at_the_next_call(self, tmp_path):
        (tmp_path / "file").write_text("")
        checkpoint = train.Checkpoint(v=hr.Variable(1.0))

        def fail():
            raise RuntimeError("no space")

        options = train.CheckpointOptions(
            enable_async=True, experimental_write_callbacks=[fail]
        )
        checkpoint.write(tmp_path / "c", options)
        with pytest.raises(RuntimeError, match="no space"):
            checkpoint.sync()


@pytest.mark.peers
class TestTensorFlow:
    """The same objects in both libraries."""

    def objects(self, library, start):
        class Net(library.Module):
            def __init__(self):
                super().__init__()
                self.w = library.Variable([[start, 1.0]])
                self.parts = [
                    library.Variable(start),
                    {"a/b.c": library.Variable([start, 2.0])},
                ]

        tr = library.train
        return {
            "step": library.Variable(int(start), dtype=library.int64),
            "name": library.Variable([b"a", b"bb" * int(start)]),
            "scalar": library.Variable("text" * int(start)),
            "module": Net(),
            "pair": (library.Variable(start), 3, [1, 2]),
            "nested": tr.Checkpoint(v=library.Variable(start)),
            "generator": library.random.Generator.from_seed(int(start)),
            "half": library.Variable(start, dtype=library.bfloat16),
            "flag": library.Variable([True, False]),
        }

    def test_both_ways(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        theirs = self.objects(tf, 3.0)
        path = tf.train.Checkpoint(**theirs).save(str(tmp_path / "tf"))
        ours = self.objects(hr, 6.0)
        checkpoint = train.Checkpoint(**ours)
        checkpoint.restore(path).assert_consumed()
        assert float(ours["module"].parts[1]["a/b.c"][0]) == 3.0
        assert ours["name"].numpy().tolist() == [b"a", b"bbbbbb"]
        assert np.array_equal(
            ours["generator"].state.numpy(), theirs["generator"].state.numpy()
        )
        for value in ("step", "half", "scalar"):
            assert ours[value].numpy() == theirs[value].numpy()
        assert train.latest_checkpoint(tmp_path) == path
        assert [n for n, _ in train.list_variables(path)] == [
            n for n, _ in tf.train.list_variables(path)
        ]
        ours["step"].assign(77)
        ours["module"].parts[0].assign(8.0)
        mine = checkpoint.save(tmp_path / "hr")
        assert [n for n, _ in train.list_variables(mine)] == [
            n for n, _ in train.list_variables(path)
        ]
        fresh = self.objects(tf, 1.0)
        tf.train.Checkpoint(**fresh).restore(mine).assert_consumed()
        assert int(fresh["step"]) == 77 and float(fresh["module"].parts[0]) == 8.0
        assert tf.train.latest_checkpoint(str(tmp_path)) == mine

    def test_roots_and_managers(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        v = tf.Variable(2.0)
        root = tf.Module()
        root.v = v
        theirs = tf.train.CheckpointManager(
            tf.train.Checkpoint(root, more=tf.Variable(4.0)), str(tmp_path), 2
        )
        for _ in range(3):
            theirs.save()
        mine = hr.Module()
        mine.v = hr.Variable(0.0)
        more = hr.Variable(0.0)
        manager = train.CheckpointManager(train.Checkpoint(mine, more=more), tmp_path, 2)
        assert manager.checkpoints == theirs.checkpoints
        manager.checkpoint.restore(manager.latest_checkpoint).assert_consumed()
        assert float(mine.v) == 2.0 and float(more) == 4.0
        mine.v.assign(9.0)
        manager.save()
        again = tf.train.CheckpointManager(theirs.checkpoint, str(tmp_path), 2)
        assert again.checkpoints == manager.checkpoints and len(again.checkpoints) == 2
        again.checkpoint.restore(again.latest_checkpoint).assert_consumed()
        assert float(v) == 9.0

    def test_sharded_variables(self, tmp_path):
        pytest.importorskip("tensorflow")
        import tensorflow as tf
        from tensorflow.python.distribute.sharded_variable import ShardedVariable

        table = np.arange(14, dtype=np.float32).reshape(7, 2)
        sharded = ShardedVariable([tf.Variable(table[:4]), tf.Variable(table[4:])])
        path = tf.train.Checkpoint(table=sharded).write(str(tmp_path / "t"))
        mine = train.Checkpoint(table=hr.Variable(table * 0))
        mine.read(path).expect_partial().assert_existing_objects_matched()
        assert np.array_equal(mine.table.numpy(), table)
        mine.table.assign(table + 1)
        tf.train.Checkpoint(table=sharded).read(mine.write(tmp_path / "h"))
        assert np.array_equal(tf.concat(sharded.variables, 0).numpy(), table + 1)

    def test_what_cannot_be_shared_is_said(self, tmp_path):
        tf = pytest.importorskip("tensorflow")
        path = tf.train.Checkpoint(it=iter(tf.data.Dataset.range(3))).write(str(tmp_path / "t"))
        mine = train.Checkpoint(it=iter(hr.data.Dataset.range(3)))
        with pytest.raises(
            hr.errors.UnimplementedError, match="is that of TensorFlow's engine"
        ):
            mine.read(path)
        path = mine.write(tmp_path / "h")
        with pytest.raises(tf.errors.NotFoundError):
            tf.train.Checkpoint(it=iter(tf.data.Dataset.range(3))).read(path)

    @pytest.mark.parametrize("name", ["Checkpoint", "CheckpointManager", "CheckpointOptions"])
    def test_interfaces(self, name):
        import inspect

        tf = pytest.importorskip("tensorflow")
        theirs, ours = getattr(tf.train, name), getattr(train, name)
        public = {n for n in dir(theirs) if not n.startswith("_")}
        ready = ours() if name == "CheckpointOptions" else ours
        assert public <= set(dir(ready))

        def arguments(cls):
            found = inspect.signature(inspect.unwrap(cls.__init__)).parameters.values()
            return [(p.name, p.default) for p in found][1:]

        assert arguments(ours) == arguments(theirs)


def test_state_of_a_folder_is_json_free_text(tmp_path):
    path = train.Checkpoint(v=hr.Variable(1.0)).save(tmp_path / "c")
    text = (tmp_path / "checkpoint").read_text()
    assert text == 'model_checkpoint_path: "c-1"\nall_model_checkpoint_paths: "c-1"\n'
    assert train.get_checkpoint_state(tmp_path).model_checkpoint_path == path
    with pytest.raises(ValueError):
        json.loads(text)
    assert tensor_bundle.index_path(path) == str(Path(path + ".index"))
