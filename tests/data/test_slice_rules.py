"""slice_pushdown: where take, skip and shard end up, why they stay, and equal elements."""

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest

import headrace as hr
from headrace.data import Dataset, Options, ParquetDataset, TextLineDataset, TFRecordDataset
from headrace.data.rules import RULES, rewrite_plan
from headrace.data.rules.common import walk
from headrace.data.transforms.arrow_files import ParquetNode

RULE = {rule.name: rule for rule in RULES}["slice_pushdown"]
R = Dataset.range
SLICES = Dataset.from_tensor_slices((np.arange(23) * 2, list("abcdefghijklmnopqrstuvw")))


def python(x):
    return x.numpy() + 1


def noisy(x):
    return x + hr.cast(hr.random.uniform([], 0, 99, dtype=hr.int32, seed=5), hr.int64)


def divides(x):
    return 60 // (x - 5)


def described(node):
    return [one.describe() if one.inputs else one.label for one in walk(node)][::-1]


def labels(node):
    return [one.label for one in walk(node)][::-1]


MOVED = {
    "range": (lambda: R(3, 90, 4).skip(3).take(9).shard(2, 1), ["range"]),
    "range_down": (lambda: R(50, -7, -3).shard(3, 2).skip(1).take(4), ["range"]),
    "range_all_skipped": (lambda: R(5).skip(9), ["range"]),
    "slices": (lambda: SLICES.shard(3, 1).skip(2).take(4), ["tensor_slices"]),
    "maps": (lambda: R(40).map(lambda x: (x, x * 2)).map(lambda x, y: x + y).skip(7).take(9),
             ["range", "map", "map"]),
    "shard_of_map": (lambda: R(40).map(lambda x: x * 3 % 7).shard(3, 1), ["range", "map"]),
    "take_of_noise": (lambda: R(40).map(noisy).take(11), ["range", "map"]),
    "prefetch": (lambda: R(40).map(lambda x: -x).prefetch(3).skip(5).take(9),
                 ["range", "map", "prefetch"]),
    "batch": (lambda: R(43).map(lambda x: x + 1).batch(4).skip(2).take(5),
              ["range", "map", "batch"]),
    "batch_short": (lambda: R(43).batch(4).skip(10), ["range", "batch"]),
    "batch_dropped": (lambda: R(43).batch(4, drop_remainder=True).take(7), ["range", "batch"]),
    "enumerate": (lambda: R(30).enumerate(4).skip(6).take(5), ["range", "enumerate"]),
    "zip": (lambda: Dataset.zip((R(30), SLICES.map(lambda x, s: s))).skip(2).shard(3, 1),
            ["tensor_slices", "map", "range", "zip"]),
    "above_shuffle": (lambda: R(30).shuffle(5, seed=1).map(lambda x: x + 1).batch(2).skip(3),
                      ["range", "shuffle", "skip", "map", "batch"]),
    "take_and_skip_join": (lambda: R(30).filter(lambda x: x > 3).skip(2).skip(3).take(9).take(
        7), ["range", "filter", "skip", "take"]),
    "skip_before_take": (lambda: R(30).filter(lambda x: x > 3).take(20).map(
        lambda x: x * 2).skip(3).shard(2, 0),
        ["range", "filter", "skip", "shard", "take", "map"]),
    "table": (lambda: Dataset.from_arrow(pa.table({"a": range(30)})).map(
        lambda e: e["a"]).skip(5).take(9), ["arrow", "map"]),
    "table_shard": (lambda: Dataset.from_arrow(pa.table({"a": range(30)})).map(
        lambda e: e["a"]).shard(4, 1), ["arrow", "shard", "map"]),
    "then_fail": (lambda: R(30).skip(3).take(9).map(divides), ["range", "map"]),
}  # fmt: skip

STAYS = {
    "python": (lambda: R(30).map(python).skip(3), "was not traced, so it runs for all"),
    "noise": (lambda: R(30).map(noisy).skip(3), "draws by an element's number"),
    "shard_noise": (lambda: R(30).map(noisy).shard(2, 1), "draws by an element's number"),
    "fails": (lambda: R(30).map(divides).skip(9), "may fail on some values"),
    "take_fails": (lambda: R(30).map(divides).take(9), "may fail on some values"),
    "filter": (lambda: R(30).filter(lambda x: x % 2 == 0).skip(3), "not those of its input"),
    "shuffle": (lambda: R(30).shuffle(5, seed=1).take(3), "not those of its input"),
    "cache": (lambda: R(30).cache().skip(3), "not those of its input"),
    "repeat": (lambda: R(5).repeat(3).skip(7), "not those of its input"),
    "shard_of_batch": (lambda: R(30).batch(4).shard(2, 1), "elements that follow each other"),
    "shard_of_enumerate": (lambda: R(30).enumerate().shard(2, 1), "enumerate counts all"),
    "batch_of_failing": (lambda: R(30).map(divides).batch(4).skip(1),
                         "may fail on some values"),
    "zip_of_failing": (lambda: Dataset.zip((R(9), R(9).map(divides))).take(7),
                       "may fail on some values"),
    "zip_of_python": (lambda: Dataset.zip((R(9), R(9).map(python))).skip(2), "by Python code"),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVED)
def test_it_moves_down(name, check_law):
    make, expected = MOVED[name]
    node = make()._node
    after = rewrite_plan(node, RULE)
    assert labels(after) == expected
    assert after.element_spec == node.element_spec
    assert after.cardinality == node.cardinality
    assert rewrite_plan(after, RULE) is after
    check_law(make, "slice_pushdown")
    assert "moved down" in make().explain()


@pytest.mark.parametrize("name", STAYS)
def test_it_stays_and_says_why(name, check_law):
    make, reason = STAYS[name]
    node = make()._node
    assert rewrite_plan(node, RULE) is node
    assert reason in " ".join(make().explain().split())
    check_law(make, "slice_pushdown")


def test_it_can_be_switched_off():
    options = Options()
    options.experimental_optimization.slice_pushdown = False
    dataset = R(30).skip(3).with_options(options)
    assert labels(dataset._report.after) == ["range", "skip"]


def test_a_python_function_runs_for_skipped_elements_once_each():
    seen = []
    dataset = R(6).map(lambda x: seen.append(int(x.numpy())) or x).prefetch(1).skip(4)
    seen.clear()  # one ran to tell what the function returns
    assert [int(x) for x in dataset] == [4, 5]
    assert seen == list(range(6))


def test_a_shared_input_of_a_zip_stays_shared():
    numbers = R(30).map(lambda x: x + 1)
    after = rewrite_plan(Dataset.zip((numbers, numbers)).skip(3)._node, RULE)
    assert after.inputs[0] is after.inputs[1]


# -- files ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Parquet files of 40 and 25 rows in groups of 10; records and lines of 30."""
    path = tmp_path_factory.mktemp("slices")
    for name, rows in (("a", range(40)), ("b", range(40, 65))):
        table = pa.table({"i": list(rows), "s": [f"s{i}" for i in rows]})
        pa.parquet.write_table(table, path / f"{name}.parquet", row_group_size=10)
    with hr.io.TFRecordWriter(str(path / "r.tfrecord")) as writer:
        for i in range(30):
            writer.write(b"bad" if i == 2 else b"%04d" % i)
    (path / "t.txt").write_text("".join(f"line {i}\n" for i in range(30)))
    return path


def parquet(folder):
    return ParquetDataset([str(folder / "a.parquet"), str(folder / "b.parquet")])


GROUPS = {
    "skip": (lambda d: d.skip(23), ["skip"], [[2, 3], [0, 1, 2]]),
    "skip_to_group": (lambda d: d.skip(30), [], [[3], [0, 1, 2]]),
    "skip_file": (lambda d: d.skip(47), ["skip"], [[0, 1, 2]]),
    "take": (lambda d: d.take(15), ["take"], [[0, 1]]),
    "take_groups": (lambda d: d.take(50), [], [[0, 1, 2, 3], [0]]),
    "both": (lambda d: d.skip(12).take(9), ["skip", "take"], [[1, 2]]),
    "through_map": (lambda d: d.map(lambda e: e["i"]).skip(30).take(12).batch(5),
                    ["take", "map", "batch"], [[3], [0]]),
    "take_of_batches": (lambda d: d.map(lambda e: e["i"]).batch(5).skip(6).take(3),
                        ["map", "batch", "take"], [[3], [0, 1, 2]]),
    "nothing_left": (lambda d: d.skip(90), [], []),
}  # fmt: skip


@pytest.mark.parametrize("name", GROUPS)
def test_only_the_row_groups_in_question_are_read(folder, name, monkeypatch, check_law):
    cut, stages, groups = GROUPS[name]
    opened = []
    real = pa.parquet.ParquetFile.iter_batches

    def spy(self, *args, **kwargs):
        opened.append(kwargs["row_groups"])
        return real(self, *args, **kwargs)

    after = check_law(lambda: cut(parquet(folder)), "slice_pushdown")
    rewritten = rewrite_plan(cut(parquet(folder))._node, RULE)
    assert labels(rewritten) == ["parquet", *stages]
    assert rewritten.cardinality == cut(parquet(folder))._node.cardinality
    monkeypatch.setattr(pa.parquet.ParquetFile, "iter_batches", spy)
    whole = list(cut(parquet(folder)).as_numpy_iterator())
    assert opened == groups
    assert len(whole) == after.cardinality


def test_parts_of_files_are_cut_further(folder, monkeypatch):
    monkeypatch.setattr("headrace.data.transforms.arrow_files._PART_ROWS", 10)
    node = rewrite_plan(parquet(folder).skip(20)._node, RULE)
    assert isinstance(node, ParquetNode)
    assert [(p.start, p.stop) for p in node.in_parts().files] == [
        (2, 3), (3, 4), (0, 1), (1, 2), (2, 3),
    ]  # fmt: skip
    further, rest = node.sliced(slice(15, 22))
    assert [str(f)[-9:] for f in further.files] == ["a.parquet", "b.parquet"]
    assert further.cardinality == 20
    assert rest == slice(5, 12)


def test_nulls_in_skipped_rows_are_no_errors(check_law):
    table = pa.table({"a": pa.array([None, 1, 2, None, 4])})
    dataset = Dataset.from_arrow(table).map(lambda e: e["a"]).skip(1).shard(1, 0)
    iterator = dataset.as_numpy_iterator()
    assert [next(iterator), next(iterator)] == [1, 2]
    with pytest.raises(hr.errors.InvalidArgumentError, match="null"):
        next(iterator)
    assert next(iterator) == 4


def test_skipped_records_are_not_parsed(folder):
    def parse(record):
        return hr.reshape(hr.io.decode_raw(record, hr.uint8), [4])

    def records():
        return TFRecordDataset(str(folder / "r.tfrecord")).map(parse)

    after = records().batch(3).skip(2)._report.after
    assert "skip(count=6)" in described(after)
    assert len(list(records().skip(5))) == 25
    with pytest.raises(hr.errors.InvalidArgumentError):
        list(records().skip(2))
    text = " ".join(records().take(5).explain().split())
    assert "may fail on damaged data" in text


def test_lines_are_skipped_before_the_map(folder, check_law):
    def make():
        return TextLineDataset(str(folder / "t.txt")).map(hr.strings.length).skip(8).shard(3, 1)

    assert labels(rewrite_plan(make()._node, RULE)) == ["text_line", "skip", "shard", "map"]
    check_law(make, "slice_pushdown")


def test_a_list_of_files_is_cut(folder):
    files = Dataset.list_files(str(folder / "*"), shuffle=False)
    after = rewrite_plan(files.map(lambda f: f).shard(2, 1)._node, RULE)
    assert labels(after) == ["tensor_slices", "map"]
