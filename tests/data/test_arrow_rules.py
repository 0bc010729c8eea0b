"""column_projection and predicate_pushdown: plans they change, plans they leave alone, equal
elements, and what is really read."""

import numpy as np
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.data import ArrowFileDataset, Dataset, Options, ParquetDataset
from headrace.data.experimental import CsvDataset, make_csv_dataset
from headrace.data.iterator import NumpyIterator
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import walk
from headrace.data.rules.predicate_pushdown import Comparison
from headrace.data.transforms.arrow_source import ArrowSourceNode
from headrace.data.transforms.csv_files import CsvNode
from headrace.ops import nest

BY_NAME = {rule.name: rule for rule in RULES}
ROWS = 40
TABLE = pa.table({
    "id": np.arange(ROWS),
    "x": np.arange(ROWS, dtype=np.float32) / 2,
    "name": [f"n{i:02}" for i in range(ROWS)],
    "point": [{"a": i, "b": [i] * (i % 3)} for i in range(ROWS)],
    "deep": [[[i], []] for i in range(ROWS)],
})  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("rules")
    pa.parquet.write_table(TABLE, path / "t.parquet", row_group_size=10)
    pa.feather.write_feather(TABLE, str(path / "t.feather"))
    flat = TABLE.select(["id", "x", "name"]).to_pylist()
    lines = "".join(f"{r['id']},{r['x']},{r['name']}\n" for r in flat)
    (path / "t.csv").write_text("id,x,name\n" + lines)
    return path


def parquet(folder):
    return ParquetDataset(str(folder / "t.parquet"))


def apply(name, node):
    return rewrite_plan(node, BY_NAME[name])


def source(node):
    (found,) = (n for n in walk(node) if isinstance(n, ArrowSourceNode))
    return found


def flat(element):
    return repr(nest.flatten(element))


def run(node):
    return list(map(flat, NumpyIterator(node)))


def untraceable(e):
    return e["id"].numpy()


PROJECTED = {
    "one": (lambda f: parquet(f).map(lambda e: e["id"]), ["id"]),
    "two": (lambda f: parquet(f).map(lambda e: {"b": e["x"], "a": e["id"]}), ["id", "x"]),
    "field_of_struct": (lambda f: parquet(f).map(lambda e: e["point"]["a"]), ["point"]),
    "ragged": (lambda f: parquet(f).map(lambda e: e["deep"]), ["deep"]),
    "nothing": (lambda f: parquet(f).map(lambda e: hr.constant(3)), ["id"]),
    "dead_code": (lambda f: parquet(f).map(lambda e: (e["id"], e["x"] * 2)[0]), ["id"]),
    "behind_filter": (lambda f: parquet(f).filter(lambda e: e["x"] > 3).map(
        lambda e: e["id"]), ["id", "x"]),
    "behind_many": (lambda f: parquet(f).skip(1).shuffle(5, seed=1).repeat(2).take(30).shard(
        2, 0).prefetch(1).map(lambda e: e["name"]), ["name"]),
    "behind_map": (lambda f: parquet(f).map(lambda e: {"i": e["id"], "n": e["name"]}).prefetch(
        1).map(lambda e: e["n"]), ["name"]),
    "behind_maps": (lambda f: parquet(f).map(lambda e: (e["id"], e["x"], e["point"])).shuffle(
        9, seed=1).map(lambda i, x, p: (i, x + 1)).filter(lambda i, x: i > 3).repeat(2).batch(
        4).map(lambda i, x: i * 2), ["id"]),
    "behind_batch": (lambda f: ArrowFileDataset(str(f / "t.feather"), ["id", "x"]).batch(
        3).map(lambda e: e["x"]), ["x"]),
    "table": (lambda f: Dataset.from_arrow(TABLE).map(lambda e: e["name"]), ["name"]),
    "csv": (lambda f: CsvDataset(str(f / "t.csv"), [hr.int32, hr.float32, hr.string],
                                 header=True).map(lambda i, x, n: (n, i)), ["0", "2"]),
}  # fmt: skip

NOT_PROJECTED = {
    "all_used": (lambda f: Dataset.from_arrow(TABLE.select(["id", "x"])).map(
        lambda e: (e["id"], e["x"])), "all 2 columns that are read are used"),
    "untraceable": (lambda f: parquet(f).map(untraceable), "was not traced"),
    "untraceable_filter": (lambda f: parquet(f).filter(
        lambda e: e["id"].numpy() > 3).map(lambda e: e["x"]), "was not traced"),
    "whole_elements": (lambda f: parquet(f).enumerate().map(
        lambda i, e: e["x"]), "takes whole elements"),
}  # fmt: skip


@pytest.mark.parametrize("name", PROJECTED)
def test_projection_reads_what_is_used(folder, name):
    make, columns = PROJECTED[name]
    node = apply("map_fusion", make(folder)._node)
    after = apply("column_projection", node)
    assert source(after).columns == columns
    assert after.element_spec == node.element_spec
    assert apply("column_projection", after) is after
    assert run(after) == run(make(folder)._node) == run(make(folder)._report.after)
    assert "column_projection" in make(folder).explain()
    assert f"{len(columns)} of " in make(folder).explain()


@pytest.mark.parametrize("name", NOT_PROJECTED)
def test_projection_says_why_not(folder, name):
    make, reason = NOT_PROJECTED[name]
    node = make(folder)._node
    assert apply("column_projection", node) is node
    text = " ".join(make(folder).explain().split())
    assert reason in text.split("column_projection")[1].split("predicate_pushdown")[0]


def made(node):
    """How many components each map makes, sources first."""
    functions = [n.function for n in walk(node) if n.label == "map"][::-1]
    return [len(f.output.leaves) for f in functions if f.traced is not None]


BETWEEN_MAPS = {
    "prefetch": (lambda d: d.prefetch(2).map(lambda e: e["a"]), [1, 1]),
    "many": (lambda d: d.shuffle(5, seed=1).repeat(2).skip(1).take(30).batch(4).map(
        lambda e: e["b"][1]), [1, 1]),
    "filter": (lambda d: d.filter(lambda e: e["a"] > 3).map(lambda e: e["b"][0]), [2, 1]),
    "nothing": (lambda d: d.prefetch(2).map(lambda e: 3), [1, 1]),
    "ragged": (lambda d: d.prefetch(2).map(lambda e: e["r"]), [1, 1]),
    "all": (lambda d: d.prefetch(2).map(lambda e: (e["a"] + e["b"][0], e["b"][1], e["r"])),
            [4, 3]),
    "untraceable": (lambda d: d.prefetch(2).map(lambda e: e["a"].numpy()), [4]),
    "whole_elements": (lambda d: d.enumerate().map(lambda i, e: e["a"]), [4, 1]),
    "cache": (lambda d: d.cache().map(lambda e: e["a"]), [4, 1]),
}  # fmt: skip


@pytest.mark.parametrize("name", BETWEEN_MAPS)
def test_a_map_makes_only_what_a_later_one_uses(name, check_law):
    use, counts = BETWEEN_MAPS[name]

    def make():
        return use(Dataset.range(20).map(lambda x: {
            "a": x * 2, "b": (x + 1, hr.strings.as_string(x)),
            "r": hr.RaggedTensor.from_row_lengths(hr.fill([x % 3], x), [x % 3]),
        }))  # fmt: skip

    assert made(apply("column_projection", make()._node)) == counts
    check_law(make, "column_projection")
    told = f"makes {counts[0]} components"
    assert (told in " ".join(make().explain().split())) == (counts[0] < 4)


def test_features_that_a_later_map_does_not_use_are_not_parsed():
    features = {k: hr.io.FixedLenFeature([], hr.int64) for k in ("a", "b", "c")}
    value = hr.train.Feature(int64_list=hr.train.Int64List(value=[7]))
    example = hr.train.Example(features=hr.train.Features(feature={"a": value}))
    dataset = Dataset.from_tensors(example.SerializeToString()).repeat(9)
    dataset = dataset.map(lambda r: hr.io.parse_single_example(r, features)).shuffle(3)
    assert [int(x) for x in dataset.batch(2).map(lambda e: e["a"]).unbatch()] == [7] * 9
    assert "parses 1 of 3 components" in dataset.map(lambda e: e["a"]).explain()


def test_columns_of_make_csv_dataset_that_nobody_uses_are_not_read(folder):
    dataset = make_csv_dataset(str(folder / "t.csv"), 4, num_epochs=1, shuffle=False)
    used = dataset.map(lambda row: row["x"])
    assert "csv(t.csv, 1 of 3 columns: 1)" in used.explain()
    np.testing.assert_array_equal(
        np.concatenate(list(used.as_numpy_iterator())), TABLE["x"].to_numpy()
    )


@pytest.mark.parametrize("reads", [None, 2])
def test_make_csv_dataset_in_random_order_reads_only_what_is_used(folder, reads, monkeypatch):
    """The files are then opened by flat_map or interleave."""

    def used(options):
        dataset = make_csv_dataset(
            str(folder / "t.csv"), 4, num_epochs=2, shuffle_seed=3, num_parallel_reads=reads
        )
        return dataset.map(lambda row: row["x"]).with_options(options)

    off = Options()
    off.experimental_optimization.column_projection = False
    want = [b.tolist() for b in used(off).as_numpy_iterator()]
    got = used(Options())
    assert "reads 1 of 3 components" in " ".join(got.explain().split())
    opened = []
    whole = CsvNode.open_batches
    monkeypatch.setattr(
        CsvNode, "open_batches", lambda node, *at: opened.append(node.used) or whole(node, *at)
    )
    assert [b.tolist() for b in got.as_numpy_iterator()] == want
    assert set(opened) == {(1,)}


def test_projection_into_datasets_that_flat_map_opens_is_that_of_their_own_functions():
    def of(x):
        return Dataset.range(3).map(lambda y: (x, {"a": x + y, "b": hr.range(y)}))

    dataset = Dataset.range(4).flat_map(of)
    for function in (lambda x, e: e["a"], lambda x, e: e["b"], lambda x, e: x * 2):
        off = Options()
        off.experimental_optimization.column_projection = False
        used = dataset.map(function)
        assert "flat_map() reads 1 of 3 components" in used.explain()
        whole = used.with_options(off)
        assert [e.tolist() for e in used.as_numpy_iterator()] == [
            e.tolist() for e in whole.as_numpy_iterator()
        ]


def test_a_function_that_ran_unprojected_is_projected_all_the_same(folder):
    options = Options()
    options.experimental_optimization.column_projection = False
    dataset = parquet(folder).map(lambda e: e["id"])
    assert len(list(dataset.with_options(options))) == ROWS
    assert [int(i) for i in dataset] == list(range(ROWS))


def test_projection_can_be_switched_off(folder):
    options = Options()
    options.experimental_optimization.column_projection = False
    dataset = parquet(folder).map(lambda e: e["id"]).with_options(options)
    assert len(source(dataset._report.after).columns) == 5
    assert "column_projection          off" in dataset.explain()


def test_columns_that_are_left_out_are_not_read(folder, monkeypatch):
    from headrace.io import arrow_files

    asked = []
    real = pa.parquet.ParquetFile.iter_batches

    def spy(self, *args, **kwargs):
        asked.append((kwargs["row_groups"], kwargs["columns"]))
        return real(self, *args, **kwargs)

    monkeypatch.setattr(pa.parquet.ParquetFile, "iter_batches", spy)
    list(parquet(folder).filter(lambda e: e["id"] >= 25).map(lambda e: e["name"]))
    assert asked == [([2, 3], ["id", "name"])]
    assert arrow_files.BATCH_ROWS > 0


PUSHED = {
    "greater": (lambda e: e["id"] > 9, "id > 9", 3),
    "greater_equal": (lambda e: e["id"] >= 9, "id >= 9", 4),
    "less": (lambda e: e["x"] < 5.0, "x < 5.0", 1),
    "less_equal": (lambda e: e["x"] <= 5.0, "x <= 5.0", 2),
    "equal": (lambda e: e["id"] == 17, "id == 17", 1),
    "string": (lambda e: e["name"] == b"n31", "name == b'n31'", 1),
    "mirrored": (lambda e: 9 < e["id"], "id > 9", 3),
    "none": (lambda e: e["id"] > 1000, "id > 1000", 0),
    "and": (lambda e: hr.logical_and(e["id"] >= 10, e["x"] < 10.0),
            "id >= 10 and x < 10.0", 1),
    "and_unknown": (lambda e: hr.logical_and(e["id"] % 2 == 0, e["id"] < 10), "id < 10", 1),
}  # fmt: skip

NOT_PUSHED = {
    "or": lambda e: hr.logical_or(e["id"] > 9, e["id"] < 3),
    "not_equal": lambda e: e["id"] != 9,
    "two_columns": lambda e: hr.cast(e["id"], hr.float32) > e["x"],
    "arithmetic": lambda e: e["id"] * 2 > 9,
}


@pytest.mark.parametrize("name", PUSHED)
def test_pushdown_skips_row_groups(folder, name, monkeypatch):
    predicate, text, groups = PUSHED[name]
    dataset = parquet(folder).filter(predicate)
    after = apply("predicate_pushdown", dataset._node)
    assert " and ".join(map(str, source(after).predicate)) == text
    assert apply("predicate_pushdown", after) is after
    expected = run(dataset._node)
    opened = []
    real = pa.parquet.ParquetFile.iter_batches

    def spy(self, *args, **kwargs):
        opened.extend(kwargs["row_groups"])
        return real(self, *args, **kwargs)

    monkeypatch.setattr(pa.parquet.ParquetFile, "iter_batches", spy)
    assert run(after) == expected
    assert len(opened) == groups
    explained = " ".join(parquet(folder).filter(predicate).explain().split())
    assert f"row groups with {text})" in explained


@pytest.mark.parametrize("name", NOT_PUSHED)
def test_pushdown_leaves_other_predicates(folder, name):
    dataset = parquet(folder).filter(NOT_PUSHED[name])
    assert apply("predicate_pushdown", dataset._node) is dataset._node
    assert "no comparison of a" in " ".join(dataset.explain().split())


def test_pushdown_needs_the_filter_at_the_source(folder):
    node = parquet(folder).take(30).filter(lambda e: e["id"] > 9)._node
    assert apply("predicate_pushdown", node) is node
    two = parquet(folder).filter(lambda e: e["id"] > 9).filter(lambda e: e["x"] < 10.0)._node
    after = apply("predicate_pushdown", two)
    assert len(source(after).predicate) == 2
    assert run(after) == run(two)


def test_groups_with_nulls_or_without_statistics_are_read(tmp_path):
    path = tmp_path / "nulls.parquet"
    pa.parquet.write_table(pa.table({"i": [1, 2, None, 50]}), path, row_group_size=2)
    dataset = ParquetDataset(str(path), nulls={"i": 99}).filter(lambda e: e["i"] > 60)
    assert [e["i"].item() for e in dataset.as_numpy_iterator()] == [99]
    pa.parquet.write_table(pa.table({"i": [1, 2, 3]}), path, write_statistics=False)
    group = pa.parquet.ParquetFile(path).metadata.row_group(0)
    assert Comparison("i", ">", 60).may_hold(group)


@pytest.mark.parametrize("cpus", [1, 8])
def test_law_holds_with_pushdown(folder, cpus, monkeypatch):
    monkeypatch.setattr("headrace.data.rules.parallel_file_reading.usable_cpus", lambda: cpus)
    monkeypatch.setattr("headrace.data.transforms.arrow_files._PART_ROWS", 10)

    def fresh():
        dataset = parquet(folder).filter(lambda e: e["id"] >= 15).map(lambda e: e["id"])
        assert ("readers=4" in dataset.explain()) == (cpus == 8)
        return dataset.as_numpy_iterator()

    whole = [int(i) for i in fresh()]
    assert whole == list(range(15, ROWS))
    iterator = fresh()
    for position in range(len(whole)):
        again = fresh()
        again.restore(iterator.state())
        assert [int(i) for i in again] == whole[position:]
        next(iterator)
